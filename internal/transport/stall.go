package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrStalled marks a body of which nothing came for too long.
var ErrStalled = errors.New("stalled")

// stalling ends the reading of a body of which nothing comes. The time between two reads does not count: whoever reads may
// have to wait for somebody himself.
type stalling struct {
	next  http.RoundTripper
	after time.Duration
}

func (s *stalling) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	res, err := s.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &stallingBody{ReadCloser: res.Body, host: r.URL.Host, after: s.after, cancel: cancel}
	b.timer = time.AfterFunc(s.after, func() { cancel(ErrStalled) })
	b.timer.Stop()
	b.ctx = ctx
	res.Body = b
	return res, nil
}

type stallingBody struct {
	io.ReadCloser
	host   string
	after  time.Duration
	timer  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *stallingBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.after)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(b.ctx), ErrStalled) {
		err = &Failure{Host: b.host, What: fmt.Sprintf("nothing came for %s", b.after), Hint: "the server or the way to it is stuck; it may pass", Cause: ErrStalled}
	}
	return n, err
}

func (b *stallingBody) Close() error {
	b.timer.Stop()
	defer b.cancel(nil)
	return b.ReadCloser.Close()
}
