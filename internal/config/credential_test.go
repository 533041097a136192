package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// withCredential is a site whose cloud signs in with the credential r, on line 4.
func withCredential(s string) string {
	return "site: {gocdb: A}\nclouds: [{name: m, auth_url: \"https://k/v3\"}]\ncredentials:\n  r: {" + s + "}\n"
}

// TestCredentialKinds: each kind of credential, and what is left out of it.
func TestCredentialKinds(t *testing.T) {
	file := func(name string) Secret { return secretFrom(fromFile, name) }
	for text, want := range map[string]Credential{
		"os_cloud: x": {OSCloud: "x"},
		"oidc: {issuer: \"https://i\", client_id: c, client_secret: s, idp: egi.eu}": {OIDC: &OIDCCredential{Issuer: "https://i", ClientID: "c", ClientSecret: NewSecret("s"),
			Scopes: []string{"openid"}, Grant: "client_credentials", IDP: "egi.eu", Protocol: "openid"}},
		"oidc: {token_url: \"https://i/t\", client_id: c, refresh_token_file: /r, scopes: [openid, \"urn:a:b\"], idp: i, protocol: mapped}": {OIDC: &OIDCCredential{TokenURL: "https://i/t", ClientID: "c",
			RefreshToken: file("/r"), Scopes: []string{"openid", "urn:a:b"}, Grant: "refresh_token", IDP: "i", Protocol: "mapped"}},
		"oidc: {access_token: {file: /t}, idp: i}": {OIDC: &OIDCCredential{AccessToken: file("/t"), Scopes: []string{"openid"}, IDP: "i", Protocol: "openid"}},
		"vault: {url: \"https://v:8200\", path: \"a/{site}\", login: {token_file: /t}}": {Vault: &VaultCredential{URL: "https://v:8200", KV: 2, Mount: "secret", Path: "a/{site}",
			Login: VaultLogin{Token: file("/t")}}},
		"vault: {url: \"https://v\", kv: 1, mount: a/b, path: p, key: k, ca_file: /ca, login: {approle: {role_id: i, secret_id: {env: S}}, mount: m}}": {Vault: &VaultCredential{
			URL: "https://v", KV: 1, Mount: "a/b", Path: "p", Key: "k", CAFile: "/ca", Login: VaultLogin{Mount: "m", AppRole: &AppRole{RoleID: "i", SecretID: secretFrom(fromEnv, "S")}}}},
		"exec: {command: [/bin/x, -v, 5]}":                               {Exec: &ExecCredential{Command: []string{"/bin/x", "-v", "5"}, Timeout: 30 * time.Second}},
		"exec: {command: [/bin/x], timeout: 2m}":                         {Exec: &ExecCredential{Command: []string{"/bin/x"}, Timeout: 2 * time.Minute}},
		"username: u, password: p, user_domain: d":                       {Username: "u", Password: NewSecret("p"), UserDomain: "d"},
		"application_credential_secret: s, application_credential_id: i": {ApplicationID: "i", ApplicationSecret: NewSecret("s")},
		"token: t": {Token: NewSecret("t")},
	} {
		got := parsed(t, withCredential(text)).Credentials["r"]
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", text, d)
		}
		kind, _, _ := strings.Cut(text, ":")
		kind = map[string]string{"username": KindPassword, "application_credential_secret": KindApplication}[kind]
		if k := got.Kind(); k == "" || kind != "" && k != kind {
			t.Errorf("%s is of the kind %q", text, k)
		}
	}
	c := parsed(t, base+"network: {}\n")
	if (Credential{}).Kind() != "" || c.Credentials["r"].Kind() != KindOSCloud {
		t.Error("kinds")
	}
	others := parsed(t, `site: {gocdb: A}
clouds: [{name: m, auth_url: "https://k/v3", credential: v}]
credentials:
  o: {oidc: {access_token: t}}
  v: {vault: {url: "https://v", path: "{sub}", login: {jwt: o, role: r, mount: egi}}}
  b: {basic: {user: u, password_file: /p}}
  c: {certificate: {cert: /c, key: /k}}
`).Credentials
	for name, want := range map[string]Credential{
		"b": {Basic: &BasicCredential{User: "u", Password: file("/p")}}, "c": {Certificate: &Certificate{Cert: "/c", Key: "/k"}},
		"v": {Vault: &VaultCredential{URL: "https://v", KV: 2, Mount: "secret", Path: "{sub}", Login: VaultLogin{JWT: "o", Role: "r", Mount: "egi"}}},
	} {
		if d := cmp.Diff(want, others[name]); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// TestCredentialLike: one takes another's keys over, deep inside too; a secret is replaced as a whole.
func TestCredentialLike(t *testing.T) {
	c := parsed(t, `site: {gocdb: A}
clouds: [{name: m, auth_url: "https://k/v3", credential: a}]
credentials:
  c: {like: b, oidc: {refresh_token_file: /r, grant: refresh_token}}
  a: {oidc: {issuer: "https://i", client_id: a, client_secret: s, scopes: [x, y], idp: i}}
  b: {like: a, oidc: {client_id: b, client_secret_file: /s}}
  d: {like: e, username: v}
  e: {username: u, password: p}
`).Credentials
	file := func(name string) Secret { return secretFrom(fromFile, name) }
	a := OIDCCredential{Issuer: "https://i", ClientID: "a", ClientSecret: NewSecret("s"), Scopes: []string{"x", "y"}, Grant: "client_credentials", IDP: "i", Protocol: "openid"}
	b := a
	b.ClientID, b.ClientSecret = "b", file("/s")
	third := b
	third.Grant, third.RefreshToken = "refresh_token", file("/r")
	want := map[string]Credential{"a": {OIDC: &a}, "b": {OIDC: &b}, "c": {OIDC: &third}, "d": {Username: "v", Password: NewSecret("p")}, "e": {Username: "u", Password: NewSecret("p")}}
	if d := cmp.Diff(want, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestCredentialKindRules(t *testing.T) {
	r := withCredential
	const oidc = `issuer: "https://i", client_id: c, client_secret: s, idp: i`
	vault := func(login string) string {
		return r("vault: {url: \"https://v\", path: p, login: {" + login + "}}")
	}
	check(t, []rule{
		{"two kinds", r("token: a, exec: {command: [/x]}"), []string{"4:3 credentials.r: must be of one kind, and is of 2: token, exec"}},
		{"a user beside exec", r("username: u, exec: {command: [/x]}"), []string{"4:3 credentials.r: names a user beside exec: keep one of them"}},
		{"clouds_file beside oidc", r("clouds_file: /c, oidc: {" + oidc + "}"), []string{"4:20 credentials.r.clouds_file: goes with os_cloud only"}},
		{"oidc without anything", r("oidc: {}"), []string{"4:7 credentials.r.oidc.issuer: is required, or token_url, or access_token",
			"4:7 credentials.r.oidc.client_id: is required", "4:7 credentials.r.oidc.client_secret: is required for the grant client_credentials",
			"4:7 credentials.r.oidc.idp: is required to sign in to OpenStack: Keystone's name of the identity provider"}},
		{"oidc without a refresh token", r("oidc: {" + oidc + ", grant: refresh_token}"), []string{"4:7 credentials.r.oidc.refresh_token: is required for this grant"}},
		{"oidc with one too many", r("oidc: {" + oidc + ", grant: client_credentials, refresh_token: t}"), []string{"4:117 credentials.r.oidc.refresh_token: goes with grant: refresh_token only"}},
		{"oidc of another grant", r("oidc: {" + oidc + ", grant: password}"), []string{`4:82 credentials.r.oidc.grant: must be client_credentials or refresh_token, not "password"`}},
		{"an access token alone", r("oidc: {access_token: a, idp: i, grant: refresh_token, client_secret: c, refresh_token_file: /r}"), []string{
			"4:46 credentials.r.oidc.grant: stands beside access_token: keep one of them", "4:76 credentials.r.oidc.client_secret: stands beside access_token: keep one of them",
			"4:79 credentials.r.oidc.refresh_token_file: stands beside access_token: keep one of them"}},
		{"oidc for OpenStack without idp", r(`oidc: {access_token: a}`), []string{"4:7 credentials.r.oidc.idp: is required to sign in to OpenStack: Keystone's name of the identity provider"}},
		{"a scope with a space", r("oidc: {" + oidc + ", scopes: [\"a b\"]}"), []string{"4:84 credentials.r.oidc.scopes[0]: must be a scope, which has no spaces"}},
		{"vault without a login", r("vault: {url: \"https://v\", path: p}"), []string{"4:7 credentials.r.vault.login: is required: {jwt: NAME}, {token: …} or {approle: …}"}},
		{"vault with two", vault("token: a, approle: {role_id: r, secret_id: s}"), []string{"4:42 credentials.r.vault.login: must be one of jwt, token and approle"}},
		{"vault with half an approle", vault("approle: {role_id: r}"), []string{"4:50 credentials.r.vault.login.approle.secret_id: is required"}},
		{"vault by nobody", vault("jwt: x"), []string{`4:55 credentials.r.vault.login.jwt: no credential is called "x"`}},
		{"vault by itself", vault("jwt: r"), []string{"4:55 credentials.r.vault.login.jwt: must be a credential of the kind oidc, and r is of the kind vault"}},
		{"vault's keys that go together", vault("token: a, role: r, mount: m"), []string{"4:66 credentials.r.vault.login.role: goes with jwt only", "4:76 credentials.r.vault.login.mount: goes with jwt or approle only"}},
		{"vault's path", r("vault: {url: \"https://v\", kv: 3, mount: /a/, path: \"{sub}/{cloud}/{vo\", login: {token: t}}"), []string{"4:37 credentials.r.vault.kv: must be at most 2",
			"4:47 credentials.r.vault.mount: must be a path without / at its ends", "4:58 credentials.r.vault.path: {cloud} stands for nothing: {keystone_host}, {site}, {sub}, {vo} do",
			"4:58 credentials.r.vault.path: has a bracket without its other half", "4:58 credentials.r.vault.path: {sub} is the subject of a JWT, and login names none"}},
		{"vault that is nowhere", r("vault: {url: vault, path: p, login: {token: t}}"), []string{"4:20 credentials.r.vault.url: must be a URL like https://vault.example.org:8200"}},
		{"exec without a program", r("exec: {}"), []string{"4:7 credentials.r.exec.command: is required"}},
		{"exec of nothing", r("exec: {command: []}"), []string{"4:14 credentials.r.exec.command: names no program"}},
		{"exec by a name alone", r("exec: {command: [x], timeout: 20m}"), []string{"4:24 credentials.r.exec.command[0]: must be an absolute path: no shell looks for it", "4:37 credentials.r.exec.timeout: must be at most 10m"}},
		{"exec by a line for a shell", r("exec: {command: \"/bin/x -v\"}"), []string{"4:23 credentials.r.exec.command: must be a list"}},
		{"basic", r("basic: {user: u}"), []string{"2:10 clouds[0].credential: r is of the kind basic, which OpenStack does not take", "4:7 credentials.r.basic.password: is required"}},
		{"certificate", r("certificate: {cert: c}"), []string{"2:10 clouds[0].credential: r is of the kind certificate, which OpenStack does not take", "4:27 credentials.r.certificate.cert: must be an absolute path: a relative one means something else wherever fedsite is started"}},
		{"like nobody", r("like: x"), []string{`4:13 credentials.r.like: no credential is called "x"`}},
		{"like itself", r("like: r"), []string{"4:13 credentials.r.like: goes round in a circle: r → r"}},
		{"like one that is like nobody", withCredential("like: s") + "  s: {like: x}\n", []string{"2:10 clouds[0].credential: is required when there are several credentials: r, s",
			`5:13 credentials.s.like: no credential is called "x"`}},
	})
}
