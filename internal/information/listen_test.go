package information

import (
	"net"
	"net/netip"
	"testing"
)

// from is a connection that comes from an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }
func (f from) LocalAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.1:8480"))
}

// lined is a listener to which connections come from these addresses.
type lined struct {
	net.Listener
	addrs []string
}

func (l *lined) Accept() (net.Conn, error) {
	if len(l.addrs) == 0 {
		return nil, net.ErrClosed
	}
	ours, _ := net.Pipe()
	c := from{ours, l.addrs[0]}
	l.addrs = l.addrs[1:]
	return c, nil
}

// TestOneTakesNotAll: who opens all the connections that there are leaves room for others.
func TestOneTakesNotAll(t *testing.T) {
	source := &lined{}
	for range maxOpen {
		source.addrs = append(source.addrs, "192.0.2.1:5")
	}
	for range maxEach + 1 { // of a proxy on this machine
		source.addrs = append(source.addrs, "198.51.100.1:5")
	}
	source.addrs = append(source.addrs, "192.0.2.2:5")
	taken := map[string]int{}
	l := bounded(source)
	for c, err := l.Accept(); err == nil; c, err = l.Accept() {
		taken[c.RemoteAddr().String()]++
		if taken["192.0.2.1:5"] > maxEach {
			t.Fatal("one address has more than its part")
		}
	}
	if taken["192.0.2.1:5"] != maxEach || taken["198.51.100.1:5"] != maxEach+1 || taken["192.0.2.2:5"] != 1 {
		t.Error(taken)
	}
}
