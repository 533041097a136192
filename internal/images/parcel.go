package images

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"

	"github.com/fedsite/fedsite/internal/openstack"
)

// order is one image that is to be in Glance, of a parcel.
type order struct {
	action Action
	store  Store
	old    bool   // Glance without SHA-512
	image  string // Glance's id, once it is there
	err    error  // why this one did not arrive
	bytes  int64
}

// parcel is a file that is fetched once, for all images that are made of it.
type parcel struct {
	entry  Entry
	from   SourceTarget
	orders []*order
	broken int // how often its stream broke off in a row
}

// upload brings the files of actions to Glance: one download for each distinct file, some at once, but one at a time from
// the same host.
func (a *applier) upload(ctx context.Context, todo []Action) {
	a.d.Run.Step("upload")
	parcels := a.parcels(todo)
	hosts := map[string]*sync.Mutex{}
	for _, x := range todo {
		hosts[hostOf(x.Entry.At.URL)] = &sync.Mutex{}
	}
	atOnce(ctx, len(parcels), max(a.t.Settings.Parallel, 1), func(i int) {
		for p := parcels[i]; p != nil; {
			p = a.take(ctx, p, hosts[hostOf(p.entry.At.URL)])
		}
	})
}

// take brings a parcel, and gives what of it another source may have better.
func (a *applier) take(ctx context.Context, p *parcel, host *sync.Mutex) *parcel {
	host.Lock()
	defer host.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	err := a.bring(ctx, p)
	var rest *parcel
	if err != nil && ctx.Err() == nil {
		rest = a.elsewhere(p)
	}
	a.arrived(ctx, p, err)
	return rest
}

// elsewhere takes out of a parcel that could not be fetched what was named by others in another way: a source that says where
// a disk is not, or how long it is not, spoils itself alone.
func (a *applier) elsewhere(p *parcel) *parcel {
	var rest *parcel
	p.orders = slices.DeleteFunc(p.orders, func(o *order) bool {
		e := *o.action.Entry
		if o.err != nil || (e.At == p.entry.At && e.Size == p.entry.Size && e.Format == p.entry.Format) {
			return false
		}
		if rest == nil {
			rest = &parcel{entry: e, from: a.sourceOf(e)}
		}
		rest.orders = append(rest.orders, o)
		return true
	})
	return rest
}

func (a *applier) sourceOf(e Entry) SourceTarget {
	return a.t.Sources[slices.IndexFunc(a.t.Sources, func(s SourceTarget) bool { return s.Name() == e.Source })]
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// parcels puts actions with the same file together, in the order of the plan.
func (a *applier) parcels(todo []Action) []*parcel {
	var all []*parcel
	for _, x := range todo {
		i := slices.IndexFunc(all, func(p *parcel) bool { return p.entry.Digest == x.Entry.Digest })
		if i < 0 {
			i = len(all)
			all = append(all, &parcel{entry: *x.Entry, from: a.sourceOf(*x.Entry)})
		}
		all[i].orders = append(all[i].orders, &order{action: x, store: a.store(x.Place), image: x.Image, old: !a.clouds[x.Cloud].Places[x.Project].Hides})
	}
	return all
}

// errStage says that a file cannot go to Glance as it comes: it has to be on disk first.
type errStage struct{ why string }

func (e *errStage) Error() string { return e.why }

// bring takes a parcel to Glance: as a stream, or by way of the disk where it must be.
func (a *applier) bring(ctx context.Context, p *parcel) error {
	s := a.t.Settings
	why := ""
	switch {
	case s.Staging == StageAlways:
		why = "images.staging: always"
	case s.Staging != StageNever && a.begun(p.entry.Digest):
		why = "a part of it is on disk"
	case s.StageAbove > 0 && p.entry.Size > s.StageAbove && s.Staging == StageAuto:
		why = fmt.Sprintf("it has more than %d bytes", s.StageAbove)
	}
	for why == "" {
		err := a.stream(ctx, p)
		var stage *errStage
		switch {
		case errors.As(err, &stage):
			why = stage.why
		case errors.Is(err, errBroken) && !lasting(err) && ctx.Err() == nil:
			if p.broken++; p.broken >= mostBroken {
				if s.Staging == StageNever {
					return err
				}
				why = "its stream broke off twice"
			}
		default:
			return err
		}
	}
	if s.Staging == StageNever {
		return fmt.Errorf("it has to be on disk first (%s), and images.staging is never", why)
	}
	a.d.Log.Debug("an image is staged", "image", p.entry.Name(), "why", why)
	return a.staged(ctx, p)
}

// mostBroken is how often a stream may break off before the file is staged.
const mostBroken = 2

// open are the orders of a parcel that have not failed.
func (p *parcel) open() []*order {
	return slices.DeleteFunc(slices.Clone(p.orders), func(o *order) bool { return o.err != nil })
}

// arrived notes what became of a parcel's orders, shares what is there, and retires what it replaces.
func (a *applier) arrived(ctx context.Context, p *parcel, err error) {
	if ctx.Err() != nil {
		return // the next run finds what is in Glance
	}
	for _, o := range p.orders {
		if o.err == nil {
			o.err = err
		}
		if o.err != nil && o.image != "" {
			a.discard(ctx, o)
		}
		a.note(ctx, Result{Action: o.action, Image: o.image, Err: o.err, Bytes: o.bytes})
		if o.err == nil {
			a.d.Run.Count("bytes", o.bytes)
			a.succeed(ctx, o.action)
		}
	}
	a.remember(ctx, p, err)
}

// discard takes away what an upload that failed has left in Glance.
func (a *applier) discard(ctx context.Context, o *order) {
	if err := o.store.Delete(ctx, o.image); err != nil && !errors.Is(err, openstack.ErrNotFound) {
		o.err = fmt.Errorf("%w; what is left of it, image %s, could not be deleted, and is at the next run: %w", o.err, o.image, err)
	}
}
