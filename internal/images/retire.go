package images

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fedsite/fedsite/internal/openstack"
)

// retire takes an image out of sight, and deletes it if nothing keeps it.
func (a *applier) retire(ctx context.Context, s Store, x Action, r *Result) {
	if r.Err = a.expected(ctx, s, x); r.Err != nil {
		return
	}
	if r.Err = a.change(ctx, s, x); r.Err != nil {
		return
	}
	if x.Reason == replaced && a.t.Settings.KeepLast > 0 {
		return // it is one of the former versions that stay; the next plan says which
	}
	r.Stays = a.remove(ctx, s, x)
}

// succeed shares an image that is there now with the projects that have its former versions, and then retires these.
func (a *applier) succeed(ctx context.Context, x Action) {
	for _, share := range a.shares {
		if share.Place == x.Place && share.Key == x.Key {
			a.do(ctx, share)
		}
	}
	for _, former := range x.Former {
		if a.needed(former) || ctx.Err() != nil {
			continue
		}
		r := Result{Action: former, Image: former.Image}
		a.retire(ctx, a.store(former.Place), former, &r)
		a.note(ctx, r)
	}
}

// shared gives what became of the sharing of an image, if that was done already.
func (a *applier) shared(x Action) (Result, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.all, func(r Result) bool { return r.Verb == ShareIt && r.Place == x.Place && r.Key == x.Key })
	if i < 0 {
		return Result{}, false
	}
	return a.all[i], x.Verb == ShareIt
}

// needed tells whether a project still needs a former version, because its successor could not be shared with it.
func (a *applier) needed(former Action) bool {
	r, _ := a.shared(former)
	return former.Reason == replaced && r.Err != nil
}

// remove deletes an image that is retired, and tells why it is still there. One from which VMs run stays, whatever Glance
// would allow: a VM is rebuilt, resized and moved with its image.
func (a *applier) remove(ctx context.Context, s Store, x Action) string {
	vms, err := a.running(ctx, x.Cloud, x.Image)
	switch {
	case err != nil:
		return "it could not be seen whether VMs run from it: " + err.Error()
	case len(vms) > 0:
		return fmt.Sprintf("%d VMs run from it, %s among them", len(vms), vms[0])
	}
	if err := s.Delete(ctx, x.Image); err != nil {
		return err.Error()
	}
	return ""
}

// running gives the VMs that run from an image, in all projects of a cloud that may have some. Where an image can be lent, a
// project that could not be signed in to may have some, too; regions may have one Glance and a Nova each.
func (a *applier) running(ctx context.Context, cloud, image string) ([]string, error) {
	var all []string
	for id, c := range a.clouds {
		if id != cloud && !c.has(image) {
			continue
		}
		vms, err := a.runningAt(ctx, c, image)
		if err != nil {
			return nil, err
		}
		all = append(all, vms...)
	}
	return all, nil
}

func (a *applier) runningAt(ctx context.Context, c *sight, image string) ([]string, error) {
	var all []string
	if a.t.Settings.lends() {
		if c.Partial {
			return nil, errors.New("not all projects of the cloud are known now")
		}
		for project, place := range c.Places {
			if c.stores[project] == nil {
				return nil, fmt.Errorf("project %s could not be signed in to: %w", project, place.Failed)
			}
		}
	}
	for project, s := range c.stores {
		vms, err := s.Servers(ctx, image)
		if errors.Is(err, openstack.ErrNoService) {
			continue // without Nova there are no VMs
		}
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", project, err)
		}
		for _, vm := range vms {
			all = append(all, vm.ID)
		}
	}
	return all, nil
}

// block hides and deactivates an image at once, and lists who runs from it.
func (a *applier) block(ctx context.Context, s Store, x Action, r *Result) {
	if r.Err = errors.Join(s.Deactivate(ctx, x.Image), a.change(ctx, s, x)); r.Err != nil { // what one of them does is worth having
		return
	}
	var err error
	if r.VMs, err = a.running(ctx, x.Cloud, x.Image); err != nil {
		r.Err = fmt.Errorf("it is blocked, and it could not be seen which VMs run from it: %w", err)
	}
}
