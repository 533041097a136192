package openstack_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

func sample(vms int) *world.World {
	return world.Generate(world.Options{Seed: 3, At: present, Projects: 2, VMs: vms})
}

// issue gets a token from the cloud by hand, of a project or of the system.
func issue(t *testing.T, c *emulated.Cloud, user, secret, scope string) string {
	t.Helper()
	body := fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q}}},"scope":%s}}`, user, secret, scope)
	res, err := http.Post(c.AuthURL()+"/auth/tokens", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		t.Fatalf("%d", res.StatusCode)
	}
	return res.Header.Get("X-Subject-Token")
}

// TestSignIn: each kind of credential, and which projects it serves.
func TestSignIn(t *testing.T) {
	w := sample(8)
	plain, keeping := serve(t, w, emulated.Options{}), serve(t, w, emulated.Options{KeepTokens: true})
	reader, one, two := w.Users[0], w.Projects[0].ID, w.Projects[1].ID
	app := reader.Applications[0]
	ofProject := fmt.Sprintf(`{"project":{"id":%q}}`, one)
	byName := openstack.Credential{Username: reader.Name, ApplicationName: app.Name, ApplicationSecret: app.Secret}
	cases := []struct {
		name     string
		cloud    *emulated.Cloud
		cred     openstack.Credential
		projects int  // that it lists
		second   bool // whether it can sign in to the second project
		fails    error
	}{
		{"password", plain, password(reader.Name, world.ReaderPass), 3, true, nil},
		{"password by id and domain's name", plain, openstack.Credential{UserID: reader.ID, Password: world.ReaderPass, UserDomain: "Default"}, 3, true, nil},
		{"application credential by id", plain, openstack.Credential{ApplicationID: app.ID, ApplicationSecret: app.Secret}, 1, false, nil},
		{"application credential by name", plain, byName, 1, false, nil},
		{"a token", plain, openstack.Credential{Token: issue(t, plain, reader.Name, world.ReaderPass, ofProject)}, 3, true, nil},
		{"an unscoped token", plain, openstack.Credential{Token: issue(t, plain, reader.Name, world.ReaderPass, `null`)}, 3, true, nil},
		{"a token that cannot be exchanged", keeping, openstack.Credential{Token: issue(t, keeping, reader.Name, world.ReaderPass, ofProject)}, 1, false, nil},
		{"a system token that cannot be exchanged", keeping, openstack.Credential{Token: issue(t, keeping, world.SystemAdmin, world.AdminPass, `{"system":{"all":true}}`)}, 0, false, openstack.ErrScope},
		{"a system token", plain, openstack.Credential{Token: issue(t, plain, world.SystemAdmin, world.AdminPass, `{"system":{"all":true}}`)}, 0, false, openstack.ErrScope},
		{"an unknown token", plain, openstack.Credential{Token: "gAAAAunknown"}, 0, false, openstack.ErrNotAuthorised},
		{"a wrong password", plain, password(reader.Name, "hunter2"), 0, false, openstack.ErrNotAuthorised},
		{"an empty password", plain, password(reader.Name, ""), 0, false, openstack.ErrNotAuthorised},
		{"no user", plain, openstack.Credential{Password: world.ReaderPass}, 0, false, openstack.ErrNotAuthorised},
		{"an empty application secret", plain, openstack.Credential{ApplicationID: app.ID}, 0, false, openstack.ErrNotAuthorised},
		{"a wrong application secret", plain, openstack.Credential{ApplicationID: app.ID, ApplicationSecret: "hunter2"}, 0, false, openstack.ErrNotAuthorised},
		{"system_scope", plain, openstack.Credential{Username: world.SystemAdmin, Password: world.AdminPass, SystemScope: true}, 0, false, openstack.ErrScope},
		{"domain scope", plain, openstack.Credential{Username: world.Admin, Password: world.AdminPass, DomainScope: true}, 0, false, openstack.ErrScope},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cloud := connect(t, c.cloud.AuthURL(), c.cred)
			all, err := cloud.Projects(t.Context())
			if c.fails != nil {
				if !errors.Is(err, c.fails) || openstack.Hint(err) == "" || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("%v; hint %q", err, openstack.Hint(err))
				}
				return
			}
			if err != nil || len(all) != c.projects || all[0].ID != one || all[0].Properties["egi.VO"] != "ops" {
				t.Fatalf("%v, %+v", err, all)
			}
			p, err := cloud.Project(t.Context(), one)
			if err != nil || p.ProjectID() != one {
				t.Fatal(err)
			}
			if got, _, err := ids(t.Context(), p.Existing); err != nil || len(got) == 0 {
				t.Errorf("%d VMs, %v", len(got), err)
			}
			switch _, err := cloud.Project(t.Context(), two); {
			case c.second && err != nil:
				t.Error(err)
			case !c.second && (!errors.Is(err, openstack.ErrScope) || !strings.Contains(err.Error(), two)):
				t.Errorf("the credential is for another project: %v", err)
			}
		})
	}
}

// TestRolesMakeNoDifference: reader, admin and an admin of the whole system read the same.
func TestRolesMakeNoDifference(t *testing.T) {
	w := sample(24)
	c := serve(t, w, emulated.Options{PageLimit: 5})
	var want string
	for _, who := range []openstack.Credential{password(world.PlainReader, world.ReaderPass), password(world.Reader, world.ReaderPass), password(world.Admin, world.AdminPass), password(world.SystemAdmin, world.AdminPass)} {
		cloud := connect(t, c.AuthURL(), who)
		var got []any
		projects, err := cloud.Projects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, projects)
		for _, p := range projects {
			project, err := cloud.Project(t.Context(), p.ID)
			if err != nil {
				t.Fatal(err)
			}
			collect := func(page openstack.Page) error { got = append(got, page.Servers); return nil }
			if err := errors.Join(project.Existing(t.Context(), collect), project.Changed(t.Context(), present.AddDate(-1, 0, 0), collect)); err != nil {
				t.Fatal(err)
			}
		}
		text, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = string(text)
		}
		if d := cmp.Diff(want, string(text)); d != "" {
			t.Errorf("%v reads otherwise", who)
		}
	}
	if !strings.Contains(want, w.VMs()[1].ID) {
		t.Error("the deleted VM was not listed as changed")
	}
}

// TestNoRole: a user without a role on the project is told which command gives it.
func TestNoRole(t *testing.T) {
	w := sample(2)
	c := serve(t, w, emulated.Options{})
	_, err := connect(t, c.AuthURL(), password(w.Users[5].Name, "member-secret")).Project(t.Context(), w.Projects[1].ID)
	if !errors.Is(err, openstack.ErrNoRole) || !strings.Contains(openstack.Hint(err), "openstack role add --user "+w.Users[5].ID+" --project "+w.Projects[1].ID) {
		t.Errorf("%v; %s", err, openstack.Hint(err))
	}
	_, err = connect(t, c.AuthURL(), password(world.SystemReader, world.ReaderPass)).Project(t.Context(), w.Projects[0].ID)
	if !errors.Is(err, openstack.ErrNoRole) {
		t.Errorf("a role on the system alone: %v", err)
	}
}

func TestAuthURL(t *testing.T) {
	w := sample(1)
	c := serve(t, w, emulated.Options{})
	for _, u := range []string{c.AuthURL(), c.AuthURL() + "/", strings.TrimSuffix(c.AuthURL(), "/v3"), strings.TrimSuffix(c.AuthURL(), "v3")} {
		if _, err := connect(t, u, password(world.Reader, world.ReaderPass)).Projects(t.Context()); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{"", "keystone.example.org:5000", "ftp://keystone/v3", "https://keystone:5000/v2.0", "http://[broken"} {
		if _, err := openstack.New(openstack.Config{AuthURL: u}); err == nil || !strings.Contains(err.Error(), "auth_url") {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestClock: Keystone's clock and ours must not differ by more than allowed.
func TestClock(t *testing.T) {
	w := sample(1)
	c := serve(t, w, emulated.Options{})
	for _, skew := range []time.Duration{-10 * time.Minute, -4 * time.Minute, 0, 4 * time.Minute, 10 * time.Minute} {
		_, err := connect(t, c.AuthURL(), password(world.Reader, world.ReaderPass), func(cfg *openstack.Config) {
			cfg.Now = func() time.Time { return present.Add(skew) }
		}).Projects(t.Context())
		if far := skew.Abs() > 5*time.Minute; errors.Is(err, openstack.ErrClock) != far || (!far && err != nil) {
			t.Errorf("off by %v: %v", skew, err)
		}
	}
}

// TestExpiredToken: a token that expires in the middle of a listing leads to one new sign-in, for many at once too.
func TestExpiredToken(t *testing.T) {
	w := sample(24)
	c := serve(t, w, emulated.Options{PageLimit: 3})
	p, err := connect(t, c.AuthURL(), password(world.Reader, world.ReaderPass)).Project(t.Context(), w.Projects[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := ids(t.Context(), p.Existing)
	if err != nil {
		t.Fatal(err)
	}
	c.Forget()
	var got []string
	page := 0
	if err := p.Existing(t.Context(), func(pg openstack.Page) error {
		if page++; page == 2 {
			c.ExpireTokens()
		}
		for _, s := range pg.Servers {
			got = append(got, s.ID)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	signIns := 0
	for _, r := range c.Requests() {
		if r.Method == http.MethodPost {
			signIns++
		}
	}
	if d := cmp.Diff(want, got); d != "" || signIns != 1 {
		t.Errorf("%d sign-ins; %s", signIns, d)
	}
}

// TestScopeChanges: signed in anew, a token of another scope is refused.
func TestScopeChanges(t *testing.T) {
	o := newOdd(t, "/compute", nil)
	calls := 0
	o.answer = func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case strings.HasSuffix(r.URL.Path, "/servers/detail"):
			w.WriteHeader(http.StatusUnauthorized)
			return true
		case r.Method == http.MethodPost:
			if calls++; calls == 3 { // base, project, then anew
				text(http.StatusCreated, `{"token":{"user":{"id":"u"},"system":{"all":true}}}`, "X-Subject-Token", "other")(w)
				return true
			}
		}
		return false
	}
	_, err := o.list(t)
	if !errors.Is(err, openstack.ErrScope) || !strings.Contains(err.Error(), "the whole system") {
		t.Errorf("%v", err)
	}
}

// TestOddKeystone: what answers at auth_url is not what it should be.
func TestOddKeystone(t *testing.T) {
	cases := []struct {
		name   string
		answer func(http.ResponseWriter)
		kind   error
		says   string
	}{
		{"html", text(200, "<html>Welcome to nginx</html>"), openstack.ErrBadAnswer, "POST /v3/auth/tokens"},
		{"not found", text(404, "404 page not found"), openstack.ErrNotFound, "404 page not found"},
		{"down", text(503, "<html>no server</html>"), openstack.ErrUnavailable, "503"},
		{"locked", text(401, `{"error":{"message":"The account is locked."}}`), openstack.ErrNotAuthorised, "The account is locked."},
		{"no token", text(201, `{"token":{}}`), openstack.ErrBadAnswer, "no token"},
		{"no JSON", text(201, `<html>`, "X-Subject-Token", "x"), openstack.ErrBadAnswer, ""},
		{"cut", func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, openstack.ErrUnavailable, "cut"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }))
			defer srv.Close()
			_, err := connect(t, srv.URL, password("me", "hunter2")).Projects(t.Context())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || openstack.Hint(err) == "" && c.kind != openstack.ErrNotFound {
				t.Errorf("%v; hint %q", err, openstack.Hint(err))
			}
		})
	}
	srv := httptest.NewServer(nil)
	srv.Close()
	if _, err := connect(t, srv.URL, password("me", "hunter2")).Projects(t.Context()); !errors.Is(err, openstack.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("nothing listens: %v", err)
	}
}

// TestNoSecretIsPrinted: neither a format nor an error shows one.
func TestNoSecretIsPrinted(t *testing.T) {
	for _, c := range []openstack.Credential{{Username: "me", Password: "hunter2"}, {ApplicationID: "a", ApplicationSecret: "hunter2"}, {Token: "hunter2"}} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			for _, v := range []any{c, &c, []openstack.Credential{c}, openstack.Entry{Credential: c}} {
				var b bytes.Buffer
				fmt.Fprintf(&b, format, v)
				if strings.Contains(b.String(), "hunter2") {
					t.Errorf("%s of %T shows %s", format, v, &b)
				}
			}
		}
		if text, err := json.Marshal(c); err != nil || strings.Contains(string(text), "hunter2") {
			t.Errorf("as JSON: %s", text)
		}
	}
}
