package openstack_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

// told reads an inventory of the vectors.
func told(t *testing.T, name string) *world.World {
	t.Helper()
	data, err := os.ReadFile("../emulator/world/testdata/inventories/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	w, err := world.LoadScenario(data)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// inEras runs a test in each era of the emulated cloud.
func inEras(t *testing.T, test func(*testing.T, emulated.Era)) {
	for _, e := range emulated.Eras() {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

var svc = password(world.InventoryUser, world.InventoryPass)

func inventory(t *testing.T, c *emulated.Cloud, cred openstack.Credential, project string) *openstack.Inventory {
	t.Helper()
	i, err := connect(t, c.AuthURL(), cred).Inventory(t.Context(), project)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// offer is all that an inventory tells.
type offer struct {
	Flavors                  []openstack.ListedFlavor
	Images                   []openstack.ListedImage
	Networks                 []openstack.Network
	Compute, Network, Volume openstack.Quotas
	VMs                      openstack.VMCounts
	Version                  string
}

// all asks for everything at the same time, and gives what failed by its name.
func all(ctx context.Context, i *openstack.Inventory, specs *openstack.ExtraSpecs) (o offer, bad []openstack.BadEntry, failed map[string]error) {
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	failed = map[string]error{}
	for name, ask := range map[string]func() ([]openstack.BadEntry, error){
		"flavors":        func() (b []openstack.BadEntry, err error) { o.Flavors, b, err = i.Flavors(ctx, specs); return b, err },
		"images":         func() (b []openstack.BadEntry, err error) { o.Images, b, err = i.Images(ctx, nil); return b, err },
		"networks":       func() (b []openstack.BadEntry, err error) { o.Networks, b, err = i.Networks(ctx); return b, err },
		"quotas":         func() (b []openstack.BadEntry, err error) { o.Compute, err = i.Quotas(ctx); return nil, err },
		"network quotas": func() (b []openstack.BadEntry, err error) { o.Network, err = i.NetworkQuotas(ctx); return nil, err },
		"volume quotas":  func() (b []openstack.BadEntry, err error) { o.Volume, err = i.VolumeQuotas(ctx); return nil, err },
		"VMs":            func() (b []openstack.BadEntry, err error) { o.VMs, err = i.VMCounts(ctx); return nil, err },
		"version":        func() (b []openstack.BadEntry, err error) { o.Version, err = i.ComputeVersion(ctx); return nil, err },
	} {
		wg.Go(func() {
			entries, err := ask()
			mu.Lock()
			defer mu.Unlock()
			bad = append(bad, entries...)
			if err != nil {
				failed[name] = err
			}
		})
	}
	wg.Wait()
	return o, bad, failed
}

// names gives what failed.
func names(failed map[string]error) []string {
	var all []string
	for name := range failed {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// TestInventories: in each era each project of the vectors is offered what its inventory says, for eight requests.
func TestInventories(t *testing.T) {
	versions := map[string]string{"mitaka": "2.25", "zed": "2.93", "current": "2.104"}
	for _, name := range []string{"01-single-vo", "02-two-vos-states", "04-images", "07-empty-site", "10-select-flavors", "21-manager-minmax", "34-gpu-number-fraction", "35-image-null-name"} {
		t.Run(name, func(t *testing.T) {
			inEras(t, func(t *testing.T, e emulated.Era) {
				w := told(t, name)
				cloud := serve(t, w, emulated.Options{Era: e})
				client, specs := connect(t, cloud.AuthURL(), svc), openstack.NewExtraSpecs()
				asked := 0
				for _, p := range w.Projects {
					i, err := client.Inventory(t.Context(), p.ID)
					if err != nil {
						t.Fatal(err)
					}
					got, bad, failed := all(t.Context(), i, specs)
					if len(bad) > 0 || len(failed) > 0 {
						t.Fatalf("%v, %v", bad, failed)
					}
					if scope := i.Scope(); scope.ID != p.ID || scope.Name != p.Name || (scope.DomainName != "Default") != (p.Domain != "") || scope.DomainID == "" {
						t.Errorf("%+v", scope)
					}
					checkOffer(t, w, p, got, e)
					if got.Version != versions[e.Name] {
						t.Errorf("Nova is %s", got.Version)
					}
					n := len(cloud.Requests()) - asked
					asked += n
					if most := 8 + 2; p.ID == w.Projects[0].ID { // with the sign-in of the credential, and Nova's version
						n -= len(w.Flavors) * map[bool]int{true: 1}[e.NovaMinor < 61]
						if n > most {
							t.Errorf("%d requests for the first project", n)
						}
					} else if n > 8+map[bool]int{true: 1}[e.NovaMinor < 61 && name == "21-manager-minmax"] {
						t.Errorf("%d requests for another project", n)
					}
				}
			})
		})
	}
}

// checkOffer compares what was told with the world.
func checkOffer(t *testing.T, w *world.World, p world.Project, got offer, e emulated.Era) {
	t.Helper()
	var flavors []openstack.ListedFlavor
	for _, f := range w.Flavors {
		if f.For(p.ID) {
			extra := f.Extra
			if extra == nil {
				extra = map[string]string{}
			}
			flavors = append(flavors, openstack.ListedFlavor{Public: !f.Private, Flavor: openstack.Flavor{ID: f.ID, Name: f.Name, Known: true, VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral, ExtraSpecs: extra}})
		}
	}
	if d := cmp.Diff(flavors, got.Flavors); d != "" {
		t.Errorf("flavors (-world +told):\n%s", d)
	}
	if len(got.Images) != len(w.Images) {
		t.Fatalf("%d images", len(got.Images))
	}
	for n, i := range w.Images {
		image := got.Images[n]
		visibility := i.Visibility
		if e.Name == "mitaka" {
			visibility = "private"
		}
		want := openstack.ListedImage{ID: i.ID, Name: i.Name, Owner: i.Owner, Visibility: visibility, DiskFormat: "qcow2", Size: i.Size, Tags: append([]string{}, i.Tags...), Properties: i.Properties, File: "/v2/images/" + i.ID + "/file", Created: image.Created, Updated: image.Created}
		if d := cmp.Diff(want, image, cmpopts.IgnoreUnexported(want)); d != "" || image.Created.IsZero() {
			t.Errorf("image %s (-world +told):\n%s", i.ID, d)
		}
	}
	if d := cmp.Diff(openstack.Quotas{Limits: p.Quota}, got.Compute); d != "" {
		t.Errorf("quotas (-world +told):\n%s", d)
	}
	if got.Network.Limits["floatingip"] != 50 || got.Volume.Limits["gigabytes"] != 100000 || got.Volume.Used["volumes"] != 0 || len(got.Volume.Used) != 5 {
		t.Errorf("%+v, %+v", got.Network, got.Volume)
	}
	if len(got.Networks) != 2 || got.Networks[1].Name != "public" || !got.Networks[1].External || got.Networks[0].External || !got.Networks[0].Shared || got.Networks[1].Type != "" || got.Networks[1].MTU != 1500 {
		t.Errorf("%+v", got.Networks)
	}
	vms := openstack.VMCounts{ByStatus: map[string]int{}}
	for _, v := range w.Servers(p.ID, present, nil) {
		vms.Total++
		vms.ByStatus[v.Status]++
	}
	if d := cmp.Diff(vms, got.VMs); d != "" {
		t.Errorf("VMs (-world +told):\n%s", d)
	}
}

// TestManyVMsAndImages: all of them are counted and listed, however short the pages are that the cloud makes.
func TestManyVMsAndImages(t *testing.T) {
	w := told(t, "19-many-servers-images")
	w.Networks = []world.Network{{ID: "1", Name: "a", External: true}, {ID: "2", Name: "b", Shared: true}, {ID: "3", Name: "c", Project: "p-ops"}}
	inEras(t, func(t *testing.T, e emulated.Era) {
		cloud := serve(t, w, emulated.Options{Era: e, PageLimit: 1000, ImagePage: 20, NetworkPage: 2})
		got, bad, failed := all(t.Context(), inventory(t, cloud, svc, "p-ops"), nil)
		if len(bad)+len(failed) > 0 || got.VMs.Total != 1200 || got.VMs.ByStatus["ACTIVE"] != 1200 || len(got.Images) != 45 || len(got.Networks) != 3 {
			t.Errorf("%d VMs, %d images, %d networks; %v, %v", got.VMs.Total, len(got.Images), len(got.Networks), bad, failed)
		}
		if n := asked(cloud, "/servers/detail"); n != 2 {
			t.Errorf("%d pages of VMs", n)
		}
	})
}

// TestExtraSpecsOnce: on an old cloud each flavor is asked for its specs once, whatever the number of projects that ask at the
// same time; on others never.
func TestExtraSpecsOnce(t *testing.T) {
	inEras(t, func(t *testing.T, e emulated.Era) {
		w := told(t, "22-perf-10vo-30flavors")
		w.Flavors[7].Extra = map[string]string{"Accelerator:Number": "0.5"}
		cloud := serve(t, w, emulated.Options{Era: e})
		specs := openstack.NewExtraSpecs()
		var wg sync.WaitGroup
		for n, p := range w.Projects {
			client := connect(t, cloud.AuthURL(), svc) // each with a credential of its own
			wg.Go(func() {
				i, err := client.Inventory(t.Context(), p.ID)
				if err != nil {
					t.Error(err)
					return
				}
				flavors, bad, err := i.Flavors(t.Context(), specs)
				if err != nil || len(bad) > 0 || len(flavors) != 30 || flavors[7].ExtraSpecs["Accelerator:Number"] != "0.5" {
					t.Errorf("project %d: %d flavors, %v, %v", n, len(flavors), bad, err)
				}
			})
		}
		wg.Wait()
		if n, want := asked(cloud, "/os-extra_specs"), map[bool]int{true: 30}[e.NovaMinor < 61]; n != want {
			t.Errorf("%d requests for extra specs, want %d", n, want)
		}
	})
}

// TestExtraSpecsFail: flavors are given without their specs, with the reason, and nobody is asked again and again.
func TestExtraSpecsFail(t *testing.T) {
	deny := func(body []byte) []byte {
		return []byte(strings.ReplaceAll(string(body), `"extra_specs"`, `"not_said"`))
	}
	inEras(t, func(t *testing.T, e emulated.Era) {
		old := e.NovaMinor < 61
		for _, c := range []struct {
			name   string
			effect faults.Effect
			nth    int
			kind   error
			asked  int // below 2.61
			known  int // below 2.61
		}{
			{"denied", faults.Effect{Status: 403}, 1, openstack.ErrForbidden, 1, 0},
			{"down", faults.Effect{Status: 503}, 1, openstack.ErrUnavailable, 1, 0},
			{"down later", faults.Effect{Status: 503}, 3, openstack.ErrUnavailable, 3, 2},
			{"gone", faults.Effect{Status: 404}, 1, openstack.ErrNotFound, 4, 0},
			{"odd", faults.Effect{Change: func([]byte) []byte { return []byte(`{"extra_specs":[]}`) }}, 1, openstack.ErrBadAnswer, 4, 0},
			{"none", faults.Effect{Change: func([]byte) []byte { return []byte(`{}`) }}, 1, openstack.ErrBadAnswer, 4, 0},
		} {
			set := &faults.Set{}
			set.Add(faults.Fault{Service: "compute", Path: "/v2.1/flavors/*/os-extra_specs", Nth: c.nth, Times: -1, Effect: c.effect})
			if !old {
				set.Add(faults.Fault{Service: "compute", Path: "/v2.1/flavors/detail", Effect: faults.Effect{Change: deny}})
				c.kind = openstack.ErrForbidden
			}
			w := told(t, "10-select-flavors")
			w.Flavors = append(w.Flavors, world.Flavor{ID: "4", Name: "four", VCPUs: 1})
			cloud := serve(t, w, emulated.Options{Era: e, Middleware: set.Middleware})
			flavors, bad, err := inventory(t, cloud, svc, "p-ops").Flavors(t.Context(), openstack.NewExtraSpecs())
			if err != nil || len(bad) > 0 || len(flavors) != 4 {
				t.Fatalf("%s: %d flavors, %v, %v", c.name, len(flavors), bad, err)
			}
			known := 0
			for _, f := range flavors {
				if f.SpecsUnknown == nil {
					known++
				} else if !errors.Is(f.SpecsUnknown, c.kind) || f.SpecsDenied != (c.kind == openstack.ErrForbidden) || f.VCPUs == 0 {
					t.Errorf("%s: %+v", c.name, f)
				}
			}
			if n := asked(cloud, "/os-extra_specs"); (old && n != c.asked) || known != map[bool]int{true: c.known}[old] {
				t.Errorf("%s: asked %d times, known of %d", c.name, n, known)
			}
		}
	})
}

// TestEachFailsAlone: what a service does not tell leaves the rest as it is; a quota that may not be read is no failure.
func TestEachFailsAlone(t *testing.T) {
	const compute = "VMs flavors quotas version"
	cases := []struct {
		name, service, path string
		effect              faults.Effect
		failed              string
		kind                error
		unknown             string // quotas
	}{
		{"quotas of Nova denied", "compute", "/v2.1/os-quota-sets/*", faults.Effect{Status: 403}, "", nil, "compute"},
		{"quotas of Nova not there", "compute", "/v2.1/os-quota-sets/*", faults.Effect{Status: 404}, "", nil, "compute"},
		{"quotas of Nova broken", "compute", "/v2.1/os-quota-sets/*", faults.Effect{Status: 500}, "quotas", openstack.ErrUnavailable, ""},
		{"quotas of Neutron denied", "network", "/v2.0/quotas/*", faults.Effect{Status: 403}, "", nil, "network"},
		{"limits of Cinder not there", "volume", "/*/*/limits", faults.Effect{Status: 404}, "", nil, "volume"},
		{"Cinder down", "volume", "", faults.Effect{Status: 503}, "volume quotas", openstack.ErrUnavailable, ""},
		{"Neutron down", "network", "", faults.Effect{Unread: true}, "network quotas networks", openstack.ErrUnavailable, ""},
		{"Glance forbids", "image", "", faults.Effect{Status: 403}, "images", openstack.ErrForbidden, ""},
		{"Glance cut", "image", "/v2/images", faults.Effect{Cut: true}, "images", openstack.ErrUnavailable, ""},
		{"Nova down", "compute", "", faults.Effect{Status: 503}, compute, openstack.ErrUnavailable, ""},
		{"Nova's version odd", "compute", "/v2.1/", faults.Effect{Change: func([]byte) []byte { return []byte(`{"version":{"version":"3.1"}}`) }}, compute, openstack.ErrBadAnswer, ""},
		{"flavors not JSON", "compute", "/v2.1/flavors/detail", faults.Effect{Change: func([]byte) []byte { return []byte("<html>") }}, "flavors", openstack.ErrBadAnswer, ""},
		{"VMs in circles", "compute", "/v2.1/servers/detail", faults.Effect{Change: func(b []byte) []byte {
			return []byte(strings.TrimSuffix(strings.TrimSpace(string(b)), "}") + `,"servers_links":[{"rel":"next","href":"http://x/?marker=p-ops-vm-0"}]}`)
		}}, "VMs", openstack.ErrBadAnswer, ""},
	}
	inEras(t, func(t *testing.T, e emulated.Era) {
		for _, c := range cases {
			set := &faults.Set{}
			set.Add(faults.Fault{Service: c.service, Path: c.path, Times: -1, Effect: c.effect})
			cloud := serve(t, told(t, "01-single-vo"), emulated.Options{Era: e, Middleware: set.Middleware})
			got, _, failed := all(t.Context(), inventory(t, cloud, svc, "p-ops"), nil)
			if strings.Join(names(failed), " ") != c.failed {
				t.Errorf("%s: %v failed", c.name, failed)
			}
			for _, err := range failed {
				var known *openstack.Error
				if !errors.Is(err, c.kind) || !errors.As(err, &known) || known.Service != c.service || known.Status != c.effect.Status || known.Path == "" {
					t.Errorf("%s: %v", c.name, err)
				}
			}
			for name, q := range map[string]openstack.Quotas{"compute": got.Compute, "network": got.Network, "volume": got.Volume} {
				var why *openstack.Error
				if (q.Unknown != nil) != (name == c.unknown) || (name == c.unknown && (!errors.As(q.Unknown, &why) || why.Status != c.effect.Status || len(q.Limits) > 0)) {
					t.Errorf("%s: quotas of %s: %+v", c.name, name, q)
				}
			}
			if n := asked(cloud, "/compute/v2.1/"); c.name == "Nova down" && n != 1 {
				t.Errorf("a Nova that is down is asked %d times", n)
			}
		}
	})
}

// TestWhoeverAsks: a reader, an administrator and one of the whole system are told the same.
func TestWhoeverAsks(t *testing.T) {
	inEras(t, func(t *testing.T, e emulated.Era) {
		w := sample(24)
		one, two := w.Projects[0].ID, w.Projects[1].ID
		w.Flavors = append(w.Flavors, world.Flavor{ID: "own", Name: "own", VCPUs: 1, Private: true, Access: []string{one}}, world.Flavor{ID: "theirs", Name: "theirs", VCPUs: 1, Private: true, Access: []string{two}})
		accepted := map[string]string{one: "accepted"}
		w.Images = append(w.Images, world.Image{ID: "own", Owner: one, Visibility: "private"}, world.Image{ID: "theirs", Owner: two, Visibility: "private"}, world.Image{ID: "community", Owner: two, Visibility: "community"},
			world.Image{ID: "accepted", Owner: two, Visibility: "shared", Members: accepted}, world.Image{ID: "pending", Owner: two, Visibility: "shared", Members: map[string]string{one: "pending"}},
			world.Image{ID: "queued", Owner: one, Visibility: "private", Status: "queued"})
		w.Networks = []world.Network{{ID: "1", Name: "ext", Project: two, External: true}, {ID: "2", Name: "own", Project: one}, {ID: "3", Name: "theirs", Project: two}}
		cloud := serve(t, w, emulated.Options{Era: e})
		var first offer
		for n, cred := range []openstack.Credential{password(world.PlainReader, world.ReaderPass), password(world.Reader, world.ReaderPass), password(world.Admin, world.AdminPass), password(world.SystemAdmin, world.AdminPass)} {
			got, bad, failed := all(t.Context(), inventory(t, cloud, cred, one), nil)
			if len(bad)+len(failed) > 0 {
				t.Fatalf("%v: %v, %v", cred, bad, failed)
			}
			if n == 0 {
				first = got
				var images []string
				for _, i := range got.Images {
					images = append(images, i.ID)
				}
				if len(images) != 6 || images[4] != "own" || images[5] != "accepted" || len(got.Flavors) != 6 || len(got.Networks) != 2 {
					t.Errorf("images %v, %d flavors, %d networks", images, len(got.Flavors), len(got.Networks))
				}
				continue
			}
			if d := cmp.Diff(first, got, cmpopts.IgnoreUnexported(openstack.ListedImage{})); d != "" {
				t.Errorf("%v (-reader +it):\n%s", cred, d)
			}
		}
	})
}

// TestVMsOfDownCell: the VMs of a cell that does not answer are counted where Nova tells of them.
func TestVMsOfDownCell(t *testing.T) {
	inEras(t, func(t *testing.T, e emulated.Era) {
		w := sample(24)
		p := w.Projects[0].ID
		f, _ := world.FaultNamed(world.DownCell)
		w.AddFault(f)
		down := len(w.Seen(present).Unanswered(p))
		there := len(w.Servers(p, present, nil)) - down
		for _, page := range []int{3, 1000} {
			got, err := inventory(t, serve(t, w, emulated.Options{Era: e, PageLimit: page}), password(world.Reader, world.ReaderPass), p).VMCounts(t.Context())
			unknown := map[bool]int{true: min(down, page)}[e.NovaMinor >= 69]
			if err != nil || down == 0 || got.ByStatus["UNKNOWN"] != unknown || got.Total < there || got.Unusable != 0 {
				t.Errorf("pages of %d: %+v, %v; %d are there, %d not seen", page, got, err, there, down)
			}
		}
	})
}

// TestInventoryOfNoProject: without a project's id it is that of the credential's token, and none is an error.
func TestInventoryOfNoProject(t *testing.T) {
	w := told(t, "15-app-credential")
	cloud := serve(t, w, emulated.Options{})
	if i := inventory(t, cloud, openstack.Credential{ApplicationID: "ac1", ApplicationSecret: world.InventorySecret}, ""); i.Scope().ID != "p-ops" {
		t.Errorf("%+v", i.Scope())
	}
	client := connect(t, cloud.AuthURL(), svc)
	if _, err := client.Inventory(t.Context(), ""); !errors.Is(err, openstack.ErrScope) || !strings.Contains(openstack.Hint(err), "name the project") {
		t.Errorf("%v", err)
	}
	if _, err := client.Inventory(t.Context(), "elsewhere"); !errors.Is(err, openstack.ErrNoRole) {
		t.Errorf("%v", err)
	}
}

// TestCatalogEntries: every service's endpoints in every region, and what a cloud without a service says.
func TestCatalogEntries(t *testing.T) {
	cloud := serve(t, told(t, "01-single-vo"), emulated.Options{})
	var kinds []string
	for _, e := range inventory(t, cloud, svc, "p-ops").Catalog() {
		if e.Interface == "public" {
			kinds = append(kinds, e.Service+" "+e.Region)
		}
		if !strings.HasPrefix(e.URL, cloud.Base()) || e.Name == "" {
			t.Errorf("%+v", e)
		}
	}
	if d := cmp.Diff([]string{"identity RegionOne", "image RegionOne", "network RegionOne", "compute RegionOne", "volumev3 RegionOne", "block-storage RegionOne"}, kinds); d != "" {
		t.Error(d)
	}
	i, err := connect(t, newOdd(t, "/compute", func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/compute/") || r.URL.Path == "/compute/" {
			return false
		}
		fmt.Fprint(w, `{"servers":[],"flavors":[],"quota_set":{"cores":5}}`)
		return true
	}).URL, password("me", "x")).Inventory(t.Context(), oddProject)
	if err != nil {
		t.Fatal(err)
	}
	got, _, failed := all(t.Context(), i, nil)
	if strings.Join(names(failed), " ") != "images networks" || !errors.Is(failed["images"], openstack.ErrNoService) || !errors.Is(got.Volume.Unknown, openstack.ErrNoService) || !errors.Is(got.Network.Unknown, openstack.ErrNoService) || got.Compute.Limits["cores"] != 5 {
		t.Errorf("%+v, %v", got, failed)
	}
}
