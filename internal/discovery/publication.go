package discovery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// published is a row of publication: a document that a sink has, or is to lose. Times are in unix milliseconds.
type published struct {
	site, endpoint, sink, place, name string
	siteName                          string
	format                            Format
	digest, sum                       string // digest "" = it was about to be delivered
	delivered, changed                int64
	expires                           int64 // 0 = never
	replaced                          int64 // 0 = it is the endpoint's document
}

const publishedColumns = `site, endpoint, sink, place, name, site_name, format, digest, sum, delivered, changed, expires, replaced`

func (r *published) scan(rows *sql.Rows) error {
	return rows.Scan(&r.site, &r.endpoint, &r.sink, &r.place, &r.name, &r.siteName, &r.format, &r.digest, &r.sum, &r.delivered, &r.changed, &r.expires, &r.replaced)
}

// publications reads rows by a condition, in a fixed order.
func publications(ctx context.Context, db *store.Store, where string, args ...any) ([]published, error) {
	var all []published
	err := db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		var err error
		all, err = publicationsIn(tx, where, args...)
		return err
	})
	return all, err
}

func publicationsIn(tx *store.Tx, where string, args ...any) ([]published, error) {
	rows, err := tx.Query(`SELECT `+publishedColumns+` FROM publication WHERE `+where+` ORDER BY site, endpoint, sink, place, name`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []published
	for rows.Next() {
		var r published
		if err := r.scan(rows); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}

// placeOf is where a sink publishes to; "" when it does not say.
func placeOf(s Sink) string {
	if p, ok := s.(Placed); ok {
		return p.Place()
	}
	return ""
}

// rowOf is the row of a publication that a sink was given.
func rowOf(s Sink, p Publication) published {
	row := published{site: p.SiteID, endpoint: p.Endpoint, sink: s.Name(), place: placeOf(s), name: p.Name, siteName: p.Site, format: s.Format(),
		digest: p.Digest, sum: sumOf(p.Body), delivered: p.At.UnixMilli(), changed: p.At.UnixMilli()}
	if t := expires(p.Document); !t.IsZero() {
		row.expires = t.UnixMilli()
	}
	return row
}

// intend notes that a document is about to be delivered under a name for the first time, so that it can be taken away even
// if the process ends before it is noted as delivered, and never comes to it again.
func intend(ctx context.Context, db *store.Store, row published) error {
	row.digest, row.sum, row.replaced = "", "", row.delivered
	return db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO publication (`+publishedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (site, endpoint, sink, place, name) DO NOTHING`, row.values()...)
		return err
	})
}

func (r *published) values() []any {
	return []any{r.site, r.endpoint, r.sink, r.place, r.name, r.siteName, string(r.format), r.digest, r.sum, r.delivered, r.changed, r.expires, r.replaced}
}

// note notes a document as delivered, what the same endpoint had at the sink before as replaced, and forgets documents that
// no sink has any more. Body is the document as JSON, nil when its digest is noted already; renewed says that it takes the
// place of one with the same digest. Of a sink where nothing can be taken away (forget) no former names are kept.
func note(tx *store.Tx, row published, body []byte, renewed, forget bool) error {
	held := false
	if body != nil && !renewed {
		err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM document WHERE site = $1 AND endpoint = $2 AND digest = $3)`, row.site, row.endpoint, row.digest).Scan(&held)
		if err != nil {
			return err
		}
	}
	if body != nil && !held {
		conflict := `DO NOTHING`
		if renewed {
			conflict = `DO UPDATE SET made = excluded.made, body = excluded.body`
		}
		if _, err := tx.Exec(`INSERT INTO document (site, endpoint, digest, made, body) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (site, endpoint, digest) `+conflict, row.site, row.endpoint, row.digest, row.delivered, string(body)); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(`INSERT INTO publication (`+publishedColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (site, endpoint, sink, place, name) DO UPDATE SET site_name = excluded.site_name, format = excluded.format, digest = excluded.digest,
			sum = excluded.sum, delivered = excluded.delivered, expires = excluded.expires, replaced = 0,
			changed = CASE WHEN publication.digest = excluded.digest THEN publication.changed ELSE excluded.changed END`, row.values()...); err != nil {
		return err
	}
	former := `UPDATE publication SET replaced = $6`
	if forget {
		former = `DELETE FROM publication`
	}
	args := []any{row.site, row.endpoint, row.sink, row.place, row.name}
	if !forget {
		args = append(args, row.delivered)
	}
	if _, err := tx.Exec(former+` WHERE site = $1 AND endpoint = $2 AND sink = $3 AND NOT (place = $4 AND name = $5) AND replaced = 0`, args...); err != nil {
		return err
	}
	return forgetDocuments(tx, row.site, row.endpoint)
}

// forgetDocuments removes the documents of an endpoint that no sink has.
func forgetDocuments(tx *store.Tx, site, endpoint string) error {
	_, err := tx.Exec(`DELETE FROM document WHERE site = $1 AND endpoint = $2 AND NOT EXISTS
		(SELECT 1 FROM publication p WHERE p.site = document.site AND p.endpoint = document.endpoint AND p.digest = document.digest)`, site, endpoint)
	return err
}

// forgetPublication removes a row, unless it was delivered anew meanwhile.
func forgetPublication(tx *store.Tx, row published) error {
	_, err := tx.Exec(`DELETE FROM publication WHERE site = $1 AND endpoint = $2 AND sink = $3 AND place = $4 AND name = $5 AND delivered = $6`,
		row.site, row.endpoint, row.sink, row.place, row.name, row.delivered)
	if err != nil {
		return err
	}
	return forgetDocuments(tx, row.site, row.endpoint)
}

// storedBody reads a document back; ErrNotHeld when there is none of that digest.
func storedBody(ctx context.Context, db *store.Store, site, endpoint, digest string) (body []byte, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		body, err = storedBodyIn(tx, site, endpoint, digest)
		return err
	})
	return body, err
}

func storedBodyIn(tx *store.Tx, site, endpoint, digest string) ([]byte, error) {
	var body string
	err := tx.QueryRow(`SELECT body FROM document WHERE site = $1 AND endpoint = $2 AND digest = $3`, site, endpoint, digest).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, ErrNotHeld
	}
	if err != nil {
		return nil, fmt.Errorf("read the document of %s: %w", endpoint, err)
	}
	return []byte(body), nil
}

func fromMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
