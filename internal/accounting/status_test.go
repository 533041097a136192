package accounting_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/dirq"
)

// status reads the target's status now.
func (b *bed) status() accounting.Status {
	b.t.Helper()
	s, err := accounting.ReadStatus(b.t.Context(), b.db, b.target, b.clock.now())
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// found gives what a list of checks says, "state name object" in order, without those that are ok or skipped.
func found(checks []run.Check) []string {
	all := []string{}
	for _, c := range checks {
		if c.State == run.CheckWarn || c.State == run.CheckFail {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.State, c.Name, c.Object)))
		}
	}
	return all
}

// worries gives what the status means now.
func (b *bed) worries() []string { return found(b.status().Checks(b.clock.now())) }

// instant gives a time of a day of March 2024, "10T06:00".
func instant(text string) time.Time { return moment("2024-03-" + text) }

// fedDown lets no request reach the broker.
func (b *bed) fedDown() {
	b.fed.Faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Status: 503}})
}

// TestStatus follows a site through a broker's failure: how far it is collected and sent, since when something waits, and
// when that is worth a warning.
func TestStatus(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(7, "2024-02-10"), cfg, "2024-03-10T00:05:00Z", "2024-02-01")
		b.target.Settings.MaxRecords = 4
		if s := b.status(); !s.Since.IsZero() || s.Clouds[0].Projects != 0 || !s.Destinations[0].Oldest.IsZero() || s.Month != "" {
			t.Errorf("at first: %+v", s)
		}
		if w := b.worries(); len(w) > 0 {
			t.Errorf("at first: %v", w)
		}
		b.clean(b.collect(""))
		s := b.status()
		if c := s.Clouds[0]; c.Projects != 1 || !c.Until.Equal(instant("10T00:00")) || !c.Newest.Equal(c.Until) || c.Behind != "project "+project || c.Gaps != nil {
			t.Errorf("collected: %+v", c)
		}
		if s.Month != "2024-02" || s.Complete || !strings.Contains(s.Missing, "destination ams has not got all of it") {
			t.Errorf("month %s: %v, %s", s.Month, s.Complete, s.Missing)
		}
		b.clean(b.send())
		s = b.status()
		d := s.Destinations[0]
		if !d.Clear.Equal(instant("10T00:05")) || !d.Through.Equal(instant("10T00:00")) || !d.Oldest.IsZero() || d.Unsent != 0 || d.Why != "" || !d.Settled.Equal(instant("10T00:05")) || !s.Complete {
			t.Errorf("sent: %+v, month: %s", d, s.Missing)
		}
		b.clean(b.collect("2024-03-10T01:05:00Z"))
		b.fedDown()
		b.send()
		if d = b.status().Destinations[0]; d.Unsent != 7 || !d.Oldest.Equal(instant("10T00:05")) || !strings.Contains(d.Why, "503") || !d.Clear.Equal(instant("10T00:05")) {
			t.Errorf("stopped: %+v", d)
		}
		if w := b.worries(); len(w) > 0 {
			t.Errorf("an hour later: %v", w)
		}
		b.clean(b.collect("2024-03-10T07:05:00Z"))
		if d := cmp.Diff([]string{"warn unsent destination ams"}, b.worries()); d != "" {
			t.Errorf("seven hours later (-want +got):\n%s", d)
		}
		b.clock.set("2024-03-11T08:05:00Z")
		if d := cmp.Diff([]string{"fail collected", "fail unsent destination ams"}, b.worries()); d != "" {
			t.Errorf("a day later (-want +got):\n%s", d)
		}
		b.fed.Faults.Clear()
		b.clean(b.send())
		if d = b.status().Destinations[0]; d.Unsent != 0 || !d.Oldest.IsZero() || d.Why != "" || !d.Clear.Equal(instant("11T08:05")) || !d.Through.Equal(instant("10T07:00")) {
			t.Errorf("well again: %+v", d)
		}
		b.target.Settings.Mode = site.Observe
		if w := b.worries(); len(w) != 1 || w[0] != "fail collected" {
			t.Errorf("a site that observes: %v", w)
		}
	})
}

// TestStatusCountsAgainOnlySometimes: what waits for a broker that stays away is counted once an hour.
func TestStatusCountsAgainOnlySometimes(t *testing.T) {
	b := newBed(t, crowd(3, "2024-02-10"), onDisk(t), "2024-03-10T00:05:00Z", "2024-02-01")
	b.clean(b.collect(""))
	b.fed.Faults.Add(faults.Fault{Path: "/service-types/ams/hosts/*", Times: -1, Effect: faults.Effect{Status: 503}}) // nothing is cut
	b.send()
	b.set(`UPDATE sending SET waiting = 4711 WHERE waiting = 6`)
	for at, want := range map[string]int64{"2024-03-10T00:10:00Z": 4711, "2024-03-10T01:05:00Z": 6} {
		b.clock.set(at)
		b.send()
		if d := b.status().Destinations[0]; d.Unsent != want {
			t.Errorf("%s: %d wait", at, d.Unsent)
		}
		b.set(`UPDATE sending SET waiting = 4711, counted = $1`, instant("10T00:05").Unix())
	}
}

// set changes the store behind the pipeline's back.
func (b *bed) set(query string, args ...any) {
	b.t.Helper()
	if err := b.db.Write(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(query, args...); return err }); err != nil {
		b.t.Fatal(err)
	}
}

// TestStatusOfAQueue: a message that nobody takes out of a queue is not sent.
func TestStatusOfAQueue(t *testing.T) {
	b := newBed(t, crowd(3, "2024-02-10"), onDisk(t), "2024-03-10T00:05:00Z", "2024-02-01")
	q := dirq.Queue{Path: t.TempDir()}
	b.target.Destinations = []accounting.Destination{accounting.NewDirq("dirq", q)}
	b.clean(b.collect(""))
	b.clean(b.send())
	d := b.status().Destinations[0]
	if d.Queued != 1 || d.Unsent != 6 || !d.Clear.IsZero() || !d.Oldest.Equal(instant("10T00:05")) {
		t.Errorf("written: %+v", d)
	}
	b.clean(b.collect("2024-03-10T06:15:00Z"))
	checks := b.status().Checks(b.clock.now())
	if got := found(checks); !slices.Equal(got, []string{"warn unsent destination dirq", "fail month end"}) {
		t.Errorf("%v", got)
	}
	for _, c := range checks {
		if c.Name == "unsent" && (!strings.Contains(c.Reason, "1 message in the queue") || !strings.Contains(c.Remedy, "ssmsend")) {
			t.Errorf("%+v", c)
		}
	}
	empty(t, q)
	b.clean(b.send())
	empty(t, q)
	b.clean(b.send())
	if d := b.status().Destinations[0]; d.Queued != 0 || d.Unsent != 0 || !d.Clear.Equal(instant("10T06:15")) {
		t.Errorf("taken: %+v", d)
	}
}

// TestStatusOfProjectsThatLeave: nobody waits for a project that no VO has any more, unless the file names it; when a VO has
// it again, it counts again.
func TestStatusOfProjectsThatLeave(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		w.Projects = append(w.Projects, world.Project{ID: project2, Name: "vo-other", Properties: map[string]string{"VO": "biomed"}})
		w.Users[0].Roles[project2] = w.Users[0].Roles[project]
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		if c := b.status().Clouds[0]; c.Projects != 2 {
			t.Fatalf("%+v", c)
		}
		b.world.Projects[1].Properties = nil
		b.collect("2024-03-12T00:05:00Z")
		if c := b.status().Clouds[0]; c.Projects != 1 || !c.Until.Equal(instant("12T00:00")) {
			t.Errorf("it left: %+v", c)
		}
		if w := b.worries(); len(w) > 0 {
			t.Errorf("it left: %v", w)
		}
		named := b.target.Clouds[0]
		named.Cloud.VOs = []site.VO{{Name: "biomed", Project: project2}}
		b.target.Clouds[0] = named
		if c := b.status().Clouds[0]; c.Projects != 2 || !c.Until.Equal(instant("10T00:00")) || c.Behind != "project "+project2+" (VO biomed)" {
			t.Errorf("the file names it: %+v", c)
		}
		if w := b.worries(); !slices.Equal(w, []string{"fail collected"}) {
			t.Errorf("the file names it: %v", w)
		}
		named.Cloud.VOs[0].Until = instant("11T00:00")
		if c := b.status().Clouds[0]; c.Projects != 1 {
			t.Errorf("the file names it, until yesterday: %+v", c)
		}
		named.Cloud.VOs = nil
		b.target.Clouds[0] = named
		b.world.Projects[1].Properties = map[string]string{"VO": "biomed"}
		b.collectFor(b.target, "2024-03-12T01:05:00Z", accounting.Ask{Projects: []string{project}})
		if c := b.status().Clouds[0]; c.Projects != 1 {
			t.Errorf("a run for another project: %+v", c)
		}
		b.clean(b.collect("2024-03-12T02:05:00Z"))
		if c := b.status().Clouds[0]; c.Projects != 2 || !c.Until.Equal(instant("12T02:00")) {
			t.Errorf("back: %+v", c)
		}
	})
}

// TestStatusOfGapsAndHolds: what is missing in between, what is held, and what vanished.
func TestStatusOfGapsAndHolds(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, many(20), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.set(`INSERT INTO collected (cloud, project, kind, from_time, to_time, seen) VALUES ('cloud-a', $1, 'cloud', $2, $3, 0)`, project, instant("10T02:00").Unix(), instant("10T03:00").Unix())
		b.clock.set("2024-03-10T03:05:00Z")
		c := b.status().Clouds[0]
		want := []accounting.Gap{{Project: "project " + project, From: instant("10T00:00"), To: instant("10T02:00")}}
		if d := cmp.Diff(want, c.Gaps); d != "" || !c.Until.Equal(instant("10T00:00")) || !c.Newest.Equal(instant("10T03:00")) {
			t.Errorf("%+v (-want +got):\n%s", c, d)
		}
		if w := b.worries(); !slices.Equal(w, []string{"warn gap project " + project}) {
			t.Errorf("%v", w)
		}
		b.hide(ids(0, 8)...)
		b.collect("2024-03-11T00:05:00Z")
		if c = b.status().Clouds[0]; len(c.Gaps) != 0 || len(c.Held) != 1 || c.Held[0].Site != "SITE-A" || c.Vanished != 0 {
			t.Errorf("held: %+v", c)
		}
		if w := b.worries(); !slices.Equal(w, []string{"fail held project " + project + " (vo-ops)"}) {
			t.Errorf("%v", w)
		}
		if _, err := b.release(project, false); err != nil {
			t.Fatal(err)
		}
		if w := b.worries(); !slices.Equal(w, []string{"warn held project " + project + " (vo-ops)"}) {
			t.Errorf("released: %v", w)
		}
		b.collect("2024-03-12T00:05:00Z")
		if c = b.status().Clouds[0]; len(c.Held) != 0 || c.Vanished != 8 {
			t.Errorf("closed: %+v", c)
		}
	})
}

// TestStatusOfACloudThatIsOff: nobody waits for it.
func TestStatusOfACloudThatIsOff(t *testing.T) {
	b := newBed(t, crowd(2, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	off := b.target.Clouds[0]
	off.Cloud.ID, off.Cloud.Name, off.Mode = "cloud-off", "cloud-off", site.Disabled
	b.target.Clouds = append(b.target.Clouds, off)
	b.set(`INSERT INTO collected (cloud, project, kind, from_time, to_time, seen) VALUES ('cloud-off', $1, 'cloud', $2, $3, 0)`, project, instant("01T00:00").Unix(), instant("02T00:00").Unix())
	b.clean(b.collect(""))
	b.clean(b.send())
	if s := b.status(); len(s.Clouds) != 1 || !s.Destinations[0].Through.Equal(instant("10T00:00")) {
		t.Errorf("%+v", s)
	}
	if w := b.worries(); len(w) > 0 {
		t.Errorf("%v", w)
	}
	if r := b.check(); len(found(r.Checks)) > 0 {
		t.Errorf("%v", found(r.Checks))
	}
}

// TestStatusOfAMonthsEnd: what keeps a month from being complete, and when that is a failure.
func TestStatusOfAMonthsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(b *bed)
		want string // "" = complete
	}{
		"all is well":    {func(b *bed) { b.collect("2024-04-01T00:10:00Z"); b.clean(b.send()) }, ""},
		"not collected":  {func(b *bed) { b.clean(b.send()) }, "cloud cloud-a was collected up to 2024-03-10 00:00 only (project " + project + ")"},
		"not sent":       {func(b *bed) { b.collect("2024-04-01T00:10:00Z") }, "destination ams has not got all of it"},
		"sent too early": {func(b *bed) { b.collect("2024-03-31T12:05:00Z"); b.send(); b.collect("2024-04-01T00:10:00Z") }, "destination ams has not got all of it"},
		"only observed":  {func(b *bed) { b.target.Settings.Mode = site.Observe; b.collect("2024-04-01T00:10:00Z") }, ""},
		"held":           {func(b *bed) { b.hide(ids(0, 8)...); b.collect("2024-04-01T00:10:00Z"); b.send() }, "project " + project + " (vo-ops) of cloud cloud-a is held"},
		"refused": {func(b *bed) {
			b.collect("2024-04-01T00:10:00Z")
			b.send()
			b.set(`UPDATE message SET state = 'parked' WHERE state = 'sent'`)
		}, "40 records of it, or of other months, are parked"},
		"something wrong in it": {func(b *bed) {
			b.collect("2024-04-01T00:10:00Z")
			b.send()
			b.set(`UPDATE ledger SET parked = 'odd' WHERE subject = $1`, id(3))
		}, "1 records of it, or of other months, are parked"},
		"begun later": {func(b *bed) {
			b.collect("2024-04-01T00:10:00Z")
			b.set(`UPDATE accounting_start SET active_from = $1`, moment("2024-04-01").Unix())
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, many(20), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.clean(b.collect(""))
			c.do(b)
			for at, state := range map[string]run.CheckState{"2024-04-01T05:59:00Z": run.CheckSkip, "2024-04-01T06:00:00Z": run.CheckFail, "2024-04-20T00:00:00Z": run.CheckFail} {
				b.clock.set(at)
				s := b.status()
				if c.want == "" {
					state = run.CheckOK
				}
				if s.Month != "2024-03" || s.Complete != (c.want == "") || s.Missing != c.want && !strings.HasPrefix(s.Missing, c.want+":") {
					t.Errorf("%s: %s, %v: %s", at, s.Month, s.Complete, s.Missing)
				}
				i := slices.IndexFunc(s.Checks(b.clock.now()), func(c run.Check) bool { return c.Name == "month end" })
				if got := s.Checks(b.clock.now())[i]; got.State != state {
					t.Errorf("%s: %+v, want %s", at, got, state)
				}
			}
		})
	}
}
