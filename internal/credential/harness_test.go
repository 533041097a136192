package credential_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/credential"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
	"github.com/fedsite/fedsite/internal/transport"
)

// clock is a present that a test moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// serve serves a handler with faults in front of it.
func serve(t *testing.T, h http.Handler) (string, *faults.Set) {
	t.Helper()
	f := &faults.Set{}
	srv := httptest.NewServer(f.Middleware(h))
	t.Cleanup(srv.Close)
	return srv.URL, f
}

func client(t *testing.T) *http.Client {
	t.Helper()
	c, err := transport.New(transport.Config{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c.Client
}

// literal is a secret that is known already.
func literal(text string) credential.Secret { return func() (string, error) { return text, nil } }

// inFile is a secret that is read from a file at each use.
func inFile(name string) credential.Secret {
	return func() (string, error) {
		text, err := os.ReadFile(name)
		if err == nil && len(text) == 0 {
			err = errors.New("the secret is empty")
		}
		return strings.TrimSuffix(string(text), "\n"), err
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// provider is an OpenID provider, and the credential of its client.
type provider struct {
	*issuer.Issuer
	faults *faults.Set
	spec   credential.OIDC
}

const clientSecret = "hunter2/client secret+"

func newProvider(t *testing.T, c *clock, o issuer.Options) *provider {
	t.Helper()
	o.Clients = append(o.Clients, issuer.Client{ID: "fedsite:1", Secret: clientSecret, Subject: "robot@egi.eu", Scopes: []string{"openid", "email"}, Grants: []string{"client_credentials", "refresh_token"}})
	p := &provider{Issuer: issuer.New(c.Now, o)}
	base, f := serve(t, p.Issuer)
	p.SetBase(base)
	p.faults = f
	p.spec = credential.OIDC{Issuer: base, ClientID: "fedsite:1", ClientSecret: literal(clientSecret), Scopes: []string{"openid", "email"}, IDP: "egi.eu", Protocol: "openid", HTTP: client(t)}
	return p
}

func resolver(c *clock, specs map[string]credential.Spec) *credential.Resolver {
	return credential.New(credential.Config{Specs: specs, Now: c.Now})
}

// keeper is a Vault, and the credential of a secret in it.
type keeper struct {
	*vault.Vault
	faults *faults.Set
	spec   credential.Vault
}

func newKeeper(t *testing.T, c *clock, o vault.Options) *keeper {
	t.Helper()
	o.Mounts = map[string]int{"secrets": 1, "kv": 2}
	o.AppRoles, o.Token = map[string]string{"role": "hunter2-secret-id"}, "hunter2-root"
	k := &keeper{Vault: vault.New(c.Now, o)}
	base, f := serve(t, k.Vault)
	k.faults = f
	k.spec = credential.Vault{URL: base, KV: 1, Mount: "secrets", Path: "users/robot", Login: credential.Login{RoleID: "role", SecretID: literal("hunter2-secret-id")}, HTTP: client(t)}
	return k
}

// discreet sees that an error is of the kind, says what it must, has a hint, and shows no secret.
func discreet(t *testing.T, err error, kind error, says string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error()+" "+credential.Hint(err), says) || credential.Hint(err) == "" || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("want %v, %q: %v; hint: %s", kind, says, err, credential.Hint(err))
	}
}

func file(t *testing.T, name string) string { return filepath.Join(t.TempDir(), name) }
