package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// headers of every answer. A page needs its own style sheet and its own icon, and nothing else of anybody.
var headers = map[string]string{
	"Content-Security-Policy":      "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	"X-Content-Type-Options":       "nosniff",
	"X-Frame-Options":              "DENY",
	"Referrer-Policy":              "no-referrer",
	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
	"Permissions-Policy":           "camera=(), geolocation=(), microphone=()",
	"Cache-Control":                "no-store",
}

// ServeHTTP answers a request: with the headers of every answer, only when it was meant for us and only reads, and never
// with a word of what went wrong inside.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	a := &answer{ResponseWriter: w}
	for name, value := range headers {
		w.Header().Set(name, value)
	}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.log.Error("a page panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			if a.status != 0 {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			s.fail(a, r, http.StatusInternalServerError)
		}
		s.log.Debug("answered", "method", r.Method, "path", r.URL.Path, "status", a.status, "took", time.Since(began))
	}()
	switch {
	case !s.meant(r.Host):
		s.fail(a, r, http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		s.fail(a, r, http.StatusMethodNotAllowed)
	default:
		s.mux.ServeHTTP(a, r)
	}
}

// meant tells whether a request's Host is ours. A page elsewhere can have its own name lead to 127.0.0.1 and then read what
// is there as if it were its own; but the browser still sends that name. Programs that send none are no browsers.
func (s *Server) meant(host string) bool {
	if host == "" {
		return true
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return slices.ContainsFunc(s.names, func(name string) bool { return strings.EqualFold(name, host) })
}

// answer notes the status, for the log and for what can still be said.
type answer struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write is what says 200 when nothing else was said.
func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// said are the words of an answer that is none. They are the same for everybody, whatever happened.
var said = map[int]string{
	http.StatusNotFound:            "There is nothing under this address.",
	http.StatusMethodNotAllowed:    "Pages can only be read.",
	http.StatusMisdirectedRequest:  "Nothing is served under this name. Use localhost or 127.0.0.1.",
	http.StatusInternalServerError: "The page could not be made. The service's log says why.",
	http.StatusServiceUnavailable:  "The database does not answer at the moment. Runs go on by themselves when it is back.",
}

// refuse answers that a page or value cannot be given, and logs why when the reason is inside.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNotFound):
		s.fail(w, r, http.StatusNotFound)
		return
	case r.Context().Err() != nil: // nobody waits for it any more
		s.log.Debug("the reader of a page went away", "path", r.URL.Path, "error", err)
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
		fallthrough
	default:
		s.log.Error("a page could not be made", "path", r.URL.Path, "status", status, "error", err)
	}
	s.fail(w, r, status)
}
