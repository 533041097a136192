package tasks

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// Times of the contract (design §7, Tasks, rule 2).
const (
	LeaseTime  = 45 * time.Second // how long a claim holds without renewal
	RenewEvery = 10 * time.Second
	WatchTime  = 40 * time.Second // after sending the last good renewal, the run is stopped
)

// callTime is the longest that one claim, or one giving back, may take (rule 8).
const callTime = 30 * time.Second

// Identity names a process: unique per start, and readable in it are node and process id.
type Identity struct {
	Boot string // "node/pid/random"; the random part of a service's begins with serveMark
	Node string
}

// serveMark tells the leases of a service from those of runs from the shell, which nobody may free.
const serveMark = "serve-"

// NewIdentity gives the identity of this process start, for runs from the shell.
func NewIdentity() (Identity, error) { return newIdentity("") }

// NewServeIdentity gives the identity of this start of the service.
func NewServeIdentity() (Identity, error) { return newIdentity(serveMark) }

func newIdentity(mark string) (Identity, error) {
	node, err := os.Hostname()
	if err != nil {
		node = "unknown"
	}
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return Identity{}, err
	}
	return Identity{Boot: fmt.Sprintf("%s/%d/%s%s", node, os.Getpid(), mark, hex.EncodeToString(b)), Node: node}, nil
}

// HeldError says who runs the task now.
type HeldError struct {
	Task       string
	Owner      string    // boot identity: "node/pid/random"
	Since      time.Time // when its run began
	LeaseUntil time.Time
}

// Error names node and process.
func (e *HeldError) Error() string {
	return fmt.Sprintf("task %s is being run by %s since %s", e.Task, e.Holder(), e.Since.UTC().Format(time.RFC3339))
}

// Holder gives node and process of the owner in words.
func (e *HeldError) Holder() string { return holder(e.Owner) }

// holder reads "node/pid/random"; a node's name may hold a slash.
func holder(owner string) string {
	rest, _, ok := cutLast(owner)
	if node, pid, more := cutLast(rest); ok && more {
		return fmt.Sprintf("process %s on node %s", pid, node)
	}
	return owner
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// Causes for which a run's context is cancelled.
var (
	ErrLost      = errors.New("the task's lease was lost to another process")
	ErrCutOff    = errors.New("the task's lease could not be renewed in time")
	ErrCancelled = errors.New("the run was cancelled by an operator")
	ErrDeadline  = errors.New("the run took longer than its deadline")
	ErrStopped   = errors.New("the service was stopped")
)

// ErrNotDue says why a claim got nothing.
var ErrNotDue = errors.New("the task is not due, or paused")

// Outcomes of a run beside those that a report can have.
const (
	Abandoned   = "abandoned"   // its process was killed or cut off; the next claim says so
	Interrupted = "interrupted" // the service was stopped, or lost the lease; the task stays due
	Cancelled   = "cancelled"   // by an operator
)

// Ensure makes sure that the task has a row. Its schedule is a cron expression, or "" for a task that only runs when it
// is told to.
func Ensure(ctx context.Context, st *store.Store, name, schedule string, nextDue time.Time) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO task (name, schedule, next_due) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`, name, schedule, nextDue.UnixMilli())
		return err
	})
}

// ClaimOptions says what is claimed, and why.
type ClaimOptions struct {
	Task   string
	Cause  string // "schedule", "shell", "run now"
	Always bool   // claim though it is not due: a run from the shell
	// Now is the clock by which tasks are due and history is dated; nil = the database's. Leases never go by it.
	Now func() time.Time
}

// instant gives the clock's time for an SQL parameter; NULL stands for the database's own.
func instant(now func() time.Time) sql.NullInt64 {
	if now == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: now().UnixMilli(), Valid: true}
}

// claim is what a claim gave.
type claim struct {
	fence    int64
	started  int64 // by the schedules' clock
	slot     sql.NullInt64
	failures int64
}

// take claims the task's row in one transaction: older open runs are closed as abandoned, and a new one is opened.
func take(ctx context.Context, st database, who Identity, o ClaimOptions, lease time.Duration) (claim, error) {
	var c claim
	err := st.Write(ctx, func(tx *store.Tx) error {
		clock, now := tx.Clock(), instant(o.Now)
		due := ` AND ((paused_until <= COALESCE($4, ` + clock + `) AND next_due <= COALESCE($4, ` + clock + `)) OR run_now_at <= ` + clock + `)`
		if o.Always {
			due = ""
		}
		err := tx.QueryRow(`UPDATE task SET owner = $1, fence = fence + 1, lease_until = `+clock+` + $2, started_at = `+clock+`, cancel_fence = NULL
			WHERE name = $3 AND (owner IS NULL OR lease_until <= `+clock+`)`+due+` RETURNING fence, COALESCE($4, started_at), next_due, failures`,
			who.Boot, lease.Milliseconds(), o.Task, now).Scan(&c.fence, &c.started, &c.slot, &c.failures)
		if errors.Is(err, sql.ErrNoRows) {
			return refusal(tx, o.Task)
		}
		if err != nil {
			return err
		}
		left, err := tx.Exec(`UPDATE run SET ended = $1, outcome = '`+Abandoned+`' WHERE task = $2 AND ended IS NULL`, c.started, o.Task)
		if err != nil {
			return err
		}
		if left > 0 {
			if _, err := tx.Exec(`UPDATE task SET last_fence = fence - 1, last_outcome = '`+Abandoned+`', last_ended = $1 WHERE name = $2`, c.started, o.Task); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`INSERT INTO run (task, fence, slot, cause, node, started) VALUES ($1, $2, $3, $4, $5, $6)`,
			o.Task, c.fence, c.slot, o.Cause, who.Boot, c.started)
		return err
	})
	return c, err
}

// refusal says why a claim got no row.
func refusal(tx *store.Tx, name string) error {
	var (
		owner          sql.NullString
		since, until   sql.NullInt64
		now            int64
		stillHeldQuery = `SELECT owner, started_at, lease_until, ` + tx.Clock() + ` FROM task WHERE name = $1`
	)
	err := tx.QueryRow(stillHeldQuery, name).Scan(&owner, &since, &until, &now)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("no task is called %s", name)
	case err != nil:
		return err
	case owner.Valid && until.Int64 > now:
		return &HeldError{Task: name, Owner: owner.String, Since: time.UnixMilli(since.Int64), LeaseUntil: time.UnixMilli(until.Int64)}
	}
	return fmt.Errorf("task %s: %w", name, ErrNotDue)
}

// closing is what a run leaves when it gives its task back.
type closing struct {
	outcome string
	report  []byte
	now     func() time.Time // as in ClaimOptions
	// next says when the task is due again, and how many runs failed in a row; zero and -1 leave what is there.
	next func(now time.Time) (due time.Time, failures int64)
}

// release gives the task back and closes its run, unless the lease is another's by now. A wish to run now that is younger
// than the run is kept. Repeated after an answer that got lost, it finds its own work done.
func release(ctx context.Context, st database, l store.Lease, c closing) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		var now int64
		err := tx.QueryRow(`SELECT COALESCE($1, `+tx.Clock()+`) FROM task WHERE name = $2 AND owner = $3 AND fence = $4`, instant(c.now), l.Task, l.Owner, l.Fence).Scan(&now)
		if errors.Is(err, sql.ErrNoRows) {
			return released(tx, l, c.outcome)
		}
		if err != nil {
			return err
		}
		due, failures := c.next(time.UnixMilli(now).UTC())
		good := ""
		if c.outcome == string(run.Done) || c.outcome == string(run.Partial) {
			good = `, success_fence = fence, last_success = $3`
		}
		wish := `, run_now_at = CASE WHEN run_now_at > started_at THEN run_now_at ELSE NULL END`
		if c.outcome == Interrupted {
			wish = "" // it is still to be fulfilled
		}
		n, err := tx.Exec(`UPDATE task SET owner = NULL, lease_until = NULL, next_due = COALESCE($1, next_due), failures = COALESCE($2, failures),
			last_fence = fence, last_ended = $3, last_outcome = $4`+good+wish+`
			WHERE name = $5 AND owner = $6 AND fence = $7`,
			sql.NullInt64{Int64: due.UnixMilli(), Valid: !due.IsZero()}, sql.NullInt64{Int64: failures, Valid: failures >= 0}, now, c.outcome, l.Task, l.Owner, l.Fence)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("task %s: %w", l.Task, store.ErrFenced)
		}
		_, err = tx.Exec(`UPDATE run SET ended = $1, outcome = $2, report = $3 WHERE task = $4 AND fence = $5`, now, c.outcome, string(c.report), l.Task, l.Fence)
		return err
	})
}

// released tells whether this very run was closed before: its first try reached the database, and only the answer did not
// come back.
func released(tx *store.Tx, l store.Lease, outcome string) error {
	var one int
	err := tx.QueryRow(`SELECT 1 FROM run WHERE task = $1 AND fence = $2 AND node = $3 AND outcome = $4`, l.Task, l.Fence, l.Owner, outcome).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("task %s: %w", l.Task, store.ErrFenced)
	}
	return err
}
