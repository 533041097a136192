package disk

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// made are the images of a seed.
func made(t *testing.T, seed uint64) map[string][]byte {
	t.Helper()
	ova, err := OVA(seed)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"qcow2": QCOW2(seed), "raw": Raw(seed, 1<<20), "vmdk": VMDK(seed), "ova": ova}
}

// TestImages: each is what it says, passes an inspection without a warning, is the same for the same seed and another for
// another; QEMU finds nothing wrong with it, and reads what belongs there.
func TestImages(t *testing.T) {
	qemu, _ := exec.LookPath("qemu-img")
	again, other := made(t, 7), made(t, 8)
	for name, image := range made(t, 7) {
		t.Run(name, func(t *testing.T) {
			info, err := diskimage.Inspect(bytes.NewReader(image), int64(len(image)), diskimage.Limits{Declared: name})
			if err != nil || info.Format.String() != name || info.VirtualSize != 1<<20 && name != "ova" || len(info.Warnings) > 0 {
				t.Errorf("%+v, %v", info, err)
			}
			if len(image) > 2<<20 || !bytes.Equal(image, again[name]) || bytes.Equal(image, other[name]) {
				t.Errorf("%d bytes, or not as its seed says", len(image))
			}
			if name == "raw" && (image[510] != 0x55 || image[511] != 0xaa) {
				t.Error("no boot sector")
			}
			if qemu == "" {
				prerequisite.Missing(t, "qemu-img", "apt install qemu-utils")
			}
			if name == "ova" {
				image = VMDK(7)
				info.Format = diskimage.VMDK
			}
			dir := t.TempDir()
			src, dst := filepath.Join(dir, "src"), filepath.Join(dir, "dst")
			if err := os.WriteFile(src, image, 0o600); err != nil {
				t.Fatal(err)
			}
			commands := [][]string{{"convert", "-f", info.Format.QEMU(), "-O", "raw", src, dst}}
			if name == "qcow2" || name == "vmdk" {
				commands = append(commands, []string{"check", "-f", name, src})
			}
			for _, args := range commands {
				if out, err := exec.CommandContext(t.Context(), qemu, args...).CombinedOutput(); err != nil {
					t.Errorf("qemu-img %v: %v\n%s", args, err, out)
				}
			}
			got, err := os.ReadFile(dst)
			want := make([]byte, 1<<20)
			copy(want, Raw(7, 64<<10))
			if name == "raw" {
				want = image
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("QEMU reads something else, of %d bytes: %v", len(got), err)
			}
		})
	}
}

// TestLarge: an image that is made while it is read is the same in every piece, as large as it should be, and passes for a
// disk of its size.
func TestLarge(t *testing.T) {
	const size = 3<<20 + 13
	c := Large(5, size)
	whole, err := io.ReadAll(io.NewSectionReader(c, 0, c.Size()))
	if err != nil || len(whole) != size {
		t.Fatal(len(whole), err)
	}
	if err := iotest.TestReader(io.NewSectionReader(c, 0, 20_000), whole[:20_000]); err != nil {
		t.Error(err)
	}
	for at := int64(first*cluster - 20); at < first*cluster+20; at++ {
		for n := range 20 {
			piece := make([]byte, n)
			if _, err := c.ReadAt(piece, at); err != nil || !bytes.Equal(piece, whole[at:at+int64(n)]) {
				t.Fatalf("%d bytes at %d: %x, %v, want %x", n, at, piece, err, whole[at:at+int64(n)])
			}
		}
	}
	if n, err := c.ReadAt(make([]byte, 20), size-3); n != 3 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := c.ReadAt(make([]byte, 20), size+3); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
	if _, err := c.ReadAt(make([]byte, 20), -1); err == nil {
		t.Error("read before the beginning")
	}
	other, err := io.ReadAll(io.NewSectionReader(Large(6, size), 0, size))
	if err != nil || bytes.Equal(other[first*cluster:], whole[first*cluster:]) {
		t.Errorf("another seed gives the same: %v", err)
	}
	huge := Large(5, 5<<30)
	if info, err := diskimage.Inspect(huge, huge.Size(), diskimage.Limits{Declared: "qcow2"}); err != nil || info.VirtualSize != 5<<30 || len(info.Warnings) > 0 {
		t.Errorf("%+v, %v", info, err)
	}
}

func BenchmarkLarge(b *testing.B) {
	c := Large(1, 4<<30)
	piece := make([]byte, 1<<20)
	b.SetBytes(int64(len(piece)))
	for b.Loop() {
		if _, err := c.ReadAt(piece, 1<<30); err != nil {
			b.Fatal(err)
		}
	}
}
