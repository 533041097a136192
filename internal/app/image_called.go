package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
)

// ErrWhichImage is a name by which an image cannot be blocked: it stands for several, or for a part of a checksum.
var ErrWhichImage = errors.New("that does not say which image")

// blockName is what somebody called an image that is to be blocked, and the block that it stands for.
type blockName struct {
	images.Block
	said  string
	shown images.Listed // whose name or id in Glance it is; none: ID is ""
	blind bool          // not all clouds could be asked for that
}

// tell says what is blocked, where that is not what was said.
func (n blockName) tell(r *run.Report) {
	if n.shown.ID == "" {
		return
	}
	p := run.Problem{Site: n.shown.Site, Object: fmt.Sprintf("image %.80q", n.said), Step: "block", Notice: true, Reason: "its checksum is what is blocked: " + string(n.Digest)}
	if n.shown.Image != "" {
		p.Hint = "all its versions, also those to come: fedsite images block " + n.shown.Source + "/" + n.shown.Image
	}
	r.Problems = append(r.Problems, p)
}

// blockOf gives the block that an image is meant by: by its checksum, by what its source calls it, or by what a list shows of it.
// Where images of several states are shown so, those of the state are meant.
func (a *App) blockOf(ctx context.Context, sites []config.Site, what string, state images.State) (blockName, error) {
	name := blockName{said: what}
	digest, err := images.ParseDigest(what)
	switch {
	case err == nil:
		name.Digest = digest
		return name, nil
	case what == "", strings.HasPrefix(strings.ToLower(what), images.SHA512+":"), strings.HasPrefix(strings.ToLower(what), images.SHA256+":"):
		return name, fmt.Errorf("%w: %w", ErrWhichImage, err) // a part of a checksum, as on a screen, would block nothing
	}
	if err := a.shownAs(ctx, sites, &name, state); err != nil {
		return name, err
	}
	if name.Digest == "" {
		name.Ref = what
	}
	return name, nil
}

// lookWait is how long one who blocks waits for clouds, or sources, to say what is called so.
const lookWait = 30 * time.Second

// shownAs looks for the image of ours that is shown under a name, its id in Glance or its title. What its source calls so is no such
// one: that is blocked in all its versions.
func (a *App) shownAs(ctx context.Context, sites []config.Site, name *blockName, state images.State) error {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	of := map[bool]map[images.Digest]images.Listed{true: {}, false: {}} // of the state, and of others
	for _, s := range sites {
		all, report := a.ListImages(ctx, s)
		name.blind = name.blind || report.Outcome != run.Done
		for _, i := range all {
			switch {
			case i.Image == name.said, i.Source+"/"+i.Image == name.said:
				return nil
			case i.Digest == "":
			case i.ID == name.said:
				name.Digest, name.shown = i.Digest, i
				return nil
			case i.Name == name.said:
				of[i.State == state][i.Digest] = i
			}
		}
	}
	found := of[true]
	if len(found) == 0 {
		found = of[false]
	}
	if len(found) > 1 {
		var all []string
		for _, digest := range slices.Sorted(maps.Keys(found)) {
			i := found[digest]
			all = append(all, fmt.Sprintf("%s/%s, %s in Glance, %s", i.Source, i.Image, i.ID, digest))
		}
		return fmt.Errorf("%w: %d are called %.80q: name one by its id in Glance, or its checksum:\n  %s", ErrWhichImage, len(found), name.said, strings.Join(all, "\n  "))
	}
	for digest, i := range found {
		name.Digest, name.shown = digest, i
	}
	return nil
}

// unheard asks the sources for an image that no cloud has. It gives what is to be said when none of them calls one so.
func (a *App) unheard(ctx context.Context, sites []config.Site, name blockName) *run.Problem {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	p := &run.Problem{Object: fmt.Sprintf("image %.80q", name.said), Step: "block", Reason: "nothing is called so: no image of ours in Glance, and none of a source", Hint: "fedsite images list -o wide has what they are called; fedsite images unblock takes a block back"}
	for _, s := range sites {
		for _, v := range a.VerifyImages(ctx, s) {
			if v.Failed != nil {
				name.blind = true
			}
			for _, e := range v.Entries {
				switch {
				case name.Covers(e):
					return nil
				case e.Name() == name.said || e.Title == name.said:
					p.Hint = "a source calls one so, that is not here yet: fedsite images block " + e.Source + "/" + e.ID
				}
			}
		}
	}
	if name.blind {
		p.Reason = "nothing is called so among what could be asked"
		p.Hint += ". By its title, or its id in Glance, block it again once all clouds answer"
	}
	return p
}

// warn adds a problem to a report that is finished.
func warn(r *run.Report, p run.Problem) {
	r.Problems = append(r.Problems, p)
	r.Counts["problems"]++
	if r.Outcome == run.Done {
		r.Outcome = run.Partial
	}
}
