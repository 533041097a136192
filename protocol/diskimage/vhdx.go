package diskimage

import (
	"bytes"
	"fmt"
	"hash/crc32"
)

// Names of what is in a VHDX, as they stand in the file (MS-VHDX 2.2, 2.6).
const (
	vhdxMetadata = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
	vhdxFile     = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	vhdxSize     = "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8"
	vhdxParent   = "\x2d\x5f\xd3\xa8\x0b\xb3\x4d\x45\xab\xf7\xd3\xd8\x48\x34\xab\x0c"
)

const vhdxTable = 64 << 10 // bytes of a table of regions, and of one of metadata

// vhdx reads both tables of regions and the metadata that each points at: which of them counts is the reader's choice.
func (s *source) vhdx(info *Info) error {
	var found []int64
	for _, at := range []int64{192 << 10, 256 << 10} {
		places, err := s.vhdxRegions(at)
		if err != nil {
			return err
		}
		found = append(found, places...)
	}
	if len(found) == 0 {
		return refuse(VHDX, Corrupt, "it has no table of regions that is whole")
	}
	for i, at := range found {
		if i > 0 && at == found[i-1] {
			continue
		}
		n, err := s.vhdxMetadata(at)
		if err != nil {
			return err
		}
		if info.VirtualSize != 0 && info.VirtualSize != n {
			return refuse(VHDX, Corrupt, "disks of %d and %d bytes", info.VirtualSize, n)
		}
		info.VirtualSize = n
	}
	return s.vhdxLog(info)
}

// vhdxRegions gives where the metadata is, by one table of regions; nothing when the table is not whole.
func (s *source) vhdxRegions(at int64) ([]int64, error) {
	b, err := s.read(VHDX, at, vhdxTable)
	if err != nil {
		return nil, err
	}
	sum := le.Uint32(b[4:])
	copy(b[4:8], make([]byte, 4))
	if !bytes.HasPrefix(b, []byte("regi")) || crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) != sum {
		return nil, nil
	}
	n := int(le.Uint32(b[8:]))
	if n < 0 || n > 2047 {
		return nil, refuse(VHDX, Corrupt, "%d regions", n)
	}
	for i := range n {
		e := b[16+32*i:]
		if string(e[:16]) != vhdxMetadata {
			continue
		}
		if off := le.Uint64(e[16:]); off <= 1<<62 {
			return []int64{int64(off)}, nil
		}
	}
	return nil, refuse(VHDX, Corrupt, "a table of regions without metadata")
}

// vhdxMetadata refuses a disk with a parent, and gives the disk's size.
func (s *source) vhdxMetadata(at int64) (int64, error) {
	b, err := s.read(VHDX, at, vhdxTable)
	if err != nil {
		return 0, err
	}
	n := int(le.Uint16(b[10:]))
	if !bytes.HasPrefix(b, []byte("metadata")) || n > 2047 {
		return 0, refuse(VHDX, Corrupt, "there is no metadata at %d", at)
	}
	items := map[string][]byte{}
	for i := range n {
		e := b[32+32*i:]
		name, off, size := string(e[:16]), int64(le.Uint32(e[16:])), int64(le.Uint32(e[20:]))
		if name == vhdxParent {
			return 0, refuse(VHDX, BackingFile, "it has a parent locator")
		}
		if name != vhdxFile && name != vhdxSize {
			continue
		}
		if size != 8 || items[name] != nil {
			return 0, refuse(VHDX, Corrupt, "metadata of %d bytes, or twice", size)
		}
		if items[name], err = s.read(VHDX, at+off, size); err != nil {
			return 0, err
		}
	}
	switch {
	case items[vhdxFile] == nil || items[vhdxSize] == nil:
		return 0, refuse(VHDX, Corrupt, "metadata without the disk's size")
	case le.Uint32(items[vhdxFile][4:])&2 != 0:
		return 0, refuse(VHDX, BackingFile, "it says that it has a parent")
	}
	return s.disk(VHDX, le.Uint64(items[vhdxSize]))
}

// vhdxLog warns of a log that was not written back: QEMU opens such an image only to write.
func (s *source) vhdxLog(info *Info) error {
	var newest uint64
	var log [16]byte
	for _, at := range []int64{64 << 10, 128 << 10} {
		h, err := s.read(VHDX, at, 64)
		if err != nil {
			return err
		}
		if n := le.Uint64(h[8:]); bytes.HasPrefix(h, []byte("head")) && n >= newest {
			newest, log = n, [16]byte(h[48:])
		}
	}
	if log != [16]byte{} {
		info.Warnings = append(info.Warnings, fmt.Sprintf("it was not closed: its log %x is to be replayed", log[:4]))
	}
	return nil
}
