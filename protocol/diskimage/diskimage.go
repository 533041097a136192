// Package diskimage tells what a disk image is, and whether it is safe to hand to a hypervisor or to qemu-img. It looks at
// the bytes alone: what a list, a name or a server says of the format is only compared with them. It does no I/O of its own.
//
//	detect (magic) → read the format's header → refuse what points outside the file → Info
//
// A whole file is judged by Inspect; a stream by Head, before its first byte is given on, and by Watcher.Tail, before its
// last ones are. Both run the same checks. Reading is bounded: a few header blocks, never the disk's content.
//
// The formats and their traps: QEMU's docs/interop (qcow2, vhdx), VMware's Virtual Disk Format 5.0, Microsoft's VHD
// specification, DSP0243 (OVF). What is refused goes back to CVE-2015-1850, CVE-2022-47951 and CVE-2024-32498.
package diskimage

import (
	"fmt"
	"strings"
)

// DefaultMaxVirtual is the largest disk that is accepted where Limits name no other: 16 TiB.
const DefaultMaxVirtual = 16 << 40

// Limits say what is accepted.
type Limits struct {
	MaxVirtual int64  // bytes that the disk may have for a machine; 0 = DefaultMaxVirtual
	Declared   string // the format that the source says, "RAW", "qcow2"; "" = it says none. The file wins, with a warning
	ISO        bool   // accept ISO 9660 images
	Compressed bool   // accept gzip, bzip2, xz and zstd of anything: who unpacks it inspects the result anew
}

func (l Limits) maxVirtual() int64 {
	if l.MaxVirtual > 0 {
		return l.MaxVirtual
	}
	return DefaultMaxVirtual
}

// Info is what a disk image is. Its JSON form is stable.
type Info struct {
	Format      Format   `json:"format"`
	Variant     string   `json:"variant,omitempty"`      // of the format: "version 3", "streamOptimized", "dynamic", "gpt"
	VirtualSize int64    `json:"virtual_size,omitempty"` // bytes of the disk for a machine; 0 = not known yet, or packed
	FileSize    int64    `json:"file_size"`              // bytes of the file; -1 = not known yet
	Disk        *Member  `json:"disk,omitempty"`         // of an OVA
	Warnings    []string `json:"warnings,omitempty"`     // for people
}

// Member is the disk within an archive. It lies in one piece at Offset of the archive.
type Member struct {
	Name   string `json:"name"`   // plain: no directory
	Offset int64  `json:"offset"` // bytes
	Size   int64  `json:"size"`   // bytes
	Info   Info   `json:"info"`
}

func (i *Info) warn(format string, a ...any) {
	i.Warnings = append(i.Warnings, fmt.Sprintf(format, a...))
}

// Describe gives the lines of a table: what, and its value.
func (i Info) Describe() [][2]string {
	format := i.Format.String()
	if i.Variant != "" {
		format += " (" + i.Variant + ")"
	}
	lines := [][2]string{{"format", format}}
	if i.VirtualSize > 0 {
		lines = append(lines, [2]string{"virtual size", fmt.Sprintf("%d bytes", i.VirtualSize)})
	}
	if i.FileSize >= 0 {
		lines = append(lines, [2]string{"file size", fmt.Sprintf("%d bytes", i.FileSize)})
	}
	if d := i.Disk; d != nil {
		lines = append(lines, [2]string{"disk", fmt.Sprintf("%.80q, %d bytes at %d", d.Name, d.Size, d.Offset)})
		for _, l := range d.Info.Describe() {
			if l[0] != "file size" && l[0] != "warning" {
				lines = append(lines, [2]string{"disk's " + l[0], l[1]})
			}
		}
	}
	for _, w := range i.Warnings {
		lines = append(lines, [2]string{"warning", w})
	}
	return lines
}

// Reason is why an image is refused. Its text is stable.
type Reason string

// Reasons.
const (
	Unknown      Reason = "unknown format"
	Forbidden    Reason = "format that is never accepted"
	Descriptor   Reason = "descriptor of other files"
	BackingFile  Reason = "backing file"
	ExternalData Reason = "data in another file"
	Encrypted    Reason = "encrypted"
	Unsupported  Reason = "feature that is not accepted"
	TooLarge     Reason = "virtual size over the limit"
	Truncated    Reason = "truncated"
	Corrupt      Reason = "contradicts itself"
	Packed       Reason = "compressed"
	NotWanted    Reason = "not accepted here" // ISO without its option
	Archive      Reason = "archive that is no plain OVA"
	Changed      Reason = "its end says something else" // of a stream: Inspect may accept it as a whole
)

// Error is an image that is refused. Another error is one of reading.
type Error struct {
	Reason Reason
	Format Format // what it was recognised as; 0 = nothing
	Detail string // one printable line; "" = the reason says all
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("disk image refused: ")
	if e.Format != 0 {
		b.WriteString(e.Format.String() + ": ")
	}
	b.WriteString(string(e.Reason))
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	return b.String()
}

func refuse(f Format, r Reason, detail string, a ...any) error {
	return &Error{Reason: r, Format: f, Detail: fmt.Sprintf(detail, a...)}
}
