package tasks

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

var errAway = errors.New("the database is away")

// TestBroken: a task that panics, leaves its goroutine, takes too long or ignores its context is recorded, and the others
// go on.
func TestBroken(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{Parallel: 2, PerSite: 1})
		hangs, ignores := newWork(), newWork()
		slow := hourly(t, "slow", "c", hangs.obedient)
		slow.Deadline = time.Hour
		a.set(t,
			hourly(t, "panics", "a", func(context.Context, *Live) Result { panic(errors.New("a bug")) }),
			hourly(t, "leaves", "b", func(context.Context, *Live) Result { runtime.Goexit(); return done }),
			slow, hourly(t, "ignores", "d", ignores.deaf), hourly(t, "waits", "d", gives(done)), hourly(t, "works", "e", gives(done)))
		a.to(noon.Add(time.Hour))
		a.turn(t)
		wait(t, ignores.began, "the one that ignores its context") // ignores/d and leaves/b come first
		if e := a.end(t); e.Task != "leaves/b" || e.Outcome != "failed" || reason(e.Report) != "the run ended without a result" {
			t.Errorf("%+v", e)
		}
		a.turn(t)
		if e := a.end(t); e.Task != "panics/a" || e.Outcome != "failed" || reason(e.Report) != "panic: a bug" {
			t.Errorf("%+v", e)
		}
		a.turn(t)
		wait(t, hangs.began, "the one that hangs")
		a.fire(t, time.Hour)
		if e := a.end(t); e.Task != "slow/c" || e.Outcome != "failed" || !strings.Contains(e.Report.Problems[1].Reason, "deadline") {
			t.Errorf("%+v", e)
		}
		a.turn(t)
		if e := a.end(t); e.Task != "works/e" || e.Outcome != "done" {
			t.Errorf("%+v", e)
		}
		if len(a.Stuck()) > 0 {
			t.Error("stuck before its time")
		}

		a.fire(t, DefaultDeadline)
		a.fire(t, usualLimits.stuck)
		a.until(t, "it counts as stuck", func() bool { return len(a.Stuck()) > 0 })
		a.pass(tellAfter)
		a.tell(t.Context())
		if s := a.task(t, "ignores/d"); s.State(a.now()) != "stuck" || s.Running.Stuck.IsZero() {
			t.Errorf("%+v", s.Running)
		}
		if d := cmp.Diff([]string{"ignores/d"}, a.Stuck()); d != "" {
			t.Error(d)
		}
		a.to(noon.Add(2 * time.Hour))
		a.turn(t) // both places are free for others
		a.turn(t)
		for range 2 {
			if e := a.end(t); e.Task == "waits/d" {
				t.Error("begun though its site's place is taken")
			}
		}
		a.Renew(t.Context())
		if s := a.task(t, "ignores/d"); s.Running == nil || s.Running.Lost {
			t.Error("the stuck run lost its lease: another node would begin it while its body goes on")
		}
		ignores.let <- failed("at last")
		for e := a.end(t); e.Task != "ignores/d"; e = a.end(t) {
			a.turn(t)
		}
		if d := cmp.Diff([]string{"schedule failed"}, a.runs(t, "ignores/d")); d != "" {
			t.Error(d)
		}
		if !strings.Contains(a.logged(), "stack=") || !strings.Contains(a.logged(), "told to end and does not") {
			t.Errorf("log:\n%s", a.logged())
		}
		a.to(noon.Add(130 * time.Minute))
		a.turn(t)
		for e := a.end(t); e.Task != "waits/d"; e = a.end(t) {
			a.turn(t)
			if e.Task == "slow/c" {
				break
			}
			select {
			case <-hangs.began:
				hangs.let <- done
			default:
			}
		}
		close(hangs.let)
		close(ignores.let)
		a.bodies.Wait()
	})
}

// TestAway: the database is away for a minute, at polls, renewals and the end of a run. Nothing is lost: the run is stopped
// before another could begin, what ended meanwhile is written, and what was stopped runs again.
func TestAway(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		long, short := newWork(), newWork()
		a.set(t, hourly(t, "long", "x", long.obedient), hourly(t, "short", "y", short.obedient), hourly(t, "later", "z", gives(done)))
		a.to(noon.Add(time.Hour))
		if err := a.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		later := a.pending[0] // by name
		for i, c := range a.pending {
			if c.name == "later/z" {
				later = c
				a.pending = append(a.pending[:i], a.pending[i+1:]...)
				break
			}
		}
		a.dispatch(t.Context())
		ctx, other := wait(t, long.began, "a run"), wait(t, short.began, "a run")

		a.db.away(errAway)
		beat := a.Beat()
		a.pass(time.Second)
		a.turn(t)
		a.turn(t)
		if strings.Count(a.logged(), "cannot look for tasks") != 1 || !a.Beat().After(beat) {
			t.Errorf("beat %v, log:\n%s", a.Beat(), a.logged())
		}
		a.pending = append(a.pending, later)
		a.dispatch(t.Context())
		a.idle(t, "later/z")
		if !strings.Contains(a.logged(), "a task that is due cannot be begun") {
			t.Errorf("log:\n%s", a.logged())
		}
		a.Renew(t.Context())
		if ctx.Err() != nil || other.Err() != nil {
			t.Fatal("stopped at the first failed renewal")
		}
		short.let <- done // which run takes it does not matter
		a.fire(t, usualLimits.retry)
		a.pass(WatchTime)
		a.Watch()
		if ctx.Err() == nil || other.Err() == nil {
			t.Fatal("40 s without a renewal, and a run goes on")
		}
		a.fire(t, usualLimits.retry)
		a.db.away(nil)
		outcomes := map[string]int{}
		for range 2 {
			var e Ended
			for e.Task == "" {
				select {
				case a.timers[usualLimits.retry] <- time.Now():
				case e = <-a.ends:
				case <-time.After(patience):
					t.Fatal("the ends of the runs are not written")
				}
			}
			a.idle(t, e.Task)
			if e.Err != nil {
				t.Error(e.Err)
			}
			outcomes[e.Outcome]++
		}
		if d := cmp.Diff(map[string]int{"done": 1, Interrupted: 1}, outcomes); d != "" {
			t.Errorf("%s\n%s", d, a.logged())
		}
		close(long.let)
		close(short.let)
		a.turn(t)
		a.bodies.Wait()
		for name, first := range map[string]string{"long/x": "schedule interrupted", "later/z": "schedule done"} {
			if got := a.runs(t, name); len(got) == 0 || got[0] != first {
				t.Errorf("%s: %v", name, got)
			}
		}
		if got := a.runs(t, "long/x"); len(got) != 2 {
			t.Errorf("what was interrupted stays due: %v", got)
		}
		if !strings.Contains(a.logged(), "can be looked for again") {
			t.Errorf("log:\n%s", a.logged())
		}
	})
}

// TestLate: a run ends after its task went to another process. Its end is not written, and that is said.
func TestLate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := serve(t, cfg, "a", Options{}), serve(t, cfg, "b", Options{})
		w := newWork()
		task := hourly(t, "accounting.collect", "site", w.deaf)
		a.set(t, task)
		b.set(t, task)
		a.to(noon.Add(time.Hour))
		b.to(noon.Add(time.Hour))
		a.turn(t)
		ctx := wait(t, w.began, "the run on a")
		a.expire(t)
		b.turn(t)
		wait(t, w.began, "the run on b")
		a.turn(t)
		if cause := context.Cause(ctx); !errors.Is(cause, ErrLost) {
			t.Errorf("the poll sees that another has it: %v", cause)
		}
		w.let <- done
		w.let <- done
		e := a.end(t)
		if !errors.Is(e.Err, store.ErrFenced) {
			t.Errorf("%+v", e)
		}
		b.end(t)
		if d := cmp.Diff([]string{"schedule abandoned", "schedule done"}, a.runs(t, task.Name)); d != "" {
			t.Error(d)
		}
	})
}

// TestAnswerLost: the end of a run was written, and the answer did not come back. The next try finds it done.
func TestAnswerLost(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := join(t, cfg, "a")
		ensure(t, a)
		one := a.shell(t)
		c := closing{outcome: "done", next: func(time.Time) (time.Time, int64) { return time.Time{}, 0 }}
		for range 2 {
			if err := one.release(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		c.outcome = "failed"
		if err := one.release(t.Context(), c); !errors.Is(err, store.ErrFenced) {
			t.Errorf("another end: %v", err)
		}
	})
}

// TestClockJumps: the schedules' clock jumps forward: what is overdue runs once. It jumps back: nothing waits for the time
// that a clock ahead named. Leases do not care.
func TestClockJumps(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		w := newWork()
		a.set(t, hourly(t, "quick", "site", gives(done)), hourly(t, "long", "site", w.obedient))
		a.turn(t)
		a.to(noon.AddDate(1, 0, 0))
		a.turn(t)
		ctx := wait(t, w.began, "the long run")
		if e := a.end(t); e.Task != "quick/site" {
			t.Errorf("%+v", e)
		}
		a.turn(t)
		if got := a.runs(t, "quick/site"); len(got) != 1 {
			t.Errorf("a year ahead: %v", got)
		}
		a.Renew(t.Context())
		a.Watch()
		until := a.task(t, "long/site").Running
		if until == nil || until.Lost || ctx.Err() != nil {
			t.Errorf("the lease goes by the schedules' clock: %+v", until)
		}

		back := noon.Add(90 * time.Minute)
		a.to(back)
		a.turn(t)
		if s := a.task(t, "quick/site"); !s.NextDue.Equal(noon.Add(2 * time.Hour)) {
			t.Errorf("due at %v, as a clock a year ahead said", s.NextDue)
		}
		a.Renew(t.Context())
		if ctx.Err() != nil {
			t.Error("the lease goes by the schedules' clock")
		}
		w.let <- done
		a.end(t)
		if s := a.task(t, "long/site"); !s.NextDue.Equal(noon.Add(2 * time.Hour)) {
			t.Errorf("due at %v", s.NextDue)
		}
		reads, _ := a.db.asked()
		a.to(back.Add(time.Second))
		a.pass(time.Second)
		a.turn(t)
		if now, _ := a.db.asked(); now != reads+1 {
			t.Errorf("%d reads for a round without a jump", now-reads)
		}
		close(w.let)
	})
}

// hung is a database whose driver does not come back, whatever its context says.
type hung struct{ in, let chan struct{} }

func (h hung) Read(context.Context, func(*store.Tx) error) error {
	close(h.in)
	<-h.let
	return errAway
}

func (h hung) Write(ctx context.Context, fn func(*store.Tx) error) error { return h.Read(ctx, fn) }

// TestBeat: a loop that hangs shows.
func TestBeat(t *testing.T) {
	h := hung{make(chan struct{}), make(chan struct{})}
	mono := time.Unix(1_800_000_000, 0)
	s := newScheduler(h, newRunner(h, Identity{}, nil, func() time.Time { return mono }), Options{})
	ended := make(chan struct{})
	go func() { s.round(context.Background(), true); close(ended) }()
	wait(t, h.in, "the round to ask the database")
	if !s.Beat().IsZero() {
		t.Error("a beat while the round hangs")
	}
	close(h.let)
	wait(t, ended, "the round")
	if !s.Beat().Equal(mono) {
		t.Errorf("%v", s.Beat())
	}
}

// TestDrain: when the service is stopped nothing begins any more; what runs may end, is cancelled after a while, and is not
// waited for for ever.
func TestDrain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		a.ticks[PollEvery] = make(chan time.Time)
		ends, obeys, deaf := newWork(), newWork(), newWork()
		a.set(t, hourly(t, "ends", "x", ends.obedient), hourly(t, "obeys", "y", obeys.obedient), hourly(t, "deaf", "z", deaf.deaf))
		a.to(noon.Add(time.Hour))
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- a.Serve(ctx) }()
		_, two, three := wait(t, ends.began, "a run"), wait(t, obeys.began, "a run"), wait(t, deaf.began, "a run")
		stop()
		ends.let <- done
		if e := wait(t, a.ends, "the one that ends"); e.Task != "ends/x" || e.Outcome != "done" {
			t.Errorf("%+v", e)
		}
		a.idle(t, "ends/x")
		a.to(noon.Add(2 * time.Hour)) // ends/x is due again
		for before, now := 0, -1; now < before+2; now, _ = a.db.asked() {
			if before == 0 {
				before, _ = a.db.asked()
			}
			select { // the scheduler's loop and that for progress share the ticks
			case a.ticks[PollEvery] <- time.Now():
			case <-time.After(patience):
				t.Fatal("no polls while the service stops, so no wish to cancel is seen")
			}
		}
		if two.Err() != nil || three.Err() != nil {
			t.Error("cancelled at once")
		}
		a.fire(t, 30*time.Second) // the grace is over
		if e := wait(t, a.ends, "the one that obeys"); e.Task != "obeys/y" || e.Outcome != Interrupted || !strings.Contains(e.Report.Problems[1].Reason, "stopped") {
			t.Errorf("%+v", e)
		}
		<-three.Done()
		a.idle(t, "obeys/y")
		a.fire(t, usualLimits.leave)
		err := wait(t, served, "the service")
		if err == nil || !strings.Contains(err.Error(), "deaf/z") || strings.Contains(err.Error(), "obeys/y") {
			t.Errorf("%v", err)
		}
		a.bodies.Wait() // it is left, not waited for
		deaf.let <- done
		s := a.task(t, "obeys/y")
		if s.State(a.now()) != "due" || s.Failures != 0 || s.Last.Outcome != Interrupted {
			t.Errorf("what was interrupted is %s, %+v", s.State(a.now()), s)
		}
		if got := a.runs(t, "ends/x"); len(got) != 1 {
			t.Errorf("begun while the service stops: %v", got)
		}
	})
}

// TestDrainInVain: the service is stopped while the disk is full, or the database cannot be written. Whoever stops it does
// not wait for what only he can mend: the end of a run is tried some more times, and then it is said what was not written.
// A database that is away may come back: that is waited for.
func TestDrainInVain(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		vain bool
	}{"full disk": {store.ErrFull, true}, "read-only": {store.ErrReadOnly, true}, "away": {store.ErrUnavailable, false}} {
		t.Run(name, func(t *testing.T) {
			cfg := store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")}
			a := serve(t, cfg, "a", Options{})
			w := newWork()
			a.set(t, hourly(t, "collect", "x", w.obedient))
			a.to(noon.Add(time.Hour))
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- a.Serve(ctx) }()
			wait(t, w.began, "the run")
			a.db.away(fmt.Errorf("write: %w", c.err))
			w.let <- done
			a.fire(t, usualLimits.retry) // it has failed once, and is tried for as long as the service runs
			a.fire(t, usualLimits.retry)
			stop()
			wait(t, a.draining, "the service to stop")
			for range usualLimits.tries - 1 {
				a.fire(t, usualLimits.retry)
			}
			if c.vain {
				a.fireUnlessEnded(t, usualLimits.retry) // a try that had begun before the service stopped does not count
				e := a.end(t)
				if !errors.Is(e.Err, c.err) || e.Outcome != "done" {
					t.Errorf("%+v", e)
				}
				err := wait(t, served, "the service")
				if !errors.Is(err, c.err) || !strings.Contains(err.Error(), "collect/x") {
					t.Errorf("%v", err)
				}
				if !strings.Contains(a.logged(), "was not written: the task runs again") || !strings.Contains(a.logged(), store.Hint(c.err)) {
					t.Errorf("log:\n%s", a.logged())
				}
				return
			}
			a.fire(t, usualLimits.retry)
			a.fire(t, usualLimits.retry)
			a.db.away(nil)
			a.fireUnlessEnded(t, usualLimits.retry) // the last try may have begun after the database came back
			if e := a.end(t); e.Err != nil {
				t.Errorf("%+v", e)
			}
			if err := wait(t, served, "the service"); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWishInterrupted: a wish to run now outlives the stop of the service.
func TestWishInterrupted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		w := newWork()
		a.set(t, hourly(t, "collect", "x", w.obedient))
		if err := RunNow(t.Context(), a.st, "collect/x"); err != nil {
			t.Fatal(err)
		}
		a.turn(t)
		wait(t, w.began, "the run")
		close(a.stopping)
		if e := a.end(t); e.Outcome != Interrupted {
			t.Errorf("%+v", e)
		}
		b := serve(t, cfg, "b", Options{})
		b.set(t, hourly(t, "collect", "x", gives(Result{Outcome: run.Partial})))
		b.turn(t)
		b.end(t)
		b.turn(t)
		if d := cmp.Diff([]string{"run now interrupted", "run now partial"}, b.runs(t, "collect/x")); d != "" {
			t.Error(d)
		}
	})
}
