package vault_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation/vault"
)

// TestWhoMayRead asks for secrets with each kind of token; who may not is told so before whether there is one.
func TestWhoMayRead(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	v := vault.New(func() time.Time { return now }, vault.Options{Mounts: map[string]int{"kv1": 1, "kv2": 2}, Token: "root", AppRoles: map[string]string{"r": "s"}, Life: time.Minute,
		JWT: func(jwt string) (string, bool) { return "ada", jwt == "good" }})
	for _, mount := range []string{"kv1", "kv2"} {
		v.Put(mount, "users/ada/x", vault.Secret{Data: map[string]any{"password": "p"}})
		v.Put(mount, "users/bob/x", vault.Secret{Data: map[string]any{"password": "p"}})
	}
	ask := func(method, path, token, body string) (int, string) {
		r := httptest.NewRequest(method, "http://vault/v1/"+path, strings.NewReader(body))
		r.Header.Set("X-Vault-Token", token)
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	login := func(path, body string) string {
		_, text := ask("POST", path, "", body)
		_, rest, _ := strings.Cut(text, `"client_token":"`)
		token, _, _ := strings.Cut(rest, `"`)
		return token
	}
	ada, role := login("auth/jwt/login", `{"jwt":"good"}`), login("auth/approle/login", `{"role_id":"r","secret_id":"s"}`)
	for _, c := range []struct {
		path, token string
		status      int
		says        string
	}{
		{"kv1/users/ada/x", ada, 200, `"data":{"password":"p"}`}, {"kv2/data/users/ada/x", ada, 200, `"data":{"data":{"password":"p"}`},
		{"kv1/users/bob/x", ada, 403, "permission denied"}, {"kv1/users/bob/x", role, 200, ""}, {"kv1/users/bob/x", "root", 200, ""},
		{"kv1/users/bob/x", "", 403, ""}, {"kv1/nothing", "root", 404, `{"errors":[]}`}, {"kv1/nothing", "", 403, ""}, {"kv2/users/ada/x", "root", 403, ""},
		{"kv1/../kv1/users/bob/x", "root", 400, "parent"},
	} {
		if status, text := ask("GET", c.path, c.token, ""); status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s with %q: %d %s", c.path, c.token, status, text)
		}
	}
	for body, path := range map[string]string{`{"jwt":"bad"}`: "auth/jwt/login", `{"role_id":"r","secret_id":"x"}`: "auth/approle/login", `{`: "auth/jwt/login"} {
		if status, text := ask("POST", path, "", body); status != 400 {
			t.Errorf("%s: %d %s", body, status, text)
		}
	}
	now = now.Add(time.Minute)
	if status, _ := ask("GET", "kv1/users/ada/x", ada, ""); status != 403 {
		t.Errorf("with a token that has ended: %d", status)
	}
	v.Seal(true)
	if status, text := ask("GET", "kv1/users/ada/x", "root", ""); status != 503 || !strings.Contains(text, "Vault is sealed") {
		t.Errorf("sealed: %d %s", status, text)
	}
}
