package discovery

import (
	"context"
	"encoding/json"

	"github.com/fedsite/fedsite/internal/store"
)

// Kinds of answers of GOCDB.
const (
	aboutRegistration = "registration"
	aboutDowntimes    = "downtimes"
)

// keptAnswers gives what GOCDB said last of the endpoints of a site. What cannot be read any more is nothing.
func keptAnswers(ctx context.Context, d Deps, siteID string) (map[string]enrolled, error) {
	var all map[string]enrolled
	err := read(ctx, d, func(tx *store.Tx) (err error) {
		all, err = answers(tx, siteID)
		return err
	})
	return all, err
}

func answers(tx *store.Tx, siteID string) (map[string]enrolled, error) {
	rows, err := tx.Query(`SELECT endpoint, about, body FROM gocdb_answer WHERE site = $1`, siteID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]enrolled{}
	for rows.Next() {
		var ep, about, body string
		if err := rows.Scan(&ep, &about, &body); err != nil {
			return nil, err
		}
		e := all[ep]
		switch about {
		case aboutRegistration:
			_ = json.Unmarshal([]byte(body), &e.registration)
		case aboutDowntimes:
			_ = json.Unmarshal([]byte(body), &e.downtimes)
		}
		all[ep] = e
	}
	return all, rows.Err()
}

// keep keeps what is known now.
func (r *registrar) keep(ctx context.Context) error {
	return write(ctx, r.d, func(tx *store.Tx) error {
		for ep, e := range r.found {
			if e.looked != nil {
				e.registration = *e.looked
			}
			for about, v := range map[string]any{aboutRegistration: e.registration, aboutDowntimes: e.downtimes} {
				body, err := json.Marshal(v)
				if err != nil {
					return err
				}
				_, err = tx.Exec(`INSERT INTO gocdb_answer (site, endpoint, about, asked, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (site, endpoint, about) DO UPDATE SET asked = excluded.asked, body = excluded.body`, r.t.Site.ID, ep, about, r.now.UnixMilli(), string(body))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// forget deletes what was kept of endpoints that are not wanted any more.
func (r *registrar) forget(ctx context.Context, wanted []Wanted) error {
	gone := map[string]bool{}
	for ep := range r.last {
		gone[ep] = true
	}
	for _, w := range wanted {
		delete(gone, w.EP)
	}
	if len(gone) == 0 {
		return nil
	}
	return write(ctx, r.d, func(tx *store.Tx) error {
		for ep := range gone {
			if _, err := tx.Exec(`DELETE FROM gocdb_answer WHERE site = $1 AND endpoint = $2`, r.t.Site.ID, ep); err != nil {
				return err
			}
		}
		return nil
	})
}
