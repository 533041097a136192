package accounting_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// troubled is a world in which VMs begin, change and end in the window that a fault spoils.
func troubled() *world.World {
	w := crowd(8, "2024-03-02")
	vm(w, id(20), "2024-03-05", on(world.Delete, "2024-03-10T12:00"))
	vm(w, id(21), "2024-03-10T06:00")
	vm(w, id(22), "2024-03-10T07:00", on(world.Delete, "2024-03-10T08:00"))
	w.Happen(id(1), on(world.Resize, "2024-03-10T09:00", "2"))
	return w
}

// The undisturbed course has three runs; a fault spoils the second one.
const first, second, third = "2024-03-10T00:05:00Z", "2024-03-11T00:05:00Z", "2024-03-12T00:05:00Z"

// undisturbed is the ledger that the third run must end with.
func undisturbed(t *testing.T) map[string]string {
	b := newCloudBed(t, troubled(), onDisk(t), first, "2024-03-01")
	b.clean(b.collect(first))
	b.clean(b.collect(third))
	return b.wires()
}

// everyToken changes every answer to a sign-in.
func everyToken(e faults.Effect) func(*bed) {
	return func(b *bed) {
		b.faults.Add(faults.Fault{Service: "identity", Method: http.MethodPost, Path: "/v3/auth/tokens", Times: -1, Effect: e})
	}
}

// secondPage strikes the second page of the first listing.
func secondPage(e faults.Effect) func(*bed) {
	return func(b *bed) {
		b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/detail", Query: "marker=", Times: -1, Effect: e})
	}
}

func replacing(old, with string) func([]byte) []byte {
	return func(body []byte) []byte { return bytes.ReplaceAll(body, []byte(old), []byte(with)) }
}

func text(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }

// as collects with another credential.
func as(cred openstack.Credential) func(*bed) {
	return func(b *bed) { b.target.Clouds[0].Source = b.sourceWith(b.cloud, cred) }
}

// with collects with another configuration of the cloud.
func with(edit func(*openstack.Config)) func(*bed) {
	return func(b *bed) {
		cfg := openstack.Config{AuthURL: b.cloud.AuthURL()}
		edit(&cfg)
		b.target.Clouds[0].Source = b.sourceAs(cfg, openstack.Credential{Username: "reader", Password: "secret"})
	}
}

// TestTroubleWithTheCloud spoils a run in every way: it is said on which object and what to do, the exit code is that of
// design §4, and the next run covers the window.
func TestTroubleWithTheCloud(t *testing.T) {
	want := undisturbed(t)
	theProject := "project " + project
	for name, c := range map[string]struct {
		spoil func(*bed)
		exit  int
		says  []string
	}{
		"wrong password":     {as(openstack.Credential{Username: "reader", Password: "wrong"}), run.ExitNotAuthorised, []string{"cloud cloud-a", "401", "check user and password"}},
		"expired credential": {as(openstack.Credential{ApplicationID: "gone", ApplicationSecret: "x"}), run.ExitNotAuthorised, []string{"cloud cloud-a", "application credential and its expiry"}},
		"no role anywhere":   {as(openstack.Credential{Username: "system", Password: "secret"}), run.ExitNotAuthorised, []string{"cloud cloud-a", "role reader on each project"}},
		"role taken away": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "identity", Path: "/v3/auth/tokens", Nth: 2, Times: -1, Effect: faults.Effect{Status: 401, Body: "{}"}})
		}, run.ExitNotAuthorised, []string{theProject, "openstack role add"}},
		"Keystone down":    {with(func(c *openstack.Config) { c.AuthURL = "http://127.0.0.1:1/v3" }), run.ExitUnavailable, []string{"cloud cloud-a", "connection refused", "nothing listens there"}},
		"Keystone 503":     {everyToken(faults.Effect{Status: 503, Body: apology}), run.ExitUnavailable, []string{"cloud cloud-a", "503", "nothing is lost"}},
		"Keystone's clock": {everyToken(faults.Effect{Header: http.Header{"Date": {"Mon, 11 Mar 2024 00:15:01 GMT"}}}), run.ExitFailed, []string{"cloud cloud-a", "clocks", "chrony"}},
		"no Nova":          {everyToken(faults.Effect{Change: replacing(`"type":"compute"`, `"type":"other"`)}), run.ExitFailed, []string{theProject, "catalog", "openstack catalog list"}},
		"unknown region":   {with(func(c *openstack.Config) { c.Region = "Atlantis" }), run.ExitFailed, []string{theProject, "Atlantis", "RegionOne"}},
		"500 on page 2":    {secondPage(faults.Effect{Status: 500, Body: "{}"}), run.ExitUnavailable, []string{theProject, "list the existing VMs", "500", "nothing is lost"}},
		"503 on page 2":    {secondPage(faults.Effect{Status: 503, Body: apology}), run.ExitUnavailable, []string{theProject, "503"}},
		"403 on page 2":    {secondPage(faults.Effect{Status: 403, Body: "{}"}), run.ExitNotAuthorised, []string{theProject, "openstack role add"}},
		"404 on page 2":    {secondPage(faults.Effect{Status: 404, Body: "{}"}), run.ExitFailed, []string{theProject, "404"}},
		"no answer":        {secondPage(faults.Effect{Unread: true}), run.ExitUnavailable, []string{theProject, "cut"}},
		"cut JSON":         {secondPage(faults.Effect{Cut: true}), run.ExitUnavailable, []string{theProject, "nothing is lost"}},
		"JSON that ends":   {secondPage(faults.Effect{Change: func(b []byte) []byte { return b[:len(b)/2] }}), run.ExitUnavailable, []string{theProject, "cut"}},
		"HTML":             {secondPage(faults.Effect{Change: text(apology)}), run.ExitFailed, []string{theProject, "not JSON", "auth_url"}},
		"wrong type":       {secondPage(faults.Effect{Change: text(`{"servers": "none"}`)}), run.ExitFailed, []string{theProject, "unusable answer"}},
		"page that repeats": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/detail", Times: -1, Effect: faults.Effect{Change: func(body []byte) []byte {
				return []byte(strings.TrimSuffix(strings.TrimSpace(string(body)), "}") + `,"servers_links":[{"rel":"next","href":"http://x/?marker=` + id(5) + `"}]}`)
			}}})
		}, run.ExitFailed, []string{theProject, "goes in circles"}},
		"another's VM": {secondPage(faults.Effect{Change: replacing(`"tenant_id":"`+project, `"tenant_id":"`+project2)}), run.ExitNotAuthorised, []string{theProject, project2}},
		"changed listing 500": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Query: "changes-since", Effect: faults.Effect{Status: 500, Body: "{}"}})
		}, run.ExitUnavailable, []string{theProject, "list the VMs changed since 2024-03-09T23:45:00Z"}},
		"token expires": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Query: "marker=", Effect: faults.Effect{Do: b.cloud.ExpireTokens}})
		}, run.ExitDone, nil},
		"no actions": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/*/os-instance-actions", Times: -1, Effect: faults.Effect{Status: 500, Body: "{}"}})
		}, run.ExitUnavailable, []string{theProject, "instance actions of VM " + id(1)}},
		"no users": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "identity", Path: "/v3/users/*", Times: -1, Effect: faults.Effect{Status: 500, Body: "{}"}})
		}, run.ExitUnavailable, []string{theProject, "names of users"}},
		"no images": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "image", Times: -1, Effect: faults.Effect{Status: 503, Body: apology}})
		}, run.ExitUnavailable, []string{theProject, "images", "503"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCloudBed(t, troubled(), onDisk(t), first, "2024-03-01")
			b.clean(b.collect(""))
			source := b.target.Clouds[0].Source
			c.spoil(b)
			if r := b.collect(second); r.Exit() != c.exit {
				t.Errorf("exit %d, want %d: %+v", r.Exit(), c.exit, r.Problems)
			}
			if c.says != nil {
				b.told(c.says...)
			}
			for _, p := range b.last.Problems {
				if p.Hint == "" || p.Object == "" {
					t.Errorf("problem without object or hint: %+v", p)
				}
			}
			b.faults.Clear()
			b.target.Clouds[0].Source = source
			b.clean(b.collect(third))
			if d := cmp.Diff(want, b.wires()); d != "" {
				t.Errorf("the next run does not cover the window (-undisturbed +got):\n%s", d)
			}
		})
	}
}

// TestActionsThatCannotBeRead has a resize whose date is not to be had: it is counted from the last sight on, and said so.
func TestActionsThatCannotBeRead(t *testing.T) {
	b := newCloudBed(t, troubled(), onDisk(t), first, "2024-03-01")
	b.clean(b.collect(""))
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/*/os-instance-actions", Times: -1, Effect: faults.Effect{Status: 403, Body: "{}"}})
	b.clean(b.collect(second))
	b.told("VM "+id(1), "counted from 2024-03-10T00:00:00Z on", "possible error 6 vCPU")
	b.told("VM "+id(1), "its instance actions cannot be read", "openstack role add")
	if r := b.row(id(1), "2024-03"); r.CPUDuration != 8*86400*2+86400*8 {
		t.Errorf("CPU %d", r.CPUDuration)
	}
}

// TestOneProjectOfTwo spoils one project: the other goes on, and the run is partly done.
func TestOneProjectOfTwo(t *testing.T) {
	w := troubled()
	w.Projects = append(w.Projects, world.Project{ID: project2, Name: "vo-two", Properties: map[string]string{"VO": "two"}})
	w.Users[0].Roles[project2] = []string{"reader"}
	w.Add(world.VM{ID: id(99), Project: project2, User: "u-one", Name: "vm", Flavor: "1", Created: moment("2024-03-02"), Events: []world.Event{on(world.Launch, "2024-03-02T00:01")}})
	b := newCloudBed(t, w, onDisk(t), first, "2024-03-01")
	secondPage(faults.Effect{Status: 500, Body: "{}"})(b)
	if r := b.collect(""); r.Exit() != run.ExitPartial || r.Counts["projects_collected"] != 1 {
		t.Errorf("exit %d, %v", r.Exit(), r.Counts)
	}
	b.row(id(99), "2024-03")
	b.clean(b.collectFor(b.target, "", accounting.Ask{Projects: []string{"vo-two"}}))
	if r := b.collectFor(b.target, "", accounting.Ask{Projects: []string{"vo-two", "vo-three"}}); r.Exit() != run.ExitPartial {
		t.Errorf("exit %d", r.Exit())
	}
	b.told("project vo-three", "asked for", "check its name")
	if r := b.collectFor(b.target, "", accounting.Ask{Projects: []string{"vo-three"}}); r.Exit() != run.ExitFailed {
		t.Errorf("exit %d", r.Exit())
	}
}

// TestOneCloudOfTwo has one cloud that is down; a project asked for need be at one of them only.
func TestOneCloudOfTwo(t *testing.T) {
	b := newCloudBed(t, troubled(), onDisk(t), first, "2024-03-01")
	up := b.target.Clouds[0]
	down := accounting.CloudTarget{Cloud: site.Cloud{ID: "cloud-x", Name: "cloud-x"}, Source: b.sourceAs(openstack.Config{AuthURL: "http://127.0.0.1:1/v3"}, openstack.Credential{Username: "x", Password: "x"})}
	b.target.Clouds = []accounting.CloudTarget{down, up}
	if r := b.collect(""); r.Exit() != run.ExitPartial {
		t.Errorf("exit %d", r.Exit())
	}
	b.told("cloud cloud-x", "connection refused")
	other := small()
	other.Projects[0] = world.Project{ID: project3, Name: "elsewhere", Properties: map[string]string{"VO": "x"}}
	other.Users[0].Roles = map[string][]string{project3: {"reader"}}
	b.target.Clouds[0].Source = b.sourceAt(b.cloudOf(other), "reader")
	b.clean(b.collectFor(b.target, second, accounting.Ask{Projects: []string{"vo-ops"}}))
}

// TestProjectsOfTheFile names a project in the file on which the credential has no role, and one whose VO has left.
func TestProjectsOfTheFile(t *testing.T) {
	b := newCloudBed(t, troubled(), onDisk(t), first, "2024-03-01")
	b.target.Clouds[0].Cloud.VOs = []site.VO{{Name: "ops", Project: "vo-ops", Until: moment("2024-03-15")}, {Name: "biomed", Project: "not-mine"}}
	if r := b.collect(""); r.Exit() != run.ExitPartial {
		t.Errorf("exit %d", r.Exit())
	}
	b.told("project not-mine", "biomed", "openstack role add")
	b.target.Clouds[0].Cloud.VOs = b.target.Clouds[0].Cloud.VOs[:1]
	b.collect("2024-03-31T23:00:00Z")
	b.told("project "+project, "9 VMs", "no VO")
	for _, at := range []string{"2024-04-02T00:05:00Z", "2024-04-03T00:05:00Z", "2024-04-04T00:05:00Z"} {
		b.collect(at)
	}
	if b.last.Exit() != run.ExitPartial || len(b.last.Problems) != 1 {
		t.Errorf("exit %d, %+v", b.last.Exit(), b.last.Problems)
	}
	b.told("project "+project, "9 VMs", "no VO")
	if r := b.row(id(1), "2024-03"); r.Measured() != seconds("2024-03-31T23:59:59") || r.FQAN != "ops" {
		t.Errorf("the last month is whole: %+v", r)
	}
	if _, ok := b.records()[id(1)+" 2024-04"]; ok {
		t.Error("a row without a VO")
	}
}

// TestTroubleWithTheStore takes the database away in the middle: what was written stays, the error says what to do, and
// the next run covers the window.
func TestTroubleWithTheStore(t *testing.T) {
	want := undisturbed(t)
	for name, c := range map[string]struct {
		spoil func(t *testing.T, b *bed, path string) (mend func())
		kind  error
	}{
		"locked": {func(t *testing.T, b *bed, path string) func() {
			b.pragma("busy_timeout = 20")
			other, err := sql.Open("sqlite", "file:"+path)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := other.Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
				t.Fatal(err)
			}
			return func() {
				_, err := conn.ExecContext(t.Context(), "ROLLBACK")
				if err := errors.Join(err, conn.Close(), other.Close()); err != nil {
					t.Fatal(err)
				}
			}
		}, store.ErrLocked},
		"read-only": {func(t *testing.T, b *bed, path string) func() {
			b.pragma("query_only = 1")
			return func() { b.db = storetest.Open(t, store.Config{Path: path}) }
		}, store.ErrReadOnly},
		"full": {func(_ *testing.T, b *bed, _ string) func() {
			b.pragma(fmt.Sprintf("max_page_count = %d", b.count("PRAGMA page_count")))
			for n := range 200 {
				vm(b.world, id(1000+n), "2024-03-10T20:00", on(world.Fail, "2024-03-10T20:00:01"), on(world.Delete, "2024-03-11T00:01"))
			}
			return func() { b.pragma("max_page_count = 1000000") }
		}, store.ErrFull},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := onDisk(t)
			b := newCloudBed(t, troubled(), cfg, first, "2024-03-01")
			b.clean(b.collect(""))
			mend := c.spoil(t, b, cfg.Path)
			b.clock.set(second)
			d := b.deps()
			err := accounting.Collect(context.Background(), d, b.target, accounting.Ask{})
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), cfg.Path) || store.Hint(err) == "" {
				t.Errorf("%v (%s)", err, store.Hint(err))
			}
			mend()
			b.clean(b.collect(third))
			got := b.wires()
			for n := range 200 {
				delete(got, id(1000+n)+" 2024-03")
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-undisturbed +got):\n%s", d)
			}
		})
	}
}

// pragma sets something of the store's writing connection, of which SQLite has one.
func (b *bed) pragma(what string) {
	b.t.Helper()
	err := b.db.Write(context.Background(), func(tx *store.Tx) error {
		rows, err := tx.Query("PRAGMA " + what)
		if err != nil {
			return err
		}
		return rows.Close()
	})
	if err != nil {
		b.t.Fatal(err)
	}
}
