package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestShake: what is shown by servers of either TLS version, over IPv4 and IPv6, that ask for a client certificate, insist on
// one, or do not ask.
func TestShake(t *testing.T) {
	ca := newAuthority(t)
	requests := 0
	count := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		if r.Method != http.MethodHead || len(r.Header["X-Auth-Token"]) > 0 {
			t.Errorf("%s %v", r.Method, r.Header)
		}
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			for _, asks := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert, tls.RequireAndVerifyClientCert} {
				name := fmt.Sprintf("%s %s %v", tls.VersionName(version), address, asks)
				l, err := net.Listen("tcp", address)
				if err != nil {
					t.Logf("%s: %v", name, err) // a machine without IPv6
					continue
				}
				s := httptest.NewUnstartedServer(count)
				s.Listener, s.Config.ErrorLog = l, quiet()
				s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", "::1")}, MinVersion: version, MaxVersion: version, ClientAuth: asks, ClientCAs: ca.pool()}
				s.StartTLS()
				c := client(t, Config{Roots: ca.pool(), ReadOnly: true, Timeout: time.Minute, PerSecond: 100, Counter: &Counter{}, Retry: Retry{Attempts: 2, Max: time.Second}})
				c.SetCertificate(ca.issue(t, "me"))
				requests = 0
				shown, err := c.Shake(t.Context(), s.URL+"/v3")
				s.Close()
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				var want [][]byte
				if asks != tls.NoClientCert {
					want = [][]byte{ca.cert.RawSubject}
				}
				if d := cmp.Diff(want, shown.ClientCAs); d != "" || shown.Version != version || len(shown.Chain) != 1 || string(shown.Chain[0].RawIssuer) != string(ca.cert.RawSubject) {
					t.Errorf("%s: %+v", name, shown)
				}
				if got := map[bool]int{true: 0, false: 1}[asks == tls.RequireAndVerifyClientCert]; requests != got {
					t.Errorf("%s: %d requests", name, requests)
				}
			}
		}
	}
}

// TestShakeFails: no TLS, an unknown authority, nobody, a server that never answers, and another package's client.
func TestShakeFails(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ca.issue(t, "127.0.0.1"), hello)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	none, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, none.Close())
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		name, url, says string
		ctx             context.Context
		client          *Client
	}{
		{"plain", "http://127.0.0.1:1/v3", "there is no TLS at http://127.0.0.1:1", t.Context(), client(t, Config{})},
		{"unknown authority", s.URL, "not trusted", t.Context(), client(t, Config{})},
		{"another name", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "another name", t.Context(), client(t, Config{Roots: ca.pool()})},
		{"nobody", "https://" + none.Addr().String(), "refused", t.Context(), client(t, Config{})},
		{"silent", "https://" + silent.Addr().String(), "no answer in time", soon, client(t, Config{})},
		{"no URL", "https://%", "invalid URL", t.Context(), client(t, Config{})},
	} {
		if _, err := c.client.Shake(c.ctx, c.url); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	over, end := context.WithCancel(t.Context())
	end()
	if _, err := client(t, Config{}).Shake(over, "https://"+silent.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("ended by the caller: %v", err)
	}
}

// TestShakeByProxy goes the way that the client goes, and does not tell its secret.
func TestShakeByProxy(t *testing.T) {
	ca := newAuthority(t)
	s := serve(t, ca.issue(t, "cloud.example.org"), hello)
	p := newProxy(t, s.Listener.Addr().String(), 0)
	u, err := url.Parse(p.URL)
	must(t, err)
	u.User = url.UserPassword("site", "pr0xy-secret")
	c := client(t, Config{Proxy: u.String(), Roots: ca.pool()})
	if shown, err := c.Shake(t.Context(), "https://cloud.example.org/v3"); err != nil || len(shown.Chain) != 1 || len(p.asked) != 1 || p.asked[0] != "cloud.example.org:443" {
		t.Errorf("%+v, %v, %v", shown, err, p.asked)
	}
	refuses := newProxy(t, "", http.StatusForbidden)
	c = client(t, Config{Proxy: strings.Replace(refuses.URL, "http://", "http://site:pr0xy-secret@", 1), Roots: ca.pool()})
	if _, err := c.Shake(t.Context(), "https://cloud.example.org/v3"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "403") || strings.Contains(err.Error(), "pr0xy") {
		t.Errorf("%v", err)
	}
}
