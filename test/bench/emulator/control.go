//go:build bench

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
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
	Most     map[string]int64 `json:"most"`     // of a service, how many requests it had at once; of "" the whole cloud
	Broker   int              `json:"broker"`   // requests to the broker since the start
	Messages int64            `json:"messages"` // that the broker stored since the start
	Records  int64            `json:"records"`  // that the accounting server accepted since the start
	Refused  int64            `json:"refused"`  // messages that it refused
}

// Asked is a request to the cloud with all that it needs to be made again, as long as its token lives.
type Asked struct {
	Method  string            `json:"method"`
	URI     string            `json:"uri"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// repeated are the headers that an answer depends on.
var repeated = []string{"X-Auth-Token", "Content-Type", "OpenStack-API-Version", "X-OpenStack-Nova-API-Version"}

// counters counts the requests to the cloud, and keeps them.
type counters struct {
	delay time.Duration // before each answer

	mu    sync.Mutex
	now   Counters
	spent time.Duration
	busy  map[string]int64 // requests under way, as Counters.Most
	asked []Asked
}

func (c *counters) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.spent, c.asked = Counters{}, 0, nil
}

// begin notes a request that has come, and gives what is to be done when it is answered.
func (c *counters) begin(r *http.Request) (end func(bytes int64)) {
	began := time.Now()
	a := Asked{Method: r.Method, URI: r.URL.RequestURI(), Headers: map[string]string{}}
	for _, h := range repeated {
		if v := r.Header.Get(h); v != "" {
			a.Headers[h] = v
		}
	}
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16)) // what is cut is refused by the cloud
		a.Body, r.Body = string(body), io.NopCloser(bytes.NewReader(body))
	}
	kind := kind(r)
	service, _, _ := strings.Cut(kind, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now.Kinds == nil {
		c.now.Kinds, c.now.Most = map[string]int64{}, map[string]int64{}
	}
	if c.busy == nil {
		c.busy = map[string]int64{}
	}
	for _, s := range []string{"", service} {
		c.busy[s]++
		c.now.Most[s] = max(c.now.Most[s], c.busy[s])
	}
	c.asked = append(c.asked, a)
	return func(bytes int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.now.Kinds == nil { // it was told to forget in the meantime
			c.now.Kinds, c.now.Most = map[string]int64{}, map[string]int64{}
		}
		c.busy[""]--
		c.busy[service]--
		c.now.Requests++
		c.now.Bytes += bytes
		c.now.Kinds[kind]++
		c.spent += time.Since(began)
	}
}

func (c *counters) read() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.now
	all.Seconds, all.Kinds, all.Most = c.spent.Seconds(), maps.Clone(c.now.Kinds), maps.Clone(c.now.Most)
	return all
}

// count is a middleware that counts requests, bytes and time, and delays answers.
func (c *counters) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := &measured{ResponseWriter: w}
		end := c.begin(r)
		defer func() { end(m.bytes) }()
		time.Sleep(c.delay)
		next.ServeHTTP(m, r)
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
	mux.HandleFunc("GET /asked", func(w http.ResponseWriter, _ *http.Request) {
		asked.mu.Lock()
		all := slices.Clone(asked.asked)
		asked.mu.Unlock()
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
