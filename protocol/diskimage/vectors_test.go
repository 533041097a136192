package diskimage

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// image gives a disk image of testdata.
func image(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "images", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vector is a line of expected.tsv.
type vector struct {
	name, format, action string
	virtual              int64 // -1 = none
}

func vectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "expected.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []vector
	for lines := bufio.NewScanner(f); lines.Scan(); {
		c := strings.Split(lines.Text(), "\t")
		if strings.HasPrefix(c[0], "#") {
			continue
		}
		v := vector{name: c[0], format: c[1], action: c[2], virtual: -1}
		if n, err := strconv.ParseInt(c[3], 10, 64); err == nil {
			v.virtual = n
		}
		all = append(all, v)
	}
	if len(all) != 24 {
		t.Fatalf("expected.tsv has %d images", len(all))
	}
	return all
}

// reasons are why the hostile images are refused.
var reasons = map[string]Reason{
	"bad-backing.qcow2": BackingFile, "bad-datafile.qcow2": ExternalData, "bad-hugevirtual.qcow2": TooLarge, "bad-notanimage.bin": Unknown, "bad-flat.vmdk": Descriptor,
	"bad.qed": Forbidden, "bad-twodisks.ova": Archive, "bad-noovf.ova": Archive, "bad-traversal.ova": Archive, "bad-manyfiles.ova": Archive, "disk-nosig.raw": Unknown,
}

// TestVectors inspects each image as a whole, and as a stream.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		t.Run(v.name, func(t *testing.T) {
			b := image(t, v.name)
			info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{})
			if v.action != "accept" {
				var refused *Error
				if !errors.As(err, &refused) || refused.Reason != reasons[v.name] || refused.Reason == "" {
					t.Fatalf("%v, want %q", err, reasons[v.name])
				}
				if got := refused.Format.String(); v.action == "reject" && got != v.format {
					t.Errorf("it is %s, want %s", got, v.format)
				}
			} else if err != nil || info.Format.String() != v.format || info.VirtualSize != v.virtual || info.FileSize != int64(len(b)) {
				t.Fatalf("%+v, %v", info, err)
			}
			stream(t, b, Limits{}, info, err)
		})
	}
	b := image(t, "disk-nosig.raw")
	if info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{Declared: "RAW"}); err != nil || info.Format != Raw || info.VirtualSize != 65536 {
		t.Errorf("declared RAW: %+v, %v", info, err)
	}
}

// stream judges an image as a stream, of known and of unknown length, and holds the verdict against the one of the whole.
func stream(t *testing.T, b []byte, l Limits, whole Info, wholeErr error) {
	t.Helper()
	for _, size := range []int64{int64(len(b)), -1} {
		w, err := Head(b[:min(len(b), HeadBytes)], size, l)
		if err == nil && !w.NeedsFile {
			if w.TailBytes > sector*3 {
				t.Errorf("size %d: a tail of %d bytes", size, w.TailBytes)
			}
			w.Size = int64(len(b))
			err = w.Tail(b[int64(len(b))-min(int64(len(b)), w.TailBytes):])
		}
		switch {
		case err != nil && wholeErr == nil:
			t.Errorf("size %d: a stream is refused: %v", size, err)
		case err != nil && err.Error() != wholeErr.Error():
			t.Errorf("size %d: a stream is refused for %v, and the whole for %v", size, err, wholeErr)
		case err == nil && wholeErr != nil && !w.NeedsFile:
			t.Errorf("size %d: a stream is accepted as %+v, and the whole refused: %v", size, w.Info, wholeErr)
		case err == nil && wholeErr == nil && !w.NeedsFile && (w.Info.Format != whole.Format || w.Info.VirtualSize != whole.VirtualSize || w.Info.Variant != whole.Variant):
			t.Errorf("size %d: as a stream %+v, as a whole %+v", size, w.Info, whole)
		}
	}
}
