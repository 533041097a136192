package web

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/style.css
var styleSheet []byte

//go:embed static/icon.svg
var icon []byte

// patience is how long a Source may take.
const patience = 10 * time.Second

// Options are what a server is made from. Only Source is needed.
type Options struct {
	Source  Source
	Log     *slog.Logger
	Names   []string                    // under which the pages are served, beside localhost and loopback addresses
	Metrics http.Handler                // what /metrics answers
	Alive   func() error                // an error when the scheduler is stuck, for /healthz; it must not wait for anything
	Ready   func(context.Context) error // an error when the service cannot do its work, for /readyz: a Reason is told, others are logged
	Hook    *Hook                       // what POST /hooks/registry does; nil = nothing is there
	Notice  string                      // stands on top of every page, as "DEMO: …"; none when empty
	// Patience is how long the source may take; 10 s when it is 0.
	Patience time.Duration
}

// Reason is why a service is not ready, in words that may be told to anybody.
type Reason string

// Reasons why a service is not ready.
const (
	NoDatabase      Reason = "the database does not answer"
	NoConfiguration Reason = "no valid configuration is loaded"
	Stopping        Reason = "the service is stopping"
)

// Error makes it an error.
func (r Reason) Error() string { return string(r) }

// Server answers all requests. It is an http.Handler.
type Server struct {
	source   Source
	log      *slog.Logger
	names    []string
	alive    func() error
	ready    func(context.Context) error
	patience time.Duration
	notice   string
	metrics  bool // there are some
	pages    *template.Template
	style    string // address of the style sheet, which changes with what is in it
	mux      *http.ServeMux
	hook     *Hook
}

// New makes a server.
func New(o Options) *Server {
	s := &Server{source: o.Source, log: o.Log, names: append([]string{"localhost"}, o.Names...), alive: o.Alive, ready: o.Ready, patience: o.Patience, notice: o.Notice, metrics: o.Metrics != nil, hook: o.Hook}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.patience == 0 {
		s.patience = patience
	}
	sum := sha256.Sum256(styleSheet)
	s.style = "/static/style." + hex.EncodeToString(sum[:6]) + ".css"
	s.pages = template.Must(template.New("").Funcs(functions()).ParseFS(templateFiles, "templates/*.html"))

	s.mux = http.NewServeMux()
	s.mux.HandleFunc("/{$}", s.overviewPage)
	s.mux.HandleFunc("/tasks", s.tasksPage)
	s.mux.HandleFunc("/tasks/{rest...}", s.taskPage)
	s.mux.HandleFunc("/api/v1/overview", s.overviewValue)
	s.mux.HandleFunc("/api/v1/tasks", s.tasksValue)
	s.mux.HandleFunc("/api/v1/tasks/{rest...}", s.taskValue)
	s.mux.HandleFunc(s.style, file("text/css; charset=utf-8", styleSheet))
	s.mux.HandleFunc("/static/icon.svg", file("image/svg+xml", icon))
	s.mux.HandleFunc("/healthz", s.healthz)
	s.mux.HandleFunc("/readyz", s.readyz)
	if o.Hook != nil {
		s.mux.HandleFunc(hookPath, s.called)
	}
	if o.Metrics != nil {
		s.mux.Handle("/metrics", o.Metrics)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, http.StatusNotFound) })
	return s
}

// file serves what is built in. Its address or this program changes when it changes.
func file(kind string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Cache-Control", "public, max-age=86400")
		_, _ = w.Write(content)
	}
}

// healthz says whether the process lives: 503 asks for a restart.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	if s.alive != nil {
		if err := s.alive(); err != nil {
			s.log.Error("the service is not alive", "error", err)
			plain(w, http.StatusServiceUnavailable, "the scheduler is stuck")
			return
		}
	}
	plain(w, http.StatusOK, "ok")
}

// readyz says whether the service can do its work: 503 asks for patience, or for somebody.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.ready != nil {
		ctx, cancel := context.WithTimeout(r.Context(), s.patience)
		defer cancel()
		if err := s.ready(ctx); err != nil {
			words := "not ready"
			if reason, ok := errors.AsType[Reason](err); ok {
				words = string(reason)
			}
			s.log.Warn("the service is not ready", "error", err)
			plain(w, http.StatusServiceUnavailable, words)
			return
		}
	}
	plain(w, http.StatusOK, "ok")
}

func plain(w http.ResponseWriter, status int, words string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(words + "\n"))
}
