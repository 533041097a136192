package world

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestInProgress: what is shown of actions that take time, that fail, and that are cut short by the VM's end.
func TestInProgress(t *testing.T) {
	w := one(Event{At: at(10), Kind: Launch},
		Event{Asked: at(100), At: at(200), Kind: Resize, Value: "4"}, Event{Asked: at(210), At: at(220), Kind: Confirm},
		Event{Asked: at(300), At: at(400), Kind: Resize, Value: "1", Failed: true},
		Event{Asked: at(500), At: at(550), Kind: Rebuild, Value: "other"},
		Event{Asked: at(600), At: at(650), Kind: Rescue}, Event{Asked: at(660), At: at(670), Kind: Unrescue},
		Event{Asked: at(700), At: at(750), Kind: Shelve}, Event{Asked: at(760), At: at(790), Kind: Unshelve},
		Event{Asked: at(800), At: at(950), Kind: Resize, Value: "1"}, Event{At: at(900), Kind: Delete})
	for _, c := range []struct {
		second             int
		status, rest, task string
		vcpus              int64
		updated            int
	}{
		{99, "ACTIVE", "ACTIVE", "", 1, 10}, {100, "RESIZE", "ACTIVE", "resize_migrating", 1, 100}, {199, "RESIZE", "ACTIVE", "resize_migrating", 1, 100},
		{200, "VERIFY_RESIZE", "VERIFY_RESIZE", "", 4, 200}, {215, "VERIFY_RESIZE", "VERIFY_RESIZE", "resize_confirming", 4, 210}, {220, "ACTIVE", "ACTIVE", "", 4, 220},
		{350, "RESIZE", "ACTIVE", "resize_migrating", 4, 300}, {400, "ACTIVE", "ACTIVE", "", 4, 400},
		{510, "REBUILD", "ACTIVE", "rebuild_spawning", 4, 500}, {610, "ACTIVE", "ACTIVE", "rescuing", 4, 600}, {650, "RESCUE", "RESCUE", "", 4, 650},
		{720, "ACTIVE", "ACTIVE", "shelving", 4, 700}, {750, "SHELVED", "SHELVED", "", 4, 750}, {770, "SHELVED", "SHELVED", "unshelving", 4, 760},
		{850, "RESIZE", "ACTIVE", "resize_migrating", 4, 800}, {900, "DELETED", "DELETED", "", 4, 900}, {999, "DELETED", "DELETED", "", 4, 900},
	} {
		v, _ := w.ServerAt("vm", at(c.second))
		if v.Status != c.status || v.Rest != c.rest || v.Task != c.task || v.Flavor.VCPUs != c.vcpus || !v.Updated.Equal(at(c.updated)) {
			t.Errorf("second %d: %+v, want %+v", c.second, v, c)
		}
	}
	for second, want := range map[int]string{
		150: "resize 100 100 in progress", 200: "resize 100 200 done", 350: "resize 300 300 in progress", 400: "resize 300 400 failed", 850: "resize 800 800 in progress", 999: "resize 800 800 in progress",
	} {
		actions := w.ActionsAt("vm", at(second))
		i := len(actions) - 1
		for actions[i].Name != "resize" {
			i--
		}
		if got := told(actions[i]); got != want {
			t.Errorf("second %d: %s, want %s", second, got, want)
		}
	}
	never := one(Event{At: at(10), Kind: Fail})
	if a := never.ActionsAt("vm", at(20)); told(a[0]) != "create 0 10 failed" {
		t.Errorf("%+v", a)
	}
}

func told(a Action) string {
	how := "in progress"
	if a.Finished {
		how = "done"
	}
	if a.Failed {
		how = "failed"
	}
	return fmt.Sprint(a.Name, " ", a.Start.Sub(start).Seconds(), " ", a.Updated.Sub(start).Seconds(), " ", how)
}

// TestUsageInProgress: a resize counts from the instant it was done, a failed one never.
func TestUsageInProgress(t *testing.T) {
	w := one(Event{At: at(10), Kind: Launch}, Event{Asked: at(100), At: at(200), Kind: Resize, Value: "4"}, Event{Asked: at(300), At: at(400), Kind: Resize, Value: "1", Failed: true}, Event{At: at(500), Kind: Delete})
	if u := w.Usage("", at(0), at(600), Charge{}); len(u) != 1 || u[0].Wall != 500 || u[0].CPU != 200+300*4 {
		t.Errorf("%+v", u)
	}
	stopped := one(Event{At: at(10), Kind: Launch}, Event{At: at(100), Kind: Stop}, Event{Asked: at(200), At: at(300), Kind: Start})
	if u := stopped.Usage("", at(0), at(400), Charge{StoppedFree: true}); u[0].Wall != 200 {
		t.Errorf("being started, it is stopped still: %+v", u)
	}
}

// TestFaults: what the cloud shows under each fault, in the listing of what exists, in that of what changed since the
// start, and by id.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		want  map[int]string // by second
	}{
		"none": {Fault{}, map[int]string{49: "b+A a+A c+A", 50: "b+D a+A c+A", 5000: "b+D a+A c+A"}},
		LateCommit: {Fault{Name: LateCommit, VMs: []string{"b"}, By: 30 * time.Second}, map[int]string{
			9: "a+A c+A", 31: "a+A c+A", 35: "b+B a+A c+A", 40: "b+A a+A c+A", 50: "b+A a+A c+A", 79: "b+A a+A c+A", 80: "b+D a+A c+A"}},
		"late for a while": {Fault{Name: LateCommit, From: at(40), To: at(60), By: 30 * time.Second}, map[int]string{9: "b+B a+A c+A", 79: "b+A a+A c+A", 80: "b+D a+A c+A"}},
		Archived:           {Fault{Name: Archived, By: time.Minute}, map[int]string{50: "b+D a+A c+A", 109: "b+D a+A c+A", 110: "a+A c+A"}},
		Hidden:             {Fault{Name: Hidden, VMs: []string{"a", "b"}, From: at(20), To: at(60)}, map[int]string{19: "b+A a+A c+A", 20: "c+A", 59: "c+A", 60: "b+D a+A c+A"}},
		"hidden project":   {Fault{Name: Hidden, Project: "q"}, map[int]string{60: "b+D a+A"}},
		DownCell:           {Fault{Name: DownCell, Cell: SecondCell, From: at(20)}, map[int]string{19: "b+A a+A c+A", 20: "b+A a+A", 50: "b+D a+A"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &World{}
			w.Add(VM{ID: "a", Project: "p", Created: at(0), Events: []Event{{At: at(1), Kind: Launch}}})
			w.Add(VM{ID: "b", Project: "p", Created: at(5), Events: []Event{{At: at(10), Kind: Launch}, {At: at(50), Kind: Delete}}})
			w.Add(VM{ID: "c", Project: "q", Cell: SecondCell, Created: at(-5), Events: []Event{{At: at(1), Kind: Launch}}})
			w.AddFault(c.fault)
			for second, want := range c.want {
				since := at(-100)
				all, _ := w.Seen(at(second)).List(Query{Since: &since})
				var got []string
				for _, v := range all {
					got = append(got, v.ID+"+"+v.Status[:1])
				}
				if d := gocmp.Diff(want, strings.Join(got, " ")); d != "" {
					t.Errorf("second %d (-want +got):\n%s", second, d)
				}
				existing, _ := w.Seen(at(second)).List(Query{})
				all = slices.DeleteFunc(all, func(v View) bool { return v.Deleted })
				if len(existing) != len(all) {
					t.Errorf("second %d: %d exist, of %d", second, len(existing), len(all))
				}
				for _, id := range []string{"a", "b", "c"} {
					v, there := w.Seen(at(second)).Server(id)
					if there != (strings.Contains(want, id) || v.Partial) || (w.Seen(at(second)).Actions(id) != nil) != there {
						t.Errorf("second %d: %s by id: %v, %+v", second, id, there, v)
					}
				}
			}
			if v, ok := w.ServerAt("b", at(55)); !ok || !v.Deleted {
				t.Error("the truth has changed")
			}
		})
	}
	w := Generate(Options{Seed: 1, At: at(0), Projects: 2, VMs: 50})
	for _, name := range []string{LateCommit, Archived, DownCell} {
		f, ok := FaultNamed(name)
		before, _ := w.Seen(at(1)).List(Query{Since: new(at(-1e9))})
		w.AddFault(f)
		if after, _ := w.Seen(at(1)).List(Query{Since: new(at(-1e9))}); !ok || (name != LateCommit && len(after) >= len(before)) {
			t.Errorf("%s: %d VMs instead of %d", name, len(after), len(before))
		}
		if down := w.Seen(at(1)).Unanswered(""); (len(down) > 0) != (name == DownCell) {
			t.Errorf("%s: %d VMs of a cell that is down", name, len(down))
		}
		w.ClearFaults()
	}
	if _, ok := FaultNamed("no such"); ok {
		t.Error("there is a fault of any name")
	}
}

// TestPages: the pages of a listing are together the whole, whatever their size, also when VMs end and begin in between.
func TestPages(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	w := &World{}
	for i := range 200 {
		vm := VM{ID: fmt.Sprintf("%03d", r.IntN(100000)), Project: fmt.Sprint("p", i%2), Created: at(r.IntN(50)), Events: []Event{{At: at(100), Kind: Launch}}}
		if i%3 == 0 {
			vm.Events = append(vm.Events, Event{At: at(150 + i), Kind: Delete})
		}
		w.Add(vm)
	}
	since := at(150)
	for _, q := range []Query{{}, {Project: "p0"}, {Project: "p1", Since: &since}, {Status: "deleted", Since: &since}} {
		for _, size := range []int{1, 7, 100, 1000} {
			for _, step := range []int{0, 1} { // seconds that go by between two pages
				now := 200
				whole, _ := w.Seen(at(now)).List(q)
				var got []string
				page := q
				page.Limit = size
				for {
					views, ok := w.Seen(at(now)).List(page)
					if !ok {
						t.Fatalf("%+v: no marker %s", q, page.Marker)
					}
					for _, v := range views {
						got = append(got, v.ID)
					}
					if len(views) < size {
						break
					}
					if len(got) > 1000 {
						t.Fatalf("%+v by %d: the pages have no end", q, size)
					}
					page.Marker = views[size-1].ID
					now += step
				}
				if step == 0 {
					var want []string
					for _, v := range whole {
						want = append(want, v.ID)
					}
					if d := gocmp.Diff(want, got); d != "" {
						t.Errorf("%+v by %d:\n%s", q, size, d)
					}
				}
				slices.Sort(got)
				if len(slices.Compact(got)) != len(got) || len(got) == 0 {
					t.Errorf("%+v by %d: a VM came twice, or none", q, size)
				}
			}
		}
	}
	if _, ok := w.Seen(at(200)).List(Query{Marker: "none"}); ok {
		t.Error("a marker that is no VM")
	}
}

// TestGone: a project and a flavor that are deleted at an instant; their VMs stay as they are.
func TestGone(t *testing.T) {
	w := one(Event{At: at(10), Kind: Launch})
	w.Projects = []Project{{ID: "p"}, {ID: "q"}}
	w.DeleteProject("p", at(50))
	w.DeleteFlavor("1", at(60))
	for second, want := range map[int]int{49: 2, 50: 1} {
		if n := len(w.ProjectsAt(at(second))); n != want {
			t.Errorf("second %d: %d projects", second, n)
		}
	}
	if f, ok := w.Flavor("1"); !ok || f.Gone(at(59)) || !f.Gone(at(60)) {
		t.Errorf("%+v", f)
	}
	if v, ok := w.ServerAt("vm", at(100)); !ok || v.Status != "ACTIVE" || v.Flavor.VCPUs != 1 {
		t.Errorf("%+v", v)
	}
}
