package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/site"
)

// withCatchAll is a main file that takes sites' files as they are.
const withCatchAll = `credentials:
  checkin: {oidc: {issuer: "https://i", client_id: c, client_secret: s, idp: egi.eu}}
  appcred: {vault: {url: "https://v", path: "{vo}", login: {jwt: checkin}}}
accounting: {mode: observe}
sites:
  - include: sites.d/*.yaml
    format: catch-all
    defaults: {credential: checkin, credential_for: {v3applicationcredential: appcred}}
    overrides: {OVER: {region: R9, gocdb_id: 16001G0, formerly: [{name: WAS, until: 2026-07-01}]}, "https://two.example.org/v3": {cloud: second, limits: {parallel: 2}}}
`

// places gives a site as "SITE accounting: cloud EP region protocol credential (accounting) [VO project @default/public; …]".
func places(s Site) []string {
	var all []string
	for _, c := range s.Clouds {
		var vos []string
		for _, v := range c.Cloud.VOs {
			vos = append(vos, strings.TrimSuffix(fmt.Sprintf("%s=%s@%s/%s", v.Name, v.Project, v.DefaultNetwork, v.PublicNetwork), "@/"))
		}
		all = append(all, strings.Join(strings.Fields(fmt.Sprintf("%s %s: %s %s %s %s %s (%s) %v", s.Site.Name, s.Accounting.Mode, c.Cloud.Name, c.Cloud.AuthURL, c.Cloud.Region, c.Protocol,
			c.CredentialFor(site.Discovery), c.ModeOf(site.Accounting), vos)), " "))
	}
	return all
}

func notices(c *Config) []string {
	var all []string
	for _, n := range c.Notices {
		all = append(all, strings.ReplaceAll(strings.ReplaceAll(n.String(), filepath.Dir(c.File)+"/sites.d/", ""), filepath.Dir(c.File)+"/", ""))
	}
	return all
}

// TestCatchAllFiles: each thing that a site's file of the catch-all may say, and what becomes of it.
func TestCatchAllFiles(t *testing.T) {
	const ep, vo = "gocdb: A\nendpoint: https://K.example.org:5000/v3/\n", "vos: [{name: ops, auth: {project_id: p}}]\n"
	const at = "A disabled: k.example.org https://K.example.org:5000/v3/"
	noVO := []string{at + " checkin (disabled) []"}
	for _, c := range []struct {
		name, text string
		want       []string
		told       []string // notices, without those of overrides for nobody
		wrong      string   // the first error, without the file
	}{
		{name: "the least", text: ep, want: noVO},
		{name: "no VOs", text: "---\n" + ep + "vos:\n", want: noVO},
		{name: "an empty list", text: ep + "vos: []\n", want: noVO},
		{name: "a VO", text: ep + vo, want: []string{at + " checkin (disabled) [ops=p]"}},
		{name: "names of VOs", text: ep + "vos:\n- name: /VO=x/GROUP=y\n  auth: {project_id: 0123}\n- name: vo.pangeo.eu-swift\n  auth: {project_id: 1e3}\n",
			want: []string{at + " checkin (disabled) [/VO=x/GROUP=y=0123 vo.pangeo.eu-swift=1e3]"}},
		{name: "networks", text: ep + "vos: [{name: a, auth: {project_id: p}, defaultNetwork: public_only, publicNetwork: \"out side\"}]\n", want: []string{at + " checkin (disabled) [a=p@public_only/out side]"}},
		{name: "region and protocol", text: ep + "region: R1\nprotocol: oidc\n" + vo, want: []string{at + " R1 oidc checkin (disabled) [ops=p]"}},
		{name: "the usual auth", text: ep + "auth: v3oidcaccesstoken\n", want: noVO},
		{name: "another auth, of VOs without projects", text: ep + "auth: v3applicationcredential\nvos: [{name: a, auth: {}}, {name: b}, {name: c, auth: }]\n", want: []string{at + " appcred (disabled) [a= b= c=]"}},
		{name: "empty values", text: ep + "auth: \"\"\nregion:\nprotocol: ''\nimages:\naccounting: ~\n", want: noVO},
		{name: "regions of VOs", text: ep + "region: R1\nvos: [{name: a, auth: {project_id: p, region: R2}}, {name: b, auth: {project_id: q}}, {name: c, auth: {project_id: r, region: R1}}]\n",
			want: []string{"A disabled: k.example.org/R2 https://K.example.org:5000/v3/ R2 checkin (disabled) [a=p]", at + " R1 checkin (disabled) [b=q c=r]"}},
		{name: "accounting", text: ep + "accounting: {enabled: true}\n", want: []string{"A observe: k.example.org https://K.example.org:5000/v3/ checkin () []"}},
		{name: "accounting by its own name", text: ep + "accounting: {enabled: true, site_name: A}\n", want: []string{"A observe: k.example.org https://K.example.org:5000/v3/ checkin () []"}},
		{name: "accounting by another name", text: ep + "accounting: {enabled: true, site_name: B}\n", want: noVO,
			told: []string{"a.yaml:3:29: accounting.site_name: records are named by gocdb, and by another name " + notYet + ": the site is not accounted here"}},
		{name: "no accounting", text: ep + "accounting: {enabled: false, site_name: B}\n", want: noVO},
		{name: "images", text: ep + "images: {sync: true, formats: [qcow2, raw]}\n", want: noVO},
		{name: "what is not read", text: ep + "accouting: {enabled: true}\nauth_type: x\nvos: [{name: ops, auth: {project_id: p, application_credential_secret: hunter2}, note: x}]\nimages: {sink: a}\n", want: []string{at + " checkin (disabled) [ops=p]"},
			told: []string{"a.yaml:3:1: accouting: is left out: fedsite reads no such key: did you mean accounting?", "a.yaml:4:1: auth_type: is left out: fedsite reads no such key",
				"a.yaml:5:41: vos[0].auth.application_credential_secret: is left out: fedsite reads no such key", "a.yaml:5:82: vos[0].note: is left out: fedsite reads no such key: did you mean name?",
				"a.yaml:6:10: images.sink: is left out: fedsite reads no such key: did you mean sync?"}},
		{name: "overrides", text: "gocdb: OVER\nendpoint: https://k/v3\nregion: R1\n" + vo, want: []string{"OVER disabled: k https://k/v3 R9 checkin (disabled) [ops=p]"}},
		{name: "overrides by endpoint", text: "gocdb: A\nendpoint: https://two.example.org/v3\n" + vo, want: []string{"A disabled: second https://two.example.org/v3 checkin (disabled) [ops=p]"}},
		{name: "IPv6", text: "gocdb: A\nendpoint: https://[2001:DB8::1]:5000/v3\n", want: []string{"A disabled: 2001:db8::1 https://[2001:DB8::1]:5000/v3 checkin (disabled) []"}},

		{name: "no name", text: "endpoint: https://k/v3\n", wrong: "1:1: gocdb: is required"},
		{name: "no endpoint", text: "gocdb: A\n", wrong: "1:1: endpoint: is required"},
		{name: "no URL", text: "gocdb: A\nendpoint: k\n", wrong: "2:11: endpoint: must be a URL like https://keystone.example.org:5000/v3"},
		{name: "a name of none", text: "gocdb: null\nendpoint: https://k/v3\n", wrong: "1:1: gocdb: is required"},
		{name: "not ASCII", text: "gocdb: Zürich\nendpoint: https://k/v3\n", wrong: "1:8: gocdb: must be 1 to 255 printable ASCII characters, as GOCDB writes it"},
		{name: "a VO without a name", text: ep + "vos: [{auth: {project_id: p}}]\n", wrong: "3:7: vos[0].name: is required"},
		{name: "a VO without a project", text: ep + "vos:\n- name: a\n", wrong: "4:3: vos[0].auth.project_id: is required: credential checkin may sign in to more than one"},
		{name: "VOs that are no list", text: ep + "vos: {a: b}\n", wrong: "3:1: vos: must be a list"},
		{name: "a VO that is no mapping", text: ep + "vos: [ops]\n", wrong: "3:7: vos[0]: must be a mapping"},
		{name: "an unknown network", text: ep + "vos: [{name: a, auth: {project_id: p}, defaultNetwork: open}]\n", wrong: `3:56: vos[0].defaultNetwork: must be public, private, public_only or private_only, not "open"`},
		{name: "an unknown auth", text: ep + "auth: v3password\n", wrong: `3:7: auth: no credential signs in by "v3password": name one in defaults.credential_for of the main file`},
		{name: "twice", text: ep + "gocdb: B\n", wrong: "3:1: gocdb: is there already, in line 1"},
		{name: "fedsite's own form", text: unitText("A"), wrong: "1:1: gocdb: is required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := load(t, tree(t, withCatchAll, map[string]string{"a.yaml": c.text}))
			var got []string
			for _, s := range cfg.Sites {
				got = append(got, places(s)...)
			}
			wrong := ""
			for _, b := range cfg.Broken {
				wrong, _, _ = strings.Cut(strings.TrimPrefix(b.Err.Error(), b.File+":"), "\n")
			}
			var told []string
			for _, n := range notices(cfg) {
				if strings.HasPrefix(n, "a.yaml") {
					told = append(told, n)
				}
			}
			if d := cmp.Diff([]any{c.want, c.wrong}, []any{got, wrong}); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
			if c.wrong != "" {
				return
			}
			if d := cmp.Diff(c.told, told); d != "" {
				t.Errorf("notices (-want +got)\n%s", d)
			}
			again, err := ParseUnit(cfg, cfg.Sites[0].Unit.File, cfg.Sites[0].Unit.Text)
			if d := cmp.Diff(cfg.Sites[0], again, ignoreOrigins); err != nil || d != "" || strings.Contains(string(again.Unit.Text), "hunter2") {
				t.Errorf("what is kept is something else (-file +kept): %v\n%s\n%s", err, d, again.Unit.Text)
			}
			shown := parsed(t, shownText(t, cfg))
			for i := range shown.Sites {
				shown.Sites[i].Unit, shown.Sites[i].Runs = cfg.Sites[i].Unit, cfg.Sites[i].Runs
			}
			if d := cmp.Diff(cfg.Sites, shown.Sites, ignoreOrigins); d != "" {
				t.Errorf("what is shown loads to something else (-file +shown)\n%s", d)
			}
		})
	}
}

// TestOverrides: what the main file says of a site goes before its file, and one that is for nobody is told.
func TestOverrides(t *testing.T) {
	c := load(t, tree(t, withCatchAll, map[string]string{"a.yaml": "gocdb: OVER\nendpoint: https://k/v3\n"}))
	s := c.Sites[0]
	if d := cmp.Diff([]site.Former{{Name: "WAS", Until: day(2026, time.July, 1)}}, s.Site.Formerly); d != "" || s.Clouds[0].GOCDBKey != "16001G0" {
		t.Errorf("key %q\n%s", s.Clouds[0].GOCDBKey, d)
	}
	if d := cmp.Diff([]string{`fedsite.yaml:9:100: sites[0].overrides["https://two.example.org/v3"]: no site is called "https://two.example.org/v3" now`}, notices(c)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestSiteOfSeveralFiles: files that share a name are one site, with a cloud for each; one that breaks, or goes, touches no
// cloud but its own.
func TestSiteOfSeveralFiles(t *testing.T) {
	text := func(host, rest string) string {
		return "gocdb: S\nendpoint: https://" + host + "/v3\n" + rest
	}
	const vos = "vos: [{name: ops, auth: {project_id: p}}]\n"
	file := tree(t, withCatchAll, map[string]string{"a.yaml": text("one", vos), "b.yaml": text("two", vos+"accounting: {enabled: true}\n"), "c.yaml": "gocdb: T\nendpoint: https://two/v3\n"})
	in := func(name string) string { return filepath.Join(filepath.Dir(file), "sites.d", name) }
	both := []string{"S observe: one https://one/v3 checkin (disabled) [ops=p]", "S observe: two https://two/v3 checkin () [ops=p]"}
	before := load(t, file)
	is := func(what string, c *Config, want []string, outdated string) {
		t.Helper()
		var s Site
		for _, its := range c.Sites {
			if its.Site.Name == "S" {
				s = its
			}
		}
		old, _ := s.Outdated()
		if d := cmp.Diff([]any{want, outdated, len(want)}, []any{places(s), strings.TrimPrefix(old.File, in("")+"/"), len(s.Site.Clouds)}); d != "" {
			t.Errorf("%s (-want +got)\n%s", what, d)
		}
	}
	is("both", before, both, "")
	if len(before.Sites) != 2 || len(before.Sites[0].Units()) != 2 {
		t.Fatalf("sites %d, files %v", len(before.Sites), before.Sites[0].Units())
	}
	good := map[string][]byte{}
	for _, u := range before.Sites[0].Units() {
		good[u.File] = u.Text
	}

	write(t, in("a.yaml"), "gocdb: S\nendpoint: x\n")
	c := load(t, file)
	is("the first is broken", c, both[1:], "")
	if err := c.LastGood(in("a.yaml"), good[in("a.yaml")]); err != nil {
		t.Fatal(err)
	}
	is("with its last good text", c, []string{both[1], both[0]}, "a.yaml")
	if err := c.LastGood(in("a.yaml"), good[in("a.yaml")]); err == nil {
		t.Error("once more")
	}

	write(t, in("a.yaml"), text("one", vos))
	write(t, in("b.yaml"), "{")
	c = load(t, file)
	is("the second is broken", c, []string{"S disabled: one https://one/v3 checkin (disabled) [ops=p]"}, "")
	if err := c.LastGood(in("b.yaml"), good[in("b.yaml")]); err != nil {
		t.Fatal(err)
	}
	is("with its last good text", c, both, "b.yaml")
	if changes := Diff(before, c); len(changes) > 0 {
		t.Errorf("what goes on as before is a change: %v", changes)
	}

	if err := os.Remove(in("b.yaml")); err != nil {
		t.Fatal(err)
	}
	c = load(t, file)
	is("the second is gone", c, []string{"S disabled: one https://one/v3 checkin (disabled) [ops=p]"}, "")
	if gone := Gone(before, c); len(gone) != 0 {
		t.Errorf("its site is gone: %v", gone)
	}
	if err := os.Remove(in("a.yaml")); err != nil {
		t.Fatal(err)
	}
	if gone := Gone(before, load(t, file)); len(gone) != 1 || gone[0].Site.Name != "S" {
		t.Errorf("gone: %v", gone)
	}

	write(t, in("a.yaml"), text("one:5000", vos))
	write(t, in("b.yaml"), text("ONE:35357", vos))
	c = load(t, file)
	want := "b.yaml:1:8: gocdb: another file of the site, a.yaml, has a cloud one already: two endpoints of one host need a name, by overrides in the main file: {\"https://ONE:35357/v3\": {cloud: NAME}}"
	if len(c.Broken) != 1 || strings.Split(strings.ReplaceAll(c.Broken[0].Err.Error(), in("")+"/", ""), "\n")[0] != want {
		t.Errorf("two of one host: %v", c.Broken)
	}
	write(t, file, withCatchAll+"  - {gocdb: S, clouds: [{name: m, auth_url: \"https://k/v3\", credential: checkin}]}\n")
	if c = load(t, file); len(c.Broken) != 2 || !strings.Contains(c.Broken[0].Err.Error(), `a site is called "S" already, in `+file) {
		t.Errorf("a site of the main file: %v", c.Broken)
	}
}

// TestManyCatchAllFiles: two hundred sites load in a moment.
func TestManyCatchAllFiles(t *testing.T) {
	units := map[string]string{}
	for i := range 200 {
		var b strings.Builder
		fmt.Fprintf(&b, "---\ngocdb: SITE-%03d\nendpoint: https://keystone-%03d.example.org:5000/v3/\nimages:\n  sync: true\n  formats: [qcow2, raw]\nvos:\n", i/2*2, i)
		for v := range 20 {
			fmt.Fprintf(&b, "  - name: vo-%02d.example.org\n    auth:\n      project_id: %032x\n", v, i*100+v)
		}
		units[fmt.Sprintf("%03d.yaml", i)] = b.String()
	}
	units["100.yaml"] += "vos: []\n" // broken, in its last line
	file := tree(t, withCatchAll, units)
	began := time.Now()
	c := load(t, file)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it takes %v", took)
	}
	clouds, vos := 0, 0
	for _, s := range c.Sites {
		clouds += len(s.Clouds)
		for _, cloud := range s.Clouds {
			vos += len(cloud.Cloud.VOs)
		}
	}
	if len(c.Sites) != 100 || clouds != 199 || vos != 199*20 {
		t.Errorf("%d sites, %d clouds, %d VOs", len(c.Sites), clouds, vos)
	}
	if _, broken := told(c); len(broken) != 1 || broken[0] != "100.yaml (SITE-100): 100.yaml:68:1: vos: is there already, in line 7" {
		t.Errorf("broken: %v", broken)
	}
}

// BenchmarkCatchAllFiles reads two hundred files of twenty VOs each.
func BenchmarkCatchAllFiles(b *testing.B) {
	dir := b.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sites.d"), 0o755); err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		text := fmt.Sprintf("gocdb: SITE-%03d\nendpoint: https://keystone-%03d.example.org:5000/v3/\nvos:\n", i, i) + strings.Repeat("  - name: vo.example.org\n    auth: {project_id: 9b1c2f0e5d7a4c3b8a6f1e2d3c4b5a69}\n", 20)
		if err := os.WriteFile(filepath.Join(dir, "sites.d", fmt.Sprintf("%03d.yaml", i)), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	file := filepath.Join(dir, "fedsite.yaml")
	if err := os.WriteFile(file, []byte(withCatchAll), 0o600); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if c, err := Load(file); err != nil || len(c.Sites) != 200 {
			b.Fatal(err)
		}
	}
}

// FuzzCatchAll: any text of such a file is a site or refused, and what is kept of it gives the same site.
func FuzzCatchAll(f *testing.F) {
	dir := f.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sites.d"), 0o755); err != nil {
		f.Fatal(err)
	}
	main, err := Parse(filepath.Join(dir, "fedsite.yaml"), []byte(withCatchAll+"  - {gocdb: INLINE, clouds: [{name: m, auth_url: \"https://k/v3\", credential: checkin}]}\n"))
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"gocdb: A\nendpoint: https://k:5000/v3/\nvos:\n  - name: ops\n    auth: {project_id: p}\n", "---\ngocdb: OVER\nendpoint: http://[::1]/v3\nauth: v3applicationcredential\nvos: [{name: a, auth: {region: R1}, x: [{y: 1}]}]\n",
		"gocdb: A\nendpoint: https://k/v3\nregion: R\nprotocol: oidc\nimages: {sync: true, formats: [raw]}\naccounting: {enabled: true, site_name: B}\nvos: [{name: /VO=x, auth: {project_id: 1e3, region: \"R 2\"}, defaultNetwork: public}]\n",
		"gocdb: [A]\nendpoint: ~\nvos: ~\n", "vos: [~, {auth: ~, name: }]\naccounting: x\n"} {
		f.Add(text)
	}
	file := filepath.Join(dir, "sites.d", "u.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseUnit(main, file, []byte(text))
		if err != nil {
			if all, ok := errors.AsType[*Errors](err); !ok || len(all.List) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		again, err := ParseUnit(main, file, s.Unit.Text)
		if err != nil {
			t.Fatalf("what is kept does not load: %v\n%s", err, s.Unit.Text)
		}
		if d := cmp.Diff(s, again, ignoreOrigins); d != "" {
			t.Errorf("what is kept is something else (-file +kept):\n%s\n%s", d, s.Unit.Text)
		}
		if len(s.Clouds) == 0 || s.Clouds[0].Cloud.Name == "" || s.Clouds[0].Cloud.AuthURL == "" {
			t.Errorf("a site without its cloud: %+v", s)
		}
	})
}
