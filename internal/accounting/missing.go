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
	open, all, oldest, err := p.unseen(ctx, began)
	if err != nil || len(open) == 0 {
		return err
	}
	since := time.UnixMilli(oldest).UTC().Add(-p.t.Settings.Overlap)
	if err := p.compute.Changed(ctx, since, p.page(ctx)); err != nil {
		return fmt.Errorf("list the VMs changed since %s: %w", since.Format(time.RFC3339), err)
	}
	if open, all, _, err = p.unseen(ctx, began); err != nil {
		return err
	}
	var gone []VM
	for _, v := range open {
		seen := p.d.Now()
		s, err := p.compute.Server(ctx, v.ID)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
			gone = append(gone, v)
		case err != nil:
			return fmt.Errorf("ask for VM %s, which no listing shows: %w", v.ID, err)
		default:
			if err := p.step(ctx, seen.UnixMilli(), []openstack.Server{s}); err != nil {
				return err
			}
		}
	}
	return p.vanish(ctx, project, gone, all)
}

// unseen gives the VMs of the project that are open in the ledger and were not seen since the run began, how many are
// open in all, and the oldest sight of the unseen ones.
func (p *pager) unseen(ctx context.Context, began time.Time) (open []VM, all int64, oldest int64, err error) {
	err = p.d.DB.Read(ctx, func(tx *store.Tx) error {
		open = nil
		cloud, project := p.c.Cloud.ID, p.basis.Project
		if err := tx.QueryRow(`SELECT count(*) FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL`, cloud, project).Scan(&all); err != nil {
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
			open = append(open, v)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, 0, 0, storeError{err}
	}
	if len(open) > 0 {
		oldest = open[0].Seen
	}
	return open, all, oldest, nil
}

// maxUnseen bounds how many missing VMs of a project one run looks for by id.
const maxUnseen = 1000

// vanish closes VMs that are gone without an end, when they were last seen. When a large part of the project is gone at
// once, more than max(5, 20 %), nothing is closed: it is far more likely that the cloud does not show them.
func (p *pager) vanish(ctx context.Context, project site.Project, gone []VM, all int64) error {
	if int64(len(gone)) > max(5, all/5) {
		p.problem(object(project), fmt.Sprintf("%d of %d VMs cannot be found any more: none is closed", len(gone), all), run.Problem{
			Hint: "see whether the cloud shows them all: openstack server list --project " + project.ID})
		return nil
	}
	var entries []entry
	for _, v := range gone {
		last := v.Seen / 1000
		if last > p.basis.To {
			continue // seen after the window's end: it is closed by the next run
		}
		known, err := recall(ctx, p.d.DB, p.t.Site.ID, p.c.Cloud.ID, []string{v.ID})
		if err != nil {
			return storeError{err}
		}
		was := v
		meter, readings := v.Advance(nil, p.basis.To, max(last, v.StartedAt+1), p.basis.Since, p.t.Settings.Charge)
		v.Meter, v.Vanished = meter, p.d.Now().Unix()
		k := known[v.ID]
		k.vm = &was
		e, _ := p.basis.compose(v, p.basis.rows(&v, readings), k)
		e.vm = v
		entries = append(entries, e)
		p.d.Run.Count("vms_vanished", 1)
		p.problem("VM "+v.ID, fmt.Sprintf("vanished without an end: closed when it was last seen, %s", unix(last)), run.Problem{Step: "ledger", Notice: true,
			Hint: "if it still runs, its records go on by themselves when the cloud shows it again"})
	}
	if _, err := p.basis.keep(ctx, p.d.DB, entries, p.d.Now()); err != nil {
		return storeError{err}
	}
	return nil
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
