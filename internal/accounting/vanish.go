package accounting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// closing is a VM that is to be closed, though no listing shows it.
type closing struct {
	VM
	changes []Change // what its instance actions say was done to it since it was counted
	notes   []string // what an operator should know of it
}

// unasked are VMs that are to be closed, and cannot be asked for.
func unasked(vms []VM) (all []closing) {
	for _, v := range vms {
		all = append(all, closing{VM: v})
	}
	return all
}

// endSeen closes those whose end was seen already, before it could be counted to: they need not be looked for.
func (p *pager) endSeen(ctx context.Context, u *unseen) error {
	var ended []closing
	var rest []VM
	for _, v := range u.vms {
		if v.EndsAt == 0 || v.EndsAt > p.basis.To {
			rest = append(rest, v)
			continue
		}
		c, later, err := p.lastActions(ctx, v)
		if err != nil {
			return err
		}
		if !later {
			ended = append(ended, c)
		}
		if !u.isReleased(v) {
			u.count--
		}
	}
	u.vms = rest
	return p.vanish(ctx, ended)
}

// closeGone closes VMs that are gone: when their instance actions say that they were deleted, as far as these are still
// there, else when they were last seen. One whose actions cannot be read now is left to the next run.
func (p *pager) closeGone(ctx context.Context, gone []VM) error {
	var closed []closing
	for _, v := range gone {
		c, later, err := p.lastActions(ctx, v)
		if err != nil {
			return err
		}
		if !later {
			closed = append(closed, c)
		}
	}
	return p.vanish(ctx, closed)
}

// lastActions asks what was done to a VM that is to be closed, and until when it lived; later when they cannot be reached
// now. What they say of its states is counted; a flavor that was never seen is not known, and told of.
func (p *pager) lastActions(ctx context.Context, v VM) (c closing, later bool, err error) {
	c.VM = v
	actions, err := p.compute.Actions(ctx, v.ID)
	switch {
	case ctx.Err() != nil:
		return c, false, context.Cause(ctx)
	case errors.Is(err, openstack.ErrUnavailable):
		return c, true, nil
	case err != nil:
		if v.EndsAt-v.CountedTo > int64(p.t.Settings.Overlap/time.Second) {
			c.notes = append(c.notes, fmt.Sprintf("ended %s, and is shown no more: what was done to it since %s cannot be read, counted with flavor %s (%d vCPU) and in state %s",
				unix(v.EndsAt), unix(v.CountedTo), v.Size.Flavor, v.Size.VCPUs, v.State))
		}
		return c, false, nil
	}
	if at := deletion(actions); v.EndsAt == 0 && at >= v.Shown/1000 { // one before that was taken back, or a soft one, which goes by the same name
		c.EndsAt = at
	}
	last := cmp.Or(c.EndsAt, v.Shown/1000)
	since := func(t int64) bool { return t > v.CountedTo && t <= last }
	if charge := p.basis.charge(); charge.StoppedFree || charge.ShelvedFree {
		c.changes = states(v.State, actions, since)
	}
	n, at := 0, int64(0)
	for _, a := range actions {
		if resizing[a.Name] && !a.Failed && since(finished(a)) {
			n, at = n+1, finished(a)
		}
	}
	if n > 0 {
		c.notes = append(c.notes, fmt.Sprintf("flavor changed %s since %s, to one that was not seen before it was gone: counted as %s (%d vCPU), also from %s on", often(n), unix(v.CountedTo), v.Size.Flavor, v.Size.VCPUs, unix(at)))
	}
	return c, false, nil
}

// askVanished asks by id for some of the VMs that were closed as vanished of late: one that is softly deleted is back in no
// listing that shows what changed since it was seen.
func (p *pager) askVanished(ctx context.Context, began time.Time) error {
	var ids []string
	err := p.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = column(tx, `SELECT vm FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NOT NULL AND vanished > $3 ORDER BY vanished DESC, vm LIMIT $4`,
			p.c.Cloud.ID, p.basis.Project, began.Add(-vanishedFor).Unix(), maxNamed)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	for _, id := range ids {
		seen := p.d.Now()
		s, err := p.compute.Server(ctx, id)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
			continue
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return nil //nolint:nilerr // the next run asks again
		case s.Partial:
			continue
		}
		if err := p.step(ctx, seen.UnixMilli(), []openstack.Server{s}); err != nil {
			return err
		}
	}
	return nil
}

// deletion gives when a VM's actions say that it was deleted, in unix seconds; 0 when they don't.
func deletion(actions []openstack.Action) (at int64) {
	for _, a := range actions {
		if (a.Name == "delete" || a.Name == "forceDelete") && !a.Failed {
			at = finished(a)
		}
	}
	return at
}

// maxNamed is how many VMs are named where the same is to be said of many.
const maxNamed = 20

// vanish closes VMs that are gone: at the end that was seen of them before it could be counted to, else when they were
// last seen.
func (p *pager) vanish(ctx context.Context, gone []closing) error {
	for len(gone) > 0 {
		n := min(len(gone), vmsPerStep)
		if err := p.closeAtSight(ctx, gone[:n]); err != nil {
			return err
		}
		gone = gone[n:]
	}
	return nil
}

func (p *pager) closeAtSight(ctx context.Context, gone []closing) error {
	ids := make([]string, len(gone))
	for i, v := range gone {
		ids[i] = v.ID
	}
	all, err := recall(ctx, p.d.DB, p.t.Site.ID, p.c.Cloud.ID, ids)
	if err != nil {
		return storeError{err}
	}
	var entries []entry
	for _, c := range gone {
		v := c.VM
		last, known := cmp.Or(v.EndsAt, v.Shown/1000), v.EndsAt != 0
		if last > p.basis.To {
			continue // seen after the window's end: it is closed by the next run
		}
		sure := v.CountedTo
		meter, readings := v.Advance(c.changes, p.basis.To, max(last, v.StartedAt+1), p.basis.Since, p.basis.charge())
		v.Meter, v.EndsAt = meter, 0
		if sure < meter.CountedTo && len(c.changes) == 0 { // if it is shown again, it is counted anew from there
			v.EndsAt = sure
		}
		if !known || len(c.notes) > 0 { // it is looked for some days more
			v.Vanished = p.d.Now().Unix()
		}
		rows := p.basis.rows(&v, readings)
		e, _ := p.basis.compose(v, rows, all[v.ID])
		entries = append(entries, e)
		for _, n := range c.notes {
			p.problem("VM "+v.ID, n, run.Problem{Step: "ledger", Notice: true, Hint: "collect more often to be exact"})
		}
		if known {
			continue
		}
		if p.d.Run.Count("vms_vanished", 1); len(entries) <= maxNamed {
			p.problem("VM "+v.ID, fmt.Sprintf("vanished without an end: closed when it was last seen, %s", unix(last)), run.Problem{Step: "ledger", Notice: true,
				Hint: "if it still runs, its records go on by themselves when the cloud shows it again"})
		}
	}
	return p.write(ctx, entries)
}
