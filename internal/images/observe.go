package images

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// sight is a cloud as it was seen, with the ways into its projects.
type sight struct {
	CloudState
	stores map[string]Store // by project
	sync.Mutex
}

// look observes the clouds of a target: who gets images, and what is in Glance at each place. A cloud that cannot be asked
// is not among them, and is reported.
func look(ctx context.Context, d Deps, t *Target) ([]*sight, error) {
	d.Run.Step("observe")
	var (
		all    []*sight
		failed []run.Problem
	)
	for _, c := range t.Clouds {
		if site.Lowest(t.Settings.Mode, c.Mode) == site.Disabled {
			continue
		}
		listed, err := c.Way.Projects(ctx)
		if err != nil && len(listed) == 0 {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			failed = append(failed, problem(t, c.Cloud.Name, "cloud "+c.Cloud.Name, "observe", err, true))
			continue
		}
		if err != nil {
			d.Run.Problem(problem(t, c.Cloud.Name, "cloud "+c.Cloud.Name, "observe", err, false))
		}
		merged := site.Merge(c.Cloud, listed)
		for _, diff := range merged.Differences {
			d.Run.Problem(run.Problem{Site: t.Site.Name, Cloud: c.Cloud.Name, Object: diff.Object, Step: "observe", Reason: diff.Reason, Hint: diff.Hint})
		}
		s := &sight{CloudState: CloudState{ID: c.Cloud.ID, Name: c.Cloud.Name, Members: members(c, merged.Shares, t.Settings.Mode, d.Now()), Places: map[string]PlaceState{}, Partial: err != nil}, stores: map[string]Store{}}
		s.look(ctx, t, c)
		all = append(all, s)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, p := range failed {
		if len(all) == 0 { // nothing can be done at all
			d.Run.Fail(p)
		} else {
			d.Run.Problem(p)
		}
	}
	return all, nil
}

// seeClouds observes the clouds alone. A project that cannot be asked is reported.
func seeClouds(ctx context.Context, d Deps, t *Target) (Observed, []*sight, error) {
	clouds, err := look(ctx, d, t)
	if err != nil {
		return Observed{}, nil, err
	}
	o := Observed{At: d.Now()}
	for _, c := range clouds {
		o.Clouds = append(o.Clouds, c.CloudState)
		for project, place := range c.Places {
			if place.Failed != nil {
				d.Run.Problem(problem(t, c.Name, "project "+project, "observe", place.Failed, false))
			}
		}
	}
	return o, clouds, nil
}

// has tells whether an image was seen there.
func (s *sight) has(image string) bool {
	for _, place := range s.Places {
		if slices.ContainsFunc(place.Images, func(i openstack.StoredImage) bool { return i.ID == image }) {
			return true
		}
	}
	return false
}

// look asks each project's Glance, some at once.
func (s *sight) look(ctx context.Context, t *Target, c CloudTarget) {
	var projects []Member
	for _, m := range s.Members {
		if !slices.ContainsFunc(projects, func(p Member) bool { return p.Project == m.Project }) {
			projects = append(projects, m)
		}
	}
	atOnce(ctx, len(projects), max(c.Parallel, 1), func(i int) {
		place, store := glance(ctx, t, c, projects[i])
		s.Lock()
		defer s.Unlock()
		s.Places[projects[i].Project] = place
		if store != nil {
			s.stores[projects[i].Project] = store
		}
	})
}

// glance gives what a project's Glance has of its own.
func glance(ctx context.Context, t *Target, c CloudTarget, m Member) (PlaceState, Store) {
	state := PlaceState{Name: m.Name}
	store, err := c.Way.Store(ctx, m.Project)
	if err != nil {
		state.Failed = err
		return state, nil
	}
	images, bad, err := store.Own(ctx)
	if err != nil {
		state.Failed = err
		return state, store
	}
	if len(bad) > 0 { // an image of ours may be among them: nothing is brought in its place
		state.Failed = &Failure{Kind: Unusable, Reason: "Glance lists " + bad[0].Reason, Hint: "look at image " + bad[0].ID}
		return state, store
	}
	state.Images, state.Hides, state.Plain = images, store.Hides(), !store.SharedVisibility()
	if t.Settings.Sharing != Share {
		return state, store
	}
	if state.Members, err = guests(ctx, t, store, images); err != nil {
		state.Failed = err
	}
	return state, store
}

// guests gives the projects that images of ours are shared with, by image. One that refused an image has it, too: whether it
// wants to see it is its own affair.
func guests(ctx context.Context, t *Target, store Store, images []openstack.StoredImage) (map[string][]string, error) {
	var ask []openstack.StoredImage
	for _, i := range images {
		m := readMarks(i)
		lent := i.Visibility == "shared" || i.Visibility == "private" && !store.SharedVisibility()
		if lent && m.Manager == t.Settings.Instance && m.State == Active {
			ask = append(ask, i)
		}
	}
	members, failed := make([][]openstack.Member, len(ask)), make([]error, len(ask))
	atOnce(ctx, len(ask), membersAtOnce, func(i int) { members[i], failed[i] = store.Members(ctx, ask[i].ID) })
	all := map[string][]string{}
	for i, image := range ask {
		for _, m := range members[i] {
			if m.Status == "accepted" || m.Status == "rejected" {
				all[image.ID] = append(all[image.ID], m.Project)
			}
		}
	}
	return all, cmp.Or(errors.Join(failed...), ctx.Err())
}

// membersAtOnce is how many images of a project are asked at the same time for whom they are shared with.
const membersAtOnce = 4

// marked gives what the marks in Glance remember of a source: the newest list that more than half of its images in use have seen,
// so that a few that somebody changed outvote nobody; and the ids it manages. With no list given it is the one that most of its
// images are of. Dates that are still to come are nobody's.
func marked(all []*sight, instance, source, list string, now time.Time) Memory {
	type vote struct {
		vmlist.Edition
		image string
	}
	missing, votes := map[string]map[string]time.Time{}, map[string][]vote{}
	manages := func(k Key) {
		if missing[k.List] == nil {
			missing[k.List] = map[string]time.Time{}
		}
		missing[k.List][k.ID] = time.Time{}
	}
	for _, s := range all {
		for _, place := range s.Places {
			for _, i := range place.Images {
				x := readMarks(i)
				if x.Manager != instance {
					continue
				}
				for _, k := range x.Also {
					manages(k)
				}
				if x.Source != source {
					continue
				}
				manages(x.Key)
				if x.State == Active && x.ListCreated.Sub(now) <= ahead {
					votes[x.List] = append(votes[x.List], vote{vmlist.Edition{Version: x.ListVersion, Created: x.ListCreated}, "image " + i.ID + " in project " + place.Name})
				}
			}
		}
	}
	if list == "" {
		for id, of := range votes {
			if len(of) > len(votes[list]) || len(of) == len(votes[list]) && id < list {
				list = id
			}
		}
	}
	m := Memory{Missing: missing[list]}
	if of := votes[list]; len(of) > 0 {
		slices.SortFunc(of, func(a, b vote) int {
			return cmp.Or(vmlist.Compare(b.Edition, a.Edition), strings.Compare(a.image, b.image))
		})
		most := of[len(of)/2]
		m.List, m.Version, m.Created, m.Newest, m.Image = list, most.Version, most.Created, of[0].Edition, of[0].image
	}
	return m
}

// atOnce does something for each of n, so many at the same time.
func atOnce(ctx context.Context, n, most int, do func(i int)) {
	var group sync.WaitGroup
	turn := make(chan struct{}, most)
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		turn <- struct{}{}
		group.Go(func() {
			defer func() { <-turn }()
			do(i)
		})
	}
	group.Wait()
}
