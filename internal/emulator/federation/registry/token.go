package registry

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// token lets somebody read some repositories for a while.
type token struct {
	repositories []string
	until        time.Time
}

// Names of the service of tokens.
const (
	tokenPath    = "/service/token"
	tokenService = "harbor-registry"
)

// who tells who asks: signed tells that somebody does who may see everything, ok is false if name and password are wrong.
func (r *Registry) who(req *http.Request) (signed, ok bool) {
	user, password, given := req.BasicAuth()
	if !given {
		return false, true
	}
	if r.opts.User == "" || user != r.opts.User || password != r.opts.Password {
		return false, false
	}
	return true, true
}

// grant answers a request for a token. A scope that may not be had is left out of it, and nothing is said.
func (r *Registry) grant(w http.ResponseWriter, req *http.Request) {
	signed, ok := r.who(req)
	if !ok {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized")
		return
	}
	if s := req.URL.Query().Get("service"); s != tokenService {
		refuse(w, http.StatusBadRequest, "BAD_REQUEST", "unable to handle service: %s", s)
		return
	}
	t := token{until: r.now().Add(r.opts.Life)}
	for _, s := range req.URL.Query()["scope"] {
		kind, rest, _ := strings.Cut(s, ":")
		name, actions, _ := strings.Cut(rest, ":")
		if kind == "repository" && slices.Contains(strings.Split(actions, ","), "pull") && (signed || r.public(name)) {
			t.repositories = append(t.repositories, name)
		}
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	value := hex.EncodeToString(b)
	r.tokens[value] = t
	reply(w, http.StatusOK, map[string]any{"token": value, "access_token": "", "expires_in": int(r.opts.Life / time.Second), "issued_at": r.now().UTC().Format(time.RFC3339)})
}

// public tells whether anybody may read a repository.
func (r *Registry) public(repository string) bool {
	owner, _, _ := strings.Cut(repository, "/")
	p := r.projectNamed(owner)
	return p != nil && p.public
}

// admits tells whether a request of the distribution protocol may read a repository; "" = the protocol's own page. If not, it
// has answered. As with Harbor, nothing is given without a token or a password, though it be public.
func (r *Registry) admits(w http.ResponseWriter, req *http.Request, repository string) bool {
	if _, _, basic := req.BasicAuth(); basic {
		if signed, _ := r.who(req); signed {
			return true
		}
	} else if value, bearer := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); bearer {
		t, known := r.tokens[value]
		if known && r.now().Before(t.until) && (repository == "" || slices.Contains(t.repositories, repository)) {
			return true
		}
	}
	realm := url.URL{Scheme: scheme(req), Host: req.Host, Path: tokenPath}
	challenge := `Bearer realm="` + realm.String() + `",service="` + tokenService + `"`
	if repository != "" {
		challenge += `,scope="repository:` + repository + `:pull"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "unauthorized to access repository: %s, action: pull: unauthorized to access repository: %s, action: pull", repository, repository)
	return false
}

func scheme(req *http.Request) string {
	if req.TLS != nil {
		return "https"
	}
	return "http"
}
