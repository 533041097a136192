package accounting_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/apel"
	"github.com/fedsite/fedsite/protocol/smime"
)

// clock is the one clock of a test.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(text string) {
	at, err := time.Parse("2006-01-02T15:04:05Z", text)
	if err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// bed is a site with everything around it.
type bed struct {
	t      testing.TB
	clock  *clock
	world  *world.World
	cloud  *emulated.Cloud
	faults *faults.Set // of the cloud
	fed    *federation.Federation
	db     *store.Store
	target *accounting.Target
	sent   *accounting.Archive // nil = none
	last   run.Report
}

const (
	project  = "11111111111111111111111111111111"
	project2 = "22222222222222222222222222222222"
	project3 = "33333333333333333333333333333333"
)

// small is a world of one project with a VO, its users, and no VM yet.
func small() *world.World {
	w := &world.World{
		Region:   "RegionOne",
		Projects: []world.Project{{ID: project, Name: "vo-ops", Properties: map[string]string{"VO": "ops"}}},
		Users: []world.User{
			{ID: "u-reader", Name: "reader", Password: "secret", Roles: map[string][]string{project: {"reader"}}, System: []string{"reader"}},
			{ID: "u-plain", Name: "plain", Password: "secret", Roles: map[string][]string{project: {"reader"}}},
			{ID: "u-admin", Name: "admin", Password: "secret", Roles: map[string][]string{project: {"admin"}}},
			{ID: "u-root", Name: "root", Password: "secret", Roles: map[string][]string{project: {"admin"}}, System: []string{"admin"}},
			{ID: "u-system", Name: "system", Password: "secret", System: []string{"reader"}},
			{ID: "u-one", Name: "user-one@egi.eu", Roles: map[string][]string{project: {"member"}}},
		},
		Flavors: []world.Flavor{
			{ID: "1", Name: "m1.small", VCPUs: 2, RAM: 4096, Disk: 20, Extra: map[string]string{"accounting:benchmark_type": "HEPSPEC06", "accounting:benchmark_value": "99.5"}},
			{ID: "2", Name: "m1.large", VCPUs: 8, RAM: 16384, Disk: 40, Ephemeral: 100},
		},
		Images: []world.Image{
			{ID: "image-1", Name: "img", Visibility: "public"},
			{ID: "image-2", Name: "img2", Visibility: "public", Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://appdb.egi.eu/store/vo/image/xyz/"}},
		},
	}
	return privileged(w)
}

// privileged is what an operator gives the reader in an era in which only an admin may read users.
func privileged(w *world.World) *world.World {
	if !era.SystemScope {
		w.Users[0].Roles[project] = []string{"reader", "admin"}
	}
	return w
}

func moment(text string) time.Time {
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	panic("no time: " + text)
}

// vm adds a VM that was launched a minute after its creation, with further events "kind@time[=value]".
func vm(w *world.World, id, created string, events ...world.Event) {
	at := moment(created)
	w.Add(world.VM{ID: id, Project: project, User: "u-one", Name: "vm-" + id, Flavor: "1", Image: "image-1", Created: at,
		Events: append([]world.Event{{At: at.Add(time.Minute), Kind: world.Launch}}, events...)})
}

func on(kind world.Kind, at string, value ...string) world.Event {
	e := world.Event{At: moment(at), Kind: kind}
	if era.NovaMinor < 58 { // actions tell only when something was asked for: here it takes no time
		e.Asked = e.At
	}
	if len(value) > 0 {
		e.Value = value[0]
	}
	return e
}

// newBed makes the site SITE-A with one cloud, collecting from since on, over the store, and a federation that it sends
// to.
func newBed(t testing.TB, w *world.World, cfg store.Config, now, since string) *bed {
	t.Helper()
	b := newCloudBed(t, w, cfg, now, since)
	var err error
	if b.fed, err = federation.Start("127.0.0.1", b.clock.now, "SITE-A", "SITE-B"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.fed.Close() })
	b.target.Destinations = []accounting.Destination{b.broker("SITE-A")}
	return b
}

// newCloudBed is the same without a federation.
func newCloudBed(t testing.TB, w *world.World, cfg store.Config, now, since string) *bed {
	t.Helper()
	b := &bed{t: t, clock: &clock{}, world: w, faults: &faults.Set{}}
	b.clock.set(now)
	b.cloud = b.serve(w, emulated.Options{Middleware: b.faults.Middleware})
	b.db = storetest.Open(t, cfg)
	b.target = b.site("SITE-A", "site-a", "cloud-a", b.source("reader"), since)
	return b
}

// onDisk is the store of tests in which the kind of database makes no difference.
func onDisk(t testing.TB) store.Config {
	return store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")}
}

func (b *bed) serve(w *world.World, o emulated.Options) *emulated.Cloud {
	b.t.Helper()
	if o.Era.Name == "" {
		o.Era = era
	}
	c := emulated.New(w, b.clock.now, o)
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = srv.Close() })
	return c
}

// source signs in to the emulated cloud as the user.
func (b *bed) source(user string) accounting.Source { return b.sourceAt(b.cloud, user) }

func (b *bed) sourceAt(cloud *emulated.Cloud, user string) accounting.Source {
	return b.sourceWith(cloud, openstack.Credential{Username: user, Password: "secret"})
}

func (b *bed) sourceWith(cloud *emulated.Cloud, cred openstack.Credential) accounting.Source {
	return b.sourceAs(openstack.Config{AuthURL: cloud.AuthURL()}, cred)
}

// sourceAs fills in what the configuration leaves open.
func (b *bed) sourceAs(cfg openstack.Config, cred openstack.Credential) accounting.Source {
	b.t.Helper()
	client, err := transport.New(transport.Config{Timeout: 10 * time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.CloseIdleConnections)
	cfg.HTTP, cfg.Now, cfg.MaxSkew = client.Client, b.clock.now, 5*time.Minute
	cfg.PageSize = max(cfg.PageSize, 3)
	cfg.Credential = func() (openstack.Credential, error) { return cred, nil }
	c, err := openstack.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return app.CloudSource(c)
}

// site gives an active target with one cloud, and no destination yet.
func (b *bed) site(name, id, cloudID string, source accounting.Source, since string) *accounting.Target {
	cloud := site.Cloud{ID: cloudID, Name: cloudID, ServiceName: name + "-CLOUD", Properties: []string{"VO"}}
	return &accounting.Target{
		Site: site.Site{ID: id, Name: name, Clouds: []site.Cloud{cloud}},
		Settings: accounting.Settings{Mode: site.Active, Previously: accounting.CASO, Since: moment(since), ActiveFrom: moment(since), Overlap: 15 * time.Minute, Settle: 5 * time.Minute,
			UserName: accounting.SendName, Machine: accounting.SendName, MaxRecords: 100, CloudType: "fedsite/test (OpenStack)"},
		Clouds: []accounting.CloudTarget{{Cloud: cloud, Source: source, Parallel: 2}},
	}
}

// broker is the destination AMS with the site's own certificate.
func (b *bed) broker(name string) accounting.Destination { return b.brokerWith(name, nil) }

func (b *bed) brokerWith(name string, edit func(*accounting.AMSConfig)) accounting.Destination {
	b.t.Helper()
	client, err := transport.New(transport.Config{Roots: b.fed.CA.Pool(), Timeout: 10 * time.Second})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.CloseIdleConnections)
	for _, s := range b.fed.Sites {
		if s.Name == name {
			cfg := accounting.AMSConfig{Name: "ams", Topic: federation.CloudTopic,
				Client:   &ams.Client{HTTP: client.Client, Host: b.fed.Host, Port: b.fed.Port, AuthnPort: b.fed.AuthnPort, Project: federation.Project},
				Identity: func() (smime.Identity, error) { return smime.ParseIdentity(s.CertPEM, s.KeyPEM) },
				Present:  func(id smime.Identity) { client.SetCertificate(id.TLS()) }}
			if edit != nil {
				edit(&cfg)
			}
			return accounting.NewAMS(cfg)
		}
	}
	b.t.Fatalf("the federation does not know %s", name)
	return nil
}

func (b *bed) deps() accounting.Deps {
	return accounting.Deps{Now: b.clock.now, DB: b.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("test", b.clock.now, nil), Sent: b.sent}
}

// collect collects at the instant, and gives the report.
func (b *bed) collect(at string) run.Report { return b.collectFor(b.target, at, accounting.Ask{}) }

// again collects the instant that was collected last once more.
func (b *bed) again() run.Report {
	b.t.Helper()
	return b.collectFor(b.target, "", accounting.Ask{To: b.clock.now()})
}

func (b *bed) collectFor(target *accounting.Target, at string, ask accounting.Ask) run.Report {
	b.t.Helper()
	if at != "" {
		b.clock.set(at)
	}
	d := b.deps()
	if err := accounting.Collect(context.Background(), d, target, ask); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return b.last
}

func (b *bed) send() run.Report { return b.sendFor(b.target) }

func (b *bed) sendFor(target *accounting.Target) run.Report {
	b.t.Helper()
	d := b.deps()
	if err := accounting.Send(context.Background(), d, target, accounting.Sending{GoActive: true, Parallel: 3, Attempts: 3, Base: time.Millisecond}); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return b.last
}

// clean fails the test when a report has a problem that is more than a notice.
func (b *bed) clean(r run.Report) {
	b.t.Helper()
	for _, p := range r.Problems {
		if !p.Notice {
			b.t.Errorf("problem: %s: %s (%s)", p.Object, p.Reason, p.Hint)
		}
	}
}

// records gives the ledger's rows of the target, by VM and month.
func (b *bed) records() map[string]accounting.Entry { return b.recordsOf(b.target) }

func (b *bed) recordsOf(target *accounting.Target) map[string]accounting.Entry {
	b.t.Helper()
	all, err := accounting.Records(context.Background(), b.db, target, accounting.Filter{})
	if err != nil {
		b.t.Fatal(err)
	}
	m := map[string]accounting.Entry{}
	for _, e := range all {
		m[e.VM+" "+e.Period] = e
	}
	return m
}

// each runs the test over both stores.
func each(t *testing.T, test func(t *testing.T, cfg store.Config)) { storetest.Each(t, test) }

// cloudOf serves another world beside the first.
func (b *bed) cloudOf(w *world.World) *emulated.Cloud { return b.serve(w, emulated.Options{}) }

// id is the n-th VM's.
func id(n int) string { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// row gives the wire record of a VM's month; the test ends when there is none.
func (b *bed) row(vm, period string) apel.CloudRecord {
	b.t.Helper()
	e, ok := b.records()[vm+" "+period]
	if !ok {
		b.t.Fatalf("no row of VM %s, %s; there are %v", vm, period, b.keys())
	}
	return b.parse(e)
}

func (b *bed) parse(e accounting.Entry) apel.CloudRecord {
	b.t.Helper()
	all, err := apel.ParseCloud([]byte(apel.CloudHeader + "\n" + e.Wire))
	if err != nil || len(all) != 1 {
		b.t.Fatalf("record of VM %s, %s: %v", e.VM, e.Period, err)
	}
	return all[0]
}

// keys gives which rows there are, "VM month", in order.
func (b *bed) keys() []string {
	var keys []string
	for k := range b.records() {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// wires gives the wire text of every row.
func (b *bed) wires() map[string]string {
	texts := map[string]string{}
	for k, e := range b.records() {
		texts[k] = e.Wire
	}
	return texts
}

// revisions gives the revision of every row.
func (b *bed) revisions() map[string]int64 {
	revs := map[string]int64{}
	for k, e := range b.records() {
		revs[k] = e.Revision
	}
	return revs
}

// said tells whether a problem of the last report has the texts in its object, reason or hint.
func (b *bed) said(texts ...string) bool {
	return slices.ContainsFunc(b.last.Problems, func(p run.Problem) bool {
		whole := p.Object + "\n" + p.Reason + "\n" + p.Hint
		return !slices.ContainsFunc(texts, func(t string) bool { return !strings.Contains(whole, t) })
	})
}

// told fails the test unless the last report has such a problem.
func (b *bed) told(texts ...string) {
	b.t.Helper()
	if !b.said(texts...) {
		b.t.Errorf("the report does not say %q: %+v", texts, b.last.Problems)
	}
}

// hide keeps VMs out of every answer of Nova from now on: listings are shorter, and by id there is none.
func (b *bed) hide(ids ...string) {
	b.answers(func(server map[string]any) bool { return !slices.Contains(ids, server["id"].(string)) })
	for _, id := range ids {
		b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/" + id, Times: -1, Effect: faults.Effect{Status: 404, Body: "{}"}})
	}
}

// answers lets edit look at, and change, every VM of Nova's listings; false takes it out.
func (b *bed) answers(edit func(server map[string]any) bool) {
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/detail", Times: -1, Effect: faults.Effect{Change: func(body []byte) []byte {
		var doc map[string]any
		if err := json.Unmarshal(body, &doc); err != nil {
			return body
		}
		servers, _ := doc["servers"].([]any)
		doc["servers"] = slices.DeleteFunc(servers, func(s any) bool { return !edit(s.(map[string]any)) })
		changed, err := json.Marshal(doc)
		if err != nil {
			panic(err)
		}
		return changed
	}}})
}
