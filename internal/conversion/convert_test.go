package conversion

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// convertible are the images of diskimage's tests that are accepted, and how qemu-img calls them.
var convertible = []struct{ name, qemu, declared string }{
	{"disk-v3.qcow2", "qcow2", ""}, {"disk-v2.qcow2", "qcow2", ""}, {"disk-v3-zlib.qcow2", "qcow2", ""}, {"disk-v3-zstd.qcow2", "qcow2", ""},
	{"disk-sparse.vmdk", "vmdk", ""}, {"disk-stream.vmdk", "vmdk", ""}, {"disk.vdi", "vdi", ""}, {"disk-dynamic.vhd", "vpc", ""}, {"disk.vhdx", "vhdx", ""},
	{"disk-mbr.raw", "raw", ""}, {"disk-gpt.raw", "raw", ""}, {"disk-nosig.raw", "raw", "RAW"}, {"disk.ova", "vmdk", ""}, {"disk-diskfirst.ova", "vmdk", ""},
}

// plain gives the disk of an image, by qemu-img without a fence.
func plain(t *testing.T, b []byte, format string) []byte {
	t.Helper()
	src, dst := filepath.Join(t.TempDir(), "in"), filepath.Join(t.TempDir(), "out")
	if err := os.WriteFile(src, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "qemu-img", "convert", "-f", format, "-O", "raw", src, dst).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	disk, err := os.ReadFile(dst)
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// within gives the disk of an OVA.
func within(t *testing.T, b []byte) []byte {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(h.Name, ".vmdk") {
			disk, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return disk
		}
	}
}

// TestConvert converts every image that is accepted, and holds the disk against the one that qemu-img makes by itself.
func TestConvert(t *testing.T) {
	for _, v := range convertible {
		t.Run(v.name, func(t *testing.T) {
			c := qemu(t, Settings{})
			b := vector(t, v.name)
			dir, info, err := staged(t, b, diskimage.Limits{Declared: v.declared})
			if err != nil {
				t.Fatal(err)
			}
			if info.Format == diskimage.OVA {
				b = within(t, b)
			}
			want := plain(t, b, v.qemu)
			for _, to := range []diskimage.Format{diskimage.Raw, diskimage.QCOW2} {
				checkMade(t, c, dir, info, to, want)
			}
		})
	}
}

// checkMade converts, and compares the disk.
func checkMade(t *testing.T, c *Converter, dir string, info diskimage.Info, to diskimage.Format, want []byte) {
	t.Helper()
	var percent float64
	path, made, err := c.Convert(t.Context(), dir, info, to, func(p float64) { percent = max(percent, p) })
	if err != nil {
		t.Fatalf("to %s: %v", to, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if made.Format != to || made.VirtualSize != int64(len(want)) || made.FileSize != int64(len(b)) || percent != 100 {
		t.Errorf("to %s: %+v of %d bytes, %g %%", to, made, len(b), percent)
	}
	if !bytes.Equal(plain(t, b, to.QEMU()), want) {
		t.Errorf("to %s: the disk is another one", to)
	}
	if names := left(t, dir); len(names) != 1 || names[0] != Made {
		t.Errorf("to %s: %q is left", to, names)
	}
}

// TestTargets makes every format that can be made, plain and compressed.
func TestTargets(t *testing.T) {
	dir, info := qcow2(t)
	for _, compress := range []bool{false, true} {
		c := qemu(t, Settings{Compress: compress})
		want := plain(t, vector(t, "disk-v3.qcow2"), "qcow2")
		sizes := map[diskimage.Format]int64{}
		for f := diskimage.Raw; f <= diskimage.Zip; f++ {
			if f.Writable() {
				checkMade(t, c, dir, info, f, want)
				stat, err := os.Stat(filepath.Join(dir, Made))
				if err != nil {
					t.Fatal(err)
				}
				sizes[f] = stat.Size()
			} else if _, _, err := c.Convert(t.Context(), dir, info, f, nil); err == nil || !strings.Contains(err.Error(), "no image can be converted to") {
				t.Errorf("%s was made: %v", f, err)
			}
		}
		if len(sizes) != 6 || (sizes[diskimage.QCOW2] < 448<<10) != compress || (sizes[diskimage.VMDK] < 160<<10) != compress {
			t.Errorf("compressed: %v: %v", compress, sizes)
		}
	}
}

// TestSizes keeps a disk's size to the sector, also where VirtualPC's geometry would not have it.
func TestSizes(t *testing.T) {
	c := qemu(t, Settings{})
	b := make([]byte, 1_000_003*512)
	b[510], b[511], b[len(b)-1] = 0x55, 0xaa, 7
	dir, info, err := staged(t, b, diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []diskimage.Format{diskimage.VHD, diskimage.QCOW2} {
		if _, made, err := c.Convert(t.Context(), dir, info, to, nil); err != nil || made.VirtualSize != int64(len(b)) {
			t.Errorf("to %s: %+v, %v", to, made, err)
		}
	}
}

// TestUnpack converts what is packed: a disk with each packer, and an OVA's.
func TestUnpack(t *testing.T) {
	c := qemu(t, Settings{})
	want := plain(t, vector(t, "disk-stream.vmdk"), "vmdk")
	zipped := zipped(t, vector(t, "disk-stream.vmdk"))
	bzipped, err := os.ReadFile(filepath.Join("testdata", "disk-stream.vmdk.bz2"))
	if err != nil {
		t.Fatal(err)
	}
	disk := vector(t, "disk-stream.vmdk")
	xzed, zstded := packed(t, diskimage.Xz, disk), packed(t, diskimage.Zstd, disk)
	for _, b := range [][]byte{zipped, archive(t, zipped), bzipped, xzed, archive(t, xzed), zstded, archive(t, zstded)} {
		dir, info, err := staged(t, b, diskimage.Limits{Compressed: true})
		if err != nil {
			t.Fatal(err)
		}
		checkMade(t, c, dir, info, diskimage.QCOW2, want)
	}
}

func zipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(b); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

// TestPacked refuses what turns out to be within: nothing of it reaches qemu-img.
func TestPacked(t *testing.T) {
	c := script(t, ": >ran\n")
	for name, x := range map[string]struct {
		b    []byte
		want string
	}{
		"a hostile disk":      {zipped(t, vector(t, "bad-backing.qcow2")), "backing file"},
		"a descriptor":        {zipped(t, vector(t, "bad-flat.vmdk")), "descriptor of other files"},
		"hostile, in an OVA":  {archive(t, zipped(t, vector(t, "bad-datafile.qcow2"))), "data in another file"},
		"raw, in an OVA":      {archive(t, zipped(t, vector(t, "disk-mbr.raw"))), "an OVA's disk is VMDK or qcow2"},
		"an OVA":              {zipped(t, vector(t, "disk.ova")), "ova within gzip is not unpacked"},
		"packed twice":        {zipped(t, zipped(t, vector(t, "disk-v3.qcow2"))), "compressed"},
		"cut":                 {zipped(t, vector(t, "disk-v3.qcow2"))[:20000], "gzip: truncated"},
		"a hostile disk, xz":  {packed(t, diskimage.Xz, vector(t, "bad-backing.qcow2")), "backing file"},
		"xz in xz":            {packed(t, diskimage.Xz, packed(t, diskimage.Xz, vector(t, "disk-v3.qcow2"))), "xz: compressed"},
		"gzip in zstd":        {packed(t, diskimage.Zstd, zipped(t, vector(t, "disk-v3.qcow2"))), "gzip: compressed"},
		"zstd in gzip":        {zipped(t, packed(t, diskimage.Zstd, vector(t, "disk-v3.qcow2"))), "zstd: compressed"},
		"an OVA in zstd":      {packed(t, diskimage.Zstd, vector(t, "disk.ova")), "ova within zstd is not unpacked"},
		"no xz but in name":   {append([]byte("\xfd7zXZ\x00"), make([]byte, 600)...), "xz: contradicts itself: the header of a stream is damaged"},
		"no zstd but in name": {append([]byte("\x28\xb5\x2f\xfd"), make([]byte, 600)...), "unpacking: "},
		"no gzip but in name": {append([]byte("\x1f\x8b\x08"), make([]byte, 600)...), "unpacking"},
	} {
		dir, info, err := staged(t, x.b, diskimage.Limits{Compressed: true})
		if err != nil {
			t.Fatal(name, err)
		}
		if _, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), x.want) || len(left(t, dir)) > 0 {
			t.Errorf("%s: %v, %q, want %q", name, err, left(t, dir), x.want)
		}
	}
}

// archive makes an OVA of a disk that is packed with gzip.
func archive(t *testing.T, disk []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	ovf := `<Envelope xmlns:ovf="x"><References><File ovf:id="f" ovf:href="d.vmdk.gz" ovf:compression="gzip"/></References><DiskSection><Disk ovf:fileRef="f"/></DiskSection></Envelope>`
	for _, m := range []struct {
		name string
		data []byte
	}{{"i.ovf", []byte(ovf)}, {"d.vmdk.gz", disk}} {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Mode: 0o600, Size: int64(len(m.data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestHostile shows that what must not be read never reaches qemu-img, whatever the caller says that it is.
func TestHostile(t *testing.T) {
	c := script(t, ": >ran\n")
	good, _ := diskimage.Inspect(bytes.NewReader(vector(t, "disk-v3.qcow2")), 1<<20, diskimage.Limits{})
	for _, name := range []string{"bad-backing.qcow2", "bad-datafile.qcow2", "bad-flat.vmdk", "bad-hugevirtual.qcow2", "bad-notanimage.bin", "bad.qed", "bad-traversal.ova", "bad-twodisks.ova"} {
		b := vector(t, name)
		dir, found, err := staged(t, b, diskimage.Limits{})
		if err == nil {
			t.Fatalf("%s is accepted", name)
		}
		for _, said := range []diskimage.Format{found.Format, diskimage.QCOW2, diskimage.VMDK, diskimage.Raw} {
			forged := good
			forged.Format, forged.FileSize = said, int64(len(b))
			_, _, err := c.Convert(t.Context(), dir, forged, diskimage.Raw, nil)
			if _, refused := errors.AsType[*diskimage.Error](err); !refused {
				t.Errorf("%s as %s: %v", name, said, err)
			}
			if names := left(t, dir); len(names) > 0 {
				t.Errorf("%s as %s: %q is there", name, said, names)
			}
		}
	}
}

// TestChanged refuses another good file than the one that was inspected.
func TestChanged(t *testing.T) {
	c := script(t, ": >ran\n")
	dir, info := qcow2(t)
	for what, change := range map[string]func(i *diskimage.Info){
		"format":       func(i *diskimage.Info) { i.Format = diskimage.VMDK },
		"virtual size": func(i *diskimage.Info) { i.VirtualSize *= 2 },
		"size":         func(i *diskimage.Info) { i.FileSize++ },
	} {
		said := info
		change(&said)
		if _, _, err := c.Convert(t.Context(), dir, said, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), "not the one that was inspected") || len(left(t, dir)) > 0 {
			t.Errorf("another %s: %v, %q", what, err, left(t, dir))
		}
	}
}
