package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
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
	var (
		dns      *net.DNSError
		unknown  x509.UnknownAuthorityError
		host     x509.HostnameError
		invalid  x509.CertificateInvalidError
		alert    tls.AlertError
		netError net.Error
	)
	switch {
	case errors.As(err, &dns):
		f.What, f.Hint, f.Final = "the name does not resolve", "check the host name, and this machine's DNS", dns.IsNotFound
	case errors.As(err, &unknown):
		f.What, f.Hint, f.Final = "its TLS certificate is of an authority that is not trusted here", "set network.ca_file to that authority's certificate", true
	case errors.As(err, &host):
		f.What, f.Hint, f.Final = "its TLS certificate is for another name: "+host.Error(), "use the name that is in the certificate", true
	case errors.As(err, &invalid):
		f.What, f.Hint, f.Final = "its TLS certificate is not valid: "+invalid.Error(), "renew the server's certificate, and check this machine's clock", true
	case errors.As(err, &alert):
		f.What, f.Hint, f.Final = "it refused the TLS connection: "+alert.Error(), "it may not trust the authority of the client certificate", true
	case errors.Is(err, syscall.ECONNREFUSED):
		f.What, f.Hint = "connection refused", "nothing listens there, or a firewall refuses"
	case strings.Contains(err.Error(), "CONNECT") || strings.Contains(err.Error(), "proxyconnect"):
		f.What, f.Hint = "the proxy does not connect: "+err.Error(), "allow this host and port at the proxy, or name the host under network.no_proxy"
	case strings.HasSuffix(err.Error(), "Forbidden") || strings.HasSuffix(err.Error(), "Proxy Authentication Required"):
		f.What, f.Hint, f.Final = "the proxy refuses: "+err.Error(), "allow this host and port at the proxy, or name the host under network.no_proxy", true
	case errors.As(err, &netError) && netError.Timeout():
		f.What, f.Hint = "no answer in time", "check routes and firewalls; a slow service may answer later"
	case strings.Contains(err.Error(), "EOF") || errors.Is(err, syscall.ECONNRESET):
		f.What = "the connection was cut"
	}
	return f
}

// Hint says what to do about a failed connection; "" for other errors.
func Hint(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Hint
	}
	return ""
}
