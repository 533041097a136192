package world

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// saidInventory is an inventory as it is written.
type saidInventory struct {
	Projects []struct {
		ID, Name, Domain, AppCred string
		Servers                   []string
		Flavors                   []map[string]any
		Refused                   int `json:"auth_status"`
	}
	Flavors []struct {
		ID, Name                    string
		RAM, VCPUs, Disk, Ephemeral int64
		Public                      *bool             `json:"is_public"`
		Extra                       map[string]string `json:"extra_specs"`
	}
	Images []map[string]any
	Quota  map[string]int64
}

// TestInventories: each world has the projects, quotas, VMs by state, flavors and images that its inventory tells.
func TestInventories(t *testing.T) {
	files, err := filepath.Glob("testdata/inventories/*.json")
	if err != nil || len(files) != 13 {
		t.Fatalf("%d inventories, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			w, err := LoadScenario(data)
			if err != nil {
				t.Fatal(err)
			}
			var said saidInventory
			if err := json.Unmarshal(data, &said); err != nil {
				t.Fatal(err)
			}
			if len(w.Projects) != len(said.Projects) || len(w.Images) != len(said.Images) || len(said.Projects) == 0 {
				t.Fatalf("%d projects, %d images", len(w.Projects), len(w.Images))
			}
			svc := w.Users[0]
			for i, p := range said.Projects {
				got := w.Projects[i]
				if got.ID != p.ID || got.Name != p.Name || got.Refused != p.Refused || (got.Domain == "") != (p.Domain == "Default") || len(got.Properties) != 0 {
					t.Errorf("%+v", got)
				}
				if d := gocmp.Diff(said.Quota, got.Quota); d != "" {
					t.Errorf("quota of %s: %s", p.ID, d)
				}
				var states []string
				for _, v := range w.Servers(p.ID, inventoryStart.AddDate(0, 1, 0), nil) {
					states = append(states, v.Status)
				}
				slices.Reverse(states) // they are listed with the newest first
				if d := gocmp.Diff(append([]string(nil), p.Servers...), states); d != "" {
					t.Errorf("VMs of %s: %s", p.ID, d)
				}
				app := slices.ContainsFunc(svc.Applications, func(a Application) bool { return a.ID == p.AppCred && a.Project == p.ID && a.Secret == InventorySecret })
				if svc.Name != InventoryUser || svc.Password != InventoryPass || len(svc.Roles[p.ID]) != 1 || (p.AppCred != "" && !app) {
					t.Errorf("%+v", svc)
				}
				for _, f := range p.Flavors {
					if own, ok := w.Flavor(f["id"].(string)); !ok || !gocmp.Equal(own.Access, []string{p.ID}) || !own.Private {
						t.Errorf("flavor %v of %s: %+v", f["id"], p.ID, own)
					}
				}
			}
			for _, f := range said.Flavors {
				got, _ := w.Flavor(f.ID)
				private := f.Public != nil && !*f.Public
				if got.Name != f.Name || got.RAM != f.RAM || got.VCPUs != f.VCPUs || got.Disk != f.Disk || got.Ephemeral != f.Ephemeral || got.Private != private || !gocmp.Equal(got.Extra, f.Extra) || !got.For(said.Projects[0].ID) {
					t.Errorf("%+v, said %+v", got, f)
				}
			}
			for i, image := range said.Images {
				checkImage(t, w, w.Images[i], image)
			}
		})
	}
}

func checkImage(t *testing.T, w *World, got Image, said map[string]any) {
	t.Helper()
	name, _ := said["name"].(string)
	tags, _ := said["tags"].([]any)
	if got.ID != said["id"] || got.Name != name || got.Status != "active" || got.Owner != said["owner"] || float64(got.MinDisk) != said["min_disk"] || float64(got.Size) != said["size"] || got.VirtualSize != -1 || len(got.Tags) != len(tags) {
		t.Errorf("%+v, said %v", got, said)
	}
	for _, key := range []string{"id", "checksum", "file", "status", "owner"} {
		if _, there := got.Properties[key]; there {
			t.Errorf("%s is a property", key)
		}
	}
	for _, key := range []string{"os_distro", "vmcatcher_event_ad_mpuri", "APPLIANCE_ATTRIBUTES", "marketplace"} {
		if text, _ := said[key].(string); got.Properties[key] != text {
			t.Errorf("%s is %q", key, got.Properties[key])
		}
	}
	if len(w.Projects) == 1 && (got.Visibility != "private" || got.Members != nil) {
		t.Errorf("%+v", got)
	}
	for _, p := range w.Projects {
		if p.ID != got.Owner && got.Members[p.ID] != "accepted" {
			t.Errorf("%s does not see %+v", p.ID, got)
		}
	}
}

// TestBadInventories: a state that no VM has is told.
func TestBadInventories(t *testing.T) {
	for text, want := range map[string]string{
		`{"projects":[{"id":"p","servers":["ODD"]}]}`: "makes a VM ODD",
		`{"projects":[{"id":"p","servers":[7]}]}`:     "Servers",
		`{"projects":[{"id":7}]}`:                     "ID",
	} {
		if _, err := LoadScenario([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestFlavorFor: a private flavor is for the projects that have access only.
func TestFlavorFor(t *testing.T) {
	f := Flavor{Private: true, Access: []string{"a"}}
	if !f.For("a") || f.For("b") || !(Flavor{}).For("b") || (Flavor{Private: true}).Gone(time.Now()) {
		t.Error("a flavor is for others")
	}
}
