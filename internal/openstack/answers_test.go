package openstack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

func vm(id, project string) string {
	return fmt.Sprintf(`{"id":%q,"tenant_id":%q,"user_id":"u","status":"ACTIVE","created":"2026-11-01T00:00:00Z","updated":"2026-11-01T00:00:00Z"}`, id, project)
}

func servers(next string, entries ...string) string {
	links := ""
	if next != "" {
		links = fmt.Sprintf(`,"servers_links":[{"rel":"next","href":%q}]`, next)
	}
	return `{"servers":[` + strings.Join(entries, ",") + `]` + links + `}`
}

// TestOddListings: what Nova answers instead of a listing, the kind it is taken for, and what the message says.
func TestOddListings(t *testing.T) {
	const ours = oddProject
	cases := []struct {
		name   string
		answer func(http.ResponseWriter)
		kind   error
		says   string
	}{
		{"forbidden", text(403, `{"forbidden":{"code":403,"message":"Policy doesn't allow it."}}`), openstack.ErrForbidden, "Policy doesn't allow it. (req-1)"},
		{"not found", text(404, `{"itemNotFound":{"message":"no such thing"}}`), openstack.ErrNotFound, "no such thing"},
		{"too many", text(429, "", "Retry-After", "3600"), openstack.ErrUnavailable, "429: too many requests"},
		{"broken", text(500, `{"computeFault":{"message":"Unexpected API Error."}}`), openstack.ErrUnavailable, "500"},
		{"a balancer's page", text(502, "<html><body>Bad Gateway</body></html>"), openstack.ErrUnavailable, "502"},
		{"not acceptable", text(406, `{"computeFault":{"message":"Version 2.69 is not supported"}}`), openstack.ErrBadAnswer, "Version 2.69"},
		{"refused anew", text(401, ``), openstack.ErrNotAuthorised, "401"},
		{"a page for people", text(200, "<html>Sign in</html>"), openstack.ErrBadAnswer, "not JSON"},
		{"another shape", text(200, `{"servers":{}}`), openstack.ErrBadAnswer, "/compute/servers/detail"},
		{"nothing", text(200, ""), openstack.ErrUnavailable, "cut"},
		{"cut", text(200, `{"servers":[`+vm("1", ours), "Content-Length", "5000"), openstack.ErrUnavailable, "cut"},
		{"cut between", text(200, `{"servers":[`+vm("1", ours)), openstack.ErrUnavailable, "cut"},
		{"another project's VM", text(200, servers("", vm("1", ours), vm("2", "other"))), openstack.ErrScope, "shows VM 2 of project other"},
		{"another project's half VM", text(200, servers("", `{"id":"3","status":"UNKNOWN","tenant_id":"other"}`)), openstack.ErrScope, "VM 3"},
		{"in circles", text(200, servers("http://nova/servers/detail?marker=1", vm("1", ours))), openstack.ErrBadAnswer, "in circles"},
		{"no listing", text(200, `{"versions":[]}`), openstack.ErrBadAnswer, "no list of servers"},
		{"a link to nowhere", text(200, servers("http://nova/servers/detail", vm("1", ours))), openstack.ErrBadAnswer, "no marker"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := newOdd(t, "/compute", onServers(c.answer)).list(t)
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "token-") {
				t.Errorf("%v", err)
			}
			for _, other := range []error{openstack.ErrForbidden, openstack.ErrNotFound, openstack.ErrUnavailable, openstack.ErrBadAnswer, openstack.ErrScope, openstack.ErrNotAuthorised} {
				if other != c.kind && errors.Is(err, other) {
					t.Errorf("it is %v, and %v too", c.kind, other)
				}
			}
		})
	}
}

// TestBadEntries: an entry that cannot be used spoils itself only.
func TestBadEntries(t *testing.T) {
	o := newOdd(t, "/compute", onServers(text(200, servers("", vm("good", oddProject), `{"id":"bad","tenant_id":"`+oddProject+`","created":"yesterday"}`, `{"tenant_id":"x"}`, `7`, `{"id":"whose"}`))))
	p, err := connect(t, o.URL, password("me", "hunter2")).Project(t.Context(), oddProject)
	if err != nil {
		t.Fatal(err)
	}
	var good, bad []string
	if err := p.Existing(t.Context(), func(page openstack.Page) error {
		for _, s := range page.Servers {
			good = append(good, s.ID)
		}
		for _, b := range page.Bad {
			bad = append(bad, b.ID)
			if b.Reason == "" {
				t.Errorf("%s without a reason", b.ID)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([][]string{{"good"}, {"bad", "?", "?", "whose"}}, [][]string{good, bad}); d != "" {
		t.Error(d)
	}
}

// TestTryAgain: what may pass is repeated, within what Retry-After says, and the listing is whole.
func TestTryAgain(t *testing.T) {
	for _, status := range []int{429, 502, 503, 504} {
		n := 0
		o := newOdd(t, "/compute", onServers(func(w http.ResponseWriter) {
			if n++; n < 3 {
				text(status, "", "Retry-After", "0")(w)
				return
			}
			text(200, servers("", vm("1", oddProject)))(w)
		}))
		cloud := connect(t, o.URL, password("me", "hunter2"), func(c *openstack.Config) {
			c.HTTP = client(t, transport.Retry{Attempts: 3, Base: time.Millisecond, Max: time.Second})
		})
		p, err := cloud.Project(t.Context(), oddProject)
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := ids(t.Context(), p.Existing); err != nil || len(got) != 1 || n != 3 {
			t.Errorf("%d: %v, %v after %d requests", status, got, err, n)
		}
	}
}

// TestPaging follows links where Nova gives fewer VMs than asked for.
func TestPaging(t *testing.T) {
	w := sample(30)
	project := w.Projects[0].ID
	existing := w.Servers(project, present, nil)
	for _, limit := range []int{1, 4, len(existing), 1000} {
		c := serve(t, w, emulated.Options{PageLimit: limit})
		p, err := connect(t, c.AuthURL(), password(world.Reader, world.ReaderPass)).Project(t.Context(), project)
		if err != nil {
			t.Fatal(err)
		}
		got, pages, err := ids(t.Context(), p.Existing)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, v := range existing {
			want = append(want, v.ID)
		}
		if d := cmp.Diff(want, got); d != "" || (limit == 4 && pages < 3) {
			t.Errorf("pages of %d: %d pages, %s", limit, pages, d)
		}
		stop := errors.New("enough")
		if err := p.Existing(t.Context(), func(openstack.Page) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("the caller's error: %v", err)
		}
	}
}

// TestCatalog: which endpoint is used, and what is said when there is none.
func TestCatalog(t *testing.T) {
	w := sample(1)
	c := serve(t, w, emulated.Options{})
	_, err := connect(t, c.AuthURL(), password(world.Reader, world.ReaderPass), func(cfg *openstack.Config) { cfg.Region = "Elsewhere" }).Project(t.Context(), w.Projects[0].ID)
	if !errors.Is(err, openstack.ErrNoService) || !strings.Contains(err.Error(), "Elsewhere") || !strings.Contains(err.Error(), "RegionOne") {
		t.Errorf("another region: %v", err)
	}
	o := newOdd(t, "/compute", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			text(201, `{"token":{"user":{"id":"u"},"project":{"id":"`+oddProject+`"},"catalog":[]}}`, "X-Subject-Token", "x")(w)
			return true
		}
		return false
	})
	if _, err := o.list(t); !errors.Is(err, openstack.ErrNoService) || !strings.Contains(err.Error(), "compute") || openstack.Hint(err) == "" {
		t.Errorf("no Nova: %v", err)
	}
	asked := map[string]bool{}
	o = newOdd(t, "/nova/v2.1/"+oddProject, func(w http.ResponseWriter, r *http.Request) bool {
		asked[r.Method+" "+r.URL.Path] = true
		return onServers(text(200, servers("", vm("1", oddProject))))(w, r)
	})
	if got, err := o.list(t); err != nil || len(got) != 1 || !asked["GET /nova/v2.1/"] || !asked["GET /nova/v2.1/"+oddProject+"/servers/detail"] {
		t.Errorf("the endpoint has the project in its path: %v, %v, %v", got, err, asked)
	}
}

// TestMicroversions: the newest that helps and that the cloud has is asked for.
func TestMicroversions(t *testing.T) {
	cases := []struct{ version, servers, actions string }{
		{"2.96", "2.69", "2.58"}, {"2.93", "2.69", "2.58"}, {"2.60", "2.47", "2.58"}, {"2.53", "2.47", "2.21"}, {"2.25", "", "2.21"}, {"2.20", "", ""}, {"", "", ""},
	}
	for _, c := range cases {
		asked := map[string]string{}
		o := newOdd(t, "/compute/", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-OpenStack-Nova-API-Version") != strings.TrimPrefix(r.Header.Get("OpenStack-API-Version"), "compute ") {
				t.Errorf("two headers, two versions: %v", r.Header)
			}
			asked[r.URL.Path] = r.Header.Get("X-OpenStack-Nova-API-Version")
			switch r.URL.Path {
			case "/compute/":
				text(200, fmt.Sprintf(`{"version":{"version":%q}}`, c.version))(w)
			case "/compute/servers/detail":
				text(200, servers(""))(w)
			case "/compute/servers/7":
				text(200, `{"server":`+vm("7", oddProject)+`}`)(w)
			case "/compute/servers/7/os-instance-actions":
				text(200, `{"instanceActions":[]}`)(w)
			default:
				return false
			}
			return true
		})
		p, err := connect(t, o.URL, password("me", "hunter2")).Project(t.Context(), oddProject)
		if err != nil {
			t.Fatal(err)
		}
		_, _, errList := ids(t.Context(), p.Existing)
		_, errShow := p.Server(t.Context(), "7")
		_, errActions := p.Actions(t.Context(), "7")
		if err := errors.Join(errList, errShow, errActions); err != nil {
			t.Fatal(err)
		}
		if asked["/compute/servers/detail"] != c.servers || asked["/compute/servers/7"] != c.servers || asked["/compute/servers/7/os-instance-actions"] != c.actions {
			t.Errorf("a cloud with %s is asked %v", c.version, asked)
		}
	}
	o := newOdd(t, "/compute", func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/compute/" {
			text(200, `{"version":{"version":"3.0"}}`)(w)
		}
		return r.URL.Path == "/compute/"
	})
	if _, err := o.list(t); !errors.Is(err, openstack.ErrBadAnswer) {
		t.Errorf("a Nova of another major version: %v", err)
	}
}

// TestOneServer asks for single VMs and what was done to them.
func TestOneServer(t *testing.T) {
	w := sample(24)
	c := serve(t, w, emulated.Options{})
	mine, other := w.Projects[0].ID, w.Projects[1].ID
	p, err := connect(t, c.AuthURL(), password(world.Admin, world.AdminPass)).Project(t.Context(), mine)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range w.VMs() {
		view, _ := w.ServerAt(v.ID, present)
		s, err := p.Server(t.Context(), v.ID)
		if v.Project == other || view.Deleted {
			if !errors.Is(err, openstack.ErrNotFound) {
				t.Errorf("VM %s of project %s, deleted %v: %v", v.ID, v.Project, view.Deleted, err)
			}
		} else if err != nil || s.Status != view.Status || s.Flavor.VCPUs != view.Flavor.VCPUs || !s.Created.Equal(view.Created) || !s.Launched.Equal(view.Launched) {
			t.Errorf("%+v, %v; it is %+v", s, err, view)
		}
		if v.Project != mine {
			continue
		}
		actions, err := p.Actions(t.Context(), v.ID)
		want := w.ActionsAt(v.ID, present)
		if err != nil || len(actions) != len(want) {
			t.Fatalf("%s: %d actions, %v; there are %d", v.ID, len(actions), err, len(want))
		}
		for i, a := range actions {
			if a.Name != want[i].Name || !a.Updated.Equal(want[i].Updated) || a.RequestID == "" {
				t.Errorf("%+v, want %+v", a, want[i])
			}
		}
	}
}

// TestProjectProperties: the extra attributes of text are the project's properties.
func TestProjectProperties(t *testing.T) {
	answer := `{"projects":[{"id":"p1","name":"one","domain_id":"d","enabled":false,"tags":["a","egi.VO=x"],"description":"no property","egi.VO":"ops, biomed","number":7,"options":{}},{"id":"p2","name":"two"}]}`
	o := newOdd(t, "/compute", func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v3/auth/projects" {
			text(200, answer)(w)
		}
		return r.URL.Path == "/v3/auth/projects"
	})
	got, err := connect(t, o.URL, password("me", "x")).Projects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	want := `[{"ID":"p1","Name":"one","Domain":"d","Enabled":false,"Properties":{"egi.VO":"ops, biomed"},"Tags":["a","egi.VO=x"],"Of":null},{"ID":"p2","Name":"two","Domain":"","Enabled":true,"Properties":{},"Tags":null,"Of":null}]`
	if d := cmp.Diff(want, string(text)); d != "" || err != nil {
		t.Error(d, err)
	}
	answer = `{"projects":[{"name":"nameless"}]}`
	if _, err := connect(t, o.URL, password("me", "x")).Projects(t.Context()); !errors.Is(err, openstack.ErrBadAnswer) {
		t.Errorf("a project without an id: %v", err)
	}
}
