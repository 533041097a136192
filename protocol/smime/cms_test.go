package smime

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

// der writes an element of definite length, whatever is inside.
func der(tag byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	n := len(body)
	switch {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x10000:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
	return append([]byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}, body...)
}

// ber writes an element of indefinite length.
func ber(tag byte, parts ...[]byte) []byte {
	return append(append([]byte{tag, 0x80}, bytes.Join(parts, nil)...), 0, 0)
}

func oid(dotted string, rest ...[]byte) []byte {
	return der(0x30, bareOID(dotted), bytes.Join(rest, nil))
}

func bareOID(dotted string) []byte {
	var id asn1.ObjectIdentifier
	for p := range strings.SplitSeq(dotted, ".") {
		var n int
		if _, err := fmt.Sscan(p, &n); err != nil {
			panic(err)
		}
		id = append(id, n)
	}
	out, err := asn1.Marshal(id)
	must(err)
	return out
}

const (
	sha1OID, sha256OID, sha384OID, sha512OID = "1.3.14.3.2.26", "2.16.840.1.101.3.4.2.1", "2.16.840.1.101.3.4.2.2", "2.16.840.1.101.3.4.2.3"
	md5OID                                   = "1.2.840.113549.2.5"
	rsaOID, pssOID                           = "1.2.840.113549.1.1.1", "1.2.840.113549.1.1.10"
	contentTypeOID, messageDigestOID         = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
	dataOID                                  = "1.2.840.113549.1.7.1"
)

func pssParams(hash, mask string, salt byte) []byte {
	return der(0x30, der(0xA0, oid(hash)), der(0xA1, oid("1.2.840.113549.1.1.8", oid(mask))), der(0xA2, der(0x02, []byte{salt})))
}

// cmsSigner writes a SignerInfo; what is not set is as OpenSSL has it.
type cmsSigner struct {
	id         Identity
	keyID      bool
	bare       bool // no signed attributes
	hash       crypto.Hash
	digest     string // OID
	algorithm  []byte // AlgorithmIdentifier
	pss        *rsa.PSSOptions
	attributes func(sum []byte) [][]byte
	indefinite bool // the set of attributes
}

func attribute(name string, values ...[]byte) []byte {
	return der(0x30, bareOID(name), der(0x31, values...))
}

func usualAttributes(sum []byte) [][]byte {
	return [][]byte{attribute(contentTypeOID, bareOID(dataOID)), attribute(messageDigestOID, der(0x04, sum))}
}

func (s cmsSigner) info(content []byte) []byte {
	if s.hash == 0 {
		s.hash, s.digest = crypto.SHA256, sha256OID
	}
	if s.algorithm == nil {
		s.algorithm = oid(rsaOID)
	}
	if s.attributes == nil {
		s.attributes = usualAttributes
	}
	sum := digest(s.hash, content)
	var attributes []byte
	if !s.bare {
		set := bytes.Join(s.attributes(sum), nil)
		sum = digest(s.hash, der(0x31, set))
		if attributes = der(0xA0, set); s.indefinite {
			attributes = ber(0xA0, set)
		}
	}
	var opts crypto.SignerOpts = s.hash
	if s.pss != nil {
		opts = s.pss
	}
	signature, err := s.id.key.Sign(rand.Reader, sum, opts)
	must(err)
	c := s.id.Certificate
	serial, err := asn1.Marshal(c.SerialNumber)
	must(err)
	name := der(0x30, c.RawIssuer, serial)
	if s.keyID {
		name = der(0x80, c.SubjectKeyId)
	}
	return der(0x30, der(0x02, []byte{1}), name, oid(s.digest), attributes, s.algorithm, der(0x04, signature))
}

// cms writes a SignedData of these parts.
type cms struct {
	wrap         func(tag byte, parts ...[]byte) []byte // der or ber
	kind         string
	content      []byte // the element; nil = detached
	certificates []*x509.Certificate
	infos        [][]byte
}

func (c cms) encode() []byte {
	if c.wrap == nil {
		c.wrap = der
	}
	if c.kind == "" {
		c.kind = dataOID
	}
	inside := bareOID(c.kind)
	if c.content != nil {
		inside = append(inside, c.wrap(0xA0, c.content)...)
	}
	var certificates []byte
	for _, cert := range c.certificates {
		certificates = append(certificates, cert.Raw...)
	}
	if certificates != nil {
		certificates = c.wrap(0xA0, certificates)
	}
	return c.wrap(0x30, bareOID("1.2.840.113549.1.7.2"), c.wrap(0xA0, c.wrap(0x30, der(0x02, []byte{1}), der(0x31, oid(sha256OID)),
		c.wrap(0x30, inside), certificates, der(0xA1, oid(dataOID)), c.wrap(0x31, c.infos...))))
}

const document = "{\"a\":\n1}\n"

func detachedForm(part string, structure []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"B\"\n\nThis is a signed document\n\n--B\n%s\n--B\n", part)
	b.WriteString("Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n\n")
	writeBase64(&b, structure)
	b.WriteString("\n--B--\n\n")
	return b.Bytes()
}

func opaqueForm(structure []byte) []byte {
	b := bytes.NewBufferString("MIME-Version: 1.0\nContent-Type: application/x-pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\n\n")
	writeBase64(b, structure)
	return b.Bytes()
}

// one is a SignedData of one RSA signer beside the content, changed as a test wants it.
func one(s cmsSigner, content string, change ...func(*cms)) []byte {
	p := testPKI()
	if s.id.Certificate == nil {
		s.id = p.rsa
	}
	c := cms{certificates: []*x509.Certificate{s.id.Certificate}, infos: [][]byte{s.info([]byte(content))}}
	for _, f := range change {
		f(&c)
	}
	return c.encode()
}

// inside puts a content into the structure, in pieces if there are more.
func inside(pieces ...string) func(*cms) {
	return func(c *cms) {
		var all [][]byte
		for _, p := range pieces {
			all = append(all, der(0x04, []byte(p)))
		}
		if c.content = all[0]; len(all) > 1 {
			c.content = ber(0x24, all...)
		}
	}
}

func indefinite(c *cms) { c.wrap = ber }

func TestVerifyDocument(t *testing.T) {
	p := testPKI()
	crlf := string(toCRLF([]byte(document)))
	pss := &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}
	both := [][]byte{cmsSigner{id: p.rsa}.info([]byte(document)), cmsSigner{id: p.ec, algorithm: oid("1.2.840.10045.4.3.2")}.info([]byte(document))}
	good := one(cmsSigner{}, document)
	for name, c := range map[string]struct {
		message []byte
		text    string // "" = document
		signers int    // 0 = 1
		options VerifyOptions
	}{
		"as it stands":              {message: detachedForm(document, good)},
		"signed over CRLF":          {message: detachedForm(document, one(cmsSigner{}, crlf)), text: crlf},
		"CRLF on the wire, over LF": {message: bytes.ReplaceAll(detachedForm("[]", one(cmsSigner{}, "[]")), []byte("\n"), []byte("\r\n")), text: "[]"},
		"with a header":             {message: detachedForm("Content-Type: text/plain\n\n"+document, one(cmsSigner{}, "Content-Type: text/plain\r\n\r\n"+crlf)), text: crlf},
		"with an empty header":      {message: detachedForm("\n"+document, one(cmsSigner{}, "\n"+document)), text: "\n" + document},
		"empty":                     {message: detachedForm("", one(cmsSigner{}, "")), text: "-"},
		"indefinite lengths":        {message: detachedForm(document, one(cmsSigner{}, document, indefinite))},
		"inside":                    {message: opaqueForm(one(cmsSigner{}, document, inside(document)))},
		"inside, in pieces":         {message: opaqueForm(one(cmsSigner{}, document, indefinite, inside(document[:3], document[3:])))},
		"inside, pieces within pieces": {message: opaqueForm(one(cmsSigner{}, document, func(c *cms) {
			c.content = der(0x24, ber(0x24, der(0x04, []byte(document[:2])), der(0x24, der(0x04, []byte(document[2:])))))
		}))},
		"without attributes":      {message: detachedForm(document, one(cmsSigner{bare: true}, document))},
		"attributes of no length": {message: detachedForm(document, one(cmsSigner{indefinite: true}, document))},
		"by key id":               {message: detachedForm(document, one(cmsSigner{keyID: true}, document))},
		"SHA-384":                 {message: detachedForm(document, one(cmsSigner{hash: crypto.SHA384, digest: sha384OID}, document))},
		"SHA-512, named twice":    {message: detachedForm(document, one(cmsSigner{hash: crypto.SHA512, digest: sha512OID, algorithm: oid("1.2.840.113549.1.1.13")}, document))},
		"PSS":                     {message: detachedForm(document, one(cmsSigner{pss: pss, algorithm: oid(pssOID, pssParams(sha256OID, sha256OID, 32))}, document))},
		"ECDSA":                   {message: detachedForm(document, one(cmsSigner{id: p.ec, algorithm: oid("1.2.840.10045.4.3.2")}, document))},
		"ECDSA, named by its key": {message: detachedForm(document, one(cmsSigner{id: p.ec, algorithm: oid("1.2.840.10045.2.1")}, document))},
		"two signers": {message: detachedForm(document, one(cmsSigner{}, document, func(c *cms) {
			c.certificates, c.infos = []*x509.Certificate{p.ec.Certificate, p.rsa.Certificate}, both
		})), signers: 2},
		"SHA-1 by option":         {message: detachedForm(document, one(cmsSigner{hash: crypto.SHA1, digest: sha1OID}, document)), options: VerifyOptions{AllowSHA1: true}},
		"certificate handed in":   {message: detachedForm(document, one(cmsSigner{}, document, func(c *cms) { c.certificates = nil })), options: VerifyOptions{Certificates: []*x509.Certificate{p.ec.Certificate, p.rsa.Certificate}}},
		"for e-mail, without EKU": {message: detachedForm(document, good), options: VerifyOptions{StrictPurpose: true}},
		"binary":                  {message: append([]byte("Content-Type: application/pkcs7-mime; smime-type=signed-data\nContent-Transfer-Encoding: binary\n\n"), one(cmsSigner{}, document, inside(document))...)},
	} {
		c.options.Roots, c.options.Now = p.roots, day
		v, err := VerifyDocument(c.message, c.options)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
			continue
		case c.text == "":
			c.text = document
		case c.text == "-":
			c.text = ""
		}
		if string(v.Text) != c.text || !bytes.HasSuffix(v.Signed, v.Text) {
			t.Errorf("%s: text %q of %q, want %q", name, v.Text, v.Signed, c.text)
		}
		if len(v.Signers) != max(c.signers, 1) || v.Signer != v.Signers[0].Certificate || v.DN != SlashDN(v.Signer.RawSubject) {
			t.Errorf("%s: signers %v, first %s", name, v.Signers, v.DN)
		}
		for _, s := range v.Signers {
			if len(s.Chains) != 1 || len(s.Chains[0]) != 2 || s.Chains[0][0] != s.Certificate || !s.Chains[0][1].Equal(p.ca) {
				t.Errorf("%s: chains %v", name, s.Chains)
			}
		}
	}
}

// special issues a certificate that a test wants otherwise than usual.
func (p pki) special(change func(*x509.Certificate)) Identity {
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: "special"}, NotBefore: begin, NotAfter: end, SubjectKeyId: []byte{7}}
	change(tmpl)
	raw, err := x509.CreateCertificate(rand.Reader, tmpl, p.ca, p.rsa.Certificate.PublicKey, p.caKey)
	must(err)
	c, err := x509.ParseCertificate(raw)
	must(err)
	return Identity{Certificate: c, key: p.rsa.key}
}

func TestVerifyDocumentRefusesSigners(t *testing.T) {
	p := testPKI()
	foreign := func(c *cms) { c.certificates = []*x509.Certificate{p.ec.Certificate} }
	wrong := cmsSigner{id: p.ec, algorithm: oid("1.2.840.10045.4.3.2")}.info([]byte("other"))
	with := func(attributes ...[]byte) cmsSigner {
		return cmsSigner{attributes: func([]byte) [][]byte { return attributes }}
	}
	sum := digest(crypto.SHA256, []byte(document))
	kind, right := attribute(contentTypeOID, bareOID(dataOID)), attribute(messageDigestOID, der(0x04, sum))
	pss := func(params []byte) cmsSigner {
		return cmsSigner{pss: &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}, algorithm: oid(pssOID, params)}
	}
	usage := func(u x509.KeyUsage) cmsSigner {
		return cmsSigner{id: p.special(func(c *x509.Certificate) { c.KeyUsage = u })}
	}
	host := cmsSigner{id: p.special(func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	})}
	namesake := p.special(func(c *x509.Certificate) { c.SerialNumber = p.rsa.Certificate.SerialNumber }).Certificate
	namesake.RawIssuer = nil // of the same number, by another authority
	costly := p.special(func(c *x509.Certificate) {}).Certificate
	huge := *p.rsa.Certificate.PublicKey.(*rsa.PublicKey)
	huge.N = new(big.Int).SetBit(huge.N, maxRSABits, 1)
	raw, err := x509.CreateCertificate(rand.Reader, costly, p.ca, &huge, p.caKey)
	must(err)
	costly, err = x509.ParseCertificate(raw)
	must(err)
	for name, c := range map[string]struct {
		structure []byte
		options   VerifyOptions
		want      error
		words     string
	}{
		"SHA-1":                      {one(cmsSigner{hash: crypto.SHA1, digest: sha1OID}, document), VerifyOptions{}, ErrSignature, "SHA-1, which is not allowed"},
		"MD5, whatever is allowed":   {one(cmsSigner{hash: crypto.SHA256, digest: md5OID}, document), VerifyOptions{AllowSHA1: true}, ErrSignature, "digest algorithm 1.2.840.113549.2.5"},
		"algorithms that differ":     {one(cmsSigner{algorithm: oid("1.2.840.113549.1.1.12")}, document), VerifyOptions{}, ErrSignature, "different algorithms"},
		"an algorithm not known":     {one(cmsSigner{algorithm: oid("1.2.3")}, document), VerifyOptions{}, ErrSignature, "signature algorithm 1.2.3"},
		"PKCS #1 said, PSS done":     {one(cmsSigner{pss: &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}}, document), VerifyOptions{}, ErrSignature, "does not belong"},
		"PSS of another salt":        {one(pss(pssParams(sha256OID, sha256OID, 20)), document), VerifyOptions{}, ErrSignature, "does not belong"},
		"PSS of no salt":             {one(pss(pssParams(sha256OID, sha256OID, 0)), document), VerifyOptions{}, ErrSignature, "unusual salt"},
		"PSS of any salt":            {one(pss(pssParams(sha256OID, sha256OID, 0xFF)), document), VerifyOptions{}, ErrSignature, "unusual salt"},
		"PSS of another mask":        {one(pss(pssParams(sha256OID, sha384OID, 32)), document), VerifyOptions{}, ErrSignature, "different algorithms"},
		"PSS of another digest":      {one(pss(pssParams(sha384OID, sha256OID, 32)), document), VerifyOptions{}, ErrSignature, "different algorithms"},
		"PSS without parameters":     {one(pss(nil), document), VerifyOptions{}, ErrSignature, "unreadable"},
		"PSS, all by default: SHA-1": {one(pss(der(0x30)), document), VerifyOptions{AllowSHA1: true}, ErrSignature, "mask"},
		"key of another kind":        {one(cmsSigner{algorithm: oid("1.2.840.10045.4.3.2")}, document), VerifyOptions{}, ErrSignature, "another kind"},
		"RSA by an EC key":           {one(cmsSigner{id: p.ec}, document), VerifyOptions{}, ErrSignature, "another kind"},
		"another content":            {one(cmsSigner{}, "other"), VerifyOptions{}, ErrSignature, "not what was signed"},
		"another content, bare":      {one(cmsSigner{bare: true}, "other"), VerifyOptions{}, ErrSignature, "does not belong"},
		"another content, by ECDSA":  {one(cmsSigner{id: p.ec, bare: true, algorithm: oid("1.2.840.10045.4.3.2")}, "other"), VerifyOptions{}, ErrSignature, "does not belong"},
		"no content type":            {one(with(right), document), VerifyOptions{}, ErrSignature, "missing"},
		"no digest":                  {one(with(kind), document), VerifyOptions{}, ErrSignature, "missing"},
		"no attribute":               {one(with(), document), VerifyOptions{}, ErrSignature, "missing"},
		"other content type":         {one(with(attribute(contentTypeOID, bareOID("1.2.3")), right), document), VerifyOptions{}, ErrSignature, "not data"},
		"two digests":                {one(with(kind, right, attribute(messageDigestOID, der(0x04))), document), VerifyOptions{}, ErrSignature, "exactly one"},
		"two digests in one":         {one(with(kind, attribute(messageDigestOID, der(0x04, sum), der(0x04, sum))), document), VerifyOptions{}, ErrSignature, "exactly one"},
		"digest that is none":        {one(with(kind, attribute(messageDigestOID, der(0x02, sum))), document), VerifyOptions{}, ErrSignature, "unreadable"},
		"nobody":                     {one(cmsSigner{}, document, func(c *cms) { c.infos = nil }), VerifyOptions{}, ErrSignature, "nobody"},
		"second signer wrong": {one(cmsSigner{}, document, func(c *cms) {
			c.certificates = append(c.certificates, p.ec.Certificate)
			c.infos = append(c.infos, wrong)
		}), VerifyOptions{}, ErrSignature, "not what was signed"},
		"certificate of another":        {one(cmsSigner{}, document, foreign), VerifyOptions{}, ErrSignature, "certificate is missing"},
		"key id of another":             {one(cmsSigner{keyID: true}, document, foreign), VerifyOptions{}, ErrSignature, "certificate is missing"},
		"number of another authority's": {one(cmsSigner{}, document, func(c *cms) { c.certificates = nil }), VerifyOptions{Certificates: []*x509.Certificate{namesake}}, ErrSignature, "certificate is missing"},
		"a key that costs too much":     {one(cmsSigner{id: Identity{Certificate: costly, key: p.rsa.key}}, document), VerifyOptions{}, ErrSignature, "certificate is missing"},
		"empty key id":                  {one(cmsSigner{id: p.special(func(c *x509.Certificate) { c.SubjectKeyId = nil }), keyID: true}, document), VerifyOptions{}, ErrSignature, "certificate is missing"},
		"key that is for TLS":           {one(usage(x509.KeyUsageKeyEncipherment), document), VerifyOptions{}, ErrSigner, "key usage"},
		"key that signs certificates":   {one(usage(x509.KeyUsageCertSign), document), VerifyOptions{}, ErrSigner, "key usage"},
		"host, where e-mail is needed":  {one(host, document), VerifyOptions{StrictPurpose: true}, ErrSigner, "incompatible key usage"},
		"root not ours":                 {one(cmsSigner{}, document), VerifyOptions{Roots: p.otherRoot}, ErrSigner, "unknown authority"},
		"ended":                         {one(cmsSigner{}, document), VerifyOptions{Now: end.AddDate(0, 0, 1)}, ErrSigner, "expired"},
		"revoked": {one(cmsSigner{}, document), VerifyOptions{CRLs: []*x509.RevocationList{{RawIssuer: p.ca.RawSubject, RevokedCertificateEntries: []x509.RevocationListEntry{{SerialNumber: p.rsa.Certificate.SerialNumber}}}}},
			ErrSigner, "revoked"},
	} {
		if c.options.Roots == nil {
			c.options.Roots = p.roots
		}
		if c.options.Now.IsZero() {
			c.options.Now = day
		}
		if v, err := VerifyDocument(detachedForm(document, c.structure), c.options); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %q, %v, want %q", name, v.Text, err, c.words)
		}
	}
	for name, u := range map[string]x509.KeyUsage{"none said": 0, "signing": x509.KeyUsageDigitalSignature, "non-repudiation": x509.KeyUsageContentCommitment | x509.KeyUsageKeyAgreement} {
		if _, err := VerifyDocument(detachedForm(document, one(usage(u), document)), VerifyOptions{Roots: p.roots, Now: day}); err != nil {
			t.Errorf("key usage %s: %v", name, err)
		}
	}
}
