package diskimage

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// long makes a stream of more than two heads out of an image.
func long(b []byte, end ...byte) []byte {
	return append(append(b, make([]byte, 3*HeadBytes-len(b)%sector)...), end...)
}

// TestStreams tells what of a stream has to be seen: by its head, its length, and what the source says.
func TestStreams(t *testing.T) {
	mbr := long(at(4096, 510, "\x55\xaa"))
	vmdk := withFooter(both())(both(le64(56, vmdkDirectoryAtEnd))(image(t, "disk-stream.vmdk")))
	for _, c := range []struct {
		name  string
		b     []byte
		l     Limits
		want  Format
		file  bool
		tail  int64
		known int64 // virtual size by the head, when the length is known
	}{
		{"qcow2", long(image(t, "disk-v3.qcow2")), Limits{}, QCOW2, false, 0, 1 << 20},
		{"sparse VMDK", long(image(t, "disk-sparse.vmdk")), Limits{}, VMDK, false, 0, 1 << 20},
		{"VMDK with a footer", append(vmdk[:len(vmdk)-1536:len(vmdk)-1536], append(make([]byte, 2*HeadBytes), vmdk[len(vmdk)-1536:]...)...), Limits{}, VMDK, false, 1536, 1 << 20},
		{"VDI", image(t, "disk.vdi"), Limits{}, VDI, false, 0, 1 << 20},
		{"dynamic VHD", image(t, "disk-dynamic.vhd"), Limits{}, VHD, false, 512, 1079296},
		{"raw", mbr, Limits{}, Raw, false, 512, int64(len(mbr))},
		{"raw, said", mbr, Limits{Declared: "raw"}, Raw, false, 512, int64(len(mbr))},
		{"fixed VHD, said", fixed(8<<20, nil), Limits{Declared: "VHD"}, VHD, true, 512, 0},
		{"VHDX", image(t, "disk.vhdx"), Limits{}, VHDX, true, 0, 0},
		{"OVA", image(t, "disk.ova"), Limits{}, OVA, true, 0, 1 << 20},
		{"gzip", long([]byte("\x1f\x8b\x08")), Limits{Compressed: true}, Gzip, true, 0, 0},
	} {
		for _, size := range []int64{int64(len(c.b)), -1} {
			w, err := Head(c.b[:min(len(c.b), HeadBytes)], size, c.l)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			if w.Info.Format != c.want || w.NeedsFile != c.file || !c.file && w.TailBytes > max(c.tail, 0) || size > 0 && (w.TailBytes != c.tail || w.Info.VirtualSize != c.known) {
				t.Errorf("%s of %d: %+v", c.name, size, w)
			}
			w.Size = int64(len(c.b))
			err = w.Tail(nil)
			if c.file && (err == nil || !strings.Contains(err.Error(), "cannot be judged as a stream")) {
				t.Errorf("%s: the tail of what needs a file: %v", c.name, err)
			}
			if c.file {
				continue
			}
			if refused, ok := errors.AsType[*Error](err); c.tail > 0 && (!ok || refused.Reason != Truncated) {
				t.Errorf("%s of %d: no tail: %v", c.name, size, err)
			}
			for _, n := range []int{int(c.tail), min(HeadBytes, len(c.b)), len(c.b)} {
				if err := w.Tail(c.b[len(c.b)-n:]); err != nil {
					t.Errorf("%s of %d, a tail of %d: %v", c.name, size, n, err)
				}
			}
		}
	}
}

// TestChanged refuses a stream whose end is another thing than its beginning said.
func TestChanged(t *testing.T) {
	vhd := fixed(8<<20, nil)
	vhd[510], vhd[511] = 0x55, 0xaa
	dmg := long(at(4096, 510, "\x55\xaa"), at(512, 0, "koly")...)
	for name, c := range map[string]struct {
		b    []byte
		want Reason
	}{"fixed VHD": {vhd, Changed}, "dmg": {dmg, Forbidden}} {
		w, err := Head(c.b[:HeadBytes], int64(len(c.b)), Limits{})
		if err != nil || w.Info.Format != Raw || w.NeedsFile {
			t.Fatalf("%s: %+v, %v", name, w, err)
		}
		err = w.Tail(c.b[len(c.b)-512:])
		if refused, ok := errors.AsType[*Error](err); !ok || refused.Reason != c.want {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if w.Info.Format != Raw {
			t.Errorf("%s: what was refused became %s", name, w.Info.Format)
		}
	}
}

// TestHeads refuses less than was said, and takes no more.
func TestHeads(t *testing.T) {
	b := image(t, "disk-v3.qcow2")
	_, err := Head(b[:1000], int64(len(b)), Limits{})
	if refused, ok := errors.AsType[*Error](err); !ok || refused.Reason != Truncated {
		t.Errorf("a short head: %v", err)
	}
	w, err := Head(append(bytes.Clone(b), make([]byte, 512)...), int64(len(b)), Limits{})
	if err != nil || w.Info.FileSize != int64(len(b)) || w.Tail(nil) != nil {
		t.Errorf("more than all: %+v, %v", w, err)
	}
	big := long(b)
	if w, err = Head(big[:HeadBytes], -1, Limits{}); err != nil || w.Info.FileSize != -1 {
		t.Fatalf("%+v, %v", w, err)
	}
	if err := w.Tail(nil); err == nil || !strings.Contains(err.Error(), "size") {
		t.Errorf("the size is not known at the end: %v", err)
	}
	w.Size = 100 << 10 // fewer than its tables need
	if refused, ok := errors.AsType[*Error](w.Tail(nil)); !ok || refused.Reason != Truncated {
		t.Errorf("a stream that ended early: %v", refused)
	}
}
