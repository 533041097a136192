package images

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// TestPlanKeeps: what looks as if an image were not needed, and is no word of its source, takes it from nobody.
func TestPlanKeeps(t *testing.T) {
	v := vectorList(t, "vo-list-1", func(l *vmlist.List) { l.Images = l.Images[1:2] })
	copied, lent, owned := policy(), policy(), policy()
	lent.Sharing, owned.Sharing, owned.Owner = Share, Share, "nobody.example.eu"
	owned.PruneOrphans = true
	named := copied
	named.Adopt = []string{Cloudkeeper}
	e := v.Entries[0]
	other := e
	other.Digest = "sha512:" + Digest(e.Digest.Hex()[2:]) + "00"
	is := func(change func(i *openstack.StoredImage)) func(*openstack.StoredImage) { return change }
	shared := held("g2", e, lent, is(func(i *openstack.StoredImage) { i.Visibility = "shared" }))
	foreign := openstack.StoredImage{ID: "ck", Name: e.Title, Owner: "P1", Status: "active", Visibility: "shared", MinRAM: e.MinRAM, Created: at.AddDate(0, -1, 0), Updated: at.AddDate(0, -1, 0),
		Properties: map[string]string{"APPLIANCE_ID": e.ID, "APPLIANCE_IMAGE_LIST_ID": e.List, "APPLIANCE_STATUS": "ACTIVE", "sl:checksum:sha512": e.Digest.Hex()}}
	retired := held("g2", e, copied, is(func(i *openstack.StoredImage) {
		i.Properties[markState], i.Hidden = string(Retired), true
	}))
	deactivated := held("g2", e, copied, is(func(i *openstack.StoredImage) { i.Status = "deactivated" }))
	for name, c := range map[string]struct {
		s       Settings
		partial bool
		members []string
		images  []openstack.StoredImage
		want    []string
	}{
		"a member that is listed by nobody":         {s: lent, members: []string{"P9"}, images: []openstack.StoredImage{shared}, want: []string{"metadata g2", "unshare U2"}},
		"a member that could not be listed":         {s: lent, partial: true, members: []string{"P9"}, images: []openstack.StoredImage{shared}, want: []string{"keep g2"}},
		"a newer one, and a member not listed":      {s: lent, partial: true, members: []string{"P9"}, images: []openstack.StoredImage{held("g2", other, lent, is(func(i *openstack.StoredImage) { i.Visibility = "shared" }))}, want: []string{"keep g2", "replace U2"}},
		"the owner's project is not there":          {s: owned, images: []openstack.StoredImage{shared}, want: []string{"fail"}},
		"its successor is there and usable":         {s: copied, images: []openstack.StoredImage{held("g2", e, copied), held("g1", other, copied)}, want: []string{"keep g2", "retire g1"}},
		"its successor has to be brought back":      {s: copied, images: []openstack.StoredImage{retired, held("g1", other, copied)}, want: []string{"metadata g2 old=g1"}},
		"its successor was deactivated by somebody": {s: copied, images: []openstack.StoredImage{deactivated, held("g1", other, copied)}, want: []string{"keep g1", "keep g2"}},
		"others use what is taken over":             {s: named, images: []openstack.StoredImage{foreign}, want: []string{"adopt ck"}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := cloudOf(c.images...)
			cloud.Partial = c.partial
			cloud.Places["P1"].Members["g2"] = c.members
			p := MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloud}}, c.s, nil)
			if d := cmp.Diff(c.want, lines(p)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			for _, a := range p.Actions {
				if i := slices.IndexFunc(a.Edits, func(e Edit) bool { return e.Name == editVisibility }); a.Verb == Adopt && i >= 0 {
					t.Errorf("adoption changes who may use it: %v", a.Edits[i])
				}
			}
		})
	}
}

// TestJudgeUnused: a tag that is there and is no image now, because it was pushed without its annotations, is not missing.
func TestJudgeUnused(t *testing.T) {
	src := SourceTarget{Source: registryName{}}
	both, _ := judge(src, Memory{}, Memory{}, registryAnswer(true, "ubuntu:24.04=a", "ubuntu:22.04=b"), nil, nil, at)
	s := policy()
	c := cloudOf(held("g24", both.Entries[0], s), held("g22", both.Entries[1], s))
	a := registryAnswer(true, "ubuntu:24.04=a")
	for name, want := range map[string][]string{"egi_vm_images/ubuntu:22.04": {"keep g22", "keep g24"}, "egi_vm_images/ubuntu:20.04": {"keep g24", "retire g22"}} {
		a.Unused = []string{name}
		m := Memory{}
		var p Plan
		for _, now := range []time.Time{at, at.Add(2 * time.Hour)} {
			var v Verdict
			v, m = judge(src, m, marked([]*sight{{CloudState: c}}, "fedsite", "egi", "", now), a, nil, nil, now)
			p = MakePlan(Observed{At: now, Sources: []Verdict{v}, Clouds: []CloudState{c}}, s, nil)
		}
		if d := cmp.Diff(want, lines(p)); d != "" {
			t.Errorf("%s is there without being an image (-want +got):\n%s", name, d)
		}
	}
}

// TestJudgeNoCloud: that no cloud answers is not the source's failure.
func TestJudgeNoCloud(t *testing.T) {
	a := answer("1", at, "i")
	a.Entries[0].VOs = nil
	if v, _ := judge(SourceTarget{Source: &ListSource{Label: "s"}, VOs: []string{anyVO}}, Memory{}, Memory{}, a, nil, nil, at); v.Failed != nil {
		t.Errorf("%v", v.Failed)
	}
}

// TestChoose: what was asked for and cannot be told, because its source fails or nothing is called so, is said.
func TestChoose(t *testing.T) {
	good, failed := vectorList(t, "vo-list-1", nil), Verdict{Source: "bad", Kind: List, Failed: &Failure{Kind: Unreachable, Reason: "test"}}
	o := Observed{At: at, Sources: []Verdict{good, failed}, Clouds: []CloudState{cloudOf()}}
	for name, c := range map[string]struct {
		choice Choice
		want   []string
	}{
		"an image":             {Choice{Image: good.Entries[0].ID}, []string{"add U1"}},
		"a VO":                 {Choice{VO: "vo.example.eu"}, []string{"add U1", "add U2", "add U3", "fail"}},
		"nothing's name":       {Choice{Image: "x"}, []string{"fail", "keep"}},
		"a VO that nobody has": {Choice{VO: "x"}, []string{"fail"}},
	} {
		p := MakePlan(o, policy(), nil)
		p.choose(c.choice, o.Clouds)
		if d := cmp.Diff(c.want, lines(p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
