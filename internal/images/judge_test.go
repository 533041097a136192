package images

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// answer is what a list of one image for a VO says.
func answer(version string, created time.Time, ids ...string) Answer {
	a := Answer{List: "L", Version: version, Created: created, Complete: true, Body: version}
	for _, id := range ids {
		a.Entries = append(a.Entries, Entry{Key: Key{"L", id}, VOs: []string{"vo.example.eu"}, Digest: Digest("sha256:" + strings.Repeat("a", 64)), Title: id, ListVersion: version, ListCreated: created})
	}
	return a
}

// TestJudgeReplay: a list that is older than one that was accepted is not believed, whether the database or the marks in
// Glance remember that one.
func TestJudgeReplay(t *testing.T) {
	day := func(n int) time.Time { return at.AddDate(0, 0, n) }
	accepted := Memory{List: "L", Version: "20240301", Created: day(-10)}
	cases := []struct {
		name         string
		last, marked Memory
		answer       Answer
		want         FailureKind
		notice       bool
	}{
		{name: "the first one", answer: answer("20240301", day(-10), "a")},
		{name: "the same", last: accepted, marked: accepted, answer: answer("20240301", day(-10), "a")},
		{name: "a newer one", last: accepted, marked: accepted, answer: answer("20240302", day(-9), "a")},
		{name: "an older one", last: accepted, answer: answer("20240229", day(-11), "a"), want: Replayed},
		{name: "an older one after the database was lost", marked: accepted, answer: answer("20240229", day(-11), "a"), want: Replayed},
		{name: "the same version, an earlier date", last: accepted, answer: answer("20240301", day(-11), "a"), want: Replayed},
		{name: "a lower version with a later date", last: accepted, answer: answer("20240229", day(-1), "a"), want: Replayed},
		{name: "another list", last: accepted, answer: Answer{List: "other", Version: "20250101", Created: day(-1)}, want: Replayed},
		{name: "an older one after the database was restored from a backup", last: accepted, marked: Memory{List: "L", Version: "20240303", Created: day(-8), Image: "image g in project P1", Newest: vmlist.Edition{Version: "20240303", Created: day(-8)}}, answer: answer("20240302", day(-9), "a"), want: Replayed},
		{name: "a few marks are newer: anybody can write them", last: accepted, marked: Memory{List: "L", Version: "20240301", Created: day(-10), Image: "image g in project P1", Newest: vmlist.Edition{Version: "20990101", Created: day(-1)}}, answer: answer("20240302", day(-9), "a"), notice: true},
		{name: "no VO", answer: Answer{List: "L", Version: "1", Entries: []Entry{{Key: Key{"L", "a"}}}}, want: NoVO},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v, next := judge(SourceTarget{Source: &ListSource{Label: "s"}}, c.last, c.marked, c.answer, nil, nil, at)
			got := FailureKind("")
			if v.Failed != nil {
				got = v.Failed.Kind
			}
			if got != c.want {
				t.Errorf("%v, want %q", v.Failed, c.want)
			}
			if said := slices.ContainsFunc(v.Notices, func(n string) bool { return strings.Contains(n, "image g in project P1") }); said != c.notice {
				t.Errorf("notices: %v", v.Notices)
			}
			if kept := next.Version == c.answer.Version || c.last.Version == next.Version && got != ""; !kept {
				t.Errorf("remembered is version %q", next.Version)
			}
		})
	}
}

// TestJudgeVOs: who gets the images is for the configuration to say, else for the list.
func TestJudgeVOs(t *testing.T) {
	for name, c := range map[string]struct {
		configured []string
		list, want []string
	}{
		"the list":          {nil, []string{"a"}, []string{"a"}},
		"the configuration": {[]string{"b", "c"}, []string{"a"}, []string{"b", "c"}},
		"all":               {[]string{anyVO}, nil, []string{"x", "y"}},
	} {
		a := answer("1", at, "i")
		a.Entries[0].VOs = c.list
		v, _ := judge(SourceTarget{Source: &ListSource{Label: "s"}, VOs: c.configured}, Memory{}, Memory{}, a, nil, []string{"x", "y"}, at)
		if v.Failed != nil || !slices.Equal(v.Entries[0].VOs, c.want) {
			t.Errorf("%s: %v, %+v, want %v", name, v.Failed, v.Entries, c.want)
		}
	}
}

// registryAnswer is a registry's listing with the tags.
func registryAnswer(complete bool, tags ...string) Answer {
	a := Answer{List: "registry.example.org/egi_vm_images", Complete: complete}
	for _, tag := range tags {
		name, digit, _ := strings.Cut(tag, "=")
		a.Entries = append(a.Entries, Entry{Key: Key{a.List, "egi_vm_images/" + name}, Digest: Digest("sha256:" + strings.Repeat(digit, 64)), VOs: []string{"vo.example.eu"}})
	}
	return a
}

// stands for a registry in tests of the plan.
type registryName struct{ Source }

func (registryName) Name() string { return "egi" }
func (registryName) Kind() Kind   { return Registry }

// TestPlanRegistry: a tag that moves is a new version; one that is missing goes after two complete listings that are far
// enough apart, and stays when a listing fails or is not complete (cases 28 and 29).
func TestPlanRegistry(t *testing.T) {
	s := policy()
	src := SourceTarget{Source: registryName{}}
	look := func(last Memory, now time.Time, a Answer, failed error, glance ...openstack.StoredImage) (Plan, Memory) {
		c := cloudOf(glance...)
		v, next := judge(src, last, marked([]*sight{{CloudState: c}}, "fedsite", "egi", "", now), a, failed, nil, now)
		return MakePlan(Observed{At: now, Sources: []Verdict{v}, Clouds: []CloudState{c}}, s, nil), next
	}
	first, _ := judge(src, Memory{}, Memory{}, registryAnswer(true, "ubuntu:24.04=a", "ubuntu:22.04=b"), nil, nil, at)
	g24, g22 := held("g24", first.Entries[0], s), held("g22", first.Entries[1], s)
	check := func(name string, p Plan, want ...string) {
		t.Helper()
		if d := cmp.Diff(want, lines(p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	p, _ := look(Memory{}, at, registryAnswer(true, "ubuntu:24.04=c", "ubuntu:22.04=b"), nil, g24)
	check("a tag moved", p, "add egi_vm_images/ubuntu:22.04", "replace egi_vm_images/ubuntu:24.04 old=g24")
	p, _ = look(Memory{}, at, Answer{}, &Failure{Kind: Unreachable, Reason: "500"}, g24, g22)
	check("the listing fails", p, "fail", "keep g22", "keep g24")
	p, _ = look(Memory{}, at, registryAnswer(false, "ubuntu:24.04=a"), nil, g24, g22)
	check("the listing is not complete", p, "keep g22", "keep g24")
	p, m := look(Memory{}, at, registryAnswer(true, "ubuntu:24.04=a"), nil, g24, g22)
	check("missing once", p, "keep g22", "keep g24")
	p, m = look(m, at.Add(30*time.Minute), registryAnswer(true, "ubuntu:24.04=a"), nil, g24, g22)
	check("missing for half an hour", p, "keep g22", "keep g24")
	p, m = look(m, at.Add(40*time.Minute), registryAnswer(true, "ubuntu:24.04=a", "ubuntu:22.04=b"), nil, g24, g22)
	check("back again", p, "keep g22", "keep g24")
	p, m = look(m, at.Add(time.Hour), registryAnswer(true, "ubuntu:24.04=a"), nil, g24, g22)
	check("missing anew", p, "keep g22", "keep g24")
	p, m = look(m, at.Add(2*time.Hour), registryAnswer(false), nil, g24, g22)
	check("missing for an hour, by a listing that is not complete", p, "keep g22", "keep g24")
	p, _ = look(m, at.Add(2*time.Hour), registryAnswer(true, "ubuntu:24.04=a"), nil, g24, g22)
	check("missing for an hour, by two complete listings", p, "keep g24", "retire g22")
}

// TestGuard: what goes on a source's word is held when it is too much of it.
func TestGuard(t *testing.T) {
	s := policy()
	ids := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	full, _ := judge(SourceTarget{Source: &ListSource{Label: "s"}}, Memory{}, Memory{}, answer("1", at, ids...), nil, nil, at)
	var glance []openstack.StoredImage
	for i, e := range full.Entries {
		glance = append(glance, held("g-"+ids[i], e, s))
	}
	for _, c := range []struct {
		has, left int
		want      Verb
	}{{10, 9, Retire}, {10, 5, Retire}, {10, 4, Hold}, {10, 0, Hold}, {4, 1, Retire}, {3, 1, Retire}, {1, 0, Hold}, {3, 0, Hold}} {
		v, _ := judge(SourceTarget{Source: &ListSource{Label: "s"}}, Memory{}, Memory{}, answer("2", at.Add(time.Hour), ids[:c.left]...), nil, nil, at)
		got := map[Verb]int{}
		for _, a := range MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(glance[:c.has]...)}}, s, nil).Actions {
			got[a.Verb]++
		}
		want := map[Verb]int{c.want: c.has - c.left}
		if c.left > 0 {
			want[Metadata] = c.left // the list's version
		}
		if !maps.Equal(got, want) {
			t.Errorf("%d of %d stay: %v, want %v", c.left, c.has, got, want)
		}
	}
}

// TestGuardOfProjects: a registry that shows only some of its projects takes the images of none of the others away.
func TestGuardOfProjects(t *testing.T) {
	s := policy()
	src := SourceTarget{Source: registryName{}}
	answer := func(ids ...string) Answer {
		a := Answer{List: "registry.example.org", Complete: true}
		for _, id := range ids {
			a.Entries = append(a.Entries, Entry{Key: Key{a.List, id}, Digest: Digest("sha256:" + strings.Repeat("a", 64)), VOs: []string{"vo.example.eu"}})
		}
		return a
	}
	full, _ := judge(src, Memory{}, Memory{}, answer("open/a:1", "open/b:1", "hidden/c:1"), nil, nil, at)
	var glance []openstack.StoredImage
	for _, e := range full.Entries {
		glance = append(glance, held("g-"+e.ID, e, s))
	}
	v, _ := judge(src, Memory{}, Memory{}, answer("open/a:1"), nil, nil, at)
	v.Missing = map[string]time.Time{"open/b:1": at.Add(-2 * time.Hour), "hidden/c:1": at.Add(-2 * time.Hour)}
	if d := cmp.Diff([]string{"hold g-hidden/c:1", "keep g-open/a:1", "retire g-open/b:1"}, lines(MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(glance...)}}, s, nil))); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestPlanBlocks: a blocked image is not brought, is hidden where it is, and is no reason for anything else; once the block
// is lifted it is shown again.
func TestPlanBlocks(t *testing.T) {
	s := policy()
	v := vectorList(t, "vo-list-1", nil)
	u1, u2 := held("g1", v.Entries[0], s), held("g2", v.Entries[1], s)
	observed := func(glance ...openstack.StoredImage) Observed {
		return Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(glance...)}}
	}
	for name, b := range map[string]Block{"checksum": {Digest: v.Entries[1].Digest}, "id": {Ref: v.Entries[1].ID}, "source and id": {Ref: "vo-list-1/" + v.Entries[1].ID}, "mpuri": {Ref: v.Entries[1].MPURI}} {
		b.Reason = "miner"
		if d := cmp.Diff([]string{"add U1", "add U3", "skip U2"}, lines(MakePlan(observed(), s, []Block{b}))); d != "" {
			t.Errorf("by %s, not there (-want +got):\n%s", name, d)
		}
		p := MakePlan(observed(u1, u2), s, []Block{b})
		if d := cmp.Diff([]string{"add U3", "block g2", "keep g1", "skip U2"}, lines(p)); d != "" {
			t.Errorf("by %s, there (-want +got):\n%s", name, d)
		}
		blocked := u2
		blocked.Properties = maps.Clone(u2.Properties)
		for _, a := range p.Actions {
			if a.Verb == BlockIt {
				blocked = edited(blocked, a.Edits)
			}
		}
		blocked.Status = "deactivated"
		if d := cmp.Diff([]string{"add U3", "keep g1", "keep g2", "skip U2"}, lines(MakePlan(observed(u1, blocked), s, []Block{b}))); d != "" {
			t.Errorf("by %s, blocked already (-want +got):\n%s", name, d)
		}
		if d := cmp.Diff([]string{"add U3", "keep g1", "keep g2", "skip U2"}, lines(MakePlan(observed(u1, blocked), s, nil))); d != "" {
			t.Errorf("by %s, the file is lost (-want +got):\n%s", name, d)
		}
		lifted := blocked
		for _, a := range MakeLift(observed(u1, blocked), s, b).Actions {
			lifted, lifted.Status = edited(lifted, a.Edits), "active"
		}
		if d := cmp.Diff([]string{"add U3", "keep g1", "metadata g2"}, lines(MakePlan(observed(u1, lifted), s, nil))); d != "" {
			t.Errorf("by %s, lifted (-want +got):\n%s", name, d)
		}
	}
}

// edited is an image after edits, as Glance makes them.
func edited(i openstack.StoredImage, edits []Edit) openstack.StoredImage {
	i.Properties = maps.Clone(i.Properties)
	for _, e := range edits {
		switch {
		case e.Name == editName:
			i.Name = e.To
		case e.Name == editVisibility:
			i.Visibility = e.To
		case e.Name == editHidden:
			i.Hidden = e.To == "true"
		case e.Name == editMinRAM:
			i.MinRAM, _ = strconv.ParseInt(e.To, 10, 64)
		case e.Name == editMinDisk:
			i.MinDisk, _ = strconv.ParseInt(e.To, 10, 64)
		case e.Removed:
			delete(i.Properties, e.Name)
		default:
			i.Properties[e.Name] = e.To
		}
	}
	return i
}

// TestAdoptAndGiveBack: an adopted image that is given back is what it was.
func TestAdoptAndGiveBack(t *testing.T) {
	s := policy()
	s.Adopt = []string{Cloudkeeper}
	v := vectorList(t, "vo-list-1", nil)
	e := v.Entries[1]
	was := openstack.StoredImage{ID: "g2", Name: "its own name", Owner: "P1", Status: "active", Visibility: "shared", Created: at.AddDate(0, -1, 0), Updated: at.AddDate(0, -1, 0),
		Properties: map[string]string{"APPLIANCE_ID": e.ID, "APPLIANCE_IMAGE_LIST_ID": e.List, "APPLIANCE_STATUS": "ACTIVE", "APPLIANCE_VO": "old", "sl:checksum:sha512": e.Digest.Hex(), "hw_disk_bus": "scsi"}}
	o := Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(was)}}
	var adopted openstack.StoredImage
	for _, a := range MakePlan(o, s, nil).Actions {
		if a.Verb == Adopt {
			edits := slices.Clone(a.Edits)
			for i, e := range edits {
				if e.Name == markFormer {
					edits[i].To = formerText(t, a)
				}
			}
			adopted = edited(was, edits)
		}
	}
	if m := readMarks(adopted); m.Manager != "fedsite" || m.Former == nil || m.Former.Manager != Cloudkeeper {
		t.Fatalf("adopted: %+v", adopted)
	}
	o.Clouds = []CloudState{cloudOf(adopted)}
	if d := cmp.Diff([]string{"add U1", "add U3", "keep g2"}, lines(MakePlan(o, s, nil))); d != "" {
		t.Errorf("after adoption (-want +got):\n%s", d)
	}
	released := MakeRelease(o, s, func(string, Marks) bool { return true })
	if len(released.Actions) != 1 {
		t.Fatalf("release: %v", lines(released))
	}
	if d := cmp.Diff(was, edited(adopted, released.Actions[0].Edits)); d != "" {
		t.Errorf("given back (-was +is):\n%s", d)
	}
}

func formerText(t *testing.T, a Action) string {
	t.Helper()
	text, err := formerValue(a)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
