package vmlist

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/protocol/gridtrust"
	"github.com/fedsite/fedsite/protocol/smime"
)

// MaxSize is how large a list may be with its signature, in bytes.
const MaxSize = smime.MaxSize

// Trust says what a list is measured against.
type Trust struct {
	Authorities *gridtrust.Trust // required
	Now         time.Time        // required
	CRL         gridtrust.Policy // "" = if-present
	Names       gridtrust.Policy // signing policies and namespaces; "" = off

	DN, CA        string              // of the endorser, in slash form; "" = whoever the list names
	Certificates  []*x509.Certificate // of the endorser, for lists that carry none; they are judged like any
	AllowSHA1     bool                // lists signed with SHA-1, as the AppDB did long ago
	StrictPurpose bool                // the signer's certificate must be made for e-mail; the AppDB's is not
}

// Verify checks a signed list and reads it (spec images §4): form, signature, chain at the present time, revocation, then
// the document, its endorser and its date. Whether the list has ended, and whether it is older than one that was seen
// before (Newer), is the caller's to judge. It fails with one of the package's errors.
func Verify(message []byte, t Trust) (List, error) {
	if t.Authorities == nil || t.Now.IsZero() {
		return List{}, errors.New("verify a list: authorities and time are required")
	}
	v, err := smime.VerifyDocument(message, smime.VerifyOptions{
		Roots: t.Authorities.Roots(), Now: t.Now, Certificates: slices.Concat(t.Certificates, t.Authorities.Intermediates()),
		AllowSHA1: t.AllowSHA1, StrictPurpose: t.StrictPurpose,
	})
	if err != nil {
		return List{}, judge(message, err)
	}
	var verdicts []gridtrust.Verdict
	for _, s := range v.Signers {
		verdict, err := t.Authorities.Judge(s.Chains, gridtrust.Options{Now: t.Now, CRL: cmp.Or(t.CRL, gridtrust.IfPresent), Names: t.Names})
		if err != nil {
			return List{}, fmt.Errorf("%w: %w", ErrSigner, err)
		}
		verdicts = append(verdicts, verdict)
	}
	l, err := Parse(v.Text)
	if err != nil {
		return List{}, err
	}
	if l.Signed, err = t.endorsed(l.Endorser, verdicts); err != nil {
		return List{}, err
	}
	if l.Created.After(t.Now.Add(Skew)) {
		return List{}, fmt.Errorf("%w: it was made %s, and it is %s here: see whether a clock is wrong", ErrFuture, l.Created.Format(time.RFC3339), t.Now.UTC().Format(time.RFC3339))
	}
	return l, nil
}

// judge says of a message that does not verify what it is instead.
func judge(message []byte, err error) error {
	switch {
	case errors.Is(err, ErrSigner), errors.Is(err, ErrSignature):
		return err
	case bytes.HasPrefix(bytes.TrimLeft(message, "\ufeff \t\r\n"), []byte("{")):
		return fmt.Errorf("%w: bare JSON", ErrUnsigned)
	case len(bytes.TrimSpace(message)) == 0:
		return fmt.Errorf("%w: the answer is empty", ErrNotList)
	}
	return fmt.Errorf("%w, but %.60q: %w", ErrNotList, message[:min(len(message), 60)], err)
}

// endorsed finds the signer who is the endorser that the list names, and the one that the operator named.
func (t Trust) endorsed(named Endorser, signers []gridtrust.Verdict) (*Signed, error) {
	var problem error // of the first signer
	for _, s := range signers {
		wrong := t.differs(named, s.Chain)
		if wrong == nil {
			c := s.Chain[0]
			return &Signed{DN: smime.SlashDN(c.RawSubject), CA: smime.SlashDN(c.RawIssuer), NotAfter: c.NotAfter.UTC(), Warnings: s.Warnings}, nil
		}
		problem = cmp.Or(problem, wrong)
	}
	return nil, problem
}

// differs tells in which name a signer is another than the endorser. Where an authority has others beneath it, lists name
// the one that issued the certificate or the one above: each in the chain will do.
func (t Trust) differs(named Endorser, chain []*x509.Certificate) error {
	dn := smime.SlashDN(chain[0].RawSubject)
	var authorities []string
	for _, c := range chain {
		authorities = append(authorities, smime.SlashDN(c.RawIssuer))
	}
	for _, rule := range []struct{ whose, want string }{{"the list names as hv:dn", named.DN}, {"the configuration names as endorser", cmp.Or(t.DN, dn)}} {
		if !gridtrust.SameName(rule.want, dn) {
			return fmt.Errorf("%w: signed by %.300q, but %s %.300q", ErrEndorser, dn, rule.whose, rule.want)
		}
	}
	for _, rule := range []struct{ whose, want string }{{"the list names as hv:ca", named.CA}, {"the configuration names as the endorser's authority", cmp.Or(t.CA, authorities[0])}} {
		if !slices.ContainsFunc(authorities, func(a string) bool { return gridtrust.SameName(rule.want, a) }) {
			return fmt.Errorf("%w: signed with a certificate of %.300q, but %s %.300q", ErrEndorser, authorities[0], rule.whose, rule.want)
		}
	}
	return nil
}
