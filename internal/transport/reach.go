package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// ErrRefused marks a request that was not made, because of where it would have led.
var ErrRefused = errors.New("refused")

// Reach is a kind of network: the wider one first. Whoever reads a URL that a stranger wrote must not be led to a network
// that is nearer to this machine than the one that the operator named.
type Reach int

// The networks, each within the one before it.
const (
	Public    Reach = iota
	Private         // RFC 1918, RFC 4193, RFC 6598, and what else does not leave a site
	LinkLocal       // RFC 3927 and its like, where clouds answer about a VM (metadata)
	Loopback
)

// String names the network.
func (r Reach) String() string {
	return [...]string{"public", "private", "link-local", "loopback"}[r]
}

// networks are those that are not public. An address is in the first that holds it.
var networks = []struct {
	prefix netip.Prefix
	reach  Reach
}{
	{netip.MustParsePrefix("127.0.0.0/8"), Loopback},
	{netip.MustParsePrefix("0.0.0.0/8"), Loopback}, // connects to this machine
	{netip.MustParsePrefix("::/127"), Loopback},
	{netip.MustParsePrefix("169.254.0.0/16"), LinkLocal},
	{netip.MustParsePrefix("fe80::/10"), LinkLocal},
	{netip.MustParsePrefix("fd00:ec2::/32"), LinkLocal},      // metadata of a public cloud
	{netip.MustParsePrefix("100.100.100.200/32"), LinkLocal}, // another's
	{netip.MustParsePrefix("168.63.129.16/32"), LinkLocal},   // another's
	{netip.MustParsePrefix("224.0.0.0/4"), LinkLocal},
	{netip.MustParsePrefix("ff00::/8"), LinkLocal},
	{netip.MustParsePrefix("255.255.255.255/32"), LinkLocal},
	{netip.MustParsePrefix("10.0.0.0/8"), Private},
	{netip.MustParsePrefix("172.16.0.0/12"), Private},
	{netip.MustParsePrefix("192.168.0.0/16"), Private},
	{netip.MustParsePrefix("100.64.0.0/10"), Private},
	{netip.MustParsePrefix("192.0.0.0/24"), Private},
	{netip.MustParsePrefix("198.18.0.0/15"), Private},
	{netip.MustParsePrefix("240.0.0.0/4"), Private},
	{netip.MustParsePrefix("fc00::/7"), Private},
	{netip.MustParsePrefix("fec0::/10"), Private},
}

// Networks that carry an IPv4 address within an IPv6 one, and at which byte.
var carriers = []struct {
	prefix netip.Prefix
	at     int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
	{netip.MustParsePrefix("::/96"), 12},
}

// ReachOf gives the network of an address. One that carries another address is judged by that.
func ReachOf(a netip.Addr) Reach {
	a = a.Unmap().WithZone("")
	for _, n := range networks {
		if n.prefix.Contains(a) {
			return n.reach
		}
	}
	for _, c := range carriers {
		if c.prefix.Contains(a) {
			b := a.As16()
			return ReachOf(netip.AddrFrom4([4]byte(b[c.at : c.at+4])))
		}
	}
	return Public
}

type originKey struct{}

// From gives a context whose requests go back to a URL that the operator wrote: the URL itself, or one that a document named
// that was got there. A client that follows redirects Anywhere reaches no nearer network than that URL leads to. Without it,
// the first URL of a request counts as the operator's.
func From(ctx context.Context, operator string) (context.Context, error) {
	u, err := url.Parse(operator)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("no URL of a host") // it may hold a token
	}
	return context.WithValue(ctx, originKey{}, u), nil
}

// origin gives the operator's URL of a request.
func origin(r *http.Request) *url.URL {
	if u, ok := r.Context().Value(originKey{}).(*url.URL); ok {
		return u
	}
	for r.Response != nil && r.Response.Request != nil { // it was redirected
		r = r.Response.Request
	}
	return r.URL
}

// refusal is a target that is too near.
type refusal struct {
	target *url.URL
	addr   string
	reach  Reach
	from   Reach
	own    bool // it is the operator's own URL
}

func (f *refusal) Error() string {
	target := f.target.Scheme + "://" + f.target.Host
	if f.own {
		return fmt.Sprintf("refused: %.80q leads to a %s address (%s), where a cloud tells VMs their secrets: only the address itself is taken", target, f.reach, f.addr)
	}
	return fmt.Sprintf("refused: %.80q leads to a %s address (%s) from a %s one", target, f.reach, f.addr, f.from)
}

func (f *refusal) Unwrap() error { return ErrRefused }

// limit is how near a request may go.
type limit struct {
	target *url.URL
	from   Reach // what the operator's URL leads to
	own    bool  // it goes to the host of the operator's URL
	asIs   bool  // which is an address itself
}

// allows tells whether a connection to an address may be made.
func (l limit) allows(a netip.Addr) error {
	reach := ReachOf(a)
	ok := reach <= l.from && reach != LinkLocal
	if l.own {
		ok = l.asIs || reach != LinkLocal
	}
	if ok {
		return nil
	}
	return &refusal{target: l.target, addr: a.String(), reach: reach, from: l.from, own: l.own}
}

// near keeps requests from networks nearer than their origin's. Each limit has connections of its own, so that one that was
// made for a request that may go there is never used for one that may not.
type near struct {
	proxy   func(*http.Request) (*url.URL, error) // nil = none
	base    *http.Transport                       // behind a proxy, who resolves names itself
	own     *http.Transport
	foreign [Loopback + 1]*http.Transport
	seen    sync.Map // host of an operator's URL → Reach of the address that answered last
}

type limitKey struct{}

// newNear gives the layer over connections as base makes them.
func newNear(base *http.Transport, dialer *net.Dialer) *near {
	n := &near{proxy: base.Proxy, base: base}
	judging := *dialer
	judging.ControlContext = func(ctx context.Context, _, address string, _ syscall.RawConn) error {
		l, ok := ctx.Value(limitKey{}).(limit)
		a, err := netip.ParseAddrPort(address)
		if !ok || err != nil {
			return fmt.Errorf("%w: %.80q is no address that can be judged", ErrRefused, address)
		}
		return l.allows(a.Addr())
	}
	pool := func() *http.Transport {
		t := base.Clone()
		t.Proxy, t.DialContext = nil, judging.DialContext
		return t
	}
	n.own = pool()
	for i := range n.foreign {
		n.foreign[i] = pool()
	}
	return n
}

// CloseIdleConnections closes connections that are kept for later.
func (n *near) CloseIdleConnections() {
	n.base.CloseIdleConnections()
	n.own.CloseIdleConnections()
	for _, t := range n.foreign {
		t.CloseIdleConnections()
	}
}

func (n *near) RoundTrip(r *http.Request) (*http.Response, error) {
	from := origin(r)
	l := limit{target: r.URL, own: strings.EqualFold(from.Hostname(), r.URL.Hostname())}
	proxied := false
	if n.proxy != nil {
		u, err := n.proxy(r)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		proxied = u != nil
	}
	host := r.URL.Hostname()
	a, err := netip.ParseAddr(host)
	l.asIs = err == nil
	switch {
	case l.own:
	default:
		l.from = n.reachOf(r.Context(), from, proxied)
	}
	switch {
	case l.asIs:
		err = l.allows(a)
	case proxied:
		err = l.named(host)
	default:
		err = nil
	}
	if err != nil {
		closeBody(r)
		return nil, err
	}
	if proxied {
		return n.base.RoundTrip(r)
	}
	ctx := context.WithValue(r.Context(), limitKey{}, l)
	if !l.own {
		return n.foreign[l.from].RoundTrip(r.WithContext(ctx))
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if p, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String()); err == nil {
			n.seen.Store(strings.ToLower(host), ReachOf(p.Addr()))
		}
	}})
	return n.own.RoundTrip(r.WithContext(ctx))
}

// named judges a name that a proxy will resolve: what is certainly here, and numbers that some take for an address.
func (l limit) named(host string) error {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return l.allows(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return fmt.Errorf("%w: %.80q is neither a name nor a usual address", ErrRefused, host)
	}
	return nil
}

// reachOf gives the network that the operator's URL leads to: of the address itself, of the one that answered last, or of
// those that its name has; the widest of them. A name that this machine does not know, or that a proxy resolves, is taken
// for public.
func (n *near) reachOf(ctx context.Context, from *url.URL, proxied bool) Reach {
	host := strings.ToLower(from.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		return ReachOf(a)
	}
	if host == "localhost" {
		return Loopback
	}
	if r, ok := n.seen.Load(host); ok {
		return r.(Reach)
	}
	if proxied {
		return Public
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return Public
	}
	widest := Loopback
	for _, a := range addrs {
		widest = min(widest, ReachOf(a))
	}
	return widest
}
