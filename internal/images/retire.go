package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// retire takes an image out of sight, and deletes it if nothing keeps it.
func (a *applier) retire(ctx context.Context, s Store, x Action, r *Result) {
	if _, r.Err = a.expected(ctx, s, x); r.Err != nil {
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

// block hides and deactivates an image at once, and lists who runs from it.
func (a *applier) block(ctx context.Context, s Store, x Action, r *Result) {
	if r.Err = errors.Join(s.Deactivate(ctx, x.Image), a.change(ctx, s, x)); r.Err != nil { // what one of them does is worth having
		return
	}
	var err error
	if r.VMs, err = a.running(ctx, x.Place, x.Image); err != nil {
		r.Err = fmt.Errorf("it is blocked, and it could not be seen which VMs run from it: %w", err)
	}
}
