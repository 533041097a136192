package accounting

import (
	"cmp"
	"slices"
	"time"
)

// Size is what a flavor gives a VM.
type Size struct {
	Flavor        string // name
	VCPUs         int64
	Memory        int64 // MiB
	Disk          int64 // GiB, root and ephemeral
	BenchmarkType string
	Benchmark     *float64 // nil = not known
}

func (s Size) equal(o Size) bool {
	same := (s.Benchmark == nil) == (o.Benchmark == nil) && (s.Benchmark == nil || *s.Benchmark == *o.Benchmark)
	a, b := s, o
	a.Benchmark, b.Benchmark = nil, nil
	return same && a == b
}

// resized tells whether the VM has another flavor, not only another benchmark.
func (s Size) resized(o Size) bool {
	return s.Flavor != o.Flavor || s.VCPUs != o.VCPUs || s.Memory != o.Memory || s.Disk != o.Disk
}

// Meter is what has been counted of a VM: cumulative since StartedAt, up to CountedTo, with the size and the state in
// effect at that instant, not the last ones seen: both may have changed since (design §7, rule 5). Times are unix
// seconds, durations seconds. While nothing else is said StartedAt + Wall + Suspended = CountedTo (rule 4).
type Meter struct {
	StartedAt int64
	Wall      int64 // charged
	Suspended int64 // not charged
	CPU       int64 // vCPU seconds, charged
	CountedTo int64
	Size      Size
	State     string // Nova's word, upper case
	EndedAt   int64  // 0 = lives
}

// Reading is a meter at one instant, from which one record is made.
type Reading struct {
	Meter
	At    int64
	Final bool // the VM ended at At
}

// Period is the UTC month, "2024-03", in which the server counts a record measured at the instant (spec accounting
// §3.3).
func Period(at int64) string { return time.Unix(at, 0).UTC().Format("2006-01") }

// monthEnd gives 23:59:59 of the last day of the instant's month. A record measured a second later would be counted in
// the next month and leave this one empty (spec accounting §3.3).
func monthEnd(at int64) int64 {
	t := time.Unix(at, 0).UTC()
	return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC).Unix() - 1
}

// monthStart gives the first instant of the instant's month.
func monthStart(at int64) int64 {
	t := time.Unix(at, 0).UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).Unix()
}

// Change is a size or state that a VM got at an instant; nil or "" leaves it as it was.
type Change struct {
	At    int64
	Size  *Size
	State string
}

// Charge says which states count as use. What is not charged goes into SuspendDuration (design §7, rule 4).
type Charge struct {
	StoppedFree bool // SHUTOFF is not charged
	ShelvedFree bool // SHELVED and SHELVED_OFFLOADED are not charged

	unowned []Window // when the project belongs to no VO, which nobody is charged for; they do not overlap
	since   int64    // what lies before was counted by cASO, which charged all of it; 0 = nothing does
}

func (c Charge) free(state string) bool {
	switch state {
	case "SHUTOFF":
		return c.StoppedFree
	case "SHELVED", "SHELVED_OFFLOADED":
		return c.ShelvedFree
	}
	return false
}

// freeTime gives how many seconds between two instants are not charged in the state; less than none from a later one to an
// earlier one.
func (c Charge) freeTime(state string, from, to int64) int64 {
	if c.since != 0 {
		from, to = max(from, c.since), max(to, c.since)
	}
	if c.free(state) {
		return to - from
	}
	var n int64
	for _, w := range c.unowned {
		n += max(min(max(from, to), w.To)-max(min(from, to), w.From), 0)
	}
	if to < from {
		return -n
	}
	return n
}

// Advance counts a VM on from where the meter stands up to the instant to, or up to its end if that is not later, and
// gives the reading at each month's end on the way (from the month of notBefore on) and the last one. It is pure. An
// end before CountedTo takes back what was counted beyond it, at the rate in effect there, because nothing changes on a
// dead VM (rule 7). No reading is given for a VM that had not started by then.
func (m Meter) Advance(changes []Change, to, end, notBefore int64, charge Charge) (Meter, []Reading) {
	to = max(to, m.CountedTo)
	ends := end != 0 && end <= to
	if ends {
		to = end
	}
	m.EndedAt = 0
	counted := m.CountedTo > m.StartedAt
	if to < m.CountedTo {
		m.count(to, charge)
	}
	if to <= m.StartedAt && !(ends && counted) { // of what was counted before its start all is taken back
		return m, nil
	}
	var readings []Reading
	notBefore = max(notBefore, m.CountedTo+1) // a month end counted to before has its reading
	for _, c := range sorted(changes) {
		if c.At > to {
			break
		}
		m.monthEnds(&readings, max(c.At, m.CountedTo), notBefore, charge)
		m.count(max(c.At, m.CountedTo), charge)
		if c.Size != nil {
			m.Size = *c.Size
		}
		m.State = cmp.Or(c.State, m.State)
	}
	m.monthEnds(&readings, to, notBefore, charge)
	m.count(to, charge)
	if ends {
		m.EndedAt = to
	}
	return m, append(readings, Reading{Meter: m, At: to, Final: ends})
}

// monthEnds counts to each month's end before the instant until, and gives a reading there.
func (m *Meter) monthEnds(readings *[]Reading, until, notBefore int64, charge Charge) {
	for e := monthEnd(m.CountedTo); e < until; e = monthEnd(e + 1) { // until itself is the next stretch's
		m.count(e, charge)
		if e >= notBefore {
			*readings = append(*readings, Reading{Meter: *m, At: e})
		}
	}
}

// count moves CountedTo to the instant at the present rate; back, when it lies before.
func (m *Meter) count(at int64, charge Charge) {
	free := charge.freeTime(m.State, m.CountedTo, at)
	used := at - m.CountedTo - free
	m.Suspended += free
	m.Wall += used
	m.CPU += used * m.Size.VCPUs
	if m.Wall < 0 { // an end before the present stretch began: what is taken back beyond it was not charged
		m.Suspended, m.Wall = m.Suspended+m.Wall, 0
	}
	if m.Suspended < 0 {
		m.Wall, m.Suspended = m.Wall+m.Suspended, 0
	}
	m.CPU = max(m.CPU, 0)
	m.CountedTo = at
}

func sorted(changes []Change) []Change {
	return slices.SortedStableFunc(slices.Values(changes), func(a, b Change) int { return cmp.Compare(a.At, b.At) })
}
