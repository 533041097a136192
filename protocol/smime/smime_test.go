package smime

import (
	"bytes"
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
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Certificates of the tests are valid from begin to end, because openssl signs and verifies by the real clock.
var (
	day   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	begin = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	end   = time.Date(2049, 6, 1, 0, 0, 0, 0, time.UTC)
)

// pki is a certificate authority with a host of RSA and one of EC key.
type pki struct {
	roots     *x509.CertPool
	caPEM     []byte
	rsa, ec   Identity
	rsaPEM    []byte // certificate and key
	ecPEM     []byte
	ca        *x509.Certificate
	caKey     *rsa.PrivateKey
	otherRoot *x509.CertPool
}

var testPKI = sync.OnceValue(func() pki {
	caKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA", Organization: []string{"Test"}}, NotBefore: begin.AddDate(-1, 0, 0), NotAfter: end.AddDate(0, 1, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &caKey.PublicKey, caKey)
	must(err)
	ca, err := x509.ParseCertificate(der)
	must(err)
	p := pki{roots: x509.NewCertPool(), ca: ca, caKey: caKey, caPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), otherRoot: x509.NewCertPool()}
	p.roots.AddCert(ca)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	p.rsa, p.rsaPEM = p.issue(2, "host.example.org", &rsaKey.PublicKey, rsaKey)
	p.ec, p.ecPEM = p.issue(3, "ec.example.org", &ecKey.PublicKey, ecKey)
	return p
})

func (p pki) issue(serial int64, cn string, pub, key any) (Identity, []byte) {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: begin, NotAfter: end, SubjectKeyId: []byte{1, 2, 3, byte(serial)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		RawSubject: subject("0.9.2342.19200300.100.1.25=org", "0.9.2342.19200300.100.1.25=example", "2.5.4.10=Test", "2.5.4.3="+cn)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, pub, p.caKey)
	must(err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	id, err := ParseIdentity(certPEM, keyPEM)
	must(err)
	return id, append(certPEM, keyPEM...)
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

const body = "APEL-cloud-message: v0.4\nVMUUID: a\nSiteName: S\n"

func TestVerifyReadsWhatSSMSends(t *testing.T) {
	want := read(t, "ams-ssm4-body-0.txt")
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, "ams-test-ca.pem"))
	v, err := Verify(read(t, "ams-ssm4-signed-0.smime"), VerifyOptions{Roots: roots, Now: day})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(v.Text, want) {
		t.Errorf("text differs:\n%q\n%q", v.Text, want)
	}
	if v.DN != "/DC=org/DC=example-grid/C=ES/O=Example Site/CN=caso.site.example.org" {
		t.Errorf("signer %s", v.DN)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, "ca.pem"))
	eml := read(t, "signed-cloud.eml")
	if _, err := Verify(eml, VerifyOptions{Roots: roots, Now: day}); err != nil {
		t.Error(err)
	}
	if _, err := Verify(eml, VerifyOptions{Roots: roots, Now: day.AddDate(20, 0, 0)}); !errors.Is(err, ErrSigner) {
		t.Errorf("long after the end of the certificate: %v", err)
	}
	if _, err := Verify(eml, VerifyOptions{Roots: testPKI().roots, Now: day}); !errors.Is(err, ErrSigner) {
		t.Errorf("against another authority: %v", err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSignedMessageHasTheFormOfOpenSSL(t *testing.T) {
	p := testPKI()
	m, err := Sign([]byte(body), p.rsa, day)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"; boundary=\"----",
		"\n\nThis is an S/MIME signed message\n\n------", "\nContent-Type: text/plain\n\n" + body + "\n------"} {
		if !bytes.Contains(m, []byte(want)) {
			t.Errorf("message lacks %q:\n%s", want, m)
		}
	}
	if bytes.Contains(m, []byte("\r")) {
		t.Error("line ends on the wire are not LF")
	}
	for _, id := range []Identity{p.rsa, p.ec} {
		m, err := Sign([]byte(body), id, day)
		if err != nil {
			t.Fatal(err)
		}
		for name, wire := range map[string][]byte{"LF": m, "CRLF": toCRLF(m)} {
			v, err := Verify(wire, VerifyOptions{Roots: p.roots, Now: day})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if string(v.Text) != strings.ReplaceAll(body, "\n", "\r\n") || v.DN != id.DN() {
				t.Errorf("%s: text %q, signer %s", name, v.Text, v.DN)
			}
		}
		if i := bytes.Index(m, []byte("SiteName: S")); i > 0 {
			m[i+10] = 'T'
		}
		if _, err := Verify(m, VerifyOptions{Roots: p.roots, Now: day}); !errors.Is(err, ErrSignature) {
			t.Errorf("a tampered text: %v", err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	p := testPKI()
	m, err := Sign([]byte(body), p.rsa, day)
	if err != nil {
		t.Fatal(err)
	}
	crlDER, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: day, NextUpdate: day.AddDate(0, 1, 0),
		RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: big.NewInt(2), RevocationTime: day}}}, p.ca, p.caKey)
	must(err)
	crl, err := x509.ParseRevocationList(crlDER)
	must(err)
	for name, c := range map[string]struct {
		message []byte
		o       VerifyOptions
		want    error
	}{
		"no trusted authority": {m, VerifyOptions{Roots: p.otherRoot, Now: day}, ErrSigner},
		"expired":              {m, VerifyOptions{Roots: p.roots, Now: end.AddDate(0, 0, 1)}, ErrSigner},
		"revoked":              {m, VerifyOptions{Roots: p.roots, Now: day, CRLs: []*x509.RevocationList{crl}}, ErrSigner},
		"too large":            {m, VerifyOptions{Roots: p.roots, Now: day, Max: 100}, ErrFormat},
		"no message":           {[]byte("hello\n\nworld"), VerifyOptions{Roots: p.roots, Now: day}, ErrFormat},
		"nothing":              {nil, VerifyOptions{Roots: p.roots, Now: day}, ErrFormat},
		"cut in the signature": {m[:len(m)-500], VerifyOptions{Roots: p.roots, Now: day}, ErrFormat},
		"cut in the text":      {m[:400], VerifyOptions{Roots: p.roots, Now: day}, ErrFormat},
	} {
		if _, err := Verify(c.message, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestEncryptRoundTrip(t *testing.T) {
	p := testPKI()
	m, err := Sign([]byte(body), p.rsa, day)
	must(err)
	e, err := Encrypt(m, p.rsa.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if !Encrypted(e) || Encrypted(m) {
		t.Error("Encrypted tells the two apart wrongly")
	}
	inner, err := Decrypt(e, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(inner, VerifyOptions{Roots: p.roots, Now: day}); err != nil {
		t.Error(err)
	}
	if _, err := Encrypt(m, p.ec.Certificate); err == nil || !strings.Contains(err.Error(), "not RSA") {
		t.Errorf("encryption to an EC key: %v", err)
	}
	if _, err := Decrypt(e, p.ec); !errors.Is(err, ErrRecipient) {
		t.Errorf("decryption with another key: %v", err)
	}
}

func TestParseIdentity(t *testing.T) {
	p := testPKI()
	certOf := func(both []byte) []byte { return both[:bytes.Index(both, []byte("-----BEGIN PRIVATE"))] }
	keyOf := func(both []byte) []byte { return both[bytes.Index(both, []byte("-----BEGIN PRIVATE")):] }
	for name, c := range map[string]struct{ cert, key []byte }{
		"no certificate":     {nil, keyOf(p.rsaPEM)},
		"no private key":     {certOf(p.rsaPEM), nil},
		"does not belong":    {certOf(p.rsaPEM), keyOf(p.ecPEM)},
		"is encrypted":       {certOf(p.rsaPEM), []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")},
		"unusable private":   {certOf(p.rsaPEM), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")},
		"unusable certifica": {[]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), keyOf(p.rsaPEM)},
	} {
		if _, err := ParseIdentity(c.cert, c.key); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := p.rsa.Check(day, 24*time.Hour); err != nil {
		t.Error(err)
	}
	if err := p.rsa.Check(p.rsa.Certificate.NotAfter.Add(-time.Hour), 24*time.Hour); err == nil {
		t.Error("an hour before its end the certificate passes for 24 h")
	}
}

func findOpenSSL(t *testing.T) string {
	t.Helper()
	bin, err := exec.LookPath("openssl")
	if err != nil {
		if slices.Contains(strings.Split(os.Getenv("FEDSITE_REQUIRE"), ","), "openssl") {
			t.Fatal("openssl is required and was not found")
		}
		t.Skip("openssl was not found: apt-get install openssl")
	}
	return bin
}

// TestOpenSSL checks both ways against the real thing.
func TestOpenSSL(t *testing.T) {
	bin := findOpenSSL(t)
	p := testPKI()
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		must(os.WriteFile(path, data, 0o600))
		return path
	}
	openssl := func(args ...string) ([]byte, error) {
		cmd := exec.Command(bin, args...)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			return nil, errors.New(errs.String())
		}
		return out.Bytes(), nil
	}
	ca, host, ec, text := file("ca.pem", p.caPEM), file("host.pem", p.rsaPEM), file("ec.pem", p.ecPEM), file("text", []byte(body))
	for _, id := range []Identity{p.rsa, p.ec} {
		m, err := Sign([]byte(body), id, time.Now())
		must(err)
		for _, tool := range []string{"smime", "cms"} {
			out, err := openssl(tool, "-verify", "-text", "-in", file("m", m), "-CAfile", ca, "-purpose", "any")
			if err != nil || strings.ReplaceAll(string(out), "\r", "") != body {
				t.Errorf("openssl %s -verify: %q, %v", tool, out, err)
			}
		}
	}
	m, err := Sign([]byte(body), p.rsa, time.Now())
	must(err)
	e, err := Encrypt(m, p.rsa.Certificate)
	must(err)
	out, err := openssl("smime", "-decrypt", "-in", file("e", e), "-recip", host)
	if err != nil || !bytes.Equal(bytes.ReplaceAll(out, []byte("\r"), nil), m) {
		t.Errorf("openssl smime -decrypt: %v", err)
	}
	for name, args := range map[string][]string{
		"smime":         {"smime", "-sign", "-signer", host, "-text", "-in", text},
		"ec":            {"smime", "-sign", "-signer", ec, "-text", "-in", text},
		"sha512":        {"smime", "-sign", "-signer", host, "-text", "-md", "sha512", "-in", text},
		"cms":           {"cms", "-sign", "-signer", host, "-text", "-in", text},
		"no attributes": {"smime", "-sign", "-signer", host, "-text", "-noattr", "-in", text},
		"crlf":          {"smime", "-sign", "-signer", host, "-text", "-crlfeol", "-in", text},
	} {
		signed, err := openssl(args...)
		must(err)
		v, err := Verify(signed, VerifyOptions{Roots: p.roots, Now: time.Now()})
		if err != nil || strings.ReplaceAll(string(v.Text), "\r", "") != body {
			t.Errorf("%s: %q, %v", name, v.Text, err)
		}
	}
	keyid, err := openssl("cms", "-sign", "-keyid", "-signer", host, "-text", "-in", text)
	must(err)
	if _, err := Verify(keyid, VerifyOptions{Roots: p.roots, Now: time.Now()}); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "keyid") {
		t.Errorf("signed with a key id: %v", err)
	}
	// A second certificate in the structure, of somebody else, does not make him the signer.
	extra, err := openssl("smime", "-sign", "-signer", host, "-certfile", ec, "-text", "-in", text)
	must(err)
	if v, err := Verify(extra, VerifyOptions{Roots: p.roots, Now: time.Now()}); err != nil || v.DN != p.rsa.DN() {
		t.Errorf("with another certificate attached: signer %s, %v", v.DN, err)
	}
	for name, args := range map[string][]string{
		"aes128": {"smime", "-encrypt", "-aes128"}, "aes256": {"smime", "-encrypt", "-aes256"}, "des3": {"smime", "-encrypt", "-des3"}, "cms": {"cms", "-encrypt", "-aes256"},
		"streamed": {"smime", "-encrypt", "-aes128", "-stream"},
	} {
		enc, err := openssl(append(args, "-in", file("m", m), host)...)
		must(err)
		inner, err := Decrypt(enc, p.rsa)
		if err != nil || !bytes.Equal(bytes.ReplaceAll(inner, []byte("\r"), nil), m) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// To be read by SSM a message must also pass where only the text's ends differ.
	for _, text := range []string{"a\nb", "a\n\n", "a \t\n--\n"} {
		m, err := Sign([]byte(text), p.rsa, day)
		must(err)
		out, err := openssl("smime", "-verify", "-text", "-in", file("m", m), "-CAfile", ca, "-purpose", "any")
		if err != nil || strings.ReplaceAll(string(out), "\r", "") != text {
			t.Errorf("%q: openssl reads %q, %v", text, out, err)
		}
		bad := bytes.Replace(m, []byte("\n\na"), []byte("\n\nA"), 1)
		if out, err := openssl("smime", "-verify", "-text", "-in", file("m", bad), "-CAfile", ca, "-purpose", "any"); err == nil {
			t.Errorf("openssl accepts a tampered text: %q", out)
		}
	}
	subject, err := openssl("x509", "-in", file("odd.pem", p.oddPEM(t)), "-noout", "-subject", "-nameopt", "compat")
	must(err)
	odd, err := ParseCertificate(p.oddPEM(t))
	must(err)
	if got, want := SlashDN(odd.RawSubject), strings.TrimSpace(strings.TrimPrefix(string(subject), "subject=")); got != want {
		t.Errorf("DN %s, openssl says %s", got, want)
	}
}

// oddPEM is a certificate whose subject has every attribute that we know, and characters that are escaped.
func (p pki) oddPEM(t *testing.T) []byte {
	t.Helper()
	var pairs []string
	for oid, name := range shortNames {
		pairs = append(pairs, oid+"="+name+" é/+,\\\"")
	}
	slices.Sort(pairs)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(9), NotBefore: begin, NotAfter: end, RawSubject: subject(append(pairs, "1.2.3.4=unknown")...)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, p.rsa.Certificate.PublicKey, p.caKey)
	must(err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fixture gives a message that SSM signed, verified: unlike the test's own it is the same in every process, so that
// fuzzing goes on from a good message.
func fixture(f *testing.F) (*x509.CertPool, []byte, Verified) {
	f.Helper()
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join("testdata", "ams-test-ca.pem"))
	must(err)
	roots.AppendCertsFromPEM(ca)
	m, err := os.ReadFile(filepath.Join("testdata", "ams-ssm4-signed-0.smime"))
	must(err)
	v, err := Verify(m, VerifyOptions{Roots: roots, Now: day})
	must(err)
	return roots, m, v
}

func FuzzVerify(f *testing.F) {
	roots, m, good := fixture(f)
	f.Add(m)
	f.Add([]byte("Content-Type: multipart/signed; boundary=b\n\n--b\nx\n\ny\n--b\n\nAAAA\n--b--\n"))
	f.Fuzz(func(t *testing.T, message []byte) {
		v, err := Verify(message, VerifyOptions{Roots: roots, Now: day})
		if err == nil && (v.DN != good.DN || !bytes.Equal(v.Signed, good.Signed)) {
			t.Errorf("%q of %s is accepted", v.Signed, v.DN)
		}
	})
}

func FuzzDecrypt(f *testing.F) {
	p := testPKI()
	e, err := Encrypt([]byte(body), p.rsa.Certificate)
	must(err)
	f.Add(e)
	f.Fuzz(func(_ *testing.T, message []byte) {
		_, _ = Decrypt(message, p.rsa)
	})
}

func BenchmarkSign(b *testing.B) {
	p := testPKI()
	text := bytes.Repeat([]byte("VMUUID: 5d4f0f0e-2b1c-4b8e-9d3a-0c9a7f3e6b11\n"), 1500)
	for b.Loop() {
		if _, err := Sign(text, p.rsa, day); err != nil {
			b.Fatal(err)
		}
	}
}
