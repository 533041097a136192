package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowly gives so many pieces, each after a pause.
type slowly struct {
	pieces int
	pause  time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	if s.pieces == 0 {
		return 0, io.EOF
	}
	s.pieces--
	time.Sleep(s.pause)
	return copy(p, "piece"), nil
}

// TestDeadlineOfStreams: a call has a minute in all; a body that can be sent once only has it for each of its pieces, and ten for
// the answer.
func TestDeadlineOfStreams(t *testing.T) {
	for name, c := range map[string]struct {
		body          io.Reader
		taken, answer time.Duration // how long it takes to take a piece, and to answer after the last one
		want          error
	}{
		"nothing to send":                {http.NoBody, 0, 59 * time.Second, nil},
		"nothing to send, and late":      {http.NoBody, 0, 61 * time.Second, context.DeadlineExceeded},
		"what can be sent again":         {bytes.NewReader(make([]byte, 10*512)), 5 * time.Second, 0, nil},
		"what can be sent again, slowly": {bytes.NewReader(make([]byte, 10*512)), 7 * time.Second, 0, context.DeadlineExceeded},
		"a stream":                       {&slowly{10, 50 * time.Second}, 50 * time.Second, 50 * time.Second, nil},
		"a stream that stops":            {&slowly{10, 61 * time.Second}, 0, 0, context.DeadlineExceeded},
		"a stream that is not taken":     {&slowly{10, 0}, 61 * time.Second, 0, context.DeadlineExceeded},
		"a stream that something keeps":  {&slowly{10, 0}, 0, 9 * time.Minute, nil},
		"a stream without an answer":     {&slowly{10, 0}, 0, 11 * time.Minute, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://images.example.org/", c.body)
				if err != nil {
					t.Fatal(err)
				}
				wait := func(ctx context.Context, d time.Duration) error {
					select {
					case <-ctx.Done():
						return context.Cause(ctx)
					case <-time.After(d):
						return context.Cause(ctx)
					}
				}
				layer := &timed{timeout: time.Minute, answer: 10 * time.Minute, next: answering(func(r *http.Request) (*http.Response, error) {
					buf := make([]byte, 512)
					for {
						_, err := r.Body.Read(buf)
						if err == io.EOF {
							break
						}
						if err := errors.Join(err, wait(r.Context(), c.taken)); err != nil {
							return nil, err
						}
					}
					if err := wait(r.Context(), c.answer); err != nil {
						return nil, err
					}
					return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
				})}
				res, err := layer.RoundTrip(req)
				if !errors.Is(err, c.want) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				if err != nil {
					return
				}
				if err := res.Body.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestPromptTries: where uploads may wait long for their answer, other calls do not, and are tried again in time.
func TestPromptTries(t *testing.T) {
	for name, c := range map[string]struct {
		body  io.Reader
		after time.Duration
		want  error
	}{
		"a call":                 {http.NoBody, headersWithin - time.Second, nil},
		"a call that takes long": {http.NoBody, headersWithin + time.Second, context.DeadlineExceeded},
		"what can be sent again": {bytes.NewReader([]byte("x")), headersWithin + time.Second, context.DeadlineExceeded},
		"an upload":              {&slowly{1, 0}, headersWithin + time.Second, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://images.example.org/", c.body)
				if err != nil {
					t.Fatal(err)
				}
				layer := &prompt{next: answering(func(r *http.Request) (*http.Response, error) {
					select {
					case <-r.Context().Done():
						return nil, context.Cause(r.Context())
					case <-time.After(c.after):
					}
					return &http.Response{StatusCode: http.StatusNoContent, Body: io.NopCloser(anHour{r.Context()})}, nil
				})}
				res, err := layer.RoundTrip(req)
				if !errors.Is(err, c.want) {
					t.Fatalf("%v, want %v", err, c.want)
				}
				if err != nil {
					return
				}
				if _, err := io.ReadAll(res.Body); err != nil {
					t.Errorf("its body: %v", err)
				}
				_ = res.Body.Close()
			})
		})
	}
}

// anHour is a body that takes an hour, unless its context ends.
type anHour struct{ ctx context.Context }

func (b anHour) Read([]byte) (int, error) {
	select {
	case <-time.After(time.Hour):
		return 0, io.EOF
	case <-b.ctx.Done():
		return 0, context.Cause(b.ctx)
	}
}

// TestDeadlineOverTheWire: an upload that nobody takes is ended, and said as what it is.
func TestDeadlineOverTheWire(t *testing.T) {
	release := make(chan struct{})
	s := plain(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	c := client(t, Config{Timeout: 50 * time.Millisecond})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL, io.LimitReader(endless{}, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err == nil {
		_ = res.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%v", err)
	}
}

// endless is zeros without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestCutWhileSending: what the system says of a connection that ended under a body is told as every other cut.
func TestCutWhileSending(t *testing.T) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://images.example.org/", http.NoBody)
	must(t, err)
	sending := &net.OpError{Op: "readfrom", Err: &net.OpError{Op: "write", Err: net.ErrClosed}}
	if err := explain(req, sending); err.Error() != "images.example.org: the connection was cut" || Hint(err) == "" {
		t.Errorf("%v", err)
	}
}
