package images

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Choice says what of a plan is done.
type Choice struct {
	Image string // only this one, as operators name it; "" = all
	VO    string // only for this VO; "" = all
	Again bool   // also what failed and is not due yet
	Quiet bool   // nothing is remembered of what sources say: somebody only looks
}

// Seen is a site's images as they were looked at: what sources say, what is in Glance, and what is to be done.
type Seen struct {
	Observed
	Plan   Plan
	clouds []*sight
}

// Look asks the sources and the clouds, and plans. Nothing is changed anywhere; what sources say is remembered, unless the
// choice is to be quiet.
func Look(ctx context.Context, d Deps, t *Target, c Choice) (Seen, error) {
	if t.Broken != nil {
		return Seen{}, t.Broken
	}
	now := d.Now()
	memories, err := remembered(ctx, d, t)
	if err != nil {
		return Seen{}, err
	}
	clouds, err := look(ctx, d, t)
	if err != nil {
		return Seen{}, err
	}
	vos := vosOf(clouds)
	d.Run.Step("list")
	answers, failed := askAll(ctx, t, memories, vos, now)
	if ctx.Err() != nil {
		return Seen{}, context.Cause(ctx)
	}
	seen := Seen{Observed: Observed{At: now}, clouds: clouds}
	if seen.Attempts, err = attempts(ctx, d, t.Site.ID); err != nil {
		return Seen{}, err
	}
	if c.Again { // one that others fight over has to be named
		maps.DeleteFunc(seen.Attempts, func(t Trial, _ Attempt) bool { return c.Image != "" || !strings.HasPrefix(t.At, againMark) })
	}
	if seen.Notes, err = readNotes(ctx, d, t.Site.ID); err != nil {
		return Seen{}, err
	}
	seen.Lacking = slices.ContainsFunc(t.Clouds, func(c CloudTarget) bool {
		return site.Lowest(t.Settings.Mode, c.Mode) != site.Disabled && !slices.ContainsFunc(clouds, func(s *sight) bool { return s.ID == c.Cloud.ID && !s.Partial })
	})
	for _, s := range clouds {
		seen.Clouds = append(seen.Clouds, s.CloudState)
	}
	next := make([]Memory, len(t.Sources))
	for i, s := range t.Sources {
		last := memories[s.Name()]
		var v Verdict
		v, next[i] = judge(s, last, marked(clouds, t.Settings.Instance, s.Name(), last.List, now), answers[i], failed[i], vos, now)
		next[i].Asked = now
		seen.Sources = append(seen.Sources, v)
	}
	rivals(seen.Sources, memories, next)
	if !c.Quiet {
		if err := keepMemories(ctx, d, t, seen.Sources, memories, next); err != nil {
			return Seen{}, err
		}
	}
	seen.Plan = MakePlan(seen.Observed, t.Settings, t.Blocks)
	seen.Plan.choose(c, seen.Clouds)
	return seen, nil
}

// vosOf gives the VOs that get images at any of the clouds, in file order.
func vosOf(clouds []*sight) []string {
	var all []string
	for _, c := range clouds {
		for _, m := range c.Members {
			if !slices.Contains(all, m.VO) {
				all = append(all, m.VO)
			}
		}
	}
	return all
}

func keepMemories(ctx context.Context, d Deps, t *Target, verdicts []Verdict, last map[string]Memory, next []Memory) error {
	return writing(ctx, d, func(tx *store.Tx) error {
		for i, s := range t.Sources {
			if s.Place() == "" { // it could not even be tried: what is remembered of it counts when it can
				continue
			}
			verdict := ""
			if f := verdicts[i].Failed; f != nil {
				verdict = run.Line(string(f.Kind)+": "+f.Reason, longestReason)
			}
			if err := keepMemory(tx, t.Site.ID, s, last[s.Name()], next[i], verdict); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoSuchImage is what a plan says of an image that was asked for and that nobody has here. Another site may have it.
const NoSuchImage = "no source has such an image, and none of ours is called so"

// choose takes out of a plan what was not asked for.
func (p *Plan) choose(c Choice, clouds []CloudState) {
	its := map[Place]bool{} // projects of the VO
	for _, cloud := range clouds {
		for _, m := range cloud.Members {
			its[m.Place] = its[m.Place] || m.VO == c.VO
		}
	}
	gets := func(a Action) bool {
		if a.Entry == nil || !slices.Contains(vosAt(a), c.VO) {
			return false
		}
		return its[a.Place] || a.shared > 0 || slices.ContainsFunc(a.Guests, func(project string) bool { return its[Place{a.Cloud, project}] })
	}
	p.part = c.Image != "" || c.VO != ""
	var general []Action // of a source or a project: what was asked for may be there
	p.Actions = slices.DeleteFunc(p.Actions, func(a Action) bool {
		if (a.Verb == Fail || a.Verb == Hold) && a.Entry == nil && a.Key.ID == "" {
			general = append(general, a)
			return true
		}
		if c.Image != "" && a.Image != c.Image && a.Name != c.Image && (a.Entry == nil || !a.Entry.is(c.Image)) && a.Key.ID != c.Image {
			return true
		}
		return c.VO != "" && !gets(a)
	})
	switch {
	case c.Image == "":
		p.Actions = append(general, p.Actions...)
	case len(p.Actions) == 0: // an image that is there does not fail because another one's source does
		p.Actions = append(general, Action{Verb: Keep, Name: c.Image, Reason: NoSuchImage, Hint: "fedsite images plan --all lists them"})
	}
}

// Run is one run of images for a site: it looks, plans, and does what the plan says. What goes wrong with one source, image
// or project is reported, and the rest goes on; the error is only for what spoils the whole run.
func Run(ctx context.Context, d Deps, t *Target, c Choice) ([]Result, error) {
	if t.Settings.Mode == site.Disabled {
		return nil, nil
	}
	seen, err := Look(ctx, d, t, c)
	if err != nil {
		return nil, err
	}
	Report(d, t, seen)
	if err := keepNotes(ctx, d, t, seen); err != nil {
		return nil, err
	}
	if n := seen.Plan.observed(); n > 0 {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "images", Step: "plan", Notice: true, Reason: fmt.Sprintf("observing: %d changes are not made", n), Hint: "fedsite images plan shows them; images.mode: active makes them"})
	}
	results, err := apply(ctx, d, t, seen.Plan, seen.clouds)
	if err != nil {
		return results, err
	}
	if c.Image != "" || c.VO != "" { // what was left out of the plan would count as not there
		return results, nil
	}
	return results, keepStatus(ctx, d, t, seen, results)
}

// Report puts what a plan says that is no action into a run's report: sources and images that failed, and what is held.
func Report(d Deps, t *Target, seen Seen) {
	for _, v := range seen.Sources {
		d.Run.Count("sources", 1)
		d.Run.Count("images", int64(len(v.Entries)))
		for _, n := range v.Notices {
			d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "source " + v.Source, Step: "list", Reason: n, Notice: true})
		}
	}
	for _, a := range seen.Plan.Actions {
		p := run.Problem{Site: t.Site.Name, Cloud: a.CloudName, Object: a.Object(), Step: "plan", Reason: run.Line(a.Reason, longestReason), Hint: a.Hint, Permanent: a.Permanent}
		switch a.Verb {
		case Fail, Hold:
			d.Run.Problem(p)
		case Keep:
			d.Run.Count("kept", 1)
			if p.Notice = a.Hint != ""; p.Notice { // an orphan
				d.Run.Problem(p)
			}
		default:
			if p.Reason, p.Notice = a.Notice, true; a.Notice != "" {
				d.Run.Problem(p)
			}
		}
	}
	if len(seen.Sources) > 0 && !slices.ContainsFunc(seen.Sources, func(v Verdict) bool { return v.Failed == nil }) {
		d.Run.Fail(run.Problem{Site: t.Site.Name, Object: "sources", Step: "list", Reason: "none of them could be used: everything is kept as it is", Hint: cmp.Or(seen.Sources[0].Failed.Hint, "look at each source above")})
	}
}
