package run

import "slices"

// CheckState is what a check found.
type CheckState string

// States of a check.
const (
	CheckOK   CheckState = "ok"
	CheckWarn CheckState = "warn" // works, but not for long, or not all of it
	CheckFail CheckState = "fail" // does not work
	CheckSkip CheckState = "skip" // could not be looked at, or need not be
)

// Check is one thing that a part needs, and how it stands. Part, Site, Cloud, Name and Object say which thing it is, and
// stay the same from run to run; figures and times belong into Reason.
type Check struct {
	Part   string     `json:"part"` // accounting, service …
	Site   string     `json:"site,omitempty"`
	Cloud  string     `json:"cloud,omitempty"`
	Object string     `json:"object,omitempty"` // "project 4ae0… (vo-ops)", "destination ams"; "" when Name says it
	Name   string     `json:"name"`             // what is checked: "sign-in", "role", "certificate"
	State  CheckState `json:"state"`
	Reason string     `json:"reason"`           // what was found
	Remedy string     `json:"remedy,omitempty"` // what to do, when it is not ok
	Stored bool       `json:"stored,omitempty"` // read from the store alone: whoever can read that knows better than an old report
}

// Same tells whether two checks are about the same thing.
func (c Check) Same(o Check) bool {
	return c.Part == o.Part && c.Site == o.Site && c.Cloud == o.Cloud && c.Object == o.Object && c.Name == o.Name
}

// MaxChecks is how many checks a report lists; of more only those that are not ok are listed, up to twice as many.
const MaxChecks = 500

// Check records what a check found. A check that failed makes the run partial: it was done, and found something. Of a thing
// that is checked twice the worse finding stays.
func (r *Recorder) Check(c Check) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.report.Checks, c.Same); i >= 0 {
		if was := r.report.Checks[i].State; c.State.Worse(was) {
			r.report.Counts["checks_"+string(was)]--
			r.report.Counts["checks_"+string(c.State)]++
			r.report.Checks[i] = c
		}
		return
	}
	r.report.Counts["checks_"+string(c.State)]++
	limit := MaxChecks
	if c.State.Worse(CheckOK) {
		limit *= 2
	}
	if len(r.report.Checks) < limit {
		r.report.Checks = append(r.report.Checks, c)
	}
}

// rank orders states from the best to the worst.
func (s CheckState) rank() int {
	return slices.Index([]CheckState{CheckSkip, CheckOK, CheckWarn, CheckFail}, s)
}

// Worse tells whether the state is worse than the other one; one that was skipped is the best.
func (s CheckState) Worse(than CheckState) bool { return s.rank() > than.rank() }
