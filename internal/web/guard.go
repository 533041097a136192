package web

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/listen"
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

// guarded answers requests with the headers of every answer, only when they were meant for us.
func (s *Server) guarded() http.Handler {
	return listen.Guarded{Log: s.log, Headers: headers, Fail: s.fail, Answer: s.mux.ServeHTTP, Takes: s.takes, Refuse: func(r *http.Request) int {
		if !s.meant(r.Host) {
			return http.StatusMisdirectedRequest
		}
		return 0
	}}
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.guarded().ServeHTTP(w, r) }

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

// said are the words of an answer that is none. They are the same for everybody, whatever happened.
var said = map[int]string{
	http.StatusUnauthorized:        "Not allowed.",
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
