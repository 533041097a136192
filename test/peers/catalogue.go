package peers

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/protocol/apel"
)

// Where is where a difference is met.
type Where int

const (
	// OnCloud is a real OpenStack: make e2e fails when it does not meet the difference.
	OnCloud Where = iota
	// Recorded is only what cASO made of recorded clouds: the tests of this package.
	Recorded
)

// Difference is one way in which cASO's records differ from ours, on purpose.
type Difference struct {
	Name    string
	Heading string   // of docs/explanation/caso.md, where the reason stands
	Fields  []string // those that it concerns; whole = only one of the two has a record
	Where   Where
	// Explains tells whether it is why the field differs.
	Explains func(p Pair, field string) bool
}

// Catalogue is every difference there may be. The predicates say both values, and that the cause is there.
var Catalogue = []Difference{
	{"program's name", "The program's name", []string{"CloudType"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		return caso == "caso/"+CASOVersion+" (OpenStack)" && ours == p.Run.Program
	}},
	{"name not ASCII", "Names", []string{"MachineName"}, OnCloud, func(p Pair, field string) bool {
		return ascii(p.VM.Name) != p.VM.Name && p.named(field, ascii(p.VM.Name), p.VM.Name)
	}},
	{"name with %%", "Names", []string{"MachineName"}, OnCloud, func(p Pair, field string) bool {
		return ascii(p.VM.Name) == p.VM.Name && strings.Contains(p.VM.Name, "%") && p.named(field, p.VM.Name, p.VM.Name)
	}},
	{"user's name not ASCII", "Names", []string{"GlobalUserName"}, OnCloud, func(p Pair, field string) bool {
		return ascii(p.VM.User) != p.VM.User && p.named(field, ascii(p.VM.User), p.VM.User)
	}},
	{"user deleted", "What was known", []string{"GlobalUserName"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		return p.VM.User == "" && caso == "" && p.VM.UserWas != "" && ours == apel.Escape(p.VM.UserWas)
	}},
	{"own user", "Rights", []string{"GlobalUserName"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		return p.Run.Self != "" && p.VM.User == p.Run.Self && caso == "" && ours == p.Run.Self
	}},
	{"stopped", "Status", []string{"Status"}, OnCloud, status("started", "stopped", "SHUTOFF")},
	{"shelved", "Status", []string{"Status"}, OnCloud, status("unknown", "suspended", "SHELVED", "SHELVED_OFFLOADED")},
	{"deleted softly", "Status", []string{"Status"}, OnCloud, status("unknown", "started", "SOFT_DELETED")},

	{"month's last hours", "Month ends", []string{"WallDuration", "CpuDuration"}, OnCloud, func(p Pair, field string) bool {
		at := p.CASO.Measured() // by cASO, at the end of the last window of that month
		return p.Ours.Measured() == p.monthEnd() && p.Run.When(at) == p.lastEnd() && p.durations(field, p.cumulative(at), p.Ours.Measured())
	}},
	{"silent month", "Month ends", []string{whole}, OnCloud, func(p Pair, _ string) bool {
		return p.CASO == nil && p.Ours.Measured() == p.monthEnd() && p.lastEnd() < p.VM.Created.Unix() && p.Ours.CPUDuration == p.right(p.Ours.Measured())
	}},
	{"resized", "Resizes", []string{"CpuDuration"}, OnCloud, func(p Pair, field string) bool {
		at := p.Ours.Measured()
		return p.VM.CPU != nil && p.Run.When(p.CASO.Measured()) == at && p.CASO.CPUDuration == p.cumulative(at) && p.Ours.CPUDuration == p.VM.CPU(at)
	}},
	{"flavor deleted: CPU time", "Deleted flavors", []string{"CpuDuration"}, OnCloud, func(p Pair, field string) bool {
		return !p.VM.Listed && p.CASO.EndTime == 0 && p.CASO.CPUDuration == 1 && p.Ours.CPUDuration == p.right(p.Ours.Measured())
	}},
	{"flavor deleted: benchmark", "Deleted flavors", []string{"Benchmark", "BenchmarkType"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		property := map[string]string{"Benchmark": "accounting:benchmark_value", "BenchmarkType": "accounting:benchmark_type"}[field]
		return !p.VM.Listed && caso == "" && ours != "" && ours == p.VM.Extra[property]
	}},
	{"form of a number", "Numbers", []string{"Benchmark"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		return caso == ours+".0"
	}},
	{"never ran", "VMs that never ran", []string{whole}, OnCloud, func(p Pair, _ string) bool {
		return p.nothing() && p.VM.Status == "ERROR" && p.says("Status", "error", "EndTime", p.CASO.Lines["StartTime"], "WallDuration", "1")
	}},
	{"never ran, and deleted", "VMs that never ran", []string{whole}, OnCloud, func(p Pair, _ string) bool {
		return p.nothing() && p.VM.Status == "DELETED" && p.says("Status", "completed") && p.Run.When(p.CASO.EndTime) == p.VM.Ended.Unix()
	}},
	{"being built", "VMs that never ran", []string{whole}, Recorded, func(p Pair, _ string) bool {
		return p.nothing() && p.VM.Status == "BUILD" && p.says("Status", "started", "EndTime", p.CASO.Lines["StartTime"], "WallDuration", "1")
	}},
	{"created when the window ends", "VMs that never ran", []string{whole}, Recorded, func(p Pair, _ string) bool {
		return p.Ours == nil && p.VM.Launched && p.VM.Created.Unix() == p.lastEnd() && p.says("Status", "started", "EndTime", "0", "WallDuration", "1")
	}},
	{"host's time zone", "The host's time zone", []string{"StartTime", "EndTime"}, OnCloud, func(p Pair, field string) bool {
		caso, ours := p.lines(field)
		return p.Run.Zone != 0 && caso != "0" && number(caso)+int64(p.Run.Zone/time.Second) == number(ours)
	}},
	{"second between two windows", "The second between two runs", []string{"Status", "EndTime"}, Recorded, func(p Pair, _ string) bool {
		end := p.VM.Ended
		between := slices.ContainsFunc(p.Run.Ends, func(t time.Time) bool { return end.After(t) && end.Before(t.Add(time.Second)) })
		return between && p.CASO.Status == "started" && p.Ours.Status == apel.StatusCompleted && p.Ours.EndTime == end.Unix()
	}},
	{"zone of a date", "Dates with a zone", []string{"WallDuration", "CpuDuration"}, Recorded, func(p Pair, field string) bool {
		at := p.CASO.Measured()
		return p.dropped() && p.Ours.Measured() == p.lastEnd() && p.durations(field, p.cumulative(at), p.Ours.Measured())
	}},
	{"zone of a date: later", "Dates with a zone", []string{"Status", "EndTime", whole}, Recorded, func(p Pair, field string) bool {
		after := func(t time.Time) bool { return t.Unix() > p.lastEnd() && t.Unix() <= p.CASO.Measured() }
		if p.CASO == nil || !p.dropped() {
			return false
		}
		if field == whole {
			return p.VM.Launched && after(p.VM.Created.Add(time.Second))
		}
		return p.CASO.Status == apel.StatusCompleted && p.Ours.EndTime == 0 && after(p.VM.Ended)
	}},
	{"extractor failed", "Failures", []string{whole}, Recorded, func(p Pair, _ string) bool {
		return p.CASO == nil && p.Run.Crashed && p.Ours.CPUDuration == p.right(p.Ours.Measured())
	}},
}

// status explains cASO's word and ours for a VM in one of Nova's states.
func status(caso, ours string, states ...string) func(Pair, string) bool {
	return func(p Pair, field string) bool {
		a, b := p.lines(field)
		return a == caso && b == ours && slices.Contains(states, p.VM.Status)
	}
}

// ascii drops what is not ASCII.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 0x7E {
			return -1
		}
		return r
	}, s)
}

// named tells whether the lines say the names: cASO's as it is, ours escaped.
func (p Pair) named(field, caso, ours string) bool {
	a, b := p.lines(field)
	return a == caso && b == apel.Escape(ours)
}

// says tells whether cASO's record has the lines: name, value, name, value, …
func (p Pair) says(lines ...string) bool {
	for i := 0; i < len(lines); i += 2 {
		if value, ok := p.CASO.Lines[lines[i]]; !ok || value != lines[i+1] {
			return false
		}
	}
	return true
}

// nothing tells whether only cASO has a record, of a VM that never ran.
func (p Pair) nothing() bool { return p.Ours == nil && !p.VM.Launched }

// dropped tells whether cASO's window ended later than it was told, by the zone that it dropped.
func (p Pair) dropped() bool {
	return p.Run.Dropped > 0 && (p.CASO.Measured() == p.lastEnd()+int64(p.Run.Dropped/time.Second) || p.CASO.Status == apel.StatusCompleted || !p.Both())
}

// monthEnd is the last second of the month.
func (p Pair) monthEnd() int64 {
	first, _ := time.Parse("2006-01", p.Period)
	return first.AddDate(0, 1, 0).Unix() - 1
}

// lastEnd is the end of cASO's last window in the month; 0 = there is none.
func (p Pair) lastEnd() int64 {
	last := int64(0)
	for _, t := range p.Run.Ends {
		if t.UTC().Format("2006-01") == p.Period {
			last = max(last, t.Unix())
		}
	}
	return last
}

// right is the CPU time that our record must say of an instant.
func (p Pair) right(at int64) int64 {
	if p.VM.CPU != nil {
		return p.VM.CPU(at)
	}
	return (at - p.VM.Created.Unix()) * int64(p.Ours.CPUCount)
}

// cumulative is cASO's CPU time at an instant: the present flavor for all the past.
func (p Pair) cumulative(at int64) int64 { return (at - p.CASO.StartTime) * int64(p.CASO.CPUCount) }

// durations tells whether a record's durations are cASO's cumulative ones and our right ones up to an instant.
func (p Pair) durations(field string, caso, at int64) bool {
	if field == "WallDuration" {
		return p.CASO.WallDuration*int64(p.CASO.CPUCount) == caso && p.Ours.WallDuration == at-p.VM.Created.Unix()
	}
	return p.CASO.CPUDuration == caso && p.Ours.CPUDuration == p.right(at)
}

// number reads a line's number; a line that has none gives 0.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
