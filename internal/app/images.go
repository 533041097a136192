package app

import (
	"context"
	"fmt"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/tasks"
)

// ImageOptions says what of a site's images is done.
type ImageOptions struct {
	Image, VO    string // only this one; "" = all
	Yes          bool   // images that another manager changed lately are taken over, too
	AllowRemoval bool   // the guard against the removal of many is off
	PruneOrphans bool   // images of sources that are not configured any more go
}

// settings puts the operator's words into a target.
func (o ImageOptions) settings(t *images.Target) *images.Target {
	t.Settings.Yes, t.Settings.AllowRemoval, t.Settings.PruneOrphans = o.Yes, o.AllowRemoval, o.PruneOrphans
	return t
}

// PlannedImages is the plan of a site.
type PlannedImages struct {
	Site   string
	Seen   images.Seen
	Report run.Report
	Err    error
}

// PlanImages asks sources and clouds of the sites, and gives what ApplyImages would do. Nothing is changed: requests that
// could are refused before they leave.
func (a *App) PlanImages(ctx context.Context, sites []config.Site, o ImageOptions) []PlannedImages {
	all := make([]PlannedImages, 0, len(sites))
	for _, s := range sites {
		p := PlannedImages{Site: s.Site.Name}
		p.Report = a.report(ctx, "images.plan", s.Site.Name, a.opts.Progress, func(ctx context.Context, r *run.Recorder) error {
			if s.Images.Mode == site.Disabled {
				return nil
			}
			t := o.settings(a.imaged(s, false))
			d := a.imageDeps(r)
			var err error
			if p.Seen, err = images.Look(ctx, d, t, images.Choice{Image: o.Image, VO: o.VO, Again: o.Image != "", Quiet: true}); err == nil {
				images.Report(d, t, p.Seen)
			}
			return err
		})
		all = append(all, p)
	}
	missed(o, sites, func(i int) *run.Report { return &all[i].Report })
	return all
}

// AppliedImages is what was done for a site.
type AppliedImages struct {
	SiteReport
	Results []images.Result
}

// ApplyImages brings the images of the sites up to what their sources say, each under the lease of its task.
func (a *App) ApplyImages(ctx context.Context, sites []config.Site, o ImageOptions) []AppliedImages {
	all := make([]AppliedImages, 0, len(sites))
	for _, s := range sites {
		var results []images.Result
		reports := a.eachSite(ctx, taskImages, []config.Site{s}, func(ctx context.Context, r *run.Recorder, s config.Site) error {
			var err error
			results, err = images.Run(ctx, a.imageDeps(r), o.settings(a.imaged(s, true)), images.Choice{Image: o.Image, VO: o.VO, Again: true})
			return err
		})
		all = append(all, AppliedImages{reports[0], results})
	}
	missed(o, sites, func(i int) *run.Report { return &all[i].Report })
	return all
}

// ReleaseImages gives images of a site back, those that are asked for by their id, source or name; a dry run only tells.
func (a *App) ReleaseImages(ctx context.Context, s config.Site, dryRun bool, asked func(id string, m images.Marks) bool) (images.Plan, AppliedImages) {
	var (
		plan    images.Plan
		results []images.Result
	)
	reports := a.eachSite(ctx, taskImages, []config.Site{s}, func(ctx context.Context, r *run.Recorder, s config.Site) error {
		var err error
		plan, results, err = images.Release(ctx, a.imageDeps(r), a.imaged(s, !dryRun), dryRun, asked)
		return err
	})
	return plan, AppliedImages{reports[0], results}
}

// ListImages gives the images of a site that fedsite manages, as they are in Glance.
func (a *App) ListImages(ctx context.Context, s config.Site) ([]images.Listed, run.Report) {
	var all []images.Listed
	report := a.report(ctx, "images.list", s.Site.Name, a.opts.Progress, func(ctx context.Context, r *run.Recorder) error {
		if s.Images.Mode == site.Disabled {
			return nil
		}
		var err error
		all, err = images.ListManaged(ctx, a.imageDeps(r), a.imaged(s, false))
		return err
	})
	return all, report
}

// VerifyImages reads the sources of a site, and tells what is believed of them; no cloud is asked.
func (a *App) VerifyImages(ctx context.Context, s config.Site) []images.Verdict {
	var vos []string
	for _, c := range s.Clouds {
		for _, vo := range c.Cloud.VOs {
			vos = append(vos, vo.Name)
		}
	}
	return images.Verify(ctx, a.imageDeps(run.NewRecorder("images.verify", a.Now, nil)), a.imaged(s, false), vos)
}

// ImageStatus tells how a site's images were when they were last looked at.
func (a *App) ImageStatus(ctx context.Context, s config.Site) (images.Status, error) {
	return images.ReadStatus(ctx, a.db, a.imaged(s, false))
}

func (a *App) imageDeps(r *run.Recorder) images.Deps {
	return images.Deps{Now: a.Now, DB: a.db, Log: a.opts.Log, Run: r}
}

// imageTasks gives the tasks of images.
func (a *App) imageTasks() ([]tasks.Task, error) {
	var all []tasks.Task
	for _, s := range a.cfg.Sites {
		if s.Images.Mode == site.Disabled {
			continue
		}
		for _, t := range []struct {
			kind, schedule string
			do             func(ctx context.Context, d images.Deps) error
		}{
			{taskImages, s.Images.Schedule.Sync, func(ctx context.Context, d images.Deps) error {
				_, err := images.Run(ctx, d, a.imaged(s, true), images.Choice{})
				return err
			}},
			{taskImageCheck, s.Images.Schedule.Check, func(ctx context.Context, d images.Deps) error {
				return images.Check(ctx, d, a.imaged(s, false))
			}},
		} {
			task, err := a.scheduled(t.kind, t.schedule, s, func(ctx context.Context, r *run.Recorder) error { return t.do(ctx, a.imageDeps(r)) })
			if err != nil {
				return nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
			}
			all = append(all, task)
		}
	}
	return all, nil
}
