package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
)

// FuzzListing: an answer read entry by entry has the entries, in order, and the links that it has read as a whole; what
// cannot be read as a whole is no listing.
func FuzzListing(f *testing.F) {
	for _, text := range []string{`{"servers":[{"id":"a"},{"id":"b"}],"servers_links":[{"rel":"next","href":"http://x/?marker=b"}]}`, `{"servers":[]}`, `{}`, `{"servers":null}`,
		`{"x":[{}],"servers":[1,"2",null,[3],{"4":{}}],"servers":[5]}`, `{"servers":[{"id":"a"}`, `{"Servers":[1]}`, `[]`, `<html>`, `{"servers_links":{}}`, `{"servers":[{}]}{`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got []string
		l := listing{of: "servers", entry: func(raw json.RawMessage) error {
			got = append(got, string(raw))
			return nil
		}}
		err := l.decode(json.NewDecoder(strings.NewReader(string(text))))
		var whole struct {
			Servers []json.RawMessage `json:"servers"`
			Links   []pageLink        `json:"servers_links"`
		}
		werr := json.NewDecoder(strings.NewReader(string(text))).Decode(&whole)
		if err == nil && werr != nil {
			t.Fatalf("a listing, but %v", werr)
		}
		folded := strings.ToLower(string(text)) // encoding/json takes a key in any letter case, and of a repeated key the last value
		servers, links := strings.Count(string(text), `"servers"`), strings.Count(string(text), `"servers_links"`)
		if err != nil || servers > 1 || links > 1 || strings.Count(folded, "servers") != servers+links || strings.Contains(folded, `\u`) || strings.ContainsRune(folded, 'ſ') {
			return
		}
		var want []string
		for _, raw := range whole.Servers {
			want = append(want, string(raw))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("entries (-whole +one by one):\n%s", d)
		}
		if d := cmp.Diff(whole.Links, l.Links); d != "" {
			t.Errorf("links (-whole +one by one):\n%s", d)
		}
	})
}

// FuzzDecodeProject: a project is refused, or has an id, and its properties are its texts.
func FuzzDecodeProject(f *testing.F) {
	for _, text := range []string{`{"id":"p","name":"n","domain_id":"d","enabled":false,"tags":["a","egi.VO=ops"],"egi.VO":"ops","VO":5,"description":"x","options":{},"links":{"self":"y"}}`, `{"id":""}`, `{"id":"p","tags":null,"VO":"\ud800"}`, `null`, `[]`, `{"id":"p","ID":"q"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := decodeProject(raw)
		if err != nil {
			return
		}
		var all map[string]any
		if err := json.Unmarshal(raw, &all); p.ID == "" || err != nil {
			t.Fatalf("%+v, %v", p, err)
		}
		for key, value := range p.Properties {
			if all[key] != value || key == "id" || key == "description" {
				t.Errorf("property %q is %q: %v", key, value, all[key])
			}
		}
	})
}

// FuzzSaid: whatever a service says in its error is one short line of text.
func FuzzSaid(f *testing.F) {
	for _, text := range []string{`{"itemNotFound":{"message":"gone","code":404}}`, `{"error":{"message":"a\nb\u001b[31m","title":"x"}}`, `{}`, `{"a":{"message":"1"},"b":{"message":"2"}}`, "<html>\x00\xff</html>", strings.Repeat("é", 200), `{"a":1}`, `"x"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		text, _ := said(body)
		oneLine(t, text, 210)
	})
}

func oneLine(t *testing.T, text string, longest int) {
	t.Helper()
	if len(text) > longest || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		t.Errorf("long, or not on one line: %q", text)
	}
}

// same answers every request with the same text, and loses patience with who asks for ever.
type same struct {
	status int
	text   string
	asked  int
}

func (s *same) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.asked++; s.asked > 50 {
		return nil, errors.New("asked for ever")
	}
	h := http.Header{"X-Subject-Token": {"token"}, "Date": {"Wed, 25 Nov 2026 12:00:00 GMT"}}
	return &http.Response{StatusCode: s.status, Header: h, Body: io.NopCloser(strings.NewReader(s.text)), Request: r}, nil
}

// FuzzAnswers: one text as the answer to everything that is asked of a cloud, from the sign-in to the last page: it ends,
// and says what is wrong on one line.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		`{"token":{"user":{"id":"u","name":"me"},"project":{"id":"p"},"catalog":[{"type":"compute","endpoints":[{"interface":"public","region_id":"R","url":"http://x/v2.1/p/"}]},{"type":"image","endpoints":[{"interface":"public","region":"R","url":"http://x"}]}]}}`,
		`{"token":{"system":{"all":true},"catalog":null}}`, `{"token":[]}`,
		`{"projects":[{"id":"p","VO":"ops"},{"id":"q"}]}`, `{"version":{"id":"v2.1","version":"2.96"}}`, `{"version":{"version":"2.-9999999999999999999"}}`,
		`{"servers":[{"id":"v","tenant_id":"p","created":"2026-11-24T00:00:00Z"}],"servers_links":[{"rel":"next","href":"?marker=v"}]}`,
		`{"instanceActions":[{"action":"resize","start_time":"2026-11-24T00:00:00.000000","updated_at":null,"message":"Error"}],"links":[{"rel":"next","href":"%zz"}]}`,
		`{"tenant_usage":{"server_usages":[{"instance_id":"v","flavor":"f","vcpus":2,"memory_mb":1,"local_gb":1}]},"tenant_usage_links":[{"rel":"next","href":"/?marker=v"}]}`, `{"tenant_usage":{}}`,
		`{"flavor":{"name":"f","vcpus":2},"extra_specs":{"a":"b"},"user":{"name":"x"},"images":[{"id":"i","owner":"p","vmcatcher_event_ad_mpuri":"u"}],"next":"/v2/images?marker=i"}`,
		`{"server":{"id":"v","tenant_id":"p"}}`, `{"server":{"id":"v","tenant_id":"q"}}`, `<html>`, ``,
		`{"flavors":[{"id":"f","vcpus":1,"extra_specs":{"a":"b","c":1}},{"id":1},{}],"extra_specs":{"d":"e"},"flavors_links":[{"rel":"next","href":"?marker=f"}]}`, `{"extra_specs":[],"flavors":[{"id":"f","vcpus":1}]}`,
		`{"images":[{"id":"i","status":"active","Owner":"x","k":[1]},{"id":"j","status":"accepted"}],"status":"accepted","next":""}`, `{"images":[{"id":"i","status":"active","visibility":"shared"}],"status":"accepted"}`,
		`{"networks":[{"id":"n","shared":true},{"id":"m","mtu":"x"}],"networks_links":[{"rel":"next","href":"?marker=n"}]}`,
		`{"quota_set":{"cores":5,"id":"p"},"quota":{"port":-1},"limits":{"absolute":{"maxTotalVolumes":1}}}`, `{"quota_set":[],"quota":7,"limits":{"absolute":null}}`,
	} {
		f.Add(200, text)
		f.Add(201, text)
	}
	f.Add(403, `{"forbidden":{"message":"no","code":403}}`)
	f.Add(300, `{}`)
	f.Fuzz(func(t *testing.T, status int, text string) {
		if status < 200 || status > 599 || status > 300 && status < 400 {
			return
		}
		now := func() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }
		answers := &same{status: status, text: text}
		http := &http.Client{Transport: answers}
		c, err := New(Config{AuthURL: "http://x/v3", HTTP: http, Now: now, MaxSkew: time.Minute, Credential: func() (Credential, error) { return Credential{Username: "u", Password: "p"}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{granted: granted{projectID: "p"}, cloud: c, provider: &gophercloud.ProviderClient{HTTPClient: *http}}
		p := &Project{cloud: c, session: s, id: "p", compute: "http://x/v2.1/", version: version{96}}
		l := c.NewLookup()
		l.reader = s
		s.catalog = everything
		all := &session{granted: granted{projectID: "p", admin: true, catalog: everything}, cloud: c, provider: s.provider}
		i := &Inventory{session: s, nova: &nova{endpoint: "http://x/v2.1/", version: version{96}}}
		old := &Inventory{session: s, nova: &nova{endpoint: "http://x/v2.1/", version: version{25}}}
		admin := &Inventory{session: all}
		ctx := context.Background()
		for name, ask := range map[string]func() error{
			"sign in":  func() error { _, err := c.Project(ctx, "p"); return err },
			"projects": func() error { _, err := c.Projects(ctx); return err },
			"list":     func() error { return p.Existing(ctx, func(Page) error { return nil }) },
			"server":   func() error { _, err := p.Server(ctx, "v"); return err },
			"actions":  func() error { _, err := p.Actions(ctx, "v"); return err },
			"used":     func() error { _, err := p.Used(ctx, now()); return err },
			"flavor":   func() error { _, err := l.Flavor(ctx, p, "f"); return err },
			"user":     func() error { _, err := l.UserName(ctx, "other"); return err },
			"images":   func() error { return l.list(ctx, p) },
			"version":  func() error { _, err := c.computeVersion(ctx, s, "http://x/v2.1/"); return err },
			"flavors":  func() error { _, bad, err := i.Flavors(ctx, nil); return errors.Join(err, reasons(bad)) },
			"specs":    func() error { _, bad, err := old.Flavors(ctx, nil); return errors.Join(err, reasons(bad)) },
			"offers":   func() error { _, bad, err := i.Images(ctx, nil); return errors.Join(err, reasons(bad)) },
			"all":      func() error { _, bad, err := admin.Images(ctx, nil); return errors.Join(err, reasons(bad)) },
			"networks": func() error { _, bad, err := i.Networks(ctx); return errors.Join(err, reasons(bad)) },
			"quotas":   func() error { _, err := i.Quotas(ctx); return err },
			"ports":    func() error { _, err := i.NetworkQuotas(ctx); return err },
			"volumes":  func() error { _, err := i.VolumeQuotas(ctx); return err },
			"count":    func() error { _, err := i.VMCounts(ctx); return err },
		} {
			answers.asked = 0
			err := ask()
			if answers.asked > 20 && name != "specs" && name != "all" { // these ask of each entry
				t.Fatalf("%s: asked %d times", name, answers.asked)
			}
			if err != nil {
				oneLine(t, err.Error(), 500+len(text))
			}
		}
	})
}

// everything is a catalog with each service once.
var everything = func() (all []tokens.CatalogEntry) {
	for _, kind := range []string{"compute", "image", "network", "volumev3"} {
		all = append(all, tokens.CatalogEntry{Type: kind, Endpoints: []tokens.Endpoint{{Interface: "public", Region: "R", URL: "http://x/v3"}}})
	}
	return all
}()

// reasons makes one error of what could not be used, as far as it is long enough to look at.
func reasons(bad []BadEntry) error {
	if len(bad) == 0 {
		return nil
	}
	return errors.New(bad[0].Reason)
}

// FuzzDecodeImage: an image is refused, or has the values that Glance says, whatever a tenant wrote beside them, and its
// properties are the rest, none of them too long.
func FuzzDecodeImage(f *testing.F) {
	for _, text := range []string{
		`{"id":"i","name":"n","owner":"o","visibility":"public","status":"active","size":5,"virtual_size":null,"min_disk":1,"min_ram":2,"tags":["a"],"created_at":"2026-01-01T00:00:00Z","os_distro":"ubuntu","os_hidden":false}`,
		`{"id":"i","status":"active","Owner":"x","ID":"y","STATUS":"deleted","a":1,"b":null,"c":[{}],"d":"\u0000\n"}`, `{"id":"i"}`, `{}`, `null`, `[]`, `7`, `{"id":"i","status":"active","tags":null,"id":"j"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		image, err := decodeImage(raw)
		if err != nil {
			oneLine(t, printable(err.Error()), 400+len(raw))
			return
		}
		var all map[string]any
		if err := json.Unmarshal(raw, &all); err != nil || image.ID == "" || all["id"] != image.ID || all["status"] != "active" {
			t.Fatalf("%+v, %v", image, err)
		}
		if owner, _ := all["owner"].(string); owner != image.Owner {
			t.Errorf("owner %q: %v", image.Owner, all["owner"])
		}
		for key, text := range image.Properties {
			if value, there := all[key]; !there || value == nil || slices.Contains(notProperties, key) || len(text) > longestText || len(key) > longestKey {
				t.Errorf("property %q is %q: %v", key, text, value)
			} else if said, ok := value.(string); ok && said != text {
				t.Errorf("property %q is %q, said is %q", key, text, said)
			}
		}
		if len(image.Properties)+len(image.Left) > len(all) || !utf8.ValidString(strings.Join(image.Left, "")) {
			t.Errorf("%d and %d properties of %d keys", len(image.Properties), len(image.Left), len(all))
		}
	})
}

// FuzzCloudsYAML: any file is an entry with a URL, or an error that says which file and entry it is about, and nothing of
// a password.
func FuzzCloudsYAML(f *testing.F) {
	const password = "hunter2"
	for _, text := range []string{
		"clouds:\n  x:\n    region_name: R1\n    interface: internal\n    auth: {auth_url: \"https://k:5000/v3\", username: me, user_domain_name: EGI, password: hunter2}\n",
		"clouds:\n  x:\n    auth_type: v3applicationcredential\n    auth: {auth_url: \"https://k\", application_credential_id: a, application_credential_secret: hunter2}\n",
		"clouds:\n  x: {verify: false, auth: {auth_url: \"https://k\", username: me, password: hunter2, system_scope: all}}\n",
		"clouds:\n  x: {auth: hunter2}\n", "clouds: [hunter2]\n", "a: &a [*a, *a]\nclouds: {x: *a}\n", "\tclouds:\n", "clouds:\n  x: {profile: vexxhost}\n", "clouds: {x: {auth: {auth_url: 5, password: [hunter2]}}}\n",
	} {
		f.Add(text)
	}
	for _, name := range []string{"OS_CLOUD", "OS_CLIENT_CONFIG_FILE", "OS_USERNAME", "OS_PASSWORD", "OS_AUTH_URL", "OS_REGION_NAME", "OS_INTERFACE"} {
		f.Setenv(name, "")
	}
	path := filepath.Join(f.TempDir(), "clouds.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") && !strings.Contains(text, "://") || strings.Contains(text, "/dev") || strings.Contains(text, "/proc") {
			return // it may name a file, and a device may never end
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := FromCloudsYAML(path, "x")
		switch {
		case err == nil && e.AuthURL == "":
			t.Errorf("%+v", e)
		case err != nil && !strings.Contains(err.Error(), "clouds.yaml, entry x"):
			t.Errorf("%v", err)
		case err != nil && strings.Contains(err.Error(), password):
			t.Errorf("the password is in the error: %v", err)
		}
	})
}
