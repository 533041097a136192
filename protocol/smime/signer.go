package smime

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" // linked for messages that may have it by option
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
)

var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

// digests are the algorithms that count. MD5 is none of them, whatever is allowed.
var digests = map[string]crypto.Hash{
	"1.3.14.3.2.26":          crypto.SHA1,
	"2.16.840.1.101.3.4.2.1": crypto.SHA256,
	"2.16.840.1.101.3.4.2.2": crypto.SHA384,
	"2.16.840.1.101.3.4.2.3": crypto.SHA512,
}

// scheme is how a digest is signed.
type scheme int

const (
	pkcs1 scheme = iota + 1
	pss
	ecdsaASN1
)

// schemes are the signature algorithms, with the digest that they name, 0 if the message's own.
var schemes = map[string]struct {
	scheme scheme
	hash   crypto.Hash
}{
	"1.2.840.113549.1.1.1":  {pkcs1, 0},
	"1.2.840.113549.1.1.5":  {pkcs1, crypto.SHA1},
	"1.2.840.113549.1.1.11": {pkcs1, crypto.SHA256},
	"1.2.840.113549.1.1.12": {pkcs1, crypto.SHA384},
	"1.2.840.113549.1.1.13": {pkcs1, crypto.SHA512},
	"1.2.840.113549.1.1.10": {pss, 0},
	"1.2.840.10045.2.1":     {ecdsaASN1, 0},
	"1.2.840.10045.4.1":     {ecdsaASN1, crypto.SHA1},
	"1.2.840.10045.4.3.2":   {ecdsaASN1, crypto.SHA256},
	"1.2.840.10045.4.3.3":   {ecdsaASN1, crypto.SHA384},
	"1.2.840.10045.4.3.4":   {ecdsaASN1, crypto.SHA512},
}

// errDigest says that it is another content that was signed, which a content with other line ends may mend.
var errDigest = errors.New("the content is not what was signed")

// signers gives the certificates under which a signature over the content is right: those of the name that SignerInfo
// has, whether trusted or not.
func (s signerInfo) signers(content []byte, known []*x509.Certificate, allowSHA1 bool) ([]*x509.Certificate, error) {
	hash, err := readDigest(s.digest.raw, allowSHA1)
	if err != nil {
		return nil, err
	}
	check, err := s.checker(hash)
	if err != nil {
		return nil, err
	}
	sum, err := s.signedSum(content, hash)
	if err != nil {
		return nil, err
	}
	var right []*x509.Certificate
	err = errors.New("the signer's certificate is missing: the message does not carry it, and it was not given otherwise")
	for _, c := range known {
		if !s.names(c) {
			continue
		}
		if problem := check(c.PublicKey, sum); problem != nil {
			err = problem
			continue
		}
		right = append(right, c)
	}
	if len(right) == 0 {
		return nil, err
	}
	return right, nil
}

// names tells whether a certificate is of the name that SignerInfo has.
func (s signerInfo) names(c *x509.Certificate) bool {
	if s.keyID != nil {
		return len(c.SubjectKeyId) > 0 && bytes.Equal(s.keyID, c.SubjectKeyId)
	}
	return bytes.Equal(s.issuer, c.RawIssuer) && s.serial.Cmp(c.SerialNumber) == 0
}

func readDigest(der []byte, allowSHA1 bool) (crypto.Hash, error) {
	var id pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(der, &id); err != nil {
		return 0, errBER
	}
	hash, ok := digests[id.Algorithm.String()]
	switch {
	case !ok:
		return 0, fmt.Errorf("digest algorithm %.60s: SHA-256, SHA-384 or SHA-512 is needed", id.Algorithm)
	case hash == crypto.SHA1 && !allowSHA1:
		return 0, errors.New("signed with SHA-1, which is not allowed")
	}
	return hash, nil
}

// signedSum gives the digest that was signed: that of the signed attributes, which must hold that of the content, or of
// the content itself.
func (s signerInfo) signedSum(content []byte, hash crypto.Hash) ([]byte, error) {
	sum := digest(hash, content)
	if s.attributes == nil {
		return sum, nil
	}
	kind, signed, err := readAttributes(*s.attributes)
	if err != nil {
		return nil, err
	}
	if !kind.is(oidData) {
		return nil, errors.New("the signed content type is not data")
	}
	if !bytes.Equal(signed, sum) {
		return nil, errDigest
	}
	// The set as it stands, in the encoding that is signed (RFC 5652, 5.4).
	set, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: s.attributes.body})
	if err != nil {
		return nil, errBER
	}
	return digest(hash, set), nil
}

func digest(hash crypto.Hash, content []byte) []byte {
	h := hash.New()
	h.Write(content)
	return h.Sum(nil)
}

// readAttributes gives content type and digest, each of which stands once, with one value.
func readAttributes(set tlv) (kind tlv, sum []byte, err error) {
	all, err := set.elements(maxAttributes)
	if err != nil {
		return kind, nil, err
	}
	found := map[string]tlv{}
	for _, a := range all {
		pair, err := a.elements(2)
		if err != nil || len(pair) != 2 || a.tag != 0x30 || pair[1].tag != 0x31 {
			return kind, nil, errBER
		}
		for name, oid := range map[string]asn1.ObjectIdentifier{"kind": oidContentType, "sum": oidMessageDigest} {
			if !pair[0].is(oid) {
				continue
			}
			values, err := pair[1].elements(1)
			if _, twice := found[name]; err != nil || len(values) != 1 || twice {
				return kind, nil, errors.New("a signed attribute has not exactly one value")
			}
			found[name] = values[0]
		}
	}
	if len(found) != 2 {
		return kind, nil, errors.New("a signed attribute is missing: content type and digest are required")
	}
	sum, err = found["sum"].octets(1)
	return found["kind"], sum, err
}

// checker gives what tells whether a signature over a digest is right under a key.
func (s signerInfo) checker(hash crypto.Hash) (func(key any, sum []byte) error, error) {
	var id pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(s.algorithm.raw, &id); err != nil {
		return nil, errBER
	}
	how, ok := schemes[id.Algorithm.String()]
	if !ok {
		return nil, fmt.Errorf("signature algorithm %.60s: RSA or ECDSA is needed", id.Algorithm)
	}
	if how.hash != 0 && how.hash != hash {
		return nil, errors.New("digest and signature name different algorithms")
	}
	wrongKey, wrong := errors.New("the certificate's key is of another kind than the signature"), errors.New("the signature does not belong to content and certificate")
	if how.scheme == ecdsaASN1 {
		return func(key any, sum []byte) error {
			public, ok := key.(*ecdsa.PublicKey)
			if !ok {
				return wrongKey
			}
			if !ecdsa.VerifyASN1(public, sum, s.signature) {
				return wrong
			}
			return nil
		}, nil
	}
	verify := func(public *rsa.PublicKey, sum []byte) error {
		return rsa.VerifyPKCS1v15(public, hash, sum, s.signature)
	}
	if how.scheme == pss {
		salt, err := readPSS(id.Parameters.FullBytes, hash)
		if err != nil {
			return nil, err
		}
		verify = func(public *rsa.PublicKey, sum []byte) error {
			return rsa.VerifyPSS(public, hash, sum, s.signature, &rsa.PSSOptions{SaltLength: salt, Hash: hash})
		}
	}
	return func(key any, sum []byte) error {
		public, ok := key.(*rsa.PublicKey)
		if !ok {
			return wrongKey
		}
		if verify(public, sum) != nil {
			return wrong
		}
		return nil
	}, nil
}

// readPSS gives the length of the salt (RFC 4055, 3.1). Digest and mask must be by the message's algorithm.
func readPSS(der []byte, hash crypto.Hash) (salt int, err error) {
	var p struct {
		Hash    pkix.AlgorithmIdentifier `asn1:"optional,explicit,tag:0"`
		Mask    pkix.AlgorithmIdentifier `asn1:"optional,explicit,tag:1"`
		Salt    int                      `asn1:"optional,explicit,tag:2,default:20"`
		Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
	}
	var mask pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return 0, errBER
	}
	if _, err := asn1.Unmarshal(p.Mask.Parameters.FullBytes, &mask); err != nil || !p.Mask.Algorithm.Equal(oidMGF1) {
		return 0, errors.New("RSA-PSS with another mask than MGF1 of a SHA-2 digest")
	}
	if digests[p.Hash.Algorithm.String()] != hash || digests[mask.Algorithm.String()] != hash {
		return 0, errors.New("digest and signature name different algorithms")
	}
	if p.Salt < 1 || p.Salt > maxRSABits/8 || p.Trailer != 1 {
		return 0, errors.New("RSA-PSS with unusual salt or trailer")
	}
	return p.Salt, nil
}
