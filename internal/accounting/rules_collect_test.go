package accounting_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// Each test is named after one of the fifteen rules of design §7, "Accounting: the ledger"; those of sending are in
// rules_send_test.go.

// between asks for an old window.
func between(from, to string) accounting.Ask {
	return accounting.Ask{From: moment(from), To: moment(to)}
}

func seconds(text string) int64 { return moment(text).Unix() }

// TestRule01RowsDoNotDependOnTheRuns collects the same time whole, in pieces, in other pieces, twice, and old windows
// again: the rows are the same to the byte, and no month shrinks.
func TestRule01RowsDoNotDependOnTheRuns(t *testing.T) {
	build := func() *world.World {
		w := small()
		vm(w, id(1), "2024-02-10T08:00")
		vm(w, id(2), "2024-02-20T08:00", on(world.Delete, "2024-03-01T01:00"))
		vm(w, id(3), "2024-03-02", on(world.Delete, "2024-03-04T06:30"))
		vm(w, id(4), "2024-02-03", on(world.Delete, "2024-02-29T23:59:59"))
		vm(w, id(5), "2024-03-31T23:50")
		return w
	}
	const end = "2024-04-02T00:05:00Z"
	want := func() map[string]string {
		b := newCloudBed(t, build(), onDisk(t), end, "2024-02-01")
		b.clean(b.collect(""))
		return b.wires()
	}()
	if len(want) != 9 {
		t.Fatalf("%d rows", len(want))
	}
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, build(), cfg, "2024-02-05T00:00:00Z", "2024-02-01")
		for at := moment("2024-02-05"); at.Before(moment("2024-04-02T00:05")); at = at.Add(107 * time.Hour) {
			b.clean(b.collect(at.Format("2006-01-02T15:04:05Z")))
		}
		b.clean(b.collect(end))
		if d := cmp.Diff(want, b.wires()); d != "" {
			t.Errorf("in pieces (-whole +pieces):\n%s", d)
		}
		revs := b.revisions()
		b.clean(b.again())
		for _, ask := range []accounting.Ask{between("2024-02-15", "2024-02-20"), between("2024-02-01", "2024-03-15"), {To: moment("2024-02-12")}, {From: moment("2024-02-01")}} {
			b.clean(b.collectFor(b.target, "", ask))
			if d := cmp.Diff(want, b.wires()); d != "" {
				t.Errorf("after an old window %v (-before +after):\n%s", ask, d)
			}
		}
		if d := cmp.Diff(revs, b.revisions()); d != "" {
			t.Errorf("revisions, though nothing changed:\n%s", d)
		}
	})
}

// TestRule01ACompletedRowYieldsToALivingVM shows that only a newer sight of the living VM opens a completed row again.
func TestRule01ACompletedRowYieldsToALivingVM(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-03-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.hide(id(1))
	b.collect("2024-03-11T00:05:00Z")
	b.collect("2024-03-11T01:05:00Z") // gone twice: vanished when it was last seen
	if r := b.row(id(1), "2024-03"); r.Status != "completed" || r.EndTime != seconds("2024-03-10T00:05") {
		t.Fatalf("not closed: %+v", r)
	}
	b.clean(b.collectFor(b.target, "2024-03-12T00:05:00Z", between("2024-03-01", "2024-03-05")))
	if r := b.row(id(1), "2024-03"); r.Status != "completed" {
		t.Errorf("an old window opened it: %+v", r)
	}
	b.faults.Clear()
	b.clean(b.collect("2024-03-13T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.Status != "started" || r.WallDuration != 11*86400 || r.EndTime != 0 {
		t.Errorf("it lives: %+v", r)
	}
}

// TestRule02TheNewerObservationWins gives the same VM twice in one run, the later answer with another name, then an
// answer that was asked for earlier; and shows that an equal value costs nothing.
func TestRule02TheNewerObservationWins(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, id(1), "2024-03-02", on(world.Rename, "2024-03-10", "second"), on(world.Rename, "2024-03-12", "third"))
		b := newCloudBed(t, w, cfg, "2024-03-09T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.clean(b.again())
		if rev := b.revisions()[id(1)+" 2024-03"]; rev != 1 {
			t.Errorf("revision %d after the same observation twice", rev)
		}
		// the clock, and with it the cloud, goes on between the two listings
		b.faults.Add(faults.Fault{Service: "compute", Query: "changes-since", Effect: faults.Effect{Do: func() { b.clock.set("2024-03-12T00:05:00Z") }}})
		b.clean(b.collect("2024-03-11T00:05:00Z"))
		if r := b.row(id(1), "2024-03"); r.MachineName != "third" {
			t.Errorf("name %q: the later answer is the newer observation", r.MachineName)
		}
		// what was asked for before is older, whatever it says: here the clock of the run goes back in its middle
		b.faults.Add(faults.Fault{Service: "identity", Path: "/v3/users/*", Effect: faults.Effect{Do: func() { b.clock.set("2024-03-11T00:05:00Z") }}})
		b.collect("2024-03-13T00:05:00Z")
		if r := b.row(id(1), "2024-03"); r.MachineName != "third" || b.faults.Left() != 0 {
			t.Errorf("an older observation won: %+v", r)
		}
	})
}

// TestRule03ListingsAndMark checks the order of the listings, how far back they ask, and that the mark moves last and
// never by an old window.
func TestRule03ListingsAndMark(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		for n := range 10 { // four pages of three
			vm(w, id(n), "2024-03-02")
		}
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		listings := func() (asked []string) {
			for _, r := range b.cloud.Requests() {
				if strings.HasSuffix(r.Path, "/servers/detail") && !strings.Contains(r.Query, "marker") {
					since := "existing"
					if _, after, ok := strings.Cut(r.Query, "changes-since="); ok {
						since, _, _ = strings.Cut(after, "&")
					}
					asked = append(asked, since)
				}
			}
			b.cloud.Forget()
			return asked
		}
		expect := func(what string, want ...string) {
			t.Helper()
			if d := cmp.Diff(want, listings()); d != "" {
				t.Errorf("%s (-want +got):\n%s", what, d)
			}
		}
		b.clean(b.collect(""))
		expect("the first collection asks from the start, less the overlap", "existing", "2024-02-29T23%3A45%3A00Z")
		b.faults.Add(faults.Fault{Service: "compute", Query: "changes-since", Times: -1, Effect: faults.Effect{Status: 500, Body: "{}"}})
		b.collect("2024-03-11T00:05:00Z")
		b.faults.Clear()
		listings()
		b.clean(b.collect("2024-03-12T00:05:00Z"))
		expect("a run that failed half-way did not move the mark: from to of the last whole one", "existing", "2024-03-09T23%3A45%3A00Z")
		b.clean(b.collectFor(b.target, "", between("2024-03-03", "2024-03-05")))
		expect("an old window asks from its own beginning", "existing", "2024-03-02T23%3A45%3A00Z")
		b.clean(b.collect("2024-03-13T00:05:00Z"))
		expect("the old window did not move the mark", "existing", "2024-03-11T23%3A45%3A00Z")
		b.clean(b.collectFor(b.target, "2024-03-14T00:05:00Z", between("2024-03-13T12:00", "2024-03-20")))
		expect("a window from after the mark begins at the mark, and ends at now less settle", "existing", "2024-03-12T23%3A45%3A00Z")
		if r := b.row(id(1), "2024-03"); r.Measured() != seconds("2024-03-14") {
			t.Errorf("measured %d", r.Measured())
		}
	})
}

// TestRule03MissingVMs hides VMs from the listings: one that ended meanwhile is found with its true end, one that answers
// by id goes on, one that is nowhere is closed when it was last seen; a large part of a project is not closed at all.
func TestRule03MissingVMs(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		for n := range 12 {
			vm(w, id(n), "2024-03-02")
		}
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		w.Happen(id(1), on(world.Delete, "2024-03-11T10:00"))
		b.answers(func(s map[string]any) bool { return s["id"] != id(1) && s["id"] != id(2) && s["id"] != id(3) })
		for _, n := range []int{1, 3} {
			b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/" + id(n), Times: -1, Effect: faults.Effect{Status: 404, Body: "{}"}})
		}
		// hidden from everything for a while: nothing is known, and at the second look they are closed where they were last seen
		for _, at := range []string{"2024-03-11T22:05:00Z", "2024-03-11T22:06:00Z"} { // the second is no second look
			b.collect(at)
			if r := b.row(id(3), "2024-03"); r.Status != "started" {
				t.Errorf("closed at the first look: %+v", r)
			}
		}
		b.told("VM "+id(3), "cannot be found")
		b.collect("2024-03-12T00:05:00Z")
		if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-11T10:00") {
			t.Errorf("one whose actions tell its end: %+v", r)
		}
		if r := b.row(id(2), "2024-03"); r.Status != "started" || r.Measured() != seconds("2024-03-12") {
			t.Errorf("one that answers by id: %+v", r)
		}
		if r := b.row(id(3), "2024-03"); r.Status != "completed" || r.EndTime != seconds("2024-03-10T00:05") {
			t.Errorf("one that is nowhere: %+v", r)
		}
		b.told("VM "+id(3), "vanished")
		if b.last.Outcome != run.Done || b.last.Counts["vms_vanished"] != 1 {
			t.Errorf("outcome %s, %d vanished", b.last.Outcome, b.last.Counts["vms_vanished"])
		}
		b.faults.Clear()
		w.Happen(id(1), on(world.Reproject, "2024-03-12T12:00")) // its cell comes back, and writes the row
		b.clean(b.collect("2024-03-13T00:05:00Z"))
		if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-11T10:00") {
			t.Errorf("shown again, its true end counts: %+v", r)
		}
		if r := b.row(id(3), "2024-03"); r.Status != "started" || r.WallDuration != 11*86400 {
			t.Errorf("shown again, it goes on: %+v", r)
		}
	})
}

// TestRule03EndedWhileHidden hides a VM for several runs in which it ends: the listing from its last sight finds the end
// that the window's own listing is too late for.
func TestRule03EndedWhileHidden(t *testing.T) {
	w := small()
	for n := range 3 {
		vm(w, id(n), "2024-03-02")
	}
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	w.Happen(id(1), on(world.Delete, "2024-03-10T12:00"))
	b.answers(func(s map[string]any) bool { return s["id"] != id(1) })
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/" + id(1), Times: -1, Effect: faults.Effect{Status: 503, Body: "{}"}})
	for _, at := range []string{"2024-03-11T00:05:00Z", "2024-03-12T00:05:00Z"} {
		if r := b.collect(at); r.Exit() != run.ExitPartial {
			t.Errorf("exit %d", r.Exit())
		}
		b.told("VM "+id(1), "cannot be asked for")
	}
	if r := b.row(id(0), "2024-03"); r.Measured() != seconds("2024-03-12") {
		t.Errorf("the others must go on: %+v", r)
	}
	b.faults.Clear()
	b.clean(b.collect("2024-03-13T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.Status != "completed" || r.EndTime != seconds("2024-03-10T12:00") {
		t.Errorf("%+v", r)
	}
}

// TestRule03AHiddenProjectIsNotClosed hides most of a project.
func TestRule03AHiddenProjectIsNotClosed(t *testing.T) {
	w := small()
	var hidden []string
	for n := range 20 {
		vm(w, id(n), "2024-03-02")
		if n < 6 {
			hidden = append(hidden, id(n))
		}
	}
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.hide(hidden...)
	if r := b.collect("2024-03-11T00:05:00Z"); r.Exit() != run.ExitPartial || r.Counts["vms_vanished"] != 0 {
		t.Errorf("exit %d, %d closed", r.Exit(), r.Counts["vms_vanished"])
	}
	b.told("project "+project, "6 of 20 VMs", "none of them is closed")
	b.faults.Clear()
	b.clean(b.collect("2024-03-12T00:05:00Z"))
	for n := range 20 {
		if r := b.row(id(n), "2024-03"); r.WallDuration != 10*86400 {
			t.Errorf("VM %d: %+v", n, r)
		}
	}
}

// TestRule04TheServersDateIsOurs checks that every row that is not completed dates itself to where it was measured, also
// when time is not charged.
func TestRule04TheServersDateIsOurs(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-02-10", on(world.Stop, "2024-02-20"), on(world.Start, "2024-03-05"))
	vm(w, id(2), "2024-02-10", on(world.Shelve, "2024-02-11"), on(world.Offload, "2024-02-11T00:01"))
	vm(w, id(3), "2024-02-10", on(world.Stop, "2024-02-20"), on(world.Rebuild, "2024-02-25"), on(world.Delete, "2024-03-03"))
	b := newCloudBed(t, w, onDisk(t), "2024-02-15T00:05:00Z", "2024-02-01")
	b.target.Settings.Charge = accounting.Charge{StoppedFree: true, ShelvedFree: true}
	for _, at := range []string{"2024-02-15T00:05:00Z", "2024-02-21T00:05:00Z", "2024-03-04T00:05:00Z", "2024-03-10T00:05:00Z"} {
		b.clean(b.collect(at))
		for key, e := range b.records() {
			if r := b.parse(e); r.Measured() != e.Measured.Unix() || r.Period() != e.Period || (r.EndTime == 0 && r.StartTime+r.SuspendDuration+r.WallDuration != e.Measured.Unix()) {
				t.Errorf("%s, collected %s: the server dates it %d, measured %d", key, at, r.Measured(), e.Measured.Unix())
			}
		}
	}
	day := int64(86400)
	if r := b.row(id(1), "2024-03"); r.SuspendDuration != 14*day || r.WallDuration != 15*day || r.CPUDuration != 30*day {
		t.Errorf("stopped from 20 February to 5 March: %+v", r)
	}
	if r := b.row(id(2), "2024-03"); r.WallDuration != day || r.Status != "suspended" {
		t.Errorf("shelved after a day: %+v", r)
	}
	if r := b.row(id(3), "2024-03"); r.WallDuration+r.SuspendDuration != 22*day || r.Status != "completed" {
		t.Errorf("completed: %+v", r)
	}
}

// TestRule05ResizesAreDated checks CPU after resizes at all sides of the window's end.
func TestRule05ResizesAreDated(t *testing.T) {
	const day = 86400
	for name, c := range map[string]struct {
		events []world.Event
		runs   []string
		want   int64 // CPU at 2024-03-10T00:00
		cpus   float64
		doubt  bool
	}{
		"in the window": {[]world.Event{on(world.Resize, "2024-03-05", "2"), on(world.Confirm, "2024-03-05T01:00")},
			[]string{"2024-03-04T00:05:00Z"}, 3*day*2 + 5*day*8, 8, false},
		"before to, seen after": {[]world.Event{on(world.Resize, "2024-03-04T23:59", "2")},
			[]string{"2024-03-04T00:05:00Z", "2024-03-05T00:05:00Z"}, (3*day-60)*2 + (5*day+60)*8, 8, false},
		"after to, seen before it is counted": {[]world.Event{on(world.Resize, "2024-03-05T00:03", "2")},
			[]string{"2024-03-04T00:05:00Z", "2024-03-05T00:05:00Z", "2024-03-06T00:05:00Z"}, (3*day+180)*2 + (5*day-180)*8, 8, false},
		"reverted, each seen": {[]world.Event{on(world.Resize, "2024-03-04", "2"), on(world.Revert, "2024-03-06")},
			[]string{"2024-03-03T00:05:00Z", "2024-03-05T00:05:00Z"}, 6*day*2 + 2*day*8, 2, false},
		"several, each seen": {[]world.Event{on(world.Resize, "2024-03-04", "2"), on(world.Confirm, "2024-03-04T01:00"), on(world.Resize, "2024-03-06", "3"), on(world.Confirm, "2024-03-06T01:00")},
			[]string{"2024-03-03T00:05:00Z", "2024-03-05T00:05:00Z"}, 2*day*2 + 2*day*8 + 4*day*1, 1, false},
		"several between two runs: the last one is dated": {[]world.Event{on(world.Resize, "2024-03-04", "2"), on(world.Confirm, "2024-03-04T01:00"), on(world.Resize, "2024-03-06", "3"), on(world.Confirm, "2024-03-06T01:00")},
			[]string{"2024-03-03T00:05:00Z"}, 4*day*2 + 4*day*1, 1, true},
		"there and back between two runs": {[]world.Event{on(world.Resize, "2024-03-04", "2"), on(world.Revert, "2024-03-04T00:01")},
			[]string{"2024-03-03T00:05:00Z"}, 8 * day * 2, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := small()
			w.Flavors = append(w.Flavors, world.Flavor{ID: "3", Name: "m1.tiny", VCPUs: 1})
			at := moment("2024-03-02")
			w.Add(world.VM{ID: id(1), Project: project, User: "u-one", Name: "vm", Flavor: "1", Image: "image-1", Created: at,
				Events: append([]world.Event{{At: at.Add(time.Minute), Kind: world.Launch}}, c.events...)})
			b := newCloudBed(t, w, onDisk(t), c.runs[0], "2024-03-01")
			doubted := false
			for _, at := range append(slices.Clone(c.runs), "2024-03-10T00:05:00Z") {
				b.clean(b.collect(at))
				doubted = doubted || b.said("VM "+id(1), "flavor")
			}
			if r := b.row(id(1), "2024-03"); r.CPUDuration != c.want || r.CPUCount != c.cpus || r.WallDuration != 8*day {
				t.Errorf("CPU %d of %v CPUs, wall %d; want %d of %v", r.CPUDuration, r.CPUCount, r.WallDuration, c.want, c.cpus)
			}
			if doubted != c.doubt {
				t.Errorf("doubt reported: %v", doubted)
			}
		})
	}
}
