package openstack

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"
)

type flavor struct {
	once   sync.Once
	flavor Flavor
	err    error
}

// Flavor gives a flavor by its id, for clouds whose listings do not embed it (below microversion 2.47); ErrNotFound when it
// was deleted. Flavors are the cloud's, so one answer serves all projects, and each is asked for once in a run. Extra
// specs that may not be read count as none.
func (l *Lookup) Flavor(ctx context.Context, p *Project, id string) (Flavor, error) {
	l.flavorsMu.Lock()
	f := l.flavors[id]
	if f == nil {
		f = &flavor{}
		l.flavors[id] = f
	}
	l.flavorsMu.Unlock()
	f.once.Do(func() { f.flavor, f.err = p.flavor(ctx, id) })
	if f.err != nil && ctx.Err() == nil && errors.Is(f.err, context.Canceled) { // another project's run was ended meanwhile
		return p.flavor(ctx, id)
	}
	return f.flavor, f.err
}

func (p *Project) flavor(ctx context.Context, id string) (Flavor, error) {
	at := p.compute + "flavors/" + url.PathEscape(id)
	var answer struct {
		Flavor struct {
			Name      string `json:"name"`
			VCPUs     *int64 `json:"vcpus"`
			RAM       int64  `json:"ram"`
			Disk      int64  `json:"disk"`
			Ephemeral int64  `json:"OS-FLV-EXT-DATA:ephemeral"`
		} `json:"flavor"`
	}
	if err := p.session.get(ctx, "compute", at, "", &answer); err != nil {
		return Flavor{}, err
	}
	w := answer.Flavor
	if w.VCPUs == nil {
		return Flavor{}, &Error{Kind: ErrBadAnswer, Service: "compute", Method: "GET", Path: pathOf(at), Message: "the flavor has no vcpus"}
	}
	f := Flavor{ID: id, Name: w.Name, Known: true, VCPUs: *w.VCPUs, RAM: w.RAM, Disk: w.Disk, Ephemeral: w.Ephemeral}
	var extra struct {
		Specs map[string]string `json:"extra_specs"`
	}
	err := p.session.get(ctx, "compute", at+"/os-extra_specs", "", &extra)
	if err != nil && !errors.Is(err, ErrForbidden) && !errors.Is(err, ErrNotFound) {
		return Flavor{}, err
	}
	f.ExtraSpecs, f.SpecsDenied = extra.Specs, errors.Is(err, ErrForbidden)
	return f, nil
}

// Used gives the sizes of the project's VMs that lived at the instant, by VM, as os-simple-tenant-usage tells them: also
// those whose flavor was deleted, which nothing else says below microversion 2.47. Disk is root and ephemeral together;
// there are no extra specs.
func (p *Project) Used(ctx context.Context, at time.Time) (map[string]Flavor, error) {
	const form = "2006-01-02T15:04:05"
	query := url.Values{"start": {at.UTC().Format(form)}, "end": {at.UTC().Add(time.Second).Format(form)}, "detailed": {"1"}}
	microversion, _ := p.version.newestOf(40) // paged; before, everything comes in one answer
	used, markers := map[string]Flavor{}, map[string]bool{}
	for {
		var answer struct {
			Usage struct {
				Servers []struct {
					ID     string `json:"instance_id"`
					Flavor string `json:"flavor"`
					VCPUs  int64  `json:"vcpus"`
					Memory int64  `json:"memory_mb"`
					Disk   int64  `json:"local_gb"`
				} `json:"server_usages"`
			} `json:"tenant_usage"` // an empty object when nothing lived then
			Links []pageLink `json:"tenant_usage_links"`
		}
		path := p.compute + "os-simple-tenant-usage/" + url.PathEscape(p.id)
		if err := p.session.get(ctx, "compute", path+"?"+query.Encode(), microversion, &answer); err != nil {
			return nil, err
		}
		for _, s := range answer.Usage.Servers {
			used[s.ID] = Flavor{Name: s.Flavor, Known: true, VCPUs: s.VCPUs, RAM: s.Memory, Disk: s.Disk}
		}
		marker, err := nextMarker("compute", answer.Links, markers, path)
		if err != nil || marker == "" {
			return used, err
		}
		query.Set("marker", marker)
	}
}
