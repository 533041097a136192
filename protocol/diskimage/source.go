package diskimage

import (
	"errors"
	"fmt"
	"io"
)

// mostRead are the bytes that one inspection reads at most.
const mostRead = 32 << 20

// source is a disk image under inspection.
type source struct {
	r      io.ReaderAt
	size   int64 // bytes; -1 = not known
	limits Limits
	budget *int64 // bytes that may still be read
	tail   int64  // bytes of the end that were asked for and not there: of a stream
}

// outsideError is a read of bytes that a stream does not hold.
type outsideError struct{ off, n int64 }

func (e *outsideError) Error() string {
	return fmt.Sprintf("bytes %d to %d are not at hand", e.off, e.off+e.n)
}

// read gives n bytes at off: all of them, or an error. What lies beyond the end of the file is Truncated.
func (s *source) read(f Format, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || s.size >= 0 && off > s.size-n {
		return nil, refuse(f, Truncated, "%d bytes at %d are beyond its end at %d", n, off, s.size)
	}
	if err := s.spend(f, n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	got, err := s.r.ReadAt(b, off)
	switch {
	case int64(got) == n:
		return b, nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, refuse(f, Truncated, "it ends at %d, and has %d bytes as is said", off+int64(got), s.size)
	}
	return nil, fmt.Errorf("reading the disk image at %d: %w", off, err)
}

func (s *source) spend(f Format, n int64) error {
	if n > *s.budget {
		return refuse(f, Corrupt, "its headers are larger than %d MiB", mostRead>>20)
	}
	*s.budget -= n
	return nil
}

// ReadAt reads for what wants a reader: tar. The budget counts.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	if err := s.spend(OVA, int64(len(p))); err != nil {
		return 0, err
	}
	return s.r.ReadAt(p, off)
}

// begin gives the first n bytes, or fewer when there are no more.
func (s *source) begin(n int64) ([]byte, error) {
	if s.size >= 0 {
		n = min(n, s.size)
	}
	return s.read(0, 0, n)
}

// end gives the last n bytes; nil when a stream does not have them yet: then its tail is noted as wanted.
func (s *source) end(f Format, n int64) ([]byte, error) {
	if s.size < 0 {
		s.tail = max(s.tail, n)
		return nil, nil
	}
	b, err := s.read(f, s.size-n, n)
	if _, outside := errors.AsType[*outsideError](err); outside {
		s.tail = max(s.tail, n)
		return nil, nil
	}
	return b, err
}

// within tells whether n bytes at off are in the file, as far as its size is known.
func (s *source) within(off, n uint64) bool {
	return s.size < 0 || off <= uint64(s.size) && n <= uint64(s.size)-off
}

// disk checks the size that a disk has for a machine, and gives it.
func (s *source) disk(f Format, n uint64) (int64, error) {
	switch most := s.limits.maxVirtual(); {
	case n == 0:
		return 0, refuse(f, Corrupt, "the disk has 0 bytes")
	case n > uint64(most):
		return 0, refuse(f, TooLarge, "the disk has %d bytes, and %d are allowed", n, most)
	}
	return int64(n), nil
}

// part is a stretch of the file as a source of its own.
func (s *source) part(off, n int64) *source {
	return &source{r: io.NewSectionReader(s.r, off, n), size: n, limits: s.limits, budget: s.budget}
}
