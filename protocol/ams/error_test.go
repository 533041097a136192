package ams

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

var errNoAnswer = errors.New("no answer")

// TestRefusals replays what AMS says to a publisher: what is known of the message then, and what to do.
func TestRefusals(t *testing.T) {
	const large = 800_000
	for number, c := range map[string]struct {
		status                      int
		word, message, hint         string
		answered, tooLarge, badBody bool // tooLarge: of a large message
	}{
		"03":  {401, "UNAUTHORIZED", "Unauthorized", "token is unknown", true, false, false},
		"08":  {404, "NOT_FOUND", "Topic doesn't exist", "accounting.ams.topics", true, false, false},
		"09":  {404, "NOT_FOUND", "project doesn't exist", "accounting.ams.project", true, false, false},
		"10":  {403, "FORBIDDEN", "Access to this resource is forbidden", "may not publish", true, false, false},
		"11":  {403, "FORBIDDEN", "Access to this resource is forbidden", "may not publish", true, false, false},
		"12":  {400, "INVALID_ARGUMENT", "Invalid Message Arguments", "", true, false, true},
		"16":  {400, "INVALID_ARGUMENT", "Invalid Message Arguments", "", true, false, true},
		"18":  {400, "INVALID_ARGUMENT", "Invalid topic name", "accounting.ams.topics", true, false, false},
		"20":  {404, "", "404 page not found", "host and port", true, false, false},
		"21":  {500, "INTERNAL_SERVER_ERROR", "Backend Error", "", false, true, false},
		"106": {413, "INVALID_ARGUMENT", "Message size is too large", "max_records", true, true, false},
		"165": {400, "INVALID_ARGUMENT", "Message 1 data is not valid,(root): name is required", "", true, false, true},
		"166": {400, "INVALID_ARGUMENT", "Message 0 data is not valid JSON format", "", true, false, true},
		"167": {400, "INVALID_ARGUMENT", "Message 0 is not in valid base64 enocding", "", true, false, true},
		"172": {404, "", "404 page not found", "host and port", true, false, false},
	} {
		s := recorded(t, number)
		_, err := s.client().Publish(t.Context(), token, "topic", Message{Data: []byte("x")})
		e := failed(t, err)
		if e.HTTPStatus != c.status || e.Status != c.word || !strings.HasPrefix(e.Message, c.message) {
			t.Errorf("%s: %d %s %q, want %d %s %q", number, e.HTTPStatus, e.Status, e.Message, c.status, c.word, c.message)
		}
		if e.Answered() != c.answered || e.TooLarge(large) != c.tooLarge || e.BadBody() != c.badBody {
			t.Errorf("%s: answered %v, too large %v, bad body %v; want %v, %v, %v", number, e.Answered(), e.TooLarge(large), e.BadBody(), c.answered, c.tooLarge, c.badBody)
		}
		if (c.hint == "") != (e.Hint() == "") || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: hint %q, want %q", number, e.Hint(), c.hint)
		}
	}
}

// What stands in front of AMS answers as it likes: only the status counts.
func TestAnswersOfBalancers(t *testing.T) {
	for name, c := range map[string]struct {
		s        *server
		want     string
		answered bool
		after    time.Duration
	}{
		"502 with HTML":           {&server{status: 502, body: "<html><body><h1>502 Bad\n  Gateway</h1></body></html>"}, "502 <html><body><h1>502 Bad Gateway</h1>", false, 0},
		"503 without a word":      {&server{status: 503, header: http.Header{"Retry-After": {"120"}}}, "503 Service Unavailable", false, 2 * time.Minute},
		"504":                     {&server{status: 504}, "504 Gateway Timeout", false, 0},
		"408":                     {&server{status: 408}, "408 Request Timeout", false, 0},
		"500 of a small message":  {&server{status: 500, body: `{"error":{"message":"Backend Error"}}`}, "500 Backend Error", false, 0},
		"409":                     {&server{status: 409, body: `{"error":{"message":"x"}}`}, "409 x", true, 0},
		"429 with its delay":      {&server{status: 429, header: http.Header{"Retry-After": {" 7 "}}}, "429 Too Many Requests", true, 7 * time.Second},
		"429 for ever and a day":  {&server{status: 429, header: http.Header{"Retry-After": {"99999999999999999999999"}}}, "429", true, 24 * time.Hour},
		"429 for ever":            {&server{status: 429, header: http.Header{"Retry-After": {"999999999999"}}}, "429", true, 24 * time.Hour},
		"429 with a date":         {&server{status: 429, header: http.Header{"Retry-After": {"Wed, 25 Nov 2026 13:00:00 GMT"}, "Date": {"Wed, 25 Nov 2026 12:00:00 GMT"}}}, "429", true, time.Hour},
		"503 with a date gone by": {&server{status: 503, header: http.Header{"Retry-After": {"Wed, 25 Nov 2026 11:00:00 GMT"}, "Date": {"Wed, 25 Nov 2026 12:00:00 GMT"}}}, "503", false, 0},
		"429 with a date far off": {&server{status: 429, header: http.Header{"Retry-After": {"Wed, 25 Nov 9999 13:00:00 GMT"}, "Date": {"Wed, 25 Nov 2026 12:00:00 GMT"}}}, "429", true, 24 * time.Hour},
		"429 with a date alone":   {&server{status: 429, header: http.Header{"Retry-After": {"Wed, 25 Nov 2026 13:00:00 GMT"}}}, "429", true, 0},
		"429 with nonsense":       {&server{status: 429, header: http.Header{"Retry-After": {"-5"}}}, "429", true, 0},
		"403 whose body was cut":  {&server{status: 403, body: "{", cut: true}, "403, then unexpected EOF", false, 0},
		"JSON called text/plain":  {&server{status: 401, header: http.Header{"Content-Type": {"text/plain"}}, body: `{"error":{"message":"Unauthorized"}}`}, "401 Unauthorized", true, 0},
		"HTML called JSON":        {&server{status: 404, header: http.Header{"Content-Type": {"application/json"}}, body: "<p>no</p>"}, "404 <p>no</p>", true, 0},
		"a long page":             {&server{status: 404, body: strings.Repeat("é", 5000)}, "404 é", true, 0},
		"a redirect of its own":   {&server{status: 304}, "304 Not Modified", false, 0},
		"a status nobody knows":   {&server{status: 599}, "599", false, 0},
		"a connection that broke": {&server{err: errNoAnswer}, "at msg.example.org: no answer", false, 0},
		"no time left":            {&server{err: context.DeadlineExceeded}, "deadline", false, 0},
	} {
		_, err := c.s.client().Publish(t.Context(), token, "topic", Message{Data: []byte("x")})
		e := failed(t, err)
		if !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if e.Answered() != c.answered || e.RetryAfter != c.after || e.TooLarge(1000) || e.BadBody() {
			t.Errorf("%s: answered %v, retry after %s, too large %v, bad body %v", name, e.Answered(), e.RetryAfter, e.TooLarge(1000), e.BadBody())
		}
		if c.s.err != nil && !errors.Is(err, c.s.err) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}

func TestAuthnRefusals(t *testing.T) {
	crl := &server{status: 500, body: `{"error":{"message":"Internal Error: Could not access CRL http://ca.example.org/crl","code":500,"status":"INTERNAL SERVER ERROR"}}`}
	forbidden := func(message string) *server {
		return &server{status: 403, body: `{"error":{"message":"` + message + `","code":403,"status":"ACCESS_FORBIDDEN"}}`}
	}
	unknownCA := &net.OpError{Op: "remote error", Net: "tcp", Err: tls.AlertError(48)}
	for name, c := range map[string]struct {
		s        *server
		status   int
		message  string
		hint     string
		answered bool
	}{
		"DN not registered":     {recorded(t, "141"), 404, "Binding was not found", "GOCDB", true},
		"no revocation list":    {recorded(t, "142"), 403, "CRLDistributionPoints", "revocation list", true},
		"no certificate":        {recorded(t, "143"), 400, "No certificate provided", "accounting.ams.certificate", true},
		"host not registered":   {recorded(t, "145"), 404, "Host was not found", "accounting.ams.host", true},
		"service not known":     {recorded(t, "146"), 404, "Service-type was not found", "accounting.ams.host", true},
		"revocation list lost":  {crl, 500, "Could not access CRL", "passes by itself", false},
		"expired":               {forbidden("Your certificate has expired"), 403, "expired", "renew", true},
		"revoked":               {forbidden("Your certificate has been revoked"), 403, "revoked", "renew", true},
		"not yet":               {forbidden("Your certificate is not active yet"), 403, "not active", "renew", true},
		"another service there": {&server{status: 404, body: "404 page not found\n"}, 404, "404 page not found", "authn_port", true},
		"authority not trusted": {&server{err: unknownCA}, 0, "", "does not take the host certificate", false},
		"port closed":           {&server{err: errNoAnswer}, 0, "", "authn_port can be reached", false},
	} {
		_, err := c.s.client().Token(t.Context())
		e := failed(t, err)
		if e.HTTPStatus != c.status || !strings.Contains(e.Message, c.message) || e.Answered() != c.answered || !strings.HasPrefix(err.Error(), "exchange the certificate for a token at msg.example.org:8443") {
			t.Errorf("%s: %v, answered %v", name, err, e.Answered())
		}
		if !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: hint %q, want %q", name, e.Hint(), c.hint)
		}
	}
}

// FuzzRetryAfter: no header makes a wait that is negative or without end, and a number is taken at its word.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", " 7 ", "-1", "1e3", "99999999999999999999", "Wed, 25 Nov 2026 12:00:20 GMT", "Wednesday, 25-Nov-26 12:00:20 GMT", "Wed Nov 25 12:00:20 2026", "soon"} {
		f.Add(value, "Wed, 25 Nov 2026 12:00:00 GMT")
	}
	f.Add("Wed, 25 Nov 9999 12:00:20 GMT", "Mon, 01 Jan 0001 00:00:00 GMT")
	f.Fuzz(func(t *testing.T, after, date string) {
		got := retryAfter(http.Header{"Retry-After": {after}, "Date": {date}})
		if got < 0 || got > longest {
			t.Errorf("%q after %q: %s", after, date, got)
		}
		if n, err := strconv.ParseUint(after, 10, 16); err == nil && got != time.Duration(n)*time.Second {
			t.Errorf("%q: %s", after, got)
		}
	})
}
