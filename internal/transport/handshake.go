package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Handshake is what a server showed when a connection to it was secured.
type Handshake struct {
	Version   uint16              // tls.VersionTLS13 …
	Chain     []*x509.Certificate // as the server sent it, its own first
	ClientCAs [][]byte            // names (DER) of the authorities whose client certificates it says it takes
}

// shakeTime is how long a handshake may take, the way there included.
const shakeTime = 30 * time.Second

// Shake secures a connection of its own to an https URL, by the client's proxy, authorities and source address, and tells
// what the server showed. No client certificate is shown: a server that insists on one has told what it takes by then. One
// HEAD request, without a token, goes over the connection, and its answer does not matter.
func (c *Client) Shake(ctx context.Context, target string) (Handshake, error) {
	ctx, cancel := context.WithTimeout(ctx, shakeTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, target, nil)
	if err != nil {
		return Handshake{}, err
	}
	if r.URL.Scheme != "https" {
		return Handshake{}, errors.New("there is no TLS at " + r.URL.Scheme + "://" + r.URL.Host)
	}
	var (
		mu    sync.Mutex // the handshake may go on when the request has ended
		shown Handshake
		done  bool
	)
	// A proxy that is itself reached by TLS comes first, and is overwritten.
	one := c.base.Clone()
	one.DisableKeepAlives = true
	one.TLSClientConfig.VerifyConnection = func(s tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		shown, done = Handshake{Version: s.Version, Chain: s.PeerCertificates}, s.ServerName == strings.TrimSuffix(r.URL.Hostname(), ".") || s.ServerName == ""
		return nil
	}
	one.TLSClientConfig.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		shown.ClientCAs = info.AcceptableCAs
		return &tls.Certificate{}, nil
	}
	res, err := one.RoundTrip(r)
	if res != nil {
		_ = res.Body.Close()
	}
	one.CloseIdleConnections()
	mu.Lock()
	defer mu.Unlock()
	if err != nil && !done {
		return Handshake{}, explain(r, err)
	}
	return shown, nil
}
