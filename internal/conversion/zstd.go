package conversion

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// A zstd file says before each frame how much memory it takes, mostly how many bytes are in it, and before each block how long
// it is. The format is RFC 8878.

// unpackZstd surveys a file, and gives what it holds, and how many bytes that is, as far as it says so. It is unpacked by the
// goroutine that reads.
func unpackZstd(r io.ReadSeeker, size int64) (io.Reader, int64, error) {
	s := &zstdSurvey{survey: newSurvey(r, size)}
	if err := errors.Join(s.file(), s.rewind()); err != nil {
		return nil, 0, err
	}
	// Both are for the window: MaxMemory is for that of a frame which is its own window.
	z, err := zstd.NewReader(bufio.NewReaderSize(r, readAhead), zstd.WithDecoderMaxMemory(mostDictionary), zstd.WithDecoderMaxWindow(mostDictionary),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	return z, s.unpacked, err
}

// zstdSurvey goes through a file.
type zstdSurvey struct {
	survey
	unpacked int64 // bytes that the frames which say so have in them
}

// file goes through all frames.
func (s *zstdSurvey) file() error {
	for s.at < s.size {
		begin, err := s.r.Peek(zstd.HeaderMaxSize) // fewer at the end
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		var h zstd.Header
		if _, err := h.DecodeAndStrip(begin); err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		if err := s.skip(int64(h.HeaderSize)); err != nil {
			return err
		}
		if h.Skippable {
			err = s.skip(int64(h.SkippableSize))
		} else {
			err = s.frame(h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// frame goes through what comes after its header.
func (s *zstdSurvey) frame(h zstd.Header) error {
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	switch {
	case h.DictionaryID != 0:
		return unsupported(diskimage.Zstd, "it takes a dictionary that is not in it: pack it anew, without one")
	case window > mostDictionary:
		return unsupported(diskimage.Zstd, "its window has %d MiB, and %d are taken: pack it anew, without --long", (window-1)>>20+1, mostDictionary>>20)
	case h.HasFCS:
		s.unpacked += int64(min(h.FrameContentSize, uint64(math.MaxInt64-s.unpacked)))
	}
	for last := false; !last; {
		b, err := s.read(3)
		if err != nil {
			return err
		}
		block := int64(binary.LittleEndian.Uint16(b)) | int64(b[2])<<16
		last = block&1 != 0
		kind, n := block>>1&3, block>>3
		switch kind {
		case 1: // one byte, n times
			n = 1
		case 3:
			return errors.New("zstd: a block is of no known kind")
		}
		if err := s.skip(n); err != nil {
			return err
		}
	}
	if h.HasCheckSum {
		return s.skip(4)
	}
	return nil
}
