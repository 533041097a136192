package discovery_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/transport"
)

// present is when catalogs are first taken.
var present = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// bed is a site around an emulated cloud, whose catalog is taken.
type bed struct {
	t      testing.TB
	world  *world.World
	cloud  *emulated.Cloud
	faults *faults.Set
	db     *store.Store
	target *discovery.Target
	last   run.Report

	mu sync.Mutex
	at time.Time
}

func (b *bed) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

// pass lets time pass.
func (b *bed) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

// told reads an inventory of the vectors.
func told(t testing.TB, name string) *world.World {
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

// onDisk is the store of tests in which the kind of database makes no difference.
func onDisk(t testing.TB) store.Config {
	return store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")}
}

// inEras runs a test in each era of the emulated cloud.
func inEras(t *testing.T, test func(*testing.T, emulated.Era)) {
	for _, e := range emulated.Eras() {
		t.Run(e.Name, func(t *testing.T) { test(t, e) })
	}
}

// newBed makes the site SITE-A with one cloud of the era, whose VOs are said in the file: "ops=p-ops".
func newBed(t testing.TB, w *world.World, era emulated.Era, cfg store.Config, vos ...string) *bed {
	t.Helper()
	b := &bed{t: t, world: w, faults: &faults.Set{}, at: present}
	b.cloud = b.serve(w, era)
	b.db = storetest.Open(t, cfg)
	b.target = b.site("SITE-A", "site-a", b.cloudTarget("cloud-a", "", b.cloud, vos...))
	return b
}

func (b *bed) serve(w *world.World, era emulated.Era) *emulated.Cloud {
	b.t.Helper()
	c := emulated.New(w, b.now, emulated.Options{Era: era, Middleware: b.faults.Middleware})
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = srv.Close() })
	return c
}

// site gives an active target of the clouds.
func (b *bed) site(name, id string, clouds ...discovery.CloudTarget) *discovery.Target {
	t := &discovery.Target{Site: site.Site{ID: id, Name: name}, Settings: discovery.Settings{Mode: site.Active, KeepFor: 12 * time.Hour}, Clouds: clouds}
	for _, c := range clouds {
		t.Site.Clouds = append(t.Site.Clouds, c.Cloud)
	}
	return t
}

// cloudTarget gives a cloud with VOs "name=project".
func (b *bed) cloudTarget(id, region string, cloud *emulated.Cloud, vos ...string) discovery.CloudTarget {
	b.t.Helper()
	c := site.Cloud{ID: id, Name: id, AuthURL: cloud.AuthURL(), Region: region, Properties: []string{"VO"}}
	for _, v := range vos {
		name, project, _ := strings.Cut(v, "=")
		c.VOs = append(c.VOs, site.VO{Name: name, Project: project})
	}
	return discovery.CloudTarget{Cloud: c, EP: cloud.AuthURL(), Source: b.source(cloud.AuthURL(), region), Parallel: 3, Authentication: "v3password"}
}

// source is a cloud as discovery sees it.
type source struct{ *openstack.Cloud }

func (s source) Inventory(ctx context.Context, project string) (discovery.Inventory, error) {
	i, err := s.Cloud.Inventory(ctx, project)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// watched tells of requests as they begin (1) and end (-1), by service.
type watched struct {
	next http.RoundTripper
	tell func(service string, n int)
}

func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	service, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	w.tell(service, 1)
	defer w.tell(service, -1)
	return w.next.RoundTrip(r)
}

// sourceBy is the bed's cloud, through a connection that tells of its requests.
func (b *bed) sourceBy(tell func(service string, n int)) discovery.Source {
	return b.connect(b.cloud.AuthURL(), "", func(next http.RoundTripper) http.RoundTripper { return watched{next, tell} })
}

func (b *bed) source(authURL, region string) discovery.Source {
	return b.connect(authURL, region, func(next http.RoundTripper) http.RoundTripper { return next })
}

// connect signs in as the account of the inventories; a failed request is not repeated.
func (b *bed) connect(authURL, region string, around func(http.RoundTripper) http.RoundTripper) discovery.Source {
	b.t.Helper()
	client, err := transport.New(transport.Config{Timeout: time.Minute})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.CloseIdleConnections)
	client.Client.Transport = around(client.Client.Transport)
	cred := openstack.Credential{Username: world.InventoryUser, Password: world.InventoryPass}
	c, err := openstack.New(openstack.Config{AuthURL: authURL, Region: region, HTTP: client.Client, Shake: client.Shake, Now: b.now, MaxSkew: 5 * time.Minute,
		Credential: func() (openstack.Credential, error) { return cred, nil }})
	if err != nil {
		b.t.Fatal(err)
	}
	return source{c}
}

func (b *bed) deps() discovery.Deps {
	return discovery.Deps{Now: b.now, DB: b.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("discovery", b.now, nil)}
}

// take takes the catalogs of the bed's target.
func (b *bed) take() []discovery.Catalog {
	b.t.Helper()
	return b.takeFor(b.target)
}

func (b *bed) takeFor(t *discovery.Target) []discovery.Catalog {
	b.t.Helper()
	d := b.deps()
	all, err := discovery.Take(b.t.Context(), d, t)
	if err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return all
}

// region is the only region of the only catalog.
func (b *bed) region(all []discovery.Catalog) discovery.Region {
	b.t.Helper()
	if len(all) != 1 || len(all[0].Regions) != 1 {
		b.t.Fatalf("%d catalogs: %+v", len(all), all)
	}
	return all[0].Regions[0]
}

// share takes the catalog, and gives the only share.
func (b *bed) share() discovery.Share {
	b.t.Helper()
	r := b.region(b.take())
	if len(r.Shares) != 1 {
		b.t.Fatalf("%d shares", len(r.Shares))
	}
	return r.Shares[0]
}

// clean fails the test when the last report has a problem.
func (b *bed) clean() {
	b.t.Helper()
	for _, p := range b.last.Problems {
		b.t.Errorf("problem: %s: %s (%s)", p.Object, p.Reason, p.Hint)
	}
}

// problems gives the last report's problems in words, notices too.
func (b *bed) problems() []string {
	var all []string
	for _, p := range b.last.Problems {
		all = append(all, p.Object+": "+p.Reason)
	}
	return all
}

// fault arms a fault that strikes always.
func (b *bed) fault(service, path string, e faults.Effect) {
	b.faults.Add(faults.Fault{Service: service, Path: path, Times: -1, Effect: e})
}
