package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
)

// situation is what the program signs in with, and what goes wrong.
type situation struct {
	name       string
	credential string // YAML; %[x] stands for what the bed calls x
	ams        string // beside host and ports
	more       string // keys at the top of the file
	echo       echo
	works      bool // all is done
	serves     bool // the service runs, too
	stateless  bool // the program does not come as far as its state
}

// echo is a service that answers to a path with what it was sent.
type echo struct {
	service, path string
	status        int
	form          func(string) (body, contentType string)
}

// inJSON and inHTML are the forms of an echo, such that each service's reader quotes it.
func inJSON(text string) (string, string) {
	body, _ := json.Marshal(map[string]any{"error": map[string]any{"code": 1, "message": text, "status": "X", "title": "X"}})
	if strings.HasPrefix(text, "flat ") {
		body, _ = json.Marshal(map[string]any{"error": "invalid_request", "error_description": text, "errors": []string{text}})
	}
	return string(body), "application/json"
}

func inHTML(text string) (string, string) {
	return "<html><body>" + text + " " + html.EscapeString(text) + "</body></html>", "text/html"
}

// vaultBed is a site and a federation whose secrets carry a mark.
type vaultBed struct {
	situation
	dir, state string
	names      map[string]string // what %[x] stands for

	mu     sync.Mutex
	heard  map[string]bool // tokens that went over the wire
	echoed int
}

var bedTime = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// bedFederation is a federation for many beds, and what AMS shows of itself.
func bedFederation(t *testing.T) (*federation.Federation, tls.Certificate) {
	t.Helper()
	fed, err := federation.Start("127.0.0.1", func() time.Time { return bedTime }, "SITE")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fed.Close() })
	certPEM, keyPEM, err := fed.CA.Issue("Emulation", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return fed, pair
}

func newVaultBed(t *testing.T, s situation, fed *federation.Federation, pair tls.Certificate) *vaultBed {
	t.Helper()
	b := &vaultBed{situation: s, dir: t.TempDir(), heard: map[string]bool{}}
	b.state = b.file("state")
	now := func() time.Time { return bedTime }
	w := world.Generate(world.Options{Seed: 5, At: bedTime, Projects: 2, VMs: 12, Site: "SITE"})
	w.Projects = w.Projects[:2]
	reader := &w.Users[0]
	reader.Password = marked("keystone")
	reader.Applications = append(reader.Applications, world.Application{ID: "app", Name: "app", Secret: marked("app"), Project: w.Projects[0].ID})

	provider := issuer.New(now, issuer.Options{Rotate: true, Clients: []issuer.Client{{ID: "fedsite", Secret: marked("client-secret"), Subject: "robot", Scopes: []string{"openid"}, Grants: []string{"client_credentials", "refresh_token"}}}})
	provider.SetBase(b.serve(t, "issuer", provider))
	safe := vault.New(now, vault.Options{Mounts: map[string]int{"secret": 2}, Token: marked("vault-token"), AppRoles: map[string]string{"role": marked("secret-id")}, JWT: provider.Accept})
	kept := vault.Secret{Data: map[string]any{"username": world.Reader, "password": marked("keystone")}}
	for _, path := range []string{"approle/os", "users/robot/os", "vos/" + w.Projects[0].Properties["egi.VO"], "vos/" + w.Projects[1].Properties["egi.VO"]} {
		safe.Put("secret", path, kept)
	}
	const given = "s" + core + "access" // a token of the provider that somebody else has got
	cloud := openstack.New(w, now, openstack.Options{PageLimit: 5, Providers: []openstack.Provider{{Name: "egi.eu", Protocol: "openid", Accept: func(token string) (string, bool) {
		_, ok := provider.Accept(token)
		return world.Reader, ok || token == given
	}}}})
	cloud.SetBase(b.serve(t, "cloud", cloud.Handler()))
	broker := b.brokerPort(t, fed, pair)

	site := fed.Sites[0]
	b.names = map[string]string{
		"user": world.Reader, "keystone": marked("keystone"), "app": marked("app"), "wrong": marked("wrong"), "client-secret": marked("client-secret"), "secret-id": marked("secret-id"),
		"vault-token": marked("vault-token"), "ams-token": site.Token, "issuer-url": provider.URL(), "vault-url": b.serve(t, "vault", safe), "access-file": b.file("access"),
		"refresh-file": b.file("refresh"), "program": b.file("program"), "clouds": b.file("clouds.yaml"), "broken-clouds": b.file("broken.yaml"), "database": "postgres://fedsite:" + url.QueryEscape(marked("database")) + "@127.0.0.1:1/x?connect_timeout=2",
		"proxy": b.proxied(b.serve(t, "proxy", http.HandlerFunc(refusing))), "no-proxy": b.proxied("http://127.0.0.1:1"),
	}
	b.heard[site.Token] = true
	lines := strings.Split(string(site.KeyPEM), "\n")
	b.heard[lines[len(lines)/2]] = true
	b.write(t, map[string]string{
		"ca.pem": string(fed.CA.PEM), "hostcert.pem": string(site.CertPEM), "hostkey.pem": string(site.KeyPEM), "access": given + "\n", "refresh": provider.Refresh("fedsite") + "\n",
		"program": "#!/bin/sh\ncase $1 in\nfail) echo '" + marked("program") + " is refused: password=" + marked("program") + "' >&2; echo '{\"token\": \"" + core + "\"}'; exit 1 ;;\n" +
			"garbage) echo 'token " + marked("program") + "'; echo 'Bearer " + marked("program") + "' >&2 ;;\n*) cat <<'EOT'\n" + toJSON(map[string]string{"username": world.Reader, "password": marked("keystone")}) + "\nEOT\nesac\n",
		"clouds.yaml":  fmt.Sprintf("clouds:\n  reader: {auth: {auth_url: %q, username: %s, password: %q}}\n", cloud.AuthURL(), world.Reader, marked("keystone")),
		"broken.yaml":  fmt.Sprintf("clouds:\n  broken: {auth: {auth_url: %q, username: {a: %q}, password: [%q]}}\n", cloud.AuthURL(), marked("clouds"), marked("clouds")),
		"fedsite.yaml": b.configuration(cloud.AuthURL(), broker, fed.AuthnPort),
	})
	return b
}

func (b *vaultBed) file(name string) string { return filepath.Join(b.dir, name) }

func (b *vaultBed) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(b.file(name), []byte(text), 0o700); err != nil { //nolint:gosec // one is run
			t.Fatal(err)
		}
	}
}

func toJSON(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// proxied gives a proxy's URL its password.
func (b *vaultBed) proxied(base string) string {
	return strings.Replace(base, "http://", "http://fedsite:"+url.QueryEscape(marked("proxy"))+"@", 1)
}

func (b *vaultBed) configuration(keystone string, broker, authn int) string {
	fill := func(text string) string {
		return regexp.MustCompile(`%\[[a-z-]+\]`).ReplaceAllStringFunc(text, func(place string) string {
			return strconv.Quote(b.names[place[2:len(place)-1]])
		})
	}
	text := fmt.Sprintf(`site: {gocdb: SITE}
clouds: [{name: main, auth_url: %q, credential: used}]
credentials:
  used: %s
  client: %s
accounting:
  mode: active
  previously: nothing
  ams: {host: 127.0.0.1, port: %d, authn_port: %d, certificate: {cert: %q, key: %q}, network: {ca_file: %q}, %s}
discovery: {gocdb: {url: off}}
`, keystone, fill(b.credential), fill(client), broker, authn, b.file("hostcert.pem"), b.file("hostkey.pem"), b.file("ca.pem"), fill(b.ams))
	if strings.Contains(b.credential, "{vo}") {
		text += "vos: [{name: ops, project: vo-1}]\n"
	}
	if !strings.Contains(b.more, "store:") {
		text += fmt.Sprintf("store: {path: %q}\nweb: {listen: \"127.0.0.1:0\"}\n", b.state)
	}
	return text + fill(b.more) + "\n"
}

// serve serves a service of the bed, which overhears tokens, and may echo.
func (b *vaultBed) serve(t *testing.T, service string, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(b.listening(service, h))
	t.Cleanup(srv.Close)
	return srv.URL
}

// brokerPort serves AMS, as the federation does, on a port of the bed's own.
func (b *vaultBed) brokerPort(t *testing.T, fed *federation.Federation, pair tls.Certificate) int {
	t.Helper()
	srv := httptest.NewUnstartedServer(b.listening("broker", fed.Broker.AMS()))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).Port
}

// listening overhears the tokens of requests and answers, and echoes where the situation says so.
func (b *vaultBed) listening(service string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		sent := b.overhear(r.Header, body)
		if b.echo.status != 0 && b.echo.service == service && strings.Contains(r.URL.Path, b.echo.path) {
			text := strings.Join(sent, " ")
			if service == "issuer" || service == "vault" {
				text = "flat " + text
			}
			answer, kind := b.echo.form(text)
			b.mu.Lock()
			b.echoed++
			b.mu.Unlock()
			w.Header().Set("Content-Type", kind)
			w.Header().Set("X-Openstack-Request-Id", strings.Map(func(r rune) rune { return max(r, ' ') }, "req-"+strings.Join(sent, "-")))
			w.WriteHeader(b.echo.status)
			_, _ = io.WriteString(w, answer)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		b.overhear(rec.Header(), nil)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

var inBody = regexp.MustCompile(`s` + core + `[^\s&]*|(?:refresh|access)-[0-9a-f]{32}|eyJ[A-Za-z0-9_.-]{40,}`)

// overhear gives the secrets of a request, in the forms in which they may be echoed, and remembers the tokens.
func (b *vaultBed) overhear(h http.Header, body []byte) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var sent []string
	for _, name := range []string{"X-Auth-Token", "X-Subject-Token", "X-Vault-Token", "X-Api-Key", "Authorization", "Proxy-Authorization"} {
		for _, v := range h.Values(name) {
			if _, value, ok := strings.Cut(v, " "); ok {
				v = value
			}
			sent = append(sent, v)
			b.heard[v] = true
		}
	}
	sent = append(sent, inBody.FindAllString(string(body), -1)...)
	plain := sent
	for _, s := range plain {
		sent = append(sent, base64.StdEncoding.EncodeToString([]byte(s)), url.QueryEscape(s))
	}
	return sent
}

func (b *vaultBed) overheard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for s := range b.heard {
		if len(s) >= 16 {
			all = append(all, s)
		}
	}
	return all
}

// refusing is a proxy that lets nobody through.
func refusing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }

// expects sees that the situation came about.
func (b *vaultBed) expects(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.echo.status != 0 && b.echoed == 0 {
		t.Error("nothing was echoed")
	}
}

// filled puts the state directory into the place of %[state].
func (b *vaultBed) filled(args []string) []string {
	args = slices.Clone(args)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "%[state]", b.state)
	}
	return args
}

// run runs a command, and gives all that it prints.
func (b *vaultBed) run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	env := map[string]string{"FEDSITE_CONFIG": b.file("fedsite.yaml")}
	c := &cli{out: &out, err: &out, getenv: func(k string) string { return env[k] }, now: func() time.Time { return bedTime }}
	code := c.run(t.Context(), args)
	if out.Len() == 0 {
		t.Errorf("fedsite %s printed nothing", strings.Join(args, " "))
	}
	return out.String(), code
}

// told is what a program prints, for who waits for a word of it.
type told struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

// Write keeps what is printed.
func (o *told) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait waits until something was printed, and gives the first match.
func (o *told) wait(t *testing.T, what *regexp.Regexp) []string {
	t.Helper()
	for {
		if found := what.FindStringSubmatch(o.String()); found != nil {
			return found
		}
		select {
		case <-o.more:
		case <-time.After(30 * time.Second):
			t.Fatalf("the service does not say %s:\n%s", what, o)
		}
	}
}

// served runs the service until it has collected and sent once, and gives all that it says and shows.
func (b *vaultBed) served(t *testing.T) map[string]string {
	t.Helper()
	out := &told{more: make(chan struct{}, 1)}
	env := map[string]string{"FEDSITE_CONFIG": b.file("fedsite.yaml")}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	c, ended := &cli{out: out, err: out, getenv: func(k string) string { return env[k] }, now: func() time.Time { return bedTime }}, make(chan int)
	go func() { ended <- c.run(ctx, []string{"serve", "-v"}) }()
	at := out.wait(t, regexp.MustCompile(`(http://127[^ ]*[0-9])/ shows`))[1]
	all := map[string]string{}
	for _, task := range []string{"accounting.collect", "accounting.send"} {
		all["tasks run "+task], _ = b.run(t, "tasks", "run", task)
		out.wait(t, regexp.MustCompile(`msg="run (?:ended|failed)" task=`+task))
	}
	site := regexp.MustCompile(`accounting\.collect/([a-z0-9-]+)`).FindStringSubmatch(b.get(t, at+"/api/v1/tasks"))
	for _, page := range pages {
		page = strings.ReplaceAll(page, "%[site]", site[1])
		all["page "+page] = b.get(t, at+page)
	}
	stop()
	<-ended
	all["serve"] = out.String()
	return all
}

func (b *vaultBed) get(t *testing.T, u string) string {
	t.Helper()
	res, err := http.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode == http.StatusNotFound {
		t.Errorf("%s: %d, %v", u, res.StatusCode, err)
	}
	return string(text)
}

// tables gives all rows of each table as text.
func (b *vaultBed) tables(t *testing.T) map[string]string {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{Path: filepath.Join(b.state, "fedsite.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string]string{}
	for _, line := range rows(t, db, `SELECT name FROM sqlite_master WHERE type = 'table'`) {
		name := strings.TrimPrefix(line, "name=")
		all[name] = strings.Join(rows(t, db, `SELECT * FROM "`+name+`"`), "\n")
	}
	if len(all) < 10 || !strings.Contains(all["run"], "accounting.collect") {
		t.Errorf("%d tables; of runs %s", len(all), all["run"])
	}
	return all
}
