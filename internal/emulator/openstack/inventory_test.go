package openstack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// keys gives those of an object that the answer has at the path, sorted.
func (a answer) keys(path ...string) string {
	o, _ := a.at(path...).(map[string]any)
	all := make([]string, 0, len(o))
	for key := range o {
		all = append(all, key)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// named gives a key's values in a list that the answer has.
func (a answer) named(list, key string) []any {
	all, _ := a.at(list).([]any)
	values := []any{}
	for _, o := range all {
		values = append(values, o.(map[string]any)[key])
	}
	return values
}

// TestQuotas: who may read which project's, what they have by microversion and release, and that the limits say the same.
func TestQuotas(t *testing.T) {
	const always = "cores id instances key_pairs metadata_items ram server_group_members server_groups"
	const files = " injected_file_content_bytes injected_file_path_bytes injected_files"
	words := func(text string) string {
		all := strings.Fields(text)
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	eras(t, func(t *testing.T, e Era, a *asker) {
		a.world.Projects[0].Quota = map[string]int64{"instances": 7, "cores": -1}
		a.world.Projects[0].NetworkQuota = map[string]int64{"floatingip": 3}
		a.world.Projects[0].VolumeQuota = map[string]int64{"gigabytes": 50}
		mine, other := a.world.Projects[0].ID, a.world.Projects[1].ID
		a.world.Volumes = []world.Volume{{ID: "v", Project: mine, Size: 5, Created: present}, {ID: "w", Project: other, Size: 9, Created: present}}
		reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
		for minor, want := range map[int]string{1: always + files + " fixed_ips floating_ips security_group_rules security_groups", 36: always + files, 57: always} {
			if minor > e.NovaMinor {
				continue
			}
			if got := a.compute(reader, minor, "/os-quota-sets/"+mine); got.keys("quota_set") != words(want) || got.at("quota_set", "instances") != 7.0 || got.at("quota_set", "cores") != -1.0 || got.at("quota_set", "id") != mine {
				t.Errorf("2.%d: %v", minor, got.body)
			}
		}
		if got := a.compute(reader, 1, "/os-quota-sets/"+mine).at("quota_set", "floating_ips"); (got == 10.0) != (e.Name == "mitaka") {
			t.Errorf("%v addresses", got)
		}
		if got := a.compute(reader, 1, "/limits"); got.at("limits", "absolute", "maxTotalInstances") != 7.0 || got.at("limits", "absolute", "maxTotalCores") != -1.0 {
			t.Errorf("limits: %v", got.body)
		}
		unknown := map[bool]int{true: 400, false: 200}[e.Name != "mitaka"]
		network, volume := a.cloud.Base()+"/network/v2.0/quotas/", a.cloud.Base()+"/volume/"+a.cloud.volumeRoot()+"/"+mine+"/os-quota-sets/"
		for _, c := range []struct {
			token, url string
			want       int
		}{
			{reader, network + mine, 200}, {reader, network + other, 403}, {admin, network + other, 200}, {reader, volume + mine, 200}, {reader, volume + other, 403}, {admin, volume + other, 200},
			{reader, a.cloud.Base() + "/compute/v2.1/os-quota-sets/" + other, 403}, {admin, a.cloud.Base() + "/compute/v2.1/os-quota-sets/" + other, 200},
			{admin, a.cloud.Base() + "/compute/v2.1/os-quota-sets/none", unknown}, {"", network + mine, 401},
		} {
			if got := a.do("GET", c.url, c.token, ""); got.status != c.want {
				t.Errorf("%s: %d, want %d: %v", c.url, got.status, c.want, got.body)
			}
		}
		if got := a.do("GET", network+mine, reader, ""); got.at("quota", "floatingip") != 3.0 || got.at("quota", "router") != 10.0 {
			t.Errorf("of Neutron: %v", got.body)
		}
		if got := a.do("GET", volume+mine+"?usage=true", reader, ""); fmt.Sprint(got.at("quota_set", "gigabytes")) != "map[in_use:5 limit:50 reserved:0]" {
			t.Errorf("of Cinder: %v", got.body)
		}
		limits := a.do("GET", strings.TrimSuffix(volume, "os-quota-sets/")+"limits", reader, "")
		if limits.at("limits", "absolute", "maxTotalVolumeGigabytes") != 50.0 || limits.at("limits", "absolute", "totalVolumesUsed") != 1.0 {
			t.Errorf("limits of Cinder: %v", limits.body)
		}
	})
}

// TestPrivateFlavors: who is listed and told of them, and who may ask for all.
func TestPrivateFlavors(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		a.world.Flavors = []world.Flavor{{ID: "all", Name: "all"}, {ID: "mine", Private: true, Access: []string{a.world.Projects[0].ID}}, {ID: "theirs", Private: true, Access: []string{a.world.Projects[1].ID}}}
		reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
		for _, c := range []struct {
			token, query string
			want         []any
		}{
			{reader, "", []any{"all", "mine"}}, {reader, "?is_public=None", []any{"all", "mine"}}, {reader, "?is_public=maybe", []any{"all", "mine"}},
			{admin, "", []any{"all", "mine"}}, {admin, "?is_public=true", []any{"all", "mine"}}, {admin, "?is_public=None", []any{"all", "mine", "theirs"}}, {admin, "?is_public=False", []any{"mine", "theirs"}},
		} {
			got := a.compute(c.token, 1, "/flavors/detail"+c.query)
			if d := cmp.Diff(c.want, got.named("flavors", "id")); d != "" || got.at("flavors", "1", "os-flavor-access:is_public") != false {
				t.Errorf("%s: %s", c.query, d)
			}
		}
		for _, c := range []struct {
			token, path string
			want        int
		}{{reader, "mine", 200}, {reader, "theirs", 404}, {reader, "theirs/os-extra_specs", 404}, {admin, "theirs", 200}} {
			if got := a.compute(c.token, 1, "/flavors/"+c.path); got.status != c.want {
				t.Errorf("%s: %d", c.path, got.status)
			}
		}
		if got := a.compute(admin, 1, "/flavors?is_public=maybe"); got.status != http.StatusBadRequest {
			t.Errorf("no word for it: %d", got.status)
		}
	})
}

// TestImageListing: what an image says, and how a listing is narrowed, paged, and kept to what the token may see.
func TestImageListing(t *testing.T) {
	for _, e := range Eras() {
		t.Run(e.Name, func(t *testing.T) {
			a := newAsker(t, Options{Era: e, ImagePage: 2})
			mine, other := a.world.Projects[0].ID, a.world.Projects[1].ID
			a.world.Images = []world.Image{
				{ID: "full", Name: "full", Owner: mine, Visibility: "private", Tags: []string{"a", "b"}, Size: 7, VirtualSize: -1, MinDisk: 3, MinRAM: 64, DiskFormat: "raw", Properties: map[string]string{"image_type": "snapshot", "odd:key": "\x00\n"}},
				{ID: "queued", Owner: mine, Visibility: "private", Status: "queued", Size: -1},
				{ID: "foreign", Owner: other, Visibility: "private"}, {ID: "public", Name: "public", Owner: other, Visibility: "public"},
				{ID: "shared", Owner: other, Visibility: "shared", Members: map[string]string{mine: "accepted"}}, {ID: "hidden", Owner: mine, Visibility: "private", Hidden: true},
			}
			reader := a.token(world.Reader, world.ReaderPass, 0)
			list := func(query string) (all []any) {
				for path := "/v2/images" + query; path != ""; {
					got := a.do("GET", a.cloud.Base()+"/image"+path, reader, "")
					if page := got.named("images", "id"); len(page) > 2 {
						t.Errorf("%s: a page of %d", path, len(page))
					} else {
						all = append(all, page...)
					}
					path, _ = got.at("next").(string)
				}
				return all
			}
			hides := e.Name != "mitaka"
			want := []any{"full", "queued", "public", "shared"}
			if !hides {
				want = append(want, "hidden")
			}
			active := slices.DeleteFunc(slices.Clone(want), func(id any) bool { return id == "queued" })
			hidden := active
			if hides {
				hidden = []any{"hidden"}
			}
			for query, want := range map[string][]any{"": want, "?limit=1000": want, "?status=active&limit=3": active, "?tag=a": {"full"}, "?tag=a&tag=c": nil, "?os_hidden=true&status=active": hidden, "?name=public": {"public"}} {
				if d := cmp.Diff(want, list(query)); d != "" {
					t.Errorf("%s: %s", query, d)
				}
			}
			full := a.do("GET", a.cloud.Base()+"/image/v2/images/full", reader, "").body
			for key, value := range map[string]any{"size": 7.0, "virtual_size": nil, "min_disk": 3.0, "min_ram": 64.0, "disk_format": "raw", "image_type": "snapshot", "odd:key": "\x00\n", "status": "active"} {
				if full[key] != value {
					t.Errorf("%s: %v", key, full[key])
				}
			}
			queued := a.do("GET", a.cloud.Base()+"/image/v2/images/queued", reader, "").body
			if queued["name"] != nil || queued["size"] != nil || queued["status"] != "queued" || fmt.Sprint(full["tags"]) != "[a b]" {
				t.Errorf("%v, %v", queued, full["tags"])
			}
		})
	}
}

// TestNetworkListing: whose networks a token sees, what only an administrator is told, and filters, fields and pages.
func TestNetworkListing(t *testing.T) {
	eras(t, func(t *testing.T, e Era, a *asker) {
		mine, other := a.world.Projects[0].ID, a.world.Projects[1].ID
		reader, admin := a.token(world.Reader, world.ReaderPass, 0), a.token(world.Admin, world.AdminPass, 0)
		get := func(token, query string) answer {
			return a.do("GET", a.cloud.Base()+"/network/v2.0/networks"+query, token, "")
		}
		if got := get(reader, "").named("networks", "name"); fmt.Sprint(got) != "[private public]" {
			t.Errorf("of a world without networks: %v", got)
		}
		a.world.Networks = []world.Network{{ID: "1", Name: "ext", Project: other, External: true, Type: "flat"}, {ID: "2", Name: "all", Project: other, Shared: true, Type: "vxlan", MTU: 1450},
			{ID: "3", Name: "own", Project: mine}, {ID: "4", Name: "theirs", Project: other}}
		for _, c := range []struct {
			token, query string
			want         []any
		}{
			{reader, "", []any{"1", "2", "3"}}, {admin, "", []any{"1", "2", "3", "4"}}, {reader, "?router:external=True", []any{"1"}}, {reader, "?shared=0&router:external=0", []any{"3"}},
			{reader, "?name=own&name=all", []any{"2", "3"}}, {reader, "?fields=id", []any{"1", "2", "3"}},
		} {
			if got := get(c.token, c.query).named("networks", "id"); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %v", c.query, got)
			}
		}
		if got := get(reader, "?fields=id&fields=mtu"); got.keys("networks", "0") != "id mtu" || got.at("networks", "1", "mtu") != 1450.0 {
			t.Errorf("%v", got.body)
		}
		one := get(reader, "/3")
		_, newer := one.at("network").(map[string]any)["project_id"]
		if newer != (e.Name != "mitaka") || one.at("network", "tenant_id") != mine || strings.Contains(get(reader, "/1").keys("network"), "provider:") {
			t.Errorf("%v", one.body)
		}
		if get(admin, "/2").at("network", "provider:network_type") != "vxlan" || get(reader, "/4").status != 404 || get(admin, "/4").status != 200 {
			t.Error("an administrator sees what others do, or others what is the administrator's")
		}
		page := get(reader, "?limit=2")
		if next, _ := page.at("networks_links", "0", "href").(string); (next != "") != (e.Name != "mitaka") || (next != "" && fmt.Sprint(a.do("GET", next, reader, "").named("networks", "id")) != "[3]") {
			t.Errorf("a page of two: %v", page.body)
		}
		if got := get(reader, "?limit=2&marker=none"); (got.status == 400) != (e.Name != "mitaka") {
			t.Errorf("a marker that is no network: %d", got.status)
		}
	})
}

// TestServeInventory signs in to the projects of an inventory: each with its domain, and those that Keystone refuses.
func TestServeInventory(t *testing.T) {
	eras(t, func(t *testing.T, e Era, _ *asker) {
		serve := func(name string) *asker {
			data, err := os.ReadFile("../world/testdata/inventories/" + name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			a := newAsker(t, Options{Era: e})
			if a.world, err = world.LoadScenario(data); err != nil {
				t.Fatal(err)
			}
			a.cloud.w = a.world
			return a
		}
		a := serve("02-two-vos-states")
		in := a.signIn(world.InventoryUser, world.InventoryPass, `{"project":{"id":"p-ai"}}`)
		domain, _ := in.at("token", "project", "domain", "id").(string)
		if in.at("token", "project", "domain", "name") != "egi.eu" || domain == "default" || a.do("GET", a.cloud.AuthURL()+"/domains/"+domain, a.token(world.InventoryUser, world.InventoryPass, 0), "").at("domain", "name") != "egi.eu" {
			t.Errorf("%v", in.body)
		}
		endpoint := ""
		for _, s := range in.at("token", "catalog").([]any) {
			if s := s.(map[string]any); s["type"] == "compute" {
				endpoint = s["endpoints"].([]any)[0].(map[string]any)["url"].(string)
			}
		}
		token := in.header.Get("X-Subject-Token")
		if got := a.do("GET", endpoint+"/servers/detail", token, "").named("servers", "status"); len(got) != 9 || got[8] != "ACTIVE" || got[0] != "VERIFY_RESIZE" {
			t.Errorf("%s: %v", endpoint, got)
		}
		if got := a.do("GET", endpoint+"/flavors", token, "").named("flavors", "id"); fmt.Sprint(got) != "[1 2 c1e1]" {
			t.Errorf("flavors %v", got)
		}
		if got := a.do("GET", a.cloud.Base()+"/image/v2/images", token, "").named("images", "visibility"); len(got) != 1 || (got[0] == "shared") != (e.Name != "mitaka") {
			t.Errorf("images %v", got)
		}
		for name, want := range map[string]int{"05-one-vo-401": 401, "28-vo-auth-500": 500} {
			a := serve(name)
			if got := a.signIn(world.InventoryUser, world.InventoryPass, `{"project":{"id":"p-ai"}}`); got.status != want || (got.header.Get("WWW-Authenticate") != "") != (want == 401) {
				t.Errorf("%s: %d", name, got.status)
			}
			if got := a.signIn(world.InventoryUser, world.InventoryPass, `{"project":{"id":"p-ops"}}`); got.status != 201 {
				t.Errorf("%s, the other project: %d", name, got.status)
			}
		}
		a = serve("15-app-credential")
		body, _ := json.Marshal(object{"auth": object{"identity": object{"methods": []string{"application_credential"}, "application_credential": object{"id": "ac1", "secret": world.InventorySecret}}}})
		if got := a.do("POST", a.cloud.AuthURL()+"/auth/tokens", "", string(body)); (got.status == 201) != e.ApplicationCredentials || (got.status == 201 && got.at("token", "project", "id") != "p-ops") {
			t.Errorf("application credential: %d", got.status)
		}
	})
}
