package openstack

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// TestServeScenario serves a scenario at an instant in its midst: volumes and addresses of the project that are there.
func TestServeScenario(t *testing.T) {
	for name, c := range map[string]struct {
		role    string
		volumes []any // names
		ips     int
	}{
		"base_utc":    {"reader", []any{"data-old", "data-att-old", "data-att-new"}, 2},
		"nullvol":     {"reader", []any{"data-old", "data-att-old", nil}, 2},
		"fips_member": {"reader", []any{"data-old", "data-att-old", "data-att-new"}, 2},
		"fips_admin":  {"admin", []any{"data-old", "data-att-old", "data-att-new"}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile("../world/testdata/scenarios/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			w, err := world.LoadScenario(data)
			if err != nil {
				t.Fatal(err)
			}
			project := w.Projects[0].ID
			w.Users = append(w.Users, world.User{ID: "caso", Name: "caso", Password: "secret", Roles: map[string][]string{project: {c.role}}})
			a := &asker{t: t, world: w, now: time.Date(2024, 3, 10, 0, 0, 0, 0, time.UTC)}
			a.cloud = New(w, func() time.Time { return a.now }, Options{})
			srv, err := a.cloud.Listen("127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = srv.Close() })
			token := a.token("caso", "secret", 0)
			var names []any
			for _, v := range a.do("GET", a.cloud.Base()+"/volume/v3/"+project+"/volumes/detail", token, "").at("volumes").([]any) {
				v := v.(map[string]any)
				names = append(names, v["name"])
				if attached := len(v["attachments"].([]any)) > 0; attached != (v["status"] == "in-use") {
					t.Errorf("%v", v)
				}
			}
			if fmt.Sprint(names) != fmt.Sprint(c.volumes) {
				t.Errorf("volumes %v, want %v", names, c.volumes)
			}
			if ips := a.do("GET", a.cloud.Base()+"/network/v2.0/floatingips", token, "").at("floatingips").([]any); len(ips) != c.ips {
				t.Errorf("%d addresses, want %d: %v", len(ips), c.ips, ips)
			}
			if name == "base_utc" {
				s := a.compute(token, 100, "/servers/"+w.VMs()[0].ID).at("server").(map[string]any)
				if fmt.Sprint(s["os-extended-volumes:volumes_attached"]) != "[map[delete_on_termination:false id:00000002-1111-4000-8000-000000000002]]" {
					t.Errorf("%v", s["os-extended-volumes:volumes_attached"])
				}
			}
		})
	}
}
