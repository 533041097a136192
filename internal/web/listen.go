package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/fedsite/fedsite/internal/listen"
)

// Limits of the server. A page is small and comes from our own database: who needs longer is no reader.
const (
	writeTimeout = 30 * time.Second
	maxOpen      = 256 // connections at once
)

// Listen opens the address, "127.0.0.1:8470" say, port 0 for a free one. Until there is sign-in it must be a loopback
// address: anybody who reaches it reads everything.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: it is no address with a port: write 127.0.0.1:8470, say", addr)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
		return nil, refused(addr, port)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %q: %w: end what listens there, or choose another port", addr, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	// localhost is what /etc/hosts says it is
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(refused(addr, port), l.Close())
	}
	return netutil.LimitListener(l, maxOpen), nil
}

func refused(addr, port string) error {
	return fmt.Errorf("listen on %q: only loopback addresses, because there is no sign-in yet: write 127.0.0.1:%s, and look from elsewhere through a tunnel: ssh -L %s:127.0.0.1:%s HOST", addr, port, port, port)
}

// NewHTTPServer gives the server for the handler, with time-outs and limits. Log takes what the server itself has to say.
func NewHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return listen.NewHTTPServer(handler, log, writeTimeout)
}

// Serve answers on the listener until ctx ends; then it lets answers under way be finished, for a short grace.
func Serve(ctx context.Context, l net.Listener, srv *http.Server) error {
	return listen.ServeHTTP(ctx, l, srv, "web server")
}
