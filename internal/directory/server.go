package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fedsite/fedsite/internal/listen"
)

// Port is where a site BDII is asked.
const Port = "2170"

// Options are what a server is made from. Only Source is needed.
type Options struct {
	Source   Source
	Log      *slog.Logger
	Limits   Limits
	Every    time.Duration       // how often the source is asked; 15 s
	Answered func(Operation)     // is told of every answer, from many goroutines
	Refused  func(reason string) // is told of every connection that found no room: "connections", "address"
}

// Server answers LDAP. It is made by New.
type Server struct {
	source   Source
	log      *slog.Logger
	limits   Limits
	every    time.Duration
	answered func(Operation)
	refused  func(string)

	empty   *tree
	current atomic.Pointer[tree] // nil = nothing is known yet
	polling sync.Mutex
	polled  atomic.Pointer[polled]

	stopping atomic.Bool
	mu       sync.Mutex
	open     map[*connection]bool
	from     *listen.Room // connections by origin
	serving  sync.WaitGroup
}

// New makes a server that knows nothing yet.
func New(o Options) *Server {
	s := &Server{
		source: o.Source, log: o.Log, limits: o.Limits.withDefaults(), every: cmp.Or(o.Every, 15*time.Second),
		answered: o.Answered, refused: o.Refused, empty: newTree(nil, "", nil),
		open: map[*connection]bool{},
	}
	s.from = listen.NewRoom(s.limits.PerAddress)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.polled.Store(&polled{})
	return s
}

// Listen opens an address: "host:port", or a host alone, whose port is Port then. An empty host is every address of the
// machine, of IPv4 and IPv6.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	var part *net.AddrError
	if ip, bad := netip.ParseAddr(strings.Trim(addr, "[]")); bad == nil {
		host, port, err = ip.String(), Port, nil
	} else if errors.As(err, &part) && part.Err == "missing port in address" {
		host, port, err = addr, Port, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: it is no address with a port: write [::]:%s, say", addr, Port)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %q: %w: end what listens there (a BDII?), or choose another port", addr, syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	return l, nil
}

// Serve answers on the listeners, which it closes, until ctx ends; then it lets answers under way be finished, for
// Limits.Grace. It gives an error when a listener fails. A server serves once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var loops sync.WaitGroup
	loops.Go(func() { s.poll(ctx) })
	for _, l := range listeners {
		loops.Go(func() {
			if err := s.accept(ctx, l); err != nil {
				cancel(fmt.Errorf("directory on %s: %w", l.Addr(), err))
			}
		})
	}
	<-ctx.Done()
	for _, l := range listeners {
		l.Close()
	}
	s.stop()
	loops.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// accept takes connections until the listener is closed. What passes by itself, as having no file descriptor left, is waited
// for.
func (s *Server) accept(ctx context.Context, l net.Listener) error {
	wait := time.Duration(0)
	for {
		n, err := l.Accept()
		if err == nil {
			wait = 0
			s.take(n)
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if !passing(err) {
			return err
		}
		wait = min(max(5*time.Millisecond, 2*wait), time.Second)
		s.log.Warn("the directory cannot take a connection now", "error", err)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ECONNABORTED, syscall.ENOBUFS, syscall.ENOMEM, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// take serves a connection if there is room for it.
func (s *Server) take(n net.Conn) {
	c := newConnection(s, n)
	s.mu.Lock()
	reason, message := "", ""
	switch {
	case s.stopping.Load():
		reason, message = "stopping", "the service is stopping"
	case len(s.open) >= s.limits.Connections:
		reason, message = "connections", "there are too many connections"
	case !s.from.Enter(c.origin):
		reason, message = "address", "there are too many connections from this address"
	default:
		s.open[c] = true
		s.serving.Add(1)
	}
	s.mu.Unlock()
	if reason != "" {
		if s.refused != nil {
			s.refused(reason)
		}
		s.log.Debug("a client of the directory found no room", "client", c.origin, "reason", message)
		refuse(n, message)
		return
	}
	go func() {
		defer s.serving.Done()
		defer s.forget(c)
		c.serve()
	}()
}

func (s *Server) forget(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.from.Leave(c.origin)
}

// stop ends all connections: idle ones now, others when they have their answer or the grace is over.
func (s *Server) stop() {
	s.stopping.Store(true)
	s.each(func(c *connection) { c.net.SetReadDeadline(time.Unix(1, 0)) })
	gone := make(chan struct{})
	go func() {
		s.serving.Wait()
		close(gone)
	}()
	late := time.NewTimer(s.limits.Grace)
	defer late.Stop()
	select {
	case <-gone:
	case <-late.C:
		s.each(func(c *connection) { c.net.Close() })
		<-gone
	}
}

func (s *Server) each(do func(*connection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		do(c)
	}
}
