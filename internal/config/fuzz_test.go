package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
		if strings.Contains(text, "/dev/") {
			return // a proxy's file is read at once, and a device may never end
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
