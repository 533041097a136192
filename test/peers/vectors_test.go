package peers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/test/peers"
)

// recorded are runs of cASO on recorded clouds: what it wrote, and what fedsite collects of the same cloud up to the same
// instant.
var recorded = []struct {
	name     string
	scenario string // the cloud
	messages string // of cASO; "" = it wrote none
	since    string
	to       string // of fedsite
	run      peers.Run
	met      []string // of the catalogue, beside the program's name
}{
	{name: "all states", scenario: "base_utc", messages: "base_utc", since: "2024-03-01", to: "2024-03-10T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z")},
		met: []string{"name not ASCII", "user's name not ASCII", "stopped", "shelved", "flavor deleted: CPU time", "never ran", "being built", "created when the window ends"}},
	// cASO was told 2024-03-10T00:00:00+02:00.
	{name: "dates with a zone", scenario: "base_utc", messages: "base_utc", since: "2024-03-01", to: "2024-03-09T22:00:00Z", run: peers.Run{Ends: ends("2024-03-09T22:00:00Z"), Dropped: 2 * time.Hour},
		met: []string{"name not ASCII", "user's name not ASCII", "stopped", "shelved", "flavor deleted: CPU time", "never ran", "being built", "zone of a date", "zone of a date: later"}},
	{name: "months without a run", scenario: "gpu", messages: "gpu", since: "2024-01-15", to: "2024-03-10T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z")},
		met: []string{"silent month"}},
	{name: "end between two windows", scenario: "gap1", messages: "gap1", since: "2024-03-01", to: "2024-03-11T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z", "2024-03-11T00:00:00Z")},
		met: []string{"second between two windows"}},
	{name: "percent signs in a name", scenario: "pct", messages: "pct", since: "2024-03-01", to: "2024-03-10T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z")},
		met: []string{"name with %%"}},
	{name: "VM deleted by half", scenario: "halfdel1", since: "2024-03-01", to: "2024-03-10T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z"), Crashed: true},
		met: []string{"extractor failed"}},
	{name: "project without a VO", scenario: "novo", since: "2024-03-01", to: "2024-03-10T00:00:00Z", run: peers.Run{Ends: ends("2024-03-10T00:00:00Z")}},
}

func ends(times ...string) []time.Time {
	var all []time.Time
	for _, text := range times {
		all = append(all, at(text))
	}
	return all
}

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// TestRecorded compares our records of recorded clouds with cASO's: each difference is in the catalogue, and none that a
// case is there for is missing.
func TestRecorded(t *testing.T) {
	everywhere := map[string]bool{}
	for _, c := range recorded {
		t.Run(c.name, func(t *testing.T) {
			caso := peers.Server{}
			if c.messages != "" {
				message := read(t, "../../protocol/apel/testdata/caso", c.messages+"-cloud.txt")
				if _, err := caso.Take([]string{string(message)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			scenario := read(t, "../../internal/emulator/world/testdata/scenarios", c.scenario+".json")
			c.run.Program = "fedsite/test (OpenStack)"
			ours := collected(t, scenario, c.since, at(c.to))
			result := peers.Compare(caso, ours, truth(t, scenario), c.run)
			for _, u := range result.Unexplained {
				t.Error(u)
			}
			met := slices.Sorted(maps.Keys(result.Met))
			for _, name := range met {
				everywhere[name] = true
			}
			want := slices.Sorted(slices.Values(c.met))
			if got := slices.DeleteFunc(met, func(n string) bool { return n == "program's name" }); !slices.Equal(got, want) {
				t.Errorf("met %q, want %q", got, want)
			}
			t.Logf("%d VMs and months, %d equal but for the program's name: %v", result.Pairs, result.Same, result.Met)
		})
	}
	for _, d := range peers.Catalogue {
		if d.Where == peers.Recorded && !everywhere[d.Name] {
			t.Errorf("%q of the catalogue was met in no recorded cloud", d.Name)
		}
	}
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// collected gives our records of a recorded cloud, read weeks later.
func collected(t *testing.T, scenario []byte, since string, to time.Time) peers.Server {
	t.Helper()
	w, err := world.LoadScenario(scenario)
	if err != nil {
		t.Fatal(err)
	}
	reader := world.User{ID: "reader", Name: world.Reader, Password: world.ReaderPass, System: []string{"reader"}, Roles: map[string][]string{}}
	for _, p := range w.Projects {
		reader.Roles[p.ID] = []string{"reader"}
	}
	w.Users = append(w.Users, reader)
	now := func() time.Time { return at("2024-04-20T00:00:00Z") }
	cloud := openstack.New(w, now, openstack.Options{})
	server, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	cfg := configured(t, cloud.AuthURL(), w.Projects[0].ID, since)
	a, err := app.Open(t.Context(), cfg, app.Options{Version: "test", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	for _, r := range a.Collect(t.Context(), cfg.Sites, accounting.Ask{To: to}) {
		if r.Err != nil || r.Report.Outcome == run.Failed {
			t.Fatalf("%v %+v", r.Err, r.Report)
		}
	}
	entries, err := a.Records(t.Context(), cfg.Sites, accounting.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	printed, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := peers.Ledger(printed)
	if err != nil {
		t.Fatal(err)
	}
	return ours
}

// configured is the configuration of the site that the recordings name.
func configured(t *testing.T, authURL, project, since string) *config.Config {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "fedsite.yaml")
	clouds := filepath.Join(dir, "clouds.yaml")
	text := strings.Join([]string{
		"site: {gocdb: TEST-SITE}",
		"clouds: [{name: main, credential: reader, service_name: TEST-SITE-CLOUD}]",
		fmt.Sprintf("credentials: {reader: {os_cloud: reader, clouds_file: %q}}", clouds),
		"vo_properties: [VO]",
		"accounting: {mode: observe, previously: caso, since: " + since + "}",
		fmt.Sprintf("store: {path: %q}", filepath.Join(dir, "state")),
	}, "\n")
	login := fmt.Sprintf("clouds: {reader: {region_name: RegionOne, auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, project_id: %s}}}",
		authURL, world.Reader, world.ReaderPass, project)
	for name, content := range map[string]string{file: text, clouds: login} {
		if err := os.WriteFile(name, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// truth reads what is true of the VMs from the recorded cloud itself.
func truth(t *testing.T, scenario []byte) map[string]peers.VM {
	t.Helper()
	var cloud struct {
		Users   map[string]string
		Flavors []struct{ ID string }
		Servers []struct {
			ID, Name, Status, Flavor string
			User                     string `json:"user_id"`
			Created, Updated         string
			Launched                 string `json:"launched_at"`
			Terminated               string `json:"terminated_at"`
		}
	}
	if err := json.Unmarshal(scenario, &cloud); err != nil {
		t.Fatal(err)
	}
	moment := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		return at(strings.TrimSuffix(text, "Z") + "Z")
	}
	vms := map[string]peers.VM{}
	for _, s := range cloud.Servers {
		vm := peers.VM{Name: s.Name, User: cloud.Users[s.User], Status: s.Status, Launched: s.Launched != "", Created: moment(s.Created), Ended: moment(s.Terminated)}
		if vm.Ended.IsZero() && s.Status == "DELETED" {
			vm.Ended = moment(s.Updated)
		}
		for _, f := range cloud.Flavors {
			vm.Listed = vm.Listed || f.ID == s.Flavor
		}
		vms[s.ID] = vm
	}
	return vms
}
