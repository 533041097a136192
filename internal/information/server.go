package information

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/listen"
)

// Options are what a server is made from. Only Sources are needed.
type Options struct {
	Sources       []Source
	Registry      Registry // GOCDB; nil = host names are those of the sites' URLs
	Portal        *Portal  // nil = the VOs are those of the documents
	Disciplines   []Discipline
	CheckValidity bool          // drop others' documents, too, that are older than they say they count, as the original does unless it is told not to
	Every         time.Duration // how often sources are asked at most; 10 s when it is 0
	Keep          time.Duration // how long what a document said counts after the document cannot be used any more; 1 h when it is 0
	BaseURL       string        // under which others reach us, "https://is.example.org"; "" = as each request says
	Log           *slog.Logger
	Now           func() time.Time
}

// patience is how long a request waits for the first look and for LDIF.
const patience = 10 * time.Second

// Server answers all requests. It is an http.Handler.
type Server struct {
	holdings    *holdings
	ldifs       *ldifs
	disciplines *answer
	base        string // without slash at its end
	log         *slog.Logger
}

// New makes a server. It looks at nothing before it is asked. An error says that the base URL cannot be used.
func New(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every == 0 {
		o.Every = 10 * time.Second
	}
	if o.Keep == 0 {
		o.Keep = time.Hour
	}
	if o.Disciplines == nil {
		o.Disciplines = []Discipline{}
	}
	if u, err := url.Parse(o.BaseURL); o.BaseURL != "" && (err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return nil, errors.New("the base URL cannot be used: write it as https://HOST or https://HOST/PATH")
	}
	return &Server{
		holdings:    newHoldings(o),
		ldifs:       newLDIFs(),
		disciplines: jsonAnswer(o.Disciplines).kept(),
		base:        strings.TrimRight(o.BaseURL, "/"),
		log:         o.Log,
	}, nil
}

// Refresh looks at everything now. Requests do so by themselves from time to time.
func (s *Server) Refresh(ctx context.Context) { s.holdings.refresh(ctx) }

// Close ends what is under way in the background. Requests are still answered, from what was read.
func (s *Server) Close() { s.holdings.close() }

// headers of every answer. None of them is a page.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
	"X-Content-Type-Options":  "nosniff",
	"X-Frame-Options":         "DENY",
	"Referrer-Policy":         "no-referrer",
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	listen.Guarded{Log: s.log, Headers: headers,
		Fail: func(w http.ResponseWriter, _ *http.Request, status int) { s.fail(w, status, http.StatusText(status)) },
		Answer: func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), patience)
			defer cancel()
			s.route(w, r.WithContext(ctx))
		}}.ServeHTTP(w, r)
}

// fail answers as the original does: {"detail": …}.
func (s *Server) fail(w http.ResponseWriter, status int, what any) {
	a := jsonAnswer(detail{what})
	h := w.Header()
	for _, name := range []string{"ETag", "Last-Modified", "Content-Encoding", "Vary"} {
		h.Del(name)
	}
	h.Set("Content-Type", a.kind)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(a.body)
}
