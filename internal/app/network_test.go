package app_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// surroundings are an emulated cloud over HTTPS, with an authority of its own, and a federation, on one loopback address.
type surroundings struct {
	dir   string
	cloud *emulated.Cloud
	fed   *federation.Federation
	port  string // of the cloud
}

func surround(t *testing.T, address string) *surroundings {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("this machine has no address %s: %v", address, err)
	}
	now := time.Now
	s := &surroundings{dir: t.TempDir()}
	s.cloud = emulated.New(world.Generate(world.Options{Seed: 1, At: now().Add(-10 * time.Minute), Projects: 2, VMs: 12, Site: "SITE"}), now, emulated.Options{})
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: s.cloud.Handler()}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	s.cloud.SetBase("https://" + l.Addr().String())
	_, s.port, _ = net.SplitHostPort(l.Addr().String())
	if s.fed, err = federation.Start(address, now, "SITE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.fed.Close() })
	site := s.fed.Sites[0]
	for name, text := range map[string][]byte{
		"cloud-ca.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), "fed-ca.pem": s.fed.CA.PEM,
		"cert.pem": site.CertPEM, "key.pem": site.KeyPEM,
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// configuration gives one for these surroundings, with what is said about the network.
func (s *surroundings) configuration(t *testing.T, network, cloudNetwork, amsNetwork string) *config.Config {
	t.Helper()
	in := func(name string) string { return filepath.Join(s.dir, name) }
	return parse(t, store.Config{Path: filepath.Join(t.TempDir(), app.Database)}, fmt.Sprintf(`
site: {gocdb: SITE}
clouds: [{name: main, auth_url: "%s", credential: reader, network: {%s}}]
credentials: {reader: {username: %s, password: %s}}
network: {%s}
accounting:
  mode: active
  previously: nothing
  ams: {host: "%s", port: %d, authn_port: %d, certificate: {cert: %q, key: %q}, network: {%s}}
`, s.cloud.AuthURL(), cloudNetwork, world.Reader, world.ReaderPass, network, s.fed.Host, s.fed.Port, s.fed.AuthnPort, in("cert.pem"), in("key.pem"), amsNetwork))
}

// deliver collects and sends, and gives both reports.
func deliver(t *testing.T, cfg *config.Config) (collected, sent run.Report) {
	t.Helper()
	a := open(t, cfg)
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	c, s := a.Collect(t.Context(), sites, accounting.Ask{})[0], a.Send(t.Context(), sites, app.SendOptions{GoActive: true})[0]
	if c.Err != nil || s.Err != nil {
		t.Fatal(c.Err, s.Err)
	}
	return c.Report, s.Report
}

func (s *surroundings) ca(name string) string {
	return fmt.Sprintf("ca_file: %q", filepath.Join(s.dir, name))
}

// TestPrivateAuthorities reaches a cloud and a broker of different authorities, and says what to do where one is not
// trusted.
func TestPrivateAuthorities(t *testing.T) {
	s := surround(t, "127.0.0.1")
	collected, sent := deliver(t, s.configuration(t, "", s.ca("cloud-ca.pem"), s.ca("fed-ca.pem")))
	if collected.Counts["projects_collected"] != 2 || sent.Outcome != run.Done || len(s.fed.Received()) == 0 {
		t.Errorf("with both authorities: %+v, %+v", collected, sent)
	}
	collected, _ = deliver(t, s.configuration(t, "", s.ca("fed-ca.pem"), s.ca("fed-ca.pem")))
	p := collected.Problems[0]
	if collected.Exit() != run.ExitUnavailable || !strings.Contains(p.Reason, "authority that is not trusted here") || !strings.Contains(p.Hint, "network.ca_file") {
		t.Errorf("with another authority: exit %d, %+v", collected.Exit(), collected.Problems)
	}
}

// TestIPv6Only reaches a cloud and a broker that have an IPv6 address only.
func TestIPv6Only(t *testing.T) {
	s := surround(t, "::1")
	collected, sent := deliver(t, s.configuration(t, "", s.ca("cloud-ca.pem"), s.ca("fed-ca.pem")))
	if collected.Counts["projects_collected"] != 2 || sent.Outcome != run.Done || len(s.fed.Received()) == 0 {
		t.Errorf("%+v, %+v", collected, sent)
	}
}

// TestProxy goes through a proxy that lets only some ports out.
func TestProxy(t *testing.T) {
	s := surround(t, "127.0.0.1")
	authn := fmt.Sprint(s.fed.AuthnPort)
	p := &proxy{refused: map[string]bool{authn: true}, ports: map[string]int{}}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	through := fmt.Sprintf("proxy: %q", srv.URL)

	// The cloud is named in no_proxy; authn's port is refused by the proxy, and the message says so.
	direct := `no_proxy: ["127.0.0.1"], ` + s.ca("cloud-ca.pem")
	collected, sent := deliver(t, s.configuration(t, through, direct, s.ca("fed-ca.pem")))
	if collected.Counts["projects_collected"] != 2 || p.seen(s.port) != 0 {
		t.Errorf("no_proxy: %d connections to the cloud through the proxy; %+v", p.seen(s.port), collected)
	}
	if sent.Exit() != run.ExitUnavailable || !strings.Contains(sent.Problems[0].Reason, "proxy") || !strings.Contains(sent.Problems[0].Hint, "token_file") {
		t.Errorf("authn refused by the proxy: exit %d, %+v", sent.Exit(), sent.Problems)
	}

	// With a token of its own it needs no authn.
	cfg := s.configuration(t, through, s.ca("cloud-ca.pem"), s.ca("fed-ca.pem"))
	cfg.Sites[0].Accounting.AMS.Token = config.NewSecret(s.fed.Sites[0].Token)
	collected, sent = deliver(t, cfg)
	if collected.Counts["projects_collected"] != 2 || sent.Outcome != run.Done || p.seen(s.port) == 0 || p.seen(fmt.Sprint(s.fed.Port)) == 0 {
		t.Errorf("through the proxy: %d and %d connections; %+v, %+v", p.seen(s.port), p.seen(fmt.Sprint(s.fed.Port)), collected, sent)
	}
}

// proxy is an HTTP proxy that only connects.
type proxy struct {
	refused map[string]bool

	mu    sync.Mutex
	ports map[string]int
}

func (p *proxy) seen(port string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ports[port]
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, port, _ := net.SplitHostPort(r.Host)
	if r.Method != http.MethodConnect || p.refused[port] {
		http.Error(w, "not allowed", http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.ports[port]++
	p.mu.Unlock()
	out, err := net.Dial("tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer out.Close()
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer in.Close()
	_, _ = io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
	go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
	_, _ = io.Copy(in, out)
}
