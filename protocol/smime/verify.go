package smime

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"mime"
	"time"

	"github.com/smallstep/pkcs7"
)

// VerifyOptions says what a signature is measured against.
type VerifyOptions struct {
	Roots *x509.CertPool         // trusted certificate authorities; required
	CRLs  []*x509.RevocationList // revocation lists of theirs; the caller has verified them
	Now   time.Time              // chain and validity are checked at this time; required
	Max   int                    // bytes; 0 = MaxSize
}

// Verified is a message whose signature is valid and whose signer is trusted.
type Verified struct {
	Signer *x509.Certificate // the certificate that SignerInfo names, not just any one in the message
	DN     string            // its subject in slash form
	Signed []byte            // the exact signed bytes, with CRLF line ends
	Text   []byte            // the same without the part's own MIME header
}

// Verify checks a clear-signed message (multipart/signed). The purpose of the certificate is not checked: host
// certificates lack the e-mail usage.
func Verify(message []byte, o VerifyOptions) (Verified, error) {
	if o.Roots == nil || o.Now.IsZero() {
		return Verified{}, errors.New("verify: roots and time are required")
	}
	if limit := max(o.Max, 0); len(message) > limit && (limit > 0 || len(message) > MaxSize) {
		return Verified{}, fmt.Errorf("%w: %d bytes are too many", ErrFormat, len(message))
	}
	fields, body, err := cutHeader(message)
	if err != nil {
		return Verified{}, err
	}
	kind, params, err := mime.ParseMediaType(fields["content-type"])
	if err != nil || kind != "multipart/signed" || params["boundary"] == "" {
		return Verified{}, fmt.Errorf("%w: not multipart/signed but %q", ErrFormat, fields["content-type"])
	}
	part, signature, err := cutParts(body, params["boundary"])
	if err != nil {
		return Verified{}, err
	}
	_, encoded, err := cutHeader(signature)
	if err != nil {
		return Verified{}, err
	}
	der, err := decodeBase64(encoded)
	if err != nil {
		return Verified{}, err
	}
	signed := toCRLF(part)
	signer, err := verifyDetached(der, signed, o)
	if err != nil {
		return Verified{}, err
	}
	v := Verified{Signer: signer, DN: SlashDN(signer.RawSubject), Signed: signed}
	if _, text, ok := bytes.Cut(signed, []byte("\r\n\r\n")); ok {
		v.Text = text
	} else {
		return Verified{}, fmt.Errorf("%w: no blank line between the signed part's header and its text", ErrFormat)
	}
	return v, nil
}

func verifyDetached(der, content []byte, o VerifyOptions) (signer *x509.Certificate, err error) {
	defer func() {
		if r := recover(); r != nil {
			signer, err = nil, fmt.Errorf("%w: unreadable structure", ErrFormat)
		}
	}()
	p7, err := parse(der)
	if err != nil {
		return nil, err
	}
	if len(p7.Signers) == 0 {
		return nil, fmt.Errorf("%w: no signer is named by issuer and serial number (a signature made with -keyid is not supported)", ErrSignature)
	}
	if len(p7.Signers) > 1 {
		return nil, fmt.Errorf("%w: %d signers", ErrSignature, len(p7.Signers))
	}
	p7.Content = content
	if len(p7.Signers[0].AuthenticatedAttributes) > 0 {
		var kind asn1.ObjectIdentifier
		if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(pkcs7.OIDData) {
			return nil, fmt.Errorf("%w: the signed content type is not data", ErrSignature)
		}
	}
	if err := p7.VerifyWithChainAtTime(nil, o.Now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	signer = p7.GetOnlySigner()
	if signer == nil {
		return nil, fmt.Errorf("%w: the signer's certificate is missing", ErrSignature)
	}
	return signer, trusted(signer, p7.Certificates, o)
}

// trusted checks the signer's chain at the time, and the revocation lists.
func trusted(signer *x509.Certificate, others []*x509.Certificate, o VerifyOptions) error {
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	chains, err := signer.Verify(x509.VerifyOptions{Roots: o.Roots, Intermediates: between, CurrentTime: o.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrSigner, SlashDN(signer.RawSubject), err)
	}
	for _, c := range chains[0][:len(chains[0])-1] {
		for _, list := range o.CRLs {
			if !bytes.Equal(list.RawIssuer, c.RawIssuer) {
				continue
			}
			for _, revoked := range list.RevokedCertificateEntries {
				if revoked.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return fmt.Errorf("%w: %s was revoked", ErrSigner, SlashDN(c.RawSubject))
				}
			}
		}
	}
	return nil
}

// parse reads a CMS structure from outside. The library is not made for hostile input everywhere: a panic in it is an
// error here, and what would exhaust the stack is kept from it.
func parse(der []byte) (p7 *pkcs7.PKCS7, err error) {
	defer func() {
		if r := recover(); r != nil {
			p7, err = nil, fmt.Errorf("%w: unreadable structure", ErrFormat)
		}
	}()
	if err := checkDepth(der); err != nil {
		return nil, err
	}
	if p7, err = pkcs7.Parse(der); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return p7, nil
}
