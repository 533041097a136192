package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/web"
	"github.com/fedsite/fedsite/internal/web/webtest"
)

// ask makes a request as a browser on the same machine does.
func ask(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	return askAs(t, h, http.MethodGet, "127.0.0.1:8080", path)
}

func askAs(t *testing.T, h http.Handler, method, host, path string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// addresses are all kinds of addresses that there are, for the site that all is well at.
var addresses = []string{"/", "/?problems=all", "/tasks", "/tasks?q=send&only=running", "/tasks/service.snapshot", "/tasks/accounting.collect/example-cloud-3f9a2c71",
	"/tasks/accounting.collect/example-cloud-3f9a2c71/124", "/tasks/service.snapshot/124",
	"/api/v1/overview", "/api/v1/tasks", "/api/v1/tasks/service.snapshot", "/api/v1/tasks/accounting.collect/example-cloud-3f9a2c71/124",
	"/static/icon.svg", "/healthz", "/readyz", "/metrics"}

func metrics(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "fedsite_up 1") }

// TestAddresses: every address answers, to GET and HEAD and nothing else, with the headers that every answer has.
func TestAddresses(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Well(), Metrics: http.HandlerFunc(metrics)})
	for _, path := range append(addresses, "/nothing", "/api/v1/nothing", "/tasks/none", "/tasks/service.snapshot/9999", "/api/v1/tasks/none") {
		want := http.StatusOK
		if strings.Contains(path, "no") || strings.Contains(path, "9999") {
			want = http.StatusNotFound
		}
		for method, status := range map[string]int{"GET": want, "HEAD": want, "POST": 405, "PUT": 405, "DELETE": 405, "OPTIONS": 405, "TRACE": 405, "BREW": 405} {
			got := askAs(t, s, method, "localhost:8080", path)
			if got.Code != status {
				t.Errorf("%s %s: %d, want %d", method, path, got.Code, status)
			}
			h := got.Header()
			csp := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none'; style-src 'self';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "script") ||
				h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
				t.Errorf("%s %s: headers %v", method, path, h)
			}
			if !strings.HasPrefix(path, "/static/") && h.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s may be kept: %s", method, path, h.Get("Cache-Control"))
			}
			if status == 405 && h.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow %q", method, path, h.Get("Allow"))
			}
			if kind := h.Get("Content-Type"); strings.HasPrefix(path, "/api/") && kind != "application/json" || path == "/" && kind != "text/html; charset=utf-8" {
				t.Errorf("%s %s: %s", method, path, kind)
			}
		}
	}
}

// TestNotice: what is to stand on every page stands there, also on that of an error; metrics are named when there are some.
func TestNotice(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Well(), Notice: "DEMO: <all> is made up"})
	for _, path := range []string{"/", "/tasks", "/tasks/service.snapshot", "/tasks/service.snapshot/124", "/nothing"} {
		if page := ask(t, s, path).Body.String(); !strings.Contains(page, `<p class="notice"><bdi>DEMO: &lt;all&gt; is made up</bdi></p>`) || strings.Contains(page, "/metrics") {
			t.Errorf("%s: %.900s", path, page)
		}
	}
	s = web.New(web.Options{Source: webtest.Well(), Metrics: http.HandlerFunc(metrics)})
	if page := ask(t, s, "/").Body.String(); strings.Contains(page, "notice") || !strings.Contains(page, `href="/metrics"`) {
		t.Errorf("%.900s", page)
	}
}

// TestStyleSheet: pages name the style sheet under an address that holds.
func TestStyleSheet(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Well()})
	_, after, _ := strings.Cut(ask(t, s, "/").Body.String(), `<link rel="stylesheet" href="`)
	path, _, found := strings.Cut(after, `"`)
	if got := ask(t, s, path); !found || got.Code != 200 || got.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(got.Header().Get("Cache-Control"), "max-age") {
		t.Errorf("%s: %d %v", path, got.Code, got.Header())
	}
}

// TestHost: only requests under a name of ours are answered, so that a page elsewhere cannot have its own name lead here.
func TestHost(t *testing.T) {
	s := web.New(web.Options{Source: webtest.Well(), Names: []string{"fedsite.example.org"}})
	for host, ours := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LocalHost:1": true, "localhost.": true, "127.0.0.1": true, "127.0.0.1:8080": true, "127.8.9.1:80": true,
		"[::1]": true, "[::1]:8080": true, "::1": true, "[::ffff:127.0.0.1]:80": true, "fedsite.example.org": true, "FEDSITE.example.org:443": true, "": true,
		"evil.example.org": false, "localhost.evil.example.org": false, "127.0.0.1.evil.example.org": false, "192.0.2.1:8080": false, "[2001:db8::1]:8080": false,
		"0.0.0.0:8080": false, "[::]:8080": false, "evil.example.org:127.0.0.1": false, "[localhost]:80:90": false, "fedsite.example.org.evil": false, " localhost": false,
	} {
		for _, path := range []string{"/", "/api/v1/overview", "/metrics", "/healthz"} {
			got := askAs(t, s, "GET", host, path)
			if (got.Code != http.StatusMisdirectedRequest) != ours {
				t.Errorf("Host %q, %s: %d", host, path, got.Code)
			}
			if !ours && strings.Contains(got.Body.String(), "EXAMPLE-CLOUD") {
				t.Errorf("Host %q is shown data", host)
			}
		}
	}
}

// TestErrors: what goes wrong inside is in the log and in no answer.
func TestErrors(t *testing.T) {
	const inside = "/var/lib/fedsite/fedsite.db: secret-s3kr1t is locked"
	for _, c := range []struct {
		err    error
		status int
		words  string
	}{
		{errors.New(inside), 500, "The page could not be made."},
		{fmt.Errorf("%s: %w", inside, web.ErrUnavailable), 503, "The database does not answer at the moment."},
		{fmt.Errorf("%s: %w", inside, context.DeadlineExceeded), 503, "The database does not answer at the moment."},
		{fmt.Errorf("%s: %w", inside, web.ErrNotFound), 404, "There is nothing under this address."},
	} {
		var log bytes.Buffer
		source := webtest.Well()
		source.Err = c.err
		s := web.New(web.Options{Source: source, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for _, path := range []string{"/", "/tasks", "/tasks/x.y", "/tasks/x.y/a-1/7", "/api/v1/overview", "/api/v1/tasks", "/api/v1/tasks/x.y", "/api/v1/tasks/x.y/a-1/7"} {
			log.Reset()
			got := ask(t, s, path)
			if got.Code != c.status || !strings.Contains(got.Body.String(), c.words) || strings.Contains(got.Body.String(), "s3kr1t") {
				t.Errorf("%v, %s: %d %s", c.err, path, got.Code, got.Body)
			}
			if c.status >= 500 != strings.Contains(log.String(), inside) {
				t.Errorf("%v, %s: the log says %q", c.err, path, log.String())
			}
			if strings.HasPrefix(path, "/api/") && !json.Valid(got.Body.Bytes()) {
				t.Errorf("%s: no JSON: %s", path, got.Body)
			}
		}
	}
}

// panics is a source that panics.
type panics struct{ web.Source }

func (panics) Overview(context.Context) (web.Overview, error) { panic("secret-s3kr1t") }

// TestPanic: a page that panics is an error like any other.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	s := web.New(web.Options{Source: panics{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	got := ask(t, s, "/")
	if got.Code != 500 || strings.Contains(got.Body.String(), "s3kr1t") || !strings.Contains(log.String(), "s3kr1t") || !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("%d %s; log %s", got.Code, got.Body, log.String())
	}
}

// waits is a source that answers when nobody waits any more.
type waits struct{ web.Source }

func (waits) Overview(ctx context.Context) (web.Overview, error) {
	<-ctx.Done()
	return web.Overview{}, ctx.Err()
}

// TestPatience: a database that hangs holds no page for ever; a reader who goes away is no error.
func TestPatience(t *testing.T) {
	var log bytes.Buffer
	s := web.New(web.Options{Source: waits{}, Patience: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := ask(t, s, "/"); got.Code != 503 || log.Len() == 0 {
		t.Errorf("%d, log %s", got.Code, log.String())
	}
	log.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "http://localhost/", nil)
	s.ServeHTTP(httptest.NewRecorder(), r)
	if log.Len() > 0 {
		t.Errorf("log %s", log.String())
	}
}

// TestHealth: what watchers are told.
func TestHealth(t *testing.T) {
	var stuck, unready error
	s := web.New(web.Options{Source: webtest.Well(), Alive: func() error { return stuck }, Ready: func(context.Context) error { return unready }})
	for _, c := range []struct {
		stuck, unready  error
		healthz, readyz string
	}{
		{nil, nil, "200 ok\n", "200 ok\n"},
		{errors.New("no poll since s3kr1t"), nil, "503 the scheduler is stuck\n", "200 ok\n"},
		{nil, fmt.Errorf("s3kr1t: %w", web.NoDatabase), "200 ok\n", "503 the database does not answer\n"},
		{nil, web.NoConfiguration, "200 ok\n", "503 no valid configuration is loaded\n"},
		{nil, errors.New("s3kr1t"), "200 ok\n", "503 not ready\n"},
	} {
		stuck, unready = c.stuck, c.unready
		for path, want := range map[string]string{"/healthz": c.healthz, "/readyz": c.readyz} {
			got := ask(t, s, path)
			if said := fmt.Sprintf("%d %s", got.Code, got.Body); said != want {
				t.Errorf("%s with %v, %v: %q, want %q", path, c.stuck, c.unready, said, want)
			}
		}
	}
	if got := ask(t, web.New(web.Options{}), "/metrics"); got.Code != 404 {
		t.Errorf("metrics that nobody gave: %d", got.Code)
	}
}
