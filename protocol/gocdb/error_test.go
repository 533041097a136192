package gocdb

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

var errNoAnswer = errors.New("no answer")

const html = "<!DOCTYPE html>\n<html><body><h1>503 Service\n  Unavailable</h1><br></body></html>"

// TestRefusals: what is known when GOCDB does not answer, whether asking again helps, and what to do.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		s         *server
		want      string // in the error
		permanent bool
		hint      string
	}{
		// GOCDB's own noes come with status 200.
		"a parameter it does not know":  {one("<error>Unsupported parameter: x</error>"), "200 Unsupported parameter: x", true, "check GOCDB's URL"},
		"a value that it does not take": {one(`<error>Unsuported chracter in value: a"b</error>`), "Unsuported chracter", true, "check the site's name"},
		"a value that it does not mask": {one("<error>Unsuported chracter in value: <x&y'</error>"), "200 Unsuported chracter in value:", true, "check the site's name"},
		"a refusal that is cut":         {one("<error>Invalid parameter"), "200 Invalid parameter", true, "check GOCDB's URL"},
		"a method it does not have":     {one("Unable to find method: get_x"), "200 Unable to find method: get_x", true, "check GOCDB's URL"},
		"its database is down":          {one("An exception occurred in driver: SQLSTATE[HY000] [2002] Connection refused"), "200 not what GOCDB answers: An exception occurred in driver", false, "maintenance"},
		"nothing":                       {one(""), "200 an empty answer", false, "maintenance"},
		"spaces":                        {one(" \n "), "200 an empty answer", false, "maintenance"},
		"an XML declaration alone":      {one("<?xml version='1.0'?><!-- x -->"), "200 an empty answer: <?xml", false, "maintenance"},
		"a page with status 200":        {one(html), "200 not what GOCDB answers: <!DOCTYPE html> <html>", false, "proxy"},
		"JSON":                          {one(`{"results":[]}`), `200 not what GOCDB answers: {"results":[]}`, false, "proxy"},
		"another document":              {one("<results2/>"), "200 not what GOCDB answers", false, "proxy"},
		"another coding":                {one(`<?xml version="1.0" encoding="ISO-8859-1"?><results/>`), "ISO-8859-1", false, "spoils"},
		"no UTF-8":                      {one("<results>\xff</results>"), "not XML", false, "spoils"},
		"a control character":           {one("<results>\x01</results>"), "not XML", false, "spoils"},
		"an end without a beginning":    {one("<results></SERVICE_ENDPOINT></results>"), "not XML", false, "spoils"},
		"an end before the end":         {one("<results></results></results>"), "not XML", false, "spoils"},
		"elements that cross":           {one("<results><SERVICE_ENDPOINT><A></SERVICE_ENDPOINT></A></results>"), "not XML", false, "spoils"},
		"cut in a record":               {one("<results><SERVICE_ENDPOINT PRIMARY_KEY='1G0'><SITENAME>A"), "ends in the middle", false, "spoils"},
		"cut in a tag":                  {one("<results><SERVICE_ENDPOINT PRIM"), "not XML", false, "spoils"},
		"cut between records":           {one("<results><SERVICE_ENDPOINT PRIMARY_KEY='1G0'><SITENAME>A</SITENAME></SERVICE_ENDPOINT>"), "ends in the middle", false, "spoils"},
		"something after it":            {one("<results/>\n<html>"), "something follows", false, "spoils"},
		"text after it":                 {one("<results/>\nFatal error"), "something follows", false, "spoils"},
		"a connection that breaks":      {&server{pages: map[string]string{"": "<results>"}, cut: io.ErrUnexpectedEOF}, "200, then unexpected EOF", false, "spoils"},
		"a connection that breaks late": {&server{pages: map[string]string{"": "<results/>"}, cut: io.ErrUnexpectedEOF}, "200, then unexpected EOF", false, "spoils"},
		"no connection":                 {&server{err: errNoAnswer}, "ask for services at goc.example.org: no answer", false, "can be reached"},
		"no time left":                  {&server{err: context.DeadlineExceeded}, "deadline", false, "can be reached"},
		"a name that is not known":      {&server{err: &net.DNSError{Err: "no such host", Name: "goc.example.org", IsNotFound: true}}, "no such host", false, "can be reached"},
		"a certificate nobody trusts":   {&server{err: x509.UnknownAuthorityError{}}, "unknown authority", false, ""},
		"400":                           {&server{status: 400}, "400 Bad Request", true, "check GOCDB's URL"},
		"401":                           {&server{status: 401}, "401 Unauthorized", true, "asks nobody"},
		"403 with a page":               {&server{status: 403, pages: map[string]string{"": html}}, "403 <!DOCTYPE html> <html><body><h1>503 Service Unavailable</h1>", true, "asks nobody"},
		"404":                           {&server{status: 404}, "404 Not Found", true, "check GOCDB's URL"},
		"407":                           {&server{status: 407}, "407", true, "asks nobody"},
		"408":                           {&server{status: 408}, "408", false, "passes by itself"},
		"429":                           {&server{status: 429}, "429", false, "passes by itself"},
		"304":                           {&server{status: 304}, "304", true, "check GOCDB's URL"},
		"500":                           {&server{status: 500, pages: map[string]string{"": "oops\x07"}}, "500 oops", false, "passes by itself"},
		"503":                           {&server{status: 503, pages: map[string]string{"": html}}, "503 <!DOCTYPE", false, "passes by itself"},
		"500 whose text breaks":         {&server{status: 500, cut: io.ErrUnexpectedEOF}, "500 Internal Server Error", false, "passes by itself"},
		"a success that GOCDB has not":  {&server{status: 204}, "204", true, "check GOCDB's URL"},
		"a text without end":            {one("x" + strings.Repeat("é", 1<<20)), "200 not what GOCDB answers: xé", false, "proxy"},
	} {
		services, odd, err := c.s.client().Services(t.Context(), Query{})
		e := failed(t, err)
		if services != nil || odd != nil {
			t.Errorf("%s: %v, %v beside an error", name, services, odd)
		}
		if !strings.HasPrefix(err.Error(), "ask for services at goc.example.org: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if e.Permanent() != c.permanent {
			t.Errorf("%s: permanent %v", name, e.Permanent())
		}
		if (c.hint == "") != (e.Hint() == "") || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s: hint %q, want %q", name, e.Hint(), c.hint)
		}
		oneLine(t, name, e)
		if c.s.err != nil && e.Unwrap() == nil {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
	}
}

func oneLine(t *testing.T, name string, e *Error) {
	t.Helper()
	for _, text := range []string{e.Error(), e.Hint()} {
		if len(text) > 400 || strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
			t.Errorf("%s: long, or not on one line: %q", name, text)
		}
	}
}

func TestURLsOfGOCDB(t *testing.T) {
	for _, u := range []string{"goc.example.org/gocdbpi", "https://", "ftp://goc.example.org/", "https://[", "/gocdbpi/public/"} {
		s := one("<results/>")
		c := s.client()
		c.URL = u
		_, _, err := c.Services(t.Context(), Query{})
		if e := failed(t, err); !e.Permanent() || !strings.Contains(e.Hint(), "check GOCDB's URL") || len(s.asked) > 0 {
			t.Errorf("%q: %v, hint %q, asked %d times", u, err, e.Hint(), len(s.asked))
		}
	}
}

// TestEndsWithItsContext: an answer that does not come, and one that comes without end, take as long as the caller says.
func TestEndsWithItsContext(t *testing.T) {
	for name, begin := range map[string]string{"no answer": "", "a slow one": "<results><SERVICE_ENDPOINT PRIMARY_KEY='1G0'>", "a slow refusal": "<error>Unsupp"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := make(chan struct{})
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(gone)
			if begin != "" {
				_, _ = io.WriteString(w, begin)
				_ = http.NewResponseController(w).Flush()
			}
			cancel(errNoAnswer) // the caller gives up when the answer has begun, or was due
			<-r.Context().Done()
		}))
		c := &Client{HTTP: srv.Client(), URL: srv.URL}
		_, _, err := c.Services(ctx, Query{})
		if e := failed(t, err); name != "a slow refusal" && (e.Permanent() || !errors.Is(err, errNoAnswer)) {
			t.Errorf("%s: %v", name, err)
		}
		<-gone
		srv.Close()
		cancel(nil)
	}
}
