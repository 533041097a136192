package app_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/tasks"
)

// parse reads a configuration over the store.
func parse(t *testing.T, where store.Config, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Store = config.Store{Path: filepath.Dir(where.Path)}
	if where.URL != "" { // what is beside the database belongs to it alone, too
		dir := filepath.Join(os.TempDir(), fmt.Sprintf("fedsite-app-%x", sha256.Sum256([]byte(where.URL)))[:40])
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		cfg.Store = config.Store{Path: dir, URL: config.NewSecret(where.URL)}
	}
	return cfg
}

// open opens fedsite and closes it at the test's end.
func open(t *testing.T, cfg *config.Config) *app.App {
	t.Helper()
	a, err := app.Open(t.Context(), cfg, app.Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

const clouds = `
credentials: {reader: {username: fedsite, password: secret}}
`

func oneSite(site, cloud string) string {
	return fmt.Sprintf("site: %s\nclouds: [%s]", site, cloud) + clouds
}

// TestIDsSurviveNewNames renames a site and its cloud, and finds both again; a site that is new gets ids of its own.
func TestIDsSurviveNewNames(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		ids := func(text string) (string, string) {
			s, err := open(t, parse(t, where, text)).Sites("")
			if err != nil {
				t.Fatal(err)
			}
			return s[0].Site.ID, s[0].Clouds[0].Cloud.ID
		}
		cloud := `{name: main, auth_url: "https://a.example.org/v3"}`
		site, first := ids(oneSite("{gocdb: EXAMPLE-LCG2}", cloud))
		if !strings.HasPrefix(site, "example-lcg2-") || !strings.HasPrefix(first, "main-") {
			t.Errorf("ids %s and %s cannot be read", site, first)
		}
		for _, step := range []struct {
			what, text string
			same       bool
		}{
			{"the same again", oneSite("{gocdb: EXAMPLE-LCG2}", cloud), true},
			{"Keystone moved", oneSite("{gocdb: EXAMPLE-LCG2}", `{name: main, auth_url: "https://b.example.org/v3"}`), true},
			{"site and cloud renamed", oneSite("{gocdb: EXAMPLE, formerly: [{name: EXAMPLE-LCG2, until: 2026-07-01}]}", `{name: r1, formerly: [main], auth_url: "https://b.example.org/v3"}`), true},
			{"former names left out later", oneSite("{gocdb: EXAMPLE}", `{name: r1, auth_url: "https://b.example.org/v3"}`), true},
			{"and back", oneSite("{gocdb: EXAMPLE-LCG2}", cloud), true},
			{"another site", oneSite("{gocdb: OTHER}", cloud), false},
		} {
			s, c := ids(step.text)
			if (s == site) != step.same || (c == first) != step.same {
				t.Errorf("%s: ids %s and %s, at first %s and %s", step.what, s, c, site, first)
			}
		}
	})
}

// TestAFormerNameThatIsSaidLate renames a cloud and forgets its former name, so that it is taken for a new one; said
// later, the first cloud goes on, and the other's name is free.
func TestAFormerNameThatIsSaidLate(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		cloud := func(hours int, text string) string {
			s, err := open(t, parse(t, where, oneSite("{gocdb: EXAMPLE}", text)+fmt.Sprintf("demo: {offset: %dh}\n", hours))).Sites("")
			if err != nil {
				t.Fatal(err)
			}
			return s[0].Clouds[0].Cloud.ID
		}
		first := cloud(1, `{name: main, auth_url: "https://a.example.org/v3"}`)
		second := cloud(2, `{name: r1, auth_url: "https://a.example.org/v3"}`)
		if first == second {
			t.Fatal("a new name is a new cloud")
		}
		for n, text := range []string{`{name: r1, formerly: [main], auth_url: "https://a.example.org/v3"}`, `{name: r1, auth_url: "https://a.example.org/v3"}`} {
			if got := cloud(3+n, text); got != first {
				t.Errorf("%s: %s, not %s", text, got, first)
			}
		}
		if third := cloud(5, `{name: r2, formerly: [none], auth_url: "https://a.example.org/v3"}`); third == first || third == second {
			t.Errorf("another cloud is %s", third)
		}
		cloud(6, `{name: r3, auth_url: "https://a.example.org/v3"}`)
		if got := cloud(7, `{name: r1, formerly: [r3], auth_url: "https://a.example.org/v3"}`); got != first {
			t.Errorf("a younger cloud's former name took it to %s", got)
		}
	})
}

// TestAFormerNameInUseIsNotTaken keeps two sites apart when one takes a name that the other had.
func TestAFormerNameInUseIsNotTaken(t *testing.T) {
	where := store.Config{Path: filepath.Join(t.TempDir(), app.Database)}
	cloud := `[{name: main, auth_url: "https://a.example.org/v3"}]`
	first, _ := open(t, parse(t, where, oneSite("{gocdb: OLD}", `{name: main, auth_url: "https://a.example.org/v3"}`))).Sites("")
	_, _ = open(t, parse(t, where, oneSite("{gocdb: NEW, formerly: [{name: OLD, until: 2026-07-01}]}", `{name: main, auth_url: "https://a.example.org/v3"}`))).Sites("")
	both, err := open(t, parse(t, where, "sites:\n  - {gocdb: NEW, clouds: "+cloud+"}\n  - {gocdb: OLD, clouds: "+cloud+"}"+clouds)).Sites("")
	if err != nil {
		t.Fatal(err)
	}
	if both[0].Site.ID != first[0].Site.ID || both[1].Site.ID == first[0].Site.ID {
		t.Errorf("NEW has id %s, OLD %s; the first site had %s", both[0].Site.ID, both[1].Site.ID, first[0].Site.ID)
	}
	if both[0].Clouds[0].Cloud.ID == both[1].Clouds[0].Cloud.ID {
		t.Error("clouds of two sites have one id")
	}
}

// TestTwoRunsOfOneTaskExcludeEachOther holds a site's collection in one process, and is refused in another.
func TestTwoRunsOfOneTaskExcludeEachOther(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		text := oneSite("{gocdb: EXAMPLE}", `{name: main, auth_url: "http://127.0.0.1:1/v3"}`)
		a, b := open(t, parse(t, where, text)), open(t, parse(t, where, text))
		sites, err := a.Sites("")
		if err != nil {
			t.Fatal(err)
		}
		other, err := tasks.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		runner := tasks.NewRunner(b.Store(), other)
		defer runner.Close()
		name := "accounting.collect/" + sites[0].Site.ID
		if err := tasks.Ensure(t.Context(), b.Store(), name, "", time.UnixMilli(0)); err != nil {
			t.Fatal(err)
		}
		held, err := runner.Claim(t.Context(), tasks.ClaimOptions{Task: name, Always: true})
		if err != nil {
			t.Fatal(err)
		}
		reports := a.Collect(t.Context(), sites, accounting.Ask{})
		holder, ok := errors.AsType[*tasks.HeldError](reports[0].Err)
		if !ok || !strings.Contains(holder.Error(), fmt.Sprintf("process %d on node", os.Getpid())) {
			t.Fatalf("collected although the task is held: %+v", reports[0])
		}
		if text, err := json.Marshal(reports[0]); err != nil || !strings.Contains(string(text), `"error":"task `+name) || strings.Contains(string(text), "report") {
			t.Errorf("programs are told %s, %v", text, err)
		}
		if err := held.Finish(context.Background(), "done", nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if reports = a.Collect(t.Context(), sites, accounting.Ask{}); reports[0].Err != nil || reports[0].Report.Exit() != run.ExitUnavailable {
			t.Errorf("given back, the task runs: %+v", reports[0])
		}
		history(t, a, name)
	})
}

// history sees that each run left its report.
func history(t *testing.T, a *app.App, name string) {
	t.Helper()
	var n int
	err := a.Store().Read(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM run WHERE task = $1 AND ended IS NOT NULL AND outcome <> '' AND (outcome = 'done' OR report LIKE '%connection refused%')`, name).Scan(&n)
	})
	if err != nil || n != 2 {
		t.Errorf("%d finished runs in the history, %v", n, err)
	}
}

// TestABrokenSiteSpoilsNoOther collects two sites of which one has a credential that cannot be read.
func TestABrokenSiteSpoilsNoOther(t *testing.T) {
	where := store.Config{Path: filepath.Join(t.TempDir(), app.Database)}
	a := open(t, parse(t, where, `
sites:
  - {gocdb: BROKEN, clouds: [{name: main, auth_url: "https://a.example.org/v3", credential: lost}]}
  - {gocdb: DOWN, clouds: [{name: main, auth_url: "http://127.0.0.1:1/v3", credential: reader}]}
credentials:
  lost: {username: fedsite, password_file: /nowhere/password}
  reader: {username: fedsite, password: secret}
`))
	sites, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	reports := a.Collect(t.Context(), sites, accounting.Ask{})
	if got := reports[0].Report; got.Exit() != run.ExitConfiguration || !strings.Contains(got.Problems[0].Reason, "/nowhere/password") {
		t.Errorf("BROKEN: exit %d, %+v", got.Exit(), got.Problems)
	}
	if got := reports[1].Report; got.Exit() != run.ExitUnavailable {
		t.Errorf("DOWN: exit %d, %+v", got.Exit(), got.Problems)
	}
	if _, err := a.Sites("OTHER"); err == nil {
		t.Error("an unknown site was found")
	}
}

// TestACloudRenamedByMistake renames a cloud without a word of its former name, and takes it back, or says it late: the
// first row goes on, and the other one is out of the way.
func TestACloudRenamedByMistake(t *testing.T) {
	const url = `auth_url: "https://a.example.org/v3"}`
	for name, last := range map[string]string{"taken back": `{name: main, formerly: [r1], ` + url, "said late": `{name: r1, formerly: [main], ` + url} {
		t.Run(name, func(t *testing.T) {
			where := store.Config{Path: filepath.Join(t.TempDir(), app.Database)}
			id := func(cloud string) string {
				s, err := open(t, parse(t, where, oneSite("{gocdb: EXAMPLE}", cloud))).Sites("")
				if err != nil {
					t.Fatal(err)
				}
				return s[0].Clouds[0].Cloud.ID
			}
			first, second := id(`{name: main, `+url), id(`{name: r1, `+url)
			if first == second {
				t.Fatal("a new name is a new cloud")
			}
			for range 2 {
				if got := id(last); got != first {
					t.Errorf("%s, at first %s, by mistake %s", got, first, second)
				}
			}
			var replaced string
			err := open(t, parse(t, where, oneSite("{gocdb: EXAMPLE}", last))).Store().Read(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT replaced_by FROM cloud WHERE id = $1`, second).Scan(&replaced)
			})
			if err != nil || replaced != first {
				t.Errorf("the mistaken row is replaced by %q, %v", replaced, err)
			}
		})
	}
}
