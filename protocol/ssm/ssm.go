// Package ssm makes and opens the messages of SSM, the federation's secure messaging for accounting: a body of text,
// signed with the host's certificate, and encrypted if the receiver wants it (spec accounting §2.6, §2.8).
package ssm

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// AtLeast is how long a certificate must still be valid for SSM to send with it (spec accounting §2.4).
const AtLeast = 24 * time.Hour

// Errors that a sender or receiver decides by.
var (
	ErrBody = errors.New("the body cannot travel")
	ErrDN   = errors.New("the signer is not on the list of allowed names")
)

// Seal signs a body and, when recipient is not nil, encrypts the result. A body that would harm the receiver is refused:
// empty or blank, or with a byte outside ASCII, which ends SSM's receiver (spec accounting §2.8, §3.1).
func Seal(body []byte, id smime.Identity, recipient *x509.Certificate, now time.Time) ([]byte, error) {
	if err := Fit(body); err != nil {
		return nil, err
	}
	message, err := smime.Sign(body, id, now)
	if err != nil || recipient == nil {
		return message, err
	}
	return smime.Encrypt(message, recipient)
}

// Fit tells whether a body can travel.
func Fit(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fmt.Errorf("%w: it is empty", ErrBody)
	}
	for i, c := range body {
		if c >= 0x80 {
			return fmt.Errorf("%w: byte %d is 0x%02X, outside ASCII", ErrBody, i, c)
		}
		if c == '\r' {
			return fmt.Errorf("%w: byte %d is a carriage return", ErrBody, i)
		}
	}
	return nil
}

// CheckCertificates does the sender's checks before anything goes out (spec accounting §2.4): the host certificate and,
// when there is one, the receiver's are valid for at least 24 hours more, are not the same, and one can encrypt to the
// receiver's.
func CheckCertificates(id smime.Identity, recipient *x509.Certificate, now time.Time) error {
	if err := id.Check(now, AtLeast); err != nil {
		return err
	}
	if recipient == nil {
		return nil
	}
	if recipient.Equal(id.Certificate) {
		return errors.New("the receiver's certificate is the host's own: name the accounting server's")
	}
	if _, ok := recipient.PublicKey.(*rsa.PublicKey); !ok {
		return fmt.Errorf("receiver: the key of %s is not RSA, which is needed for encryption", smime.SlashDN(recipient.RawSubject))
	}
	if err := smime.CheckValidity(recipient, now, AtLeast); err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	return nil
}

// OpenOptions is what a receiver measures a message against.
type OpenOptions struct {
	Identity smime.Identity // for decryption; its Certificate may be nil when messages come in clear
	Roots    *x509.CertPool
	CRLs     []*x509.RevocationList
	Allowed  func(dn string) bool // nil = everybody
	Now      time.Time
}

// Opened is a message that was accepted.
type Opened struct {
	Body     []byte // LF line ends
	SignerDN string
}

// Open decrypts a message if it is encrypted, verifies it, and checks its signer's name (spec accounting §2.8). The name
// is that of the certificate that made the signature.
func Open(message []byte, o OpenOptions) (Opened, error) {
	if smime.Encrypted(message) {
		if o.Identity.Certificate == nil {
			return Opened{}, fmt.Errorf("%w: no key to decrypt with", smime.ErrRecipient)
		}
		inner, err := smime.Decrypt(message, o.Identity)
		if err != nil {
			return Opened{}, err
		}
		message = inner
	}
	v, err := smime.Verify(message, smime.VerifyOptions{Roots: o.Roots, CRLs: o.CRLs, Now: o.Now})
	if err != nil {
		return Opened{}, err
	}
	if o.Allowed != nil && !o.Allowed(v.DN) {
		return Opened{}, fmt.Errorf("%w: %s", ErrDN, v.DN)
	}
	return Opened{Body: bytes.ReplaceAll(v.Text, []byte("\r\n"), []byte("\n")), SignerDN: v.DN}, nil
}
