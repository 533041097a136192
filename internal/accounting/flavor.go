package accounting

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// flavors are the sizes that a cloud's flavors have, by id, for clouds whose listings name a VM's flavor by id only: those
// asked for in this run, and those remembered from earlier ones, because a deleted flavor cannot be asked for.
type flavors struct {
	mu   sync.Mutex
	byID map[string]openstack.Flavor // as stored, disks together; nil before they were read
}

// flavor completes a server whose listing names its flavor by id only (below microversion 2.47); false leaves the VM as it
// is known: nothing tells its size now. A deleted flavor is taken from what is remembered, else from what the VM's usage
// says, which names the sizes of VMs, not of flavors.
func (p *pager) flavor(ctx context.Context, s *openstack.Server, k *kept) (bool, error) {
	id := s.Flavor.ID
	if s.Flavor.Known || s.Launched.IsZero() { // what never ran needs no size
		return true, nil
	}
	f, err := p.lookup.Flavor(ctx, p.compute, id)
	switch {
	case err == nil:
		s.Flavor = f
		if f.SpecsDenied {
			p.specless.Do(func() {
				p.problem("flavors", "the credential may not read their extra specs: records go without the benchmarks there", run.Problem{Notice: true, Permanent: true,
					Hint: "name benchmarks under flavors: in the configuration, or let Nova's policy os_compute_api:os-flavor-extra-specs:index allow it"})
			})
		}
		return true, p.remember(ctx, f)
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, openstack.ErrNotFound):
	case errors.Is(err, openstack.ErrForbidden):
		p.problem("flavor "+id, "it may not be read: "+err.Error(), run.Problem{Permanent: true, Hint: openstack.Hint(err)})
	default: // better late than at a wrong size
		p.lack("flavor "+id, err)
		p.problem("flavor "+id, "its VMs are left as they are known: "+err.Error(), run.Problem{Hint: openstack.Hint(err)})
		return false, nil
	}
	f, ok, err := p.remembered(ctx, id)
	switch {
	case err != nil:
		return false, err
	case ok:
		s.Flavor = f
	case k.vm != nil: // a VM is not resized to a flavor that is gone: it has the one it was counted with
		s.Flavor = k.vm.Size.flavor(id)
	default:
		return p.used(ctx, s)
	}
	return true, nil
}

// used takes the size of a VM whose flavor nothing tells any more from the project's usage at an instant at which the VM
// lived, and remembers it as that of the flavor.
func (p *pager) used(ctx context.Context, s *openstack.Server) (bool, error) {
	at := p.d.Now()
	if _, end, err := lifetime(*s, at.UnixMilli()); err == nil && end != 0 {
		at = time.Unix(end, 0)
	}
	sizes, err := p.compute.Used(ctx, at.Add(-time.Second))
	switch {
	case ctx.Err() != nil:
		return false, context.Cause(ctx)
	case errors.Is(err, openstack.ErrUnavailable):
		p.lack("usage of project "+p.basis.Project, err)
		return false, nil
	case err != nil:
		p.problem("VM "+s.ID, fmt.Sprintf("its flavor %s was deleted, and the project's usage, which would tell its size, cannot be read: not accounted: %v", s.Flavor.ID, err), run.Problem{Step: "record", Hint: openstack.Hint(err)})
		return false, nil
	}
	f, ok := sizes[s.ID]
	if !ok {
		p.problem("VM "+s.ID, fmt.Sprintf("its flavor %s was deleted, and nothing tells its size any more: not accounted", s.Flavor.ID), run.Problem{Step: "record", Permanent: true,
			Hint: "the cloud's administrator can look it up in Nova's database"})
		return false, nil
	}
	f.ID = s.Flavor.ID
	s.Flavor = f
	return true, p.remember(ctx, f)
}

// remembered gives what is remembered of a flavor of the cloud. All of them are read once in a run.
func (c *collector) remembered(ctx context.Context, id string) (openstack.Flavor, bool, error) {
	c.flavors.mu.Lock()
	defer c.flavors.mu.Unlock()
	if c.flavors.byID == nil {
		all, err := c.storedFlavors(ctx)
		if err != nil {
			return openstack.Flavor{}, false, storeError{err}
		}
		c.flavors.byID = all
	}
	f, ok := c.flavors.byID[id]
	return f, ok, nil
}

func (c *collector) storedFlavors(ctx context.Context) (map[string]openstack.Flavor, error) {
	all := map[string]openstack.Flavor{}
	return all, c.d.DB.Read(ctx, func(tx *store.Tx) error {
		clear(all)
		rows, err := tx.Query(`SELECT flavor, name, vcpus, memory, disk, extra FROM flavor WHERE cloud = $1`, c.c.Cloud.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var extra string
			f := openstack.Flavor{Known: true}
			if err := rows.Scan(&f.ID, &f.Name, &f.VCPUs, &f.RAM, &f.Disk, &extra); err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(extra), &f.ExtraSpecs); err != nil {
				return fmt.Errorf("extra specs of flavor %s: %w", f.ID, err)
			}
			all[f.ID] = f
		}
		return rows.Err()
	})
}

// remember stores a flavor that is new, or was changed.
func (p *pager) remember(ctx context.Context, f openstack.Flavor) error {
	was, ok, err := p.remembered(ctx, f.ID)
	if err != nil {
		return err
	}
	f.Disk, f.Ephemeral = f.Disk+f.Ephemeral, 0
	if ok && was.Name == f.Name && was.VCPUs == f.VCPUs && was.RAM == f.RAM && was.Disk == f.Disk && maps.Equal(was.ExtraSpecs, f.ExtraSpecs) {
		return nil
	}
	extra, err := json.Marshal(f.ExtraSpecs)
	if err != nil {
		return err
	}
	err = p.d.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO flavor (cloud, flavor, name, vcpus, memory, disk, extra, seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (cloud, flavor) DO UPDATE SET name = excluded.name, vcpus = excluded.vcpus, memory = excluded.memory, disk = excluded.disk,
			extra = excluded.extra, seen = excluded.seen`, p.c.Cloud.ID, f.ID, f.Name, f.VCPUs, f.RAM, f.Disk, string(extra), p.d.Now().UnixMilli())
		return err
	})
	if err != nil {
		return storeError{err}
	}
	p.flavors.mu.Lock()
	defer p.flavors.mu.Unlock()
	p.flavors.byID[f.ID] = f
	return nil
}
