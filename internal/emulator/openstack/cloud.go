// Package openstack serves an imagined world as a real cloud would: Keystone, Nova, Glance, Neutron, Cinder and, where it
// has one, Swift over HTTP.
//
// Answers are views of the world at the emulator's present; what a release can do is a table of capabilities (era.go),
// never a branch in a handler. Real clients work against it.
package openstack

import (
	"crypto/rand"
	"encoding/hex"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Options sizes and limits the cloud.
type Options struct {
	Era        Era
	PageLimit  int           // Nova's max_limit: no page is longer, whatever is asked for; 0 = 1000
	TokenLife  time.Duration // 0 = 1 h
	KeepTokens bool          // Keystone's allow_rescope_scoped_token = false
	Providers  []Provider    // identity providers that Keystone trusts

	NetworkPage int // Neutron's pagination_max_limit; 0 = none
	ImagePage   int // Glance's api_limit_max; 0 = 1000

	Images  ImageService // how its Glance stores images
	Storage *Storage     // its object storage; nil = it has none

	Middleware func(http.Handler) http.Handler
}

// Cloud is the emulated cloud.
type Cloud struct {
	w    *world.World
	now  func() time.Time
	opts Options
	mux  *http.ServeMux

	mu       sync.Mutex
	base     string
	tokens   map[string]*token
	requests []Request

	storage  storage
	contents contents
}

// Request is one request that was answered.
type Request struct {
	Method, Path, Query string
	Status              int
	Scope               string
}

// New gives a cloud for the world at the present that now tells.
func New(w *world.World, now func() time.Time, o Options) *Cloud {
	if o.Era.Name == "" {
		o.Era = Current
	}
	if o.PageLimit == 0 {
		o.PageLimit = 1000
	}
	if o.TokenLife == 0 {
		o.TokenLife = time.Hour
	}
	c := &Cloud{w: w, now: now, opts: o, mux: http.NewServeMux(), tokens: map[string]*token{}}
	c.keystone()
	c.nova()
	c.glance()
	c.neutron()
	c.cinder()
	c.swift()
	c.writes()
	c.nowhere()
	return c
}

// SetBase tells under which URL the cloud is served; its catalog carries it.
func (c *Cloud) SetBase(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = strings.TrimRight(url, "/")
}

// Base is the URL that the cloud is served under.
func (c *Cloud) Base() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.base
}

// AuthURL is Keystone's.
func (c *Cloud) AuthURL() string { return c.Base() + "/identity/v3" }

// Listen serves the cloud over plain HTTP on a loopback address, "127.0.0.1:0" or "[::1]:0", until the returned server is
// closed.
func (c *Cloud) Listen(addr string) (*http.Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetBase("http://" + l.Addr().String())
	srv := &http.Server{Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go srv.Serve(l) //nolint:errcheck // ends with Close
	return srv, nil
}

// Requests gives what was asked so far.
func (c *Cloud) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Request(nil), c.requests...)
}

// Forget empties the list of requests.
func (c *Cloud) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = nil
}

// ExpireTokens makes every token given so far unknown.
func (c *Cloud) ExpireTokens() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.tokens)
}

// Handler serves all services.
func (c *Cloud) Handler() http.Handler {
	var h http.Handler = c.mux
	if c.opts.Middleware != nil {
		h = c.opts.Middleware(h)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", c.now().UTC().Format(http.TimeFormat))
		mark(w, r)
		r, named := c.withoutProject(r)
		rec := &recorder{ResponseWriter: w, note: func(status int) {
			scope := ""
			if t := c.tokenOf(r); t != nil {
				scope = t.scope()
			}
			c.mu.Lock()
			c.requests = append(c.requests, Request{r.Method, r.URL.Path, r.URL.RawQuery, status, scope})
			c.mu.Unlock()
		}}
		defer rec.noted(http.StatusOK) // an answer without a word
		if t := c.tokenOf(r); named != "" && t != nil && t.project != named {
			refuse(rec, r, http.StatusBadRequest, "Malformed request URL: URL's project_id '"+named+"' doesn't match Context's project_id '"+t.project+"'")
			return
		}
		h.ServeHTTP(rec, r)
	})
}

// recorder notes a request before its answer goes out: a client that has read it finds the request in the list.
type recorder struct {
	http.ResponseWriter
	note func(status int)
	done bool
}

func (r *recorder) noted(status int) {
	if !r.done {
		r.done = true
		r.note(status)
	}
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	r.noted(status)
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets a handler reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func randomID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
