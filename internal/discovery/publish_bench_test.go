package discovery

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/glue"
)

// BenchmarkPublish hands the document of a large site, 100 shares with 200 flavors and 500 images each, to a directory and to
// the database: one object for each share and merged, new each time and unchanged.
func BenchmarkPublish(b *testing.B) {
	c := largeCatalog(100, 200, 500)
	c.Registration.Value.Key = "16001G0"
	for _, merged := range []bool{false, true} {
		r := everything
		r.Merged = merged
		for _, changed := range []bool{true, false} {
			b.Run(fmt.Sprintf("merged=%v/changed=%v", merged, changed), func(b *testing.B) {
				b.ReportAllocs()
				doc, findings := Render(c, r)
				db := storetest.Open(b, store.Config{Path: filepath.Join(b.TempDir(), "fedsite.db")})
				now := func() time.Time { return c.Made }
				t := &Target{Site: site.Site{ID: "s1", Name: c.Site}, Settings: Settings{Mode: site.Active}, Sinks: []Sink{NewFile("file", b.TempDir(), JSON), NewStore("api", db)}}
				n := 0
				for b.Loop() {
					if changed {
						n++
						doc.Images[0].Name = fmt.Sprint("image ", n)
					}
					d := Deps{Now: now, DB: db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("publish", now, nil)}
					if err := Publish(b.Context(), d, t, []Rendered{{Endpoint: c.EP, Site: c.Site, GOCDBKey: "16001G0", Document: doc, Findings: findings}}, Publishing{}); err != nil {
						b.Fatal(err)
					}
					if report := d.Run.Finish(); report.Counts["documents_published"] == 0 {
						b.Fatalf("%s: %v %+v", report.Outcome, report.Counts, report.Problems)
					}
				}
			})
		}
	}
}

// BenchmarkDigest tells what of publishing is done before any sink: validation and digest.
func BenchmarkDigest(b *testing.B) {
	doc, _ := Render(largeCatalog(100, 200, 500), everything)
	b.Run("validate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			glue.Validate(doc)
		}
	})
	b.Run("digest", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Digest(doc); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("body", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Body(JSON, doc, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestSizeOfADocument: the buffer that a document is written into is as large as the document, and hardly larger.
func TestSizeOfADocument(t *testing.T) {
	for _, c := range []Catalog{{}, sample("a"), hostileCatalog("a", "b"), largeCatalog(3, 20, 20)} {
		doc, _ := Render(c, everything)
		_, size, err := digestOf(doc)
		if err != nil {
			t.Fatal(err)
		}
		body, err := Body(JSON, doc, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(body); n > size || size-n > size/5 {
			t.Errorf("%d bytes, foreseen were %d", n, size)
		}
	}
}
