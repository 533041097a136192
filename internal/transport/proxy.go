package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

// proxyFor gives the proxy of each request. Unlike the environment's convention, loopback addresses are no exception
// unless no_proxy names them.
func proxyFor(cfg Config) (func(*http.Request) (*url.URL, error), error) {
	if cfg.Proxy == "" {
		return nil, nil
	}
	u, err := url.Parse(cfg.Proxy)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5") {
		return nil, errors.New("network.proxy is no proxy URL (http://host:port)") // the value may hold a password
	}
	// httpproxy never proxies loopback; asked for a name outside of it, it answers by no_proxy alone.
	choose := (&httpproxy.Config{HTTPProxy: cfg.Proxy, HTTPSProxy: cfg.Proxy, NoProxy: strings.Join(cfg.NoProxy, ",")}).ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		if !loopback(r.URL.Hostname()) {
			return choose(r.URL)
		}
		for _, entry := range cfg.NoProxy {
			if names(strings.TrimSpace(entry), r.URL) {
				return nil, nil
			}
		}
		return u, nil
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// names tells whether an entry of no_proxy names the loopback host of a URL.
func names(entry string, u *url.URL) bool {
	if host, port, err := net.SplitHostPort(entry); err == nil {
		return host == u.Hostname() && port == portOf(u)
	}
	if p, err := netip.ParsePrefix(entry); err == nil {
		a, err := netip.ParseAddr(u.Hostname())
		return err == nil && p.Contains(a)
	}
	return entry == "*" || strings.Trim(entry, "[]") == u.Hostname()
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// proxyRefusal is a proxy's answer to CONNECT that is not 200.
type proxyRefusal struct {
	proxy  string // host and port
	status int
}

func (p *proxyRefusal) Error() string {
	return fmt.Sprintf("the proxy %s does not connect: %d %s", p.proxy, p.status, http.StatusText(p.status))
}

// hint says what to do, and whether trying again at once is of no use.
func (p *proxyRefusal) hint() (hint string, final bool) {
	switch {
	case p.status == http.StatusProxyAuthRequired:
		return "the proxy wants a login: network.proxy: http://user:password@host:port", true
	case p.status >= 500:
		return "the proxy cannot reach this host and port: see its log", false
	}
	return "allow this host and port at the proxy, or name the host under network.no_proxy", true
}

// connected looks at a proxy's answer to CONNECT.
func connected(_ context.Context, proxy *url.URL, _ *http.Request, res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	return &proxyRefusal{proxy.Host, res.StatusCode}
}
