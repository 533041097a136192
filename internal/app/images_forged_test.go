package app_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
)

// TestImagesForgedMarks: what the members of one project write into marks there changes nothing for others: neither which list
// was accepted, nor what is blocked. It is undone in their own project.
func TestImagesForgedMarks(t *testing.T) {
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			f := newFarm(t, era)
			f.more = "  sources: [{name: a, vos: [ops, vo.access.egi.eu], list: \"" + f.URL + "/a\"}]\n"
			u1, u3 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""}
			f.list(t, "/a", "A", "ops", "1", "endorser", u1, u3)
			a := f.open(t)
			f.apply(t, a, app.ImageOptions{})
			here := []string{"0 U1 active active", "0 U3 active active", "1 U1 active active", "1 U3 active active"}
			same(t, "there", here, f.inGlance())
			for _, i := range f.world.AllImages() {
				if i.Owner != f.world.Projects[1].ID {
					continue
				}
				f.world.ChangeImage(i.ID, func(i *world.Image) bool {
					switch i.Name {
					case "U1":
						i.Properties["fedsite_list_version"] = "99999999"
					case "U3":
						i.Properties["fedsite_state"] = "blocked"
					}
					return true
				})
			}
			// one that they made: other content under our marks
			forged := f.titled(t, "U1")
			forged.ID, forged.Owner, forged.SHA512, forged.MD5 = "forged", f.world.Projects[1].ID, strings.Repeat("e", 128), strings.Repeat("e", 32)
			forged.Properties = map[string]string{"fedsite_managed_by": "fedsite", "fedsite_state": "active", "fedsite_source": "a", "fedsite_list": "A", "fedsite_image": id1, "fedsite_digest": forged.Properties["fedsite_digest"],
				"fedsite_converted": "ova to qcow2", "fedsite_hash": strings.Repeat("e", 128)}
			f.world.AddImage(forged)

			u3.path = "/u1-new"
			f.list(t, "/a", "A", "ops", "2", "endorser", u1, u3)
			report, _ := f.apply(t, a, app.ImageOptions{})
			if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return p.Notice && strings.Contains(p.Reason, "somebody changed its marks") }) {
				t.Errorf("nobody says that marks were changed: %+v", report.Problems)
			}
			f.apply(t, a, app.ImageOptions{})
			if !slices.Contains(f.inGlance(), "0 U3 active active") || !slices.Contains(f.inGlance(), "1 U1 active active") {
				t.Errorf("there: %v", f.inGlance())
			}
			if i, there := f.world.Image("forged"); there && i.Properties["fedsite_state"] == "active" {
				t.Errorf("what somebody made is taken for ours: %v", i)
			}
		})
	}
}

// TestImagesRival: a list that calls itself as another source's list takes the place of none of its images, whoever comes first.
func TestImagesRival(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	f.list(t, "/b", "A", "ops", "9", "", disk{id1, "U1", "9", "QCOW2", "/u1-new", ""})
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}, {name: b, insecure_unsigned: true, list: \"" + f.URL + "/b\"}]\n"
	report, done := f.apply(t, f.open(t), app.ImageOptions{})
	same(t, "done", []string{"add U1"}, done)
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool {
		return p.Object == "source b" && strings.Contains(p.Reason, "is that of source a")
	}) {
		t.Errorf("%+v", report.Problems)
	}
	f.contents(t)
	f.misbehave("/a", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	_, done = f.apply(t, f.open(t), app.ImageOptions{})
	same(t, "done while the owner fails", nil, done)
}
