package openstack_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/prerequisite"
)

// client is python-openstackclient, set up for a cloud.
type client struct {
	program, dir string
}

// newClient finds the program, in FEDSITE_OPENSTACKCLIENT or in PATH, and writes a clouds.yaml with an entry for each
// kind of user.
func newClient(t *testing.T, c *emulated.Cloud, w *world.World) *client {
	t.Helper()
	program := os.Getenv("FEDSITE_OPENSTACKCLIENT")
	if program == "" {
		var err error
		if program, err = exec.LookPath("openstack"); err != nil || old(program) {
			prerequisite.Missing(t, "openstackclient", "python3 -m venv osc && osc/bin/pip install python-openstackclient==10.3.0; then FEDSITE_OPENSTACKCLIENT=osc/bin/openstack")
		}
	}
	app := w.Users[0].Applications[0]
	entry := func(name, password string) string {
		return fmt.Sprintf("  %s: {region_name: %s, auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, project_id: %s}}\n",
			name, w.Region, c.AuthURL(), name, password, w.Projects[0].ID)
	}
	text := "clouds:\n" + entry(world.Reader, world.ReaderPass) + entry(world.Admin, world.AdminPass) +
		fmt.Sprintf("  app: {region_name: %s, auth_type: v3applicationcredential, auth: {auth_url: %q, application_credential_id: %s, application_credential_secret: %s}}\n",
			w.Region, c.AuthURL(), app.ID, app.Secret)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "clouds.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &client{program: program, dir: dir}
}

// old tells of a client, as Debian 12 has it, whose listings end after the first page.
func old(program string) bool {
	var major int
	out, err := exec.Command(program, "--version").Output()
	if err == nil {
		_, err = fmt.Sscanf(string(out), "openstack %d.", &major)
	}
	return err != nil || major < 7
}

// run calls the client and reads its JSON.
func (c *client) run(t *testing.T, cloud string, into any, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.program, append(append([]string{"--os-cloud", cloud}, args...), "-f", "json")...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "LANG=C.UTF-8", "no_proxy=*"}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openstack %s: %v\n%s", strings.Join(args, " "), err, &stderr)
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatalf("openstack %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

type row = map[string]any

// TestOpenStackClient lets python-openstackclient look at emulated clouds, the newest and the oldest.
func TestOpenStackClient(t *testing.T) {
	for _, e := range []emulated.Era{emulated.Current, emulated.Mitaka} {
		t.Run(e.Name, func(t *testing.T) { lookAround(t, e) })
	}
}

func lookAround(t *testing.T, era emulated.Era) {
	now := time.Now().UTC().Truncate(time.Second) // the client compares the token's end with its own clock
	w := world.Generate(world.Options{Seed: 1, At: now, Projects: 2, VMs: 24})
	project := w.Projects[0]
	w.Volumes = []world.Volume{{ID: "11111111-2222-4333-8444-555555555555", Name: "data", Project: project.ID, Status: "available", Size: 7, Created: now.Add(-time.Hour)}}
	c := emulated.New(w, func() time.Time { return now }, emulated.Options{Era: era, PageLimit: 5})
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	osc := newClient(t, c, w)
	existing := w.Servers(project.ID, now, nil)

	t.Run("token issue", func(t *testing.T) {
		clouds := []string{world.Reader}
		if era.ApplicationCredentials {
			clouds = append(clouds, "app")
		}
		for _, cloud := range clouds {
			var got row
			osc.run(t, cloud, &got, "token", "issue")
			if got["project_id"] != project.ID || got["user_id"] != w.Users[0].ID {
				t.Errorf("%s: %v", cloud, got)
			}
		}
	})
	t.Run("project list", func(t *testing.T) {
		var got []row
		osc.run(t, world.Admin, &got, "project", "list")
		if len(got) != len(w.Projects) || got[0]["Name"] != project.Name {
			t.Errorf("%v", got)
		}
		var shown row
		osc.run(t, world.Admin, &shown, "project", "show", project.ID)
		if _, ok := shown["egi.VO"]; !ok || shown["name"] != project.Name { // the client shows no value where a name has capitals
			t.Errorf("%v", shown)
		}
	})
	t.Run("catalog list", func(t *testing.T) {
		var got []row
		osc.run(t, world.Reader, &got, "catalog", "list")
		types := map[any]bool{}
		for _, r := range got {
			types[r["Type"]] = true
		}
		for _, want := range []string{"identity", "compute", "image", "network"} {
			if !types[want] {
				t.Errorf("no %s in %v", want, types)
			}
		}
	})
	t.Run("server list", func(t *testing.T) {
		for _, args := range [][]string{{"server", "list"}, {"server", "list", "--long"}} {
			var got []row
			osc.run(t, world.Reader, &got, args...)
			if len(got) != len(existing) {
				t.Fatalf("%v: %d VMs, there are %d", args, len(got), len(existing))
			}
			for i, v := range existing {
				if got[i]["ID"] != v.ID || got[i]["Name"] != v.Name || got[i]["Status"] != v.Status {
					t.Errorf("%v: VM %d is %v, it is %s %s %s", args, i, got[i], v.ID, v.Name, v.Status)
				}
			}
		}
	})
	t.Run("server show", func(t *testing.T) {
		v := existing[0]
		flavor := v.Flavor.Name
		if era.NovaMinor < 47 {
			flavor = v.Flavor.ID
		}
		var got row
		osc.run(t, world.Reader, &got, "server", "show", v.ID)
		if got["id"] != v.ID || got["status"] != v.Status || got["project_id"] != v.Project || got["user_id"] != v.User || !strings.Contains(fmt.Sprint(got["flavor"]), flavor) {
			t.Errorf("%v, it is %+v", got, v)
		}
		var events []row
		osc.run(t, world.Reader, &events, "server", "event", "list", v.ID)
		if len(events) != len(w.ActionsAt(v.ID, now)) || events[len(events)-1]["Action"] != "create" {
			t.Errorf("events %v", events)
		}
	})
	if era.CinderV2 { // this client lists no volumes of v2, and the other listings are the same
		return
	}
	for _, c := range []struct {
		args       []string
		rows       int
		key, value string
	}{
		{[]string{"flavor", "list"}, 5, "Name", "m1.small"},
		{[]string{"image", "list"}, len(w.Images), "Name", "ubuntu-26.04"},
		{[]string{"network", "list"}, 2, "Name", "public"},
		{[]string{"volume", "list"}, 1, "Name", "data"},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			var got []row
			osc.run(t, world.Reader, &got, c.args...)
			found := false
			for _, r := range got {
				found = found || r[c.key] == c.value
			}
			if len(got) != c.rows || !found {
				t.Errorf("%d rows, want %d with %s: %v", len(got), c.rows, c.value, got)
			}
		})
	}
}

// TestOpenStackClientStores lets python-openstackclient list, save and put objects.
func TestOpenStackClientStores(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	w := world.Generate(world.Options{Seed: 1, At: now, Projects: 1, VMs: 1})
	c := emulated.New(w, func() time.Time { return now }, emulated.Options{Storage: &emulated.Storage{Page: 2}})
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	osc := newClient(t, c, w)
	project, body := w.Projects[0].ID, []byte("{\"ünï\": \"code\"}\n")
	for _, name := range []string{"a.json", "b.json", "c d.json"} {
		c.Store(project, "cloud-info", name, "application/json", body)
	}
	var got []row
	osc.run(t, world.Admin, &got, "object", "list", "cloud-info", "--all")
	if len(got) != 3 || got[2]["Name"] != "c d.json" {
		t.Errorf("%v", got)
	}
	do := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), osc.program, append([]string{"--os-cloud", world.Admin}, args...)...)
		cmd.Dir, cmd.Env = osc.dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + osc.dir, "LANG=C.UTF-8", "no_proxy=*"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openstack %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	do("object", "save", "cloud-info", "c d.json", "--file", filepath.Join(osc.dir, "saved"))
	if saved, err := os.ReadFile(filepath.Join(osc.dir, "saved")); err != nil || !bytes.Equal(saved, body) {
		t.Errorf("saved %q, %v", saved, err)
	}
	do("object", "create", "cloud-info", "saved")
	if stored, ok := c.Stored(project, "cloud-info", "saved"); !ok || !bytes.Equal(stored, body) {
		t.Errorf("stored %q, %v", stored, ok)
	}
}
