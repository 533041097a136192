package smime

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
)

// forge wraps a structure as a message over the body.
func forge(t *testing.T, der []byte) []byte {
	t.Helper()
	m, err := signedForm([]byte(body), der)
	must(err)
	return m
}

var signedBody = append([]byte(textHeader), toCRLF([]byte(body))...)

// The signer is the one that SignerInfo names, wherever other certificates stand: SSM's own receiver takes the first
// certificate for him (spec accounting §4.3).
func TestSignerIsNotAnyCertificate(t *testing.T) {
	p := testPKI()
	sign := func(add func(sd *pkcs7.SignedData)) []byte {
		sd, err := pkcs7.NewSignedData(signedBody)
		must(err)
		sd.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
		add(sd)
		sd.Detach()
		der, err := sd.Finish()
		must(err)
		return forge(t, der)
	}
	o := VerifyOptions{Roots: p.roots, Now: day}
	config := pkcs7.SignerInfoConfig{ExtraSignedAttributes: nil}

	v, err := Verify(sign(func(sd *pkcs7.SignedData) {
		sd.AddCertificate(p.ec.Certificate)
		must(sd.AddSigner(p.rsa.Certificate, p.rsa.key, config))
	}), o)
	if err != nil || v.DN != p.rsa.DN() || !v.Signer.Equal(p.rsa.Certificate) {
		t.Errorf("somebody else's certificate in the first place: signer %s, %v", v.DN, err)
	}

	if _, err := Verify(sign(func(sd *pkcs7.SignedData) {
		must(sd.AddSigner(p.rsa.Certificate, p.rsa.key, config))
		must(sd.AddSigner(p.ec.Certificate, p.ec.key, config))
	}), o); !errors.Is(err, ErrSignature) || !strings.Contains(err.Error(), "2 signers") {
		t.Errorf("two signers: %v", err)
	}

	if _, err := Verify(sign(func(sd *pkcs7.SignedData) { sd.AddCertificate(p.rsa.Certificate) }), o); !errors.Is(err, ErrSignature) {
		t.Errorf("a certificate without a signer: %v", err)
	}

	// A certificate that somebody made himself, with issuer and serial number of the host's.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	false_ := &x509.Certificate{SerialNumber: p.rsa.Certificate.SerialNumber, RawSubject: p.rsa.Certificate.RawSubject, NotBefore: day.AddDate(-1, 0, 0), NotAfter: day.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, false_, &x509.Certificate{RawSubject: p.ca.RawSubject}, &key.PublicKey, key)
	must(err)
	forged, err := x509.ParseCertificate(der)
	must(err)
	for name, add := range map[string]func(sd *pkcs7.SignedData){
		"forged alone":          func(*pkcs7.SignedData) {},
		"with the true one too": func(sd *pkcs7.SignedData) { sd.AddCertificate(p.rsa.Certificate) },
	} {
		if v, err := Verify(sign(func(sd *pkcs7.SignedData) {
			add(sd)
			must(sd.AddSigner(forged, key, config))
		}), o); err == nil {
			t.Errorf("%s: accepted as %s", name, v.DN)
		}
	}
}

func TestVerifyAtTheTimeGiven(t *testing.T) {
	p := testPKI()
	c := p.rsa.Certificate
	for name, at := range map[string]struct {
		signed, verified time.Time
		want             error
	}{
		"within":                        {day, day, nil},
		"long after it was signed":      {c.NotBefore, c.NotAfter.Add(-time.Second), nil},
		"after the certificate's end":   {day, c.NotAfter.Add(time.Second), ErrSigner},
		"before its beginning":          {day, c.NotBefore.Add(-time.Second), ErrSigner},
		"signed after its end":          {c.NotAfter.Add(time.Hour), day, ErrSignature},
		"signed before it was valid":    {c.NotBefore.Add(-time.Hour), day, ErrSignature},
		"another second of the day":     {day.Add(999 * time.Millisecond), day, nil},
		"signed by a clock behind Oslo": {day.In(time.FixedZone("CET", 3600)), day, nil},
	} {
		m, err := Sign([]byte(body), p.rsa, at.signed)
		must(err)
		if _, err := Verify(m, VerifyOptions{Roots: p.roots, Now: at.verified}); !errors.Is(err, at.want) {
			t.Errorf("%s: %v, want %v", name, err, at.want)
		}
	}
	if _, err := Verify(nil, VerifyOptions{Roots: p.roots}); err == nil || !strings.Contains(err.Error(), "time") {
		t.Errorf("without a time: %v", err)
	}
	if _, err := Verify(nil, VerifyOptions{Now: day}); err == nil || !strings.Contains(err.Error(), "roots") {
		t.Errorf("without roots, the system's would count: %v", err)
	}
}

// Whatever ends a text, and whichever line ends it has, the same text comes out.
func TestTextsSurvive(t *testing.T) {
	p := testPKI()
	for name, text := range map[string]string{
		"no newline at the end":     "a\nb",
		"one":                       "a\nb\n",
		"two":                       "a\nb\n\n",
		"blank lines at the start":  "\n\na\n",
		"CRLF":                      "a\r\nb\r\n",
		"blanks at line ends":       "a \t\nb \n",
		"looks like a boundary":     "--\n------\n--X--\n",
		"looks like a header":       "Content-Type: text/html\n\nx\n",
		"a dot and a from":          ".\nFrom x\n",
		"all of ASCII but line end": allOfASCII(),
	} {
		m, err := Sign([]byte(text), p.rsa, day)
		must(err)
		for wire, message := range map[string][]byte{"LF": m, "CRLF": toCRLF(m)} {
			v, err := Verify(message, VerifyOptions{Roots: p.roots, Now: day})
			if err != nil || string(v.Text) != string(toCRLF([]byte(text))) || string(v.Signed) != textHeader+string(v.Text) {
				t.Errorf("%s, %s on the wire: %q, %v", name, wire, v.Text, err)
			}
		}
		e, err := Encrypt(m, p.rsa.Certificate)
		must(err)
		inner, err := Decrypt(e, p.rsa)
		if err != nil || !bytes.Equal(inner, toCRLF(m)) {
			t.Errorf("%s: decrypted otherwise, %v", name, err)
		}
	}
}

func allOfASCII() string {
	var b strings.Builder
	for c := byte(0); c < 0x80; c++ {
		if c != '\n' && c != '\r' {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestTamperedAnywhere(t *testing.T) {
	p := testPKI()
	m, err := Sign([]byte(body), p.rsa, day)
	must(err)
	start, end := bytes.Index(m, []byte("Content-Type: text/plain")), bytes.LastIndex(m, []byte("\n--"))
	for i := start; i < end; i += 7 {
		bad := bytes.Clone(m)
		bad[i] ^= 0x01
		v, err := Verify(bad, VerifyOptions{Roots: p.roots, Now: day})
		// Only what is not signed may change: headers of the signature's part, and line ends of its base64.
		if err == nil && (string(v.Signed) != string(signedBody) || v.DN != p.rsa.DN()) {
			t.Errorf("byte %d changed, and %q of %s is accepted", i, v.Text, v.DN)
		}
	}
}

func TestNestedWithoutEnd(t *testing.T) {
	deep := func(n int, level []byte) []byte { return bytes.Repeat(level, n) }
	oid, err := asn1.Marshal(pkcs7.OIDSignedData)
	must(err)
	for name, der := range map[string][]byte{
		"indefinite, never ended":  deep(1_000_000, []byte{0x30, 0x80}),
		"indefinite, ended":        append(deep(10_000, []byte{0x30, 0x80}), deep(20_000, []byte{0, 0})...),
		"behind an empty element":  append([]byte{0x30, 0x80, 0, 0}, deep(1_000_000, []byte{0x30, 0x80})...),
		"inside what is too long":  append(append([]byte{0x30, 0x80, 0x30, 0x04, 0x04, 0x82, 0x40, 0x00}, deep(0x2000, []byte{0x30, 0x80})...), 0, 0),
		"behind an identifier":     append(append([]byte{0x30, 0x80}, oid...), deep(1_000_000, []byte{0xA0, 0x80})...),
		"with long tags":           deep(1_000_000, []byte{0x3F, 0x81, 0x01, 0x80}),
		"definite, as deep as can": nested(200),
	} {
		if err := checkDepth(der); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: comes to the library: %v", name, err)
		}
		if _, err := Verify(forge(t, der), VerifyOptions{Roots: testPKI().roots, Now: day}); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, der := range map[string][]byte{
		"as deep as may be":    nested(maxDepth),
		"wide, and not deep":   append([]byte{0x30, 0x80}, append(deep(100, []byte{0x30, 0x02, 0x05, 0x00}), 0, 0)...),
		"indefinite, in turns": append([]byte{0x30, 0x80}, append(deep(100, []byte{0x30, 0x80, 0x05, 0x00, 0, 0}), 0, 0)...),
	} {
		if err := checkDepth(der); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// nested gives sequences within sequences.
func nested(n int) []byte {
	der := []byte{0x05, 0x00}
	for range n {
		var err error
		der, err = asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: der})
		must(err)
	}
	return der
}

func TestEncryptedForms(t *testing.T) {
	for header, want := range map[string]bool{
		"application/x-pkcs7-mime; smime-type=enveloped-data; name=\"smime.p7m\"": true,
		"application/pkcs7-mime; smime-type=enveloped-data":                       true,
		"application/pkcs7-mime":                                                   true,
		"Application/PKCS7-MIME":                                                   true,
		"application/pkcs7-mime; smime-type=signed-data":                           false,
		"multipart/signed; protocol=\"application/x-pkcs7-signature\"; boundary=b": false,
		"text/plain": false,
		"":           false,
	} {
		if got := Encrypted([]byte("MIME-Version: 1.0\nContent-Type: " + header + "\n\nAAAA\n")); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
	p := testPKI()
	for name, m := range map[string]string{"not encrypted": "Content-Type: text/plain\n\nx", "nothing": "", "no base64": "Content-Type: application/pkcs7-mime\n\n***\n"} {
		if _, err := Decrypt([]byte(m), p.rsa); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSlashDNOfOddSubjects(t *testing.T) {
	name, err := asn1.Marshal(pkix.RDNSequence{{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "a"}, {Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "b/c+d"}}})
	must(err)
	if got := SlashDN(name); got != `/CN=a+OU=b\/c\+d` {
		t.Errorf("%s", got)
	}
	for _, bad := range [][]byte{nil, {1, 2}, {0x30, 0x02, 0x31, 0x00}, {0x30, 0x04, 0x31, 0x02, 0x30, 0x00}} {
		if got := SlashDN(bad); got != "" {
			t.Errorf("%x: %s", bad, got)
		}
	}
}

// FuzzSignature gives the library structures directly: through FuzzVerify's base64 few of them arrive.
func FuzzSignature(f *testing.F) {
	roots, m, good := fixture(f)
	_, body, err := cutHeader(m)
	must(err)
	_, rest, ok := bytes.Cut(body, []byte("filename=\"smime.p7s\"\n\n"))
	if !ok {
		f.Fatal("no signature in the message")
	}
	encoded, _, _ := bytes.Cut(rest, []byte("\n\n"))
	der, err := decodeBase64(encoded)
	must(err)
	f.Add(der)
	f.Add(nested(10))
	o := VerifyOptions{Roots: roots, Now: day}
	if _, err := verifyDetached(der, good.Signed, o); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		if signer, err := verifyDetached(der, good.Signed, o); err == nil && !signer.Certificate.Equal(good.Signer) {
			t.Errorf("somebody else signed: %s", SlashDN(signer.Certificate.RawSubject))
		}
		if _, err := verifyDetached(der, []byte("something else"), o); err == nil {
			t.Error("another text is accepted")
		}
	})
}

// FuzzEnvelope gives the library envelopes directly.
func FuzzEnvelope(f *testing.F) {
	p := testPKI()
	der, err := pkcs7.Encrypt([]byte(body), []*x509.Certificate{p.rsa.Certificate})
	must(err)
	f.Add(der)
	f.Fuzz(func(_ *testing.T, der []byte) {
		_, _ = decrypt(der, p.rsa)
	})
}

// FuzzIdentity reads certificate and key as they stand in a file: what is taken can sign, and its name is one line of
// plain text.
func FuzzIdentity(f *testing.F) {
	p := testPKI()
	for _, text := range [][]byte{p.rsaPEM, p.ecPEM, p.caPEM, []byte("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := ParseCertificate(text); err == nil {
			plain(t, SlashDN(c.RawSubject))
		}
		id, err := ParseIdentity(text, text)
		if err != nil {
			return
		}
		if _, err := Sign([]byte(body), id, day); err != nil {
			t.Errorf("%s cannot sign: %v", id, err)
		}
	})
}

// FuzzSlashDN: any subject has a name of one line of plain text, or none.
func FuzzSlashDN(f *testing.F) {
	p := testPKI()
	f.Add(p.rsa.Certificate.RawSubject)
	f.Add(subject("2.5.4.3=\xff\n/+"))
	f.Add([]byte{0x30, 0x02, 0x31, 0x00})
	f.Fuzz(func(t *testing.T, raw []byte) { plain(t, SlashDN(raw)) })
}

func plain(t *testing.T, dn string) {
	t.Helper()
	if strings.ContainsFunc(dn, func(r rune) bool { return r < 0x20 || r > 0x7E }) || dn != "" && dn[0] != '/' {
		t.Errorf("a name on the wire is %q", dn)
	}
}
