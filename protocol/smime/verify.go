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

	// What follows counts for VerifyDocument alone.

	Certificates  []*x509.Certificate // beside those of the message: for one that has none, and between signer and root. It makes none trusted
	AllowSHA1     bool                // a message may be signed with SHA-1; certificates may not
	StrictPurpose bool                // the certificate must be made for e-mail; host certificates are not
}

// Verified is a message whose signature is valid and whose signer is trusted.
type Verified struct {
	Signer  *x509.Certificate // the certificate that SignerInfo names, not just any one in the message
	DN      string            // its subject in slash form
	Signers []Signer          // Signer, and others if a document has more signatures; in the order of the message
	Signed  []byte            // the exact signed bytes; of Verify, with CRLF line ends
	Text    []byte            // the same without the part's own MIME header
}

// Signer is somebody who signed a message.
type Signer struct {
	Certificate *x509.Certificate
	Chains      [][]*x509.Certificate // each from it to a trusted root
}

// Verify checks a clear-signed message (multipart/signed). The purpose of the certificate is not checked: host
// certificates lack the e-mail usage.
func Verify(message []byte, o VerifyOptions) (Verified, error) {
	if err := o.check(message); err != nil {
		return Verified{}, err
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
	v := Verified{Signer: signer.Certificate, DN: SlashDN(signer.Certificate.RawSubject), Signers: []Signer{signer}, Signed: signed}
	if _, text, ok := bytes.Cut(signed, []byte("\r\n\r\n")); ok {
		v.Text = text
	} else {
		return Verified{}, fmt.Errorf("%w: no blank line between the signed part's header and its text", ErrFormat)
	}
	return v, nil
}

func (o VerifyOptions) check(message []byte) error {
	if o.Roots == nil || o.Now.IsZero() {
		return errors.New("verify: roots and time are required")
	}
	if limit := max(o.Max, 0); len(message) > limit && (limit > 0 || len(message) > MaxSize) {
		return fmt.Errorf("%w: %d bytes are too many", ErrFormat, len(message))
	}
	return nil
}

func verifyDetached(der, content []byte, o VerifyOptions) (signer Signer, err error) {
	defer func() {
		if r := recover(); r != nil {
			signer, err = Signer{}, fmt.Errorf("%w: unreadable structure", ErrFormat)
		}
	}()
	p7, err := parse(der)
	if err != nil {
		return Signer{}, err
	}
	if len(p7.Signers) == 0 {
		return Signer{}, fmt.Errorf("%w: no signer is named by issuer and serial number (a signature made with -keyid is not supported)", ErrSignature)
	}
	if len(p7.Signers) > 1 {
		return Signer{}, fmt.Errorf("%w: %d signers", ErrSignature, len(p7.Signers))
	}
	p7.Content = content
	if len(p7.Signers[0].AuthenticatedAttributes) > 0 {
		var kind asn1.ObjectIdentifier
		if err := p7.UnmarshalSignedAttribute(pkcs7.OIDAttributeContentType, &kind); err != nil || !kind.Equal(pkcs7.OIDData) {
			return Signer{}, fmt.Errorf("%w: the signed content type is not data", ErrSignature)
		}
	}
	if err := p7.VerifyWithChainAtTime(nil, o.Now); err != nil {
		return Signer{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if signer.Certificate = p7.GetOnlySigner(); signer.Certificate == nil {
		return Signer{}, fmt.Errorf("%w: the signer's certificate is missing", ErrSignature)
	}
	signer.Chains, err = trusted(signer.Certificate, p7.Certificates, o, x509.ExtKeyUsageAny)
	return signer, err
}

// trusted gives the signer's chains that are valid at the time and for the purpose, after a look at the revocation lists.
func trusted(signer *x509.Certificate, others []*x509.Certificate, o VerifyOptions, purpose x509.ExtKeyUsage) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, c := range others {
		between.AddCert(c)
	}
	chains, err := signer.Verify(x509.VerifyOptions{Roots: o.Roots, Intermediates: between, CurrentTime: o.Now, KeyUsages: []x509.ExtKeyUsage{purpose}})
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrSigner, SlashDN(signer.RawSubject), err)
	}
	for _, c := range chains[0][:len(chains[0])-1] {
		for _, list := range o.CRLs {
			if !bytes.Equal(list.RawIssuer, c.RawIssuer) {
				continue
			}
			for _, revoked := range list.RevokedCertificateEntries {
				if revoked.SerialNumber.Cmp(c.SerialNumber) == 0 {
					return nil, fmt.Errorf("%w: %s was revoked", ErrSigner, SlashDN(c.RawSubject))
				}
			}
		}
	}
	return chains, nil
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
