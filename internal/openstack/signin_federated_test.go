package openstack_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
)

// provider is an identity provider whose access tokens a test gives and ends.
type provider struct {
	mu    sync.Mutex
	good  map[string]string // users by access token
	given int
}

func (p *provider) accept(token string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	user, ok := p.good[token]
	return user, ok
}

// fresh ends all access tokens, and gives a new one.
func (p *provider) fresh(user string) openstack.Credential {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.given++
	token := fmt.Sprintf("hunter2-access-%d", p.given)
	p.good = map[string]string{token: user}
	return openstack.Credential{AccessToken: token, IdentityProvider: "egi.eu", Protocol: "openid"}
}

func (p *provider) trusted() emulated.Options {
	return emulated.Options{PageLimit: 3, Providers: []emulated.Provider{{Name: "egi.eu", Protocol: "openid", Accept: p.accept}}}
}

// entries counts the requests to the identity provider, and the exchanges of tokens.
func entries(c *emulated.Cloud) (federated, exchanged int) {
	for _, r := range c.Requests() {
		switch {
		case strings.Contains(r.Path, "/OS-FEDERATION/"):
			federated++
		case r.Method == http.MethodPost:
			exchanged++
		}
	}
	return federated, exchanged
}

// TestAccessToken: with an access token a user reads what he reads with a password, in each era, and the identity provider
// is asked once for all projects.
func TestAccessToken(t *testing.T) {
	w := sample(24)
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			var p provider
			o := p.trusted()
			o.Era = era
			c := serve(t, w, o)
			read := func(cred openstack.Credential) (got []string) {
				t.Helper()
				cloud := connect(t, c.AuthURL(), cred)
				projects, err := cloud.Projects(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, one := range projects {
					got = append(got, fmt.Sprint(one))
					project, err := cloud.Project(t.Context(), one.ID)
					if err != nil {
						t.Fatal(err)
					}
					all, _, err := ids(t.Context(), project.Existing)
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, all...)
				}
				return got
			}
			want := read(password(world.PlainReader, world.ReaderPass))
			c.Forget()
			got := read(p.fresh(world.PlainReader))
			federated, exchanged := entries(c)
			if d := cmp.Diff(want, got); d != "" || federated != 1 || exchanged != 3 {
				t.Errorf("%d entries, %d exchanges: %s", federated, exchanged, d)
			}
		})
	}
}

// TestAccessTokenEndsInTheMiddle: tokens and access token end in the middle of a listing: it goes on with new ones, and the
// identity provider is asked once more.
func TestAccessTokenEndsInTheMiddle(t *testing.T) {
	w := sample(24)
	var p provider
	c := serve(t, w, p.trusted())
	cred := p.fresh(world.PlainReader)
	renewed := 0
	cloud := connect(t, c.AuthURL(), openstack.Credential{}, func(cfg *openstack.Config) {
		cfg.Supply = func(_ context.Context, refused *openstack.Credential) (openstack.Credential, error) {
			if refused != nil && *refused == cred {
				renewed++
				cred = p.fresh(world.PlainReader)
			}
			return cred, nil
		}
	})
	project, err := cloud.Project(t.Context(), w.Projects[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := ids(t.Context(), project.Existing)
	if err != nil {
		t.Fatal(err)
	}
	c.Forget()
	var got []string
	page := 0
	if err := project.Existing(t.Context(), func(pg openstack.Page) error {
		if page++; page == 2 {
			c.ExpireTokens()
			p.fresh("nobody")
		}
		for _, s := range pg.Servers {
			got = append(got, s.ID)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	federated, _ := entries(c)
	if d := cmp.Diff(want, got); d != "" || renewed != 1 || federated != 2 { // the second with the new access token
		t.Errorf("renewed %d times, %d entries: %s", renewed, federated, d)
	}
	if all, err := cloud.Projects(t.Context()); err != nil || len(all) != 3 {
		t.Errorf("the projects afterwards: %d, %v", len(all), err)
	}
}

// TestAccessTokenRefused: who says no, and what to do, is told; the token is not.
func TestAccessTokenRefused(t *testing.T) {
	w := sample(2)
	var p provider
	c := serve(t, w, p.trusted())
	good := p.fresh(world.PlainReader)
	p.good["hunter2-stranger"] = ""
	p.good["hunter2-member"] = w.Users[5].Name
	with := func(change func(*openstack.Credential)) openstack.Credential {
		cred := good
		change(&cred)
		return cred
	}
	for _, no := range []struct {
		name    string
		cred    openstack.Credential
		kind    error
		says    string
		entries int
	}{
		{"ended", with(func(c *openstack.Credential) { c.AccessToken = "hunter2-ended" }), openstack.ErrNotAuthorised, "the access token is not taken", 1},
		{"not mapped", with(func(c *openstack.Credential) { c.AccessToken = "hunter2-stranger" }), openstack.ErrNotAuthorised, "mapping", 1},
		{"another protocol", with(func(c *openstack.Credential) { c.Protocol = "oidc" }), openstack.ErrConfiguration, "protocol", 1},
		{"no provider", with(func(c *openstack.Credential) { c.IdentityProvider = "" }), openstack.ErrNotAuthorised, "identity provider", 0},
		{"no role", with(func(c *openstack.Credential) { c.AccessToken = "hunter2-member" }), openstack.ErrNoRole, "openstack role add --user " + w.Users[5].ID, 2},
	} {
		t.Run(no.name, func(t *testing.T) {
			c.Forget()
			_, err := connect(t, c.AuthURL(), no.cred).Project(t.Context(), w.Projects[1].ID)
			text := fmt.Sprint(err) + " " + openstack.Hint(err)
			n, _ := entries(c)
			if !errors.Is(err, no.kind) || !strings.Contains(text, no.says) || strings.Contains(text, "hunter2") || strings.Contains(text, "<html>") || n != no.entries {
				t.Errorf("%d entries: %s", n, text)
			}
		})
	}
}

// TestSupply: a credential that is refused is asked for anew, once; where the same comes again that is all.
func TestSupply(t *testing.T) {
	w := sample(2)
	c := serve(t, w, emulated.Options{KeepTokens: true})
	ofProject := fmt.Sprintf(`{"project":{"id":%q}}`, w.Projects[0].ID)
	app := w.Users[0].Applications[0]
	for _, kind := range []struct {
		name      string
		old, then openstack.Credential
	}{
		{"password", password(world.PlainReader, "hunter2"), password(world.PlainReader, world.ReaderPass)},
		{"application credential", openstack.Credential{ApplicationID: "gone", ApplicationSecret: "hunter2"}, openstack.Credential{ApplicationID: app.ID, ApplicationSecret: app.Secret}},
		{"token", openstack.Credential{Token: "hunter2"}, openstack.Credential{Token: issue(t, c, world.PlainReader, world.ReaderPass, ofProject)}},
	} {
		for _, helps := range []bool{true, false} {
			asked := 0
			cloud := connect(t, c.AuthURL(), openstack.Credential{}, func(cfg *openstack.Config) {
				cfg.Supply = func(_ context.Context, refused *openstack.Credential) (openstack.Credential, error) {
					if refused == nil && asked == 0 {
						return kind.old, nil
					}
					if refused != nil {
						asked++
					}
					if helps {
						return kind.then, nil
					}
					return kind.old, nil
				}
			})
			_, err := cloud.Project(t.Context(), w.Projects[0].ID)
			if (err == nil) != helps || asked != 1 || (!helps && !errors.Is(err, openstack.ErrNotAuthorised)) {
				t.Errorf("%s, helps %v: asked %d times, %v", kind.name, helps, asked, err)
			}
		}
	}
}

// TestAccessTokenOfCloudsYAML reads auth_type v3oidcaccesstoken, also with its secret in secure.yaml.
func TestAccessTokenOfCloudsYAML(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"clouds.yaml": `clouds:
  token: {auth_type: v3oidcaccesstoken, auth: {auth_url: "https://k/v3", identity_provider: egi.eu, protocol: openid, access_token: hunter2, project_id: p}}
  secure: {auth_type: v3oidcaccesstoken, auth: {auth_url: "https://k/v3", identity_provider: egi.eu, protocol: oidc}}
  none: {auth_type: v3oidcaccesstoken, auth: {auth_url: "https://k/v3", identity_provider: egi.eu, protocol: oidc}}
  other: {auth_type: v3oidcpassword, auth: {auth_url: "https://k/v3", identity_provider: egi.eu, protocol: oidc, username: u, password: hunter2}}
`,
		"secure.yaml": "clouds: {secure: {auth: {access_token: hunter3}}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "clouds.yaml")
	for name, want := range map[string]openstack.Credential{
		"token":  {AccessToken: "hunter2", IdentityProvider: "egi.eu", Protocol: "openid"},
		"secure": {AccessToken: "hunter3", IdentityProvider: "egi.eu", Protocol: "oidc"},
	} {
		e, err := openstack.FromCloudsYAML(file, name)
		if err != nil || e.Credential.AccessToken != want.AccessToken || e.Credential != want || e.AuthURL != "https://k/v3" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", e.Credential, e, e); strings.Contains(text, "hunter") {
			t.Error(text)
		}
	}
	for name, says := range map[string]string{"none": "access_token is missing", "other": "v3oidcpassword is not supported"} {
		if _, err := openstack.FromCloudsYAML(file, name); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("OS_CLIENT_CONFIG_FILE", file)
	if e, err := openstack.FromCloudsYAML("", "secure"); err != nil || e.Credential.AccessToken != "hunter3" {
		t.Errorf("by the variable: %v, %v", e, err)
	}
}
