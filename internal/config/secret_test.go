package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const planted = "hunter2-planted"

// printed gives a value in every way that the program has to print one.
func printed(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%X", "%08v"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	fmt.Fprintln(&b, fmt.Errorf("wrapped: %v", v))
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := MarshalYAML(v)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(bytes.Join([][]byte{asJSON, asYAML, ours}, []byte("\n")))
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "v", v)
	return b.String()
}

func TestSecretIsNeverPrinted(t *testing.T) {
	s := NewSecret(planted)
	type holder struct {
		Name   string
		Secret Secret
		Ref    *Secret
		Map    map[string]Secret
	}
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"a": s}, holder{"n", s, &s, map[string]Secret{"k": s}},
		Config{Credentials: map[string]Credential{"a": {Password: s, ApplicationSecret: s, Token: s}}, Store: Store{URL: s}},
		Credential{OIDC: &OIDCCredential{ClientSecret: s, RefreshToken: s, AccessToken: s}}, Credential{Vault: &VaultCredential{Login: VaultLogin{Token: s, AppRole: &AppRole{SecretID: s}}}},
		Credential{Basic: &BasicCredential{Password: s}}, OIDCCredential{ClientSecret: s}, VaultLogin{Token: s}, AppRole{SecretID: s}, BasicCredential{Password: s},
		Notify{Heartbeat: s, SMTP: SMTP{Password: s}}, Webhook{URL: s, Headers: map[string]Secret{"K": s}}} {
		text := printed(t, v)
		hex := fmt.Sprintf("%x", planted)
		if strings.Contains(text, planted) || strings.Contains(strings.ToLower(text), hex) || strings.Contains(text, "[104 117") {
			t.Errorf("%T shows its secret:\n%s", v, text)
		}
		if _, pointer := v.(*Secret); !pointer && !strings.Contains(text, hidden) {
			t.Errorf("%T does not say that there is a secret:\n%s", v, text)
		}
	}
	// Nor by what looks into structs and asks no method.
	if text := printed(t, struct{ inner Secret }{s}); strings.Contains(text, planted) || strings.Contains(text, "[104 117") {
		t.Errorf("a field that is not exported shows its secret:\n%s", text)
	}
	if text := fmt.Sprintf("%#v", s); text != `config.Secret("***")` {
		t.Errorf("in Go's form: %s", text)
	}
	if text := fmt.Sprint(Secret{}); text != "" || (Secret{}).IsSet() {
		t.Errorf("a secret that is not set: %q", text)
	}
}

// TestConfigIsNeverPrintedWithSecrets: a whole configuration shows none, in whatever way it is printed.
func TestConfigIsNeverPrintedWithSecrets(t *testing.T) {
	text := strings.NewReplacer("SECRET", planted).Replace(`site: {gocdb: A}
clouds: [{name: m, auth_url: "https://k/v3", credential: a, network: {proxy: "http://u:SECRET@q:1"}}]
credentials:
  a: {username: u, password: SECRET}
  b: {application_credential_id: i, application_credential_secret: SECRET}
  c: {token: SECRET}
  d: {oidc: {issuer: "https://i", client_id: c, client_secret: SECRET, refresh_token: SECRET, grant: refresh_token}}
  e: {oidc: {access_token: SECRET}}
  f: {vault: {url: "https://v", path: p, login: {token: SECRET}}}
  g: {vault: {url: "https://v", path: p, login: {approle: {role_id: r, secret_id: SECRET}}}}
  h: {basic: {user: u, password: SECRET}}
accounting: {ams: {token: SECRET}}
network: {proxy: "http://u:SECRET@p:3128"}
store: {url: "postgres://u:SECRET@db/x"}
notify: {smtp: {host: m, user: u, password: SECRET}, webhook: {url: "https://h/SECRET", headers: {K: SECRET}}, heartbeat_url: "https://h/SECRET"}
`)
	c := parsed(t, text)
	if strings.Count(text, planted) != 17 {
		t.Errorf("%d secrets are said", strings.Count(text, planted))
	}
	for _, s := range []string{printed(t, c), printed(t, *c), printed(t, c.Sites), printed(t, c.Credentials), printed(t, c.Notify), shownText(t, c), fmt.Sprint(Diff(parsed(t, base), c)), fmt.Sprint(Diff(c, parsed(t, base)))} {
		for i, line := range strings.Split(s, "\n") {
			if strings.Contains(line, planted) || strings.Contains(strings.ToLower(line), fmt.Sprintf("%x", planted)) {
				t.Errorf("line %d shows a secret: %.200s", i, line)
			}
		}
	}
}

func TestProxyPasswordIsNeverPrinted(t *testing.T) {
	n := Network{Proxy: "http://user:" + planted + "@proxy.example.org:3128", CAFile: "/etc/ca.pem"}
	for _, v := range []any{n, &n, Cloud{Network: n}, Config{Network: n}, AMS{Network: n}} {
		text := printed(t, v)
		if strings.Contains(text, planted) || strings.Contains(text, fmt.Sprintf("%x", planted)) {
			t.Errorf("%T shows the proxy's password:\n%s", v, text)
		}
		if !strings.Contains(text, "http://user:***@proxy.example.org:3128") || !strings.Contains(text, "/etc/ca.pem") {
			t.Errorf("%T does not show the rest:\n%s", v, text)
		}
	}
}

func TestSecretIsReadAnew(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	file := filepath.Join(dir, "pass")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("FEDSITE_TEST_SECRET", text)
	}
	for name, s := range map[string]Secret{
		"file":       secretFrom(fromFile, file),
		"env":        secretFrom(fromEnv, "FEDSITE_TEST_SECRET"),
		"credential": secretFrom(fromCredential, "pass"),
	} {
		for _, c := range []struct{ text, want string }{
			{"first", "first"}, {"second\n", "second"}, {"two\n\n", "two\n"}, {"windows\r\n", "windows"}, {" spaces \t", " spaces \t"}, {"cr\r", "cr\r"},
		} {
			write(c.text)
			if got, err := s.Value(); got != c.want || err != nil {
				t.Errorf("%s: %q is read as %q, %v; want %q", name, c.text, got, err, c.want)
			}
		}
	}
	if got, err := NewSecret("block\n").Value(); got != "block" || err != nil {
		t.Errorf("literal: %q, %v", got, err)
	}
}

func TestSecretThatCannotBeReadNamesItsSource(t *testing.T) {
	dir := t.TempDir()
	empty, large := filepath.Join(dir, "empty"), filepath.Join(dir, "large")
	for file, text := range map[string]string{empty: "\n", large: strings.Repeat(planted, maxSecret/len(planted)+1)} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FEDSITE_TEST_EMPTY", "")
	for _, c := range []struct {
		s         Secret
		directory string // of the unit's credentials
		want      string
	}{
		{secretFrom(fromFile, empty), "", empty},
		{secretFrom(fromFile, large), "", large},
		{secretFrom(fromFile, filepath.Join(dir, "missing")), "", filepath.Join(dir, "missing")},
		{secretFrom(fromFile, dir), "", dir},
		{secretFrom(fromEnv, "FEDSITE_TEST_UNSET"), "", "FEDSITE_TEST_UNSET is not set"},
		{secretFrom(fromEnv, "FEDSITE_TEST_EMPTY"), "", "FEDSITE_TEST_EMPTY"},
		{secretFrom(fromCredential, "pass"), "", "LoadCredential=pass:"},
		{secretFrom(fromCredential, "pass"), dir, filepath.Join(dir, "pass")},
		{secretFrom(fromCredential, "empty"), dir, "credential empty"},
		{NewSecret(""), "", "the configuration"},
		{Secret{}, "", "not set"},
	} {
		t.Setenv("CREDENTIALS_DIRECTORY", c.directory)
		value, err := c.s.Value()
		if err == nil || value != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: value %q, error %v; want one that names %s", c.s.Origin(), value, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), planted) {
			t.Errorf("the error shows the secret: %.80s", err)
		}
	}
}
