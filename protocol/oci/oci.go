// Package oci reads images from a registry: the OCI distribution protocol, and Harbor's API beside it (spec images §3.2).
// Connections are the caller's: proxies, authorities, redirects and how near a target may be; so is the time that all takes.
//
//	challenge → token → tags → manifest ┐
//	Harbor: projects → repositories → artifacts ┴→ select → blob
//
// What holds:
//   - A listing says whether it is complete, and what is missing: nothing is concluded from a listing with a gap.
//   - A manifest is believed only if its bytes have the digest that was asked for, or that the registry says.
//   - User and password go to the registry, and to the service of tokens of the same domain that it names. A token is for
//     one repository, and to read.
//   - Nothing is retried here, and but for tokens nothing is kept.
package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Doer sends a request. *http.Client is one.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// Client asks one registry. Its methods may be called at the same time.
type Client struct {
	HTTP           Doer
	URL            string           // https://registry.egi.eu, without a path
	User, Password string           // "" = nobody; what is public can be read
	Now            func() time.Time // nil = time.Now; when a token ends

	mu     sync.Mutex
	tokens map[string]token // by repository
}

// Limits of what a registry may say.
const (
	maxManifest = 4 << 20
	maxPage     = 16 << 20
	maxToken    = 1 << 20
	maxPages    = 1_000
	maxItems    = 100_000 // of one listing
)

// What can go wrong.
var (
	ErrNotFound    = errors.New("not found")
	ErrDenied      = errors.New("not authorised")
	ErrUnavailable = errors.New("unavailable") // may pass
	ErrAnswer      = errors.New("an answer that cannot be used")
)

// Error is something that a registry did not give. It holds no secret.
type Error struct {
	Op     string // "read the manifest of vo/ubuntu:24.04"
	Host   string
	Kind   error // one of those above
	Status int   // of HTTP; 0 = none matters
	Cause  error
}

// Error says what failed.
func (e *Error) Error() string {
	text := e.Op + ": "
	if e.Host != "" {
		text += e.Host + ": "
	}
	text += e.Kind.Error()
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

// Temporary tells whether asking again may help.
func (e *Error) Temporary() bool { return errors.Is(e.Kind, ErrUnavailable) }

func unusable(format string, args ...any) *Error {
	return &Error{Kind: ErrAnswer, Cause: fmt.Errorf(format, args...)}
}

// names are what the protocol allows.
var (
	repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagName        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestName     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	projectName    = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*$`)
)

// isRepository tells whether a name is one of a repository.
func isRepository(name string) bool { return len(name) <= 255 && repositoryName.MatchString(name) }

// base gives the registry's URL.
func (c *Client) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, &Error{Op: "ask the registry", Kind: ErrAnswer, Cause: errors.New("its URL is not https://host")}
	}
	u.Path = ""
	return u, nil
}

// get asks for a URL of the registry once, with a value of Authorization.
func (c *Client) get(ctx context.Context, target, accept, authorization string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, errors.New("it cannot be asked for")
	}
	r.Header.Set("Accept", accept)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	res, err := c.HTTP.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // the URL may hold what is secret
		}
		return nil, err
	}
	return res, nil
}

// registryError is what a registry says beside a status: {"errors":[{"code":…,"message":…}]}.
type registryError struct {
	Errors []struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
}

// refused gives the error of an answer that is not 200.
func refused(res *http.Response) *Error {
	e := &Error{Kind: ErrAnswer, Status: res.StatusCode}
	switch s := res.StatusCode; {
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		e.Kind = ErrDenied
	case s == http.StatusNotFound:
		e.Kind = ErrNotFound
	case s == http.StatusRequestTimeout, s == http.StatusTooManyRequests, s >= 500:
		e.Kind = ErrUnavailable
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var said registryError
	if err == nil && json.Unmarshal(text, &said) == nil && len(said.Errors) > 0 {
		e.Cause = fmt.Errorf("it says %.80q: %.200q", said.Errors[0].Code, said.Errors[0].Message)
	}
	return e
}

// read reads a body that has at most so many bytes.
func read(body io.Reader, limit int64) ([]byte, *Error) {
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err != nil {
		return nil, &Error{Kind: ErrUnavailable, Cause: err}
	}
	if int64(len(text)) > limit {
		return nil, unusable("it has more than %d bytes", limit)
	}
	return text, nil
}

// decode reads JSON that has to be whole, and nothing after it.
func decode(text []byte, into any) *Error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(into); err != nil {
		return unusable("it is not the JSON that it should be")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return unusable("something follows its JSON")
	}
	return nil
}

// failed completes an error with what was tried and where.
func (c *Client) failed(op string, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Kind: ErrUnavailable, Cause: err}
	}
	done := *e
	done.Op = op
	if u, err := c.base(); err == nil && done.Host == "" {
		done.Host = u.Host
	}
	return &done
}

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}
