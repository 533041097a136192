package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// Retained is what Retain removed.
type Retained struct {
	Records  int64    `json:"records"` // rows of the ledger that are in a month's sum now
	VMs      int64    `json:"vms"`
	Messages int64    `json:"messages"`
	Archives []string `json:"archives"` // months of the archive
	Staying  int64    `json:"staying"`  // old rows that stay, because a destination has not got them, or a late end may need them
}

// Retain ends the time of what is older than an instant: of records only the sums of each month and VO stay, as the server
// counts them; messages that were settled before, and whole months of the archive, go. What a destination has not got yet
// stays, and so does what a late end of a VM may still revise. Every transaction is short; killed anywhere, the next call
// goes on.
func Retain(ctx context.Context, d Deps, before time.Time) (Retained, error) {
	d.Run.Step("retention")
	r := retention{d: d, before: before, period: Period(before.Unix())}
	for _, step := range []func(context.Context) error{r.starts, r.records, r.vms, r.messages, r.cleanUps, r.archive, r.count} {
		if err := step(ctx); err != nil {
			return r.done, fmt.Errorf("retention of records before %s: %w", before.UTC().Format("2006-01-02"), err)
		}
	}
	d.Run.Count("records_summed", r.done.Records)
	d.Run.Count("messages_removed", r.done.Messages)
	if r.done.Staying > 0 {
		d.Run.Problem(run.Problem{Object: "retention", Step: "retention", Notice: true,
			Reason: fmt.Sprintf("%d records are older than retention.records, and stay: a destination has not got them, or their VM may still turn out to have ended earlier", r.done.Staying),
			Hint:   "fedsite accounting send sends what waits; fedsite accounting records shows what a destination has of each"})
	}
	return r.done, nil
}

type retention struct {
	d      Deps
	before time.Time
	period string // the month that before is in: older ones go
	sites  []oldSite
	done   Retained
}

// oldSite is a site with the oldest month that is, or would be, sent of it.
type oldSite struct{ id, active string }

// stateSummed marks a row that is in its month's sum already: the next month's is reckoned from it.
const stateSummed = "SUMMED"

// over is the condition for rows l of a site's ledger whose time is over: the destinations that have a revision have the
// newest, and nothing of the row is on its way; one that no destination has is of before the months that are sent, or
// parked. Its VM has ended, or was seen months after: an end that is learnt late cannot lie before. The months before it
// are summed.
const over = ` FROM ledger l WHERE l.site = $1 AND l.kind = $2 AND l.period < $3 AND l.state <> '` + stateSummed + `'
	AND NOT EXISTS (SELECT 1 FROM message_record r WHERE r.site = l.site AND r.kind = l.kind AND r.subject = l.subject AND r.period = l.period)
	AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period AND d.rev < l.rev)
	AND (l.parked IS NOT NULL OR l.period < $4
		OR EXISTS (SELECT 1 FROM delivery d WHERE d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period))
	AND NOT EXISTS (SELECT 1 FROM vm v WHERE v.cloud = l.cloud AND v.vm = l.subject AND v.ended_at IS NULL AND v.shown < $5)
	AND NOT EXISTS (SELECT 1 FROM ledger o WHERE o.site = l.site AND o.cloud = l.cloud AND o.kind = l.kind AND o.subject = l.subject AND o.period < l.period AND o.state <> '` + stateSummed + `')`

// lateEnd is how long after a month a VM must have been seen, so that no end in it can be learnt any more.
const lateEnd = 62 * 24 * time.Hour

// starts reads from when on each site is sent. One that was never active would be sent from its beginning where nothing
// accounted before; else from a month to come.
func (r *retention) starts(ctx context.Context) error {
	return r.d.DB.Read(ctx, func(tx *store.Tx) error {
		r.sites = nil
		return each(tx, func(rows *sql.Rows) error {
			var (
				s          oldSite
				previously string
				active     sql.NullInt64
			)
			err := rows.Scan(&s.id, &previously, &active)
			switch {
			case active.Int64 != 0:
				s.active = Period(active.Int64)
			case previously != string(Nothing):
				s.active = never
			}
			r.sites = append(r.sites, s)
			return err
		}, `SELECT site, previously, active_from FROM accounting_start ORDER BY site`)
	})
}

// oldRow is a row whose time is over.
type oldRow struct{ site, cloud, subject, period, vo, body string }

func (o oldRow) key() []any { return []any{o.site, o.cloud, KindCloud, o.subject, o.period} }

// oldRows is how many rows one transaction takes: each is a few writes.
const oldRows = 200

// records adds rows to the sums of their months, oldest first, as the differences to the months before.
func (r *retention) records(ctx context.Context) error {
	for _, s := range r.sites {
		for {
			var n int64
			err := r.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
				if err := lockSite(tx, s.id); err != nil {
					return err
				}
				n, err = r.sum(tx, s)
				return err
			})
			if err != nil {
				return err
			}
			if r.done.Records += n; n == 0 { // a VM's months come one by one
				break
			}
		}
	}
	return nil
}

func (r *retention) sum(tx *store.Tx, s oldSite) (int64, error) {
	month, err := time.Parse("2006-01", r.period)
	if err != nil {
		return 0, err
	}
	var rows []oldRow
	err = each(tx, func(found *sql.Rows) error {
		o := oldRow{site: s.id}
		err := found.Scan(&o.cloud, &o.subject, &o.period, &o.vo, &o.body)
		rows = append(rows, o)
		return err
	}, `SELECT l.cloud, l.subject, l.period, l.vo, l.body`+over+` ORDER BY l.period, l.cloud, l.subject LIMIT $6`,
		s.id, KindCloud, r.period, s.active, month.Add(lateEnd).UnixMilli(), oldRows)
	if err != nil {
		return 0, err
	}
	for _, o := range rows {
		if err := o.sum(tx); err != nil {
			return 0, fmt.Errorf("VM %s, %s: %w", o.subject, o.period, err)
		}
	}
	return int64(len(rows)), nil
}

// sum adds a row to its month's sum, and removes the row before it. The row itself goes, too, when nothing is to be
// reckoned from it; else it loses what names a person.
func (o oldRow) sum(tx *store.Tx) error {
	var before string
	err := tx.QueryRow(`SELECT body FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period < $5 ORDER BY period DESC LIMIT 1`, o.key()...).Scan(&before)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	rec, perr := parseRecord(o.body)
	if perr == nil { // one without a wire form is in no sum
		was, _ := parseRecord(before)
		if _, err := tx.Exec(`INSERT INTO monthly_sum (site, cloud, kind, period, vo, records, wall, cpu) VALUES ($1, $2, $3, $4, $5, 1, $6, $7)
			ON CONFLICT (site, cloud, kind, period, vo) DO UPDATE SET records = monthly_sum.records + 1, wall = monthly_sum.wall + excluded.wall, cpu = monthly_sum.cpu + excluded.cpu`,
			o.site, o.cloud, KindCloud, o.period, o.vo, rec.WallDuration-was.WallDuration, rec.CPUDuration-was.CPUDuration); err != nil {
			return err
		}
	}
	var stays bool
	if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period > $5)
		OR EXISTS (SELECT 1 FROM vm WHERE cloud = $2 AND vm = $4 AND ended_at IS NULL)`, o.key()...).Scan(&stays); err != nil {
		return err
	}
	which := "<="
	if stays && perr == nil {
		which = "<"
		body, err := apel.EncodeCloudRecord(impersonal(rec))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE ledger SET state = '`+stateSummed+`', stale = NULL, body = $6 WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, append(o.key(), string(body))...); err != nil {
			return err
		}
	}
	for _, table := range []string{"ledger", "delivery"} {
		if _, err := tx.Exec(`DELETE FROM `+table+` WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period `+which+` $5`, o.key()...); err != nil {
			return err
		}
	}
	return nil
}

// impersonal takes from a record what names a person, or may.
func impersonal(rec apel.CloudRecord) apel.CloudRecord {
	rec.MachineName, rec.LocalUserID, rec.GlobalUserName = "", "", ""
	return rec
}

// vms removes VMs that ended before, and of which no row is left.
func (r *retention) vms(ctx context.Context) error {
	n, err := r.remove(ctx, `DELETE FROM vm WHERE (cloud, vm) IN (SELECT v.cloud, v.vm FROM vm v WHERE v.ended_at < $1
		AND NOT EXISTS (SELECT 1 FROM ledger l WHERE l.site = v.site AND l.cloud = v.cloud AND l.subject = v.vm) LIMIT $2)`)
	r.done.VMs = n
	return err
}

// messages removes what was settled before; the last message of a site stays, because it says that there were some.
func (r *retention) messages(ctx context.Context) error {
	n, err := r.remove(ctx, `DELETE FROM message WHERE id IN (SELECT m.id FROM message m WHERE m.state IN ('sent', 'split') AND coalesce(m.settled, m.created) < $1
		AND NOT EXISTS (SELECT 1 FROM message_record r WHERE r.message = m.id)
		AND EXISTS (SELECT 1 FROM message o WHERE o.site = m.site AND (o.created > m.created OR o.created = m.created AND o.id > m.id)) LIMIT $2)`)
	r.done.Messages = n
	return err
}

// remove runs a statement that takes a number of rows from before an instant away, until none is left.
func (r *retention) remove(ctx context.Context, statement string) (total int64, err error) {
	for {
		var n int64
		err := r.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(statement, r.before.Unix(), maxRows)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += n; n < maxRows {
			return total, nil
		}
	}
}

// archive removes whole months of the archive, and what was on its way before and never came to an end.
func (r *retention) archive(context.Context) error {
	a := r.d.Sent
	if a == nil {
		return nil
	}
	files, err := a.Files()
	if err != nil || len(files) == 0 {
		return err
	}
	open, err := a.Open()
	if err != nil {
		return err
	}
	return a.locked(func() error {
		for _, f := range files {
			month := filepath.Base(filepath.Dir(f))
			if month >= r.period {
				continue
			}
			if err := os.Remove(f); err != nil {
				return err
			}
			if !slices.Contains(r.done.Archives, month) {
				r.done.Archives = append(r.done.Archives, month)
			}
		}
		for _, month := range r.done.Archives {
			if err := os.Remove(filepath.Join(a.Dir, month)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		for _, f := range open {
			if info, err := os.Stat(f); err == nil && info.ModTime().Before(r.before) {
				if err := a.Drop(strings.TrimSuffix(filepath.Base(f), ".gz")); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// count tells how many old rows stay.
func (r *retention) count(ctx context.Context) error {
	return r.d.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM ledger WHERE period < $1 AND state <> $2`, r.period, stateSummed).Scan(&r.done.Staying)
	})
}

// Sum is what a VO used in a month whose records are over.
type Sum struct {
	Site    string `json:"site"` // id
	Cloud   string `json:"cloud"`
	Period  string `json:"period"`
	VO      string `json:"vo"`
	Records int64  `json:"records"`
	Wall    int64  `json:"wall_s"`
	CPU     int64  `json:"cpu_s"`
}

// Sums gives the sums that stay of a site's old records.
func Sums(ctx context.Context, db *store.Store, siteID string) (all []Sum, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		return each(tx, func(rows *sql.Rows) error {
			s := Sum{Site: siteID}
			err := rows.Scan(&s.Cloud, &s.Period, &s.VO, &s.Records, &s.Wall, &s.CPU)
			all = append(all, s)
			return err
		}, `SELECT cloud, period, vo, records, wall, cpu FROM monthly_sum WHERE site = $1 ORDER BY period, cloud, vo`, siteID)
	})
	return all, err
}
