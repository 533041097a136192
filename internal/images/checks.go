package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// Check looks at all that images of the target need, and records what it finds: sources, sign-in and Glance of each project,
// the staging directory, and what can be converted. Nothing is changed. The error is only for what spoils the whole run.
func Check(ctx context.Context, d Deps, t *Target) error {
	d.Run.Step("check")
	c := &checker{d: d, t: t}
	if t.Settings.Mode == site.Disabled {
		c.note(run.Check{Name: "mode", State: run.CheckSkip, Reason: "mode is disabled", Remedy: "set images.mode: observe"})
		return nil
	}
	for _, cloud := range t.Clouds {
		if site.Lowest(t.Settings.Mode, cloud.Mode) == site.Disabled {
			continue
		}
		c.cloud(ctx, cloud)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := c.sources(ctx); err != nil {
		return err
	}
	c.staging()
	status, err := ReadStatus(ctx, d.DB, t)
	if err != nil {
		return err
	}
	for _, found := range status.Checks(d.Now()) {
		d.Run.Check(found)
	}
	return nil
}

type checker struct {
	d Deps
	t *Target

	vos []string // that have a project at one of the clouds
}

func (c *checker) note(found run.Check) {
	found.Part, found.Site = part, c.t.Site.Name
	c.d.Run.Check(found)
}

// sources asks each source, as a run would.
func (c *checker) sources(ctx context.Context) error {
	if len(c.t.Sources) == 0 {
		c.note(run.Check{Name: "sources", State: run.CheckWarn, Reason: "no source is configured: there is nothing to bring", Remedy: "name one under images.sources"})
	}
	memories, err := remembered(ctx, c.d, c.t)
	if err != nil {
		return err
	}
	answers, failed := askAll(ctx, c.t, memories, c.vos, c.d.Now())
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for i, s := range c.t.Sources {
		found := run.Check{Name: "source can be read", Object: "source " + s.Name(), State: run.CheckOK, Reason: fmt.Sprintf("%s: %d images", s.Kind(), len(answers[i].Entries))}
		if failed[i] != nil {
			found.State, found.Reason = run.CheckFail, run.Line(failed[i].Error(), longestReason)
			if f, ok := errors.AsType[*Failure](failed[i]); ok {
				found.Reason, found.Remedy = run.Line(string(f.Kind)+": "+f.Reason, longestReason), f.Hint
			}
		}
		c.note(found)
	}
	return nil
}

// cloud checks sign-in and Glance of each project.
func (c *checker) cloud(ctx context.Context, t CloudTarget) {
	note := func(found run.Check) { found.Cloud = t.Cloud.Name; c.note(found) }
	projects, err := t.Way.Projects(ctx)
	if err != nil && len(projects) == 0 {
		note(openstack.Refusal("sign-in", "", err))
		return
	}
	note(run.Check{Name: "sign-in", State: run.CheckOK, Reason: fmt.Sprintf("%d projects can be signed in to", len(projects))})
	all := members(t, site.Merge(t.Cloud, projects).Shares, c.t.Settings.Mode, c.d.Now())
	if len(all) == 0 {
		note(run.Check{Name: "projects", State: run.CheckWarn, Reason: "no project belongs to a VO: there is nowhere to bring images", Remedy: "openstack project set --property egi.VO=<vo> <project>, or name VOs under vos: in the configuration"})
	}
	seen := map[string]bool{}
	for _, m := range all {
		if !slices.Contains(c.vos, m.VO) {
			c.vos = append(c.vos, m.VO)
		}
		if seen[m.Project] {
			continue
		}
		seen[m.Project] = true
		place, _ := glance(ctx, c.t, t, m)
		found := run.Check{Name: "glance", Object: "project " + m.Project, State: run.CheckOK, Reason: fmt.Sprintf("%s: %d images of its own", run.Line(m.Name, 100), len(place.Images))}
		if place.Failed != nil {
			found = openstack.Refusal("glance", "project "+m.Project, place.Failed)
		}
		note(found)
	}
}

// staging checks where files are kept on their way, if they have to be.
func (c *checker) staging() {
	s := c.t.Settings
	found := run.Check{Name: "staging", Object: s.StagingDir, State: run.CheckOK, Reason: "there is room"}
	switch info, err := os.Stat(s.StagingDir); {
	case s.Staging == StageNever:
		found.State, found.Reason = run.CheckSkip, "images.staging is never"
	case err != nil || !info.IsDir():
		found.State, found.Reason, found.Remedy = run.CheckWarn, "it is no directory: what has to be converted, or is large, cannot be brought", "make it, owned by fedsite's user, with room for the largest image twice"
	default:
		if err := room(s.StagingDir, 0); err != nil {
			found.State, found.Reason, found.Remedy = run.CheckWarn, err.Error(), "make room there"
		}
	}
	c.note(found)
	if c.t.Convert == nil {
		c.note(run.Check{Name: "conversion", State: run.CheckWarn, Reason: "qemu-img is not there: disks that the site does not take as they are cannot be brought", Remedy: "apt install qemu-utils, or dnf install qemu-img"})
	}
}
