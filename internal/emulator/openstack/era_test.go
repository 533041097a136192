package openstack

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// TestEras: what each era can do.
func TestEras(t *testing.T) {
	want := map[string]map[string]string{
		"mitaka": {"nova": "2.25", "keystone": "v3.6", "glance": "v2.3", "application": "401", "system": "401", "roles": "[admin]", "volume": "volumev2", "tags": "false", "self": "403", "stop by reader": "202",
			"new header": "2.1", "users by system reader": "401"},
		"zed": {"nova": "2.93", "keystone": "v3.14", "glance": "v2.15", "application": "201", "system": "201", "roles": "[admin member reader]", "volume": "volumev3", "tags": "true", "self": "200", "stop by reader": "202",
			"new header": "2.9", "users by system reader": "200"},
		"current": {"nova": "2.104", "keystone": "v3.14", "glance": "v2.17", "application": "201", "system": "201", "roles": "[admin manager member reader]", "volume": "volumev3", "tags": "true", "self": "200", "stop by reader": "403",
			"new header": "2.9", "users by system reader": "200"},
	}
	eras(t, func(t *testing.T, e Era, a *asker) {
		got := map[string]string{}
		base := a.cloud.Base()
		reader := a.token(world.Reader, world.ReaderPass, 0)
		got["nova"] = fmt.Sprint(a.do("GET", base+"/compute/v2.1/", reader, "").at("version", "version"))
		got["keystone"] = fmt.Sprint(a.do("GET", base+"/identity/v3", "", "").at("version", "id"))
		got["glance"] = fmt.Sprint(a.do("GET", base+"/image/", "", "").at("versions", "0", "id"))
		app := a.world.Users[0].Applications[0]
		got["application"] = fmt.Sprint(a.do("POST", a.cloud.AuthURL()+"/auth/tokens", "", fmt.Sprintf(`{"auth":{"identity":{"methods":["application_credential"],"application_credential":{"id":%q,"secret":%q}}}}`, app.ID, app.Secret)).status)
		system := a.signIn(world.Reader, world.ReaderPass, `{"system":{"all":true}}`)
		got["system"] = fmt.Sprint(system.status)
		admin := a.signIn(world.Admin, world.AdminPass, fmt.Sprintf(`{"project":{"id":%q}}`, a.world.Projects[0].ID))
		var roles, kinds []string
		for _, r := range admin.at("token", "roles").([]any) {
			roles = append(roles, fmt.Sprint(r.(map[string]any)["name"]))
		}
		got["roles"] = fmt.Sprint(roles)
		for _, s := range admin.at("token", "catalog").([]any) {
			kinds = append(kinds, fmt.Sprint(s.(map[string]any)["type"]))
		}
		for _, kind := range []string{"volumev2", "volumev3"} {
			if slices.Contains(kinds, kind) {
				got["volume"] += kind
			}
		}
		projects := a.do("GET", a.cloud.AuthURL()+"/auth/projects", reader, "")
		_, tags := projects.at("projects", "0").(map[string]any)["tags"]
		got["tags"] = fmt.Sprint(tags)
		got["self"] = fmt.Sprint(a.do("GET", a.cloud.AuthURL()+"/users/"+a.world.Users[0].ID, reader, "").status)
		got["users by system reader"] = fmt.Sprint(a.do("GET", a.cloud.AuthURL()+"/users/"+a.world.Users[3].ID, system.header.Get("X-Subject-Token"), "").status)
		servers := a.world.Servers(a.world.Projects[0].ID, a.now, nil)
		vm := servers[slices.IndexFunc(servers, func(v world.View) bool { return v.Status == "ACTIVE" })]
		got["stop by reader"] = fmt.Sprint(a.do("POST", base+"/compute/v2.1/servers/"+vm.ID+"/action", reader, `{"os-stop":null}`).status)
		got["new header"] = a.do("GET", base+"/compute/v2.1/flavors", reader, "", "OpenStack-API-Version", "compute 2.9").header.Get("X-OpenStack-Nova-API-Version")
		for key, w := range want[e.Name] {
			if got[key] != w {
				t.Errorf("%s: %s, want %s", key, got[key], w)
			}
		}
		if too := a.compute(reader, e.NovaMinor+1, "/servers"); too.status != http.StatusNotAcceptable {
			t.Errorf("a newer microversion: %d", too.status)
		}
		if found, ok := EraNamed(e.Name); !ok || found != e {
			t.Error("it is not found by its name")
		}
	})
	if _, ok := EraNamed("austin"); ok {
		t.Error("there is an era of any name")
	}
}

// TestComputeURL: the catalog's URL of compute works as it is, with and without the project's id, which must be the token's.
func TestComputeURL(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		project := a.world.Projects[0].ID
		in := a.signIn(world.Reader, world.ReaderPass, fmt.Sprintf(`{"project":{"id":%q}}`, project))
		token, endpoint := in.header.Get("X-Subject-Token"), ""
		for _, s := range in.at("token", "catalog").([]any) {
			if s := s.(map[string]any); s["type"] == "compute" {
				endpoint = s["endpoints"].([]any)[0].(map[string]any)["url"].(string)
			}
		}
		if strings.HasSuffix(endpoint, project) != e.ProjectInURL {
			t.Errorf("compute is at %s", endpoint)
		}
		for url, want := range map[string]int{
			endpoint + "/servers/detail": 200, a.cloud.Base() + "/compute/v2.1/servers/detail": 200, a.cloud.Base() + "/compute/v2.1/" + project + "/servers": 200,
			a.cloud.Base() + "/compute/v2.1/" + a.world.Projects[1].ID + "/servers": 400,
		} {
			if got := a.do("GET", url, token, ""); got.status != want {
				t.Errorf("%s: %d, want %d", url, got.status, want)
			}
		}
		for _, r := range a.cloud.Requests() {
			if strings.Contains(r.Path, project) {
				t.Errorf("a request is noted as %s", r.Path)
			}
		}
	})
}

// TestServerKeys: which keys a VM has at a microversion, and what only an administrator sees.
func TestServerKeys(t *testing.T) {
	a := newAsker(t, Options{})
	reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
	for key, since := range map[string]int{"locked": 9, "description": 19, "tags": 26, "trusted_image_certificates": 63, "server_groups": 71, "locked_reason": 73, "OS-EXT-SRV-ATTR:hostname": 90,
		"pinned_availability_zone": 96, "scheduler_hints": 100} {
		id := a.world.Servers(a.world.Projects[0].ID, a.now, nil)[0].ID
		for _, minor := range []int{since - 1, since} {
			s, _ := a.compute(reader, minor, "/servers/"+id).at("server").(map[string]any)
			if _, there := s[key]; there != (minor >= since) || s == nil {
				t.Errorf("%s at 2.%d: %v", key, minor, there)
			}
		}
		for key, since := range map[string]int{"OS-EXT-SRV-ATTR:host": 1, "OS-EXT-SRV-ATTR:hostname": 3, "host_status": 16} {
			s, _ := a.compute(admin, since, "/servers/"+id).at("server").(map[string]any)
			if _, there := s[key]; !there {
				t.Errorf("%s is not the administrator's at 2.%d", key, since)
			}
			s, _ = a.compute(reader, 25, "/servers/"+id).at("server").(map[string]any)
			if _, there := s[key]; there {
				t.Errorf("%s is the reader's", key)
			}
		}
	}
}

// TestDeletedFlavor: what is said of a flavor that is gone, in each era: by id nothing; the VM has its id below 2.47 and
// its values from there on; os-simple-tenant-usage has the values always.
func TestDeletedFlavor(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		reader := a.token(world.Reader, world.ReaderPass, 0)
		i := slices.IndexFunc(a.world.VMs(), func(vm world.VM) bool { return vm.Flavor == "6" && vm.Project == a.world.Projects[0].ID })
		vm := a.world.VMs()[i]
		if got := a.compute(reader, 25, "/flavors/6"); got.status != http.StatusNotFound {
			t.Errorf("by id: %d", got.status)
		}
		if got := a.compute(reader, 25, "/flavors/1"); got.status != http.StatusOK {
			t.Errorf("one that is there: %d", got.status)
		}
		a.world.DeleteFlavor("1", a.now.Add(time.Second))
		a.now = a.now.Add(time.Second)
		if got := a.compute(reader, 25, "/flavors/1"); got.status != http.StatusNotFound {
			t.Errorf("one that was deleted now: %d", got.status)
		}
		if f := a.compute(reader, 25, "/servers/"+vm.ID).at("server", "flavor").(map[string]any); f["id"] != "6" || f["vcpus"] != nil {
			t.Errorf("at 2.25: %v", f)
		}
		if e.NovaMinor >= 47 {
			if f := a.compute(reader, 47, "/servers/"+vm.ID).at("server", "flavor").(map[string]any); f["id"] != nil || f["vcpus"] != 4.0 || f["original_name"] != "old.retired" {
				t.Errorf("at 2.47: %v", f)
			}
		}
		usage := usageOf(a.compute(reader, min(40, e.NovaMinor), "/os-simple-tenant-usage/"+vm.Project+"?start=2026-01-01T00:00:00&limit=100"), vm.ID)
		if e.UsageCut { // the page is too short for all
			marker := ""
			for usage == nil {
				page := a.compute(reader, 40, "/os-simple-tenant-usage/"+vm.Project+"?start=2026-01-01T00:00:00&marker="+marker)
				next, more := page.at("tenant_usage_links", "0", "href").(string)
				usage = usageOf(page, vm.ID)
				if usage == nil && !more {
					t.Fatal("it is on no page")
				}
				if u, err := url.Parse(next); err == nil {
					marker = u.Query().Get("marker")
				}
			}
		}
		if usage["vcpus"] != 4.0 || usage["memory_mb"] != 4096.0 || usage["local_gb"] != 10.0 || usage["flavor"] != "old.retired" || usage["ended_at"] != nil || usage["state"] != "active" {
			t.Errorf("os-simple-tenant-usage: %v", usage)
		}
	})
}

func usageOf(a answer, vm string) map[string]any {
	all, _ := a.at("tenant_usage", "server_usages").([]any)
	for _, u := range all {
		if u := u.(map[string]any); u["instance_id"] == vm {
			return u
		}
	}
	return nil
}

// TestTenantUsage: whose it is, what it adds up to, and where it is cut.
func TestTenantUsage(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
		path := "/os-simple-tenant-usage/"
		window := "?start=2026-01-01T00:00:00&end=2026-11-24T12:00:00"
		for _, c := range []struct {
			token, path string
			want        int
		}{
			{reader, path + a.world.Projects[0].ID + window, 200}, {reader, path + a.world.Projects[1].ID + window, 403}, {admin, path + a.world.Projects[1].ID + window, 200},
			{reader, "/os-simple-tenant-usage" + window, 403}, {admin, "/os-simple-tenant-usage" + window, 200},
			{reader, path + a.world.Projects[0].ID + "?start=2026-02-01T00:00:00&end=2026-01-01T00:00:00", 400}, {reader, path + a.world.Projects[0].ID + "?start=yesterday", 400},
		} {
			if got := a.compute(c.token, 1, c.path); got.status != c.want {
				t.Errorf("%s: %d, want %d: %v", c.path, got.status, c.want, got.body)
			}
		}
		ran := len(a.world.Seen(a.now).Ran(a.world.Projects[0].ID, present.AddDate(-1, 0, 0), present))
		all, _ := a.compute(reader, 1, path+a.world.Projects[0].ID+window).at("tenant_usage", "server_usages").([]any)
		if want := map[bool]int{true: 5, false: ran}[e.UsageCut]; len(all) != want || ran <= 5 {
			t.Errorf("%d VMs of %d, want %d", len(all), ran, want)
		}
		var hours float64
		for _, u := range all {
			hours += u.(map[string]any)["hours"].(float64)
		}
		if sum := a.compute(reader, 1, path+a.world.Projects[0].ID+window).at("tenant_usage", "total_hours"); sum != hours || hours <= 0 {
			t.Errorf("%v hours of VMs that have %v together", sum, hours)
		}
		if none := a.compute(reader, 1, path+a.world.Projects[0].ID+"?start=2020-01-01T00:00:00&end=2020-02-01T00:00:00").at("tenant_usage").(map[string]any); len(none) != 0 {
			t.Errorf("before all: %v", none)
		}
	})
}

// TestActionsOfServers: those of deleted VMs, failed ones and ones in progress, and who sees the steps.
func TestActionsOfServers(t *testing.T) {
	a := newAsker(t, Options{})
	reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
	vm := a.world.Servers(a.world.Projects[0].ID, a.now, nil)[0].ID
	asked := a.now.Add(time.Minute)
	a.world.Happen(vm, world.Event{Asked: asked, At: a.now.Add(3 * time.Minute), Kind: world.Resize, Value: "4"})
	a.world.Happen(vm, world.Event{Asked: a.now.Add(4 * time.Minute), At: a.now.Add(5 * time.Minute), Kind: world.Shelve, Failed: true})
	a.world.Happen(vm, world.Event{At: a.now.Add(30 * time.Minute), Kind: world.Delete})
	newest := func(minor int, token string) (list, one map[string]any) {
		list, _ = a.compute(token, minor, "/servers/"+vm+"/os-instance-actions").at("instanceActions", "0").(map[string]any)
		one, _ = a.compute(token, minor, "/servers/"+vm+"/os-instance-actions/"+fmt.Sprint(list["request_id"])).at("instanceAction").(map[string]any)
		return list, one
	}
	a.now = present.Add(2 * time.Minute)
	list, one := newest(58, reader)
	if list["action"] != "resize" || list["message"] != nil || list["start_time"] != stamp(asked) || list["updated_at"] != stamp(asked) {
		t.Errorf("in progress: %v", list)
	}
	if step := one["events"].([]any)[0].(map[string]any); step["finish_time"] != nil || step["result"] != nil || step["event"] != "compute_finish_resize" {
		t.Errorf("in progress: %v", step)
	}
	a.now = present.Add(3 * time.Minute)
	if list, _ = newest(58, reader); list["updated_at"] != stamp(a.now) {
		t.Errorf("done: %v", list)
	}
	if list, _ = newest(57, reader); list["updated_at"] != nil {
		t.Errorf("at 2.57: %v", list)
	}
	a.now = present.Add(6 * time.Minute)
	list, one = newest(58, reader)
	if list["message"] != "Error" || one["events"].([]any)[0].(map[string]any)["result"] != "Error" {
		t.Errorf("failed: %v, %v", list, one)
	}
	if _, one = newest(50, reader); one["events"] != nil {
		t.Errorf("a reader sees steps at 2.50: %v", one)
	}
	if _, one = newest(1, admin); one["events"] == nil {
		t.Errorf("an administrator sees no steps: %v", one)
	}
	a.now = present.Add(40 * time.Minute)
	for minor, want := range map[int]int{20: 404, 21: 200} {
		if got := a.compute(reader, minor, "/servers/"+vm+"/os-instance-actions"); got.status != want {
			t.Errorf("of a deleted VM at 2.%d: %d", minor, got.status)
		}
	}
	if got := a.compute(reader, 100, "/servers/"+vm); got.status != 404 {
		t.Errorf("a deleted VM by id: %d", got.status)
	}
}

// TestDownCell: a cell that does not answer. Its VMs are missing in listings; only one without filter, order and page
// shows what is known of them from 2.69 on, as the VM by id does.
func TestDownCell(t *testing.T) {
	a := newAsker(t, Options{})
	reader := a.token(world.Reader, world.ReaderPass, 0)
	project := a.world.Projects[0].ID
	f, _ := world.FaultNamed(world.DownCell)
	a.world.AddFault(f)
	down := a.world.Seen(a.now).Unanswered(project)
	all := len(a.world.Servers(project, a.now, nil))
	if len(down) == 0 || len(down) >= all {
		t.Fatalf("%d of %d VMs are in the cell", len(down), all)
	}
	count := func(minor int, query string) (whole, partial int) {
		servers, _ := a.compute(reader, minor, "/servers/detail"+query).at("servers").([]any)
		for _, s := range servers {
			if s := s.(map[string]any); s["status"] == "UNKNOWN" && len(s) == 5 && s["tenant_id"] == project {
				partial++
			} else {
				whole++
			}
		}
		return whole, partial
	}
	for _, c := range []struct {
		minor   int
		query   string
		partial int
	}{{68, "", 0}, {69, "", len(down)}, {69, "?limit=1000", 0}, {69, "?changes-since=2026-01-01T00:00:00Z", 0}, {69, "?all_tenants=0", len(down)}} {
		if whole, partial := count(c.minor, c.query); partial != c.partial || whole < all-len(down) {
			t.Errorf("2.%d %s: %d whole, %d partial, want %d and %d", c.minor, c.query, whole, partial, all-len(down), c.partial)
		}
	}
	id := down[0].ID
	for minor, want := range map[int]int{68: 500, 69: 200} {
		if got := a.compute(reader, minor, "/servers/"+id); got.status != want || (want == 200 && (got.at("server", "status") != "UNKNOWN" || got.at("server", "updated") != nil || got.at("server", "user_id") == nil)) {
			t.Errorf("by id at 2.%d: %d %v", minor, got.status, got.body)
		}
	}
	for _, path := range []string{"/servers/" + id + "/os-instance-actions", "/os-simple-tenant-usage/" + project + "?start=2026-01-01T00:00:00"} {
		if got := a.compute(reader, 69, path); got.status != 500 {
			t.Errorf("%s: %d", path, got.status)
		}
	}
}

// TestDeletedProject: its tokens and its place in the listings end with it, its VMs do not.
func TestDeletedProject(t *testing.T) {
	a := newAsker(t, Options{})
	reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 1)
	project := a.world.Projects[0].ID
	a.world.DeleteProject(project, a.now)
	if got := a.compute(reader, 1, "/servers"); got.status != 401 {
		t.Errorf("its token: %d", got.status)
	}
	if got := a.signIn(world.Reader, world.ReaderPass, fmt.Sprintf(`{"project":{"id":%q}}`, project)); got.status != 401 {
		t.Errorf("a new token: %d", got.status)
	}
	for _, path := range []string{"/auth/projects", "/projects", "/users/" + a.world.Users[2].ID + "/projects"} {
		if all := a.do("GET", a.cloud.AuthURL()+path, admin, "").at("projects").([]any); len(all) != len(a.world.Projects)-1 {
			t.Errorf("%s: %d projects", path, len(all))
		}
	}
	if got := a.do("GET", a.cloud.AuthURL()+"/projects/"+project, admin, ""); got.status != 404 {
		t.Errorf("by id: %d", got.status)
	}
	if all := a.compute(admin, 1, "/servers/detail?all_tenants=1&project_id="+project).at("servers").([]any); len(all) == 0 {
		t.Error("its VMs are gone")
	}
}

// TestImagesOfOthers: what an image is called that is shared with a project.
func TestImagesOfOthers(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		project := a.world.Projects[0].ID
		a.world.Images = append(a.world.Images, world.Image{ID: "shared", Owner: "other", Visibility: "shared", Members: map[string]string{project: "accepted"}})
		want := "shared"
		if e.Name == "mitaka" {
			want = "private"
		}
		got := a.do("GET", a.cloud.Base()+"/image/v2/images/shared", a.token(world.Reader, world.ReaderPass, 0), "")
		if _, hidden := got.body["os_hidden"]; got.body["visibility"] != want || hidden != (e.Name != "mitaka") {
			t.Errorf("%v", got.body)
		}
	})
}
