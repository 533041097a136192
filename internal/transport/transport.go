// Package transport makes every outgoing HTTP connection of fedsite: proxies, certificate authorities, limits, retries,
// deadlines, and a log that holds no secret.
//
//	limit time → limit rate → retry → count → log → redact → limit size → stall → reach → connect
//
// Each layer wraps the next; what a layer does is in the file of its name.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Config says how connections are made. The zero value connects directly, trusts the system's authorities and does not
// retry.
type Config struct {
	Proxy         string         // http://proxy.example.org:3128; "" = none; the environment's proxy variables are not looked at
	NoProxy       []string       // hosts, .domains, addresses, networks, each with or without a port
	CAFile        string         // PEM; trusted beside the system's authorities, or beside Roots
	Roots         *x509.CertPool // trusted instead of the system's authorities; nil = the system's
	SourceAddress string         // local address to connect from
	Timeout       time.Duration  // for one call with its repetitions, pauses and the reading of the answer; of a body that can be sent once only, between two pieces of it; 0 = none
	Answer        time.Duration  // how long the answer may take once such a body has gone; 0 = Timeout, at most two minutes
	Retry         Retry
	PerSecond     float64 // requests per second; 0 = no limit
	MaxBody       int64   // bytes of an answer; 0 = DefaultMaxBody
	Redirects     Redirects
	Stall         time.Duration // how long the reading of a body may wait for the next byte; 0 = Timeout alone counts
	UserAgent     string
	ReadOnly      bool // refuse everything but GET, HEAD and sign-in
	Now           func() time.Time
	Log           *slog.Logger
	Counter       *Counter
}

// Retry says how often a request that may be repeated is tried: GET and HEAD after a failed connection, 502, 503 or 504,
// and any request after 429.
type Retry struct {
	Attempts int           // 0 or 1 = no retry
	Base     time.Duration // first back-off; doubles, with jitter
	Max      time.Duration // longest back-off, and longest Retry-After that is waited for
}

// DefaultMaxBody is how many bytes of an answer are read at most: a page of 1,000 VMs has about 3 MB.
const DefaultMaxBody = 64 << 20

// Client is an HTTP client, whose client certificate can be set later.
type Client struct {
	*http.Client
	base *http.Transport
	near *near // nil = redirects stay on the host
	cert atomic.Pointer[tls.Certificate]
}

// SetCertificate sets the TLS client certificate of connections made from now on.
func (c *Client) SetCertificate(cert tls.Certificate) {
	c.cert.Store(&cert)
	c.CloseIdleConnections()
}

// CloseIdleConnections closes connections that are kept for later; http.Client's own does not see through the layers.
func (c *Client) CloseIdleConnections() {
	c.base.CloseIdleConnections()
	if c.near != nil {
		c.near.CloseIdleConnections()
	}
}

// New gives a client for the configuration.
func New(cfg Config) (*Client, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	c := &Client{}
	dialer, err := dialerFor(cfg)
	if err != nil {
		return nil, err
	}
	if c.base, err = connect(cfg, dialer, &c.cert); err != nil {
		return nil, err
	}
	var rt http.RoundTripper = c.base
	if cfg.Answer > headersWithin {
		rt = &prompt{next: rt}
	}
	follow := sameHost
	if cfg.Redirects == Anywhere {
		c.near, follow = newNear(c.base, dialer), anywhere
		rt = c.near
	}
	if cfg.Stall > 0 {
		rt = &stalling{next: rt, after: cfg.Stall}
	}
	rt = &sized{next: rt, max: cfg.MaxBody}
	rt = &discreet{next: rt, proxy: proxySecrets(cfg.Proxy), files: cfg.Redirects == Anywhere}
	rt = &logged{next: rt, log: cfg.Log, agent: cfg.UserAgent, now: time.Now}
	if cfg.Counter != nil {
		rt = &counted{next: rt, counter: cfg.Counter}
	}
	if cfg.Retry.Attempts > 1 {
		rt = &retried{next: rt, policy: cfg.Retry, log: cfg.Log}
	}
	if cfg.PerSecond > 0 {
		rt = &limited{next: rt, limiter: rate.NewLimiter(rate.Limit(cfg.PerSecond), max(1, int(cfg.PerSecond)))}
	}
	if cfg.ReadOnly {
		rt = &readOnly{next: rt}
	}
	if cfg.Timeout > 0 {
		rt = &timed{next: rt, timeout: cfg.Timeout, answer: cfg.Answer}
	}
	c.Client = &http.Client{Transport: rt, CheckRedirect: follow}
	return c, nil
}

func dialerFor(cfg Config) (*net.Dialer, error) {
	dialer := &net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}
	if cfg.SourceAddress != "" {
		addr, err := netip.ParseAddr(cfg.SourceAddress)
		if err != nil {
			return nil, fmt.Errorf("network.source_address %q is no IP address", cfg.SourceAddress)
		}
		dialer.LocalAddr = &net.TCPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
	}
	return dialer, nil
}

func connect(cfg Config, dialer *net.Dialer, cert *atomic.Pointer[tls.Certificate]) (*http.Transport, error) {
	roots, err := authorities(cfg.Roots, cfg.CAFile)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFor(cfg)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  proxy,
		OnProxyConnectResponse: connected,
		DialContext:            dialer.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    15 * time.Second,
		ResponseHeaderTimeout:  max(headersWithin, cfg.Answer),
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		TLSClientConfig: &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS12, Time: cfg.Now,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c := cert.Load(); c != nil {
					return c, nil
				}
				return &tls.Certificate{}, nil
			},
		},
	}, nil
}

// authorities gives what is trusted; nil = the system's.
func authorities(roots *x509.CertPool, file string) (*x509.CertPool, error) {
	if file == "" {
		return roots, nil
	}
	pemData, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("network.ca_file: %w", err)
	}
	var pool *x509.CertPool
	if roots != nil {
		pool = roots.Clone()
	} else if pool, err = x509.SystemCertPool(); err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pemData) {
		return nil, fmt.Errorf("network.ca_file %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

type limited struct {
	next    http.RoundTripper
	limiter *rate.Limiter
}

func (l *limited) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := l.limiter.Wait(r.Context()); err != nil {
		closeBody(r)
		if cause := context.Cause(r.Context()); cause != nil {
			return nil, cause
		}
		return nil, fmt.Errorf("%w: %w", context.DeadlineExceeded, err) // the turn would come after the deadline
	}
	return l.next.RoundTrip(r)
}

// readOnly lets nothing through that could change the world (design §7, "Plan and apply are one").
type readOnly struct{ next http.RoundTripper }

func (o *readOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	federated := strings.Contains(r.URL.Path, "/OS-FEDERATION/identity_providers/") && strings.HasSuffix(r.URL.Path, "/auth")
	signIn := r.Method == http.MethodPost && (federated || strings.HasSuffix(r.URL.Path, "/auth/tokens"))
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !signIn {
		closeBody(r)
		return nil, fmt.Errorf("%s %s would change something, and this run must not", r.Method, r.URL.Path)
	}
	return o.next.RoundTrip(r)
}

// closeBody closes the body of a request that is not sent, as a RoundTripper must.
func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
