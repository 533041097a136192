package conversion

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// packed packs by the libraries: each of the formats that have a writer.
func packed(t testing.TB, f diskimage.Format, b []byte) []byte {
	t.Helper()
	var to bytes.Buffer
	var w io.WriteCloser
	var err error
	switch f {
	case diskimage.Gzip:
		w = gzip.NewWriter(&to)
	case diskimage.Xz:
		w, err = xz.WriterConfig{BlockSize: 100_000}.NewWriter(&to)
	case diskimage.Zstd:
		w, err = zstd.NewWriter(&to, zstd.WithEncoderConcurrency(1))
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return to.Bytes()
}

// by packs with a program.
func by(t *testing.T, b []byte, howToGet, program string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		prerequisite.Missing(t, program, howToGet)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return out
}

// written gives what unpacking writes; nil = there is no file.
func written(t *testing.T, c *Converter, f diskimage.Format, b []byte) ([]byte, error) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	src := bytes.NewReader(b)
	err = (&job{Converter: c, dir: dir, root: root}).write(t.Context(), f, io.NewSectionReader(src, 0, src.Size()))
	got, rerr := os.ReadFile(filepath.Join(dir, disk))
	if rerr != nil && err == nil {
		t.Fatal(rerr)
	}
	return got, err
}

// content are bytes that can be packed, and not to nothing.
func content(n int) []byte {
	r, b := rand.New(rand.NewPCG(1, 2)), make([]byte, n)
	for i := range b {
		b[i] = "abcdefgh\x00\x00\x00\x00"[r.IntN(12)]
	}
	return b
}

// TestUnpackPrograms unpacks what xz and zstd make, by options that images are packed with.
func TestUnpackPrograms(t *testing.T) {
	c, want := script(t, ""), content(600_000)
	for _, x := range []struct {
		f    diskimage.Format
		args string
	}{
		{diskimage.Xz, "xz -0"}, {diskimage.Xz, "xz -9e"}, {diskimage.Xz, "xz -T2 --block-size=70000"}, {diskimage.Xz, "xz -9 --block-size=262144"},
		{diskimage.Xz, "xz --check=none"}, {diskimage.Xz, "xz --check=crc32"}, {diskimage.Xz, "xz --check=sha256"}, {diskimage.Xz, "xz --lzma2=dict=256MiB"},
		{diskimage.Zstd, "zstd -1"}, {diskimage.Zstd, "zstd -19"}, {diskimage.Zstd, "zstd --ultra -22"}, {diskimage.Zstd, "zstd -T2 -B1K"}, {diskimage.Zstd, "zstd --no-check"}, {diskimage.Zstd, "zstd --long=28"},
	} {
		t.Run(x.args, func(t *testing.T) {
			words := strings.Fields(x.args)
			b := by(t, want, "apt install xz-utils zstd", words[0], append(words[1:], "-c")...)
			got, err := written(t, c, x.f, b)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
			}
		})
	}
	for args, words := range map[string]string{"xz --lzma2=dict=257MiB": "xz: feature that is not accepted: its dictionary has 384 MiB", "xz --x86 --lzma2": "other filters than LZMA2", "zstd --long=29": "zstd: feature that is not accepted: its window has 512 MiB"} {
		t.Run(args, func(t *testing.T) {
			all := strings.Fields(args)
			f, _ := diskimage.ParseFormat(all[0])
			b := by(t, want, "apt install xz-utils zstd", all[0], append(all[1:], "-c")...)
			got, err := written(t, c, f, b)
			if _, refused := errors.AsType[*diskimage.Error](err); !refused || !strings.Contains(err.Error(), words) || got != nil {
				t.Errorf("%d bytes, %v, want %q", len(got), err, words)
			}
		})
	}
}

// TestUnpackSeveral: files may be put behind one another, with zeros between those of xz, and with what is to be skipped
// between those of zstd.
func TestUnpackSeveral(t *testing.T) {
	c := script(t, "")
	a, b := content(250_000), content(99)
	want := slices.Concat(a, b, a)
	skip := append([]byte("\x5f\x2a\x4d\x18\x05\x00\x00\x00"), "12345"...)
	for f, between := range map[diskimage.Format][]byte{diskimage.Xz: make([]byte, 8), diskimage.Zstd: skip} {
		one, two, none := packed(t, f, a), packed(t, f, b), packed(t, f, nil)
		for _, file := range [][]byte{slices.Concat(one, two, one), slices.Concat(one, between, none, two, between, one, between)} {
			got, err := written(t, c, f, file)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes of %d, %v", f, len(got), len(want), err)
			}
		}
		for name, end := range map[string]string{"one byte": "\x28", "zeros": "\x00\x00\x00", "text": "hello, this is what follows", "a header": string(one[:12])} {
			if got, err := written(t, c, f, append(slices.Clone(one), end...)); err == nil || got != nil || !strings.HasPrefix(err.Error(), "unpacking: ") {
				t.Errorf("%s, %s at its end: %v", f, name, err)
			}
		}
	}
}

// truncated tells whether a file is refused for good because it was cut.
func truncated(err error) bool {
	refused, ok := errors.AsType[*diskimage.Error](err)
	return ok && refused.Reason == diskimage.Truncated
}

// TestUnpackCut: a file that ends anywhere is not taken for a whole one, and nothing of it is written.
func TestUnpackCut(t *testing.T) {
	c, want := script(t, ""), content(250_000)
	for _, f := range []diskimage.Format{diskimage.Xz, diskimage.Zstd} {
		one := packed(t, f, want)
		all := slices.Concat(one, one)
		for n := 1; n < len(all); n += 1 + n%7*(n%11)*200 {
			got, err := written(t, c, f, all[:n])
			if n != len(one) && (!truncated(err) || got != nil) {
				t.Errorf("%s cut at %d of %d: %d bytes, %v", f, n, len(all), len(got), err)
			}
		}
		ends := 0
		for n := len(one) - 200; n < len(one); n++ {
			if _, err := written(t, c, f, one[:n]); truncated(err) {
				ends++
			}
		}
		if ends != 200 {
			t.Errorf("%s: %d of 200 ends are seen", f, ends)
		}
	}
}

// TestUnpackDamaged: a byte that is another one is an error, or harmless.
func TestUnpackDamaged(t *testing.T) {
	c, want := script(t, ""), content(60_000)
	for _, f := range []diskimage.Format{diskimage.Xz, diskimage.Zstd} {
		good, errs := packed(t, f, want), 0
		for i := 0; i < len(good); i += 1 + len(good)/300*min(1, i/100)*min(1, max(0, len(good)-i)/100) {
			bad := slices.Clone(good)
			bad[i] ^= 1 << (i % 8)
			got, err := written(t, c, f, bad)
			switch {
			case err != nil && !strings.HasPrefix(err.Error(), "unpacking: "), err != nil && strings.Contains(err.Error(), "broke down"):
				t.Errorf("%s, byte %d: %v", f, i, err)
			case err == nil && !bytes.Equal(got, want):
				t.Errorf("%s, byte %d: other content, and no error", f, i)
			case err != nil:
				errs++
			}
		}
		if errs < 200 {
			t.Errorf("%s: %d errors", f, errs)
		}
	}
}

// TestUnpackBomb: what is larger than a disk may be is refused: before a byte is written where the file says so.
func TestUnpackBomb(t *testing.T) {
	c := script(t, "")
	c.maxVirtual = 1
	zeros := make([]byte, 65<<20)
	said, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		f       diskimage.Format
		b       []byte
		written bool
	}{
		"gzip":              {diskimage.Gzip, packed(t, diskimage.Gzip, zeros), true},
		"xz":                {diskimage.Xz, stream(1, 18, bytes.Repeat([]byte("\xff\xff\xff\x00\x00.."), 33)), false}, // of 2 MiB each
		"zstd that says it": {diskimage.Zstd, said.EncodeAll(zeros, nil), false},
		"zstd":              {diskimage.Zstd, packed(t, diskimage.Zstd, zeros), true},
	} {
		got, err := written(t, c, x.f, x.b)
		if err == nil || !strings.Contains(err.Error(), "it is more than 67108865 bytes") || (got != nil) != x.written || int64(len(got)) > c.jobMost()+chunk {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

func (c *Converter) jobMost() int64 { return (&job{Converter: c}).most() }

// TestUnpackRoom: what a file says that it will have must have room.
func TestUnpackRoom(t *testing.T) {
	frame := binary.LittleEndian.AppendUint64([]byte("\x28\xb5\x2f\xfd\xc0\x58"), 15<<40) // of 15 TiB; a window of 2 MiB
	frame = append(frame, 1, 0, 0)
	if got, err := written(t, script(t, ""), diskimage.Zstd, frame); !errors.Is(err, ErrNoRoom) || got != nil {
		t.Error(err)
	}
}

// stream is an xz file of so many blocks, with these chunks in each and a dictionary of these bits.
func stream(blocks int, bits byte, chunks []byte) []byte {
	sum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	fill := func(b []byte) []byte { return append(b, make([]byte, padding(int64(len(b))))...) }
	h := []byte{2, 0, xzLZMA2, 1, bits, 0, 0, 0}
	block := slices.Concat(h, sum(h), fill(append(slices.Clone(chunks), 0)))
	index := binary.AppendUvarint([]byte{0}, uint64(blocks))
	for range blocks {
		index = append(binary.AppendUvarint(index, uint64(12+len(chunks)+1)), 0) // bytes of a block, and of nothing in it
	}
	index = fill(index)
	index = append(index, sum(index)...)
	end := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), 0, 0)
	return slices.Concat([]byte(xzMagic+"\x00\x00"), sum([]byte{0, 0}), bytes.Repeat(block, blocks), index, sum(end), end, []byte(xzEnd))
}

// TestUnpackMemory: a dictionary that is too large is refused before it is there, and so are very many of them.
func TestUnpackMemory(t *testing.T) {
	c := script(t, "")
	if _, err := written(t, c, diskimage.Xz, stream(1, 32, nil)); err != nil {
		t.Errorf("a dictionary of 256 MiB: %v", err)
	}
	for name, x := range map[string]struct {
		f     diskimage.Format
		b     []byte
		words string
	}{
		"a dictionary of 384 MiB": {diskimage.Xz, stream(1, 33, nil), "its dictionary has 384 MiB, and 256 are taken"},
		"one of 4 GiB":            {diskimage.Xz, stream(1, 40, nil), "its dictionary has 4096 MiB"},
		"many":                    {diskimage.Xz, stream(1000, 32, nil), "its dictionaries have more than 256 times its content"},
		"a window of 3.75 TiB":    {diskimage.Zstd, []byte("\x28\xb5\x2f\xfd\x00\xff\x01\x00\x00"), "its window has 3932160 MiB, and 256 are taken"},
		"a frame that is its own": {diskimage.Zstd, []byte("\x28\xb5\x2f\xfd\xa0\x00\x00\x00\x20\x01\x00\x00"), "its window has 512 MiB"},
		"zstd's dictionary":       {diskimage.Zstd, []byte("\x28\xb5\x2f\xfd\x01\x58\x07\x01\x00\x00"), "a dictionary that is not in it"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := written(t, c, x.f, x.b)
		runtime.ReadMemStats(&after)
		refused, ok := errors.AsType[*diskimage.Error](err)
		if !ok || refused.Reason != diskimage.Unsupported || refused.Format != x.f || !strings.Contains(err.Error(), x.words) || got != nil {
			t.Errorf("%s: %v, want %q", name, err, x.words)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
			t.Errorf("%s: %d MiB were taken", name, took>>20)
		}
	}
}

// TestUnpackLarge: more than the largest window may be unpacked, in memory of the file's own.
func TestUnpackLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("it packs 276 MiB")
	}
	var file bytes.Buffer
	w, err := zstd.NewWriter(&file, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	const size = mostDictionary + 20<<20
	if _, err := io.CopyN(w, endless{}, size); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, _, err := unpacked(diskimage.Zstd, bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(struct{ io.Writer }{io.Discard}, r)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err != nil || n != size || took > 16<<20 {
		t.Errorf("%d bytes, %v; %d MiB were taken", n, err, took>>20)
	}
}

// TestUnpackEnded: a file out of which nothing comes is left when the run ends.
func TestUnpackEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the run ends")
	cancel(why)
	for _, f := range []diskimage.Format{diskimage.Gzip, diskimage.Bzip2, diskimage.Xz, diskimage.Zstd} {
		src := bytes.NewReader(stream(10, 0, nil))
		j := &job{Converter: script(t, ""), dir: t.TempDir()}
		j.root, _ = os.OpenRoot(j.dir)
		if err := j.write(ctx, f, io.NewSectionReader(src, 0, src.Size())); !errors.Is(err, why) {
			t.Errorf("%s: %v", f, err)
		}
		_ = j.root.Close()
	}
}

// FuzzUnpack: whatever a file is, unpacking it ends, takes no more memory than is allowed, and gives what was foretold.
func FuzzUnpack(f *testing.F) {
	some := content(3000)
	for _, b := range [][]byte{packed(f, diskimage.Xz, some), packed(f, diskimage.Zstd, some), stream(3, 12, nil), {0x28, 0xb5, 0x2f, 0xfd, 0x20, 4, 0x25, 0, 0, 7}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, format := range []diskimage.Format{diskimage.Xz, diskimage.Zstd} {
			r, size, err := unpacked(format, bytes.NewReader(b), int64(len(b)))
			var n int64
			if err == nil {
				n, err = io.Copy(struct{ io.Writer }{io.Discard}, io.LimitReader(r, 64<<20))
			}
			switch {
			case err != nil && strings.Contains(err.Error(), "broke down"):
				t.Errorf("%s: %v", format, err)
			case err == nil && n < min(size, 64<<20), err == nil && format == diskimage.Xz && n != min(size, 64<<20):
				t.Errorf("%s: %d bytes, and %d were foretold", format, n, size)
			}
		}
	})
}
