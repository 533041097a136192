package tasks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestClaim: one run of a task at a time, over nodes, and its history (design §7, Tasks, the claim).
func TestClaim(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := join(t, cfg, "a"), join(t, cfg, "b")
		if _, err := a.due(t); err == nil || !strings.Contains(err.Error(), collect) {
			t.Fatalf("claimed a task without a row: %v", err)
		}
		ensure(t, a)
		ensure(t, b) // again changes nothing
		run := a.shell(t)
		if run.Lease != (store.Lease{Task: collect, Owner: "a/4711/abcd", Fence: 1}) || !run.Slot.Equal(time.UnixMilli(0)) {
			t.Errorf("%+v", run)
		}
		if l, ok := store.LeaseFrom(run.Context()); !ok || l != run.Lease {
			t.Errorf("the run's context carries %+v", l)
		}
		for _, n := range []*node{a, b} {
			for _, always := range []bool{true, false} {
				_, err := n.Claim(t.Context(), ClaimOptions{Task: collect, Cause: "shell", Always: always})
				held, ok := errors.AsType[*HeldError](err)
				if !ok || !strings.Contains(err.Error(), "process 4711 on node a") || (held.LeaseUntil.Sub(held.Since)-LeaseTime).Abs() > time.Second {
					t.Errorf("%s, always %v: %v", n.who.Node, always, err)
				}
			}
		}
		if err := run.Finish(run.Context(), "partial", []byte(`{"n":1}`), time.Time{}); err != nil {
			t.Fatal(err)
		}
		if run.Context().Err() == nil {
			t.Error("a finished run goes on")
		}
		next := b.shell(t)
		if next.Lease.Fence != 2 {
			t.Errorf("fence %d", next.Lease.Fence)
		}
		want := []string{`1 shell a/4711/abcd partial {"n":1}`, `2 shell b/4711/abcd open -`}
		if d := cmp.Diff(want, a.history(t)); d != "" {
			t.Errorf("history (-want +got):\n%s", d)
		}
	})
}

// TestClaimAtOnce: of many that claim at the same instant, one gets the task, and the others learn who.
func TestClaimAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		nodes := make([]*node, 6)
		for i := range nodes {
			nodes[i] = join(t, cfg, fmt.Sprint("n", i))
		}
		ensure(t, nodes[0])
		for round := range 5 {
			var (
				wg      sync.WaitGroup
				mu      sync.Mutex
				winners []*Run
				held    = map[string]bool{}
			)
			for _, n := range nodes {
				for range 2 { // also twice in one process
					wg.Go(func() {
						run, err := n.Claim(context.Background(), ClaimOptions{Task: collect, Cause: "shell", Always: true})
						mu.Lock()
						defer mu.Unlock()
						if h, ok := errors.AsType[*HeldError](err); ok {
							held[h.Owner] = true
						} else if err != nil {
							t.Error(err)
						} else {
							winners = append(winners, run)
						}
					})
				}
			}
			wg.Wait()
			if len(winners) != 1 {
				t.Fatalf("round %d: %d runs at once", round, len(winners))
			}
			if !held[winners[0].Lease.Owner] {
				t.Errorf("the others were told of %v, the winner is %s", held, winners[0].Lease.Owner)
			}
			if winners[0].Lease.Fence != int64(round+1) {
				t.Errorf("round %d has fence %d", round, winners[0].Lease.Fence)
			}
			if err := winners[0].Finish(t.Context(), "done", nil, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestDue: what the claim's condition says of due, paused and wished-for tasks.
func TestDue(t *testing.T) {
	const past, future = -time.Minute, time.Hour
	at := func(d time.Duration) *time.Duration { return &d }
	cases := []struct {
		name            string
		paused, nextDue time.Duration
		runNow          *time.Duration
		due             bool
	}{
		{"due", past, past, nil, true},
		{"not yet", past, future, nil, false},
		{"paused", future, past, nil, false},
		{"wished for", past, future, at(past), true},
		{"wished for while paused", future, past, at(past), true},
		{"wished for later", past, future, at(future), false},
	}
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := join(t, cfg, "a")
		ensure(t, a)
		for _, c := range cases {
			var wish any
			if c.runNow != nil {
				wish = a.millis(t, *c.runNow)
			}
			a.sql(t, `owner = NULL, paused_until = $1, next_due = $2, run_now_at = $3`, a.millis(t, c.paused), a.millis(t, c.nextDue), wish)
			run, err := a.due(t)
			switch {
			case c.due && err != nil:
				t.Errorf("%s: %v", c.name, err)
			case !c.due && !errors.Is(err, ErrNotDue):
				t.Errorf("%s: %v", c.name, err)
			}
			if run == nil { // the shell's claim asks for no slot
				run = a.shell(t)
			}
			if err := run.Finish(t.Context(), "done", nil, time.Time{}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFinish: what giving back leaves of the task's row.
func TestFinish(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := join(t, cfg, "a")
		ensure(t, a)
		row := func() (owner bool, nextDue int64, wish bool) {
			if err := a.st.Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT owner IS NOT NULL OR lease_until IS NOT NULL, next_due, run_now_at IS NOT NULL FROM task WHERE name = $1`, collect).Scan(&owner, &nextDue, &wish)
			}); err != nil {
				t.Fatal(err)
			}
			return
		}
		finish := func(run *Run, next time.Time) {
			if err := run.Finish(t.Context(), "done", nil, next); err != nil {
				t.Fatal(err)
			}
		}
		slot := time.UnixMilli(1_900_000_000_123)
		finish(a.shell(t), slot)
		if owner, due, _ := row(); owner || due != slot.UnixMilli() {
			t.Errorf("owned %v, next due %d", owner, due)
		}
		finish(a.shell(t), time.Time{})
		if _, due, _ := row(); due != slot.UnixMilli() {
			t.Errorf("no next slot was given, and it is %d", due)
		}

		a.sql(t, `run_now_at = $1`, a.millis(t, 0))
		run, err := a.due(t)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, wish := row(); !wish {
			t.Error("the wish is gone before its run ended: killed, it would be forgotten")
		}
		finish(run, time.Time{})
		if _, _, wish := row(); wish {
			t.Error("the wish was fulfilled and is still there")
		}

		run = a.shell(t)
		a.sql(t, `run_now_at = started_at + 1`)
		finish(run, time.Time{})
		if _, _, wish := row(); !wish {
			t.Error("a wish made during the run is gone")
		}
	})
}

// TestTakeover: a lease that ran out is another's for the asking; what the first still tries is refused.
func TestTakeover(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := join(t, cfg, "a"), join(t, cfg, "b")
		ensure(t, a)
		first := a.shell(t)
		if err := domainWrite(first, a.st, "before"); err != nil {
			t.Fatalf("with the lease: %v", err)
		}
		a.expire(t)
		if err := domainWrite(first, a.st, "expired"); err != nil {
			t.Errorf("nobody took the lease yet, so nothing is lost: %v", err)
		}
		second := b.shell(t)
		if second.Lease.Fence <= first.Lease.Fence {
			t.Errorf("fences %d, %d", first.Lease.Fence, second.Lease.Fence)
		}
		before := sites(t, a.st)
		if err := domainWrite(first, a.st, "late"); !errors.Is(err, store.ErrFenced) || sites(t, a.st) != before {
			t.Errorf("a late write of the first: %v", err)
		}
		if err := first.Finish(t.Context(), "done", []byte("late"), time.UnixMilli(1)); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the first gives back what it has not: %v", err)
		}
		if err := domainWrite(second, b.st, "second"); err != nil {
			t.Errorf("the second: %v", err)
		}
		if err := second.Finish(t.Context(), "done", []byte("mine"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		want := []string{"1 shell a/4711/abcd abandoned -", "2 shell b/4711/abcd done mine"}
		if d := cmp.Diff(want, a.history(t)); d != "" {
			t.Errorf("history (-want +got):\n%s", d)
		}
	})
}

// TestRenew: renewal extends the leases of the node, and finds out which are lost or cancelled.
func TestRenew(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := join(t, cfg, "a"), join(t, cfg, "b")
		ensure(t, a)
		a.Renew(t.Context()) // without a run there is nothing to ask

		run := a.shell(t)
		a.sql(t, `lease_until = $1`, a.millis(t, time.Second))
		a.Renew(t.Context())
		if left := a.leaseLeft(t); left < LeaseTime-5*time.Second || left > LeaseTime {
			t.Errorf("renewed, the lease holds for %v", left)
		}
		b.Renew(t.Context())
		if run.Context().Err() != nil {
			t.Fatalf("cancelled: %v", context.Cause(run.Context()))
		}

		a.sql(t, `cancel_fence = fence - 1`) // meant for an earlier run
		a.Renew(t.Context())
		if run.Context().Err() != nil {
			t.Fatalf("cancelled for another run: %v", context.Cause(run.Context()))
		}
		a.sql(t, `cancel_fence = fence`)
		a.Renew(t.Context())
		if cause := context.Cause(run.Context()); !errors.Is(cause, ErrCancelled) {
			t.Errorf("cancelled by an operator: %v", cause)
		}
		if err := run.Finish(run.Context(), "failed", nil, time.Time{}); err != nil {
			t.Errorf("a cancelled run still gives its task back: %v", err)
		}

		run = a.shell(t)
		if run.Context().Err() != nil {
			t.Error("an old wish to cancel meets the next run")
		}
		a.expire(t)
		taken := b.shell(t)
		a.Renew(t.Context())
		if cause := context.Cause(run.Context()); !errors.Is(cause, ErrLost) {
			t.Errorf("lost to another: %v", cause)
		}
		if err := taken.Finish(t.Context(), "done", nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Claim(t.Context(), ClaimOptions{Task: collect, Always: true}); err == nil {
			t.Error("begun again in this process while the body of the lost run has not returned")
		}
		_ = run.Finish(t.Context(), "failed", nil, time.Time{})
		_ = a.shell(t)
	})
}

// TestRenewFailover: after a failover of PostgreSQL a fence may repeat; then the owner tells whose lease it is (rule 9).
func TestRenewFailover(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := join(t, cfg, "a"), join(t, cfg, "b")
		ensure(t, a)
		run := a.shell(t)
		a.sql(t, `owner = NULL, fence = fence - 1`) // the claim did not reach the new primary
		if err := a.st.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM run`); return err }); err != nil {
			t.Fatal(err)
		}
		again := b.shell(t)
		if again.Lease.Fence != run.Lease.Fence {
			t.Fatalf("fences %d and %d: this test shows nothing", run.Lease.Fence, again.Lease.Fence)
		}
		if err := domainWrite(run, a.st, "x"); !errors.Is(err, store.ErrFenced) {
			t.Errorf("a write of the first: %v", err)
		}
		a.Renew(t.Context())
		if cause := context.Cause(run.Context()); !errors.Is(cause, ErrLost) {
			t.Errorf("the first renews: %v", cause)
		}
		if err := run.Finish(t.Context(), "done", nil, time.Time{}); !errors.Is(err, store.ErrFenced) {
			t.Errorf("the first gives back: %v", err)
		}
		if err := domainWrite(again, b.st, "y"); err != nil {
			t.Errorf("a write of the second: %v", err)
		}
	})
}

// TestWatchdog: a node that cannot renew stops its runs by its own clock, 40 s after it sent the last good renewal,
// whatever state the database is in.
func TestWatchdog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		t.Run("without a database", func(t *testing.T) {
			a := join(t, cfg, "a")
			ensure(t, a)
			run := a.shell(t)
			a.pass(39 * time.Second)
			a.Watch()
			a.Renew(t.Context())
			a.pass(WatchTime - time.Millisecond)
			a.Watch()
			if run.Context().Err() != nil {
				t.Fatal("stopped too early: the last good renewal was sent less than 40 s ago")
			}
			dead := storetest.Open(t, cfg)
			if err := dead.Close(); err != nil {
				t.Fatal(err)
			}
			a.Runner.st = dead
			a.Renew(t.Context())
			a.pass(time.Millisecond)
			a.Watch()
			if cause := context.Cause(run.Context()); !errors.Is(cause, ErrCutOff) {
				t.Errorf("40 s after the last good renewal: %v", cause)
			}
			a.Runner.st = a.st
			if err := run.Finish(t.Context(), "failed", nil, time.Time{}); err != nil {
				t.Error(err)
			}
		})
		t.Run("while a renewal hangs", func(t *testing.T) {
			a, b := join(t, cfg, "a"), join(t, cfg, "b")
			run := a.shell(t)
			locked, let, renewed := make(chan struct{}), make(chan struct{}), make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				err := b.st.Write(context.Background(), func(tx *store.Tx) error {
					_, err := tx.Exec(`UPDATE task SET paused_until = paused_until`)
					close(locked)
					<-let
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			<-locked
			wg.Go(func() { a.Renew(context.Background()); close(renewed) })
			a.pass(WatchTime)
			a.Watch()
			if cause := context.Cause(run.Context()); !errors.Is(cause, ErrCutOff) {
				t.Errorf("%v", cause)
			}
			select {
			case <-renewed:
				t.Error("the renewal did not hang, so this test shows nothing")
			default:
			}
			close(let)
			wg.Wait()
		})
	})
}

// TestLoops: the ticks drive renewal and watchdog, and Close ends both.
func TestLoops(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		st := storetest.Open(t, cfg)
		ignore := goleak.IgnoreCurrent()
		a := join(t, cfg, "a")
		ensure(t, a)
		a.start(func() {})
		run := a.shell(t)
		a.sql(t, `lease_until = $1`, a.millis(t, time.Second))
		a.ticks[RenewEvery] <- time.Now()
		a.ticks[RenewEvery] <- time.Now() // taken only when the first was worked on
		if left := a.leaseLeft(t); left < LeaseTime-5*time.Second {
			t.Errorf("the lease holds for %v", left)
		}
		a.pass(WatchTime + LeaseTime)
		a.ticks[time.Second] <- time.Now()
		<-run.Context().Done()
		if cause := context.Cause(run.Context()); !errors.Is(cause, ErrCutOff) {
			t.Errorf("%v", cause)
		}
		_ = run.Finish(t.Context(), "failed", nil, time.Time{})
		a.Close()
		if err := a.st.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, ignore)
		if _, err := st.Now(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestIdentity(t *testing.T) {
	a, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewIdentity()
	if err != nil || a.Boot == b.Boot {
		t.Errorf("two starts are both %s, %v", a.Boot, err)
	}
	for owner, want := range map[string]string{
		"node1/42/ff":         "process 42 on node node1",
		"a/b.example/7/0c":    "process 7 on node a/b.example",
		"something-unheard":   "something-unheard",
		"only/one":            "only/one",
		"node.example.org/1/": "process 1 on node node.example.org",
	} {
		if got := (&HeldError{Owner: owner}).Holder(); got != want {
			t.Errorf("%s: %q, want %q", owner, got, want)
		}
	}
}
