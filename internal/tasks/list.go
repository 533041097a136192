package tasks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// Status is a task as any process sees it.
type Status struct {
	Name        string
	Site        string // site id; "" for a task of the whole service
	Schedule    string // "" when the task only runs from the shell
	NextDue     time.Time
	PausedUntil time.Time // zero when it never was paused, or was resumed; may be in the past
	Wished      time.Time // since when an operator wants it to run now; zero when none does
	Removed     time.Time // when it was taken out of the configuration; zero when it is in it
	Running     *Running  // nil when it does not run
	Last        *Entry    // the last run that ended; nil when there was none. Only Fence, Ended and Outcome are filled in
	LastSuccess time.Time // when a run last ended done or partial; kept when history is pruned
	Failures    int64     // runs of the schedule that failed since
}

// Running is a run that goes on.
type Running struct {
	Owner     string // "node/pid/random"
	Node      string
	Process   int
	Fence     int64
	Cause     string
	Since     time.Time
	Progress  *Progress // nil when it has told none
	Stuck     time.Time // since when it should have ended and has not; zero when all is well
	Cancelled bool      // an operator has cancelled it, and it has not ended yet
	Lost      bool      // its lease ran out: the process was killed or cut off, and no other has taken over yet
}

// Holder gives node and process in words.
func (r *Running) Holder() string { return holder(r.Owner) }

// State gives the task's state in one word: running, stuck, lost, removed, shell, paused, due, waiting. Now is the
// schedules' clock.
func (s *Status) State(now time.Time) string {
	switch {
	case s.Running != nil && s.Running.Lost:
		return "lost"
	case s.Running != nil && !s.Running.Stuck.IsZero():
		return "stuck"
	case s.Running != nil:
		return "running"
	case !s.Removed.IsZero():
		return "removed"
	case s.Schedule == "":
		return "shell"
	case !s.Wished.IsZero():
		return "due"
	case s.PausedUntil.After(now):
		return "paused"
	case !s.NextDue.After(now):
		return "due"
	}
	return "waiting"
}

// Entry is a run in a task's history.
type Entry struct {
	Task    string
	Fence   int64 // its number: later runs have higher ones
	Slot    time.Time
	Cause   string // "schedule", "run now", "shell"
	Owner   string // "node/pid/random"
	Started time.Time
	Ended   time.Time // zero while it goes on, and when nobody knows yet
	Outcome string    // done, partial, failed, Abandoned, Interrupted, Cancelled; "" while it goes on
	Report  run.Report
}

// Holder gives node and process in words.
func (e *Entry) Holder() string { return holder(e.Owner) }

// List gives all tasks, by name: also those that only ever ran from the shell, and those that were removed.
func List(ctx context.Context, st *store.Store) ([]Status, error) {
	var all []Status
	err := st.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT t.name, t.site, t.schedule, t.next_due, t.paused_until, t.run_now_at, t.removed, t.failures,
				t.last_fence, t.last_outcome, t.last_ended, t.last_success, t.owner, t.fence, t.cancel_fence,
				CASE WHEN t.lease_until > ` + tx.Clock() + ` THEN 0 ELSE 1 END, COALESCE(r.started, t.started_at), r.cause, r.progress, r.stuck
			FROM task t LEFT JOIN run r ON t.owner IS NOT NULL AND r.task = t.name AND r.fence = t.fence ORDER BY t.name`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			s, err := status(rows)
			if err != nil {
				return err
			}
			all = append(all, s)
		}
		return rows.Err()
	})
	return all, err
}

func status(rows *sql.Rows) (Status, error) {
	var (
		s                                                             Status
		next, paused, fence                                           int64
		wished, removed, lastFence, ended, success, cancel, at, stuck sql.NullInt64
		owner, outcome, cause, progress                               sql.NullString
		lost                                                          bool
	)
	err := rows.Scan(&s.Name, &s.Site, &s.Schedule, &next, &paused, &wished, &removed, &s.Failures,
		&lastFence, &outcome, &ended, &success, &owner, &fence, &cancel, &lost, &at, &cause, &progress, &stuck)
	if err != nil {
		return s, err
	}
	s.NextDue, s.Wished, s.Removed, s.LastSuccess = instantOf(sql.NullInt64{Int64: next, Valid: true}), instantOf(wished), instantOf(removed), instantOf(success)
	s.PausedUntil = instantOf(sql.NullInt64{Int64: paused, Valid: paused > 0})
	if lastFence.Valid {
		s.Last = &Entry{Task: s.Name, Fence: lastFence.Int64, Ended: instantOf(ended), Outcome: outcome.String}
	}
	if owner.Valid {
		node, _, _ := cutLast(owner.String)
		node, pid, _ := cutLast(node)
		process, _ := strconv.Atoi(pid)
		s.Running = &Running{Owner: owner.String, Node: node, Process: process, Fence: fence, Cause: cause.String, Since: instantOf(at),
			Progress: parseProgress(progress.String), Stuck: instantOf(stuck), Cancelled: cancel.Valid && cancel.Int64 == fence, Lost: lost}
	}
	return s, nil
}

func instantOf(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return time.UnixMilli(ms.Int64).UTC()
}

// Find gives one task.
func Find(ctx context.Context, st *store.Store, name string) (Status, error) {
	all, err := List(ctx, st)
	if err != nil {
		return Status{}, err
	}
	names := make([]string, len(all))
	for i, s := range all {
		if s.Name == name {
			return s, nil
		}
		names[i] = s.Name
	}
	return Status{}, &UnknownError{Name: name, Nearest: nearest(name, names)}
}

// History gives the newest runs of a task, the newest first, without their reports; limit 0 gives all.
func History(ctx context.Context, st *store.Store, name string, limit int) ([]Entry, error) {
	var all []Entry
	err := st.Read(ctx, func(tx *store.Tx) error {
		all = nil
		if err := known(tx, name); err != nil {
			return err
		}
		query, args := entries(tx, `''`)+` ORDER BY r.fence DESC`, []any{name}
		if limit > 0 {
			query, args = query+` LIMIT $2`, append(args, limit)
		}
		rows, err := tx.Query(query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			e := Entry{Task: name}
			if err := e.scan(rows.Scan, new(sql.NullString)); err != nil {
				return err
			}
			all = append(all, e)
		}
		return rows.Err()
	})
	return all, err
}

// entries selects the runs of task $1. One that is open and has no lease any more is abandoned, though no claim has said
// so yet.
func entries(tx *store.Tx, report string) string {
	return `SELECT r.fence, r.slot, r.cause, r.node, r.started, r.ended,
			CASE WHEN r.ended IS NULL AND (t.owner IS NULL OR t.owner <> r.node OR t.fence <> r.fence OR t.lease_until <= ` + tx.Clock() + `) THEN '` + Abandoned + `' ELSE r.outcome END,
			` + report + `
		FROM run r JOIN task t ON t.name = r.task WHERE r.task = $1`
}

func (e *Entry) scan(scan func(...any) error, report *sql.NullString) error {
	var (
		slot, ended sql.NullInt64
		started     int64
		outcome     sql.NullString
	)
	if err := scan(&e.Fence, &slot, &e.Cause, &e.Owner, &started, &ended, &outcome, report); err != nil {
		return err
	}
	e.Slot, e.Started, e.Ended, e.Outcome = instantOf(slot), time.UnixMilli(started).UTC(), instantOf(ended), outcome.String
	return nil
}

// Report gives one run of a task with its report; fence 0 is the newest that has ended.
func Report(ctx context.Context, st *store.Store, name string, fence int64) (Entry, error) {
	var e Entry
	err := st.Read(ctx, func(tx *store.Tx) error {
		e = Entry{Task: name}
		if err := known(tx, name); err != nil {
			return err
		}
		which := ` AND r.ended IS NOT NULL AND $2 = 0 ORDER BY r.fence DESC LIMIT 1`
		if fence != 0 {
			which = ` AND r.fence = $2`
		}
		var text sql.NullString
		err := e.scan(tx.QueryRow(entries(tx, `r.report`)+which, name, fence).Scan, &text)
		switch {
		case errors.Is(err, sql.ErrNoRows) && fence == 0:
			return fmt.Errorf("task %s: no run of it has ended yet", name)
		case errors.Is(err, sql.ErrNoRows):
			return fmt.Errorf("task %s has no run %d, or it was pruned", name, fence)
		case err != nil:
			return err
		}
		if text.String != "" {
			if err := json.Unmarshal([]byte(text.String), &e.Report); err != nil {
				return fmt.Errorf("task %s: report of run %d: %w", name, e.Fence, err)
			}
		}
		return nil
	})
	return e, err
}
