package openstack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// TestWritesBecomeEvents stops, resizes and refuses as a member and as a reader, and names a project's VO.
func TestWritesBecomeEvents(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	w := world.Generate(world.Options{Seed: 1, At: at, Projects: 1, VMs: 1})
	c := New(w, func() time.Time { return at }, Options{})
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	project, vm := w.Projects[0].ID, w.VMs()[0].ID
	do := func(token, method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, c.Base()+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Auth-Token", token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if h := res.Header.Get("X-Subject-Token"); h != "" {
			return res.StatusCode, h
		}
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	signIn := func(user, password string) string {
		_, token := do("", "POST", "/identity/v3/auth/tokens", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q}}},"scope":{"project":{"id":%q}}}}`, user, password, project))
		return token
	}
	admin, reader := signIn(world.Admin, world.AdminPass), signIn(world.Reader, world.ReaderPass)
	for _, s := range []struct {
		token, body string
		want        int
		status      string
	}{
		{reader, `{"os-stop": null}`, 403, "ACTIVE"},
		{admin, `{"os-start": null}`, 409, "ACTIVE"},
		{admin, `{"resize": {"flavorRef": "nothing"}}`, 404, "ACTIVE"},
		{admin, `{"frob": null}`, 400, "ACTIVE"},
		{admin, `{"os-stop": null}`, 202, "SHUTOFF"},
		{admin, `{"os-start": null}`, 202, "ACTIVE"},
		{admin, `{"resize": {"flavorRef": "4"}}`, 202, "VERIFY_RESIZE"},
		{admin, `{"confirmResize": null}`, 202, "ACTIVE"},
	} {
		at = at.Add(time.Minute)
		if got, text := do(s.token, "POST", "/compute/v2.1/servers/"+vm+"/action", s.body); got != s.want {
			t.Errorf("%s: %d %s, want %d", s.body, got, text, s.want)
		}
		if v, _ := w.ServerAt(vm, at); v.Status != s.status {
			t.Errorf("after %s: %s, want %s", s.body, v.Status, s.status)
		}
	}
	if v, _ := w.ServerAt(vm, at); v.Flavor.ID != "4" {
		t.Errorf("flavor %s after the resize", v.Flavor.ID)
	}
	path := "/identity/v3/projects/" + project
	if got, _ := do(reader, "PATCH", path, `{"project": {"egi.VO": "other"}}`); got != 403 {
		t.Errorf("a reader changed a project: %d", got)
	}
	_, text := do(admin, "PATCH", path, `{"project": {"egi.VO": "other", "name": "stays"}}`)
	var answer struct{ Project map[string]any }
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Project["egi.VO"] != "other" || answer.Project["name"] != "vo-1" {
		t.Errorf("%s, %v", text, err)
	}
}
