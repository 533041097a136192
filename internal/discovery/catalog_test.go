package discovery_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestCatalogs: in each era, on each store, the shares of the vectors' inventories are offered what their worlds hold.
func TestCatalogs(t *testing.T) {
	versions := map[string]string{"mitaka": "2.25", "zed": "2.93", "current": "2.104"}
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		inEras(t, func(t *testing.T, era emulated.Era) {
			w := told(t, "02-two-vos-states")
			b := newBed(t, w, era, cfg, "ops=p-ops", "vo.ai4eosc.eu=ai4eosc")
			b.target.Site.ID = "site-" + era.Name
			all := b.take()
			b.clean()
			r := b.region(all)
			if all[0].Site != "SITE-A" || all[0].EP != b.cloud.AuthURL() || all[0].Authentication != "v3password" || !all[0].Authorities.Value.Plain || !all[0].Made.Equal(present) ||
				r.Region != "" || r.Name != "cloud-a" || r.Version.Value != versions[era.Name] || !r.Version.At.Equal(present) || r.Trouble != nil || len(r.Shares) != 2 {
				t.Fatalf("%+v", all)
			}
			for n, s := range r.Shares {
				p := w.Projects[n]
				if s.VO != []string{"ops", "vo.ai4eosc.eu"}[n] || s.Project != p.ID || s.Mode != "active" || s.Offer.Scope.Value.Name != p.Name || len(s.Offer.Troubles()) > 0 {
					t.Errorf("%+v", s)
				}
				checkOffer(t, w, p, s.Offer)
			}
			if again := b.take(); cmp.Diff(all, again) != "" {
				t.Errorf("another run (-first +second):\n%s", cmp.Diff(all, again))
			}
			if b.last.Outcome != run.Done || b.last.Counts["shares"] != 2 || b.last.Counts["projects_asked"] != 2 {
				t.Errorf("%+v", b.last)
			}
		})
	})
}

// checkOffer compares an offer with the world.
func checkOffer(t *testing.T, w *world.World, p world.Project, o discovery.Offer) {
	t.Helper()
	var flavors []discovery.Flavor
	for _, f := range w.Flavors {
		if f.For(p.ID) {
			extra := f.Extra
			if extra == nil {
				extra = map[string]string{}
			}
			flavors = append(flavors, discovery.Flavor{ID: f.ID, Name: f.Name, VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral, Public: !f.Private, ExtraSpecs: extra})
		}
	}
	if d := cmp.Diff(flavors, o.Flavors.Value); d != "" {
		t.Errorf("flavors (-world +catalog):\n%s", d)
	}
	if len(o.Images.Value) != len(w.Images) {
		t.Fatalf("%d images", len(o.Images.Value))
	}
	for n, i := range w.Images {
		image := o.Images.Value[n]
		if image.ID != i.ID || image.Name != i.Name || image.Own != (i.Owner == p.ID) || image.Size != i.Size || !strings.HasSuffix(image.File, "/image/v2/images/"+i.ID+"/file") ||
			image.Properties["APPLIANCE_ATTRIBUTES"] != i.Properties["APPLIANCE_ATTRIBUTES"] || image.Properties["os_distro"] != i.Properties["os_distro"] {
			t.Errorf("%+v", image)
		}
	}
	if d := cmp.Diff(p.Quota, o.Quotas.Value); d != "" {
		t.Errorf("quotas (-world +catalog):\n%s", d)
	}
	if o.NetworkQuotas.Value["floatingip"] != 50 || o.VolumeQuotas.Value["gigabytes"] != 100000 || len(o.Networks.Value) != 2 || o.Networks.Value[1].Name != "public" {
		t.Errorf("%+v, %+v, %+v", o.NetworkQuotas, o.VolumeQuotas, o.Networks)
	}
	counts := map[string]int{}
	for _, v := range w.Servers(p.ID, present, nil) {
		counts[v.Status]++
	}
	if d := cmp.Diff(counts, o.VMs.Value.ByStatus); d != "" {
		t.Errorf("VMs (-world +catalog):\n%s", d)
	}
	for part, at := range map[string]time.Time{"flavors": o.Flavors.At, "images": o.Images.At, "quotas": o.Quotas.At, "network quotas": o.NetworkQuotas.At, "volume quotas": o.VolumeQuotas.At, "networks": o.Networks.At, "VMs": o.VMs.At, "scope": o.Scope.At} {
		if !at.Equal(present) {
			t.Errorf("%s are of %s", part, at)
		}
	}
}
