package conversion

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ulikunitz/xz"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// An xz file says before each block how much memory it takes, and before each chunk of one how many bytes it has and gives.
// The library would allocate what a block asks for, and takes a file that ends between two blocks for a whole one.
//
// The format: https://tukaani.org/xz/xz-file-format.txt; the chunks of LZMA2 are as Linux's lib/xz/xz_dec_lzma2.c reads them.

// dictionaryShare is how many times its content the dictionaries of a file may have, in sum. Each block has its own made
// empty: a million blocks of nothing would take days. xz -9 --block-size=1MiB comes to 64.
const dictionaryShare = 256

// Parts of an xz file.
const (
	xzMagic     = "\xfd7zXZ\x00"
	xzEnd       = "YZ"
	xzHeader    = 12   // bytes of a stream's header, and of its footer
	xzLZMA2     = 0x21 // the only filter that is taken
	xzMostBits  = 40   // of a dictionary's size
	xzIndicator = 0    // an index follows, and not a block
)

// xzChecks are the bytes of a block's checksum, by its kind: none, CRC32, CRC64, SHA-256.
var xzChecks = map[byte]int64{0: 0, 1: 4, 4: 8, 10: 32}

// unpackXz surveys a file, and gives what it holds, and how many bytes that is.
func unpackXz(r io.ReadSeeker, size int64) (io.Reader, int64, error) {
	s := &xzSurvey{survey: newSurvey(r, size)}
	if err := errors.Join(s.file(), s.rewind()); err != nil {
		return nil, 0, err
	}
	z, err := xz.NewReader(bufio.NewReaderSize(r, readAhead))
	return z, s.unpacked, err
}

// xzSurvey goes through a file.
type xzSurvey struct {
	survey
	unpacked     int64 // bytes that are in it
	dictionaries int64 // bytes of all blocks' together
}

// file goes through all streams, and the zeros between them.
func (s *xzSurvey) file() error {
	for s.at < s.size {
		if zeros, err := s.r.Peek(4); err == nil && s.at > 0 && binary.LittleEndian.Uint32(zeros) == 0 {
			if err := s.skip(4); err != nil {
				return err
			}
			continue
		}
		if err := s.stream(); err != nil {
			return err
		}
	}
	return nil
}

// stream goes through its header, blocks, index and footer.
func (s *xzSurvey) stream() error {
	h, err := s.read(xzHeader)
	if err != nil {
		return err
	}
	check, known := xzChecks[h[7]]
	switch {
	case string(h[:6]) != xzMagic:
		return errors.New("xz: something else follows")
	case crc32.ChecksumIEEE(h[6:8]) != binary.LittleEndian.Uint32(h[8:]):
		return errors.New("xz: the header of a stream is damaged")
	case h[6] != 0 || !known:
		return unsupported(diskimage.Xz, "its checksums are of the kind %d", h[7])
	}
	for blocks := uint64(0); ; blocks++ {
		first, err := s.read(1)
		if err != nil {
			return err
		}
		if first[0] == xzIndicator {
			return s.index(blocks)
		}
		if err := s.block(first[0], check); err != nil {
			return err
		}
	}
}

// block goes through one whose header's first byte is known, and the checksum after it.
func (s *xzSurvey) block(first byte, check int64) error {
	n := (int(first)+1)*4 - 1
	b, err := s.read(n)
	if err != nil {
		return err
	}
	header := append([]byte{first}, b...)
	dictionary, err := dictionaryOf(header)
	if err != nil {
		return err
	}
	if dictionary > mostDictionary {
		return unsupported(diskimage.Xz, "its dictionary has %d MiB, and %d are taken: pack it anew, by xz -9 or less", (dictionary+1<<20-1)>>20, mostDictionary>>20)
	}
	begin := s.at
	if err := s.chunks(); err != nil {
		return err
	}
	if s.dictionaries += dictionary; s.dictionaries-mostDictionary > s.unpacked*dictionaryShare {
		return unsupported(diskimage.Xz, "its dictionaries have more than %d times its content: pack it anew, in larger blocks", dictionaryShare)
	}
	return s.skip(padding(s.at-begin) + check)
}

// dictionaryOf reads a block's header: how large its dictionary is.
func dictionaryOf(h []byte) (int64, error) {
	fields, sum := h[:len(h)-4], h[len(h)-4:]
	if crc32.ChecksumIEEE(fields) != binary.LittleEndian.Uint32(sum) {
		return 0, errors.New("xz: the header of a block is damaged")
	}
	flags, fields := fields[1], fields[2:]
	if flags&^0xc0 != 0 {
		return 0, unsupported(diskimage.Xz, "it has other filters than LZMA2: pack it anew, without them")
	}
	for _, given := range []byte{0x40, 0x80} { // the sizes of what is packed, and of what is in it
		if flags&given == 0 {
			continue
		}
		_, n := binary.Uvarint(fields)
		if n <= 0 {
			return 0, errors.New("xz: the header of a block ends within a number")
		}
		fields = fields[n:]
	}
	switch {
	case len(fields) < 3:
		return 0, errors.New("xz: the header of a block has no filter")
	case fields[0] != xzLZMA2:
		return 0, unsupported(diskimage.Xz, "it has the filter %#x: pack it anew, by LZMA2 alone", fields[0])
	case fields[1] != 1 || fields[2] > xzMostBits:
		return 0, errors.New("xz: the size of a dictionary cannot be read")
	}
	bits := int64(fields[2])
	return (2 | bits&1) << (bits/2 + 11), nil
}

// chunks goes through those of a block, up to its end.
func (s *xzSurvey) chunks() error {
	for {
		b, err := s.read(1)
		if err != nil {
			return err
		}
		kind := b[0]
		switch {
		case kind == 0:
			return nil
		case kind <= 2: // as it is
			if b, err = s.read(2); err != nil {
				return err
			}
			n := int64(binary.BigEndian.Uint16(b)) + 1
			s.unpacked += n
			err = s.skip(n)
		case kind < 0x80:
			return errors.New("xz: a chunk is of no known kind")
		default:
			if b, err = s.read(4); err != nil {
				return err
			}
			s.unpacked += int64(kind&0x1f)<<16 + int64(binary.BigEndian.Uint16(b)) + 1
			n := int64(binary.BigEndian.Uint16(b[2:])) + 1
			if kind>>5&3 >= 2 {
				n++ // its properties
			}
			err = s.skip(n)
		}
		if err != nil {
			return err
		}
	}
}

// index goes through a stream's index, whose first byte was read, and its footer. The library compares what they say.
func (s *xzSurvey) index(blocks uint64) error {
	begin := s.at - 1
	n, err := binary.ReadUvarint(s)
	if err == nil && n != blocks {
		return fmt.Errorf("xz: the index has %d blocks, and there are %d", n, blocks)
	}
	for range 2 * blocks {
		if err == nil {
			_, err = binary.ReadUvarint(s)
		}
	}
	if err == nil {
		err = s.skip(padding(s.at-begin) + 4)
	}
	if err != nil {
		return err
	}
	footer, err := s.read(xzHeader)
	if err == nil && string(footer[xzHeader-2:]) != xzEnd {
		err = errors.New("xz: a stream has no end")
	}
	return err
}

// padding is how many bytes are missing to a multiple of four.
func padding(n int64) int64 { return -n & 3 }
