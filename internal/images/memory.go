package images

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"time"

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
			err := tx.QueryRow(`SELECT list, version, created, signer, vo, asked, changed, etag, modified, body, missing FROM image_source WHERE site = $1 AND source = $2 AND place = $3`, t.Site.ID, s.Name(), s.Place()).
				Scan(&m.List, &m.Version, &created, &m.Signer, &m.VO, &asked, &changed, &m.ETag, &m.Modified, &m.Body, &missing)
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
		n, err := tx.Exec(`UPDATE image_source SET list = $1, version = $2, created = $3, signer = $4, vo = $5, asked = $6, changed = $7, etag = $8, modified = $9, verdict = $10, missing = $11 WHERE site = $12 AND source = $13 AND place = $14`,
			m.List, m.Version, millis(m.Created), m.Signer, m.VO, millis(m.Asked), millis(m.Changed), m.ETag, m.Modified, verdict, string(missing), siteID, s.Name(), s.Place())
		if err != nil || n > 0 {
			return err
		}
	}
	_, err = tx.Exec(`INSERT INTO image_source (site, source, place, list, version, created, signer, vo, asked, changed, etag, modified, verdict, body, missing) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (site, source) DO UPDATE SET place = excluded.place, list = excluded.list, version = excluded.version, created = excluded.created, signer = excluded.signer, vo = excluded.vo, asked = excluded.asked, changed = excluded.changed,
	etag = excluded.etag, modified = excluded.modified, verdict = excluded.verdict, body = excluded.body, missing = excluded.missing`,
		siteID, s.Name(), s.Place(), m.List, m.Version, millis(m.Created), m.Signer, m.VO, millis(m.Asked), millis(m.Changed), m.ETag, m.Modified, verdict, m.Body, string(missing))
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

// keepCheckpoint notes how far a staged file counts.
func keepCheckpoint(ctx context.Context, d Deps, siteID string, e Entry, tag string, done int64, hash string) error {
	return writing(ctx, d, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO image_transfer (site, digest, url, etag, done, hash, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
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
