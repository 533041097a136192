package app

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// Inspected is what a disk image is.
type Inspected struct {
	diskimage.Info
	Within  *diskimage.Info `json:"within,omitempty"` // what a packed file holds, as far as it was looked at
	SHA512  string          `json:"sha512"`
	SHA256  string          `json:"sha256"`
	Refused string          `json:"refused,omitempty"` // why it would not be let in
	Unknown string          `json:"unknown,omitempty"` // why it is not known whether it would be
}

// Describe gives it line by line, a name and a value.
func (i Inspected) Describe() [][2]string {
	lines := i.Info.Describe()
	if i.Within != nil {
		for _, l := range i.Within.Describe() {
			lines = append(lines, [2]string{"within, " + l[0], l[1]})
		}
	}
	lines = append(lines, [2]string{"sha512", i.SHA512}, [2]string{"sha256", i.SHA256})
	switch {
	case i.Refused != "":
		return append(lines, [2]string{"refused", i.Refused})
	case i.Unknown != "":
		return append(lines, [2]string{"safe", "not known: " + i.Unknown})
	}
	return append(lines, [2]string{"safe", "yes: nothing in it points outside of it"})
}

// largestInspected is how much of a URL is read at most, and of what is packed, in bytes.
const largestInspected = 200e9

// urlScheme is what a URL begins with.
var urlScheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)

// ErrNoURL is a URL that is not read.
var ErrNoURL = errors.New("URLs are read that begin with https:// or http://; all else is a file here")

// InspectImage looks at a disk image, a file or a URL. One of a URL is kept in a temporary file while it is looked at.
func InspectImage(ctx context.Context, what string, progress func(run.Progress)) (Inspected, error) {
	if progress == nil {
		progress = func(run.Progress) {}
	}
	scheme := urlScheme.FindStringSubmatch(what)
	if scheme == nil {
		return inspectFile(ctx, what, progress)
	}
	if s := strings.ToLower(scheme[1]); s != "http" && s != "https" {
		return Inspected{}, fmt.Errorf("%s: %w", shownURL(what), ErrNoURL)
	}
	client, err := (&base{clock: &clock{}}).client(config.Network{}, transport.Config{Redirects: transport.Anywhere, Stall: sourceStall, MaxBody: largestInspected, ReadOnly: true})
	if err != nil {
		return Inspected{}, err
	}
	file, err := (&fetcher{http: client.Client, from: what, max: largestInspected}).Open(ctx, what, 0, "")
	if f, ok := errors.AsType[*images.Failure](err); ok { // its hint is for sources
		err = errors.New(f.Reason)
	}
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
	l := &looker{ctx: ctx, name: shownURL(what), size: max(file.Size, 0), progress: progress}
	return l.look(file.Body, tmp, tmp)
}

// inspectFile looks at a file here. A pipe or a device would not end.
func inspectFile(ctx context.Context, what string, progress func(run.Progress)) (Inspected, error) {
	info, err := os.Stat(what)
	if err != nil {
		return Inspected{}, err
	}
	if !info.Mode().IsRegular() {
		return Inspected{}, fmt.Errorf("%s is no plain file", what)
	}
	f, err := os.Open(what)
	if err != nil {
		return Inspected{}, err
	}
	defer f.Close()
	l := &looker{ctx: ctx, name: what, size: info.Size(), progress: progress}
	return l.look(f, io.Discard, f)
}

// looker looks at one disk image.
type looker struct {
	ctx      context.Context
	name     string
	size     int64 // bytes; 0 = not said
	progress func(run.Progress)
}

// look sums what is read, keeps it, and looks at what was kept.
func (l *looker) look(src io.Reader, keep io.Writer, kept io.ReaderAt) (Inspected, error) {
	long, short := sha512.New(), sha256.New()
	var n int64
	buf := make([]byte, 1<<20)
	for {
		if l.ctx.Err() != nil {
			return Inspected{}, context.Cause(l.ctx)
		}
		got, err := src.Read(buf)
		n += int64(got)
		if _, e := io.MultiWriter(long, short, keep).Write(buf[:got]); e != nil {
			return Inspected{}, e
		}
		l.progress(run.Progress{Step: "inspect", What: l.name, Done: n, Total: l.size})
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
		return i, nil
	}
	if info.Format.Compressed() {
		err = l.within(&i, io.NewSectionReader(kept, 0, n))
		return i, err
	}
	return i, nil
}

// within looks at what a packed file holds.
func (l *looker) within(i *Inspected, packed *io.SectionReader) error {
	found, seen, err := conversion.Look(l.ctx, i.Format, packed, largestInspected, func(n int64) {
		l.progress(run.Progress{Step: "inspect", What: "what is in " + l.name, Done: n})
	})
	if found.Format != 0 {
		i.Within = &found
	}
	refused, is := errors.AsType[*diskimage.Error](err)
	switch {
	case is:
		i.Refused = "what is in it: " + refused.Error()
	case err != nil:
		return err
	case !seen:
		i.Unknown = "it is packed, and what is in it can only be judged when it is unpacked: unpack it, and look at that"
	}
	return nil
}
