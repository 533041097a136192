package app

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
)

// ownWays is a cloud some of whose projects are signed in to with credentials of their own.
type ownWays struct {
	general way      // nil = every project has its own
	own     []ownWay // in the order of the VOs
	whole   bool     // a listing that lacks a project is none: what is missing would be taken for gone

	mu   sync.Mutex
	ways map[string]way // of projects with their own, by id
}

// ownWay is the way to a project with its own credential.
type ownWay struct {
	project string // id or name, as the configuration has it; "" = the one that the credential is of
	vo      string // whose project it is then
	way
}

// Projects lists the projects of all credentials, each once. A project whose own credential fails now is there all the
// same: its listing says what is wrong, and it is not taken for gone.
func (o *ownWays) Projects(ctx context.Context) ([]site.Project, error) {
	var all []site.Project
	if o.general != nil {
		var err error
		if all, err = o.general.Projects(ctx); err != nil {
			return nil, err
		}
	}
	ways := map[string]way{}
	listed := map[way][]site.Project{}
	failed := map[way]error{}
	unlisted := map[string]error{}
	for _, own := range o.own {
		is := func(p site.Project) bool { return p.ID == own.project || p.Name == own.project }
		if _, asked := listed[own.way]; !asked && failed[own.way] == nil {
			listed[own.way], failed[own.way] = own.way.Projects(ctx)
		}
		err := failed[own.way]
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if own.project == "" && err == nil { // a failure comes to what is said below
			for _, p := range listed[own.way] {
				i := slices.IndexFunc(all, func(o site.Project) bool { return o.ID == p.ID })
				if i < 0 {
					i, all = len(all), append(all, p)
				}
				all[i].Of = append(slices.Clone(all[i].Of), own.vo)
				ways[p.ID] = own.way
			}
			continue
		}
		if own.project == "" {
			is = func(site.Project) bool { return false }
		}
		i, there := slices.IndexFunc(all, is), slices.IndexFunc(listed[own.way], is)
		switch {
		case i < 0 && there >= 0:
			all = append(all, listed[own.way][there])
			i = len(all) - 1
		case i < 0 && err == nil: // it is not there: the site's list and the cloud's differ
			continue
		case i < 0 && !isID(own.project) && o.whole: // without its id nothing of it could be kept apart from what is gone
			return nil, err
		case i < 0 && !isID(own.project):
			unlisted[cmp.Or(own.project, own.vo)] = err
			continue
		case i < 0:
			all = append(all, site.Project{ID: own.project, Enabled: true})
			i = len(all) - 1
		}
		ways[all[i].ID] = own.way
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ways = ways
	if len(unlisted) > 0 {
		return all, &discovery.UnlistedError{Why: unlisted}
	}
	return all, nil
}

// isID tells whether a project is named by its id.
func isID(text string) bool { return idForm.MatchString(text) }

var idForm = regexp.MustCompile(`^[0-9a-f]{32}$|^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Project signs in to a project with its credential.
func (o *ownWays) Project(ctx context.Context, id string) (accounting.Compute, error) {
	w, err := o.to(id)
	if err != nil {
		return nil, err
	}
	return w.Project(ctx, id)
}

// Inventory signs in to a project with its credential.
func (o *ownWays) Inventory(ctx context.Context, id string) (discovery.Inventory, error) {
	w, err := o.to(id)
	if err != nil {
		return nil, err
	}
	return w.Inventory(ctx, id)
}

// Store signs in to a project with its credential, for its images.
func (o *ownWays) Store(ctx context.Context, id string) (*openstack.ImageStore, error) {
	w, err := o.to(id)
	if err != nil {
		return nil, err
	}
	return w.Store(ctx, id)
}

// to gives the way to a project.
func (o *ownWays) to(id string) (way, error) {
	o.mu.Lock()
	w := o.ways[id]
	o.mu.Unlock()
	if w == nil {
		for _, own := range o.own {
			if own.project == id {
				w = own.way
			}
		}
	}
	if w == nil {
		w = o.general
	}
	if w == nil {
		return nil, &openstack.Error{Kind: openstack.ErrConfiguration, Message: "project " + id + " has no credential", Remedy: "name one for it under vos:, or for the whole cloud under clouds:"}
	}
	return w, nil
}

// Authorities asks by whichever way there is: Keystone is the same.
func (o *ownWays) Authorities(ctx context.Context) (openstack.Authorities, error) {
	for _, w := range append([]way{o.general}, o.all()...) {
		if w != nil {
			return w.Authorities(ctx)
		}
	}
	return openstack.Authorities{}, errors.ErrUnsupported
}

// Lookup looks things up with all credentials.
func (o *ownWays) Lookup() accounting.Lookup {
	var all ownLookups
	add := func(w way) {
		if w == nil {
			return
		}
		if l := w.Lookup(); l != nil {
			all = append(all, l)
		}
	}
	add(o.general)
	seen := map[way]bool{}
	for _, own := range o.own {
		if !seen[own.way] {
			add(own.way)
		}
		seen[own.way] = true
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// ownLookups are the look-ups of several credentials. What a project's token shows is the same with each; users are shown
// to some only.
type ownLookups []accounting.Lookup

// UserName asks with one credential after the other until one may see the user. One that cannot be used now says nothing
// against those that can.
func (l ownLookups) UserName(ctx context.Context, id string) (string, error) {
	var refused, failed error
	for _, one := range l {
		name, err := one.UserName(ctx, id)
		switch {
		case err == nil || ctx.Err() != nil:
			return name, err
		case errors.Is(err, openstack.ErrForbidden), errors.Is(err, openstack.ErrNotFound):
			refused = cmp.Or(refused, err)
		default:
			failed = cmp.Or(failed, err)
		}
	}
	return "", cmp.Or(refused, failed)
}

// Image asks for an image with the project's token.
func (l ownLookups) Image(ctx context.Context, c accounting.Compute, id string) (openstack.Image, error) {
	return l[0].Image(ctx, c, id)
}

// Flavor asks for a flavor with the project's token.
func (l ownLookups) Flavor(ctx context.Context, c accounting.Compute, id string) (openstack.Flavor, error) {
	return l[0].Flavor(ctx, c, id)
}

// Who signs in with the first credential that can, and tells as whom.
func (o *ownWays) Who(ctx context.Context) (openstack.Identity, error) {
	first := errors.ErrUnsupported
	for _, w := range append([]way{o.general}, o.all()...) {
		if w == nil {
			continue
		}
		who, err := w.Who(ctx)
		if err == nil {
			who.OnlyProject = "" // the others serve others
			return who, nil
		}
		if errors.Is(first, errors.ErrUnsupported) {
			first = err
		}
	}
	return openstack.Identity{}, first
}

func (o *ownWays) all() []way {
	var all []way
	for _, own := range o.own {
		all = append(all, own.way)
	}
	return all
}
