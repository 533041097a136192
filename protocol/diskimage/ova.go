package diskimage

import (
	"archive/tar"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Bounds of an OVA.
const (
	mostMembers = 100
	mostOVF     = 1 << 20 // bytes of the descriptor
)

// ovaMember is a file of the archive.
type ovaMember struct {
	name     string
	at, size int64
}

// ova reads an archive of an OVF descriptor and one disk, in any order (DSP0243), and inspects the disk in its place.
func (s *source) ova(info *Info) error {
	members, err := s.ovaMembers()
	if err != nil {
		return err
	}
	var descriptors, disks []ovaMember
	for _, m := range members {
		switch {
		case strings.EqualFold(path.Ext(m.name), ".ovf"):
			descriptors = append(descriptors, m)
		case isDiskName(m.name):
			disks = append(disks, m)
		}
	}
	if len(descriptors) != 1 {
		return refuse(OVA, Archive, "it has %d .ovf descriptors, not one", len(descriptors))
	}
	name, packed, err := s.ovf(descriptors[0])
	if err != nil {
		return err
	}
	i := slices.IndexFunc(members, func(m ovaMember) bool { return m.name == name })
	if i < 0 {
		return refuse(OVA, Archive, "its descriptor names the disk %.80q, which is not in it", name)
	}
	if !slices.Contains(disks, members[i]) {
		disks = append(disks, members[i])
	}
	if len(disks) != 1 {
		return refuse(OVA, Archive, "it has %d disks, not one", len(disks))
	}
	return s.ovaDisk(members[i], packed, info)
}

// isDiskName tells a disk by its name; the one that the descriptor names may be called anything.
func isDiskName(name string) bool {
	name = strings.TrimSuffix(strings.ToLower(name), ".gz")
	return slices.Contains([]string{".vmdk", ".qcow2", ".vdi", ".vhd", ".vhdx", ".img", ".raw"}, path.Ext(name))
}

// ovaMembers lists the archive, and refuses what a plain OVA has not.
func (s *source) ovaMembers() ([]ovaMember, error) {
	if s.size < 0 {
		return nil, &outsideError{}
	}
	section := io.NewSectionReader(s, 0, s.size)
	r := tar.NewReader(section)
	var members []ovaMember
	names := map[string]bool{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return members, nil
		}
		if err != nil {
			return nil, tarError(err)
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("reading the archive: %w", err)
		}
		switch {
		case len(members) == mostMembers:
			return nil, refuse(OVA, Archive, "it has more than %d members", mostMembers)
		case h.Typeflag != tar.TypeReg || isSparse(h):
			return nil, refuse(OVA, Archive, "its member %.80q is no plain file", h.Name)
		case h.Name == "" || h.Name == "." || h.Name == ".." || strings.ContainsAny(h.Name, "/\\\x00"):
			return nil, refuse(OVA, Archive, "its member %.80q is not named plainly", h.Name)
		case names[h.Name]:
			return nil, refuse(OVA, Archive, "its member %.80q is there twice", h.Name)
		case h.Size < 0 || h.Size > s.size-at:
			return nil, refuse(OVA, Truncated, "its member %.80q of %d bytes at %d is beyond its end at %d", h.Name, h.Size, at, s.size)
		}
		names[h.Name] = true
		members = append(members, ovaMember{name: h.Name, at: at, size: h.Size})
	}
}

func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// tarError tells what is wrong with the archive from what is wrong with reading it.
func tarError(err error) error {
	_, outside := errors.AsType[*outsideError](err)
	_, refused := errors.AsType[*Error](err)
	switch {
	case outside || refused:
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(OVA, Truncated, "the archive breaks off")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return refuse(OVA, Corrupt, "%v", err)
	}
	return fmt.Errorf("reading the archive: %w", err)
}

// ovfEnvelope is what counts of a descriptor. Namespaces differ between versions and do not.
type ovfEnvelope struct {
	Files []struct {
		ID          string `xml:"id,attr"`
		Href        string `xml:"href,attr"`
		Compression string `xml:"compression,attr"`
		Chunk       string `xml:"chunkSize,attr"`
	} `xml:"References>File"`
	Disks []struct {
		FileRef string `xml:"fileRef,attr"`
		Parent  string `xml:"parentRef,attr"`
	} `xml:"DiskSection>Disk"`
}

// ovf gives the name of the disk's file by the descriptor, and how it is packed.
func (s *source) ovf(m ovaMember) (name string, packed bool, err error) {
	if m.size > mostOVF {
		return "", false, refuse(OVA, Archive, "its descriptor has %d bytes", m.size)
	}
	text, err := s.read(OVA, m.at, m.size)
	if err != nil {
		return "", false, err
	}
	var e ovfEnvelope
	if err := xml.Unmarshal(text, &e); err != nil {
		return "", false, refuse(OVA, Archive, "its descriptor cannot be read: %.120q", err.Error())
	}
	if len(e.Disks) != 1 {
		return "", false, refuse(OVA, Archive, "its descriptor has %d disks, not one", len(e.Disks))
	}
	if e.Disks[0].Parent != "" {
		return "", false, refuse(OVA, BackingFile, "its descriptor names a parent of the disk")
	}
	for _, f := range e.Files {
		switch {
		case f.ID == "" || f.ID != e.Disks[0].FileRef:
			continue
		case f.Chunk != "":
			return "", false, refuse(OVA, Unsupported, "its disk is cut into chunks")
		case f.Compression != "" && f.Compression != "identity" && f.Compression != "gzip":
			return "", false, refuse(OVA, Unsupported, "compression %.40q", f.Compression)
		}
		return f.Href, f.Compression == "gzip", nil
	}
	return "", false, refuse(OVA, Archive, "its descriptor names no file of the disk")
}

// ovaDisk inspects the disk where it lies.
func (s *source) ovaDisk(m ovaMember, packed bool, info *Info) error {
	part := s.part(m.at, m.size)
	part.limits.Declared = ""
	disk, err := part.inspect()
	info.Disk = &Member{Name: m.name, Offset: m.at, Size: m.size, Info: disk}
	if refused, ok := errors.AsType[*Error](err); ok {
		detail := refused.Detail
		if refused.Format != 0 {
			detail = strings.TrimSuffix(fmt.Sprintf("its disk %.80q is %s: %s", m.name, refused.Format, detail), ": ")
		}
		return &Error{Reason: refused.Reason, Format: OVA, Detail: detail}
	}
	if err != nil {
		return err
	}
	if disk.Format != VMDK && disk.Format != QCOW2 && !disk.Format.Compressed() {
		return refuse(OVA, Archive, "its disk %.80q is %s", m.name, disk.Format)
	}
	if packed != (disk.Format == Gzip) {
		info.warn("its descriptor and its disk %.80q do not agree on compression", m.name)
	}
	info.Variant, info.VirtualSize = disk.Format.String(), disk.VirtualSize
	info.Warnings = append(info.Warnings, disk.Warnings...)
	return nil
}
