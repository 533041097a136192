package tasks

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// candidate is a task that is due.
type candidate struct {
	name, group, cause string
	due                int64
}

// group is whose turn it is: a site's, or that of a task of the whole service.
func group(name, site string) string {
	if site == "" {
		return "task " + name
	}
	return "site " + site
}

// seen is what the polls saw of the schedules' clock.
type seen struct {
	at, mono time.Time
	back     bool // it was set back, and rows were not looked at since
}

// tick notes what the clock says; it was set back when less time has gone by on it than really has.
func (c *seen) tick(at, mono time.Time) {
	if !c.at.IsZero() && at.Sub(c.at) < mono.Sub(c.mono)-time.Second {
		c.back = true
	}
	c.at, c.mono = at, mono
}

// polled is a row of the poll's answer.
type polled struct {
	sight
	site            string
	held, due, wish bool
	next            int64
}

// poll asks with one statement, however many tasks there are, for those that are due and those that run anywhere; of the
// latter it learns also which an operator cancelled.
func (s *Scheduler) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.poll)
	defer cancel()
	var (
		found []polled
		clock int64
	)
	sent := s.runner.mono()
	err := s.st.Read(ctx, func(tx *store.Tx) (err error) {
		found, clock, err = ask(tx, instant(s.o.Now))
		return err
	})
	if err != nil {
		return err
	}
	sights := make([]sight, len(found))
	for i, p := range found {
		sights[i] = p.sight
	}
	s.runner.saw(sights)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock.tick(time.UnixMilli(clock), sent)
	s.pending = s.pending[:0]
	clear(s.elsewhere)
	for _, p := range found {
		if p.held && p.owner != s.runner.who.Boot {
			s.elsewhere[group(p.name, p.site)]++
		}
		t, mine := s.tasks[p.name]
		if !mine || p.held || !(p.due || p.wish) || s.active[p.name] != nil {
			continue
		}
		c := candidate{name: p.name, group: group(p.name, t.Site), cause: "schedule", due: p.next}
		if p.wish {
			c.cause = "run now"
		}
		s.pending = append(s.pending, c)
	}
	return nil
}

// ask runs the poll's statement. It gives the schedules' clock also when no task is due.
func ask(tx *store.Tx, now sql.NullInt64) (found []polled, clock int64, err error) {
	rows, err := tx.Query(`SELECT c.sched, t.name, t.site, COALESCE(t.owner, ''), t.fence, COALESCE(t.cancel_fence, -1), t.next_due,
			CASE WHEN t.owner IS NOT NULL AND t.lease_until > c.now THEN 1 ELSE 0 END,
			CASE WHEN t.next_due <= c.sched AND t.paused_until <= c.sched THEN 1 ELSE 0 END,
			CASE WHEN t.run_now_at <= c.now THEN 1 ELSE 0 END
		FROM (SELECT `+tx.Clock()+` AS now, COALESCE($1, `+tx.Clock()+`) AS sched) c
		LEFT JOIN task t ON t.owner IS NOT NULL
			OR (t.schedule <> '' AND t.removed IS NULL AND (t.run_now_at <= c.now OR (t.next_due <= c.sched AND t.paused_until <= c.sched)))`, now)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			p                   polled
			name, site, owner   sql.NullString
			fence, cancel, next sql.NullInt64
		)
		if err := rows.Scan(&clock, &name, &site, &owner, &fence, &cancel, &next, &p.held, &p.due, &p.wish); err != nil {
			return nil, 0, err
		}
		if !name.Valid {
			continue
		}
		p.sight = sight{name: name.String, owner: owner.String, fence: fence.Int64, cancel: cancel.Int64}
		p.site, p.next = site.String, next.Int64
		found = append(found, p)
	}
	return found, clock, rows.Err()
}

// dispatch begins what is due, as far as there is room: that of the site first whose turn is the longest ago.
func (s *Scheduler) dispatch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stopping:
		return
	default:
	}
	running, of := 0, map[string]int{}
	for g, n := range s.elsewhere {
		of[g] += n
	}
	for _, a := range s.active {
		if of[a.group]++; !a.stuck {
			running++
		}
	}
	sets := map[string]map[string]bool{}
	for _, a := range s.active {
		enter(sets, a.task, a.group)
	}
	for ; running < s.o.Parallel; running++ {
		i := s.first(of, sets)
		if i < 0 {
			return
		}
		c := s.pending[i]
		s.pending = slices.Delete(s.pending, i, i+1)
		of[c.group]++
		s.turn++
		s.served[c.group] = s.turn
		a := &active{task: s.tasks[c.name], group: c.group, cause: c.cause}
		s.active[c.name] = a
		enter(sets, a.task, a.group)
		s.bodies.Add(1)
		go s.execute(ctx, a)
	}
}

// enter notes that a site of a task's set has a run.
func enter(sets map[string]map[string]bool, t Task, group string) {
	if t.Set == "" {
		return
	}
	if sets[t.Set] == nil {
		sets[t.Set] = map[string]bool{}
	}
	sets[t.Set][group] = true
}

// full tells whether a task would bring one more site of its set to run than may.
func full(sets map[string]map[string]bool, t Task, group string) bool {
	return t.Set != "" && t.Sites > 0 && len(sets[t.Set]) >= t.Sites && !sets[t.Set][group]
}

// first gives the index of the task that is begun next, -1 if there is none with room.
func (s *Scheduler) first(of map[string]int, sets map[string]map[string]bool) int {
	best := -1
	for i, c := range s.pending {
		if of[c.group] >= s.o.PerSite || s.active[c.name] != nil || full(sets, s.tasks[c.name], c.group) {
			continue
		}
		if best < 0 || s.before(c, s.pending[best]) {
			best = i
		}
	}
	return best
}

func (s *Scheduler) before(a, b candidate) bool {
	return cmp.Or(cmp.Compare(s.served[a.group], s.served[b.group]), cmp.Compare(a.due, b.due), cmp.Compare(a.name, b.name)) < 0
}
