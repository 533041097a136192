package federation

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/protocol/ams"
	"github.com/fedsite/fedsite/protocol/smime"
	"github.com/fedsite/fedsite/protocol/ssm"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const body = `APEL-cloud-message: v0.4
VMUUID: 1
SiteName: SITE-A
StartTime: 1793491200
Status: started
WallDuration: 3600
SuspendDuration: 0
CpuCount: 1
%%
`

func started(t *testing.T) *Federation {
	t.Helper()
	f, err := Start("127.0.0.1", func() time.Time { return day }, "SITE-A", "SITE-B")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// client gives one that trusts the federation and shows a certificate.
func client(t *testing.T, f *Federation, cert *tls.Certificate) *ams.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: f.CA.Pool()}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	tr := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(tr.CloseIdleConnections)
	return &ams.Client{HTTP: &http.Client{Transport: tr, Timeout: 10 * time.Second}, Host: f.Host, Port: f.Port, AuthnPort: f.AuthnPort, Project: Project}
}

func identity(t *testing.T, certPEM, keyPEM []byte, err error) smime.Identity {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	id, err := smime.ParseIdentity(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestToken: over TLS, a site's certificate becomes its token; no other certificate does.
func TestToken(t *testing.T) {
	f := started(t)
	for _, s := range f.Sites {
		cert := identity(t, s.CertPEM, s.KeyPEM, nil).TLS()
		if token, err := client(t, f, &cert).Token(t.Context()); err != nil || token != s.Token {
			t.Errorf("%s: %q, %v", s.Name, token, err)
		}
	}
	certPEM, keyPEM, err := f.CA.Issue("SITE-A", "other.example.org")
	unknown := identity(t, certPEM, keyPEM, err).TLS()
	otherCA, err := NewCA(day)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err = otherCA.Issue("SITE-A", "fedsite.SITE-A.example.org")
	untrusted := identity(t, certPEM, keyPEM, err).TLS()
	for name, c := range map[string]struct {
		cert   *tls.Certificate
		status int
		says   string
	}{
		"unknown name":        {&unknown, 404, "Binding was not found"},
		"no certificate":      {nil, 400, "No certificate provided"},
		"another authority's": {&untrusted, 0, ""},
	} {
		_, err := client(t, f, c.cert).Token(t.Context())
		e, ok := errors.AsType[*ams.Error](err)
		if !ok || e.HTTPStatus != c.status || !strings.Contains(e.Message, c.says) {
			if name == "another authority's" && ok && e.HTTPStatus == 400 {
				continue // the client does not show a certificate whose authority the server did not name
			}
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReceiver: what the receiver does with what the broker took. The sender is never told.
func TestReceiver(t *testing.T) {
	f := started(t)
	a := f.Sites[0]
	own := identity(t, a.CertPEM, a.KeyPEM, nil)
	certPEM, keyPEM, err := f.CA.Issue("SITE-C", "fedsite.SITE-C.example.org")
	stranger := identity(t, certPEM, keyPEM, err)
	otherCA, err := NewCA(day)
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err = otherCA.Issue("SITE-A", "fedsite.SITE-A.example.org")
	forged := identity(t, certPEM, keyPEM, err)
	seal := func(text string, id smime.Identity) []byte {
		m, err := ssm.Seal([]byte(text), id, nil, day)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if forged.DN() != a.DN {
		t.Fatalf("the forged name is %s, the site's %s", forged.DN(), a.DN)
	}
	good := seal(body, own)
	cases := []struct {
		name     string
		message  []byte
		accepted bool
		says     string
		dn       string
	}{
		{"the site's own", good, true, "", a.DN},
		{"of a signer who is not on the list", seal(body, stranger), false, "not on the list", ""},
		{"of another authority, with the site's name", seal(body, forged), false, "", ""},
		{"changed on its way", []byte(strings.Replace(string(good), "3600", "7200", 1)), false, "", ""},
		{"unsigned", []byte(body), false, "", ""},
		{"signed, and no records", seal("hello", own), false, "", a.DN},
		{"signed, with a bad record", seal(strings.Replace(body, "WallDuration: 3600", "WallDuration: x", 1), own), false, "", a.DN},
	}
	c := client(t, f, nil)
	for i, m := range cases {
		if _, err := c.Publish(context.Background(), a.Token, CloudTopic, ams.Message{Attributes: map[string]string{"empaid": strconv.Itoa(i)}, Data: m.message}); err != nil {
			t.Fatalf("%s: %v", m.name, err)
		}
		got := f.Received()
		if len(got) != i+1 {
			t.Fatalf("%s: %d received", m.name, len(got))
		}
		r := got[i]
		if r.Empaid != strconv.Itoa(i) || r.Accepted != m.accepted || !strings.Contains(r.Reason, m.says) || (r.Reason == "") != m.accepted || r.DN != m.dn {
			t.Errorf("%s: %+v", m.name, r)
		}
	}
	if rows := f.Server.Kept(); len(rows) != 1 || rows[0].VMUUID != "1" {
		t.Errorf("the server keeps %+v", rows)
	}
}

// TestRefused: after Close nothing listens, after Listen the same ports are served again; a fault strikes broker and authn.
func TestRefused(t *testing.T) {
	f := started(t)
	cert := identity(t, f.Sites[0].CertPEM, f.Sites[0].KeyPEM, nil).TLS()
	c := client(t, f, &cert)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Token(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) { // reset: it came while the port was being closed
		t.Errorf("%v", err)
	}
	if err := f.Listen(); err != nil {
		t.Fatal(err)
	}
	f.Faults.Add(faults.Fault{Path: "/service-types/ams/hosts/*", Effect: faults.Effect{Status: 500}})
	if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("%v", err)
	}
	if token, err := c.Token(t.Context()); err != nil || token != f.Sites[0].Token {
		t.Errorf("%q, %v", token, err)
	}
}
