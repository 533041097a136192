package openstack_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// TestSignInByAnIdentityProvider: in each era an access token gives a token of no project, which lists the user's projects
// and is exchanged for one of each; who is not let in is told by whom.
func TestSignInByAnIdentityProvider(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	w := world.Generate(world.Options{Seed: 3, At: now, Projects: 2, VMs: 4})
	accept := func(token string) (string, bool) {
		switch token {
		case "good":
			return world.PlainReader, true
		case "stranger":
			return "", true
		}
		return "", false
	}
	for _, era := range openstack.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			c := openstack.New(w, func() time.Time { return now }, openstack.Options{Era: era, Providers: []openstack.Provider{{Name: "egi.eu", Protocol: "openid", Accept: accept}}})
			c.SetBase("http://cloud")
			ask := func(method, path, token, body string) (*httptest.ResponseRecorder, map[string]any) {
				r := httptest.NewRequest(method, "http://cloud/identity/v3"+path, strings.NewReader(body))
				if strings.HasPrefix(path, "/OS-FEDERATION/identity") {
					r.Header.Set("Authorization", "Bearer "+token)
				} else {
					r.Header.Set("X-Auth-Token", token)
				}
				rec := httptest.NewRecorder()
				c.Handler().ServeHTTP(rec, r)
				var doc map[string]any
				_ = json.Unmarshal(rec.Body.Bytes(), &doc)
				return rec, doc
			}
			const entry = "/OS-FEDERATION/identity_providers/egi.eu/protocols/openid/auth"
			rec, doc := ask(http.MethodPost, entry, "good", "")
			unscoped := rec.Header().Get("X-Subject-Token")
			described := doc["token"].(map[string]any)
			who := described["user"].(map[string]any)
			domain := who["domain"].(map[string]any)["name"]
			if rec.Code != http.StatusCreated || unscoped == "" || described["project"] != nil || described["catalog"] != nil || who["OS-FEDERATION"] == nil || (domain == "Federated") != (era.Name == "mitaka") {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			for _, list := range []string{"/auth/projects", "/OS-FEDERATION/projects"} {
				if _, doc := ask(http.MethodGet, list, unscoped, ""); len(doc["projects"].([]any)) != 3 {
					t.Errorf("%s: %v", list, doc)
				}
			}
			rec, doc = ask(http.MethodPost, "/auth/tokens", "", `{"auth":{"identity":{"methods":["token"],"token":{"id":"`+unscoped+`"}},"scope":{"project":{"id":"`+w.Projects[1].ID+`"}}}}`)
			described = doc["token"].(map[string]any)
			if rec.Code != http.StatusCreated || described["project"].(map[string]any)["id"] != w.Projects[1].ID || !slices.Equal(described["methods"].([]any), []any{"token", "openid"}) {
				t.Errorf("%d %s", rec.Code, rec.Body)
			}
			for _, no := range []struct {
				path, token string
				status      int
				html        bool
			}{{entry, "ended", 401, true}, {entry, "stranger", 401, false}, {strings.Replace(entry, "openid", "oidc", 1), "good", 404, false}} {
				rec, _ := ask(http.MethodPost, no.path, no.token, "")
				if rec.Code != no.status || strings.Contains(rec.Header().Get("Content-Type"), "html") != no.html {
					t.Errorf("%+v: %d %s", no, rec.Code, rec.Body)
				}
			}
		})
	}
}
