package images

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// Result is what became of an action.
type Result struct {
	Action
	Image string // Glance's id
	Err   error  // nil = done
	Stays string // retire, delete: why the image is still there
	VMs   []VM   // block: those that run from it
	Bytes int64  // that went to Glance
}

// applier carries a plan out.
type applier struct {
	d      Deps
	t      *Target
	clouds map[string]*sight
	shares []Action             // to be shared, by the plan
	uses   map[cloudImage]Place // where VMs run from retired images
	mu     sync.Mutex
	all    []Result
}

// phases are the verbs that may go at the same time; a phase begins when the one before has ended.
var phases = [][]Verb{{BlockIt, Discard}, {Metadata, Adopt, Finish}, {Add, Replace, Resume}, {ShareIt, Unshare}, {Retire}, {Delete}, {GiveBack}, {LiftIt}}

// actionsAtOnce is how many actions but uploads are carried out at the same time.
const actionsAtOnce = 4

// apply carries out the actions of a plan that write, and no others. What fails spoils itself alone; the error is only for
// what ends the run.
func apply(ctx context.Context, d Deps, t *Target, p Plan, clouds []*sight) ([]Result, error) {
	a := &applier{d: d, t: t, clouds: map[string]*sight{}}
	for _, c := range clouds {
		a.clouds[c.ID] = c
	}
	for _, x := range p.Actions {
		if x.Writes() && x.Verb == ShareIt {
			a.shares = append(a.shares, x)
		}
	}
	if slices.ContainsFunc(p.Actions, func(x Action) bool { return x.Verb == Delete }) {
		var err error
		if a.uses, err = readUses(ctx, d, t.Site.ID); err != nil {
			return nil, err
		}
	}
	if !p.part {
		a.sweep(p.Actions)
	}
	for _, verbs := range phases {
		var todo []Action
		for _, x := range p.Actions {
			if _, done := a.shared(x); x.Writes() && slices.Contains(verbs, x.Verb) && !done {
				todo = append(todo, x)
			}
		}
		if len(todo) == 0 {
			continue
		}
		if verbs[0] == Add {
			a.upload(ctx, todo)
		} else {
			d.Run.Step(string(verbs[0]))
			atOnce(ctx, len(todo), actionsAtOnce, func(i int) { a.do(ctx, todo[i]) })
		}
		if ctx.Err() != nil {
			return a.all, context.Cause(ctx)
		}
	}
	return a.sorted(), nil
}

// sorted gives what was done in the order of a run, and alike in the order of names: what goes at the same time ends in no order.
func (a *applier) sorted() []Result {
	slices.SortStableFunc(a.all, func(x, y Result) int {
		return cmp.Or(slices.Index(writes, x.Verb)-slices.Index(writes, y.Verb), strings.Compare(x.Name, y.Name), strings.Compare(x.ProjectName, y.ProjectName))
	})
	return a.all
}

// do carries out one action.
func (a *applier) do(ctx context.Context, x Action) {
	r := Result{Action: x, Image: x.Image}
	store := a.store(x.Place)
	switch x.Verb {
	case ShareIt, Unshare:
		a.members(ctx, store, x, &r)
	case Discard:
		if _, r.Err = a.expected(ctx, store, x); r.Err == nil {
			r.Err = store.Delete(ctx, x.Image)
		}
	case Delete:
		if _, r.Err = a.expected(ctx, store, x); r.Err == nil {
			r.Stays = a.remove(ctx, store, x)
		}
	case Retire:
		if a.needed(x) {
			return // said where its successor could not be shared
		}
		a.retire(ctx, store, x, &r)
	case BlockIt:
		a.block(ctx, store, x, &r)
	case Finish, Metadata, Adopt, GiveBack, LiftIt:
		if r.Err = a.alter(ctx, store, x); r.Err == nil && (x.Verb == Finish || len(x.Former) > 0) {
			a.succeed(ctx, x)
		}
	}
	a.note(ctx, r)
}

// alter makes the edits of an action at an image that is as the plan saw it. What is taken over, or finished, is noted before it is
// marked.
func (a *applier) alter(ctx context.Context, s Store, x Action) error {
	there, err := a.expected(ctx, s, x)
	if err != nil {
		return err
	}
	if x.Verb != Finish && there.Status == "deactivated" {
		if err := s.Reactivate(ctx, x.Image); err != nil {
			return err
		}
	}
	if x.Verb == Adopt || x.Verb == Finish {
		if err := a.noteContent(ctx, x, x.Image, sumOf(there)); err != nil {
			return err
		}
	}
	return a.change(ctx, s, x)
}

func (a *applier) store(p Place) Store { return a.clouds[p.Cloud].stores[p.Project] }

// note keeps a result, and reports what went wrong.
func (a *applier) note(ctx context.Context, r Result) {
	if r.Err != nil && ctx.Err() != nil {
		return // the run was ended: nothing is known of the action
	}
	a.mu.Lock()
	a.all = append(a.all, r)
	a.mu.Unlock()
	switch {
	case r.Err != nil:
		a.d.Run.Count("failed", 1)
		p := problem(a.t, r.CloudName, r.Object(), string(r.Verb), r.Err, false)
		if r.ProjectName != "" {
			p.Reason = "project " + r.ProjectName + ": " + p.Reason
		}
		a.d.Run.Problem(p)
		return
	case r.Stays != "":
		a.d.Run.Count("retired, in use", 1)
		a.d.Run.Problem(run.Problem{Site: a.t.Site.Name, Cloud: r.CloudName, Object: r.Object() + ", " + r.Image, Step: string(r.Verb), Notice: true, Reason: "retired and not deleted: " + r.Stays, Hint: "nothing is to be done: it is tried again at each run"})
	}
	a.d.Run.Count(counts[r.Verb], 1)
}

// counts are the names of what is counted in a run's report.
var counts = map[Verb]string{BlockIt: "blocked", Discard: "discarded", Metadata: "changed", Adopt: "adopted", Finish: "finished", Add: "added", Replace: "replaced", Resume: "resumed",
	ShareIt: "shared", Unshare: "unshared", Retire: "retired", Delete: "deleted", GiveBack: "released", LiftIt: "unblocked"}

// errMeanwhile is an image that is not as the plan saw it.
var errMeanwhile = errors.New("it changed since the plan was made: the next run looks again")

// expected gives the image of an action, if it is as the plan saw it.
func (a *applier) expected(ctx context.Context, s Store, x Action) (openstack.StoredImage, error) {
	now, err := s.Image(ctx, x.Image)
	switch {
	case errors.Is(err, openstack.ErrNotFound):
		return now, fmt.Errorf("%w (it is gone)", errMeanwhile)
	case err != nil:
		return now, err
	case now.Status != x.Expect.Status || !now.Updated.Equal(x.Expect.Updated):
		return now, errMeanwhile
	}
	return now, nil
}

// change makes the edits of an action.
func (a *applier) change(ctx context.Context, s Store, x Action) error {
	if len(x.Edits) == 0 {
		return nil
	}
	edits := slices.Clone(x.Edits)
	for i, e := range edits {
		if e.Name == markFormer {
			text, err := formerValue(x)
			if err != nil {
				return err
			}
			edits[i].To = text
		}
	}
	_, err := s.Change(ctx, x.Image, changes(edits))
	return err
}

// formerValue gives the mark that remembers what an image was like.
func formerValue(x Action) (string, error) {
	text, err := json.Marshal(formerOf(x))
	if err != nil {
		return "", fmt.Errorf("what the image was: %w", err)
	}
	if len(text) > longestValue {
		return "", fmt.Errorf("what the image was takes %d bytes, and %d can be kept: it could not be given back", len(text), longestValue)
	}
	return string(text), nil
}

// formerOf gives what an image was like before the edits of its adoption.
func formerOf(x Action) Former {
	f := Former{Manager: x.manager, Core: map[string]string{}, Properties: map[string]string{}}
	for _, e := range x.Edits {
		switch {
		case slices.Contains(coreEdits, e.Name):
			f.Core[e.Name] = e.From
		case e.Name == markFormer:
		case e.Added:
			f.Added = append(f.Added, e.Name)
		default:
			f.Properties[e.Name] = e.From
		}
	}
	return f
}

// changes gives edits in Glance's words.
func changes(edits []Edit) []openstack.Change {
	all := make([]openstack.Change, 0, len(edits))
	for _, e := range edits {
		all = append(all, openstack.Change{Name: e.Name, Value: e.To, Remove: e.Removed, Property: !slices.Contains(coreEdits, e.Name)})
	}
	return all
}

var coreEdits = []string{editName, editVisibility, editHidden, editMinRAM, editMinDisk}

// members shares an image, or does not any more.
func (a *applier) members(ctx context.Context, s Store, x Action, r *Result) {
	if r.Image == "" {
		if r.Image = a.uploaded(x); r.Image == "" {
			r.Err = errors.New("there is no image to share: its upload failed")
			return
		}
	}
	for _, project := range x.Guests {
		if x.Verb == Unshare {
			r.Err = errors.Join(r.Err, s.Unshare(ctx, r.Image, project))
			continue
		}
		if err := s.Share(ctx, r.Image, project); err != nil {
			r.Err = errors.Join(r.Err, fmt.Errorf("share with project %s: %w", project, err))
			continue
		}
		guest := a.store(Place{x.Cloud, project})
		if guest == nil {
			r.Err = errors.Join(r.Err, fmt.Errorf("project %s could not be signed in to: it does not see the image before it has accepted it", project))
			continue
		}
		if err := guest.Accept(ctx, r.Image); err != nil {
			r.Err = errors.Join(r.Err, fmt.Errorf("accept in project %s: %w", project, err))
		}
	}
}

// uploaded gives the image that this run brought for an entry at a place.
func (a *applier) uploaded(x Action) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.all, func(r Result) bool {
		return r.Err == nil && slices.Contains([]Verb{Add, Replace, Resume}, r.Verb) && r.Place == x.Place && r.Key == x.Key
	})
	if i < 0 {
		return ""
	}
	return a.all[i].Image
}
