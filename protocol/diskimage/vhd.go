package diskimage

import "bytes"

// Types of a VHD.
const (
	vhdFixed   = 2
	vhdDynamic = 3
)

// vhd reads a VHD that begins with the copy of its footer: a dynamic one.
func (s *source) vhd(head []byte, info *Info) error {
	if len(head) < 3*sector {
		return refuse(VHD, Truncated, "its headers have %d bytes", len(head))
	}
	if err := s.vhdFooter(head[:sector], info); err != nil {
		return err
	}
	if kind := be.Uint32(head[60:]); kind != vhdDynamic {
		return refuse(VHD, Corrupt, "type %d, and it begins as a dynamic one", kind)
	}
	info.Variant = "dynamic"
	h, err := s.vhdDynamic(be.Uint64(head[16:]))
	if err != nil {
		return err
	}
	block, entries, table := uint64(be.Uint32(h[32:])), uint64(be.Uint32(h[28:])), be.Uint64(h[16:])
	switch {
	case block < sector || block&(block-1) != 0 || block*entries < uint64(info.VirtualSize):
		return refuse(VHD, Corrupt, "%d blocks of %d bytes for a disk of %d", entries, block, info.VirtualSize)
	case [16]byte(h[40:]) != [16]byte{}:
		return refuse(VHD, BackingFile, "it names a parent")
	case !s.within(table, entries*4):
		return refuse(VHD, Truncated, "its table at %d is beyond its end at %d", table, s.size)
	}
	end, err := s.end(VHD, sector)
	if end == nil || err != nil {
		return err
	}
	if !bytes.Equal(end, head[:sector]) {
		return refuse(VHD, Truncated, "it does not end with the footer that it begins with")
	}
	return nil
}

// vhdDynamic gives the header of a dynamic disk.
func (s *source) vhdDynamic(at uint64) ([]byte, error) {
	if at > 1<<62 {
		return nil, refuse(VHD, Corrupt, "a header at %d", at)
	}
	h, err := s.read(VHD, int64(at), 1024)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(h, []byte("cxsparse")) || !vhdSum(h, 36) {
		return nil, refuse(VHD, Corrupt, "there is no header of a dynamic disk at %d", at)
	}
	return h, nil
}

// fixedVHD judges a disk as it stands, with a footer after it.
func (s *source) fixedVHD(footer []byte, info *Info) error {
	if err := s.vhdFooter(footer, info); err != nil {
		return err
	}
	switch kind := be.Uint32(footer[60:]); {
	case kind == vhdDynamic:
		return refuse(VHD, Truncated, "a dynamic disk without its beginning")
	case info.VirtualSize > s.size-sector:
		return refuse(VHD, Truncated, "%d bytes hold no disk of %d", s.size, info.VirtualSize)
	}
	info.Variant = "fixed"
	return nil
}

// vhdFooter reads the footer, wherever it stands.
func (s *source) vhdFooter(b []byte, info *Info) error {
	switch kind := be.Uint32(b[60:]); {
	case !vhdSum(b, 64):
		return refuse(VHD, Corrupt, "the checksum of its footer is wrong")
	case be.Uint32(b[12:])>>16 != 1:
		return refuse(VHD, Unsupported, "version %d", be.Uint32(b[12:])>>16)
	case kind == 4:
		return refuse(VHD, BackingFile, "type 4: a difference to another image")
	case kind != vhdFixed && kind != vhdDynamic:
		return refuse(VHD, Unsupported, "type %d", kind)
	}
	n, err := s.disk(VHD, be.Uint64(b[48:]))
	if err != nil {
		return err
	}
	info.VirtualSize = n
	return nil
}

// vhdSum tells whether the checksum at a place of a header is right: the complement of the sum of all other bytes.
func vhdSum(b []byte, at int) bool {
	var sum uint32
	for i, c := range b {
		if i < at || i >= at+4 {
			sum += uint32(c)
		}
	}
	return be.Uint32(b[at:]) == ^sum
}
