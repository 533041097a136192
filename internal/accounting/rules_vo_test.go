package accounting_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// vos gives the project's VOs, as the file names them: name, since, until; "" = open.
func vos(all ...[3]string) []site.VO {
	var list []site.VO
	for _, a := range all {
		vo := site.VO{Name: a[0], Project: project}
		if a[1] != "" {
			vo.Since = moment(a[1])
		}
		if a[2] != "" {
			vo.Until = moment(a[2])
		}
		list = append(list, vo)
	}
	return list
}

// TestRule08TimeWithoutAVO has VOs come, go and follow one another: the server counts for each VO the hours in which the
// project was its, and nobody is charged with those in between, however the time is cut into runs.
func TestRule08TimeWithoutAVO(t *testing.T) {
	for name, c := range map[string]struct {
		vos  []site.VO
		runs []string
		want map[string]int64
	}{
		"a first VO long after the VM": {vos([3]string{"ops", "2024-04-10", ""}), []string{"2024-04-12T00:05:00Z"}, map[string]int64{"ops 2024-04": 48}},
		"a month between two VOs": {vos([3]string{"ops", "", "2024-02-01"}, [3]string{"biomed", "2024-04-01", ""}),
			[]string{"2024-01-20T00:05:00Z", "2024-02-20T00:05:00Z", "2024-03-20T00:05:00Z", "2024-04-12T00:05:00Z"},
			map[string]int64{"ops 2024-01": 744, "ops 2024-02": 0, "biomed 2024-04": 11 * 24}},
		"a gap within a month": {vos([3]string{"ops", "", "2024-04-03"}, [3]string{"biomed", "2024-04-08", ""}),
			[]string{"2024-04-02T00:05:00Z", "2024-04-05T00:05:00Z", "2024-04-12T00:05:00Z", "2024-05-03T00:05:00Z"},
			map[string]int64{"ops 2024-01": 744, "ops 2024-02": 696, "ops 2024-03": 744, "ops 2024-04": (2 + 23) * 24, "biomed 2024-05": 48}},
		"some days in the middle of a month": {vos([3]string{"ops", "2024-03-10", "2024-03-20"}, [3]string{"biomed", "2024-04-10", ""}),
			[]string{"2024-03-05T00:05:00Z", "2024-03-12T00:05:00Z", "2024-03-25T00:05:00Z", "2024-04-05T00:05:00Z", "2024-04-12T00:05:00Z"},
			map[string]int64{"ops 2024-03": 240, "biomed 2024-04": 48}},
	} {
		t.Run(name, func(t *testing.T) {
			last := c.runs[len(c.runs)-1]
			collected := func(cfg store.Config, runs []string) *bed {
				w := small()
				vm(w, id(1), "2024-01-01")
				b := newBed(t, w, cfg, runs[0], "2024-01-01")
				b.target.Clouds[0].Cloud.VOs = c.vos
				for _, at := range runs {
					b.collect(at)
				}
				for key, e := range b.records() {
					if r := b.parse(e); r.StartTime+r.SuspendDuration+r.WallDuration != e.Measured.Unix() || r.CPUDuration != 2*r.WallDuration {
						t.Errorf("%s, measured %s: %+v", key, e.Measured, r)
					}
				}
				return b
			}
			whole := collected(onDisk(t), []string{last})
			pieces := collected(onDisk(t), c.runs)
			if d := cmp.Diff(whole.wires(), pieces.wires()); d != "" {
				t.Errorf("rows (-whole +in pieces):\n%s", d)
			}
			whole.clean(whole.send())
			if got := whole.hours(); !cmp.Equal(sum(got), sum(c.want)) || !covers(got, c.want) {
				t.Errorf("hours: %v, want %v", got, c.want)
			}
		})
	}
}

// covers tells whether the server counts what is wanted; a month without use may be there or not.
func covers(got, want map[string]int64) bool {
	for k, n := range want {
		if got[k] != n {
			return false
		}
	}
	return true
}

func sum(hours map[string]int64) (n int64) {
	for _, h := range hours {
		n += h
	}
	return n
}

// TestRule08AnEndWithoutAVO ends a VM while its project belongs to no VO, in a month that has one, and in one that has
// none.
func TestRule08AnEndWithoutAVO(t *testing.T) {
	w := small()
	vm(w, id(1), "2024-03-01", on(world.Delete, "2024-03-20"))
	vm(w, id(2), "2024-03-01", on(world.Delete, "2024-04-20"))
	b := newCloudBed(t, w, onDisk(t), "2024-03-12T00:05:00Z", "2024-03-01")
	b.target.Clouds[0].Cloud.VOs = vos([3]string{"ops", "", "2024-03-11"})
	b.collect("")
	b.told("project "+project, "2 VMs are not accounted", "belongs to no VO now") // at once, and not when the month is over
	b.collect("2024-04-30T00:05:00Z")
	if r := b.row(id(1), "2024-03"); r.EndTime != seconds("2024-03-20") || r.WallDuration != 10*86400 || r.SuspendDuration != 9*86400 {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff([]string{id(1) + " 2024-03", id(2) + " 2024-03"}, b.keys()); d != "" {
		t.Error(d)
	}
	b.clean(b.collectFor(b.target, "2024-05-02T00:05:00Z", accounting.Ask{}))
}

// TestRule08WhatCASOCountedIsNotTakenBack takes over from cASO, which sent a VM's use under another VO, in a project whose
// VO begins later in the month: what cASO counted stays, or the first month would fall below nothing.
func TestRule08WhatCASOCountedIsNotTakenBack(t *testing.T) {
	b := newBed(t, crowd(1, "2024-01-15"), onDisk(t), "2024-04-12T00:05:00Z", "2024-04-01")
	created, last := moment("2024-01-15").Unix(), moment("2024-03-31T23:00").Unix()
	before := fmt.Sprintf("APEL-cloud-message: v0.4\nVMUUID: %s\nSiteName: SITE-A\nFQAN: old\nStatus: started\nStartTime: %d\nEndTime: 0\nWallDuration: %d\nCpuDuration: %d\n",
		b.world.VMs()[0].ID, created, last-created, 2*(last-created))
	if v := b.fed.Server.Load([]byte(before), "/CN=caso"); !v.Accepted {
		t.Fatal(v.Reason)
	}
	b.target.Clouds[0].Cloud.VOs = vos([3]string{"ops", "2024-04-10", ""})
	b.clean(b.collect(""))
	b.clean(b.send())
	b.fed.Server.Summarise(b.clock.now())
	for _, m := range b.fed.Server.Monthly() {
		if want := int64(3600 + 48*3600); m.Period == "2024-04" && (m.Wall != want || m.CPU != 2*want || m.VO != "ops") {
			t.Errorf("April: %+v, want %d s: the hour that cASO had not sent yet, and two days of the VO", m, want)
		}
	}
}
