package accounting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// vmsPerStep is how many VMs are worked on at once: their states and rows are read in one snapshot and written in as few
// transactions as possible, so memory does not grow with the number of VMs.
const vmsPerStep = 400

// pager works through the pages of one project.
type pager struct {
	*collector
	compute Compute
	basis   basis

	mu         sync.Mutex
	denied     bool            // instance actions may not be read here: asked once only
	unnamed    map[string]bool // VMs without a VO at the window's end
	incomplete error           // something could not be read now that later runs will not see again
	named      bool            // a user's name was read
	cells      map[string]bool // VMs that an unreachable cell shows without data
}

// lack notes that something could not be read that may be there at the next run. The window is collected again then.
func (p *pager) lack(what string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.incomplete == nil && errors.Is(err, openstack.ErrUnavailable) {
		p.incomplete = fmt.Errorf("%s: %w", what, err)
	}
}

// page gives the function that takes a listing's pages.
func (p *pager) page(ctx context.Context) func(openstack.Page) error {
	return func(page openstack.Page) error {
		for _, bad := range page.Bad {
			p.problem("VM "+bad.ID, bad.Reason, run.Problem{Permanent: true, Hint: "the cloud's administrator can look at it: openstack server show " + bad.ID})
		}
		servers := distinct(page.Servers)
		for len(servers) > 0 {
			n := min(len(servers), vmsPerStep)
			if err := p.step(ctx, page.Seen.UnixMilli(), servers[:n]); err != nil {
				return err
			}
			servers = servers[n:]
		}
		return nil
	}
}

// distinct keeps the last of equal servers of a page.
func distinct(servers []openstack.Server) []openstack.Server {
	last := make(map[string]int, len(servers))
	for i, s := range servers {
		last[s.ID] = i
	}
	if len(last) == len(servers) {
		return servers
	}
	var kept []openstack.Server
	for i, s := range servers {
		if last[s.ID] == i {
			kept = append(kept, s)
		}
	}
	return kept
}

// step takes some VMs through meter, record and ledger.
func (p *pager) step(ctx context.Context, seen int64, servers []openstack.Server) error {
	ids := make([]string, len(servers))
	for i, s := range servers {
		ids[i] = s.ID
	}
	known, err := recall(ctx, p.d.DB, p.t.Site.ID, p.c.Cloud.ID, ids)
	if err != nil {
		return storeError{err}
	}
	names, err := p.userNames(ctx, servers)
	if err != nil {
		return err
	}
	var (
		entries   []entry
		rows      int64
		unreached []string // shown without data
		left      []string // shown, and left as they are known
	)
	for _, s := range servers {
		if s.Partial {
			unreached = append(unreached, s.ID)
			continue
		}
		e, ok, err := p.observe(ctx, s, seen, names, known[s.ID])
		if err != nil {
			return err
		}
		if k := known[s.ID].vm; ok {
			entries = append(entries, e)
			rows += int64(len(e.rows))
		} else if k != nil && k.EndedAt == 0 {
			left = append(left, s.ID)
		}
	}
	if err := p.write(ctx, entries); err != nil {
		return err
	}
	if err := p.touch(ctx, left, seen); err != nil {
		return err
	}
	if err := p.partial(ctx, unreached, seen); err != nil {
		return err
	}
	p.d.Run.Count("vms_seen", int64(len(servers)))
	p.d.Run.Count("records_changed", rows)
	return nil
}

// write puts entries into the ledger, and tells what an operator should know of it.
func (p *pager) write(ctx context.Context, entries []entry) error {
	notes, err := p.basis.keep(ctx, p.d.DB, entries)
	if err != nil {
		return storeError{err}
	}
	for _, n := range notes {
		p.problem("VM "+n.vm, n.text, run.Problem{Step: "ledger", Notice: true})
	}
	return nil
}

// observe makes one VM's entry, asking for what the listing did not say; ok is false when there is nothing to keep.
func (p *pager) observe(ctx context.Context, s openstack.Server, seen int64, names map[string]string, k *kept) (e entry, ok bool, err error) {
	if ok, err := p.flavor(ctx, &s, k); err != nil || !ok {
		return entry{}, false, err
	}
	o := Observation{Server: s, Seen: seen, UserName: names[s.UserID]}
	if err := p.image(ctx, &o, k.vm == nil); err != nil {
		return entry{}, false, err
	}
	var meter Meter
	if k.vm != nil {
		meter = k.vm.sure(p.basis.charge())
	}
	size, _ := sizeOf(s.Flavor, p.t.Settings.Benchmarks)
	lives := s.Terminated.IsZero() && s.Status != "DELETED"
	if (k.vm == nil || k.vm.EndedAt == 0 || k.vm.Vanished != 0 || k.vm.EndsAt != 0 || lives) && wantsActions(meter, o, size, p.t.Settings.Charge, p.basis.Since, p.basis.Previous) {
		if err := p.actions(ctx, &o, k.vm); err != nil {
			return entry{}, false, err
		}
		if o.ActionsLater {
			return entry{}, false, nil
		}
	}
	vm, rows, notes, err := p.basis.apply(k.vm, o)
	for _, n := range notes {
		p.problem("VM "+s.ID, n, run.Problem{Step: "record", Notice: true, Hint: "what is counted is never re-priced; collect more often, with a credential that may read instance actions, to be exact"})
	}
	switch {
	case errors.Is(err, errOlder):
		return entry{}, false, nil
	case errors.Is(err, errNeverRan), errors.Is(err, errNotYet):
		p.d.Run.Count("vms_without_use", 1)
		return entry{}, false, nil
	case errors.Is(err, errNoVO):
		p.unnamed[s.ID] = true
		return entry{vm: vm}, k.vm != nil, nil
	case err != nil:
		p.problem("VM "+s.ID, err.Error(), run.Problem{Step: "record", Permanent: true, Hint: "the cloud's administrator can look at it: openstack server show " + s.ID})
		return entry{}, false, nil
	}
	if vm.EndedAt == 0 && !p.basis.owned() {
		p.unnamed[s.ID] = true
	}
	e, notes = p.basis.compose(vm, rows, k)
	e.named = k.vm != nil && k.vm.UserName == "" && vm.UserName != ""
	hint := "none of its records is sent; the other VMs go on"
	if k.twin != nil {
		hint += k.twin.hint(p.t.Site.ID, p.c.Cloud)
	}
	for _, n := range notes {
		p.problem("VM "+s.ID, n, run.Problem{Step: "ledger", Permanent: true, Hint: hint})
	}
	return e, true, nil
}

// userNames looks up the names of the users of the VMs, some at once; a user that cannot be read has none.
func (p *pager) userNames(ctx context.Context, servers []openstack.Server) (map[string]string, error) {
	names := map[string]string{}
	if p.t.Settings.UserName != SendName {
		return names, nil
	}
	var (
		mu     sync.Mutex
		failed error
	)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	asked := map[string]bool{}
	for _, s := range servers {
		if s.UserID == "" || asked[s.UserID] {
			continue
		}
		asked[s.UserID] = true
		group.Go(func() error {
			name, err := p.lookup.UserName(gctx, s.UserID)
			switch {
			case err == nil:
				mu.Lock()
				names[s.UserID] = name
				p.named = true
				mu.Unlock()
			case gctx.Err() != nil:
				return context.Cause(gctx)
			case errors.Is(err, openstack.ErrForbidden):
				p.nameless.Do(func() {
					p.problem("users", "the credential may not read users: records go without GlobalUserName", run.Problem{Notice: true, Permanent: true,
						Hint: "openstack role add --user <the credential's user> --system all reader; on clouds older than Queens only an administrator may read them"})
				})
			case errors.Is(err, openstack.ErrNotFound):
				p.d.Run.Count("users_unknown", 1)
			default:
				mu.Lock()
				failed = err
				mu.Unlock()
				p.problem("user "+s.UserID, err.Error(), run.Problem{Notice: true, Hint: "the name last known is kept"})
			}
			return nil
		})
	}
	err := group.Wait()
	if err == nil && failed != nil && !p.named { // not one user could be read: it is not about a single one
		p.lack("names of users", failed)
	}
	return names, err
}

// image finds what the record calls the VM's image.
func (p *pager) image(ctx context.Context, o *Observation, fresh bool) error {
	id := o.Server.ImageID
	if id == "" {
		return nil
	}
	o.Image = id
	image, err := p.lookup.Image(ctx, p.compute, id)
	switch {
	case err == nil && image.URI != "":
		o.Image = image.URI
	case err == nil, errors.Is(err, openstack.ErrNotFound):
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		o.ImageUnknown = true
		if fresh {
			p.lack("images", err)
		}
		p.problem("images of project "+p.basis.Project, err.Error(), run.Problem{Notice: true, Hint: openstack.Hint(err)})
	}
	return nil
}

// actions asks what was done to the VM. One that is fresh, and may be shown in this window only, is recorded without them
// when the next run, too, could hardly read them.
func (p *pager) actions(ctx context.Context, o *Observation, was *VM) error {
	if p.denied {
		o.ActionDenied = true
		return nil
	}
	actions, err := p.compute.Actions(ctx, o.Server.ID)
	switch {
	case err == nil:
		o.Actions = actions
		p.d.Run.Count("actions_asked", 1)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case leftToNext(err, o.Server, was): // the past is never re-priced: better late than at a wrong time
		o.ActionsLater = true
		if p.lack("instance actions of VM "+o.Server.ID, err); !errors.Is(err, openstack.ErrUnavailable) {
			p.problem("VM "+o.Server.ID, "left as it is known: its instance actions cannot be read: "+err.Error(), run.Problem{
				Hint: cmp.Or(openstack.Hint(err), "nothing is lost: the next run asks again, for a day; if it stays so, the cloud's administrator can see whether its databases are whole")})
		}
	default:
		o.ActionDenied = true
		p.denied = p.denied || errors.Is(err, openstack.ErrForbidden)
		p.problem("VM "+o.Server.ID, "its instance actions cannot be read: "+err.Error(), run.Problem{Notice: true, Hint: openstack.Hint(err)})
	}
	return nil
}

// leftToNext tells whether a VM whose instance actions could not be read is left to the next run: when they cannot be reached.
// What is refused stays so; an answer of no use is given a day, so that a VM whose actions are spoilt for good is counted
// all the same. That there are none is one of no use where the VM lives: it went out of sight since it was listed.
func leftToNext(err error, s openstack.Server, was *VM) bool {
	switch {
	case errors.Is(err, openstack.ErrUnavailable):
		return true
	case errors.Is(err, openstack.ErrForbidden), was == nil:
		return false
	case errors.Is(err, openstack.ErrNotFound) && (!s.Terminated.IsZero() || s.Status == "DELETED" || s.Status == "SOFT_DELETED"):
		return false
	}
	return was.Shown-was.Seen < actionsFor.Milliseconds()
}

// actionsFor is how long a known VM is left as it is for want of an answer of use about its instance actions.
const actionsFor = 24 * time.Hour
