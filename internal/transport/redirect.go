package transport

import (
	"fmt"
	"net/http"
	"net/url"
)

// Redirects says which redirects a client follows.
type Redirects int

// The kinds of redirects that are followed; never more than five in a row, never from https to http, and none that changes
// the method.
const (
	// SameHost follows those that stay on the host, so that a token is never carried to another one.
	SameHost Redirects = iota
	// Anywhere follows GET and HEAD to other hosts too, without the sign-in, and to no nearer network than the operator's
	// URL leads to (see From).
	Anywhere
)

// maxRedirects is how many redirects are followed in a row.
const maxRedirects = 5

// sameHost follows a few redirects on the same host.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() && len(via) < maxRedirects {
		return refusedRedirect(via[0].URL, req.URL)
	}
	return followed(req, via, via[0])
}

// anywhere follows a few redirects, and lets go of what is only for the first host.
func anywhere(req *http.Request, via []*http.Request) error {
	if err := followed(req, via, via[len(via)-1]); err != nil {
		return err
	}
	if _, err := (&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host}).Parse("/"); err != nil || (req.URL.Scheme != "http" && req.URL.Scheme != "https") {
		return fmt.Errorf("%w a redirect from %s://%s to a URL that is not one of http or https", ErrRefused, via[0].URL.Scheme, via[0].URL.Host)
	}
	if sameOrigin(via[0].URL, req.URL) && !strayed(via) {
		return nil
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		return refusedRedirect(via[0].URL, req.URL)
	}
	for _, name := range []string{"Authorization", "Cookie", "Proxy-Authorization", "X-Auth-Token", "X-Subject-Token", "X-Api-Key", "X-Vault-Token", "Referer"} {
		req.Header.Del(name)
	}
	return nil
}

// followed holds what goes for all redirects; before is the request whose scheme counts.
func followed(req *http.Request, via []*http.Request, before *http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("%w: more than %d redirects from %s", ErrRefused, maxRedirects, via[0].URL.Host)
	}
	if before.URL.Scheme == "https" && req.URL.Scheme != "https" {
		return refusedRedirect(before.URL, req.URL)
	}
	if req.Method != via[0].Method { // 301 to 303 turn a POST into a GET
		return fmt.Errorf("%s %s://%s%s is redirected to %s://%s%s: use that URL", via[0].Method, via[0].URL.Scheme, via[0].URL.Host, via[0].URL.Path, req.URL.Scheme, req.URL.Host, req.URL.Path)
	}
	return nil
}

func refusedRedirect(from, to *url.URL) error {
	return fmt.Errorf("%w a redirect from %s://%s to %s://%s", ErrRefused, from.Scheme, from.Host, to.Scheme, to.Host)
}

// sameOrigin tells whether what is for one URL's server may go to the other's: the host and the port are the same, or http
// became https at the usual ports.
func sameOrigin(a, b *url.URL) bool {
	if a.Hostname() != b.Hostname() {
		return false
	}
	return portOf(a) == portOf(b) && a.Scheme == b.Scheme || portOf(a) == "80" && portOf(b) == "443" && b.Scheme == "https"
}

// strayed tells whether a chain of redirects has left the server where it began.
func strayed(via []*http.Request) bool {
	for _, v := range via[1:] {
		if !sameOrigin(via[0].URL, v.URL) {
			return true
		}
	}
	return false
}
