package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Set replaces the tasks, also while some run. New ones get a row, and are due at their next slot, or at once; a changed schedule
// counts from now; what is not in the set any more is not begun again, and its row says so. A run that goes on is not
// touched: it ends by the definition that it began with. On an error nothing is changed.
func (s *Scheduler) Set(ctx context.Context, tasks []Task) error {
	set := map[string]Task{}
	for _, t := range tasks {
		if err := valid(t, set); err != nil {
			return err
		}
		t.Deadline = cmp.Or(t.Deadline, DefaultDeadline)
		set[t.Name] = t
	}
	s.setting.Lock()
	defer s.setting.Unlock()
	rows, err := s.reconcile(ctx, set, true)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tasks = set
	s.pending = slices.DeleteFunc(s.pending, func(c candidate) bool { _, ok := set[c.name]; return !ok })
	s.checked = s.runner.mono()
	s.remember(rows)
	return nil
}

func valid(t Task, set map[string]Task) error {
	switch _, twice := set[t.Name]; {
	case t.Name == "":
		return errors.New("a task has no name")
	case twice:
		return fmt.Errorf("two tasks are called %s", t.Name)
	case t.Schedule.IsZero():
		return fmt.Errorf("task %s has no schedule", t.Name)
	case t.Run == nil:
		return fmt.Errorf("task %s has nothing to run", t.Name)
	}
	return nil
}

// remember takes over from the rows which sites were served least recently, for those of which this process knows nothing.
func (s *Scheduler) remember(rows map[string]row) {
	last := map[string]int64{}
	for name, r := range rows {
		g := group(name, r.site)
		last[g] = max(last[g], r.started)
	}
	var groups []string
	for g := range last {
		if _, known := s.served[g]; !known && last[g] > 0 {
			groups = append(groups, g)
		}
	}
	slices.SortFunc(groups, func(a, b string) int { return cmp.Or(cmp.Compare(last[a], last[b]), cmp.Compare(a, b)) })
	for _, g := range groups {
		s.turn++
		s.served[g] = s.turn
	}
}

// check holds the rows against the set when it is time, or the clock was set back: another process may have changed them,
// and a slot that was reckoned by a clock ahead would let the task wait.
func (s *Scheduler) check(ctx context.Context) error {
	if !s.setting.TryLock() {
		return nil // a Set does the same
	}
	defer s.setting.Unlock()
	s.mu.Lock()
	set, due := s.tasks, s.clock.back || s.runner.mono().Sub(s.checked) >= s.limits.check
	s.mu.Unlock()
	if !due || len(set) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.limits.poll)
	defer cancel()
	if _, err := s.reconcile(ctx, set, false); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checked, s.clock.back = s.runner.mono(), false
	return nil
}

// row is what the database has of a task's definition.
type row struct {
	site, schedule string
	due, started   int64
	removed        bool
}

// change is what one row needs.
type change struct {
	name, site, schedule string
	due                  int64 // milliseconds
	insert, remove       bool
}

// reconcile makes the rows fit the set; retire also marks those that are not in it.
func (s *Scheduler) reconcile(ctx context.Context, set map[string]Task, retire bool) (map[string]row, error) {
	rows, now, err := definitions(ctx, s.st, s.o.Now)
	if err != nil {
		return nil, err
	}
	changes := changed(rows, set, now, retire)
	for part := range slices.Chunk(changes, 500) {
		if err := s.st.Write(ctx, func(tx *store.Tx) error {
			for _, c := range part {
				if err := c.write(tx, now); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func (c change) write(tx *store.Tx, now time.Time) (err error) {
	switch {
	case c.remove:
		_, err = tx.Exec(`UPDATE task SET removed = $1 WHERE name = $2`, now.UnixMilli(), c.name)
	case c.insert:
		_, err = tx.Exec(`INSERT INTO task (name, site, schedule, next_due) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING`, c.name, c.site, c.schedule, c.due)
	default:
		_, err = tx.Exec(`UPDATE task SET site = $1, schedule = $2, next_due = $3, removed = NULL WHERE name = $4`, c.site, c.schedule, c.due, c.name)
	}
	return err
}

// definitions reads the rows, and the schedules' clock.
func definitions(ctx context.Context, st database, clock func() time.Time) (map[string]row, time.Time, error) {
	rows, now := map[string]row{}, time.Time{}
	err := st.Read(ctx, func(tx *store.Tx) error {
		clear(rows)
		var ms int64
		if err := tx.QueryRow(`SELECT COALESCE($1, `+tx.Clock()+`)`, instant(clock)).Scan(&ms); err != nil {
			return err
		}
		now = time.UnixMilli(ms).UTC()
		all, err := tx.Query(`SELECT name, site, schedule, next_due, COALESCE(started_at, 0), CASE WHEN removed IS NULL THEN 0 ELSE 1 END FROM task`)
		if err != nil {
			return err
		}
		defer all.Close()
		for all.Next() {
			var (
				name string
				r    row
			)
			if err := all.Scan(&name, &r.site, &r.schedule, &r.due, &r.started, &r.removed); err != nil {
				return err
			}
			rows[name] = r
		}
		return all.Err()
	})
	return rows, now, err
}

// changed tells what the rows need to fit the set.
func changed(rows map[string]row, set map[string]Task, now time.Time, retire bool) []change {
	var changes []change
	for name, t := range set {
		r, have := rows[name]
		next := t.Schedule.Next(now).UnixMilli()
		c := change{name: name, site: t.Site, schedule: t.Schedule.String(), due: r.due, insert: !have}
		overdue := have && r.schedule != "" && r.due <= now.UnixMilli()
		if !overdue && (c.schedule != r.schedule || r.due > next) {
			c.due = next
		}
		if !have && t.AtOnce {
			c.due = now.UnixMilli()
		}
		if !have || r.removed || c.site != r.site || c.schedule != r.schedule || c.due != r.due {
			changes = append(changes, c)
		}
	}
	for name, r := range rows {
		if _, ok := set[name]; !ok && retire && r.schedule != "" && !r.removed {
			changes = append(changes, change{name: name, remove: true})
		}
	}
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.name, b.name) }) // one order for all processes: no deadlocks
	return changes
}
