package discovery

import (
	"context"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Last gives the catalogs of the target's clouds as they were last taken, without asking any cloud: for those who look. Made
// is when the newest project was asked. What is old is told, with its age, and nothing is reported or written; an endpoint of
// which nothing is kept is left out.
func Last(ctx context.Context, d Deps, t *Target) ([]Catalog, error) {
	var catalogs []Catalog
	err := read(ctx, d, func(tx *store.Tx) error {
		catalogs = nil
		for _, target := range t.Clouds {
			if site.Lowest(t.Settings.Mode, target.Mode) == site.Disabled {
				continue
			}
			c := &taker{t: t, c: target}
			region, asked, err := c.last(tx, d.Now().UTC())
			if err != nil {
				return err
			}
			if asked.IsZero() {
				continue
			}
			i := slices.IndexFunc(catalogs, func(o Catalog) bool { return o.EP == target.EP })
			if i < 0 {
				i = len(catalogs)
				catalogs = append(catalogs, Catalog{Site: t.Site.NameAt(d.Now()), EP: target.EP, Authentication: target.Authentication})
				var authorities Known[openstack.Authorities]
				if err := lastState(tx, t.Site.ID, target.EP, "", &authorities); err != nil {
					return err
				}
				catalogs[i].Authorities = authorities
			}
			catalogs[i].Regions = append(catalogs[i].Regions, region)
			if asked.After(catalogs[i].Made) {
				catalogs[i].Made = asked
			}
		}
		return nil
	})
	return catalogs, err
}

// last gives what is kept of the cloud, and when the newest of its projects was asked; zero = nothing is kept.
func (c *taker) last(tx *store.Tx, now time.Time) (region Region, asked time.Time, err error) {
	kept, err := keptProjects(tx, c.t.Site.ID, c.c.Cloud.ID)
	if err != nil {
		return Region{}, asked, err
	}
	var state cloudState
	if err := lastState(tx, c.t.Site.ID, c.c.EP, c.c.Cloud.ID, &state); err != nil {
		return Region{}, asked, err
	}
	region = Region{Cloud: c.c.Cloud.ID, Name: c.c.Cloud.Name, Region: c.region(), Mode: site.Lowest(c.t.Settings.Mode, c.c.Mode), Version: state.Version, Trouble: state.Trouble}
	shares, _ := chosen(site.Merge(c.c.Cloud, remembered(c.c.Cloud, kept)).Shares, now)
	offers := map[string]Offer{}
	for _, k := range kept {
		if k.asked.After(asked) {
			asked = k.asked
		}
		if offers[k.id], err = lastOffer(tx, c.t.Site.ID, c.c.Cloud.ID, k.id); err != nil {
			return Region{}, asked, err
		}
	}
	for _, s := range shares {
		region.Shares = append(region.Shares, c.share(s, region.Mode, offers))
	}
	return region, asked, nil
}

// share makes a share of a catalog.
func (c *taker) share(s site.Share, mode site.Mode, offers map[string]Offer) Share {
	return Share{VO: s.VO, Project: s.Project.ID, Mode: site.Lowest(mode, s.Mode), DefaultNetworkType: s.DefaultNetwork, PublicNetwork: s.PublicNetwork, Offer: offers[s.Project.ID]}
}
