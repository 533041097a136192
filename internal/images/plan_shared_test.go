package images

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// TestPlanSharedBySilentSources: what one source wants of an image that two share is not undone because it says nothing in a
// run, and is when it says that it does not want it any more.
func TestPlanSharedBySilentSources(t *testing.T) {
	s := policy()
	s.Sharing = Share
	ours, others := vectorList(t, "vo-list-1", func(l *vmlist.List) { l.Images = l.Images[1:2] }), vectorList(t, "other-vo-same-disk", nil)
	failed := func(v Verdict, list string) Verdict {
		return Verdict{Source: v.Source, Kind: List, List: list, Failed: &Failure{Kind: Unreachable, Reason: "test"}}
	}
	changed := func(v Verdict, change func(v *Verdict)) Verdict {
		v.Entries = slices.Clone(v.Entries)
		change(&v)
		return v
	}
	newer := changed(ours, func(v *Verdict) { v.Entries[0].Digest = "sha512:" + Digest(others.Entries[0].Digest.Hex()[2:]) + "00" })
	if ours.Entries[0].Digest != others.Entries[0].Digest || newer.Entries[0].Digest == ours.Entries[0].Digest {
		t.Fatal("the lists do not have the same disk")
	}
	d := describe(ours.Entries[0], others.Entries, 0, s)
	d.Properties[markState] = string(Active)
	image := openstack.StoredImage{ID: "g2", Name: d.Name, Owner: "P1", Status: "active", Visibility: "shared", DiskFormat: "qcow2", Size: 1, MinRAM: d.MinRAM, Properties: d.Properties, Created: at.Add(-240 * time.Hour), Updated: at.Add(-240 * time.Hour)}
	for name, c := range map[string]struct {
		ours, others Verdict
		alone        bool // nobody took it
		want         []string
	}{
		"both say it":                            {ours: ours, others: others, want: []string{"keep g2"}},
		"the owner's failed":                     {ours: failed(ours, ours.List), others: others, want: []string{"fail", "keep g2"}},
		"the owner's failed, and nobody took it": {ours: failed(ours, ours.List), others: others, alone: true, want: []string{"add U4 in P2", "fail", "keep g2"}},
		"the other failed":                       {ours: ours, others: failed(others, others.List), want: []string{"fail", "keep g2"}},
		"the other failed, and never was heard":  {ours: ours, others: failed(others, ""), want: []string{"fail", "keep g2"}},
		"the other expired":                      {ours: ours, others: changed(others, func(v *Verdict) { v.Expired = at.Add(-time.Hour) }), want: []string{"hold", "keep g2"}},
		"the other's is bad": {ours: ours, others: changed(others, func(v *Verdict) { v.Bad, v.Entries = []BadEntry{{Key: v.Entries[0].Key, Reason: "test"}}, nil }),
			want: []string{"fail U4", "keep g2"}},
		"the other withdrew it":                 {ours: ours, others: changed(others, func(v *Verdict) { v.Entries = nil }), want: []string{"metadata g2", "unshare U2"}},
		"a newer one, and the other failed":     {ours: newer, others: failed(others, others.List), want: []string{"fail", "keep g2", "replace U2"}},
		"a newer one, and the other has it not": {ours: newer, others: changed(others, func(v *Verdict) { v.Entries = nil }), want: []string{"replace U2 old=g2"}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := cloudOf(image)
			if !c.alone {
				cloud.Places["P1"].Members["g2"] = []string{"P2"}
			}
			got := MakePlan(Observed{At: at, Sources: []Verdict{c.ours, c.others}, Clouds: []CloudState{cloud}}, s, nil)
			if d := cmp.Diff(c.want, lines(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
				for _, a := range got.Actions {
					t.Logf("%s %s: %s %v", a.Verb, a.Object(), a.Details(), a.Edits)
				}
			}
		})
	}
}
