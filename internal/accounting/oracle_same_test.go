package accounting_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
)

// TestOracleSame shows that the server ends with the same records whatever the size of pages and messages, the order of
// projects, how many are collected at once, and whether a reader or an administrator collects.
func TestOracleSame(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			plain := newTimeline(seed)
			plain.user, plain.askPage, plain.givePage, plain.parallel, plain.perMessage = "reader", 1000, 1000, 1, 100
			for i := range plain.steps {
				plain.steps[i].trouble = trouble{} // its n-th request is another one in each of them
			}
			want := endOn(t, plain)
			for name, edit := range map[string]func(*timeline){
				"pages of one":            func(tl *timeline) { tl.askPage = 1 },
				"messages of one":         func(tl *timeline) { tl.perMessage = 1 },
				"projects in other order": func(tl *timeline) { slices.Reverse(tl.projects) },
				"all projects at once":    func(tl *timeline) { tl.parallel = 3 },
				"an administrator":        func(tl *timeline) { tl.user = "root" },
			} {
				tl := *plain
				tl.projects = slices.Clone(plain.projects)
				edit(&tl)
				if d := cmp.Diff(want, endOn(t, &tl)); d != "" {
					t.Errorf("%s (-plain +it):\n%s", name, d)
				}
			}
		})
	}
}

// endOn runs a timeline in a store of its own, and gives the records that the server has at the end.
func endOn(t *testing.T, tl *timeline) map[string]string {
	t.Helper()
	a := openArchive(t)
	defer a.db.Close()
	tr := newTrial(a, tl, "same", nil)
	tr.still = true
	if !tr.run() {
		t.Errorf("%s", tr.report())
	}
	rows := map[string]string{}
	for key, r := range tr.rowsNow() {
		if tl.era.Name == emulated.Mitaka.Name { // without tokens of the system only an administrator may read users
			r.GlobalUserName = ""
		}
		rows[key] = fmt.Sprint(r.Status, " ", r.FQAN, " ", r.GlobalUserName, " ", r.MachineName, " ", r.ImageID, " start ", value(r.StartTime), " end ", value(r.EndTime),
			" suspended ", value(r.Suspend), " wall ", value(r.Wall), " CPU ", value(r.CPU), " of ", r.CPUCount)
	}
	return rows
}

// TestOracleInEveryTimeZone runs timelines in processes whose host has another zone, and compares how they end.
func TestOracleInEveryTimeZone(t *testing.T) {
	if os.Getenv("ORACLE_ZONE") != "" {
		a := openArchive(t)
		for seed := uint64(1); seed <= 8; seed++ {
			tr := newTrial(a, newTimeline(seed), fmt.Sprint("zone-", seed), nil)
			if !tr.run() {
				t.Errorf("%s", tr.report())
			}
			rows := tr.rowsNow()
			for _, key := range slices.Sorted(maps.Keys(rows)) {
				fmt.Println("row", key, rows[key].Measured, value(rows[key].StartTime), value(rows[key].EndTime), value(rows[key].Wall), value(rows[key].CPU))
			}
		}
		return
	}
	t.Parallel()
	var first string
	for _, zone := range []string{"UTC", "Pacific/Kiritimati", "America/St_Johns"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-era", era.Name, "-test.run", "^TestOracleInEveryTimeZone$")
		cmd.Env = append(os.Environ(), "TZ="+zone, "ORACLE_ZONE=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", zone, err, out)
		}
		var rows []string
		for line := range strings.Lines(string(out)) {
			if strings.HasPrefix(line, "row ") {
				rows = append(rows, line)
			}
		}
		text := strings.Join(rows, "")
		if first == "" {
			first = text
		}
		if d := cmp.Diff(first, text); d != "" || len(rows) == 0 {
			t.Errorf("%s (-UTC +it), %d rows:\n%s", zone, len(rows), d)
		}
	}
}

// TestOracleOverTheBroker sends what timelines collect over the emulated broker: signed, with tokens, over TLS.
func TestOracleOverTheBroker(t *testing.T) {
	a := openArchive(t)
	n := uint64(5)
	if testing.Short() {
		n = 2
	}
	for seed := uint64(1); seed <= n; seed++ {
		tl := newTimeline(seed)
		tr := newTrial(a, tl, fmt.Sprint("broker-", seed), func(tr *trial) {
			fed, err := federation.Start("127.0.0.1", tr.hostNow, "SITE-A")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = fed.Close() })
			tr.server = fed.Server
			b := &bed{t: t, fed: fed}
			tr.target.Destinations = []accounting.Destination{b.broker("SITE-A")}
			tr.over = func(s step, cancel context.CancelCauseFunc) { overTheBroker(fed.Faults, s.trouble, cancel) }
			t.Cleanup(func() {
				for _, r := range fed.Received() {
					if !r.Accepted {
						t.Errorf("timeline %d: message %s was rejected: %s", seed, r.Empaid, r.Reason)
					}
				}
			})
		})
		if !tr.run() {
			t.Errorf("%s", tr.report())
		}
	}
}

// overTheBroker arms a sending's trouble at the broker.
func overTheBroker(set *faults.Set, what trouble, cancel context.CancelCauseFunc) {
	set.Clear()
	effect, ok := map[string]faults.Effect{
		"kill before delivery": {Do: func() { cancel(errKilled) }, Unread: true},
		"kill after delivery":  {Do: func() { cancel(errKilled) }, Lost: true},
		"lost on the way":      {Unread: true},
		"lost answer":          {Lost: true},
		"refused":              {Status: http.StatusForbidden, Body: "{}"},
		"busy":                 {Status: http.StatusTooManyRequests, Body: "{}"},
	}[what.kind]
	if ok {
		set.Add(faults.Fault{Method: http.MethodPost, Nth: what.nth, Effect: effect})
	}
}
