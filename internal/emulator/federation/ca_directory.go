package federation

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // it only names files
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/smime"
)

// alias is what the authority's files are called in a directory.
const alias = "emulated-federation-ca"

// crlLife is how long a revocation list is in force.
const crlLife = 30 * 24 * time.Hour

// Revoke takes a certificate back. Revocation lists that are written from now on say so.
func (ca *CA) Revoke(c *x509.Certificate, at time.Time) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, x509.RevocationListEntry{SerialNumber: c.SerialNumber, RevocationTime: at})
}

// CRL gives the authority's revocation list in PEM, in force from an hour before now for 30 days.
func (ca *CA) CRL(now time.Time) ([]byte, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.crls++
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(ca.crls), ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(crlLife), RevokedCertificateEntries: ca.revoked}, ca.Certificate, ca.key)
	if err != nil {
		return nil, fmt.Errorf("make a revocation list: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}), nil
}

// WriteDirectory writes the authority into a directory, which must be there, as IGTF's distribution lays one out:
// certificate, links by the hash of its name, revocation list, and the names that it may give. Written again, it renews the
// revocation list.
func (ca *CA) WriteDirectory(dir string, now time.Time) error {
	crl, err := ca.CRL(now)
	if err != nil {
		return err
	}
	hash, err := nameHash(ca.Certificate.RawSubject)
	if err != nil {
		return fmt.Errorf("hash the authority's name: %w", err)
	}
	dn := smime.SlashDN(ca.Certificate.RawSubject)
	files := []struct{ name, text, link string }{
		{name: alias + ".pem", text: string(ca.PEM), link: hash + ".0"},
		{name: hash + ".r0", text: string(crl)},
		{name: alias + ".signing_policy", text: fmt.Sprintf("access_id_CA X509 '%s'\npos_rights globus CA:sign\ncond_subjects globus '\"/DC=org/DC=emulation/*\"'\n", dn), link: hash + ".signing_policy"},
		{name: alias + ".namespaces", text: fmt.Sprintf("TO Issuer %q \\\n  PERMIT Subject \"/DC=org/DC=emulation/.*\"\n", dn), link: hash + ".namespaces"},
		{name: alias + ".info", text: "alias = " + alias + "\nstatus = experimental\nversion = 1.0\n"},
		{name: alias + ".crl_url", text: "http://127.0.0.1:1/emulated.crl\n"},
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, replace(filepath.Join(dir, f.name), func(name string) error { return os.WriteFile(name, []byte(f.text), 0o644) }))
		if f.link != "" {
			errs = append(errs, replace(filepath.Join(dir, f.link), func(name string) error { return os.Symlink(f.name, name) }))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write the directory of authorities: %w", err)
	}
	return nil
}

// replace makes a file under another name, and moves it into its place, so that nobody reads half of it.
func replace(path string, make func(name string) error) error {
	next := path + ".new"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := make(next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// nameHash gives the hash of a name by which OpenSSL finds a certificate's file: the first bytes of SHA-1 over the name in
// canonical form, which is each attribute as UTF-8, in small letters, with single blanks, without the sequence around them
// (X509_NAME_hash).
func nameHash(raw []byte) (string, error) {
	var sets []asn1.RawValue
	if _, err := asn1.Unmarshal(raw, &sets); err != nil {
		return "", err
	}
	var all []byte
	for _, set := range sets {
		var attributes [][]byte
		for rest := set.Bytes; len(rest) > 0; {
			var a struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &a); err != nil {
				return "", err
			}
			if canonical := []int{asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, asn1.TagT61String}; a.Value.Class == asn1.ClassUniversal && slices.Contains(canonical, a.Value.Tag) {
				a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(strings.Join(strings.Fields(lower(string(a.Value.Bytes))), " "))}
			}
			der, err := asn1.Marshal(a)
			if err != nil {
				return "", err
			}
			attributes = append(attributes, der)
		}
		slices.SortFunc(attributes, func(a, b []byte) int { return cmp.Or(cmp.Compare(len(a), len(b)), bytes.Compare(a, b)) })
		der, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(attributes, nil)})
		if err != nil {
			return "", err
		}
		all = append(all, der...)
	}
	sum := sha1.Sum(all) //nolint:gosec // as OpenSSL does
	return fmt.Sprintf("%08x", binary.LittleEndian.Uint32(sum[:])), nil
}

// lower makes letters small, those of ASCII only.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, text)
}
