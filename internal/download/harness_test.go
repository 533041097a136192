package download

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve starts a server on 127.0.0.1.
func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// client gives a client as the program makes it, that waits 10 s for no byte.
func client(t *testing.T) *Client {
	t.Helper()
	c, err := transport.New(transport.Config{Redirects: transport.Anywhere, Stall: 10 * time.Second, MaxBody: 1 << 40})
	must(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return &Client{HTTP: c.Client}
}

// content gives bytes that differ everywhere.
func content(n int) string {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b)
	return string(b)
}

// store is a server of one file, with faults.
type store struct {
	mu       sync.Mutex
	file     string
	etag     string
	noRanges bool
	cutAt    func(request int) int                         // at which byte of the file a request's answer breaks off; -1 = not
	before   func(request int)                             // is called with each request
	answer   func(request int, w http.ResponseWriter) bool // true = it answered

	requests int
	ranges   []string
	served   int
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	if s.before != nil {
		s.before(s.requests)
	}
	if s.answer != nil && s.answer(s.requests, w) {
		return
	}
	from, status := 0, http.StatusOK
	if s.etag != "" {
		w.Header().Set("ETag", s.etag)
	}
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && !s.noRanges && (r.Header.Get("If-Range") == "" || r.Header.Get("If-Range") == s.etag) {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		if from >= len(s.file) {
			w.Header().Set("Content-Range", "bytes */"+strconv.Itoa(len(s.file)))
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		status = http.StatusPartialContent
		w.Header().Set("Content-Range", "bytes "+strconv.Itoa(from)+"-"+strconv.Itoa(len(s.file)-1)+"/"+strconv.Itoa(len(s.file)))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(s.file)-from))
	w.WriteHeader(status)
	end := len(s.file)
	if s.cutAt != nil {
		if cut := s.cutAt(s.requests); cut >= 0 {
			end = min(end, max(cut, from))
		}
	}
	n, _ := io.WriteString(w, s.file[from:end])
	s.served += n
	if end < len(s.file) {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// pauses remembers how long it was asked to wait, and does not.
type pauses []time.Duration

func (p *pauses) sleep(ctx context.Context, d time.Duration) error {
	*p = append(*p, d)
	return ctx.Err()
}

// opener opens a URL.
func (c *Client) opener(url string) Opener {
	return func(ctx context.Context, offset int64, tag string) (Piece, error) {
		return c.Open(ctx, url, Auth{}, offset, tag)
	}
}

// whole reads a stream to its end.
func whole(t *testing.T, open Opener, o Options) (string, *Stream, error) {
	t.Helper()
	s, err := Start(t.Context(), open, o)
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	text, err := io.ReadAll(s)
	return string(text), s, err
}
