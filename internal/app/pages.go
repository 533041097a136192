package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
	"github.com/fedsite/fedsite/internal/web"
)

// The service is what the pages ask.
var _ web.Source = (*service)(nil)

// whatTasksDo says it in words, by kind.
var whatTasksDo = map[string]string{
	taskCollect: "asks the clouds what was used, and keeps records of it",
	taskSend:    "sends records that the accounting server has not got",
	taskCheck:   "looks at what accounting needs: roles, certificate, broker",

	taskPublish:    "asks the clouds what they offer to each VO, and publishes it",
	taskOfferCheck: "looks at what discovery needs: sign-in, GOCDB, where it publishes",
	taskRemove:     "takes away what was published of sites that are gone",

	taskImages:     "brings the images that sources name, and retires those that are gone",
	taskImageCheck: "looks at what images need: sources, sign-in, Glance, room on disk",

	taskSnapshot:  "copies the database",
	taskRetention: "takes away what was kept for long enough",
	taskDigest:    "tells how everything is, once a day",
}

// historyShown is how many runs of a task its page lists.
const historyShown = 100

// Overview gives the state of everything.
func (s *service) Overview(ctx context.Context) (web.Overview, error) {
	k, items := s.lately(ctx)
	a := k.app
	if k.tasks == nil && len(k.unread) > 0 {
		return web.Overview{}, fmt.Errorf("%w: %s", web.ErrUnavailable, k.unread[0])
	}
	o := web.Overview{Now: k.now, Version: a.opts.Version, Node: s.who.Node, Since: s.since}
	for _, t := range k.tasks {
		o.Tasks = append(o.Tasks, s.shown(ctx, a, t))
	}
	o.Places, o.Problems = a.places(items)
	return o, nil
}

// Task gives one task with its history.
func (s *service) Task(ctx context.Context, name string) (web.TaskPage, error) {
	a := s.current.Load()
	t, err := tasks.Find(ctx, a.db, name)
	if err != nil {
		return web.TaskPage{}, unavailable(err)
	}
	runs, err := tasks.History(ctx, a.db, name, historyShown+1)
	if err != nil {
		return web.TaskPage{}, unavailable(err)
	}
	p := web.TaskPage{Now: a.Now(), Task: s.shown(ctx, a, t), History: []web.Run{}, More: len(runs) > historyShown}
	for _, e := range runs[:min(len(runs), historyShown)] {
		p.History = append(p.History, shownRun(e))
	}
	return p, nil
}

// Run gives one run of a task.
func (s *service) Run(ctx context.Context, name string, fence int64) (web.RunPage, error) {
	a := s.current.Load()
	t, err := tasks.Find(ctx, a.db, name)
	if err != nil {
		return web.RunPage{}, unavailable(err)
	}
	e, err := tasks.Report(ctx, a.db, name, fence)
	if err != nil {
		return web.RunPage{}, unavailable(err)
	}
	p := web.RunPage{Now: a.Now(), Task: s.shown(ctx, a, t), Run: shownRun(e), Steps: []web.Step{}, Counts: []web.Count{}, Problems: []web.Problem{}, Checks: []web.Check{}, Dropped: e.Report.Dropped}
	if t.Running != nil && t.Running.Fence == fence {
		p.Run.Progress = shownProgress(t.Running)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Report.Counts)) {
		p.Counts = append(p.Counts, web.Count{Name: name, Words: strings.ReplaceAll(name, "_", " "), N: e.Report.Counts[name]})
	}
	for _, r := range e.Report.Problems {
		p.Problems = append(p.Problems, shownProblem(r, p.Task, fence))
	}
	for _, c := range e.Report.Checks {
		p.Checks = append(p.Checks, web.Check{State: web.State(c.State), Part: c.Part, Site: c.Site, Cloud: c.Cloud, Object: c.Object, Name: c.Name, Reason: c.Reason, Remedy: c.Remedy})
	}
	return p, nil
}

// unavailable says whether there is no such thing, or no answer.
func unavailable(err error) error {
	if _, ok := errors.AsType[*tasks.UnknownError](err); ok {
		return web.ErrNotFound
	}
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrLocked) || errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(web.ErrUnavailable, err)
	}
	return err
}

// shown gives a task as the pages show it.
func (s *service) shown(ctx context.Context, a *App, t tasks.Status) web.Task {
	kind, _, _ := strings.Cut(t.Name, "/")
	part, _, _ := strings.Cut(kind, ".")
	w := web.Task{Name: t.Name, Part: part, Site: t.Site, SiteName: a.siteName(t.Site), What: whatTasksDo[kind], Schedule: t.Schedule,
		PausedUntil: t.PausedUntil, Disabled: !t.Removed.IsZero() || t.Schedule == "", LastDone: t.LastSuccess}
	if t.PausedUntil.Before(a.Now()) {
		w.PausedUntil = time.Time{}
	}
	if !w.Disabled {
		w.Due = t.NextDue
		if !t.Wished.IsZero() && t.Wished.Before(w.Due) {
			w.Due = t.Wished
		}
	}
	if r := t.Running; r != nil {
		w.Running = &web.Run{Task: t.Name, Fence: r.Fence, Cause: r.Cause, Node: r.Holder(), Started: r.Since, Progress: shownProgress(r)}
	}
	if t.Last != nil {
		last := shownRun(*t.Last)
		if e, err := s.reports.of(ctx, a, t); err == nil {
			last = shownRun(e)
		}
		w.Last = &last
	}
	return w
}

func shownProgress(r *tasks.Running) *web.Progress {
	if r.Progress == nil {
		return nil
	}
	p := r.Progress
	return &web.Progress{Step: p.Step, What: p.What, Done: p.Done, Total: p.Total, At: p.At, Cancelled: r.Cancelled}
}

func shownRun(e tasks.Entry) web.Run {
	w := web.Run{Task: e.Task, Fence: e.Fence, Cause: e.Cause, Node: e.Holder(), Slot: e.Slot, Started: e.Started, Ended: e.Ended, Outcome: e.Outcome, Problems: int(e.Report.Counts["problems"])}
	if e.Slot.UnixMilli() == 0 { // a run from the shell
		w.Slot = time.Time{}
	}
	for _, p := range e.Report.Problems {
		if p.Failed {
			w.Reason = p.Object + ": " + p.Reason
			break
		}
	}
	return w
}

func shownProblem(p run.Problem, t web.Task, fence int64) web.Problem {
	w := web.Problem{State: web.Warn, Part: t.Part, Site: t.Site, SiteName: cmp.Or(p.Site, t.SiteName), Cloud: p.Cloud, Object: p.Object, Step: p.Step, Reason: p.Reason, Remedy: p.Hint, Times: p.Times, Task: t.Name, Fence: fence}
	switch {
	case p.Notice:
		w.State = web.OK
	case p.Failed:
		w.State = web.Fail
	}
	return w
}

// siteName gives the name of a site in GOCDB; its id when it is not configured any more.
func (a *App) siteName(id string) string {
	for _, s := range a.cfg.Sites {
		if s.Site.ID == id {
			return s.Site.Name
		}
	}
	return id
}
