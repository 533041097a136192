package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// missing looks for VMs that are open in the ledger and were in neither listing: one more changed-since listing from the
// oldest sight among them finds what ended while it was hidden; only then are they asked by id, and at last called
// vanished (design §7, rule 3).
func (p *pager) missing(ctx context.Context, project site.Project, began time.Time) error {
	u, err := p.unseen(ctx, began)
	if err != nil || len(u.vms) == 0 {
		return err
	}
	since := time.UnixMilli(u.vms[0].Seen).UTC().Add(-p.t.Settings.Overlap)
	if err := p.compute.Changed(ctx, since, p.page(ctx)); err != nil {
		return fmt.Errorf("list the VMs changed since %s: %w", since.Format(time.RFC3339), err)
	}
	if u, err = p.unseen(ctx, began); err != nil {
		return err
	}
	gone, err := p.askByID(ctx, u.vms)
	if err != nil {
		return err
	}
	return p.vanish(ctx, project, gone, u)
}

// maxFailures is how many of the missing VMs may fail to answer by id, one after the other, before the rest is left to
// the next run.
const maxFailures = 3

// askByID asks for VMs that no listing shows, and gives those that there are not. One that cannot be asked for stays as
// it is known, and the next run looks for it again.
func (p *pager) askByID(ctx context.Context, vms []VM) (gone []VM, err error) {
	failures := 0
	for _, v := range vms {
		seen := p.d.Now()
		s, err := p.compute.Server(ctx, v.ID)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
			gone = append(gone, v)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			p.problem("VM "+v.ID, "no listing shows it, and it cannot be asked for: "+err.Error(), run.Problem{Hint: openstack.Hint(err)})
			if failures++; failures >= maxFailures {
				return gone, nil
			}
			continue
		default:
			if err := p.step(ctx, seen.UnixMilli(), []openstack.Server{s}); err != nil {
				return nil, err
			}
		}
		failures = 0
	}
	return gone, nil
}

// unseen is what of a project is open in the ledger and was not seen in this run.
type unseen struct {
	vms   []VM  // those seen longest ago, at most maxUnseen
	count int64 // of all unseen ones
	open  int64 // of all open ones, the seen ones too
}

// maxUnseen bounds how many missing VMs of a project one run looks for by id.
const maxUnseen = 1000

func (p *pager) unseen(ctx context.Context, began time.Time) (u unseen, err error) {
	err = p.d.DB.Read(ctx, func(tx *store.Tx) error {
		u = unseen{}
		cloud, project := p.c.Cloud.ID, p.basis.Project
		if err := tx.QueryRow(`SELECT count(*), coalesce(sum(CASE WHEN seen < $3 THEN 1 ELSE 0 END), 0) FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL`,
			cloud, project, began.UnixMilli()).Scan(&u.open, &u.count); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT `+vmColumns+` FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL AND seen < $3 ORDER BY seen LIMIT $4`,
			cloud, project, began.UnixMilli(), maxUnseen)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scanVM(rows)
			if err != nil {
				return err
			}
			u.vms = append(u.vms, v)
		}
		return rows.Err()
	})
	if err != nil {
		return unseen{}, storeError{err}
	}
	return u, nil
}

// vanish closes VMs that are gone without an end, when they were last seen. When a large part of the project is gone at
// once, more than max(5, 20 %) with those that were not asked for, nothing is closed: it is far more likely that the
// cloud does not show them.
func (p *pager) vanish(ctx context.Context, project site.Project, gone []VM, u unseen) error {
	missing := int64(len(gone)) + u.count - int64(len(u.vms))
	if len(gone) > 0 && missing > max(5, u.open/5) {
		p.problem(object(project), fmt.Sprintf("%d of %d VMs cannot be found any more: none is closed", missing, u.open), run.Problem{
			Hint: "see whether the cloud shows them all: openstack server list --project " + project.ID})
		return nil
	}
	var entries []entry
	for _, was := range gone {
		last := was.Seen / 1000
		if last > p.basis.To {
			continue // seen after the window's end: it is closed by the next run
		}
		known, err := recall(ctx, p.d.DB, p.t.Site.ID, p.c.Cloud.ID, []string{was.ID})
		if err != nil {
			return storeError{err}
		}
		v := was
		meter, readings := v.Advance(nil, p.basis.To, max(last, v.StartedAt+1), p.basis.Since, p.basis.charge())
		v.Meter, v.Vanished = meter, p.d.Now().Unix()
		rows := p.basis.rows(&v, readings)
		e, _ := p.basis.compose(v, rows, known[v.ID])
		entries = append(entries, e)
		p.d.Run.Count("vms_vanished", 1)
		p.problem("VM "+v.ID, fmt.Sprintf("vanished without an end: closed when it was last seen, %s", unix(last)), run.Problem{Step: "ledger", Notice: true,
			Hint: "if it still runs, its records go on by themselves when the cloud shows it again"})
	}
	return p.write(ctx, entries)
}

// partial keeps the last state of a VM that an unreachable cell shows without data.
func (p *pager) partial(ctx context.Context, s openstack.Server, k *kept, seen int64) error {
	p.problem("VM "+s.ID, "its cell is down: the cloud shows it without data, its last state is kept", run.Problem{Notice: true})
	if k.vm == nil {
		return nil
	}
	err := p.d.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE vm SET seen = $1 WHERE cloud = $2 AND vm = $3 AND seen < $1`, seen, p.c.Cloud.ID, s.ID)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	return nil
}

// Replaced takes a cloud out of the ledger under whose id nothing is collected any more, because it is another one under
// a new name: its VMs stand in nobody's way, and its rows stay as what was sent. That one collects its VMs again, from
// their beginning, into rows that the server takes for the same. A collection that goes on under it writes no more.
func Replaced(tx *store.Tx, siteID, cloud, by string) error {
	if err := lockSite(tx, siteID); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE cloud SET replaced_by = $1 WHERE id = $2`, by, cloud); err != nil {
		return err
	}
	if _, err := tx.Exec(`DELETE FROM vm WHERE cloud = $1 AND parked = ''`, cloud); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE ledger SET parked = $1 WHERE site = $2 AND cloud = $3 AND parked IS NULL`, "collected under the cloud's former name again", siteID, cloud)
	return err
}
