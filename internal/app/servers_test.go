package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"
	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/directory"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/telemetry"
)

// offices are two sites on one emulated cloud, and nodes that serve what they publish.
type offices struct {
	t     *testing.T
	cloud *emulated.Cloud
	where store.Config
	vos   [2]world.Project
	more  string // of the configuration
}

func newOffices(t *testing.T, where store.Config) *offices {
	t.Helper()
	w := world.Generate(world.Options{Seed: 3, At: time.Now().Add(-10 * time.Minute), Projects: 2, VMs: 4})
	o := &offices{t: t, cloud: emulated.New(w, time.Now, emulated.Options{}), where: where, vos: [2]world.Project{w.Projects[0], w.Projects[1]}}
	srv, err := o.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return o
}

// node opens fedsite with what each of the two sites publishes; "" = into a directory.
func (o *offices) node(a, b string) *App {
	o.t.Helper()
	text := "sites:\n"
	for i, sinks := range []string{a, b} {
		if sinks == "" {
			sinks = fmt.Sprintf("{file: {path: %q}}", filepath.Join(o.t.TempDir(), "published"))
		}
		text += fmt.Sprintf("  - {gocdb: SITE-%c, clouds: [{name: main, auth_url: %q, gocdb_id: 1600%dG0, credential: reader}], vos: [{name: %s, project: %s}], discovery: {mode: active, publish: [%s]}}\n",
			'A'+i, o.cloud.AuthURL(), i, o.vos[i].Properties["egi.VO"], o.vos[i].ID, sinks)
	}
	text += fmt.Sprintf("credentials: {reader: {username: %s, password: %s}}\ndiscovery: {gocdb: {url: off}}\n", world.Reader, world.ReaderPass) + o.more
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		o.t.Fatal(err)
	}
	cfg.Store = config.Store{Path: filepath.Dir(o.where.Path)}
	if o.where.URL != "" {
		cfg.Store = config.Store{Path: o.t.TempDir(), URL: config.NewSecret(o.where.URL)}
	}
	app, err := Open(o.t.Context(), cfg, Options{Version: "test"})
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { _ = app.Close() })
	return app
}

func (o *offices) publish(a *App) {
	o.t.Helper()
	sites, err := a.Sites("")
	if err != nil {
		o.t.Fatal(err)
	}
	for _, r := range a.Publish(o.t.Context(), sites, PublishOptions{}) {
		if r.Err != nil || r.Report.Outcome == run.Failed {
			o.t.Fatalf("%+v", r)
		}
	}
}

// free gives an address on loopback that nobody listens at.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	return l.Addr().String()
}

// sites asks an information API for the names of sites; "" = nobody answers.
func sites(address string) string {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + address + "/sites/")
	if err != nil {
		return ""
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	found := r.Status
	for _, name := range []string{"SITE-A", "SITE-B"} {
		if strings.Contains(string(body), `"`+name+`"`) {
			found += " " + name
		}
	}
	return found
}

// TestServersFollowTheConfiguration: sites that name one address share a server; a reload takes a site, or a server, away
// and brings it back, and leaves the others alone; an address that is taken is told, and is tried again.
func TestServersFollowTheConfiguration(t *testing.T) {
	o := newOffices(t, store.Config{Path: filepath.Join(t.TempDir(), Database)})
	first, second := free(t), free(t)
	api := func(address string) string { return fmt.Sprintf("{api: {listen: %q}}", address) }
	ctx, cancel := context.WithCancel(t.Context())
	s := &servers{}
	defer s.wait()
	defer cancel()
	app := o.node(api(first), api(first))
	o.publish(app)
	follow := func(a, b string) error {
		t.Helper()
		_ = app.Close()
		app = o.node(a, b)
		return s.follow(ctx, app)
	}
	expect := func(what, address, want string) {
		t.Helper()
		if got := sites(address); got != want {
			t.Errorf("%s: %s serves %q, want %q", what, address, got, want)
		}
	}
	if err := follow(api(first), api(first)); err != nil {
		t.Fatal(err)
	}
	expect("one server of both", first, "200 OK SITE-A SITE-B")
	one := s.running[0]

	if err := follow(api(first), ""); err != nil {
		t.Fatal(err)
	}
	if len(s.running) != 1 || s.running[0] != one {
		t.Error("the server was begun anew")
	}
	if docs, _, err := one.own.published(ctx); err != nil || len(docs) != 1 || !strings.HasPrefix(docs[0].Name, "SITE-A-") { // it looks every few seconds
		t.Errorf("it has %d documents, not one site's: %v", len(docs), err)
	}

	taken, err := net.Listen("tcp", second)
	if err != nil {
		t.Fatal(err)
	}
	if err := follow(api(first), api(second)); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("%v", err)
	}
	if sites(first) == "" {
		t.Error("the other one does not run any more")
	}
	failed := 0
	for _, c := range s.checks() {
		if c.State == run.CheckFail {
			failed++
			if !strings.Contains(c.Object, second) || c.Remedy == "" {
				t.Errorf("%+v", c)
			}
		}
	}
	if failed != 1 {
		t.Errorf("%+v", s.checks())
	}
	_ = taken.Close()
	if err := follow(api(first), api(second)); err != nil {
		t.Fatal(err)
	}
	o.publish(app)
	expect("it is tried again", second, "200 OK SITE-B")

	if err := follow("", api(second)); err != nil {
		t.Fatal(err)
	}
	expect("a server is gone", first, "")
	expect("and the other is not", second, "200 OK SITE-B")
	cancel()
	s.wait()
	expect("all have ended", second, "")
}

// TestServersFollowTheNetwork: when nothing but the network changes, an API that asks others through it is begun anew, and a
// container is reached as the configuration in force says; the LDAP server, which asks nobody, goes on.
func TestServersFollowTheNetwork(t *testing.T) {
	o := newOffices(t, store.Config{Path: filepath.Join(t.TempDir(), Database)})
	where, directoryAt := free(t), free(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := &servers{}
	defer s.wait()
	defer cancel()
	follow := func(network string) (api, ldap *running) {
		t.Helper()
		o.more = network
		app := o.node(fmt.Sprintf("{api: {listen: %q}}, {ldap: {listen: %q}}", where, directoryAt), "")
		if err := s.follow(ctx, app); err != nil || len(s.running) != 2 {
			t.Fatalf("%v: %d servers", err, len(s.running))
		}
		for _, r := range s.running {
			if got, at := r.own.through(); got != app || at.Site.Name != "SITE-A" {
				t.Errorf("%s: containers are reached by a former configuration", r.Kind)
			}
			if r.Kind == config.SinkAPI {
				api = r
			} else {
				ldap = r
			}
		}
		return api, ldap
	}
	const secret = "network: {proxy: \"http://u:%s@127.0.0.1:9\", no_proxy: [127.0.0.1]}\n"
	last, lastLDAP := follow("")
	for _, c := range []struct {
		network string
		anew    bool
	}{
		{"", false}, {fmt.Sprintf(secret, "one"), true}, {fmt.Sprintf(secret, "one"), false},
		{fmt.Sprintf(secret, "two"), true}, // what is never printed counts, too
		{"network: {no_proxy: [example.org]}\n", true}, {"", true},
	} {
		api, ldap := follow(c.network)
		if anew := api != last; anew != c.anew || ldap != lastLDAP {
			t.Errorf("%q: the API was begun anew: %v, LDAP: %v", c.network, anew, ldap != lastLDAP)
		}
		last = api
	}
}

// TestLDAPIsCounted: what is answered over LDAP, and who is not, stands in the metrics; a server that is begun anew counts on.
func TestLDAPIsCounted(t *testing.T) {
	o := newOffices(t, store.Config{Path: filepath.Join(t.TempDir(), Database)})
	s := &servers{}
	for i := range 2 {
		address := free(t)
		ctx, cancel := context.WithCancel(t.Context())
		app := o.node(fmt.Sprintf("{ldap: {listen: %q}}", address), "")
		if err := s.follow(ctx, app); err != nil {
			t.Fatal(err)
		}
		c, err := ldap.DialURL("ldap://" + address)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.UnauthenticatedBind(""); err != nil {
			t.Error(err)
		}
		_, _ = c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
		_ = c.Del(ldap.NewDelRequest("o=glue", nil))
		_ = c.Close()
		cancel()
		s.wait()
		answers, refused := s.traffic.figures()
		var got []string
		for _, f := range answers {
			if got = append(got, fmt.Sprintf("%s %s %d", f.Operation, f.Result, f.Answers)); f.Took <= 0 {
				t.Errorf("%+v took no time", f)
			}
		}
		n := i + 1
		want := []string{fmt.Sprintf("bind 0 %d", n), fmt.Sprintf("change 53 %d", n), fmt.Sprintf("search 0 %d", n)}
		if d := cmp.Diff(want, got); d != "" || len(refused) > 0 {
			t.Errorf("(-want +got):\n%s\n%+v", d, refused)
		}
	}
	s.traffic.refuse("connections")
	s.traffic.refuse("address")
	s.traffic.refuse("connections")
	if _, got := s.traffic.figures(); !slices.Equal(got, []telemetry.RefusedFigures{{Reason: "address", Connections: 1}, {Reason: "connections", Connections: 2}}) {
		t.Errorf("%+v", got)
	}
	var none *traffic // of documents that are served without the service
	none.refuse("address")
	none.answered(directory.Operation{})
}

// TestAnyNodeServes: a node serves what another one published, also when that has no server of its own because its address
// is taken.
func TestAnyNodeServes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		o := newOffices(t, where)
		address := free(t)
		api := fmt.Sprintf("{api: {listen: %q}}", address)
		ctx, cancel := context.WithCancel(t.Context())
		s, other := &servers{}, &servers{}
		defer other.wait()
		defer s.wait()
		defer cancel()
		serving, publishing := o.node(api, api), o.node(api, api)
		if err := s.follow(ctx, serving); err != nil {
			t.Fatal(err)
		}
		if err := other.follow(ctx, publishing); err == nil {
			t.Error("two nodes of one machine listen at one address")
		}
		o.publish(publishing)
		if got := sites(address); got != "200 OK SITE-A SITE-B" {
			t.Errorf("it serves %q", got)
		}
	})
}
