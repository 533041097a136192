package accounting

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Entry is a row of the ledger, with what each destination has of it.
type Entry struct {
	Site      string            `json:"site"`
	Cloud     string            `json:"cloud"`
	VM        string            `json:"vm"`
	Period    string            `json:"period"`
	VO        string            `json:"vo"`
	Project   string            `json:"project"`
	Status    string            `json:"status"`
	Measured  time.Time         `json:"measured"`
	Seen      time.Time         `json:"seen"`
	Wall      int64             `json:"wall_s"`
	Suspended int64             `json:"suspended_s"`
	CPU       int64             `json:"cpu_s"`
	CPUs      float64           `json:"cpus"`
	Revision  int64             `json:"revision"`
	Parked    string            `json:"parked,omitempty"`
	Sent      map[string]string `json:"sent"` // destination → "yes", "revision N", "cut", "queued", "parked: why", "no"
	Wire      string            `json:"wire"` // the exact text of the record
}

// Filter chooses rows of the ledger; empty fields choose all.
type Filter struct {
	Period, VO, Project, VM string
	Limit                   int
}

// Records gives rows of a site's ledger in the order of month, cloud and VM.
func Records(ctx context.Context, db *store.Store, t *Target, f Filter) ([]Entry, error) {
	clouds := map[string]string{}
	for _, c := range t.Clouds {
		clouds[c.Cloud.ID] = c.Cloud.Name
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 1 << 31
	}
	var all []Entry
	err := db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT cloud, subject, period, vo, project, measured, seen, rev, body, parked FROM ledger
			WHERE site = $1 AND kind = $2 AND ($3 = '' OR period = $3) AND ($4 = '' OR vo = $4) AND ($5 = '' OR project = $5) AND ($6 = '' OR subject = $6)
			ORDER BY period, cloud, subject LIMIT $7`, t.Site.ID, KindCloud, f.Period, f.VO, f.Project, f.VM, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := Entry{Site: t.Site.Name, Sent: map[string]string{}}
			var (
				measured, seen int64
				parked         sql.NullString
			)
			if err := rows.Scan(&e.Cloud, &e.VM, &e.Period, &e.VO, &e.Project, &measured, &seen, &e.Revision, &e.Wire, &parked); err != nil {
				return err
			}
			e.Measured, e.Seen, e.Parked = time.Unix(measured, 0).UTC(), time.UnixMilli(seen).UTC(), parked.String
			all = append(all, e)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i := range all {
			if err := tell(tx, t, &all[i]); err != nil {
				return err
			}
			if name, ok := clouds[all[i].Cloud]; ok {
				all[i].Cloud = name
			}
		}
		return nil
	})
	return all, err
}

// tell fills in what the record's text says, and what each destination has of the row.
func tell(tx *store.Tx, t *Target, e *Entry) error {
	if rec, err := parseRecord(e.Wire); err == nil {
		e.Status, e.Wall, e.Suspended, e.CPU, e.CPUs = rec.Status, rec.WallDuration, rec.SuspendDuration, rec.CPUDuration, rec.CPUCount
	}
	for _, dest := range t.Destinations {
		said, err := has(tx, dest.Name(), t.Site.ID, e)
		if err != nil {
			return err
		}
		e.Sent[dest.Name()] = said
	}
	return nil
}

// has tells in words what a destination has of a row.
func has(tx *store.Tx, destination, siteID string, e *Entry) (string, error) {
	var (
		state, reason string
		remote        sql.NullString
	)
	err := tx.QueryRow(`SELECT m.state, m.reason, m.remote_id FROM message_record r JOIN message m ON m.id = r.message
		WHERE m.destination = $1 AND r.site = $2 AND r.cloud = $3 AND r.kind = $4 AND r.subject = $5 AND r.period = $6 AND m.state IN ('cut', 'parked')`,
		destination, siteID, e.Cloud, KindCloud, e.VM, e.Period).Scan(&state, &reason, &remote)
	switch {
	case err == nil && state == stateParked:
		return "parked: " + reason, nil
	case err == nil && strings.HasPrefix(remote.String, inQueue):
		return "queued", nil
	case err == nil:
		return strings.TrimSpace("cut " + reason), nil
	case err != sql.ErrNoRows:
		return "", err
	}
	var rev int64
	err = tx.QueryRow(`SELECT rev FROM delivery WHERE destination = $1 AND site = $2 AND cloud = $3 AND kind = $4 AND subject = $5 AND period = $6`,
		destination, siteID, e.Cloud, KindCloud, e.VM, e.Period).Scan(&rev)
	switch {
	case err == sql.ErrNoRows:
		return "no", nil
	case err != nil:
		return "", err
	case rev == 0: // given up
		return "no", nil
	case rev < e.Revision:
		return "older revision", nil
	}
	return "yes", nil
}
