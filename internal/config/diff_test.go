package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// changes gives what a second text says otherwise than a first one, as it is shown.
func changes(t *testing.T, old, new string) []string {
	t.Helper()
	var lines []string
	for _, c := range Diff(parsed(t, old), parsed(t, new)) {
		lines = append(lines, c.String())
	}
	return lines
}

// TestDiff: what becomes of each kind of change.
func TestDiff(t *testing.T) {
	const full = `site: {gocdb: A}
clouds:
  - {name: r1, credential: r, region: R1}
  - {name: r2, credential: r, limits: {parallel: 2}}
credentials:
  r: {os_cloud: x}
  p: {username: u, password: hunter2}
  f: {token_file: /a}
vos:
  - {name: ops, project: p}
  - {name: vo, project: q, until: 2027-01-01}
flavors: {"a*": {benchmark: {type: x, value: 1}}, "*": {benchmark: {type: x, value: 2}}}
accounting: {overlap: 15m}
network: {proxy: "http://u:hunter2@p:1", no_proxy: [a, b]}
notify: {email: a@b, heartbeat_url: "https://hc/hunter2", webhook: {url: "https://x/hunter2", headers: {K: hunter2}}}
`
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"nothing", "", "", nil},
		{"a comment", "site: {gocdb: A}\n", "site: {gocdb: A} # x\n", nil},
		{"a default that is written out", "accounting: {overlap: 15m}", "accounting: {overlap: 15m, settle: 5m, ams: {port: 443}}", nil},
		{"a key", "overlap: 15m", "overlap: 30m", []string{"site A: accounting.overlap: 15m → 30m"}},
		{"a key beside a default", "overlap: 15m}", "overlap: 15m, mode: disabled}", []string{"site A: accounting.mode: observe → disabled", "site A: accounting.ams: removed"}},
		{"a key that has no default", "overlap: 15m}", "overlap: 15m, since: 2026-01-01}", []string{"site A: accounting.since: added, 2026-01-01"}},
		{"of the whole", "network:", "limits: {parallel: 4}\nweb: {listen: off}\nnetwork:", []string{"limits.parallel: 8 → 4", "web.listen: 127.0.0.1:8470 → off (from the next start on)"}},
		{"for the next start", "network:", "store: {path: /x, url: \"postgres:///hunter2\", backup: {keep: 3}}\ndemo: {}\nnetwork:", []string{"store.path: /var/lib/fedsite → /x (from the next start on)",
			"store.url: added (from the next start on)", "store.backup.keep: 14 → 3", "demo: added (from the next start on)"}},
		{"a password", "password: hunter2", "password: hunter3", []string{"credentials.p.password: changed"}},
		{"a password that moves to a file", "password: hunter2", "password_file: /p", []string{"credentials.p.password: changed"}},
		{"another file", "token_file: /a", "token_file: /b", []string{"credentials.f.token: changed"}},
		{"the same file", "token_file: /a", "token: {file: /a}", nil},
		{"the same file's name elsewhere", "token_file: /a", "token: {env: /a}", []string{"credentials.f.token: changed"}},
		{"a proxy's password", "u:hunter2@p", "u:hunter3@p", []string{"network.proxy: changed"}},
		{"a heartbeat", "hc/hunter2", "hc/hunter3", []string{"notify.heartbeat_url: changed"}},
		{"a webhook", "x/hunter2", "x/hunter3", []string{"notify.webhook.url: changed"}},
		{"a header", "K: hunter2", "K: hunter3, L: hunter4", []string{"notify.webhook.headers.K: changed", "notify.webhook.headers.L: added"}},
		{"a list", "no_proxy: [a, b]", "no_proxy: [a]", []string{"network.no_proxy: [a, b] → [a]"}},
		{"one address for a list", "email: a@b", "email: [a@b, c@d]", []string{`notify.email: "a@b" → ["a@b", "c@d"]`}},
		{"a credential more", "  f:", "  g: {token: hunter2}\n  f:", []string{"credentials.g: added"}},
		{"a credential less", "  f: {token_file: /a}\n", "", []string{"credentials.f: removed"}},
		{"a credential of another kind", "f: {token_file: /a}", "f: {os_cloud: y}", []string{"credentials.f.os_cloud: added, y", "credentials.f.token: removed"}},
		{"a cloud less", "  - {name: r1, credential: r, region: R1}\n", "", []string{"site A: clouds.r1: removed"}},
		{"a cloud's key", "region: R1", "region: R9", []string{"site A: clouds.r1.region: R1 → R9"}},
		{"clouds the other way round", "  - {name: r1, credential: r, region: R1}\n  - {name: r2, credential: r, limits: {parallel: 2}}\n",
			"  - {name: r2, credential: r, limits: {parallel: 2}}\n  - {name: r1, credential: r, region: R1}\n", []string{"site A: clouds: the order r1, r2 → r2, r1"}},
		{"a VO more", "  - {name: vo,", "  - {name: vo2, project: x}\n  - {name: vo,", []string{"site A: vos.vo2: added"}},
		{"a VO twice", "  - {name: vo,", "  - {name: ops, project: x}\n  - {name: vo,", []string{`site A: vos["ops#2"]: added`}},
		{"all VOs", "vos:\n  - {name: ops, project: p}\n  - {name: vo, project: q, until: 2027-01-01}\n", "", []string{"site A: vos: removed, 2 entries"}},
		{"flavors the other way round", `{"a*": {benchmark: {type: x, value: 1}}, "*": {benchmark: {type: x, value: 2}}}`, `{"*": {benchmark: {type: x, value: 2}}, "a*": {benchmark: {type: x, value: 1}}}`,
			[]string{"site A: flavors: the order a*, * → *, a*"}},
		{"a flavor", "value: 1}", "value: 3}", []string{`site A: flavors["a*"].benchmark.value: 1 → 3`}},
		{"another name", "{gocdb: A}", "{gocdb: B}", []string{"site B: added", "site A: removed"}},
		{"another name of the same", "{gocdb: A}", "{gocdb: B, formerly: [{name: A, until: 2026-01-01}]}", []string{
			"site B: gocdb: A → B", "site B: formerly: added, 1 entry", "site B: clouds.r1.service_name: A → B", "site B: clouds.r2.service_name: A → B"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(full, c.from) {
				t.Fatalf("%q is not in the text", c.from)
			}
			got := changes(t, full, strings.Replace(full, c.from, c.to, 1))
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			back := changes(t, strings.Replace(full, c.from, c.to, 1), full)
			if (len(back) == 0) != (len(got) == 0) {
				t.Errorf("backwards: %v", back)
			}
			if text := strings.Join(append(got, back...), "\n"); strings.Contains(text, "hunter") {
				t.Errorf("a secret is shown:\n%s", text)
			}
		})
	}
}

// TestDiffOfSites: sites are compared by name, wherever they stand.
func TestDiffOfSites(t *testing.T) {
	const head = "credentials: {r: {os_cloud: x}}\n"
	one := head + "site: {gocdb: A}\nclouds: [{name: m}]\n"
	two := head + "sites: [{gocdb: B, clouds: [{name: m}]}, {gocdb: A, clouds: [{name: m}]}]\n"
	if got := changes(t, one, two); !cmp.Equal(got, []string{"site B: added"}) {
		t.Errorf("from one to two: %v", got)
	}
	if got := changes(t, two, one); !cmp.Equal(got, []string{"site B: removed"}) {
		t.Errorf("from two to one: %v", got)
	}
	file := tree(t, head+"sites: [{include: \"sites.d/*.yaml\"}]\n", map[string]string{"a.yaml": "site: {gocdb: A}\nclouds: [{name: m}]\n"})
	inFile := load(t, file)
	if got := Diff(parsed(t, one), inFile); len(got) > 0 {
		t.Errorf("a site that moves to a file of its own: %v", got)
	}
	if got := Diff(&Config{}, inFile); got != nil {
		t.Errorf("against nothing: %v", got)
	}
}

// TestDiffOfAProxyInAFile: what a proxy's file says now is a change, too.
func TestDiffOfAProxyInAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "proxy")
	var all []*Config
	for _, proxy := range []string{"http://u:hunter2@p:1", "http://u:hunter3@p:1"} {
		if err := os.WriteFile(file, []byte(proxy), 0o600); err != nil {
			t.Fatal(err)
		}
		all = append(all, parsed(t, base+"network: {proxy_file: "+file+"}\n"))
	}
	got := Diff(all[0], all[1])
	if len(got) != 1 || got[0].String() != "network.proxy: changed" {
		t.Errorf("%v", got)
	}
}
