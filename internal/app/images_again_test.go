package app_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
)

// ownDisk writes a site's own list of one image, by the checksum that Glance does not have: only what was noted tells what is there.
func (f *farm) ownDisk(t *testing.T, path, version string) {
	t.Helper()
	file := filepath.Join(f.dir, "own.yaml")
	text := fmt.Sprintf("images:\n  - {name: Mine, url: %q, sha256: \"%x\", os: ubuntu, version: %q}\n", f.URL+path, sha256.Sum256(f.paths[path]), version)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f.more = "  sources: [{own: " + file + ", vos: [ops]}]\n"
}

// database gives the farm another database, a copy of a former one where that is named.
func (f *farm) database(t *testing.T, name, of string) {
	t.Helper()
	f.db = filepath.Join(f.dir, name)
	var err error
	if of != "" {
		err = os.CopyFS(f.db, os.DirFS(filepath.Join(f.dir, of)))
	} else {
		err = os.Mkdir(f.db, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestImagesOfRegions: two regions with one Glance come to one image, and stay there.
func TestImagesOfRegions(t *testing.T) {
	for _, era := range emulated.Eras() {
		t.Run(era.Name, func(t *testing.T) {
			f := newFarm(t, era)
			f.ownDisk(t, "/u1", "1")
			one, other := f.cloud.AuthURL(), strings.Replace(f.cloud.AuthURL(), "127.0.0.1", "localhost", 1)
			f.mode = [2]string{fmt.Sprintf("clouds: [{name: main, auth_url: %q, credential: c}]", one), fmt.Sprintf("clouds: [{name: main, auth_url: %q, credential: c}, {name: second, auth_url: %q, credential: c}]", one, other)}
			a := f.open(t)
			for range 3 {
				f.apply(t, a, app.ImageOptions{})
			}
			same(t, "there", []string{"0 Mine active active"}, f.inGlance())
			n := len(f.cloud.Requests())
			f.apply(t, a, app.ImageOptions{})
			same(t, "written again", nil, f.writes(n))
			if n := f.count("/u1"); n > 2 {
				t.Errorf("%d downloads", n)
			}
		})
	}
}

// TestImagesOfTwoDatabases: two fedsites with a database of their own do not replace each other's images without end; it is said.
func TestImagesOfTwoDatabases(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.ownDisk(t, "/u1", "1")
	one := f.open(t)
	f.database(t, "db2", "")
	two := f.open(t)
	f.apply(t, one, app.ImageOptions{})
	f.apply(t, two, app.ImageOptions{})
	f.ownDisk(t, "/u1-new", "2")
	said := false
	for range 4 {
		for _, a := range []*app.App{one, two} {
			report, _ := f.apply(t, a, app.ImageOptions{})
			said = said || slices.ContainsFunc(report.Problems, func(p run.Problem) bool {
				return strings.Contains(p.Hint, "another fedsite, with a database of its own")
			})
		}
	}
	if n := f.count("/u1-new"); n > 3 || !said {
		t.Errorf("%d downloads, said %v", n, said)
	}
	if !slices.Contains(f.inGlance(), "0 Mine active active") {
		t.Errorf("there: %v", f.inGlance())
	}
}

// TestImagesRestored: with a database that is restored from a backup an older list is refused as with one that is lost, and what
// somebody deactivated meanwhile stays so.
func TestImagesRestored(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	u1 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}
	f.list(t, "/a", "A", "ops", "1", "endorser", u1)
	a := f.open(t)
	f.apply(t, a, app.ImageOptions{})
	_ = a.Close()
	f.database(t, "backup", "db")
	f.db = filepath.Join(f.dir, "db")
	u1.path, u1.version = "/u1-new", "3"
	f.list(t, "/a", "A", "ops", "3", "endorser", u1)
	a = f.open(t)
	f.apply(t, a, app.ImageOptions{})
	_ = a.Close()
	f.db = filepath.Join(f.dir, "backup")
	u1.path, u1.version = "/u3", "2"
	f.list(t, "/a", "A", "ops", "2", "endorser", u1)
	report, done := f.apply(t, f.open(t), app.ImageOptions{})
	same(t, "done by an older list", nil, done)
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Reason, "by the marks of most images") }) {
		t.Errorf("%+v", report.Problems)
	}
}

// TestImagesDeactivated: what somebody deactivated stays so, also when the database does not know the image.
func TestImagesDeactivated(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.ownDisk(t, "/u1", "1")
	f.more = strings.Replace(f.more, "own.yaml", "none.yaml", 1)
	if err := os.WriteFile(filepath.Join(f.dir, "none.yaml"), []byte("images: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	a := f.open(t) // looks at the place, so that marks alone count no more
	f.apply(t, a, app.ImageOptions{})
	_ = a.Close()
	f.database(t, "backup", "db")
	f.db = filepath.Join(f.dir, "db")
	f.ownDisk(t, "/u1", "1")
	f.apply(t, f.open(t), app.ImageOptions{})
	f.world.ChangeImage(f.titled(t, "Mine").ID, func(i *world.Image) bool { i.Status = "deactivated"; return true })
	for _, db := range []string{"db", "backup"} {
		f.db = filepath.Join(f.dir, db)
		_, done := f.apply(t, f.open(t), app.ImageOptions{})
		same(t, "done with "+db, nil, done)
	}
}

// TestImagesUnfinishedWithoutDatabase: a run that died between upload and publication, and the database with it, costs no second
// download.
func TestImagesUnfinishedWithoutDatabase(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.ownDisk(t, "/u1", "1")
	f.apply(t, f.open(t), app.ImageOptions{})
	f.world.ChangeImage(f.titled(t, "Mine").ID, func(i *world.Image) bool {
		i.Properties["fedsite_state"] = "uploading"
		delete(i.Properties, "fedsite_hash")
		return true
	})
	f.database(t, "lost", "")
	a := f.open(t)
	_, done := f.apply(t, a, app.ImageOptions{})
	same(t, "done", []string{"finish Mine"}, done)
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "done again", nil, done)
	if n := f.count("/u1"); n != 1 {
		t.Errorf("%d downloads", n)
	}
}

// TestImagesOfAVO: --vo chooses the projects of the VO, whoever else the image is for.
func TestImagesOfAVO(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, vos: \"*\", list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	f.apply(t, f.open(t), app.ImageOptions{VO: "ops"})
	same(t, "there", []string{"0 U1 active active"}, f.inGlance())
}

// TestImagesOfGuests: a VO that cannot take an image that is shared with it lacks that.
func TestImagesOfGuests(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sharing: members\n  sources: [{name: a, vos: [ops, vo.access.egi.eu], list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	a := f.open(t)
	sites := sitesOf(t, a)
	f.faults.Add(faults.Fault{Service: "image", Method: http.MethodPut, Path: "/v2/images/*/members/*", Times: -1, Effect: faults.Effect{Status: http.StatusForbidden}})
	for _, want := range []string{"1 of 1, 0 of 1, 0 of 0", "1 of 1, 0 of 1, 0 of 0", "1 of 1, 1 of 1, 0 of 0", "1 of 1, 1 of 1, 0 of 0"} {
		f.apply(t, a, app.ImageOptions{})
		s, err := a.ImageStatus(t.Context(), sites[0])
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, x := range s.Shares {
			got = append(got, fmt.Sprintf("%d of %d", x.Present, x.Wanted))
		}
		if have := strings.Join(got, ", "); have != want {
			t.Errorf("%s, want %s", have, want)
		}
		if strings.HasPrefix(want, "1 of 1, 0") && f.faults.Struck() > 1 {
			f.faults.Clear()
		}
	}
}
