package tasks

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

const collect = "accounting.collect/site"

// node is a process as far as tasks are concerned: a store of its own, an identity, and a runner whose clock and ticks
// the test holds in its hand.
type node struct {
	*Runner
	st    *store.Store
	who   Identity
	ticks map[time.Duration]chan time.Time

	mu    sync.Mutex
	clock time.Time
}

// join starts a node. Its loops run when start is called.
func join(t *testing.T, cfg store.Config, name string) *node {
	t.Helper()
	n := &node{st: storetest.Open(t, cfg), who: Identity{Boot: name + "/4711/abcd", Node: name}, clock: time.Unix(1_800_000_000, 0),
		ticks: map[time.Duration]chan time.Time{RenewEvery: make(chan time.Time), time.Second: make(chan time.Time)}}
	n.Runner = newRunner(n.st, n.who, func(d time.Duration) (<-chan time.Time, func()) { return n.ticks[d], func() {} }, n.now)
	t.Cleanup(n.Close)
	return n
}

func (n *node) now() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.clock
}

// pass lets the node's own clock go on; the database's does not notice.
func (n *node) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clock = n.clock.Add(d)
}

// shell claims as a run from the shell does.
func (n *node) shell(t *testing.T) *Run {
	t.Helper()
	run, err := n.Claim(t.Context(), ClaimOptions{Task: collect, Cause: "shell", Always: true})
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// due claims as the schedule does.
func (n *node) due(t *testing.T) (*Run, error) {
	t.Helper()
	return n.Claim(t.Context(), ClaimOptions{Task: collect, Cause: "schedule"})
}

func ensure(t *testing.T, n *node) {
	t.Helper()
	if err := Ensure(t.Context(), n.st, collect, "", time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
}

// sql changes the row as another process, or time, would.
func (n *node) sql(t *testing.T, set string, args ...any) {
	t.Helper()
	err := n.st.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE task SET `+set+` WHERE name = '`+collect+`'`, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// millis is the database's clock, moved by d.
func (n *node) millis(t *testing.T, d time.Duration) int64 {
	t.Helper()
	now, err := n.st.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return now.Add(d).UnixMilli()
}

// expire lets the task's lease run out.
func (n *node) expire(t *testing.T) {
	t.Helper()
	n.sql(t, `lease_until = $1`, n.millis(t, 0))
}

// history gives the runs of the task, "fence cause node outcome report", oldest first.
func (n *node) history(t *testing.T) []string {
	t.Helper()
	var all []string
	err := n.st.Read(t.Context(), func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT fence, cause, node, COALESCE(outcome, 'open'), COALESCE(report, '-'), ended IS NULL OR ended >= started FROM run WHERE task = $1 ORDER BY fence`, collect)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				fence                        int64
				cause, node, outcome, report string
				inOrder                      bool
			)
			if err := rows.Scan(&fence, &cause, &node, &outcome, &report, &inOrder); err != nil {
				return err
			}
			if !inOrder {
				t.Errorf("run %d ended before it began", fence)
			}
			all = append(all, fmt.Sprintf("%d %s %s %s %s", fence, cause, node, outcome, report))
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// leaseLeft is how long the lease holds by the database's clock.
func (n *node) leaseLeft(t *testing.T) time.Duration {
	t.Helper()
	var until int64
	if err := n.st.Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT COALESCE(lease_until, 0) FROM task WHERE name = $1`, collect).Scan(&until)
	}); err != nil {
		t.Fatal(err)
	}
	return time.Duration(until-n.millis(t, 0)) * time.Millisecond
}

func domainWrite(run *Run, st *store.Store, id string) error {
	return st.Write(run.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ($1, $1, 1)`, id)
		return err
	})
}

func sites(t *testing.T, st *store.Store) (n int) {
	t.Helper()
	if err := st.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM site`).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}
