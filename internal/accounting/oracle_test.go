package accounting_test

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// Timelines of TestOracle: how many, and the first one's seed.
var (
	oracleTimelines = flag.Int("timelines", 0, "timelines of TestOracle; 0 = 1000, or 100 with -short")
	oracleSeed      = flag.Uint64("seed", 1, "seed of TestOracle's first timeline")
)

// perArchive is how many timelines share a store.
const perArchive = 100

// TestOracle runs random timelines with random schedules of collecting and sending over them, and compares what the
// accounting server has at the end with the world's truth (rules 1 to 11 of the ledger).
func TestOracle(t *testing.T) {
	n := *oracleTimelines
	if n == 0 {
		n = 1000
		if testing.Short() {
			n = 100
		}
	}
	for first := 0; first < n; first += perArchive {
		t.Run(fmt.Sprint("from ", *oracleSeed+uint64(first)), func(t *testing.T) {
			t.Parallel()
			a := openArchive(t)
			for i := first; i < min(first+perArchive, n); i++ {
				oracleRun(t, a, newTimeline(*oracleSeed+uint64(i)))
			}
		})
	}
}

// stories is how many failures were shrunk: that takes a while.
var stories atomic.Int64

// oracleRun runs one timeline, and tells its story when something is wrong.
func oracleRun(t *testing.T, a *archive, tl *timeline) {
	t.Helper()
	tr := newTrial(a, tl, fmt.Sprint("oracle-", tl.seed), nil)
	if tr.run() {
		return
	}
	if stories.Add(1) > 3 {
		t.Errorf("timeline %d fails, too: %s", tl.seed, tr.faults[0])
		return
	}
	if small := shrink(t, tl, tr.faults[0]); small != nil {
		t.Errorf("%s", small.report())
		return
	}
	t.Errorf("%s\n(alone, in a store of its own, it does not fail)", tr.report())
}

// run plays the timeline and judges its end; false when something is wrong.
func (tr *trial) run() bool {
	tr.play()
	if len(tr.faults) == 0 || len(tr.sights) > 0 {
		tr.judge()
	}
	return len(tr.faults) == 0
}

// report tells what is wrong, what happened, and how to see it again.
func (tr *trial) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "timeline %d:\n", tr.seed)
	for _, f := range tr.faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	fmt.Fprintf(&b, "  since %s, previously %s, charge %+v, %s as %s, denied %v, pages %d/%d, %d projects at once, %d records in a message\n", stamp(tr.since), tr.previously, tr.charge, tr.era.Name, tr.user, tr.denied, tr.askPage, tr.givePage, tr.parallel, tr.perMessage)
	for _, l := range tr.lives {
		fmt.Fprintf(&b, "  VM %s of project …%s, flavor %s, created %s", l.vm.ID, l.vm.Project[len(l.vm.Project)-1:], l.vm.Flavor, stamp(l.vm.Created))
		for _, e := range l.vm.Events {
			fmt.Fprintf(&b, ", %s %s", strings.TrimSpace(string(e.Kind)+" "+e.Value), stamp(e.At))
		}
		for _, h := range l.hidden {
			fmt.Fprintf(&b, "; hidden from %s to %s", stamp(h.from), stamp(h.to))
		}
		if l.late > 0 {
			fmt.Fprintf(&b, "; its end shows %s late", l.late)
		}
		b.WriteString("\n")
	}
	for _, s := range tr.story {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	fmt.Fprintf(&b, "again: go test ./internal/accounting -run 'TestOracle$' -timelines 1 -seed %d", tr.seed)
	return b.String()
}
