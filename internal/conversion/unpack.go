package conversion

import (
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
	format, r := from.Format, io.Reader(src)
	if d := from.Disk; d != nil {
		format, r = d.Info.Format, io.NewSectionReader(src, d.Offset, d.Size)
	}
	if r, err = unpacked(format, r); err != nil {
		return "", from, err
	}
	if err := j.copy(ctx, r); err != nil {
		return "", from, fmt.Errorf("unpacking: %w", err)
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

// unpacked reads what a packed file holds; what is not packed as it is.
func unpacked(f diskimage.Format, r io.Reader) (io.Reader, error) {
	switch f {
	case diskimage.Gzip:
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		return z, nil
	case diskimage.Bzip2:
		return bzip2.NewReader(r), nil
	case diskimage.Xz, diskimage.Zstd:
		return nil, fmt.Errorf("%s cannot be unpacked: offer the image as it is, or as gzip", f)
	}
	return r, nil
}

// chunk is how much is copied between two looks at whether to go on.
const chunk = 4 << 20

// copy writes the disk, no more of it than the largest may have.
func (j *job) copy(ctx context.Context, r io.Reader) error {
	w, err := j.root.OpenFile(disk, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	most := j.maxVirtual
	if most <= 0 {
		most = diskimage.DefaultMaxVirtual
	}
	most = largest(most)
	for done := int64(0); err == nil; {
		if err = context.Cause(ctx); err != nil {
			break
		}
		var n int64
		n, err = io.CopyN(w, r, chunk)
		if done += n; done > most {
			err = fmt.Errorf("it is more than %d bytes", most)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return full(j.dir, errors.Join(err, w.Close()))
}
