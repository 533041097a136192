//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
)

// TestCompare asks the lab and the emulator the same, and compares the answers: status, headers, and the JSON's shape. The
// emulator is of the lab's release and has the lab's own projects, users and servers. What differs for a reason is in
// intended; what differs without one is to be mended in the emulator.
func TestCompare(t *testing.T) {
	l := findLab(t)
	l.history(t)
	p := newComparison(t, l)
	t.Logf("the lab's Nova is %s: compared with the emulator's %s", p.newest, p.era.Name)
	for _, r := range p.requests() {
		t.Run(r.name, func(t *testing.T) { p.compare(t, r.name, p.lab.ask(t, r), p.emulator.ask(t, r)) })
	}
	t.Run("openstackclient", p.clients)
	p.used(t)
}

// comparison is two clouds that should answer alike.
type comparison struct {
	l             *lab
	newest        string // Nova's microversion
	era           emulated.Era
	lab, emulator *side
	password      string
	names         map[string]string // "server fed-web" → id
	asked         int
	seen          map[string]bool // intended differences that were found
}

// eras are the emulator's by Nova's newest microversion.
var eras = map[string]emulated.Era{"2.93": emulated.Zed, "2.104": emulated.Current}

func newComparison(t *testing.T, l *lab) *comparison {
	t.Helper()
	p := &comparison{l: l, password: l.setting(t, "LAB_PASSWORD"), names: map[string]string{}, seen: map[string]bool{}}
	root := func(service string) string { return l.root(t, service) }
	p.lab = newSide("lab", p.password, map[string]string{"identity": root("KEYSTONE"), "compute": root("NOVA"), "image": root("GLANCE"), "network": root("NEUTRON"), "volume": root("CINDER"), "object-store": root("SWIFT")})
	p.release(t)
	w := likeness(t, l, p.password)
	for _, x := range w.Projects {
		p.names["project "+x.Name] = x.ID
	}
	for _, x := range w.Users {
		p.names["user "+x.Name] = x.ID
	}
	for _, x := range w.Images {
		p.names["image "+x.Name] = x.ID
	}
	for _, x := range w.Flavors {
		p.names["flavor "+x.Name] = x.ID
	}
	for _, x := range w.VMs() {
		p.names["server "+x.Name] = x.ID
	}
	c := emulated.New(w, time.Now, emulated.Options{Era: p.era, Storage: &emulated.Storage{}})
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	base := c.Base()
	p.emulator = newSide("emulator", p.password, map[string]string{"identity": base + "/identity", "compute": base + "/compute", "image": base + "/image", "network": base + "/network", "volume": base + "/volume", "object-store": base + "/object-store"})
	return p
}

func newSide(name, password string, roots map[string]string) *side {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{}, // no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &side{name: name, password: password, roots: roots, tokens: map[string]string{}, client: client}
}

// release asks the lab's Nova what it can do, which tells its release.
func (p *comparison) release(t *testing.T) {
	t.Helper()
	var versions struct {
		Versions []struct{ ID, Version string }
	}
	a := p.lab.ask(t, request{service: "compute", path: "/"})
	if err := json.Unmarshal(a.body, &versions); err != nil {
		t.Fatalf("the lab's Nova says %d %s", a.status, a.body)
	}
	for _, v := range versions.Versions {
		if v.ID == "v2.1" {
			p.newest = v.Version
		}
	}
	var known bool
	if p.era, known = eras[p.newest]; !known {
		t.Fatalf("the lab's Nova is %q, of which the emulator has no era", p.newest)
	}
}

// compare fails the test where the emulator answers other than the lab, for no reason that is known.
func (p *comparison) compare(t *testing.T, name string, lab, emulator answer) {
	t.Helper()
	p.asked++
	p.keep(t, p.lab, lab)
	p.keep(t, p.emulator, emulator)
	want, got := p.without(name, features(t, lab, p.lab)), p.without(name, features(t, emulator, p.emulator))
	only := func(these, those []string, sign string) (text string) {
		for _, line := range these {
			if !slices.Contains(those, line) {
				text += sign + " " + line + "\n"
			}
		}
		return text
	}
	if diff := only(want, got, "-") + only(got, want, "+"); diff != "" {
		t.Errorf("the emulator answers other than the lab (-lab +emulator):\n%s", diff)
	}
}

// keep writes an answer into the directory that FEDSITE_E2E_ANSWERS names, to be looked at.
func (p *comparison) keep(t *testing.T, s *side, a answer) {
	t.Helper()
	dir := os.Getenv("FEDSITE_E2E_ANSWERS")
	if dir == "" {
		return
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n%d\n", t.Name(), a.status)
	_ = a.header.Write(&text)
	text.WriteString("\n")
	if json.Indent(&text, a.body, "", "  ") != nil {
		text.Write(a.body)
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d-%s", p.asked, s.name)), text.Bytes(), 0o600); err != nil {
		t.Error(err)
	}
}

// token signs in, once per account.
func (s *side) token(t *testing.T, account string) string {
	t.Helper()
	if s.tokens[account] == "" {
		a := s.ask(t, signIn(account, s.password))
		if s.tokens[account] = a.header.Get("X-Subject-Token"); a.status != http.StatusCreated || s.tokens[account] == "" {
			t.Fatalf("%s: %s cannot sign in: %d %s", s.name, account, a.status, a.body)
		}
	}
	return s.tokens[account]
}

// signIn asks for a token by password: of a project for USER@PROJECT, of the system for USER@system, of nothing for USER.
// All accounts of the lab have one password.
func signIn(account, password string) request {
	user, project, scoped := strings.Cut(account, "@")
	scope := ""
	switch {
	case project == "system":
		scope = `, "scope": {"system": {"all": true}}`
	case scoped:
		scope = fmt.Sprintf(`, "scope": {"project": {"name": %q, "domain": {"name": "Default"}}}`, project)
	}
	return request{verb: "POST", service: "identity", path: "/v3/auth/tokens", body: fmt.Sprintf(
		`{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": %q, "domain": {"name": "Default"}, "password": %q}}}%s}}`, user, password, scope)}
}

// request is a request to both clouds.
type request struct {
	as      string // USER@PROJECT; "" = without a token
	verb    string // "" = GET
	service string
	path    string // below the service's root
	version string // Nova's microversion; "" = none is asked for
	header  map[string]string
	body    string
	name    string // as it is called in the results
	note    string // what makes it differ from others that look like it
}

func (r request) method() string {
	if r.verb == "" {
		return http.MethodGet
	}
	return r.verb
}

func (r request) String() string {
	path, _ := url.PathUnescape(r.path)
	return strings.Join(strings.Fields(strings.Join([]string{r.as, r.method(), r.service, path, r.version, r.note}, " ")), " ")
}
