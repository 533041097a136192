package images

import (
	"context"
	"fmt"
	"strings"
	"time"
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

// blocking gives the block that an image of a source falls under.
func blocking(all []Block, e Entry) (Block, bool) {
	for _, b := range all {
		if (b.Digest != "" && b.Digest == e.Digest) || (b.Ref != "" && e.is(b.Ref)) {
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

// MakeLift gives what is to be done to lift a block: images that it hid may be read again, and are as retired ones, which the
// next plan shows again where they are wanted.
func MakeLift(o Observed, s Settings, b Block) Plan {
	var p Plan
	for _, c := range o.Clouds {
		pl := &planner{Plan: &p, o: o, s: s, cloud: c, done: map[string]bool{}}
		for _, project := range pl.projects() {
			place := Place{c.ID, project}
			for _, x := range pl.at(place, pl.ours) {
				if _, its := blockingMarked([]Block{b}, x); !its || x.m.State != Blocked {
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

// Lift lifts a block at the target's clouds.
func Lift(ctx context.Context, d Deps, t *Target, b Block) ([]Result, error) {
	clouds, err := look(ctx, d, t)
	if err != nil {
		return nil, err
	}
	o := Observed{At: d.Now()}
	for _, c := range clouds {
		o.Clouds = append(o.Clouds, c.CloudState)
	}
	return apply(ctx, d, t, MakeLift(o, t.Settings, b), clouds)
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
