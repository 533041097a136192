package ssm

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const body = "APEL-cloud-message: v0.4\nVMUUID: a\nSiteName: S\n"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// pki is an authority with a site, a server, and a server with an EC key; all end at the same time.
type pki struct {
	roots        *x509.CertPool
	site, server smime.Identity
	ec           smime.Identity
	end          time.Time
}

var testPKI = sync.OnceValue(func() pki {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotBefore: day.AddDate(-1, 0, 0), NotAfter: day.AddDate(9, 0, 0), IsCA: true, BasicConstraintsValid: true}
	ca = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key))))
	p := pki{roots: x509.NewCertPool(), end: day.AddDate(1, 0, 0)}
	p.roots.AddCert(ca)
	issue := func(serial int64, cn string, k crypto.Signer) smime.Identity {
		c := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{Organization: []string{"Grid"}, CommonName: cn}, NotBefore: day.AddDate(0, -1, 0), NotAfter: p.end}
		der := must(x509.CreateCertificate(rand.Reader, c, ca, k.Public(), key))
		block := func(kind string, der []byte) []byte {
			return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		}
		return must(smime.ParseIdentity(block("CERTIFICATE", der), block("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(k)))))
	}
	p.site = issue(2, "site.example.org", must(rsa.GenerateKey(rand.Reader, 2048)))
	p.server = issue(3, "server.example.org", must(rsa.GenerateKey(rand.Reader, 2048)))
	p.ec = issue(4, "ec.example.org", must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)))
	return p
})

func TestSealAndOpen(t *testing.T) {
	p := testPKI()
	for name, c := range map[string]struct {
		sender    smime.Identity
		recipient *x509.Certificate
	}{
		"signed":               {p.site, nil},
		"signed with EC":       {p.ec, nil},
		"signed and encrypted": {p.site, p.server.Certificate},
	} {
		m, err := Seal([]byte(body), c.sender, c.recipient, day)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if encrypted := !bytes.Contains(m, []byte("SiteName")); encrypted != (c.recipient != nil) || bytes.Contains(m, []byte("\r")) {
			t.Errorf("%s: readable %v, or line ends are not LF", name, !encrypted)
		}
		var asked string
		got, err := Open(m, OpenOptions{Identity: p.server, Roots: p.roots, Now: day, Allowed: func(dn string) bool { asked = dn; return true }})
		if err != nil || string(got.Body) != body || got.SignerDN != c.sender.DN() || asked != c.sender.DN() {
			t.Errorf("%s: %q of %s, asked for %s, %v", name, got.Body, got.SignerDN, asked, err)
		}
	}
}

// sent is what a real SSM sent: the message, its text, and the authority of its signer.
func sent() (message, text []byte, roots *x509.CertPool) {
	read := func(name string) []byte { return must(os.ReadFile(filepath.Join("..", "smime", "testdata", name))) }
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(read("ams-test-ca.pem"))
	return read("ams-ssm4-signed-0.smime"), bytes.ReplaceAll(read("ams-ssm4-body-0.txt"), []byte("\r\n"), []byte("\n")), roots
}

const sender = "/DC=org/DC=example-grid/C=ES/O=Example Site/CN=caso.site.example.org"

func TestOpensSSM(t *testing.T) {
	message, text, roots := sent()
	got, err := Open(message, OpenOptions{Roots: roots, Now: day})
	if err != nil || !bytes.Equal(got.Body, text) || got.SignerDN != sender {
		t.Errorf("%q of %s, %v", got.Body, got.SignerDN, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	p := testPKI()
	signed := must(Seal([]byte(body), p.site, nil, day))
	encrypted := must(Seal([]byte(body), p.site, p.server.Certificate, day))
	everybody := OpenOptions{Identity: p.server, Roots: p.roots, Now: day}
	with := func(change func(*OpenOptions)) OpenOptions {
		o := everybody
		change(&o)
		return o
	}
	// What is inside an encrypted message is measured as strictly.
	inside := func(m []byte) []byte { return must(smime.Encrypt(m, p.server.Certificate)) }
	tampered := bytes.Replace(signed, []byte("SiteName: S"), []byte("SiteName: T"), 1)
	for name, c := range map[string]struct {
		message []byte
		o       OpenOptions
		want    error
	}{
		"tampered":                      {tampered, everybody, smime.ErrSignature},
		"tampered, then encrypted":      {inside(tampered), everybody, smime.ErrSignature},
		"encrypted, but not signed":     {inside([]byte("Content-Type: text/plain\n\n" + body)), everybody, smime.ErrFormat},
		"encrypted twice":               {inside(encrypted), everybody, smime.ErrFormat},
		"not on the list":               {signed, with(func(o *OpenOptions) { o.Allowed = func(dn string) bool { return dn == p.server.DN() } }), ErrDN},
		"authority not trusted":         {signed, with(func(o *OpenOptions) { o.Roots = x509.NewCertPool() }), smime.ErrSigner},
		"certificate has ended":         {signed, with(func(o *OpenOptions) { o.Now = p.end.Add(time.Second) }), smime.ErrSigner},
		"encrypted to somebody else":    {encrypted, with(func(o *OpenOptions) { o.Identity = p.site }), smime.ErrRecipient},
		"encrypted, and we have no key": {encrypted, with(func(o *OpenOptions) { o.Identity = smime.Identity{} }), smime.ErrRecipient},
		"cut":                           {signed[:len(signed)/2], everybody, smime.ErrFormat},
		"encrypted and cut":             {encrypted[:len(encrypted)/2], everybody, smime.ErrFormat},
		"no message":                    {[]byte(body), everybody, smime.ErrFormat},
		"nothing":                       {nil, everybody, smime.ErrFormat},
	} {
		got, err := Open(c.message, c.o)
		if !errors.Is(err, c.want) || got.Body != nil {
			t.Errorf("%s: %q, %v, want %v", name, got.Body, err, c.want)
		}
	}
	_, err := Open(signed, with(func(o *OpenOptions) { o.Allowed = func(string) bool { return false } }))
	if err == nil || !strings.Contains(err.Error(), p.site.DN()) {
		t.Errorf("the refused name is not said: %v", err)
	}
}

// A body that ends or stops a receiver never leaves (spec accounting §2.8, §3.1).
func TestBodiesThatCannotTravel(t *testing.T) {
	p := testPKI()
	for text, want := range map[string]string{
		"":              "empty",
		" \n\t\n":       "empty",
		"a\nMä":         "byte 3 is 0xC3",
		"\xef\xbb\xbfa": "byte 0 is 0xEF",
		"a\x80":         "byte 1 is 0x80",
		"a\r\nb\r\n":    "byte 1 is a carriage return",
	} {
		err := Fit([]byte(text))
		if !errors.Is(err, ErrBody) || !strings.Contains(err.Error(), want) {
			t.Errorf("Fit(%q): %v, want %q", text, err, want)
		}
		if m, err := Seal([]byte(text), p.site, nil, day); !errors.Is(err, ErrBody) || m != nil {
			t.Errorf("Seal(%q): %v", text, err)
		}
	}
	if err := Fit([]byte(body + "\x00\x7f\t")); err != nil {
		t.Error(err)
	}
}

func TestCheckCertificates(t *testing.T) {
	p := testPKI()
	for name, c := range map[string]struct {
		id        smime.Identity
		recipient *x509.Certificate
		at        time.Time
		want      string // "" = good
	}{
		"good":                                 {p.site, p.server.Certificate, day, ""},
		"no receiver":                          {p.site, nil, day, ""},
		"exactly 24 hours left":                {p.site, p.server.Certificate, p.end.Add(-AtLeast), ""},
		"a second less":                        {p.site, nil, p.end.Add(time.Second - AtLeast), "in less than 24h0m0s: renew"},
		"ended":                                {p.site, nil, p.end.Add(time.Second), "ended 2027-11-24 12:00 UTC: renew"},
		"not yet valid":                        {p.site, nil, day.AddDate(0, -2, 0), "not valid before 2026-10-24"},
		"the receiver is the host itself":      {p.server, p.server.Certificate, day, "the host's own"},
		"nobody can encrypt to an EC key":      {p.site, p.ec.Certificate, day, "not RSA"},
		"the receiver's certificate has ended": {p.site, ended(p.server.Certificate), day, "receiver: certificate /O=Grid/CN=server.example.org ended"},
	} {
		err := CheckCertificates(c.id, c.recipient, c.at)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// ended is the certificate with an end in the past.
func ended(c *x509.Certificate) *x509.Certificate {
	old := *c
	old.Raw, old.NotAfter = nil, day.Add(-time.Hour)
	return &old
}

func FuzzOpen(f *testing.F) {
	p := testPKI()
	message, text, roots := sent() // the same in every process, unlike what the test signs itself
	f.Add(message)
	f.Add(must(smime.Encrypt(message, p.server.Certificate)))
	f.Add([]byte("Content-Type: application/pkcs7-mime\n\nMIAGCSqGSIb3DQEHA6CA\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := Open(message, OpenOptions{Identity: p.server, Roots: roots, Now: day})
		if err == nil && (!bytes.Equal(got.Body, text) || got.SignerDN != sender) {
			t.Errorf("%q of %s is accepted", got.Body, got.SignerDN)
		}
	})
}
