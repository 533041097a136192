package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// keyring is a cloud that trusts an OpenID provider, with a Vault that holds application credentials of its projects.
type keyring struct {
	dir      string
	world    *world.World
	cloud    *emulated.Cloud
	provider *issuer.Issuer
	vault    *vault.Vault
	broken   *faults.Set // of provider and Vault
	url      string      // of provider and Vault

	mu       sync.Mutex
	now      time.Time
	onListed func(n int) // told of each listing of VMs, before it is answered
	listed   int
}

// watch tells of listings.
func (k *keyring) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/servers/detail") && k.onListed != nil {
			k.listed++
			k.onListed(k.listed)
		}
		next.ServeHTTP(w, r)
	})
}

func (k *keyring) clock() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *keyring) forward(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = k.now.Add(d)
}

func newKeyring(t *testing.T) *keyring {
	t.Helper()
	k := &keyring{dir: t.TempDir(), now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), broken: &faults.Set{}}
	k.world = world.Generate(world.Options{Seed: 5, At: k.now, Projects: 3, VMs: 24})
	k.world.Projects = k.world.Projects[:3] // each has a VO
	reader := &k.world.Users[1]
	for i, p := range k.world.Projects[:3] {
		reader.Applications = append(reader.Applications, world.Application{ID: fmt.Sprintf("app-%d", i), Name: fmt.Sprint(i), Secret: fmt.Sprintf("app-secret-%d", i), Project: p.ID})
	}
	grants := []string{"client_credentials", "refresh_token"}
	k.provider = issuer.New(k.clock, issuer.Options{Rotate: true, Life: 20 * time.Minute, Clients: []issuer.Client{{ID: "fedsite", Secret: "client-secret", Subject: "robot", Scopes: []string{"openid"}, Grants: grants}}})
	k.vault = vault.New(k.clock, vault.Options{Mounts: map[string]int{"secret": 2}, JWT: k.provider.Accept})
	srv := httptest.NewServer(k.broken.Middleware(k.provider))
	t.Cleanup(srv.Close)
	k.provider.SetBase(srv.URL)
	safe := httptest.NewServer(k.broken.Middleware(k.vault))
	t.Cleanup(safe.Close)
	k.url = safe.URL
	k.cloud = emulated.New(k.world, k.clock, emulated.Options{TokenLife: 10 * time.Minute, PageLimit: 3, Middleware: k.watch, Providers: []emulated.Provider{{Name: "egi.eu", Protocol: "openid", Accept: func(token string) (string, bool) {
		_, ok := k.provider.Accept(token)
		return world.PlainReader, ok
	}}}})
	served, err := k.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = served.Close() })
	k.keep(map[string]any{"application_credential_id": "app-%d", "application_credential_secret": "app-secret-%d"})
	return k
}

// keep puts a secret of each project into Vault.
func (k *keyring) keep(data map[string]any) {
	for i, p := range k.world.Projects[:3] {
		own := map[string]any{}
		for key, v := range data {
			own[key] = fmt.Sprintf(v.(string), i)
		}
		k.vault.Put("secret", "users/robot/127.0.0.1/"+p.Properties["egi.VO"], vault.Secret{Data: own})
	}
}

// credentials are one of each kind.
func (k *keyring) credentials(t *testing.T) string {
	t.Helper()
	program, refresh := filepath.Join(k.dir, "program"), filepath.Join(k.dir, "refresh")
	for name, text := range map[string]string{
		program: fmt.Sprintf("#!/bin/sh\necho '{\"username\":\"%s\",\"password\":\"%s\"}'\n", world.PlainReader, world.ReaderPass),
		refresh: k.provider.Refresh("fedsite") + "\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil { //nolint:gosec // one is run
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`
credentials:
  password: {username: %[1]s, password: %[2]s}
  client: {oidc: {issuer: %[3]q, client_id: fedsite, client_secret: client-secret, idp: egi.eu}}
  refresh: {oidc: {issuer: %[3]q, client_id: fedsite, client_secret: client-secret, refresh_token_file: %[4]q, idp: egi.eu}}
  program: {exec: {command: [%[5]q]}}
  vault: {vault: {url: %[6]q, login: {jwt: client}, path: "users/{sub}/{keystone_host}/{vo}"}}
`, world.PlainReader, world.ReaderPass, k.provider.URL(), refresh, program, k.url)
}

// configuration names a credential for the cloud, and one for each of the first projects.
func (k *keyring) configuration(t *testing.T, general string, own ...string) *config.Config {
	t.Helper()
	text := "site: {gocdb: SITE}\n"
	cloud := fmt.Sprintf("name: main, auth_url: %q", k.cloud.AuthURL())
	if general != "" {
		cloud += ", credential: " + general
	}
	text += "clouds: [{" + cloud + "}]\nvos:\n"
	for i, p := range k.world.Projects[:3] {
		vo := fmt.Sprintf("name: %s, project: %s", p.Properties["egi.VO"], p.ID)
		if i < len(own) {
			vo += ", credential: " + own[i]
		}
		text += "  - {" + vo + "}\n"
	}
	return parse(t, store.Config{Path: filepath.Join(t.TempDir(), app.Database)}, text+k.credentials(t))
}

// with opens fedsite at the present of the cloud.
func (k *keyring) with(t *testing.T, cfg *config.Config) *app.App {
	t.Helper()
	a, err := app.Open(t.Context(), cfg, app.Options{Version: "test", Now: k.clock, BackOff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// collect collects, and gives the run's report and the ledger.
func collect(t *testing.T, a *app.App) (run.Report, string) {
	t.Helper()
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	report := a.Collect(t.Context(), sites, accounting.Ask{})[0]
	if report.Err != nil {
		t.Fatal(report.Err)
	}
	records, err := a.Records(t.Context(), sites, accounting.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		records[i].Seen = time.Time{}
	}
	text, err := json.MarshalIndent(records, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return report.Report, string(text)
}

// TestCredentialsOfEachKind collects the same records with each kind of credential, and with one for each project, also when
// no credential of the whole cloud is there.
func TestCredentialsOfEachKind(t *testing.T) {
	k := newKeyring(t)
	want := ""
	for _, c := range []struct {
		general string
		own     []string
	}{
		{"password", nil}, {"client", nil}, {"refresh", nil}, {"program", nil},
		{"password", []string{"vault", "vault"}}, {"client", []string{"program", "password", "vault"}}, {"vault", nil}, {"vault", []string{"client", "program"}},
	} {
		t.Run(c.general+fmt.Sprint(c.own), func(t *testing.T) {
			k.cloud.Forget()
			report, got := collect(t, k.with(t, k.configuration(t, c.general, c.own...)))
			if want == "" {
				want = got
			}
			if d := cmp.Diff(want, got); d != "" || report.Counts["projects_collected"] != 3 {
				t.Errorf("%+v\n%s", report, d)
			}
			if len(c.own) > 0 && c.own[0] == "vault" {
				for _, r := range k.cloud.Requests() {
					if strings.HasSuffix(r.Path, "/servers/detail") && r.Status != 200 {
						t.Errorf("%+v", r)
					}
				}
			}
		})
	}
	if len(want) < 1000 {
		t.Error(want)
	}
}

// TestAProjectsCredentialFails: what is wrong with one project's credential is said of that project; it is not taken for
// gone, the others are collected, and its own records follow when the credential is there again.
func TestAProjectsCredentialFails(t *testing.T) {
	k := newKeyring(t)
	a := k.with(t, k.configuration(t, "password", "vault"))
	if report, _ := collect(t, a); report.Outcome != run.Done {
		t.Fatalf("%+v", report)
	}
	k.vault.Seal(true)
	k.forward(time.Hour)
	a = k.with(t, func() *config.Config { c := *a.Config(); return &c }())
	report, _ := collect(t, a)
	var said []string
	for _, p := range report.Problems {
		said = append(said, p.Object+": "+p.Reason+" → "+p.Hint)
	}
	text := strings.Join(said, "\n")
	if report.Exit() != run.ExitPartial || report.Counts["projects_collected"] != 2 || !strings.Contains(text, k.world.Projects[0].ID) || !strings.Contains(text, "unseal") || strings.Contains(text, "held") {
		t.Errorf("%+v\n%s", report.Counts, text)
	}
	k.vault.Seal(false)
	a = k.with(t, func() *config.Config { c := *a.Config(); return &c }())
	if report, _ := collect(t, a); report.Outcome != run.Done {
		t.Errorf("%+v", report)
	}
}

// TestNoProjectsCredentialCanBeGot: where each project has its own credential, and none can be got now, that is said of each;
// none is taken for gone.
func TestNoProjectsCredentialCanBeGot(t *testing.T) {
	k := newKeyring(t)
	first := k.with(t, k.configuration(t, "vault"))
	if report, _ := collect(t, first); report.Outcome != run.Done {
		t.Fatalf("%+v", report)
	}
	k.forward(time.Hour)
	k.vault.Seal(true)
	report, _ := collect(t, k.with(t, first.Config()))
	text := fmt.Sprintf("%+v", report.Problems)
	if report.Exit() != run.ExitUnavailable || strings.Contains(text, "held") || strings.Count(text, "Vault is sealed") != 3 {
		t.Errorf("exit %d: %s", report.Exit(), text)
	}
	k.vault.Seal(false)
	if report, _ := collect(t, k.with(t, first.Config())); report.Outcome != run.Done || report.Counts["projects_collected"] != 3 {
		t.Errorf("%+v", report)
	}
}

// TestAProviderFails says of the cloud what is wrong with its credential, with the exit code that goes with it.
func TestAProviderFails(t *testing.T) {
	for _, no := range []struct {
		spoil func(*keyring)
		exit  int
		says  string
	}{
		{func(k *keyring) { k.broken.Add(faults.Fault{Times: -1, Effect: faults.Effect{Status: 503}}) }, run.ExitUnavailable, "503"},
		{func(k *keyring) {
			k.broken.Add(faults.Fault{Service: "token", Times: -1, Effect: faults.Effect{Status: 401, Body: `{"error":"invalid_client"}`}})
		}, run.ExitNotAuthorised, "client_secret"},
		{func(k *keyring) {
			k.broken.Add(faults.Fault{Service: ".well-known", Times: -1, Effect: faults.Effect{Status: 404}})
		}, run.ExitConfiguration, "issuer"},
	} {
		k := newKeyring(t)
		no.spoil(k)
		report, _ := collect(t, k.with(t, k.configuration(t, "client")))
		if text := fmt.Sprintf("%+v", report.Problems); report.Exit() != no.exit || !strings.Contains(text, no.says) {
			t.Errorf("exit %d: %s", report.Exit(), text)
		}
	}
}

// TestAChangedCredentialIsUsed: a configuration that takes the place of another signs in with what it says; a credential that
// stayed the same is not got anew.
func TestAChangedCredentialIsUsed(t *testing.T) {
	k := newKeyring(t)
	cfg := k.configuration(t, "client")
	a := k.with(t, cfg)
	if report, _ := collect(t, a); report.Outcome != run.Done || k.provider.Asked("/token") != 1 {
		t.Fatalf("asked %d times, %+v", k.provider.Asked("/token"), report)
	}
	same := *cfg
	b, err := a.With(t.Context(), &same)
	if err != nil {
		t.Fatal(err)
	}
	b.Adopt()
	if _, _ = collect(t, b); k.provider.Asked("/token") != 1 {
		t.Error("a reload without a change got a new token")
	}
	changed := *cfg
	changed.Credentials = map[string]config.Credential{}
	for name, c := range cfg.Credentials {
		changed.Credentials[name] = c
	}
	wrong := *cfg.Credentials["client"].OIDC
	wrong.ClientSecret = config.NewSecret("another-secret")
	changed.Credentials["client"] = config.Credential{OIDC: &wrong}
	c, err := a.With(t.Context(), &changed)
	if err != nil {
		t.Fatal(err)
	}
	c.Adopt()
	k.forward(time.Hour)
	if report, _ := collect(t, c); report.Exit() != run.ExitNotAuthorised || k.provider.Asked("/token") != 2 {
		t.Errorf("with another secret: asked %d times, %+v", k.provider.Asked("/token"), report.Problems)
	}
}

// TestTokensEndInARun: Keystone's tokens and the access token end while projects are collected, more than once; the run
// goes on with new ones.
func TestTokensEndInARun(t *testing.T) {
	for _, protocol := range []string{"", "openid"} {
		k := newKeyring(t)
		_, want := collect(t, k.with(t, k.configuration(t, "password")))
		cfg := k.configuration(t, "client")
		cfg.Sites[0].Clouds[0].Parallel = 1
		if protocol != "" {
			cfg.Credentials["client"].OIDC.Protocol, cfg.Sites[0].Clouds[0].Protocol = "elsewhere", protocol
		}
		k.onListed = func(n int) {
			if n == 3 || n == 8 {
				k.cloud.ExpireTokens()
			}
			if n == 3 { // what is refused is got anew once in a while only
				k.provider.Revoke(false)
			}
		}
		report, got := collect(t, k.with(t, cfg))
		if d := cmp.Diff(want, got); d != "" || report.Outcome != run.Done || k.listed < 12 || k.provider.Asked("/token") != 2 {
			t.Errorf("protocol %q: %d listings, asked %d times for a token; %+v\n%s", protocol, k.listed, k.provider.Asked("/token"), report, d)
		}
	}
}
