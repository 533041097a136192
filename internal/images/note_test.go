package images

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// withProperties gives an image other properties.
func withProperties(change map[string]string) func(*openstack.StoredImage) {
	return func(i *openstack.StoredImage) {
		i.Properties = maps.Clone(i.Properties)
		maps.Copy(i.Properties, change)
	}
}

// noted are notes of images at the first of the places, all of which were looked at.
func noted(images map[string]Note, places ...Place) Notes {
	n := Notes{}
	for _, p := range places {
		n.add(p, "", Note{})
	}
	for id, note := range images {
		n.add(places[0], id, note)
	}
	return n
}

// TestGenuine: what members of the owning project write into marks makes no image the one that a source names.
func TestGenuine(t *testing.T) {
	s := policy()
	sha512List, registry := vectorList(t, "vo-list-1", nil).Entries[1], registryAnswer(true, "ubuntu:24.04=a").Entries[0]
	registry.Kind, registry.Source = Registry, "egi"
	place := Place{"c1", "P1"}
	evil := strings.Repeat("e", 128)
	other := func(i *openstack.StoredImage) { i.HashValue = evil }
	for name, c := range map[string]struct {
		entry  Entry
		change []func(*openstack.StoredImage)
		notes  Notes
		want   bool
	}{
		"Glance has the list's checksum":              {entry: sha512List, notes: noted(nil, place), want: true},
		"it has another one":                          {entry: sha512List, change: []func(*openstack.StoredImage){other}},
		"another one, said to be converted":           {entry: sha512List, change: []func(*openstack.StoredImage){other, withProperties(map[string]string{markConverted: "ova to qcow2", markHash: evil})}, notes: noted(nil, place)},
		"the same, and the database was lost":         {entry: sha512List, change: []func(*openstack.StoredImage){other, withProperties(map[string]string{markConverted: "ova to qcow2", markHash: evil})}, want: true},
		"another one, said to be taken over":          {entry: sha512List, change: []func(*openstack.StoredImage){other, withProperties(map[string]string{markFormer: `{"manager":"cloudkeeper-os"}`})}, notes: noted(nil, place)},
		"taken over, and the database was lost":       {entry: sha512List, change: []func(*openstack.StoredImage){other, withProperties(map[string]string{markFormer: `{"manager":"cloudkeeper-os"}`})}, want: true},
		"converted here":                              {entry: sha512List, change: []func(*openstack.StoredImage){other}, notes: noted(map[string]Note{"g": {sha512List.Digest, SHA512 + ":" + evil}}, place), want: true},
		"converted here, and marked as another disk":  {entry: sha512List, change: []func(*openstack.StoredImage){other}, notes: noted(map[string]Note{"g": {registry.Digest, SHA512 + ":" + evil}}, place)},
		"of a registry, brought here":                 {entry: registry, notes: noted(map[string]Note{"g": {registry.Digest, SHA512 + ":" + registry.Digest.Hex()}}, place), want: true},
		"of a registry, from somebody":                {entry: registry, notes: noted(nil, place)},
		"of a registry, and the database was lost":    {entry: registry, want: true},
		"of a registry, in a project that is new":     {entry: registry, notes: noted(nil, Place{"c1", "P2"}), want: true},
		"an old Glance has no SHA-512, brought here":  {entry: sha512List, change: []func(*openstack.StoredImage){old}, notes: noted(map[string]Note{"g": {sha512List.Digest, "md5:d41d8cd9"}}, place), want: true},
		"an old Glance has no SHA-512, from somebody": {entry: sha512List, change: []func(*openstack.StoredImage){old}, notes: noted(nil, place)},
	} {
		i := held("g", c.entry, s, c.change...)
		if got := c.notes.genuine(present{i, readMarks(i)}, place); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func old(i *openstack.StoredImage) { i.HashAlgo, i.HashValue, i.Checksum = "", "", "d41d8cd9" }

// TestPlanForged: an image that somebody made and marked as ours is not taken for one, and one that we brought is not lost by a
// database that is lost.
func TestPlanForged(t *testing.T) {
	s := policy()
	v := vectorList(t, "vo-list-1", func(l *vmlist.List) { l.Images = l.Images[1:2] })
	forged := held("g", v.Entries[0], s, func(i *openstack.StoredImage) { i.HashValue = strings.Repeat("e", 128) }, withProperties(map[string]string{markConverted: "ova to qcow2", markHash: strings.Repeat("e", 128)}))
	unfinished := held("g", v.Entries[0], s, func(i *openstack.StoredImage) { i.HashValue = strings.Repeat("e", 128) }, withProperties(map[string]string{markState: string(Uploading), markConverted: "ova to qcow2"}))
	looked := noted(nil, Place{"c1", "P1"})
	brought := noted(map[string]Note{"g": {v.Entries[0].Digest, SHA512 + ":" + strings.Repeat("e", 128)}}, Place{"c1", "P1"})
	for name, c := range map[string]struct {
		image openstack.StoredImage
		notes Notes
		want  []string
	}{
		"marked as ours":                 {forged, looked, []string{"replace U2 old=g"}},
		"ours":                           {forged, brought, []string{"keep g"}},
		"ours, and the database is lost": {forged, Notes{}, []string{"keep g"}},
		"marked as on its way":           {unfinished, looked, []string{"add U2", "discard g"}},
		"on its way when a run died":     {unfinished, brought, []string{"finish g"}},
	} {
		if d := cmp.Diff(c.want, lines(MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(c.image)}, Notes: c.notes}, s, nil))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}

// TestPlanForgedBlock: a mark that says blocked counts in its own project, and one that says nothing does not hide what Glance
// knows.
func TestPlanForgedBlock(t *testing.T) {
	s := policy()
	v := vectorList(t, "vo-list-1", func(l *vmlist.List) { l.Images = l.Images[1:2] })
	v.Entries[0].VOs = []string{"vo.example.eu", "other.example.eu"}
	marked := held("g", v.Entries[0], s, withProperties(map[string]string{markState: string(Blocked), markReason: "blocked: miner"}), func(i *openstack.StoredImage) { i.Status, i.Hidden = "deactivated", true })
	if d := cmp.Diff([]string{"add U2 in P2", "keep g"}, slices.DeleteFunc(lines(MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(marked)}}, s, nil)), func(l string) bool { return l == "skip U2" })); d != "" {
		t.Errorf("a mark (-want +got):\n%s", d)
	}
	b := Block{Digest: v.Entries[0].Digest, Reason: "miner"}
	disguised := held("g", v.Entries[0], s, withProperties(map[string]string{markDigest: SHA512 + ":" + strings.Repeat("0", 128)}))
	if got := lines(MakePlan(Observed{At: at, Sources: []Verdict{v}, Clouds: []CloudState{cloudOf(disguised)}}, s, []Block{b})); !slices.Contains(got, "block g") {
		t.Errorf("under another mark: %v", got)
	}
}

// TestNotesKept: at the first look what is there is noted, with a mark that the look was taken; what is gone is forgotten, and of
// a project that could not be asked nothing.
func TestNotesKept(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		s := policy()
		e := vectorList(t, "vo-list-1", nil).Entries[0]
		d, target := Deps{DB: storetest.Open(t, cfg)}, &Target{Settings: s}
		target.Site.ID = "s1"
		look := func(c CloudState) Notes {
			t.Helper()
			was, err := readNotes(t.Context(), d, "s1")
			if err != nil {
				t.Fatal(err)
			}
			if err := keepNotes(t.Context(), d, target, Seen{Observed: Observed{Notes: was, Clouds: []CloudState{c}}}); err != nil {
				t.Fatal(err)
			}
			now, err := readNotes(t.Context(), d, "s1")
			if err != nil {
				t.Fatal(err)
			}
			return now
		}
		first, second := Place{"c1", "P1"}, Place{"c1", "P2"}
		sum := Note{e.Digest, string(e.Digest)}
		foreign := openstack.StoredImage{ID: "f", Status: "active", HashAlgo: SHA512, HashValue: strings.Repeat("f", 128)}
		if d := cmp.Diff(noted(map[string]Note{"g1": sum}, first, second), look(cloudOf(held("g1", e, s), foreign))); d != "" {
			t.Errorf("the first look (-want +got):\n%s", d)
		}
		if d := cmp.Diff(noted(map[string]Note{"g1": sum}, first, second), look(cloudOf(held("g1", e, s), held("g2", e, s)))); d != "" {
			t.Errorf("the second look, with one that somebody made (-want +got):\n%s", d)
		}
		failed := cloudOf()
		failed.Places["P1"] = PlaceState{Failed: errMeanwhile}
		if d := cmp.Diff(noted(map[string]Note{"g1": sum}, first, second), look(failed)); d != "" {
			t.Errorf("a project that fails (-want +got):\n%s", d)
		}
		if d := cmp.Diff(noted(nil, first, second), look(cloudOf())); d != "" {
			t.Errorf("it is gone (-want +got):\n%s", d)
		}
	})
}

// TestMarked: without the database the marks say which list was accepted; one image that says otherwise outvotes nobody.
func TestMarked(t *testing.T) {
	s := policy()
	v := vectorList(t, "vo-list-1", nil)
	other := held("x", v.Entries[0], s, withProperties(map[string]string{markList: "other", markListVersion: "99999999"}))
	future := held("y", v.Entries[0], s, withProperties(map[string]string{markListVersion: "99999999", markListCreated: writeTime(at.AddDate(1, 0, 0))}))
	m := marked([]*sight{{CloudState: cloudOf(held("g1", v.Entries[0], s), held("g2", v.Entries[1], s), other, future)}}, "fedsite", v.Source, "", at)
	if m.List != v.List || m.Version != v.Version || len(m.Missing) != 2 || !strings.Contains(m.Image, "in project ops") {
		t.Errorf("%+v", m)
	}
}

// TestUsedAsksOnce: an image that stays in use costs one request in a run, at the project where it was in use the last time.
func TestUsedAsksOnce(t *testing.T) {
	d := Deps{DB: storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "db")}), Now: time.Now}
	idle, busy := &project{}, &project{vms: []openstack.ServerRef{{ID: "vm1"}}}
	var first map[cloudImage]Place
	for run, want := range []int{4, 1, 1} {
		uses, err := readUses(t.Context(), d, "")
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = uses
		}
		idle.asked, busy.asked = 0, 0
		a := &applier{t: &Target{Settings: policy()}, d: d, uses: uses, clouds: map[string]*sight{"c1": seenAs("c1", map[string]*project{"P1": idle, "P2": idle, "P3": idle, "P4": busy}, "g")}}
		if stays := a.remove(t.Context(), idle, Action{Place: Place{"c1", "P1"}, Image: "g"}); !strings.Contains(stays, "VM vm1 of project P4") {
			t.Errorf("run %d: %q", run, stays)
		}
		if n := idle.asked + busy.asked; n != want {
			t.Errorf("run %d: %d requests, want %d", run, n, want)
		}
	}
	if len(first) != 0 {
		t.Errorf("known before: %v", first)
	}
}
