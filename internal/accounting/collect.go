package accounting

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Ask says what to collect: nothing means every project, from its mark up to now less settle.
type Ask struct {
	From, To time.Time // zero = the mark; now less settle
	Projects []string  // ids or names; empty = all
}

// Collect reads the VMs of every project of the target that existed in the window, and keeps their records in the
// ledger. What goes wrong with one VM, project or cloud is reported, and the rest goes on; the error is only for what
// spoils the whole run.
func Collect(ctx context.Context, d Deps, t *Target, ask Ask) error {
	if t.Settings.Mode == site.Disabled {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "accounting", Reason: "mode is disabled", Hint: "set accounting.mode: observe", Notice: true})
		return nil
	}
	d.Run.Step("collect")
	start, anew, err := begin(ctx, d, t)
	if err != nil && !errors.Is(err, errStarted) {
		return fmt.Errorf("start of site %s: %w", t.Site.Name, err)
	}
	if err != nil {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "accounting", Step: "collect", Reason: err.Error(), Permanent: true, Hint: "put the former words back into the configuration"})
	}
	if anew {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "accounting", Step: "collect", Notice: true,
			Reason: "accounting.since or accounting.previously changed before anything was sent: collected again from the new start"})
	}
	all := &tally{found: map[string]bool{}}
	defer all.tell(d, t, ask)
	for _, c := range t.Clouds {
		if c.Mode == site.Disabled {
			continue
		}
		col := &collector{d: d, t: t, c: c, start: start, ask: ask, tally: all}
		if err := col.cloud(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tally is how the projects and clouds of a run fared: it failed as a whole only when not one project was collected.
type tally struct {
	mu     sync.Mutex
	done   int             // projects
	failed []run.Problem   // projects, or whole clouds
	unread bool            // a cloud did not say which projects it has
	found  map[string]bool // projects that were asked for, and are there
}

func (a *tally) fail(p run.Problem) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, p)
}

func (a *tally) tell(d Deps, t *Target, ask Ask) {
	for _, name := range ask.Projects {
		if !a.found[name] && !a.unread {
			a.fail(run.Problem{Site: t.Site.Name, Object: "project " + name, Step: "collect", Permanent: true,
				Reason: "asked for, but it belongs to no VO or the credential has no role on it",
				Hint:   "check its name or id; fedsite accounting collect without --project says of each project what is wrong with it"})
		}
	}
	for _, p := range a.failed {
		if a.done == 0 {
			d.Run.Fail(p)
		} else {
			d.Run.Problem(p)
		}
	}
}

// collector collects one cloud in one run.
type collector struct {
	*tally
	d        Deps
	t        *Target
	c        CloudTarget
	start    Start
	ask      Ask
	lookup   Lookup
	flavors  flavors
	nameless sync.Once // has said that users may not be read
	specless sync.Once // and the same of extra specs
}

func (c *collector) problem(object, reason string, p run.Problem) {
	p.Site, p.Cloud, p.Object, p.Reason = c.t.Site.Name, c.c.Cloud.Name, object, reason
	if p.Step == "" {
		p.Step = "collect"
	}
	c.d.Run.Problem(p)
}

// cloud collects every project that belongs to a VO.
func (c *collector) cloud(ctx context.Context) error {
	projects, err := c.c.Source.Projects(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		c.unread = true
		c.fail(openstackProblem(c.t.Site.Name, c.c.Cloud.Name, "cloud "+c.c.Cloud.Name, err))
		return nil
	}
	if len(projects) == 0 {
		c.unread = true
		c.fail(run.Problem{Site: c.t.Site.Name, Cloud: c.c.Cloud.Name, Object: "cloud " + c.c.Cloud.Name, Step: "collect", Exit: run.ExitNotAuthorised, Permanent: true,
			Reason: "the credential's user has no role on any project, so that there is nothing it can collect",
			Hint:   "give it the role reader on each project to account; a role on the system is not enough"})
		return nil
	}
	merged := site.Merge(c.c.Cloud, projects)
	for _, diff := range merged.Differences {
		c.problem(diff.Object, diff.Reason, run.Problem{Hint: diff.Hint})
	}
	for _, p := range merged.Unnamed {
		if len(c.ask.Projects) > 0 && !c.asks(p) {
			continue
		}
		diff := site.Unowned(p)
		c.problem(diff.Object, diff.Reason, run.Problem{Hint: diff.Hint})
	}
	if err := c.goneProjects(ctx, projects); err != nil {
		return err
	}
	chosen := c.choose(merged)
	if err := c.drop(ctx, chosen); err != nil {
		return err
	}
	c.d.Run.Count("projects", int64(len(chosen)))
	c.lookup = c.c.Source.Lookup()
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(c.c.Parallel, 1))
	var finished atomic.Int64
	for _, p := range chosen {
		group.Go(func() error {
			err := c.project(gctx, p, merged.Shares)
			c.d.Run.Progress("projects", finished.Add(1), int64(len(chosen)))
			switch {
			case err == nil:
				c.d.Run.Count("projects_collected", 1)
				c.mu.Lock()
				c.done++
				c.mu.Unlock()
				return nil
			case gctx.Err() != nil:
				return context.Cause(gctx)
			case spoilsAll(err):
				return err
			}
			failed := openstackProblem(c.t.Site.Name, c.c.Cloud.Name, p.Object(), err)
			failed.Hint = strings.ReplaceAll(failed.Hint, "<project>", p.ID)
			c.fail(failed)
			return nil
		})
	}
	return group.Wait()
}

// asks tells whether the project was named, by id or name.
func (c *collector) asks(p site.Project) bool {
	return slices.Contains(c.ask.Projects, p.ID) || slices.Contains(c.ask.Projects, p.Name)
}

// choose gives the projects with a share, each once, in share order, as far as they were asked for.
func (c *collector) choose(m site.Merged) []site.Project {
	var chosen []site.Project
	seen := map[string]bool{}
	for _, s := range m.Shares {
		p := s.Project
		if first, ok := site.Accounted(m.Shares, p.ID, c.d.Now()); ok && first.Mode == site.Disabled {
			continue
		}
		if seen[p.ID] || !s.Allows(site.Accounting) {
			continue
		}
		seen[p.ID] = true
		if len(c.ask.Projects) == 0 || c.asks(p) {
			chosen = append(chosen, p)
			c.found[p.ID], c.found[p.Name] = true, true
		}
	}
	return chosen
}

// project collects one project: the listing of existing VMs, then that of changed ones, whose answer is the later one,
// then what is in neither; the window's mark moves last (design §7, rule 3).
func (c *collector) project(ctx context.Context, p site.Project, shares []site.Share) error {
	began := c.d.Now()
	mark, last, err := c.known(ctx, p)
	if err != nil {
		return err
	}
	w, err := next(mark, asked(c.ask), began, c.t.Settings.Settle)
	if err != nil {
		return err
	}
	ahead := began.UnixMilli() < last
	if w.To <= w.From && !ahead {
		c.d.Run.Count("projects_up_to_date", 1)
		return nil
	}
	compute, err := c.c.Source.Project(ctx, p.ID)
	if err != nil {
		return err
	}
	if compute.ProjectID() != p.ID {
		return fmt.Errorf("signed in to project %s instead of %s: refused", compute.ProjectID(), p.ID)
	}
	if ahead { // the window is another one, then
		if err := c.takeBack(ctx, p, began, last); err != nil {
			return err
		}
		return c.project(ctx, p, shares)
	}
	pages := &pager{collector: c, compute: compute, unnamed: map[string]bool{}, cells: map[string]bool{}, basis: basis{
		Target: c.t, Cloud: c.c.Cloud, Project: p.ID, Shares: shares, To: w.To, Since: c.start.Since, Previous: c.start.Previously,
	}}
	if err := compute.Existing(ctx, pages.page(ctx)); err != nil {
		return fmt.Errorf("list the existing VMs: %w", err)
	}
	since := time.Unix(w.From, 0).UTC().Add(-c.t.Settings.Overlap)
	if err := compute.Changed(ctx, since, pages.page(ctx)); err != nil {
		return fmt.Errorf("list the VMs changed since %s: %w", since.Format(time.RFC3339), err)
	}
	if err := pages.missing(ctx, p, began); err != nil {
		return err
	}
	if pages.incomplete != nil { // the mark stays: VMs that ended may be shown in this window only
		return fmt.Errorf("what was read is kept, but is not complete: %w", pages.incomplete)
	}
	if n := len(pages.cells); n > 0 {
		c.problem(p.Object(), fmt.Sprintf("a cell is down: the cloud shows %d of its VMs without data, and their last state is kept", n), run.Problem{Notice: true,
			Hint: "their records go on by themselves when the cell is back: see its database and message queue (nova-manage cell_v2 list_cells)"})
	}
	if n := len(pages.unnamed); n > 0 {
		c.problem(p.Object(), fmt.Sprintf("%d VMs are not accounted: the project belongs to no VO now", n), run.Problem{
			Hint: "name its VO under vos: in the configuration, or take its VMs down"})
	}
	err = c.d.DB.Write(ctx, func(tx *store.Tx) error { return covered(tx, c.c.Cloud.ID, p.ID, w, began.UnixMilli()) })
	if err != nil {
		return storeError{err}
	}
	return nil
}

// known gives the project's mark, and when its newest sight was dated, in unix milliseconds.
func (c *collector) known(ctx context.Context, p site.Project) (mark, last int64, err error) {
	err = c.d.DB.Read(ctx, func(tx *store.Tx) error {
		windows, seen, err := windowsOf(tx, c.c.Cloud.ID, p.ID)
		if err != nil {
			return err
		}
		mark = Mark(c.start.Since, windows)
		last, err = lastSight(tx, c.c.Cloud.ID, p.ID, seen)
		return err
	})
	if err != nil {
		return 0, 0, storeError{err}
	}
	return mark, last, nil
}

// storeError marks a failure of the store: it spoils the run, because nothing can be kept.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

func spoilsAll(err error) bool {
	_, ok := errors.AsType[storeError](err)
	return ok
}

func asked(a Ask) Window {
	var w Window
	if !a.From.IsZero() {
		w.From = a.From.Unix()
	}
	if !a.To.IsZero() {
		w.To = a.To.Unix()
	}
	return w
}

// openstackProblem says what a failed call to the cloud means for the object.
func openstackProblem(siteName, cloud, object string, err error) run.Problem {
	p := openstack.Problem(err)
	p.Site, p.Cloud, p.Object, p.Step = siteName, cloud, object, "collect"
	if p.Hint == "" {
		p.Hint = "nothing is lost: the next run covers the same window; if it stays so, the cloud's administrator can look at it"
	}
	return p
}
