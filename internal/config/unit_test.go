package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// withUnits is a main file that takes its sites from a directory beside it.
const withUnits = `credentials: {r: {os_cloud: x}}
privacy: {global_user_name: id}
network: {no_proxy: [a]}
sites:
  - {gocdb: INLINE, clouds: [{name: main}]}
  - include: sites.d/*.yaml
`

// unit is the file of a site.
func unitText(name string) string {
	return "site: {gocdb: " + name + "}\nclouds: [{name: main}]\n"
}

// tree writes files, and gives the path of the main one.
func tree(t *testing.T, main string, units map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sites.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "fedsite.yaml")
	write(t, file, main)
	for name, text := range units {
		write(t, filepath.Join(dir, "sites.d", name), text)
	}
	return file
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func load(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Load(file)
	if err != nil {
		t.Fatalf("the main file must load:\n%v", err)
	}
	return c
}

// told gives sites and broken units as "NAME file" and "file (NAME): first line of the error", files without directory.
func told(c *Config) (sites, broken []string) {
	dir := filepath.Dir(c.File)
	short := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(s, dir+"/sites.d/", ""), dir+"/", "")
	}
	for _, s := range c.Sites {
		sites = append(sites, strings.TrimSpace(s.Site.Name+" "+short(s.Unit.File)))
	}
	for _, b := range c.Broken {
		line, _, _ := strings.Cut(b.Err.Error(), "\n")
		broken = append(broken, fmt.Sprintf("%s (%s): %s", short(b.File), b.Site, short(line)))
	}
	return sites, broken
}

// TestIncludedFiles: a site file is read on top of the main file, and one that is wrong spoils no other.
func TestIncludedFiles(t *testing.T) {
	file := tree(t, withUnits, map[string]string{
		"b.yaml":         unitText("B") + "privacy: {machine_name: omit}\nvos: [{name: ops, project: p, credential: r}]\n",
		"a.yaml":         "# the first\n" + unitText("A"),
		"mode.yaml":      unitText("M") + "accounting: {mode: actve}\n",
		"no.yaml":        "{{{\n",
		"empty.yaml":     "",
		"binary.yaml":    "\x7fELF\x00\x01",
		"list.yaml":      "- a\n",
		"nameless.yaml":  "clouds: [{name: main}]\n",
		"twice.yaml":     "\n" + unitText("A"),
		"inline.yaml":    unitText("INLINE"),
		"main.yaml":      unitText("S") + "credentials: {x: {token: hunter2}}\nstore: {path: /x}\nimages: {}\n",
		"secret.yaml":    unitText("P") + "accounting: {ams: {token: hunter2}}\n",
		"proxy.yaml":     unitText("Q") + "accounting: {ams: {network: {proxy: \"http://u:hunter2@p:1\"}}}\n",
		"active.yaml":    unitText("T") + "accounting: {mode: active}\n",
		".hidden.yaml":   "{{{",
		"other.yaml.bak": "{{{",
	})
	c := load(t, file)
	sites, broken := told(c)
	if d := cmp.Diff([]string{"INLINE", "A a.yaml", "B b.yaml"}, sites); d != "" {
		t.Errorf("sites (-want +got)\n%s", d)
	}
	const secretHere = "must not stand in a site's own file, whose text is kept in the database: {file: …}, {env: …} or {credential: …}"
	if d := cmp.Diff([]string{
		"active.yaml (T): active.yaml:3:20: accounting.previously: is required to be active: caso, if cASO sent this site's records, else nothing",
		"binary.yaml (): binary.yaml:1:1: holds a NUL byte: it is no text file",
		"empty.yaml (): empty.yaml: is empty: fedsite config init writes a first configuration",
		`inline.yaml (INLINE): inline.yaml:1:15: site.gocdb: a site is called "INLINE" already, in fedsite.yaml`,
		"list.yaml (): list.yaml:1:1: must be a mapping of keys like site: and clouds:",
		"main.yaml (S): main.yaml:3:1: credentials: belongs into the main file: this one holds a site",
		`mode.yaml (M): mode.yaml:3:20: accounting.mode: must be disabled, observe or active, not "actve": did you mean active?`,
		"nameless.yaml (): nameless.yaml:1:1: site: is required: site: {gocdb: NAME}",
		"no.yaml (): no.yaml:1:2: could not find flow map content",
		"proxy.yaml (Q): proxy.yaml:3:37: accounting.ams.network.proxy: " + secretHere,
		"secret.yaml (P): secret.yaml:3:27: accounting.ams.token: " + secretHere,
		`twice.yaml (A): twice.yaml:2:15: site.gocdb: a site is called "A" already, in a.yaml`,
	}, broken); d != "" {
		t.Errorf("broken (-want +got)\n%s", d)
	}
	for _, b := range c.Broken {
		if strings.Contains(b.Err.Error(), "hunter2") {
			t.Errorf("a secret is shown: %v", b.Err)
		}
	}
	b := c.Sites[2]
	if b.Privacy != (Privacy{GlobalUserName: "id", MachineName: "omit"}) || b.Clouds[0].CredentialFor(site.Accounting) != "r" || b.Clouds[0].Cloud.ServiceName != "B" || b.Clouds[0].Cloud.VOs[0].Name != "ops" ||
		!cmp.Equal(b.Clouds[0].Network.NoProxy, []string{"a"}) || b.Accounting.Mode != site.Observe || b.Accounting.AMS == nil {
		t.Errorf("site B is not what its file and the main one say: %+v", b)
	}
	if got, want := string(c.Sites[1].Unit.Text), "site:\n  gocdb: A\nclouds:\n  - name: main\n"; got != want {
		t.Errorf("the text of A is\n%s", got)
	}
	if d := cmp.Diff([]Include{{Pattern: filepath.Join(filepath.Dir(file), "sites.d/*.yaml")}}, c.Includes); d != "" {
		t.Error(d)
	}
}

// TestUnreadableUnits: what cannot be read is broken, and reading ends.
func TestUnreadableUnits(t *testing.T) {
	file := tree(t, withUnits, map[string]string{"a.yaml": unitText("A"), "large.yaml": strings.Repeat("# x\n", maxFile/4+1)})
	dir := filepath.Join(filepath.Dir(file), "sites.d")
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{os.Symlink("loop.yaml", in("loop.yaml")), os.Symlink("y.yaml", in("x.yaml")), os.Symlink("x.yaml", in("y.yaml")), os.Symlink("nothing", in("dangling.yaml")),
		os.Symlink("a.yaml", in("again.yaml")), os.Mkdir(in("dir.yaml"), 0o755), syscall.Mkfifo(in("fifo.yaml"), 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`again.yaml (A): again.yaml:1:15: site.gocdb: a site is called "A" already, in a.yaml`,
		"dangling.yaml (): the site's file cannot be read: stat dangling.yaml: no such file or directory",
		"dir.yaml (): the site's file cannot be read: open dir.yaml: is no regular file",
		"fifo.yaml (): the site's file cannot be read: open fifo.yaml: is no regular file",
		"large.yaml (): the site's file cannot be read: read large.yaml: has more than 4 MiB",
		"loop.yaml (): the site's file cannot be read: stat loop.yaml: too many levels of symbolic links",
		"x.yaml (): the site's file cannot be read: stat x.yaml: too many levels of symbolic links",
		"y.yaml (): the site's file cannot be read: stat y.yaml: too many levels of symbolic links",
	}
	if os.Geteuid() != 0 { // whom nothing is forbidden
		write(t, in("closed.yaml"), unitText("C"))
		if err := os.Chmod(in("closed.yaml"), 0); err != nil {
			t.Fatal(err)
		}
		want = append(want[:1:1], append([]string{"closed.yaml (): the site's file cannot be read: open closed.yaml: permission denied: let fedsite's user read it"}, want[1:]...)...)
	}
	sites, broken := told(load(t, file))
	if d := cmp.Diff(want, broken); d != "" {
		t.Errorf("broken (-want +got)\n%s", d)
	}
	if d := cmp.Diff([]string{"INLINE", "A a.yaml"}, sites); d != "" {
		t.Errorf("sites (-want +got)\n%s", d)
	}
}

// TestIncludeRules: what is wrong in the main file stops it all, so that no site seems to be gone.
func TestIncludeRules(t *testing.T) {
	many := map[string]string{}
	for i := range maxUnits + 1 {
		many[fmt.Sprintf("%04d.yaml", i)] = ""
	}
	const head = "credentials: {r: {os_cloud: x}}\n"
	for _, c := range []struct {
		name, main string
		units      map[string]string
		want       []string // nothing = it loads
	}{
		{"no file yet", head + "sites: [{include: \"sites.d/*.yaml\"}]\n", nil, []string{"2:19 sites[0].include: names no site: no file fits sites.d/*.yaml"}},
		{"no file beside a site", withUnits, nil, nil},
		{"only broken files", head + "sites: [{include: \"sites.d/*.yaml\"}]\n", map[string]string{"a.yaml": "{"}, nil},
		{"one file", head + "sites: [{include: sites.d/a.yaml, prune: true}]\n", map[string]string{"a.yaml": unitText("A")}, nil},
		{"a directory that is missing", head + "sites: [{include: \"other/*.yaml\"}]\n", nil, []string{"2:19 sites[0].include: cannot be read: open DIR/other/: no such file or directory"}},
		{"a pattern of directories", head + "sites: [{include: \"*/a.yaml\"}]\n", nil, []string{"2:19 sites[0].include: must be the path of a directory and a pattern of its files, as /etc/fedsite/sites.d/*.yaml"}},
		{"no pattern", head + "sites: [{include: \"sites.d/[.yaml\"}]\n", nil, []string{"2:19 sites[0].include: must be the path of a directory and a pattern of its files, as /etc/fedsite/sites.d/*.yaml"}},
		{"empty", head + "sites: [{include: \"\"}]\n", nil, []string{"2:19 sites[0].include: is empty: give it a value, or leave the key out"}},
		{"a list", head + "sites: [{include: [a]}]\n", nil, []string{"2:10 sites[0].include: must be a text"}},
		{"beside a site's keys", head + "sites: [{include: \"sites.d/*.yaml\", gocdb: A, prune: yes, format: caso, overrides: {A: {region: R}}}]\n", map[string]string{"a.yaml": "{"}, []string{
			"2:37 sites[0].gocdb: stands beside include: it belongs into the site's file, or to the top of this one", "2:54 sites[0].prune: must be true or false",
			`2:67 sites[0].format: must be fedsite or catch-all, not "caso"`, "2:73 sites[0].overrides: goes with format: catch-all only"}},
		{"what goes with include", head + "sites: [{gocdb: A, clouds: [{name: m}], format: catch-all, limits: {}}]\n", nil, []string{"2:49 sites[0].format: goes with include only", "2:60 sites[0].limits: goes with include only"}},
		{"credentials of files that are taken as they are", "credentials: {r: {oidc: {access_token: t, idp: i}}, b: {basic: {user: u, password: p}}}\nsites: [{include: \"sites.d/*.yaml\", format: catch-all, defaults: {credential: x, credential_for: {v3token: b}}, overrides: {A: {credential: {discovery: z}}}}]\n",
			map[string]string{"a.yaml": "{"}, []string{`2:79 sites[0].defaults.credential: no credential is called "x"`,
				"2:108 sites[0].defaults.credential_for.v3token: b is of the kind basic, which OpenStack does not take", `2:153 sites[0].overrides.A.credential.discovery: no credential is called "z"`}},
		{"prune alone", head + "sites: [{gocdb: A, clouds: [{name: m}], prune: true}]\n", nil, []string{"2:48 sites[0].prune: goes with include only"}},
		{"too many", withUnits, many, []string{"6:14 sites[1].include: names more than 1000 files"}},
		{"a default that is wrong for all", withUnits + "accounting: {mode: active, active_from: 2026-11-15, records: []}\n", map[string]string{"a.yaml": unitText("A")}, []string{
			"7:20 accounting.previously: is required to be active: caso, if cASO sent this site's records, else nothing",
			"7:41 accounting.active_from: must be the first day of a month, UTC: months are sent whole", "7:53 accounting.records: names no kind: for no accounting say mode: disabled"}},
		{"the same without a site in the main file", head + "sites: [{include: \"sites.d/*.yaml\"}]\naccounting: {mode: active, active_from: 2026-11-15}\n", map[string]string{"a.yaml": unitText("A")}, []string{
			"3:41 accounting.active_from: must be the first day of a month, UTC: months are sent whole"}},
		{"a default that sites complete", head + "sites: [{include: \"sites.d/*.yaml\"}]\naccounting: {mode: active}\n", map[string]string{"a.yaml": unitText("A") + "accounting: {previously: caso}\n"}, nil},
		{"a mute of a site whose file is gone", withUnits + "mute: [{site: GONE, until: 2026-12-01}]\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := tree(t, c.main, c.units)
			_, err := Load(file)
			var got []string
			if all, ok := errors.AsType[*Errors](err); ok {
				for _, e := range all.List {
					got = append(got, strings.ReplaceAll(fmt.Sprintf("%d:%d %s: %s", e.Line, e.Column, e.Path, e.Message), filepath.Dir(file), "DIR"))
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestUnitErrorsNameTheirFile: what the main file says for all sites, and a site cannot use, is shown where it stands.
func TestUnitErrorsNameTheirFile(t *testing.T) {
	file := tree(t, "credentials: {r: {os_cloud: x}, s: {token: hunter2}}\nsites: [{include: \"sites.d/*.yaml\"}]\naccounting: {mode: active, ams: {token: hunter2}}\n", map[string]string{
		"a.yaml": unitText("A") + "clouds: [{name: m, region: \"hunter2\"}]\n"})
	c := load(t, file)
	if len(c.Broken) != 1 {
		t.Fatalf("broken: %v", c.Broken)
	}
	want := strings.ReplaceAll(`DIR/sites.d/a.yaml:2:10: clouds[0].credential: is required when there are several credentials: r, s
>  2 | clouds: [{name: main}]
                ^
DIR/sites.d/a.yaml:3:1: clouds: is there already, in line 2
>  3 | clouds: [{name: ***, region: ***}]
       ^
DIR/fedsite.yaml:3:20: accounting.previously: is required to be active: caso, if cASO sent this site's records, else nothing
>  3 | accounting: {mode: active, ams: {token: ***}}
                          ^`, "DIR", filepath.Dir(file))
	if d := cmp.Diff(want, c.Broken[0].Err.Error()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestLastGood: a broken file's site goes on with what it said last, also after a restart.
func TestLastGood(t *testing.T) {
	file := tree(t, withUnits, map[string]string{"a.yaml": unitText("A") + "# password: hunter2\nprivacy: {machine_name: omit}\n", "b.yaml": unitText("B")})
	before := load(t, file)
	a := filepath.Join(filepath.Dir(file), "sites.d", "a.yaml")
	kept := before.Sites[1].Unit.Text
	if strings.Contains(string(kept), "hunter2") {
		t.Errorf("a comment is kept:\n%s", kept)
	}
	write(t, a, unitText("A")+"privacy: {machine_name: x}\n")
	c := load(t, file)
	if err := c.LastGood(a, kept); err != nil {
		t.Fatal(err)
	}
	again := c.Sites[len(c.Sites)-1]
	if again.Unit.Err == nil || again.Unit.Err != c.Broken[0].Err || !strings.Contains(again.Unit.Err.Error(), "a.yaml:3:25") {
		t.Errorf("its error is %v", again.Unit.Err)
	}
	if again.Site.Name != "A" || again.Privacy.MachineName != "omit" || string(again.Unit.Text) != string(kept) || again.Unit.File != a {
		t.Errorf("the last good configuration is %+v", again)
	}
	if changes := Diff(before, c); len(changes) > 0 {
		t.Errorf("what goes on as before is a change: %v", changes)
	}
	if err := c.LastGood(a, kept); err == nil || !strings.Contains(err.Error(), `a site is called "A" already`) {
		t.Errorf("once more: %v", err)
	}
	if err := c.LastGood("/other", kept); err == nil {
		t.Error("another file")
	}
	if text := shownText(t, c); !strings.Contains(text, "# "+a+" is broken: fedsite config check says why") {
		t.Errorf("what is shown does not tell of the broken file:\n%s", text)
	}

	// The main file no longer has what the text needs.
	write(t, file, "credentials: {r: {os_cloud: x}, s: {os_cloud: y}}\nsites: [{gocdb: INLINE, clouds: [{name: main, credential: s}]}, {include: sites.d/a.yaml}]\n")
	c = load(t, file)
	if err := c.LastGood(a, kept); err == nil || !strings.Contains(err.Error(), "the last good configuration of "+a+" cannot be used") || len(c.Sites) != 1 {
		t.Errorf("without its credential: %v", err)
	}
}

func TestParseUnit(t *testing.T) {
	file := tree(t, withUnits, map[string]string{"a.yaml": unitText("A")})
	c := load(t, file)
	s, err := ParseUnit(c, "/x/new.yaml", []byte(unitText("NEW")))
	if err != nil || s.Site.Name != "NEW" || s.Privacy.GlobalUserName != "id" || s.Unit.File != "/x/new.yaml" || len(c.Sites) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if again, err := ParseUnit(c, s.Unit.File, s.Unit.Text); err != nil || !cmp.Equal(s, again, ignoreOrigins) {
		t.Errorf("the kept text gives %+v, %v", again, err)
	}
	if _, err := ParseUnit(c, "/x/new.yaml", []byte("site: {}\n")); err == nil || !strings.Contains(err.Error(), "/x/new.yaml:1:1: site.gocdb: is required") {
		t.Errorf("%v", err)
	}
	if _, err := ParseUnit(&Config{}, "f", []byte(unitText("A"))); err == nil {
		t.Error("on top of nothing")
	}
	// A file with one site of its own takes none in.
	one := parsed(t, base)
	if s, err := ParseUnit(one, "f", []byte(unitText("B"))); err != nil || s.Site.Name != "B" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestGone: sites whose files are removed, as far as nobody said that that is meant.
func TestGone(t *testing.T) {
	units := map[string]string{"a.yaml": unitText("A"), "b.yaml": unitText("B"), "c.yaml": unitText("C"), "d.yaml": unitText("D")}
	file := tree(t, withUnits, units)
	old := load(t, file)
	dir := filepath.Join(filepath.Dir(file), "sites.d")
	if err := errors.Join(os.Remove(filepath.Join(dir, "a.yaml")), os.Rename(filepath.Join(dir, "b.yaml"), filepath.Join(dir, "bb.yaml"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "c.yaml"), "{")
	names := func(all []Site) string {
		var names []string
		for _, s := range all {
			names = append(names, s.Site.Name)
		}
		return strings.Join(names, " ")
	}
	if got := names(Gone(old, load(t, file))); got != "A" {
		t.Errorf("gone: %s", got)
	}
	write(t, file, withUnits+"    prune: true\n")
	if got := names(Gone(old, load(t, file))); got != "" {
		t.Errorf("gone although pruned: %s", got)
	}
	if got := names(Gone(load(t, file), parsed(t, base))); got != "B D" {
		t.Errorf("gone with the include: %s", got)
	}
}

// FuzzUnit: any text of a site's file is a site or refused, what is kept of it gives the same site, and a secret is never
// part of it.
func FuzzUnit(f *testing.F) {
	main, err := Parse("main.yaml", []byte("credentials: {r: {os_cloud: x}, o: {oidc: {access_token: t, idp: i}}}\nsites: [{gocdb: INLINE, clouds: [{name: m, credential: r}]}]\naccounting: {ams: {token: top}, overlap: 20m}\nflavors: {\"*\": {benchmark: {type: a, value: 1}}}\n"))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{unitText("A"), "site: {gocdb: A, formerly: [{name: B, until: 2026-01-01}]}\nclouds:\n  - {name: a, credential: {accounting: r}, mode: observe}\n  - {name: b, like: a, limits: {parallel: 2}}\nvos: [{name: v, project: 007, credential: o, mode: {accounting: disabled}}]\n" +
		"accounting: {schedule: {send: \"@hourly\"}, ams: {token_file: /t}}\nprivacy: {machine_name: omit}\nvo_properties: [x]\nflavors: {\"a*\": {benchmark: {type: b, value: 2}}}\n",
		"site: {gocdb: A}\naccounting: {ams: {token: hunter2}}\nclouds: []\n", "store: {}\n", "site: [a]\nclouds: x\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/dev/") {
			return // a proxy's file is read at once, and a device may never end
		}
		s, err := ParseUnit(main, "u.yaml", []byte(text))
		if err != nil {
			if all, ok := errors.AsType[*Errors](err); !ok || len(all.List) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		again, err := ParseUnit(main, "u.yaml", s.Unit.Text)
		if err != nil {
			t.Fatalf("what is kept does not load: %v\n%s", err, s.Unit.Text)
		}
		if d := cmp.Diff(s, again, ignoreOrigins); d != "" {
			t.Errorf("what is kept is something else (-file +kept):\n%s\n%s", d, s.Unit.Text)
		}
	})
}
