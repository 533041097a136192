package app_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/federation/registry"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
)

// egi is an image as EGI pushes it.
func egi(repository string, body []byte, version string, tags ...string) registry.Image {
	return registry.Image{Repository: repository, Tags: tags, Content: bytes.NewReader(body), Name: "disk.qcow2", Annotations: map[string]string{
		"eu.egi.cloud.tag": version, "org.openstack.glance.disk_format": "qcow2", "org.openstack.glance.os_distro": "ubuntu", "org.openstack.glance.os_version": "24.04", "org.openstack.glance.architecture": "x86_64",
		"org.opencontainers.image.created": "2026-11-01T10:00:00Z"}}
}

// TestImagesRegistry: from a registry whose files lie elsewhere, into Glance; a tag moves, one is missing, a repository cannot be
// listed, and a project that is called as a VO is that VO's.
func TestImagesRegistry(t *testing.T) {
	f := newFarm(t, emulated.Current)
	reg := registry.New(f.at, registry.Options{User: "robot", Password: "hunter2"})
	srv, store := httptest.NewServer(reg), httptest.NewServer(reg.Storage())
	t.Cleanup(srv.Close)
	t.Cleanup(store.Close)
	reg.Store(store.URL)
	reg.Project("egi_vm_images", true)
	reg.Project("vo.access.egi.eu", false)
	push := func(i registry.Image) {
		t.Helper()
		if _, err := reg.Push(i); err != nil {
			t.Fatal(err)
		}
	}
	push(egi("egi_vm_images/ubuntu", f.paths["/u1"], "2026-11-01", "24.04", "24.04-2026-11-01-abc"))
	push(egi("egi_vm_images/alma", f.paths["/u3"], "9", "9"))
	push(egi("vo.access.egi.eu/tool", f.paths["/u1-new"], "1", "1"))
	f.more = fmt.Sprintf("  sources: [{name: egi, vos: [ops], oci: %s/egi_vm_images}, {name: own, oci: %q, project_is_vo: true, credential: harbor}]\n", srv.URL, srv.URL)
	f.mode = [2]string{"credentials: {", "credentials: {harbor: {basic: {user: robot, password: hunter2}}, "}
	a := f.open(t)
	report, done := f.apply(t, a, app.ImageOptions{})
	same(t, "done", []string{"add egi_vm_images/alma:9", "add egi_vm_images/ubuntu:24.04", "add vo.access.egi.eu/tool:1"}, done)
	if report.Outcome != run.Done {
		t.Errorf("%+v", report.Problems)
	}
	here := []string{"0 egi_vm_images/alma:9 active active", "0 egi_vm_images/ubuntu:24.04 active active", "1 vo.access.egi.eu/tool:1 active active"}
	same(t, "there", here, f.inGlance())
	for _, i := range f.world.AllImages() {
		if body, ok := f.cloud.Content(i.ID); ok {
			if sum := sha256.Sum256(body); "sha256:"+hex.EncodeToString(sum[:]) != i.Properties["fedsite_digest"] || i.Properties["os_version"] != "24.04" || !strings.Contains(i.Properties["APPLIANCE_ATTRIBUTES"], "eu.egi.cloud.image_ref") {
				t.Errorf("%s: %v", i.Name, i.Properties)
			}
		}
	}
	n := len(f.cloud.Requests())
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "done again", nil, done)
	same(t, "written again", nil, f.writes(n))
	n, f.db = len(f.cloud.Requests()), filepath.Join(f.dir, "lost")
	if err := os.Mkdir(f.db, 0o755); err != nil {
		t.Fatal(err)
	}
	a = f.open(t)
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "done without the database", nil, done)
	same(t, "written without the database", nil, f.writes(n))

	push(egi("egi_vm_images/ubuntu", qcow2(1<<20, 5), "2026-12-01", "24.04"))
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "a tag moved", []string{"replace egi_vm_images/ubuntu:24.04", "retire egi_vm_images/ubuntu:24.04"}, done)

	reg.Break("egi_vm_images/alma", 500)
	report, done = f.apply(t, a, app.ImageOptions{})
	same(t, "a repository cannot be listed", nil, done)
	if report.Outcome != run.Partial {
		t.Errorf("%s", report.Outcome)
	}
	reg.Break("egi_vm_images/alma", 0)
	reg.Untag("egi_vm_images/alma", "9")
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "missing once", nil, done)
	same(t, "there", here, f.inGlance())
	f.ahead.Store(int64(61 * time.Minute))
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "missing an hour later", []string{"retire egi_vm_images/alma:9"}, done)
	same(t, "there", here[1:], f.inGlance())
}

// TestImagesOwn: a site's own list, a file; one entry that is wrong spoils itself alone.
func TestImagesOwn(t *testing.T) {
	f := newFarm(t, emulated.Current)
	sum := sha256.Sum256(f.paths["/u1"])
	file := filepath.Join(f.dir, "own.yaml")
	text := fmt.Sprintf("images:\n  - {name: Mine, url: %q, sha256: \"%x\", os: debian, version: \"1\", properties: {hw_disk_bus: scsi}}\n  - {name: Wrong, url: %q}\n", f.URL+"/u1", sum, f.URL+"/u2")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f.more = "  sources: [{own: " + file + ", vos: \"*\"}]\n"
	report, done := f.apply(t, f.open(t), app.ImageOptions{})
	if !slices.Contains(done, "add Mine") || report.Outcome != run.Partial || !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Object, "Wrong") }) {
		t.Errorf("%v %s %+v", done, report.Outcome, report.Problems)
	}
	for _, i := range f.world.AllImages() {
		if i.Name == "Mine" && (i.Properties["hw_disk_bus"] != "scsi" || i.Properties["os_distro"] != "debian") {
			t.Errorf("%v", i.Properties)
		}
	}
}

// TestImagesAdopted: an image of cloudkeeper-os is taken over where it is named, not uploaded, and given back as it was.
func TestImagesAdopted(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  adopt: [cloudkeeper-os]\n  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	u1 := disk{id1, "U1", "1", "QCOW2", "/u1", ""}
	f.list(t, "/a", listID, "ops", "1", "endorser", u1)
	was := world.Image{ID: "5a1f0c7e-0000-4000-8000-000000000001", Name: "theirs", Owner: f.world.Projects[0].ID, Visibility: "private", Size: 3 << 20, Created: time.Now().AddDate(0, -1, 0).UTC().Truncate(time.Second), Updated: time.Now().Add(-time.Hour).UTC().Truncate(time.Second),
		Properties: map[string]string{"APPLIANCE_ID": id1, "APPLIANCE_IMAGE_LIST_ID": listID, "APPLIANCE_STATUS": "ACTIVE", "sl:checksum:sha512": sha512Of(f.paths["/u1"]), "hw_disk_bus": "scsi"}}
	f.world.AddImage(was)
	a := f.open(t)
	report, done := f.apply(t, a, app.ImageOptions{})
	same(t, "changed an hour ago", nil, done)
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool {
		return strings.Contains(p.Reason, "fight") && strings.Contains(p.Hint, "--yes")
	}) {
		t.Errorf("%+v", report.Problems)
	}
	_, done = f.apply(t, a, app.ImageOptions{Yes: true})
	same(t, "taken over", []string{"adopt U1"}, done)
	if f.count("/u1") != 0 {
		t.Error("it was downloaded")
	}
	n := len(f.cloud.Requests())
	_, done = f.apply(t, a, app.ImageOptions{})
	same(t, "done again", nil, done)
	same(t, "written again", nil, f.writes(n))
	sites := sitesOf(t, a)
	if _, applied := a.ReleaseImages(t.Context(), sites[0], false, func(string, images.Marks) bool { return true }); applied.Err != nil || applied.Report.Outcome != run.Done {
		t.Fatalf("%+v", applied)
	}
	is, _ := f.world.Image(was.ID)
	is.Updated = was.Updated
	if fmt.Sprintf("%+v", is) != fmt.Sprintf("%+v", was) {
		t.Errorf("given back it is\n%+v, and was\n%+v", is, was)
	}
}
