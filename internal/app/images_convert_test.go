package app_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/internal/run"
)

// TestImagesConverted: disks that the site does not take become one that it takes, on the way, and once only.
func TestImagesConverted(t *testing.T) {
	if _, err := exec.LookPath("/usr/bin/qemu-img"); err != nil {
		prerequisite.Missing(t, "qemu-img", "apt install qemu-utils")
	}
	for _, c := range []struct{ file, said, converted string }{
		{"disk.ova", "OVA", "ova to qcow2"},
		{"disk-stream.vmdk", "VMDK", "vmdk to qcow2"},
	} {
		t.Run(c.file, func(t *testing.T) {
			body, err := os.ReadFile("testdata/images/" + c.file)
			if err != nil {
				t.Fatal(err)
			}
			f := newFarm(t, emulated.Current)
			f.put("/packed", body)
			f.list(t, "/list", listID, "ops", "1", "endorser", disk{id1, "U1", "1", c.said, "/packed", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
			f.more = "  sources: [{name: a, list: \"" + f.URL + "/list\"}]\n"
			a := f.open(t)
			if report, _ := f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Done {
				t.Errorf("%s: %+v", report.Outcome, report.Problems)
			}
			same(t, "there", []string{"0 U1 active active", "0 U3 active active"}, f.inGlance())
			i := f.titled(t, "U1")
			made, _ := f.cloud.Content(i.ID)
			sum, listed := sha512.Sum512(made), sha512.Sum512(body)
			if !bytes.HasPrefix(made, []byte("QFI\xfb")) || i.DiskFormat != "qcow2" || i.MinDisk < 1 {
				t.Errorf("it is %q in Glance, begins with %q, and needs a disk of %d GiB", i.DiskFormat, made[:min(4, len(made))], i.MinDisk)
			}
			for name, want := range map[string]string{"fedsite_converted": c.converted, "fedsite_digest": "sha512:" + hex.EncodeToString(listed[:]), "fedsite_hash": hex.EncodeToString(sum[:])} {
				if got := i.Properties[name]; got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if left, err := os.ReadDir(filepath.Join(f.dir, "staging")); err != nil || len(left) > 0 {
				t.Errorf("left on disk: %v, %v", left, err)
			}
			n := len(f.cloud.Requests())
			_, done := f.apply(t, a, app.ImageOptions{})
			same(t, "done again", nil, done)
			same(t, "written again", nil, f.writes(n))
			if n := f.count("/packed"); n > 2 { // once to see what it is, once to disk
				t.Errorf("%d downloads", n)
			}
		})
	}
}

// titled gives the image of ours with a title.
func (f *farm) titled(t *testing.T, title string) world.Image {
	t.Helper()
	all := f.world.AllImages()
	i := slices.IndexFunc(all, func(i world.Image) bool {
		return i.Name == title && i.Properties["fedsite_managed_by"] != ""
	})
	if i < 0 {
		t.Fatalf("no image %s in %v", title, f.inGlance())
	}
	return all[i]
}

// TestImagesUnpublished: an image whose run died after its upload is published by the next run, if Glance has what was
// endorsed; else it goes, and is brought anew.
func TestImagesUnpublished(t *testing.T) {
	for name, c := range map[string]struct {
		sum  string // that Glance has; "" = the right one
		done []string
	}{
		"as it is to be":  {"", []string{"finish U1"}},
		"another content": {strings.Repeat("0", 128), []string{"add U1", "discard U1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			f.list(t, "/list", listID, "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
			f.more = "  sources: [{name: a, list: \"" + f.URL + "/list\"}]\n"
			a := f.open(t)
			f.apply(t, a, app.ImageOptions{})
			f.world.ChangeImage(f.titled(t, "U1").ID, func(i *world.Image) bool {
				i.Properties["fedsite_state"] = "uploading"
				delete(i.Properties, "fedsite_hash")
				if c.sum != "" {
					i.SHA512 = c.sum
				}
				return true
			})
			_, done := f.apply(t, a, app.ImageOptions{})
			same(t, "done", c.done, done)
			same(t, "there", []string{"0 U1 active active"}, f.inGlance())
			f.contents(t)
		})
	}
}

// TestImagesQuota: what a project has no room for is said, with what to do, leaves nothing behind, and spoils nothing else.
func TestImagesQuota(t *testing.T) {
	f := newFarm(t, emulated.Current, emulated.ImageService{Quota: 4 << 20})
	f.world.AddImage(world.Image{ID: "of-a-user", Name: "a snapshot", Owner: f.world.Projects[0].ID, Visibility: "private", Size: 2 << 20})
	f.list(t, "/list", listID, "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/list\"}]\n"
	f.spoilt(t, "image U1 of a", "over a limit")
	f.world.RemoveImage("of-a-user")
	f.well(t)
	if f.count("/u1") > 4 {
		t.Errorf("%d downloads", f.count("/u1"))
	}
}
