package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// remove deletes an image that is retired, and tells why it is still there. One from which VMs run stays, whatever Glance
// would allow: a VM is rebuilt, resized and moved with its image.
func (a *applier) remove(ctx context.Context, s Store, x Action) string {
	where, vms, err := a.used(ctx, x.Place, x.Image)
	switch {
	case len(vms) > 0:
		more := ""
		if n := len(vms) - 1; n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return fmt.Sprintf("VM %s%s of project %s runs from it", vms[0], more, a.nameOf(where))
	case err != nil:
		return "it could not be seen whether VMs run from it: " + err.Error()
	}
	if err := s.Delete(ctx, x.Image); err != nil {
		return err.Error()
	}
	return ""
}

// cloudImage is an image in a cloud's Glance.
type cloudImage struct{ Cloud, Image string }

// VM is a VM that runs from an image, with the names of its project and cloud.
type VM struct {
	ID      string `json:"id"`
	Project string `json:"project"`
	Cloud   string `json:"cloud"`
}

// nameOf is the name of a place's project, for people.
func (a *applier) nameOf(p Place) string {
	return cmp.Or(a.clouds[p.Cloud].Places[p.Project].Name, p.Project)
}

// used looks for a project with VMs that run from an image, and ends at the first one: that is asked first the next time. So
// an image that stays in use costs one request in a run, however many projects there are.
func (a *applier) used(ctx context.Context, at Place, image string) (Place, []string, error) {
	places, unknown := a.users(at, image)
	key := cloudImage{at.Cloud, image}
	a.mu.Lock()
	last, known := a.uses[key]
	a.mu.Unlock()
	if i := slices.Index(places, last); i > 0 {
		places[0], places[i] = places[i], places[0]
	}
	for _, p := range places {
		vms, err := a.vms(ctx, p, image)
		if err != nil {
			unknown = cmp.Or(unknown, err)
			continue
		}
		if len(vms) > 0 {
			if !known || p != last {
				a.keepUse(ctx, key, p)
			}
			return p, vms, nil
		}
	}
	return Place{}, nil, unknown
}

// running gives all VMs that run from an image of a place, and what is not known of them.
func (a *applier) running(ctx context.Context, at Place, image string) ([]VM, error) {
	places, unknown := a.users(at, image)
	var all []VM
	for _, p := range places {
		vms, err := a.vms(ctx, p, image)
		unknown = errors.Join(unknown, err)
		for _, id := range vms {
			all = append(all, VM{id, a.nameOf(p), a.clouds[p.Cloud].Name})
		}
	}
	return all, unknown
}

// users gives the places that may have VMs from an image of a place: all projects of its cloud that could be signed in to, and those
// of other clouds that see the same image, for regions may have one Glance and a Nova each. The error says what is not known:
// where an image can be lent, a project that could not be signed in to may have VMs, too; and a region that could not be asked.
func (a *applier) users(at Place, image string) ([]Place, error) {
	var (
		all     []Place
		unknown error
	)
	for _, c := range a.t.Clouds {
		if a.clouds[c.Cloud.ID] == nil && site.Lowest(a.t.Settings.Mode, c.Mode) != site.Disabled && a.regions(at.Cloud, c.Cloud.ID) {
			unknown = fmt.Errorf("cloud %s could not be asked", c.Cloud.Name)
		}
	}
	for id, c := range a.clouds {
		if id != at.Cloud && !c.has(image) {
			if place := c.Places[at.Project]; place.Failed != nil && a.regions(at.Cloud, id) {
				unknown = fmt.Errorf("project %s at cloud %s could not be asked: %w", cmp.Or(place.Name, at.Project), c.Name, place.Failed)
			}
			continue
		}
		for project := range c.stores {
			all = append(all, Place{id, project})
		}
		if !a.t.Settings.lends() {
			continue
		}
		if c.Partial {
			unknown = errors.New("not all projects of the cloud are known now")
		}
		for project, place := range c.Places {
			if c.stores[project] == nil {
				unknown = fmt.Errorf("project %s could not be signed in to: %w", cmp.Or(place.Name, project), place.Failed)
			}
		}
	}
	slices.SortFunc(all, func(x, y Place) int {
		return cmp.Or(strings.Compare(x.Cloud, y.Cloud), strings.Compare(x.Project, y.Project))
	})
	return all, unknown
}

// regions tells whether two clouds may be regions with one Glance: those that have a Keystone each are not.
func (a *applier) regions(one, other string) bool {
	url := map[string]string{}
	for _, c := range a.t.Clouds {
		url[c.Cloud.ID] = c.Cloud.AuthURL
	}
	return url[one] == "" || url[other] == "" || url[one] == url[other]
}

// vms gives the VMs of a place that run from an image. Without Nova there are none.
func (a *applier) vms(ctx context.Context, p Place, image string) ([]string, error) {
	vms, err := a.store(p).Servers(ctx, image)
	if errors.Is(err, openstack.ErrNoService) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("project %s: %w", a.nameOf(p), err)
	}
	all := make([]string, len(vms))
	for i, vm := range vms {
		all[i] = vm.ID
	}
	return all, nil
}

// readUses gives where VMs were seen last that run from a site's retired images.
func readUses(ctx context.Context, d Deps, siteID string) (map[cloudImage]Place, error) {
	all := map[cloudImage]Place{}
	err := reading(ctx, d, func(tx *store.Tx) error {
		clear(all)
		rows, err := tx.Query(`SELECT cloud, image, used_cloud, used_project FROM image_use WHERE site = $1`, siteID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				k cloudImage
				p Place
			)
			if err := rows.Scan(&k.Cloud, &k.Image, &p.Cloud, &p.Project); err != nil {
				return err
			}
			all[k] = p
		}
		return rows.Err()
	})
	return all, err
}

// keepUse remembers where VMs run from an image. That it cannot be remembered costs requests, and nothing else.
func (a *applier) keepUse(ctx context.Context, k cloudImage, p Place) {
	err := writing(ctx, a.d, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO image_use (site, cloud, image, used_cloud, used_project) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (site, cloud, image) DO UPDATE SET used_cloud = excluded.used_cloud, used_project = excluded.used_project`, a.t.Site.ID, k.Cloud, k.Image, p.Cloud, p.Project)
		return err
	})
	if err != nil {
		a.d.Log.Warn("where an image is in use could not be noted", "image", k.Image, "error", err)
	}
}
