package accounting_test

import (
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

const days = 86400

// withoutActions lets the cloud have no instance actions of a VM, as long as it does not show it.
func (b *bed) withoutActions(vm string) {
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/" + vm + "/os-instance-actions", Times: -1, Effect: faults.Effect{Status: 404, Body: "{}"}})
}

// stoppedFree is a bed with two VMs of 2 March, one of which lives as told, at a site that does not charge for stopped VMs.
func stoppedFree(t *testing.T, events ...world.Event) *bed {
	w := small()
	vm(w, id(1), "2024-03-02", events...)
	vm(w, id(2), "2024-03-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Settings.Charge.StoppedFree = true
	return b
}

// TestRule05WhatActionsSayOfOneThatIsGone closes a VM by its instance actions: they tell its end, and what was done to it
// before, of which a resize is told.
func TestRule05WhatActionsSayOfOneThatIsGone(t *testing.T) {
	b := stoppedFree(t, on(world.Stop, "2024-03-12"), on(world.Resize, "2024-03-13", "2"), on(world.Delete, "2024-03-15"))
	b.clean(b.collect(""))
	b.hide(id(1))
	b.collect("2024-03-16T00:05:00Z")
	b.collect("2024-03-16T01:05:00Z")
	if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-15") || r.WallDuration != 10*days || r.SuspendDuration != 3*days || r.CPUDuration != 20*days {
		t.Errorf("%+v", r)
	}
	b.told("VM "+id(1), "flavor changed once", "not seen before it was gone")
}

// TestRule05AVanishedVMGoesOnFromWhereItWasSure stops a VM after the window's end, and hides it: it is closed when it was last
// seen, and when it is back it is counted anew from the window's end, by what its actions say.
func TestRule05AVanishedVMGoesOnFromWhereItWasSure(t *testing.T) {
	for name, end := range map[string]string{"it lives": "", "it ended meanwhile": "2024-03-11T00:00:00"} {
		t.Run(name, func(t *testing.T) {
			events := []world.Event{on(world.Stop, "2024-03-10T00:02")}
			if end != "" {
				events = append(events, on(world.Delete, end))
			}
			b := stoppedFree(t, events...)
			b.clean(b.collect(""))
			b.hide(id(1))
			b.withoutActions(id(1))
			b.collect("2024-03-10T02:05:00Z")
			b.collect("2024-03-10T03:05:00Z")
			if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-10T00:05") || r.WallDuration != 8*days+300 {
				t.Errorf("closed: %+v", r)
			}
			b.faults.Clear()
			b.clean(b.collect("2024-03-13T00:05:00Z"))
			if r := b.row(id(1), "2024-03"); r.WallDuration != 8*days+120 || r.CPUDuration != 2*r.WallDuration {
				t.Errorf("back: %+v", r)
			}
			revs := b.revisions()
			b.clean(b.again())
			if got := b.revisions()[id(1)+" 2024-03"]; got != revs[id(1)+" 2024-03"] {
				t.Errorf("revision %d after nothing", got)
			}
		})
	}
}

// TestRule05AnEndThatWasSeenIsCountedAgain sees, in an old window, the end of a VM that was stopped before it, and hides it
// then: what was done to it is told to be unknown, and counted when it is shown again.
func TestRule05AnEndThatWasSeenIsCountedAgain(t *testing.T) {
	b := stoppedFree(t, on(world.Stop, "2024-03-08"), on(world.Delete, "2024-03-09"))
	b.clean(b.collectFor(b.target, "", accounting.Ask{To: moment("2024-03-07")}))
	b.hide(id(1))
	b.withoutActions(id(1))
	b.collect("2024-03-11T00:05:00Z")
	if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-09") || r.WallDuration != 7*days {
		t.Errorf("closed: %+v", r)
	}
	b.told("VM "+id(1), "shown no more", "cannot be read")
	b.faults.Clear()
	b.clean(b.collect("2024-03-12T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-09") || r.WallDuration != 6*days || r.SuspendDuration != days {
		t.Errorf("back: %+v", r)
	}
}

// TestRule03ASoftlyDeletedVMThatVanishedIsBack hides a softly deleted VM: no listing shows it any more when it is back, so
// that it is asked for by its id.
func TestRule03ASoftlyDeletedVMThatVanishedIsBack(t *testing.T) {
	b := stoppedFree(t, on(world.Soft, "2024-03-05"))
	b.clean(b.collect(""))
	b.hide(id(1))
	b.collect("2024-03-11T00:05:00Z")
	b.collect("2024-03-11T01:05:00Z")
	if r := b.row(id(1), "2024-03"); r.Status != "completed" || r.EndTime != seconds("2024-03-10T00:05") {
		t.Fatalf("not closed: %+v", r)
	}
	b.faults.Clear()
	b.clean(b.collect("2024-03-13T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.Status != "started" || r.EndTime != 0 || r.WallDuration != 11*days {
		t.Errorf("it is still there: %+v", r)
	}
}

// TestRule05AVMThatGoesOutOfSightIsLeftAsItIs shows a resized VM in a listing, and has no instance actions of it a moment
// later: the resize is dated by the next run.
func TestRule05AVMThatGoesOutOfSightIsLeftAsItIs(t *testing.T) {
	b := stoppedFree(t, on(world.Resize, "2024-03-10T12:00", "2"))
	b.clean(b.collect(""))
	b.withoutActions(id(1))
	b.collect("2024-03-10T18:05:00Z")
	b.told("VM "+id(1), "left as it is known")
	b.faults.Clear()
	b.clean(b.collect("2024-03-13T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.WallDuration != 11*days || r.CPUDuration != 17*days+20*days {
		t.Errorf("%+v", r)
	}
}

// TestRule05AStoppedVMThatWasResizedLongAgo sees a VM for the first time whose resize was never confirmed: whether it is
// stopped is told by its actions only.
func TestRule05AStoppedVMThatWasResizedLongAgo(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-02-02", on(world.Stop, "2024-02-10"), on(world.Resize, "2024-02-20", "2"))
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Settings.Charge.StoppedFree, b.target.Settings.Previously = true, accounting.Nothing
	b.clean(b.collect(""))
	if r := b.row(id(1), "2024-03"); r.WallDuration != 0 || r.SuspendDuration != 9*days {
		t.Errorf("%+v", r)
	}
}
