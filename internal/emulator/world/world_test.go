package world

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// at is so many seconds after the start.
func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

// one gives a world of one VM, made at the start with flavor "1", and its events.
func one(events ...Event) *World {
	w := &World{Flavors: []Flavor{{ID: "1", VCPUs: 1}, {ID: "4", VCPUs: 4}}}
	w.Add(VM{ID: "vm", Project: "p", Name: "first", Flavor: "1", Image: "image", Created: start, Events: events})
	return w
}

// TestView: what a VM looks like just before and at each event.
func TestView(t *testing.T) {
	w := one(Event{At: at(10), Kind: Launch}, Event{At: at(20), Kind: Float, Value: "192.0.2.1"}, Event{At: at(30), Kind: Resize, Value: "4"}, Event{At: at(40), Kind: Revert}, Event{At: at(50), Kind: Resize, Value: "4"}, Event{At: at(60), Kind: Confirm},
		Event{At: at(70), Kind: Stop}, Event{At: at(80), Kind: Start}, Event{At: at(90), Kind: Shelve}, Event{At: at(100), Kind: Offload}, Event{At: at(110), Kind: Unshelve}, Event{At: at(120), Kind: Rename, Value: "second"},
		Event{At: at(130), Kind: Rebuild, Value: "other"}, Event{At: at(140), Kind: Rescue}, Event{At: at(150), Kind: Unrescue}, Event{At: at(160), Kind: Soft}, Event{At: at(170), Kind: Restore}, Event{At: at(180), Kind: Unfloat, Value: "192.0.2.1"},
		Event{At: at(190), Kind: Suspend}, Event{At: at(200), Kind: Resume}, Event{At: at(210), Kind: Pause}, Event{At: at(220), Kind: Unpause}, Event{At: at(230), Kind: Reproject}, Event{At: at(240), Kind: Fail}, Event{At: at(250), Kind: Delete})
	cases := []struct {
		second   int
		status   string
		vcpus    int64
		launched int // second, 0 = null
		floating int
		name     string
	}{
		{0, "BUILD", 1, 0, 0, "first"}, {9, "BUILD", 1, 0, 0, "first"}, {10, "ACTIVE", 1, 10, 0, "first"}, {20, "ACTIVE", 1, 10, 1, "first"},
		{29, "ACTIVE", 1, 10, 1, "first"}, {30, "VERIFY_RESIZE", 4, 30, 1, "first"}, {40, "ACTIVE", 1, 40, 1, "first"}, {50, "VERIFY_RESIZE", 4, 50, 1, "first"}, {60, "ACTIVE", 4, 50, 1, "first"},
		{70, "SHUTOFF", 4, 50, 1, "first"}, {80, "ACTIVE", 4, 50, 1, "first"}, {90, "SHELVED", 4, 50, 1, "first"}, {100, "SHELVED_OFFLOADED", 4, 50, 1, "first"}, {110, "ACTIVE", 4, 110, 1, "first"},
		{120, "ACTIVE", 4, 110, 1, "second"}, {130, "ACTIVE", 4, 130, 1, "second"}, {140, "RESCUE", 4, 140, 1, "second"}, {150, "ACTIVE", 4, 140, 1, "second"}, {160, "SOFT_DELETED", 4, 140, 1, "second"},
		{170, "ACTIVE", 4, 140, 1, "second"}, {180, "ACTIVE", 4, 140, 0, "second"}, {190, "SUSPENDED", 4, 140, 0, "second"}, {200, "ACTIVE", 4, 140, 0, "second"}, {210, "PAUSED", 4, 140, 0, "second"},
		{220, "ACTIVE", 4, 140, 0, "second"}, {230, "ACTIVE", 4, 140, 0, "second"}, {240, "ERROR", 4, 140, 0, "second"}, {249, "ERROR", 4, 140, 0, "second"}, {250, "DELETED", 4, 140, 0, "second"}, {9999, "DELETED", 4, 140, 0, "second"},
	}
	for _, c := range cases {
		v, ok := w.ServerAt("vm", at(c.second))
		launched := time.Time{}
		if c.launched > 0 {
			launched = at(c.launched)
		}
		if !ok || v.Status != c.status || v.Flavor.VCPUs != c.vcpus || !v.Launched.Equal(launched) || len(v.Floating) != c.floating || v.Name != c.name {
			t.Errorf("second %d: %+v, want %+v", c.second, v, c)
		}
		if v.Deleted != (c.second >= 250) || v.Terminated.IsZero() == v.Deleted || v.Updated.After(at(c.second)) {
			t.Errorf("second %d: %+v", c.second, v)
		}
	}
	if v, _ := w.ServerAt("vm", at(130)); v.Image != "other" {
		t.Errorf("rebuilt, the image is %s", v.Image)
	}
	again := one(Event{At: at(10), Kind: Launch}, Event{At: at(20), Kind: Resize, Value: "4"}, Event{At: at(30), Kind: Confirm}, Event{At: at(40), Kind: Resize, Value: "1"}, Event{At: at(50), Kind: Revert})
	if v, _ := again.ServerAt("vm", at(50)); v.Flavor.VCPUs != 4 {
		t.Errorf("reverted, it has %d vCPUs instead of those before", v.Flavor.VCPUs)
	}
	for _, id := range []string{"vm", "none"} {
		if _, ok := w.ServerAt(id, start.Add(-time.Second)); ok {
			t.Errorf("%s is there before it was made", id)
		}
	}
}

// TestServers: which VMs a listing shows, and in which order.
func TestServers(t *testing.T) {
	w := &World{}
	add := func(id, project string, created int, events ...Event) {
		w.Add(VM{ID: id, Project: project, Created: at(created), Events: events})
	}
	add("a", "p", 0, Event{At: at(10), Kind: Launch})
	add("b", "p", 5, Event{At: at(10), Kind: Launch}, Event{At: at(50), Kind: Delete})
	add("c", "q", 5, Event{At: at(10), Kind: Launch})
	add("d", "p", 5, Event{At: at(60), Kind: Soft})
	add("e", "p", 90)
	since := func(s int) *time.Time { v := at(s); return &v }
	cases := []struct {
		project string
		second  int
		since   *time.Time
		want    []string
	}{
		{"p", 4, nil, []string{"a"}}, {"p", 49, nil, []string{"b", "d", "a"}}, {"p", 50, nil, []string{"d", "a"}}, {"p", 60, nil, []string{"a"}}, {"", 49, nil, []string{"b", "c", "d", "a"}},
		{"q", 100, nil, []string{"c"}}, {"none", 100, nil, nil}, {"p", 100, nil, []string{"e", "a"}},
		{"p", 100, since(0), []string{"e", "b", "d", "a"}}, {"p", 100, since(50), []string{"e", "b", "d"}}, {"p", 100, since(51), []string{"e", "d"}}, {"p", 100, since(91), nil},
		{"p", 30, since(10), []string{"b", "a"}},
	}
	for _, c := range cases {
		var got []string
		for _, v := range w.Servers(c.project, at(c.second), c.since) {
			got = append(got, v.ID)
		}
		if d := gocmp.Diff(c.want, got); d != "" {
			t.Errorf("%s at %d since %v:\n%s", c.project, c.second, c.since, d)
		}
	}
}

func TestActions(t *testing.T) {
	w := one(Event{At: at(10), Kind: Launch}, Event{At: at(20), Kind: Rename, Value: "x"}, Event{At: at(30), Kind: Float, Value: "192.0.2.1"}, Event{At: at(100), Kind: Resize, Value: "4"}, Event{At: at(110), Kind: Confirm}, Event{At: at(120), Kind: Stop}, Event{At: at(130), Kind: Delete})
	got := []string{}
	for _, a := range w.ActionsAt("vm", at(125)) {
		got = append(got, fmt.Sprint(a.Name, " ", a.Start.Sub(start).Seconds(), " ", a.Updated.Sub(start).Seconds()))
	}
	if d := gocmp.Diff([]string{"create 0 10", "resize 80 100", "confirmResize 110 110", "stop 120 120"}, got); d != "" {
		t.Error(d)
	}
	for second, want := range map[int]string{20: "shelve", 21: "shelveOffload"} { // at once it is a part of the shelving
		shelved := one(Event{At: at(10), Kind: Launch}, Event{At: at(20), Kind: Shelve}, Event{At: at(second), Kind: Offload})
		a := shelved.ActionsAt("vm", at(100))
		if v, _ := shelved.ServerAt("vm", at(100)); a[len(a)-1].Name != want || v.Status != "SHELVED_OFFLOADED" {
			t.Errorf("offloaded at %d: %+v", second, a)
		}
	}
	if n := len(w.ActionsAt("vm", at(130))); n != 5 {
		t.Errorf("%d actions after the end", n)
	}
	if a := w.ActionsAt("vm", at(5)); len(a) != 1 || a[0].Updated.After(at(5)) {
		t.Errorf("before the launch: %+v", a)
	}
	if a := w.ActionsAt("vm", start.Add(-time.Second)); a != nil {
		t.Errorf("before it was made: %+v", a)
	}
}

// TestUsage compares true usage with a sum over every second, for worlds made by chance.
func TestUsage(t *testing.T) {
	kinds := []Kind{Stop, Start, Shelve, Offload, Unshelve, Pause, Unpause, Suspend, Resume, Resize, Confirm, Revert, Rescue, Unrescue, Rebuild, Soft, Restore, Fail, Reproject, Rename}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := &World{Flavors: []Flavor{{ID: "1", VCPUs: 1}, {ID: "4", VCPUs: 4}, {ID: "8", VCPUs: 8}}}
		for i := range 3 {
			vm := VM{ID: fmt.Sprint("vm", i), Project: fmt.Sprint("p", i%2), Flavor: "1", Created: at(r.IntN(100))}
			s := r.IntN(30)
			next := func() time.Time { s += r.IntN(40); return vm.Created.Add(time.Duration(s) * time.Second) }
			if r.IntN(6) > 0 {
				vm.Events = append(vm.Events, Event{At: next(), Kind: Launch})
			}
			for range r.IntN(8) {
				e := Event{At: next(), Kind: kinds[r.IntN(len(kinds))], Value: []string{"1", "4", "8"}[r.IntN(3)], Failed: r.IntN(5) == 0}
				if r.IntN(2) == 0 {
					e.Asked = e.At.Add(-time.Duration(r.IntN(30)) * time.Second)
				}
				vm.Events = append(vm.Events, e)
			}
			if r.IntN(2) == 0 {
				vm.Events = append(vm.Events, Event{At: next(), Kind: Delete})
			}
			w.Add(vm)
		}
		from := r.IntN(200)
		to := from + r.IntN(300)
		charge := Charge{StoppedFree: r.IntN(2) == 0, ShelvedFree: r.IntN(2) == 0}
		for _, project := range []string{"", "p0", "p1"} {
			got := w.Usage(project, at(from), at(to), charge)
			if d := gocmp.Diff(bySecond(w, project, from, to, charge), got); d != "" {
				t.Fatalf("world %d, project %q, seconds %d to %d, %+v (-by second +usage):\n%s", seed, project, from, to, charge, d)
			}
		}
	}
}

// bySecond looks at every VM in every second.
func bySecond(w *World, project string, from, to int, c Charge) []Usage {
	var all []Usage
	for _, vm := range w.VMs() {
		u := Usage{VM: vm.ID, Project: vm.Project}
		ran := slices.ContainsFunc(vm.Events, func(e Event) bool { return e.Kind == Launch })
		for s := from; s < to && ran; s++ {
			v, ok := w.ServerAt(vm.ID, at(s))
			stopped, shelved := v.Charged == "SHUTOFF", v.Charged == "SHELVED" || v.Charged == "SHELVED_OFFLOADED"
			if ok && !v.Deleted && !(stopped && c.StoppedFree) && !(shelved && c.ShelvedFree) {
				u.Wall++
				u.CPU += v.Flavor.VCPUs
			}
		}
		if u.Wall > 0 && (project == "" || project == vm.Project) {
			all = append(all, u)
		}
	}
	return all
}

// TestGenerate: the same options give the same world; ids differ between sites, except where they are to be equal.
func TestGenerate(t *testing.T) {
	o := Options{Seed: 7, At: at(0), Projects: 3, VMs: 40, Site: "A"}
	again, a := Generate(o), Generate(o)
	if d := gocmp.Diff(a.VMs(), again.VMs()); d != "" {
		t.Error(d)
	}
	o.Site = "B"
	b := Generate(o)
	for i, vm := range a.VMs() {
		if vm.ID == b.VMs()[i].ID {
			t.Errorf("VM %d is %s at both sites", i, vm.ID)
		}
		if !slices.IsSortedFunc(vm.Events, func(x, y Event) int { return x.At.Compare(y.At) }) || vm.Created.After(o.At) || vm.Events[0].At.Before(vm.Created) {
			t.Errorf("VM %d has no possible life: %+v", i, vm)
		}
		_, project := a.Project(vm.Project)
		_, user := a.User(vm.User)
		_, flavor := a.Flavor(vm.Flavor)
		if _, image := a.Image(vm.Image); !project || !user || !flavor || (!image && vm.Image != "") {
			t.Errorf("VM %d refers to what is not there: %+v", i, vm)
		}
	}
	if a.Projects[0].ID == b.Projects[0].ID {
		t.Error("projects have equal ids")
	}
	o.SameIDs = true
	equal := Generate(o)
	o.Site = "A"
	if equal.Projects[0].ID != Generate(o).Projects[0].ID {
		t.Error("projects have different ids")
	}
	if !a.Happen(a.VMs()[0].ID, Event{At: at(-5), Kind: Rename, Value: "late"}) || a.Happen("none", Event{}) {
		t.Error("an event happened to no VM, or not to one")
	}
	events := a.VMs()[0].Events
	if !slices.IsSortedFunc(events, func(x, y Event) int { return cmp.Compare(x.At.Unix(), y.At.Unix()) }) {
		t.Errorf("an event that is learnt later stands out of order: %+v", events)
	}
}
