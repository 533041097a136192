package tasks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// Task is the definition of a recurring piece of work.
type Task struct {
	Name     string // "part.kind/site", or "part.kind" of the whole service
	Site     string // site id; "" for a task of the whole service
	Schedule Schedule
	AtOnce   bool          // when it is new it is due at once, and not at its next slot
	Deadline time.Duration // the run is cancelled after it; 0 = DefaultDeadline
	Set      string        // of sites, of which Sites at once have runs in this process; "" = none
	Sites    int           // 0 = any number
	// Run does the work. Its context carries the lease, and ends when the lease is lost, the run is cancelled, the
	// deadline is over or the service stops.
	Run func(ctx context.Context, live *Live) Result
}

// Result is how a run ended: the same report that the command line prints.
type Result = run.Report

// DefaultDeadline is how long a run may take when its task does not say.
const DefaultDeadline = 6 * time.Hour

// Live is a run that goes on, as its body sees it.
type Live struct {
	Name  string
	Site  string
	Cause string    // "schedule" or "run now"
	Slot  time.Time // when it was due
	run   *Run
}

// Progress says how far the run is; other processes see it within two seconds.
func (l *Live) Progress(p run.Progress) { l.run.Progress(p) }

// Options is what the caller of a scheduler decides.
type Options struct {
	// Now is the clock that schedules, pauses and history go by: the database's with the offset of a demo. Nil = the
	// database's itself, which no clock of a node can mislead.
	Now      func() time.Time
	Parallel int           // runs at once in this process; 0 = 12
	PerSite  int           // runs at once of one site, those of other processes counted; 0 = 3
	Grace    time.Duration // how long runs may go on when the service is stopped, before they are cancelled; 0 = 30 s
	Log      *slog.Logger  // nil = none
	Ended    func(Ended)   // told of each run that ended here; may be nil
	// Hurry divides the contract's times, and the grace: a test has no minutes. 0 = 1.
	Hurry int
}

// Ended is a run that ended in this process.
type Ended struct {
	Task, Site string
	Outcome    string // of the report, or Interrupted, Cancelled
	Report     run.Report
	Took       time.Duration
	Err        error // why it could not be written; then the task is another's, or will be
}

// Scheduler runs tasks when they are due.
type Scheduler struct {
	o      Options // Parallel and PerSite under mu
	st     database
	runner *Runner
	after  func(d time.Duration) (<-chan time.Time, func() bool) // a timer; tests put their own
	limits limits

	freed chan struct{} // a run ended: there is room
	beat  atomic.Pointer[time.Time]

	setting sync.Mutex // one Set, or one reconciliation, at a time

	mu        sync.Mutex
	tasks     map[string]Task    // the present set
	active    map[string]*active // what runs here, by task
	pending   []candidate        // due and not begun
	elsewhere map[string]int     // runs of other processes, by group
	served    map[string]int64   // when a group's task was last begun here: a counter
	turn      int64
	clock     seen      // what the last poll saw of the schedules' clock
	checked   time.Time // when rows were last held against the set, monotonic
	troubled  bool      // the last poll failed
	warned    time.Time // when a failed claim was last told of
	unwritten []Ended   // runs whose end was given up to write
	bodies    sync.WaitGroup
	draining  chan struct{} // closed when the service stops: no run is begun any more
	stopping  chan struct{} // closed when runs are cancelled because the service stops
	leave     chan struct{} // closed when nothing is waited for any more
}

// limits are times that only tests change.
type limits struct {
	stuck time.Duration // after the end of its context a body that has not returned is stuck
	leave time.Duration // bodies have to return after the service cancelled them
	check time.Duration // how often rows are held against the set
	retry time.Duration // a giving back that failed is tried again
	poll  time.Duration // the longest that one poll may take
	tries int           // of a giving back to a database that cannot be written, when the service stops
}

var usualLimits = limits{stuck: 30 * time.Second, leave: 15 * time.Second, check: 5 * time.Minute, retry: 2 * time.Second, poll: 10 * time.Second, tries: 3}

// New makes a scheduler for this process. It does nothing before Set and Serve.
func New(st *store.Store, who Identity, o Options) *Scheduler {
	s := newScheduler(st, newRunner(st, who, func(d time.Duration) (<-chan time.Time, func()) {
		t := time.NewTicker(d)
		return t.C, t.Stop
	}, time.Now), o)
	if n := time.Duration(o.Hurry); n > 1 {
		p := &s.runner.pace
		for _, d := range []*time.Duration{&p.lease, &p.renew, &p.watch, &p.poll, &s.limits.stuck, &s.o.Grace} {
			*d /= n
		}
	}
	return s
}

func newScheduler(st database, r *Runner, o Options) *Scheduler {
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Ended == nil {
		o.Ended = func(Ended) {}
	}
	s := &Scheduler{o: o, st: st, runner: r, limits: usualLimits,
		after: func(d time.Duration) (<-chan time.Time, func() bool) { t := time.NewTimer(d); return t.C, t.Stop },
		freed: make(chan struct{}, 1), tasks: map[string]Task{}, active: map[string]*active{},
		elsewhere: map[string]int{}, served: map[string]int64{}, draining: make(chan struct{}), stopping: make(chan struct{}), leave: make(chan struct{})}
	s.Limit(o.Parallel, o.PerSite)
	return s
}

// Limit replaces how many runs there may be at once in this process, and of one site (0 = Options' defaults), also while
// some run. Those that are too many then end as they would.
func (s *Scheduler) Limit(parallel, perSite int) {
	s.mu.Lock()
	s.o.Parallel, s.o.PerSite = cmp.Or(parallel, 12), cmp.Or(perSite, 3)
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}: // there may be room
	default:
	}
}

// Serve runs tasks until ctx ends. Then none is begun any more; those that run have Options.Grace to end, after which they
// are cancelled. It is an error when a body has not returned even then, or when the database does not take how a run
// ended; its lease runs out. Serve is called once.
func (s *Scheduler) Serve(ctx context.Context) error {
	own := context.WithoutCancel(ctx) // what runs does not end with ctx
	s.runner.start(func() { s.runner.tell(s.runner.ctx) })
	defer s.runner.Close()
	ticks, stop := s.runner.every(s.runner.pace.poll)
	defer stop()
	s.round(own, true)
	for {
		select {
		case <-ctx.Done():
			return s.drain(own, ticks)
		default:
		}
		select {
		case <-ctx.Done():
		case <-ticks:
			s.round(own, true)
		case <-s.freed:
			s.dispatch(own)
		}
	}
}

// drain waits for what runs. It polls on, because a run can still be cancelled.
func (s *Scheduler) drain(ctx context.Context, ticks <-chan time.Time) error {
	close(s.draining)
	gone := make(chan struct{})
	go func() { s.bodies.Wait(); close(gone) }()
	over, stop := s.after(s.o.Grace)
	defer func() { stop() }()
	cancelled := false
	for {
		select {
		case <-gone:
			return s.unsaid()
		case <-ticks:
			s.round(ctx, false)
		case <-over:
			if cancelled {
				close(s.leave)
				return fmt.Errorf("stopped, but these do not end: %s; their leases run out", strings.Join(s.Running(), ", "))
			}
			cancelled = true
			s.o.Log.Warn("stopping the runs that have not ended by themselves", "tasks", s.Running())
			close(s.stopping)
			over, stop = s.after(s.limits.leave)
		}
	}
}

// unsaid says which runs ended while the service stopped, without that being written.
func (s *Scheduler) unsaid() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.unwritten) == 0 {
		return nil
	}
	var names []string
	for _, e := range s.unwritten {
		names = append(names, e.Task)
	}
	slices.Sort(names)
	return fmt.Errorf("stopped, but that these have ended could not be written: %s; they run again, once their leases have run out: %w", strings.Join(names, ", "), s.unwritten[0].Err)
}

// round is one turn of the loop: wishes are looked for, and what is due is begun.
func (s *Scheduler) round(ctx context.Context, begin bool) {
	err := s.poll(ctx)
	if err == nil && begin {
		err = s.check(ctx)
	}
	s.mu.Lock()
	was := s.troubled
	s.troubled = err != nil
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		s.o.Log.Error("cannot look for tasks that are due; trying again", "error", err, "hint", store.Hint(err))
	case err == nil && was:
		s.o.Log.Info("tasks that are due can be looked for again")
	}
	if err == nil && begin {
		s.dispatch(ctx)
	}
	now := s.runner.mono()
	s.beat.Store(&now)
}

// Beat gives when the loop last completed a turn, with a monotonic reading; zero before the first. It goes on while the
// database is away, and stops when the loop hangs: it is what a watchdog is fed by. A turn takes at most 25 s.
func (s *Scheduler) Beat() time.Time {
	if t := s.beat.Load(); t != nil {
		return *t
	}
	return time.Time{}
}

// Running gives the tasks that run in this process, those that are stuck included, in order of their names.
func (s *Scheduler) Running() []string { return s.which(func(*active) bool { return true }) }

// Stuck gives the tasks whose run should have ended in this process and has not.
func (s *Scheduler) Stuck() []string { return s.which(func(a *active) bool { return a.stuck }) }

func (s *Scheduler) which(want func(*active) bool) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []string
	for name, a := range s.active {
		if want(a) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
