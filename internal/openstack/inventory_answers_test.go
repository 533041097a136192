package openstack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// oddInventory is the inventory of a cloud that has all services, each of whose answers a test writes by its path; the last
// one answers again and again.
func oddInventory(t *testing.T, answers map[string][]func(http.ResponseWriter), change ...func(*openstack.Config)) (*openstack.Inventory, map[string][]string) {
	t.Helper()
	asked := map[string][]string{}
	var o *odd
	o = newOdd(t, "", func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			var entries []string
			for _, service := range []string{"compute", "image", "network", "volumev3"} {
				entries = append(entries, fmt.Sprintf(`{"type":%q,"endpoints":[{"interface":"public","region":"R","url":"%s/%s"}]}`, service, o.URL, service))
			}
			text(201, fmt.Sprintf(`{"token":{"project":{"id":%q},"catalog":[%s]}}`, oddProject, strings.Join(entries, ",")), "X-Subject-Token", "x")(w)
			return true
		}
		for path, list := range answers {
			if strings.HasSuffix(r.URL.Path, path) {
				n := len(asked[path])
				asked[path] = append(asked[path], r.URL.RawQuery)
				list[min(n, len(list)-1)](w)
				return true
			}
		}
		return false
	})
	i, err := connect(t, o.URL, password("me", "hunter2"), change...).Inventory(t.Context(), oddProject)
	if err != nil {
		t.Fatal(err)
	}
	return i, asked
}

func once(status int, body string, header ...string) []func(http.ResponseWriter) {
	return []func(http.ResponseWriter){text(status, body, header...)}
}

// lists are the listings of an inventory: what is asked, and how.
var lists = map[string]struct {
	path, of string
	ask      func(*testing.T, *openstack.Inventory) (int, []openstack.BadEntry, error)
}{
	"compute": {"/flavors/detail", "flavors", func(t *testing.T, i *openstack.Inventory) (int, []openstack.BadEntry, error) {
		list, bad, err := i.Flavors(t.Context(), nil)
		return len(list), bad, err
	}},
	"image": {"/images", "images", func(t *testing.T, i *openstack.Inventory) (int, []openstack.BadEntry, error) {
		list, bad, err := i.Images(t.Context(), nil)
		return len(list), bad, err
	}},
	"network": {"/networks", "networks", func(t *testing.T, i *openstack.Inventory) (int, []openstack.BadEntry, error) {
		list, bad, err := i.Networks(t.Context())
		return len(list), bad, err
	}},
}

// TestOddOffers: what a service answers instead of a listing, and what it is taken for.
func TestOddOffers(t *testing.T) {
	for service, l := range lists {
		next := func(marker string) string {
			if service == "image" {
				return fmt.Sprintf(`{"images":[],"next":"/v2/images?marker=%s"}`, marker)
			}
			return fmt.Sprintf(`{%q:[],"%s_links":[{"rel":"previous","href":"x"},{"rel":"next","href":"http://elsewhere/?marker=%s"}]}`, l.of, l.of, marker)
		}
		for name, c := range map[string]struct {
			answers []func(http.ResponseWriter)
			kind    error
			says    string
		}{
			"cut":                 {once(200, `{"`+l.of+`":[{"id":"x"`, "Content-Length", "5000"), openstack.ErrUnavailable, "cut"},
			"nothing":             {once(200, ""), openstack.ErrUnavailable, "cut"},
			"for people":          {once(200, "<html>"), openstack.ErrBadAnswer, "not JSON"},
			"another shape":       {once(200, `{"`+l.of+`":{}}`), openstack.ErrBadAnswer, l.path},
			"no list":             {once(200, `{"versions":[]}`), openstack.ErrBadAnswer, "no list of " + l.of},
			"null":                {once(200, `{"`+l.of+`":null}`), openstack.ErrBadAnswer, l.path},
			"in circles":          {once(200, next("1")), openstack.ErrBadAnswer, "in circles"},
			"in wider circles":    {[]func(http.ResponseWriter){text(200, next("1")), text(200, next("2")), text(200, next("1"))}, openstack.ErrBadAnswer, "in circles"},
			"a link to nowhere":   {once(200, next("")), openstack.ErrBadAnswer, "no marker"},
			"fails on page two":   {[]func(http.ResponseWriter){text(200, next("1")), text(500, `{"x":{"message":"Un\u0000expected\nerror"}}`)}, openstack.ErrUnavailable, "Un expected error (req-1)"},
			"refused":             {once(401, ""), openstack.ErrNotAuthorised, "401"},
			"too many":            {once(429, "", "Retry-After", "3600"), openstack.ErrUnavailable, "too many requests"},
			"links that are none": {once(200, `{"`+l.of+`":[],"`+map[bool]string{true: "next", false: l.of + "_links"}[service == "image"]+`":7}`), openstack.ErrBadAnswer, l.path},
		} {
			i, _ := oddInventory(t, map[string][]func(http.ResponseWriter){l.path: c.answers})
			n, bad, err := l.ask(t, i)
			if !errors.Is(err, c.kind) || n+len(bad) != 0 || !strings.Contains(err.Error(), c.says) || strings.ContainsAny(err.Error(), "\n\x00") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s, %s: %d, %v, %v", l.of, name, n, bad, err)
			}
		}
		i, asked := oddInventory(t, map[string][]func(http.ResponseWriter){l.path: {text(200, next("a%20b%26c")), text(200, `{"`+l.of+`":[7,{"id":"y"},{"id":8},{"vcpus":1,"status":"active","shared":true},"z",{"id":"w","name":{}}]}`)}})
		n, bad, err := l.ask(t, i)
		if len(asked[l.path]) != 2 || !strings.Contains(asked[l.path][1], "marker=a+b%26c") || err != nil {
			t.Errorf("%s: asked %q, %v", l.of, asked[l.path], err)
		}
		if service == "network" { // one without an owner is another project's
			if n != 0 || len(bad) != 5 {
				t.Errorf("%s: %d, %v", l.of, n, bad)
			}
		} else if n != 0 || len(bad) != 6 || bad[0].ID != "?" || bad[1].ID != "y" || bad[5].ID != "w" || bad[5].Reason == "" {
			t.Errorf("%s: %d, %v", l.of, n, bad)
		}
	}
}

// TestHugeAnswers: what is larger than fedsite reads is an error of its own, and nothing of it counts.
func TestHugeAnswers(t *testing.T) {
	for service, l := range lists {
		i, _ := oddInventory(t, map[string][]func(http.ResponseWriter){l.path: once(200, `{"`+l.of+`":[`+strings.Repeat(`{"id":"x","vcpus":1,"status":"active","shared":true},`, 100)+`{}]}`)}, func(c *openstack.Config) {
			small, err := transport.New(transport.Config{MaxBody: 2000})
			if err != nil {
				t.Fatal(err)
			}
			c.HTTP = small.Client
		})
		if n, bad, err := l.ask(t, i); !errors.Is(err, openstack.ErrBadAnswer) || !strings.Contains(err.Error(), "larger than fedsite reads") || n+len(bad) != 0 {
			t.Errorf("%s: %d, %v, %v", service, n, bad, err)
		}
	}
}

// TestEndlessListing: a listing that is always followed by another page ends with an error.
func TestEndlessListing(t *testing.T) {
	entries := strings.Repeat(`{"id":"x","vcpus":1},`, 20_000)
	n := 0
	i, asked := oddInventory(t, map[string][]func(http.ResponseWriter){"/flavors/detail": {func(w http.ResponseWriter) {
		n++
		fmt.Fprintf(w, `{"flavors":[%s],"flavors_links":[{"rel":"next","href":"?marker=%d"}]}`, entries[:len(entries)-1], n)
	}}})
	if _, _, err := i.Flavors(t.Context(), nil); !errors.Is(err, openstack.ErrBadAnswer) || !strings.Contains(err.Error(), "does not end") || len(asked["/flavors/detail"]) != 3 {
		t.Errorf("%v, after %d pages", err, len(asked["/flavors/detail"]))
	}
}

// TestTenantsImages: whatever tenants write to images comes through as it is, and changes nothing that Glance says.
func TestTenantsImages(t *testing.T) {
	huge := strings.Repeat("x", 64<<10)
	many := map[string]any{}
	for n := range 1100 {
		many[fmt.Sprintf("k%04d", n)] = "v"
	}
	image := func(id string, more map[string]any) map[string]any {
		o := map[string]any{"id": id, "name": "n", "owner": "o", "visibility": "private", "status": "active", "size": 5, "virtual_size": nil, "min_disk": 2, "min_ram": 3, "tags": []string{"a\n"}, "created_at": "2026-01-02T03:04:05Z", "self": "/v2/images/x"}
		maps.Copy(o, more)
		return o
	}
	body, err := json.Marshal(map[string]any{"images": []any{
		image("names", map[string]any{"name": "a\nb\x00\u202e\"</script>", "os_distro": "ubuntu\r\n", "": "empty", "ключ": "значение", "APPLIANCE_ATTRIBUTES": "{not json"}),
		image("spoof", map[string]any{"Owner": "root", "ID": "other", "VISIBILITY": "public", "Size": "none", "Tags": "none", "Status": "deleted", "image_type": "snapshot"}),
		image("types", map[string]any{"name": nil, "a": 7, "b": 1.50, "c": true, "d": nil, "e": []any{1, "x"}, "f": map[string]any{"g": nil}, "size": nil}),
		image("huge", map[string]any{"fits": huge, "large": huge + "x", strings.Repeat("k", 300): "v"}),
		image("many", many),
		image("wrong", map[string]any{"size": "5"}), image("dated", map[string]any{"created_at": "yesterday"}), image("queued", map[string]any{"status": "queued"}), image("tagged", map[string]any{"tags": "a"}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	i, asked := oddInventory(t, map[string][]func(http.ResponseWriter){"/images": once(200, string(body))})
	got, bad, err := i.Images(t.Context(), nil)
	if err != nil || len(got) != 5 {
		t.Fatalf("%d images, %v, %v", len(got), bad, err)
	}
	if q := asked["/images"][0]; !strings.Contains(q, "status=active") || !strings.Contains(q, "limit=") {
		t.Errorf("asked %s", q)
	}
	for n, want := range []map[string]string{
		{"os_distro": "ubuntu\r\n", "": "empty", "ключ": "значение", "APPLIANCE_ATTRIBUTES": "{not json"},
		{"Owner": "root", "ID": "other", "VISIBILITY": "public", "Size": "none", "Tags": "none", "Status": "deleted", "image_type": "snapshot"},
		{"a": "7", "b": "1.5", "c": "true", "e": `[1,"x"]`, "f": `{"g":null}`}, {"fits": huge},
	} {
		if d := cmp.Diff(want, got[n].Properties); d != "" || got[n].Owner != "o" || got[n].Visibility != "private" || got[n].MinDisk != 2 || got[n].MinRAM != 3 || got[n].VirtualSize != 0 || got[n].Tags[0] != "a\n" {
			t.Errorf("%+v: %s", got[n], d)
		}
	}
	if got[0].Name != "a\nb\x00\u202e\"</script>" || got[1].ID != "spoof" || got[1].Size != 5 || got[2].Name != "" || got[2].Size != 0 || got[0].Created.Year() != 2026 {
		t.Errorf("%+v", got[:3])
	}
	if d := cmp.Diff([]string{strings.Repeat("k", 255), "large"}, got[3].Left); d != "" {
		t.Error(d)
	}
	if len(got[4].Properties) != 1000 || len(got[4].Left) != 100 || got[4].Left[0] != "k1000" {
		t.Errorf("%d properties, %d left", len(got[4].Properties), len(got[4].Left))
	}
	var ids []string
	for _, b := range bad {
		ids = append(ids, b.ID)
		if b.Reason == "" || strings.ContainsAny(b.Reason, "\n\x00") {
			t.Errorf("%q", b.Reason)
		}
	}
	if d := cmp.Diff([]string{"wrong", "dated", "queued", "tagged"}, ids); d != "" {
		t.Error(d)
	}
}

// TestAdministratorsImages: an administrator is asked for no more images of others than is sensible, and of a Glance that tells
// private from shared ones for shared ones only.
func TestAdministratorsImages(t *testing.T) {
	for name, c := range map[string]struct {
		image                    string // of the others'
		members, images, skipped int
	}{
		"old":       {`{"id":"x%d","owner":"other","status":"active","visibility":"private"}`, 500, 500, 100},
		"new":       {`{"id":"x%d","owner":"other","status":"active","visibility":"private","os_hidden":false}`, 0, 0, 0},
		"shared":    {`{"id":"x%d","owner":"other","status":"active","visibility":"shared","os_hidden":false}`, 500, 500, 100},
		"public":    {`{"id":"x%d","owner":"other","status":"active","visibility":"public"}`, 0, 600, 0},
		"community": {`{"id":"x%d","owner":"other","status":"active","visibility":"community"}`, 0, 0, 0},
		"unnamed":   {`{"id":"x%d","status":"active"}`, 500, 500, 100},
	} {
		members := 0
		var list []string
		for n := range 600 {
			list = append(list, fmt.Sprintf(c.image, n))
		}
		var o *odd
		o = newOdd(t, "", func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPost:
				text(201, fmt.Sprintf(`{"token":{"project":{"id":%q},"roles":[{"name":"reader"},{"name":"Admin"}],"catalog":[{"type":"image","endpoints":[{"interface":"public","region":"R","url":"%s/image/"}]}]}}`, oddProject, o.URL), "X-Subject-Token", "x")(w)
			case strings.HasSuffix(r.URL.Path, "/members/"+oddProject):
				members++
				text(200, `{"status":"accepted"}`)(w)
			default:
				text(200, `{"images":[`+strings.Join(list, ",")+`]}`)(w)
			}
			return true
		})
		i, err := connect(t, o.URL, password("me", "x")).Inventory(t.Context(), oddProject)
		if err != nil {
			t.Fatal(err)
		}
		got, bad, err := i.Images(t.Context(), nil)
		if err != nil || members != c.members || len(got) != c.images || len(bad) != c.skipped {
			t.Errorf("%s: asked about %d, %d images, %d skipped, %v", name, members, len(got), len(bad), err)
		}
	}
}

// TestOddQuotas: what is said of quotas instead of numbers, and what that is taken for.
func TestOddQuotas(t *testing.T) {
	for body, c := range map[string]struct {
		limits map[string]int64 // nil = it is no answer
	}{
		`{"quota_set":{"id":"p","cores":20,"ram":-1,"odd":"7","none":null,"half":1.5,"big":1e3,"used":{"limit":1}}}`: {map[string]int64{"cores": 20, "ram": -1}},
		`{"quota_set":{}}`: {}, `{}`: {}, `{"quota_set":{"id":"p"}}`: {},
	} {
		i, _ := oddInventory(t, map[string][]func(http.ResponseWriter){"/os-quota-sets/" + oddProject: once(200, body)})
		got, err := i.Quotas(t.Context())
		if d := cmp.Diff(c.limits, got.Limits); d != "" || got.Unknown != nil || (err != nil) != (c.limits == nil) || (err != nil && !errors.Is(err, openstack.ErrBadAnswer)) {
			t.Errorf("%s: %+v, %v", body, got, err)
		}
	}
	i, _ := oddInventory(t, map[string][]func(http.ResponseWriter){"/limits": once(200, `{"limits":{"absolute":{"maxTotalVolumes":5,"totalVolumesUsed":2,"maxTotalSnapshots":"x","maxAnything":9}}}`)})
	got, err := i.VolumeQuotas(t.Context())
	if d := cmp.Diff(openstack.Quotas{Limits: map[string]int64{"volumes": 5}, Used: map[string]int64{"volumes": 2}}, got); d != "" || err != nil {
		t.Errorf("%v, %s", err, d)
	}
}

// TestOddVMs: entries that cannot be used are counted, and a VM of another project is an error.
func TestOddVMs(t *testing.T) {
	i, asked := oddInventory(t, map[string][]func(http.ResponseWriter){"/servers/detail": {text(200, servers("http://x/?marker=1", vm("1", oddProject), `7`, `{"id":"2"}`, `{"id":"3","status":{}}`)), text(200, servers("", vm("4", oddProject)))}})
	got, err := i.VMCounts(t.Context())
	if d := cmp.Diff(openstack.VMCounts{Total: 5, Unusable: 3, ByStatus: map[string]int{"ACTIVE": 2}}, got); d != "" || err != nil || !slices.Equal(asked["/servers/detail"], []string{"", "marker=1"}) {
		t.Errorf("%v, asked %q: %s", err, asked["/servers/detail"], d)
	}
	i, _ = oddInventory(t, map[string][]func(http.ResponseWriter){"/servers/detail": once(200, servers("", vm("1", oddProject), vm("2", "other")))})
	if got, err := i.VMCounts(t.Context()); !errors.Is(err, openstack.ErrScope) || errors.Is(err, openstack.ErrBadAnswer) || got.Total != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestVolumeEndpoints: which of a catalog's endpoints of Cinder is asked, and under which path.
func TestVolumeEndpoints(t *testing.T) {
	for name, c := range map[string]struct{ catalog, want string }{
		"v3 before v2":     {`{"type":"volumev2","endpoints":[{"interface":"public","region":"R","url":"%s/v2/p"}]},{"type":"volumev3","endpoints":[{"interface":"public","region":"R","url":"%s/v3/p"}]}`, "/v3/p/limits"},
		"without project":  {`{"type":"block-storage","endpoints":[{"interface":"public","region":"R","url":"%s/v3/"}]}`, "/v3/limits"},
		"without version":  {`{"type":"block-storage","endpoints":[{"interface":"public","region":"R","url":"%s/volume"}]}`, "/volume/v3/" + oddProject + "/limits"},
		"v2 only":          {`{"type":"volumev2","endpoints":[{"interface":"public","region":"R","url":"%s/v2/p"}]}`, "/v2/p/limits"},
		"v1 is not asked":  {`{"type":"volume","endpoints":[{"interface":"public","region":"R","url":"%s/v1/p"}]}`, ""},
		"of two regions":   {`{"type":"volumev3","endpoints":[{"interface":"public","region":"R","url":"%s/v3/p"},{"interface":"public","region":"S","url":"%s/v3/p"}]}`, ""},
		"internal is none": {`{"type":"volumev3","endpoints":[{"interface":"internal","region":"R","url":"%s/v3/p"}]}`, ""},
	} {
		asked := ""
		var o *odd
		o = newOdd(t, "", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				text(201, fmt.Sprintf(`{"token":{"project":{"id":%q},"catalog":[%s]}}`, oddProject, strings.ReplaceAll(c.catalog, "%s", o.URL)), "X-Subject-Token", "x")(w)
				return true
			}
			asked = r.URL.Path
			text(200, `{"limits":{"absolute":{"maxTotalVolumes":5}}}`)(w)
			return true
		})
		i, err := connect(t, o.URL, password("me", "x")).Inventory(t.Context(), oddProject)
		if err != nil {
			t.Fatal(err)
		}
		got, err := i.VolumeQuotas(t.Context())
		if asked != c.want || err != nil || errors.Is(got.Unknown, openstack.ErrNoService) != (c.want == "") || (c.want != "" && got.Limits["volumes"] != 5) {
			t.Errorf("%s: asked %s, %+v, %v", name, asked, got, err)
		}
	}
}
