// Package tasks lets one run of a task go on at a time, over all processes and nodes that share a store.
//
//	ensure → claim → renew, watch → finish
//
// A task is a row; a run holds it by a lease of 45 seconds in the same database as the data that the run writes. The
// lease is renewed every 10 seconds; when it is lost, or could not be renewed for 40 seconds, the run's context is
// cancelled locally, before another process may begin. Writes made under the lease carry a fence that store.Write checks
// (design §7, Tasks).
package tasks

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

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
	Boot string // "node/pid/random"
	Node string
}

// NewIdentity gives the identity of this process start.
func NewIdentity() (Identity, error) {
	node, err := os.Hostname()
	if err != nil {
		node = "unknown"
	}
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return Identity{}, err
	}
	return Identity{Boot: fmt.Sprintf("%s/%d/%s", node, os.Getpid(), hex.EncodeToString(b)), Node: node}, nil
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
func (e *HeldError) Holder() string {
	for i := len(e.Owner) - 1; i >= 0; i-- {
		if e.Owner[i] == '/' {
			rest := e.Owner[:i]
			for j := len(rest) - 1; j >= 0; j-- {
				if rest[j] == '/' {
					return fmt.Sprintf("process %s on node %s", rest[j+1:], rest[:j])
				}
			}
			break
		}
	}
	return e.Owner
}

// Causes for which a run's context is cancelled.
var (
	ErrLost      = errors.New("the task's lease was lost to another process")
	ErrCutOff    = errors.New("the task's lease could not be renewed in time")
	ErrCancelled = errors.New("the run was cancelled by an operator")
	ErrNotDue    = errors.New("the task is not due, or paused")
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
}

// claim is what a claim gave.
type claim struct {
	fence   int64
	started int64
	slot    sql.NullInt64
}

// take claims the task's row in one transaction: older open runs are closed as abandoned, and a new one is opened.
func take(ctx context.Context, st *store.Store, who Identity, o ClaimOptions) (claim, error) {
	var c claim
	err := st.Write(ctx, func(tx *store.Tx) error {
		now := tx.Clock()
		due := ` AND ((paused_until <= ` + now + ` AND next_due <= ` + now + `) OR run_now_at <= ` + now + `)`
		if o.Always {
			due = ""
		}
		err := tx.QueryRow(`UPDATE task SET owner = $1, fence = fence + 1, lease_until = `+now+` + $2, started_at = `+now+`, cancel_fence = NULL
			WHERE name = $3 AND (owner IS NULL OR lease_until <= `+now+`)`+due+` RETURNING fence, started_at, next_due`,
			who.Boot, LeaseTime.Milliseconds(), o.Task).Scan(&c.fence, &c.started, &c.slot)
		if errors.Is(err, sql.ErrNoRows) {
			return refusal(tx, o.Task)
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE run SET ended = $1, outcome = 'abandoned' WHERE task = $2 AND ended IS NULL`, c.started, o.Task); err != nil {
			return err
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

// release gives the task back and closes its run, unless the lease is another's by now. A task with a schedule stays due
// at nextDue; zero leaves it as it is. A wish to run now that is younger than the run is kept.
func release(ctx context.Context, st *store.Store, l store.Lease, outcome string, report []byte, nextDue time.Time) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		next := sql.NullInt64{Int64: nextDue.UnixMilli(), Valid: !nextDue.IsZero()}
		n, err := tx.Exec(`UPDATE task SET owner = NULL, lease_until = NULL, next_due = COALESCE($1, next_due),
			run_now_at = CASE WHEN run_now_at > started_at THEN run_now_at ELSE NULL END
			WHERE name = $2 AND owner = $3 AND fence = $4`, next, l.Task, l.Owner, l.Fence)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("task %s: %w", l.Task, store.ErrFenced)
		}
		_, err = tx.Exec(`UPDATE run SET ended = `+tx.Clock()+`, outcome = $1, report = $2 WHERE task = $3 AND fence = $4`, outcome, string(report), l.Task, l.Fence)
		return err
	})
}
