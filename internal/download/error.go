package download

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

// What can go wrong. Only what is unavailable may be there when it is asked for again.
var (
	ErrNotFound    = errors.New("not found")
	ErrDenied      = errors.New("not authorised")
	ErrUnavailable = errors.New("unavailable")
	ErrChanged     = errors.New("the file changed while it was read")
	ErrTooLarge    = errors.New("too large")
	ErrRefused     = errors.New("refused address") // where fedsite does not go: see transport.From
	ErrNoRange     = errors.New("the server gives no part of the file")
	ErrLength      = errors.New("wrong length")
	ErrAnswer      = errors.New("an answer that cannot be used")
)

// Error is a document or file that could not be had. It holds no secret.
type Error struct {
	URL        string // without user and query
	Kind       error  // one of those above
	Status     int    // of HTTP; 0 = none matters
	RetryAfter time.Duration
	Cause      error
}

// Error says what failed.
func (e *Error) Error() string {
	text := e.URL + ": " + e.Kind.Error()
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Cause} }

// Hint says what to do.
func (e *Error) Hint() string {
	switch {
	case errors.Is(e.Kind, ErrDenied):
		return "check the token or the user and password for this host"
	case errors.Is(e.Kind, ErrNotFound):
		return "check the URL; whoever publishes it may have taken it away"
	case errors.Is(e.Kind, ErrTooLarge):
		return "raise the limit, if the file is right"
	}
	return transport.Hint(e)
}

func errorf(format string, args ...any) error { return fmt.Errorf(format, args...) }

func (e Error) because(kind, cause error) error {
	e.Kind, e.Cause = kind, cause
	return &e
}

func (e Error) tooLarge(size, limit int64) error {
	if size < 0 {
		return e.because(ErrTooLarge, errorf("it has more than %d bytes", limit))
	}
	return e.because(ErrTooLarge, errorf("it has %d bytes, and at most %d are read", size, limit))
}

// noAnswer is a request without an answer.
func (e Error) noAnswer(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // which would repeat the URL with its query
	}
	kind := ErrUnavailable
	if errors.Is(err, transport.ErrRefused) {
		kind = ErrRefused
	}
	return e.because(kind, err)
}

// broken is a body that ended before its time.
func (e Error) broken(err error) error {
	if errors.Is(err, transport.ErrTooLarge) {
		return e.because(ErrTooLarge, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errorf("the connection was cut: %w", err)
	}
	return e.because(ErrUnavailable, err)
}

// status is an answer that is not what was asked for.
func (e Error) status(res *http.Response) error {
	e.Status, e.Kind = res.StatusCode, ErrAnswer
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		e.Kind = ErrDenied
	case s == http.StatusNotFound, s == http.StatusGone:
		e.Kind = ErrNotFound
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		e.Kind = ErrUnavailable
		e.RetryAfter = pause(res.Header.Get("Retry-After"), res.Header.Get("Date"))
	}
	return &e
}

// longest is how far ahead a Retry-After is read.
const longest = time.Hour

// pause reads a Retry-After: seconds, or a date, reckoned from the answer's own; 0 = none that can be read.
func pause(value, date string) time.Duration {
	value = strings.TrimSpace(value)
	if s, err := strconv.ParseUint(value, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, longest)
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(date)
	if err != nil {
		return 0
	}
	return min(max(until.Sub(now), 0), longest)
}

// passing tells whether asking again may help.
func passing(ctx context.Context, err error) bool {
	if ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
		return false
	}
	f, ok := errors.AsType[*transport.Failure](err)
	return !ok || !f.Final
}
