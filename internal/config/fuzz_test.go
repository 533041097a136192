package config

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse: any text is either valid or refused with errors that have their place, and what is shown of a valid one
// loads to the same.
func FuzzParse(f *testing.F) {
	texts, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(texts) < 4 {
		f.Fatalf("texts to start from: %v, %v", texts, err)
	}
	examples, err := filepath.Glob("../../examples/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(texts, examples...) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add(base)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/dev/") || strings.Contains(text, "/proc/") {
			return // a proxy's file and site files are read at once, and a device may never end
		}
		c, err := Parse("f.yaml", []byte(text))
		if err != nil {
			all, ok := errors.AsType[*Errors](err)
			if !ok || len(all.List) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			lines := strings.Count(text, "\n") + 1
			for _, e := range all.List {
				if e.Message == "" || e.Line > lines || e.Line < 0 || e.Line > 0 && e.Column < 1 || strings.ContainsAny(e.Source, "\n\x1b") {
					t.Errorf("an error without its place or with raw text: %#v", e)
				}
			}
			return
		}
		var b strings.Builder
		if err := c.Show(&b); err != nil {
			t.Fatal(err)
		}
		if len(c.Includes) > 0 {
			return // what is shown has their sites in it
		}
		again, err := Parse("f.yaml", []byte(b.String()))
		if err != nil {
			t.Fatalf("what is shown does not load: %v\n%s", err, b.String())
		}
		// Secrets and passwords of proxies are *** there.
		ignoreSecrets := cmp.FilterValues(func(a, b Secret) bool { return a.from.kind == b.from.kind }, cmp.Ignore())
		shownProxies := cmp.Transformer("shown", func(n Network) networkShown { return n.shown() })
		if d := cmp.Diff(c, again, ignoreOrigins, ignoreSecrets, shownProxies); d != "" {
			t.Errorf("what is shown loads to something else (-file +shown):\n%s\n%s", d, b.String())
		}
	})
}

// FuzzDuration: a duration is refused, or is the same when it is written out; and what Go reads means the same here.
func FuzzDuration(f *testing.F) {
	for _, text := range []string{"15m", "1d12h", "-2d", "2d-1h", "0", "1.5h", "99999d", "106751d24h", "1µs", "1us", "2562047h47m16.854775807s", "-2562047h47m16.854775808s", "1d0", "d", "+1d+1h", "9223372036854775808ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		x, ok := parseDuration(text)
		if !ok {
			return
		}
		if again, ok := parseDuration(x.String()); !ok || again != x {
			t.Errorf("%q is %s, which is read as %s, %v", text, x, again, ok)
		}
		if y, err := time.ParseDuration(text); err == nil && y != x {
			t.Errorf("%q is %s, for Go %s", text, x, y)
		}
		if strings.HasPrefix(text, "-") && x > 0 || !strings.HasPrefix(text, "-") && x < 0 {
			t.Errorf("%q is %s", text, x)
		}
	})
}

// FuzzDate: a day or moment in a configuration is refused with its place, or is the instant that it names, in UTC, and
// the database can hold it.
func FuzzDate(f *testing.F) {
	for _, text := range []string{"2026-11-01", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00.5+02:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "2026-02-30", "yesterday", "2026-11-01t00:00:00z", "2026-11-01T24:00:00Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f.yaml", []byte(base+"accounting: {since: "+strconv.Quote(text)+"}\n"))
		if err != nil {
			return
		}
		since := c.Sites[0].Accounting.Since
		day, derr := time.Parse(time.DateOnly, text)
		at, merr := time.Parse(time.RFC3339, text)
		if derr != nil && merr != nil || derr == nil && !since.Equal(day) || merr == nil && !since.Equal(at) || since.Location() != time.UTC || since.Year() < 0 || since.Year() > 9999 {
			t.Errorf("%q is %s", text, since)
		}
	})
}

// TestLineEnds: an error of a file from Windows is at its place, whatever comes before it, and its secrets are hidden.
func TestLineEnds(t *testing.T) {
	const text = "# a comment\nsite: {gocdb: A}\n# another\nclouds: [{name: main}]\ncredentials:\n  r: {username: u, password: hunter2, userid: 5}\nvos:\n  -\n"
	_, want := Parse("f.yaml", []byte(text))
	_, got := Parse("f.yaml", []byte(strings.ReplaceAll(text, "\n", "\r\n")))
	if want == nil || got == nil || got.Error() != want.Error() || strings.Contains(got.Error(), "hunter2") {
		t.Errorf("%v\nwant %v", got, want)
	}
}
