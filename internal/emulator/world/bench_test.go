package world

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkPages lists a project of 60,000 VMs beside others, in pages of 1,000.
func BenchmarkPages(b *testing.B) {
	w := Generate(Options{Seed: 1, At: at(0), Projects: 1, VMs: 60000})
	for i := range 40000 {
		w.Add(VM{ID: fmt.Sprint("other-", i), Project: fmt.Sprint("p", i%99), Created: at(-i)})
	}
	project := w.Projects[0].ID
	since := at(0).Add(-time.Hour)
	for name, q := range map[string]Query{"existing": {Project: project, Limit: 1000}, "changed": {Project: project, Since: &since, Limit: 1000}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for page := q; ; {
					views, _ := w.Seen(at(0)).List(page)
					if len(views) < 1000 {
						break
					}
					page.Marker = views[999].ID
				}
			}
		})
	}
}
