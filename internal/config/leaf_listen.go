package config

import (
	"net"
	"net/netip"
	"strconv"
)

// listen is an address on loopback with a port, or off.
type listen struct {
	said
	V string
}

func (v *listen) decode(d *decoder, n *node, _ field) {
	if !d.scalar(n, "an address with a port like 127.0.0.1:8470, or off") {
		return
	}
	if n.text == off {
		return
	}
	host, port, err := net.SplitHostPort(n.text)
	number, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || strconv.FormatUint(number, 10) != port {
		d.fail(n, "must be an address with a port like 127.0.0.1:8470 or [::1]:8470, or off")
		return
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		d.fail(n, "must be on loopback, as 127.0.0.1:%s: others can reach %q, and that needs sign-in, which is %s", port, host, notYet)
		return
	}
	v.V = n.text
}
