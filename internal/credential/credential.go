// Package credential gets what fedsite signs in with: passwords, tokens and certificates that the configuration names, be
// they in a file, at an OpenID provider, in Vault, or printed by a program.
//
//	name → spec → get → keep until it ends → use → refused? → get anew, once
//
// Invariants: what a spec says is read anew at each use, so that a changed file or configuration is used by the next
// request; of many that want the same thing at once, one asks for it; a failure is kept for a moment, so that a broken
// service is not hammered; no error, log or argument of a program holds a secret.
//
// What may fail: a service that is down (ErrUnavailable) may be back the next time; one that refuses (ErrRefused), and what
// is not as the configuration says (ErrConfiguration), need somebody who mends it.
package credential

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// Secret reads a secret; each call reads it anew. nil = it is not said.
type Secret func() (string, error)

// Spec is how one credential is got. It is of exactly one kind.
type Spec struct {
	Clouds      *Clouds
	Said        *Said
	OIDC        *OIDC
	Vault       *Vault
	Exec        *Exec
	Basic       *Basic
	Certificate *Certificate
}

// Clouds is an entry of clouds.yaml.
type Clouds struct{ File, Entry string } // File "" = where OpenStack's clients look

// Said is a way to sign in to OpenStack that the configuration spells out.
type Said struct {
	Username, UserID, UserDomain, UserDomainID string
	ApplicationID, ApplicationName             string

	Password, ApplicationSecret, Token Secret
}

// OIDC is a client of an OpenID provider, or an access token that something else renews.
type OIDC struct {
	Issuer       string // its discovery document names the token endpoint
	TokenURL     string // "" = ask the issuer
	ClientID     string
	ClientSecret Secret // nil = a public client
	Scopes       []string
	RefreshToken Secret // nil = the grant client_credentials
	RefreshFile  string // where a rotated refresh token is written back; "" = it is kept in memory
	AccessToken  Secret // used as it is, in place of a grant
	IDP          string // Keystone's name of the identity provider
	Protocol     string // and of the protocol
	HTTP         *http.Client
}

// Vault is a secret in Vault that holds the fields of another credential.
type Vault struct {
	URL    string
	KV     int    // version of the secrets engine: 1, 2
	Mount  string // of the secrets engine
	Path   string // with {sub}, {keystone_host}, {vo} and {site} in it
	Key    string // of the secret: what holds a token or password; "" = keys as credentials have them
	Login  Login
	HTTP   *http.Client
	Forced time.Duration // tests: how long a secret is kept; 0 = as is usual
}

// Login is the way to sign in to Vault: a token, an AppRole, or the access token of another credential.
type Login struct {
	Mount    string // of the auth method; "" = jwt, approle
	Token    Secret
	RoleID   string
	SecretID Secret
	JWT      string // name of a credential of the kind OIDC
	Role     string // beside JWT; "" = Vault's own default
}

// Exec is a program that prints the fields of another credential as JSON.
type Exec struct {
	Command []string // program and arguments; no shell
	Timeout time.Duration
}

// Basic is a user's name and password.
type Basic struct {
	User     string
	Password Secret
}

// Certificate names the PEM files of a certificate and its key.
type Certificate struct{ Cert, Key string }

// For is what a credential is wanted for. It fills the places in a path of Vault, and is told to programs.
type For struct {
	Site         string // name
	VO           string
	KeystoneHost string // without a port
	IDP          string // at this cloud; "" = as the credential says
	Protocol     string // likewise
}

// Kinds of failure that a caller decides by; found with errors.Is.
var (
	ErrConfiguration = errors.New("cannot be used as configured")
	ErrRefused       = errors.New("refused")
	ErrUnavailable   = errors.New("cannot be reached or is down") // may pass
)

// Error is a credential that could not be got.
type Error struct {
	Kind    error
	Name    string // of the credential
	Doing   string // what was tried: "ask https://… for a token"
	Message string
	Remedy  string
	Cause   error

	after time.Duration // how long the service asks to be left alone
}

// Error says which credential could not be got, at what, and why.
func (e *Error) Error() string {
	text := "credential " + e.Name
	if e.Doing != "" {
		text += ": " + e.Doing
	}
	if e.Message != "" {
		return printable(text + ": " + e.Message)
	}
	if e.Cause != nil {
		return printable(fmt.Sprintf("%s: %v", text, e.Cause))
	}
	return printable(fmt.Sprintf("%s: %v", text, e.Kind))
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
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return ""
	case e.Remedy != "":
		return e.Remedy
	case transport.Hint(err) != "":
		return transport.Hint(err)
	case errors.Is(err, ErrUnavailable):
		return "it is tried again at the next run; nothing is lost"
	}
	return "mend credentials." + e.Name + " in the configuration"
}

// OpenStack gives the error as one of the cloud's, for those who know no others.
func (e *Error) OpenStack() *openstack.Error {
	kind := openstack.ErrNotAuthorised
	switch e.Kind {
	case ErrUnavailable:
		kind = openstack.ErrUnavailable
	case ErrConfiguration:
		kind = openstack.ErrConfiguration
	}
	return &openstack.Error{Kind: kind, Message: e.Error(), Remedy: Hint(e), Cause: e}
}

// printable leaves no control character in a text of others.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

// quoted is a text of others on one line of at most n bytes.
func quoted(text string, n int) string {
	text = strings.Join(strings.Fields(printable(text)), " ")
	if len(text) > n {
		text = strings.ToValidUTF8(text[:n], "") + "…"
	}
	return text
}
