package ams

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Error is a call that did not succeed. It never holds a token.
type Error struct {
	Op         string
	Host       string // host and port that was asked
	HTTPStatus int    // 0 = no answer
	Status     string // AMS's word: NOT_FOUND
	Message    string // what AMS said
	RetryAfter time.Duration
	Cause      error
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
		fmt.Fprintf(&b, ": %d, then %v", e.HTTPStatus, e.Cause)
	case e.HTTPStatus != 0:
		fmt.Fprintf(&b, ": %d %s", e.HTTPStatus, e.Message)
	case e.Cause != nil:
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Answered tells whether AMS itself said no, so that the message was certainly not stored. Everything else, a cut
// connection, a time-out, 408, 5xx, 200 without a usable answer, leaves that open (spec ams §8).
func (e *Error) Answered() bool {
	switch e.HTTPStatus {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict,
		http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return e.Cause == nil
	}
	return false
}

// probablyTooLarge is the size of data in bytes above which 500 Backend Error is most likely about the size (spec ams §4).
const probablyTooLarge = 700_000

// TooLarge tells whether the message, with so many bytes of data, is too large for this broker: 413, and 500 when it is
// large, because AMS 1.7 has no better word for it.
func (e *Error) TooLarge(size int) bool {
	return e.Cause == nil && (e.HTTPStatus == http.StatusRequestEntityTooLarge || (e.HTTPStatus == http.StatusInternalServerError && size > probablyTooLarge))
}

// BadBody tells whether AMS refused the body of this message, not the caller.
func (e *Error) BadBody() bool {
	return e.HTTPStatus == http.StatusBadRequest && e.Cause == nil && (strings.Contains(e.Message, "Message Arguments") || strings.Contains(e.Message, "is not valid") || strings.Contains(e.Message, "not in valid"))
}

// Hint says what to do; "" when there is nothing to say.
func (e *Error) Hint() string {
	if strings.Contains(e.Op, exchange) {
		return e.authnHint()
	}
	switch {
	case e.HTTPStatus == http.StatusUnauthorized:
		return "the token is unknown there: it may have been refreshed; ask the accounting team, or use the certificate"
	case e.HTTPStatus == http.StatusForbidden:
		return "the token's user may not publish to this topic: ask the accounting team to add it"
	case e.said("project doesn't exist"), e.said("Invalid project name"):
		return "check accounting.ams.project"
	case e.said("Topic doesn't exist"), e.said("Invalid topic name"):
		return "check accounting.ams.topics"
	case e.HTTPStatus == http.StatusNotFound:
		return "check accounting.ams.topics, host and port"
	case e.HTTPStatus == http.StatusRequestEntityTooLarge:
		return "fewer records per message: accounting.max_records"
	}
	return ""
}

// authnHint says what to do when the certificate could not be exchanged for a token (spec ams §2).
func (e *Error) authnHint() string {
	switch {
	case e.said("Binding was not found"):
		return "the certificate's DN must equal the Host DN in GOCDB exactly, in production and monitored; a new one is known after some hours"
	case e.said("Host was not found"), e.said("Service-type was not found"):
		return "accounting.ams.host must be the name under which the service is registered, such as msg.argo.grnet.gr"
	case e.said("CRLDistributionPoints"):
		return "the certificate names no revocation list: ask the authority for one that does, or for a token from the accounting team"
	case e.said("expired"), e.said("revoked"), e.said("not active"):
		return "renew the host certificate"
	case e.said("Could not access CRL"):
		return "passes by itself, when the authority's revocation list can be fetched again"
	case e.said("No certificate provided"):
		return "set accounting.ams.certificate: {cert, key}, or a token"
	case e.HTTPStatus == 0 && e.untrusted():
		return "" // the port was reached; the connection's own error says what to do
	case e.HTTPStatus == 0 && e.tlsRefused():
		return "authn does not take the host certificate: it must be of an IGTF authority and not expired"
	case e.HTTPStatus == 0:
		return "see that authn_port can be reached; where a proxy allows only 443, set accounting.ams.token_file"
	case e.HTTPStatus == http.StatusNotFound:
		return "check accounting.ams.host and authn_port: another service answers there"
	}
	return ""
}

func (e *Error) said(text string) bool { return strings.Contains(e.Message, text) }

// tlsRefused tells whether the other side ended the TLS connection with an alert, which has no type of its own.
func (e *Error) tlsRefused() bool {
	op, ok := errors.AsType[*net.OpError](e.Cause)
	return ok && op.Op == "remote error"
}

// refusal reads an answer that is no success, by status and body: AMS names its JSON text/plain, and a balancer in front
// answers HTML or nothing (spec ams §3).
func refusal(op, host string, res *http.Response, text []byte) *Error {
	e := &Error{Op: op, Host: host, HTTPStatus: res.StatusCode, RetryAfter: retryAfter(res.Header)}
	var said struct {
		Error struct {
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(text, &said) == nil && said.Error.Message != "" {
		e.Message, e.Status = shorten([]byte(said.Error.Message)), shorten([]byte(said.Error.Status))
	} else {
		e.Message = shorten(text)
	}
	if e.Message == "" {
		e.Message = http.StatusText(res.StatusCode)
	}
	return e
}

// longest is how far ahead a Retry-After is believed.
const longest = 24 * time.Hour

// retryAfter reads how long AMS asks to wait: seconds, or a date. A date is reckoned from the answer's own Date, because
// the clock here may be wrong; from an answer without one it says nothing.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(seconds, 0), int(longest/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	said, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return min(max(until.Sub(said), 0), longest)
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

// untrusted tells whether the other side's own certificate was refused here.
func (e *Error) untrusted() bool {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	return errors.As(e.Cause, &unknown) || errors.As(e.Cause, &host) || errors.As(e.Cause, &invalid)
}
