package accounting

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at reads a UTC time as unix seconds.
func at(t testing.TB, text string) int64 {
	t.Helper()
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if v, err := time.Parse(layout, text); err == nil {
			return v.Unix()
		}
	}
	t.Fatalf("not a time: %q", text)
	return 0
}

func TestPeriodAndMonthEnd(t *testing.T) {
	for _, c := range []struct{ at, period, end string }{
		{"2024-01-31T23:59:59", "2024-01", "2024-01-31T23:59:59"},
		{"2024-02-01T00:00:00", "2024-02", "2024-02-29T23:59:59"},
		{"2023-12-15", "2023-12", "2023-12-31T23:59:59"},
	} {
		if got := Period(at(t, c.at)); got != c.period {
			t.Errorf("Period(%s) = %s, want %s", c.at, got, c.period)
		}
		if got := monthEnd(at(t, c.at)); got != at(t, c.end) {
			t.Errorf("monthEnd(%s) = %s, want %s", c.at, unix(got), c.end)
		}
	}
}

func TestAdvance(t *testing.T) {
	small := Size{Flavor: "small", VCPUs: 2}
	large := Size{Flavor: "large", VCPUs: 8}
	born := func(s string) Meter {
		return Meter{StartedAt: at(t, s), CountedTo: at(t, s), Size: small, State: "ACTIVE"}
	}
	type point struct {
		At         string
		Wall, Susp int64
		CPU        int64
		VCPUs      int64
		Final      bool
	}
	for name, c := range map[string]struct {
		meter     Meter
		changes   []Change
		to, end   string
		notBefore string
		charge    Charge
		want      []point
	}{
		"grows with time": {meter: born("2024-03-05T12:00"), to: "2024-03-10",
			want: []point{{"2024-03-10", 388800, 0, 777600, 2, false}}},
		"gives each month's end at 23:59:59": {meter: born("2024-01-15T10:00"), to: "2024-03-10",
			want: []point{{"2024-01-31T23:59:59", 1432799, 0, 2865598, 2, false}, {"2024-02-29T23:59:59", 3938399, 0, 7876798, 2, false}, {"2024-03-10", 4716000, 0, 9432000, 2, false}}},
		"gives no month end before accounting began": {meter: born("2024-01-15T10:00"), to: "2024-03-10", notBefore: "2024-03-01",
			want: []point{{"2024-03-10", 4716000, 0, 9432000, 2, false}}},
		"is completed at its end": {meter: born("2024-03-02"), to: "2024-03-10", end: "2024-03-04T06:30",
			want: []point{{"2024-03-04T06:30", 196200, 0, 392400, 2, true}}},
		"is completed when it ends exactly at to": {meter: born("2024-03-01"), to: "2024-03-10", end: "2024-03-10",
			want: []point{{"2024-03-10", 777600, 0, 1555200, 2, true}}},
		"still runs at to when it ends later": {meter: born("2024-03-05"), to: "2024-03-10", end: "2024-03-20",
			want: []point{{"2024-03-10", 432000, 0, 864000, 2, false}}},
		"an end at 23:59:59 leaves only the completed row": {meter: born("2024-02-01"), to: "2024-03-10", end: "2024-02-29T23:59:59",
			want: []point{{"2024-02-29T23:59:59", 2505599, 0, 5011198, 2, true}}},
		"alive at a month's end means an end later than 23:59:59": {meter: born("2024-02-01"), to: "2024-03-10", end: "2024-03-01",
			want: []point{{"2024-02-29T23:59:59", 2505599, 0, 5011198, 2, false}, {"2024-03-01", 2505600, 0, 5011200, 2, true}}},
		"created exactly at to has nothing yet": {meter: born("2024-03-10"), to: "2024-03-10"},
		"a resize does not re-price the past": {meter: born("2024-03-01"), to: "2024-03-03", changes: []Change{{At: at(t, "2024-03-02"), Size: &large}},
			want: []point{{"2024-03-03", 172800, 0, 86400*2 + 86400*8, 8, false}}},
		"a resize after to is not in effect yet": {meter: born("2024-03-01"), to: "2024-03-03", changes: []Change{{At: at(t, "2024-03-04"), Size: &large}},
			want: []point{{"2024-03-03", 172800, 0, 172800 * 2, 2, false}}},
		"a resize across a month's end": {meter: born("2024-02-28"), to: "2024-03-02", changes: []Change{{At: at(t, "2024-03-01T12:00"), Size: &large}},
			want: []point{{"2024-02-29T23:59:59", 172799, 0, 172799 * 2, 2, false}, {"2024-03-02", 259200, 0, 216000*2 + 43200*8, 8, false}}},
		"what is not charged goes into SuspendDuration": {meter: born("2024-03-01"), to: "2024-03-04", charge: Charge{StoppedFree: true},
			changes: []Change{{At: at(t, "2024-03-02"), State: "SHUTOFF"}, {At: at(t, "2024-03-03"), State: "ACTIVE"}},
			want:    []point{{"2024-03-04", 172800, 86400, 345600, 2, false}}},
		"time without a VO is not use, in whatever state": {meter: born("2024-02-28"), to: "2024-03-06",
			charge:  Charge{StoppedFree: true, unowned: []Window{{math.MinInt64, at(t, "2024-02-29")}, {at(t, "2024-03-02"), at(t, "2024-03-04")}}},
			changes: []Change{{At: at(t, "2024-03-03"), State: "SHUTOFF"}, {At: at(t, "2024-03-05"), State: "ACTIVE"}},
			want:    []point{{"2024-02-29T23:59:59", 86399, 86400, 172798, 2, false}, {"2024-03-06", 3 * 86400, 4 * 86400, 6 * 86400, 2, false}}},
		"an end learnt late takes back what was counted, also without a VO": {meter: Meter{StartedAt: at(t, "2024-03-01"), CountedTo: at(t, "2024-03-08"), Wall: 5 * 86400, Suspended: 2 * 86400, CPU: 10 * 86400, Size: small, State: "ACTIVE"}, to: "2024-03-09", end: "2024-03-04",
			charge: Charge{unowned: []Window{{at(t, "2024-03-05"), at(t, "2024-03-07")}}},
			want:   []point{{"2024-03-04", 3 * 86400, 0, 6 * 86400, 2, true}}},
		"an old window shows nothing older": {meter: Meter{StartedAt: at(t, "2024-03-01"), CountedTo: at(t, "2024-03-08"), Wall: 604800, CPU: 1209600, Size: small, State: "ACTIVE"}, to: "2024-03-05",
			want: []point{{"2024-03-08", 604800, 0, 1209600, 2, false}}},
		"an old window does not wake the dead": {meter: Meter{StartedAt: at(t, "2024-03-01"), CountedTo: at(t, "2024-03-08"), EndedAt: at(t, "2024-03-08"), Wall: 604800, CPU: 1209600, Size: small, State: "ACTIVE"}, to: "2024-03-05", end: "2024-03-08",
			want: []point{{"2024-03-08", 604800, 0, 1209600, 2, true}}},
		"an end learnt late takes back what was counted beyond it": {meter: Meter{StartedAt: at(t, "2024-03-01"), CountedTo: at(t, "2024-03-08"), Wall: 604800, CPU: 1209600, Size: small, State: "ACTIVE"}, to: "2024-03-09", end: "2024-03-07",
			want: []point{{"2024-03-07", 518400, 0, 1036800, 2, true}}},
		"one that lives again goes on from its end": {meter: Meter{StartedAt: at(t, "2024-03-01"), CountedTo: at(t, "2024-03-07"), EndedAt: at(t, "2024-03-07"), Wall: 518400, CPU: 1036800, Size: small, State: "ACTIVE"}, to: "2024-03-09",
			want: []point{{"2024-03-09", 691200, 0, 1382400, 2, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			end, notBefore := int64(0), int64(0)
			if c.end != "" {
				end = at(t, c.end)
			}
			if c.notBefore != "" {
				notBefore = at(t, c.notBefore)
			}
			after, readings := c.meter.Advance(c.changes, at(t, c.to), end, notBefore, c.charge)
			var got []point
			for _, r := range readings {
				got = append(got, point{unix(r.At), r.Wall, r.Suspended, r.CPU, r.Size.VCPUs, r.Final})
				if r.StartedAt+r.Wall+r.Suspended != r.At {
					t.Errorf("start + wall + suspended is %s, measured %s", unix(r.StartedAt+r.Wall+r.Suspended), unix(r.At))
				}
			}
			for i := range c.want {
				c.want[i].At = unix(at(t, c.want[i].At))
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("readings (-want +got):\n%s", d)
			}
			if len(readings) > 0 && after.CountedTo != readings[len(readings)-1].At {
				t.Errorf("counted to %s", unix(after.CountedTo))
			}
		})
	}
}

// TestAdvanceIsSplitInvariant shows that a VM counted in pieces comes to the same as in one go: no key contains the time
// of a run (design §7, rule 1).
func TestAdvanceIsSplitInvariant(t *testing.T) {
	small, large := Size{Flavor: "s", VCPUs: 1}, Size{Flavor: "l", VCPUs: 4}
	m := Meter{StartedAt: at(t, "2024-01-10T07:03:11"), CountedTo: at(t, "2024-01-10T07:03:11"), Size: small, State: "ACTIVE"}
	changes := []Change{{At: at(t, "2024-01-20T01:00"), State: "SHUTOFF"}, {At: at(t, "2024-02-02"), State: "ACTIVE"}, {At: at(t, "2024-02-11T11:11:11"), Size: &large}}
	to, end := at(t, "2024-04-01"), at(t, "2024-03-17T03:00")
	charge := Charge{StoppedFree: true}
	rows := func(step int64) map[string]Reading {
		got, v := map[string]Reading{}, m
		for at := m.StartedAt + step; ; at += step {
			at = min(at, to)
			var due []Change
			for _, c := range changes {
				if c.At > v.CountedTo {
					due = append(due, c)
				}
			}
			var readings []Reading
			v, readings = v.Advance(due, at, end, 0, charge)
			for _, r := range readings {
				got[Period(r.At)] = r
			}
			if at == to || v.EndedAt != 0 {
				return got
			}
		}
	}
	want := rows(1 << 30)
	if len(want) != 3 {
		t.Fatalf("%d rows, want January, February and March", len(want))
	}
	for _, step := range []int64{3600, 86400, 86399, 12345, 31 * 86400} {
		if d := cmp.Diff(want, rows(step)); d != "" {
			t.Errorf("counted every %d s (-whole +pieces):\n%s", step, d)
		}
	}
}
