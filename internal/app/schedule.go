package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/tasks"
)

// Kinds of tasks: "part.kind"; those of a site have "/" and its id behind.
const (
	taskCollect = "accounting.collect"
	taskSend    = "accounting.send"
	taskCheck   = "accounting.check"

	taskPublish    = "discovery.publish"
	taskOfferCheck = "discovery.check"
	taskRemove     = "discovery.remove"

	taskImages     = "images.sync"
	taskImageCheck = "images.check"

	taskSnapshot  = "service.snapshot"
	taskRetention = "service.retention"
	taskDigest    = "service.digest"
)

// tasks gives what the service does for this configuration, and when.
func (a *App) tasks() ([]tasks.Task, error) {
	var all []tasks.Task
	for _, s := range a.cfg.Sites {
		if s.Accounting.Mode == site.Disabled {
			continue
		}
		for _, t := range []struct {
			kind, schedule string
			do             work
		}{
			{taskCollect, s.Accounting.Schedule.Collect, collecting(accounting.Ask{})},
			{taskSend, s.Accounting.Schedule.Send, a.sending(SendOptions{})},
			{taskCheck, s.Accounting.Schedule.Check, accounting.Check},
		} {
			task, err := a.scheduled(t.kind, t.schedule, s, func(ctx context.Context, r *run.Recorder) error { return t.do(ctx, a.deps(r), a.target(s)) })
			if err != nil {
				return nil, fmt.Errorf("site %s: %w", s.Site.Name, err)
			}
			all = append(all, task)
		}
	}
	more, err := a.discoveries()
	if err != nil {
		return nil, err
	}
	images, err := a.imageTasks()
	return slices.Concat(all, more, images), err
}

// whole makes a task of the whole service.
func (a *App) whole(kind, schedule string, do func(ctx context.Context, r *run.Recorder) error) (tasks.Task, error) {
	when := tasks.DefaultSchedule(kind, "")
	if schedule != "" {
		var err error
		if when, err = tasks.ParseSchedule(schedule); err != nil {
			return tasks.Task{}, err
		}
	}
	return tasks.Task{Name: kind, Schedule: when, AtOnce: true, Deadline: cmp.Or(a.cfg.Limits.Deadline, tasks.DefaultDeadline),
		Run: func(ctx context.Context, live *tasks.Live) run.Report {
			return a.report(ctx, live.Name, "", live.Progress, do)
		}}, nil
}

// scheduled makes a task of a site. When it is new it runs at once: nobody wants to wait for an hour to see whether what
// was just set up works. Its run goes by the configuration that it began with.
func (a *App) scheduled(kind, schedule string, s config.Site, do func(ctx context.Context, r *run.Recorder) error) (tasks.Task, error) {
	when := tasks.DefaultSchedule(kind, s.Site.ID)
	if schedule != "" {
		var err error
		if when, err = tasks.ParseSchedule(schedule); err != nil {
			return tasks.Task{}, err
		}
	}
	return tasks.Task{Name: kind + "/" + s.Site.ID, Site: s.Site.ID, Schedule: when, AtOnce: true, Deadline: cmp.Or(s.Runs.Deadline, a.cfg.Limits.Deadline, tasks.DefaultDeadline),
		Set: s.Runs.Set, Sites: s.Runs.Sites,
		Run: func(ctx context.Context, live *tasks.Live) run.Report {
			return a.report(ctx, live.Name, s.Site.Name, live.Progress, do)
		}}, nil
}

// report runs fn and gives its report. Everything that goes wrong is in it.
func (a *App) report(ctx context.Context, name, siteName string, progress func(run.Progress), fn func(ctx context.Context, r *run.Recorder) error) run.Report {
	rec := run.NewRecorder(name, a.Now, progress)
	err := a.clock.sync(ctx, a.db)
	if err == nil {
		err = fn(ctx, rec)
	}
	if err != nil {
		rec.Fail(spoilt(ctx, siteName, err))
	}
	return rec.Finish()
}
