package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation/issuer"
)

// TestGrants asks for tokens as a client does, in both ways to show the secret, and in wrong ones.
func TestGrants(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	clients := []issuer.Client{
		{ID: "robot", Secret: "s/+", Subject: "robot@egi.eu", Scopes: []string{"openid"}, Grants: []string{"client_credentials"}},
		{ID: "person", Subject: "ada@egi.eu", Scopes: []string{"openid"}, Grants: []string{"refresh_token"}},
	}
	i := issuer.New(func() time.Time { return now }, issuer.Options{Clients: clients, Rotate: true, Life: time.Minute})
	i.SetBase("http://issuer")
	ask := func(basic bool, id, secret string, form url.Values) (int, map[string]any) {
		if !basic {
			form.Set("client_id", id)
			form.Set("client_secret", secret)
		}
		r := httptest.NewRequest(http.MethodPost, "http://issuer/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if basic {
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		}
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		return w.Code, doc
	}
	grant := func(pairs ...string) url.Values {
		v := url.Values{}
		for n := 0; n+1 < len(pairs); n += 2 {
			v.Set(pairs[n], pairs[n+1])
		}
		return v
	}
	for _, basic := range []bool{true, false} {
		status, doc := ask(basic, "robot", "s/+", grant("grant_type", "client_credentials", "scope", "openid"))
		token, _ := doc["access_token"].(string)
		if sub, ok := i.Accept(token); status != 200 || !ok || sub != "robot@egi.eu" || doc["expires_in"] != 60.0 {
			t.Errorf("%d %v", status, doc)
		}
	}
	first := i.Refresh("person")
	status, doc := ask(false, "person", "", grant("grant_type", "refresh_token", "refresh_token", first))
	second, _ := doc["refresh_token"].(string)
	if status != 200 || second == "" || second == first {
		t.Errorf("%d %v", status, doc)
	}
	for _, no := range []struct {
		id, secret string
		form       url.Values
		status     int
		code       string
	}{
		{"robot", "x", grant("grant_type", "client_credentials"), 401, "invalid_client"},
		{"robot", "s/+", grant("grant_type", "password"), 400, "unsupported_grant_type"},
		{"robot", "s/+", grant("grant_type", "refresh_token"), 400, "unauthorized_client"},
		{"robot", "s/+", grant("grant_type", "client_credentials", "scope", "all"), 400, "invalid_scope"},
		{"person", "", grant("grant_type", "refresh_token", "refresh_token", "x"), 400, "invalid_grant"},
		{"person", "", grant("grant_type", "refresh_token", "refresh_token", first), 400, "invalid_grant"},  // used twice: a theft
		{"person", "", grant("grant_type", "refresh_token", "refresh_token", second), 400, "invalid_grant"}, // so that all have ended
	} {
		if status, doc := ask(false, no.id, no.secret, no.form); status != no.status || doc["error"] != no.code {
			t.Errorf("%v: %d %v", no.form, status, doc)
		}
	}
	token, _ := doc["access_token"].(string)
	now = now.Add(time.Minute)
	if _, ok := i.Accept(token); ok {
		t.Error("a token that has ended was taken")
	}
}
