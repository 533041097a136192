package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// rows gives what is kept, "site cloud project".
func (b *bed) rows() []string {
	b.t.Helper()
	var all []string
	err := b.db.Read(b.t.Context(), func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT site, cloud, project FROM share_state UNION ALL SELECT site, cloud, 'endpoint' FROM endpoint_state`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s, c, p string
			if err := rows.Scan(&s, &c, &p); err != nil {
				return err
			}
			all = append(all, strings.Join(strings.Fields(s+" "+c+" "+p), " "))
		}
		return rows.Err()
	})
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// in gives a region's shares in words: "VO=project mode".
func in(r discovery.Region) (all []string) {
	for _, s := range r.Shares {
		all = append(all, fmt.Sprintf("%s=%s %s", s.VO, s.Project, s.Mode))
	}
	return all
}

// TestShares: which shares a catalog has, by what the file and the projects say, by modes and by times.
func TestShares(t *testing.T) {
	vo := func(name, project string) site.VO { return site.VO{Name: name, Project: project} }
	for name, c := range map[string]struct {
		vos      []site.VO
		said     string // by p-ai
		siteMode site.Mode
		mode     site.Mode // of the cloud
		want     []string
		problems []string
	}{
		"file":                 {vos: []site.VO{vo("ai", "p-ai"), vo("ops", "ops")}, want: []string{"ai=p-ai active", "ops=p-ops active"}},
		"property":             {vos: []site.VO{vo("ops", "ops")}, said: "ai, biomed", want: []string{"ops=p-ops active", "ai=p-ai active", "biomed=p-ai active"}},
		"one project, two VOs": {vos: []site.VO{vo("ai", "p-ai"), vo("ops", "p-ops"), vo("/ai/gpu", "p-ai")}, want: []string{"ai=p-ai active", "ops=p-ops active", "/ai/gpu=p-ai active"}},
		"twice the same":       {vos: []site.VO{vo("ops", "p-ops"), vo("ops", "ops")}, said: "ai", want: []string{"ops=p-ops active", "ai=p-ai active"}},
		"no VO": {vos: []site.VO{vo("ops", "p-ops")}, want: []string{"ops=p-ops active"},
			problems: []string{"project p-ai (ai4eosc): belongs to no VO: skipped"}},
		"no such project": {vos: []site.VO{vo("ops", "p-ops"), vo("lost", "p-lost")}, said: "ai", want: []string{"ops=p-ops active", "ai=p-ai active"},
			problems: []string{"project p-lost: VO lost: the credential has no role on this project, or it does not exist"}},
		"the file wins": {vos: []site.VO{vo("ops", "p-ops"), vo("a", "p-ai")}, said: "b", want: []string{"ops=p-ops active", "a=p-ai active"},
			problems: []string{"project p-ai (ai4eosc): the file says VO a, the project's property says b: the file wins"}},
		"names of VOs that cannot be": {vos: []site.VO{vo("ops", "p-ops")}, said: "ai\nb, ai, " + strings.Repeat("x", 256), want: []string{"ops=p-ops active", "ai=p-ai active"},
			problems: []string{`project p-ai (ai4eosc): its property names the VO "ai\nb", which has characters that cannot be printed: that VO is refused`,
				`project p-ai (ai4eosc): its property names the VO "` + strings.Repeat("x", 80) + `", which has 256 bytes, and a VO's name at most 255: that VO is refused`}},
		"an odd name of a VO": {vos: []site.VO{vo("ops", "p-ops")}, said: "my VO", want: []string{"ops=p-ops active", "my VO=p-ai active"},
			problems: []string{`project p-ai (ai4eosc): its property names the VO "my VO": no name of a VO as the federation writes it`}},
		"site observes":  {vos: []site.VO{vo("ops", "p-ops"), {Name: "ai", Project: "p-ai", Mode: site.Active}}, siteMode: site.Observe, want: []string{"ops=p-ops observe", "ai=p-ai observe"}},
		"cloud observes": {vos: []site.VO{vo("ops", "p-ops"), {Name: "ai", Project: "p-ai", Mode: site.Active}}, mode: site.Observe, want: []string{"ops=p-ops observe", "ai=p-ai observe"}},
		"a VO observes":  {vos: []site.VO{vo("ops", "p-ops"), {Name: "ai", Project: "p-ai", Mode: site.Observe}}, want: []string{"ops=p-ops active", "ai=p-ai observe"}},
		"a VO is off":    {vos: []site.VO{vo("ops", "p-ops"), {Name: "ai", Project: "p-ai", Mode: site.Disabled}}, want: []string{"ops=p-ops active"}},
		"not yet, no more": {vos: []site.VO{{Name: "soon", Project: "p-ops", Since: present.Add(time.Second)}, {Name: "over", Project: "p-ops", Until: present}, {Name: "now", Project: "p-ops", Since: present, Until: present.Add(1)}},
			said: "ai", want: []string{"now=p-ops active", "ai=p-ai active"}},
	} {
		w := told(t, "02-two-vos-states")
		if c.said != "" {
			w.Projects[1].Properties = map[string]string{"VO": c.said}
		}
		b := newBed(t, w, emulated.Current, onDisk(t))
		b.target.Clouds[0].Cloud.VOs, b.target.Clouds[0].Mode = c.vos, c.mode
		if c.siteMode != "" {
			b.target.Settings.Mode = c.siteMode
		}
		r := b.region(b.take())
		if d := cmp.Diff(c.want, in(r)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff(c.problems, b.problems()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if last, err := discovery.Last(t.Context(), b.deps(), b.target); err != nil || cmp.Diff(b.region(last), r) != "" {
			t.Errorf("%s: %v, kept is another one (-kept +taken):\n%s", name, err, cmp.Diff(b.region(last), r))
		}
		signIns := 0
		for _, r := range b.cloud.Requests() {
			if r.Path == "/identity/v3/auth/tokens" {
				signIns++
			}
		}
		projects := map[string]bool{}
		for _, s := range r.Shares {
			projects[s.Project] = true
		}
		if signIns != 1+len(projects) {
			t.Errorf("%s: %d sign-ins for %d projects", name, signIns, len(projects))
		}
	}
}

// TestModesThatAreOff: a site or a cloud that is disabled is not asked, and what is kept of it stays.
func TestModesThatAreOff(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	b.take()
	kept := b.rows()
	b.cloud.Forget()
	b.target.Clouds[0].Mode = site.Disabled
	if all := b.take(); len(all) != 0 || b.last.Outcome != run.Done {
		t.Errorf("%+v, %+v", all, b.last)
	}
	b.target.Clouds[0].Mode, b.target.Settings.Mode = "", site.Disabled
	if all := b.take(); len(all) != 0 || b.last.Outcome != run.Done || !strings.Contains(fmt.Sprint(b.problems()), "mode is disabled") {
		t.Errorf("%+v, %+v", all, b.last)
	}
	if n := len(b.cloud.Requests()); n != 0 || cmp.Diff(kept, b.rows()) != "" {
		t.Errorf("%d requests, kept %q", n, b.rows())
	}
}

// TestShareGoes: a share that the configuration or its project names no more is gone at once, and what was kept of it; one
// that the file still names, whose project is not shown any more, is kept for as long as is set.
func TestShareGoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		w := told(t, "02-two-vos-states")
		w.Projects[1].Properties = map[string]string{"VO": "ai"}
		b := newBed(t, w, emulated.Current, cfg, "ops=p-ops")
		check := func(what string, shares, rows []string) discovery.Region {
			t.Helper()
			r := b.region(b.take())
			if d := cmp.Diff(shares, in(r)); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
			if d := cmp.Diff(rows, b.rows()); d != "" {
				t.Errorf("%s (-want +kept):\n%s", what, d)
			}
			return r
		}
		const ops, ai, cloud, endpoint = "site-a cloud-a p-ops", "site-a cloud-a p-ai", "site-a cloud-a endpoint", "site-a endpoint"
		check("both", []string{"ops=p-ops active", "ai=p-ai active"}, []string{cloud, ai, ops, endpoint})
		b.fault("identity", "/v3/auth/projects", faults.Effect{Change: func(body []byte) []byte { return []byte(strings.ReplaceAll(string(body), `"VO"`, `"was-VO"`)) }})
		check("the project names no VO", []string{"ops=p-ops active"}, []string{cloud, ops, endpoint})
		b.faults.Clear()
		check("both again", []string{"ops=p-ops active", "ai=p-ai active"}, []string{cloud, ai, ops, endpoint})
		b.target.Clouds[0].Cloud.VOs = nil
		check("the file names no VO", []string{"ai=p-ai active"}, []string{cloud, ai, endpoint})
		b.target.Clouds[0].Cloud.VOs = []site.VO{{Name: "ops", Project: "ops", PublicNetwork: "ext", DefaultNetwork: "private"}} // by its name
		r := check("both again", []string{"ops=p-ops active", "ai=p-ai active"}, []string{cloud, ai, ops, endpoint})
		if s := r.Shares[0]; s.PublicNetwork != "ext" || s.DefaultNetworkType != "private" || r.Shares[1].PublicNetwork != "" {
			t.Errorf("%+v", s)
		}
		b.fault("identity", "/v3/auth/projects", faults.Effect{Change: func([]byte) []byte { return []byte(`{"projects":[{"id":"p-new","name":"new","enabled":true}]}`) }})
		b.pass(time.Hour)
		r = check("no role on either", []string{"ops=p-ops active"}, []string{cloud, ops, endpoint})
		if o := r.Shares[0].Offer; o.VMs.Value.Total != 1 || len(o.Troubles()) != 1 || o.Troubles()[0].Stage != "sign-in" || !o.VMs.At.Equal(present) {
			t.Errorf("%+v", o)
		}
		b.pass(12 * time.Hour)
		if r = check("long since", []string{"ops=p-ops active"}, []string{cloud, ops, endpoint}); r.Shares[0].Offer.IsKnown() {
			t.Errorf("%+v", r.Shares[0])
		}
		b.faults.Clear()
		b.target.Clouds[0] = b.cloudTarget("cloud-b", "", b.cloud, "ops=p-ops")
		check("another cloud", []string{"ops=p-ops active", "ai=p-ai active"}, []string{"site-a cloud-b endpoint", "site-a cloud-b p-ai", "site-a cloud-b p-ops", endpoint})
	})
}

// owned is a source some of whose projects are those of VOs' own credentials.
type owned struct {
	discovery.Source
	of  map[string][]string // VOs by project
	err error
}

func (o *owned) Projects(ctx context.Context) ([]site.Project, error) {
	all, err := o.Source.Projects(ctx)
	for i := range all {
		all[i].Of = o.of[all[i].ID]
	}
	return all, errors.Join(o.err, err)
}

// TestProjectOfItsCredential: a VO that names no project has that of its own credential, also while the cloud is away, and when
// the credential fails; when the credential is of another project, it is there at once.
func TestProjectOfItsCredential(t *testing.T) {
	b := newBed(t, told(t, "02-two-vos-states"), emulated.Current, onDisk(t), "ops=", "ai=p-ai")
	source := &owned{b.target.Clouds[0].Source, map[string][]string{"p-ops": {"ops", "other"}}, nil}
	b.target.Clouds[0].Source = source
	check := func(what string, known bool, want ...string) {
		t.Helper()
		r := b.region(b.take())
		if d := cmp.Diff(want, in(r)); d != "" || r.Shares[0].Offer.VMs.IsKnown() != known {
			t.Errorf("%s (-want +got):\n%s%+v", what, d, r.Shares[0])
		}
	}
	check("there", true, "ops=p-ops active", "ai=p-ai active")
	b.clean()
	source.err = &openstack.Error{Kind: openstack.ErrUnavailable, Service: "identity"}
	check("the cloud is away", true, "ops=p-ops active", "ai=p-ai active")
	source.err = nil
	b.target.Clouds[0].Source = &owned{hiding{source.Source, "p-ops"}, nil, nil}
	check("its credential fails", true, "ai=p-ai active", "ops=p-ops active")
	b.pass(13 * time.Hour)
	check("for long", true, "ai=p-ai active", "ops=p-ops active")
	source.of = map[string][]string{"p-ai": {"ops"}}
	b.target.Clouds[0].Source = source
	check("it is of another project", true, "ops=p-ai active", "ai=p-ai active")
	if rows := b.rows(); slices.Contains(rows, "site-a cloud-a p-ops") {
		t.Errorf("kept %q", rows)
	}
}

// hiding is a source that does not list a project.
type hiding struct {
	discovery.Source
	project string
}

func (h hiding) Projects(ctx context.Context) ([]site.Project, error) {
	all, err := h.Source.Projects(ctx)
	return slices.DeleteFunc(all, func(p site.Project) bool { return p.ID == h.project }), err
}

// TestTwoSites: sites whose clouds have projects of the same ids know nothing of each other.
func TestTwoSites(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, told(t, "01-single-vo"), emulated.Current, cfg, "ops=p-ops")
		other := b.serve(told(t, "34-gpu-number-fraction"), emulated.Zed)
		second := b.site("SITE-B", "site-b", b.cloudTarget("cloud-a", "", other, "ops=p-ops")) // the cloud's id too
		first := b.take()
		b.takeFor(second)
		b.fault("compute", "", faults.Effect{Status: 500})
		b.pass(time.Hour)
		one, two := b.region(b.take()), b.region(b.takeFor(second))
		if d := cmp.Diff(first[0].Regions[0].Shares[0].Offer.Flavors, one.Shares[0].Offer.Flavors, ignoreTrouble); d != "" {
			t.Errorf("(-before +after):\n%s", d)
		}
		if f := two.Shares[0].Offer.Flavors.Value; len(f) != 1 || f[0].ID != "g1" || two.Version.Value != "2.93" || one.Version.Value != "2.104" {
			t.Errorf("%+v", two)
		}
		second.Clouds = nil
		b.takeFor(second)
		if d := cmp.Diff([]string{"site-a cloud-a endpoint", "site-a cloud-a p-ops", "site-a endpoint"}, b.rows()); d != "" {
			t.Errorf("(-want +kept):\n%s", d)
		}
	})
}

// TestRegions: clouds of one Keystone URL are regions of one catalog, in file order; a region that is away spoils no other.
func TestRegions(t *testing.T) {
	south, north := told(t, "01-single-vo"), told(t, "34-gpu-number-fraction")
	south.Region, north.Region = "south", "north"
	b := newBed(t, south, emulated.Current, onDisk(t))
	a, c := b.cloudTarget("c1", "south", b.cloud, "ops=p-ops"), b.cloudTarget("c2", "north", b.serve(north, emulated.Mitaka), "ops=p-ops")
	alone := b.cloudTarget("c3", "RegionOne", b.serve(told(t, "02-two-vos-states"), emulated.Zed), "ops=p-ops", "ai=p-ai")
	a.EP, c.EP = "https://ks.example.org/v3/", "https://ks.example.org/v3/"
	b.target = b.site("SITE-A", "site-a", c, alone, a)
	b.target.Site.Formerly = []site.Former{{Name: "OLD", Until: present.Add(time.Hour)}}
	all := b.take()
	if len(all) != 2 || all[0].EP != a.EP || all[1].EP != alone.EP || all[0].Site != "OLD" || len(all[0].Regions) != 2 || len(all[1].Regions) != 1 || len(all[1].Regions[0].Shares) != 2 {
		t.Fatalf("%+v", all)
	}
	if r := all[0].Regions; r[0].Region != "north" || r[1].Region != "south" || all[1].Regions[0].Region != "" || r[0].Version.Value != "2.25" || r[1].Version.Value != "2.104" ||
		r[0].Shares[0].Offer.Flavors.Value[0].ID != "g1" || r[1].Shares[0].Offer.Flavors.Value[0].ID != "1" {
		t.Errorf("%+v", r)
	}
	b.target.Clouds[0].Mode = site.Disabled
	b.target.Clouds[2].Source = b.source("http://127.0.0.1:1/v3", "south")
	b.pass(time.Hour)
	all = b.take()
	if len(all) != 2 || all[1].EP != a.EP || all[1].Site != "SITE-A" || all[1].Regions[0].Region != "south" || all[1].Regions[0].Trouble == nil || len(all[1].Regions[0].Shares) != 1 || b.last.Outcome != run.Partial ||
		all[1].Authorities.Trouble != nil || all[0].Regions[0].Trouble != nil {
		t.Errorf("%+v, %q", all, b.problems())
	}
}

// TestHostileNames: what tenants and clouds write comes through as it is, also from what is kept.
func TestHostileNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		names := []string{"a\nb\rc", `"}]}`, "\x00\x01\x1b[31m", "\u202e\U0001F600 Ünïcode ключ", "</script>", "dn: o=glue\n\n", "*)(objectClass=*", strings.Repeat("x", 5000), " ", "\u2028", ""}
		w := told(t, "34-gpu-number-fraction")
		for n, name := range names {
			id := fmt.Sprintf("odd-%02d", n)
			w.Flavors = append(w.Flavors, world.Flavor{ID: id, Name: name, VCPUs: 1, Extra: map[string]string{name[:min(len(name), 200)]: name, "Accelerator:Model": name}})
			w.Images = append(w.Images, world.Image{ID: id, Name: name, Owner: "p-ops", Visibility: "private", Properties: map[string]string{"APPLIANCE_ATTRIBUTES": name, "os_distro": name, "hw_disk_bus": name}})
		}
		b := newBed(t, w, emulated.Current, cfg, "ops=p-ops")
		good := b.share().Offer
		b.clean()
		b.fault("compute", "", faults.Effect{Status: 503})
		b.fault("image", "", faults.Effect{Status: 503})
		kept := b.share().Offer
		for _, o := range []discovery.Offer{good, kept} {
			for n, name := range names {
				f, i := o.Flavors.Value[n+1], o.Images.Value[n+1]
				if f.Name != name || f.ExtraSpecs["Accelerator:Model"] != name || i.Name != name || i.Properties["APPLIANCE_ATTRIBUTES"] != name || i.Properties["os_distro"] != name || i.Properties["hw_disk_bus"] != "" || !i.Own {
					t.Errorf("%q: %+v, %+v", name, f, i)
				}
			}
			if s := o.Flavors.Value[0].ExtraSpecs; s["Accelerator:Number"] != "0.5" || len(s) != 7 {
				t.Errorf("%v", s)
			}
		}
	})
}

// TestRequests: ten shares of thirty flavors are asked with few requests, and a service with no more at once than projects
// are; on an old cloud with one more for each flavor.
func TestRequests(t *testing.T) {
	inEras(t, func(t *testing.T, era emulated.Era) {
		w := told(t, "22-perf-10vo-30flavors")
		var vos []string
		for _, p := range w.Projects {
			vos = append(vos, "vo."+p.Name+"="+p.ID)
		}
		b := newBed(t, w, era, onDisk(t), vos...)
		var (
			mu         sync.Mutex
			busy, most = map[string]int{}, 0
		)
		b.target.Clouds[0].Source = b.sourceBy(func(service string, n int) {
			mu.Lock()
			defer mu.Unlock()
			busy[service] += n
			most = max(most, busy[service])
		})
		r := b.region(b.take())
		b.clean()
		limit := 9*len(w.Projects) + 15 + map[bool]int{true: len(w.Flavors)}[era.NovaMinor < 61]
		if n := len(b.cloud.Requests()); len(r.Shares) != 10 || len(r.Shares[9].Offer.Flavors.Value) != 30 || n > limit || most > b.target.Clouds[0].Parallel {
			t.Errorf("%d shares with %d requests, of %d; %d at once", len(r.Shares), n, limit, most)
		} else {
			t.Logf("%d requests, at most %d at once to one service", n, most)
		}
	})
}

// BenchmarkCatalog takes the catalog of a hundred shares with two hundred flavors and five hundred images each.
func BenchmarkCatalog(b *testing.B) {
	const shares, flavors, images = 100, 200, 500
	w := &world.World{Region: "RegionOne"}
	user := world.User{ID: "u-svc", Name: world.InventoryUser, Password: world.InventoryPass, Roles: map[string][]string{}}
	var vos []string
	for n := range shares {
		id := fmt.Sprintf("%032x", n)
		w.Projects = append(w.Projects, world.Project{ID: id, Name: fmt.Sprint("project-", n)})
		user.Roles[id] = []string{"reader"}
		vos = append(vos, fmt.Sprintf("vo%d.example.org=%s", n, id))
	}
	w.Users = []world.User{user}
	for n := range flavors {
		w.Flavors = append(w.Flavors, world.Flavor{ID: fmt.Sprintf("%032x", n), Name: fmt.Sprint("flavor.", n), VCPUs: 4, RAM: 8192, Disk: 40, Extra: map[string]string{"Accelerator:Number": "1", "Accelerator:Model": "A100"}})
	}
	attributes := `{"eu.egi.cloud.image_ref": "egi_vm_images/ubuntu:22.04", "eu.egi.cloud.tag": "2025-09-04-4d7122d6", "eu.egi.cloud.description": "EGI Ubuntu 22.04 image"}`
	for n := range images {
		w.Images = append(w.Images, world.Image{ID: fmt.Sprintf("%032x", n), Name: fmt.Sprint("registry.egi.eu egi_vm_images/image:", n), Owner: w.Projects[0].ID, Visibility: "public",
			Properties: map[string]string{"APPLIANCE_ATTRIBUTES": attributes, "os_distro": "ubuntu", "os_version": "22.04", "architecture": "x86_64", "vmcatcher_event_ad_mpuri": fmt.Sprint("registry.egi.eu/egi_vm_images/image:", n)}})
	}
	bed := newBed(b, w, emulated.Current, onDisk(b), vos...)
	bed.target.Clouds[0].Parallel = 8
	b.ReportAllocs()
	for b.Loop() {
		bed.cloud.Forget()
		r := bed.region(bed.take())
		if len(r.Shares) != shares || len(r.Shares[99].Offer.Images.Value) != images {
			b.Fatalf("%d shares", len(r.Shares))
		}
		bed.clean()
	}
	b.ReportMetric(float64(len(bed.cloud.Requests())), "requests/op")
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		for line := range strings.Lines(string(status)) {
			var peak float64
			if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &peak); n == 1 {
				b.ReportMetric(peak/1024, "peak-MiB")
			}
		}
	}
}
