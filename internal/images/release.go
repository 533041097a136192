package images

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
)

// MakeRelease gives what is to be done to give images of ours back: our marks are taken away, and an adopted image gets back
// what it had. The marks that cloudkeeper knows an image by stay on it. Only images that are asked for are given back; one
// that is on its way out, or not yet there, is not.
func MakeRelease(o Observed, s Settings, asked func(id string, m Marks) bool) Plan {
	var p Plan
	for _, c := range o.Clouds {
		pl := &planner{Plan: &p, o: o, s: s, cloud: c, done: map[string]bool{}}
		for _, project := range pl.projects() {
			place := Place{c.ID, project}
			for _, x := range pl.at(place, pl.ours) {
				if x.m.State != Active || x.Status != "active" || !asked(x.ID, x.m) {
					continue
				}
				a := pl.placed(of(x, place, GiveBack, "to whoever manages it next"))
				if x.m.Former != nil {
					a.Reason = "to " + x.m.Former.Manager
				}
				a.Edits, a.Observe = giveBack(x), false
				p.Actions = append(p.Actions, a)
			}
		}
	}
	return p
}

// giveBack are the edits that undo an adoption, or take our marks away.
func giveBack(x present) []Edit {
	var all []Edit
	for _, name := range slices.Sorted(maps.Keys(x.Properties)) {
		if strings.HasPrefix(name, markPrefix) {
			all = append(all, Edit{Name: name, From: x.Properties[name], Removed: true})
		}
	}
	f := x.m.Former
	if f == nil {
		return all
	}
	for _, name := range slices.Sorted(maps.Keys(f.Core)) {
		if slices.Contains(coreEdits, name) {
			all = append(all, Edit{Name: name, To: f.Core[name]})
		}
	}
	for _, name := range f.Added {
		if value, there := x.Properties[name]; there && !strings.HasPrefix(name, markPrefix) {
			all = append(all, Edit{Name: name, From: value, Removed: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Properties)) {
		if from, there := x.Properties[name]; !there || from != f.Properties[name] {
			all = append(all, Edit{Name: name, From: from, To: f.Properties[name], Added: !there})
		}
	}
	return all
}

// markPrefix is how our marks begin.
const markPrefix = "fedsite_"

// Release gives images back, or only says what would be done.
func Release(ctx context.Context, d Deps, t *Target, dryRun bool, asked func(id string, m Marks) bool) (Plan, []Result, error) {
	t.Settings.Mode = seenMode(t.Settings.Mode)
	o, clouds, err := seeClouds(ctx, d, t)
	if err != nil {
		return Plan{}, nil, err
	}
	p := MakeRelease(o, t.Settings, asked)
	p.part = true
	if dryRun {
		d.Run.Count("to release", int64(len(p.Actions)))
		return p, nil, nil
	}
	results, err := apply(ctx, d, t, p, clouds)
	return p, results, err
}

// seenMode lets a site that is disabled be looked at: giving back is what may be left to do there.
func seenMode(m site.Mode) site.Mode {
	if m == site.Disabled {
		return site.Observe
	}
	return m
}
