package accounting_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// TestRule06EachMonthEndHasItsRow collects VMs across month ends in one step: each month end that a VM lived over has a
// row at 23:59:59, whether the VM was seen in time or not.
func TestRule06EachMonthEndHasItsRow(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-01-15T10:00")                                             // seen in January, then hidden until March
	vm(w, id(2), "2024-01-31T23:59:58")                                          // two seconds of January
	vm(w, id(3), "2024-02-01T00:00:00")                                          // none
	vm(w, id(4), "2024-01-10", on(world.Delete, "2024-02-29T23:59:59"))          // dead at the month's end
	vm(w, id(5), "2024-01-10", on(world.Delete, "2024-03-01T00:00:00"))          // alive at it
	vm(w, id(6), "2023-12-01", on(world.Delete, "2024-01-05"))                   // months before accounting began
	vm(w, id(7), "2023-12-01", on(world.Delete, "2023-12-31T23:59:59"))          // ended before
	vm(w, id(8), "2024-03-31T23:00:00", on(world.Delete, "2024-03-31T23:00:00")) // no time at all
	b := newCloudBed(t, w, onDisk(t), "2024-01-20T00:05:00Z", "2024-01-01")
	b.collect("")
	b.hide(id(1))
	b.collect("2024-02-10T00:05:00Z")
	b.faults.Clear()
	b.clean(b.collect("2024-04-01T00:05:00Z"))
	got := map[string]int64{}
	for key, e := range b.records() {
		got[key] = e.Measured.Unix()
	}
	jan, feb, mar := seconds("2024-01-31T23:59:59"), seconds("2024-02-29T23:59:59"), seconds("2024-03-31T23:59:59")
	now := seconds("2024-04-01")
	want := map[string]int64{
		id(1) + " 2024-01": jan, id(1) + " 2024-02": feb, id(1) + " 2024-03": mar, id(1) + " 2024-04": now,
		id(2) + " 2024-01": jan, id(2) + " 2024-02": feb, id(2) + " 2024-03": mar, id(2) + " 2024-04": now,
		id(3) + " 2024-02": feb, id(3) + " 2024-03": mar, id(3) + " 2024-04": now,
		id(4) + " 2024-01": jan, id(4) + " 2024-02": feb,
		id(5) + " 2024-01": jan, id(5) + " 2024-02": feb, id(5) + " 2024-03": seconds("2024-03-01"),
		id(6) + " 2024-01": seconds("2024-01-05"),
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if r := b.row(id(4), "2024-02"); r.Status != "completed" {
		t.Errorf("dead at the month's end: %+v", r)
	}
	if r := b.row(id(5), "2024-02"); r.Status != "started" || r.EndTime != 0 {
		t.Errorf("alive at the month's end: %+v", r)
	}
}

// lateEnd is a world in which one VM's end becomes known two months later: its cell was down, and the listing went on
// showing it as it was.
func lateEnd(t *testing.T, cfg store.Config) *bed {
	w := small()
	vm(w, id(1), "2024-02-10")
	w.Add(world.VM{ID: id(2), Project: project, User: "u-one", Name: "other", Flavor: "1", Image: "image-2", Created: moment("2024-02-10"), Events: []world.Event{on(world.Launch, "2024-02-10T00:01")}})
	return newBed(t, w, cfg, "2024-02-20T00:05:00Z", "2024-02-01")
}

// months sums, by month, the wall seconds that follow from the rows the server keeps. Its summaries may have stale ones
// beside them in months that it no longer cleans (rule 8).
func (b *bed) months() map[string]int64 {
	walls, before := map[string]int64{}, map[string]int64{}
	rows := b.fed.Server.Kept()
	slices.SortStableFunc(rows, func(x, y apelserver.Row) int { return cmp.Compare(x.Measured, y.Measured) })
	for _, r := range rows {
		walls[accounting.Period(r.Measured)] += *r.Wall - before[r.VMUUID]
		before[r.VMUUID] = *r.Wall
	}
	return walls
}

// TestRule07ALateEnd learns an end after rows of later months were delivered; then that it was earlier still, within the
// month and in the month before; then that the VM lives. The server ends with the truth each time.
func TestRule07ALateEnd(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := lateEnd(t, cfg)
		const day = 86400
		other := map[string]int64{"2024-02": 20*day - 1, "2024-03": 31 * day, "2024-04": 9*day + 1}
		check := func(what string, mine map[string]int64) {
			t.Helper()
			b.send()
			want := map[string]int64{}
			for p, s := range other {
				want[p] = s + mine[p]
			}
			if d := gocmp.Diff(want, b.months()); d != "" {
				t.Errorf("%s: seconds by month (-truth +server):\n%s", what, d)
			}
		}
		for _, at := range []string{"2024-02-20T00:05:00Z", "2024-03-15T00:05:00Z", "2024-04-10T00:05:00Z"} {
			b.clean(b.collect(at))
			b.clean(b.send())
		}
		check("alive", other)
		end := ""
		b.answers(func(s map[string]any) bool {
			if s["id"] == id(1) && end != "" {
				s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", end
			}
			return true
		})
		end = "2024-03-20T12:00:00.000000"
		b.clean(b.again())
		b.told("VM "+id(1), "learnt after 2024-04 had been sent")
		check("ended in March, learnt in April", map[string]int64{"2024-02": 20*day - 1, "2024-03": 19*day + day/2 + 1})
		if r := b.row(id(1), "2024-04"); r.Status == "completed" || r.Period() != "2024-04" {
			t.Errorf("April's row left its month: %+v", r)
		}
		end = "2024-03-20T00:00:00.000000"
		b.clean(b.again())
		check("earlier in the same month", map[string]int64{"2024-02": 20*day - 1, "2024-03": 19*day + 1})
		end = "2024-02-25T00:00:00.000000"
		b.clean(b.again())
		check("in the month before", map[string]int64{"2024-02": 15 * day})
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03")
		revs := b.revisions()
		b.clean(b.again())
		if d := gocmp.Diff(revs, b.revisions()); d != "" {
			t.Errorf("the same again made revisions:\n%s", d)
		}
		end = ""
		b.clean(b.again())
		check("it lives after all", other)
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-02")
	})
}

// TestRule07AnUnsentLaterMonthIsTakenOut learns the end before the later month's row went anywhere.
func TestRule07AnUnsentLaterMonthIsTakenOut(t *testing.T) {
	b := lateEnd(t, onDisk(t))
	b.clean(b.collect("2024-03-02T00:05:00Z"))
	b.answers(func(s map[string]any) bool {
		if s["id"] == id(1) {
			s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", "2024-02-28T00:00:00.000000"
		}
		return true
	})
	b.clean(b.collect("2024-03-03T00:05:00Z"))
	if d := gocmp.Diff([]string{id(1) + " 2024-02", id(2) + " 2024-02", id(2) + " 2024-03"}, b.keys()); d != "" {
		t.Error(d)
	}
	if r := b.row(id(1), "2024-02"); r.Status != "completed" || r.WallDuration != 18*86400 {
		t.Errorf("%+v", r)
	}
}

// TestRule08AChangeOfNamesAppliesFromTheNextMonth changes the VO of a project, and the name of the site, in the middle of
// a month.
func TestRule08AChangeOfNamesAppliesFromTheNextMonth(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-02-10")
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-02-01")
		b.clean(b.collect(""))
		w.Projects[0].Properties["VO"] = "biomed"
		b.target.Site.Name, b.target.Site.Formerly = "SITE-NEW", []site.Former{{Name: "SITE-A", Until: moment("2024-03-15")}}
		b.clean(b.collect("2024-03-20T00:05:00Z"))
		b.clean(b.collect("2024-04-02T00:05:00Z"))
		for period, want := range map[string][2]string{"2024-02": {"ops", "SITE-A"}, "2024-03": {"ops", "SITE-A"}, "2024-04": {"biomed", "SITE-NEW"}} {
			if r := b.row(id(1), period); r.FQAN != want[0] || r.SiteName != want[1] {
				t.Errorf("%s: VO %s, site %s; want %v", period, r.FQAN, r.SiteName, want)
			}
		}
	})
}

// TestRule08ALabelOfAnOldMonth revises a delivered row of a month that the server no longer cleans.
func TestRule08ALabelOfAnOldMonth(t *testing.T) {
	b := lateEnd(t, onDisk(t))
	for _, at := range []string{"2024-02-20T00:05:00Z", "2024-04-10T00:05:00Z"} {
		b.clean(b.collect(at))
		b.clean(b.send())
	}
	b.answers(func(s map[string]any) bool {
		if s["id"] == id(1) {
			s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", "2024-03-20T00:00:00.000000"
		}
		return true
	})
	b.clean(b.again())
	if r := b.send(); r.Counts["records_sent"] == 0 {
		t.Error("the revision was not sent")
	}
	b.told("VM "+id(1), "needs clean-up at APEL", "2024-03", "VO ops", "744.0 h") // March's own hours
	b.clean(b.again())
	b.send()
	if b.said("clean-up") {
		t.Error("reported again, though nothing changed")
	}
}

// TestRule08ALabelThatIsSentLate gives a delivered row other labels while the server still cleans its month, and sends it
// when the server does not any more; a row whose labels are what they were before it goes out is none of these.
func TestRule08ALabelThatIsSentLate(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-03-02", on(world.Stop, "2024-03-30"))
		vm(w, id(2), "2024-03-02", on(world.Stop, "2024-03-30"), on(world.Start, "2024-04-01T00:01"))
		for n, stopped := range map[int]bool{3: false, 4: true} { // of another image; while VM 3 has the former labels of VM 4, their sum is made anew
			v := world.VM{ID: id(n), Project: project, User: "u-one", Name: "other", Flavor: "1", Image: "image-2", Created: moment("2024-03-02"), Events: []world.Event{on(world.Launch, "2024-03-02T00:01")}}
			if stopped {
				v.Events = append(v.Events, on(world.Stop, "2024-03-30"))
			}
			w.Add(v)
		}
		b := newBed(t, w, cfg, "2024-03-20T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.clean(b.send())
		b.clean(b.collect("2024-03-31T00:05:00Z"))
		b.clean(b.collect("2024-04-01T00:10:00Z"))
		if b.said("clean-up") {
			t.Errorf("nothing was sent: %+v", b.last.Problems)
		}
		b.clock.set("2024-04-05T00:05:00Z")
		b.send()
		b.told("VM "+id(1), "needs clean-up at APEL", "2024-03")
		b.told("VM "+id(2), "needs clean-up at APEL", "2024-03")
		if b.said("VM "+id(3)) || b.said("VM "+id(4)) {
			t.Errorf("nothing of theirs is stale: %+v", b.last.Problems)
		}
	})
}

// TestRule09TheSecondOfEqualVMsIsParked has a VM with one id at two sites, in different letter case, and at two clouds of
// one site.
func TestRule09TheSecondOfEqualVMsIsParked(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		const lower, upper = "abcdef01-0000-4000-8000-000000000000", "ABCDEF01-0000-4000-8000-000000000000"
		a := small()
		vm(a, lower, "2024-03-02", on(world.Delete, "2024-03-20"))
		b := newBed(t, a, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		other := small()
		vm(other, upper, "2024-03-03")
		vm(other, id(1), "2024-03-03")
		second := b.site("SITE-B", "site-b", "cloud-b", b.sourceAt(b.cloudOf(other), "reader"), "2024-03-01")
		second.Destinations = []accounting.Destination{b.broker("SITE-B")}
		third := second.Clouds[0]
		third.Cloud.ID, third.Cloud.Name = "cloud-0", "cloud-0" // it sorts before both
		third.Source = b.sourceAt(b.cloudOf(a), "reader")
		second.Clouds = append(second.Clouds, third)
		for _, at := range []string{"2024-03-10T00:05:00Z", "2024-03-11T00:05:00Z", "2024-04-10T00:05:00Z"} {
			b.clean(b.collect(at))
			b.clean(b.send())
			if r := b.collectFor(second, "", accounting.Ask{}); r.Exit() != run.ExitPartial {
				t.Errorf("%s: exit %d", at, r.Exit())
			}
			b.told("VM "+upper, "cloud-a", "cannot tell them apart", "none of its records is sent")
			b.sendFor(second)
		}
		var parked, free []string
		for _, e := range b.recordsOf(second) {
			if e.Parked != "" {
				parked = append(parked, e.Cloud+" "+e.VM)
			} else {
				free = append(free, e.VM)
			}
		}
		if len(parked) != 3 || len(free) != 2 || free[0] != id(1) {
			t.Errorf("parked %v, free %v", parked, free)
		}
		for _, row := range b.fed.Server.Kept() {
			if strings.EqualFold(row.VMUUID, lower) && (row.SiteName != "SITE-A" || row.Month != 3) {
				t.Errorf("the server has a row of %s, %d-%d", row.SiteName, row.Year, row.Month)
			}
		}
	})
}

// TestRule09ARenamedCloud has the VMs of a cloud at another one of the same site, as it is when a cloud gets a new name and
// nobody says so: what is told names both as the configuration does.
func TestRule09ARenamedCloud(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-03-02")
	b := newBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	err := b.db.Write(t.Context(), func(tx *store.Tx) error {
		_, err1 := tx.Exec(`INSERT INTO site (id, name, created) VALUES ('site-a', 'SITE-A', 0)`)
		_, err2 := tx.Exec(`INSERT INTO cloud (id, site, name, created) VALUES ('cloud-a', 'site-a', 'old name', 0)`)
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.clean(b.collect(""))
	b.target.Clouds[0].Cloud.ID, b.target.Clouds[0].Cloud.Name = "cloud-b", "new name"
	if r := b.collect("2024-03-11T00:05:00Z"); r.Exit() != run.ExitPartial {
		t.Errorf("exit %d", r.Exit())
	}
	b.told("VM "+id(1), "cloud old name of site SITE-A", "if cloud new name is cloud old name under a new name, add formerly: [old name] to it")
	elsewhere := b.site("SITE-B", "site-b", "cloud-c", b.source("reader"), "2024-03-01") // there it is another matter
	b.collectFor(elsewhere, "", accounting.Ask{})
	b.told("VM "+id(1), "cannot tell them apart")
	if b.said("formerly") {
		t.Errorf("%+v", b.last.Problems)
	}
	vm(w, id(2), "2024-03-11T12:00")
	b.collect("2024-03-12T00:05:00Z")
	b.clean(b.send()) // the new VM went out under the new cloud's id
	b.collect("2024-03-13T00:05:00Z")
	if err := b.db.Write(t.Context(), func(tx *store.Tx) error { return accounting.Replaced(tx, "site-a", "cloud-b", "cloud-a") }); err != nil {
		t.Fatal(err)
	}
	b.target.Clouds[0].Cloud.ID = "cloud-a"
	b.clean(b.collect("2024-03-14T00:05:00Z"))
	b.clean(b.send())
	got := map[string]int64{}
	for _, r := range b.fed.Server.Kept() {
		got[r.VMUUID] = r.Measured
	}
	if d := gocmp.Diff(map[string]int64{id(1): seconds("2024-03-14"), id(2): seconds("2024-03-14")}, got); d != "" {
		t.Errorf("measured, of the server's rows (-want +got):\n%s", d)
	}
}

// TestRule09EqualButForLetterCaseInOnePage meets both at once.
func TestRule09EqualButForLetterCaseInOnePage(t *testing.T) {
	w := small()
	vm(w, "abcdef01-0000-4000-8000-000000000000", "2024-03-02")
	vm(w, "ABCDEF01-0000-4000-8000-000000000000", "2024-03-03")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	for range 2 {
		b.again()
		parked := 0
		for _, e := range b.records() {
			if e.Parked != "" {
				parked++
			}
		}
		if parked != 1 {
			t.Errorf("%d parked", parked)
		}
	}
}

// TestClockThatWentBack collects with a clock that is behind the last run, whose clock was ahead: no row changes, it is
// said, and the next runs take nothing for older than it is.
func TestClockThatWentBack(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-03-02", on(world.Delete, "2024-03-10T12:00"))
		vm(w, id(2), "2024-03-02")
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		before := b.wires()
		for i, ask := range []accounting.Ask{{}, between("2024-03-01", "2024-03-05")} {
			if r := b.collectFor(b.target, "2024-03-08T00:00:00Z", ask); r.Exit() != []int{run.ExitPartial, run.ExitDone}[i] {
				t.Errorf("run %d: exit %d", i, r.Exit())
			}
			if said := b.said("project "+project, "the clock went back", "2024-03-10T00:05:00Z", "chrony"); said != (i == 0) {
				t.Errorf("run %d: said %v", i, said)
			}
			if d := gocmp.Diff(before, b.wires()); d != "" {
				t.Errorf("rows changed:\n%s", d)
			}
		}
		b.clean(b.collect("2024-03-09T00:05:00Z")) // an observation like any other, though the one before it was dated later
		if r := b.row(id(2), "2024-03"); r.Measured() != seconds("2024-03-10") {
			t.Errorf("%+v", r)
		}
		b.clean(b.collect("2024-03-11T00:05:00Z"))
		if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-10T12:00") {
			t.Errorf("%+v", r)
		}
		if r := b.row(id(2), "2024-03"); r.Measured() != seconds("2024-03-11") {
			t.Errorf("%+v", r)
		}
	})
}

// TestImpossibleTimesSpoilOneVM lists VMs with absurd times beside good ones.
func TestImpossibleTimesSpoilOneVM(t *testing.T) {
	absurd := map[string]map[string]any{
		id(1): {"created": "0001-01-01T00:00:00Z"},
		id(2): {"created": "2031-01-01T00:00:00Z"},
		id(3): {"status": "DELETED", "OS-SRV-USG:terminated_at": "2024-03-01T00:00:00.000000"}, // before its creation
		id(4): {"status": "DELETED", "OS-SRV-USG:terminated_at": "2030-01-01T00:00:00.000000"},
		id(5): {"created": "yesterday"},
		id(6): {"created": nil},
		id(7): {"flavor": "m1.small"},
	}
	w := small()
	for n := range 9 {
		vm(w, id(n), "2024-03-02")
	}
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.answers(func(s map[string]any) bool {
		for k, v := range absurd[s["id"].(string)] {
			s[k] = v
		}
		return true
	})
	if r := b.collect(""); r.Exit() != run.ExitPartial {
		t.Errorf("exit %d", r.Exit())
	}
	for vm := range absurd {
		b.told("VM "+vm, "openstack server show")
	}
	if d := gocmp.Diff([]string{id(0) + " 2024-03", id(8) + " 2024-03"}, b.keys()); d != "" {
		t.Errorf("the others go on:\n%s", d)
	}
	b.faults.Clear()
	b.clean(b.collect("2024-03-11T00:05:00Z"))
	if n := len(b.keys()); n != 9 {
		t.Errorf("%d rows after the cloud was mended", n)
	}
}

// TestALostLeaseWritesNothing collects under a lease that another process has taken over.
func TestALostLeaseWritesNothing(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-03-02")
		b := newBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		err := b.db.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO task (name, schedule, next_due, owner, fence, lease_until) VALUES ('accounting.collect/site-a', '', 0, 'another', 8, 0)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		lost := store.WithLease(context.Background(), store.Lease{Task: "accounting.collect/site-a", Owner: "me", Fence: 7})
		if err := accounting.Collect(lost, b.deps(), b.target, accounting.Ask{}); !errors.Is(err, store.ErrFenced) {
			t.Errorf("collect: %v", err)
		}
		if n := len(b.records()); n != 0 {
			t.Errorf("%d rows were written", n)
		}
		b.clean(b.collect("")) // without a lease of a task nothing is fenced
		if err := accounting.Send(lost, b.deps(), b.target, accounting.Sending{GoActive: true, Attempts: 1, Base: time.Millisecond}); !errors.Is(err, store.ErrFenced) {
			t.Errorf("send: %v", err)
		}
		if n := len(b.fed.Received()); n != 0 {
			t.Errorf("%d messages went out", n)
		}
		b.clean(b.send())
	})
}
