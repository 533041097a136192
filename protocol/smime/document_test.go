package smime

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerifyDocumentRefusesForms(t *testing.T) {
	p := testPKI()
	good := one(cmsSigner{}, document)
	detached := string(detachedForm(document, good))
	attached := one(cmsSigner{}, document, inside(document))
	sd := func(parts ...[]byte) []byte { // the inside of a SignedData
		return der(0x30, bareOID("1.2.840.113549.1.7.2"), der(0xA0, der(0x30, parts...)))
	}
	version, algorithms, data := der(0x02, []byte{1}), der(0x31), der(0x30, bareOID(dataOID))
	replaced := func(old, with string) []byte { return []byte(strings.Replace(detached, old, with, 1)) }
	opaque := func(structure []byte) []byte { return opaqueForm(structure) }
	for name, c := range map[string]struct {
		message []byte
		words   string
	}{
		"nothing":                   {nil, "blank line"},
		"bare JSON":                 {[]byte(document), "colon"},
		"HTML":                      {[]byte("<html>\n\n</html>"), "colon"},
		"another type":              {[]byte("Content-Type: text/plain\n\n" + document), `not signed, but of content type "text/plain"`},
		"control characters":        {[]byte("Content-Type: text/\x1b[31m\n\n"), `"text/\x1b[31m"`},
		"encrypted":                 {[]byte("Content-Type: application/pkcs7-mime; smime-type=enveloped-data\n\nAAAA\n"), "not signed"},
		"another protocol":          {replaced("application/pkcs7-signature\"", "application/pgp-signature\""), "protocol"},
		"no boundary":               {replaced("boundary=\"B\"", "x=y"), "multipart/signed by"},
		"boundary never there":      {replaced("boundary=\"B\"", "boundary=\"C\""), "exactly two"},
		"a part before":             {replaced("\n--B\n", "\n--B\n{}\n--B\n"), "exactly two"},
		"a part behind":             {replaced("\n--B--\n", "\n--B\n{}\n--B--\n"), "exactly two"},
		"one part":                  {replaced("--B\nContent-Type: application", "--X\nContent-Type: application"), "exactly two"},
		"something behind":          {append([]byte(detached), "{}"...), "exactly two"},
		"no end":                    {replaced("\n--B--\n", "\n"), "exactly two"},
		"second part of other type": {replaced("\nContent-Type: application/pkcs7-signature;", "\nContent-Type: text/plain;"), "the second part is no signature"},
		"quoted-printable":          {replaced("Content-Transfer-Encoding: base64", "Content-Transfer-Encoding: quoted-printable"), "transfer encoding"},
		"no base64":                 {replaced("base64\n\n", "base64\n\n?"), "base64"},
		"two contents":              {detachedForm(document, attached), "another one inside"},
		"no content":                {opaqueForm(good), "nothing inside"},
		"header without end":        {append([]byte("Content-Type: multipart/signed\n"), bytes.Repeat([]byte("X: y\n y\n"), maxHeader/6)...), "header of more than"},
		"something behind the DER":  {opaque(append(slices.Clone(attached), 0)), "unreadable"},
		"another structure":         {opaque(der(0x30, bareOID("1.2.840.113549.1.7.3"), der(0xA0, der(0x30)))), "not a SignedData"},
		"content that is no data":   {opaque(one(cmsSigner{}, document, inside(document), func(c *cms) { c.kind = "1.2.840.113549.1.9.16.1.4" })), "not data"},
		"content that is no octets": {opaque(sd(version, algorithms, der(0x30, bareOID(dataOID), der(0xA0, der(0x0C, []byte("x")))), der(0x31))), "unreadable"},
		"pieces too deep":           {opaque(sd(version, algorithms, der(0x30, bareOID(dataOID), der(0xA0, octetsWithin(6))), der(0x31))), "unreadable"},
		"no signers":                {opaque(sd(version, algorithms, data, der(0xA0))), "unreadable"},
		"too few parts":             {opaque(sd(version, algorithms, data)), "unreadable"},
		"signer that is none":       {opaque(sd(version, algorithms, data, der(0x31, der(0x30)))), "unreadable"},
		"too many signers":          {opaque(sd(version, algorithms, data, der(0x31, bytes.Repeat(der(0x30), maxSigners+1)))), "more than 8"},
		"too many certificates":     {opaque(sd(version, algorithms, data, der(0xA0, bytes.Repeat(der(0x30), maxCertificates+1)), der(0x31))), "more than 64"},
		"definite, of no length":    {opaque([]byte{0x04, 0x80, 0, 0}), "unreadable"},
		"longer than it is":         {opaque([]byte{0x30, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 0}), "unreadable"},
		"nested without end":        {opaque(bytes.Repeat([]byte{0x30, 0x80}, 1_000_000)), "unreadable"},
		"too large":                 {make([]byte, MaxSize+1), "too many"},
	} {
		if _, err := VerifyDocument(c.message, VerifyOptions{Roots: p.roots, Now: day}); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", name, err, c.words)
		}
	}
	for name, o := range map[string]VerifyOptions{"roots": {Now: day}, "time": {Roots: p.roots}} {
		if _, err := VerifyDocument([]byte(detached), o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// octetsWithin gives an octet string in pieces of pieces.
func octetsWithin(depth int) []byte {
	s := der(0x04, []byte("x"))
	for range depth {
		s = der(0x24, s)
	}
	return s
}

// A certificate whose key would cost minutes is not looked at.
func TestCostlyKeys(t *testing.T) {
	n := new(big.Int).Lsh(big.NewInt(1), maxRSABits)
	for bits, want := range map[uint]bool{0: true, 1: false} {
		key := &rsa.PublicKey{N: new(big.Int).Rsh(n, bits), E: 3}
		if got := costly(&x509.Certificate{PublicKey: key}); got != want {
			t.Errorf("%d bits: %v", key.N.BitLen(), got)
		}
	}
}

// No byte of what was signed can be changed.
func TestDocumentTamperedAnywhere(t *testing.T) {
	p := testPKI()
	for name, m := range map[string][]byte{
		"detached":        detachedForm(document, one(cmsSigner{}, document)),
		"detached, bare":  detachedForm(document, one(cmsSigner{bare: true}, document)),
		"inside":          opaqueForm(one(cmsSigner{}, document, inside(document))),
		"inside, no end":  opaqueForm(one(cmsSigner{}, document, indefinite, inside(document[:4], document[4:]))),
		"inside, by key":  opaqueForm(one(cmsSigner{keyID: true}, document, inside(document))),
		"without its end": detachedForm(document, one(cmsSigner{}, document, indefinite)),
	} {
		for i := range m {
			bad := bytes.Clone(m)
			bad[i] ^= 0x01
			if v, err := VerifyDocument(bad, VerifyOptions{Roots: p.roots, Now: day}); err == nil && (string(v.Text) != document || v.DN != p.rsa.DN()) {
				t.Errorf("%s: byte %d changed, and %q of %s is accepted", name, i, v.Text, v.DN)
			}
		}
	}
}

// Whatever openssl signs, in each of its ways, is read.
func TestDocumentsByOpenSSL(t *testing.T) {
	bin := findOpenSSL(t)
	p := testPKI()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"text": []byte(document), "rsa": p.rsaPEM, "ec": p.ecPEM} {
		must(os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	for _, args := range []string{
		"smime -signer rsa", "smime -signer rsa -nodetach", "smime -signer rsa -nodetach -stream", "smime -signer rsa -noattr", "smime -signer rsa -binary", "smime -signer rsa -text",
		"smime -signer ec -md sha384", "smime -signer rsa -signer ec", "smime -signer rsa -md sha512 -stream -indef", "smime -signer rsa -crlfeol",
		"cms -signer rsa -keyid", "cms -signer rsa -keyid -nodetach -stream", "cms -signer rsa -keyopt rsa_padding_mode:pss", "cms -signer rsa -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:32 -nodetach",
		"cms -signer ec -keyid -noattr", "cms -signer rsa -nodetach -binary -stream -indef", "cms -signer rsa -nosmimecap -md sha256 -text",
	} {
		words := strings.Fields(args)
		cmd := exec.CommandContext(t.Context(), bin, append(words, "-sign", "-in", "text")...)
		cmd.Dir = dir
		var problem strings.Builder
		cmd.Stderr = &problem
		m, err := cmd.Output()
		if err != nil {
			t.Fatalf("openssl %s: %v: %s", args, err, problem.String())
		}
		v, err := VerifyDocument(m, VerifyOptions{Roots: p.roots, Now: time.Now()})
		if err != nil || string(toCRLF(v.Text)) != string(toCRLF([]byte(document))) {
			t.Errorf("openssl %s: %q, %v\n%s", args, v.Text, err, m)
		}
		if want := strings.Count(args, "-signer"); err == nil && len(v.Signers) != want {
			t.Errorf("openssl %s: %d signers", args, len(v.Signers))
		}
	}
}

// FuzzDocument: whatever is changed about good messages, no other text is accepted, and nobody else's.
func FuzzDocument(f *testing.F) {
	roots := x509.NewCertPool()
	ca, err := os.ReadFile(filepath.Join("testdata", "lists-ca.pem"))
	must(err)
	roots.AppendCertsFromPEM(ca)
	o := VerifyOptions{Roots: roots, Now: day}
	texts := map[string]bool{}
	lists, err := filepath.Glob(filepath.Join("testdata", "*.list"))
	must(err)
	for _, name := range lists {
		m, err := os.ReadFile(name)
		must(err)
		v, err := VerifyDocument(m, o)
		must(err)
		texts[string(v.Signed)] = true
		f.Add(m)
	}
	if len(lists) < 5 {
		f.Fatal("no messages to start from")
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if v, err := VerifyDocument(message, o); err == nil && (!texts[string(v.Signed)] || !strings.HasPrefix(v.DN, "/DC=")) {
			t.Errorf("%q of %s is accepted", v.Signed, v.DN)
		}
	})
}

// FuzzSignedData gives the reader structures directly.
func FuzzSignedData(f *testing.F) {
	f.Add(one(cmsSigner{}, document))
	f.Add(one(cmsSigner{keyID: true, bare: true}, document, indefinite, inside(document[:3], document[3:])))
	f.Add(nested(10))
	o := VerifyOptions{Roots: testPKI().roots, Now: day}
	f.Fuzz(func(t *testing.T, structure []byte) {
		sd, err := readSignedData(structure)
		if err != nil {
			return
		}
		if len(sd.content) > len(structure) || len(sd.signers) > maxSigners {
			t.Errorf("%d bytes, %d signers in %d bytes", len(sd.content), len(sd.signers), len(structure))
		}
		if _, err := sd.verify([]byte("something else"), o); err == nil {
			t.Error("another text is accepted")
		}
	})
}
