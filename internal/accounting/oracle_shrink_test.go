package accounting_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// shrink takes away from a timeline that fails what it fails without, so that the story that is left is short. A failure
// counts as the same when its words are the same, whatever its figures.
func shrink(t testing.TB, tl *timeline, fault string) *trial {
	t.Helper()
	class := classOf(fault)
	fails := func(c *timeline) *trial {
		a := openArchive(t)
		defer a.db.Close()
		tr := newTrial(a, c, "shrunk", nil)
		tr.run()
		for i, f := range tr.faults {
			if classOf(f) == class {
				tr.faults = append([]string{f}, slices.Delete(tr.faults, i, i+1)...)
				return tr
			}
		}
		return nil
	}
	best := fails(tl)
	for left, smaller := 150, best != nil; smaller && left > 0; {
		smaller = false
		for _, c := range simpler(best.timeline) {
			if left--; left == 0 {
				break
			}
			if tr := fails(c); tr != nil {
				best, smaller = tr, true
				break
			}
		}
	}
	return best
}

var figures = regexp.MustCompile(`[0-9]+([-:TZ.][0-9a-fTZ.:-]+)?|[+-]`)

func classOf(fault string) string { return figures.ReplaceAllString(fault, "#") }

// simpler gives the timelines that lack one thing, the largest things first.
func simpler(tl *timeline) (all []*timeline) {
	without := func(edit func(*timeline)) {
		c := *tl
		c.lives, c.steps = slices.Clone(tl.lives), slices.Clone(tl.steps)
		edit(&c)
		all = append(all, &c)
	}
	for i := range tl.lives {
		if len(tl.lives) > 1 {
			without(func(c *timeline) { c.lives = slices.Delete(c.lives, i, i+1) })
		}
	}
	steps := len(tl.steps) - 2 // the last two stay
	for size := steps; size >= 1; size /= 2 {
		for i := 0; i+size <= steps; i += size {
			without(func(c *timeline) { c.steps = slices.Delete(c.steps, i, i+size) })
		}
	}
	for i, l := range tl.lives {
		if n := len(l.vm.Events); n > 1 && l.vm.Events[n-1].Kind != world.Delete {
			without(func(c *timeline) { c.lives[i].vm.Events = slices.Clone(l.vm.Events[:n-1]) })
		}
		if len(l.hidden) > 0 {
			without(func(c *timeline) { c.lives[i].hidden = nil })
		}
		if l.late > 0 {
			without(func(c *timeline) { c.lives[i].late = 0 })
		}
	}
	for i, s := range tl.steps {
		if s.skew != 0 || s.ask.Projects != nil || !s.ask.From.IsZero() || !s.ask.To.IsZero() || s.trouble.kind != "" {
			without(func(c *timeline) { c.steps[i].trouble = trouble{} })
			without(func(c *timeline) { c.steps[i].ask = accounting.Ask{} })
			without(func(c *timeline) { c.steps[i].skew = 0 })
		}
	}
	if plain := (timeline{user: "reader", askPage: 1000, givePage: 1000, parallel: 1, perMessage: 100}); tl.user != plain.user || tl.askPage+tl.givePage+tl.parallel+tl.perMessage != 2101 {
		without(func(c *timeline) {
			c.user, c.askPage, c.givePage, c.parallel, c.perMessage = plain.user, plain.askPage, plain.givePage, plain.parallel, plain.perMessage
		})
	}
	if tl.charge.StoppedFree || tl.charge.ShelvedFree {
		without(func(c *timeline) { c.charge = accounting.Charge{} })
	}
	if tl.denied {
		without(func(c *timeline) { c.denied = false })
	}
	if tl.era.Name != emulated.Current.Name {
		without(func(c *timeline) { c.era = emulated.Current })
	}
	if tl.previously != accounting.Nothing {
		without(func(c *timeline) { c.previously = accounting.Nothing })
	}
	if month := time.Date(tl.since.Year(), tl.since.Month(), 1, 0, 0, 0, 0, time.UTC); month != tl.since {
		without(func(c *timeline) { c.since = month })
	}
	return all
}
