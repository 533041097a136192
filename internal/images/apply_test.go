package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// project is Glance and Nova of one project, as far as these tests need them.
type project struct {
	Store
	image openstack.StoredImage
	vms   []openstack.ServerRef
	fails error // of changes
	calls []string
	asked int // for VMs
}

func (p *project) Image(context.Context, string) (openstack.StoredImage, error) { return p.image, nil }

func (p *project) Servers(context.Context, string) ([]openstack.ServerRef, error) {
	p.asked++
	return p.vms, nil
}

func (p *project) Delete(_ context.Context, id string) error {
	p.calls = append(p.calls, "delete "+id)
	return nil
}

func (p *project) Deactivate(_ context.Context, id string) error {
	p.calls = append(p.calls, "deactivate "+id)
	return nil
}

func (p *project) Change(_ context.Context, id string, _ []openstack.Change) (openstack.StoredImage, error) {
	p.calls = append(p.calls, "change "+id)
	return p.image, p.fails
}

func (p *project) Create(_ context.Context, n openstack.NewImage) (openstack.StoredImage, error) {
	p.calls = append(p.calls, "create "+n.Name)
	return openstack.StoredImage{ID: "new"}, nil
}

// seenAs is a cloud with projects, nil for one that could not be signed in to, and images in the first one.
func seenAs(id string, projects map[string]*project, images ...string) *sight {
	s := &sight{CloudState: CloudState{ID: id, Places: map[string]PlaceState{}}, stores: map[string]Store{}}
	for name, p := range projects {
		place := PlaceState{Hides: true}
		if p == nil {
			place.Failed = errors.New("no sign-in")
		} else {
			s.stores[name] = p
		}
		for _, i := range images {
			if name == "P1" {
				place.Images = append(place.Images, openstack.StoredImage{ID: i})
			}
		}
		s.Places[name] = place
	}
	return s
}

// TestRemoveInUse: an image is deleted only when it is known that no VM runs from it, wherever one may.
func TestRemoveInUse(t *testing.T) {
	vm := []openstack.ServerRef{{ID: "vm1"}}
	copied, lent := policy(), policy()
	lent.Sharing = Share
	for name, c := range map[string]struct {
		s       Settings
		partial bool
		clouds  []*sight
		stays   string // a part of why; "" = it goes
	}{
		"nobody":                           {s: lent, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}, "P2": {}})}},
		"a guest":                          {s: lent, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}, "P2": {vms: vm}})}, stays: "vm1"},
		"a guest that cannot be asked":     {s: lent, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}, "P2": nil})}, stays: "P2"},
		"a guest that was not listed":      {s: lent, partial: true, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}})}, stays: "not all projects"},
		"no guest":                         {s: copied, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}, "P2": nil})}},
		"another region of the one Glance": {s: copied, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}}, "g"), seenAs("c2", map[string]*project{"P1": {vms: vm}}, "g")}, stays: "vm1"},
		"another cloud":                    {s: copied, clouds: []*sight{seenAs("c1", map[string]*project{"P1": {}}, "g"), seenAs("c2", map[string]*project{"P1": {vms: vm}}, "h")}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &applier{t: &Target{Settings: c.s}, clouds: map[string]*sight{}, d: Deps{DB: storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "db")})}}
			for _, one := range c.clouds {
				one.Partial = c.partial
				a.clouds[one.ID] = one
			}
			owner := c.clouds[0].stores["P1"].(*project)
			stays := a.remove(t.Context(), owner, Action{Place: Place{"c1", "P1"}, Image: "g"})
			if gone := slices.Equal(owner.calls, []string{"delete g"}); gone != (c.stays == "") || !strings.Contains(stays, c.stays) {
				t.Errorf("%v, %q; want %q", owner.calls, stays, c.stays)
			}
		})
	}
}

// TestBlockDeactivates: that an image cannot be hidden does not keep it usable.
func TestBlockDeactivates(t *testing.T) {
	p := &project{fails: errors.New("no")}
	a := &applier{t: &Target{Settings: policy()}, clouds: map[string]*sight{"c1": seenAs("c1", map[string]*project{"P1": p})}}
	var r Result
	a.block(t.Context(), p, Action{Place: Place{"c1", "P1"}, Image: "g", Edits: []Edit{{Name: editHidden, To: "true"}}}, &r)
	if r.Err == nil || !slices.Contains(p.calls, "deactivate g") {
		t.Errorf("%v, %v", p.calls, r.Err)
	}
}

// TestCreate: an image that somebody published meanwhile is not taken away, and one that was blocked meanwhile is not made.
func TestCreate(t *testing.T) {
	e := vectorList(t, "vo-list-1", nil).Entries[0]
	marked := func(status string, s State) openstack.StoredImage {
		return openstack.StoredImage{ID: "g", Status: status, DiskFormat: "raw", Properties: map[string]string{markManager: "fedsite", markState: string(s)}}
	}
	for name, c := range map[string]struct {
		there  openstack.StoredImage
		blocks []Block
		want   []string // asked of Glance
		fails  bool
	}{
		"empty":                      {there: marked("queued", Uploading)},
		"another's rest":             {there: marked("saving", Uploading), want: []string{"delete g", "create " + e.Title}},
		"it arrived, and is not out": {there: marked("active", Uploading), want: []string{"delete g", "create " + e.Title}},
		"it is out":                  {there: marked("active", Active), fails: true},
		"blocked":                    {there: marked("queued", Uploading), blocks: []Block{{Ref: e.ID, Reason: "bad"}}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := &project{image: c.there}
			if c.there.Status == "saving" {
				p.image.DiskFormat = "qcow2"
			}
			a := &applier{t: &Target{Settings: policy(), Reblock: func() ([]Block, error) { return c.blocks, nil }}}
			err := a.create(t.Context(), &order{action: Action{Entry: &e}, store: p, image: "g"}, content{format: diskimage.Raw})
			if (err != nil) != c.fails || !slices.Equal(p.calls, c.want) {
				t.Errorf("%v, %v; want %v", p.calls, err, c.want)
			}
		})
	}
}

// files is a source whose files are not all there.
type files struct {
	Source
	name string
	has  map[string][]byte // by URL
}

func (f files) Name() string { return f.name }

func (f files) Open(_ context.Context, e Entry, _ int64, _ string) (File, error) {
	body, there := f.has[e.At.URL]
	if !there {
		return File{}, &Failure{Kind: Unreachable, Reason: "not there"}
	}
	return File{Body: io.NopCloser(bytes.NewReader(body)), Size: int64(len(body))}, nil
}

// TestElsewhere: a source that names a disk where it is not, or with another size, does not keep others from having it.
func TestElsewhere(t *testing.T) {
	body := contentOf(4096)
	digest, _ := digests(body)
	good := Entry{Key: Key{"B", "b"}, Source: "good", Digest: digest, Size: 4096, Format: "raw", At: Location{URL: "http://good/"}}
	for name, bad := range map[string]Entry{
		"where it is not": {Key: Key{"A", "a"}, Source: "bad", Digest: digest, At: Location{URL: "http://bad/"}},
		"of another size": {Key: Key{"A", "a"}, Source: "bad", Digest: digest, Size: 5, At: Location{URL: "http://good/"}},
	} {
		has := map[string][]byte{"http://good/": body}
		s := policy()
		s.MaxSize, s.MaxVirtualSize, s.Formats, s.Staging = 1<<20, 1<<30, []string{"raw"}, StageNever
		rec := run.NewRecorder("test", time.Now, nil)
		a := &applier{t: &Target{Settings: s, Sources: []SourceTarget{{Source: files{name: "bad", has: has}}, {Source: files{name: "good", has: has}}}}, d: Deps{Now: time.Now, Run: rec}, clouds: map[string]*sight{}}
		p := &parcel{entry: bad, from: a.t.Sources[0], orders: []*order{{action: Action{Entry: &bad}}, {action: Action{Entry: &good}}}}
		err := a.bring(t.Context(), p)
		rest := a.elsewhere(p)
		if err == nil || len(p.orders) != 1 || p.orders[0].action.Entry.Source != "bad" {
			t.Fatalf("%s: %v, %d orders are left", name, err, len(p.orders))
		}
		if rest == nil || rest.from.Name() != "good" || len(rest.orders) != 1 || rest.entry.Size != 4096 {
			t.Fatalf("%s: %+v", name, rest)
		}
		if a.elsewhere(rest) != nil {
			t.Errorf("%s: it is tried without end", name)
		}
	}
}
