package gridtrust

import (
	"cmp"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// crl is a revocation list of a directory.
type crl struct {
	list    *x509.RevocationList // what its signature is over, and its dates; the entries are in revoked
	file    string
	issuer  string            // in slash form
	signer  *x509.Certificate // whose key its signature is right under, once found
	revoked map[string]bool   // serial numbers, in bytes
}

// Extensions of revocation lists and of their entries (RFC 5280, 5.2 and 5.3).
var (
	oidIssuingPoint  = asn1.ObjectIdentifier{2, 5, 29, 28}
	oidOtherIssuer   = asn1.ObjectIdentifier{2, 5, 29, 29}
	oidAuthorityKey  = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidCRLNumber     = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidReason        = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidHoldAction    = asn1.ObjectIdentifier{2, 5, 29, 23}
	oidInvalidityDay = asn1.ObjectIdentifier{2, 5, 29, 24}
)

func (t *Trust) readCRL(name string, text []byte, seen map[string]bool) error {
	der := text
	if block, _ := pem.Decode(text); block != nil {
		der = block.Bytes
	}
	if seen[string(der)] {
		return nil
	}
	seen[string(der)] = true
	c, err := parseCRL(der)
	if err != nil {
		return err
	}
	c.file = shown(name)
	t.crls[c.issuer] = append(t.crls[c.issuer], c)
	return nil
}

// parseCRL reads a list that says of all certificates of its issuer whether they were revoked. Others cannot be used: what
// they do not say would pass for good.
func parseCRL(der []byte) (*crl, error) {
	list, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("no revocation list in PEM or DER form: %w", err)
	}
	for _, e := range list.Extensions {
		switch {
		case e.Id.Equal(oidIssuingPoint):
			if !complete(e.Value) {
				return nil, errors.New("the revocation list is for some of its issuer's certificates only")
			}
		case e.Critical && !e.Id.Equal(oidAuthorityKey) && !e.Id.Equal(oidCRLNumber):
			return nil, fmt.Errorf("the revocation list needs extension %s, which is not known", e.Id)
		}
	}
	kept := &x509.RevocationList{RawTBSRevocationList: list.RawTBSRevocationList, Signature: list.Signature, SignatureAlgorithm: list.SignatureAlgorithm, ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate}
	c := &crl{list: kept, issuer: smime.SlashDN(list.RawIssuer), revoked: make(map[string]bool, len(list.RevokedCertificateEntries))}
	for _, r := range list.RevokedCertificateEntries {
		if slices.ContainsFunc(r.Extensions, foreign) {
			return nil, errors.New("the revocation list has entries of other issuers")
		}
		c.revoked[string(r.SerialNumber.Bytes())] = true
	}
	return c, nil
}

// foreign tells whether an entry's extension makes the entry speak of something else than its issuer's certificate.
func foreign(e pkix.Extension) bool {
	return e.Id.Equal(oidOtherIssuer) || e.Critical && !e.Id.Equal(oidReason) && !e.Id.Equal(oidHoldAction) && !e.Id.Equal(oidInvalidityDay)
}

// complete tells whether an issuing distribution point says no more than where the list is published.
func complete(der []byte) bool {
	var parts []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &parts)
	return err == nil && len(rest) == 0 && !slices.ContainsFunc(parts, func(p asn1.RawValue) bool { return p.Class != asn1.ClassContextSpecific || p.Tag != 0 })
}

// crlOf gives the newest list that this authority signed, nil if there is none. Authorities of one name, as after a change
// of the key, are told apart by the signature.
func (t *Trust) crlOf(authority *x509.Certificate) *crl {
	var mine []*crl
	for _, c := range t.crls[smime.SlashDN(authority.RawSubject)] {
		if c.signer.Equal(authority) || c.list.CheckSignatureFrom(authority) == nil {
			mine = append(mine, c)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	return slices.MaxFunc(mine, func(a, b *crl) int {
		return cmp.Or(a.list.ThisUpdate.Compare(b.list.ThisUpdate), a.list.NextUpdate.Compare(b.list.NextUpdate))
	})
}

// settleCRLs finds the authority that signed each list, and tells of those of its name that it did not sign.
func (t *Trust) settleCRLs() []Warning {
	var warnings []Warning
	for _, a := range t.authorities {
		for _, c := range t.crls[a.DN] {
			if c.signer == nil && c.list.CheckSignatureFrom(a.Certificate) == nil {
				c.signer = a.Certificate
			}
		}
	}
	told := map[*crl]bool{}
	for _, a := range t.authorities {
		for _, c := range t.crls[a.DN] {
			if c.signer == nil && !told[c] {
				told[c] = true
				warnings = append(warnings, Warning{Object: c.file, Text: "the revocation list is not signed by " + a.DN + ", whose name it bears"})
			}
		}
	}
	return warnings
}

// inForce tells why a list is not in force at a time, nil if it is.
func (c *crl) inForce(now time.Time) error {
	const layout = "2006-01-02 15:04 UTC"
	switch next := c.list.NextUpdate; {
	case now.Before(c.list.ThisUpdate):
		return fmt.Errorf("the revocation list %s is of %s, in the future", c.file, c.list.ThisUpdate.UTC().Format(layout))
	case !next.IsZero() && now.After(next):
		return fmt.Errorf("the revocation list %s ended %s: see whether fetch-crl runs", c.file, next.UTC().Format(layout))
	}
	return nil
}

// checkCRL looks whether a certificate was revoked by its issuer. What a list says counts although it has ended.
func (t *Trust) checkCRL(c, issuer *x509.Certificate, o Options) ([]Warning, error) {
	policy := cmp.Or(o.CRL, IfPresent)
	if policy == Off {
		return nil, nil
	}
	list := t.crlOf(issuer)
	name := smime.SlashDN(issuer.RawSubject)
	var missing error
	if list == nil {
		missing = errors.New("the directory has no revocation list of it")
	} else {
		if list.revoked[string(c.SerialNumber.Bytes())] {
			return nil, fmt.Errorf("%w: %s, by %s", ErrRevoked, smime.SlashDN(c.RawSubject), name)
		}
		missing = list.inForce(o.Now)
	}
	switch {
	case missing == nil:
		return nil, nil
	case policy == Require:
		return nil, fmt.Errorf("%w: %s: %w", ErrNoCRL, name, missing)
	}
	return []Warning{{Object: name, Text: missing.Error()}}, nil
}
