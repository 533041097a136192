package app_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
)

// TestImagesSuccession: a project that an image is shared with has a working one at any time: the former version stays until
// that project has accepted the new one, however many runs it takes.
func TestImagesSuccession(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sharing: members\n  sources: [{name: a, vos: [ops, vo.access.egi.eu], list: \"" + f.URL + "/a\"}]\n"
	u1 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}
	f.list(t, "/a", "A", "ops", "1", "endorser", u1)
	a := f.open(t)
	f.apply(t, a, app.ImageOptions{})
	guest := f.world.Projects[1].ID
	working := func() bool {
		for _, i := range f.world.AllImages() {
			if i.Name == "U1" && i.Status == "active" && !i.Hidden && i.Properties["fedsite_state"] == "active" && i.Members[guest] == "accepted" {
				return true
			}
		}
		return false
	}
	if !working() {
		t.Fatal("the guest has no image to begin with")
	}
	gone := false
	f.faults.Watch(func(*http.Request) { gone = gone || !working() })
	f.faults.Add(faults.Fault{Service: "image", Method: http.MethodPut, Path: "/v2/images/*/members/*", Times: -1, Effect: faults.Effect{Status: http.StatusForbidden}})
	u1.path, u1.version = "/u1-new", "2"
	f.list(t, "/a", "A", "ops", "2", "endorser", u1)
	for _, want := range [][]string{{"replace U1", "share U1: failed"}, {"share U1: failed"}} {
		_, done := f.apply(t, a, app.ImageOptions{})
		same(t, "done while the guest cannot accept", want, done)
		same(t, "there", []string{"0 U1 active active", "0 U1 active active"}, f.inGlance())
	}
	f.faults.Clear()
	_, done := f.apply(t, a, app.ImageOptions{})
	slices.Sort(done)
	same(t, "done at last", []string{"retire U1", "share U1"}, done)
	same(t, "there at last", []string{"0 U1 active active"}, f.inGlance())
	f.faults.Watch(nil)
	if gone || !working() {
		t.Error("the guest was without a working image")
	}
	f.contents(t)
}
