package images

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// at is the instant of the tests of plans.
var at = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// policy is that of a site that says nothing special.
func policy() Settings {
	return Settings{Mode: site.Active, Instance: "fedsite", Formats: []string{"qcow2"}, Sharing: Copy, Visibility: "private", ExpiredList: KeepExpired, RemoveCount: 3, RemoveShare: 50,
		GoneAfter: time.Hour, StaleUpload: 24 * time.Hour}
}

// vectorList reads one of the lists as a source that is believed gives it.
func vectorList(t *testing.T, name string, change func(*vmlist.List)) Verdict {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "lists", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := vmlist.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&l)
	}
	return believed(&ListSource{Label: name, Shown: name}, answerOf(l))
}

// believed judges an answer of a source of which nothing is remembered.
func believed(s Source, a Answer) Verdict {
	v, _ := judge(SourceTarget{Source: s}, Memory{}, Memory{}, a, nil, nil, at)
	return v
}

// vector images have short names in the cases.
var short = map[string]string{"c0482bc2-bf41-5d49-a000-a750174a186b": "U1", "662b0e71-3e21-5f43-b6a1-cc2f51319fa7": "U2", "1fc7dce9-8b56-5a5d-8269-7ea473971c29": "U3", "7a2f1d11-52a3-5a1b-9c5e-111111111111": "U4"}

// held makes an image in Glance that fedsite brought for an entry.
func held(id string, e Entry, s Settings, change ...func(*openstack.StoredImage)) openstack.StoredImage {
	d := describe(e, nil, 0, s)
	d.Properties[markState] = string(Active)
	i := openstack.StoredImage{ID: id, Name: d.Name, Owner: "P1", Status: "active", Visibility: "private", DiskFormat: "qcow2", Size: e.Size, MinRAM: d.MinRAM, Properties: d.Properties,
		Created: at.Add(-240 * time.Hour), Updated: at.Add(-240 * time.Hour), HashAlgo: SHA512, HashValue: e.Digest.Hex()}
	for _, c := range change {
		c(&i)
	}
	return i
}

// cloudOf is a cloud of two VOs, with images in the first one's project.
func cloudOf(images ...openstack.StoredImage) CloudState {
	return CloudState{ID: "c1", Name: "main",
		Members: []Member{{Place{"c1", "P1"}, "ops", "vo.example.eu", site.Active}, {Place{"c1", "P2"}, "other", "other.example.eu", site.Active}},
		Places:  map[string]PlaceState{"P1": {Name: "ops", Images: images, Hides: true, Members: map[string][]string{}}, "P2": {Name: "other", Hides: true}}}
}

// lines gives a plan in the words of the cases: verb, image of the list or of Glance.
func lines(p Plan) []string {
	var all []string
	for _, a := range p.Actions {
		name := short[a.Key.ID]
		if name == "" {
			name = a.Key.ID
		}
		switch a.Verb {
		case Keep, Metadata, Retire, Delete, Discard, Adopt, Hold, BlockIt, Finish:
			if a.Image != "" {
				name = a.Image
			}
		}
		word := strings.TrimSpace(string(a.Verb) + " " + name)
		for _, f := range a.Former {
			word += " old=" + f.Image
		}
		if a.Verb == Resume {
			word += " into " + a.Image
		}
		if a.Verb == ShareIt {
			word += " with " + strings.Join(a.Guests, ",")
		}
		if a.Project == "P2" {
			word += " in P2"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return all
}

// TestPlanVectors are the worked cases of the specification.
func TestPlanVectors(t *testing.T) {
	s := policy()
	entry := func(v Verdict, name string) Entry {
		for _, e := range v.Entries {
			if short[e.ID] == name {
				return e
			}
		}
		t.Fatalf("%s has no %s", v.Source, name)
		return Entry{}
	}
	list1 := vectorList(t, "vo-list-1", nil)
	named := func(v Verdict, name string) Verdict { // another edition of the source
		v.Source = name
		for i := range v.Entries {
			v.Entries[i].Source = name
		}
		return v
	}
	g := func(id, name string, change ...func(*openstack.StoredImage)) openstack.StoredImage {
		return held(id, entry(list1, name), s, change...)
	}
	all := []openstack.StoredImage{g("g1", "U1"), g("g2", "U2"), g("g3", "U3")}
	status := func(status string, age time.Duration) func(*openstack.StoredImage) {
		return func(i *openstack.StoredImage) {
			i.Status, i.Updated, i.Properties[markState] = status, at.Add(-age), string(Uploading)
		}
	}
	foreign := func(properties map[string]string, tags ...string) func(*openstack.StoredImage) {
		return func(i *openstack.StoredImage) { i.Properties, i.Tags = properties, tags }
	}
	otherDigest := func(i *openstack.StoredImage) { i.Properties[markDigest] = "sha512:" + strings.Repeat("0", 128) }
	edit := func(n int, change func(*vmlist.Image)) func(*vmlist.List) {
		return func(l *vmlist.List) { change(&l.Images[n]) }
	}
	u2 := entry(list1, "U2")
	failed := func(kind FailureKind) Verdict {
		return Verdict{Source: "vo-list-1", Kind: List, List: list1.List, Failed: &Failure{Kind: kind, Reason: "test"}}
	}
	cases := []struct {
		n       string
		sources []Verdict
		glance  []openstack.StoredImage
		policy  func(*Settings)
		want    []string
	}{
		{n: "1", sources: []Verdict{list1}, want: []string{"add U1", "add U2", "add U3"}},
		{n: "2", sources: []Verdict{list1}, glance: all, want: []string{"keep g1", "keep g2", "keep g3"}},
		{n: "3", sources: []Verdict{named(vectorList(t, "vo-list-2", nil), "vo-list-1")}, glance: all, want: []string{"add U4", "metadata g2", "replace U1 old=g1", "retire g3"}},
		{n: "4", sources: []Verdict{vectorList(t, "vo-list-1", edit(1, func(i *vmlist.Image) { i.URI += "?new" }))}, glance: all, want: []string{"keep g1", "keep g3", "metadata g2"}},
		{n: "5", sources: []Verdict{vectorList(t, "vo-list-1", edit(1, func(i *vmlist.Image) { i.Version, i.MPURI = "10", i.MPURI+"1/" }))}, glance: all, want: []string{"keep g1", "keep g3", "metadata g2"}},
		{n: "6", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", otherDigest), all[2]}, want: []string{"keep g1", "keep g3", "replace U2 old=g2"}},
		{n: "7", sources: []Verdict{named(vectorList(t, "image-expired", nil), "vo-list-1")}, glance: all[:2], want: []string{"keep g1", "retire g2"}},
		{n: "9", sources: []Verdict{named(vectorList(t, "list-expired", nil), "vo-list-1")}, glance: all[:2], want: []string{"hold", "keep g1", "keep g2"}},
		{n: "9, retire", sources: []Verdict{named(vectorList(t, "list-expired", nil), "vo-list-1")}, glance: all[:2], policy: func(s *Settings) { s.ExpiredList = RetireExpired }, want: []string{"retire g1", "retire g2"}},
		{n: "10, unreachable", sources: []Verdict{failed(Unreachable), vectorList(t, "other-vo-same-disk", nil)}, glance: all[:2], want: []string{"add U4 in P2", "fail", "keep g1", "keep g2"}},
		{n: "10, forged", sources: []Verdict{failed(Forged)}, glance: all[:2], want: []string{"fail", "keep g1", "keep g2"}},
		{n: "11", sources: []Verdict{named(vectorList(t, "empty", nil), "vo-list-1")}, glance: all, want: []string{"hold g1", "hold g2", "hold g3"}},
		{n: "11, allowed", sources: []Verdict{named(vectorList(t, "empty", nil), "vo-list-1")}, glance: all, policy: func(s *Settings) { s.AllowRemoval = true }, want: []string{"retire g1", "retire g2", "retire g3"}},
		{n: "13", sources: []Verdict{vectorList(t, "one-bad-image", nil)}, want: []string{"add U1", "add U3", "fail U2"}},
		{n: "14", sources: []Verdict{list1}, glance: append(slices.Clone(all), g("g0", "U1", func(i *openstack.StoredImage) { i.Created = at.Add(-time.Hour) })), want: []string{"keep g1", "keep g2", "keep g3", "retire g0"}},
		{n: "15", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", status("queued", time.Hour)), all[2]}, want: []string{"keep g1", "keep g3", "resume U2 into g2"}},
		{n: "16", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", status("saving", 26*time.Hour)), all[2]}, want: []string{"add U2", "discard g2", "keep g1", "keep g3"}},
		{n: "16, lately", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", status("saving", time.Hour)), all[2]}, want: []string{"keep g1", "keep g2", "keep g3"}},
		{n: "active, but the run died before it was published", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", status("active", time.Hour)), all[2]}, want: []string{"finish g2", "keep g1", "keep g3"}},
		{n: "17", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("x", "U2", foreign(map[string]string{})),
			g("y", "U1", func(i *openstack.StoredImage) { i.Properties[markList], i.Properties[markSource] = "L9", "gone" })}, want: []string{"add U1", "add U2", "add U3", "keep y"}},
		{n: "17, pruned", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("y", "U1", func(i *openstack.StoredImage) { i.Properties[markList], i.Properties[markSource] = "L9", "gone" })},
			policy: func(s *Settings) { s.PruneOrphans = true }, want: []string{"add U1", "add U2", "add U3", "retire y"}},
		{n: "18", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("g2", "U2", foreign(map[string]string{"APPLIANCE_ID": u2.ID, "APPLIANCE_IMAGE_LIST_ID": u2.List, "APPLIANCE_STATUS": "ACTIVE", "sl:checksum:sha512": u2.Digest.Hex()}))},
			policy: func(s *Settings) { s.Adopt = []string{Cloudkeeper} }, want: []string{"add U1", "add U3", "adopt g2"}},
		{n: "18, not named", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("g2", "U2", foreign(map[string]string{"APPLIANCE_ID": u2.ID, "APPLIANCE_IMAGE_LIST_ID": u2.List, "APPLIANCE_STATUS": "ACTIVE", "sl:checksum:sha512": u2.Digest.Hex()}))},
			want: []string{"add U1", "add U2", "add U3"}},
		{n: "18, changed lately", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("g2", "U2", foreign(map[string]string{"APPLIANCE_ID": u2.ID, "APPLIANCE_IMAGE_LIST_ID": u2.List, "APPLIANCE_STATUS": "ACTIVE",
			"APPLIANCE_ATTRIBUTES": `{"sl:checksum:sha512":"` + u2.Digest.Hex() + `"}`}), func(i *openstack.StoredImage) { i.Updated = at.Add(-time.Hour) })}, policy: func(s *Settings) { s.Adopt = []string{"g2"} }, want: []string{"add U1", "add U3", "hold g2"}},
		{n: "19", sources: []Verdict{list1}, glance: []openstack.StoredImage{g("g2", "U2", foreign(map[string]string{"appdb_id": u2.ID, "image_hash": "sha512:" + u2.Digest.Hex(), "image_list": "any"}, "atrope"))},
			policy: func(s *Settings) { s.Adopt = []string{Atrope} }, want: []string{"add U1", "add U3", "adopt g2"}},
		{n: "21", sources: []Verdict{list1, vectorList(t, "other-vo-same-disk", nil)}, policy: func(s *Settings) { s.Sharing = Share }, want: []string{"add U1", "add U2", "add U3", "share U2 with P2"}},
		{n: "22", sources: []Verdict{list1, vectorList(t, "other-vo-same-disk", nil)}, want: []string{"add U1", "add U2", "add U3", "add U4 in P2"}},
		{n: "24", sources: []Verdict{named(vectorList(t, "vo-list-1", func(l *vmlist.List) { l.VO = "unknown.example.eu" }), "unknown")}, want: []string{"fail"}},
		{n: "26", sources: []Verdict{vectorList(t, "duplicate-id", nil)}, want: []string{"fail U1"}},
		{n: "marks that lie of the content", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", func(i *openstack.StoredImage) { i.HashValue = strings.Repeat("1", 128) }), all[2]}, want: []string{"keep g1", "keep g3", "replace U2 old=g2"}},
		{n: "27", sources: []Verdict{list1}, glance: []openstack.StoredImage{all[0], g("g2", "U2", func(i *openstack.StoredImage) {
			i.DiskFormat, i.HashValue = "raw", strings.Repeat("1", 128)
			i.Properties[markConverted], i.Properties[markHash] = "qcow2 to raw", i.HashValue
		}), all[2]},
			policy: func(s *Settings) { s.Formats = []string{"raw"} }, want: []string{"keep g1", "keep g2", "keep g3"}},
	}
	for _, c := range cases {
		t.Run(c.n, func(t *testing.T) {
			s := policy()
			if c.policy != nil {
				c.policy(&s)
			}
			got := MakePlan(Observed{At: at, Sources: c.sources, Clouds: []CloudState{cloudOf(c.glance...)}}, s, nil)
			if d := cmp.Diff(c.want, lines(got)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
				for _, a := range got.Actions {
					t.Logf("%s %s: %s", a.Verb, a.Object(), a.Details())
				}
			}
			checkOrder(t, got)
		})
	}
}

// checkOrder: everything that is new is there before anything goes.
func checkOrder(t *testing.T, p Plan) {
	t.Helper()
	last := -1
	for _, a := range p.Actions {
		rank := slices.Index(writes, a.Verb)
		if rank < last {
			t.Errorf("%s comes after what is later in a run", a.Verb)
		}
		last = rank
	}
}

// TestPlanVectorsAreAll: every case of the vectors is here, or is a case of another step.
func TestPlanVectorsAreAll(t *testing.T) {
	body, err := os.ReadFile(filepath.Join("testdata", "sync-cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct{ Cases []struct{ N int } }
	if err := json.Unmarshal(body, &vectors); err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("plan_vectors_test.go")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := map[int]string{12: "a checksum is found wrong by the transfer", 23: "TestJudge", 28: "TestPlanRegistry", 29: "TestPlanRegistry"}
	for _, c := range vectors.Cases {
		if !strings.Contains(string(source), fmt.Sprintf("{n: \"%d", c.N)) && elsewhere[c.N] == "" {
			t.Errorf("case %d is not tested", c.N)
		}
	}
}
