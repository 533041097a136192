package diskimage

import "bytes"

const sector = 512 // bytes

// bare judges a file whose beginning is of no container: its end may be, or it is a disk as it stands.
func (s *source) bare(head []byte, info *Info) error {
	if s.size < 0 || s.size >= sector {
		end, err := s.end(0, sector)
		if err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(end, []byte("koly")):
			info.Format = DMG
			return s.unread(info)
		case bytes.HasPrefix(end, []byte("conectix")):
			info.Format = VHD
			return s.fixedVHD(end, info)
		}
	}
	said, _ := ParseFormat(s.limits.Declared)
	if said == VHD && s.tail > 0 { // the end has to tell
		info.Format = VHD
		return &outsideError{off: s.size - sector, n: sector}
	}
	switch {
	case len(head) >= 2*sector && bytes.HasPrefix(head[sector:], []byte("EFI PART")):
		info.Variant = "gpt"
	case len(head) >= sector && head[510] == 0x55 && head[511] == 0xaa:
		info.Variant = "mbr"
	case said != Raw:
		return refuse(0, Unknown, "it begins with %.40q", head[:min(len(head), 16)])
	case isText(head):
		return refuse(0, Unknown, "it is text, and begins with %.80q", head[:min(len(head), 40)])
	}
	info.Format = Raw
	if s.size < 0 {
		return nil
	}
	if s.size%sector != 0 {
		return refuse(Raw, Truncated, "%d bytes are no multiple of %d", s.size, sector)
	}
	n, err := s.disk(Raw, uint64(s.size))
	info.VirtualSize = n
	return err
}

// isText tells whether a file begins with a block of text, as an error page that was saved as an image does.
func isText(head []byte) bool {
	for _, c := range head[:min(len(head), sector)] {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
