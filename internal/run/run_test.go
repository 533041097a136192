package run

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.FixedZone("CET", 3600))

func recorder(progress func(Progress)) *Recorder {
	return NewRecorder("accounting.collect/site", func() time.Time { return noon }, progress)
}

// TestOutcome: outcome and exit code of a run, by what went wrong.
func TestOutcome(t *testing.T) {
	problem := Problem{Object: "VM 1", Reason: "absurd times"}
	notice := Problem{Object: "VM 2", Reason: "worth knowing", Notice: true}
	denied := Problem{Object: "cloud a", Reason: "wrong password", Exit: ExitNotAuthorised}
	down := Problem{Object: "cloud b", Reason: "no answer", Exit: ExitUnavailable}
	cases := []struct {
		name             string
		problems, failed []Problem
		outcome          Outcome
		exit             int
	}{
		{"nothing wrong", nil, nil, Done, ExitDone},
		{"a notice", []Problem{notice}, nil, Done, ExitDone},
		{"a problem", []Problem{problem, notice}, nil, Partial, ExitPartial},
		{"a problem with an exit code of its own", []Problem{denied}, nil, Partial, ExitPartial},
		{"failed", nil, []Problem{{Object: "database"}}, Failed, ExitFailed},
		{"failed for one cause", []Problem{notice}, []Problem{denied}, Failed, ExitNotAuthorised},
		{"failed twice for one cause", nil, []Problem{down, {Object: "cloud c", Exit: ExitUnavailable}}, Failed, ExitUnavailable},
		{"failed for two causes", nil, []Problem{denied, down}, Failed, ExitFailed},
		{"failed, with another problem beside the cause", []Problem{problem}, []Problem{down}, Failed, ExitUnavailable},
		{"failed for a notice", nil, []Problem{notice}, Failed, ExitFailed},
	}
	for _, c := range cases {
		r := recorder(nil)
		for _, p := range c.problems {
			r.Problem(p)
		}
		for _, p := range c.failed {
			r.Fail(p)
		}
		report := r.Finish()
		if report.Outcome != c.outcome || report.Exit() != c.exit {
			t.Errorf("%s: %s, exit %d; want %s, %d", c.name, report.Outcome, report.Exit(), c.outcome, c.exit)
		}
	}
}

// TestReport: what a report holds, and its form as JSON, in which it is stored.
func TestReport(t *testing.T) {
	var shown []Progress
	r := recorder(func(p Progress) { shown = append(shown, p) })
	r.Step("collect")
	r.Progress("VMs", 5, 0)
	r.Count("records", 3)
	r.Count("records", 4)
	r.Problem(Problem{Site: "b", Object: "VM 1", Step: "collect", Reason: "odd", Hint: "look", Permanent: true})
	r.Problem(Problem{Site: "a", Object: "VM 9", Reason: "odd"})
	for range 3 {
		r.Problem(Problem{Site: "a", Object: "VM 1", Reason: "odd", Exit: ExitUnavailable})
	}
	text, err := json.Marshal(r.Finish())
	if err != nil {
		t.Fatal(err)
	}
	want := `{"task":"accounting.collect/site","started":"2026-11-24T11:00:00Z","ended":"2026-11-24T11:00:00Z","outcome":"partial","counts":{"problems":3,"records":7},"problems":[` +
		`{"site":"a","object":"VM 1","reason":"odd","times":3},{"site":"a","object":"VM 9","reason":"odd"},` +
		`{"site":"b","object":"VM 1","step":"collect","reason":"odd","hint":"look","permanent":true}]}`
	if d := cmp.Diff(want, string(text)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]Progress{{Step: "collect"}, {Step: "collect", What: "VMs", Done: 5}}, shown); d != "" {
		t.Error(d)
	}
}

// TestManyProblems: a report does not grow without end, whoever reports at once, and says how many it leaves out.
func TestManyProblems(t *testing.T) {
	r := recorder(nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r.Step(fmt.Sprint("step ", g))
			for i := range 100 {
				r.Problem(Problem{Object: fmt.Sprintf("VM %d", g*100+i), Reason: "odd"})
				r.Problem(Problem{Object: "the same", Reason: "odd"})
				r.Count("seen", 1)
				r.Progress("VMs", int64(i), 100)
			}
		})
	}
	wg.Wait()
	r.Fail(Problem{Object: "cloud", Reason: "down"})
	report := r.Finish()
	same, cause := 0, false
	for _, p := range report.Problems {
		if p.Object == "the same" {
			same = p.Times
		}
		cause = cause || p.Object == "cloud"
	}
	if len(report.Problems) != MaxProblems+1 || report.Dropped != 801-MaxProblems || report.Counts["problems"] != 802 || report.Counts["seen"] != 800 || same != 800 {
		t.Errorf("%d listed, %d not, counts %v, the same one %d times", len(report.Problems), report.Dropped, report.Counts, same)
	}
	if !cause || report.Exit() != ExitFailed {
		t.Errorf("the cause of the failure is listed: %v; exit %d", cause, report.Exit())
	}
}
