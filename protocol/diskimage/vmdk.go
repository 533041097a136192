package diskimage

import (
	"bytes"
	"encoding/binary"
)

// vmdkHeader is the header of a sparse extent, little-endian; sizes and places in sectors.
type vmdkHeader struct {
	Magic, Version, Flags                     uint32
	Capacity, GrainSize                       uint64
	DescriptorAt, DescriptorSize              uint64
	EntriesPerTable                           uint32
	RedundantDirectoryAt, DirectoryAt, DataAt uint64
	UncleanShutdown                           uint8
	LineEnds                                  [4]byte
	Compression                               uint16
}

const (
	vmdkDirectoryAtEnd = ^uint64(0) // the directory's place stands in the footer
	vmdkFooter         = 3 * sector // marker, header, end of the stream
	vmdkFooterMarker   = 3
	vmdkDescriptorRead = 20 * sector // QEMU looks for a parent in so much, whatever size the header says
	vmdkDescriptorMost = 2048        // sectors
)

// vmdk reads a sparse extent with its descriptor within: monolithicSparse and streamOptimized.
func (s *source) vmdk(head []byte, info *Info) error {
	h, err := vmdkParse(head)
	if err != nil {
		return err
	}
	if err := h.check(); err != nil {
		return err
	}
	n, err := s.disk(VMDK, h.bytes())
	if err != nil {
		return err
	}
	info.VirtualSize = n
	if h.DirectoryAt == vmdkDirectoryAtEnd {
		if err := s.vmdkFooter(h); err != nil {
			return err
		}
	} else if !s.within(h.DirectoryAt*sector, sector) {
		return refuse(VMDK, Truncated, "the grain directory at sector %d is beyond its end at byte %d", h.DirectoryAt, s.size)
	}
	text, err := s.vmdkText(h)
	if err != nil {
		return err
	}
	if info.Variant, err = vmdkDescriptor(text, h.Capacity, info); err != nil {
		return err
	}
	if (info.Variant == vmdkStream) != (h.Flags&(1<<16) != 0) {
		return refuse(VMDK, Corrupt, "createType %s, and flags %#x", info.Variant, h.Flags)
	}
	return nil
}

func vmdkParse(b []byte) (vmdkHeader, error) {
	var h vmdkHeader
	if _, err := binary.Decode(b, le, &h); err != nil {
		return h, refuse(VMDK, Truncated, "its header has %d bytes", len(b))
	}
	return h, nil
}

// bytes is the disk's size; too much for 64 bits gives what no limit allows.
func (h vmdkHeader) bytes() uint64 {
	if h.Capacity > 1<<54 {
		return 1 << 63
	}
	return h.Capacity * sector
}

func (h vmdkHeader) check() error {
	switch {
	case h.Version < 1 || h.Version > 3:
		return refuse(VMDK, Unsupported, "version %d", h.Version)
	case h.Capacity == 0: // QEMU would then take the descriptor within for one of other files
		return refuse(VMDK, Descriptor, "its header says that it holds no data of its own")
	case h.Compression > 1:
		return refuse(VMDK, Unsupported, "compression %d", h.Compression)
	case h.GrainSize < 1 || h.GrainSize > 1<<16 || h.GrainSize&(h.GrainSize-1) != 0:
		return refuse(VMDK, Corrupt, "grains of %d sectors", h.GrainSize)
	case h.EntriesPerTable < 1 || h.EntriesPerTable > 512:
		return refuse(VMDK, Corrupt, "grain tables of %d entries", h.EntriesPerTable)
	case h.DescriptorAt == 0 || h.DescriptorSize == 0:
		return refuse(VMDK, Descriptor, "it has no descriptor within, and is an extent of another file's")
	case h.DescriptorSize > vmdkDescriptorMost || h.DescriptorAt > 1<<31:
		return refuse(VMDK, Corrupt, "a descriptor of %d sectors at %d", h.DescriptorSize, h.DescriptorAt)
	case h.DirectoryAt != vmdkDirectoryAtEnd && h.DirectoryAt > 1<<54:
		return refuse(VMDK, Corrupt, "a grain directory at sector %d", h.DirectoryAt)
	}
	return nil
}

// vmdkFooter checks that the header at the end, which counts, says the same as the one at the beginning.
func (s *source) vmdkFooter(h vmdkHeader) error {
	end, err := s.end(VMDK, vmdkFooter)
	if end == nil || err != nil {
		return err
	}
	zero := make([]byte, 16)
	switch {
	case le.Uint32(end[8:]) != 0 || le.Uint32(end[12:]) != vmdkFooterMarker, !bytes.Equal(end[2*sector:2*sector+16], zero):
		return refuse(VMDK, Truncated, "the footer is missing")
	}
	f, err := vmdkParse(end[sector:])
	if err != nil {
		return err
	}
	same := f
	same.DirectoryAt, same.RedundantDirectoryAt, same.DataAt, same.UncleanShutdown = h.DirectoryAt, h.RedundantDirectoryAt, h.DataAt, h.UncleanShutdown
	if f.DescriptorAt == 0 { // as some write it
		same.DescriptorAt, same.DescriptorSize = h.DescriptorAt, h.DescriptorSize
	}
	switch {
	case same != h:
		return refuse(VMDK, Corrupt, "its footer says something else than its header")
	case f.DirectoryAt > 1<<54 || !s.within(f.DirectoryAt*sector, sector):
		return refuse(VMDK, Truncated, "the grain directory at sector %d is beyond its end at byte %d", f.DirectoryAt, s.size)
	}
	return nil
}

// vmdkText gives the descriptor within, and as much after it as QEMU would look at.
func (s *source) vmdkText(h vmdkHeader) ([]byte, error) {
	at, n := int64(h.DescriptorAt)*sector, int64(h.DescriptorSize)*sector
	text, err := s.read(VMDK, at, n)
	if err != nil {
		return nil, err
	}
	if s.size >= 0 {
		more, err := s.read(VMDK, at, min(max(n, vmdkDescriptorRead), s.size-at))
		if err != nil {
			return nil, err
		}
		if bytes.Contains(bytes.ToLower(more), []byte("parentfilenamehint")) {
			return nil, refuse(VMDK, BackingFile, "its descriptor names a parent's file")
		}
	}
	text, _, _ = bytes.Cut(text, []byte{0})
	return text, nil
}
