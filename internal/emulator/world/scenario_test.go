package world

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// end is later than everything in the scenarios.
var end = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)

func readScenario(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "scenarios", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestScenarios: at its end each world shows of each VM what the scenario says.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.json")
	if err != nil || len(files) != 11 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			data := readScenario(t, name)
			w, err := LoadScenario(data)
			if err != nil {
				t.Fatal(err)
			}
			var said struct {
				Projects, Flavors, Images, Volumes, FloatingIPs []map[string]any
				Servers                                         []map[string]any
				Users                                           map[string]string
			}
			if err := json.Unmarshal(data, &said); err != nil {
				t.Fatal(err)
			}
			if len(w.VMs()) != len(said.Servers) || len(w.Projects) != len(said.Projects) || len(w.Images) != len(said.Images) || len(w.Volumes) != len(said.Volumes) ||
				len(w.Floating) != len(said.FloatingIPs) || len(w.Users) != len(said.Users) || len(w.Flavors) < len(said.Flavors) || len(said.Servers) == 0 {
				t.Errorf("the world has %d VMs, %d projects, %d images, %d volumes, %d addresses, %d users, %d flavors", len(w.VMs()), len(w.Projects), len(w.Images), len(w.Volumes), len(w.Floating), len(w.Users), len(w.Flavors))
			}
			for _, s := range said.Servers {
				v, ok := w.ServerAt(s["id"].(string), end)
				if d := gocmp.Diff(summaryOf(s), summary(v)); d != "" || !ok {
					t.Errorf("VM %s (-said +world):\n%s", s["name"], d)
				}
				if gone, ok := s["flavor_data"].(map[string]any); ok && (gone["vcpus"] != float64(v.Flavor.VCPUs) || !v.Flavor.Gone(end)) {
					t.Errorf("VM %s is of %+v", s["name"], v.Flavor)
				}
			}
			for i, p := range said.Projects {
				got := w.Projects[i]
				vo, _ := p["VO"].(string)
				if got.ID != p["id"] || got.Name != p["name"] || got.Properties["VO"] != vo || len(got.Tags) != 1 || got.Disabled {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

// summaryOf is what a scenario says of a VM.
func summaryOf(s map[string]any) []any {
	text := func(key string) string { v, _ := s[key].(string); return v }
	floating := 0
	networks, _ := s["addresses"].(map[string]any)
	for _, n := range networks {
		for _, a := range n.([]any) {
			if a.(map[string]any)["OS-EXT-IPS:type"] == "floating" {
				floating++
			}
		}
	}
	return []any{text("id"), text("name"), text("tenant_id"), text("user_id"), text("status"), text("created"), text("updated"), text("launched_at"), text("terminated_at"), text("flavor"), text("image"), floating}
}

func summary(v View) []any {
	second := func(t time.Time) string { return t.Format("2006-01-02T15:04:05Z") }
	micro := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format("2006-01-02T15:04:05.000000")
	}
	return []any{v.ID, v.Name, v.Project, v.User, v.Status, second(v.Created), second(v.Updated), micro(v.Launched), micro(v.Terminated), v.Flavor.ID, v.Image, len(v.Floating)}
}

// TestScenarioLife: what is made up of a VM's life lies between what is said of it, and use is counted of it.
func TestScenarioLife(t *testing.T) {
	w, err := LoadScenario(readScenario(t, "halfdel1"))
	if err != nil {
		t.Fatal(err)
	}
	u := w.Usage("", time.Time{}, end, Charge{})
	if len(u) != 1 || u[0].Wall != 1702800 || u[0].CPU != 3405600 {
		t.Errorf("half deleted, it was used until its end: %+v", u)
	}
	if w, err = LoadScenario(readScenario(t, "base_utc")); err != nil {
		t.Fatal(err)
	}
	for _, vm := range w.VMs() {
		for _, e := range vm.Events {
			if e.At.Before(vm.Created) {
				t.Errorf("%s: %+v happens before its creation", vm.Name, e)
			}
		}
	}
	for _, c := range []struct {
		vm            int
		second, wants string
	}{{9, "2024-03-05T23:59:59Z", "ACTIVE"}, {9, "2024-03-06T00:00:00Z", "SHUTOFF"}, {18, "2024-02-15T00:00:30Z", "BUILD"}, {18, "2024-02-16T00:00:00Z", "ACTIVE"}} { // V18 was rebuilt later
		second, err := time.Parse(time.RFC3339, c.second)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := w.ServerAt(fmt.Sprintf("%08d-0000-4000-8000-%012d", c.vm, c.vm), second); v.Status != c.wants {
			t.Errorf("V%02d at %s: %s", c.vm, c.second, v.Status)
		}
	}
}

// TestBadScenarios: what is no scenario, or has an impossible VM, is told.
func TestBadScenarios(t *testing.T) {
	for text, want := range map[string]string{
		"nonsense": "scenario:",
		`{"servers":[{"id":"v","created":"yesterday"}]}`:                                                               "yesterday",
		`{"servers":[{"id":"v","status":"ACTIVE"}]}`:                                                                   "VM v: it has no created",
		`{"servers":[{"id":"v","status":"ACTIVE","created":"2024-01-01T00:00:00Z","updated":"2024-01-01T00:00:00Z"}]}`: "without having been launched",
		`{"servers":[{"id":"v","status":"MIGRATING","created":"2024-01-01T00:00:00Z","updated":"2024-01-01T00:00:00Z","launched_at":"2024-01-01T00:00:00.000000"}]}`: "MIGRATING",
	} {
		if _, err := LoadScenario([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
