package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is a file that loads, on lines 1 to 3; what a test adds begins on line 4.
const base = `site: {gocdb: A}
clouds: [{name: main}]
credentials: {r: {os_cloud: x}}
`

// parsed loads a text that must be valid.
func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("f.yaml", []byte(text))
	if err != nil {
		t.Fatalf("the text must load:\n%v", err)
	}
	return c
}

// report gives the errors of a text as "line:column path: message".
func report(t *testing.T, text string) []string {
	t.Helper()
	_, err := Parse("f.yaml", []byte(text))
	if err == nil {
		return nil
	}
	all, ok := errors.AsType[*Errors](err)
	if !ok {
		t.Fatalf("the error is %T, not *Errors: %v", err, err)
	}
	var lines []string
	for _, e := range all.List {
		lines = append(lines, fmt.Sprintf("%d:%d %s: %s", e.Line, e.Column, e.Path, e.Message))
	}
	return lines
}

// rule is a text and what is wrong in it; nothing, when it loads.
type rule struct {
	name, text string
	want       []string
}

func check(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if d := cmp.Diff(r.want, report(t, r.text)); d != "" {
				t.Errorf("%s\n(-want +got)\n%s", r.text, d)
			}
		})
	}
}

func TestSyntax(t *testing.T) {
	check(t, []rule{
		{"empty", "", []string{"0:0 : is empty: fedsite config init writes a first configuration"}},
		{"only a comment", "# nothing\n", []string{"0:0 : is empty: fedsite config init writes a first configuration"}},
		{"a list", "- a\n", []string{"1:1 : must be a mapping of keys like site: and clouds:"}},
		{"broken", base + "network: [a\n", []string{"4:10 : sequence end token ']' not found"}},
		{"two documents", base + "---\nnetwork: {}\n", []string{"5:8 : a configuration file is one YAML document: take the --- lines out"}},
		{"document mark at the top", "---\n" + base, nil},
		{"byte order mark", "\ufeff" + base, nil},
		{"CRLF", strings.ReplaceAll(base, "\n", "\r\n"), nil},
		{"CR alone", base + "# a\rb\n", []string{"4:1 : holds a carriage return that ends no line: write line ends as LF"}},
		{"not UTF-8", base + "# \xff\n", []string{"4:1 : is not UTF-8 text"}},
		{"NUL", base + "# \x00\n", []string{"4:1 : holds a NUL byte: it is no text file"}},
		{"brackets without end", strings.Repeat("[", 5000), []string{"1:1 : is nested more than 40 deep"}},
		{"brackets over lines", strings.Repeat("[\n", 5000), []string{"1001:1 : is nested more than 40 deep"}},
		{"lists in lists", strings.Repeat("- ", 5000) + "a", []string{"1:1 : is nested more than 40 deep"}},
		{"nested too deep to be ours", base + "network: {no_proxy: " + strings.Repeat("[", 50) + strings.Repeat("]", 50) + "}\n", []string{
			"4:22 network.no_proxy[0]: must be a text", "4:60 network.no_proxy" + strings.Repeat("[0]", 39) + ": is nested more than 40 deep"}},
		{"brackets in comments", base + strings.Repeat("# see [1\n", 200), nil},
		{"alias", base + "privacy: &a {}\nstore: *a\n", []string{
			"4:10 privacy: anchors and aliases are not read: a cloud takes another's keys with like: <name>, and a value that begins with & or * stands in quotes",
			"5:8 store: anchors and aliases are not read: a cloud takes another's keys with like: <name>, and a value that begins with & or * stands in quotes"}},
		{"merge key", base + "privacy: {<<: {machine_name: omit}}\n", []string{"4:11 privacy: anchors and aliases are not read: a cloud takes another's keys with like: <name>"}},
		{"tag", base + "store: {path: !!str /a}\n", []string{"4:15 store.path: tags are not read: a value that begins with ! stands in quotes"}},
	})
}

func TestKeys(t *testing.T) {
	check(t, []rule{
		{"unknown", base + "acounting: {mode: observe}\n", []string{"4:1 acounting: is no key here: did you mean accounting?"}},
		{"unknown, far from all", base + "zebra: 1\n", []string{"4:1 zebra: is no key here"}},
		{"unknown within", base + "accounting:\n  overlapp: 15m\n", []string{"5:3 accounting.overlapp: is no key here: did you mean overlap?"}},
		{"letters swapped", base + "accounting: {chrage: {stopped: none}}\n", []string{"4:14 accounting.chrage: is no key here: did you mean charge?"}},
		{"upper case", base + "Accounting: {mode: observe}\n", []string{"4:1 Accounting: is no key here: did you mean accounting?"}},
		{"twice", base + "privacy: {}\nprivacy: {machine_name: omit}\n", []string{"5:1 privacy: is there already, in line 4"}},
		{"twice within", base + "privacy: {machine_name: omit, machine_name: send}\n", []string{"4:31 privacy.machine_name: is there already, in line 4"}},
		{"no value", base + "accounting:\n", []string{"4:1 accounting: has no value: give it one, or leave the key out"}},
		{"no value within", base + "accounting: {overlap: ~}\n", []string{"4:14 accounting.overlap: has no value: give it one, or leave the key out"}},
		{"no value for a cloud, VO, credential", "site: {gocdb: A}\nclouds: [~]\nvos: [~]\ncredentials: {r: ~}\n", []string{
			"2:10 clouds[0]: has no value: give it one, or leave the key out", "3:7 vos[0]: has no value: give it one, or leave the key out", "4:15 credentials.r: has no value: give it one, or leave the key out"}},
		{"no value in a list", base + "vo_properties: [~]\n", []string{"4:17 vo_properties[0]: has no value: give it one, or leave the key out"}},
		{"text for a mapping", base + "accounting: active\n", []string{"4:13 accounting: must be a mapping"}},
		{"mapping for a list", base + "vo_properties: {a: b}\n", []string{"4:1 vo_properties: must be a list"}},
		{"mapping for a text", base + "privacy: {machine_name: {a: b}}\n", []string{"4:11 privacy.machine_name: must be a text"}},
		{"list for a name", base + "flavors: [a]\n", []string{"4:1 flavors: must be a mapping"}},
		{"empty text", base + "store: {path: \"\"}\n", []string{"4:15 store.path: is empty: give it a value, or leave the key out"}},
		{"all at once", base + "privacy: {machine_name: x}\nstor: {}\naccounting: {settle: 2h, overlap: 1s}\n", []string{
			`4:25 privacy.machine_name: must be send or omit, not "x"`,
			"5:1 stor: is no key here: did you mean store?",
			"6:22 accounting.settle: must be at most 1h",
			"6:35 accounting.overlap: must be at least 1m"}},
	})
}

func TestValues(t *testing.T) {
	acc := func(s string) string { return base + "accounting: {" + s + "}\n" }
	const span = "must be a duration with its unit: 90s, 15m, 1h or 2d"
	const day = "must be a day like 2026-11-01, or a moment like 2026-11-01T00:00:00Z"
	check(t, []rule{
		{"duration without unit", acc("overlap: 15"), []string{"4:23 accounting.overlap: " + span}},
		{"duration of months", acc("overlap: 18mo"), []string{"4:23 accounting.overlap: " + span}},
		{"duration, minus within", acc("overlap: 1d-1h"), []string{"4:23 accounting.overlap: " + span}},
		{"duration, too many days", acc("overlap: 200000d"), []string{"4:23 accounting.overlap: " + span}},
		{"duration, too long to count", base + "demo: {offset: 99999d999999h}\n", []string{"4:16 demo.offset: " + span}},
		{"duration, overlap's bounds", acc("overlap: 59s"), []string{"4:23 accounting.overlap: must be at least 1m"}},
		{"duration, overlap's upper bound", acc("overlap: 1d1s"), []string{"4:23 accounting.overlap: must be at most 24h"}},
		{"duration, at the bounds", acc("overlap: 1d, settle: 60s"), nil},
		{"duration, settle's bounds", acc("settle: 61m"), []string{"4:22 accounting.settle: must be at most 1h"}},
		{"number in quotes", acc(`max_records: "5"`), []string{"4:27 accounting.max_records: must be a whole number"}},
		{"number with a point", acc("max_records: 5.5"), []string{"4:27 accounting.max_records: must be a whole number"}},
		{"number below", acc("max_records: 0"), []string{"4:27 accounting.max_records: must be at least 1"}},
		{"number above", acc("max_records: 101"), []string{"4:27 accounting.max_records: must be at most 100"}},
		{"flag", acc("dirq: {path: /q, copy: yes}"), []string{"4:37 accounting.dirq.copy: must be true or false"}},
		{"word", acc("mode: actve"), []string{`4:20 accounting.mode: must be disabled, observe or active, not "actve": did you mean active?`}},
		{"dates", acc("since: 2026-11-01T02:00:00+02:00, active_from: 2026-11-01"), nil},
		{"date with a wrong month", acc("since: 2026-13-01"), []string{"4:21 accounting.since: " + day}},
		{"date without zone", acc("since: 2026-11-01T00:00:00"), []string{"4:21 accounting.since: " + day}},
		{"active_from within a month", acc("active_from: 2026-11-02"), []string{"4:27 accounting.active_from: must be the first day of a month, UTC: months are sent whole"}},
		{"active_from, a month's start elsewhere", acc("active_from: 2026-11-01T00:00:00+02:00"), []string{"4:27 accounting.active_from: must be the first day of a month, UTC: months are sent whole"}},
		{"nothing before, active_from in the month of since", acc("previously: nothing, since: 2026-11-15, active_from: 2026-11-01"), nil},
		{"cASO before, active_from later than since", acc("previously: caso, since: 2026-09-15, active_from: 2026-11-01"), nil},
		{"nothing before, active_from later than since", acc("previously: nothing, since: 2026-09-15, active_from: 2026-11-01"), []string{"4:67 accounting.active_from: must be in the month of since, 2026-09: where nothing sent records before, the first month that is sent is charged with all use until then"}},
		{"since in the future", acc("since: 9998-01-01"), nil},
		{"no kind of records", acc("records: []"), []string{"4:14 accounting.records: names no kind: for no accounting say mode: disabled"}},
		{"unknown kind of records", acc("records: [clouds]"), []string{`4:24 accounting.records[0]: must be cloud, not "clouds": did you mean cloud?`}},
		{"kind of records that is not there yet", acc("records: [cloud, energy]"), []string{"4:31 accounting.records[1]: energy: not there yet in this version of fedsite"}},
		{"address", base + "network: {source_address: example.org}\n", []string{"4:27 network.source_address: must be an IP address"}},
		{"IPv6 address", base + "network: {source_address: \"2001:db8::1\"}\n", nil},
	})
}

func TestSiteRules(t *testing.T) {
	const rest = "clouds: [{name: main}]\ncredentials: {r: {os_cloud: x}}\n"
	const ascii = "must be 1 to 255 printable ASCII characters, as GOCDB writes it"
	check(t, []rule{
		{"no site", rest, []string{"1:1 site: is required: site: {gocdb: NAME}, or a list of sites"}},
		{"site without name", "site: {}\n" + rest, []string{"1:1 site.gocdb: is required"}},
		{"site without clouds", "site: {gocdb: A}\n", []string{"1:1 clouds: is required: name the site's OpenStack"}},
		{"site with an empty list of clouds", "site: {gocdb: A}\nclouds: []\n", []string{"1:1 clouds: is required: name the site's OpenStack"}},
		{"not ASCII", "site: {gocdb: Zürich}\n" + rest, []string{"1:15 site.gocdb: " + ascii}},
		{"255 characters", "site: {gocdb: " + strings.Repeat("a", 255) + "}\n" + rest, nil},
		{"256 characters", "site: {gocdb: " + strings.Repeat("a", 256) + ", formerly: []}\n" + strings.Replace(rest, "main", "main, service_name: A", 1), []string{"1:15 site.gocdb: " + ascii}},
		{"none", "site: {gocdb: None}\n" + rest, []string{"1:15 site.gocdb: must be a name: the accounting server takes None for none"}},
		{"null, in quotes", "site: {gocdb: \"null\"}\n" + rest, []string{"1:15 site.gocdb: must be a name: the accounting server takes null for none"}},
		{"former name without a day", "site: {gocdb: A, formerly: [{name: B}]}\n" + rest, []string{"1:29 site.formerly[0].until: is required"}},
		{"site beside sites", base + "sites: [{gocdb: B, clouds: [{name: m}]}]\n", []string{"4:1 sites: stands beside site: put that site into the list, or leave the list out"}},
		{"sites that are none", "sites: []\n", []string{"1:1 sites: names no site"}},
		{"clouds beside sites", "sites: [{gocdb: B, clouds: [{name: m}]}]\n" + rest, []string{"2:1 clouds: stands beside sites: put it into the entry of its site"}},
		{"vos beside sites", "sites: [{gocdb: B, clouds: [{name: m}]}]\ncredentials: {r: {os_cloud: x}}\nvos: []\n", []string{"3:1 vos: stands beside sites: put it into the entry of its site"}},
		{"two sites of one name", "sites: [{gocdb: B, clouds: [{name: m}]}, {gocdb: B, clouds: [{name: m}]}]\ncredentials: {r: {os_cloud: x}}\n", []string{`1:50 sites[1].gocdb: a site is called "B" already`}},
		{"sites without name and clouds", "sites: [{}]\n", []string{"1:9 sites[0].gocdb: is required", "1:9 sites[0].clouds: is required: name the site's OpenStack"}},
		{"an error in what sites share, once", "accounting: {overlap: 1s}\nsites: [{gocdb: A, clouds: [{name: m}]}, {gocdb: B, clouds: [{name: m}]}]\ncredentials: {r: {os_cloud: x}}\n", []string{"1:23 accounting.overlap: must be at least 1m"}},
	})
}

func TestCloudRules(t *testing.T) {
	with := func(clouds, credentials, more string) string {
		return "site: {gocdb: A}\nclouds: [" + clouds + "]\ncredentials: {" + credentials + "}\n" + more
	}
	const one, two = "r: {os_cloud: x}", "r: {os_cloud: x}, s: {username: u, password: p}"
	check(t, []rule{
		{"cloud without name", with("{}", one, ""), []string{"2:10 clouds[0].name: is required"}},
		{"two clouds of one name", with("{name: a}, {name: a}", one, ""), []string{`2:28 clouds[1].name: a cloud of this site is called "a" already`}},
		{"no credential", "site: {gocdb: A}\nclouds: [{name: a}]\n", []string{"2:10 clouds[0].credential: is required: name one under credentials"}},
		{"credential left out beside several", with("{name: a}", two, ""), []string{"2:10 clouds[0].credential: is required when there are several credentials: r, s"}},
		{"unknown credential", with("{name: a, credential: rr}", one, ""), []string{`2:32 clouds[0].credential: no credential is called "rr"`}},
		{"credential by part", with("{name: a, credential: {accounting: r, discovery: r}}", two, ""), nil},
		{"credential of a part that does nothing", with("{name: a, mode: {discovery: disabled}, credential: {accounting: r}}", two, ""), nil},
		{"credential of one part only", with("{name: a, mode: {discovery: observe}, credential: {accounting: r}}", two, ""), []string{"2:48 clouds[0].credential.discovery: is required, unless the mode of discovery is disabled"}},
		{"credential by a part that is not there yet", with("{name: a, credential: {accounting: r, discovery: r, access: s}}", two, ""), []string{"2:62 clouds[0].credential.access: not there yet in this version of fedsite"}},
		{"credential by no part", with("{name: a, credential: {}}", two, ""), []string{"2:20 clouds[0].credential.accounting: is required, unless the mode of accounting is disabled",
			"2:20 clouds[0].credential.discovery: is required, unless the mode of discovery is disabled"}},
		{"no URL beside clouds.yaml", with("{name: a, credential: r}", two, ""), nil},
		{"no URL", with("{name: a, credential: s}", two, ""), []string{"2:10 clouds[0].auth_url: is required: credential s is no entry of clouds.yaml that would say it"}},
		{"URL without scheme", with(`{name: a, auth_url: "keystone.example.org:5000"}`, one, ""), []string{"2:30 clouds[0].auth_url: must be a URL like https://keystone.example.org:5000/v3"}},
		{"URL with a password", with(`{name: a, auth_url: "https://u:p@keystone.example.org"}`, one, ""), []string{"2:30 clouds[0].auth_url: must not hold a user or password: those belong under credentials"}},
		{"interface", with("{name: a, interface: pubic}", one, ""), []string{`2:31 clouds[0].interface: must be public, internal or admin, not "pubic": did you mean public?`}},
		{"limits", with("{name: a, limits: {parallel: 0, nova_per_second: -1}}", one, ""), []string{"2:39 clouds[0].limits.parallel: must be at least 1", "2:59 clouds[0].limits.nova_per_second: must be at least 0"}},
		{"like nobody", with("{name: a}, {name: b, like: c}", one, ""), []string{`2:37 clouds[1].like: no cloud of this site is called "c"`}},
		{"like in a circle", with("{name: a, like: b}, {name: b, like: a}", one, ""), []string{"2:26 clouds[0].like: goes round in a circle: b → a → b", "2:46 clouds[1].like: goes round in a circle: a → b → a"}},
		{"like itself", with("{name: a, like: a}", one, ""), []string{"2:26 clouds[0].like: goes round in a circle: a → a"}},
		{"VO without project", with("{name: a}", one, "vos: [{name: ops}]\n"), []string{"4:7 vos[0].project: is required: credential r may sign in to more than one"}},
		{"VO without name", with("{name: a}", one, `vos: [{name: "", project: p}]`), []string{"4:14 vos[0].name: is empty: give it a value, or leave the key out"}},
		{"VO at an unknown cloud", with("{name: main}", one, "vos: [{name: ops, project: p, cloud: [main, mian]}]\n"), []string{`4:45 vos[0].cloud[1]: no cloud of this site is called "mian": did you mean main?`}},
		{"VO at a cloud twice", with("{name: a}", one, "vos: [{name: ops, project: p, cloud: [a, a]}]\n"), []string{"4:42 vos[0].cloud[1]: names a twice"}},
		{"VO at no cloud", with("{name: a}", one, "vos: [{name: ops, project: p, cloud: []}]\n"), []string{"4:31 vos[0].cloud: is an empty list: name one, or leave the key out"}},
		{"VO that ends before it begins", with("{name: a}", one, "vos: [{name: ops, project: p, since: 2026-11-01, until: 2026-11-01}]\n"), []string{"4:57 vos[0].until: must be later than since"}},
		{"FQAN", with("{name: a}", one, "vos: [{name: /vo/group, project: p}]\n"), nil},
		{"flavor's pattern", with("{name: a}", one, "flavors: {\"g1.[\": {benchmark: {type: a, value: 1}}}\n"), []string{`4:11 flavors["g1.["]: is no shell pattern: write [[] for a bracket`}},
		{"flavor's benchmark incomplete", with("{name: a}", one, "flavors: {a: {benchmark: {}}}\n"), []string{"4:15 flavors.a.benchmark.type: is required", "4:15 flavors.a.benchmark.value: is required"}},
		{"flavor's benchmark out of bounds", with("{name: a}", one, "flavors: {a: {benchmark: {type: "+strings.Repeat("x", 51)+", value: 9999999}}, b: {benchmark: {type: a, value: -0.1}}}\n"), []string{
			"4:33 flavors.a.benchmark.type: must have at most 50 characters",
			"4:93 flavors.a.benchmark.value: must be below 9999999",
			"4:136 flavors.b.benchmark.value: must be at least 0"}},
		{"flavor's benchmark, NaN", with("{name: a}", one, "flavors: {a: {benchmark: {type: a, value: .nan}}}\n"), []string{"4:43 flavors.a.benchmark.value: must be a number"}},
		{"flavor's accelerator", with("{name: a}", one, "flavors: {a: {accelerator: {type: GPU, number: 0.5}}}\n"), nil},
		{"flavor's accelerator that is none", with("{name: a}", one, "flavors: {a: {accelerator: {type: CPU, number: 0}}}\n"), []string{
			`4:35 flavors.a.accelerator.type: must be GPU, MIC, FPGA, TPU or NPU, not "CPU"`, "4:48 flavors.a.accelerator.number: must be at least 0.001"}},
	})
}

func TestCredentialRules(t *testing.T) {
	with := func(c string) string {
		return "site: {gocdb: A}\nclouds: [{name: m, auth_url: \"https://k/v3\"}]\ncredentials:\n  r: {" + c + "}\n"
	}
	check(t, []rule{
		{"entry", with("os_cloud: a, clouds_file: /c"), nil},
		{"password", with("username: a, password: b"), nil},
		{"password, by id and domain", with("user_id: a, password: b, user_domain: d"), nil},
		{"application credential", with("application_credential_id: a, application_credential_secret: b"), nil},
		{"application credential by name", with("application_credential_name: a, username: u, user_domain_id: d, application_credential_secret: b"), nil},
		{"token", with("token: a"), nil},
		{"nothing", with(""), []string{"4:3 credentials.r: must say how to sign in: os_cloud, username and password, an application credential, token, oidc, vault, exec, basic or certificate"}},
		{"two kinds", with("os_cloud: a, token: b"), []string{"4:3 credentials.r: must be of one kind, and is of 2: os_cloud, token"}},
		{"user without password", with("username: a"), []string{"4:3 credentials.r.password: is required beside a user"}},
		{"password without user", with("password: a"), []string{"4:3 credentials.r.username: is required, or user_id"}},
		{"user by name and id", with("username: a, user_id: b, password: c"), []string{"4:29 credentials.r.user_id: stands beside username: keep one of them"}},
		{"domain by name and id", with("username: a, user_domain: d, user_domain_id: e, password: c"), []string{"4:52 credentials.r.user_domain_id: stands beside user_domain: keep one of them"}},
		{"user beside an entry", with("os_cloud: a, username: b"), []string{"4:3 credentials.r: names a user beside os_cloud: keep one of them"}},
		{"clouds.yaml without entry", with("token: a, clouds_file: /c"), []string{"4:30 credentials.r.clouds_file: goes with os_cloud only"}},
		{"application credential without secret", with("application_credential_id: a"), []string{"4:3 credentials.r.application_credential_secret: is required"}},
		{"application credential without id", with("application_credential_secret: a"), []string{"4:3 credentials.r.application_credential_id: is required, or application_credential_name with a user"}},
		{"application credential by name without user", with("application_credential_name: a, application_credential_secret: b"), []string{"4:3 credentials.r.username: is required beside application_credential_name, or user_id"}},
		{"a site without a VO", with("site: A, token: t"), []string{"2:10 clouds[0].credential: r is for one share of site A, as for Swift: clouds and VOs take one without site and vo", "4:3 credentials.r.vo: is required beside site"}},
		{"a VO without a site", with("token: t, vo: x"), []string{"4:3 credentials.r.site: is required beside vo"}},
		{"a share of what is no cloud", with("basic: {user: u, password: p}, site: x, vo: y"), []string{"2:10 clouds[0].credential: r is of the kind basic, which OpenStack does not take", "4:44 credentials.r.site: goes with what signs in to OpenStack only", `4:44 credentials.r.site: no site is called "x"`}},
		{"secret from a file", with("token_file: /a"), nil},
		{"secret in each way", with("token: {file: /a}"), nil},
		{"secret from the environment", with("token: {env: A}"), nil},
		{"secret from the unit", with("token: {credential: a}"), nil},
		{"secret in two ways", with("token: {file: /a, env: A}"), []string{"4:7 credentials.r.token: must be the secret itself, or one of {file: …}, {env: …}, {credential: …}"}},
		{"secret beside its file", with("token: a, token_file: /a"), []string{"4:29 credentials.r.token_file: stands beside token: keep one of them"}},
		{"secret in an unknown way", with("token: {fil: /a}"), []string{"4:7 credentials.r.token: must be the secret itself, or one of {file: …}, {env: …}, {credential: …}", "4:15 credentials.r.token.fil: is no key here: did you mean file?"}},
		{"secret that is empty", with(`token: ""`), []string{"4:14 credentials.r.token: is empty"}},
		{"secret of the unit by path", with("token: {credential: ../a}"), []string{"4:27 credentials.r.token.credential: must be the name of a credential of the unit, not a path"}},
		{"secret's file without a path", with(`token_file: ""`), []string{"4:3 credentials.r: must say how to sign in: os_cloud, username and password, an application credential, token, oidc, vault, exec, basic or certificate", "4:19 credentials.r.token_file: must be the path of a file"}},
	})
}

func TestAccountingRules(t *testing.T) {
	acc := func(s string) string { return base + "accounting: {" + s + "}\n" }
	const name = "must be of letters, digits, - and _"
	check(t, []rule{
		{"active without what was before", acc("mode: active"), []string{"4:20 accounting.previously: is required to be active: caso, if cASO sent this site's records, else nothing"}},
		{"active with only a copy", acc("mode: active, previously: caso, dirq: {path: /q, copy: true}"), []string{"4:46 accounting.dirq: is a copy, and nothing is there to be copied: take copy: true out of one destination"}},
		{"active with only copies", acc("mode: active, previously: caso, ams: {copy: true}, dirq: {path: /q, copy: true}"), []string{"4:46 accounting.ams: is a copy, and nothing is there to be copied: take copy: true out of one destination"}},
		{"active with two destinations", acc("mode: active, previously: nothing, ams: {}, dirq: {path: /q}"), []string{"4:58 accounting.dirq: is a second destination: mark one of them as copy: true"}},
		{"active with a destination and a copy", acc("mode: active, previously: nothing, ams: {copy: true}, dirq: {path: /q}"), nil},
		{"observing with two destinations", acc("ams: {}, dirq: {path: /q}"), nil},
		{"AMS bounds", acc("ams: {port: 0, authn_port: 65536, max_bytes: 99999}"), []string{
			"4:26 accounting.ams.port: must be at least 1", "4:41 accounting.ams.authn_port: must be at most 65535", "4:59 accounting.ams.max_bytes: must be at least 100000"}},
		{"AMS message too large", acc("ams: {max_bytes: 1500001}"), []string{"4:31 accounting.ams.max_bytes: must be at most 1500000"}},
		{"AMS names", acc("ams: {project: a/b, topics: {cloud: a.b}, host: \"https://a\"}"), []string{
			"4:29 accounting.ams.project: " + name, "4:50 accounting.ams.topics.cloud: " + name, "4:62 accounting.ams.host: must be a host name alone, such as msg.argo.grnet.gr"}},
		{"AMS topic", acc("ams: {topic: a}"), []string{"4:20 accounting.ams.topic: is no key here: did you mean topics?"}},
		{"a relative path", acc("dirq: {path: queue}"), []string{"4:27 accounting.dirq.path: must be an absolute path: a relative one means something else wherever fedsite is started"}},
		{"dirq without a path", acc("dirq: {}"), []string{"4:14 accounting.dirq.path: is required"}},
		{"PostgreSQL", base + "store: {url: \"postgres://fedsite@db/fedsite\"}\n", nil},
		{"another database", base + "store: {url: \"mysql://fedsite@db/fedsite\"}\n", []string{"4:14 store.url: must be a URL like postgres://user@host/database"}},
		{"proxy", base + "network: {proxy: \"proxy.example.org\"}\n", []string{`4:18 network.proxy: must be a URL like http://proxy.example.org:3128, or "" for none`}},
		{"proxy in a file that is missing", base + "network: {proxy_file: /nonexistent/proxy}\n", []string{"4:11 network.proxy_file: the secret cannot be read: open /nonexistent/proxy: no such file or directory"}},
	})
}

// TestErrorsAreShown holds the whole text of many errors against a file.
func TestErrorsAreShown(t *testing.T) {
	text, err := os.ReadFile("testdata/errors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Parse("fedsite.yaml", text)
	if err == nil {
		t.Fatal("the file loads")
	}
	got := err.Error() + "\n"
	const golden = "testdata/errors.golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("UPDATE_GOLDEN=1 writes it anew (-want +got)\n%s", d)
	}
	for _, line := range strings.Split(got, "\n") {
		if strings.Contains(line, "hunter") {
			t.Errorf("a secret is shown: %s", line)
		}
	}
	_, parsed := Parse("fedsite.yaml", text)
	all, _ := errors.AsType[*Errors](parsed)
	if !slices.IsSortedFunc(all.List, func(a, b Error) int { return a.Line - b.Line }) {
		t.Error("the errors are not in the file's order")
	}
}

// TestSyntaxErrorShowsNoSecret: without a parse nobody knows where a secret ends.
func TestSyntaxErrorShowsNoSecret(t *testing.T) {
	for _, text := range []string{
		"credentials: {r: {username: u, password: hunter2, x: [}}\n",
		"credentials:\n  r:\n    password: \"hunter2\n    token: b\n",
		"credentials:\n  r: {password: 'hunter2\n",
		"credentials:\n  r:\n    password: hunter2: hunter3\n",
		"network: {proxy: http://u:hunter2@proxy, [}\n",
		"store:\n  url: postgres://u:hunter2@db: x\n",
		"credentials:\n  r:\n    \"token\" : hunter2: x\n",
		"credentials:\n  r:\n    token: |\n      hunter2\n   bad: : [\n",
	} {
		_, err := Parse("f.yaml", []byte(text))
		if err == nil {
			t.Errorf("loads: %s", text)
			continue
		}
		if strings.Contains(err.Error(), "hunter") {
			t.Errorf("the secret is shown:\n%v", err)
		}
	}
}
