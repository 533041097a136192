package accounting

import (
	"context"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Knowledge is how far a database knows, to compare two.
type Knowledge struct {
	Sighting   time.Time `json:"newest_sighting,omitzero"`
	Settled    time.Time `json:"newest_message,omitzero"` // when the last message was settled
	VMs        int64     `json:"vms"`
	Records    int64     `json:"records"`
	Deliveries int64     `json:"deliveries"`
	Messages   int64     `json:"messages"`
}

// Know tells how far a database knows.
func Know(ctx context.Context, db *store.Store) (k Knowledge, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		k = Knowledge{}
		var seen, settled int64
		for _, q := range []struct {
			query string
			to    []any
		}{
			{`SELECT count(*), coalesce(max(shown), 0) FROM vm`, []any{&k.VMs, &seen}},
			{`SELECT count(*) FROM ledger`, []any{&k.Records}},
			{`SELECT count(*) FROM delivery`, []any{&k.Deliveries}},
			{`SELECT count(*), coalesce(max(settled), 0) FROM message WHERE state = 'sent'`, []any{&k.Messages, &settled}},
		} {
			if err := tx.QueryRow(q.query).Scan(q.to...); err != nil {
				return err
			}
		}
		if seen != 0 {
			k.Sighting = time.UnixMilli(seen).UTC()
		}
		if settled != 0 {
			k.Settled = time.Unix(settled, 0).UTC()
		}
		return nil
	})
	return k, err
}

// Behind tells whether an archive has a message that the database does not know: then it is to be rebuilt. Only the last
// message of each site is looked for.
func Behind(ctx context.Context, db *store.Store, a *Archive) (bool, error) {
	files, err := a.Files()
	if err != nil {
		return false, err
	}
	last := map[string]string{}  // message, by site
	for _, file := range files { // the newest month comes last
		if _, err := readArchive(file, func(e Archived) error {
			if e.Message != "" {
				last[e.Site] = e.Message
			}
			return nil
		}); err != nil {
			return false, err
		}
	}
	behind := false
	err = db.Read(ctx, func(tx *store.Tx) error {
		for _, id := range last {
			var settled bool
			if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM message WHERE id = $1 AND state = 'sent')`, id).Scan(&settled); err != nil {
				return err
			}
			behind = behind || !settled
		}
		return nil
	})
	return behind, err
}
