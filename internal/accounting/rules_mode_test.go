package accounting_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// TestModesOfCloudsAndVOs: within an active site a VO, or a cloud, may observe or be left out. What only observed goes out
// from the month on in which it becomes active, VMs that ended before in that month as well; after nothing, from the start.
func TestModesOfCloudsAndVOs(t *testing.T) {
	ofVO := func(t *accounting.Target, m site.Mode) { t.Clouds[0].Cloud.VOs[1].Mode = m }
	ofCloud := func(t *accounting.Target, m site.Mode) { t.Clouds[0].Mode = m }
	each(t, func(t *testing.T, cfg store.Config) {
		for name, c := range map[string]struct {
			previously accounting.Previously
			mode       func(*accounting.Target, site.Mode)
			before     []string // "VO month" at the server while it observes
			after      []string // and once it is active
			left       int64    // projects that are collected while it is disabled
		}{
			"a VO after cASO":     {accounting.CASO, ofVO, []string{"ops 2024-02", "ops 2024-03"}, []string{"biomed 2024-03", "ops 2024-02", "ops 2024-03"}, 1},
			"a VO after nothing":  {accounting.Nothing, ofVO, []string{"ops 2024-02", "ops 2024-03"}, []string{"biomed 2024-02", "biomed 2024-03", "ops 2024-02", "ops 2024-03"}, 1},
			"a cloud after cASO":  {accounting.CASO, ofCloud, nil, []string{"biomed 2024-03", "ops 2024-03"}, 0},
			"account_as the same": {accounting.CASO, func(t *accounting.Target, m site.Mode) { ofVO(t, m); t.Clouds[0].Cloud.VOs[1].AccountAs = "ops" }, nil, []string{"ops 2024-03"}, 1},
		} {
			if cfg.Path == "" && name != "a VO after cASO" {
				continue // one of them shows that the other store does the same
			}
			t.Run(name, func(t *testing.T) {
				w := withProject(small(), nil)
				vmOf(w, project, id(1), moment("2024-02-10"), moment("2024-03-02T04:00:00"))
				vmOf(w, project2, id(2), moment("2024-02-11"), moment("2024-02-20"))
				vmOf(w, project2, id(3), moment("2024-02-12"), moment("2024-03-02T05:00:00"))
				vmOf(w, project2, id(4), moment("2024-03-01"), time.Time{})
				into := cfg
				if cfg.Path != "" {
					into = onDisk(t)
				}
				b := newBed(t, w, into, "2024-03-01T00:10:00Z", "2024-02-01")
				b.target.Settings.Previously, b.target.Settings.ActiveFrom = c.previously, moment("2024-02-01")
				b.target.Clouds[0].Cloud.VOs = []site.VO{{Name: "ops", Project: project}, {Name: "biomed", Project: project2}}
				sent := func() []string { return slices.Sorted(maps.Keys(b.owing(false))) }

				c.mode(b.target, site.Observe)
				for _, at := range []string{"2024-03-01T00:10:00Z", "2024-03-03T00:10:00Z"} {
					b.clean(b.collect(at))
					b.clean(b.send())
				}
				if d := cmp.Diff(c.before, sent()); d != "" {
					t.Errorf("while it observes (-want +server):\n%s", d)
				}
				if plan, _ := b.preview(); len(plan) > 0 {
					t.Errorf("while it observes, --dry-run shows %v", plan)
				}
				named := b.target.Clouds[0].Cloud.VOs
				if b.target.Clouds[0].Mode == "" && named[1].AccountAs == "" { // its entry is left out: what it kept back stays so
					b.target.Clouds[0].Cloud.VOs = named[:1]
					b.clean(b.send())
					if d := cmp.Diff(c.before, sent()); d != "" {
						t.Errorf("once its entry is left out (-want +server):\n%s", d)
					}
					b.target.Clouds[0].Cloud.VOs = named
				}
				c.mode(b.target, site.Active)
				if plan, _ := b.preview(); len(plan) == 0 {
					t.Error("--dry-run shows nothing of what goes next")
				}
				b.clean(b.collect("2024-03-03T01:10:00Z"))
				b.clean(b.send())
				if d := cmp.Diff(c.after, sent()); d != "" {
					t.Errorf("once it is active (-want +server):\n%s", d)
				}
				if n := b.count(`SELECT count(*) FROM delivery WHERE subject = $1`, id(3)); n == 0 {
					t.Error("a VM that ended in this month, before it became active, was not sent")
				}
				c.mode(b.target, site.Disabled)
				if r := b.collect("2024-03-05T01:10:00Z"); r.Counts["projects_collected"] != c.left {
					t.Errorf("%d projects are collected while it is disabled, want %d", r.Counts["projects_collected"], c.left)
				}
			})
		}
	})
}
