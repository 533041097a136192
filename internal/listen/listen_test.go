package listen

import (
	"errors"
	"io"
	"net"
	"testing"
)

// TestOrigin: an IPv6 host can choose among 2⁶⁴ addresses, and counts as one.
func TestOrigin(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[::ffff:192.0.2.1]:5": "192.0.2.1", "[2001:db8::1]:5": "2001:db8::/64", "[2001:db8::2]:6": "2001:db8::/64",
		"[fe80::1%eth0]:5": "fe80::/64", "[::1]:9": "::/64",
	} {
		if got := Origin(tcp(t, address)); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := Origin(pipe{}); got != "pipe" {
		t.Errorf("what has no address: %q", got)
	}
}

func tcp(t *testing.T, address string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type pipe struct{}

func (pipe) Network() string { return "pipe" }
func (pipe) String() string  { return "pipe" }

// end is an end of a connection that says whence it came.
type end struct {
	net.Conn
	from, to net.Addr
}

func (e *end) RemoteAddr() net.Addr { return e.from }
func (e *end) LocalAddr() net.Addr  { return e.to }

// coming is a listener to which these connections come.
type coming struct {
	net.Listener
	next []net.Conn
}

func (c *coming) Accept() (net.Conn, error) {
	if len(c.next) == 0 {
		return nil, net.ErrClosed
	}
	n := c.next[0]
	c.next = c.next[1:]
	return n, nil
}

// TestEach: two connections of one place are taken and a third is closed, until one of them is; others' are not touched, and
// the machine's own are not counted.
func TestEach(t *testing.T) {
	source := &coming{}
	l := Each(source, 2)
	come := func(from string) (taken net.Conn) {
		t.Helper()
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close() })
		source.next = []net.Conn{&end{ours, tcp(t, from), tcp(t, "[2001:db8:9::1]:8480")}}
		c, err := l.Accept()
		if err == nil {
			return c
		}
		if _, read := theirs.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || !errors.Is(read, io.EOF) {
			t.Fatalf("%s: %v, and the client sees %v", from, err, read)
		}
		return nil
	}
	first := come("192.0.2.1:1")
	for _, c := range []struct {
		from  string
		taken bool
	}{
		{"192.0.2.1:2", true}, {"192.0.2.1:3", false}, {"192.0.2.2:1", true},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, {"[2001:db8:0:1::3]:1", true},
		{"127.0.0.1:1", true}, {"127.0.0.1:2", true}, {"127.0.0.1:3", true}, {"[::1]:1", true}, {"[::1]:2", true}, {"[::1]:3", true},
		{"[2001:db8:9::1]:1", true}, {"[2001:db8:9::1]:2", true}, {"[2001:db8:9::1]:3", true}, // a proxy on this machine
		{"[2001:db8:9::2]:1", true}, {"[2001:db8:9::2]:2", true}, {"[2001:db8:9::2]:3", false}, // its neighbour
	} {
		if got := come(c.from) != nil; got != c.taken {
			t.Errorf("%s: taken %t, want %t", c.from, got, c.taken)
		}
	}
	_ = first.Close()
	_ = first.Close() // once more gives no second place
	if come("192.0.2.1:4") == nil || come("192.0.2.1:5") != nil {
		t.Error("one connection was closed, but not one place became free")
	}
}

// TestRoomForgets: an origin that left takes no memory.
func TestRoomForgets(t *testing.T) {
	r := NewRoom(1)
	if !r.Enter("a") || r.Enter("a") {
		t.Error("there is one place")
	}
	if r.Leave("a"); len(r.from) != 0 {
		t.Error(r.from)
	}
}
