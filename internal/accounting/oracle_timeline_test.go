package accounting_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

// timeline is one imagined history of a site and of what operations did to it: a pure function of its seed. Instants are
// the cloud's, in UTC.
type timeline struct {
	seed     uint64
	projects []string // ids, in the order in which the cloud lists them
	lives    []life
	steps    []step

	since      time.Time
	previously accounting.Previously
	charge     accounting.Charge
	era        emulated.Era
	user       string
	denied     bool // instance actions may not be read
	askPage    int  // VMs that fedsite asks for per page
	givePage   int  // Nova's max_limit
	parallel   int  // projects at once
	perMessage int
}

// life is a VM with how it can be seen.
type life struct {
	vm     world.VM
	hidden []span        // in no answer of Nova
	late   time.Duration // its end becomes visible so long after it; the row is written then when that is later than the overlap
}

type span struct{ from, to time.Time }

func (s span) holds(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

// step is one run of collect or send.
type step struct {
	at      time.Time
	send    bool
	final   bool
	skew    time.Duration // how far the host's clock is ahead of the cloud's
	fresh   bool          // a new process: it signs in anew
	ask     accounting.Ask
	trouble trouble
	seed    uint64 // of what happens inside of it
}

// trouble is what disturbs a step; the zero value is none.
type trouble struct {
	kind string
	nth  int // the request, commit or delivery that is struck; from 1
}

// last is the final, undisturbed collection and sending.
func (tl *timeline) last() time.Time { return tl.steps[len(tl.steps)-1].at }

// dice is a timeline's source of chance.
type dice struct{ *rand.Rand }

func newDice(seed, stream uint64) dice { return dice{rand.New(rand.NewPCG(seed, stream))} }

// one tells whether the one of n cases has come up that happens every n-th time.
func (d dice) one(n int) bool { return d.IntN(n) == 0 }

// span gives a duration of whole seconds from lo to hi.
func (d dice) span(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(d.Int64N(int64((hi-lo)/time.Second)+1))*time.Second
}

// near gives a few seconds, a minute, or some minutes, before or after, or nothing.
func (d dice) near() time.Duration {
	reach := []time.Duration{0, 2 * time.Second, 2 * time.Second, time.Minute, 10 * time.Minute}[d.IntN(5)]
	return d.span(-reach, reach)
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

const day = 24 * time.Hour

// Sizes of the VMs. Two have equal vCPU, so that a resize may change nothing that is counted.
var oracleFlavors = []world.Flavor{
	{ID: "1", Name: "m1.small", VCPUs: 2, RAM: 4096, Disk: 20, Extra: map[string]string{"accounting:benchmark_type": "HEPSPEC06", "accounting:benchmark_value": "99.5"}},
	{ID: "2", Name: "m1.large", VCPUs: 8, RAM: 16384, Disk: 40, Ephemeral: 100},
	{ID: "3", Name: "m1.tiny", VCPUs: 1, RAM: 512, Disk: 1},
	{ID: "4", Name: "m1.fat", VCPUs: 2, RAM: 65536, Disk: 20},
}

// settle and overlap of the oracle's sites are the defaults.
const (
	oracleSettle  = 5 * time.Minute
	oracleOverlap = 15 * time.Minute
)

// newTimeline rolls the timeline of the seed.
func newTimeline(seed uint64) *timeline {
	d := newDice(seed, 1)
	tl := &timeline{seed: seed}
	month := time.Date(2023, 10, 1, 0, 0, 0, 0, time.UTC).AddDate(0, d.IntN(8), 0)
	tl.since = month
	if d.one(6) {
		tl.since = month.Add(d.span(0, 40*day))
	}
	tl.settings(d)
	tl.rollSteps(d)
	for i := range 1 + d.IntN(6) {
		tl.lives = append(tl.lives, tl.rollLife(d, i))
	}
	return tl
}

func (tl *timeline) settings(d dice) {
	for i := range 1 + d.IntN(3) {
		tl.projects = append(tl.projects, fmt.Sprintf("%08x%024d", tl.seed, i))
	}
	d.Shuffle(len(tl.projects), func(i, j int) { tl.projects[i], tl.projects[j] = tl.projects[j], tl.projects[i] })
	tl.previously = pick(d, accounting.CASO, accounting.Nothing)
	tl.charge = accounting.Charge{StoppedFree: d.one(3), ShelvedFree: d.one(3)}
	tl.era = pick(d, emulated.Current, emulated.Zed)
	if d.one(3) {
		tl.era = emulated.Mitaka
	}
	tl.user = pick(d, "reader", "plain", "admin", "root")
	tl.denied = d.one(8)
	tl.askPage, tl.givePage = pick(d, 1, 2, 3, 1000), pick(d, 1, 2, 1000, 1000)
	tl.parallel = pick(d, 1, 1, 1, 3)
	tl.perMessage = pick(d, 1, 2, 3, 100)
}

// rollSteps makes the schedule: collections at gaps from minutes to weeks, some around month ends, some sent at once, some
// not for a while.
func (tl *timeline) rollSteps(d dice) {
	at := tl.since.Add(d.span(0, pick(d, time.Hour, 2*day, 40*day)))
	end := at.Add(d.span(20*day, 100*day))
	var instants []time.Time
	for range 2 + d.IntN(8) {
		switch d.IntN(4) {
		case 0:
			instants = append(instants, monthEndNear(d, at, end).Add(pick(d, 0, oracleSettle)))
		case 1:
			if n := len(instants); n > 0 {
				instants = append(instants, instants[n-1].Add(d.span(time.Minute, pick(d, 30*time.Minute, 8*time.Hour))))
				break
			}
			fallthrough
		default:
			instants = append(instants, at.Add(d.span(0, end.Sub(at))))
		}
	}
	slices.SortFunc(instants, time.Time.Compare)
	skewed, troubled, silent := d.one(4), 2+d.IntN(4), d.one(4)
	for _, t := range instants {
		s := step{at: t, fresh: d.one(3), seed: d.Uint64()}
		if skewed {
			s.skew = d.span(-oracleSettle+10*time.Second, oracleSettle-10*time.Second)
		}
		if d.one(troubled) {
			s.trouble = trouble{kind: pick(d, collectTroubles...), nth: 1 + d.IntN(pick(d, 4, 12, 40))}
		}
		s.ask = tl.rollAsk(d, t.Add(s.skew))
		tl.steps = append(tl.steps, s)
		for more := pick(d, 1, 1, 1, 0, 2, 3); !silent && more > 0; more-- {
			s = step{send: true, at: s.at.Add(d.span(time.Second, pick(d, time.Minute, 12*time.Minute, 3*time.Hour))), skew: s.skew, fresh: d.one(3), seed: d.Uint64()}
			if d.one(troubled) {
				s.trouble = trouble{kind: pick(d, sendTroubles...), nth: 1 + d.IntN(pick(d, 2, 6))}
			}
			tl.steps = append(tl.steps, s)
		}
		silent = silent && !d.one(4)
	}
	slices.SortStableFunc(tl.steps, func(a, b step) int { return a.at.Compare(b.at) })
	final := tl.steps[len(tl.steps)-1].at.Add(d.span(4*time.Hour, 20*day))
	tl.steps = append(tl.steps, step{at: final, final: true, seed: d.Uint64(), fresh: true}, step{at: final.Add(11 * time.Minute), final: true, send: true, seed: d.Uint64()})
}

func (tl *timeline) rollAsk(d dice, now time.Time) (a accounting.Ask) {
	switch d.IntN(10) {
	case 0: // an old window again
		a.From = now.Add(-d.span(time.Hour, 30*day))
	case 1: // in pieces
		a.To = now.Add(-d.span(time.Hour, 10*day))
	case 2:
		a.From = now.Add(-d.span(10*day, 30*day))
		a.To = a.From.Add(d.span(time.Hour, 9*day))
	}
	if d.one(12) {
		a.Projects = []string{pick(d, tl.projects...)}
	}
	return a
}

// monthEndNear gives an instant around a month's end between the two instants.
func monthEndNear(d dice, from, to time.Time) time.Time {
	var ends []time.Time
	for m := time.Date(from.Year(), from.Month()+1, 1, 0, 0, 0, 0, time.UTC); !m.After(to.AddDate(0, 1, 0)); m = m.AddDate(0, 1, 0) {
		ends = append(ends, m)
	}
	return pick(d, ends...).Add(d.near())
}

// moment rolls an instant of a VM's life: often around a month's end, a window's end, or a run.
func (tl *timeline) moment(d dice, from, to time.Time) time.Time {
	at := from.Add(d.span(0, max(to.Sub(from), time.Second)))
	switch d.IntN(6) {
	case 0, 1:
		at = monthEndNear(d, from, to)
	case 2:
		s := pick(d, tl.steps...)
		at = s.at.Add(s.skew - oracleSettle + d.near())
	case 3:
		at = pick(d, tl.steps...).at.Add(d.near())
	}
	if at.Before(from) || at.After(to) {
		return from.Add(d.span(0, max(to.Sub(from), time.Second)))
	}
	return at
}

// rollLife makes a VM, and how it can be seen.
func (tl *timeline) rollLife(d dice, n int) life {
	final := tl.last().Add(-3 * time.Hour) // nothing happens after the last collection but one hour before
	created := tl.moment(d, tl.since.Add(-pick(d, 0, 0, 40*day)), final.Add(-time.Hour))
	l := life{vm: world.VM{ID: fmt.Sprintf("%08x-0000-4000-8000-%012d", tl.seed, n), Project: pick(d, tl.projects...), User: pick(d, "u-one", "u-two"),
		Name: pick(d, "vm", "máquina-ñ", "a%%b", "x\nEndTime: 1"), Flavor: pick(d, "1", "2", "3", "4"), Image: pick(d, "", "image-1", "image-2"), Created: created}}
	l.vm.Events = tl.rollEvents(d, created, final, l.vm.Flavor)
	var end time.Time
	for _, e := range l.vm.Events {
		if e.Kind == world.Delete {
			end = e.At
		}
	}
	if !end.IsZero() && d.one(4) {
		if l.late = d.span(time.Second, pick(d, oracleOverlap-oracleSettle, 30*day)); end.Add(l.late).After(final) {
			l.late = 0
		}
	}
	if d.one(6) {
		from := tl.moment(d, created, final)
		l.hidden = []span{{from, from.Add(d.span(time.Minute, pick(d, 2*time.Hour, 10*day, 60*day)))}}
		if l.hidden[0].to.After(final) { // it comes back before the last collection
			l.hidden[0].to = final
		}
	}
	return l
}
