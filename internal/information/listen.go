package information

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"github.com/fedsite/fedsite/internal/listen"
)

// Limits of the server. All images of a large federation are some MB, for clients far away.
const (
	writeTimeout = 60 * time.Second
	maxOpen      = 512 // connections at once
	maxEach      = 32  // of them from one place; a browser opens 6, a program with threads more
)

// Listen opens an address, "[::]:8480" say, port 0 for a free one. Everything here is for everybody, so that it may be any
// address; what others want to see as https has a server with a certificate before it, or a TLS listener around this one.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("listen on %q: it is no address with a port: write [::]:8480 or 127.0.0.1:8480, say", addr)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %q: %w: end what listens there, or choose another port", addr, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	return bounded(l), nil
}

// bounded bounds the connections at once: one more than all waits, one more than one place may have is closed.
func bounded(l net.Listener) net.Listener {
	return netutil.LimitListener(listen.Each(l, maxEach), maxOpen)
}

// NewHTTPServer gives the server for the handler, with time-outs and limits. Log takes what the server itself has to say.
func NewHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	return listen.NewHTTPServer(handler, log, writeTimeout)
}

// Serve answers on the listener until ctx ends; then it lets answers under way be finished, for a short grace.
func Serve(ctx context.Context, l net.Listener, srv *http.Server) error {
	return listen.ServeHTTP(ctx, l, srv, "information API")
}
