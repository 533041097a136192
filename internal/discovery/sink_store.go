package discovery

import (
	"context"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// NewStore gives a sink that keeps documents in the database for what fedsite serves itself: its information API and its
// LDAP server, which read them by Served. A document is there as soon as its transaction is committed, with the note that
// it is. As each delivery is written to the database's log, unchanged documents are renewed only when a third of their
// validity is over.
func NewStore(name string, db *store.Store) Remover { return &storeSink{name: name, db: db} }

type storeSink struct {
	name string
	db   *store.Store
}

var _ Sparing = (*storeSink)(nil)

func (s *storeSink) Name() string   { return s.name }
func (s *storeSink) Format() Format { return JSON }
func (s *storeSink) notes()         {}

// Every is as good as never: validity says when.
func (s *storeSink) Every() time.Duration { return 365 * 24 * time.Hour }

// Publish writes the document and its note in one transaction.
func (s *storeSink) Publish(ctx context.Context, p Publication) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	row := rowOf(s, p)
	return s.db.Write(ctx, func(tx *store.Tx) error { return note(tx, row, p.Body, true, false) })
}

// Held reads a document back.
func (s *storeSink) Held(ctx context.Context, name string) (body []byte, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		rows, err := publicationsIn(tx, `sink = $1 AND name = $2 AND replaced = 0`, s.name, name)
		if err != nil {
			return err
		}
		body = nil
		for _, r := range rows { // the newest, should two sites have one name
			if body, err = storedBodyIn(tx, r.site, r.endpoint, r.digest); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && body == nil {
		err = ErrNotHeld
	}
	return body, err
}

// Remove takes a document away, with its note.
func (s *storeSink) Remove(ctx context.Context, name string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *store.Tx) error {
		rows, err := publicationsIn(tx, `sink = $1 AND name = $2`, s.name, name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := forgetPublication(tx, r); err != nil {
				return err
			}
		}
		return nil
	})
}

// Served is a document as a store sink has it.
type Served struct {
	SiteID, Site string // id in the store, and name in GOCDB
	Endpoint     string // Keystone's URL
	Name         string
	Digest       string    // of what it says, but for its times
	Delivered    time.Time // when it was last written; its body changes with that
	Changed      time.Time // when it last said something else
	Body         []byte    // JSON
}

// Serve gives all documents of a store sink, by site and endpoint. Before is what the call before gave, or nil: what has
// not changed since is taken from there and not read again. When nothing has changed, the second answer is false.
func Serve(ctx context.Context, db *store.Store, sink string, before []Served) (all []Served, changed bool, err error) {
	known := make(map[[2]string]*Served, len(before))
	for i := range before {
		known[[2]string{before[i].SiteID, before[i].Endpoint}] = &before[i]
	}
	err = db.Read(ctx, func(tx *store.Tx) error {
		rows, err := publicationsIn(tx, `sink = $1 AND replaced = 0`, sink)
		if err != nil {
			return err
		}
		all, changed = make([]Served, 0, len(rows)), len(rows) != len(before)
		for _, r := range rows {
			s := Served{SiteID: r.site, Site: r.siteName, Endpoint: r.endpoint, Name: r.name, Digest: r.digest, Delivered: fromMilli(r.delivered), Changed: fromMilli(r.changed)}
			if old := known[[2]string{r.site, r.endpoint}]; old != nil && old.same(s) {
				s.Body = old.Body
			} else {
				changed = true
				if s.Body, err = storedBodyIn(tx, r.site, r.endpoint, r.digest); err != nil {
					return err
				}
			}
			all = append(all, s)
		}
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("read the documents of sink %s: %w", sink, err)
	}
	return all, changed, nil
}

// same tells whether nothing of a document is otherwise, its body included, which is not looked at.
func (s *Served) same(o Served) bool {
	return s.Site == o.Site && s.Name == o.Name && s.Digest == o.Digest && s.Delivered.Equal(o.Delivered) && s.Changed.Equal(o.Changed)
}
