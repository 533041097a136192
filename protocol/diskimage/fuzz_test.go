package diskimage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// FuzzInspect shows that nothing is read outside the image, that little is, and that a stream is judged as the whole is.
func FuzzInspect(f *testing.F) {
	for _, v := range vectors(f) {
		if b := image(f, v.name); len(b) <= 512<<10 {
			f.Add(b, "")
		} else {
			f.Add(b[:64<<10], "raw")
		}
	}
	f.Add(fixed(4096, nil), "vhd")
	f.Add(at(65536, isoMagicAt, "CD001"), "raw")
	f.Fuzz(func(t *testing.T, b []byte, declared string) {
		for _, l := range []Limits{{Declared: declared}, {ISO: true, Compressed: true, MaxVirtual: 1 << 30}} {
			r := &strict{t: t, b: b}
			info, err := Inspect(r, int64(len(b)), l)
			if r.n > mostRead {
				t.Fatalf("%d bytes were read of %d", r.n, len(b))
			}
			if _, refused := errors.AsType[*Error](err); err != nil && !refused {
				t.Fatalf("%v", err)
			}
			if err == nil && (info.Format == 0 || info.VirtualSize > l.maxVirtual() || info.VirtualSize <= 0 && !compressed(info)) {
				t.Fatalf("accepted: %+v", info)
			}
			watched(t, b, l, info, err)
		}
	})
}

func compressed(i Info) bool {
	return i.Format.Compressed() || i.Disk != nil && i.Disk.Info.Format.Compressed()
}

// watched judges the image as a stream, whose head is all that fits; a stream is never accepted where the whole is not.
func watched(t *testing.T, b []byte, l Limits, whole Info, wholeErr error) {
	w, err := Head(b[:min(len(b), HeadBytes)], int64(len(b)), l)
	if err == nil && !w.NeedsFile {
		err = w.Tail(b[len(b)-min(len(b), HeadBytes):])
	}
	if (err == nil) != (wholeErr == nil) && (err != nil || !w.NeedsFile) {
		t.Fatalf("as a stream: %v; as a whole: %v", err, wholeErr)
	}
	if err == nil && wholeErr == nil && !w.NeedsFile && (w.Info.Format != whole.Format || !slices.Equal(w.Info.Warnings, whole.Warnings)) {
		t.Fatalf("as a stream: %+v; as a whole: %+v", w.Info, whole)
	}
}

// strict fails on reads outside, and counts.
type strict struct {
	t *testing.T
	b []byte
	n int64
}

func (s *strict) ReadAt(p []byte, off int64) (int, error) {
	s.n += int64(len(p))
	if off < 0 || off > int64(len(s.b)) {
		s.t.Fatalf("a read of %d bytes at %d of %d", len(p), off, len(s.b))
	}
	n, err := bytes.NewReader(s.b).ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
	return n, err
}
