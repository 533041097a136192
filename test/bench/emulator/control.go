//go:build bench

package main

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Counters is what the emulated cloud and broker were asked, and what that took them.
type Counters struct {
	Requests int64            `json:"requests"` // to the cloud
	Bytes    int64            `json:"bytes"`    // of its answers' bodies
	Seconds  float64          `json:"seconds"`  // that it took to answer, summed up over requests
	Kinds    map[string]int64 `json:"kinds"`    // requests by service, method and path; ids are {id}
	Broker   int              `json:"broker"`   // requests to the broker since the start
	Messages int64            `json:"messages"` // that the broker stored since the start
	Records  int64            `json:"records"`  // that the accounting server accepted since the start
	Refused  int64            `json:"refused"`  // messages that it refused
}

// counters counts the requests to the cloud.
type counters struct {
	mu    sync.Mutex
	now   Counters
	spent time.Duration
}

func (c *counters) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.spent = Counters{}, 0
}

func (c *counters) read() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.now
	all.Seconds, all.Kinds = c.spent.Seconds(), map[string]int64{}
	for k, n := range c.now.Kinds {
		all.Kinds[k] = n
	}
	return all
}

// count is a middleware that counts requests, bytes and time.
func (c *counters) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := &measured{ResponseWriter: w}
		began := time.Now()
		next.ServeHTTP(m, r)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.now.Kinds == nil {
			c.now.Kinds = map[string]int64{}
		}
		c.now.Requests++
		c.now.Bytes += m.bytes
		c.now.Kinds[kind(r)]++
		c.spent += time.Since(began)
	})
}

// measured counts the bytes of an answer's body.
type measured struct {
	http.ResponseWriter
	bytes int64
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.ResponseWriter.Write(p)
	m.bytes += int64(n)
	return n, err
}

// Unwrap lets a handler reach the connection.
func (m *measured) Unwrap() http.ResponseWriter { return m.ResponseWriter }

var anID = regexp.MustCompile(`/[0-9a-f-]{32,36}(/|$)`)

// kind names a request: "compute GET servers/detail", with "changed" when it asks for what changed since.
func kind(r *http.Request) string {
	service, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	path = anID.ReplaceAllString("/"+path, "/{id}$1")
	if _, rest, ok := strings.Cut(path[1:], "/"); ok { // the version
		path = "/" + rest
	}
	if r.URL.Query().Has("changes-since") {
		path += " changed"
	}
	return service + " " + r.Method + " " + strings.TrimPrefix(path, "/")
}

// controls serves the control requests.
func controls(asked *counters, f files, messages *atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counters", func(w http.ResponseWriter, _ *http.Request) {
		all := asked.read()
		all.Broker, all.Messages = f.fed.Broker.Requests(), messages.Load()
		for _, r := range f.fed.Received() {
			all.Messages++
			if r.Accepted {
				all.Records += int64(r.Records)
			} else {
				all.Refused++
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
	mux.HandleFunc("POST /forget", func(http.ResponseWriter, *http.Request) {
		asked.forget()
		f.cloud.Forget()
	})
	mux.HandleFunc("POST /advance", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.URL.Query().Get("by"))
		if err != nil || by < 0 || by%time.Second != 0 {
			http.Error(w, "by is a duration in whole seconds: by=1h", http.StatusBadRequest)
			return
		}
		f.clock.ahead.Add(int64(by))
		if err := f.configure(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	return mux
}
