package images

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// Block is an image that is not to be here: by its content, or by what it is called.
type Block struct {
	Digest Digest // "" = by Ref
	Ref    string // id, source/id, market place URI with or without version; "" = by Digest
	Reason string
	Since  time.Time
	By     string
}

// blockedReason begins the reason of what a block does.
const blockedReason = "blocked: "

// Name is what the block is called by: to lift it, too.
func (b Block) Name() string { return cmp.Or(b.Ref, string(b.Digest)) }

// Covers tells whether an image of a source falls under the block.
func (b Block) Covers(e Entry) bool {
	return (b.Digest != "" && b.Digest == e.Digest) || (b.Ref != "" && e.is(b.Ref))
}

// blocking gives the block that an image of a source falls under.
func blocking(all []Block, e Entry) (Block, bool) {
	for _, b := range all {
		if b.Covers(e) {
			return b, true
		}
	}
	return Block{}, false
}

// standing gives the blocks that are marked in a cloud's Glance, by project: they hold also where the file of blocks is lost, or
// is another node's. They hold where they are marked: members of a project can write marks, and do not choose for others.
func standing(c CloudState, s Settings) map[string][]Block {
	all := map[string][]Block{}
	for project, place := range c.Places {
		for _, i := range place.Images {
			if m := readMarks(i); m.Manager == s.Instance && m.State == Blocked && m.Digest != "" {
				all[project] = append(all[project], Block{Digest: m.Digest, Reason: strings.TrimPrefix(m.Reason, blockedReason)})
			}
		}
	}
	return all
}

// MakeHide gives what is to be done to hide what falls under a block, and what of it is hidden already. Sources have no say in it.
func MakeHide(o Observed, s Settings, b Block) Plan {
	p := Plan{part: true}
	for _, c := range o.Clouds {
		pl := &planner{Plan: &p, o: o, s: s, blocks: []Block{b}, cloud: c, done: map[string]bool{}}
		pl.block()
		p.Actions = append(p.Actions, pl.kept...)
	}
	p.sort()
	return p
}

// Hide hides what falls under a block at the target's clouds, or only says what it would hide.
func Hide(ctx context.Context, d Deps, t *Target, b Block, dryRun bool) (Plan, []Result, error) {
	if t.Settings.Mode == site.Disabled || t.Broken != nil {
		return Plan{}, nil, t.Broken
	}
	o, clouds, err := seeClouds(ctx, d, t)
	if err != nil {
		return Plan{}, nil, err
	}
	p := MakeHide(o, t.Settings, b)
	for _, a := range p.Actions {
		switch {
		case a.Verb == Keep:
			d.Run.Count("hidden already", 1)
		case dryRun && a.Writes():
			d.Run.Count("to "+string(a.Verb), 1)
		}
	}
	watching(d, t, p, "blocked, and not hidden", "openstack image set --hidden --deactivate")
	if dryRun {
		return p, nil, nil
	}
	results, err := apply(ctx, d, t, p, clouds)
	return p, results, err
}

// watching says of what a plan only shows that it is not done, and how it can be.
func watching(d Deps, t *Target, p Plan, what, command string) {
	var shown []string
	for _, a := range p.Actions {
		if a.Observe && slices.Contains(writes, a.Verb) {
			shown = append(shown, a.Image)
		}
	}
	problem := run.Problem{Site: t.Site.Name, Object: "images", Step: "block", Reason: "the site only observes: nothing is hidden or shown here", Notice: true}
	switch n := len(shown); {
	case n > 0:
		named := strings.Join(shown[:min(n, 5)], ", ")
		if n > 5 {
			named += fmt.Sprintf(" and %d more", n-5)
		}
		problem.Notice, problem.Reason = false, what+", for they are only observed: "+named
		problem.Hint = "mode: active, of images, the cloud and the VO, does it at the next run; at once: " + command + " ID"
	case t.Settings.Mode == site.Active:
		return
	}
	d.Run.Problem(problem)
}

// MakeLift gives what is to be done to lift a block: images that it hid may be read again, and are as retired ones, which the
// next plan shows again where they are wanted. What falls under one of those that are left stays hidden.
func MakeLift(o Observed, s Settings, b Block, left ...Block) Plan {
	p := Plan{part: true}
	for _, c := range o.Clouds {
		pl := &planner{Plan: &p, o: o, s: s, cloud: c, done: map[string]bool{}}
		for _, project := range pl.projects() {
			place := Place{c.ID, project}
			for _, x := range pl.at(place, pl.ours) {
				if _, its := blockingMarked([]Block{b}, x); !its || x.m.State != Blocked {
					continue
				}
				if other, is := blockingMarked(left, x); is {
					a := pl.placed(of(x, place, Hold, "it stays hidden: it is also blocked as "+cut(other.Name(), longestReason)))
					a.Hint = "fedsite images unblock " + other.Name()
					p.Actions = append(p.Actions, a)
					continue
				}
				a := pl.placed(of(x, place, LiftIt, "the block was lifted"))
				a.Edits = properties(x.Properties, map[string]string{markState: string(Retired), markReason: a.Reason}, nil)
				p.Actions = append(p.Actions, a)
			}
		}
	}
	return p
}

// Lift lifts a block at the target's clouds; the target's own blocks are those that are left.
func Lift(ctx context.Context, d Deps, t *Target, b Block) (Plan, []Result, error) {
	o, clouds, err := seeClouds(ctx, d, t)
	if err != nil {
		return Plan{}, nil, err
	}
	p := MakeLift(o, t.Settings, b, t.Blocks...)
	for _, a := range p.Actions {
		if a.Verb == Hold {
			d.Run.Problem(run.Problem{Site: t.Site.Name, Cloud: a.CloudName, Object: a.Object(), Step: "unblock", Reason: a.Reason, Hint: a.Hint})
		}
	}
	watching(d, t, p, "not blocked any more, and still hidden", "openstack image set --unhidden --activate")
	results, err := apply(ctx, d, t, p, clouds)
	return p, results, err
}

// barred says why an image may not be brought that could when the run began.
func (t *Target) barred(e Entry) error {
	if t.Reblock == nil {
		return nil
	}
	all, err := t.Reblock()
	if err != nil {
		return fmt.Errorf("images.blocks: %w", err)
	}
	if b, blocked := blocking(all, e); blocked {
		return fmt.Errorf("%s%s", blockedReason, cut(b.Reason, longestReason))
	}
	return nil
}

// blockingMarked gives the block that an image in Glance falls under, by its marks or by the content that Glance has.
func blockingMarked(all []Block, x present) (Block, bool) {
	m := x.m
	for _, b := range all {
		if b.Digest != "" && (b.Digest == m.Digest || b.Digest.Hex() == m.Hash || string(b.Digest) == sumOf(x.StoredImage)) {
			return b, true
		}
		e := Entry{Key: m.Key, Source: m.Source, Kind: m.Kind, Digest: m.Digest, MPURI: m.MPURI}
		if b.Ref != "" && e.is(b.Ref) {
			return b, true
		}
	}
	return Block{}, false
}
