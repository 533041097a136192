package web

import (
	"cmp"
	"slices"
	"time"
)

// rank orders states, the worst highest. What is not known yet is no fault, but comes before what is well.
func (s State) rank() int {
	return slices.Index([]State{Off, Skip, InDowntime, OK, Unknown, Warn, Fail}, s.known())
}

// known is the state, or Unknown when it is none that there is.
func (s State) known() State {
	switch s {
	case OK, Warn, Fail, Off, InDowntime, Skip:
		return s
	}
	return Unknown
}

// Worst is the worst of some states; Unknown when there are none.
func Worst(states ...State) State {
	if len(states) == 0 {
		return Unknown
	}
	return slices.MaxFunc(states, func(a, b State) int { return cmp.Compare(a.rank(), b.rank()) }).known()
}

// state is what a run's outcome says of its task.
func (r Run) state() State {
	switch r.Outcome {
	case "done":
		return OK
	case "partial", "abandoned":
		return Warn
	case "failed":
		return Fail
	case "cancelled":
		return Off
	}
	return Unknown
}

// dueSlack is how late a task may be before it is called overdue: all looks are some seconds apart, and a takeover takes a
// minute.
const dueSlack = time.Minute

// condition of a task in a word: what it does at the moment.
func (t Task) condition(now time.Time) string {
	switch {
	case t.Running != nil && t.Running.Progress != nil && t.Running.Progress.Cancelled:
		return "stopping"
	case t.Running != nil:
		return "running"
	case t.Disabled:
		return "off"
	case t.PausedUntil.After(now):
		return "paused"
	case t.Due.IsZero():
		return "waiting"
	case now.Sub(t.Due) > dueSlack:
		return "overdue"
	case !t.Due.After(now):
		return "due"
	}
	return "waiting"
}

// next is when the task runs next by itself; the zero time when it does not.
func (t Task) next(now time.Time) time.Time {
	switch {
	case t.Disabled || t.Due.IsZero():
		return time.Time{}
	case t.PausedUntil.After(now) && t.PausedUntil.After(t.Due):
		return t.PausedUntil
	}
	return t.Due
}

// noReason stands where a reason should be.
const noReason = "no reason was given"

// arrange fills in what is worked out, and puts the worst first.
func (o *Overview) arrange() {
	o.visits()
	o.explain()
	var states []State
	for _, p := range o.Places {
		states = append(states, p.Health.State)
	}
	for _, p := range o.Problems {
		states = append(states, p.State)
	}
	o.State = Worst(states...)
	slices.SortStableFunc(o.Places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(b.Health.State.rank(), a.Health.State.rank()), ofAll(a.Site, b.Site), cmp.Compare(a.SiteName, b.SiteName), cmp.Compare(a.Site, b.Site))
	})
	slices.SortStableFunc(o.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b.State.rank(), a.State.rank()), cmp.Compare(a.SiteName, b.SiteName), cmp.Compare(a.Part, b.Part), cmp.Compare(a.Object, b.Object))
	})
	slices.SortStableFunc(o.Tasks, func(a, b Task) int {
		return cmp.Or(ofAll(a.Site, b.Site), cmp.Compare(a.SiteName, b.SiteName), cmp.Compare(a.Name, b.Name))
	})
	o.Places, o.Problems, o.Tasks = list(o.Places), list(o.Problems), list(o.Tasks)
}

// ofAll puts what is of no site after what is of one.
func ofAll(a, b string) int {
	switch {
	case a == "" && b != "":
		return 1
	case a != "" && b == "":
		return -1
	}
	return 0
}

// where is a part at a site.
type where struct{ part, site string }

// visits gives each place its running, last and next runs.
func (o *Overview) visits() {
	of := map[where][]Task{}
	for _, t := range o.Tasks {
		of[where{t.Part, t.Site}] = append(of[where{t.Part, t.Site}], t)
	}
	for i := range o.Places {
		p := &o.Places[i]
		p.Running, p.Last, p.Next, p.Tasks = nil, nil, nil, len(of[where{p.Part, p.Site}])
		for _, t := range of[where{p.Part, p.Site}] {
			if t.Running != nil {
				p.Running = append(p.Running, *t.Running)
			}
			if t.Last != nil && (p.Last == nil || t.Last.Ended.After(p.Last.Ended)) {
				p.Last = t.Last
			}
			if at := t.next(o.Now); !at.IsZero() && (p.Next == nil || at.Before(p.Next.At)) {
				p.Next = &Visit{Task: t.Name, At: at}
			}
		}
	}
}

// explain makes a problem of each place that is worse than its problems: whatever is red is listed.
func (o *Overview) explain() {
	worst := map[where]int{}
	for _, p := range o.Problems {
		w := where{p.Part, p.Site}
		worst[w] = max(worst[w], p.State.rank())
	}
	for _, p := range o.Places {
		if h := p.Health; h.State.rank() >= Warn.rank() && h.State.rank() > worst[where{p.Part, p.Site}] {
			o.Problems = append(o.Problems, Problem{State: h.State, Part: p.Part, Site: p.Site, SiteName: p.SiteName,
				Reason: cmp.Or(h.Reason, noReason), Remedy: h.Remedy, Since: h.Since})
		}
	}
}

// arrange puts what is worst first in a report.
func (r *RunPage) arrange() {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Compare(b.State.rank(), a.State.rank()) })
	slices.SortStableFunc(r.Checks, func(a, b Check) int { return cmp.Compare(b.State.rank(), a.State.rank()) })
	r.Problems, r.Checks, r.Steps, r.Counts = list(r.Problems), list(r.Checks), list(r.Steps), list(r.Counts)
}

// list is the slice, never nil: in JSON it is [] then, and not null.
func list[T any](all []T) []T {
	if all == nil {
		return []T{}
	}
	return all
}
