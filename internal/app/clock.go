package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// clock is the database's, so that all nodes go by one; extra is the offset of a demo (design §7, Clocks).
type clock struct {
	fixed func() time.Time // a test's or the demo's own; nil = the database's
	extra atomic.Int64     // nanoseconds
	ahead atomic.Int64     // nanoseconds by which the database is ahead of this machine
}

// sync compares this machine's clock with the database's. It is done at the start of each run.
func (c *clock) sync(ctx context.Context, db *store.Store) error {
	if c.fixed != nil {
		return nil
	}
	began := time.Now()
	theirs, err := db.Now(ctx)
	if err != nil {
		return err
	}
	ours := began.Add(time.Since(began) / 2)
	ahead := theirs.Sub(ours)
	if ahead.Abs() < 50*time.Millisecond { // the answer's own travelling time
		ahead = 0
	}
	c.ahead.Store(int64(ahead))
	return nil
}

func (c *clock) now() time.Time {
	if c.fixed != nil {
		return c.fixed().UTC()
	}
	return time.Now().Round(0).Add(time.Duration(c.ahead.Load() + c.extra.Load())).UTC()
}
