package health

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// outage is one of SITE-A around noon, as GOCDB said just now.
func outage(change func(*Downtime)) Downtime {
	d := Downtime{ID: "7", From: noon.Add(-time.Hour), To: noon.Add(time.Hour), Reason: "a new switch", Outage: true, Asked: noon}
	if change != nil {
		change(&d)
	}
	return d
}

// TestDowntime: what is bad at a site is grey in its outage, and whatever else it is as it is.
func TestDowntime(t *testing.T) {
	const (
		red  = "fail accounting SITE-A r1 collected: late → wait"
		grey = "downtime accounting SITE-A r1 collected: in downtime until 2026-11-26 13:00 UTC (a new switch); fail: late → wait"
		gone = "downtime accounting SITE-A r1 collected: was in downtime until 2026-11-26 11:00 UTC (a new switch); fail: late → wait"
		own  = "downtime downtime SITE-A GOCDB: in downtime until 2026-11-26 13:00 UTC (a new switch)"
	)
	over := func(d *Downtime) { d.From, d.To = noon.Add(-3*time.Hour), noon.Add(-time.Hour) }
	later := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.Now = noon.Add(d) } }
	for name, c := range map[string]struct {
		downtime func(*Downtime)
		do       func(*Facts)
		want     []string
	}{
		"an outage":                         {nil, nil, []string{grey, own}},
		"at its first instant":              {func(d *Downtime) { d.From = noon }, nil, []string{grey, own}},
		"before it":                         {func(d *Downtime) { d.From = noon.Add(1) }, nil, []string{red}},
		"that it is at risk":                {func(d *Downtime) { d.Outage = false }, nil, []string{red}},
		"of this cloud":                     {func(d *Downtime) { d.Clouds = []string{"r2", "r1"} }, nil, []string{grey, strings.Replace(own, "in downtime", "clouds r2, r1: in downtime", 1)}},
		"of another cloud":                  {func(d *Downtime) { d.Clouds = []string{"r2"} }, nil, []string{red, strings.Replace(own, "in downtime", "cloud r2: in downtime", 1)}},
		"just over":                         {over, nil, []string{gone}},
		"over for an hour and a bit":        {over, later(15*time.Minute - 1), []string{gone}},
		"over":                              {over, later(15 * time.Minute), []string{red}},
		"just over, by an old answer":       {func(d *Downtime) { over(d); d.Asked = noon.Add(-6*time.Hour - 1) }, nil, []string{red}},
		"just over, and who knows who said": {func(d *Downtime) { over(d); d.Asked = time.Time{} }, nil, []string{red}},
		"by an old answer": {func(d *Downtime) { d.Asked = noon.Add(-7 * time.Hour) }, nil,
			[]string{grey, own + "; so GOCDB said on 2026-11-26 05:00 UTC"}},
		"without a word": {func(d *Downtime) { d.Reason = "" }, nil, []string{strings.Replace(grey, " (a new switch)", "", 1), strings.Replace(own, " (a new switch)", "", 1)}},
		"at another site": {nil, func(f *Facts) {
			f.Sites = append(f.Sites, Site{ID: "site-b", Name: "SITE-B", Downtimes: f.Sites[0].Downtimes})
			f.Sites[0].Downtimes = nil
		}, []string{red, strings.Replace(own, "SITE-A", "SITE-B", 1)}},
		"a part that is off": {nil, func(f *Facts) { f.Sites[0].Modes[0].Off = true }, []string{own, "off accounting SITE-A mode: mode is disabled"}},
		"muted":              {nil, func(f *Facts) { f.Mutes = []Mute{{Until: noon.Add(time.Hour)}} }, []string{own, "off accounting SITE-A r1 collected: muted until 2026-11-26 13:00 UTC; fail: late → wait"}},
		"the month's end, and what is parked": {nil, func(f *Facts) {
			f.Checks[0].State = run.CheckOK
			f.Checks = append(f.Checks, run.Check{Part: "accounting", Site: "SITE-A", Name: "month end", State: run.CheckFail, Reason: "not complete"},
				run.Check{Part: "accounting", Site: "SITE-A", Name: "parked", Object: "destination ams", State: run.CheckWarn, Reason: "3 records"})
		}, []string{"fail accounting SITE-A month end: not complete", "warn accounting SITE-A parked destination ams: 3 records", own}},
		"the machine itself": {nil, func(f *Facts) {
			f.Checks[0].State, f.Sites[0].Broken, f.Service.Beat = run.CheckOK, "line 3", time.Hour
		}, []string{"fail service scheduler: its loop has not gone round for 1h0m → systemctl restart fedsite; what it was at is in its log",
			"fail config SITE-A site file: the last good one stays in force: line 3 → mend it, then systemctl reload fedsite", own}},
		"another part": {nil, func(f *Facts) { f.Checks[0].Part, f.Checks[0].Cloud = "discovery", "" },
			[]string{"downtime accounting SITE-A r1 held project 1: in downtime until 2026-11-26 13:00 UTC (a new switch); fail: held",
				"downtime discovery SITE-A collected: in downtime until 2026-11-26 13:00 UTC (a new switch); fail: late → wait", own}},
		"a warning": {nil, func(f *Facts) { f.Checks[0].State = run.CheckWarn }, []string{strings.Replace(grey, "fail", "warn", 1), own}},
	} {
		f := well()
		f.Checks[0].State, f.Checks[0].Reason, f.Checks[0].Remedy = run.CheckFail, "late", "wait"
		f.Sites[0].Downtimes = []Downtime{outage(c.downtime)}
		if c.do != nil {
			c.do(&f)
		}
		if d := cmp.Diff(c.want, said(Assess(f))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestDowntimeOfClouds: what a run says without a cloud of its own is grey when all of it is about clouds in an outage.
func TestDowntimeOfClouds(t *testing.T) {
	at := func(clouds ...string) func(*run.Report) {
		return func(r *run.Report) {
			for _, c := range clouds {
				r.Problems = append(r.Problems, run.Problem{Cloud: c, Object: "cloud " + c, Reason: "503"})
			}
		}
	}
	r1, r2 := outage(func(d *Downtime) { d.Clouds = []string{"r1"} }), outage(func(d *Downtime) { d.Clouds, d.To = []string{"r2"}, noon.Add(2*time.Hour) })
	for name, c := range map[string]struct {
		downtimes []Downtime
		report    func(*run.Report)
		failed    bool
		want      State
	}{
		"its cloud":                       {[]Downtime{r1}, at("r1"), false, InDowntime},
		"its cloud, failed":               {[]Downtime{r1}, at("r1"), true, InDowntime},
		"another cloud":                   {[]Downtime{r2}, at("r1"), false, Warn},
		"one of two":                      {[]Downtime{r1}, at("r1", "r2"), false, Warn},
		"one of two, failed":              {[]Downtime{r1}, at("r1", "r2"), true, Warn},
		"both":                            {[]Downtime{r1, r2}, at("r1", "r2"), false, InDowntime},
		"both, failed":                    {[]Downtime{r1, r2}, at("r1", "r2"), true, InDowntime},
		"a cloud, and something else":     {[]Downtime{r1}, at("r1", ""), false, Warn},
		"something else":                  {[]Downtime{r1}, at(""), false, Warn},
		"something else, the whole site":  {[]Downtime{outage(nil)}, at(""), false, InDowntime},
		"of the whole site and a cloud":   {[]Downtime{r1, outage(nil)}, at("r1", "r2"), false, InDowntime},
		"more than are listed":            {[]Downtime{r1}, func(r *run.Report) { at("r1")(r); r.Dropped = 1 }, false, Warn},
		"one beside what only is noticed": {[]Downtime{r1}, func(r *run.Report) { at("r1", "r2")(r); r.Problems[1].Notice = true }, false, InDowntime},
	} {
		f := well()
		f.Sites[0].Downtimes = c.downtimes
		r, name2 := f.Tasks[0].Last.Report, "problems of accounting.collect"
		c.report(r)
		if r.Outcome = run.Partial; c.failed {
			name2, r.Outcome, f.Tasks[0].Last.Outcome = "task accounting.collect", run.Failed, "failed"
			for i := range r.Problems {
				r.Problems[i].Failed = true
			}
		}
		for _, i := range Assess(f) {
			if i.Name == name2 && i.State != c.want {
				t.Errorf("%s: %s, want %s: %s", name, i.State, c.want, i.Reason)
			}
		}
	}
}

// TestDowntimePlaces: a part that would be well but for the downtime is in it, one with something worse is that, and what a
// site has declared is told beside its parts as long as it is not over.
func TestDowntimePlaces(t *testing.T) {
	planned := outage(func(d *Downtime) {
		d.ID, d.From, d.To, d.Reason = "8", noon.Add(48*time.Hour), noon.Add(50*time.Hour), ""
	})
	risk := outage(func(d *Downtime) { d.ID, d.Outage = "9", false })
	for name, c := range map[string]struct {
		downtimes []Downtime
		parked    bool
		want      []string // state and reason of the site's accounting, then of its downtimes
	}{
		"none":      {nil, false, []string{"fail cloud r1: collected: late"}},
		"an outage": {[]Downtime{outage(nil)}, false, []string{"downtime cloud r1: collected: in downtime until 2026-11-26 13:00 UTC (a new switch); fail: late", "downtime in downtime until 2026-11-26 13:00 UTC (a new switch)"}},
		"an outage, and something that it does not excuse": {[]Downtime{outage(nil)}, true, []string{"warn parked: 3 records", "downtime in downtime until 2026-11-26 13:00 UTC (a new switch)"}},
		"planned":       {[]Downtime{planned}, false, []string{"fail cloud r1: collected: late", "ok a downtime is planned from 2026-11-28 12:00 UTC to 2026-11-28 14:00 UTC"}},
		"at risk":       {[]Downtime{planned, risk}, false, []string{"fail cloud r1: collected: late", "ok at risk until 2026-11-26 13:00 UTC (a new switch)"}},
		"all of it":     {[]Downtime{planned, risk, outage(nil)}, true, []string{"warn parked: 3 records", "downtime in downtime until 2026-11-26 13:00 UTC (a new switch)"}},
		"risk to come":  {[]Downtime{outage(func(d *Downtime) { d.Outage, d.From = false, noon.Add(time.Minute) })}, false, []string{"fail cloud r1: collected: late", "ok will be at risk from 2026-11-26 12:01 UTC to 2026-11-26 13:00 UTC (a new switch)"}},
		"one that over": {[]Downtime{outage(func(d *Downtime) { d.To = noon })}, false, []string{"downtime cloud r1: collected: was in downtime until 2026-11-26 12:00 UTC (a new switch); fail: late"}},
	} {
		f := well()
		f.Sites[0].Downtimes = c.downtimes
		f.Checks[0].State, f.Checks[0].Reason = run.CheckFail, "late"
		if c.parked {
			f.Checks = append(f.Checks, run.Check{Part: "accounting", Site: "SITE-A", Name: "parked", State: run.CheckWarn, Reason: "3 records"})
		}
		items := Assess(f)
		var got []string
		for _, p := range Places(items) {
			if p.Part == "accounting" || p.Part == PartDowntime {
				got = append(got, string(p.State)+" "+p.Reason)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		for _, i := range items {
			if i.Part == PartDowntime && len(i.More) != len(c.downtimes)-1 {
				t.Errorf("%s: %q", name, i.More)
			}
		}
	}
}

// TestWatchDowntime: nobody is told of what is bad in a downtime, and the sign of life goes on; what is still bad after it is
// told when that has held.
func TestWatchDowntime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		w := watch(t, storetest.Open(t, cfg))
		w.look(1)
		began := w.facts.Now
		w.facts.Sites[0].Downtimes = []Downtime{{ID: "7", From: began, To: began.Add(30 * time.Minute), Outage: true, Asked: began}}
		w.collected(run.CheckFail, "late")
		w.look(100) // until shortly before it is taken for over
		w.told()
		w.look(10)
		w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
		// One that is declared when it was told already: not told as well again, and told again when it is over.
		now := w.facts.Now
		w.facts.Sites[0].Downtimes = []Downtime{{ID: "8", From: now, To: now.Add(5 * time.Minute), Outage: true}}
		w.look(4)
		w.told()
		w.look(4)
		w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
		// One in which it is mended: nothing to tell.
		now = w.facts.Now
		w.facts.Sites[0].Downtimes = []Downtime{{ID: "9", From: now, To: now.Add(5 * time.Minute), Outage: true}}
		w.look(2)
		w.collected(run.CheckOK, "all")
		w.look(30)
		w.told()
	})
}

// TestDigestInDowntime: the daily message tells what is grey apart from what is bad.
func TestDigestInDowntime(t *testing.T) {
	f := well()
	f.Sites[0].Downtimes = []Downtime{outage(nil)}
	f.Checks[0].State, f.Checks[0].Reason = run.CheckFail, "late"
	m := Digest("SITE-A", Assess(f), noon)
	want := `In downtime:
  SITE-A, accounting, cloud r1: collected: in downtime until 2026-11-26 13:00 UTC (a new switch); fail: late
  SITE-A, downtime: GOCDB: in downtime until 2026-11-26 13:00 UTC (a new switch)

Well: 9, on 2026-11-26 12:00 UTC.
`
	if m.Subject != "[fedsite] SITE-A: all is well (daily)" || m.Text != want {
		t.Errorf("%s (-want +got):\n%s", m.Subject, cmp.Diff(want, m.Text))
	}
}
