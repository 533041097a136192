package smime

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Identity is a certificate with its private key. It does not print the key.
type Identity struct {
	Certificate *x509.Certificate
	key         crypto.Signer
}

// String names the identity by its subject.
func (id Identity) String() string { return id.DN() }

// GoString names the identity by its subject.
func (id Identity) GoString() string { return id.DN() }

// ParseIdentity reads certificate and key in PEM. Of several certificates the first one counts. The key may be RSA or EC,
// not encrypted, and must belong to the certificate.
func ParseIdentity(certPEM, keyPEM []byte) (Identity, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return Identity{}, err
	}
	block := findPEM(keyPEM, func(b *pem.Block) bool { return strings.HasSuffix(b.Type, "PRIVATE KEY") })
	if block == nil {
		return Identity{}, errors.New("no private key in PEM form")
	}
	if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return Identity{}, errors.New("the private key is encrypted: fedsite needs it without a passphrase, readable by its user alone")
	}
	key, err := parseKey(block.Bytes)
	if err != nil {
		return Identity{}, err
	}
	if pub, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(cert.PublicKey) {
		return Identity{}, errors.New("the private key does not belong to the certificate")
	}
	return Identity{Certificate: cert, key: key}, nil
}

// ParseCertificate reads the first certificate in PEM.
func ParseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block := findPEM(certPEM, func(b *pem.Block) bool { return b.Type == "CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE" })
	if block == nil {
		return nil, errors.New("no certificate in PEM form")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("unusable certificate: %w", err)
	}
	return cert, nil
}

func findPEM(data []byte, want func(*pem.Block) bool) *pem.Block {
	for {
		block, rest := pem.Decode(data)
		if block == nil || want(block) {
			return block
		}
		data = rest
	}
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch k := k.(type) {
		case *rsa.PrivateKey:
			return k, nil
		case *ecdsa.PrivateKey:
			return k, nil
		}
		return nil, fmt.Errorf("unsupported private key %T: RSA or EC is needed", k)
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errors.New("unusable private key: neither PKCS#8, PKCS#1 nor SEC 1")
}

// TLS gives the identity as a client certificate.
func (id Identity) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{id.Certificate.Raw}, PrivateKey: id.key, Leaf: id.Certificate}
}

// DN is the certificate's subject in OpenSSL's slash form, which is how the federation names it.
func (id Identity) DN() string { return SlashDN(id.Certificate.RawSubject) }

// Check tells whether the certificate is valid at the time, and for at least the duration after it.
func (id Identity) Check(now time.Time, atLeast time.Duration) error {
	return CheckValidity(id.Certificate, now, atLeast)
}

// CheckValidity tells whether a certificate is valid at the time, and for at least the duration after it.
func CheckValidity(c *x509.Certificate, now time.Time, atLeast time.Duration) error {
	const layout = "2006-01-02 15:04 UTC"
	switch dn := SlashDN(c.RawSubject); {
	case now.Before(c.NotBefore):
		return fmt.Errorf("certificate %s is not valid before %s", dn, c.NotBefore.UTC().Format(layout))
	case now.After(c.NotAfter):
		return fmt.Errorf("certificate %s ended %s: renew it", dn, c.NotAfter.UTC().Format(layout))
	case now.Add(atLeast).After(c.NotAfter):
		return fmt.Errorf("certificate %s ends %s, in less than %s: renew it", dn, c.NotAfter.UTC().Format(layout), atLeast)
	}
	return nil
}

// shortNames are OpenSSL's names of the attributes of a distinguished name.
var shortNames = map[string]string{
	"2.5.4.3": "CN", "2.5.4.4": "SN", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "street",
	"2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description", "2.5.4.15": "businessCategory", "2.5.4.17": "postalCode",
	"2.5.4.20": "telephoneNumber", "2.5.4.41": "name", "2.5.4.42": "GN", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier",
	"2.5.4.46": "dnQualifier", "2.5.4.65": "pseudonym", "2.5.4.97": "organizationIdentifier",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "emailAddress", "1.2.840.113549.1.9.2": "unstructuredName",
	"1.3.6.1.4.1.311.60.2.1.1": "jurisdictionL", "1.3.6.1.4.1.311.60.2.1.2": "jurisdictionST", "1.3.6.1.4.1.311.60.2.1.3": "jurisdictionC",
}

// SlashDN gives a distinguished name in the slash form of OpenSSL 3, in the order of the certificate:
// /DC=org/DC=example/CN=host.example.org. It reads the raw subject, so that order and unusual attributes survive.
func SlashDN(raw []byte) string {
	var (
		sets []asn1.RawValue
		b    strings.Builder
	)
	if _, err := asn1.Unmarshal(raw, &sets); err != nil {
		return ""
	}
	for _, set := range sets {
		sep := "/"
		for rest := set.Bytes; len(rest) > 0; {
			var pair struct {
				Type  asn1.ObjectIdentifier
				Value asn1.RawValue
			}
			var err error
			if rest, err = asn1.Unmarshal(rest, &pair); err != nil {
				return ""
			}
			name, ok := shortNames[pair.Type.String()]
			if !ok {
				name = pair.Type.String()
			}
			b.WriteString(sep + name + "=" + printable(pair.Value.Bytes))
			sep = "+"
		}
	}
	return b.String()
}

// printable gives the value of an attribute byte by byte, as OpenSSL does whatever its string type: what is outside
// 0x20–0x7E as \xXX, and what separates attributes after a backslash.
func printable(value []byte) string {
	var b strings.Builder
	for _, c := range value {
		switch {
		case c < 0x20 || c > 0x7E:
			fmt.Fprintf(&b, `\x%02X`, c)
		case c == '/' || c == '+':
			b.WriteString(`\` + string(rune(c)))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
