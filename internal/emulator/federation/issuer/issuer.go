// Package issuer emulates an OpenID provider as far as programs meet it: its discovery document, and a token endpoint with
// the grants client_credentials and refresh_token.
package issuer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Client is a client of the provider.
type Client struct {
	ID, Secret string // Secret "" = a public one
	Subject    string // whom its tokens are for
	Scopes     []string
	Grants     []string // client_credentials, refresh_token
}

// Options is how the provider is.
type Options struct {
	Clients  []Client
	Life     time.Duration // of an access token; 0 = 1 h
	Rotate   bool          // each use of a refresh token ends it, and gives another one
	PostOnly bool          // a client says its secret in the form, and not in a header
	Opaque   bool          // access tokens are no JWTs
	Silent   bool          // the answer does not say how long a token holds
}

// Issuer is the provider.
type Issuer struct {
	opts Options
	now  func() time.Time
	key  [32]byte

	mu      sync.Mutex
	base    string
	access  map[string]grant
	refresh map[string]grant
	spent   map[string]string // refresh tokens that were rotated, with their client
	asked   map[string]int    // requests by path
}

type grant struct {
	client, subject string
	until           time.Time
}

// New gives a provider at the present that now tells.
func New(now func() time.Time, o Options) *Issuer {
	if o.Life == 0 {
		o.Life = time.Hour
	}
	i := &Issuer{opts: o, now: now, access: map[string]grant{}, refresh: map[string]grant{}, spent: map[string]string{}, asked: map[string]int{}}
	_, _ = rand.Read(i.key[:])
	return i
}

// SetBase tells under which URL the provider is served: that is the issuer's name.
func (i *Issuer) SetBase(u string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.base = strings.TrimRight(u, "/")
}

// URL is the issuer's name.
func (i *Issuer) URL() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.base
}

// Refresh gives a client a refresh token, as a person would have got it in a browser.
func (i *Issuer) Refresh(client string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.newRefresh(client)
}

// Accept tells whom an access token is for, and whether it is one that holds now.
func (i *Issuer) Accept(token string) (subject string, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	g, ok := i.access[token]
	if !ok || !i.now().Before(g.until) {
		return "", false
	}
	return g.subject, true
}

// Revoke ends all access tokens; with refresh also the refresh tokens.
func (i *Issuer) Revoke(refresh bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.access)
	if refresh {
		clear(i.refresh)
	}
}

// Asked tells how often a path was asked for: "/token".
func (i *Issuer) Asked(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

// Tokens gives all access and refresh tokens that hold.
func (i *Issuer) Tokens() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append(slices.Collect(maps.Keys(i.access)), slices.Collect(maps.Keys(i.refresh))...)
}

// ServeHTTP serves the provider.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[r.URL.Path]++
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/.well-known/openid-configuration":
		methods := []string{"client_secret_basic", "client_secret_post"}
		if i.opts.PostOnly {
			methods = methods[1:]
		}
		reply(w, http.StatusOK, map[string]any{"issuer": i.base, "token_endpoint": i.base + "/token", "authorization_endpoint": i.base + "/auth", "jwks_uri": i.base + "/certs",
			"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"},
			"grant_types_supported": []string{"client_credentials", "refresh_token"}, "token_endpoint_auth_methods_supported": methods})
	case r.URL.Path != "/token":
		http.NotFound(w, r)
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
	default:
		i.token(w, r)
	}
}

// token answers in the order of RFC 6749: the client, the grant, the scope.
func (i *Issuer) token(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, description string) {
		reply(w, status, map[string]string{"error": code, "error_description": description})
	}
	if r.ParseForm() != nil {
		fail(http.StatusBadRequest, "invalid_request", "The form cannot be read")
		return
	}
	client, ok := i.client(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="issuer"`)
		fail(http.StatusUnauthorized, "invalid_client", "Invalid client or Invalid client credentials")
		return
	}
	kind := r.PostForm.Get("grant_type")
	if kind != "client_credentials" && kind != "refresh_token" {
		fail(http.StatusBadRequest, "unsupported_grant_type", "Unsupported grant_type")
		return
	}
	if !slices.Contains(client.Grants, kind) {
		fail(http.StatusBadRequest, "unauthorized_client", "Client not enabled to retrieve service account")
		return
	}
	for _, s := range strings.Fields(r.PostForm.Get("scope")) {
		if !slices.Contains(client.Scopes, s) {
			fail(http.StatusBadRequest, "invalid_scope", "Invalid scopes: "+s)
			return
		}
	}
	answer := map[string]any{"token_type": "Bearer", "scope": r.PostForm.Get("scope")}
	if kind == "refresh_token" {
		used := r.PostForm.Get("refresh_token")
		if owner, reused := i.spent[used]; reused && owner == client.ID { // a theft, for all that the provider knows
			maps.DeleteFunc(i.refresh, func(_ string, g grant) bool { return g.client == client.ID })
			fail(http.StatusBadRequest, "invalid_grant", "Maximum allowed refresh token reuse exceeded")
			return
		}
		if g, ok := i.refresh[used]; !ok || g.client != client.ID {
			fail(http.StatusBadRequest, "invalid_grant", "Invalid refresh token")
			return
		}
		answer["refresh_token"] = used
		if i.opts.Rotate {
			delete(i.refresh, used)
			i.spent[used] = client.ID
			answer["refresh_token"] = i.newRefresh(client.ID)
		}
	}
	answer["access_token"] = i.newAccess(client)
	if !i.opts.Silent {
		answer["expires_in"] = int(i.opts.Life / time.Second)
	}
	reply(w, http.StatusOK, answer)
}

// client gives the client that asks, if it says its secret in the way that is wanted.
func (i *Issuer) client(r *http.Request) (Client, bool) {
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	if basic && i.opts.PostOnly {
		return Client{}, false
	}
	for _, c := range i.opts.Clients {
		if c.ID == id && c.Secret == secret {
			return c, true
		}
	}
	return Client{}, false
}

func (i *Issuer) newRefresh(client string) string {
	t := "refresh-" + random()
	i.refresh[t] = grant{client: client}
	return t
}

func (i *Issuer) newAccess(c Client) string {
	now := i.now()
	t := "access-" + random()
	if !i.opts.Opaque {
		t = i.jwt(map[string]any{"iss": i.base, "sub": c.Subject, "azp": c.ID, "iat": now.Unix(), "exp": now.Add(i.opts.Life).Unix(), "jti": random()})
	}
	i.access[t] = grant{client: c.ID, subject: c.Subject, until: now.Add(i.opts.Life)}
	return t
}

func (i *Issuer) jwt(claims map[string]any) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	text := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(claims)
	mac := hmac.New(sha256.New, i.key[:])
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
