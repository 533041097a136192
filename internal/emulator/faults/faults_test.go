package faults_test

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
)

// serve gives a service that answers its path, behind the set, and how often it was reached.
func serve(t *testing.T, s *faults.Set) (url string, reached *atomic.Int64) {
	t.Helper()
	reached = new(atomic.Int64)
	srv := httptest.NewUnstartedServer(s.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		w.Header().Set("X-Of", "service")
		fmt.Fprint(w, "the path is ", r.URL.Path)
	})))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, reached
}

// ask gives what came: the status and the body, or that the connection was cut before or in it.
func ask(url string) string {
	res, err := http.DefaultClient.Do(must(http.NewRequest(http.MethodGet, url, nil)))
	if err != nil {
		return "no answer"
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return fmt.Sprintf("%d cut after %q", res.StatusCode, body)
	}
	return fmt.Sprintf("%d %s", res.StatusCode, body)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestEffects(t *testing.T) {
	for name, c := range map[string]struct {
		effect  faults.Effect
		want    string
		reached int64
	}{
		"status":  {faults.Effect{Status: 503, Body: "<html>"}, "503 <html>", 0},
		"unread":  {faults.Effect{Unread: true}, "no answer", 0},
		"lost":    {faults.Effect{Lost: true}, "no answer", 1},
		"worked":  {faults.Effect{Status: 504, Body: "late", Worked: true}, "504 late", 1},
		"header":  {faults.Effect{CutAt: 20}, "no answer", 1},
		"a byte":  {faults.Effect{CutAt: -1}, `200 cut after "the path is /a/b/"`, 1},
		"nothing": {faults.Effect{CutAt: -100_000}, "no answer", 1},
		"cut":     {faults.Effect{Cut: true}, `200 cut after "the path "`, 1},
		"changed": {faults.Effect{Change: func(b []byte) []byte { return []byte(strings.ToUpper(string(b))) }}, "200 THE PATH IS /A/B/C", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &faults.Set{}
			s.Add(faults.Fault{Effect: c.effect, Times: -1})
			url, reached := serve(t, s)
			if got := ask(url + "/a/b/c"); got != c.want || reached.Load() != c.reached {
				t.Errorf("%s, reached %d times; want %s, %d", got, reached.Load(), c.want, c.reached)
			}
		})
	}
}

func TestWhichRequestsAreStruck(t *testing.T) {
	s := &faults.Set{}
	s.Add(faults.Fault{Service: "compute", Method: "GET", Path: "/v2.1/servers/*", Query: "marker=", Nth: 2, Times: 2, Effect: faults.Effect{Status: 500}})
	url, _ := serve(t, s)
	for i, c := range []struct {
		path   string
		struck bool
	}{
		{"/compute/v2.1/servers/detail?marker=a", false}, // the first
		{"/compute/v2.1/servers/detail?limit=1", false},  // another query
		{"/compute/v2.1/flavors/detail?marker=a", false}, // another path
		{"/volume/v2.1/servers/detail?marker=a", false},  // another service
		{"/compute/v2.1/servers/detail?marker=b", true},
		{"/compute/v2.1/servers/detail?marker=c", true},
		{"/compute/v2.1/servers/detail?marker=d", false},
	} {
		if got := strings.HasPrefix(ask(url+c.path), "500"); got != c.struck {
			t.Errorf("request %d, %s: struck %v", i+1, c.path, got)
		}
	}
	if s.Left() != 0 {
		t.Errorf("%d faults have not struck", s.Left())
	}
}

// TestRetryAfter: both forms of the header.
func TestRetryAfter(t *testing.T) {
	s := &faults.Set{}
	s.Add(faults.Fault{Effect: faults.Effect{Status: 429, RetryAfter: "7"}})
	s.Add(faults.Fault{Nth: 2, Effect: faults.Effect{Status: 429, RetryIn: time.Hour}})
	url, _ := serve(t, s)
	for _, want := range []time.Duration{7 * time.Second, time.Hour} {
		res := must(http.Get(url))
		_ = res.Body.Close()
		value := res.Header.Get("Retry-After")
		got, err := time.ParseDuration(value + "s")
		if at, derr := http.ParseTime(value); derr == nil {
			got, err = time.Until(at), nil
		}
		if err != nil || got > want || got < want-time.Minute {
			t.Errorf("Retry-After: %s, want %s", value, want)
		}
	}
	if s.Struck() != 2 {
		t.Errorf("%d requests were struck", s.Struck())
	}
}

// TestNamed: every named fault can be found, says what becomes of it on one line, and those of requests change something.
func TestNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range faults.Shown() {
		if found, ok := faults.Find(n.Name); !ok || found.Text != n.Text || seen[n.Name] {
			t.Errorf("%s: found %v, there before: %v", n.Name, ok, seen[n.Name])
		}
		seen[n.Name] = true
		if n.Text == "" || len(n.Text) > 140 || strings.ContainsAny(n.Text, "\n") {
			t.Errorf("%s: %q", n.Name, n.Text)
		}
		switch n.Place {
		case faults.Cloud, faults.Broker, faults.Authn, faults.Glance, faults.Publishers:
			s := &faults.Set{}
			s.Add(faults.Fault{Effect: n.Fault.Effect})
			url, _ := serve(t, s)
			began := time.Now()
			res, err := http.Get(url + "/a")
			if err == nil {
				body, rerr := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if rerr == nil && res.StatusCode == 200 && string(body) == "the path is /a" && strings.HasPrefix(res.Header.Get("Content-Type"), "text/plain; charset") &&
					time.Since(began) < time.Second && n.Name != "page-repeats" {
					t.Errorf("%s does nothing", n.Name)
				}
			}
		case faults.Clock:
			if n.Ours == 0 && n.Theirs == 0 {
				t.Errorf("%s moves no clock", n.Name)
			}
		}
	}
	if _, ok := faults.Find("none"); ok {
		t.Error("found a fault that there is not")
	}
}

// TestWhole: who asks for a part gets the whole of a service that is made to know no parts.
func TestWhole(t *testing.T) {
	for _, whole := range []bool{false, true} {
		s := &faults.Set{}
		s.Add(faults.Fault{Times: -1, Effect: faults.Effect{Whole: whole}})
		r, w := httptest.NewRequest(http.MethodGet, "/file", nil), httptest.NewRecorder()
		r.Header.Set("Range", "bytes=4-")
		s.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("0123456789"))
		})).ServeHTTP(w, r)
		if want := map[bool]string{false: "456789", true: "0123456789"}[whole]; w.Body.String() != want {
			t.Errorf("whole: %v: %d %q", whole, w.Code, w.Body)
		}
	}
}

// TestAfter: a fault in the middle of a body strikes once so much of it was taken, and one of less is struck all the same.
func TestAfter(t *testing.T) {
	for size, left := range map[int]int{100: 40, 60: 0, 10: 0} {
		s := &faults.Set{}
		s.Add(faults.Fault{Effect: faults.Effect{After: 60, Status: 413, Body: "full"}})
		body := strings.NewReader(strings.Repeat("x", size))
		w := httptest.NewRecorder()
		s.Middleware(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/image", body))
		if w.Code != 413 || w.Body.String() != "full" || body.Len() != left {
			t.Errorf("of %d bytes %d are left, want %d; %d %s", size, body.Len(), left, w.Code, w.Body)
		}
	}
}
