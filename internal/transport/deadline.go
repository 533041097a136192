package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// timed gives each call its deadline. http.Client's own would put a bare text in place of what explain says. A body that can
// be sent once only, such as an image's, has no known length in time: there the time begins anew with each piece that is
// taken, and ends a call that does not move. Its answer may take longer: a proxy in between may have taken all of it, and hand
// it on.
type timed struct {
	next    http.RoundTripper
	timeout time.Duration
	answer  time.Duration // to a body that can be sent once only
}

func (t *timed) RoundTrip(r *http.Request) (*http.Response, error) {
	var end context.CancelFunc
	if r.Body == nil || r.Body == http.NoBody || r.GetBody != nil {
		ctx, cancel := context.WithTimeout(r.Context(), t.timeout)
		r, end = r.WithContext(ctx), cancel
	} else {
		moving, cancel := context.WithCancelCause(r.Context())
		timer := time.AfterFunc(t.timeout, func() { cancel(context.DeadlineExceeded) })
		end = func() { timer.Stop(); cancel(nil) }
		r = r.WithContext(moving)
		r.Body = &movingBody{r.Body, timer, t.timeout, max(t.timeout, t.answer)}
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		end()
		return nil, err
	}
	res.Body = &timedBody{res.Body, end}
	return res, nil
}

// headersWithin is how long a server may take to begin its answer.
const headersWithin = 2 * time.Minute

// prompt gives each try of a call that long; a body that can be sent once only has the time of timed.
type prompt struct{ next http.RoundTripper }

func (p *prompt) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody && r.GetBody == nil {
		return p.next.RoundTrip(r)
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(headersWithin, func() { cancel(context.DeadlineExceeded) })
	res, err := p.next.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && r.Context().Err() == nil {
			err = fmt.Errorf("no answer within %s: %w", headersWithin, cause)
		}
		cancel(nil)
		return nil, err
	}
	res.Body = &timedBody{res.Body, func() { cancel(nil) }}
	return res, nil
}

// timedBody ends the deadline with the reading.
type timedBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b *timedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// movingBody puts the deadline off with each piece: for whoever gives it, and then for whoever takes it; with the end, for
// whoever answers.
type movingBody struct {
	io.ReadCloser
	timer  *time.Timer
	after  time.Duration
	answer time.Duration
}

func (b *movingBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.after)
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.timer.Reset(b.answer)
	} else {
		b.timer.Reset(b.after)
	}
	return n, err
}
