package openstack_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
)

// TestCloudsYAML: what fedsite takes from an entry.
func TestCloudsYAML(t *testing.T) {
	for k, v := range map[string]string{"OS_USERNAME": "wrong", "OS_PASSWORD": "wrong", "OS_REGION_NAME": "wrong", "OS_INTERFACE": "admin", "OS_AUTH_URL": "http://wrong", "OS_CLIENT_CONFIG_FILE": "/nonexistent", "OS_CLOUD": "wrong"} {
		t.Setenv(k, v) // the file alone counts
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	ca := write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	path := write("clouds.yaml", fmt.Sprintf(`
clouds:
  full:
    region_name: R1
    interface: internal
    auth: {auth_url: "https://k:5000/v3", username: me, user_domain_name: EGI, project_name: x, project_domain_name: y}
  app:
    auth_type: v3applicationcredential
    auth: {auth_url: "https://k:5000", application_credential_id: a1}
  named:
    auth: {auth_url: "https://k:5000", application_credential_name: n, user_id: u1, application_credential_secret: hunter2}
  token:
    auth_type: v3token
    auth: {auth_url: "https://k:5000", token: hunter2}
  ca: {cacert: %q, auth: {auth_url: "https://k", username: me, password: hunter2}}
  noca: {cacert: /nonexistent/ca.pem, auth: {auth_url: "https://k", username: me, password: hunter2}}
  unverified: {verify: false, auth: {auth_url: "https://k", username: me, password: hunter2}}
  system: {auth: {auth_url: "https://k", username: me, password: hunter2, system_scope: all}}
  domain: {auth: {auth_url: "https://k", username: me, password: hunter2, domain_name: d}}
  nowhere: {auth: {username: me, password: hunter2}}
  bare: {region_name: R1}
  none:
`, ca))
	write("secure.yaml", "clouds:\n  full: {auth: {password: hunter2}}\n  app: {auth: {application_credential_secret: hunter2}}\n")
	me := openstack.Credential{Username: "me", Password: "hunter2"}
	with := func(f func(*openstack.Credential)) openstack.Credential { c := me; f(&c); return c }
	want := map[string]openstack.Entry{
		"full":   {AuthURL: "https://k:5000/v3", Project: "x", Region: "R1", Interface: "internal", Credential: with(func(c *openstack.Credential) { c.UserDomain = "EGI" })},
		"app":    {AuthURL: "https://k:5000", Interface: "public", Credential: openstack.Credential{ApplicationID: "a1", ApplicationSecret: "hunter2"}},
		"named":  {AuthURL: "https://k:5000", Interface: "public", Credential: openstack.Credential{ApplicationName: "n", UserID: "u1", ApplicationSecret: "hunter2"}},
		"token":  {AuthURL: "https://k:5000", Interface: "public", Credential: openstack.Credential{Token: "hunter2"}},
		"ca":     {AuthURL: "https://k", Interface: "public", Credential: me},
		"system": {AuthURL: "https://k", Interface: "public", Credential: with(func(c *openstack.Credential) { c.SystemScope = true })},
		"domain": {AuthURL: "https://k", Interface: "public", Credential: with(func(c *openstack.Credential) { c.DomainScope, c.UserDomain = true, "d" })},
	}
	for name, w := range want {
		got, err := openstack.FromCloudsYAML(path, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (got.Roots != nil) != (name == "ca") {
			t.Errorf("%s: authorities %v", name, got.Roots)
		}
		got.Roots = nil
		if got != w {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
		if got.Credential.Password != w.Credential.Password || got.Credential.ApplicationSecret != w.Credential.ApplicationSecret || got.Credential.Token != w.Credential.Token {
			t.Errorf("%s: another secret", name)
		}
	}
	broken := write("broken.yaml", "clouds:\n  x: {auth: hunter2}\n")
	fails := []struct{ path, name, says string }{
		{path, "absent", "absent"}, {path, "nowhere", "auth_url is missing"}, {path, "bare", "auth is missing"}, {path, "none", "auth is missing"}, {path, "unverified", "cacert"}, {path, "noca", "/nonexistent/ca.pem"}, {path, "", "empty"},
		{filepath.Join(dir, "none.yaml"), "x", "no such file"}, {broken, "x", "line 2"},
	}
	for _, f := range fails {
		_, err := openstack.FromCloudsYAML(f.path, f.name)
		if err == nil || !strings.Contains(err.Error(), f.says) || !strings.Contains(err.Error(), "clouds.yaml") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s in %s: %v", f.name, f.path, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(env ...string) (openstack.Entry, error) {
		m := map[string]string{"OS_AUTH_URL": "https://k"}
		for _, e := range env {
			k, v, _ := strings.Cut(e, "=")
			m[k] = v
		}
		return openstack.FromEnvironment(func(k string) string { return m[k] })
	}
	cases := []struct {
		env  []string
		want openstack.Entry
	}{
		{[]string{"OS_USERNAME=me", "OS_PASSWORD=p", "OS_USER_DOMAIN_NAME=EGI", "OS_REGION_NAME=R", "OS_INTERFACE=internal", "OS_PROJECT_NAME=x", "OS_DOMAIN_NAME=d"},
			openstack.Entry{AuthURL: "https://k", Region: "R", Interface: "internal", Credential: openstack.Credential{Username: "me", Password: "p", UserDomain: "EGI"}}},
		{[]string{"OS_USER_ID=u", "OS_PASSWORD=p", "OS_USER_DOMAIN_ID=d", "OS_ENDPOINT_TYPE=publicURL"},
			openstack.Entry{AuthURL: "https://k", Interface: "public", Credential: openstack.Credential{UserID: "u", Password: "p", UserDomainID: "d"}}},
		{[]string{"OS_APPLICATION_CREDENTIAL_ID=a", "OS_APPLICATION_CREDENTIAL_NAME=n", "OS_APPLICATION_CREDENTIAL_SECRET=s"},
			openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{ApplicationID: "a", ApplicationName: "n", ApplicationSecret: "s"}}},
		{[]string{"OS_TOKEN=t"}, openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{Token: "t"}}},
		{[]string{"OS_AUTH_TOKEN=t"}, openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{Token: "t"}}},
		{[]string{"OS_USERNAME=me", "OS_SYSTEM_SCOPE=all"}, openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{Username: "me", SystemScope: true}}},
		{[]string{"OS_USERNAME=me", "OS_DOMAIN_ID=d"}, openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{Username: "me", DomainScope: true}}},
		{[]string{"OS_USERNAME=me", "OS_CACERT=" + ca}, openstack.Entry{AuthURL: "https://k", Credential: openstack.Credential{Username: "me"}}},
	}
	for _, c := range cases {
		got, err := read(c.env...)
		if err != nil {
			t.Errorf("%v: %v", c.env, err)
		}
		if (got.Roots != nil) != strings.Contains(fmt.Sprint(c.env), "OS_CACERT") {
			t.Errorf("%v: authorities %v", c.env, got.Roots)
		}
		got.Roots = nil
		if got != c.want {
			t.Errorf("%v: %+v", c.env, got)
		}
	}
	for _, env := range []string{"OS_AUTH_URL=", "OS_CACERT=/nonexistent"} {
		name, _, _ := strings.Cut(env, "=")
		if _, err := read(env); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", env, err)
		}
	}
}

func TestCredentialInWords(t *testing.T) {
	got := []string{openstack.Credential{Username: "me"}.String(), openstack.Credential{UserID: "u1"}.String(), openstack.Credential{ApplicationID: "a"}.String(), openstack.Credential{ApplicationName: "n", Username: "me"}.String(), openstack.Credential{Token: "t"}.String()}
	if d := cmp.Diff([]string{"password of me", "password of u1", "application credential a", "application credential n", "token"}, got); d != "" {
		t.Error(d)
	}
}
