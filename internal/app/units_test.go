package app_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
)

// including is a configuration whose sites have files of their own.
type including struct {
	t   *testing.T
	dir string
}

func newIncluding(t *testing.T) including {
	i := including{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(i.dir, "sites.d"), 0o700); err != nil {
		t.Fatal(err)
	}
	i.main("")
	return i
}

func (i including) write(name, text string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

func (i including) main(prune string) {
	i.write("fedsite.yaml", fmt.Sprintf("sites: [{include: sites.d/*.yaml%s}]\ncredentials: {reader: {username: u, password: p}}\nstore: {path: %s}\nweb: {listen: off}\n", prune, filepath.Join(i.dir, "state")))
}

// site writes a site's file, that has one cloud with the region.
func (i including) site(name, region string) {
	i.write("sites.d/"+name+".yaml", fmt.Sprintf("site: {gocdb: %s}\nclouds: [{name: main, auth_url: https://%s.example.org/v3, region: %s}]\n", name, name, region))
}

func (i including) remove(names ...string) {
	i.t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(i.dir, "sites.d", name+".yaml")); err != nil {
			i.t.Fatal(err)
		}
	}
}

func (i including) load() *config.Config {
	i.t.Helper()
	cfg, err := config.Load(filepath.Join(i.dir, "fedsite.yaml"))
	if err != nil {
		i.t.Fatal(err)
	}
	return cfg
}

// serves gives "SITE region" of every site, with ! for those that are served by a former file.
func serves(a *app.App) string {
	var all []string
	for _, s := range a.Config().Sites {
		text := s.Site.Name + " " + s.Clouds[0].Cloud.Region
		if s.Unit.Err != nil {
			text += "!"
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// TestSiteOfTwoFiles: of a site with a file for each endpoint, one that breaks or goes leaves the other cloud as it is, and the
// broken one's as it was, also across a restart.
func TestSiteOfTwoFiles(t *testing.T) {
	i := newIncluding(t)
	i.write("fedsite.yaml", "credentials: {r: {oidc: {access_token: t, idp: i}}}\nstore: {path: "+i.dir+"}\nsites: [{include: \"sites.d/*.yaml\", format: catch-all}]\n")
	write := func(name, text string) { i.write("sites.d/"+name+".yaml", "gocdb: S\nendpoint: "+text+"\n") }
	write("a", "https://one.example.org/v3")
	write("b", "https://two.example.org/v3")
	clouds := func(a *app.App) string {
		var all []string
		for _, s := range a.Config().Sites {
			for _, c := range s.Clouds {
				all = append(all, s.Site.Name+" "+c.Cloud.Name)
			}
			if u, ok := s.Outdated(); ok {
				all = append(all, "former "+filepath.Base(u.File))
			}
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"both are good", func() {}, "S one.example.org, S two.example.org"},
		{"the first breaks", func() { write("a", "nowhere") }, "S one.example.org, S two.example.org, former a.yaml"},
		{"the other one breaks, too", func() { write("b", "nowhere") }, "S one.example.org, S two.example.org, former a.yaml"},
		{"both are mended, one is renamed", func() {
			write("a", "https://one.example.org/v3")
			i.remove("b")
			write("c", "https://two.example.org/v3")
		}, "S one.example.org, S two.example.org"},
		{"the renamed one breaks", func() { write("c", "nowhere") }, "S one.example.org, S two.example.org, former c.yaml"},
		{"it goes", func() { i.remove("c") }, "S one.example.org"},
	} {
		step.do()
		for range 2 { // started anew, and once more
			a, err := app.Open(t.Context(), i.load(), app.Options{})
			if err != nil {
				t.Fatalf("%s: %v", step.what, err)
			}
			if got := clouds(a); got != step.want {
				t.Errorf("%s: %s\nwant %s", step.what, got, step.want)
			}
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSiteFiles: a site's file that is broken, or gone with too many others, leaves its site as it was, also across a
// restart, and touches no other one.
func TestSiteFiles(t *testing.T) {
	i := newIncluding(t)
	for n := range 6 {
		i.site(fmt.Sprint("S", n), "R1")
	}
	a, err := app.Open(t.Context(), i.load(), app.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	step := func(what, want string) {
		t.Helper()
		reloaded, err := a.With(t.Context(), i.load())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := serves(reloaded); got != want {
			t.Errorf("%s: reloaded, it serves %s\nwant %s", what, got, want)
		}
		restarted, err := app.Open(t.Context(), i.load(), app.Options{})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := serves(restarted); got != want {
			t.Errorf("%s: restarted, it serves %s\nwant %s", what, got, want)
		}
		if err := restarted.Close(); err != nil {
			t.Error(err)
		}
	}
	step("all are good", "S0 R1, S1 R1, S2 R1, S3 R1, S4 R1, S5 R1")
	i.site("S0", "R2")
	i.write("sites.d/S1.yaml", "site: {gocdb: S1}\nclouds: nonsense\n")
	i.write("sites.d/S2.yaml", "site: {gocdb: S2}\n\tno: yaml\n")
	step("two are broken, one changed", "S0 R2, S1 R1!, S2 R1!, S3 R1, S4 R1, S5 R1")
	i.site("S1", "R3")
	i.site("S2", "R1")
	i.write("sites.d/S9.yaml", "site: {gocdb: S9}\nclouds: nonsense\n")
	step("they are mended, and a new one is broken", "S0 R2, S1 R3, S2 R1, S3 R1, S4 R1, S5 R1")
	i.remove("S9", "S5")
	step("one is gone", "S0 R2, S1 R3, S2 R1, S3 R1, S4 R1")
	i.remove("S1", "S2", "S3", "S4")
	step("four are gone at once", "S0 R2, S1 R3!, S2 R1!, S3 R1!, S4 R1!")
	i.main(", prune: true")
	step("four are given up", "S0 R2")
	i.main("")
	step("they are forgotten", "S0 R2")

	i.site("S0", "R9")
	if _, err := a.With(t.Context(), i.load()); err != nil { // and what comes after it in a reload fails
		t.Fatal(err)
	}
	i.write("sites.d/S0.yaml", "site: {gocdb: S0}\nclouds: nonsense\n")
	step("a configuration that never came into force is not the last good one", "S0 R2!")
}
