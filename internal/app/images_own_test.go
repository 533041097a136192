package app_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/internal/run"
)

// TestImagesOwnSlip: a slip in an entry of a site's own list does not take away the image that is there, whether the entry
// still tells which one it is or not; an entry that was taken out does.
func TestImagesOwnSlip(t *testing.T) {
	entry := func(f *farm, id, path string) string {
		return fmt.Sprintf("  - {id: %s, name: Disk %s, url: %q, sha256: \"%x\"}\n", id, id, f.URL+path, sha256.Sum256(f.paths[path]))
	}
	for name, c := range map[string]struct {
		slip    func(string) string // of the first entry
		problem string
		done    []string
	}{
		"a key too many":   {func(s string) string { return strings.Replace(s, "url:", "formt: raw, url:", 1) }, "formt: is no key here", nil},
		"no checksum":      {func(s string) string { return s[:strings.Index(s, ", sha256")] + "}\n" }, "must have a sha512 or a sha256", nil},
		"another's id":     {func(s string) string { return s + strings.Replace(s, "Disk a", "Other", 1) }, "another entry has the same id", nil},
		"no id that is":    {func(s string) string { return strings.Replace(s, "id: a", "id: [a]", 1) }, "id: must be a text", nil},
		"no entry at all":  {func(string) string { return "  - a\n" }, "must be a mapping", nil},
		"taken out":        {func(string) string { return "" }, "", []string{"retire Disk a"}},
		"its place, after": {func(s string) string { return s + "  # the same\n" }, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			first, rest := entry(f, "a", "/u1"), entry(f, "b", "/u3")
			f.put("/own", []byte("images:\n"+first+rest))
			f.more = "  sources: [{vos: [ops], own: \"" + f.URL + "/own\"}]\n"
			a := f.open(t)
			report, done := f.apply(t, a, app.ImageOptions{})
			same(t, "done", []string{"add Disk a", "add Disk b"}, done)
			if report.Outcome != run.Done {
				t.Errorf("%+v", report.Problems)
			}
			f.put("/own", []byte("images:\n"+c.slip(first)+rest))
			report, done = f.apply(t, a, app.ImageOptions{})
			same(t, "done after the slip", c.done, done)
			if told := slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Reason, c.problem) }); told != (c.problem != "") {
				t.Errorf("no problem of %q: %+v", c.problem, report.Problems)
			}
		})
	}
}

// TestImagesCompressed: a packed disk is refused, unless the site takes such ones; then Glance gets what is in it.
func TestImagesCompressed(t *testing.T) {
	if _, err := exec.LookPath("/usr/bin/qemu-img"); err != nil {
		prerequisite.Missing(t, "qemu-img", "apt install qemu-utils")
	}
	f := newFarm(t, emulated.Current)
	plain := filepath.Join(f.dir, "plain.qcow2")
	if out, err := exec.CommandContext(t.Context(), "/usr/bin/qemu-img", "create", "-f", "qcow2", plain, "8M").CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	body, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err = z.Write(body); err == nil {
		err = z.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.put("/gz", packed.Bytes())
	f.put("/own", fmt.Appendf(nil, "images:\n  - {name: Packed, url: %q, sha256: \"%x\"}\n", f.URL+"/gz", sha256.Sum256(packed.Bytes())))
	usual := "  sources: [{vos: [ops], own: \"" + f.URL + "/own\"}]\n"
	for _, more := range []string{usual, "  compressed: true\n" + usual} {
		f.more = more
		a := f.open(t)
		report, _ := f.apply(t, a, app.ImageOptions{})
		if takes := more != usual; takes != (report.Outcome == run.Done) || takes != (len(f.inGlance()) == 1) {
			t.Errorf("%q: %s %+v, there %v", more, report.Outcome, report.Problems, f.inGlance())
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, i := range f.world.AllImages() {
		if i.Name == "Packed" && (i.DiskFormat != "qcow2" || i.Properties["fedsite_virtual_size"] != "8388608") {
			t.Errorf("%+v", i)
		}
	}
}
