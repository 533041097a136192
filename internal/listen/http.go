package listen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

// Limits of an HTTP server. What is asked of us is short.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10
	grace         = 5 * time.Second // for answers that are under way when the service stops
)

// NewHTTPServer gives the server for the handler, with time-outs and limits; an answer may take so long to write. Log takes
// what the server itself has to say.
func NewHTTPServer(handler http.Handler, log *slog.Logger, write time.Duration) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      write,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // mostly of clients that went away
	}
}

// ServeHTTP answers on the listener until ctx ends; then it lets answers under way be finished, for a short grace. Errors
// name the server as it is called.
func ServeHTTP(ctx context.Context, l net.Listener, srv *http.Server, called string) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("%s on %s: %w", called, l.Addr(), err)
	case <-ctx.Done():
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(patience)
	if err != nil {
		err = errors.Join(fmt.Errorf("%s on %s: answers were cut off: %w", called, l.Addr(), err), srv.Close())
	}
	<-failed
	return err
}

// Guarded is how requests are answered that strangers make.
type Guarded struct {
	Log     *slog.Logger
	Headers map[string]string                  // of every answer
	Refuse  func(r *http.Request) (status int) // before all else; 0 = it is answered. May be nil
	Takes   func(r *http.Request) bool         // requests that change something and are answered all the same; nil = none
	Fail    func(w http.ResponseWriter, r *http.Request, status int)
	Answer  func(w http.ResponseWriter, r *http.Request)
}

// ServeHTTP answers a request, and never with a word of what went wrong inside. What changes something is refused,
// but for what Takes lets through.
func (g Guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	n := &noted{ResponseWriter: w}
	for name, value := range g.Headers {
		w.Header().Set(name, value)
	}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			g.Log.Error("an answer panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			if n.status != 0 {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			g.Fail(n, r, http.StatusInternalServerError)
		}
		g.Log.Debug("answered", "method", r.Method, "path", r.URL.Path, "status", n.status, "took", time.Since(began))
	}()
	if g.Refuse != nil {
		if status := g.Refuse(r); status != 0 {
			g.Fail(n, r, status)
			return
		}
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && (g.Takes == nil || !g.Takes(r)) {
		w.Header().Set("Allow", "GET, HEAD")
		g.Fail(n, r, http.StatusMethodNotAllowed)
		return
	}
	g.Answer(n, r)
}

// noted is an answer that knows whether it has begun, and how.
type noted struct {
	http.ResponseWriter
	status int // 0 = nothing went out yet
}

// WriteHeader notes the status.
func (n *noted) WriteHeader(status int) {
	if n.status == 0 {
		n.status = status
	}
	n.ResponseWriter.WriteHeader(status)
}

// Write is what says 200 when nothing else was said.
func (n *noted) Write(p []byte) (int, error) {
	if n.status == 0 {
		n.status = http.StatusOK
	}
	return n.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }
