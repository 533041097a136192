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
)

// Limits of the server. A page is small and comes from our own database: who needs longer is no reader.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10
	maxOpen       = 256             // connections at once
	grace         = 5 * time.Second // for answers that are under way when the service stops
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
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // mostly of clients that went away
	}
}

// Serve answers on the listener until ctx ends; then it lets answers under way be finished, for a short grace.
func Serve(ctx context.Context, l net.Listener, srv *http.Server) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("web server on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(patience)
	if err != nil {
		err = errors.Join(fmt.Errorf("web server on %s: answers were cut off: %w", l.Addr(), err), srv.Close())
	}
	<-failed
	return err
}
