package diskimage

// Types of a VDI.
const (
	vdiDynamic = 1
	vdiFixed   = 2
)

// vdi reads VirtualBox's header, version 1.1.
func (s *source) vdi(head []byte, info *Info) error {
	if len(head) < sector {
		return refuse(VDI, Truncated, "its header has %d bytes", len(head))
	}
	if v := le.Uint32(head[68:]); v != 1<<16|1 {
		return refuse(VDI, Unsupported, "version %d.%d", v>>16, v&0xffff)
	}
	switch kind := le.Uint32(head[76:]); kind {
	case vdiDynamic:
		info.Variant = "dynamic"
	case vdiFixed:
		info.Variant = "fixed"
	default:
		return refuse(VDI, BackingFile, "type %d: a difference to another image", kind)
	}
	if [32]byte(head[424:]) != [32]byte{} { // the UUIDs of what it is linked to, and of its parent
		return refuse(VDI, BackingFile, "it names a parent")
	}
	n, err := s.disk(VDI, le.Uint64(head[368:]))
	if err != nil {
		return err
	}
	info.VirtualSize = n
	block, blocks, allocated := uint64(le.Uint32(head[376:])), uint64(le.Uint32(head[384:])), uint64(le.Uint32(head[388:]))
	table, data := uint64(le.Uint32(head[340:])), uint64(le.Uint32(head[344:]))
	switch {
	case block < sector || block&(block-1) != 0 || le.Uint32(head[360:]) != sector:
		return refuse(VDI, Corrupt, "blocks of %d bytes, sectors of %d", block, le.Uint32(head[360:]))
	case le.Uint32(head[380:]) != 0:
		return refuse(VDI, Unsupported, "%d bytes beside each block", le.Uint32(head[380:]))
	case blocks*block < uint64(n) || allocated > blocks:
		return refuse(VDI, Corrupt, "%d blocks of %d bytes, %d of them in the file, for a disk of %d", blocks, block, allocated, n)
	case !s.within(table, blocks*4), !s.within(data, allocated*block):
		return refuse(VDI, Truncated, "%d blocks of %d bytes at %d are beyond its end at %d", allocated, block, data, s.size)
	}
	return nil
}
