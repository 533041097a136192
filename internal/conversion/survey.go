package conversion

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// mostDictionary are the bytes of the largest dictionary of xz, or window of zstd, that is taken: it lies in memory while a
// file is unpacked. xz -9 takes 64 MiB, zstd --ultra -22 128 MiB.
const mostDictionary = 256 << 20

// survey goes through a packed file by what it says of its parts, and passes over what is packed. So it is known before
// anything is unpacked whether all is there, how much memory it takes, and, mostly, how much there will be.
type survey struct {
	src      io.ReadSeeker
	r        *bufio.Reader
	at, size int64
	b        [1024]byte // a header, at most
}

func newSurvey(r io.ReadSeeker, size int64) survey {
	return survey{src: r, r: bufio.NewReader(r), size: size}
}

// read gives the next n bytes: all of them, until the next call.
func (s *survey) read(n int) ([]byte, error) {
	got, err := io.ReadFull(s.r, s.b[:n])
	s.at += int64(got)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return s.b[:n], err
}

// ReadByte gives the next byte, for what reads numbers.
func (s *survey) ReadByte() (byte, error) {
	b, err := s.read(1)
	return b[0], err
}

// skip passes over n bytes.
func (s *survey) skip(n int64) error {
	if n > s.size-s.at {
		return io.ErrUnexpectedEOF
	}
	s.at += n
	if n <= int64(s.r.Buffered()) {
		_, err := s.r.Discard(int(n))
		return err
	}
	if _, err := s.src.Seek(s.at, io.SeekStart); err != nil {
		return err
	}
	s.r.Reset(s.src)
	return nil
}

// rewind lets the file be read from its beginning.
func (s *survey) rewind() error {
	_, err := s.src.Seek(0, io.SeekStart)
	return err
}

// unsupported is a file that is no damaged one, and not taken: the same one never will be.
func unsupported(f diskimage.Format, detail string, a ...any) error {
	return &diskimage.Error{Reason: diskimage.Unsupported, Format: f, Detail: fmt.Sprintf(detail, a...)}
}
