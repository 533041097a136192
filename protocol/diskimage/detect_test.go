package diskimage

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// at makes a file of n zeros with a text at a place.
func at(n, place int, magic string) []byte {
	b := make([]byte, n)
	copy(b[place:], magic)
	return b
}

// fixed makes a fixed VHD of n bytes of a disk, which the change may spoil.
func fixed(n int, change func(footer []byte)) []byte {
	f := make([]byte, 512)
	copy(f, "conectix")
	be.PutUint32(f[12:], 1<<16)
	be.PutUint64(f[48:], uint64(n))
	be.PutUint32(f[60:], vhdFixed)
	if change != nil {
		change(f)
	}
	sum(f, 64)
	return append(make([]byte, n), f...)
}

// TestDetect tells formats by their magic: those that are never accepted, those by option, and what is none.
func TestDetect(t *testing.T) {
	page := []byte(strings.Repeat("<p>504 Gateway Time-out Größe</p>\n", 512))
	mbr := at(4096, 510, "\x55\xaa")
	for _, c := range []struct {
		name   string
		b      []byte
		l      Limits
		format Format
		want   Reason // "" = accepted
	}{
		{"QED", at(4096, 0, "QED\x00"), Limits{}, QED, Forbidden},
		{"QED that is said to be raw", at(4096, 0, "QED\x00"), Limits{Declared: "RAW"}, QED, Forbidden},
		{"COW", at(4096, 0, "OOOM"), Limits{Declared: "raw"}, COW, Forbidden},
		{"qcow1", at(4096, 0, "QFI\xfb\x00\x00\x00\x01"), Limits{}, QCOW1, Forbidden},
		{"parallels", at(4096, 0, "WithoutFreeSpace"), Limits{Declared: "raw"}, Parallels, Forbidden},
		{"parallels 2", at(4096, 0, "WithouFreSpacExt"), Limits{Declared: "raw"}, Parallels, Forbidden},
		{"bochs", at(4096, 0, "Bochs Virtual HD Image"), Limits{Declared: "raw"}, Bochs, Forbidden},
		{"cloop", at(4096, 0, "#!/bin/sh\n#V2.0 Format\n"), Limits{Declared: "raw"}, Cloop, Forbidden},
		{"dmg", at(4096, 4096-512, "koly"), Limits{Declared: "raw"}, DMG, Forbidden},
		{"dmg with an MBR", append(mbr, at(512, 0, "koly")...), Limits{}, DMG, Forbidden},
		{"LUKS", at(4096, 0, "LUKS\xba\xbe"), Limits{Declared: "raw"}, LUKS, Encrypted},
		{"VMware 3", at(4096, 0, "COWD"), Limits{Declared: "raw"}, VMDKLegacy, Forbidden},
		{"seSparse", at(4096, 0, "\xbe\xba\xfe\xca"), Limits{Declared: "raw"}, VMDKLegacy, Forbidden},
		{"zip", at(4096, 0, "PK\x03\x04"), Limits{Declared: "raw", Compressed: true}, Zip, Forbidden},
		{"gzip", at(4096, 0, "\x1f\x8b\x08"), Limits{Declared: "raw"}, Gzip, Packed},
		{"xz", at(4096, 0, "\xfd7zXZ\x00"), Limits{Declared: "raw"}, Xz, Packed},
		{"bzip2", at(4096, 0, "BZh91AY&SY"), Limits{Declared: "raw"}, Bzip2, Packed},
		{"zstd", at(4096, 0, "\x28\xb5\x2f\xfd"), Limits{Declared: "raw"}, Zstd, Packed},
		{"gzip by option", at(4096, 0, "\x1f\x8b\x08"), Limits{Compressed: true}, Gzip, ""},
		{"zstd by option", at(4096, 0, "\x28\xb5\x2f\xfd"), Limits{Compressed: true}, Zstd, ""},
		{"no bzip2", at(4096, 0, "BZx91AY&SY"), Limits{Declared: "raw"}, Raw, ""},
		{"ISO", at(65536, isoMagicAt, "CD001"), Limits{Declared: "raw"}, ISO, NotWanted},
		{"ISO by option", at(65536, isoMagicAt, "CD001"), Limits{ISO: true}, ISO, ""},
		{"ISO too large", at(65536, isoMagicAt, "CD001"), Limits{ISO: true, MaxVirtual: 1}, ISO, TooLarge},
		{"descriptor", at(4096, 0, "# Disk DescriptorFile\nversion=1\n"), Limits{Declared: "raw"}, VMDKText, Descriptor},
		{"descriptor as QEMU takes it", at(4096, 0, "# x\n  \r\n#\n\nVersion = 1\n"), Limits{Declared: "raw"}, VMDKText, Descriptor},
		{"no descriptor", at(4096, 0, "# x\nother\nversion=1\n"), Limits{Declared: "raw"}, Raw, ""},
		{"fixed VHD", fixed(4096, nil), Limits{}, VHD, ""},
		{"fixed VHD that is said to be raw", fixed(4096, nil), Limits{Declared: "RAW"}, VHD, ""},
		{"fixed VHD, checksum", append(fixed(4096, nil)[:4607], 1), Limits{}, VHD, Corrupt},
		{"fixed VHD, cut", fixed(4096, nil)[2048:], Limits{}, VHD, Truncated},
		{"fixed VHD, difference", fixed(4096, func(f []byte) { f[63] = 4 }), Limits{}, VHD, BackingFile},
		{"dynamic VHD without its beginning", fixed(4096, func(f []byte) { f[63] = vhdDynamic }), Limits{}, VHD, Truncated},
		{"fixed VHD, too large", fixed(4096, nil), Limits{MaxVirtual: 4095}, VHD, TooLarge},
		{"nothing", make([]byte, 4096), Limits{}, 0, Unknown},
		{"nothing, said to be qcow2", make([]byte, 4096), Limits{Declared: "qcow2"}, 0, Unknown},
		{"nothing, said to be raw", make([]byte, 4096), Limits{Declared: "img"}, Raw, ""},
		{"nothing, said to be raw, cut", make([]byte, 4095), Limits{Declared: "raw"}, Raw, Truncated},
		{"raw, too large", make([]byte, 4096), Limits{Declared: "raw", MaxVirtual: 4095}, Raw, TooLarge},
		{"a page", page, Limits{}, 0, Unknown},
		{"a page, said to be raw", page, Limits{Declared: "raw"}, 0, Unknown},
		{"MBR", mbr, Limits{}, Raw, ""},
		{"GPT", at(4096, 512, "EFI PART"), Limits{}, Raw, ""},
		{"a few bytes", []byte("x"), Limits{Declared: "raw"}, 0, Unknown},
	} {
		info, err := Inspect(bytes.NewReader(c.b), int64(len(c.b)), c.l)
		var refused *Error
		errors.As(err, &refused)
		if c.want == "" && err != nil || c.want != "" && (refused == nil || refused.Reason != c.want || refused.Format != c.format) || info.Format != c.format {
			t.Errorf("%s: %+v, %v, want %s, %q", c.name, info, err, c.format, c.want)
		}
		if c.format != VHD { // its end shows that a stream is another thing than it seemed: see TestChanged
			stream(t, c.b, c.l, info, err)
		}
	}
}

// TestDeclared lets the file win, with a warning.
func TestDeclared(t *testing.T) {
	b := image(t, "disk-v3.qcow2")
	for said, want := range map[string][]string{
		"": nil, "QCOW2": nil, " qcow2": nil,
		"RAW":     {`the source says "RAW", and the file is qcow2`},
		"OVA":     {`the source says "OVA", and the file is qcow2`},
		"\x1b[2J": {`the source says "\x1b[2J", and the file is qcow2`},
	} {
		info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{Declared: said})
		if d := cmp.Diff(want, info.Warnings); d != "" || err != nil || info.Format != QCOW2 {
			t.Errorf("%q: %v, %s", said, err, d)
		}
	}
	for name, want := range map[string]string{"disk-v3-zstd.qcow2": "QEMU 5.1"} {
		b := image(t, name)
		if info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{}); err != nil || len(info.Warnings) != 1 || !strings.Contains(info.Warnings[0], want) {
			t.Errorf("%s: %q, %v", name, info.Warnings, err)
		}
	}
}

// TestNames has each format under its three names, and reads them back.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		f                                   Format
		name, qemu, glance, container, also string
		writable                            bool
	}{
		{Raw, "raw", "raw", "raw", "bare", "IMG", true}, {QCOW2, "qcow2", "qcow2", "qcow2", "bare", "QCOW2", true}, {VMDK, "vmdk", "vmdk", "vmdk", "bare", "VMDK", true},
		{VDI, "vdi", "vdi", "vdi", "bare", "Vdi", true}, {VHD, "vhd", "vpc", "vhd", "bare", "vpc", true}, {VHDX, "vhdx", "vhdx", "vhdx", "bare", "VHDX", true},
		{OVA, "ova", "", "vmdk", "ova", "OVA", false}, {ISO, "iso", "raw", "iso", "bare", "ISO", false}, {QED, "qed", "", "", "bare", "qed", false},
	} {
		if c.f.String() != c.name || c.f.QEMU() != c.qemu || c.f.Glance() != c.glance || c.f.Container() != c.container || c.f.Writable() != c.writable {
			t.Errorf("%s: %q %q %q %q %v", c.name, c.f, c.f.QEMU(), c.f.Glance(), c.f.Container(), c.f.Writable())
		}
		for _, name := range []string{c.name, c.also} {
			if f, err := ParseFormat(name); err != nil || f != c.f {
				t.Errorf("%q: %s, %v", name, f, err)
			}
		}
	}
	for _, name := range []string{"", "unknown", "qcow3", "\x1b"} {
		if f, err := ParseFormat(name); err == nil || f != 0 || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: %s, %v", name, f, err)
		}
	}
	for f := Raw; f <= Zip; f++ {
		if f.String() == "unknown" {
			t.Errorf("format %d has no name", f)
		}
	}
	if Format(0).String() != "unknown" || Format(99).String() != "unknown" {
		t.Error("a number that is no format has a name")
	}
}

// TestDescribe holds the stable forms: JSON, and the lines of a table.
func TestDescribe(t *testing.T) {
	b := image(t, "disk.ova")
	info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{Declared: "qcow2"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(info)
	want := `{"format":"ova","variant":"vmdk","virtual_size":1048576,"file_size":143360,"disk":{"name":"image-disk1.vmdk","offset":3072,"size":131584,` +
		`"info":{"format":"vmdk","variant":"streamOptimized","virtual_size":1048576,"file_size":131584}},"warnings":["the source says \"qcow2\", and the file is ova"]}`
	if d := cmp.Diff(want, string(got)); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	var back Info
	if err := json.Unmarshal(got, &back); err != nil || cmp.Diff(info, back) != "" {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"format":"x"}`), &back); err == nil {
		t.Error("a format that is none was read")
	}
	lines := [][2]string{{"format", "ova (vmdk)"}, {"virtual size", "1048576 bytes"}, {"file size", "143360 bytes"}, {"disk", `"image-disk1.vmdk", 131584 bytes at 3072`},
		{"disk's format", "vmdk (streamOptimized)"}, {"disk's virtual size", "1048576 bytes"}, {"warning", `the source says "qcow2", and the file is ova`}}
	if d := cmp.Diff(lines, info.Describe()); d != "" {
		t.Error(d)
	}
}

// failing is a file that cannot be read from a byte on.
type failing struct {
	b    []byte
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from {
		return 0, f.err
	}
	return copy(p, f.b[off:]), nil
}

// TestReading tells what is wrong with the image from what is wrong with reading it.
func TestReading(t *testing.T) {
	broken := errors.New("input/output error")
	for _, name := range []string{"disk-v3.qcow2", "disk-dynamic.vhd", "disk.vhdx", "disk.ova", "disk-stream.vmdk", "disk-mbr.raw"} {
		b := image(t, name)
		_, err := Inspect(failing{b, 0, broken}, int64(len(b)), Limits{})
		if _, refused := errors.AsType[*Error](err); !errors.Is(err, broken) || refused {
			t.Errorf("%s: %v", name, err)
		}
		_, err = Inspect(failing{b, isoMagicAt + 8, broken}, int64(len(b)), Limits{})
		if _, refused := errors.AsType[*Error](err); name != "disk-v3.qcow2" && name != "disk-stream.vmdk" && (!errors.Is(err, broken) || refused) {
			t.Errorf("%s, after its head: %v", name, err)
		}
		_, err = Inspect(failing{b, 0, io.EOF}, int64(len(b)), Limits{})
		if refused, ok := errors.AsType[*Error](err); !ok || refused.Reason != Truncated {
			t.Errorf("%s, shorter than said: %v", name, err)
		}
	}
}
