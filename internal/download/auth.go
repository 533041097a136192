package download

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fedsite/fedsite/internal/transport"
)

// appDBPassword is the fixed word beside a token of AppDB, which stands as the user.
const appDBPassword = "x-oauth-basic"

// Auth is what to sign in with at one host. The zero value is nothing; a user and password in a URL count for that URL.
type Auth struct {
	Host           string // the only one that gets it, with its port where that is not the usual one; "" = the URL's
	User, Password string // Basic
	Header         string // or: the whole value of Authorization, such as a registry's "Bearer …"
	Plain          bool   // may go over http to another machine; without it only over https
}

// AppDB gives the sign-in for a personal access token of AppDB.
func AppDB(token string) Auth { return Auth{User: token, Password: appDBPassword} }

// Logins are sign-ins of several hosts.
type Logins []Auth

// For gives the sign-in for a URL's host; the zero value if there is none.
func (l Logins) For(target string) Auth {
	u, err := url.Parse(target)
	if err != nil {
		return Auth{}
	}
	for _, a := range l {
		if a.Host != "" && a.isFor(u) {
			return a
		}
	}
	return Auth{}
}

// isFor tells whether a URL's host is the one of the sign-in.
func (a Auth) isFor(u *url.URL) bool {
	if a.Host == "" {
		return true
	}
	usual := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	own := strings.TrimSuffix(a.Host, ":"+usual)
	return strings.EqualFold(strings.Trim(own, "[]"), strings.Trim(strings.TrimSuffix(u.Host, ":"+usual), "[]"))
}

// header gives the value of Authorization for a URL, "" for none, and a context in which its secrets are not quoted.
func (a Auth) header(ctx context.Context, u *url.URL) (string, context.Context) {
	if u.User != nil && a.User == "" && a.Header == "" {
		password, _ := u.User.Password()
		a = Auth{User: u.User.Username(), Password: password, Plain: true} // the operator wrote it into this URL
	}
	if a.Header == "" && a.User == "" || !a.isFor(u) || u.Scheme != "https" && !a.Plain && !here(u.Hostname()) {
		return "", ctx
	}
	if a.Header != "" {
		return a.Header, ctx // transport hides what is in a header
	}
	secrets := []string{a.Password}
	if a.Password == appDBPassword || a.Password == "" {
		secrets = []string{a.User}
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password)), transport.Hiding(ctx, secrets...)
}

// here tells whether a host is this machine.
func here(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Redact gives a URL as it may be shown: without user, query and fragment, bounded, and without control characters.
func Redact(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return "a URL"
	}
	shown := (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
	if u.RawQuery != "" {
		shown += "?" + transport.Hidden
	}
	if len(shown) > maxShown {
		shown = shown[:maxShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\ufffd' {
			return '?'
		}
		return r
	}, cmp.Or(shown, "a URL"))
}

// maxShown is how many bytes of a URL are shown.
const maxShown = 300
