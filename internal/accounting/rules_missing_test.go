package accounting_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// many is a world of n VMs, all created on 2 March.
func many(n int) *world.World {
	w := small()
	for i := range n {
		vm(w, id(i), "2024-03-02")
	}
	return w
}

func (b *bed) held() []accounting.Held {
	b.t.Helper()
	all, err := accounting.HeldProjects(b.t.Context(), b.db, b.target)
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

func (b *bed) release(project string, dry bool) (accounting.Release, error) {
	return accounting.ReleaseProject(b.t.Context(), b.deps(), b.target, project, "admin", dry)
}

// TestRule03AHeldProjectIsReleased hides most of a project: it is held and shown everywhere, a release is as its dry run
// said, and the next collection closes what it does not find, once more looked for, when it was last seen.
func TestRule03AHeldProjectIsReleased(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, many(20), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		if _, err := b.release(project, false); !errors.Is(err, accounting.ErrNotHeld) {
			t.Errorf("released what is not held: %v", err)
		}
		var hidden []string
		for n := range 7 {
			hidden = append(hidden, id(n))
		}
		b.hide(hidden...)
		for _, at := range []string{"2024-03-11T00:05:00Z", "2024-03-12T00:05:00Z"} {
			if r := b.collect(at); r.Exit() != run.ExitPartial || r.Counts["vms_vanished"] != 0 {
				t.Errorf("exit %d, %d closed", r.Exit(), r.Counts["vms_vanished"])
			}
			b.told("project "+project, "7 of 20 VMs", "none of them is closed", "fedsite accounting release "+project)
		}
		if held := b.held(); len(held) != 1 || held[0].Name != "vo-ops" || !held[0].Since.Equal(moment("2024-03-11T00:05")) {
			t.Errorf("held: %+v", held)
		}
		b.send()
		b.told("project "+project, "held: 7 of 20", "release "+project+" --dry-run")
		planned, err := b.release("vo-ops", true)
		if err != nil || len(planned.VMs) != 7 || !planned.VMs[0].Seen.Equal(moment("2024-03-10T00:05")) || len(b.held()) != 1 || !b.held()[0].Released.IsZero() {
			t.Errorf("dry run: %+v, %v", planned, err)
		}
		done, err := b.release("vo-ops", false)
		if d := cmp.Diff(planned.VMs, done.VMs); d != "" || err != nil {
			t.Errorf("released something else than planned (-planned +released): %s %v", d, err)
		}
		b.faults.Clear() // one is back before anything is closed
		b.hide(hidden[1:]...)
		r := b.collect("2024-03-13T00:05:00Z")
		b.clean(r)
		if r.Counts["vms_vanished"] != 6 || len(b.held()) != 0 {
			t.Errorf("%d closed, held %+v", r.Counts["vms_vanished"], b.held())
		}
		for n := range 20 {
			r := b.row(id(n), "2024-03")
			if closed := n > 0 && n < 7; closed && r.EndTime != seconds("2024-03-10T00:05") || !closed && (r.EndTime != 0 || r.WallDuration != 11*86400) {
				t.Errorf("VM %d: %+v", n, r)
			}
		}
		b.faults.Clear() // and those that were closed go on when they are shown after all
		b.clean(b.collect("2024-03-14T00:05:00Z"))
		if r := b.row(id(3), "2024-03"); r.EndTime != 0 || r.WallDuration != 12*86400 {
			t.Errorf("it lives: %+v", r)
		}
	})
}

// TestRule03AReleaseCoversWhatWasShown: VMs that go missing after the collection that a release was decided by are held
// anew.
func TestRule03AReleaseCoversWhatWasShown(t *testing.T) {
	b := newCloudBed(t, many(30), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	var hidden []string
	for n := range 16 {
		hidden = append(hidden, id(n))
	}
	b.hide(hidden[:8]...)
	b.collect("2024-03-11T00:05:00Z")
	if _, err := b.release(project, false); err != nil {
		t.Fatal(err)
	}
	b.faults.Clear()
	b.hide(hidden...)
	r := b.collect("2024-03-12T00:05:00Z")
	if r.Counts["vms_vanished"] != 8 || r.Exit() != run.ExitPartial {
		t.Errorf("%d closed, exit %d", r.Counts["vms_vanished"], r.Exit())
	}
	b.told("project "+project, "8 of 30 VMs")
	if held := b.held(); len(held) != 1 || !held[0].Released.IsZero() {
		t.Errorf("held: %+v", held)
	}
	b.faults.Clear()
	b.clean(b.collect("2024-03-13T00:05:00Z"))
	b.told("project "+project, "no longer held")
}

// TestRule03AProjectThatIsGone: a project that was deleted, or whose role was taken away, is held, not forgotten.
func TestRule03AProjectThatIsGone(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := many(3)
		w.Projects = append(w.Projects, world.Project{ID: project2, Name: "vo-other", Properties: map[string]string{"VO": "biomed"}})
		w.Users[0].Roles[project2] = []string{"reader"}
		w.Add(world.VM{ID: id(9), Project: project2, User: "u-one", Name: "other", Flavor: "1", Created: moment("2024-03-02"), Events: []world.Event{on(world.Launch, "2024-03-02T00:01")}})
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		delete(w.Users[0].Roles, project2)
		if r := b.collect("2024-03-31T23:55:00Z"); r.Exit() != run.ExitPartial {
			t.Errorf("exit %d", r.Exit())
		}
		b.told("project "+project2, "no role on it any more", "1 of its VMs")
		w.Users[0].Roles[project2] = []string{"reader"} // it was a mistake
		b.clean(b.collect("2024-04-01T00:05:00Z"))
		b.told("project "+project2, "no longer held")
		if r := b.row(id(9), "2024-03"); r.WallDuration != 30*86400-1 {
			t.Errorf("it goes on, with the month's end: %+v", r)
		}
		delete(w.Users[0].Roles, project2)
		b.collect("2024-04-02T00:05:00Z")
		if r, err := b.release("vo-other", false); err == nil { // its name was not known when it was held for the first time
			t.Errorf("%+v", r)
		}
		if _, err := b.release(project2, false); err != nil {
			t.Error(err)
		}
		b.clean(b.collect("2024-04-03T00:05:00Z"))
		if r := b.row(id(9), "2024-04"); r.Status != "completed" || r.EndTime != seconds("2024-04-01T00:05") || r.FQAN != "biomed" {
			t.Errorf("%+v", r)
		}
		b.clean(b.collect("2024-04-04T00:05:00Z"))
	})
}

// TestRule03AnEndThatWasSeenAndIsNotShownAgain ends a VM after the window's end, and takes it out of the cloud's database
// before the next run: the end that was seen counts.
func TestRule03AnEndThatWasSeenAndIsNotShownAgain(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := many(2)
		w.Happen(id(1), on(world.Delete, "2024-03-10T00:03"))
		b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect("2024-03-09T00:05:00Z"))
		b.clean(b.collect("2024-03-10T00:05:00Z"))
		if r := b.row(id(1), "2024-03"); r.EndTime != 0 || r.Measured() != seconds("2024-03-10") {
			t.Errorf("counted beyond the window: %+v", r)
		}
		b.hide(id(1))
		r := b.collect("2024-03-11T00:05:00Z")
		b.clean(r)
		if r := b.row(id(1), "2024-03"); r.Status != "completed" || r.EndTime != seconds("2024-03-10T00:03") {
			t.Errorf("%+v", r)
		}
		if r.Counts["vms_vanished"] != 0 || b.said("VM "+id(1)) {
			t.Errorf("called vanished: %+v", r)
		}
	})
}
