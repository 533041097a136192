package accounting

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// missing looks for VMs that are open in the ledger and were in neither listing: one more changed-since listing from the
// oldest sight among them finds what ended while it was hidden; only then are they asked by id, and at last, when they
// were looked for in vain twice, called vanished (design §7, rule 3).
func (p *pager) missing(ctx context.Context, project site.Project, began time.Time) error {
	held, err := heldOf(ctx, p.d.DB, p.c.Cloud.ID, project.ID)
	if err != nil {
		return err
	}
	u, err := p.unseen(ctx, began, held)
	if err != nil {
		return err
	}
	oldest := u.vanished
	for _, v := range u.vms {
		oldest = min(oldest, v.Seen)
	}
	if oldest != math.MaxInt64 {
		since := time.UnixMilli(oldest).UTC().Add(-p.t.Settings.Overlap)
		if err := p.compute.Changed(ctx, since, p.page(ctx)); err != nil {
			return fmt.Errorf("list the VMs changed since %s: %w", since.Format(time.RFC3339), err)
		}
	}
	if err := p.askVanished(ctx, began); err != nil {
		return err
	}
	if len(u.vms) == 0 {
		return p.free(ctx, held)
	}
	if u, err = p.unseen(ctx, began, held); err != nil {
		return err
	}
	if err := p.endSeen(ctx, &u); err != nil {
		return err
	}
	gone, found, err := p.askByID(ctx, u)
	if err != nil || found < 0 {
		return err
	}
	return p.judge(ctx, project, gone, u.count-found, u, held, began)
}

// unseen is what of a project is open in the ledger and was not seen in this run.
type unseen struct {
	vms      []VM  // those seen longest ago, at most maxUnseen
	released int64 // unix milliseconds: an operator says that those seen before are gone; 0 = nobody does
	count    int64 // of all unseen ones that nobody has released
	open     int64 // of all open ones, the seen ones too
	vanished int64 // unix milliseconds: the oldest sight, or end, of those closed as vanished of late, which may show another end after all
}

// limit is how many VMs of a project may be gone at once before nothing is believed any more.
func (u unseen) limit() int64 { return max(5, u.open/5) }

// isReleased tells whether an operator has said that the VM is gone.
func (u unseen) isReleased(v VM) bool { return v.Shown < u.released }

// vanishedFor is how long a VM that was closed as vanished is looked for in a listing of ended VMs: the cell that did not
// show it may be back, with its true end.
const vanishedFor = 7 * 24 * time.Hour

// maxUnseen bounds how many missing VMs of a project one run looks for by id.
const maxUnseen = 1000

func (p *pager) unseen(ctx context.Context, began time.Time, held *Held) (u unseen, err error) {
	released := int64(0)
	if held != nil && !held.Released.IsZero() {
		released = held.Released.UnixMilli()
	}
	err = p.d.DB.Read(ctx, func(tx *store.Tx) error {
		u = unseen{released: released, vanished: math.MaxInt64}
		cloud, project := p.c.Cloud.ID, p.basis.Project
		if err := tx.QueryRow(`SELECT count(*), coalesce(sum(CASE WHEN shown < $3 AND shown >= $4 THEN 1 ELSE 0 END), 0) FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL`,
			cloud, project, began.UnixMilli(), released).Scan(&u.open, &u.count); err != nil {
			return err
		}
		if err := tx.QueryRow(`SELECT coalesce(min(CASE WHEN ended_at * 1000 < seen THEN ended_at * 1000 ELSE seen END), $4) FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NOT NULL AND vanished > $3`,
			cloud, project, began.Add(-vanishedFor).Unix(), u.vanished).Scan(&u.vanished); err != nil {
			return err
		}
		rows, err := tx.Query(`SELECT `+vmColumns+` FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL AND shown < $3 ORDER BY shown LIMIT $4`,
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

// maxFailures is how many of the missing VMs may fail to answer by id, one after the other, before the rest is left to
// the next run.
const maxFailures = 3

// askByID asks for VMs that no listing shows, and gives those that there are not, and how many of the unreleased ones there
// are. One that cannot be asked for stays as it is known; after some of them, or when nothing but VMs of an unreachable
// cell is there, found is -1: nothing can be judged in this run, and the next one looks again. When more are gone than is
// believed, the rest need not be asked for.
func (p *pager) askByID(ctx context.Context, u unseen) (gone []VM, found int64, err error) {
	var failures, unreached int
	var vain int64
	for _, v := range u.vms {
		if !u.isReleased(v) && vain > u.limit() {
			break
		}
		if unreached >= maxNamed && len(gone) == 0 {
			return nil, -1, nil
		}
		seen := p.d.Now()
		s, err := p.compute.Server(ctx, v.ID)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
			gone = append(gone, v)
			if !u.isReleased(v) {
				vain++
			}
		case ctx.Err() != nil:
			return nil, 0, context.Cause(ctx)
		case err != nil:
			p.problem("VM "+v.ID, "no listing shows it, and it cannot be asked for: "+err.Error(), run.Problem{Hint: openstack.Hint(err)})
			if failures++; failures >= maxFailures && errors.Is(err, openstack.ErrUnavailable) {
				return nil, -1, nil
			}
			if !u.isReleased(v) {
				found++
			}
			continue
		default:
			if s.Partial {
				unreached++
			}
			if err := p.step(ctx, seen.UnixMilli(), []openstack.Server{s}); err != nil {
				return nil, 0, err
			}
			if !u.isReleased(v) {
				found++
			}
		}
		failures = 0
	}
	return gone, found, nil
}

// judge decides on VMs that are gone without an end. When a large part of the project is missing at once, nothing is
// closed and the project is held: it is far more likely that the cloud does not show them. Else one that is gone for the
// first time is looked for once more by the next run, and closed then. What an operator has released is closed now.
func (p *pager) judge(ctx context.Context, project site.Project, gone []VM, missing int64, u unseen, held *Held, began time.Time) error {
	var released, again, once, fresh []VM
	for _, v := range gone {
		switch {
		case u.isReleased(v):
			released = append(released, v)
		case v.Missing != 0 && v.Missing+p.t.Settings.Overlap.Milliseconds() <= began.UnixMilli():
			again = append(again, v)
		default:
			once = append(once, v)
			if v.Missing == 0 {
				fresh = append(fresh, v)
			}
		}
	}
	if err := p.miss(ctx, fresh, began); err != nil {
		return err
	}
	if err := p.closeGone(ctx, released); err != nil { // first: when this run is ended in between, they are still released
		return err
	}
	if missing > u.limit() && len(gone) > len(released) {
		remedy := fmt.Sprintf("see whether the cloud shows all its VMs: openstack server list --project %[1]s; if they are gone for good: fedsite accounting release %[1]s", project.ID)
		return p.hold(ctx, project, fmt.Sprintf("held: %d of %d VMs cannot be found any more, none of them is closed", missing, u.open), remedy, held, began)
	}
	if held != nil && missing <= u.limit() {
		if err := p.freeUnlessReleased(ctx, held, began); err != nil {
			return err
		}
	}
	for _, v := range once {
		p.problem("VM "+v.ID, "cannot be found: no listing shows it, and by its id there is none", run.Problem{Notice: true,
			Hint: fmt.Sprintf("a collection at least %s later looks for it again, and closes it when it was last seen if it is not back", minutes(p.t.Settings.Overlap))})
	}
	return p.closeGone(ctx, again)
}

// freeUnlessReleased ends the hold of a project, as long as there are no more VMs that were released and are not closed
// yet.
func (p *pager) freeUnlessReleased(ctx context.Context, held *Held, began time.Time) error {
	u, err := p.unseen(ctx, began, held)
	if err != nil || slices.ContainsFunc(u.vms, u.isReleased) {
		return err
	}
	return p.free(ctx, held)
}

// minutes writes a duration of the configuration for people.
func minutes(d time.Duration) string { return fmt.Sprintf("%.0f minutes", d.Minutes()) }

// miss notes since when VMs cannot be found.
func (p *pager) miss(ctx context.Context, vms []VM, began time.Time) error {
	if len(vms) == 0 {
		return nil
	}
	err := p.d.DB.Write(ctx, func(tx *store.Tx) error {
		for _, v := range vms {
			if _, err := tx.Exec(`UPDATE vm SET missing = $1 WHERE cloud = $2 AND vm = $3 AND seen = $4`, began.UnixMilli(), v.Cloud, v.ID, v.Seen); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return storeError{err}
	}
	p.d.Run.Count("vms_missing", int64(len(vms)))
	return nil
}

// partial keeps the last state of VMs that an unreachable cell shows without data: they are there, and nothing is known.
func (p *pager) partial(ctx context.Context, ids []string, seen int64) error {
	if len(ids) == 0 {
		return nil
	}
	p.d.Run.Count("vms_without_data", int64(len(ids)))
	if err := p.touch(ctx, ids, seen); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.cells[id] = true
	}
	return nil
}

// touch notes of VMs that the cloud showed them, and that nothing else is known of them now.
func (p *pager) touch(ctx context.Context, ids []string, seen int64) error {
	if len(ids) == 0 {
		return nil
	}
	err := p.d.DB.Write(ctx, func(tx *store.Tx) error {
		in, args := list(3, ids)
		_, err := tx.Exec(`UPDATE vm SET shown = $1, missing = NULL WHERE cloud = $2 AND shown < $1 AND vm IN (`+in+`)`, append([]any{seen, p.c.Cloud.ID}, args...)...)
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
