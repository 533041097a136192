package tasks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestSchedule: a task runs at its slot, once, on one of the nodes; overdue it runs once, however many slots went by.
func TestSchedule(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := serve(t, cfg, "a", Options{}), serve(t, cfg, "b", Options{})
		for _, v := range []*service{a, b} {
			v.set(t, hourly(t, "collect", "x", gives(done)), hourly(t, "collect", "y", gives(done)))
			v.turn(t)
		}
		if got := slices.Concat(a.Running(), b.Running(), a.runs(t, "collect/x")); len(got) > 0 {
			t.Fatalf("begun before its slot: %v", got)
		}
		a.to(noon.Add(time.Hour))
		a.turn(t)
		got := []string{a.end(t).Task, a.end(t).Task}
		slices.Sort(got)
		if d := cmp.Diff([]string{"collect/x", "collect/y"}, got); d != "" {
			t.Fatal(d)
		}
		b.to(noon.Add(time.Hour + time.Second))
		b.turn(t)
		if len(b.Running()) > 0 || len(a.runs(t, "collect/x")) != 1 {
			t.Error("the slot was taken, and is taken again")
		}
		if s := a.task(t, "collect/x"); !s.NextDue.Equal(noon.Add(2*time.Hour)) || s.Last.Outcome != "done" || !s.LastSuccess.Equal(noon.Add(time.Hour)) || s.Failures != 0 {
			t.Errorf("%+v", s)
		}
		b.to(noon.Add(5*time.Hour + 20*time.Minute))
		b.turn(t)
		b.end(t)
		b.end(t)
		b.turn(t)
		if len(b.Running()) > 0 {
			t.Error("overdue by three slots, it runs more than once")
		}
		e, err := Report(t.Context(), b.st, "collect/x", 0)
		if err != nil || e.Fence != 2 || !e.Slot.Equal(noon.Add(2*time.Hour)) || e.Cause != "schedule" || e.Report.Outcome != run.Done || e.Report.Task != "collect/x" || e.Holder() != "process 4711 on node b" {
			t.Errorf("%+v, %v", e, err)
		}
		if s := b.task(t, "collect/x"); !s.NextDue.Equal(noon.Add(6 * time.Hour)) {
			t.Errorf("next due %v", s.NextDue)
		}
	})
}

// TestTwoAtOnce: of two nodes that find the same tasks due at the same time, each task runs on one.
func TestTwoAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := serve(t, cfg, "a", Options{Parallel: 50}), serve(t, cfg, "b", Options{Parallel: 50})
		var all []Task
		for i := range 20 {
			all = append(all, hourly(t, "collect", fmt.Sprint("site-", i), gives(done)))
		}
		for _, v := range []*service{a, b} {
			v.set(t, all...)
			v.to(noon.Add(time.Hour))
			if err := v.poll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.dispatch(t.Context())
		b.dispatch(t.Context())
		a.bodies.Wait()
		b.bodies.Wait()
		for _, task := range all {
			if got := a.runs(t, task.Name); len(got) != 1 {
				t.Errorf("%s: %v", task.Name, got)
			}
		}
		if strings.Contains(a.logged()+b.logged(), "WARN") {
			t.Errorf("who was slower complains:\n%s%s", a.logged(), b.logged())
		}
	})
}

// TestVerdict: what becomes of a run, and when it is due again.
func TestVerdict(t *testing.T) {
	slot, now := noon.Add(time.Hour), noon.Add(1300*time.Millisecond)
	cases := []struct {
		name     string
		report   Result
		cause    error
		before   int64
		outcome  string
		due      time.Time
		failures int64
	}{
		{"done", done, nil, 3, "done", slot, 0},
		{"partial is not tried again", Result{Outcome: run.Partial}, nil, 1, "partial", slot, 0},
		{"failed once", failed("x"), nil, 0, "failed", now.Add(time.Minute), 1},
		{"failed twice", failed("x"), nil, 1, "failed", now.Add(2 * time.Minute), 2},
		{"failed five times", failed("x"), nil, 4, "failed", now.Add(16 * time.Minute), 5},
		{"never later than the next slot", failed("x"), nil, 6, "failed", slot, 7},
		{"failed very often", failed("x"), nil, 4711, "failed", slot, 4712},
		{"too long", failed("x"), ErrDeadline, 0, "failed", now.Add(time.Minute), 1},
		{"cancelled", failed("x"), ErrCancelled, 2, Cancelled, slot, -1},
		{"done in spite of it", done, ErrCancelled, 2, "done", slot, 0},
		{"stopped", failed("x"), ErrStopped, 2, Interrupted, time.Time{}, -1},
		{"done before the stop", done, ErrStopped, 2, "done", slot, 0},
		{"cut off", failed("x"), ErrCutOff, 2, Interrupted, time.Time{}, -1},
		{"lost", failed("x"), ErrLost, 2, Interrupted, time.Time{}, -1},
		{"no outcome", Result{}, nil, 0, "failed", now.Add(time.Minute), 1},
	}
	s := newScheduler(nil, nil, Options{})
	task := hourly(t, "collect", "x", gives(done))
	s.tasks[task.Name] = task
	for _, c := range cases {
		v := judge(c.report, c.cause)
		due, failures := s.next(&active{task: task}, v, c.before, now)
		if v.outcome != c.outcome || !due.Equal(c.due) || failures != c.failures {
			t.Errorf("%s: %s, due %v, %d failures", c.name, v.outcome, due, failures)
		}
		if c.cause != nil && v.report.Outcome == run.Failed && !strings.Contains(fmt.Sprint(v.report.Problems), c.cause.Error()) {
			t.Errorf("%s: the report does not say why: %v", c.name, v.report.Problems)
		}
		if v.report.Outcome == run.Failed && reason(v.report) == "" {
			t.Errorf("%s: no reason", c.name)
		}
	}
	gone := hourly(t, "collect", "y", gives(done))
	if due, _ := s.next(&active{task: gone}, verdict{done, "done"}, 0, noon); !due.IsZero() {
		t.Errorf("a task that was removed while it ran is due at %v", due)
	}
}

// TestRetry: a failed run is tried again with back-off, and a good one ends that.
func TestRetry(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		answer := make(chan Result, 1)
		a.set(t, hourly(t, "collect", "x", func(context.Context, *Live) Result { return <-answer }))
		clock := noon.Add(time.Hour)
		step := func(r Result, after time.Duration, failures int64) {
			t.Helper()
			a.to(clock.Add(-time.Second))
			a.turn(t)
			if len(a.Running()) > 0 {
				t.Fatal("begun before its time")
			}
			a.to(clock)
			answer <- r
			a.turn(t)
			a.end(t)
			s := a.task(t, "collect/x")
			if got := s.NextDue.Sub(clock); got != after || s.Failures != failures {
				t.Errorf("due in %v after %d failures, want %v after %d", got, s.Failures, after, failures)
			}
			clock = s.NextDue
		}
		step(failed("1"), time.Minute, 1)
		step(failed("2"), 2*time.Minute, 2)
		step(failed("3"), 4*time.Minute, 3)
		step(Result{Outcome: run.Partial}, 53*time.Minute, 0)
		step(failed("4"), time.Minute, 1)
		run, err := a.Claim(t.Context(), ClaimOptions{Task: "collect/x", Cause: "shell", Always: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := run.Finish(t.Context(), "failed", nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if s := a.task(t, "collect/x"); s.Failures != 1 || !s.NextDue.Equal(clock) {
			t.Errorf("a try from the shell moves the schedule: %+v", s)
		}
	})
}

// TestFair: sites take turns, none has more than its share, and a slow one holds nobody.
func TestFair(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{Parallel: 3, PerSite: 2})
		slow := newWork()
		names := make(chan string, 100)
		quick := func(_ context.Context, live *Live) Result { names <- live.Name; return done }
		var all []Task
		for i := range 5 {
			all = append(all, hourly(t, fmt.Sprint("slow", i), "big", slow.deaf))
		}
		for i := range 3 {
			for _, site := range []string{"s", "t"} {
				all = append(all, hourly(t, fmt.Sprint("quick", i), site, quick))
			}
		}
		a.set(t, all...)
		a.to(noon.Add(time.Hour))
		a.turn(t)
		for range 6 {
			a.end(t)
			a.dispatch(t.Context())
		}
		if got := a.Running(); len(got) != 2 || !strings.HasPrefix(got[0], "slow") {
			t.Errorf("of the slow site run %v, want 2", got)
		}
		ahead := 0 // of t
		for range 6 {
			if name := <-names; strings.HasSuffix(name, "/s") {
				ahead++
			} else {
				ahead--
			}
			if ahead < -2 || ahead > 2 { // two may run at once, and the later overtake
				t.Errorf("one site is %d turns ahead of the other", ahead)
			}
		}
		slow.let <- done
		a.end(t)
		a.turn(t) // knows of none but the slow one's
		if got := a.Running(); len(got) != 2 {
			t.Errorf("%v", got)
		}
		close(slow.let)
	})
}

// TestSetsOfSites: of a set of sites so many at once have runs; what is of another set, or of none, does not wait for them.
func TestSetsOfSites(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{Parallel: 10, PerSite: 2})
		slow := newWork()
		of := func(set, kind, site string) Task {
			task := hourly(t, kind, site, slow.obedient)
			task.Set, task.Sites = set, 2
			return task
		}
		a.set(t, of("many", "one", "a"), of("many", "two", "a"), of("many", "one", "b"), of("many", "one", "c"), of("few", "one", "d"), hourly(t, "one", "e", slow.obedient))
		a.to(noon.Add(time.Hour))
		a.turn(t)
		for range 5 { // two of a, one of b, d and e; c waits
			wait(t, slow.began, "a run")
		}
		a.turn(t)
		if got := a.Running(); len(got) != 5 || slices.Contains(got, "one/c") {
			t.Errorf("%v", got)
		}
		go func() {
			for range 6 {
				slow.let <- done
			}
		}()
		for range 6 {
			a.end(t)
			a.turn(t)
		}
		if got := a.runs(t, "one/c"); len(got) != 1 || got[0] != "schedule done" {
			t.Errorf("%v", got)
		}
	})
}

// TestLimit: limits that change while runs go on are those of the next one.
func TestLimit(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{Parallel: 1, PerSite: 1})
		w := newWork()
		a.set(t, hourly(t, "collect", "x", w.obedient), hourly(t, "send", "x", w.obedient), hourly(t, "send", "y", w.obedient))
		a.to(noon.Add(time.Hour))
		a.turn(t)
		running := func(n, more int, when string) {
			t.Helper()
			for range more {
				wait(t, w.began, when)
			}
			if got := a.Running(); len(got) != n {
				t.Errorf("%s: %v", when, got)
			}
		}
		running(1, 1, "one at once")
		a.Limit(3, 1)
		a.dispatch(t.Context())
		running(2, 1, "three at once, one of a site")
		a.Limit(3, 2)
		a.dispatch(t.Context())
		running(3, 1, "three at once, two of a site")
		a.Limit(1, 1)
		w.let <- done
		a.end(t)
		a.to(noon.Add(2 * time.Hour))
		a.turn(t)
		running(2, 0, "one at once, and two still run")
		close(w.let)
		a.end(t)
		a.end(t)
	})
}

// TestPerSiteElsewhere: what another process runs of a site counts.
func TestPerSiteElsewhere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := serve(t, cfg, "a", Options{PerSite: 1}), serve(t, cfg, "b", Options{PerSite: 1})
		w := newWork()
		for _, v := range []*service{a, b} {
			v.set(t, hourly(t, "collect", "x", w.obedient), hourly(t, "send", "x", w.obedient), hourly(t, "send", "y", w.obedient))
			v.to(noon.Add(time.Hour))
		}
		a.tasks = map[string]Task{"collect/x": a.tasks["collect/x"]}
		a.turn(t)
		wait(t, w.began, "the run on a")
		b.turn(t)
		wait(t, w.began, "the run on b")
		if d := cmp.Diff([]string{"send/y"}, b.Running()); d != "" {
			t.Errorf("the site has a run on the other node: %s", d)
		}
		close(w.let)
		a.end(t)
		b.turn(t)
		b.end(t)
		b.end(t)
	})
}

// TestTurns: the site that was served least recently is first, also after a restart.
func TestTurns(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		first := func(v *service) string {
			t.Helper()
			v.turn(t)
			e := v.end(t)
			return e.Task
		}
		tasks := func() (all []Task) {
			for _, site := range []string{"a", "b", "c"} {
				all = append(all, hourly(t, site+"1", site, gives(done)), hourly(t, site+"2", site, gives(done)))
			}
			return all
		}
		v := serve(t, cfg, "v", Options{Parallel: 1})
		v.set(t, tasks()...)
		v.to(noon.Add(time.Hour))
		var got []string
		for range 4 {
			got = append(got, first(v))
		}
		if d := cmp.Diff([]string{"a1/a", "b1/b", "c1/c", "a2/a"}, got); d != "" {
			t.Errorf("turns (-want +got):\n%s", d)
		}
		if err := v.st.Write(t.Context(), func(tx *store.Tx) error {
			for i, site := range []string{"b", "c", "a"} {
				if _, err := tx.Exec(`UPDATE task SET next_due = $1, started_at = $2 WHERE site = $3`, noon.UnixMilli(), noon.UnixMilli()-int64(i), site); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		again := serve(t, cfg, "again", Options{Parallel: 1})
		again.to(noon.Add(time.Hour))
		again.set(t, tasks()...)
		if d := cmp.Diff([]string{"a1/a", "c1/c", "b1/b", "a2/a"}, []string{first(again), first(again), first(again), first(again)}); d != "" {
			t.Errorf("after a restart (-want +got):\n%s", d)
		}
	})
}

// TestSetWhileRunning: a change of the tasks does not touch what runs; what comes after goes by the new ones.
func TestSetWhileRunning(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		old, young := newWork(), newWork()
		a.set(t, hourly(t, "collect", "x", old.obedient), hourly(t, "collect", "y", old.obedient), hourly(t, "collect", "z", gives(done)))
		a.to(noon.Add(time.Hour))
		if err := a.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.pending = slices.DeleteFunc(a.pending, func(c candidate) bool { return c.name == "collect/z" })
		a.dispatch(t.Context())
		x, y := wait(t, old.began, "a run"), wait(t, old.began, "a run")

		if err := a.Set(t.Context(), []Task{{Name: "collect/x"}}); err == nil {
			t.Error("a task without schedule was taken")
		}
		a.db.away(errors.New("no database"))
		if err := a.Set(t.Context(), nil); err == nil {
			t.Error("set without a database")
		}
		a.db.away(nil)
		if len(a.tasks) != 3 {
			t.Error("a Set that failed changed the tasks")
		}

		next := hourly(t, "collect", "x", young.obedient)
		next.Schedule = schedule(t, "*/10 * * * *")
		a.set(t, next)
		a.turn(t)
		if x.Err() != nil || y.Err() != nil || len(a.Running()) != 2 {
			t.Fatalf("what ran was dropped: %v %v, %v runs", x.Err(), y.Err(), a.Running())
		}
		if d := cmp.Diff([]string{"collect/x [*/10 * * * *] 13:00:00 running", "collect/y [@hourly] 13:00:00 running", "collect/z [@hourly] 13:00:00 removed"}, a.table(t)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		old.let <- done
		old.let <- done
		a.end(t)
		a.end(t)
		if d := cmp.Diff([]string{"collect/x [*/10 * * * *] 13:10:00 waiting", "collect/y [@hourly] 13:00:00 removed", "collect/z [@hourly] 13:00:00 removed"}, a.table(t)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		a.to(noon.Add(70 * time.Minute))
		a.turn(t)
		wait(t, young.began, "a run by the new definition")
		if d := cmp.Diff([]string{"collect/x"}, a.Running()); d != "" {
			t.Error(d)
		}
		close(young.let)
		a.end(t)
	})
}

// TestAtOnce: a new task that says so is due when it is set, and later at its slots, also for a service that sets it again.
func TestAtOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0).UTC()
	s, err := ParseSchedule("@hourly")
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]Task{"x": {Name: "x", Schedule: s, AtOnce: true}, "y": {Name: "y", Schedule: s}}
	due := map[string]int64{}
	for _, c := range changed(map[string]row{}, set, now, true) {
		due[c.name] = c.due
	}
	if next := s.Next(now).UnixMilli(); due["x"] != now.UnixMilli() || due["y"] != next {
		t.Errorf("new ones are due at %v; now is %d, the next slot %d", due, now.UnixMilli(), next)
	}
	known := map[string]row{"x": {schedule: s.String(), due: s.Next(now).UnixMilli()}, "y": {schedule: s.String(), due: s.Next(now).UnixMilli()}}
	if again := changed(known, set, now, true); len(again) > 0 {
		t.Errorf("set again, they change: %v", again)
	}
}
