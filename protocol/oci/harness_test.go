package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	must(t, err)
	return string(text)
}

// registry answers from a table, by path and query; what is not there is 404.
type registry struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]string      // "/v2/…?n=1" → body
	header  map[string]http.Header // the same → header
	status  map[string]int
	token   string // that /v2/ wants; "" = none
	login   string // user:password that the service of tokens wants; "" = anyone
	realm   string // "" = its own
	life    int
	asked   []string
	scopes  []string
}

func newRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{answers: map[string]string{}, header: map[string]http.Header{}, status: map[string]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (g *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, r.URL.RequestURI())
	if r.URL.Path == "/token" {
		user, password, _ := r.BasicAuth()
		g.scopes = append(g.scopes, r.URL.Query().Get("service")+" "+r.URL.Query().Get("scope"))
		if g.login != "" && user+":"+password != g.login {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"wrong \u001b[31m password"}]}`)
			return
		}
		_, _ = fmt.Fprintf(w, `{"token":%q,"expires_in":%d}`, g.token, g.life)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/v2/") && g.token != "" && r.Header.Get("Authorization") != "Bearer "+g.token {
		realm := g.realm
		if realm == "" {
			realm = g.URL + "/token"
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`",service="harbor-registry",scope="repository:other:pull,push"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	for name, v := range g.header[r.URL.RequestURI()] {
		w.Header()[name] = v
	}
	if s := g.status[r.URL.RequestURI()]; s != 0 {
		w.WriteHeader(s)
		return
	}
	body, ok := g.answers[r.URL.RequestURI()]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_, _ = fmt.Fprint(w, body)
}

// put gives an answer a body and, if there is one, a link to the next page.
func (g *registry) put(path, body, next string) {
	g.answers[path] = body
	if next != "" {
		g.header[path] = http.Header{"Link": {"<" + next + `>; rel="next"`}}
	}
}

// manifest puts a manifest under its digest and its tags.
func (g *registry) manifest(repository, text string, tags ...string) string {
	sum := sha256.Sum256([]byte(text))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	for _, ref := range append(tags, digest) {
		path := "/v2/" + repository + "/manifests/" + ref
		g.answers[path] = text
		g.header[path] = http.Header{"Docker-Content-Digest": {digest}, "Content-Type": {ManifestType}}
	}
	return digest
}

func (g *registry) client() *Client { return &Client{HTTP: http.DefaultClient, URL: g.URL} }

func at(now *time.Time) func() time.Time { return func() time.Time { return *now } }
