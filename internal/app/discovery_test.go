package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// estate is an emulated cloud with object storage, and a federation that knows it as SITE.
type estate struct {
	dir   string
	world *world.World
	cloud *emulated.Cloud
	fed   *federation.Federation
	key   string // of the cloud in GOCDB
	where store.Config

	mu    sync.Mutex
	users []string // that have signed in, in order
}

func newEstate(t *testing.T, where store.Config) *estate {
	t.Helper()
	e := &estate{dir: t.TempDir(), where: where}
	e.world = world.Generate(world.Options{Seed: 3, At: time.Now().Add(-10 * time.Minute), Projects: 3, VMs: 6})
	e.world.Projects = e.world.Projects[:3] // each has a VO
	e.cloud = emulated.New(e.world, time.Now, emulated.Options{Storage: &emulated.Storage{}, Middleware: e.overhear})
	srv, err := e.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	if e.fed, err = federation.Start("127.0.0.1", time.Now, "SITE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.fed.Close() })
	e.key = e.fed.Register("SITE", e.cloud.AuthURL())
	for name, text := range map[string][]byte{"ca.pem": e.fed.CA.PEM, "cert.pem": e.fed.Sites[0].CertPEM, "key.pem": e.fed.Sites[0].KeyPEM} {
		if err := os.WriteFile(filepath.Join(e.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// overhear notes who signs in.
func (e *estate) overhear(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/auth/tokens") {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			var asked struct {
				Auth struct {
					Identity struct {
						Password struct{ User struct{ Name string } }
					}
				}
			}
			if json.Unmarshal(body, &asked) == nil && asked.Auth.Identity.Password.User.Name != "" {
				e.mu.Lock()
				e.users = append(e.users, asked.Auth.Identity.Password.User.Name)
				e.mu.Unlock()
			}
		}
		next.ServeHTTP(w, r)
	})
}

// signedIn gives who has signed in since it was asked last.
func (e *estate) signedIn() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := slices.Compact(slices.Sorted(slices.Values(e.users)))
	e.users = nil
	return all
}

// member is a user that may write to the object storage of a project.
func (e *estate) member(project string) world.User {
	i := slices.IndexFunc(e.world.Users, func(u world.User) bool { return slices.Contains(u.Roles[project], "member") })
	return e.world.Users[i]
}

// publish publishes all sites, and gives the reports.
func publish(t *testing.T, a *app.App) (all []run.Report) {
	t.Helper()
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Publish(t.Context(), sites, app.PublishOptions{}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		all = append(all, r.Report)
	}
	return all
}

func database(t *testing.T) store.Config {
	t.Helper()
	return store.Config{Path: filepath.Join(t.TempDir(), app.Database)}
}

// TestEachPartSignsInAsItself: discovery uses its own credential where the configuration has one, of a cloud or of a VO, and
// accounting uses the other.
func TestEachPartSignsInAsItself(t *testing.T) {
	e := newEstate(t, database(t))
	vo := e.world.Projects[0]
	text := fmt.Sprintf(`site: {gocdb: SITE}
clouds: [{name: main, auth_url: %q, credential: {accounting: reader, discovery: plain}}]
vos: [{name: %s, project: %s, credential: {discovery: admin}}]
credentials:
  reader: {username: %s, password: %s}
  plain: {username: %s, password: %[5]s}
  admin: {username: %[7]s, password: %s}
discovery:
  mode: active
  gocdb: {url: %q, network: {ca_file: %q}}
  publish: [{file: {path: %q}}]
`, e.cloud.AuthURL(), vo.Properties["egi.VO"], vo.ID, world.Reader, world.ReaderPass, world.PlainReader, world.Admin, world.AdminPass, e.fed.GOCDBURL(), filepath.Join(e.dir, "ca.pem"), filepath.Join(e.dir, "out"))
	cfg := parse(t, e.where, text)
	a := open(t, cfg)
	if r := publish(t, a)[0]; r.Outcome != run.Done {
		t.Errorf("%+v", r)
	}
	if got := e.signedIn(); !slices.Equal(got, []string{world.Admin, world.PlainReader}) {
		t.Errorf("discovery signs in as %v", got)
	}
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	if r := a.Collect(t.Context(), sites, accounting.Ask{})[0]; r.Report.Outcome != run.Done {
		t.Errorf("%+v", r)
	}
	if got := e.signedIn(); !slices.Equal(got, []string{world.Reader}) {
		t.Errorf("accounting signs in as %v", got)
	}
}

// TestSwiftOfAShare: what all sites publish goes into one container of a share, with the share's own credential; removed
// sites' documents are taken away from it, but not those of many at once, and nothing of a stranger's.
func TestSwiftOfAShare(t *testing.T) {
	e := newEstate(t, database(t))
	home := e.world.Projects[1]
	u := e.member(home.ID)
	configure := func(sites ...string) *config.Config {
		text := "sites:\n"
		for _, name := range sites {
			text += fmt.Sprintf("  - {gocdb: %s, clouds: [{name: main, auth_url: %q, gocdb_id: 16001G0, credential: reader}], vos: [{name: %s, project: %s}]}\n", name, e.cloud.AuthURL(), home.Properties["egi.VO"], home.ID)
		}
		text += fmt.Sprintf(`credentials:
  reader: {username: %s, password: %s}
  store: {username: %q, password: member-secret, site: SITE, vo: %s}
discovery:
  mode: active
  gocdb: {url: off}
  publish: [{swift: {credential: store, container: cloud-info}, delete_removed: true}]
`, world.Reader, world.ReaderPass, u.Name, home.Properties["egi.VO"])
		return parse(t, e.where, text)
	}
	of := func(site string) int {
		return len(slices.DeleteFunc(e.cloud.Objects(), func(o string) bool { return !strings.Contains(o, home.ID+"/cloud-info/"+site+"-") }))
	}
	all := []string{"SITE", "A", "B", "C", "D", "E"}
	a := open(t, configure(all...))
	for _, r := range publish(t, a) {
		if r.Outcome != run.Done || r.Counts["documents_published"] != 1 {
			t.Errorf("%+v", r)
		}
	}
	e.cloud.Store(home.ID, "cloud-info", "OTHER-0123.json", "application/json", []byte("{}"))
	for _, s := range all {
		if of(s) != 1 {
			t.Errorf("site %s has %d documents: %q", s, of(s), e.cloud.Objects())
		}
	}
	_ = a.Close()

	a = open(t, configure("SITE"))
	publish(t, a)
	r, err := a.Remove(t.Context(), false, false)
	if err != nil || r.Outcome == run.Done || of("A") != 1 || len(r.Problems) == 0 {
		t.Errorf("five sites are gone at once: %v, %+v, %q", err, r, e.cloud.Objects())
	}
	_ = a.Close()

	a = open(t, configure("SITE", "A", "B", "C"))
	publish(t, a)
	r, err = a.Remove(t.Context(), false, false)
	if err != nil || r.Outcome != run.Done || of("A") != 1 || of("D") != 0 || of("E") != 0 || of("OTHER") != 1 {
		t.Errorf("two sites are gone: %v, %+v, %q", err, r, e.cloud.Objects())
	}
}

// TestTopicOfTheEndpoint: a document goes to the topic that is named after the site and the endpoint's key in GOCDB, with the
// host's certificate; while GOCDB is away, its last answer holds.
func TestTopicOfTheEndpoint(t *testing.T) {
	e := newEstate(t, database(t))
	text := fmt.Sprintf(`site: {gocdb: SITE}
clouds: [{name: main, auth_url: %q, credential: reader}]
credentials: {reader: {username: %s, password: %s}}
discovery:
  mode: active
  gocdb: {url: %q, network: {ca_file: %[5]q}}
  publish:
    - ams: {host: %[6]s, port: %[7]d, authn_port: %[8]d, project: egi_cloud_info, certificate: {cert: %[9]q, key: %[10]q}, network: {ca_file: %[5]q}}
`, e.cloud.AuthURL(), world.Reader, world.ReaderPass, e.fed.GOCDBURL(), filepath.Join(e.dir, "ca.pem"), e.fed.Host, e.fed.Port, e.fed.AuthnPort, filepath.Join(e.dir, "cert.pem"), filepath.Join(e.dir, "key.pem"))
	a := open(t, parse(t, e.where, text))
	r := publish(t, a)[0]
	if r.Outcome == run.Done || len(r.Problems) != 1 || r.Problems[0].Hint == "" { // nobody has made the topic yet
		t.Errorf("%+v", r)
	}
	topic := "SITE_SITE_ENDPOINT_" + e.key
	e.fed.Broker.OpenTopic("egi_cloud_info", topic, "eu-egi-cloud-accounting---SITE")
	if r = publish(t, a)[0]; r.Outcome != run.Done {
		t.Errorf("%+v", r)
	}
	if n := len(e.fed.Broker.Messages("egi_cloud_info", topic)); n != 1 {
		t.Errorf("%d messages in %s", n, topic)
	}
	_ = a.Close()

	a = open(t, parse(t, e.where, strings.Replace(text, "gocdbpi", "gone", 1)))
	e.world.DeleteFlavor("4", time.Now().Add(-time.Minute)) // else there is nothing new to say
	if r = publish(t, a)[0]; r.Counts["documents_published"] != 1 || r.Outcome != run.Done || !slices.ContainsFunc(r.Problems, func(p run.Problem) bool { return p.Object == "GOCDB" && p.Hint != "" }) {
		t.Errorf("GOCDB is away: %+v", r)
	}
	if n := len(e.fed.Broker.Messages("egi_cloud_info", topic)); n != 2 {
		t.Errorf("%d messages in %s", n, topic)
	}
}
