package config

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// TestDiscovery: every key of discovery, and what is left out.
func TestDiscovery(t *testing.T) {
	certificate := Certificate{Cert: "/etc/grid-security/hostcert.pem", Key: "/etc/grid-security/hostkey.pem"}
	ams := AMSSink{Host: "msg.argo.grnet.gr", Port: 443, AuthnPort: 8443, Project: "egi_cloud_info", Certificate: certificate, Format: "glue21json", MaxBytes: 990000}
	own := ams
	own.Host, own.Topic, own.Token, own.Gzip, own.Format, own.MaxBytes, own.Network = "b", "T_1", secretFrom(fromFile, "/t"), true, "ldif", 200000, Network{CAFile: "/ca"}
	usual := discovers(Network{})
	with := func(change func(*Discovery)) Discovery {
		d := usual
		change(&d)
		return d
	}
	publish := func(all ...Sink) Discovery { return with(func(d *Discovery) { d.Publish = all }) }
	for text, want := range map[string]Discovery{
		"":                                   usual,
		"schedule: \"4,34 * * * *\"":         with(func(d *Discovery) { d.Schedule.Publish = "4,34 * * * *" }),
		"schedule: {check: \"@hourly\"}":     with(func(d *Discovery) { d.Schedule.Check = "@hourly" }),
		"schedule: {publish: \"5 * * * *\"}": with(func(d *Discovery) { d.Schedule.Publish = "5 * * * *" }),
		"keep_for: 0s, validity: 1d, images: all, snapshots: true, flavors: private, merged: true": with(func(d *Discovery) {
			d.KeepFor, d.Validity, d.Images, d.Snapshots, d.Flavors, d.Merged = 0, 24*time.Hour, "all", true, "private", true
		}),
		"gocdb: {url: off}": with(func(d *Discovery) { d.GOCDB.Off, d.GOCDB.URL = true, "" }),
		"gocdb: {url: \"http://127.0.0.1:1/\", paged: true, network: {ca_file: /ca}}": with(func(d *Discovery) {
			d.GOCDB = GOCDB{URL: "http://127.0.0.1:1/", Paged: true, Network: Network{CAFile: "/ca"}}
		}),
		"publish: []": usual,
		"publish: [{file: {path: /a}}, {file: {path: /b.ldif, format: ldif}, name: file-2, delete_removed: true}, {file: {path: /c}}]": publish(
			Sink{Name: "file", File: &FileSink{"/a", "glue21json"}}, Sink{Name: "file-2", DeleteRemoved: true, File: &FileSink{"/b.ldif", "ldif"}}, Sink{Name: "file-3", File: &FileSink{"/c", "glue21json"}}),
		"publish: [{ams: {}}, {ams: {host: b, topic: T_1, token_file: /t, gzip: true, format: ldif, max_bytes: 200000, network: {ca_file: /ca}}}]": publish(
			Sink{Name: "ams", AMS: &ams}, Sink{Name: "ams-2", AMS: &own}),
		"publish: [{api: {}}, {ldap: {}}]": publish(Sink{Name: "api", API: &APISink{Listen: "127.0.0.1:8471"}}, Sink{Name: "ldap", LDAP: &LDAPSink{"127.0.0.1:2170"}}),
		"publish: [{swift: {credential: r, container: c}}, {api: {listen: \"[::]:8080\", ops_portal_key: {env: K}, directory: /d, container: {credential: r, container: d}, tls: {}}}]": publish(
			Sink{Name: "swift", Swift: &SwiftSink{"r", "c"}},
			Sink{Name: "api", API: &APISink{Listen: "[::]:8080", OpsPortalKey: secretFrom(fromEnv, "K"), Directory: "/d", Container: &SwiftSink{"r", "d"}, TLS: &certificate}}),
	} {
		c := parsed(t, base+"discovery: {"+text+"}\n")
		if d := cmp.Diff(want, c.Sites[0].Discovery); d != "" {
			t.Errorf("%s (-want +got)\n%s", text, d)
		}
		again := parsed(t, shownText(t, c))
		secrets := cmp.FilterValues(func(a, b Secret) bool { return a.from.kind == b.from.kind }, cmp.Ignore())
		if d := cmp.Diff(c.Sites[0].Discovery, again.Sites[0].Discovery, secrets); d != "" {
			t.Errorf("%s, as it is shown (-file +shown)\n%s", text, d)
		}
	}
	if kind := (Sink{}).Kind(); kind != "" {
		t.Errorf("a sink of nothing is of the kind %q", kind)
	}
}

// TestDiscoveryOfSites: a site overrides what stands at the top key by key.
func TestDiscoveryOfSites(t *testing.T) {
	c := parsed(t, `credentials: {r: {os_cloud: x}}
discovery: {mode: active, schedule: "@hourly", keep_for: 1h, publish: [{ldap: {}}], gocdb: {paged: true}}
sites:
  - {gocdb: A, clouds: [{name: m}]}
  - {gocdb: B, clouds: [{name: m}], discovery: {mode: observe, schedule: {check: "@daily"}, publish: [{file: {path: /a}}], gocdb: {url: off}}}
`)
	a := discovers(Network{})
	a.Mode, a.Schedule.Publish, a.KeepFor, a.GOCDB.Paged = site.Active, "@hourly", time.Hour, true
	b := a
	a.Publish = []Sink{{Name: "ldap", LDAP: &LDAPSink{"127.0.0.1:2170"}}}
	b.Mode, b.Schedule, b.Publish = site.Observe, DiscoverySchedule{Check: "@daily"}, []Sink{{Name: "file", File: &FileSink{"/a", "glue21json"}}}
	b.GOCDB.Off, b.GOCDB.URL = true, ""
	if d := cmp.Diff([]Discovery{a, b}, []Discovery{c.Sites[0].Discovery, c.Sites[1].Discovery}); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestDiscoveryRules(t *testing.T) {
	dis := func(s string) string { return base + "discovery: {" + s + "}\n" }
	sink := func(s string) string { return dis("publish: [{" + s + "}]") }
	two := func(a, b string) string {
		return "credentials: {r: {os_cloud: x}}\nsites:\n- {gocdb: A, clouds: [{name: m}], discovery: {publish: [" + a + "]}}\n- {gocdb: B, clouds: [{name: m}], discovery: {publish: [" + b + "]}}\n"
	}
	const listens = "must be an address with a port like [::]:8080, 0.0.0.0:8080 or 127.0.0.1:8080"
	gone := func(validity, gap, every string) string {
		return "documents count for " + validity + " (validity), and up to " + gap + " lie between two publications: they would be gone in between; publish every " + every + " at least, or let them count for longer"
	}
	check(t, []rule{
		{"active, to nobody", dis("mode: active"), []string{"4:19 discovery.publish: is required to be active: name where documents go"}},
		{"active, to nobody, in so many words", dis("mode: active, publish: []"), []string{"4:19 discovery.publish: is required to be active: name where documents go"}},
		{"active", dis("mode: active, publish: [{ldap: {}}]"), nil},
		{"a schedule of nothing", dis("schedule: {send: \"@hourly\"}"), []string{"4:24 discovery.schedule.send: is no key here"}},
		{"a schedule that is none", dis("schedule: hourly"), []string{"4:23 discovery.schedule: must be minute, hour, day, month and weekday, as \"17 * * * *\", and has 1 fields: or @hourly, @daily, @every 30m"}},
		{"times", dis("keep_for: 8d, validity: 1m"), []string{"4:23 discovery.keep_for: must be at most 7d", "4:37 discovery.validity: must be at least 10m"}},
		{"documents that are gone between two", dis("schedule: \"@daily\""), []string{"4:23 discovery.schedule: " + gone("12h", "1d", "11h55m")}},
		{"the same, by the task", dis("schedule: {publish: \"0 8-18 * * *\"}, validity: 14h"), []string{"4:33 discovery.schedule.publish: " + gone("14h", "14h", "13h55m")}},
		{"the same, just so", dis("schedule: \"@every 10h\", validity: 10h5m"), nil},
		{"the same, as often as usual", dis("validity: 34m"), []string{"4:23 discovery.validity: " + gone("34m", "30m", "29m")}},
		{"the same, by weekdays", dis("schedule: \"0 12 * * mon-fri\", validity: 2d12h"), []string{"4:23 discovery.schedule: " + gone("2d12h", "3d", "2d11h55m")}},
		{"the same, of checks alone", dis("schedule: {check: \"@daily\"}"), nil},
		{"the same, and nothing is done", dis("mode: disabled, schedule: \"@daily\""), nil},
		{"the same, of two sites", "credentials: {r: {os_cloud: x}}\ndiscovery: {schedule: \"@daily\"}\nsites:\n- {gocdb: A, clouds: [{name: m}]}\n- {gocdb: B, clouds: [{name: m}], discovery: {validity: 2d}}\n- {gocdb: C, clouds: [{name: m}]}\n",
			[]string{"2:23 discovery.schedule: " + gone("12h", "1d", "11h55m")}},
		{"words", dis("images: own, flavors: some"), []string{`4:21 discovery.images: must be marketplace, shared or all, not "own"`, `4:35 discovery.flavors: must be all, public or private, not "some"`}},
		{"GOCDB is no word", dis("gocdb: {url: no}"), []string{"4:26 discovery.gocdb.url: must be a URL like https://goc.egi.eu/gocdbpi/public/"}},
		{"GOCDB's password", dis("gocdb: {url: \"https://u:hunter2@g/\"}"), []string{"4:26 discovery.gocdb.url: must not hold a user or password: those belong under credentials"}},
		{"a sink of no kind", sink("name: a"), []string{"4:23 discovery.publish[0]: must be of one kind, file, swift, ams, api or ldap, and is of 0"}},
		{"a sink of two", sink("file: {path: /a}, ldap: {}"), []string{"4:23 discovery.publish[0]: must be of one kind, file, swift, ams, api or ldap, and is of 2"}},
		{"a sink of an unknown kind", sink("swft: {}"), []string{"4:23 discovery.publish[0]: must be of one kind, file, swift, ams, api or ldap, and is of 0", "4:24 discovery.publish[0].swft: is no key here: did you mean swift?"}},
		{"two of one name", dis("publish: [{ldap: {}, name: a}, {api: {}, name: a}]"), []string{`4:60 discovery.publish[1].name: a sink of this site is called "a" already`}},
		{"a name to break things with", sink("ldap: {}, name: \"a b\""), []string{"4:40 discovery.publish[0].name: must be of letters, digits, ., - and _"}},
		{"nothing to delete", sink("ldap: {}, delete_removed: true"), []string{"4:50 discovery.publish[0].delete_removed: goes with file and swift only"}},
		{"a path that depends", sink("file: {path: a}"), []string{"4:37 discovery.publish[0].file.path: must be an absolute path: a relative one means something else wherever fedsite is started"}},
		{"a port alone", sink("ldap: {listen: \":2170\"}"), []string{"4:39 discovery.publish[0].ldap.listen: " + listens}},
		{"a host elsewhere", sink("api: {listen: \"example.org:80\"}"), []string{"4:38 discovery.publish[0].api.listen: " + listens}},
		{"at the pages' address", sink("api: {listen: \"127.0.0.1:8470\"}"), []string{"4:23 discovery.publish[0]: listens at 127.0.0.1:8470, where the pages are: web.listen"}},
		{"two at one address", dis("publish: [{api: {listen: \"[::]:80\"}}, {ldap: {listen: \"[::]:80\"}}]"), []string{"4:51 discovery.publish[1]: listens at [::]:80, as does another sink of this site"}},
		{"one server for two sites", two("{api: {directory: /d}}, {ldap: {}}", "{ldap: {}}, {name: x, api: {directory: /d}}"), nil},
		{"one server that is two things", two("{api: {directory: /d}}", "{api: {directory: /e}}"), []string{"4:57 sites[1].discovery.publish[0]: listens at 127.0.0.1:8471, as does site A, which says otherwise of it: one address is one server"}},
		{"one file for two sites", two("{file: {path: /d}}, {file: {path: /a.json}}", "{file: {path: /d}}, {file: {path: /a.json}}"), []string{"4:77 sites[1].discovery.publish[1]: writes /a.json, as does site A: name a directory, which gets a file for each"}},
		{"Swift by nobody", sink("swift: {credential: x, container: c}"), []string{`4:44 discovery.publish[0].swift.credential: no credential is called "x"`}},
		{"Swift without a container", sink("swift: {credential: r}"), []string{"4:24 discovery.publish[0].swift.container: is required"}},
		{"Swift nowhere", "site: {gocdb: A}\nclouds: [{name: m, auth_url: \"https://k/v3\", credential: p}]\ncredentials: {p: {token: t}, b: {basic: {user: u, password: p}}, s: {like: p, site: A, vo: ops}}\n" +
			"discovery: {publish: [{swift: {credential: p, container: c}}, {swift: {credential: b, container: c}}, {swift: {credential: s, container: c}}]}\n", []string{
			"4:44 discovery.publish[0].swift.credential: p does not say at whose cloud: site and vo name the share there", "4:84 discovery.publish[1].swift.credential: b is of the kind basic, which OpenStack does not take"}},
	})
}

// TestDiscoveryOfUnits: a site file that says otherwise of a server that others share spoils its own site.
func TestDiscoveryOfUnits(t *testing.T) {
	const top = "credentials: {r: {os_cloud: x}}\ndiscovery: {mode: active, publish: [{api: {directory: /d}}]}\nsites: [{include: \"sites.d/*.yaml\"}]\n"
	file := tree(t, top, map[string]string{"a.yaml": unitText("A"), "b.yaml": unitText("B") + "discovery: {publish: [{api: {directory: /e}}]}\n", "c.yaml": unitText("C") + "discovery: {mode: observe}\n"})
	c := load(t, file)
	sites, broken := told(c)
	if d := cmp.Diff([]string{"A a.yaml", "C c.yaml"}, sites); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"b.yaml (B): b.yaml:3:23: discovery.publish[0]: listens at 127.0.0.1:8471, as does site A, which says otherwise of it: one address is one server"}, broken); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if again, err := ParseUnit(c, filepath.Join(filepath.Dir(file), "sites.d", "a.yaml"), c.Sites[0].Unit.Text); err != nil || again.Site.Name != "A" {
		t.Errorf("a site's own text beside itself: %v", err)
	}
}

// TestByPart: a part without a word of its own takes the plain text.
func TestByPart(t *testing.T) {
	s := parsed(t, `site: {gocdb: A}
clouds: [{name: m, gocdb_id: 16001G0, mode: {discovery: disabled}, credential: {accounting: a, discovery: d}}, {name: n, mode: observe, credential: d}]
credentials: {a: {os_cloud: x}, d: {os_cloud: y}, app: {application_credential_id: i, application_credential_secret: s}}
vos:
  - {name: v, project: p, credential: {discovery: a}, mode: {accounting: disabled}}
  - {name: w, credential: app, cloud: n, default_network: public, public_network: out}
`).Sites[0]
	m, n := s.Clouds[0], s.Clouds[1]
	p, v, w := site.Project{ID: "p"}, m.Cloud.VOs[0], n.Cloud.VOs[1]
	for what, got := range map[string][2]any{
		"key":                         {m.GOCDBKey, "16001G0"},
		"accounting's credential":     {m.CredentialFor(site.Accounting), "a"},
		"discovery's credential":      {m.CredentialFor(site.Discovery), "d"},
		"credential of all":           {n.CredentialFor(site.Accounting), "d"},
		"project's, of accounting":    {m.CredentialOf(site.Accounting, p), "a"},
		"project's, of discovery":     {m.CredentialOf(site.Discovery, p), "a"},
		"project's own, of one part":  {n.CredentialOf(site.Discovery, p), "a"},
		"project's own, of the other": {n.CredentialOf(site.Accounting, p), "d"},
		"VO's":                        {n.CredentialOfVO(site.Discovery, w), "app"},
		"VO's, by its project":        {n.CredentialOfVO(site.Discovery, v), "a"},
		"mode of a part":              {m.ModeOf(site.Discovery), site.Disabled},
		"mode of the other":           {m.ModeOf(site.Accounting), site.Mode("")},
		"mode of all":                 {n.ModeOf(site.Discovery), site.Observe},
		"VO's mode of accounting":     {v.Mode, site.Disabled},
		"VO's mode of discovery":      {v.Discovery, site.Disabled},
		"networks":                    {w.DefaultNetwork + " " + w.PublicNetwork + w.Project, "public out"},
		"own projects":                {len(m.ProjectCredentialsOf(site.Accounting)), 0},
		"own projects of discovery":   {m.ProjectCredentialsOf(site.Discovery)["p"], "a"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
}
