package accounting

import (
	"context"
	"fmt"
	"slices"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// goneProjects deals with projects that have open VMs in the ledger, and that the credential can sign in to no more: one
// was deleted, disabled, or its role was taken away, which cannot be told apart. Such a project is held; what an operator
// has released of it is closed when it was last seen.
func (c *collector) goneProjects(ctx context.Context, there []site.Project) error {
	var gone []site.Project
	err := c.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		gone, err = openProjects(tx, c.c.Cloud.ID, there)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	for _, p := range gone {
		held, err := heldOf(ctx, c.d.DB, c.c.Cloud.ID, p.ID)
		if err != nil {
			return err
		}
		if held != nil && p.Name == "" {
			p.Name = held.Name
		}
		if len(c.ask.Projects) > 0 && !c.asks(p) {
			continue
		}
		c.found[p.ID], c.found[p.Name] = true, true
		if err := c.goneProject(ctx, p, held); err != nil {
			return err
		}
	}
	return nil
}

// openProjects gives the projects that have VMs open in the ledger, or are held, and are not among those there are.
func openProjects(tx *store.Tx, cloud string, there []site.Project) ([]site.Project, error) {
	ids, err := column(tx, `SELECT project FROM vm WHERE cloud = $1 AND ended_at IS NULL
		UNION SELECT project FROM project_state WHERE cloud = $1 AND part = '`+part+`' ORDER BY project`, cloud)
	var gone []site.Project
	for _, id := range ids {
		if !slices.ContainsFunc(there, func(p site.Project) bool { return p.ID == id }) {
			gone = append(gone, site.Project{ID: id})
		}
	}
	return gone, err
}

func (c *collector) goneProject(ctx context.Context, p site.Project, held *Held) error {
	pages := &pager{collector: c, basis: basis{
		Target: c.t, Cloud: c.c.Cloud, Project: p.ID, To: c.d.Now().Add(-c.t.Settings.Settle).Unix(), Since: c.start.Since, Previous: c.start.Previously,
	}}
	released := func() (all []VM, open int64, err error) {
		u, err := pages.unseen(ctx, c.d.Now(), held)
		return slices.DeleteFunc(u.vms, func(v VM) bool { return !u.isReleased(v) }), u.open, err
	}
	gone, _, err := released()
	if err != nil {
		return err
	}
	for vo, vms := range byVO(gone) { // it is in nobody's list of shares any more: they stay with their VOs
		pages.basis.Shares = []site.Share{{VO: vo, AccountAs: vo, Project: p}}
		if err := pages.vanish(ctx, unasked(vms)); err != nil {
			return err
		}
	}
	rest, open, err := released()
	switch {
	case err != nil:
		return err
	case open == 0:
		return c.free(ctx, held)
	case len(rest) > 0: // more than one run closes
		return nil
	}
	remedy := fmt.Sprintf("if it is there: openstack role add --user <the credential's user> --project %[1]s reader; if it is gone for good: fedsite accounting release %[1]s", p.ID)
	return c.hold(ctx, p, fmt.Sprintf("held: it was deleted or disabled, or the credential has no role on it any more; %d of its VMs had not ended, none of them is closed", open), remedy, held, c.d.Now())
}

func byVO(vms []VM) map[string][]VM {
	all := map[string][]VM{}
	for _, v := range vms {
		all[v.VO] = append(all[v.VO], v)
	}
	return all
}
