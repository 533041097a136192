package tasks

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// spreadOut gives n tasks of n/5 sites that are not due for hours.
func spreadOut(t testing.TB, n int) []Task {
	t.Helper()
	var all []Task
	for i := range n {
		all = append(all, Task{Name: fmt.Sprintf("kind%d/site-%d", i%5, i/5), Site: fmt.Sprint("site-", i/5), Schedule: schedule(t, "0 0 1 1 *"), Run: gives(done)})
	}
	return all
}

// TestIdle: what an idle service asks of its database in a minute does not grow with the number of its tasks: one read per
// poll, and nothing is written.
func TestIdle(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		for _, n := range []int{1, 500} {
			a.set(t, spreadOut(t, n)...)
			reads, writes := a.db.asked()
			commits := a.st.Commits()
			minute := func() {
				for s := time.Second; s <= time.Minute; s += time.Second {
					a.pass(time.Second)
					a.to(a.now().Add(time.Second))
					a.Watch()
					if s%PollEvery == 0 {
						a.turn(t)
						a.tell(t.Context())
					}
					if s%RenewEvery == 0 {
						a.Renew(t.Context())
					}
				}
			}
			for range 10 {
				minute()
			}
			now, wrote := a.db.asked()
			// 30 polls a minute, and every five minutes a look at the rows: one read of two statements
			if got := now - reads; got != 302 || wrote != writes || a.st.Commits() != commits {
				t.Errorf("%d tasks: %d reads, %d writes, %d commits in ten minutes, want 302, 0 and 0", n, got, wrote-writes, a.st.Commits()-commits)
			}
		}
	})
}

// idleFor is how long BenchmarkIdle lets a service be idle at a time.
const idleFor = 10 * time.Second

// BenchmarkIdle measures what an idle service of 500 tasks costs in real time.
func BenchmarkIdle(b *testing.B) {
	for _, dialect := range []string{"sqlite", "postgres"} {
		b.Run(dialect, func(b *testing.B) {
			cfg := store.Config{Path: filepath.Join(b.TempDir(), "fedsite.db")}
			if dialect == "postgres" {
				cfg = store.Config{URL: storetest.Postgres(b)}
			}
			st := storetest.Open(b, cfg)
			who, err := NewServeIdentity()
			if err != nil {
				b.Fatal(err)
			}
			var (
				cpu, long             time.Duration
				commits, transactions int64
			)
			for b.Loop() {
				s := New(st, who, Options{})
				if err := s.Set(b.Context(), spreadOut(b, 500)); err != nil {
					b.Fatal(err)
				}
				before, began, seen := used(b), st.Commits(), counted(b, st)
				ctx, stop := context.WithTimeout(b.Context(), idleFor)
				if err := s.Serve(ctx); err != nil {
					b.Fatal(err)
				}
				stop()
				cpu, long, commits, transactions = cpu+used(b)-before, long+idleFor, commits+st.Commits()-began, transactions+counted(b, st)-seen
			}
			perMinute := func(n float64) float64 { return n * float64(time.Minute) / float64(long) }
			b.ReportMetric(perMinute(float64(cpu.Microseconds())/1000), "CPU-ms/min")
			b.ReportMetric(perMinute(float64(commits)), "commits/min")
			b.ReportMetric(perMinute(float64(transactions)), "server-transactions/min")
		})
	}
}

// counted is how many transactions the server has seen; 0 on SQLite.
func counted(t testing.TB, st *store.Store) (n int64) {
	t.Helper()
	if st.Dialect() == "sqlite" {
		return 0
	}
	if err := st.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()`).Scan(&n)
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func used(t testing.TB) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkPoll is one poll, by the number of tasks.
func BenchmarkPoll(b *testing.B) {
	for _, n := range []int{50, 500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			st := storetest.Open(b, store.Config{Path: b.TempDir() + "/fedsite.db"})
			s := New(st, Identity{Boot: "bench/1/x"}, Options{})
			if err := s.Set(b.Context(), spreadOut(b, n)); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := s.poll(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
