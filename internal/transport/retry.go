package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retried repeats what may be repeated: GET, HEAD and PUT, if its body can be sent again, after a failed connection or 502, 503, 504; anything whose body can
// be sent again after 429, because that request was not worked on.
type retried struct {
	next   http.RoundTripper
	policy Retry
	log    *slog.Logger
}

func (t *retried) RoundTrip(r *http.Request) (*http.Response, error) {
	wait := t.policy.Base
	for try := 1; ; try++ {
		res, err := t.next.RoundTrip(r)
		if try >= t.policy.Attempts || !repeatable(r, res, err) || r.Context().Err() != nil {
			return res, err
		}
		pause := wait/2 + rand.N(max(wait, 1))
		if res != nil {
			if asked := retryAfter(res); asked > t.policy.Max {
				return res, nil // too long for this run: the caller reports it
			} else if asked > 0 {
				pause = asked
			}
			_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
			_ = res.Body.Close()
		}
		t.log.Debug("request again", "method", r.Method, "host", r.URL.Host, "path", r.URL.Path, "attempt", try+1, "after", pause.String())
		if err := Sleep(r.Context(), pause); err != nil {
			return nil, err
		}
		wait = min(wait*2, t.policy.Max)
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = body
		}
	}
}

func repeatable(r *http.Request, res *http.Response, err error) bool {
	again := r.Body == nil || r.Body == http.NoBody || r.GetBody != nil
	// What says the same when it is said twice. A body that cannot be given again, such as an image's, is sent once.
	same := r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodPut
	if err != nil {
		return same && again && !final(err)
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return again
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return same && again
	}
	return false
}

// retryAfter reads how long the service asks to wait: seconds, or a date, which is reckoned from the answer's own Date,
// because the clock here may be wrong; 0 = it does not say.
func retryAfter(res *http.Response) time.Duration {
	value := strings.TrimSpace(res.Header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(until.Sub(now), 0), longest)
}

// longest is how far ahead a Retry-After is read; no run waits as long.
const longest = 24 * time.Hour

// Sleep waits so long, or until the context ends, whose cause it gives then.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
