package tasks

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// noon is when the schedules' clock of a test begins.
var noon = at("2026-03-20 12:00:00")

// service is a process that serves: a scheduler whose rounds, timers and clocks the test holds in its hand.
type service struct {
	*Scheduler
	*node
	st     *store.Store
	db     *watched
	ends   chan Ended
	timers map[time.Duration]chan time.Time // others never go off

	mu   sync.Mutex
	wall time.Time
	log  strings.Builder
}

// serve starts one. Nothing happens before its rounds.
func serve(t *testing.T, cfg store.Config, name string, o Options) *service {
	t.Helper()
	v := &service{node: join(t, cfg, name), ends: make(chan Ended, 1000), wall: noon,
		timers: map[time.Duration]chan time.Time{DefaultDeadline: make(chan time.Time), usualLimits.stuck: make(chan time.Time), usualLimits.retry: make(chan time.Time),
			30 * time.Second: make(chan time.Time), usualLimits.leave: make(chan time.Time), time.Hour: make(chan time.Time)}}
	v.st = v.node.st
	v.db = &watched{database: v.st}
	v.node.Runner.st = v.db
	o.Now, o.Ended, o.Log = v.now, func(e Ended) { v.ends <- e }, slog.New(slog.NewTextHandler(v, nil))
	v.Scheduler = newScheduler(v.db, v.node.Runner, o)
	v.Scheduler.after = func(d time.Duration) (<-chan time.Time, func() bool) { return v.timers[d], func() bool { return true } }
	return v
}

func (v *service) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.wall
}

// to sets the schedules' clock.
func (v *service) to(clock time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wall = clock
}

// Write takes the log.
func (v *service) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.log.Write(p)
}

func (v *service) logged() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.log.String()
}

// turn is one round of the loop.
func (v *service) turn(t *testing.T) {
	t.Helper()
	v.round(t.Context(), true)
}

// set replaces the service's tasks.
func (v *service) set(t *testing.T, tasks ...Task) {
	t.Helper()
	if err := v.Set(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
}

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// end waits for the end of a run.
func (v *service) end(t *testing.T) Ended {
	t.Helper()
	e := wait(t, v.ends, "a run to end")
	v.idle(t, e.Task)
	return e
}

// idle waits until the task does not run here any more: its row was given back before. It leaves the scheduler's own
// signal alone, which may be an older one, and which a service that stops waits for too.
func (v *service) idle(t *testing.T, name string) {
	t.Helper()
	v.until(t, name+" has ended here", func() bool { return !slices.Contains(v.Running(), name) })
}

// until looks every now and then whether something is so.
func (v *service) until(t *testing.T, what string, so func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	enough := time.After(patience)
	for !so() {
		select {
		case <-look.C:
		case <-enough:
			t.Fatalf("waited %v until %s", patience, what)
		}
	}
}

func wait[T any](t *testing.T, c <-chan T, what string) (got T) {
	t.Helper()
	select {
	case got = <-c:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return got
}

// fire lets a timer go off.
func (v *service) fire(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case v.timers[d] <- time.Now():
	case <-time.After(patience):
		t.Fatalf("nobody waits for the timer of %v", d)
	}
}

// fireUnlessEnded lets a timer go off that nobody waits for if the run has ended meanwhile.
func (v *service) fireUnlessEnded(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case v.timers[d] <- time.Now():
	case e := <-v.ends:
		v.ends <- e
	case <-time.After(patience):
		t.Fatal("neither a try nor an end")
	}
}

// task gives the state of one task.
func (v *service) task(t *testing.T, name string) Status {
	t.Helper()
	s, err := Find(t.Context(), v.st, name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runs gives a task's history, "cause outcome", oldest first.
func (v *service) runs(t *testing.T, name string) []string {
	t.Helper()
	all, err := History(t.Context(), v.st, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range slices.Backward(all) {
		got = append(got, e.Cause+" "+e.Outcome)
	}
	return got
}

// work is a body that the test holds in its hand.
type work struct {
	began chan context.Context
	let   chan Result
}

func newWork() *work { return &work{make(chan context.Context, 100), make(chan Result)} }

// obedient ends with its context.
func (w *work) obedient(ctx context.Context, _ *Live) Result {
	w.began <- ctx
	select {
	case r := <-w.let:
		return r
	case <-ctx.Done():
		return failed("it was told to end")
	}
}

// deaf does not look at its context.
func (w *work) deaf(ctx context.Context, _ *Live) Result {
	w.began <- ctx
	return <-w.let
}

var done = Result{Outcome: run.Done}

func failed(reason string) Result {
	return Result{Outcome: run.Failed, Counts: map[string]int64{"problems": 1}, Problems: []run.Problem{{Object: "run", Reason: reason, Failed: true}}}
}

func gives(r Result) func(context.Context, *Live) Result {
	return func(context.Context, *Live) Result { return r }
}

// hourly is a task of a site that is due at the full hour.
func hourly(t *testing.T, kind, site string, body func(context.Context, *Live) Result) Task {
	t.Helper()
	return Task{Name: kind + "/" + site, Site: site, Schedule: schedule(t, "@hourly"), Run: body}
}

// watched counts what the scheduler asks of the database, and can be away.
type watched struct {
	database
	mu            sync.Mutex
	err           error
	reads, writes int
}

func (w *watched) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

func (w *watched) Read(ctx context.Context, fn func(*store.Tx) error) error {
	w.mu.Lock()
	w.reads++
	err := w.err
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.database.Read(ctx, fn)
}

func (w *watched) Write(ctx context.Context, fn func(*store.Tx) error) error {
	w.mu.Lock()
	w.writes++
	err := w.err
	w.mu.Unlock()
	if err != nil {
		return err
	}
	return w.database.Write(ctx, fn)
}

func (w *watched) asked() (reads, writes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads, w.writes
}

// table gives the tasks' rows, "name schedule next_due removed", by name.
func (v *service) table(t *testing.T) []string {
	t.Helper()
	all, err := List(t.Context(), v.st)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]string{}
	for _, s := range all {
		lines[s.Name] = fmt.Sprintf("%s [%s] %s %s", s.Name, s.Schedule, s.NextDue.Format("15:04:05"), s.State(v.now()))
	}
	var got []string
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		got = append(got, lines[name])
	}
	return got
}
