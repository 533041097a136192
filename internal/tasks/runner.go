package tasks

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// database is what this package asks of the store.
type database interface {
	Read(ctx context.Context, fn func(*store.Tx) error) error
	Write(ctx context.Context, fn func(*store.Tx) error) error
}

// pace is how fast the contract's times go: as the constants say, but for a campaign that has only seconds.
type pace struct{ lease, renew, watch, poll time.Duration }

var usual = pace{LeaseTime, RenewEvery, WatchTime, PollEvery}

// Runner claims tasks for one process, and keeps their leases.
type Runner struct {
	st   database
	who  Identity
	pace pace

	// Ticks and the monotonic clock; tests put their own.
	every func(d time.Duration) (<-chan time.Time, func())
	mono  func() time.Time

	mu    sync.Mutex
	runs  map[string]*Run // by task
	ctx   context.Context // ends with Close
	stop  context.CancelFunc
	ended sync.WaitGroup
}

// NewRunner starts the renewal of leases for a process. Close it when no run goes on any more.
func NewRunner(st *store.Store, who Identity) *Runner {
	r := newRunner(st, who, func(d time.Duration) (<-chan time.Time, func()) {
		t := time.NewTicker(d)
		return t.C, t.Stop
	}, time.Now)
	r.start(func() {
		r.look(r.ctx)
		r.tell(r.ctx)
	})
	return r
}

func newRunner(st database, who Identity, every func(time.Duration) (<-chan time.Time, func()), mono func() time.Time) *Runner {
	ctx, stop := context.WithCancel(context.Background())
	return &Runner{st: st, who: who, pace: usual, every: every, mono: mono, runs: map[string]*Run{}, ctx: ctx, stop: stop}
}

// start begins the loops; talk is what is done at each poll.
func (r *Runner) start(talk func()) {
	r.ended.Add(3)
	go r.loop(r.pace.renew, func() { r.Renew(r.ctx) })
	go r.loop(r.pace.renew/10, r.Watch)
	go r.loop(r.pace.poll, talk)
}

func (r *Runner) loop(d time.Duration, do func()) {
	defer r.ended.Done()
	ticks, stop := r.every(d)
	defer stop()
	for {
		select {
		case <-ticks:
			do()
		case <-r.ctx.Done():
			return
		}
	}
}

// Close ends renewal. Leases still held are not given back: they run out.
func (r *Runner) Close() {
	r.stop()
	r.ended.Wait()
}

// Run is a claimed task while it runs.
type Run struct {
	Lease    store.Lease
	Slot     time.Time // the slot it was due at
	Failures int64     // runs of the schedule that failed since the last good one
	ctx      context.Context
	cancel   context.CancelCauseFunc
	runner   *Runner
	now      func() time.Time
	since    time.Time // when the claim was sent
	good     time.Time // when the last good renewal, or the claim, was sent
	says     says
}

// Context is the run's: it carries the lease, and ends when the lease is lost.
func (r *Run) Context() context.Context { return r.ctx }

// Claim claims a task and gives its run; *HeldError when another process runs it. The same task is not begun again in
// this process before the run's Finish.
func (r *Runner) Claim(ctx context.Context, o ClaimOptions) (*Run, error) {
	r.mu.Lock()
	sent := r.mono()
	if old := r.runs[o.Task]; old != nil {
		defer r.mu.Unlock()
		return nil, &HeldError{Task: o.Task, Owner: r.who.Boot, Since: old.since, LeaseUntil: old.good.Add(r.pace.lease)}
	}
	r.runs[o.Task] = &Run{since: sent, good: sent} // reserved
	r.mu.Unlock()
	timed, cancelTimed := context.WithTimeout(ctx, callTime)
	defer cancelTimed()
	c, err := take(timed, r.st, r.who, o, r.pace.lease)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		delete(r.runs, o.Task)
		return nil, err
	}
	run := &Run{Lease: store.Lease{Task: o.Task, Owner: r.who.Boot, Fence: c.fence}, Slot: time.UnixMilli(c.slot.Int64).UTC(), Failures: c.failures,
		runner: r, now: o.Now, since: sent, good: sent}
	cctx, cancel := context.WithCancelCause(ctx)
	run.ctx, run.cancel = store.WithLease(cctx, run.Lease), cancel
	r.runs[o.Task] = run
	return run, nil
}

// Finish closes the run with its outcome and report, and gives the task back. The time of the next slot may be zero: a run
// from the shell leaves the schedule as it is. It is an error (store.ErrFenced) when the lease was lost meanwhile: then
// another run has the say.
func (r *Run) Finish(ctx context.Context, outcome string, report []byte, nextDue time.Time) error {
	defer r.forget()
	failures := int64(-1)
	if outcome == "done" || outcome == "partial" {
		failures = 0
	}
	return r.release(ctx, closing{outcome: outcome, report: report, next: func(time.Time) (time.Time, int64) { return nextDue, failures }})
}

// release gives the task back in the database; forget is still to come.
func (r *Run) release(ctx context.Context, c closing) error {
	c.now = r.now
	// Neither the end of the run's context nor the lease it carries may hinder this: the lease is given back here.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(store.WithoutLease(ctx)), callTime)
	defer cancel()
	return release(ctx, r.runner.st, r.Lease, c)
}

// forget ends the run in this process: no more renewals, and the task may be claimed again.
func (r *Run) forget() {
	r.cancel(context.Canceled)
	r.runner.mu.Lock()
	delete(r.runner.runs, r.Lease.Task)
	r.runner.mu.Unlock()
}

// Renew renews all leases of this process with one statement, and stops the runs that it does not have any more, and
// those that an operator cancelled.
func (r *Runner) Renew(ctx context.Context) {
	held := r.held()
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.pace.renew)
	defer cancel()
	sent := r.mono()
	have := map[string]renewed{}
	err := r.st.Write(ctx, func(tx *store.Tx) error {
		clear(have)
		in, args := names(held, r.pace.lease.Milliseconds(), r.who.Boot)
		rows, err := tx.Query(`UPDATE task SET lease_until = `+tx.Clock()+` + $1 WHERE owner = $2 AND name IN (`+in+`) RETURNING name, fence, COALESCE(cancel_fence, -1)`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				name string
				n    renewed
			)
			if err := rows.Scan(&name, &n.fence, &n.cancel); err != nil {
				return err
			}
			have[name] = n
		}
		return rows.Err()
	})
	if err != nil {
		return // the watchdog stops the runs when it lasts too long
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range held {
		n, ok := have[run.Lease.Task]
		switch {
		case !ok || n.fence != run.Lease.Fence:
			run.cancel(ErrLost)
		case n.cancel == run.Lease.Fence:
			run.cancel(ErrCancelled)
			run.good = sent
		default:
			run.good = sent
		}
	}
}

type renewed struct{ fence, cancel int64 }

// names gives the placeholders of the runs' tasks, and all arguments, those that come before included.
func names(of []*Run, args ...any) (string, []any) {
	var in strings.Builder
	for i, run := range of {
		if i > 0 {
			in.WriteByte(',')
		}
		args = append(args, run.Lease.Task)
		fmt.Fprintf(&in, "$%d", len(args))
	}
	return in.String(), args
}

func (r *Runner) held() []*Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	var held []*Run
	for _, run := range r.runs {
		if run.runner != nil {
			held = append(held, run)
		}
	}
	return held
}

// Watch stops the runs whose last good renewal is too long ago. It needs no database.
func (r *Runner) Watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.runs {
		if run.runner != nil && r.mono().Sub(run.good) >= r.pace.watch {
			run.cancel(ErrCutOff)
		}
	}
}
