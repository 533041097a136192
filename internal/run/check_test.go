package run

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestChecks: a report's checks, in the order in which they were made, and what they make of the outcome.
func TestChecks(t *testing.T) {
	for name, c := range map[string]struct {
		states  []CheckState
		outcome Outcome
		counts  map[string]int64
	}{
		"none":        {nil, Done, map[string]int64{}},
		"ok, skipped": {[]CheckState{CheckOK, CheckSkip, CheckOK}, Done, map[string]int64{"checks_ok": 2, "checks_skip": 1}},
		"a warning":   {[]CheckState{CheckWarn, CheckOK}, Done, map[string]int64{"checks_warn": 1, "checks_ok": 1}},
		"a failure":   {[]CheckState{CheckOK, CheckFail}, Partial, map[string]int64{"checks_ok": 1, "checks_fail": 1}},
	} {
		r := recorder(nil)
		for i, s := range c.states {
			r.Check(Check{Part: "accounting", Name: fmt.Sprint("check ", i), State: s})
		}
		report := r.Finish()
		if report.Outcome != c.outcome {
			t.Errorf("%s: %s, want %s", name, report.Outcome, c.outcome)
		}
		if d := cmp.Diff(c.counts, report.Counts); d != "" {
			t.Errorf("%s: (-want +got):\n%s", name, d)
		}
		for i := range report.Checks {
			if report.Checks[i].Name != fmt.Sprint("check ", i) {
				t.Errorf("%s: check %d is %+v", name, i, report.Checks[i])
			}
		}
	}
}

// TestCheckedTwice: of one thing the worse finding stays, whichever came first; counts tell of things.
func TestCheckedTwice(t *testing.T) {
	r := recorder(nil)
	one := Check{Part: "accounting", Site: "SITE-A", Object: "project 1", Name: "role"}
	for _, s := range []CheckState{CheckWarn, CheckFail, CheckOK} {
		one.State, one.Reason = s, string(s)
		r.Check(one)
	}
	for _, other := range []Check{{Part: "images"}, {Site: "SITE-B"}, {Cloud: "r2"}, {Object: "project 2"}, {Name: "sign-in"}} {
		o := one
		switch {
		case other.Part != "":
			o.Part = other.Part
		case other.Site != "":
			o.Site = other.Site
		case other.Cloud != "":
			o.Cloud = other.Cloud
		case other.Object != "":
			o.Object = other.Object
		default:
			o.Name = other.Name
		}
		r.Check(o)
	}
	report := r.Finish()
	if len(report.Checks) != 6 || report.Checks[0].State != CheckFail || report.Checks[0].Reason != "fail" || report.Outcome != Partial {
		t.Errorf("%s: %+v", report.Outcome, report.Checks)
	}
}

// TestManyChecks: a report does not grow without end, and what is not ok goes before what is.
func TestManyChecks(t *testing.T) {
	r := recorder(nil)
	for i := range MaxChecks + 10 {
		r.Check(Check{Name: fmt.Sprint("ok ", i), State: CheckOK})
	}
	r.Check(Check{Name: "bad", State: CheckFail})
	report := r.Finish()
	if len(report.Checks) != MaxChecks+1 || report.Checks[MaxChecks].Name != "bad" || report.Counts["checks_ok"] != MaxChecks+10 {
		t.Errorf("%d listed, counts %v", len(report.Checks), report.Counts)
	}
}
