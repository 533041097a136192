// Package run holds what a run of a task reports: its steps, counts, problems and outcome. The daemon and the command
// line store and print the same report, and exit codes come from it.
package run

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Outcome is how a run ended.
type Outcome string

// Outcomes of a run, and their exit codes in Outcome.Exit.
const (
	Done    Outcome = "done"    // everything was done
	Partial Outcome = "partial" // some objects were skipped, the rest was done
	Failed  Outcome = "failed"  // nothing, or not the main thing, was done
)

// Exit codes of fedsite (design §4, CLI).
const (
	ExitDone          = 0
	ExitFailed        = 1
	ExitUsage         = 2
	ExitPartial       = 3
	ExitConfiguration = 10
	ExitLocked        = 11
	ExitNotAuthorised = 12
	ExitUnavailable   = 13
)

// Problem is one thing that went wrong, on one object. It spoils that object only.
type Problem struct {
	Site      string `json:"site,omitempty"`
	Cloud     string `json:"cloud,omitempty"`
	Object    string `json:"object"`              // "project 4ae0… (vo-ops)", "VM 7f…", "message 6904…"
	Step      string `json:"step,omitempty"`      // collect, record, ledger, message, send
	Reason    string `json:"reason"`              // what failed
	Hint      string `json:"hint,omitempty"`      // what to do
	Permanent bool   `json:"permanent,omitempty"` // will not pass by itself
	Failed    bool   `json:"failed,omitempty"`    // kept the run from its main work
	Notice    bool   `json:"notice,omitempty"`    // worth knowing; does not make the run partial
	Times     int    `json:"times,omitempty"`     // how often it happened, when more than once
	Exit      int    `json:"-"`                   // exit code when the whole run failed for this: ExitNotAuthorised, ExitUnavailable
}

// Report is what a run did.
type Report struct {
	Task     string           `json:"task"`
	Started  time.Time        `json:"started"`
	Ended    time.Time        `json:"ended"`
	Outcome  Outcome          `json:"outcome"`
	Counts   map[string]int64 `json:"counts"`
	Problems []Problem        `json:"problems,omitempty"`
	Dropped  int              `json:"problems_not_listed,omitempty"` // problems beyond the limit of MaxProblems
	Checks   []Check          `json:"checks,omitempty"`              // in the order in which they were made
}

// MaxProblems is how many different problems a report lists; more are only counted.
const MaxProblems = 200

// Recorder is what a pipeline talks to while it runs. All methods may be called from several goroutines.
type Recorder struct {
	mu       sync.Mutex
	report   Report
	step     string
	progress func(Progress)
	now      func() time.Time
	failed   bool
}

// Progress says how far a run is.
type Progress struct {
	Step  string
	Done  int64
	Total int64 // 0 = not known
	What  string
}

// NewRecorder starts the report of a run of the task. Progress may be nil.
func NewRecorder(task string, now func() time.Time, progress func(Progress)) *Recorder {
	if progress == nil {
		progress = func(Progress) {}
	}
	return &Recorder{now: now, progress: progress, report: Report{Task: task, Started: now().UTC(), Counts: map[string]int64{}}}
}

// Step says that the run has come to the named step.
func (r *Recorder) Step(name string) {
	r.mu.Lock()
	r.step = name
	r.mu.Unlock()
	r.progress(Progress{Step: name})
}

// Progress shows how far the present step is; it is not kept.
func (r *Recorder) Progress(what string, done, total int64) {
	r.mu.Lock()
	step := r.step
	r.mu.Unlock()
	r.progress(Progress{Step: step, What: what, Done: done, Total: total})
}

// Count adds n to the named count.
func (r *Recorder) Count(name string, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Counts[name] += n
}

// Problem records that something went wrong with one object. The same problem again is counted, not repeated.
func (r *Recorder) Problem(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(p, MaxProblems)
}

func (r *Recorder) add(p Problem, limit int) {
	for i := range r.report.Problems {
		q := &r.report.Problems[i]
		if q.Site == p.Site && q.Cloud == p.Cloud && q.Object == p.Object && q.Step == p.Step && q.Reason == p.Reason {
			q.Times = max(q.Times, 1) + 1
			return
		}
	}
	if !p.Notice {
		r.report.Counts["problems"]++
	}
	if len(r.report.Problems) >= limit {
		r.report.Dropped++
		return
	}
	r.report.Problems = append(r.report.Problems, p)
}

// Fail records a problem that kept the run from its main work: the outcome is Failed. It is listed however many problems
// there were before.
func (r *Recorder) Fail(p Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Failed = true
	r.add(p, 2*MaxProblems)
	r.failed = true
}

// Finish closes the report and returns it. Problems are in a stable order.
func (r *Recorder) Finish() Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Ended = r.now().UTC()
	switch {
	case r.failed:
		r.report.Outcome = Failed
	case r.report.Counts["problems"] > 0, r.report.Counts["checks_fail"] > 0:
		r.report.Outcome = Partial
	default:
		r.report.Outcome = Done
	}
	slices.SortStableFunc(r.report.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Cloud, b.Cloud), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Reason, b.Reason))
	})
	return r.report
}

// Exit gives the exit code of the report: 0, 1 or 3, or, when the run failed for one cause only, that cause's code
// (12 not authorised, 13 remote unavailable).
func (r Report) Exit() int {
	switch r.Outcome {
	case Done:
		return ExitDone
	case Partial:
		return ExitPartial
	}
	exit := 0
	for _, p := range r.Problems {
		if !p.Failed {
			continue
		}
		if p.Exit == 0 || (exit != 0 && exit != p.Exit) {
			return ExitFailed
		}
		exit = p.Exit
	}
	return cmp.Or(exit, ExitFailed)
}
