package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"
)

func TestSizeLimit(t *testing.T) {
	s := plain(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", len(r.URL.Path)-1))
	})
	c := client(t, Config{MaxBody: 10})
	for _, n := range []int{0, 9, 10, 11, 5000} {
		text, err := get(t, c, s.URL+"/"+strings.Repeat("a", n))
		if n <= 10 && (err != nil || len(text) != n) {
			t.Errorf("%d bytes: read %d, %v", n, len(text), err)
		}
		if n > 10 && (err == nil || !strings.Contains(err.Error(), "larger than fedsite reads") || len(text) != 10) {
			t.Errorf("%d bytes: read %d, %v", n, len(text), err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	var came atomic.Int64
	s := plain(t, func(http.ResponseWriter, *http.Request) { came.Add(1) })
	c := client(t, Config{ReadOnly: true})
	for _, r := range []struct {
		method, path string
		passes       bool
	}{
		{"GET", "/v2.1/servers", true}, {"HEAD", "/v3/auth/tokens", true}, {"POST", "/v3/auth/tokens", true}, {"POST", "/identity/v3/auth/tokens", true},
		{"POST", "/v2.1/servers", false}, {"PUT", "/v3/projects/p/tags/t", false}, {"PATCH", "/v3/projects/p", false}, {"DELETE", "/v3/auth/tokens", false}, {"POST", "/v3/auth/tokens/x", false},
	} {
		came.Store(0)
		req, err := http.NewRequestWithContext(t.Context(), r.method, s.URL+r.path, strings.NewReader("{}"))
		must(t, err)
		_, err = do(c, req)
		if (err == nil) != r.passes || (came.Load() == 1) != r.passes {
			t.Errorf("%s %s: %v, %d requests came", r.method, r.path, err, came.Load())
		}
		if err != nil && !strings.Contains(err.Error(), r.method+" "+r.path+" would change something") {
			t.Errorf("%s %s: %v", r.method, r.path, err)
		}
	}
}

// A log may be read by more people than a credential.
func TestNoSecretInTheLog(t *testing.T) {
	s := plain(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Subject-Token", "secret-answer")
		w.Header().Set("X-Openstack-Request-Id", "req-17")
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "secret-body")
	})
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := client(t, Config{Log: log, Retry: Retry{Attempts: 2}, UserAgent: "fedsite/1"})
	refusing := newProxy(t, "", http.StatusProxyAuthRequired)
	viaProxy := client(t, Config{Log: log, Proxy: strings.Replace(refusing.URL, "//", "//site:secret-proxy@", 1)})
	for _, call := range []struct {
		c    *Client
		path string
	}{{c, "/v3"}, {c, "/busy"}, {c, "/cut"}, {viaProxy, "/v3"}} {
		target := strings.Replace(s.URL, "//", "//user:secret-login@", 1) + call.path + "?key=secret-query"
		if call.c == viaProxy {
			target = strings.Replace(target, "http:", "https:", 1)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
		must(t, err)
		req.Header.Set("X-Auth-Token", "secret-header")
		req.Header.Set("X-Api-Key", "secret-header")
		_, _ = do(call.c, req)
	}
	for _, want := range []string{"method=GET", "path=/v3", "status=200", "request_id=req-17", "status=503", `msg="request again"`, `msg="request failed"`, "407"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("a secret is in the log:\n%s", out.String())
	}
}

func TestUserAgent(t *testing.T) {
	var agent string
	s := plain(t, func(_ http.ResponseWriter, r *http.Request) { agent = r.UserAgent() })
	if _, err := get(t, client(t, Config{UserAgent: "fedsite/1"}), s.URL); err != nil || agent != "fedsite/1" {
		t.Errorf("%q, %v", agent, err)
	}
}

func TestCounter(t *testing.T) {
	var n atomic.Int64
	s := plain(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, "hello")
	})
	counter := &Counter{}
	c := client(t, Config{Counter: counter, Retry: Retry{Attempts: 2}})
	for range 2 {
		if _, err := get(t, c, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if counter.Requests() != 3 || counter.Bytes() != 15 {
		t.Errorf("%d requests, %d bytes; want 3 and 15, the repeated one with them", counter.Requests(), counter.Bytes())
	}
}

func TestDeadline(t *testing.T) {
	s := plain(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := get(t, client(t, Config{Timeout: 30 * time.Millisecond, Retry: Retry{Attempts: 3, Base: time.Hour, Max: time.Hour}}), s.URL)
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	lost := errors.New("the lease was lost")
	cancel(lost)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	must(t, err)
	if _, err := do(client(t, Config{}), req); errors.Is(err, ErrUnreachable) || err == nil {
		t.Errorf("a request that we end ourselves is not the server's fault: %v", err)
	}
}

func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &answers{give: []answer{{status: 200}}}
		l := &limited{next: below, limiter: rate.NewLimiter(5, 5)}
		for range 15 {
			if _, err := l.RoundTrip(request(t.Context(), t, "GET", "")); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(below.began).Round(time.Millisecond); took != 2*time.Second {
			t.Errorf("15 requests at 5 a second, the first 5 at once, took %s", took)
		}
		// A turn that would come after the deadline is an error at once, and never an answer of nothing.
		for range 5 {
			_, _ = l.RoundTrip(request(t.Context(), t, "GET", ""))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if res, err := l.RoundTrip(request(ctx, t, "GET", "")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", res, err)
		}
		ctx, stop := context.WithCancelCause(t.Context())
		lost := errors.New("the lease was lost")
		stop(lost)
		if _, err := l.RoundTrip(request(ctx, t, "GET", "")); !errors.Is(err, lost) {
			t.Errorf("%v", err)
		}
	})
}
