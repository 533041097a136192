package accounting

import (
	"context"
	"slices"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// drop notes of which projects that were collected no VO is any more, so that nobody waits for them, and takes that back of
// those that one has again. A run that was asked for some projects only says nothing of the others.
func (c *collector) drop(ctx context.Context, chosen []site.Project) error {
	if len(c.ask.Projects) > 0 {
		return nil
	}
	var changed []projectWindows
	err := c.d.DB.Read(ctx, func(tx *store.Tx) error {
		known, err := collectedOf(tx, c.c.Cloud.ID)
		changed = slices.DeleteFunc(known, func(p projectWindows) bool {
			has := slices.ContainsFunc(chosen, func(o site.Project) bool { return o.ID == p.id })
			return has != p.dropped
		})
		return err
	})
	if err != nil {
		return storeError{err}
	}
	for some := range slices.Chunk(changed, maxRows) {
		err := c.d.DB.Write(ctx, func(tx *store.Tx) error {
			for _, p := range some {
				since := nullInt(0)
				if !p.dropped {
					since = nullInt(c.d.Now().Unix())
				}
				if _, err := tx.Exec(`UPDATE collected SET dropped = $1 WHERE cloud = $2 AND project = $3 AND kind = $4`, since, c.c.Cloud.ID, p.id, KindCloud); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return storeError{err}
		}
	}
	return nil
}
