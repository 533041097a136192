package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

func TestProxyConnects(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ca.issue(t, "cloud.example.org", "127.0.0.1"), hello)
	p := newProxy(t, s.Listener.Addr().String(), 0)
	u, err := url.Parse(p.URL)
	must(t, err)
	u.User = url.UserPassword("site", "pr0xy-secret")
	c := client(t, Config{Proxy: u.String(), Roots: ca.pool()})
	for _, target := range []string{"https://cloud.example.org/v3", s.URL + "/v3"} { // loopback is no exception
		if text, err := get(t, c, target); err != nil || text != "hello" {
			t.Errorf("%s: %q, %v", target, text, err)
		}
	}
	if text, err := get(t, c, "http://cloud.example.org/v3"); err != nil || text != "by proxy" {
		t.Errorf("http: %q, %v", text, err)
	}
	if d := cmp.Diff([]string{"cloud.example.org:443", s.Listener.Addr().String(), "http cloud.example.org"}, p.asked); d != "" {
		t.Errorf("asked of the proxy (-want +got):\n%s", d)
	}
	for _, l := range p.login {
		if l != "Basic c2l0ZTpwcjB4eS1zZWNyZXQ=" {
			t.Errorf("Proxy-Authorization %q", l)
		}
	}
}

func TestNoProxy(t *testing.T) {
	for _, c := range []struct {
		entry, url string
		direct     bool
	}{
		{"msg.example.org", "https://msg.example.org/v1", true},
		{"msg.example.org", "https://other.example.org/v1", false},
		{"msg.example.org", "https://deep.msg.example.org/v1", true},
		{".example.org", "https://msg.example.org/v1", true},
		{".example.org", "https://example.com/v1", false},
		{"msg.example.org:8443", "https://msg.example.org:8443/v1", true},
		{"msg.example.org:8443", "https://msg.example.org/v1", false},
		{"10.0.0.0/8", "https://10.1.2.3/v1", true},
		{"10.0.0.0/8", "https://11.1.2.3/v1", false},
		{"10.1.2.3", "https://10.1.2.3/v1", true},
		{"2001:db8::/32", "https://[2001:db8::7]/v1", true},
		{"2001:db8::/32", "https://[2001:db9::7]/v1", false},
		{"*", "https://msg.example.org/v1", true},
		// Loopback is fedsite's own rule.
		{"", "https://127.0.0.1:5000/v3", false},
		{"localhost", "https://localhost:5000/v3", true},
		{"localhost", "https://127.0.0.1:5000/v3", false},
		{"127.0.0.1", "https://127.0.0.1:5000/v3", true},
		{"127.0.0.1:5000", "https://127.0.0.1:5000/v3", true},
		{"127.0.0.1:5000", "https://127.0.0.1:6000/v3", false},
		{"127.0.0.1:443", "https://127.0.0.1/v3", true},
		{"127.0.0.1:80", "http://127.0.0.1/v3", true},
		{"127.0.0.0/8", "https://127.0.0.1:5000/v3", true},
		{"::1", "https://[::1]:5000/v3", true},
		{"[::1]:5000", "https://[::1]:5000/v3", true},
		{"*", "https://127.0.0.1:5000/v3", true},
	} {
		choose, err := proxyFor(Config{Proxy: "http://proxy.example.org:3128", NoProxy: []string{"unrelated.example.net", c.entry}})
		must(t, err)
		u, err := url.Parse(c.url)
		must(t, err)
		via, err := choose(&http.Request{URL: u})
		if err != nil || (via == nil) != c.direct {
			t.Errorf("no_proxy %q, %s: via %v, %v", c.entry, c.url, via, err)
		}
	}
}

func TestNoProxyGoesDirectly(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ca.issue(t, "127.0.0.1"), hello)
	p := newProxy(t, "", http.StatusForbidden)
	c := client(t, Config{Proxy: p.URL, NoProxy: []string{"127.0.0.1"}, Roots: ca.pool()})
	if text, err := get(t, c, s.URL); err != nil || text != "hello" || len(p.asked) != 0 {
		t.Errorf("%q, %v, asked %v", text, err, p.asked)
	}
}

func TestProxyRefuses(t *testing.T) {
	for status, c := range map[int]struct {
		hint  string
		tries int
	}{
		http.StatusForbidden:         {"network.no_proxy", 1},
		http.StatusProxyAuthRequired: {"user:password", 1},
		http.StatusBadGateway:        {"cannot reach", 2}, // may pass
	} {
		p := newProxy(t, "", status)
		_, err := get(t, client(t, Config{Proxy: p.URL, Retry: Retry{Attempts: 2}}), "https://msg.example.org:8443/v1")
		if err == nil || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), fmt.Sprintf("msg.example.org:8443: the proxy %s does not connect: %d %s", p.Listener.Addr(), status, http.StatusText(status))) {
			t.Errorf("%d: %v", status, err)
		}
		if hint := Hint(err); !strings.Contains(hint, c.hint) {
			t.Errorf("%d: hint %q", status, hint)
		}
		if len(p.asked) != c.tries {
			t.Errorf("%d: asked %d times, want %d", status, len(p.asked), c.tries)
		}
	}
}

func TestProxyIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	for _, target := range []string{"https://msg.example.org/v1", "http://msg.example.org/v1"} {
		_, err := get(t, client(t, Config{Proxy: "http://site:pr0xy-secret@" + l.Addr().String()}), target)
		if err == nil || !strings.Contains(err.Error(), "the proxy cannot be reached") || !strings.Contains(Hint(err), "network.proxy") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, hint %q", target, err, Hint(err))
		}
	}
}

func TestBadSettings(t *testing.T) {
	for want, cfg := range map[string]Config{
		"network.proxy":               {Proxy: "proxy:3128"},
		"network.proxy is":            {Proxy: "ftp://user:pr0xy-secret@proxy"},
		"network.source_address":      {SourceAddress: "eth0"},
		"network.ca_file":             {CAFile: "/nonexistent/ca.pem"},
		"holds no certificate in PEM": {CAFile: "harness_test.go"},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "pr0xy-secret") {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

func TestIPv6Only(t *testing.T) {
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	ca := newAuthority(t)
	s := httptest.NewUnstartedServer(hello)
	_ = s.Listener.Close()
	s.Listener = l
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "::1")}}
	s.StartTLS()
	t.Cleanup(s.Close)
	for _, source := range []string{"", "::1"} {
		if text, err := get(t, client(t, Config{Roots: ca.pool(), SourceAddress: source}), s.URL); err != nil || text != "hello" {
			t.Errorf("from %q: %q, %v", source, text, err)
		}
	}
}

func TestSourceAddress(t *testing.T) {
	var from string
	s := plain(t, func(_ http.ResponseWriter, r *http.Request) { from, _, _ = net.SplitHostPort(r.RemoteAddr) })
	if _, err := get(t, client(t, Config{SourceAddress: "127.0.0.2"}), s.URL); err != nil || from != "127.0.0.2" {
		t.Errorf("came from %s, %v", from, err)
	}
}

func TestServerCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	s := serve(t, ca.issue(t, "127.0.0.1"), hello)
	wrong := serve(t, ca.issue(t, "other.example.org"), hello)
	for name, c := range map[string]struct {
		cfg        Config
		url        string
		what, hint string
	}{
		"private authority in ca_file": {Config{CAFile: ca.file(t)}, s.URL, "", ""},
		"authority in Roots":           {Config{Roots: ca.pool()}, s.URL, "", ""},
		"ca_file beside other Roots":   {Config{Roots: other.pool(), CAFile: ca.file(t)}, s.URL, "", ""},
		"unknown authority":            {Config{}, s.URL, "not trusted here", "network.ca_file"},
		"another authority":            {Config{CAFile: other.file(t)}, s.URL, "not trusted here", "network.ca_file"},
		"another name":                 {Config{CAFile: ca.file(t)}, wrong.URL, "for another name", "name that is in the certificate"},
		"expired by our clock":         {Config{CAFile: ca.file(t), Now: func() time.Time { return day.AddDate(0, 1, 0) }}, s.URL, "not valid", "renew"},
		"not yet valid by our clock":   {Config{CAFile: ca.file(t), Now: func() time.Time { return day.AddDate(0, -1, 0) }}, s.URL, "not valid", "clock"},
	} {
		counter := &Counter{}
		c.cfg.Counter, c.cfg.Retry = counter, Retry{Attempts: 3}
		text, err := get(t, client(t, c.cfg), c.url)
		if c.what == "" {
			if err != nil || text != "hello" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
			continue
		}
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.what) || !strings.Contains(Hint(err), c.hint) {
			t.Errorf("%s: %v, hint %q", name, err, Hint(err))
		}
		if counter.Requests() != 1 {
			t.Errorf("%s: tried %d times, though it cannot pass", name, counter.Requests())
		}
	}
}

// The client certificate is that of the last SetCertificate, on new connections and on those that were open.
func TestClientCertificate(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(), Time: func() time.Time { return day }}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, Config{Roots: ca.pool()})
	// With TLS 1.3 the alert comes after the handshake, and may be overtaken by the end of the connection.
	refused := func(who string) {
		_, err := get(t, c, s.URL)
		if err == nil || !strings.Contains(err.Error(), "refused the TLS connection") && !strings.Contains(err.Error(), "was cut") || !strings.Contains(Hint(err), "client certificate") && !strings.Contains(Hint(err), "authority") {
			t.Errorf("%s: %v, hint %q", who, err, Hint(err))
		}
	}
	refused("without a certificate")
	c.SetCertificate(other.issue(t, "stranger.example.org"))
	refused("with one of another authority")
	for _, name := range []string{"host.example.org", "renewed.example.org"} {
		c.SetCertificate(ca.issue(t, name))
		if got, err := get(t, c, s.URL); err != nil || got != name {
			t.Errorf("the server saw %q, want %q: %v", got, name, err)
		}
	}
}

func TestConnectionsAreReused(t *testing.T) {
	ca := newAuthority(t)
	var opened atomic.Int64
	s := httptest.NewUnstartedServer(hello)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1")}}
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, Config{Roots: ca.pool()})
	for range 20 {
		if _, err := get(t, c, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("20 requests opened %d connections", n)
	}
}

func TestNoAnswer(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, closed.Close())
	cut := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	})
	for name, c := range map[string]struct{ url, what, hint string }{
		"nothing listens": {"http://" + closed.Addr().String(), "connection refused", "nothing listens"},
		"cut":             {cut.URL, "the connection was cut", "firewall"},
		"https at http":   {strings.Replace(cut.URL, "http:", "https:", 1), "does not speak TLS", "http, not https"},
	} {
		_, err := get(t, client(t, Config{}), c.url)
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), c.what) || !strings.Contains(Hint(err), c.hint) {
			t.Errorf("%s: %v, hint %q", name, err, Hint(err))
		}
	}
}

func TestRedirects(t *testing.T) {
	var carried atomic.Int64
	elsewhere := plain(t, func(http.ResponseWriter, *http.Request) { carried.Add(1) })
	var s *httptest.Server
	s = plain(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1)+"/v3", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/v3":
			http.Redirect(w, r, s.URL+"/v3/", http.StatusMultipleChoices+1)
		default:
			hello(w, r)
		}
	})
	c := client(t, Config{})
	if text, err := get(t, c, s.URL+"/v3"); err != nil || text != "hello" {
		t.Errorf("on the same host: %q, %v", text, err)
	}
	if _, err := get(t, c, s.URL+"/elsewhere"); err == nil || !strings.Contains(err.Error(), "refused a redirect") || carried.Load() != 0 {
		t.Errorf("to another host: %v, %d requests there", err, carried.Load())
	}
	if _, err := get(t, c, s.URL+"/round"); err == nil || !strings.Contains(err.Error(), "more than 5 redirects") {
		t.Errorf("without end: %v", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v3", strings.NewReader("{}"))
	must(t, err)
	if _, err := do(c, req); err == nil || !strings.Contains(err.Error(), "/v3 is redirected to "+s.URL+"/v3/: use that URL") {
		t.Errorf("a POST that would become a GET: %v", err)
	}
	ca := newAuthority(t)
	down := serve(t, ca.issue(t, "127.0.0.1"), http.RedirectHandler(s.URL+"/v3/", http.StatusFound))
	if _, err := get(t, client(t, Config{Roots: ca.pool()}), down.URL); err == nil || !strings.Contains(err.Error(), "refused a redirect from https") {
		t.Errorf("from https to http: %v", err)
	}
}

func TestRefusedClientCertificateIsSaid(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	s := httptest.NewUnstartedServer(hello)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(), Time: func() time.Time { return day }, MaxVersion: tls.VersionTLS12}
	s.Config.ErrorLog = quiet()
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, Config{Roots: ca.pool()})
	c.SetCertificate(other.issue(t, "stranger.example.org"))
	// In TLS 1.2 the alert is part of the handshake, and always arrives.
	if _, err := get(t, c, s.URL); err == nil || !strings.Contains(err.Error(), "refused the TLS connection: tls: ") || !strings.Contains(Hint(err), "not trust the authority") {
		t.Errorf("%v, hint %q", err, Hint(err))
	}
}
