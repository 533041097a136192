package conversion

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// TestNew says which package is missing.
func TestNew(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none"), filepath.Join(dir, "text"), dir} {
		if _, err := New(Settings{QEMU: path}); !errors.Is(err, ErrNoQEMU) || !strings.Contains(err.Error(), "apt install qemu-utils") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := New(Settings{QEMU: "qemu-img"}); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Errorf("a path that is not absolute: %v", err)
	}
}

// TestWords makes one bounded, printable line of what qemu-img says.
func TestWords(t *testing.T) {
	c := script(t, `/usr/bin/seq 1 100000 >&2
printf 'qemu-img: \033[31mbad\007 \377 sector\n' >&2
exit 1
`)
	dir, info := qcow2(t)
	_, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil)
	if err == nil || len(err.Error()) > 800 || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\033\007\n") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("%q", err)
	}
	said := &tail{}
	for range 3000 {
		_, _ = said.Write([]byte("line\x1b[2J\n"))
	}
	if text := said.String(); len(text) > tailBytes || strings.ContainsAny(text, "\x1b\n") || !strings.HasSuffix(text, "line [2J") {
		t.Errorf("%d bytes: %q", len(text), text[max(0, len(text)-40):])
	}
}

// TestWrongResult refuses what is not the disk that was asked for.
func TestWrongResult(t *testing.T) {
	for text, words := range map[string]string{
		"exec /bin/cp src dst":                            "qemu-img made qcow2",
		"exec /bin/dd if=/dev/zero of=dst bs=512 count=1": "of 512 bytes",
		"exit 0": "no such file",
	} {
		c := script(t, text+"\n")
		dir, info := qcow2(t)
		_, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q", text, err, words)
		}
		if names := left(t, dir); len(names) > 0 {
			t.Errorf("%s: %q is left", text, names)
		}
	}
	c := script(t, `[ "$1" = check ] && { echo "leaked" >&2; exit 3; }
exec /bin/cp src dst
`)
	dir, info := qcow2(t)
	if _, _, err := c.Convert(t.Context(), dir, info, diskimage.QCOW2, nil); err == nil || !strings.Contains(err.Error(), "checking what was made") || len(left(t, dir)) > 0 {
		t.Errorf("check: %v", err)
	}
}

// TestDirectory wants one that is this user's alone, with a plain file; it clears what a killed run left.
func TestDirectory(t *testing.T) {
	c := script(t, "exec /bin/cp src dst\n")
	dir, info := qcow2(t)
	other := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(other, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Made, disk} {
		if err := os.Symlink(other, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, made, err := c.Convert(t.Context(), dir, info, diskimage.QCOW2, nil); err != nil || made.Format != diskimage.QCOW2 || len(left(t, dir)) != 1 {
		t.Errorf("%+v, %v, %q", made, err, left(t, dir))
	}
	if b, err := os.ReadFile(other); err != nil || string(b) != "old" {
		t.Errorf("a link was followed: %d bytes, %v", len(b), err)
	}
	if _, _, err := c.Convert(t.Context(), "relative", info, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), "not absolute") {
		t.Error(err)
	}
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Error(err)
	}
	if err := errors.Join(os.Chmod(dir, 0o700), os.Rename(filepath.Join(dir, Source), filepath.Join(dir, "real")), os.Symlink("real", filepath.Join(dir, Source))); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Convert(t.Context(), dir, info, diskimage.Raw, nil); err == nil || !strings.Contains(err.Error(), "no plain file") {
		t.Errorf("a link: %v", err)
	}
}

// TestRoom says what is needed and what is free.
func TestRoom(t *testing.T) {
	var c Converter
	qcow := diskimage.Info{Format: diskimage.QCOW2, VirtualSize: 100 << 30, FileSize: 1 << 30}
	ova := diskimage.Info{Format: diskimage.OVA, VirtualSize: 100 << 30, Disk: &diskimage.Member{Size: 3 << 30}}
	for _, x := range []struct {
		from diskimage.Info
		to   diskimage.Format
		want int64
	}{
		{qcow, diskimage.Raw, 100 << 30},
		{qcow, diskimage.QCOW2, 105<<30 + overhead},
		{ova, diskimage.Raw, 103 << 30},
		{diskimage.Info{Format: diskimage.Gzip, FileSize: 5}, diskimage.Raw, 5},
	} {
		if got := c.Need(x.from, x.to); got != x.want {
			t.Errorf("%s to %s: %d, want %d", x.from.Format, x.to, got, x.want)
		}
	}
	j := &job{dir: t.TempDir()}
	if err := j.room(1 << 60); !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), j.dir+" needs 1099511627776 MB, and ") {
		t.Error(err)
	}
	if err := j.room(1); err != nil {
		t.Error(err)
	}
	b := vector(t, "disk-v3.qcow2")
	binary.BigEndian.PutUint64(b[24:], 15<<40)
	binary.BigEndian.PutUint32(b[36:], 15<<11) // entries of its first table
	dir, info, err := staged(t, b, diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := script(t, ": >ran\n").Convert(t.Context(), dir, info, diskimage.Raw, nil); !errors.Is(err, ErrNoRoom) || len(left(t, dir)) > 0 {
		t.Errorf("a disk of 15 TiB: %v, %q", err, left(t, dir))
	}
}

// TestBomb stops unpacking at the largest disk that is allowed, and when it is told to.
func TestBomb(t *testing.T) {
	c := script(t, ": >ran\n")
	c.maxVirtual = 1
	dir, _ := qcow2(t)
	root, err := private(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	j := &job{Converter: c, dir: dir, root: root}
	if err := j.copy(t.Context(), zeros()); err == nil || !strings.Contains(err.Error(), "it is more than") {
		t.Error(err)
	}
	if err := j.clear(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := j.copy(ctx, zeros()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// zeros are a little more than may be unpacked here: were they taken, the disk would not be full.
func zeros() io.Reader { return io.LimitReader(endless{}, 2*overhead) }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
