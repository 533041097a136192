// Package listen is how we are asked by strangers: how many connections those who come from one place may have at once, so
// that one of them cannot take the room of all others; how long they may take; and what they are told when something fails.
package listen

import (
	"net"
	"net/netip"
	"sync"
)

// Origin is what connections from one place have in common: an IPv4 address, or the IPv6 network that one host can choose
// its addresses from.
func Origin(a net.Addr) string {
	ip, ok := address(a)
	if !ok {
		return a.String()
	}
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}

// address is the IP address of a connection's end.
func address(a net.Addr) (netip.Addr, bool) {
	p, err := netip.ParseAddrPort(a.String())
	return p.Addr().Unmap().WithZone(""), err == nil
}

// Near tells whether a connection comes from the machine itself: from a loopback address, or from the address at which it
// arrives. A proxy that stands there brings many clients by one address.
func Near(c net.Conn) bool {
	from, ok := address(c.RemoteAddr())
	if !ok {
		return false
	}
	to, ok := address(c.LocalAddr())
	return from.IsLoopback() || ok && from == to
}

// Room counts connections by origin.
type Room struct {
	most int
	mu   sync.Mutex
	from map[string]int
}

// NewRoom gives room for so many connections of each origin.
func NewRoom(most int) *Room { return &Room{most: most, from: map[string]int{}} }

// Enter takes a place of an origin, and tells whether there was one.
func (r *Room) Enter(origin string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from[origin] >= r.most {
		return false
	}
	r.from[origin]++
	return true
}

// Leave gives back a place that was taken.
func (r *Room) Leave(origin string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from[origin]--; r.from[origin] <= 0 {
		delete(r.from, origin)
	}
}

// Each gives a listener that closes at once what is more than so many connections of one origin. Those from the machine
// itself are not counted. A place is free again when its connection is closed.
func Each(l net.Listener, most int) net.Listener { return &each{l, NewRoom(most)} }

type each struct {
	net.Listener
	room *Room
}

// Accept gives the next connection that there is room for.
func (e *each) Accept() (net.Conn, error) {
	for {
		c, err := e.Listener.Accept()
		if err != nil || Near(c) {
			return c, err
		}
		origin := Origin(c.RemoteAddr())
		if e.room.Enter(origin) {
			return &placed{Conn: c, leave: sync.OnceFunc(func() { e.room.Leave(origin) })}, nil
		}
		_ = c.Close()
	}
}

// placed is a connection that holds a place.
type placed struct {
	net.Conn
	leave func()
}

// Close closes it and gives its place back.
func (p *placed) Close() error {
	err := p.Conn.Close()
	p.leave()
	return err
}
