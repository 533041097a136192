package federation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// CA is a throw-away certificate authority of the emulated federation.
type CA struct {
	Certificate *x509.Certificate
	PEM         []byte
	key         *ecdsa.PrivateKey
	serial      atomic.Int64
	from, to    time.Time

	mu      sync.Mutex
	server  *tls.Certificate // of the federation's services; nil = not made yet
	revoked []x509.RevocationListEntry
	crls    int64 // how many were made
}

// NewCA makes an authority whose certificates are valid from a year before to five years after both instants: the
// emulated present, and the machine's, which TLS goes by.
func NewCA(present time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &CA{key: key, from: present, to: present}
	if real := time.Now(); real.Before(present) {
		ca.from = real
	} else {
		ca.to = real
	}
	ca.from, ca.to = ca.from.AddDate(-1, 0, 0), ca.to.AddDate(5, 0, 0)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Emulated Federation CA", Organization: []string{"Emulation"}},
		NotBefore: ca.from, NotAfter: ca.to, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if ca.Certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	ca.serial.Store(1)
	ca.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return ca, nil
}

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.Certificate)
	return p
}

// Issue gives certificate and RSA key in PEM for a host, with the subject /DC=org/DC=emulation/O=<organisation>/CN=<host>.
// Several addresses and names may be given, comma-separated; the first is the common name.
func (ca *CA) Issue(organisation, hosts string) (certPEM, keyPEM []byte, err error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, err
	}
	names := strings.Split(hosts, ",")
	subject, err := rawSubject(organisation, names[0])
	if err != nil {
		return nil, nil, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(ca.serial.Add(1)), RawSubject: subject, NotBefore: ca.from, NotAfter: ca.to,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		CRLDistributionPoints: []string{"http://127.0.0.1:1/emulated.crl"}}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
		} else {
			tmpl.DNSNames = append(tmpl.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.Certificate, &key.PublicKey, ca.key)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}

// rawSubject writes the name in the order of grid certificates, one attribute per set.
func rawSubject(organisation, cn string) ([]byte, error) {
	type attribute struct {
		Type  asn1.ObjectIdentifier
		Value string `asn1:"utf8"`
	}
	dc := asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	var sets []asn1.RawValue
	for _, a := range []attribute{{dc, "org"}, {dc, "emulation"}, {asn1.ObjectIdentifier{2, 5, 4, 10}, organisation}, {asn1.ObjectIdentifier{2, 5, 4, 3}, cn}} {
		der, err := asn1.Marshal(a)
		if err != nil {
			return nil, err
		}
		sets = append(sets, asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: der})
	}
	return asn1.Marshal(sets)
}

// serverTLS gives the TLS configuration of an emulated service on loopback. All services have one certificate: a key takes
// long to make.
func (ca *CA) serverTLS(clientCerts bool) (*tls.Config, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if ca.server == nil {
		certPEM, keyPEM, err := ca.Issue("Emulation", "localhost,127.0.0.1,::1")
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certPEM, keyPEM)
		if err != nil {
			return nil, err
		}
		ca.server = &pair
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{*ca.server}, MinVersion: tls.VersionTLS12}
	if clientCerts {
		cfg.ClientAuth, cfg.ClientCAs = tls.VerifyClientCertIfGiven, ca.Pool()
	}
	return cfg, nil
}
