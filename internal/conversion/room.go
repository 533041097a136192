package conversion

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// overhead are the bytes that a format's tables may take beside the disk, and a little.
const overhead = 64 << 20

// Need is how many bytes a conversion may take beside its source, at most: what is unpacked, and a disk that is full. Of what
// is packed that is not known yet: then it is the packed size, and the rest is seen when it is unpacked, before a byte is
// written where xz or zstd say how much there will be.
func (c *Converter) Need(from diskimage.Info, to diskimage.Format) int64 {
	need := largest(from.VirtualSize)
	if to == diskimage.Raw {
		need = from.VirtualSize
	}
	switch {
	case from.Disk != nil:
		need += from.Disk.Size
	case from.Format.Compressed():
		need += from.FileSize
	}
	return need
}

// largest is how many bytes a file of a disk of so many may have.
func largest(virtual int64) int64 { return virtual + virtual/20 + overhead }

// room tells whether the directory's file system has so many bytes for this user.
func (j *job) room(need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(j.dir, &fs); err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need {
		return fmt.Errorf("%w: %s needs %d MB, and %d MB are free", ErrNoRoom, j.dir, (need+1<<20-1)>>20, free>>20)
	}
	return nil
}

// full makes the error of a file system that is full, or of a limit, one that says so.
func full(dir string, err error) error {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %s: %w", ErrNoRoom, dir, err)
		}
	}
	return err
}
