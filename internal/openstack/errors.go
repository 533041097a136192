package openstack

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
)

// Kinds of failure that a caller decides by; found with errors.Is.
var (
	ErrNotAuthorised = errors.New("not authorised")               // wrong or expired credentials
	ErrForbidden     = errors.New("forbidden")                    // signed in, but not allowed to do this
	ErrNoRole        = errors.New("no role on the project")       // the credential cannot sign in to the project
	ErrScope         = errors.New("token of another scope")       // a system, domain or other project's token
	ErrNotFound      = errors.New("not found")                    //
	ErrUnavailable   = errors.New("cannot be reached or is down") // network, 5xx: may pass
	ErrNoService     = errors.New("not in the catalog")           // the catalog lacks the service, or the region
	ErrClock         = errors.New("clocks differ")                // Keystone's clock and ours
	ErrBadAnswer     = errors.New("unusable answer")              // not what OpenStack's API promises
	ErrConfiguration = errors.New("cannot be used as configured") // credential or network settings that cannot even be tried
)

// Error is a failed call, with what an administrator needs to find it again in the cloud's logs.
type Error struct {
	Kind      error  // one of the kinds above
	Service   string // identity, compute, image
	Method    string
	Path      string // without query values that could be secret
	Status    int    // 0 = no answer
	RequestID string
	Message   string // what the service said, one line, shortened
	Remedy    string // what to do; "" = the kind's own
	Cause     error

	exchanged   bool // it was a good credential's token that was not exchanged for the scope
	entering    bool // it was an identity provider's token that was refused
	fromService bool // the message is the service's own, and not of something else that answers there
}

// Error says what failed, on which object, and why.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Service)
	if e.Method != "" {
		fmt.Fprintf(&b, ": %s %s", e.Method, e.Path)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %d", e.Status)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Status == http.StatusTooManyRequests {
		b.WriteString("too many requests")
	} else {
		fmt.Fprintf(&b, "%v", e.Kind)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	} else if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " (%s)", e.RequestID)
	}
	return printable(b.String())
}

// printable leaves no control character in a text of others: what a cloud says ends in logs and on terminals.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// Unwrap gives kind and cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Hint says what an operator can do about an error of this package; "" when there is nothing to say.
func Hint(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Remedy != "" {
		return e.Remedy
	}
	for _, h := range []struct {
		kind error
		hint string
	}{
		{ErrNotAuthorised, "check user and password, or the application credential and its expiry"},
		{ErrNoRole, "openstack role add --user <the credential's user> --project <project> reader"},
		{ErrForbidden, "openstack role add --user <the credential's user> --project <project> reader"},
		{ErrScope, "use a credential that can sign in to each project: no system_scope, no domain scope, no fixed token of another project"},
		{ErrNoService, "check the region's name and the catalog: openstack catalog list"},
		{ErrClock, "synchronise the clocks of this machine and of Keystone (chrony, ntpd)"},
		{ErrUnavailable, "nothing is lost: the next run covers the same window"},
		{ErrBadAnswer, "check auth_url: something else than OpenStack may answer there"},
	} {
		if errors.Is(err, h.kind) {
			return h.hint
		}
	}
	return ""
}
