package openstack

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

var present = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// asker asks an emulated cloud by hand.
type asker struct {
	t     *testing.T
	cloud *Cloud
	world *world.World
	now   time.Time
}

// newAsker serves a generated world of two projects; some VMs are of flavor 6, which is deleted.
func newAsker(t *testing.T, o Options) *asker {
	t.Helper()
	a := &asker{t: t, now: present, world: world.Generate(world.Options{Seed: 1, At: present, Projects: 2, VMs: 24})}
	a.cloud = New(a.world, func() time.Time { return a.now }, o)
	srv, err := a.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return a
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   object
}

// at follows keys, and indexes "0", into the body.
func (a answer) at(path ...string) any {
	var v any = map[string]any(a.body)
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			var i int
			if _, err := fmt.Sscan(key, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func (a *asker) do(method, url, token, body string, header ...string) answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("X-Auth-Token", token)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	got := answer{status: res.StatusCode, header: res.Header, body: object{}}
	_ = json.Unmarshal(text, &got.body) // not every answer has one
	return got
}

// signIn gives the whole answer; scope is JSON.
func (a *asker) signIn(user, password, scope string) answer {
	a.t.Helper()
	if scope != "" {
		scope = `,"scope":` + scope
	}
	return a.do("POST", a.cloud.AuthURL()+"/auth/tokens", "", fmt.Sprintf(`{"auth":{"identity":{"methods":["password"],"password":{"user":{"name":%q,"password":%q}}}%s}}`, user, password, scope))
}

// token gives a token of the n-th project.
func (a *asker) token(user, password string, n int) string {
	a.t.Helper()
	got := a.signIn(user, password, fmt.Sprintf(`{"project":{"id":%q}}`, a.world.Projects[n].ID))
	if got.status != http.StatusCreated {
		a.t.Fatalf("%s: %d %v", user, got.status, got.body)
	}
	return got.header.Get("X-Subject-Token")
}

// compute asks Nova at a microversion, by both headers.
func (a *asker) compute(token string, minor int, path string) answer {
	a.t.Helper()
	v := fmt.Sprintf("2.%d", minor)
	return a.do("GET", a.cloud.Base()+"/compute/v2.1"+path, token, "", "X-OpenStack-Nova-API-Version", v, "OpenStack-API-Version", "compute "+v)
}

// eras runs a test in each.
func eras(t *testing.T, test func(*testing.T, Era, *asker)) {
	for _, e := range Eras() {
		t.Run(e.Name, func(t *testing.T) { test(t, e, newAsker(t, Options{Era: e, PageLimit: 5})) })
	}
}
