package accounting

import (
	"context"
	"database/sql"
	"slices"
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
	Sent      map[string]string `json:"sent"` // destination → "yes", "older revision", "cut", "queued", "parked: why", "no"
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
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		chosen := []any{t.Site.ID, KindCloud, f.Period, f.VO, f.Project, f.VM, limit}
		if all, err = entries(tx, chosen); err != nil {
			return err
		}
		for _, dest := range t.Destinations {
			if err := tell(tx, t.Site.ID, dest.Name(), chosen, all); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range all {
		e := &all[i]
		e.Site = t.Site.Name
		if name, ok := clouds[e.Cloud]; ok {
			e.Cloud = name
		}
		if rec, err := parseRecord(e.Wire); err == nil {
			e.Status, e.Wall, e.Suspended, e.CPU, e.CPUs = rec.Status, rec.WallDuration, rec.SuspendDuration, rec.CPUDuration, rec.CPUCount
		}
	}
	return all, nil
}

// chosenRows are the rows of a Filter, in their order.
const chosenRows = ` FROM ledger
	WHERE site = $1 AND kind = $2 AND ($3 = '' OR period = $3) AND ($4 = '' OR vo = $4) AND ($5 = '' OR project = $5) AND ($6 = '' OR subject = $6)
	ORDER BY period, cloud, subject LIMIT $7`

func entries(tx *store.Tx, chosen []any) ([]Entry, error) {
	rows, err := tx.Query(`SELECT cloud, subject, period, vo, project, measured, seen, rev, body, parked`+chosenRows, chosen...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Entry
	for rows.Next() {
		e := Entry{Sent: map[string]string{}}
		var (
			measured, seen int64
			parked         sql.NullString
		)
		if err := rows.Scan(&e.Cloud, &e.VM, &e.Period, &e.VO, &e.Project, &measured, &seen, &e.Revision, &e.Wire, &parked); err != nil {
			return nil, err
		}
		e.Measured, e.Seen, e.Parked = time.Unix(measured, 0).UTC(), time.UnixMilli(seen).UTC(), parked.String
		all = append(all, e)
	}
	return all, rows.Err()
}

// tell fills in what a destination has of the entries, in words. The deliveries come in the entries' order, one for each.
func tell(tx *store.Tx, siteID, destination string, chosen []any, all []Entry) error {
	under, err := underWay(tx, siteID, destination)
	if err != nil {
		return err
	}
	rows, err := tx.Query(`SELECT d.rev FROM (SELECT site, cloud, kind, subject, period`+chosenRows+`) l
		LEFT JOIN delivery d ON d.destination = $8 AND d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period
		ORDER BY l.period, l.cloud, l.subject`, append(slices.Clone(chosen), destination)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for i := 0; rows.Next(); i++ {
		var rev sql.NullInt64
		if err := rows.Scan(&rev); err != nil {
			return err
		}
		e := &all[i]
		said, ok := under[cursor{e.Period, e.Cloud, e.VM}]
		switch {
		case ok:
		case rev.Int64 == 0: // never delivered, or given up
			said = "no"
		case rev.Int64 < e.Revision:
			said = "older revision"
		default:
			said = "yes"
		}
		e.Sent[destination] = said
	}
	return rows.Err()
}

// underWay tells of each row in an unsettled or parked message of the destination how it stands with it.
func underWay(tx *store.Tx, siteID, destination string) (map[cursor]string, error) {
	rows, err := tx.Query(`SELECT r.period, r.cloud, r.subject, m.state, m.reason, m.remote_id FROM message m JOIN message_record r ON r.message = m.id
		WHERE m.destination = $1 AND m.site = $2 AND m.state IN ('cut', 'parked') AND r.kind = $3`, destination, siteID, KindCloud)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	said := map[cursor]string{}
	for rows.Next() {
		var (
			at            cursor
			state, reason string
			remote        sql.NullString
		)
		if err := rows.Scan(&at.period, &at.cloud, &at.subject, &state, &reason, &remote); err != nil {
			return nil, err
		}
		switch {
		case state == stateParked:
			said[at] = "parked: " + reason
		case strings.HasPrefix(remote.String, inQueue):
			said[at] = "queued"
		default:
			said[at] = strings.TrimSpace("cut " + reason)
		}
	}
	return said, rows.Err()
}
