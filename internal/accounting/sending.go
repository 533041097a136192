package accounting

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// recount is how often what waits for a destination that is stopped is counted anew, in seconds: it may read the whole
// ledger.
const recount = 3600

// tracked runs the sender, and keeps how far the destination is afterwards: what ReadStatus shows without looking at the
// ledger. Records that are held back for some minutes after an unanswered attempt count as sent.
func (s *sender) tracked(ctx context.Context) error {
	began := s.d.Now().Unix()
	through, err := s.collected(ctx)
	if err != nil {
		return err
	}
	if err := s.run(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	why, took := s.why, s.took
	s.mu.Unlock()
	waits, counted := int64(0), began
	if why != "" {
		if waits, counted, err = s.waits(ctx, began); err != nil {
			return err
		}
	}
	return s.d.DB.Write(ctx, func(tx *store.Tx) error {
		cut := false
		err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM message WHERE destination = $1 AND site = $2 AND state = '`+stateCut+`')`, s.dest.Name(), s.t.Site.ID).Scan(&cut)
		if err != nil {
			return err
		}
		clear := sql.NullInt64{Int64: began, Valid: why == "" && !cut}
		through := sql.NullInt64{Int64: through, Valid: clear.Valid && through != 0}
		_, err = tx.Exec(`INSERT INTO sending (destination, site, first, ran, clear, through, waiting, counted, settled, reason) VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (destination, site) DO UPDATE SET ran = excluded.ran, clear = COALESCE(excluded.clear, sending.clear), through = COALESCE(excluded.through, sending.through),
			waiting = excluded.waiting, counted = excluded.counted, settled = COALESCE(excluded.settled, sending.settled), reason = excluded.reason`,
			s.dest.Name(), s.t.Site.ID, began, clear, through, waits, counted, nullInt(took), why)
		return err
	})
}

// collected gives the instant up to which all projects of the site were collected; 0 = there is none.
func (s *sender) collected(ctx context.Context) (through int64, err error) {
	now := s.d.Now()
	err = s.d.DB.Read(ctx, func(tx *store.Tx) error {
		through = 0
		start, found, err := startOf(tx, s.t.Site.ID)
		if err != nil || !found {
			return err
		}
		for _, c := range s.t.Clouds {
			if c.Mode == site.Disabled {
				continue
			}
			status, _, err := cloudStatus(tx, s.t, c, start.Since, now)
			if err != nil {
				return err
			}
			if at := status.Until.Unix(); !status.Until.IsZero() && (through == 0 || at < through) {
				through = at
			}
		}
		return nil
	})
	return through, err
}

// waits counts the records that are in no message, unless that was done lately.
func (s *sender) waits(ctx context.Context, now int64) (n, counted int64, err error) {
	err = s.d.DB.Read(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(`SELECT waiting, counted FROM sending WHERE destination = $1 AND site = $2 AND reason <> ''`, s.dest.Name(), s.t.Site.ID).Scan(&n, &counted)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || (counted != 0 && counted <= now && now-counted < recount) {
		return n, counted, err
	}
	n = 0
	at := time.Unix(now, 0)
	for from := (cursor{}); ; {
		var found []cursor
		err := s.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
			found, _, err = s.out.look(tx, from, at, maxRows)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		if n += int64(len(found)); len(found) < maxRows {
			return n, now, nil
		}
		from = found[len(found)-1]
	}
}
