// Package faults makes an emulated service fail on purpose. A fault is a value {service, method, path, nth, effect}
// (design §7, Emulator); a Set of them stands as middleware in front of the service's handler.
package faults

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault strikes some of the requests that it fits. An empty Service, Method or Query fits all.
type Fault struct {
	Service string // first part of the path: identity, compute, image
	Method  string
	Path    string // shell pattern of the path after the service, "/v2.1/servers/*"; "" = all
	Query   string // a part of the query
	Nth     int    // the first of the fitting requests that is struck; 0 and 1 = the first
	Times   int    // how many are struck from there on; 0 = one, -1 = all
	Effect  Effect
}

// Effect is what happens to a request. Without Status, Unread or Change the service answers as it would.
type Effect struct {
	Status     int                      // this answer instead
	Body       string                   // with this body
	RetryAfter string                   // and this header
	Unread     bool                     // the connection is closed before the service has seen the request
	Change     func(body []byte) []byte // the service's answer with another body
	Header     http.Header              // set in the answer
	Cut        bool                     // the connection is closed in the middle of the body
	Lost       bool                     // the service works on the request, and the connection is closed without an answer
	Delay      time.Duration            // before anything else
	Do         func()                   // called before anything else
}

// Set is the faults of one service. It may be used from several goroutines.
type Set struct {
	mu     sync.Mutex
	faults []*armed
}

type armed struct {
	Fault
	met int // fitting requests so far
}

// Add arms a fault.
func (s *Set) Add(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &armed{Fault: f})
}

// Clear takes all faults away.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Left tells how many faults have not struck as often as they were to; one that strikes always never counts.
func (s *Set) Left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.faults {
		if f.Times >= 0 && f.met < max(f.Nth, 1)-1+max(f.Times, 1) {
			n++
		}
	}
	return n
}

// Middleware puts the set in front of a handler.
func (s *Set) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if e, ok := s.strikes(r); ok {
			e.strike(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// strikes gives the effect of the first fault that is due; every fitting fault counts the request.
func (s *Set) strikes(r *http.Request) (effect Effect, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if !f.fits(r) {
			continue
		}
		f.met++
		first := max(f.Nth, 1)
		if !due && f.met >= first && (f.Times < 0 || f.met < first+max(f.Times, 1)) {
			effect, due = f.Effect, true
		}
	}
	return effect, due
}

func (f *armed) fits(r *http.Request) bool {
	service, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if (f.Service != "" && f.Service != service) || (f.Method != "" && f.Method != r.Method) || !strings.Contains(r.URL.RawQuery, f.Query) {
		return false
	}
	ok, _ := path.Match(f.Path, "/"+rest)
	return ok || f.Path == ""
}

func (e Effect) strike(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if e.Do != nil {
		e.Do()
	}
	if e.Delay > 0 {
		select {
		case <-time.After(e.Delay):
		case <-r.Context().Done():
		}
	}
	switch {
	case e.Unread:
		panic(http.ErrAbortHandler)
	case e.Status != 0:
		if e.RetryAfter != "" {
			w.Header().Set("Retry-After", e.RetryAfter)
		}
		w.WriteHeader(e.Status)
		_, _ = io.WriteString(w, e.Body)
		return
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	if e.Lost {
		panic(http.ErrAbortHandler)
	}
	body := answer.Body.Bytes()
	if e.Change != nil {
		body = e.Change(bytes.Clone(body))
	}
	for _, header := range []http.Header{answer.Header(), e.Header} {
		for k, v := range header {
			w.Header()[k] = v
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(answer.Code)
	if e.Cut {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}
