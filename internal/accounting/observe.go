package accounting

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// Observation is what is known of a VM from one sighting. The newer observation wins (design §7, rule 2).
type Observation struct {
	Server       openstack.Server
	Seen         int64              // unix milliseconds: when OpenStack was asked
	Actions      []openstack.Action // oldest first; nil when they were not asked for, or denied
	ActionDenied bool
	ActionsLater bool   // they cannot be read now: the VM is left as it is known
	UserName     string // "" when it could not be read
	Image        string // marketplace URI, else the id; "" = booted from a volume
	ImageUnknown bool   // the image could not be looked up: what was known before stays
}

// errNeverRan marks a VM that was never launched: it has no record.
var errNeverRan = errors.New("never launched")

// lifetime gives the VM's creation and end in unix seconds, end 0 while it lives (spec accounting §1.6): terminated_at;
// where Nova has none, updated when the status is DELETED. Impossible times are an error.
func lifetime(s openstack.Server, seen int64) (start, end int64, err error) {
	if s.Launched.IsZero() {
		return 0, 0, errNeverRan
	}
	if s.Created.IsZero() || s.Created.Year() < 2005 {
		return 0, 0, fmt.Errorf("impossible creation time %q", s.Created.Format("2006-01-02T15:04:05Z"))
	}
	start = s.Created.Unix()
	if start > seen/1000+clockTolerance {
		return 0, 0, fmt.Errorf("created in the future: %s", s.Created.UTC().Format("2006-01-02T15:04:05Z"))
	}
	switch {
	case !s.Terminated.IsZero():
		end = s.Terminated.Unix()
	case s.Status == "DELETED":
		end = s.Updated.Unix()
	default:
		return start, 0, nil
	}
	if end < start {
		return 0, 0, fmt.Errorf("ended %s, before its creation %s", unix(end), unix(start))
	}
	if end > seen/1000+clockTolerance {
		return 0, 0, fmt.Errorf("ended in the future: %s", unix(end))
	}
	return start, end, nil
}

// clockTolerance is how far, in seconds, a cloud's times may be ahead of ours before they are called impossible.
const clockTolerance = 3600

// sizeOf tells what the VM's flavor gives it. The benchmark comes from the flavor's extra specs (cASO's keys), else from
// the configuration.
func sizeOf(f openstack.Flavor, benchmarks []Benchmark) (Size, error) {
	s := Size{Flavor: f.Name, VCPUs: f.VCPUs, Memory: f.RAM, Disk: f.Disk + f.Ephemeral, BenchmarkType: f.ExtraSpecs[benchmarkType]}
	value, given := f.ExtraSpecs[benchmarkValue]
	var err error
	if given {
		v, perr := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if perr != nil || v < 0 || !(v < 1e7) {
			err = fmt.Errorf("flavor %s: accounting:benchmark_value is %q, not a number", f.Name, value)
		} else {
			s.Benchmark = &v
		}
	}
	if s.BenchmarkType == "" && s.Benchmark == nil {
		for _, b := range benchmarks {
			if ok, _ := path.Match(b.Flavor, f.Name); ok {
				s.BenchmarkType, s.Benchmark = b.Type, new(b.Value)
				break
			}
		}
	}
	return s, err
}

// flavor gives the size as that of a flavor, with the benchmark in its extra specs.
func (s Size) flavor(id string) openstack.Flavor {
	f := openstack.Flavor{ID: id, Known: true, Name: s.Flavor, VCPUs: s.VCPUs, RAM: s.Memory, Disk: s.Disk, ExtraSpecs: map[string]string{}}
	if s.BenchmarkType != "" {
		f.ExtraSpecs[benchmarkType] = s.BenchmarkType
	}
	if s.Benchmark != nil {
		f.ExtraSpecs[benchmarkValue] = strconv.FormatFloat(*s.Benchmark, 'g', -1, 64)
	}
	return f
}

// The extra specs of a flavor that carry its benchmark, as cASO reads them.
const (
	benchmarkType  = "accounting:benchmark_type"
	benchmarkValue = "accounting:benchmark_value"
)

// wantsActions tells whether the VM's instance actions are needed to date what changed since the meter stood still: a
// flavor change always, a change of state only where the state decides on the charge. Of a VM that is new they are asked
// for when it may have had another flavor before: no API tells which, but that there was one must be said.
func wantsActions(m Meter, o Observation, size Size, charge Charge, since int64, previous Previously) bool {
	s := o.Server
	byState := charge.StoppedFree || charge.ShelvedFree
	if m.CountedTo == 0 {
		touched := s.Updated.Sub(s.Launched) > 2*time.Second
		wait := s.Launched.Sub(s.Created)
		if byState && s.Updated.Unix() >= since && (touched || wait > 10*time.Second) { // an unshelve, too, launches it anew
			return true
		}
		if byState && resizeStates[s.Status] { // whether it runs or is stopped is told by nothing else
			return true
		}
		counts := s.Created.Unix() >= since || previous == Nothing && s.Updated.Unix() >= since // cASO priced what it counted anew
		return counts && (wait > slowBuild || s.Status == "VERIFY_RESIZE" || touched && s.Status == "ACTIVE")
	}
	if m.Size.resized(size) || s.Launched.Unix() > m.CountedTo { // a resize and its revert launch it anew, too
		return true
	}
	return byState && s.Updated.Unix() > m.CountedTo
}

// slowBuild is how long after its creation a VM is launched at the latest, if nothing has launched it anew since.
const slowBuild = 5 * time.Minute

// changesOf dates what happened to the VM since the meter stood still, from the observation (design §7, rule 5). The
// doubt is not empty when a flavor change could not be dated, and was put at the last sight, or when the VM had a flavor
// in between that was not seen. The cloud's clock may be some seconds ahead of ours: what it dates so far after the sight
// keeps its instant, which is simply not reached yet.
func changesOf(m Meter, o Observation, size Size, charge Charge, ahead int64) (changes []Change, doubt string) {
	seen := o.Seen / 1000
	dated := func(t int64) bool { return t > m.CountedTo && t <= seen+ahead }
	var resizes []int64
	for _, a := range o.Actions {
		if t := finished(a); !a.Failed && resizing[a.Name] && dated(t) {
			resizes = append(resizes, t)
		}
	}
	if o.Server.Flavor.ID != "" && o.Actions != nil && m.Size.resized(size) && !slices.ContainsFunc(o.Actions, func(a openstack.Action) bool { return resizing[a.Name] && !a.Failed }) {
		size = m.Size // it was never resized: its flavor's id was given to another size, which is not the VM's
	}
	if n := len(resizes); n > 0 && (o.Server.Status == "RESIZE" || o.Server.Status == "REVERT_RESIZE") {
		resizes = resizes[:n-1] // it goes on: Nova dates it by when its present step began
	}
	if !m.Size.equal(size) {
		at := m.CountedTo // for another benchmark, which comes from the configuration, and when nothing better is known
		if m.Size.resized(size) && len(resizes) > 0 {
			at = resizes[len(resizes)-1]
		} else if size.VCPUs != m.Size.VCPUs {
			doubt = fmt.Sprintf("flavor changed from %s (%d vCPU) to %s (%d vCPU) at an unknown time, counted from %s on; possible error %d vCPU × %d s",
				m.Size.Flavor, m.Size.VCPUs, size.Flavor, size.VCPUs, unix(at), abs(size.VCPUs-m.Size.VCPUs), seen-m.CountedTo)
		}
		changes = append(changes, Change{At: at, Size: &size})
	}
	if len(resizes) > 1 || (len(resizes) == 1 && !m.Size.resized(size)) {
		doubt = fmt.Sprintf("flavor changed %s since %s, to one that was not seen: counted as %s until %s", often(len(resizes)), unix(m.CountedTo), m.Size.Flavor, unix(resizes[len(resizes)-1]))
	}
	state := o.Server.Status
	if charge.StoppedFree || charge.ShelvedFree || resizeStates[state] {
		changes = append(changes, states(m.State, o.Actions, dated)...)
	}
	was, last := m.State, m.CountedTo
	for _, c := range sorted(changes) {
		if c.State != "" {
			was, last = c.State, c.At
		}
	}
	if state == "DELETED" || state == "" || state == was || resizeStates[state] {
		return changes, doubt
	}
	at := o.Server.Updated.Unix()
	if last > m.CountedTo { // the actions do not say all: a stopped VM that is rebuilt stays stopped
		if !resting[state] {
			return changes, doubt
		}
		if at < last || !dated(at) {
			at = last
		}
		return append(changes, Change{At: at, State: state}), doubt
	}
	if o.ActionDenied && charge.free(state) != charge.free(m.State) && m.CountedTo > m.StartedAt { // one that is new changed when its row says, as far as is known
		at = m.CountedTo
		doubt = cmp.Or(doubt, fmt.Sprintf("state changed from %s to %s at an unknown time, counted from %s on; possible error %d s", m.State, state, unix(at), seen-at))
	} else if !dated(at) {
		at = m.CountedTo
	}
	return append(changes, Change{At: at, State: state}), doubt
}

// stateAt gives the state that the actions say the VM was in at the instant.
func stateAt(actions []openstack.Action, at int64) string {
	state := "ACTIVE"
	for _, c := range states(state, actions, func(t int64) bool { return t <= at }) {
		state = c.State
	}
	return state
}

// states gives the states that a VM got by the actions whose time is wanted, from the given one on, in order of time.
func states(state string, actions []openstack.Action, wanted func(int64) bool) (changes []Change) {
	byEnd := slices.SortedStableFunc(slices.Values(actions), func(a, b openstack.Action) int { return cmp.Compare(finished(a), finished(b)) })
	for _, a := range byEnd {
		after, ok := stateAfter[a.Name]
		if !ok || a.Failed || !wanted(finished(a)) || (a.Name == "rebuild" && state == "SHUTOFF") { // a stopped VM stays stopped
			continue
		}
		state = after
		changes = append(changes, Change{At: finished(a), State: after})
	}
	return changes
}

// before tells of a VM that is seen for the first time how often it had changed its flavor by then; "" for never.
func before(o Observation, since int64, size Size) string {
	n := 0
	for _, a := range o.Actions {
		if resizing[a.Name] && !a.Failed && finished(a) > since {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("flavor changed %s before the VM was first seen, from one that nothing tells: counted as %s (%d vCPU) from %s on", often(n), size.Flavor, size.VCPUs, unix(since))
}

// often says a number of times in words.
func often(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// resizing are the instance actions after which a VM has another flavor.
var resizing = map[string]bool{"resize": true, "revertResize": true}

// stateAfter gives the state that a finished instance action leaves.
var stateAfter = map[string]string{
	"start": "ACTIVE", "stop": "SHUTOFF", "reboot": "ACTIVE", "rebuild": "ACTIVE", "resume": "ACTIVE", "unpause": "ACTIVE",
	"pause": "PAUSED", "suspend": "SUSPENDED", "shelve": "SHELVED", "shelveOffload": "SHELVED_OFFLOADED", "unshelve": "ACTIVE",
	"rescue": "RESCUE", "unrescue": "ACTIVE", "restore": "ACTIVE",
}

// resizeStates are those of a resize that goes on, or is to be confirmed: the VM runs, or is stopped, as it was before.
var resizeStates = map[string]bool{"RESIZE": true, "VERIFY_RESIZE": true, "REVERT_RESIZE": true}

// resting are the states that stay until something is done to the VM.
var resting = map[string]bool{"ACTIVE": true, "SHUTOFF": true, "PAUSED": true, "SUSPENDED": true, "SHELVED": true, "SHELVED_OFFLOADED": true, "RESCUE": true, "ERROR": true, "SOFT_DELETED": true}

// finished is when an action took effect: updated_at of the finished action from microversion 2.58 on, else start_time.
func finished(a openstack.Action) int64 {
	if a.Updated.IsZero() {
		return a.Start.Unix()
	}
	return a.Updated.Unix()
}
