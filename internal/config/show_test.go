package config

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func shownText(t *testing.T, c *Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// files are configurations of every form.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{
		"base": base,
		"several sites": `
sites:
  - {gocdb: A, clouds: [{name: m, network: {proxy: ""}}], vos: [{name: "null", project: "007", cloud: m}], flavors: {"a b: #": {benchmark: {type: "x: #y", value: .5}}}}
  - {gocdb: "on", clouds: [{name: "1.5"}, {name: n, like: "1.5", limits: {nova_per_second: 1e1}}]}
credentials: {"weird \"name\": *": {username: "ü\t\\", password_file: /p, user_domain: "~"}, b: {token: {credential: c}}}
network: {no_proxy: [], proxy: "http://proxy:3128"}
demo: {offset: -1h}
`,
		"service": base + `
store: {backup: {keep: 0, at: off}}
limits: {deadline: 7d}
notify: {email: a@b, digest: off, smtp: {tls: tls}, webhook: {url_file: /u, headers: {X-A: {env: A}}}}
mute: [{until: 2026-12-01}]
retention: {records: 3mo, runs: 36h}
web: {listen: off}
accounting: {schedule: {collect: "*/5 * * * *", send: "@every 5m"}}
`,
	}
	all["several sites"] = strings.ReplaceAll(all["several sites"], "{name: m,", `{name: m, credential: b, auth_url: "https://k", `)
	all["several sites"] = strings.ReplaceAll(all["several sites"], `{name: "1.5"}`, `{name: "1.5", credential: "weird \"name\": *", auth_url: "https://k"}`)
	for _, name := range []string{"minimal", "full"} {
		text, err := os.ReadFile("../../examples/fedsite." + name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	return all
}

// TestShowLoadsAgain: what is shown is what is in effect.
func TestShowLoadsAgain(t *testing.T) {
	for name, text := range files(t) {
		c := parsed(t, text)
		again := shownText(t, c)
		d, err := Parse("f.yaml", []byte(again))
		if err != nil {
			t.Errorf("%s: what is shown does not load: %v\n%s", name, err, again)
			continue
		}
		if name == "several sites" && !strings.Contains(again, `"007"`) {
			t.Errorf("a text that looks like a number is shown as one:\n%s", again)
		}
		if diff := cmp.Diff(c, d, ignoreOrigins); diff != "" {
			t.Errorf("%s: what is shown loads to something else (-file +shown):\n%s\n%s", name, diff, again)
		}
	}
}

func TestShowSaysOrigins(t *testing.T) {
	c := parsed(t, `site: {gocdb: A}
clouds:
  - name: r1
    region: R1
    limits: {parallel: 8}
  - {name: r2, like: r1, region: R2}
credentials: {r: {os_cloud: x}}
accounting:
  overlap: 30m
store: {path: /state}
`)
	if err := FromEnvironment(c, func(string) string { return "postgres://u:hunter2@db/x" }); err != nil {
		t.Fatal(err)
	}
	text := shownText(t, c)
	squeezed := strings.Join(strings.Fields(text), " ")
	for _, want := range []string{
		"gocdb: A # f.yaml:1",
		"- name: r1 # f.yaml:3",
		"service_name: A # default",
		"credential: r # default",
		"- name: r2 # f.yaml:6",
		"region: R2 # f.yaml:6",
		"limits: parallel: 8 # f.yaml:5", // r2's is r1's
		"overlap: 30m # f.yaml:9",
		"settle: 5m # default",
		"- cloud # default",
		"path: /state # f.yaml:10",
		`url: "***" # environment, FEDSITE_DATABASE`,
	} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	c = parsed(t, base+"store: {url_file: /p}\n")
	if err := FromEnvironment(c, func(string) string { return "/srv/fedsite" }); err != nil {
		t.Fatal(err)
	}
	if got := shownText(t, c); strings.Contains(got, "\n  url") || !strings.Contains(got, "/srv/fedsite") || parsed(t, got).Store != c.Store {
		t.Errorf("the environment's directory is not what is in effect:\n%s", got)
	}
	if strings.Count(squeezed, "parallel: 8 # f.yaml:5") != 2 {
		t.Errorf("r2 does not show what it takes over from r1:\n%s", text)
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown:\n%s", text)
	}
}

func TestShowHidesSecrets(t *testing.T) {
	text := shownText(t, parsed(t, `site: {gocdb: A}
clouds: [{name: m, credential: a, auth_url: "https://k", network: {proxy: "http://u:hunter2@q:1"}}]
credentials: {a: {username: u, password: hunter2}, b: {application_credential_id: i, application_credential_secret: hunter2}, c: {token: hunter2}, d: {token: {env: D}}}
accounting: {ams: {token: hunter2}}
network: {proxy: "http://u:hunter2@p:3128"}
store: {url: "postgres://u:hunter2@db/x"}
`))
	if strings.Contains(text, "hunter2") {
		t.Errorf("a secret is shown:\n%s", text)
	}
	for _, want := range []string{`password: "***"`, `"http://u:***@q:1"`, `"http://u:***@p:3128"`, "env: D"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestShowOfNoFile(t *testing.T) {
	if err := (&Config{}).Show(&strings.Builder{}); err == nil {
		t.Error("a configuration that was not read shows origins")
	}
}

func TestTemplate(t *testing.T) {
	for _, o := range []TemplateOptions{{}, {Site: "NCG-INGRID-PT", Cloud: "r1", OSCloud: "egi"}, {Site: "A: b #c", Cloud: "null", OSCloud: `x"y`}} {
		text := string(Template(o))
		if n := strings.Count(text, "\n"); n > 18 {
			t.Errorf("%d lines, more than 18:\n%s", n, text)
		}
		c := parsed(t, text)
		s := c.Sites[0]
		got := TemplateOptions{Site: s.Site.Name, Cloud: s.Clouds[0].Cloud.Name, OSCloud: c.Credentials["reader"].OSCloud}
		if o == (TemplateOptions{}) {
			o = TemplateOptions{"EXAMPLE-CLOUD", "main", "fedsite"}
		}
		if got != o || s.Accounting.Mode != "observe" {
			t.Errorf("%+v, mode %s; want %+v, observe", got, s.Accounting.Mode, o)
		}
		// Each hint loads when its mark is taken out.
		var all []string
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "# fedsite:") {
				continue
			}
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			all = append(all, indent+strings.TrimPrefix(line[len(indent):], "# "))
		}
		if wrong := report(t, strings.Join(all, "")); wrong != nil {
			t.Errorf("the hints do not load: %v\n%s", wrong, strings.Join(all, ""))
			continue
		}
		images := parsed(t, strings.Join(all, "")).Sites[0].Images
		if images.Mode != "observe" || len(images.Sources) != 2 || images.Sources[0].List == nil || images.Sources[0].List.EndorserDN == "" || images.Sources[1].Registry == nil || images.Sources[1].Registry.Project == "" {
			t.Errorf("images in the hints: %s, %+v", images.Mode, images.Sources)
		}
	}
}
