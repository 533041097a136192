package tasks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// UnknownError says that no task has the name, and which comes nearest.
type UnknownError struct {
	Name    string
	Nearest string // "" when none is like it
}

// Error names both.
func (e *UnknownError) Error() string {
	if e.Nearest == "" {
		return "no task is called " + e.Name
	}
	return fmt.Sprintf("no task is called %s; did you mean %s?", e.Name, e.Nearest)
}

// Why a wish was refused.
var (
	ErrNotRunning   = errors.New("it does not run")
	ErrNotScheduled = errors.New("no service runs it: it is not in the configuration, or only ever ran from the shell")
)

// RunNow has the task run as soon as a service polls, though it is not due, or is paused. When it runs already it runs once
// more after that.
func RunNow(ctx context.Context, st *store.Store, name string) error {
	return wish(ctx, st, name, ErrNotScheduled, func(tx *store.Tx) (int64, error) {
		// Later than the start of a run that goes on, also one that began in this millisecond: else its end would take the wish.
		return tx.Exec(`UPDATE task SET run_now_at = CASE WHEN owner IS NOT NULL AND started_at >= `+tx.Clock()+` THEN started_at + 1 ELSE `+tx.Clock()+` END
			WHERE name = $1 AND schedule <> '' AND removed IS NULL`, name)
	})
}

// Cancel has the task's run end. It is the run that goes on now; a later one is not met.
func Cancel(ctx context.Context, st *store.Store, name string) error {
	return wish(ctx, st, name, ErrNotRunning, func(tx *store.Tx) (int64, error) {
		return tx.Exec(`UPDATE task SET cancel_fence = fence WHERE name = $1 AND owner IS NOT NULL AND lease_until > `+tx.Clock(), name)
	})
}

// Pause keeps the schedule from beginning the task until then, by the schedules' clock. A run that goes on is not ended.
func Pause(ctx context.Context, st *store.Store, name string, until time.Time) error {
	return wish(ctx, st, name, ErrNotScheduled, func(tx *store.Tx) (int64, error) {
		return tx.Exec(`UPDATE task SET paused_until = $1 WHERE name = $2 AND schedule <> '' AND removed IS NULL`, until.UnixMilli(), name)
	})
}

// Resume ends a pause. A slot that fell into it is made up for, once.
func Resume(ctx context.Context, st *store.Store, name string) error {
	return wish(ctx, st, name, ErrNotScheduled, func(tx *store.Tx) (int64, error) {
		return tx.Exec(`UPDATE task SET paused_until = 0 WHERE name = $1`, name)
	})
}

// wish writes an operator's wish into the task's row. No row changed means that there is no such task, or otherwise.
func wish(ctx context.Context, st *store.Store, name string, otherwise error, write func(*store.Tx) (int64, error)) error {
	return st.Write(ctx, func(tx *store.Tx) error {
		n, err := write(tx)
		if err != nil || n > 0 {
			return err
		}
		if err := known(tx, name); err != nil {
			return err
		}
		return fmt.Errorf("task %s: %w", name, otherwise)
	})
}

// known gives an *UnknownError when there is no such task.
func known(tx *store.Tx, name string) error {
	rows, err := tx.Query(`SELECT name FROM task`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var n string
		if err := rows.Scan(&n); err != nil {
			return err
		}
		if n == name {
			return nil
		}
		names = append(names, n)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return &UnknownError{Name: name, Nearest: nearest(name, names)}
}

// nearest gives the name that is most like the one asked for; "" when none is. A part of a name counts as very like it.
func nearest(name string, names []string) string {
	best, least := "", len(name)/3+1
	for _, n := range names {
		d := distance(strings.ToLower(name), strings.ToLower(n))
		if len(name) > 2 && strings.Contains(strings.ToLower(n), strings.ToLower(name)) {
			d = 0
		}
		if d < least || (d == least && n < best && best != "") {
			best, least = n, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
