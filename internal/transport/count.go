package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// Counter counts what went over the wire. It may be shared by clients.
type Counter struct {
	requests, bytes atomic.Int64
}

// Requests is how many requests were sent, repeated ones included.
func (c *Counter) Requests() int64 { return c.requests.Load() }

// Bytes is how many bytes of answers were read.
func (c *Counter) Bytes() int64 { return c.bytes.Load() }

type counted struct {
	next    http.RoundTripper
	counter *Counter
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.counter.requests.Add(1)
	res, err := c.next.RoundTrip(r)
	if res != nil {
		res.Body = &countedBody{res.Body, c.counter}
	}
	return res, err
}

type countedBody struct {
	io.ReadCloser
	counter *Counter
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.counter.bytes.Add(int64(n))
	return n, err
}

// logged writes one line per request at level debug: no header, no body, no query, because these may hold secrets.
type logged struct {
	next  http.RoundTripper
	log   *slog.Logger
	agent string
	now   func() time.Time
}

func (l *logged) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.agent != "" {
		r = r.Clone(r.Context())
		r.Header.Set("User-Agent", l.agent)
	}
	began := l.now()
	res, err := l.next.RoundTrip(r)
	attrs := []any{"method", r.Method, "host", r.URL.Host, "path", r.URL.Path, "ms", l.now().Sub(began).Milliseconds()}
	if err != nil {
		l.log.Debug("request failed", append(attrs, "error", err.Error())...)
		return nil, err
	}
	l.log.Debug("request", append(attrs, "status", res.StatusCode, "request_id", res.Header.Get("X-Openstack-Request-Id"))...)
	return res, nil
}

// ErrTooLarge marks an answer that is larger than Config.MaxBody.
var ErrTooLarge = errors.New("too large")

// sized ends the reading of an answer that is larger than anything sensible.
type sized struct {
	next http.RoundTripper
	max  int64
}

func (s *sized) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := s.next.RoundTrip(r)
	if err != nil {
		return nil, explain(r, err)
	}
	res.Body = &sizedBody{ReadCloser: res.Body, left: s.max, what: fmt.Sprintf("the answer of %s to %s %s", r.URL.Host, r.Method, r.URL.Path)}
	return res, nil
}

type sizedBody struct {
	io.ReadCloser
	left int64
	what string
}

func (b *sizedBody) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed tells a full answer from one that is too large
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), fmt.Errorf("%s is %w: larger than fedsite reads", b.what, ErrTooLarge)
	}
	b.left -= int64(n)
	return n, err
}
