package diskimage

// Bits of qcow2's incompatible features.
const (
	qcow2Dirty = 1 << iota
	qcow2Corrupt
	qcow2DataFile
	qcow2Compression
	qcow2Known = qcow2Dirty | qcow2Corrupt | qcow2DataFile | qcow2Compression
)

// mostL1 is the largest table of the first level, in bytes, that QEMU reads.
const mostL1 = 32 << 20

// qcow2 reads the header of versions 2 and 3 (docs/interop/qcow2.rst).
func (s *source) qcow2(head []byte, info *Info) error {
	if len(head) < 72 {
		return refuse(QCOW2, Truncated, "its header has %d bytes", len(head))
	}
	switch v := be.Uint32(head[4:]); v {
	case 2:
		info.Variant = "version 2"
	case 3:
		info.Variant = "version 3"
		if err := qcow2Features(head, info); err != nil {
			return err
		}
	default:
		return refuse(QCOW2, Unsupported, "version %d", v)
	}
	if off := be.Uint64(head[8:]); off != 0 {
		return refuse(QCOW2, BackingFile, "%.80q", qcow2Backing(head, off))
	}
	if method := be.Uint32(head[32:]); method != 0 {
		return refuse(QCOW2, Encrypted, "method %d", method)
	}
	if be.Uint32(head[60:]) > 0 {
		info.warn("it has %d snapshots within, which are of no use", be.Uint32(head[60:]))
	}
	n, err := s.disk(QCOW2, be.Uint64(head[24:]))
	if err != nil {
		return err
	}
	info.VirtualSize = n
	return s.qcow2Tables(head, uint64(n))
}

// qcow2Features judges what version 3 adds.
func qcow2Features(head []byte, info *Info) error {
	if len(head) < 104 {
		return refuse(QCOW2, Truncated, "its header has %d bytes", len(head))
	}
	bits := be.Uint64(head[72:])
	switch {
	case bits&qcow2DataFile != 0:
		return refuse(QCOW2, ExternalData, "incompatible feature bit 2")
	case bits&^qcow2Known != 0:
		return refuse(QCOW2, Unsupported, "incompatible features %#x", bits&^qcow2Known)
	case bits&qcow2Corrupt != 0:
		return refuse(QCOW2, Corrupt, "it is marked as corrupt")
	}
	if bits&qcow2Dirty != 0 {
		info.warn("it was not closed: its reference counts may be wrong")
	}
	if bits&qcow2Compression != 0 {
		info.Variant = "version 3, zstd"
		info.warn("it is compressed by zstd: the site needs QEMU 5.1 or newer")
	}
	if n := be.Uint32(head[100:]); n < 104 || n%8 != 0 {
		return refuse(QCOW2, Corrupt, "its header says that it has %d bytes", n)
	}
	return nil
}

// qcow2Backing gives the name of the backing file, as far as it is at hand.
func qcow2Backing(head []byte, off uint64) []byte {
	n := uint64(be.Uint32(head[16:]))
	if off > uint64(len(head)) {
		return nil
	}
	return head[off:min(off+min(n, 1023), uint64(len(head)))]
}

// qcow2Tables checks that the tables hold the disk and lie in the file.
func (s *source) qcow2Tables(head []byte, virtual uint64) error {
	bits := be.Uint32(head[20:])
	if bits < 9 || bits > 21 {
		return refuse(QCOW2, Corrupt, "clusters of 2^%d bytes", bits)
	}
	covered := uint64(1) << (2*bits - 3) // bytes of the disk by entry of the first level
	entries, need := uint64(be.Uint32(head[36:])), (virtual+covered-1)/covered
	switch {
	case entries < need:
		return refuse(QCOW2, Corrupt, "the table of the first level has %d entries, and the disk needs %d", entries, need)
	case entries*8 > mostL1:
		return refuse(QCOW2, Corrupt, "the table of the first level has %d entries", entries)
	}
	cluster := uint64(1) << bits
	for _, t := range []struct {
		name    string
		off, of uint64
	}{{"table of the first level", be.Uint64(head[40:]), entries * 8}, {"table of reference counts", be.Uint64(head[48:]), uint64(be.Uint32(head[56:])) * cluster}} {
		switch {
		case t.off%cluster != 0 || t.off == 0:
			return refuse(QCOW2, Corrupt, "the %s is at %d", t.name, t.off)
		case !s.within(t.off, t.of):
			return refuse(QCOW2, Truncated, "the %s at %d is beyond its end at %d", t.name, t.off, s.size)
		}
	}
	return nil
}
