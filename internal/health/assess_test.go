package health

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// well gives the facts of one site at which all is well.
func well() Facts {
	return Facts{Now: noon,
		Sites: []Site{{ID: "site-a", Name: "SITE-A", Modes: []Mode{{Part: "accounting"}}}},
		Tasks: []Task{
			{Name: "accounting.collect/site-a", Site: "site-a", Period: time.Hour, Created: noon.AddDate(0, -1, 0), NextDue: noon.Add(5 * time.Minute), LastSuccess: noon.Add(-55 * time.Minute),
				Last: &Run{Ended: noon.Add(-55 * time.Minute), Outcome: "done", Report: &run.Report{Outcome: run.Done}}},
			{Name: "accounting.check/site-a", Site: "site-a", Period: time.Hour, Created: noon.AddDate(0, -1, 0), NextDue: noon.Add(5 * time.Minute), LastSuccess: noon.Add(-30 * time.Minute),
				Last: &Run{Ended: noon.Add(-30 * time.Minute), Outcome: "done", Report: &run.Report{Outcome: run.Done, Checks: []run.Check{
					{Part: "accounting", Site: "SITE-A", Cloud: "r1", Name: "sign-in", State: run.CheckOK, Reason: "signed in"},
					{Part: "accounting", Site: "SITE-A", Cloud: "r1", Name: "held", Object: "project 1", State: run.CheckFail, Reason: "held", Stored: true},
					{Part: "accounting", Site: "SITE-A", Name: "destination", State: run.CheckSkip, Reason: "cannot be asked"},
				}}}},
		},
		Checks:  []run.Check{{Part: "accounting", Site: "SITE-A", Cloud: "r1", Name: "collected", State: run.CheckOK, Reason: "all", Stored: true}},
		Service: Service{Started: noon.AddDate(0, 0, -10), Beat: 2 * time.Second, Backups: true, Backup: noon.Add(-9 * time.Hour), Place: "/var/lib/fedsite/backup"},
	}
}

// said gives the items that are not ok, "state part site name object: reason → remedy".
func said(items []Item) []string {
	all := []string{}
	for _, i := range items {
		if i.State == OK {
			continue
		}
		text := fmt.Sprintf("%s %s", i.State, i.Part)
		for _, word := range []string{i.Site, i.Cloud, i.Name, i.Object} {
			if word != "" {
				text += " " + word
			}
		}
		text += ": " + strings.Join(append([]string{i.Reason}, i.More...), "; ")
		if i.Remedy != "" {
			text += " → " + i.Remedy
		}
		all = append(all, text)
	}
	return all
}

// TestAssess: each fact by itself, on a site at which all is well otherwise.
func TestAssess(t *testing.T) {
	problems := []run.Problem{
		{Site: "SITE-A", Cloud: "r1", Object: "project 1", Reason: "belongs to no VO", Hint: "name it"},
		{Site: "SITE-A", Object: "VM 2", Reason: "odd", Hint: "look"},
		{Site: "SITE-A", Object: "VM 3", Reason: "worth knowing", Notice: true},
	}
	late := func(d time.Duration) func(*Facts) {
		return func(f *Facts) { f.Tasks[0].LastSuccess = noon.Add(-d) }
	}
	check := func(c run.Check) func(*Facts) {
		return func(f *Facts) {
			c.Part, c.Site = "accounting", "SITE-A"
			f.Tasks[1].Last.Report.Checks = append(f.Tasks[1].Last.Report.Checks, c)
		}
	}
	for name, c := range map[string]struct {
		do   func(f *Facts)
		want []string
	}{
		"all is well": {func(*Facts) {}, nil},

		"a part that is off": {func(f *Facts) {
			f.Sites[0].Modes[0].Off = true
			f.Checks[0].State = run.CheckFail
			f.Tasks[0].Last.Outcome = "failed"
		},
			[]string{"off accounting SITE-A mode: mode is disabled"}},
		"a broken file": {func(f *Facts) { f.Sites[0].Broken = "sites.d/a.yaml:3: unknown key" },
			[]string{"fail config SITE-A site file: the last good one stays in force: sites.d/a.yaml:3: unknown key → mend it, then systemctl reload fedsite"}},
		"a refused reload": {func(f *Facts) { f.Service.Refused = "fedsite.yaml:7: unknown key" },
			[]string{"warn config reload: the last reload changed nothing: fedsite.yaml:7: unknown key → fedsite config check, then systemctl reload fedsite"}},

		"a task that never ran": {func(f *Facts) {
			f.Tasks[0].Last, f.Tasks[0].LastSuccess, f.Tasks[0].Created = nil, time.Time{}, noon.Add(-time.Hour)
		},
			[]string{"unknown accounting SITE-A task accounting.collect: has not run yet"}},
		"one whose first slot is to come": {func(f *Facts) {
			f.Tasks[0] = Task{Name: "service.digest", Period: 24 * time.Hour, Created: noon, NextDue: noon.Add(time.Hour)}
		}, nil},
		"one that runs for the first time": {func(f *Facts) {
			f.Tasks[0] = Task{Name: "accounting.collect/site-a", Site: "site-a", Period: time.Hour, Created: noon, Running: true, Since: noon}
		},
			[]string{"unknown accounting SITE-A task accounting.collect: runs for the first time"}},
		"one that never runs": {func(f *Facts) {
			f.Tasks[0].Last, f.Tasks[0].LastSuccess, f.Tasks[0].Created = nil, time.Time{}, noon.Add(-4*time.Hour)
		},
			[]string{"warn accounting SITE-A task accounting.collect: has never run; it never succeeded → see whether the service runs, and whether limits: leave it room: fedsite tasks show accounting.collect/site-a"}},
		"one that failed": {func(f *Facts) {
			f.Tasks[0].Last = &Run{Ended: noon.Add(-time.Minute), Outcome: "failed", Report: &run.Report{Outcome: run.Failed, Problems: []run.Problem{{Object: "cloud r1", Reason: "503", Hint: "wait", Failed: true}}}}
		},
			[]string{"warn accounting SITE-A task accounting.collect: last run: 2026-11-26 11:59 UTC, failed: cloud r1: 503 → wait", "unknown accounting SITE-A problems of accounting.collect: the last run failed"}},
		"one that was killed": {func(f *Facts) { f.Tasks[0].Last = &Run{Ended: noon.Add(-time.Minute), Outcome: "abandoned"} },
			[]string{"warn accounting SITE-A task accounting.collect: last run: 2026-11-26 11:59 UTC, abandoned → fedsite tasks show accounting.collect/site-a"}},
		"one that was cancelled":         {func(f *Facts) { f.Tasks[0].Last = &Run{Ended: noon.Add(-time.Minute), Outcome: "cancelled"} }, nil},
		"no success for three periods":   {late(3 * time.Hour), nil},
		"no success for more than three": {late(3*time.Hour + 1), []string{"warn accounting SITE-A task accounting.collect: last run: 2026-11-26 11:05 UTC; no success since 2026-11-26 08:59 UTC → fedsite tasks show accounting.collect/site-a"}},
		"no success for more than a day": {late(25 * time.Hour), []string{"fail accounting SITE-A task accounting.collect: last run: 2026-11-26 11:05 UTC; no success since 2026-11-25 11:00 UTC → fedsite tasks show accounting.collect/site-a"}},
		"a short period is not so short": {func(f *Facts) { late(29 * time.Minute)(f); f.Tasks[0].Period = 5 * time.Minute }, nil},
		"a task without a schedule":      {func(f *Facts) { late(99 * time.Hour)(f); f.Tasks[0].Period, f.Tasks[0].NextDue = 0, time.Time{} }, nil},
		"a task that nothing schedules":  {func(f *Facts) { late(99 * time.Hour)(f); f.Tasks[0].Disabled = true }, nil},
		"due, and nothing runs it":       {func(f *Facts) { f.Tasks[0].NextDue = noon.Add(-16 * time.Minute) }, []string{"warn accounting SITE-A task accounting.collect: due since 2026-11-26 11:44 UTC, and nothing runs it → see whether the service runs, and whether limits: leave it room"}},
		"due, and running": {func(f *Facts) {
			f.Tasks[0].NextDue, f.Tasks[0].Running, f.Tasks[0].Since = noon.Add(-16*time.Minute), true, noon.Add(-16*time.Minute)
		}, nil},
		"a run without end":      {func(f *Facts) { f.Tasks[0].Running, f.Tasks[0].Since = true, noon.Add(-25*time.Hour) }, []string{"warn accounting SITE-A task accounting.collect: runs since 2026-11-25 11:00 UTC → fedsite tasks cancel accounting.collect/site-a"}},
		"a clock that went back": {func(f *Facts) { late(-time.Hour)(f); f.Service.Backup = noon.Add(time.Hour) }, nil},
		"paused": {func(f *Facts) {
			late(99 * time.Hour)(f)
			f.Tasks[0].PausedUntil = noon.Add(time.Hour)
		}, []string{
			"off accounting SITE-A problems of accounting.collect: paused until 2026-11-26 13:00 UTC → fedsite tasks resume accounting.collect/site-a",
			"off accounting SITE-A task accounting.collect: paused until 2026-11-26 13:00 UTC → fedsite tasks resume accounting.collect/site-a"}},
		"a pause that has ended": {func(f *Facts) { f.Tasks[0].PausedUntil = noon }, nil},

		"problems of a run": {func(f *Facts) {
			f.Tasks[0].Last.Outcome, f.Tasks[0].Last.Report = "partial", &run.Report{Outcome: run.Partial, Problems: problems}
		},
			[]string{"warn accounting SITE-A problems of accounting.collect: cloud r1, project 1: belongs to no VO; VM 2: odd → look → name it"}},
		"many problems": {func(f *Facts) {
			r := &run.Report{Outcome: run.Partial, Dropped: 7}
			for n := range 30 {
				r.Problems = append(r.Problems, run.Problem{Object: fmt.Sprint("VM ", n), Reason: "odd"})
			}
			f.Tasks[0].Last.Report = r
		}, []string{"warn accounting SITE-A problems of accounting.collect: VM 0: odd; VM 1: odd; VM 2: odd; VM 3: odd; VM 4: odd; VM 5: odd; VM 6: odd; VM 7: odd; VM 8: odd; VM 9: odd; " +
			"VM 10: odd; VM 11: odd; VM 12: odd; VM 13: odd; VM 14: odd; VM 15: odd; VM 16: odd; VM 17: odd; VM 18: odd; VM 19: odd; and 17 more"}},

		"a check that failed":   {check(run.Check{Name: "role", Object: "project 1", State: run.CheckFail, Reason: "no role", Remedy: "add one"}), []string{"fail accounting SITE-A role project 1: no role → add one"}},
		"a check that warns":    {check(run.Check{Cloud: "r1", Name: "clock", State: run.CheckWarn, Reason: "40 s", Remedy: "chrony"}), []string{"warn accounting SITE-A r1 clock: 40 s → chrony"}},
		"stored checks, unread": {func(f *Facts) { f.Checks = nil; f.Service.Unread = []string{"accounting of SITE-A: locked"} }, []string{"fail accounting SITE-A r1 held project 1: held", "warn service facts: accounting of SITE-A: locked → see whether the database can be reached; what is said of the rest may be old"}},
		"the store knows better": {func(f *Facts) {
			f.Checks[0].State = run.CheckWarn
			check(run.Check{Cloud: "r1", Name: "collected", State: run.CheckFail, Stored: true})(f)
		}, []string{"warn accounting SITE-A r1 collected: all"}},
		"an old check": {func(f *Facts) {
			f.Tasks[1].Last.Ended, f.Tasks[1].LastSuccess = noon.Add(-25*time.Hour), noon.Add(-2*time.Hour)
			f.Tasks[1].Last.Report.Checks = f.Tasks[1].Last.Report.Checks[:1]
		}, []string{"unknown accounting SITE-A r1 sign-in: was ok on 2026-11-25 11:00 UTC, and was not checked since: signed in"}},
		"a check whose task rests": {func(f *Facts) { f.Tasks[1].PausedUntil = noon.Add(time.Hour); f.Tasks[1].Last.Report.Problems = nil }, []string{
			"off accounting SITE-A problems of accounting.check: paused until 2026-11-26 13:00 UTC → fedsite tasks resume accounting.check/site-a",
			"off accounting SITE-A task accounting.check: paused until 2026-11-26 13:00 UTC → fedsite tasks resume accounting.check/site-a",
			"off accounting SITE-A r1 sign-in: not checked: its task is paused until 2026-11-26 13:00 UTC → fedsite tasks resume accounting.check/site-a"}},

		"no scheduler here":     {func(f *Facts) { f.Service.Beat = 0 }, []string{"unknown service scheduler: this process does not run it"}},
		"a stuck scheduler":     {func(f *Facts) { f.Service.Beat = 61 * time.Second }, []string{"fail service scheduler: its loop has not gone round for 1m1s → systemctl restart fedsite; what it was at is in its log"}},
		"an old backup":         {func(f *Facts) { f.Service.Backup = noon.Add(-49 * time.Hour) }, []string{"warn service backup: the newest is of 2026-11-24 11:00 UTC → fedsite tasks run service.snapshot; look for room and rights in /var/lib/fedsite/backup"}},
		"a very old backup":     {func(f *Facts) { f.Service.Backup = noon.AddDate(0, 0, -8) }, []string{"fail service backup: the newest is of 2026-11-18 12:00 UTC → fedsite tasks run service.snapshot; look for room and rights in /var/lib/fedsite/backup"}},
		"no backup in ten days": {func(f *Facts) { f.Service.Backup = time.Time{} }, []string{"fail service backup: none was made yet → fedsite tasks run service.snapshot; look for room and rights in /var/lib/fedsite/backup"}},
		"no backup today":       {func(f *Facts) { f.Service.Backup, f.Service.Started = time.Time{}, noon.Add(-time.Hour) }, nil},
		"no backups wanted":     {func(f *Facts) { f.Service.Backup, f.Service.Backups = time.Time{}, false }, nil},
		"messages undelivered":  {func(f *Facts) { f.Service.Untold = []string{"e-mail: refused", "webhook: 500"} }, []string{"warn service messages: could not be delivered: e-mail: refused; webhook: 500 → check notify: in the configuration; it is tried again every minute"}},
	} {
		f := well()
		c.do(&f)
		if c.want == nil {
			c.want = []string{}
		}
		if d := cmp.Diff(c.want, said(Assess(f))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestMute: what is muted is off, with how it is behind that, and returns when the mute ends.
func TestMute(t *testing.T) {
	for name, c := range map[string]struct {
		mute Mute
		want []string
	}{
		"all":           {Mute{Until: noon.Add(time.Hour), Reason: "Keystone moves"}, []string{"off accounting SITE-A r1 collected: muted until 2026-11-26 13:00 UTC (Keystone moves); fail: late → collect"}},
		"the part":      {Mute{Part: "accounting", Site: "SITE-A", Until: noon.Add(time.Hour)}, []string{"off accounting SITE-A r1 collected: muted until 2026-11-26 13:00 UTC; fail: late → collect"}},
		"another site":  {Mute{Site: "SITE-B", Until: noon.Add(time.Hour)}, []string{"fail accounting SITE-A r1 collected: late → collect"}},
		"another part":  {Mute{Part: "images", Until: noon.Add(time.Hour)}, []string{"fail accounting SITE-A r1 collected: late → collect"}},
		"it has ended":  {Mute{Until: noon}, []string{"fail accounting SITE-A r1 collected: late → collect"}},
		"it ends later": {Mute{Until: noon.Add(1)}, []string{"off accounting SITE-A r1 collected: muted until 2026-11-26 12:00 UTC; fail: late → collect"}},
	} {
		f := well()
		f.Checks[0].State, f.Checks[0].Reason, f.Checks[0].Remedy = run.CheckFail, "late", "collect"
		f.Mutes = []Mute{c.mute}
		items := Assess(f)
		if d := cmp.Diff(c.want, said(items)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		i := slices.IndexFunc(items, func(i Item) bool { return i.Name == "collected" })
		if (items[i].Behind == Fail) != (items[i].State == Off) {
			t.Errorf("%s: %+v", name, items[i])
		}
	}
}

// TestPlaces: the health of a part at a site is that of its worst item, with the reason.
func TestPlaces(t *testing.T) {
	f := well()
	f.Sites = append(f.Sites, Site{ID: "site-b", Name: "SITE-B", Modes: []Mode{{"accounting", true}}})
	f.Checks = append(f.Checks, run.Check{Part: "accounting", Site: "SITE-A", Name: "parked", State: run.CheckWarn, Reason: "3 records", Remedy: "look"},
		run.Check{Part: "accounting", Site: "SITE-A", Cloud: "r1", Name: "held", Object: "project 2", State: run.CheckFail, Reason: "8 of 8 gone", Remedy: "release"})
	want := []Place{
		{Part: "service", State: OK},
		{Part: "accounting", SiteID: "site-a", Site: "SITE-A", State: Fail, Reason: "cloud r1: held, project 2: 8 of 8 gone (1 failed, 1 warning in all)", Remedy: "release"},
		{Part: "config", SiteID: "site-a", Site: "SITE-A", State: OK},
		{Part: "accounting", SiteID: "site-b", Site: "SITE-B", State: Off, Reason: "mode is disabled"},
		{Part: "config", SiteID: "site-b", Site: "SITE-B", State: OK},
	}
	if d := cmp.Diff(want, Places(Assess(f))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	f.Mutes = []Mute{{Site: "SITE-A", Until: noon.Add(time.Hour)}}
	want[1] = Place{Part: "accounting", SiteID: "site-a", Site: "SITE-A", State: Off, Reason: "cloud r1: held, project 2: muted until 2026-11-26 13:00 UTC; fail: 8 of 8 gone", Remedy: "release"}
	if d := cmp.Diff(want, Places(Assess(f))); d != "" {
		t.Errorf("muted (-want +got):\n%s", d)
	}
	if Worst(nil) != Unknown || Worst([]Item{{State: Off}, {State: OK}}) != OK || Worst([]Item{{State: Off}}) != Off || Worst([]Item{{State: OK}, {State: Unknown}}) != Unknown {
		t.Error("the worst of few")
	}
}

// TestOneSiteSpoilsNoOther: two sites whose clouds and projects have equal names are told apart.
func TestOneSiteSpoilsNoOther(t *testing.T) {
	f := well()
	f.Sites = append(f.Sites, Site{ID: "site-b", Name: "SITE-B"})
	f.Checks = append(f.Checks, run.Check{Part: "accounting", Site: "SITE-B", Cloud: "r1", Name: "collected", State: run.CheckFail, Reason: "late"})
	if got := said(Assess(f)); !slices.Equal(got, []string{"fail accounting SITE-B r1 collected: late"}) {
		t.Errorf("%q", got)
	}
	i := Item{Part: "accounting", SiteID: "site-b", Site: "SITE-B", Cloud: "r1", Name: "collected", Object: `"odd", [one]`}
	if back := thing(i.key()); back.Part != i.Part || back.SiteID != i.SiteID || back.Cloud != i.Cloud || back.Name != i.Name || back.Object != i.Object {
		t.Errorf("%+v", back)
	}
	renamed := i
	renamed.Site = "NEW"
	if renamed.key() != i.key() {
		t.Error("a new name of the site is another thing")
	}
}

// TestSiteWithoutAConfiguration: a site whose file was never good is said to be left out, and not to go on.
func TestSiteWithoutAConfiguration(t *testing.T) {
	for lost, want := range map[bool]string{false: "the last good one stays in force: line 3", true: "nothing is done for the site: line 3"} {
		items := Assess(Facts{Now: time.Unix(1_800_000_000, 0), Sites: []Site{{ID: "a", Name: "A", Broken: "line 3", Lost: lost}}})
		if i := slices.IndexFunc(items, func(i Item) bool { return i.Name == "site file" }); i < 0 || items[i].State != Fail || items[i].Reason != want {
			t.Errorf("lost %v: %+v", lost, items)
		}
	}
}
