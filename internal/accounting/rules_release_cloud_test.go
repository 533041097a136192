package accounting_test

import (
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// TestRule03AProjectOfTwoRegionsIsReleased: two regions have one Keystone, and so every project in common.
func TestRule03AProjectOfTwoRegionsIsReleased(t *testing.T) {
	b := newCloudBed(t, many(7), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	other := small()
	for n := range 7 {
		vm(other, id(50+n), "2024-03-02")
	}
	b.target.Clouds = append(b.target.Clouds, accounting.CloudTarget{Cloud: site.Cloud{ID: "cloud-b", Name: "cloud-b", ServiceName: "B", Properties: []string{"VO"}},
		Source: b.sourceAt(b.cloudOf(other), "reader"), Parallel: 2})
	b.clean(b.collect(""))
	b.world.AddFault(world.Fault{Name: world.Hidden, Project: project, From: moment("2024-03-10T12:00")})
	other.AddFault(world.Fault{Name: world.Hidden, Project: project, From: moment("2024-03-10T12:00")})
	b.collect("2024-03-11T00:05:00Z")
	if held := b.held(); len(held) != 2 {
		t.Fatalf("%+v", held)
	}
	if _, err := b.release(project, false); err == nil || !strings.Contains(err.Error(), "cloud-b/"+project) {
		t.Errorf("released one of two, or not told how to name it: %v", err)
	}
	if r, err := b.release("cloud-b/vo-ops", false); err != nil || r.Cloud != "cloud-b" || len(r.VMs) != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	if r := b.collect("2024-03-12T00:05:00Z"); r.Counts["vms_vanished"] != 7 {
		t.Errorf("%d closed", r.Counts["vms_vanished"])
	}
	if held := b.held(); len(held) != 1 || held[0].Cloud != "cloud-a" {
		t.Errorf("%+v", held)
	}
}

// TestRule03AReleaseByAClockThatWasAhead: what is seen after the clock was put right is not taken for released.
func TestRule03AReleaseByAClockThatWasAhead(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, many(20), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.hide(ids(0, 7)...)
		b.collect("2024-04-11T00:05:00Z")
		if _, err := b.release(project, false); err != nil {
			t.Fatal(err)
		}
		b.faults.Clear()
		b.hide(ids(7, 20)...)
		for _, at := range []string{"2024-03-11T00:05:00Z", "2024-03-12T00:05:00Z"} {
			if r := b.collect(at); r.Counts["vms_vanished"] != 0 {
				t.Errorf("%s: %d of 20 were closed, and nobody had released them", at, r.Counts["vms_vanished"])
			}
		}
	})
}

// TestRule03AVMMissedByAClockThatWasAhead is closed when it is looked for in vain again, not when time has caught up.
func TestRule03AVMMissedByAClockThatWasAhead(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newCloudBed(t, many(20), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		b.hide(id(3))
		b.collect("2024-04-11T00:05:00Z")
		b.collect("2024-03-11T00:05:00Z")
		if r := b.collect("2024-03-12T00:05:00Z"); r.Counts["vms_vanished"] != 1 {
			t.Errorf("%d closed", r.Counts["vms_vanished"])
		}
	})
}
