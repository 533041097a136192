package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// ErrUnreachable marks a request that got no answer: no connection, or it was cut.
var ErrUnreachable = errors.New("no answer")

// Failure is a request that got no answer, with what an operator can do.
type Failure struct {
	Host  string
	What  string // in words
	Hint  string
	Final bool // trying again at once will not help
	Cause error
}

// Error says what failed.
func (f *Failure) Error() string { return fmt.Sprintf("%s: %s", f.Host, f.What) }

// Unwrap gives ErrUnreachable and the cause.
func (f *Failure) Unwrap() []error { return []error{ErrUnreachable, f.Cause} }

func final(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && f.Final
}

// explain puts the error of a connection into words.
func explain(r *http.Request, err error) error {
	if cause := context.Cause(r.Context()); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return err
	}
	f := &Failure{Host: r.URL.Host, Cause: err, What: err.Error()}
	if errors.Is(err, ErrRefused) {
		f.What, f.Hint, f.Final = err.Error(), "whoever wrote this URL may not lead fedsite there; name it in the configuration yourself, if it is right", true
		if refused, ok := errors.AsType[*refusal](err); ok {
			f.What = refused.Error()
		}
		return f
	}
	if f.viaProxy(err) || f.noTLS(err) {
		return f
	}
	var (
		dns      *net.DNSError
		netError net.Error
	)
	switch {
	case errors.As(err, &dns):
		f.What, f.Hint, f.Final = "the name does not resolve", "check the host name, and this machine's DNS", dns.IsNotFound
	case errors.Is(err, syscall.ECONNREFUSED):
		f.What, f.Hint = "connection refused", "nothing listens there, or a firewall refuses"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		f.What, f.Hint = "there is no route to it", "check this machine's routes: the host may have an address of the other IP version only"
	case errors.As(err, &netError) && netError.Timeout():
		f.What, f.Hint = "no answer in time", "check routes and firewalls; a slow service may answer later"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		errors.Is(err, net.ErrClosed),                       // of a body that is being sent when the other side ends the connection
		strings.Contains(err.Error(), "http2: client conn"): // has no value to compare with
		f.What, f.Hint = "the connection was cut", "it may pass; else a firewall cuts it, or a server that does not take the client certificate"
	}
	return f
}

// viaProxy explains what a proxy said, or that it could not be reached.
func (f *Failure) viaProxy(err error) bool {
	if refusal, ok := errors.AsType[*proxyRefusal](err); ok {
		f.What = refusal.Error()
		f.Hint, f.Final = refusal.hint()
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "proxyconnect" {
		return false
	}
	f.What, f.Hint = "the proxy cannot be reached: "+op.Err.Error(), "check network.proxy"
	return true
}

// noTLS explains why two ends did not come to terms over TLS.
func (f *Failure) noTLS(err error) bool {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		f.What, f.Hint = "its TLS certificate is of an authority that is not trusted here", "set network.ca_file to that authority's certificate"
	case errors.As(err, &host):
		f.What, f.Hint = "its TLS certificate is for another name: "+host.Error(), "use the name that is in the certificate"
	case errors.As(err, &invalid):
		f.What, f.Hint = "its TLS certificate is not valid: "+invalid.Error(), "renew the server's certificate, and check this machine's clock"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		f.What, f.Hint = "it does not speak TLS", "check scheme and port: it may be http, not https"
	default:
		// An alert that the server sent has no type of its own.
		op, ok := errors.AsType[*net.OpError](err)
		if !ok || op.Op != "remote error" {
			return false
		}
		f.What, f.Hint = "it refused the TLS connection: "+op.Err.Error(), "it may want a client certificate, or not trust the authority of the one it was shown"
	}
	f.Final = true
	return true
}

// Hint says what to do about a failed connection; "" for other errors.
func Hint(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Hint
	}
	return ""
}
