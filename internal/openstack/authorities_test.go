package openstack_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// certify makes a certificate of loopback's addresses for a name, signed by an issuer, or by itself.
func certify(t *testing.T, name pkix.Name, issuer *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: name, NotBefore: present.AddDate(-1, 0, 0), NotAfter: present.AddDate(1, 0, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA: issuer == nil, BasicConstraintsValid: true}
	parent, signer := tmpl, any(key)
	if issuer != nil {
		parent, signer = issuer.Leaf, issuer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// TestAuthorities: who vouches for Keystone, and whose users' certificates it takes, in both versions of TLS, over IPv4 and
// IPv6, with nobody signed in.
func TestAuthorities(t *testing.T) {
	ca := certify(t, pkix.Name{Country: []string{"NL"}, Organization: []string{"Test CA Org"}, CommonName: "Lab Test CA"}, nil)
	users := certify(t, pkix.Name{Organization: []string{"Grid\nline"}, CommonName: "Users' CA"}, nil)
	server := certify(t, pkix.Name{CommonName: "keystone"}, &ca)
	roots, clients := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	clients.AddCert(users.Leaf)
	clients.AddCert(ca.Leaf)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
			for _, offers := range []bool{false, true} {
				l, err := net.Listen("tcp", address)
				if err != nil {
					t.Logf("%s: %v", address, err) // a machine without IPv6
					continue
				}
				s := httptest.NewUnstartedServer(http.NotFoundHandler())
				s.Listener, s.TLS = l, &tls.Config{Certificates: []tls.Certificate{server}, MinVersion: version, MaxVersion: version}
				if offers {
					s.TLS.ClientAuth, s.TLS.ClientCAs = tls.VerifyClientCertIfGiven, clients
				}
				s.StartTLS()
				own, err := transport.New(transport.Config{Roots: roots, Now: now})
				if err != nil {
					t.Fatal(err)
				}
				got, err := connect(t, s.URL+"/v3", openstack.Credential{}, func(c *openstack.Config) { c.HTTP, c.Shake = own.Client, own.Shake }).Authorities(t.Context())
				s.Close()
				want := openstack.Authorities{Issuer: "/C=NL/O=Test CA Org/CN=Lab Test CA", Expires: present.AddDate(1, 0, 0)}
				if offers {
					want.ClientCAs = []string{`/O=Grid\x0Aline/CN=Users' CA`, want.Issuer}
				}
				if d := cmp.Diff(want, got); d != "" || err != nil {
					t.Errorf("%s %s: %v\n%s", tls.VersionName(version), address, err, d)
				}
			}
		}
	}
}

// TestNoAuthorities: without TLS there is nothing to tell; what fails says so within its time.
func TestNoAuthorities(t *testing.T) {
	if got, err := connect(t, "http://127.0.0.1:1/v3", openstack.Credential{}).Authorities(t.Context()); err != nil || !got.Plain || got.Issuer != "" {
		t.Errorf("%+v, %v", got, err)
	}
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	defer untrusted.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		ctx       context.Context
		url, says string
	}{{t.Context(), untrusted.URL, "not trusted"}, {soon, "https://" + silent.Addr().String(), "no answer in time"}} {
		_, err := connect(t, c.url+"/v3", openstack.Credential{}).Authorities(c.ctx)
		if !errors.Is(err, openstack.ErrUnavailable) || !strings.Contains(err.Error(), c.says) || openstack.Hint(err) == "" {
			t.Errorf("%v (%s)", err, openstack.Hint(err))
		}
	}
}
