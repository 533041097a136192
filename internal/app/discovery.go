package app

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/tasks"
)

// Stdout is the sink "standard output", of the command line only.
const Stdout = "stdout"

// PublishOptions says what Publish publishes.
type PublishOptions struct {
	To     string    // only this sink; "" = all
	DryRun bool      // hands nothing to any sink
	Out    io.Writer // of the sink Stdout
	Format discovery.Format
}

// Publish asks the clouds of each of the sites in turn what they offer, and publishes that.
func (a *App) Publish(ctx context.Context, sites []config.Site, o PublishOptions) []SiteReport {
	return a.eachSite(ctx, taskPublish, sites, func(ctx context.Context, r *run.Recorder, s config.Site) error {
		t := a.published(s)
		if o.To == Stdout { // whoever asks for it there gets it, whatever the site publishes
			t.Sinks, t.Settings.Mode = []discovery.Sink{discovery.NewStdout(Stdout, o.Out, o.Format)}, highest(t)
		}
		return discovery.Run(ctx, a.offers(r), t, discovery.Publishing{To: o.To, DryRun: o.DryRun})
	})
}

// highest gives the mode in which all of a target is shown to whoever asks for it here.
func highest(t *discovery.Target) site.Mode {
	if t.Settings.Mode == site.Disabled {
		return site.Disabled
	}
	for i := range t.Clouds {
		c := &t.Clouds[i]
		if c.Mode == site.Observe {
			c.Mode = site.Active
		}
		for k := range c.Cloud.VOs {
			if vo := &c.Cloud.VOs[k]; vo.Mode == site.Observe {
				vo.Mode = site.Active
			}
		}
	}
	return site.Active
}

// eachSite runs a task of every site, one after the other.
func (a *App) eachSite(ctx context.Context, kind string, sites []config.Site, do func(ctx context.Context, r *run.Recorder, s config.Site) error) []SiteReport {
	all := make([]SiteReport, 0, len(sites))
	for _, s := range sites {
		report, err := a.task(ctx, kind+"/"+s.Site.ID, s.Site.Name, func(ctx context.Context, r *run.Recorder) error { return do(ctx, r, s) })
		r := SiteReport{Site: s.Site.Name, Report: report, Err: err}
		if err != nil {
			r.Error = err.Error()
		}
		all = append(all, r)
	}
	return all
}

func (a *App) offers(r *run.Recorder) discovery.Deps {
	return discovery.Deps{Now: a.Now, DB: a.db, Log: a.opts.Log, Run: r}
}

// Offered gives the catalogs of a site as they were last taken; nobody is asked. The rendering goes with them.
func (a *App) Offered(ctx context.Context, s config.Site) ([]discovery.Catalog, discovery.Rendering, error) {
	t := a.published(s)
	catalogs, err := discovery.Recall(ctx, a.offers(run.NewRecorder("show", a.Now, nil)), t)
	return catalogs, t.Settings.Rendering, err
}

// Documents makes the documents of a site's catalogs as they are published, in their order.
func (a *App) Documents(s config.Site, catalogs []discovery.Catalog) []discovery.Rendered {
	return discovery.Documents(a.published(s), catalogs)
}

// OfferStatus tells how a site's discovery is.
func (a *App) OfferStatus(ctx context.Context, s config.Site) (discovery.Status, error) {
	return discovery.ReadStatus(ctx, a.db, a.published(s))
}

// Changes tells what the sinks of a site have otherwise than what was last taken of its clouds; nobody is asked.
func (a *App) Changes(ctx context.Context, s config.Site) ([]discovery.ChangedDocument, error) {
	t := a.published(s)
	d := a.offers(run.NewRecorder("diff", a.Now, nil))
	catalogs, err := discovery.Recall(ctx, d, t)
	if err != nil {
		return nil, err
	}
	return discovery.Changes(ctx, d, t, discovery.Documents(t, catalogs))
}

// discoveries gives the tasks of discovery.
func (a *App) discoveries() ([]tasks.Task, error) {
	var all []tasks.Task
	for _, s := range a.cfg.Sites {
		if s.Discovery.Mode == site.Disabled {
			continue
		}
		for _, t := range []struct {
			kind, schedule string
			do             func(context.Context, discovery.Deps, *discovery.Target) error
		}{
			{taskPublish, s.Discovery.Schedule.Publish, func(ctx context.Context, d discovery.Deps, t *discovery.Target) error {
				return discovery.Run(ctx, d, t, discovery.Publishing{})
			}},
			{taskOfferCheck, s.Discovery.Schedule.Check, discovery.Check},
		} {
			task, err := a.scheduled(t.kind, t.schedule, s, func(ctx context.Context, r *run.Recorder) error { return t.do(ctx, a.offers(r), a.published(s)) })
			if err != nil {
				return nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
			}
			all = append(all, task)
		}
	}
	if a.removes() {
		task, err := a.whole(taskRemove, "", a.remove)
		if err != nil {
			return nil, err
		}
		all = append(all, task)
	}
	return all, nil
}

// removes tells whether there is a sink from which documents are taken away.
func (a *App) removes() bool {
	return slices.ContainsFunc(a.cfg.Sites, func(s config.Site) bool {
		return s.Discovery.Mode != site.Disabled && slices.ContainsFunc(s.Discovery.Publish, deletes)
	})
}

// deletes tells whether documents of what is gone are taken away from a sink. What fedsite serves itself follows the
// configuration without being told.
func deletes(c config.Sink) bool { return c.DeleteRemoved || c.API != nil || c.LDAP != nil }

// Remove takes away what was published of sites and endpoints that are not configured any more; with prune also of many at
// once. A dry run only tells.
func (a *App) Remove(ctx context.Context, prune, dryRun bool) (run.Report, error) {
	return a.task(ctx, taskRemove, "", func(ctx context.Context, r *run.Recorder) error { return a.removing(ctx, r, prune, dryRun) })
}

func (a *App) remove(ctx context.Context, r *run.Recorder) error {
	return a.removing(ctx, r, len(a.cfg.Includes) > 0 && !slices.ContainsFunc(a.cfg.Includes, func(i config.Include) bool { return !i.Prune }), false)
}

func (a *App) removing(ctx context.Context, r *run.Recorder, prune, dryRun bool) error {
	if lost := a.unserved(); len(lost) > 0 { // what they had is not known: it must not be taken for gone
		r.Problem(run.Problem{Object: "site files", Step: "remove", Reason: fmt.Sprintf("%d cannot be used, %s among them: nothing is taken away before they can", len(lost), lost[0].File), Hint: "mend them: fedsite config check"})
		return nil
	}
	removal := discovery.Removal{Prune: prune, DryRun: dryRun}
	for _, s := range a.cfg.Sites {
		t := a.published(s)
		for i, c := range s.Discovery.Publish {
			removal.Sinks = append(removal.Sinks, discovery.RemovalSink{Sink: t.Sinks[i], Delete: deletes(c)})
		}
		for _, c := range t.Clouds {
			known := discovery.Configured{SiteID: s.Site.ID, Site: s.Site.NameAt(a.Now()), Endpoint: c.EP}
			if discovery.Publishes(t, c) {
				for _, sink := range t.Sinks {
					known.Sinks = append(known.Sinks, sink.Name())
				}
			}
			removal.Configured = append(removal.Configured, known)
		}
	}
	return discovery.RemoveGone(ctx, a.offers(r), removal)
}
