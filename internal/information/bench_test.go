package information

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// federation writes the documents of so many sites, each of 10 VOs with 30 images, about 150 kB.
func federation(b *testing.B, sites int) string {
	b.Helper()
	dir := b.TempDir()
	for n := range sites {
		d := offer(b, fmt.Sprintf("SITE-%03d", n), fmt.Sprintf("%dG0", 1000+n), fmt.Sprintf("https://ks%d.example.org:5000/v3", n))
		for v := range 10 {
			vo := fmt.Sprintf("vo%d.example.org", v)
			share := glue.NewShare(d.Services[0].ID, d.Endpoints[0].ID, vo, fmt.Sprintf("%032d", v))
			d.Shares, d.MappingPolicies = append(d.Shares, share), append(d.MappingPolicies, glue.NewMappingPolicy(share.ID, vo))
			for i := range 30 {
				d.Images = append(d.Images, glue.Image{
					Entity: glue.Entity{ID: fmt.Sprintf("%08d-0000-4000-8000-%012d", n, i), Name: "registry.egi.eu egi_vm_images/ubuntu:22.04", CreationTime: noon, Validity: 12 * time.Hour},
					Shares: []string{share.ID}, Endpoints: []string{d.Endpoints[0].ID}, MarketplaceURL: fmt.Sprintf("registry.egi.eu/egi_vm_images/ubuntu:%d", i),
				})
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.json", n)), body(b, d), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return dir
}

// BenchmarkFederation reads the documents of 100 sites, then those that changed, and answers over a connection.
func BenchmarkFederation(b *testing.B) {
	dir := federation(b, 100)
	late := func() *Directory {
		d := NewDirectory(dir, Limits{})
		d.now = func() time.Time { return time.Now().Add(time.Minute) }
		return d
	}
	b.Run("first look", func(b *testing.B) {
		for b.Loop() {
			serve(b, Options{Sources: []Source{late()}})
		}
	})
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := serve(b, Options{Sources: []Source{late()}})
	if n := len(s.holdings.now.Load().Sites); n != 100 {
		b.Fatalf("%d sites", n)
	}
	held := float64(heap()-before) / (1 << 20)
	b.Run("look, nothing changed", func(b *testing.B) {
		for b.Loop() {
			s.Refresh(b.Context())
		}
		b.ReportMetric(held, "MiB-held")
	})
	text, err := os.ReadFile(filepath.Join(dir, "000.json"))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.Run("look, one of 100 changed", func(b *testing.B) {
		for b.Loop() {
			n++
			if err := os.WriteFile(filepath.Join(dir, "000.json"), text, 0o600); err != nil {
				b.Fatal(err)
			}
			if err := os.Chtimes(filepath.Join(dir, "000.json"), time.Time{}, time.Unix(int64(n), 0)); err != nil {
				b.Fatal(err)
			}
			s.Refresh(b.Context())
		}
	})
	server := httptest.NewServer(s)
	defer server.Close()
	for _, path := range []string{"/sites/", "/sites/?vo_name=vo3.example.org", "/site/SITE-050/", "/site/SITE-050/vo3.example.org/images", "/images/"} {
		b.Run(path, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := http.Get(server.URL + path)
					if err != nil {
						b.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}
