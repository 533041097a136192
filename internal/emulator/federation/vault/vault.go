// Package vault emulates what a program meets of HashiCorp's Vault: sign-in by token, AppRole and JWT, and key-value
// secrets of both versions.
package vault

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Options is how Vault is.
type Options struct {
	Mounts   map[string]int    // versions of the key-value engine by mount: 1, 2
	Token    string            // one that never ends; "" = none
	AppRoles map[string]string // secret ids by role id
	// JWT tells whether a JWT is taken, and whom it is for: policies let it read what stands below users/SUBJECT only.
	// nil = no such sign-in.
	JWT  func(jwt string) (subject string, ok bool)
	Role string        // that a sign-in by JWT must name; "" = any
	Life time.Duration // of the tokens that a sign-in gives; 0 = 1 h
}

// Vault is the service.
type Vault struct {
	opts Options
	now  func() time.Time

	mu      sync.Mutex
	sealed  bool
	tokens  map[string]login
	secrets map[string]Secret // by mount/path
	asked   map[string]int    // requests by method and path
}

type login struct {
	below string // what it may read; "" = all
	until time.Time
}

// Secret is what is kept at a path.
type Secret struct {
	Data  map[string]any
	Lease time.Duration // how long it holds; 0 = it does not say
	Made  bool          // it is made anew at each reading, and ends with its lease
}

// New gives a Vault at the present that now tells.
func New(now func() time.Time, o Options) *Vault {
	if o.Life == 0 {
		o.Life = time.Hour
	}
	return &Vault{opts: o, now: now, tokens: map[string]login{}, secrets: map[string]Secret{}, asked: map[string]int{}}
}

// Put keeps a secret at a path of a mount: "secrets", "users/a/b".
func (v *Vault) Put(mount, path string, s Secret) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.secrets[mount+"/"+path] = s
}

// Seal seals Vault, or unseals it.
func (v *Vault) Seal(sealed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sealed = sealed
}

// Revoke ends all tokens that a sign-in gave.
func (v *Vault) Revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.tokens)
}

// Asked tells how often a request was made: "GET /v1/secrets/a".
func (v *Vault) Asked(request string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked[request]
}

// ServeHTTP serves Vault's API.
func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked[r.Method+" "+r.URL.Path]++
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	switch {
	case !ok:
		refuse(w, http.StatusNotFound)
	case v.sealed:
		refuse(w, http.StatusServiceUnavailable, "Vault is sealed")
	case strings.Contains(path, ".."):
		refuse(w, http.StatusBadRequest, "path cannot contain parent references")
	case strings.HasPrefix(path, "auth/") && strings.HasSuffix(path, "/login"):
		if r.Method != http.MethodPost && r.Method != http.MethodPut {
			refuse(w, http.StatusMethodNotAllowed, "unsupported operation")
			return
		}
		v.signIn(w, r, strings.TrimSuffix(strings.TrimPrefix(path, "auth/"), "/login"))
	case r.Method == http.MethodGet:
		v.read(w, r.Header.Get("X-Vault-Token"), path)
	default:
		refuse(w, http.StatusForbidden, "permission denied")
	}
}

func (v *Vault) signIn(w http.ResponseWriter, r *http.Request, method string) {
	var q struct {
		RoleID   string `json:"role_id"`
		SecretID string `json:"secret_id"`
		Role     string `json:"role"`
		JWT      string `json:"jwt"`
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		refuse(w, http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	l := login{until: v.now().Add(v.opts.Life)}
	switch {
	case method == "approle" && v.opts.AppRoles != nil:
		if secret, ok := v.opts.AppRoles[q.RoleID]; !ok || secret != q.SecretID {
			refuse(w, http.StatusBadRequest, "invalid role or secret ID")
			return
		}
	case method == "jwt" && v.opts.JWT != nil:
		subject, ok := v.opts.JWT(q.JWT)
		switch {
		case v.opts.Role != "" && q.Role != v.opts.Role:
			refuse(w, http.StatusBadRequest, "role \""+q.Role+"\" could not be found")
			return
		case !ok:
			refuse(w, http.StatusBadRequest, "error validating token: invalid expiration time (exp) or signature")
			return
		}
		l.below = "users/" + subject + "/"
	default:
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	token := "hvs." + hex.EncodeToString(b)
	v.tokens[token] = l
	reply(w, http.StatusOK, map[string]any{"request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0, "data": nil, "warnings": nil,
		"auth": map[string]any{"client_token": token, "accessor": "a", "policies": []string{"default"}, "lease_duration": int(v.opts.Life / time.Second), "renewable": true}})
}

// read reads a secret, after whose token it is, then whether it may, then whether there is one.
func (v *Vault) read(w http.ResponseWriter, token, path string) {
	l, known := v.tokens[token]
	known = known && v.now().Before(l.until) || (token != "" && token == v.opts.Token)
	for mount, version := range v.opts.Mounts {
		rest, ok := strings.CutPrefix(path, mount+"/")
		if !ok {
			continue
		}
		if version == 2 {
			if rest, ok = strings.CutPrefix(rest, "data/"); !ok {
				break
			}
		}
		if !known || !strings.HasPrefix(rest, l.below) {
			break
		}
		s, ok := v.secrets[mount+"/"+rest]
		if !ok {
			refuse(w, http.StatusNotFound)
			return
		}
		v.show(w, version, path, s)
		return
	}
	refuse(w, http.StatusForbidden, "1 error occurred:\n\t* permission denied\n\n")
}

func (v *Vault) show(w http.ResponseWriter, version int, path string, s Secret) {
	lease, id := s.Lease, ""
	if version == 1 && lease == 0 {
		lease = 768 * time.Hour
	}
	if s.Made {
		id = path + "/lease"
	}
	var data any = s.Data
	if version == 2 {
		data = map[string]any{"data": s.Data, "metadata": map[string]any{"version": 1, "destroyed": false, "deletion_time": ""}}
	}
	reply(w, http.StatusOK, map[string]any{"request_id": "1", "lease_id": id, "renewable": false, "lease_duration": int(lease / time.Second), "data": data, "auth": nil, "warnings": nil})
}

func refuse(w http.ResponseWriter, status int, errors ...string) {
	reply(w, status, map[string][]string{"errors": append([]string{}, errors...)})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
