package gocdb

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
)

// kind is what is wrong with an answer of status 200.
type kind int

const (
	_       kind = iota
	refused      // GOCDB does not answer such a question
	foreign      // something else answered, or GOCDB's own failure
	broken       // cut, or not in the form that GOCDB has
	excess       // more than is read
)

// Error is a question that GOCDB did not answer.
type Error struct {
	Op         string
	Host       string // host and port that was asked
	HTTPStatus int    // 0 = no answer
	Message    string // what was answered, or what is wrong with it
	Cause      error
	kind       kind
}

// Error says what failed, where, and what was answered.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Host != "" {
		b.WriteString(" at " + e.Host)
	}
	switch {
	case e.HTTPStatus != 0 && e.Cause != nil:
		fmt.Fprintf(&b, ": %d, then %s", e.HTTPStatus, shorten([]byte(e.Cause.Error())))
	case e.HTTPStatus != 0:
		fmt.Fprintf(&b, ": %d %s", e.HTTPStatus, e.Message)
	case e.Cause != nil:
		fmt.Fprintf(&b, ": %s", shorten([]byte(e.Cause.Error())))
	default:
		b.WriteString(": " + e.Message)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Permanent tells whether the same question will be answered the same way again: GOCDB itself said no, nothing of the kind
// is at that URL, or the answer is more than is read. Everything else passes by itself: no connection, a cut or foreign
// answer, 408, 429, 5xx.
func (e *Error) Permanent() bool {
	if e.Cause != nil {
		return false
	}
	switch e.HTTPStatus {
	case 0, http.StatusOK:
		return e.kind == refused || e.kind == excess
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return e.HTTPStatus < 500
}

// Hint says what to do; "" when there is nothing to say.
func (e *Error) Hint() string {
	const url = "check GOCDB's URL: that of its public interface ends in /gocdbpi/public/"
	switch {
	case e.Cause != nil && e.untrusted():
		return "" // the host was reached; the connection's own error says what to do
	case e.HTTPStatus == 0 && e.Cause != nil:
		return "see that GOCDB can be reached from here; when it is down, this passes by itself"
	case e.Cause != nil, e.kind == broken:
		return "passes by itself; when it stays, something between here and GOCDB spoils its answers"
	case e.kind == refused && strings.Contains(e.Message, "chracter in value"): // so spelt
		return "check the site's name: GOCDB takes none with quotation marks"
	case e.kind == refused, e.kind == excess:
		return url
	case e.kind == foreign:
		return "something else answers there, such as a proxy or a page for maintenance; when it stays, " + url
	case e.HTTPStatus == http.StatusUnauthorized, e.HTTPStatus == http.StatusForbidden, e.HTTPStatus == http.StatusProxyAuthRequired:
		return "the public interface asks nobody to sign in: see what lies between here and GOCDB, and its URL"
	case e.Permanent():
		return url
	}
	return "passes by itself, when GOCDB works again"
}

// untrusted tells whether the other side's certificate was refused here.
func (e *Error) untrusted() bool {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	return errors.As(e.Cause, &unknown) || errors.As(e.Cause, &host) || errors.As(e.Cause, &invalid)
}

// answered reads an answer that is no success.
func answered(op, host string, res *http.Response) *Error {
	e := &Error{Op: op, Host: host, HTTPStatus: res.StatusCode}
	text, err := io.ReadAll(io.LimitReader(res.Body, 800))
	if err != nil && len(text) == 0 {
		text = nil // the status says enough
	}
	if e.Message = shorten(text); e.Message == "" {
		e.Message = http.StatusText(res.StatusCode)
	}
	return e
}

// shorten gives the beginning of an answer on one line, without control characters.
func shorten(text []byte) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text[:min(len(text), 800)]), "?"))
	line := strings.Join(strings.Fields(clean), " ")
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return line
}
