package accounting_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// regions serves two emulated clouds as the two regions of one Keystone, which is the first one's: a sign-in is made at
// both, the answer's catalog has the services of both, and the second one gets the token that it gave itself.
func (b *bed) regions(first, second *emulated.Cloud) string {
	var (
		mu     sync.Mutex
		tokens = map[string]string{}
	)
	signIn := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var docs [2]map[string]any
		var answers [2]*httptest.ResponseRecorder
		for i, c := range []*emulated.Cloud{first, second} {
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(strings.NewReader(string(body)))
			answers[i] = httptest.NewRecorder()
			c.Handler().ServeHTTP(answers[i], again)
			if json.Unmarshal(answers[i].Body.Bytes(), &docs[i]) != nil {
				b.t.Errorf("no JSON: %s", answers[i].Body)
			}
		}
		mu.Lock()
		tokens[answers[0].Header().Get("X-Subject-Token")] = answers[1].Header().Get("X-Subject-Token")
		mu.Unlock()
		token, _ := docs[0]["token"].(map[string]any)
		other, _ := docs[1]["token"].(map[string]any)
		if mine, ok := token["catalog"].([]any); ok {
			token["catalog"] = append(other["catalog"].([]any), mine...) // the second region's come first
		}
		for k, v := range answers[0].Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answers[0].Code)
		_ = json.NewEncoder(w).Encode(docs[0])
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /identity/v3/auth/tokens", signIn)
	mux.Handle("/", first.Handler())
	mux.Handle("/two/", http.StripPrefix("/two", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		r.Header.Set("X-Auth-Token", tokens[r.Header.Get("X-Auth-Token")])
		mu.Unlock()
		second.Handler().ServeHTTP(w, r)
	})))
	srv := httptest.NewServer(mux)
	b.t.Cleanup(srv.Close)
	first.SetBase(srv.URL)
	second.SetBase(srv.URL + "/two")
	return first.AuthURL()
}

// TestRule09TwoRegions accounts two regions of one Keystone as two clouds, with equal projects and different VMs, but for
// one VM that both have: it counts once, and is said; and a region that is not there spoils nothing else.
func TestRule09TwoRegions(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		worlds := [2]*world.World{small(), small()}
		worlds[1].Region = "RegionTwo"
		for i, w := range worlds {
			vmOf(w, project, id(10*i+1), moment("2024-03-02"), time.Time{})
			vmOf(w, project, id(10*i+2), moment("2024-03-05"), moment("2024-04-05"))
			vmOf(w, project, id(99), moment("2024-03-08"), time.Time{})
		}
		b := newBed(t, worlds[0], cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		url := b.regions(b.cloud, emulated.New(worlds[1], b.clock.now, emulated.Options{Era: era}))
		clouds := b.target.Clouds[:1:1]
		clouds[0].Cloud.AuthURL, clouds[0].Cloud.Region = url, "RegionOne"
		for _, region := range []string{"RegionTwo", "RegionThree"} {
			c := clouds[0]
			c.Cloud.ID, c.Cloud.Name, c.Cloud.Region = "cloud-"+region, region, region
			clouds = append(clouds, c)
		}
		for i := range clouds {
			clouds[i].Source = b.sourceAs(openstack.Config{AuthURL: url, Region: clouds[i].Cloud.Region}, openstack.Credential{Username: "reader", Password: "secret"})
		}
		b.target.Clouds = clouds
		for _, at := range []string{"2024-03-10T00:05:00Z", "2024-03-25T00:05:00Z", "2024-04-10T00:05:00Z"} {
			if r := b.collect(at); r.Exit() != run.ExitPartial {
				t.Errorf("exit %d: %+v", r.Exit(), r.Problems)
			}
			b.told("project "+project, "no compute endpoint in region RegionThree, only in RegionOne, RegionTwo")
			b.told("VM "+id(99), "cannot tell them apart", "cloud-a", "none of its records is sent")
			b.clean(b.send())
		}
		april := seconds("2024-04-10") - seconds("2024-03-31T23:59:59")
		end := seconds("2024-04-05") - seconds("2024-03-31T23:59:59")
		want := map[string]int64{
			"ops 2024-03": 3*(seconds("2024-03-31T23:59:59")) - 2*seconds("2024-03-02") - seconds("2024-03-08") + 2*(seconds("2024-03-31T23:59:59")-seconds("2024-03-05")),
			"ops 2024-04": 3*april + 2*end,
		}
		if d := cmp.Diff(want, b.owing(false)); d != "" {
			t.Errorf("seconds (-truth +server):\n%s", d)
		}
		rows := map[string]int{}
		for _, e := range b.records() {
			rows[e.Cloud]++
		}
		all := 0
		for _, n := range rows {
			all += n
		}
		if len(b.fed.Server.Kept()) != 10 || rows["cloud-RegionThree"] != 0 {
			t.Errorf("%d rows at the server, in the ledger %v", len(b.fed.Server.Kept()), rows)
		}
	})
}
