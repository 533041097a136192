package tasks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestWishes: run now, cancel, pause and resume, from a process that serves nothing.
func TestWishes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, st := serve(t, cfg, "a", Options{}), storetest.Open(t, cfg)
		w := newWork()
		a.set(t, hourly(t, "collect", "x", w.obedient))
		const name = "collect/x"
		do := func(what error) {
			t.Helper()
			if what != nil {
				t.Fatal(what)
			}
		}
		state := func(want string) {
			t.Helper()
			if s := a.task(t, name); s.State(a.now()) != want {
				t.Errorf("%s, want %s: %+v", s.State(a.now()), want, s)
			}
		}

		state("waiting")
		do(RunNow(t.Context(), st, name))
		state("due")
		a.turn(t)
		wait(t, w.began, "the run that was wished for")
		state("running")
		do(RunNow(t.Context(), st, name)) // once more, after this one
		do(Cancel(t.Context(), st, name))
		if s := a.task(t, name); !s.Running.Cancelled || s.Running.Cause != "run now" || s.Running.Holder() != "process 4711 on node a" || s.Running.Node != "a" || s.Running.Process != 4711 {
			t.Errorf("%+v", s.Running)
		}
		a.turn(t)
		if e := a.end(t); e.Outcome != Cancelled || !strings.Contains(fmt.Sprint(e.Report.Problems), "by an operator") {
			t.Errorf("%+v", e)
		}
		if s := a.task(t, name); s.Failures != 0 || !s.NextDue.Equal(noon.Add(time.Hour)) || !s.LastSuccess.IsZero() {
			t.Errorf("%+v", s)
		}
		a.turn(t)
		wait(t, w.began, "the second run that was wished for")
		w.let <- done
		a.end(t)
		a.turn(t)
		if len(a.Running()) > 0 {
			t.Error("a wish that was fulfilled is fulfilled again")
		}

		do(Pause(t.Context(), st, name, noon.Add(3*time.Hour)))
		a.to(noon.Add(2 * time.Hour))
		state("paused")
		_, writes := a.db.asked()
		a.turn(t)
		if _, now := a.db.asked(); len(a.Running()) > 0 || now != writes {
			t.Error("begun, or tried to, while paused")
		}
		do(RunNow(t.Context(), st, name))
		a.turn(t)
		wait(t, w.began, "the run that was wished for while paused")
		w.let <- done
		a.end(t)
		a.to(noon.Add(3 * time.Hour))
		state("due")
		a.turn(t)
		wait(t, w.began, "a run: a pause ends by itself")
		w.let <- done
		a.end(t)
		do(Pause(t.Context(), st, name, noon.Add(9*time.Hour)))
		a.to(noon.Add(5 * time.Hour))
		a.turn(t)
		do(Resume(t.Context(), st, name))
		a.turn(t)
		wait(t, w.began, "a run: the pause was ended")
		w.let <- done
		a.end(t)
		if err := Cancel(t.Context(), st, name); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), name) {
			t.Errorf("cancelled what does not run: %v", err)
		}
		want := []string{"run now cancelled", "run now done", "run now done", "schedule done", "schedule done"}
		if d := cmp.Diff(want, a.runs(t, name)); d != "" {
			t.Error(d)
		}
		if all, err := History(t.Context(), st, name, 2); err != nil || len(all) != 2 || all[0].Fence != 5 || all[1].Fence != 4 {
			t.Errorf("%+v, %v", all, err)
		}
	})
}

// TestUnknown: what is said of tasks that are not there, or that no service runs.
func TestUnknown(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		a.set(t, hourly(t, "accounting.collect", "example", gives(done)), hourly(t, "accounting.send", "example", gives(done)))
		ensure(t, a.node)
		ctx, st := t.Context(), a.st
		for name, do := range map[string]func(name string) error{
			"run now": func(n string) error { return RunNow(ctx, st, n) },
			"cancel":  func(n string) error { return Cancel(ctx, st, n) },
			"pause":   func(n string) error { return Pause(ctx, st, n, noon) },
			"resume":  func(n string) error { return Resume(ctx, st, n) },
			"find":    func(n string) error { _, err := Find(ctx, st, n); return err },
			"history": func(n string) error { _, err := History(ctx, st, n, 1); return err },
			"report":  func(n string) error { _, err := Report(ctx, st, n, 0); return err },
		} {
			for asked, nearest := range map[string]string{
				"accounting.collect/exmaple": "accounting.collect/example", "acounting.send/example": "accounting.send/example", "send": "accounting.send/example",
				"collect/example": "accounting.collect/example", "images.plan/other": "", "": "",
			} {
				err := do(asked)
				unknown, ok := errors.AsType[*UnknownError](err)
				if !ok || unknown.Nearest != nearest || !strings.Contains(err.Error(), "no task is called "+asked) {
					t.Errorf("%s %q: %v, want %q", name, asked, err, nearest)
				}
			}
		}
		for name, err := range map[string]error{"run now": RunNow(ctx, st, collect), "pause": Pause(ctx, st, collect, noon)} {
			if !errors.Is(err, ErrNotScheduled) {
				t.Errorf("%s of a task that only ever ran from the shell: %v", name, err)
			}
		}
		if _, err := Report(ctx, st, collect, 0); err == nil || !strings.Contains(err.Error(), "no run of it has ended") {
			t.Error(err)
		}
		if _, err := Report(ctx, st, collect, 7); err == nil || !strings.Contains(err.Error(), "no run 7") {
			t.Error(err)
		}
	})
}

// TestShell: a run from the shell holds the schedule off, is seen, leaves its history, and moves no slot.
func TestShell(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, shell := serve(t, cfg, "a", Options{}), join(t, cfg, "shell")
		a.set(t, hourly(t, "accounting.collect", "site", gives(done)))
		a.to(noon.Add(time.Hour))
		run, err := shell.Claim(t.Context(), ClaimOptions{Task: collect, Cause: "shell", Always: true, Now: a.now})
		if err != nil {
			t.Fatal(err)
		}
		a.turn(t)
		if s := a.task(t, collect); len(a.Running()) > 0 || s.State(a.now()) != "running" || s.Running.Cause != "shell" || s.Running.Node != "shell" || !s.Running.Since.Equal(a.now()) {
			t.Errorf("%+v", s.Running)
		}
		if err := Cancel(t.Context(), a.st, collect); err != nil {
			t.Fatal(err)
		}
		shell.look(t.Context())
		if !errors.Is(context.Cause(run.Context()), ErrCancelled) {
			t.Error("a run from the shell is not cancelled by its poll")
		}
		if err := run.Finish(t.Context(), "done", []byte(`{"outcome":"done"}`), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if s := a.task(t, collect); !s.NextDue.Equal(noon.Add(time.Hour)) || !s.LastSuccess.Equal(a.now()) || s.Last.Outcome != "done" {
			t.Errorf("%+v", s)
		}
		a.turn(t)
		a.end(t)
		if d := cmp.Diff([]string{"shell done", "schedule done"}, a.runs(t, collect)); d != "" {
			t.Error(d)
		}
	})
}

// TestProgress: how far a run is can be seen from other processes; short runs and news that are none cost nothing.
func TestProgress(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		w := newWork()
		lives := make(chan *Live, 1)
		a.set(t, hourly(t, "collect", "x", func(ctx context.Context, live *Live) Result { lives <- live; return w.obedient(ctx, live) }))
		a.to(noon.Add(time.Hour))
		a.turn(t)
		live := wait(t, lives, "the run")
		if live.Name != "collect/x" || live.Site != "x" || live.Cause != "schedule" || !live.Slot.Equal(noon.Add(time.Hour)) {
			t.Errorf("%+v", live)
		}
		tell := func(p run.Progress, written int, want *Progress) {
			t.Helper()
			live.Progress(p)
			_, before := a.db.asked()
			a.tell(t.Context())
			if _, after := a.db.asked(); after-before != written {
				t.Errorf("%+v: %d transactions, want %d", p, after-before, written)
			}
			if d := cmp.Diff(want, a.task(t, "collect/x").Running.Progress); d != "" {
				t.Errorf("%+v (-want +got):\n%s", p, d)
			}
		}
		first := run.Progress{Step: "collect", What: "projects", Done: 1, Total: 70}
		tell(first, 0, nil) // it may be over in a moment
		a.pass(tellAfter)
		tell(first, 1, &Progress{first, a.now()})
		at := a.now()
		a.to(at.Add(time.Minute))
		tell(first, 0, &Progress{first, at})
		second := run.Progress{Step: "record"}
		a.db.away(errAway)
		tell(second, 1, &Progress{first, at})
		a.db.away(nil)
		tell(second, 1, &Progress{second, a.now()})
		w.let <- done
		a.end(t)
		if s := a.task(t, "collect/x"); s.Running != nil {
			t.Errorf("%+v", s.Running)
		}
	})
}

// TestPrune: old runs are forgotten in several transactions; the last one and the last good one of each task are not.
func TestPrune(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		a.set(t, hourly(t, "good", "x", gives(done)), hourly(t, "bad", "x", gives(done)))
		for i, outcomes := range map[string][]Result{"good/x": {done, done}, "bad/x": {done, failed("1"), failed("2")}} {
			for _, r := range outcomes {
				one, err := a.Claim(t.Context(), ClaimOptions{Task: i, Cause: "shell", Always: true, Now: a.now})
				if err != nil {
					t.Fatal(err)
				}
				if err := one.Finish(t.Context(), string(r.Outcome), []byte(`{}`), time.Time{}); err != nil {
					t.Fatal(err)
				}
			}
		}
		const old = 2500
		if err := a.st.Write(t.Context(), func(tx *store.Tx) error {
			for i := range old {
				if _, err := tx.Exec(`INSERT INTO run (task, fence, cause, node, started, ended, outcome) VALUES ($1, $2, 'schedule', 'n', $3, $3, 'done')`, "gone/x", i+1, noon.UnixMilli()); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n, err := Prune(t.Context(), a.st, noon); n != 0 || err != nil {
			t.Errorf("%d runs of that moment are gone, %v", n, err)
		}
		commits := a.st.Commits()
		n, err := Prune(t.Context(), a.st, noon.Add(time.Millisecond))
		if n != old+2 || err != nil || a.st.Commits()-commits != 3 {
			t.Errorf("%d runs gone in %d transactions, %v", n, a.st.Commits()-commits, err)
		}
		if d := cmp.Diff([]string{"shell done"}, a.runs(t, "good/x")); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]string{"shell done", "shell failed"}, a.runs(t, "bad/x")); d != "" {
			t.Error(d)
		}
		if s := a.task(t, "bad/x"); !s.LastSuccess.Equal(noon) || s.Last.Fence != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// TestServeLock: one service per state directory; it takes over at once what a killed one held, and nothing of the shell's.
func TestServeLock(t *testing.T) {
	dir := t.TempDir()
	cfg := store.Config{Path: dir + "/fedsite.db"}
	st := storetest.Open(t, cfg)
	shell, dead := join(t, cfg, "shell"), join(t, cfg, "dead")
	dead.Runner.who.Boot = "dead/4712/" + serveMark + "abcd"
	ensure(t, shell)
	if err := Ensure(t.Context(), st, "other", "", time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	shell.shell(t)
	if _, err := dead.Claim(t.Context(), ClaimOptions{Task: "other", Cause: "schedule", Always: true}); err != nil {
		t.Fatal(err)
	}
	who, err := NewServeIdentity()
	if err != nil || !strings.Contains(holder(who.Boot), fmt.Sprintf("process %d on node ", os.Getpid())) {
		t.Fatalf("%s, %v", who.Boot, err)
	}
	lock, err := ServeLock(t.Context(), st, dir, who)
	if err != nil {
		t.Fatal(err)
	}
	all, err := List(t.Context(), st)
	if err != nil || all[0].Running == nil || all[1].Running != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if h, err := History(t.Context(), st, "other", 0); err != nil || h[0].Outcome != Abandoned {
		t.Errorf("%+v, %v", h, err)
	}
	_, err = ServeLock(t.Context(), st, dir, who)
	held, ok := errors.AsType[*ServedError](err)
	if !ok || held.Process != os.Getpid() || time.Since(held.Since).Abs() > time.Minute || !strings.Contains(err.Error(), fmt.Sprintf("process %d since ", os.Getpid())) {
		t.Errorf("a second service: %v", err)
	}
	if err := os.WriteFile(dir+"/"+store.ServeFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = ServeLock(t.Context(), st, dir, who); err == nil || !strings.Contains(err.Error(), "just been started") {
		t.Errorf("before the first has said who it is: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	lock, err = ServeLock(t.Context(), st, dir, who)
	if err != nil {
		t.Fatalf("the first is gone: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	if _, err := ServeLock(t.Context(), st, dir+"/not there", who); err == nil {
		t.Error("locked what is not there")
	}
}
