package disk

import (
	"archive/tar"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
)

// Sizes of a VMDK of this package, in sectors.
const (
	grain        = 128 // 64 KiB
	perTable     = 512 // grains
	capacity     = 2048
	descriptorAt = 1
	descriptor   = 20
	overhead     = 128 // before the first grain
)

// vmdkHeader is the header of a sparse extent (VMware's Virtual Disk Format 5.0).
type vmdkHeader struct {
	Magic, Version, Flags                     uint32
	Capacity, GrainSize                       uint64
	DescriptorAt, DescriptorSize              uint64
	EntriesPerTable                           uint32
	RedundantDirectoryAt, DirectoryAt, DataAt uint64
	UncleanShutdown                           uint8
	LineEnds                                  [4]byte
	Compression                               uint16
	_                                         [433]byte
}

// Kinds of markers in a stream.
const (
	endOfStream = iota
	grainTable
	grainDirectory
	footer
)

// VMDK gives a streamOptimized image of a disk of 1 MiB: boot sector and content are its first 64 KiB, the rest reads as
// zeros. It is the form in which OVAs hold disks.
func VMDK(seed uint64) []byte {
	h := vmdkHeader{Magic: 0x564d444b, Version: 3, Flags: 1 | 1<<16 | 1<<17, Capacity: capacity, GrainSize: grain, DescriptorAt: descriptorAt, DescriptorSize: descriptor,
		EntriesPerTable: perTable, DirectoryAt: ^uint64(0), DataAt: overhead, LineEnds: [4]byte{'\n', ' ', '\r', '\n'}, Compression: 1}
	var b bytes.Buffer
	put(&b, h)
	fmt.Fprintf(&b, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n# Extent description\nRW %d SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\n#DDB\n\n"+
		"ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"2\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n", uint32(seed)|1, capacity)
	pad(&b, overhead)
	grainAt := uint32(b.Len() / sector)
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	_, _ = z.Write(Raw(seed, grain*sector)) // into memory, which does not fail
	_ = z.Close()
	put(&b, uint64(0)) // where the grain belongs
	put(&b, uint32(packed.Len()))
	b.Write(packed.Bytes())
	pad(&b, 1)
	marker(&b, perTable*4/sector, grainTable)
	tableAt := uint32(b.Len() / sector)
	table := [perTable]uint32{0: grainAt}
	put(&b, table)
	marker(&b, 1, grainDirectory)
	h.DirectoryAt = uint64(b.Len() / sector)
	put(&b, tableAt)
	pad(&b, 1)
	marker(&b, 1, footer)
	put(&b, h)
	marker(&b, 0, endOfStream)
	return b.Bytes()
}

func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) } // of a fixed size, into memory

// pad fills up to a multiple of so many sectors.
func pad(b *bytes.Buffer, sectors int) {
	if over := b.Len() % (sectors * sector); over > 0 {
		b.Write(make([]byte, sectors*sector-over))
	}
}

// marker writes a marker of a stream: how many sectors of what follow.
func marker(b *bytes.Buffer, sectors uint64, kind uint32) {
	put(b, sectors)
	put(b, uint32(0))
	put(b, kind)
	pad(b, 1)
}

// OVA gives an archive of a machine with one disk, a VMDK.
func OVA(seed uint64) ([]byte, error) {
	disk := VMDK(seed)
	ovf := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <References><File ovf:href="disk.vmdk" ovf:id="file1" ovf:size="%d"/></References>
  <DiskSection><Info>Disks</Info><Disk ovf:capacity="%d" ovf:diskId="disk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
  <VirtualSystem ovf:id="machine"><Info>A machine</Info><Name>machine</Name></VirtualSystem>
</Envelope>
`, len(disk), capacity*sector)
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		body []byte
	}{{"machine.ovf", []byte(ovf)}, {"disk.vmdk", disk}} {
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body)), Format: tar.FormatUSTAR}); err != nil {
			return nil, err
		}
		if _, err := t.Write(f.body); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
