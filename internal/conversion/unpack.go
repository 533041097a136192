package conversion

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// unpack gives the file that qemu-img can read, and what it is: the source, or the disk that was within it.
func (j *job) unpack(ctx context.Context, from diskimage.Info) (string, diskimage.Info, error) {
	if from.Disk == nil && !from.Format.Compressed() {
		return Source, from, nil
	}
	src, err := j.root.Open(Source)
	if err != nil {
		return "", from, err
	}
	defer src.Close()
	format, part := from.Format, io.NewSectionReader(src, 0, from.FileSize)
	if d := from.Disk; d != nil {
		format, part = d.Info.Format, io.NewSectionReader(src, d.Offset, d.Size)
	}
	if err := j.write(ctx, format, part); err != nil {
		return "", from, err
	}
	found, err := j.inspect(disk, diskimage.Limits{MaxVirtual: j.maxVirtual})
	switch {
	case err != nil:
		return "", found, err
	case from.Disk != nil && found.Format != diskimage.VMDK && found.Format != diskimage.QCOW2:
		return "", found, fmt.Errorf("an OVA's disk is VMDK or qcow2, and this one is %s", found.Format)
	case found.Format.QEMU() == "":
		return "", found, fmt.Errorf("%s within %s is not unpacked", found.Format, from.Format)
	}
	return disk, found, j.room(j.Need(found, j.to))
}

// write writes the disk of what is packed, or of what is not as it is. Where the size is said before, nothing is written of
// what is too large.
func (j *job) write(ctx context.Context, f diskimage.Format, part *io.SectionReader) error {
	r, size, err := unpacked(f, heeding{ctx, part}, part.Size())
	if err == nil {
		if size > j.most() {
			err = j.tooLarge()
		} else if err := j.room(size); err != nil {
			return err
		}
	}
	if err == nil {
		err = j.copy(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("unpacking: %w", damage(ctx, f, err))
	}
	return nil
}

// damage says of what an unpacker does not understand that the file is so: it will be the same the next time. What is no
// unpacker's word stays as it is: the disk's, that of a run that ended, and that there is no room.
func damage(ctx context.Context, f diskimage.Format, err error) error {
	var (
		refused *diskimage.Error
		onDisk  *fs.PathError
	)
	switch {
	case !f.Compressed(), ctx.Err() != nil, errors.As(err, &refused), errors.As(err, &onDisk), errors.Is(err, ErrNoRoom):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &diskimage.Error{Reason: diskimage.Truncated, Format: f}
	}
	return &diskimage.Error{Reason: diskimage.Corrupt, Format: f, Detail: strings.TrimPrefix(err.Error(), f.String()+": ")}
}

// readAhead are the bytes that are read of a packed file at once.
const readAhead = 64 << 10

// unpacked reads what a packed file of so many bytes holds, or what is not packed as it is; and how many bytes that will be
// at least, as far as it is said: 0 = not at all.
func unpacked(f diskimage.Format, r io.ReadSeeker, packed int64) (z io.Reader, size int64, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: the unpacker broke down: %v", f, p)
		}
	}()
	switch f {
	case diskimage.Gzip:
		z, err = gzip.NewReader(bufio.NewReaderSize(r, readAhead))
	case diskimage.Bzip2:
		z = bzip2.NewReader(bufio.NewReaderSize(r, readAhead))
	case diskimage.Xz:
		z, size, err = unpackXz(r, packed)
	case diskimage.Zstd:
		z, size, err = unpackZstd(r, packed)
	default:
		return r, packed, nil
	}
	return &unpacker{f, z}, size, err
}

// unpacker is a reader of what is packed, and may be damaged in any way.
type unpacker struct {
	format diskimage.Format
	z      io.Reader
}

// Read reads what was packed. What the unpacker panics of spoils this file, and not the service.
func (u *unpacker) Read(p []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			n, err = 0, fmt.Errorf("%s: the unpacker broke down: %v", u.format, p)
		}
	}()
	return u.z.Read(p)
}

// heeding reads no further once its context has ended: much may be read before anything comes of it.
type heeding struct {
	ctx context.Context
	io.ReadSeeker
}

// Read reads, unless it is over.
func (h heeding) Read(p []byte) (int, error) {
	if err := context.Cause(h.ctx); err != nil {
		return 0, err
	}
	return h.ReadSeeker.Read(p)
}

// chunk is how much is copied between two looks at whether to go on.
const chunk = 4 << 20

// most are the bytes of the largest file of a disk.
func (j *job) most() int64 {
	if j.maxVirtual > 0 {
		return largest(j.maxVirtual)
	}
	return largest(diskimage.DefaultMaxVirtual)
}

func (j *job) tooLarge() error {
	return &diskimage.Error{Reason: diskimage.TooLarge, Detail: fmt.Sprintf("it is more than %d bytes", j.most())}
}

// copy writes the disk, no more of it than the largest may have.
func (j *job) copy(ctx context.Context, r io.Reader) error {
	w, err := j.root.OpenFile(disk, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	for done := int64(0); err == nil; {
		if err = context.Cause(ctx); err != nil {
			break
		}
		var n int64
		n, err = io.CopyN(w, r, chunk)
		if done += n; done > j.most() {
			err = j.tooLarge()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return full(j.dir, errors.Join(err, w.Close()))
}
