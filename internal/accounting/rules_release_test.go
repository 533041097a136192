package accounting_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// ids gives those of the VMs from first up to, and without, end.
func ids(first, end int) (all []string) {
	for n := first; n < end; n++ {
		all = append(all, id(n))
	}
	return all
}

// TestRule03AReleaseThatIsInterrupted ends the collection after a release at each of its commits: the next one closes the
// rest, and nobody must release the project again.
func TestRule03AReleaseThatIsInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		project string
		gone    func(*bed)
		stays   bool // more is missing than was released
	}{
		"VMs that are gone":      {project, func(b *bed) { b.hide(ids(0, 8)...) }, false},
		"and more since then":    {project, func(b *bed) { b.hide(ids(0, 8)...) }, true},
		"a project that is gone": {project2, func(b *bed) { delete(b.world.Users[0].Roles, project2) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			for stop := int64(1); ; stop++ {
				w := many(30)
				w.Projects = append(w.Projects, world.Project{ID: project2, Name: "vo-other", Properties: map[string]string{"VO": "biomed"}})
				w.Users[0].Roles[project2] = []string{"reader"}
				for n := range 7 {
					w.Add(world.VM{ID: id(100 + n), Project: project2, User: "u-one", Name: "other", Flavor: "1", Created: moment("2024-03-02"), Events: []world.Event{on(world.Launch, "2024-03-02T00:01")}})
				}
				b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
				b.clean(b.collect(""))
				c.gone(b)
				b.collect("2024-03-11T00:05:00Z")
				released, err := b.release(c.project, false)
				if err != nil {
					t.Fatal(err)
				}
				if c.stays {
					b.faults.Clear()
					b.hide(append(ids(0, 8), ids(10, 20)...)...)
				}
				ctx, cancel := context.WithCancel(t.Context())
				var n atomic.Int64
				b.clock.set("2024-03-12T00:05:00Z")
				d := b.deps()
				err = accounting.Collect(store.Watched(ctx, func(committed bool) {
					if committed {
						if n.Add(1) == stop {
							cancel()
						}
					}
				}), d, b.target, accounting.Ask{})
				cancel()
				b.collect("2024-03-12T01:05:00Z")
				for _, v := range released.VMs {
					if r := b.row(v.VM, "2024-03"); r.EndTime != seconds("2024-03-10T00:05") {
						t.Fatalf("ended after %d commits: VM %s was released, and is not closed: %+v", stop, v.VM, r)
					}
				}
				if held := b.held(); (len(held) != 0) != c.stays {
					t.Errorf("ended after %d commits: %+v", stop, held)
				}
				if err == nil {
					return
				}
			}
		})
	}
}

// TestRule03AReleaseWhileItIsCollected: an operator releases a project while a collection goes on that holds it again.
func TestRule03AReleaseWhileItIsCollected(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, many(20), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.hide(ids(0, 7)...)
		b.collect("2024-03-11T00:05:00Z")
		b.faults.Clear()
		b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/0*", Effect: faults.Effect{Status: 404, Body: "{}", Do: func() {
			if _, err := b.release(project, false); err != nil {
				t.Error(err)
			}
		}}})
		b.hide(ids(0, 7)...)
		b.collect("2024-03-12T00:05:00Z")
		if r := b.collect("2024-03-13T00:05:00Z"); r.Counts["vms_vanished"] != 7 || len(b.held()) != 0 {
			t.Errorf("the release was forgotten: %d closed, held %+v", r.Counts["vms_vanished"], b.held())
		}
	})
}

// TestRule03ReleasedVMsThatAreThereHideNoOthers: VMs that were released, and are there by their id after all, make no room
// for others that go missing.
func TestRule03ReleasedVMsThatAreThereHideNoOthers(t *testing.T) {
	b := newCloudBed(t, many(40), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.hide(ids(0, 9)...)
	b.collect("2024-03-11T00:05:00Z")
	if _, err := b.release(project, false); err != nil {
		t.Fatal(err)
	}
	b.faults.Clear()
	unlisted := append(ids(0, 9), ids(20, 30)...)
	b.answers(func(server map[string]any) bool { return !slices.Contains(unlisted, server["id"].(string)) })
	b.hide(ids(20, 30)...)
	for day := 12; day < 15; day++ {
		if r := b.collect(fmt.Sprintf("2024-03-%dT00:05:00Z", day)); r.Counts["vms_vanished"] != 0 || r.Exit() != run.ExitPartial {
			t.Errorf("day %d: exit %d, %d of 40 VMs were closed at once", day, r.Exit(), r.Counts["vms_vanished"])
		}
	}
}

// TestRule03AReleaseWaitsForActions: what cannot be closed yet, because its instance actions cannot be read now, stays
// released.
func TestRule03AReleaseWaitsForActions(t *testing.T) {
	b := newCloudBed(t, many(20), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.hide(ids(0, 7)...)
	b.collect("2024-03-11T00:05:00Z")
	if _, err := b.release(project, false); err != nil {
		t.Fatal(err)
	}
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/*/os-instance-actions", Times: -1, Effect: faults.Effect{Status: 503, Body: "{}"}})
	b.collect("2024-03-12T00:05:00Z")
	b.faults.Clear()
	b.hide(ids(0, 7)...)
	if r := b.collect("2024-03-13T00:05:00Z"); r.Counts["vms_vanished"] != 7 || len(b.held()) != 0 {
		t.Errorf("%d closed, held %+v", r.Counts["vms_vanished"], b.held())
	}
}

// TestRule03ADeletionThatWasTakenBack: a VM that was deleted softly, restored, and seen since then did not end then; Nova
// calls either deletion by one name.
func TestRule03ADeletionThatWasTakenBack(t *testing.T) {
	w := many(3)
	w.Happen(id(1), on(world.Soft, "2024-03-05"))
	w.Happen(id(1), on(world.Restore, "2024-03-06"))
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.hide(id(1))
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/*/os-instance-actions", Times: -1, Effect: faults.Effect{Change: func(body []byte) []byte {
		return bytes.ReplaceAll(body, []byte("softDelete"), []byte("delete"))
	}}})
	b.clean(b.collect("2024-03-11T00:05:00Z"))
	b.clean(b.collect("2024-03-12T00:05:00Z"))
	if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-10T00:05") {
		t.Errorf("%+v", r)
	}
}

// TestRule03ABeginningWhoseActionsCannotBeRead: a VM that is new, and that ended, is shown in this window only: it is
// recorded even if its instance actions are no JSON.
func TestRule03ABeginningWhoseActionsCannotBeRead(t *testing.T) {
	w := many(2)
	at := moment("2024-03-10T06:00")
	w.Add(world.VM{ID: id(9), Project: project, User: "u-one", Name: "slow", Flavor: "1", Image: "image-1", Created: at,
		Events: []world.Event{on(world.Launch, "2024-03-10T06:30"), on(world.Delete, "2024-03-10T08:00")}})
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/*/os-instance-actions", Times: -1, Effect: faults.Effect{Status: 200, Body: "<html>"}})
	b.collect("2024-03-11T00:05:00Z")
	b.told("VM "+id(9), "instance actions")
	b.collect("2024-03-12T00:05:00Z")
	if r := b.row(id(9), "2024-03"); r.EndTime != seconds("2024-03-10T08:00") || r.WallDuration != 7200 {
		t.Errorf("%+v", r)
	}
}
