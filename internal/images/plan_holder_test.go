package images

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// TestPlanHolderAway: a shared image is brought nowhere else because the project that has it cannot be asked, or is not listed, or
// because another list names the same disk first; one that is blocked there stays blocked, and a VO that only observes keeps
// nobody waiting.
func TestPlanHolderAway(t *testing.T) {
	s := policy()
	s.Sharing = Share
	v := vectorList(t, "vo-list-1", func(l *vmlist.List) { l.Images = l.Images[1:2] })
	v.Entries[0].VOs = []string{"vo.example.eu", "other.example.eu"}
	alone, first := v, vectorList(t, "other-vo-same-disk", nil)
	alone.Entries, first.Entries = slices.Clone(v.Entries), slices.Clone(first.Entries)
	alone.Entries[0].VOs, first.Entries[0].VOs = []string{"other.example.eu"}, []string{"vo.example.eu"}
	image := held("g", v.Entries[0], s, func(i *openstack.StoredImage) { i.Owner, i.Visibility = "P2", "shared" })
	notes := noted(map[string]Note{"g": {v.Entries[0].Digest, sumOf(image)}}, Place{"c1", "P2"}, Place{"c1", "P1"})
	there := func(i openstack.StoredImage, guests ...string) PlaceState {
		return PlaceState{Name: "other", Images: []openstack.StoredImage{i}, Hides: true, Members: map[string][]string{"g": guests}}
	}
	blocked := image
	blocked.Properties = maps.Clone(image.Properties)
	blocked.Properties[markState], blocked.Properties[markReason] = string(Blocked), blockedReason+"miner"
	blocked.Status, blocked.Visibility, blocked.Hidden = "deactivated", "private", true
	second := held("g1", v.Entries[0], s, func(i *openstack.StoredImage) { i.Visibility = "shared" })
	for name, c := range map[string]struct {
		sources []Verdict
		change  func(*CloudState)
		want    []string
	}{
		"it is there":          {[]Verdict{v}, func(c *CloudState) { c.Places["P2"] = there(image, "P1") }, []string{"keep g in P2"}},
		"it cannot be asked":   {[]Verdict{v}, func(c *CloudState) { c.Places["P2"] = PlaceState{Name: "other", Failed: errors.New("503")} }, []string{"fail in P2"}},
		"it is not listed":     {[]Verdict{v}, func(c *CloudState) { delete(c.Places, "P2"); c.Members, c.Partial = c.Members[:1], true }, nil},
		"another list, before": {[]Verdict{first, alone}, func(c *CloudState) { c.Places["P2"] = there(image) }, []string{"metadata g in P2", "share U4 with P1 in P2"}},
		"another list, after":  {[]Verdict{alone, first}, func(c *CloudState) { c.Places["P2"] = there(image) }, []string{"metadata g in P2", "share U2 with P1 in P2"}},
		"blocked":              {[]Verdict{v}, func(c *CloudState) { c.Places["P2"] = there(blocked) }, []string{"keep g in P2", "skip U2 in P2"}},
		"two of them": {[]Verdict{v}, func(c *CloudState) {
			c.Places["P1"].Members["g1"] = []string{"P2"}
			c.Places["P2"] = there(image)
			p := c.Places["P1"]
			p.Images = []openstack.StoredImage{second}
			c.Places["P1"] = p
		}, []string{"keep g1", "retire g in P2"}},
		"nowhere, and the first observes": {[]Verdict{v}, func(c *CloudState) { c.Members[0].Mode = site.Observe }, []string{"add U2 in P2", "share U2 with P1 in P2"}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := cloudOf()
			c.change(&cloud)
			n := notes
			if name == "two of them" {
				n = noted(map[string]Note{"g": {v.Entries[0].Digest, sumOf(image)}, "g1": {v.Entries[0].Digest, sumOf(second)}}, Place{"c1", "P2"}, Place{"c1", "P1"})
			}
			if d := cmp.Diff(c.want, lines(MakePlan(Observed{At: at, Sources: c.sources, Clouds: []CloudState{cloud}, Notes: n, Lacking: cloud.Partial}, s, nil))); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestUsersOfRegions: a retired image stays as long as a region that may see it cannot be asked.
func TestUsersOfRegions(t *testing.T) {
	target := func(urls ...string) *Target {
		all := &Target{Settings: policy()}
		for i, u := range urls {
			all.Clouds = append(all.Clouds, CloudTarget{Cloud: site.Cloud{ID: []string{"c1", "c2"}[i], Name: []string{"c1", "c2"}[i], AuthURL: u}})
		}
		return all
	}
	failing := seenAs("c2", map[string]*project{"P1": nil})
	for name, c := range map[string]struct {
		t       *Target
		other   *sight
		unknown bool
	}{
		"a region whose project fails":      {target("https://k/v3", "https://k/v3"), failing, true},
		"a region that fails":               {target("https://k/v3", "https://k/v3"), nil, true},
		"another cloud whose project fails": {target("https://k/v3", "https://other/v3"), failing, false},
		"another cloud that fails":          {target("https://k/v3", "https://other/v3"), nil, false},
		"alone":                             {target("https://k/v3"), nil, false},
	} {
		a := &applier{t: c.t, clouds: map[string]*sight{"c1": seenAs("c1", map[string]*project{"P1": {}}, "g")}}
		if c.other != nil {
			a.clouds["c2"] = c.other
		}
		if places, unknown := a.users(Place{"c1", "P1"}, "g"); (unknown != nil) != c.unknown || len(places) != 1 {
			t.Errorf("%s: %v, %v", name, places, unknown)
		}
	}
}
