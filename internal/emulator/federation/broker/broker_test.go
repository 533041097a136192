package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const cloudTopic = "/v1/projects/accounting/topics/eu-egi-cloud-accounting:publish"

// ask sends one request to the handler, and gives status and body.
func ask(h http.Handler, method, path, token, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("x-api-key", token)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// TestOrder: when more than one thing is wrong, the first check in AMS's order answers (spec ams §3).
func TestOrder(t *testing.T) {
	const sub = "/v1/projects/accounting/subscriptions/eu-egi-cloud-accounting"
	cases := []struct {
		path, token, body string
		status            int
		says              string
	}{
		{"/v1/projects/a.b/queues/x:publish", "", "{", 404, "page not found"},
		{"/v1/projects/a.b/topics/c.d:publish", "", "{", 400, "Invalid project name"},
		{"/v1/projects/none/topics/c.d:publish", "", "{", 400, "Invalid topic name"},
		{"/v1/projects/none/subscriptions/c.d:pull", "", "{", 400, "Invalid subscription name"},
		{"/v1/projects/none/topics/none:publish", "", "{", 401, "Unauthorized"},
		{"/v1/projects/none/topics/none:publish", "unknown", "{", 404, "project doesn't exist"},
		{"/v1/projects/accounting/topics/none:publish", "unknown", "{", 401, "Unauthorized"},
		{"/v1/projects/egi_cloud_info/topics/none:publish", "other-token", "{", 401, "Unauthorized"},
		{"/v1/projects/accounting/topics/none:publish", "repo-token", "{", 403, "forbidden"},
		{"/v1/projects/accounting/topics/none:publish", "other-token", "{", 404, "Topic doesn't exist"},
		{cloudTopic, "other-token", "{", 403, "forbidden"},
		{cloudTopic, "site-token", "{", 400, "Invalid Message Arguments"},
		{cloudTopic, "site-token", `{"messages":[{"attributes":{"empaid":"a\"b"}}]}`, 400, "Invalid Message Arguments"},
		{cloudTopic, "admin", "", 401, "Unauthorized"},
		{cloudTopic, "padmin-token", `{"messages":[]}`, 200, "messageIds"},
		{"/v1/projects/accounting/subscriptions/none:pull", "repo2-token", "{", 404, "Subscription doesn't exist"},
		{sub + ":pull", "repo2-token", "{", 403, "forbidden"},
		{sub + ":pull", "repo-token", "{", 400, "Invalid Pull Parameters Arguments"},
		{"/v1/projects/accounting/subscriptions/none:acknowledge", "repo-token", "{", 400, "Invalid ack parameter"},
		{"/v1/projects/accounting/subscriptions/none:acknowledge", "repo-token", "{}", 404, "Subscription doesn't exist"},
		{sub + ":acknowledge", "repo-token", "{}", 400, "Invalid ack id"},
		{sub + ":acknowledge", "repo-token", `{"ackIds":["projects/accounting/subscriptions/eu-egi-cloud-accounting:0"]}`, 500, "no ack pending"},
	}
	for _, c := range cases {
		if status, body := ask(seeded().AMS(), http.MethodPost, c.path, c.token, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s by %q with %s: %d %s, want %d %s", c.path, c.token, c.body, status, body, c.status, c.says)
		}
	}
}

// TestSize: the limit counts the stored message, as measured, and says so as the release does (spec ams §4).
func TestSize(t *testing.T) {
	nanos := func() time.Time { return time.Date(2026, 11, 23, 11, 8, 7, 786830102, time.UTC) }
	for _, c := range []struct {
		limit  Limit
		data   int // base64 characters that just fit, with an empaid of 23 characters
		status int
		says   string
	}{
		{Limit{1_000_000, 413}, 999_806, 413, "Message size is too large"},
		{Limit{1_500_000, 500}, 1_499_807, 500, "Backend Error"},
		{Limit{}, 1_048_359, 413, "Message size is too large"},
	} {
		b := seeded()
		b.now = nanos
		b.SetLimit(c.limit)
		fits := func(n int) (int, string) {
			return ask(b.AMS(), http.MethodPost, cloudTopic, "site-token", `{"messages":[{"attributes":{"empaid":"5f1e0c20/5f1e0c2b7a9d31"},"data":"`+strings.Repeat("A", n)+`"}]}`)
		}
		if status, body := fits(c.data); status != 200 {
			t.Errorf("%+v: %d characters: %d %s", c.limit, c.data, status, body)
		}
		if status, body := fits(c.data + 2); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%+v: %d characters: %d %s", c.limit, c.data+2, status, body)
		}
		if n := len(b.Messages("accounting", "eu-egi-cloud-accounting")); n != 1 {
			t.Errorf("%+v: %d messages stored", c.limit, n)
		}
	}
	b := seeded()
	large := strings.Repeat("A", 1_100_000)
	status, _ := ask(b.AMS(), http.MethodPost, cloudTopic, "site-token", `{"messages":[{"data":"b25l"},{"data":"`+large+`"},{"data":"dHdv"}]}`)
	if n := len(b.Messages("accounting", "eu-egi-cloud-accounting")); status != 413 || n != 1 {
		t.Errorf("a list is stored message by message: %d, %d stored", status, n)
	}
}

// TestFaults: what is injected meets the next publish requests, in order, and is used up.
func TestFaults(t *testing.T) {
	b := seeded()
	var told []string
	b.OnStored(func(m Stored) { told = append(told, m.Data) })
	srv := httptest.NewServer(b.AMS())
	defer srv.Close()
	publish := func(data string) (int, string, string) {
		r, err := http.NewRequest(http.MethodPost, srv.URL+cloudTopic, strings.NewReader(`{"messages":[{"data":"`+data+`"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("x-api-key", "site-token")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, "", ""
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(body), res.Header.Get("Retry-After")
	}
	b.Inject(Fault{Times: 2, Status: 503, Body: "<html>busy</html>", RetryAfter: "7"})
	b.Inject(Fault{Times: 1})
	b.Inject(Fault{Times: 1, Store: true})
	b.Inject(Fault{Times: 1, Store: true, Status: 504})
	for i, want := range []int{503, 503, 0, 0, 504, 200} {
		status, body, after := publish(fmt.Sprint("m", i))
		if status != want || (want == 503) != (after == "7") || (want == 503 && body != "<html>busy</html>") {
			t.Errorf("request %d: %d %s, Retry-After %q", i, status, body, after)
		}
	}
	var stored []string
	for _, m := range b.Messages("accounting", "eu-egi-cloud-accounting") {
		stored = append(stored, m.Data)
	}
	if got := fmt.Sprint(stored, told); got != "[m3 m4 m5] [m3 m4 m5]" {
		t.Errorf("stored, told: %s", got)
	}
	b.SetToken("site", "fresh")
	if status, _, _ := publish("late"); status != 401 {
		t.Errorf("the old token after a refresh: %d", status)
	}
	if status, _ := ask(b.AMS(), http.MethodGet, "/v1/users/profile", "fresh", ""); status != 200 {
		t.Errorf("the fresh token: %d", status)
	}
}

type attribute struct {
	oid   asn1.ObjectIdentifier
	value string
}

var (
	dc = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	o  = asn1.ObjectIdentifier{2, 5, 4, 10}
	cn = asn1.ObjectIdentifier{2, 5, 4, 3}
	co = asn1.ObjectIdentifier{2, 5, 4, 6}
)

// certificate makes one with the subject, self-signed.
func certificate(t *testing.T, change func(*x509.Certificate), subject ...attribute) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var names pkix.RDNSequence
	for _, a := range subject {
		names = append(names, pkix.RelativeDistinguishedNameSET{{Type: a.oid, Value: a.value}})
	}
	raw, err := asn1.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), RawSubject: raw, NotBefore: day.AddDate(0, 0, -1), NotAfter: day.AddDate(0, 0, 1), CRLDistributionPoints: []string{"http://crl"}}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestAuthn: the checks before a certificate becomes a token (spec ams §2).
func TestAuthn(t *testing.T) {
	same := func(*x509.Certificate) {}
	known := []attribute{{dc, "org"}, {dc, "example-grid"}, {co, "ES"}, {o, "Example Site"}, {cn, "caso.site.example.org"}}
	const dn = "CN=caso.site.example.org,O=Example Site,C=ES,DC=org+DC=example-grid"
	if got := AuthnDN(certificate(t, same, known...)); got != dn {
		t.Fatalf("%s, recorded %s", got, dn)
	}
	reordered := []attribute{known[4], known[0], known[1], known[3], known[2]}
	b := seeded()
	b.seed.Bindings = map[string]string{dn: "site", "CN=nobody": "nobody"}
	const path = "/v1/service-types/ams/hosts/localhost:authx509"
	cases := []struct {
		name, path string
		cert       *x509.Certificate
		status     int
		says       string
	}{
		{"known", path, certificate(t, same, known...), 200, "site-token"},
		{"types in another order", path, certificate(t, same, reordered...), 200, "site-token"},
		{"DCs in another order", path, certificate(t, same, known[1], known[0], known[2], known[3], known[4]), 404, "Binding was not found"},
		{"no certificate", path, nil, 400, "No certificate provided"},
		{"unknown name", path, certificate(t, same, attribute{cn, "other"}), 404, "Binding was not found"},
		{"a name bound to no user", path, certificate(t, same, attribute{cn, "nobody"}), 404, "Binding was not found"},
		{"expired", path, certificate(t, func(c *x509.Certificate) { c.NotAfter = day.Add(-time.Hour) }, known...), 403, "expired"},
		{"not yet valid", path, certificate(t, func(c *x509.Certificate) { c.NotBefore = day.Add(time.Hour) }, known...), 403, "not active yet"},
		{"without CRL", path, certificate(t, func(c *x509.Certificate) { c.CRLDistributionPoints = nil }, known...), 403, "No CRLDistributionPoints"},
		{"another host", "/v1/service-types/ams/hosts/127.0.0.1:authx509", certificate(t, same, known...), 404, "Host was not found"},
		{"another service", "/v1/service-types/web/hosts/localhost:authx509", certificate(t, same, known...), 404, "Service-type was not found"},
	}
	for _, c := range cases {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		r.TLS = &tls.ConnectionState{}
		if c.cert != nil {
			r.TLS.PeerCertificates = []*x509.Certificate{c.cert}
		}
		rec := httptest.NewRecorder()
		b.Authn().ServeHTTP(rec, r)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.says) || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s: %d %s, want %d %s", c.name, rec.Code, rec.Body, c.status, c.says)
		}
	}
}
