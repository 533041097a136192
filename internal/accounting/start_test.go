package accounting_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// hours gives what the accounting server counted, by VO and month.
func (b *bed) hours() map[string]int64 {
	b.fed.Server.Summarise(b.clock.now())
	sums := map[string]int64{}
	for _, m := range b.fed.Server.Monthly() {
		sums[m.VO+" "+m.Period] += (m.Wall + 1800) / 3600 // a month's row is a second short of it
	}
	return sums
}

// TestRule15NothingBeforeSendsFromSince observes for two months a site that nothing accounted before, then goes active:
// every month since then is sent, because the server counts all that the first record says in the first record's month.
func TestRule15NothingBeforeSendsFromSince(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(1, "2024-01-10"), cfg, "2024-03-02T00:05:00Z", "2024-03-02")
		set := &b.target.Settings
		set.Mode, set.Previously, set.ActiveFrom = site.Observe, accounting.Nothing, time.Time{}
		b.clean(b.collect(""))
		b.clean(b.collect("2024-05-03T00:05:00Z"))
		set.Mode = site.Active
		b.clean(b.send())
		if d := cmp.Diff(map[string]int64{"ops 2024-03": 30 * 24, "ops 2024-04": 30 * 24, "ops 2024-05": 48}, b.hours()); d != "" {
			t.Errorf("hours (-truth +server):\n%s", d)
		}
	})
}

// TestRule15NothingBeforeAndALaterMonth names a later month than that of since: it would be charged with all use since
// then. With since on the same day what was collected is forgotten, and collected from there.
func TestRule15NothingBeforeAndALaterMonth(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(1, "2024-01-10"), cfg, "2024-03-02T00:05:00Z", "2024-03-02")
		set := &b.target.Settings
		set.Previously, set.Since, set.ActiveFrom = accounting.Nothing, time.Time{}, moment("2024-05-01")
		b.clean(b.collect(""))
		b.clean(b.collect("2024-05-03T00:05:00Z"))
		refused := func(texts ...string) {
			t.Helper()
			if r := b.send(); r.Exit() != run.ExitFailed || len(b.fed.Received()) != 0 {
				t.Errorf("exit %d, %d messages", r.Exit(), len(b.fed.Received()))
			}
			b.told(texts...)
		}
		refused("2024-05", "since 2024-03-01T00:00:00Z", "set accounting.since to the same day")
		set.Since = set.ActiveFrom
		refused("nothing was collected from the new start", "fedsite accounting collect")
		b.clean(b.collect("2024-05-03T01:05:00Z"))
		b.clean(b.send())
		if d := cmp.Diff(map[string]int64{"ops 2024-05": 49}, b.hours()); d != "" {
			t.Errorf("hours (-truth +server):\n%s", d)
		}
		set.Since = time.Time{} // sent is sent: the configuration changes nothing any more
		set.ActiveFrom = moment("2024-03-01")
		b.clean(b.send())
	})
}

// TestRule15ANewStartBeforeAnythingWasSent goes active, is refused by the broker's side, and then says other words: the
// month from which on is sent follows them.
func TestRule15ANewStartBeforeAnythingWasSent(t *testing.T) {
	b := newBed(t, crowd(1, "2024-01-10"), onDisk(t), "2024-03-02T00:05:00Z", "2024-03-02")
	set, real := &b.target.Settings, b.target.Destinations
	set.ActiveFrom = time.Time{}
	b.clean(b.collect(""))
	b.clean(b.collect("2024-05-03T00:05:00Z"))
	b.target.Destinations = nil
	b.clean(b.send()) // active from May on
	b.target.Destinations = real
	set.Previously = accounting.Nothing
	if r := b.send(); r.Exit() != run.ExitFailed {
		t.Errorf("exit %d: what was collected is reckoned as after cASO", r.Exit())
	}
	b.clean(b.collect("2024-05-03T00:10:00Z"))
	b.clean(b.send())
	if got := b.hours(); got["ops 2024-03"] != 30*24 || got["ops 2024-05"] != 48 {
		t.Errorf("%v", got)
	}
}

// TestRule15AnotherMonth names another month before anything was sent, which is taken over, and after, which is not, and
// is said.
func TestRule15AnotherMonth(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(1, "2024-01-10"), cfg, "2024-04-02T00:05:00Z", "2024-01-01")
		b.clean(b.collect(""))
		set := &b.target.Settings
		set.ActiveFrom = moment("2025-02-01") // a slip
		if r := b.send(); r.Counts["messages_cut"] != 0 {
			t.Fatalf("%v", r.Counts)
		}
		set.ActiveFrom = moment("2024-03-01")
		if r := b.send(); r.Counts["records_sent"] != 2 || len(r.Problems) != 0 {
			t.Errorf("March and April: %v, %+v", r.Counts, r.Problems)
		}
		set.ActiveFrom = moment("2024-02-01")
		if r := b.send(); r.Counts["messages_cut"] != 0 {
			t.Errorf("February was sent although March was settled: %v", r.Counts)
		}
		b.told("active_from says 2024-02, but records go out from 2024-03 on")
	})
}
