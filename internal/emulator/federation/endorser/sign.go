package endorser

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// Form is how a list is signed. None of it is the AppDB's way: detached, RSA or ECDSA as the key is, the text without a
// header of its own.
type Form struct {
	Opaque bool // the text is within the signature (application/pkcs7-mime)
	Text   bool // the text has a header of its own, which is signed with it, as OpenSSL's -text does
	PSS    bool // RSA-PSS
	Bare   bool // without signed attributes
}

// Object identifiers (RFC 5652, RFC 4055, RFC 5758).
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPSS           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	oidECDSA         = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
)

type (
	algorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	contentInfo struct {
		ContentType asn1.ObjectIdentifier
		Content     asn1.RawValue `asn1:"optional"`
	}
	signedData struct {
		Version      int
		Digests      []algorithm `asn1:"set"`
		Content      contentInfo
		Certificates asn1.RawValue
		Signers      []signerInfo `asn1:"set"`
	}
	signerInfo struct {
		Version    int
		Signer     issuerAndSerial
		Digest     algorithm
		Attributes asn1.RawValue `asn1:"optional"`
		Signature  algorithm
		Value      []byte
	}
	issuerAndSerial struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	attribute struct {
		Type   asn1.ObjectIdentifier
		Values asn1.RawValue
	}
)

var null = asn1.RawValue{Tag: asn1.TagNull}

// sign writes a text as a signed message. Line ends are LF on the wire, and CRLF under the signature.
func sign(text []byte, id smime.Identity, f Form, now time.Time) ([]byte, error) {
	if f.Text {
		text = slices.Concat([]byte("Content-Type: text/plain\n\n"), text)
	}
	signed := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	der, err := cms(signed, id, f, now)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	var b bytes.Buffer
	b.WriteString("MIME-Version: 1.0\n")
	if f.Opaque {
		b.WriteString("Content-Disposition: attachment; filename=\"smime.p7m\"\nContent-Type: application/x-pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"\nContent-Transfer-Encoding: base64\n\n")
		b.WriteString(lines(der) + "\n")
		return b.Bytes(), nil
	}
	mark := make([]byte, 16)
	_, _ = rand.Read(mark)
	boundary := "----" + strings.ToUpper(hex.EncodeToString(mark))
	fmt.Fprintf(&b, "Content-Type: multipart/signed; protocol=\"application/x-pkcs7-signature\"; micalg=\"sha-256\"; boundary=%q\n\nThis is an S/MIME signed message\n\n--%s\n", boundary, boundary)
	b.Write(text)
	fmt.Fprintf(&b, "\n--%s\nContent-Type: application/x-pkcs7-signature; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"smime.p7s\"\n\n%s\n--%s--\n\n", boundary, lines(der), boundary)
	return b.Bytes(), nil
}

// lines gives base64 in lines of 64.
func lines(der []byte) string {
	text := base64.StdEncoding.EncodeToString(der)
	var b strings.Builder
	for len(text) > 0 {
		n := min(64, len(text))
		b.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	return b.String()
}

// cms makes the SignedData over a content, with the signer's certificate alone.
func cms(content []byte, id smime.Identity, f Form, now time.Time) ([]byte, error) {
	key, ok := id.TLS().PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("the signer has no key to sign with")
	}
	digest := algorithm{oidSHA256, null}
	s := signerInfo{Version: 1, Signer: issuerAndSerial{asn1.RawValue{FullBytes: id.Certificate.RawIssuer}, id.Certificate.SerialNumber}, Digest: digest}
	sum := sha256.Sum256(content)
	if !f.Bare {
		set, err := attributes(sum[:], now)
		if err != nil {
			return nil, err
		}
		if s.Attributes, err = implicit(0, set); err != nil {
			return nil, err
		}
		whole, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: set})
		if err != nil {
			return nil, err
		}
		sum = sha256.Sum256(whole)
	}
	var opts crypto.SignerOpts = crypto.SHA256
	var err error
	switch _, ec := key.Public().(*ecdsa.PublicKey); {
	case ec:
		s.Signature = algorithm{Algorithm: oidECDSA}
	case f.PSS:
		opts = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}
		s.Signature, err = pss()
	default:
		s.Signature = algorithm{oidRSA, null}
	}
	if err != nil {
		return nil, err
	}
	if s.Value, err = key.Sign(rand.Reader, sum[:], opts); err != nil {
		return nil, err
	}
	sd := signedData{Version: 1, Digests: []algorithm{digest}, Content: contentInfo{ContentType: oidData}, Signers: []signerInfo{s}}
	if f.Opaque {
		if sd.Content.Content, err = explicit(content); err != nil {
			return nil, err
		}
	}
	if sd.Certificates, err = implicit(0, id.Certificate.Raw); err != nil {
		return nil, err
	}
	inner, err := explicit(sd)
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(contentInfo{oidSignedData, inner})
}

// attributes gives the signed attributes in the order that DER wants of a set.
func attributes(sum []byte, now time.Time) ([]byte, error) {
	var all [][]byte
	for _, a := range []struct {
		kind  asn1.ObjectIdentifier
		value any
	}{{oidContentType, oidData}, {oidSigningTime, now.UTC().Truncate(time.Second)}, {oidMessageDigest, sum}} {
		value, err := asn1.Marshal(a.value)
		if err != nil {
			return nil, err
		}
		der, err := asn1.Marshal(attribute{a.kind, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: value}})
		if err != nil {
			return nil, err
		}
		all = append(all, der)
	}
	slices.SortFunc(all, bytes.Compare)
	return bytes.Join(all, nil), nil
}

// pss gives the algorithm of a signature by RSA-PSS with SHA-256 and a salt of 32 bytes.
func pss() (algorithm, error) {
	hash, err := asn1.Marshal(algorithm{oidSHA256, null})
	if err != nil {
		return algorithm{}, err
	}
	mgf, err := asn1.Marshal(algorithm{oidMGF1, asn1.RawValue{FullBytes: hash}})
	if err != nil {
		return algorithm{}, err
	}
	salt, err := asn1.Marshal(sha256.Size)
	if err != nil {
		return algorithm{}, err
	}
	var all []byte
	for n, der := range [][]byte{hash, mgf, salt} {
		tagged, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: n, IsCompound: true, Bytes: der})
		if err != nil {
			return algorithm{}, err
		}
		all = append(all, tagged...)
	}
	return algorithm{oidPSS, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: all}}, nil
}

// explicit gives a value within the tag [0].
func explicit(v any) (asn1.RawValue, error) {
	der, err := asn1.Marshal(v)
	if err != nil {
		return asn1.RawValue{}, err
	}
	return implicit(0, der)
}

// implicit gives what stands under a tag of the context.
func implicit(tag int, inner []byte) (asn1.RawValue, error) {
	der, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, IsCompound: true, Bytes: inner})
	return asn1.RawValue{FullBytes: der}, err
}
