package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// serveEnv makes this test binary a service of the campaign.
const serveEnv = "FEDSITE_TEST_SERVE"

// campaign is what such a service is told.
type campaign struct {
	Path, URL string
	Dir       string // where each service writes which of its runs are alive
	Scale     int    // the contract's times are divided by it
	Tasks     int
	Longest   time.Duration // of a run
	Even      bool          // all runs are as long
	Lock      bool          // one service at a time
}

// aliveEvery is how often a run says that it is alive; every seventh time it also writes to the database.
const aliveEvery = 30 * time.Millisecond

func serveChild(text string) {
	var c campaign
	err := json.Unmarshal([]byte(text), &c)
	if err == nil {
		err = c.serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (c campaign) serve() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := c.until(ctx); err != nil && (ctx.Err() == nil || !errors.Is(err, context.Canceled)) {
		return err
	}
	return nil
}

func (c campaign) until(ctx context.Context) error {
	st, err := store.Open(ctx, store.Config{Path: c.Path, URL: c.URL})
	if err != nil {
		return err
	}
	who, err := NewServeIdentity()
	if err != nil {
		return err
	}
	if c.Lock {
		lock, err := ServeLock(ctx, st, c.Dir, who)
		if err != nil {
			return err
		}
		defer func() { _ = lock.Unlock() }()
	}
	alive, err := os.Create(fmt.Sprintf("%s/alive-%d", c.Dir, os.Getpid()))
	if err != nil {
		return err
	}
	s := New(st, who, Options{Hurry: c.Scale})
	if err := s.Set(ctx, c.tasks(st, alive)); err != nil {
		return err
	}
	return s.Serve(ctx)
}

// tasks gives the campaign's tasks, two of each site, each due some seconds after its last run.
func (c campaign) tasks(st *store.Store, alive *os.File) []Task {
	var all []Task
	for i := range c.Tasks {
		s, err := ParseSchedule(fmt.Sprintf("@every %ds", 1+i%4))
		if err != nil {
			panic(err)
		}
		all = append(all, Task{Name: fmt.Sprintf("kind%d/site-%d", i%2, i/2), Site: fmt.Sprint("site-", i/2), Schedule: s, Run: c.body(st, alive)})
	}
	return all
}

// body is a run: it says that it is alive, and writes under its lease, until its time is over or its context ends.
func (c campaign) body(st *store.Store, alive *os.File) func(context.Context, *Live) Result {
	return func(ctx context.Context, live *Live) Result {
		length := time.Duration(rand.ExpFloat64() * float64(c.Longest) / 12)
		if c.Even || rand.IntN(12) == 0 {
			length = c.Longest
		}
		ticks := time.NewTicker(aliveEvery)
		defer ticks.Stop()
		lease, _ := store.LeaseFrom(ctx)
		report := Result{Outcome: run.Done, Counts: map[string]int64{}}
		began := time.Now()
		for n := 0; time.Since(began) < min(length, c.Longest); n++ {
			if ctx.Err() != nil {
				return failed(context.Cause(ctx).Error())
			}
			fmt.Fprintf(alive, "%s %d %d\n", lease.Task, lease.Fence, time.Now().UnixMilli())
			if n%7 == 0 {
				if err := st.Write(ctx, func(tx *store.Tx) error {
					_, err := tx.Exec(`INSERT INTO campaign (task, fence, at) VALUES ($1, $2, `+tx.Clock()+`)`, lease.Task, lease.Fence)
					return err
				}); err != nil {
					return failed(err.Error())
				}
				report.Counts["writes"]++
				live.Progress(run.Progress{Step: "write", Done: report.Counts["writes"]})
			}
			select {
			case <-ticks.C:
			case <-ctx.Done():
			}
		}
		return report
	}
}
