package tasks

import (
	"context"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// KeepHistory is how long runs are kept.
const KeepHistory = 90 * 24 * time.Hour

// pruneBatch is how many runs one transaction forgets.
const pruneBatch = 1000

// Prune forgets the runs that ended before then, by the schedules' clock, but for the last one of each task and the last
// that was good. It gives how many it forgot.
func Prune(ctx context.Context, st *store.Store, before time.Time) (int64, error) {
	var all int64
	for {
		var n int64
		err := st.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM run WHERE (task, fence) IN (
				SELECT r.task, r.fence FROM run r LEFT JOIN task t ON t.name = r.task
				WHERE r.ended < $1 AND r.fence <> COALESCE(t.last_fence, -1) AND r.fence <> COALESCE(t.success_fence, -1)
				ORDER BY r.ended LIMIT $2)`, before.UnixMilli(), pruneBatch)
			return err
		})
		all += n
		if err != nil || n < pruneBatch {
			return all, err
		}
	}
}
