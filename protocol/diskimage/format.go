package diskimage

import (
	"fmt"
	"strings"
)

// Format is a format of disk images; 0 is none.
type Format int

// Formats. Those after ISO are recognised and never accepted, but for the packed ones by option.
const (
	Raw Format = iota + 1
	QCOW2
	VMDK
	VDI
	VHD
	VHDX
	OVA
	ISO
	Gzip
	Bzip2
	Xz
	Zstd
	QCOW1
	QED
	COW
	Parallels
	Bochs
	Cloop
	DMG
	LUKS
	VMDKText   // a descriptor that names files of data
	VMDKLegacy // VMware 3's sparse files, and ESX's
	Zip
)

// formats has what each is called: by us, by qemu-img, and by Glance as disk_format.
var formats = map[Format]struct {
	name, qemu, glance string
	writable           bool
}{
	Raw: {"raw", "raw", "raw", true}, QCOW2: {"qcow2", "qcow2", "qcow2", true}, VMDK: {"vmdk", "vmdk", "vmdk", true}, VDI: {"vdi", "vdi", "vdi", true},
	VHD: {"vhd", "vpc", "vhd", true}, VHDX: {"vhdx", "vhdx", "vhdx", true}, OVA: {name: "ova", glance: "vmdk"}, ISO: {name: "iso", qemu: "raw", glance: "iso"},
	Gzip: {name: "gzip"}, Bzip2: {name: "bzip2"}, Xz: {name: "xz"}, Zstd: {name: "zstd"},
	QCOW1: {name: "qcow1"}, QED: {name: "qed"}, COW: {name: "cow"}, Parallels: {name: "parallels"}, Bochs: {name: "bochs"}, Cloop: {name: "cloop"}, DMG: {name: "dmg"},
	LUKS: {name: "luks"}, VMDKText: {name: "vmdk-descriptor"}, VMDKLegacy: {name: "vmdk-legacy"}, Zip: {name: "zip"},
}

// String is our name of the format, as the configuration and reports have it.
func (f Format) String() string {
	if n := formats[f].name; n != "" {
		return n
	}
	return "unknown"
}

// QEMU is the name for qemu-img's -f and -O; "" where qemu-img is never asked.
func (f Format) QEMU() string { return formats[f].qemu }

// Glance is the disk_format; "" where there is none. An OVA goes as the VMDK that is in it, in Container's archive.
func (f Format) Glance() string { return formats[f].glance }

// Container is Glance's container_format.
func (f Format) Container() string {
	if f == OVA {
		return "ova"
	}
	return "bare"
}

// Writable tells whether an image can be converted to this format.
func (f Format) Writable() bool { return formats[f].writable }

// Compressed tells whether it is a packed file of something else.
func (f Format) Compressed() bool { return f == Gzip || f == Bzip2 || f == Xz || f == Zstd }

// MarshalText gives the name.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads a name as ParseFormat does.
func (f *Format) UnmarshalText(text []byte) error {
	parsed, err := ParseFormat(string(text))
	if err == nil {
		*f = parsed
	}
	return err
}

// otherNames are what lists and other programs call formats.
var otherNames = map[string]Format{"img": Raw, "vpc": VHD, "qcow": QCOW2}

// ParseFormat reads a format's name in any case, as it stands in a list (hv:format "QCOW2"), in Glance or in qemu-img's words.
func ParseFormat(name string) (Format, error) {
	lower := strings.ToLower(strings.TrimSpace(name))
	for f, n := range formats {
		if n.name == lower {
			return f, nil
		}
	}
	if f := otherNames[lower]; f != 0 {
		return f, nil
	}
	return 0, fmt.Errorf("%.80q is no disk format: raw, qcow2, vmdk, vdi, vhd, vhdx, ova or iso", name)
}
