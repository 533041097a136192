// Package faults makes an emulated service fail on purpose. A fault is a value {service, method, path, nth, effect}
// (design §7, Emulator); a Set of them stands as middleware in front of the service's handler.
package faults

import (
	"bytes"
	"fmt"
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
	Path    string                   // shell pattern of the path after the service, "/v2.1/servers/*"; "" = all
	Query   string                   // a part of the query
	Fits    func(*http.Request) bool // anything else that a request must be; nil = nothing
	Nth     int                      // the first of the fitting requests that is struck; 0 and 1 = the first
	Times   int                      // how many are struck from there on; 0 = one, -1 = all
	Effect  Effect
}

// Effect is what happens to a request. Without Status, Unread or Change the service answers as it would.
type Effect struct {
	Status     int                      // this answer instead
	Body       string                   // with this body
	RetryAfter string                   // and this header
	RetryIn    time.Duration            // and the same header as a date, so long after the service's present
	Worked     bool                     // the service works on the request all the same before that answer
	Unread     bool                     // the connection is closed before the service has seen the request
	After      int64                    // so many bytes of the request's body are taken before Status or Unread
	Change     func(body []byte) []byte // the service's answer with another body
	Header     http.Header              // set in the answer
	Cut        bool                     // the connection is closed in the middle of the body
	CutAt      int                      // the connection is closed after so many bytes of the answer; less than none counts from its end; HTTP/1.1 only
	Lost       bool                     // the service works on the request, and the connection is closed without an answer
	Whole      bool                     // where a part is asked for, the service gives the whole
	Delay      time.Duration            // before anything else
	Do         func()                   // called before anything else
}

// Set is the faults of one service. It may be used from several goroutines.
type Set struct {
	mu     sync.Mutex
	faults []*armed
	watch  func(*http.Request)
	struck int
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

// Watch has f called for every request, before it is answered.
func (s *Set) Watch(f func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = f
}

// Struck tells how many requests were struck so far.
func (s *Set) Struck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck
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
	if s.watch != nil {
		s.watch(r)
	}
	for _, f := range s.faults {
		if !f.fits(r) {
			continue
		}
		f.met++
		first := max(f.Nth, 1)
		if !due && f.met >= first && (f.Times < 0 || f.met < first+max(f.Times, 1)) {
			effect, due = f.Effect, true
			s.struck++
		}
	}
	return effect, due
}

func (f *armed) fits(r *http.Request) bool {
	service, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if (f.Service != "" && f.Service != service) || (f.Method != "" && f.Method != r.Method) || !strings.Contains(r.URL.RawQuery, f.Query) {
		return false
	}
	if f.Fits != nil && !f.Fits(r) {
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
		body, _ := io.ReadAll(r.Body) // so that the service can work on a request that is given up meanwhile
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(e.Delay):
		case <-r.Context().Done():
		}
	}
	if e.After > 0 {
		_, _ = io.CopyN(io.Discard, r.Body, e.After) // who sends less is answered all the same
	}
	if e.Unread {
		panic(http.ErrAbortHandler)
	}
	if e.Status != 0 && !e.Worked {
		e.refuse(w)
		return
	}
	if e.Whole {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	answer := httptest.NewRecorder()
	next.ServeHTTP(answer, r)
	switch {
	case e.Lost:
		panic(http.ErrAbortHandler)
	case e.Status != 0:
		e.refuse(w)
	default:
		e.pass(w, answer)
	}
}

// refuse answers with the effect's status.
func (e Effect) refuse(w http.ResponseWriter) {
	if e.RetryAfter != "" {
		w.Header().Set("Retry-After", e.RetryAfter)
	}
	if e.RetryIn > 0 {
		now, err := http.ParseTime(w.Header().Get("Date")) // the service's own clock
		if err != nil {
			now = time.Now()
		}
		w.Header().Set("Retry-After", now.Add(e.RetryIn).UTC().Format(http.TimeFormat))
	}
	w.Header().Set("Content-Type", "text/html")
	if strings.HasPrefix(e.Body, "{") {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(e.Status)
	_, _ = io.WriteString(w, e.Body)
}

// pass hands the service's own answer on, changed or cut.
func (e Effect) pass(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
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
	if e.CutAt != 0 {
		e.cut(w, answer.Code, body)
		return
	}
	w.WriteHeader(answer.Code)
	if e.Cut {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(body)
}

// cut writes the answer up to the byte CutAt onto the bare connection, and closes it.
func (e Effect) cut(w http.ResponseWriter, status int, body []byte) {
	var wire bytes.Buffer
	fmt.Fprintf(&wire, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	_ = w.Header().Write(&wire)
	wire.WriteString("\r\n")
	wire.Write(body)
	at := e.CutAt
	if at < 0 {
		at += wire.Len()
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = conn.Write(wire.Bytes()[:min(max(at, 0), wire.Len())])
	_ = conn.Close()
}
