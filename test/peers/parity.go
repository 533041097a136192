package peers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// VM is what is true of a VM, read from the cloud's database or from a recorded cloud, never from either program.
type VM struct {
	Name     string // as its owner wrote it
	User     string // name of its user; "" = Keystone does not know him any more
	UserWas  string // his name before
	Status   string // Nova's: "SHUTOFF"
	Launched bool   // it ran at some time
	Created  time.Time
	Ended    time.Time         // by Nova's clock, to its precision; zero = it lives
	Listed   bool              // its flavor is still in the list of flavors
	Extra    map[string]string // properties of its flavor
	// CPU is what its flavors gave it from its creation up to an instant, vCPU seconds; nil = one flavor all its life.
	CPU func(at int64) int64
}

// Run is how cASO was run.
type Run struct {
	Program string        // what our records say as CloudType
	Ends    []time.Time   // the ends of its windows (--extract-to), in order
	Zone    time.Duration // how far its host's zone is ahead of UTC
	Dropped time.Duration // how far the zone written in --extract-to was ahead of UTC
	Self    string        // the name of its own user, when it may read no other
	Crashed bool          // it reported that an extractor failed
}

// When is the instant at which a record was truly measured that cASO dates by its host's clock.
func (r Run) When(at int64) int64 { return at + int64(r.Zone/time.Second) }

// Pair is a VM and month: cASO's record and ours; one of them may be missing.
type Pair struct {
	Key
	CASO, Ours *Record
	VM         VM
	Run        Run
}

// Both tells whether there are two records.
func (p Pair) Both() bool { return p.CASO != nil && p.Ours != nil }

// lines gives the texts of a field, "" where there is none.
func (p Pair) lines(field string) (caso, ours string) {
	return p.CASO.Lines[field], p.Ours.Lines[field]
}

// whole stands for the field when only one program has a record.
const whole = "record"

// Result is what a comparison found.
type Result struct {
	Same        int            // records that are equal but for the program's name
	Pairs       int            // VMs and months of either
	Met         map[string]int // fields and records, by the name of the entry that explains them
	Unexplained []string
}

// Compare holds cASO's records against ours. A difference must be explained by exactly one entry of the catalogue: two
// that fit are too wide.
func Compare(caso, ours Server, vms map[string]VM, run Run) Result {
	result := Result{Met: map[string]int{}}
	keys := maps.Clone(caso)
	maps.Copy(keys, ours)
	for _, k := range slices.SortedFunc(maps.Keys(keys), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.VM, b.VM), cmp.Compare(a.Period, b.Period))
	}) {
		vm, known := vms[k.VM]
		if !known {
			result.Unexplained = append(result.Unexplained, fmt.Sprintf("%s %s: the cloud has no such VM", k.VM, k.Period))
			continue
		}
		p := Pair{Key: k, VM: vm, Run: run}
		if r, ok := caso[k]; ok {
			p.CASO = &r
		}
		if r, ok := ours[k]; ok {
			p.Ours = &r
		}
		result.add(p)
	}
	return result
}

func (r *Result) add(p Pair) {
	r.Pairs++
	differ := []string{whole}
	if p.Both() {
		differ = fields(*p.CASO, *p.Ours)
	}
	if slices.Equal(differ, []string{"CloudType"}) {
		r.Same++
	}
	for _, field := range differ {
		var names []string
		for _, d := range Catalogue {
			if slices.Contains(d.Fields, field) && p.Both() == (field != whole) && d.Explains(p, field) {
				names = append(names, d.Name)
			}
		}
		if len(names) == 1 {
			r.Met[names[0]]++
			continue
		}
		r.Unexplained = append(r.Unexplained, p.describe(field, names))
	}
}

// describe says what differs, for who has to find out why.
func (p Pair) describe(field string, names []string) string {
	why := "no entry of the catalogue explains it"
	if len(names) > 1 {
		why = fmt.Sprintf("several entries explain it: %q", names)
	}
	what := fmt.Sprintf("%s %s (%s, %s), %s: ", p.Key.VM, p.Period, p.VM.Name, p.VM.Status, field)
	if p.Both() {
		caso, ours := p.lines(field)
		return fmt.Sprintf("%scASO %q, fedsite %q: %s\ncASO %v\nfedsite %v", what, caso, ours, why, p.CASO.Lines, p.Ours.Lines)
	}
	if p.CASO != nil {
		return fmt.Sprintf("%sonly cASO has one: %s\n%v", what, why, p.CASO.Lines)
	}
	return fmt.Sprintf("%sonly fedsite has one: %s\n%v", what, why, p.Ours.Lines)
}
