package app_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/dirq"
)

// moving is a cloud of one project with three VMs, of which one ends.
func moving() *world.World {
	const project = "11111111111111111111111111111111"
	day := func(d int) time.Time { return time.Date(2026, 9, d, 0, 0, 0, 0, time.UTC) }
	w := &world.World{
		Region:   "RegionOne",
		Projects: []world.Project{{ID: project, Name: "vo-ops", Properties: map[string]string{"VO": "ops"}}},
		Users:    []world.User{{ID: "u", Name: "fedsite", Password: "secret", Roles: map[string][]string{project: {"reader"}}, System: []string{"reader"}}},
		Flavors:  []world.Flavor{{ID: "1", Name: "m1.small", VCPUs: 2, RAM: 4096, Disk: 20}},
	}
	for i, end := range []int{0, 20, 0} {
		begin := day(2 + 8*i)
		vm := world.VM{ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", i), Project: project, User: "u", Flavor: "1", Created: begin, Events: []world.Event{{At: begin, Kind: world.Launch}}}
		if end != 0 {
			vm.Events = append(vm.Events, world.Event{At: day(end), Asked: day(end), Kind: world.Delete})
		}
		w.Add(vm)
	}
	return w
}

// TestAKeystoneThatMoved collects a cloud whose Keystone moves to another URL, then moves again while the cloud gets
// another name: the ledger goes on, and the accounting server counts everything once.
func TestAKeystoneThatMoved(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		w, server := moving(), apelserver.New()
		queue := dirq.Queue{Path: filepath.Join(t.TempDir(), "queue")}
		for i, step := range []struct{ at, cloud string }{
			{"2026-09-15T00:05:00Z", `name: main`},
			{"2026-09-16T00:05:00Z", `name: main`},
			{"2026-09-22T00:05:00Z", `name: r1, formerly: [main]`},
			{"2026-09-25T00:05:00Z", `name: r1`},
		} {
			at, err := time.Parse(time.RFC3339, step.at)
			if err != nil {
				t.Fatal(err)
			}
			now := func() time.Time { return at }
			cloud := emulated.New(w, now, emulated.Options{}) // each time at another port
			srv, err := cloud.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			cfg := parse(t, where, oneSite("{gocdb: EXAMPLE}", fmt.Sprintf("{%s, auth_url: %q, credential: reader}", step.cloud, cloud.AuthURL()))+
				fmt.Sprintf("accounting: {mode: active, previously: nothing, since: 2026-09-01, dirq: {path: %q}}\n", queue.Path))
			a, err := app.Open(t.Context(), cfg, app.Options{Version: "test", Now: now})
			if err != nil {
				t.Fatal(err)
			}
			sites, err := a.Sites("")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range append(a.Collect(t.Context(), sites, accounting.Ask{}), a.Send(t.Context(), sites, app.SendOptions{GoActive: true})...) {
				if r.Err != nil || r.Report.Outcome != run.Done || len(r.Report.Problems) > 0 {
					t.Errorf("step %d: %+v", i, r)
				}
			}
			take(t, queue, server)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
			_ = srv.Close()

			var want, got int64
			for _, u := range w.Usage("", time.Time{}, at.Add(-5*time.Minute), world.Charge{}) {
				want += u.Wall
			}
			for _, r := range server.Kept() {
				got += *r.Wall
			}
			if got != want {
				t.Errorf("step %d: the server counts %d s, the truth is %d", i, got, want)
			}
		}
	})
}

// take gives the server what is in the queue, as SSM does.
func take(t *testing.T, queue dirq.Queue, server *apelserver.Server) {
	t.Helper()
	names, err := queue.Names()
	if err != nil || len(names) == 0 {
		t.Fatalf("messages: %v, %v", names, err)
	}
	for _, name := range names {
		if err := queue.Lock(name); err != nil {
			t.Fatal(err)
		}
		text, err := queue.Get(name)
		if err != nil {
			t.Fatal(err)
		}
		if v := server.Load(text, "/CN=site"); !v.Accepted {
			t.Fatal(v.Reason)
		}
		if err := queue.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
