package diskimage

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// member is a file of an archive that a test makes.
type member struct {
	name string
	data string
	kind byte // 0 = a plain file
}

// archive makes an OVA.
func archive(t *testing.T, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Mode: 0o644, Size: int64(len(m.data)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if m.kind != 0 {
			h.Typeflag, h.Linkname = m.kind, "/etc/passwd"
		}
		if strings.HasPrefix(m.name, "sparse") {
			h.Format = tar.FormatPAX
			h.PAXRecords = map[string]string{"VENDOR.sparse.mx": "9"} // the writer makes no sparse files: see below
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(m.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("VENDOR.sparse.mx"), []byte("GNU.sparse.major"))
}

// ovf is a descriptor of files and disks.
func ovf(files, disks string) member {
	return member{name: "i.ovf", data: `<?xml version="1.0"?><Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"><References>` +
		files + `</References><DiskSection>` + disks + `</DiskSection></Envelope>`}
}

// TestOVA judges archives: one descriptor, one disk, plain files.
func TestOVA(t *testing.T) {
	vmdk, qcow := member{name: "d.vmdk", data: string(image(t, "disk-stream.vmdk"))}, string(image(t, "disk-v3.qcow2"))
	const one = `<File ovf:id="f" ovf:href="d.vmdk"/>`
	const ref = `<Disk ovf:diskId="d" ovf:fileRef="f"/>`
	good := ovf(one, ref)
	packed := member{name: "d.vmdk.gz", data: "\x1f\x8b\x08 and so on"}
	many := []member{good, vmdk}
	for i := range 98 {
		many = append(many, member{name: fmt.Sprint("f", i)})
	}
	for _, c := range []struct {
		name    string
		members []member
		l       Limits
		want    Reason
		words   string
	}{
		{"plain", []member{good, vmdk}, Limits{}, "", ""},
		{"other files", []member{good, {name: "i.mf", data: "x"}, vmdk, {name: "i.cert"}}, Limits{}, "", ""},
		{"qcow2 of any name", []member{ovf(`<File ovf:id="f" ovf:href="disk"/>`, ref), {name: "disk", data: qcow}}, Limits{}, "", ""},
		{"100 members", many, Limits{}, "", ""},
		{"101 members", append(many, member{name: "last"}), Limits{}, Archive, "more than 100"},
		{"no descriptor", []member{vmdk}, Limits{}, Archive, "0 .ovf descriptors"},
		{"two descriptors", []member{good, {name: "j.OVF", data: good.data}, vmdk}, Limits{}, Archive, "2 .ovf descriptors"},
		{"no XML", []member{{name: "i.ovf", data: "x<"}, vmdk}, Limits{}, Archive, "cannot be read"},
		{"a large descriptor", []member{{name: "i.ovf", data: strings.Repeat(" ", mostOVF+1)}, vmdk}, Limits{}, Archive, "has 1048577 bytes"},
		{"no disk", []member{ovf(one, ""), vmdk}, Limits{}, Archive, "0 disks"},
		{"two disks", []member{ovf(one, ref+ref), vmdk}, Limits{}, Archive, "2 disks"},
		{"a disk beside it", []member{good, vmdk, {name: "e.VHD"}}, Limits{}, Archive, "2 disks"},
		{"another name", []member{ovf(`<File ovf:id="f" ovf:href="disk"/>`, ref), {name: "disk", data: qcow}, vmdk}, Limits{}, Archive, "2 disks"},
		{"no such file", []member{ovf(`<File ovf:id="f" ovf:href="e.vmdk"/>`, ref), vmdk}, Limits{}, Archive, "not in it"},
		{"a URL", []member{ovf(`<File ovf:id="f" ovf:href="http://x/e.vmdk"/>`, ref), vmdk}, Limits{}, Archive, "not in it"},
		{"no such id", []member{ovf(one, `<Disk ovf:fileRef="g"/>`), vmdk}, Limits{}, Archive, "names no file"},
		{"no id", []member{ovf(`<File ovf:href="d.vmdk"/>`, `<Disk/>`), vmdk}, Limits{}, Archive, "names no file"},
		{"chunks", []member{ovf(`<File ovf:id="f" ovf:href="d.vmdk" ovf:chunkSize="5"/>`, ref), vmdk}, Limits{}, Unsupported, "chunks"},
		{"bzip2", []member{ovf(`<File ovf:id="f" ovf:href="d.vmdk" ovf:compression="bzip2"/>`, ref), vmdk}, Limits{}, Unsupported, "bzip2"},
		{"a parent", []member{ovf(one, `<Disk ovf:fileRef="f" ovf:parentRef="p"/>`), vmdk}, Limits{}, BackingFile, "parent"},
		{"a directory", []member{good, vmdk, {name: "d", kind: tar.TypeDir}}, Limits{}, Archive, "no plain file"},
		{"a link", []member{good, {name: "d.vmdk", kind: tar.TypeSymlink}}, Limits{}, Archive, "no plain file"},
		{"a hard link", []member{good, {name: "d.vmdk", kind: tar.TypeLink}}, Limits{}, Archive, "no plain file"},
		{"a device", []member{good, {name: "d.vmdk", kind: tar.TypeBlock}}, Limits{}, Archive, "no plain file"},
		{"a sparse file", []member{good, vmdk, {name: "sparse"}}, Limits{}, Archive, "no plain file"},
		{"a path", []member{good, {name: "a/d.vmdk", data: vmdk.data}}, Limits{}, Archive, "not named plainly"},
		{"an absolute path", []member{good, {name: "/d.vmdk", data: vmdk.data}}, Limits{}, Archive, "not named plainly"},
		{"a path of Windows", []member{good, {name: `a\d.vmdk`, data: vmdk.data}}, Limits{}, Archive, "not named plainly"},
		{"above", []member{good, {name: "..", data: vmdk.data}}, Limits{}, Archive, "not named plainly"},
		{"twice", []member{good, vmdk, vmdk}, Limits{}, Archive, "twice"},
		{"a hostile disk", []member{good, {name: "d.vmdk", data: string(image(t, "bad-backing.qcow2"))}}, Limits{}, BackingFile, `its disk "d.vmdk" is qcow2`},
		{"a descriptor as disk", []member{good, {name: "d.vmdk", data: string(image(t, "bad-flat.vmdk"))}}, Limits{}, Descriptor, "vmdk-descriptor"},
		{"an OVA within", []member{good, {name: "d.vmdk", data: string(image(t, "disk.ova"))}}, Limits{}, Archive, "is ova"},
		{"a raw disk", []member{good, {name: "d.vmdk", data: string(image(t, "disk-mbr.raw"))}}, Limits{}, Archive, "is raw"},
		{"no image, said to be raw", []member{good, {name: "d.vmdk", data: string(make([]byte, 512))}}, Limits{Declared: "raw"}, Unknown, ""},
		{"too large", []member{good, vmdk}, Limits{MaxVirtual: 1<<20 - 1}, TooLarge, "1048576 bytes"},
		{"packed", []member{ovf(`<File ovf:id="f" ovf:href="d.vmdk.gz" ovf:compression="gzip"/>`, ref), packed}, Limits{}, Packed, "gzip"},
		{"packed by option", []member{ovf(`<File ovf:id="f" ovf:href="d.vmdk.gz" ovf:compression="gzip"/>`, ref), packed}, Limits{Compressed: true}, "", ""},
	} {
		b := archive(t, c.members...)
		info, err := Inspect(bytes.NewReader(b), int64(len(b)), c.l)
		var refused *Error
		errors.As(err, &refused)
		switch {
		case c.want == "" && (err != nil || info.Disk == nil || len(info.Warnings) > 0 || !bytes.Equal(b[info.Disk.Offset:][:info.Disk.Size], []byte(c.members[1].data)) && c.name != "other files"):
			t.Errorf("%s: %+v, %v", c.name, info, err)
		case c.want != "" && (refused == nil || refused.Reason != c.want || refused.Format != OVA || !strings.Contains(refused.Detail, c.words)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		stream(t, b, c.l, info, err)
	}
}

// TestOVACut cuts an archive everywhere: it is never accepted but where only its end is missing.
func TestOVACut(t *testing.T) {
	b := image(t, "disk.ova")
	whole, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	end := int(whole.Disk.Offset + whole.Disk.Size)
	for n := 300; n < end; n += 509 {
		info, err := Inspect(bytes.NewReader(b[:n]), int64(n), Limits{})
		if _, refused := errors.AsType[*Error](err); !refused {
			t.Errorf("cut at %d: %+v, %v", n, info, err)
		}
	}
}

// TestBudget bounds what is read, whatever an archive says: here, headers of headers without end.
func TestBudget(t *testing.T) {
	block := make([]byte, 512)
	copy(block, "././@LongLink")
	copy(block[100:], "0000644\x000000000\x000000000\x0000003777777\x0000000000000\x00        L")
	copy(block[257:], "ustar\x0000")
	n := 0
	for _, c := range block {
		n += int(c)
	}
	copy(block[148:], fmt.Sprintf("%06o\x00 ", n))
	endless := &counting{at: func(off int64) []byte { return block }}
	_, err := Inspect(endless, 1<<50, Limits{})
	if _, refused := errors.AsType[*Error](err); !refused {
		t.Error(err)
	}
	if endless.n > mostRead+1<<20 {
		t.Errorf("%d bytes were read", endless.n)
	}
}

// counting is a file of blocks, and counts what is read of it.
type counting struct {
	at func(off int64) []byte
	n  int64
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.n += int64(len(p))
	for i := 0; i < len(p); {
		o := off + int64(i)
		i += copy(p[i:], c.at(o)[o%512:])
	}
	return len(p), nil
}
