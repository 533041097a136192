package app

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// Inspected is what a disk image is.
type Inspected struct {
	diskimage.Info
	SHA512  string `json:"sha512"`
	SHA256  string `json:"sha256"`
	Refused string `json:"refused,omitempty"` // why it would not be let in
}

// Describe gives it line by line, a name and a value.
func (i Inspected) Describe() [][2]string {
	lines := i.Info.Describe()
	lines = append(lines, [2]string{"sha512", i.SHA512}, [2]string{"sha256", i.SHA256})
	if i.Refused != "" {
		return append(lines, [2]string{"refused", i.Refused})
	}
	if i.Info.Format.Compressed() {
		return append(lines, [2]string{"safe", "not known: it is packed, and what is in it is looked at when it is unpacked"})
	}
	return append(lines, [2]string{"safe", "yes: nothing in it points outside of it"})
}

// largestInspected is how much of a URL is read at most, in bytes.
const largestInspected = 200e9

// InspectImage looks at a disk image, a file or a URL. One of a URL is kept in a temporary file while it is looked at.
func InspectImage(ctx context.Context, what string, progress func(run.Progress)) (Inspected, error) {
	if progress == nil {
		progress = func(run.Progress) {}
	}
	if !strings.HasPrefix(what, "http://") && !strings.HasPrefix(what, "https://") {
		if info, err := os.Stat(what); err == nil && !info.Mode().IsRegular() { // a pipe would not end, nor would a device
			return Inspected{}, fmt.Errorf("%s is no file", what)
		}
		f, err := os.Open(what)
		if err != nil {
			return Inspected{}, err
		}
		defer f.Close()
		return looked(ctx, f, io.Discard, f, what, progress)
	}
	client, err := (&base{clock: &clock{}}).client(config.Network{}, transport.Config{Redirects: transport.Anywhere, Stall: sourceStall, MaxBody: largestInspected, ReadOnly: true})
	if err != nil {
		return Inspected{}, err
	}
	file, err := (&fetcher{http: client.Client, from: what, max: largestInspected}).Open(ctx, what, 0, "")
	if err != nil {
		return Inspected{}, err
	}
	defer file.Body.Close()
	tmp, err := os.CreateTemp("", "fedsite-inspect-")
	if err != nil {
		return Inspected{}, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	return looked(ctx, file.Body, tmp, tmp, shownURL(what), progress)
}

// looked sums what is read, keeps it, and looks at what was kept.
func looked(ctx context.Context, src io.Reader, keep io.Writer, kept io.ReaderAt, name string, progress func(run.Progress)) (Inspected, error) {
	long, short := sha512.New(), sha256.New()
	var n int64
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return Inspected{}, context.Cause(ctx)
		}
		got, err := src.Read(buf)
		n += int64(got)
		if _, e := io.MultiWriter(long, short, keep).Write(buf[:got]); e != nil {
			return Inspected{}, e
		}
		progress(run.Progress{Step: "inspect", What: name, Done: n})
		if err == io.EOF {
			break
		}
		if err != nil {
			return Inspected{}, fmt.Errorf("after %d bytes: %w", n, err)
		}
	}
	i := Inspected{SHA512: hex.EncodeToString(long.Sum(nil)), SHA256: hex.EncodeToString(short.Sum(nil))}
	info, err := diskimage.Inspect(kept, n, diskimage.Limits{ISO: true, Compressed: true})
	i.Info = info
	if err != nil {
		i.Refused = err.Error()
	}
	return i, nil
}
