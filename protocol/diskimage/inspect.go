package diskimage

import (
	"bytes"
	"encoding/binary"
	"io"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// Inspect tells what the image of size bytes in r is. An image that must not be used gives an *Error; what of Info is
// known then is given too. Other errors are those of r.
func Inspect(r io.ReaderAt, size int64, l Limits) (Info, error) {
	budget := int64(mostRead)
	s := &source{r: r, size: size, limits: l, budget: &budget}
	return s.inspect()
}

func (s *source) inspect() (Info, error) {
	info := Info{FileSize: s.size}
	head, err := s.begin(isoMagicAt + 8)
	if err != nil {
		return info, err
	}
	if len(head) == 0 {
		return info, refuse(0, Truncated, "the file is empty")
	}
	info.Format = s.detect(head)
	err = s.headers(head, &info)
	s.compare(&info)
	return info, err
}

// headers reads the headers of a format that may be accepted, and refuses what is not safe.
func (s *source) headers(head []byte, info *Info) error {
	switch info.Format {
	case 0:
		return s.bare(head, info)
	case QCOW2:
		return s.qcow2(head, info)
	case VMDK:
		return s.vmdk(head, info)
	case VDI:
		return s.vdi(head, info)
	case VHD:
		return s.vhd(head, info)
	case VHDX:
		return s.vhdx(info)
	case OVA:
		return s.ova(info)
	default:
		return s.unread(info)
	}
}

// magics are what formats begin with, or have at a fixed place.
var magics = []struct {
	at     int
	magic  string
	format Format
}{
	{0, "QFI\xfb\x00\x00\x00\x01", QCOW1},
	{0, "QFI\xfb", QCOW2},
	{0, "KDMV", VMDK},
	{0, "COWD", VMDKLegacy},
	{0, "\xbe\xba\xfe\xca\x00\x00\x00\x00", VMDKLegacy}, // seSparse
	{0, "conectix", VHD},
	{0, "vhdxfile", VHDX},
	{0, "QED\x00", QED},
	{0, "OOOM", COW},
	{0, "WithoutFreeSpace", Parallels},
	{0, "WithouFreSpacExt", Parallels},
	{0, "Bochs Virtual HD Image", Bochs},
	{0, "#!/bin/sh\n#V2.0 Format\n", Cloop},
	{0, "LUKS\xba\xbe", LUKS},
	{0, "\x1f\x8b\x08", Gzip},
	{0, "\xfd7zXZ\x00", Xz},
	{0, "\x28\xb5\x2f\xfd", Zstd},
	{4, "1AY&SY", Bzip2}, // after "BZh" and a digit
	{0, "PK\x03\x04", Zip},
	{64, "\x7f\x10\xda\xbe", VDI},
	{257, "ustar", OVA},
	{isoMagicAt, "CD001", ISO},
}

// isoMagicAt is where the first volume descriptor of ISO 9660 has its name.
const isoMagicAt = 32769

// detect tells the format by what the file begins with; 0 = by nothing.
func (s *source) detect(head []byte) Format {
	for _, m := range magics {
		if m.at <= len(head) && bytes.HasPrefix(head[m.at:], []byte(m.magic)) && (m.format != Bzip2 || bytes.HasPrefix(head, []byte("BZh"))) {
			return m.format
		}
	}
	if isDescriptor(head) {
		return VMDKText
	}
	return 0
}

// isDescriptor tells whether a file is a VMDK's text: QEMU takes comments and blank lines, then "version=".
func isDescriptor(head []byte) bool {
	for line := range bytes.Lines(head[:min(len(head), 4096)]) {
		line = bytes.ToLower(bytes.TrimSpace(line))
		switch {
		case bytes.HasPrefix(line, []byte("# disk descriptorfile")):
			return true
		case len(line) > 0 && line[0] != '#':
			rest, found := bytes.CutPrefix(line, []byte("version"))
			return found && bytes.HasPrefix(bytes.TrimSpace(rest), []byte("="))
		}
	}
	return false
}

// unread judges what is recognised and has no reader.
func (s *source) unread(info *Info) error {
	switch f := info.Format; {
	case f.Compressed() && s.limits.Compressed, f == ISO && s.limits.ISO:
		if f == ISO && s.size >= 0 {
			n, err := s.disk(f, uint64(s.size))
			info.VirtualSize = n
			return err
		}
		return nil
	case f.Compressed():
		return &Error{Reason: Packed, Format: f}
	case f == ISO:
		return &Error{Reason: NotWanted, Format: f}
	case f == VMDKText:
		return refuse(f, Descriptor, "it would have files of this host read")
	case f == LUKS:
		return &Error{Reason: Encrypted, Format: f}
	default:
		return &Error{Reason: Forbidden, Format: f}
	}
}

// compare warns when the source says something else than the file.
func (s *source) compare(info *Info) {
	if s.limits.Declared == "" || info.Format == 0 {
		return
	}
	if said, err := ParseFormat(s.limits.Declared); err != nil || said != info.Format {
		info.warn("the source says %.80q, and the file is %s", s.limits.Declared, info.Format)
	}
}
