package images

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// reading and writing ask the store. What was interrupted says for what the run was ended.
func reading(ctx context.Context, d Deps, fn func(*store.Tx) error) error {
	return ended(ctx, d.DB.Read(ctx, fn))
}

func writing(ctx context.Context, d Deps, fn func(*store.Tx) error) error {
	return ended(ctx, d.DB.Write(ctx, fn))
}

func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// remembered gives what is remembered of the sources; of one that is read elsewhere than then, nothing.
func remembered(ctx context.Context, d Deps, t *Target) (map[string]Memory, error) {
	all := map[string]Memory{}
	err := reading(ctx, d, func(tx *store.Tx) error {
		clear(all)
		for _, s := range t.Sources {
			var (
				m                       Memory
				created, asked, changed int64
				missing                 string
			)
			err := tx.QueryRow(`SELECT list, version, created, asked, changed, etag, modified, body, missing FROM image_source WHERE site = $1 AND source = $2 AND place = $3`, t.Site.ID, s.Name(), s.Place()).
				Scan(&m.List, &m.Version, &created, &asked, &changed, &m.ETag, &m.Modified, &m.Body, &missing)
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			m.Created, m.Asked, m.Changed = fromMillis(created), fromMillis(asked), fromMillis(changed)
			_ = json.Unmarshal([]byte(missing), &m.Missing) // what cannot be read any more is nothing
			all[s.Name()] = m
		}
		return nil
	})
	return all, err
}

// keepMemory remembers what a source said, and why it was not believed.
func keepMemory(tx *store.Tx, siteID string, s SourceTarget, last, m Memory, verdict string) error {
	missing, err := json.Marshal(m.Missing)
	if err != nil {
		return err
	}
	if m.Body == last.Body && !last.Asked.IsZero() { // a list may have many megabytes
		n, err := tx.Exec(`UPDATE image_source SET list = $1, version = $2, created = $3, asked = $4, changed = $5, etag = $6, modified = $7, verdict = $8, missing = $9 WHERE site = $10 AND source = $11 AND place = $12`,
			m.List, m.Version, millis(m.Created), millis(m.Asked), millis(m.Changed), m.ETag, m.Modified, verdict, string(missing), siteID, s.Name(), s.Place())
		if err != nil || n > 0 {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO image_source (site, source, place, list, version, created, asked, changed, etag, modified, verdict, body, missing) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (site, source) DO UPDATE SET place = excluded.place, list = excluded.list, version = excluded.version, created = excluded.created, asked = excluded.asked, changed = excluded.changed,
	etag = excluded.etag, modified = excluded.modified, verdict = excluded.verdict, body = excluded.body, missing = excluded.missing`,
		siteID, s.Name(), s.Place(), m.List, m.Version, millis(m.Created), millis(m.Asked), millis(m.Changed), m.ETag, m.Modified, verdict, m.Body, string(missing))
	return err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Attempt is what is remembered of a file that could not be brought.
type Attempt struct {
	Failed  int       // how often in a row
	Next    time.Time // a task does not try before
	Lasting bool      // it will not pass by itself
	Reason  string
	At      time.Time
}

// attempts gives the files that could not be brought.
func attempts(ctx context.Context, d Deps, siteID string) (map[Digest]Attempt, error) {
	all := map[Digest]Attempt{}
	err := reading(ctx, d, func(tx *store.Tx) error {
		clear(all)
		rows, err := tx.Query(`SELECT digest, failed, next, lasting, reason, at FROM image_transfer WHERE site = $1 AND failed > 0`, siteID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				digest        string
				a             Attempt
				next, lasting int64
				at            int64
			)
			if err := rows.Scan(&digest, &a.Failed, &next, &lasting, &a.Reason, &at); err != nil {
				return err
			}
			a.Next, a.Lasting, a.At = fromMillis(next), lasting != 0, fromMillis(at)
			all[Digest(digest)] = a
		}
		return rows.Err()
	})
	return all, err
}

// Pauses between attempts to bring a file that failed: they double.
const (
	firstPause = 10 * time.Minute
	longPause  = 24 * time.Hour
)

// remember notes that a file was brought, or why not and when it is tried again.
func (a *applier) remember(ctx context.Context, p *parcel, err error) {
	digest := string(p.entry.Digest)
	for _, o := range p.orders {
		err = errors.Join(err, o.err)
	}
	now := a.d.Now()
	kept := writing(ctx, a.d, func(tx *store.Tx) error {
		if err == nil {
			_, e := tx.Exec(`DELETE FROM image_transfer WHERE site = $1 AND digest = $2`, a.t.Site.ID, digest)
			return e
		}
		var failed int64
		if e := tx.QueryRow(`SELECT failed FROM image_transfer WHERE site = $1 AND digest = $2`, a.t.Site.ID, digest).Scan(&failed); e != nil && !errors.Is(e, sql.ErrNoRows) {
			return e
		}
		pause, forGood := firstPause<<min(failed, 8), int64(0)
		if lasting(err) {
			pause, forGood = longPause, 1
		}
		_, e := tx.Exec(`INSERT INTO image_transfer (site, digest, url, etag, done, hash, broken, failed, next, lasting, reason, at) VALUES ($1, $2, '', '', 0, '', $3, 1, $4, $5, $6, $7)
ON CONFLICT (site, digest) DO UPDATE SET broken = excluded.broken, failed = image_transfer.failed + 1, next = excluded.next, lasting = excluded.lasting, reason = excluded.reason, at = excluded.at`,
			a.t.Site.ID, digest, p.broken, millis(now.Add(min(pause, longPause))), forGood, run.Line(err.Error(), longestReason), millis(now))
		return e
	})
	if kept != nil {
		a.d.Log.Warn("what became of an image could not be noted", "image", p.entry.Name(), "error", kept)
	}
}

// keepCheckpoint notes how far a staged file counts.
func keepCheckpoint(ctx context.Context, d Deps, siteID string, e Entry, tag string, done int64, hash string) error {
	return writing(ctx, d, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO image_transfer (site, digest, url, etag, done, hash, broken, failed, next, lasting, reason, at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, 0, '', $7)
ON CONFLICT (site, digest) DO UPDATE SET url = excluded.url, etag = excluded.etag, done = excluded.done, hash = excluded.hash, at = excluded.at`,
			siteID, string(e.Digest), vmlist.Shown(e.At.URL), tag, done, hash, millis(d.Now()))
		return err
	})
}

// checkpoint gives how far a file is staged already; nothing when it came from elsewhere, or less is there.
func (a *applier) checkpoint(ctx context.Context, e Entry, path string) (checkpoint, error) {
	var (
		c    checkpoint
		hash string
	)
	err := reading(ctx, a.d, func(tx *store.Tx) error {
		err := tx.QueryRow(`SELECT etag, done, hash FROM image_transfer WHERE site = $1 AND digest = $2 AND url = $3`, a.t.Site.ID, string(e.Digest), vmlist.Shown(e.At.URL)).Scan(&c.tag, &c.done, &hash)
		if errors.Is(err, sql.ErrNoRows) {
			c, hash = checkpoint{}, ""
			return nil
		}
		return err
	})
	if err != nil {
		return checkpoint{}, err
	}
	c.hash, err = base64.StdEncoding.DecodeString(hash)
	if stat, missing := os.Stat(path); err != nil || missing != nil || stat.Size() < c.done || c.tag == "" {
		return checkpoint{}, nil
	}
	return c, nil
}
