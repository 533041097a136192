package config

import (
	stdcmp "cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// ignoreOrigins compares configurations without the origins of their values.
var ignoreOrigins = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".shown" || p.Last().String() == ".main" }, cmp.Ignore())

func day(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// defaults are the accounting settings that a file need not say.
func defaults(mode site.Mode) Accounting {
	return Accounting{Mode: mode, Records: []string{"cloud"}, Overlap: 15 * time.Minute, Settle: 5 * time.Minute, MaxRecords: 100, AMS: broker()}
}

// broker is what ams: {} says.
func broker() *AMS {
	return &AMS{Host: "msg.argo.grnet.gr", Port: 443, AuthnPort: 8443, Project: "accounting", Topic: "eu-egi-cloud-accounting", MaxBytes: 990000,
		Certificate: Certificate{Cert: "/etc/grid-security/hostcert.pem", Key: "/etc/grid-security/hostkey.pem"}}
}

var asIs = Privacy{GlobalUserName: "name", MachineName: "name"}

// asUsual is what the service does when the file says nothing of it.
func asUsual() Config {
	days := func(n int) Period { return Period{Rest: time.Duration(n) * 24 * time.Hour} }
	return Config{
		Store:     Store{Path: "/var/lib/fedsite", Backup: Backup{Keep: 14, At: Daily{On: true, Hour: 3}}},
		Limits:    Limits{Parallel: 8, PerSite: 2, Deadline: 6 * time.Hour},
		Retention: Retention{Records: Period{Months: 18}, AccessLog: days(180), Audit: Period{Months: 18}, Runs: days(90)},
		Web:       Web{Listen: "127.0.0.1:8470"},
	}
}

// signs gives a credential that the file names for all parts.
func signs(name string) map[site.Part]string {
	if name == "" {
		return nil
	}
	return map[site.Part]string{site.Accounting: name, site.Discovery: name, site.Images: name}
}

// discovers is how discovery is done when nothing is said of it.
func discovers(n Network) Discovery {
	return Discovery{Mode: site.Observe, KeepFor: 12 * time.Hour, Validity: 12 * time.Hour, Images: "shared", Flavors: "all", GOCDB: GOCDB{URL: "https://goc.egi.eu/gocdbpi/public/", Network: n}}
}

// equal fails when a configuration is not as expected. Site.Clouds is filled in from Clouds, VOs' modes from the cloud's, and
// of the service what is usual.
func equal(t *testing.T, got *Config, want Config) {
	t.Helper()
	usual := asUsual()
	if want.Store.Backup == (Backup{}) {
		want.Store.Backup = usual.Store.Backup
	}
	want.Limits, want.Retention = stdcmp.Or(want.Limits, usual.Limits), stdcmp.Or(want.Retention, usual.Retention)
	want.Web = stdcmp.Or(want.Web, usual.Web)
	for i := range want.Sites {
		if s := &want.Sites[i]; s.Discovery.Mode == "" {
			s.Discovery = discovers(want.Network)
		}
		if s := &want.Sites[i]; s.Images.Mode == "" {
			s.Images = brings(want.Network)
		}
	}
	for _, s := range want.Sites {
		for i := range s.Clouds {
			c := &s.Clouds[i]
			c.Cloud.VOs = slices.Clone(c.Cloud.VOs)
			for j := range c.Cloud.VOs {
				c.Cloud.VOs[j].Mode = stdcmp.Or(c.Cloud.VOs[j].Mode, c.ModeOf(site.Accounting))
				c.Cloud.VOs[j].Discovery = stdcmp.Or(c.Cloud.VOs[j].Discovery, c.ModeOf(site.Discovery))
				c.Cloud.VOs[j].Images = stdcmp.Or(c.Cloud.VOs[j].Images, c.ModeOf(site.Images))
			}
		}
	}
	for i := range want.Sites {
		for _, c := range want.Sites[i].Clouds {
			want.Sites[i].Site.Clouds = append(want.Sites[i].Site.Clouds, c.Cloud)
		}
	}
	want.File = got.File
	if d := cmp.Diff(&want, got, ignoreOrigins); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// brings is how images are brought where nothing is said.
func brings(n Network) Images {
	return Images{Mode: site.Disabled, Instance: "fedsite", Formats: []string{"qcow2"}, Sharing: "copy", Visibility: "private", MinDisk: true, OnExpiredList: "keep", RemoveCount: 3, RemovePercent: 50, Parallel: 2,
		MaxSize: 100e9, MaxVirtualSize: 1e12, Staging: "auto", StagingDir: "/image_data", StageAbove: 20 << 30, QemuImg: "/usr/bin/qemu-img", CADir: "/etc/grid-security/certificates", CRL: "if-present",
		StaleUpload: 24 * time.Hour, GoneAfter: time.Hour, Network: n}
}

func TestDefaults(t *testing.T) {
	equal(t, parsed(t, base), Config{
		Sites: []Site{{Site: site.Site{Name: "A"}, Accounting: defaults(site.Observe), Privacy: asIs,
			Clouds: []Cloud{{Cloud: site.Cloud{Name: "main", ServiceName: "A", Properties: site.DefaultProperties}, Credentials: signs("r"), Parallel: 4}}}},
		Credentials: map[string]Credential{"r": {OSCloud: "x"}},
		Store:       Store{Path: "/var/lib/fedsite"},
	})
}

// TestWithoutDestination: a site that names none sends, or shows that it would, where EGI's sites send.
func TestWithoutDestination(t *testing.T) {
	c := parsed(t, base+"accounting: {mode: active, previously: nothing}\n")
	if d := cmp.Diff(broker(), c.Sites[0].Accounting.AMS); d != "" {
		t.Error(d)
	}
	c = parsed(t, base+"accounting: {mode: active, previously: nothing, dirq: {path: /q}}\n")
	if a := c.Sites[0].Accounting; a.AMS != nil || a.Dirq == nil {
		t.Errorf("with a directory queue: %+v", a)
	}
	c = parsed(t, base)
	if d := cmp.Diff(broker(), c.Sites[0].Accounting.AMS); d != "" {
		t.Errorf("observing: %s", d)
	}
	c = parsed(t, base+"accounting: {mode: disabled}\n")
	if a := c.Sites[0].Accounting; a.AMS != nil || a.Dirq != nil {
		t.Errorf("disabled: %+v", a)
	}
}

func TestSitesAndTheirDefaults(t *testing.T) {
	t.Setenv("FEDSITE_TEST_TOKEN", "x")
	c := parsed(t, `
sites:
  - gocdb: A
    clouds: [{name: main}]
    vos: [{name: ops, project: same}]
  - gocdb: B
    clouds: [{name: main, service_name: S}]
    vos: [{name: biomed, project: same}]
    vo_properties: [own]
    flavors: {"g1.*": {benchmark: {value: 3}}, "b.*": {benchmark: {type: B, value: 4}}}
    accounting: {charge: {shelved: none}, ams: {token: {env: FEDSITE_TEST_TOKEN}, network: {proxy: ""}}, settle: 2m}
    privacy: {machine_name: omit}
credentials: {r: {os_cloud: x}}
vo_properties: [VO]
flavors: {"g1.*": {benchmark: {type: HS, value: 1}}, "*": {benchmark: {type: HS, value: 2}}}
accounting: {overlap: 30m, settle: 3m, charge: {stopped: none}, ams: {host: broker, token_file: /t, network: {ca_file: /ca}}}
privacy: {global_user_name: id}
network: {proxy: "http://p:3128", no_proxy: [a]}
`)
	a := defaults(site.Observe)
	a.Overlap, a.Settle, a.Charge.StoppedFree = 30*time.Minute, 3*time.Minute, true
	a.AMS = broker()
	a.AMS.Host, a.AMS.Token = "broker", secretFrom(fromFile, "/t")
	general := Network{Proxy: "http://p:3128", NoProxy: []string{"a"}}
	a.AMS.Network = general
	a.AMS.Network.CAFile = "/ca"
	b := a
	b.Settle, b.Charge.ShelvedFree = 2*time.Minute, true
	ams := *a.AMS
	ams.Token, ams.Network.Proxy = secretFrom(fromEnv, "FEDSITE_TEST_TOKEN"), ""
	b.AMS = &ams
	vo := func(name string) []site.VO { return []site.VO{{Name: name, Project: "same"}} }
	equal(t, c, Config{
		Sites: []Site{
			{Site: site.Site{Name: "A"}, Accounting: a, Privacy: Privacy{GlobalUserName: "id", MachineName: "name"},
				Clouds:     []Cloud{{Cloud: site.Cloud{Name: "main", ServiceName: "A", Properties: []string{"VO"}, VOs: vo("ops")}, Credentials: signs("r"), Parallel: 4, Network: general}},
				Benchmarks: []Benchmark{{"g1.*", "HS", 1}, {"*", "HS", 2}}},
			{Site: site.Site{Name: "B"}, Accounting: b, Privacy: Privacy{GlobalUserName: "id", MachineName: "omit"},
				Clouds:     []Cloud{{Cloud: site.Cloud{Name: "main", ServiceName: "S", Properties: []string{"own"}, VOs: vo("biomed")}, Credentials: signs("r"), Parallel: 4, Network: general}},
				Benchmarks: []Benchmark{{"g1.*", "HS", 3}, {"b.*", "B", 4}, {"*", "HS", 2}}}, // a site's own patterns come first
		},
		Credentials: map[string]Credential{"r": {OSCloud: "x"}},
		Network:     general,
		Store:       Store{Path: "/var/lib/fedsite"},
	})
}

// TestSecretIsReplacedAsAWhole: a site's own secret leaves nothing of the one that stands at the top, however each is said.
func TestSecretIsReplacedAsAWhole(t *testing.T) {
	ways := map[string]Secret{"token: a": NewSecret("a"), "token: {file: /f}": secretFrom(fromFile, "/f"), "token_file: /g": secretFrom(fromFile, "/g"),
		"token: {env: E}": secretFrom(fromEnv, "E"), "token: {credential: c}": secretFrom(fromCredential, "c")}
	for top := range ways {
		for own, want := range ways {
			c := parsed(t, `sites: [{gocdb: A, clouds: [{name: m}], accounting: {ams: {`+own+`}}}]
credentials: {r: {os_cloud: x}}
accounting: {ams: {`+top+`}}
`)
			if got := c.Sites[0].Accounting.AMS.Token; got != want {
				t.Errorf("%s over %s: it is read from %s", own, top, got.Origin())
			}
		}
	}
}

func TestLike(t *testing.T) {
	c := parsed(t, `
site: {gocdb: A}
clouds:
  - {name: r3, like: r2, region: R3, network: {source_address: 192.0.2.1}}
  - {name: r1, formerly: [old], auth_url: "https://k/v3", region: R1, service_name: S, credential: b, limits: {parallel: 2, nova_per_second: 1.5}, network: {ca_file: /ca, no_proxy: [x]}}
  - {name: r2, like: r1, limits: {parallel: 9}, credential: {accounting: a, discovery: a, images: a}}
credentials: {a: {os_cloud: x}, b: {os_cloud: y}}
`)
	s := c.Sites[0]
	cloud := func(name, region, credential string, parallel int, n Network, formerly ...string) Cloud {
		return Cloud{Cloud: site.Cloud{Name: name, AuthURL: "https://k/v3", Region: region, ServiceName: "S", Properties: site.DefaultProperties},
			Formerly: formerly, Credentials: signs(credential), Parallel: parallel, NovaPerSecond: 1.5, Network: n}
	}
	n := Network{CAFile: "/ca", NoProxy: []string{"x"}}
	third := n
	third.SourceAddress = "192.0.2.1"
	want := []Cloud{cloud("r3", "R3", "a", 9, third), cloud("r1", "R1", "b", 2, n, "old"), cloud("r2", "R1", "a", 9, n)}
	if d := cmp.Diff(want, s.Clouds); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestVOsKeepTheFilesOrder(t *testing.T) {
	c := parsed(t, `
site: {gocdb: A}
clouds: [{name: r1}, {name: r2}]
credentials: {r: {os_cloud: x}}
vos:
  - {name: z, project: 0123, cloud: r2}
  - {name: /a/b, project: p, account_as: a, since: 2026-01-02T03:04:05+01:00, until: 2027-01-01}
  - {name: m, project: 1e3, cloud: [r2, r1]}
`)
	ab := site.VO{Name: "/a/b", Project: "p", AccountAs: "a", Since: time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC), Until: day(2027, 1, 1)}
	if zone := c.Sites[0].Clouds[0].Cloud.VOs[0].Since.Location(); zone != time.UTC {
		t.Errorf("since is in %v, not UTC", zone)
	}
	z, m := site.VO{Name: "z", Project: "0123"}, site.VO{Name: "m", Project: "1e3"}
	for i, want := range [][]site.VO{{ab, m}, {z, ab, m}} {
		if d := cmp.Diff(want, c.Sites[0].Clouds[i].Cloud.VOs); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.Sites[0].Clouds[i].Cloud.Name, d)
		}
		if d := cmp.Diff(want, c.Sites[0].Site.Clouds[i].VOs); d != "" {
			t.Errorf("Site.Clouds differs: %s", d)
		}
	}
}

func TestNetworkOverrides(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy")
	if err := os.WriteFile(file, []byte("http://u:secret@proxy:3128\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := parsed(t, `
site: {gocdb: A}
clouds: [{name: none, network: {proxy: "", no_proxy: []}}, {name: own, network: {proxy: "socks5://q:1"}}, {name: general}]
credentials: {r: {os_cloud: x}}
network: {proxy: {file: `+file+`}, no_proxy: [a, b], ca_file: /ca}
`)
	general := Network{Proxy: "http://u:secret@proxy:3128", NoProxy: []string{"a", "b"}, CAFile: "/ca"}
	none, own := general, general
	none.Proxy, none.NoProxy, own.Proxy = "", nil, "socks5://q:1"
	for i, want := range []Network{none, own, general} {
		if d := cmp.Diff(want, c.Sites[0].Clouds[i].Network); d != "" {
			t.Errorf("%s (-want +got)\n%s", c.Sites[0].Clouds[i].Cloud.Name, d)
		}
	}
	if d := cmp.Diff(general, c.Network); d != "" {
		t.Error(d)
	}
}

func TestDemo(t *testing.T) {
	for text, want := range map[string]Demo{
		"":                        {},
		"demo: {}\n":              {On: true},
		"demo: {offset: -3600s}":  {On: true, Offset: -time.Hour},
		"demo: {offset: -1d12h}":  {On: true, Offset: -36 * time.Hour},
		"demo: {offset: 0s}\n":    {On: true},
		"demo: {offset: 400d1s}":  {On: true, Offset: 400*24*time.Hour + time.Second},
		"demo: {offset: 1h2m3s}":  {On: true, Offset: time.Hour + 2*time.Minute + 3*time.Second},
		"demo: {offset: +9ms}\n ": {On: true, Offset: 9 * time.Millisecond},
	} {
		if got := parsed(t, base+text).Demo; got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fedsite.yaml")
	_, err := Load(file)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "fedsite config init") {
		t.Errorf("a file that is missing: %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a directory: %v", err)
	}
	for size, valid := range map[int]bool{maxFile: true, maxFile + 1: false} {
		text := base + "#" + strings.Repeat("x", size-len(base)-1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = Load(file); (err == nil) != valid {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if err := os.WriteFile(file, []byte(base), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file)
	if err != nil || c.File != file {
		t.Errorf("Load: %v, %v", c, err)
	}
}

func TestFromEnvironment(t *testing.T) {
	env := func(value string) func(string) string {
		return func(name string) string { return map[string]string{"FEDSITE_DATABASE": value}[name] }
	}
	text := base + "store: {path: /state, url_file: /run/pg, backup: {keep: 3}}\n"
	backup := Backup{Keep: 3, At: Daily{On: true, Hour: 3}}
	inFile := Store{Path: "/state", URL: secretFrom(fromFile, "/run/pg"), Backup: backup}
	for value, want := range map[string]Store{
		"":                          inFile,
		"/srv/fedsite":              {Path: "/srv/fedsite", Backup: backup},
		"postgres://u:p@db/x":       {Path: "/state", URL: NewSecret("postgres://u:p@db/x"), Backup: backup},
		"postgresql:///x?host=/run": {Path: "/state", URL: NewSecret("postgresql:///x?host=/run"), Backup: backup},
	} {
		c := parsed(t, text)
		if err := FromEnvironment(c, env(value)); err != nil {
			t.Errorf("%q: %v", value, err)
		}
		if d := cmp.Diff(want, c.Store); d != "" {
			t.Errorf("%q (-want +got)\n%s", value, d)
		}
	}
	for _, value := range []string{"mysql://u:hunter2@db/x", "relative/hunter2"} {
		c := parsed(t, text)
		err := FromEnvironment(c, env(value))
		if err == nil || !strings.Contains(err.Error(), "FEDSITE_DATABASE") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", value, err)
		}
		if d := cmp.Diff(inFile, c.Store); d != "" {
			t.Errorf("%q changes the store: %s", value, d)
		}
	}
}

func TestExamplesLoad(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		file := "../../examples/fedsite." + name + ".yaml"
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(text), "\n")
		switch name {
		case "minimal":
			if lines > 15 {
				t.Errorf("%s has %d lines, more than 15", file, lines)
			}
			equal(t, c, Config{
				Sites: []Site{{Site: site.Site{Name: "EXAMPLE-CLOUD"}, Accounting: defaults(site.Observe), Privacy: asIs,
					Clouds: []Cloud{{Cloud: site.Cloud{Name: "main", ServiceName: "EXAMPLE-CLOUD", Properties: site.DefaultProperties}, Credentials: signs("reader"), Parallel: 4}}}},
				Credentials: map[string]Credential{"reader": {OSCloud: "fedsite"}}, Store: Store{Path: "/var/lib/fedsite"}})
		case "full":
			everyKeyIsSaid(t, string(text))
		}
	}
}

// TestExampleOfManySites: the main file with the site's file beside it.
func TestExampleOfManySites(t *testing.T) {
	c := load(t, "../../examples/fedsite.sites.yaml")
	if len(c.Broken) > 0 || len(c.Sites) != 1 || c.Sites[0].Site.Name != "EXAMPLE-CLOUD" || filepath.Base(c.Sites[0].Unit.File) != "EXAMPLE-CLOUD.yaml" {
		t.Fatalf("sites %v, broken %v", c.Sites, c.Broken)
	}
	if m := c.Sites[0].Clouds[0]; m.CredentialOf(site.Accounting, site.Project{ID: "4ae07d0e5d7a4c3b8a6f1e2d3c4b5a69"}) != "project" || m.CredentialOf(site.Accounting, site.Project{ID: "x"}) != "checkin" {
		t.Errorf("credentials: %+v", m)
	}
}

// TestExampleOfTheCatchAll: the main file with the sites' own ones beside it.
func TestExampleOfTheCatchAll(t *testing.T) {
	c := load(t, "../../examples/fedsite.catch-all.yaml")
	var got []string
	for _, s := range c.Sites {
		got = append(got, places(s)...)
	}
	want := []string{"EXAMPLE-APPCRED disabled: keystone.appcred.example.org https://keystone.appcred.example.org:5000/v3 R1 appcred (disabled) [ops=]",
		"EXAMPLE-STORE observe: second.example.org https://second.example.org:5000/v3 checkin (disabled) [cloud.example.org=77d0a10e5d7a4c3b8a6f1e2d3c4b5a69]",
		"EXAMPLE-STORE observe: keystone.example.org https://keystone.example.org:5000/v3/ oidc checkin () [cloud.example.org=9b1c2f0e5d7a4c3b8a6f1e2d3c4b5a69 /biomed/vip=4ae07d0e5d7a4c3b8a6f1e2d3c4b5a69@private/floating]"}
	if d := cmp.Diff(want, got); d != "" || len(c.Broken)+len(c.Notices) > 0 {
		t.Errorf("broken %v, notices %v (-want +got)\n%s", c.Broken, c.Notices, d)
	}
}

// everyKeyIsSaid fails when the full example leaves a key out, other than the ways to say a thing that exclude another.
func everyKeyIsSaid(t *testing.T, text string) {
	t.Helper()
	p := newProblems("full", text)
	said := map[string]bool{}
	var walk func(*node)
	walk = func(n *node) {
		for _, item := range n.items {
			walk(item)
		}
		for _, pair := range n.pairs {
			said[strings.TrimSuffix(pair.key, "_file")] = true
			said[pair.key] = true
			walk(pair.value)
		}
	}
	walk(parse(p, text))
	excluded := []string{"sites", "sites[]", "include", "prune", "demo", "user_id", "user_domain_id", "application_credential_name"}
	for line := range strings.Lines(string(Reference())) {
		path, ok := strings.CutPrefix(line, "| `")
		if !ok || strings.Contains(path, "As ") {
			continue
		}
		path, _, _ = strings.Cut(path, "`")
		key := strings.TrimSuffix(path[strings.LastIndex(path, ".")+1:], "[]")
		if top, _, _ := strings.Cut(path, "."); !said[key] && !slices.Contains(excluded, key) && !slices.Contains(excluded, top) {
			t.Errorf("examples/fedsite.full.yaml does not say %s", path)
		}
	}
}
