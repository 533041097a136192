package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// core is what all secrets of TestNoSecretIsShown carry. It has letters and digits only, so that no escape changes it.
const core = "Qz7Marked4x9"

// marked gives a secret for a purpose, with what is escaped in URLs, JSON and HTML.
func marked(purpose string) string { return "s" + core + purpose + `/+&"%` }

// situations are the surroundings in which the program runs: what it signs in with, and what goes wrong. A new way in which
// a secret is used, or may come back, is a line.
var situations = []situation{
	{name: "all well", credential: password, works: true, serves: true},
	{name: "application credential", credential: `{application_credential_id: app, application_credential_secret: %[app]}`, works: true},
	{name: "access token in a file", credential: `{oidc: {access_token_file: %[access-file], idp: egi.eu}}`, works: true},
	{name: "client credentials", credential: client, works: true},
	{name: "refresh token", credential: refresh, works: true},
	{name: "Vault by AppRole", credential: `{vault: {url: %[vault-url], path: approle/os, login: {approle: {role_id: role, secret_id: %[secret-id]}}}}`, works: true},
	{name: "Vault by token, for each VO", credential: `{vault: {url: %[vault-url], path: "vos/{vo}", login: {token: %[vault-token]}}}`, works: true},
	{name: "Vault by JWT", credential: `{vault: {url: %[vault-url], path: "users/{sub}/os", login: {jwt: client}}}`, works: true},
	{name: "program", credential: `{exec: {command: [%[program]]}}`, works: true},
	{name: "clouds.yaml", credential: `{os_cloud: reader, clouds_file: %[clouds]}`, works: true},
	{name: "token of AMS", credential: password, ams: amsToken, works: true},

	{name: "wrong password", credential: `{username: %[user], password: %[wrong]}`},
	{name: "wrong application secret", credential: `{application_credential_id: app, application_credential_secret: %[wrong]}`},
	{name: "wrong token", credential: `{token: %[wrong]}`},
	{name: "wrong access token", credential: `{oidc: {access_token: %[wrong], idp: egi.eu}}`},
	{name: "wrong client secret", credential: `{oidc: {issuer: %[issuer-url], client_id: fedsite, client_secret: %[wrong], idp: egi.eu}}`},
	{name: "wrong refresh token", credential: `{oidc: {issuer: %[issuer-url], client_id: fedsite, client_secret: %[client-secret], refresh_token: %[wrong], idp: egi.eu}}`},
	{name: "wrong secret id", credential: `{vault: {url: %[vault-url], path: approle/os, login: {approle: {role_id: role, secret_id: %[wrong]}}}}`},
	{name: "wrong token of Vault", credential: `{vault: {url: %[vault-url], path: approle/os, login: {token: %[wrong]}}}`},
	{name: "wrong token of AMS", credential: password, ams: `token: %[wrong]`},
	{name: "wrong key in clouds.yaml", credential: `{os_cloud: broken, clouds_file: %[broken-clouds]}`},

	{name: "Keystone echoes, 401", credential: password, echo: echo{"cloud", "/auth/tokens", 401, inJSON}},
	{name: "Keystone echoes, 500", credential: password, echo: echo{"cloud", "/auth/tokens", 500, inJSON}, serves: true},
	{name: "Keystone echoes a page", credential: password, echo: echo{"cloud", "/auth/tokens", 200, inHTML}},
	{name: "Keystone echoes an access token", credential: client, echo: echo{"cloud", "/OS-FEDERATION/", 401, inHTML}},
	{name: "Keystone echoes its token", credential: client, echo: echo{"cloud", "/auth/projects", 500, inJSON}},
	{name: "Nova echoes, 403", credential: password, echo: echo{"cloud", "/servers/detail", 403, inJSON}},
	{name: "Nova echoes, 500", credential: password, echo: echo{"cloud", "/servers/detail", 500, inHTML}},
	{name: "AMS echoes, 401", credential: password, ams: amsToken, echo: echo{"broker", ":publish", 401, inJSON}},
	{name: "AMS echoes, 403", credential: password, ams: amsToken, echo: echo{"broker", ":publish", 403, inHTML}, serves: true},
	{name: "AMS echoes, 400", credential: password, ams: amsToken, echo: echo{"broker", ":publish", 400, inJSON}},
	{name: "AMS echoes a page", credential: password, ams: amsToken, echo: echo{"broker", ":publish", 404, inHTML}},
	{name: "AMS echoes the token of authn", credential: password, echo: echo{"broker", ":publish", 403, inJSON}},
	{name: "provider echoes, 400", credential: client, echo: echo{"issuer", "/token", 400, inJSON}},
	{name: "provider echoes, 500", credential: refresh, echo: echo{"issuer", "/token", 500, inHTML}},
	{name: "Vault echoes at sign-in", credential: `{vault: {url: %[vault-url], path: approle/os, login: {approle: {role_id: role, secret_id: %[secret-id]}}}}`, echo: echo{"vault", "/login", 400, inJSON}},
	{name: "Vault echoes a JWT", credential: `{vault: {url: %[vault-url], path: "users/{sub}/os", login: {jwt: client}}}`, echo: echo{"vault", "/login", 500, inJSON}, serves: true},
	{name: "Vault echoes its token", credential: `{vault: {url: %[vault-url], path: approle/os, login: {token: %[vault-token]}}}`, echo: echo{"vault", "/approle/os", 403, inJSON}},

	{name: "proxy refuses", credential: password, more: "network: {proxy: %[proxy]}"},
	{name: "proxy echoes", credential: password, more: "network: {proxy: %[proxy]}", echo: echo{"proxy", "", 407, inHTML}, serves: true},
	{name: "proxy is gone", credential: password, more: "network: {proxy: %[no-proxy]}"},
	{name: "program fails", credential: `{exec: {command: [%[program], fail]}}`, serves: true},
	{name: "program prints something else", credential: `{exec: {command: [%[program], garbage]}}`},
	{name: "database is gone", credential: password, more: "store: {url: %[database]}", stateless: true},
	{name: "typing mistakes", credential: `{username: %[user], pasword: %[keystone], pass: [%[keystone], a}, token: %[wrong]}`, stateless: true},
	{name: "secret in the wrong place", credential: `{username: %[user], password: {secret: %[keystone]}, token: [%[wrong]]}`, stateless: true},
}

// Ways to sign in that several situations share.
const (
	password = `{username: %[user], password: %[keystone]}`
	client   = `{oidc: {issuer: %[issuer-url], client_id: fedsite, client_secret: %[client-secret], idp: egi.eu}}`
	refresh  = `{oidc: {issuer: %[issuer-url], client_id: fedsite, client_secret: %[client-secret], refresh_token_file: %[refresh-file], idp: egi.eu}}`
	amsToken = `token: %[ams-token]`
)

// spoken are the commands that are run in each situation, one after the other. A new command is a line.
var spoken = [][]string{
	{"config", "check"},
	{"config", "show"},
	{"accounting", "collect", "-v"},
	{"accounting", "collect", "-o", "json"},
	{"accounting", "records"},
	{"accounting", "records", "-o", "json"},
	{"accounting", "send", "--dry-run", "-v"},
	{"accounting", "send", "--dry-run", "-o", "json"},
	{"accounting", "send", "--yes", "-v"},
	{"accounting", "send", "--yes", "-o", "json"},
	{"tasks", "list", "-o", "json"},
	{"tasks", "show", "accounting.collect", "-o", "json"},
	{"tasks", "show", "accounting.send"},
	{"backup", "%[state]/backup.db"},
	{"privacy", "show", "nobody"},
}

// pages are what the service shows, of which each is read after a collection and a sending. A new page is a line.
var pages = []string{"/", "/tasks", "/tasks/accounting.collect/%[site]", "/tasks/accounting.send/%[site]", "/api/v1/overview", "/api/v1/tasks", "/api/v1/tasks/accounting.collect/%[site]", "/healthz", "/readyz", "/metrics"}

// TestNoSecretIsShown runs everything with secrets that carry a mark, and searches for it, and for every token that went over
// the wire: in all that is printed, in each file of the state directory, and in each table.
func TestNoSecretIsShown(t *testing.T) {
	fed, pair := bedFederation(t)
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			b := newVaultBed(t, s, fed, pair)
			for _, args := range spoken {
				args = b.filled(args)
				out, code := b.run(t, args...)
				if s.works && code != 0 {
					t.Errorf("fedsite %s: exit %d\n%s", strings.Join(args, " "), code, out)
				}
				b.search(t, fmt.Sprintf("fedsite %s (exit %d)", strings.Join(args, " "), code), out)
			}
			b.expects(t)
			if s.stateless {
				return
			}
			if s.serves {
				for where, text := range b.served(t) {
					b.search(t, where, text)
				}
			}
			files := 0
			err := filepath.WalkDir(b.state, func(name string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				text, err := os.ReadFile(name)
				files++
				b.search(t, name, unpacked(text))
				return err
			})
			if err != nil || files == 0 {
				t.Errorf("%d files, %v", files, err)
			}
			for table, text := range b.tables(t) {
				b.search(t, "table "+table, text)
			}
		})
	}
}

// search looks for the mark and for what was overheard, as they are, in base64 and in hexadecimal digits.
func (b *vaultBed) search(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range append([]string{core}, b.overheard()...) {
		for _, form := range shapes(secret) {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-80):min(len(text), i+len(form)+40)])
				return
			}
		}
	}
}

// shapes gives parts of a secret in the forms in which it may be hidden in a text.
func shapes(secret string) []string {
	if len(secret) > 60 { // of a long one a part is enough; its beginning may be the same in all
		secret = secret[len(secret)-40:]
	}
	all := []string{secret, hex.EncodeToString([]byte(secret))}
	for before := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			form := encoding.EncodeToString([]byte("xx"[:before] + secret))
			all = append(all, form[(before*8+5)/6:len(form)-1])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestTheSearchFinds: what is looked for is found wherever it is put.
func TestTheSearchFinds(t *testing.T) {
	secret := marked("purpose")
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, err := io.WriteString(w, secret)
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	texts := []string{secret, fmt.Sprintf("%q", secret), unpacked(zipped.Bytes()), unpacked(append(zipped.Bytes(), zipped.Bytes()...))}
	for before := range 5 {
		texts = append(texts, base64.StdEncoding.EncodeToString([]byte("user:"[:before]+secret)), base64.URLEncoding.EncodeToString([]byte("user:"[:before]+secret)))
	}
	for _, text := range texts {
		if !slices.ContainsFunc(shapes(core), func(form string) bool { return strings.Contains(text, form) }) {
			t.Errorf("not found in %s", text)
		}
	}
}

// unpacked gives the text of a file, also of a compressed one.
func unpacked(text []byte) string {
	if r, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
		if plain, err := io.ReadAll(r); err == nil {
			return string(plain)
		}
	}
	return string(text)
}
