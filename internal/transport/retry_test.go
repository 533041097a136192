package transport

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers stands for what is below a layer: it gives one answer after the other, the last one for ever, and remembers the
// requests. An answer is a status, with a Retry-After where there is one.
type answers struct {
	give   []answer
	bodies []string
	at     []time.Duration // since the first request
	began  time.Time
}

type answer struct {
	status int // 0 = no answer
	after  string
	final  bool
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	if a.began.IsZero() {
		a.began = time.Now()
	}
	a.at = append(a.at, time.Since(a.began))
	body := ""
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = string(data)
	}
	a.bodies = append(a.bodies, body)
	now := a.give[min(len(a.bodies), len(a.give))-1]
	if now.status == 0 {
		return nil, &Failure{Host: r.URL.Host, What: "the connection was cut", Final: now.final, Cause: io.EOF}
	}
	h := http.Header{}
	if now.after != "" {
		h.Set("Retry-After", now.after)
	}
	return &http.Response{StatusCode: now.status, Header: h, Body: io.NopCloser(strings.NewReader("answer")), Request: r}, nil
}

func request(ctx context.Context, t *testing.T, method, body string) *http.Request {
	t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, "https://cloud.example.org/v3", rd)
	must(t, err)
	return req
}

func TestRetry(t *testing.T) {
	policy := Retry{Attempts: 3, Base: time.Second, Max: 30 * time.Second}
	for name, c := range map[string]struct {
		method string
		give   []answer
		tries  int
		status int // 0 = an error
	}{
		"a good answer":                    {"GET", []answer{{status: 200}}, 1, 200},
		"503, then good":                   {"GET", []answer{{status: 503}, {status: 200}}, 2, 200},
		"502, 504, then good":              {"GET", []answer{{status: 502}, {status: 504}, {status: 200}}, 3, 200},
		"503 again and again":              {"GET", []answer{{status: 503}}, 3, 503},
		"HEAD as GET":                      {"HEAD", []answer{{status: 503}, {status: 200}}, 2, 200},
		"cut, then good":                   {"GET", []answer{{}, {status: 200}}, 2, 200},
		"cut again and again":              {"GET", []answer{{}}, 3, 0},
		"no use trying":                    {"GET", []answer{{final: true}, {status: 200}}, 1, 0},
		"500 may be anything":              {"GET", []answer{{status: 500}, {status: 200}}, 1, 500},
		"404 will not pass":                {"GET", []answer{{status: 404}, {status: 200}}, 1, 404},
		"a POST may have been worked on":   {"POST", []answer{{status: 503}, {status: 200}}, 1, 503},
		"a cut POST too":                   {"POST", []answer{{}, {status: 200}}, 1, 0},
		"a POST refused by 429 has not":    {"POST", []answer{{status: 429}, {status: 200}}, 2, 200},
		"a PUT says the same again":        {"PUT", []answer{{status: 503}, {}, {status: 201}}, 3, 201},
		"a PUT that is refused":            {"PUT", []answer{{status: 500}, {status: 201}}, 1, 500},
		"429 to GET":                       {"GET", []answer{{status: 429}, {status: 200}}, 2, 200},
		"Retry-After that is waited for":   {"GET", []answer{{status: 503, after: "30"}, {status: 200}}, 2, 200},
		"Retry-After too long for a run":   {"GET", []answer{{status: 503, after: "31"}, {status: 200}}, 1, 503},
		"Retry-After that is no time":      {"GET", []answer{{status: 503, after: "soon"}, {status: 200}}, 2, 200},
		"a good answer with a Retry-After": {"GET", []answer{{status: 200, after: "5"}}, 1, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				below := &answers{give: c.give}
				body := ""
				if c.method == "POST" || c.method == "PUT" {
					body = `{"auth": 1}`
				}
				res, err := (&retried{next: below, policy: policy, log: slog.New(slog.DiscardHandler)}).RoundTrip(request(t.Context(), t, c.method, body))
				if (err != nil) != (c.status == 0) || res != nil && res.StatusCode != c.status {
					t.Errorf("%+v, %v, want %d", res, err, c.status)
				}
				if len(below.bodies) != c.tries {
					t.Errorf("%d tries, want %d", len(below.bodies), c.tries)
				}
				for i, b := range below.bodies {
					if b != body {
						t.Errorf("try %d sent %q", i+1, b)
					}
				}
			})
		})
	}
}

func TestRetryPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &answers{give: []answer{{status: 503}, {status: 503, after: "7"}, {status: 503, after: time.Now().Add(20 * time.Second).UTC().Format(http.TimeFormat)}, {status: 503}, {status: 200}}}
		policy := Retry{Attempts: 5, Base: time.Second, Max: 30 * time.Second}
		_, err := (&retried{next: below, policy: policy, log: slog.New(slog.DiscardHandler)}).RoundTrip(request(t.Context(), t, "GET", ""))
		must(t, err)
		between := func(i int, low, high time.Duration) {
			if d := below.at[i] - below.at[i-1]; d < low || d > high {
				t.Errorf("pause %d was %s, want %s to %s", i, d, low, high)
			}
		}
		between(1, time.Second/2, 3*time.Second/2) // base with jitter
		between(2, 7*time.Second, 7*time.Second)
		if at := below.at[3]; at < 19*time.Second || at > 20*time.Second {
			t.Errorf("a Retry-After as a date was waited for until %s, want 20s", at)
		}
		between(4, 4*time.Second, 12*time.Second) // doubled three times
	})
}

// TestRetryAfter: what the header says is a time, by the clock of who says it, and never less than nothing.
func TestRetryAfter(t *testing.T) {
	const noon = "Wed, 25 Nov 2026 12:00:00 GMT"
	for name, c := range map[string]struct {
		after, date string
		want        time.Duration
	}{
		"nothing":                     {"", noon, 0},
		"seconds":                     {" 7 ", noon, 7 * time.Second},
		"seconds gone by":             {"-7", noon, 0},
		"more seconds than there are": {"99999999999999999999", noon, 24 * time.Hour},
		"as many as overflow":         {"9223372036854775807", noon, 24 * time.Hour},
		"a date, reckoned there":      {"Wed, 25 Nov 2026 12:00:20 GMT", noon, 20 * time.Second},
		"in the form of RFC 850":      {"Wednesday, 25-Nov-26 12:00:20 GMT", noon, 20 * time.Second},
		"a date gone by":              {"Wed, 25 Nov 2026 11:00:00 GMT", noon, 0},
		"a date in another age":       {"Wed, 25 Nov 9999 12:00:00 GMT", noon, 24 * time.Hour},
		"no date":                     {"Wed, 31 Feb 2026 12:00:00 GMT", noon, 0},
		"a word":                      {"soon", noon, 0},
		"without a date of its own":   {time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat), "today", 0},
	} {
		res := &http.Response{Header: http.Header{"Retry-After": {c.after}, "Date": {c.date}}}
		if got := retryAfter(res); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// FuzzRetryAfter: no header makes a pause that is negative or without end, and a number is taken at its word.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "7", "-1", "1e3", "99999999999999999999", "Wed, 25 Nov 2026 12:00:20 GMT", "Wednesday, 25-Nov-26 12:00:20 GMT", "Wed Nov 25 12:00:20 2026", "soon"} {
		f.Add(value, "Wed, 25 Nov 2026 12:00:00 GMT")
	}
	f.Add("Wed, 25 Nov 9999 12:00:20 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		got := retryAfter(&http.Response{Header: http.Header{"Retry-After": {after}, "Date": {date}}})
		if got < 0 || got > longest {
			t.Errorf("%q after %q: %s", after, date, got)
		}
		if n, err := strconv.ParseUint(after, 10, 16); err == nil && got != time.Duration(n)*time.Second {
			t.Errorf("%q: %s", after, got)
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &answers{give: []answer{{status: 503, after: "20"}}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err := (&retried{next: below, policy: Retry{Attempts: 3, Base: time.Second, Max: 30 * time.Second}, log: slog.New(slog.DiscardHandler)}).RoundTrip(request(ctx, t, "GET", ""))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second || len(below.bodies) != 1 {
			t.Errorf("%v after %s and %d tries", err, time.Since(began), len(below.bodies))
		}
	})
}

func TestBodyThatCannotBeSentAgain(t *testing.T) {
	for method, status := range map[string]int{"POST": 429, "PUT": 503} {
		below := &answers{give: []answer{{status: status}, {status: 200}}}
		req := request(t.Context(), t, method, "x")
		req.GetBody = nil
		res, err := (&retried{next: below, policy: Retry{Attempts: 3}, log: slog.New(slog.DiscardHandler)}).RoundTrip(req)
		if err != nil || res.StatusCode != status || len(below.bodies) != 1 {
			t.Errorf("%s: %+v, %v, %d tries", method, res, err, len(below.bodies))
		}
	}
}
