package diskimage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"strings"
	"testing"
)

// put writes a number into an image, in the byte order of the format.
func put(order binary.ByteOrder, at int, n uint64, size int) func([]byte) []byte {
	return func(b []byte) []byte {
		switch size {
		case 2:
			order.PutUint16(b[at:], uint16(n))
		case 4:
			order.PutUint32(b[at:], uint32(n))
		default:
			order.PutUint64(b[at:], n)
		}
		return b
	}
}

func be32(at int, n uint32) func([]byte) []byte { return put(be, at, uint64(n), 4) }
func be64(at int, n uint64) func([]byte) []byte { return put(be, at, n, 8) }
func le16(at int, n uint16) func([]byte) []byte { return put(le, at, uint64(n), 2) }
func le32(at int, n uint32) func([]byte) []byte { return put(le, at, uint64(n), 4) }
func le64(at int, n uint64) func([]byte) []byte { return put(le, at, n, 8) }

// both does one change after the other.
func both(all ...func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, f := range all {
			b = f(b)
		}
		return b
	}
}

// text replaces text by text of the same length, padded with blanks.
func text(old, new string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) || len(new) > len(old) {
			panic("no place for " + new)
		}
		return bytes.Replace(b, []byte(old), []byte(new+strings.Repeat(" ", len(old)-len(new))), 1)
	}
}

// cut leaves the first n bytes.
func cut(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }

// summed writes a VHD's checksum anew, of the copy at the beginning and of the footer.
func summed(f func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		b = f(b)
		sum(b[:512], 64)
		sum(b[512:1536], 36)
		copy(b[len(b)-512:], b[:512])
		return b
	}
}

func sum(b []byte, at int) {
	copy(b[at:at+4], make([]byte, 4))
	var n uint32
	for _, c := range b {
		n += uint32(c)
	}
	be.PutUint32(b[at:], ^n)
}

// regions changes the tables of regions of a VHDX, and writes their checksums anew.
func regions(f func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, at := range []int{192 << 10, 256 << 10} {
			t := f(b[at : at+vhdxTable])
			le.PutUint32(t[4:], 0)
			le.PutUint32(t[4:], crc32.Checksum(t, crc32.MakeTable(crc32.Castagnoli)))
		}
		return b
	}
}

const vhdxMetadataAt = 3 << 20 // of disk.vhdx

// TestRefusals changes one thing of a good image, and is told of it: of the whole, and of the stream.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		image  string
		what   string
		change func([]byte) []byte
		want   Reason // "" = accepted
	}{
		{"disk-v3.qcow2", "as it is", both(), ""},
		{"disk-v3.qcow2", "no byte", cut(0), Truncated},
		{"disk-v3.qcow2", "half a header", cut(60), Truncated},
		{"disk-v3.qcow2", "no features", cut(100), Truncated},
		{"disk-v3.qcow2", "no tables", cut(512), Truncated},
		{"disk-v3.qcow2", "version 1", be32(4, 1), Forbidden},
		{"disk-v3.qcow2", "version 4", be32(4, 4), Unsupported},
		{"disk-v3.qcow2", "backing", be64(8, 0x200), BackingFile},
		{"disk-v2.qcow2", "half a header", cut(60), Truncated},
		{"disk-v2.qcow2", "backing", be64(8, 1<<63), BackingFile},
		{"disk-v3.qcow2", "data file", be64(72, 4), ExternalData},
		{"disk-v3.qcow2", "data file beside others", be64(72, 4|1|1<<40), ExternalData},
		{"disk-v2.qcow2", "no feature words", be64(72, 4), ""},
		{"disk-v3.qcow2", "extended L2", be64(72, 16), Unsupported},
		{"disk-v3.qcow2", "feature of the future", be64(72, 1<<63), Unsupported},
		{"disk-v3.qcow2", "corrupt", be64(72, 2), Corrupt},
		{"disk-v3.qcow2", "dirty", be64(72, 1), ""},
		{"disk-v3.qcow2", "header length", be32(100, 100), Corrupt},
		{"disk-v3.qcow2", "AES", be32(32, 1), Encrypted},
		{"disk-v2.qcow2", "LUKS", be32(32, 2), Encrypted},
		{"disk-v3.qcow2", "no size", be64(24, 0), Corrupt},
		{"disk-v3.qcow2", "a negative size", be64(24, 1<<63), TooLarge},
		{"disk-v3.qcow2", "larger than its table", be64(24, 1<<40), Corrupt},
		{"disk-v3.qcow2", "tiny clusters", be32(20, 8), Corrupt},
		{"disk-v3.qcow2", "clusters of 2 bytes", be32(20, 1), Corrupt},
		{"disk-v3.qcow2", "clusters of 2^200", be32(20, 200), Corrupt},
		{"disk-v3.qcow2", "huge clusters", be32(20, 22), Corrupt},
		{"disk-v3.qcow2", "a huge table", be32(36, 1<<31), Corrupt},
		{"disk-v3.qcow2", "a table askew", be64(40, 0x30001), Corrupt},
		{"disk-v3.qcow2", "no reference counts", be64(48, 0), Corrupt},
		{"disk-v3.qcow2", "reference counts beyond", be64(48, 1<<40), Truncated},
		{"disk-v3.qcow2", "reference counts of 2^48", both(be32(20, 21), be64(40, 1<<21), be64(48, 1<<21), be32(56, 1<<31)), Truncated},

		{"disk-sparse.vmdk", "as it is", both(), ""},
		{"disk-sparse.vmdk", "half a header", cut(60), Truncated},
		{"disk-sparse.vmdk", "no descriptor", cut(512), Truncated},
		{"disk-sparse.vmdk", "version 4", le32(4, 4), Unsupported},
		{"disk-sparse.vmdk", "no capacity", le64(12, 0), Descriptor},
		{"disk-sparse.vmdk", "huge", le64(12, 1<<60), TooLarge},
		{"disk-sparse.vmdk", "over the limit", le64(12, 1<<50), TooLarge},
		{"disk-sparse.vmdk", "compression 2", le16(77, 2), Unsupported},
		{"disk-sparse.vmdk", "grains of 3", le64(20, 3), Corrupt},
		{"disk-sparse.vmdk", "no entries", le32(44, 0), Corrupt},
		{"disk-sparse.vmdk", "no place of a descriptor", le64(28, 0), Descriptor},
		{"disk-sparse.vmdk", "a descriptor far away", le64(28, 1<<40), Corrupt},
		{"disk-sparse.vmdk", "a descriptor beyond", le64(28, 1<<30), Truncated},
		{"disk-sparse.vmdk", "a directory beyond", le64(56, 1<<30), Truncated},
		{"disk-sparse.vmdk", "a directory at 2^63", le64(56, 1<<63), Corrupt},
		{"disk-sparse.vmdk", "a footer that is not there", le64(56, vmdkDirectoryAtEnd), Truncated},
		{"disk-sparse.vmdk", "flat", text("monolithicSparse", "monolithicFlat\""), Descriptor},
		{"disk-sparse.vmdk", "stream", text("monolithicSparse", "streamOptimized\""), Corrupt},
		{"disk-sparse.vmdk", "no kind", text("createType", "#reateType"), Descriptor},
		{"disk-sparse.vmdk", "two kinds", text("ddb.virtualHWVersion = \"4\"", "createType=\"x\""), Corrupt},
		{"disk-sparse.vmdk", "a parent", text("parentCID=ffffffff", "parentCID=fffffffe"), BackingFile},
		{"disk-sparse.vmdk", "no parent's CID", text("parentCID", "ddb.entCI"), BackingFile},
		{"disk-sparse.vmdk", "a parent's name", text("ddb.geometry.cylinders = \"2\"", `PARENTfileNameHint="/x"`), BackingFile},
		{"disk-sparse.vmdk", "a parent's name after the descriptor", text("ddb.toolsVersion = \"2147483647\"", "\x00parentFileNameHint=\"/etc/x\""), BackingFile},
		{"disk-sparse.vmdk", "flat extent", text("SPARSE \"disk-sparse", "FLAT \"disk"), Descriptor},
		{"disk-sparse.vmdk", "an extent elsewhere", text("\"disk-sparse.vmdk\"", "\"/etc/passwd\""), Descriptor},
		{"disk-sparse.vmdk", "an extent on Windows", text("\"disk-sparse.vmdk\"", "\"C:\\\\d.vmdk\""), Descriptor},
		{"disk-sparse.vmdk", "an extent without a name", text("\"disk-sparse.vmdk\"", ""), Descriptor},
		{"disk-sparse.vmdk", "an extent with more", text("\"disk-sparse.vmdk\"", "\"d.vmdk\" 0"), Descriptor},
		{"disk-sparse.vmdk", "two extents", text("ddb.virtualHWVersion = \"4\"", "rw 1 SPARSE \"b.vmdk\""), Descriptor},
		{"disk-sparse.vmdk", "no extent", text("RW 2048", "#W 2048"), Descriptor},
		{"disk-sparse.vmdk", "another size in the text", text("RW 2048", "RW 2049"), ""},

		{"disk-stream.vmdk", "footer's capacity", both(le64(56, vmdkDirectoryAtEnd), withFooter(le64(12, 0))), Corrupt},
		{"disk-stream.vmdk", "a footer", both(le64(56, vmdkDirectoryAtEnd), withFooter(both())), ""},
		{"disk-stream.vmdk", "a footer without a descriptor", both(le64(56, vmdkDirectoryAtEnd), withFooter(both(le64(28, 0), le64(36, 0)))), ""},
		{"disk-stream.vmdk", "a footer with another descriptor", both(le64(56, vmdkDirectoryAtEnd), withFooter(le64(28, 100))), Corrupt},
		{"disk-stream.vmdk", "a footer that has no directory either", both(le64(56, vmdkDirectoryAtEnd), withFooter(le64(56, vmdkDirectoryAtEnd))), Truncated},
		{"disk-stream.vmdk", "a footer with its directory beyond", both(le64(56, vmdkDirectoryAtEnd), withFooter(le64(56, 1<<20))), Truncated},
		{"disk-stream.vmdk", "no footer", le64(56, vmdkDirectoryAtEnd), Truncated},
		{"disk-stream.vmdk", "a footer and no end", both(le64(56, vmdkDirectoryAtEnd), withFooter(le32(512, 1))), Truncated},

		{"disk.vdi", "half a header", cut(300), Truncated},
		{"disk.vdi", "version 2.1", le32(68, 2<<16|1), Unsupported},
		{"disk.vdi", "undo", le32(76, 3), BackingFile},
		{"disk.vdi", "difference", le32(76, 4), BackingFile},
		{"disk.vdi", "fixed", le32(76, 2), ""},
		{"disk.vdi", "link", le32(424, 1), BackingFile},
		{"disk.vdi", "parent", le32(452, 1), BackingFile},
		{"disk.vdi", "huge", le64(368, 1<<50), TooLarge},
		{"disk.vdi", "larger than its blocks", le64(368, 2<<20), Corrupt},
		{"disk.vdi", "blocks of 3", le32(376, 3), Corrupt},
		{"disk.vdi", "blocks of 1.5 MiB", le32(376, 3<<19), Corrupt},
		{"disk.vdi", "sectors of 4096", le32(360, 4096), Corrupt},
		{"disk.vdi", "extra", le32(380, 8), Unsupported},
		{"disk.vdi", "more allocated than there are", le32(388, 2), Corrupt},
		{"disk.vdi", "a block is missing", cut(1 << 20), Truncated},
		{"disk.vdi", "a table beyond", le32(340, 1<<31), Truncated},

		{"disk-dynamic.vhd", "as it is", summed(both()), ""},
		{"disk-dynamic.vhd", "checksum", be32(28, 1), Corrupt},
		{"disk-dynamic.vhd", "difference", summed(be32(60, 4)), BackingFile},
		{"disk-dynamic.vhd", "type 7", summed(be32(60, 7)), Unsupported},
		{"disk-dynamic.vhd", "fixed, at the beginning", summed(be32(60, 2)), Corrupt},
		{"disk-dynamic.vhd", "version 2", summed(be32(12, 2<<16)), Unsupported},
		{"disk-dynamic.vhd", "huge", summed(be64(48, 1<<50)), TooLarge},
		{"disk-dynamic.vhd", "larger than its blocks", summed(be64(48, 1<<30)), Corrupt},
		{"disk-dynamic.vhd", "header beyond", summed(be64(16, 1<<40)), Truncated},
		{"disk-dynamic.vhd", "header at 2^63", summed(be64(16, 1<<63)), Corrupt},
		{"disk-dynamic.vhd", "no header", be32(512, 0), Corrupt},
		{"disk-dynamic.vhd", "a parent's name", summed(be32(512+40, 1)), BackingFile},
		{"disk-dynamic.vhd", "table beyond", summed(be64(512+16, 1<<40)), Truncated},
		{"disk-dynamic.vhd", "no footer", cut(2<<20 - 512), Truncated},
		{"disk-dynamic.vhd", "half a footer", cut(100), Truncated},
		{"disk-dynamic.vhd", "headers alone", cut(1024), Truncated},
		{"disk-dynamic.vhd", "footer alone", func(b []byte) []byte { return b[len(b)-512:] }, Truncated},

		{"disk.vhdx", "one table of regions", func(b []byte) []byte { b[192<<10] = 'x'; return b }, ""},
		{"disk.vhdx", "no table of regions", func(b []byte) []byte { b[192<<10], b[256<<10] = 'x', 'x'; return b }, Corrupt},
		{"disk.vhdx", "cut", cut(2 << 20), Truncated},
		{"disk.vhdx", "many regions", regions(le32(8, 5000)), Corrupt},
		{"disk.vhdx", "no metadata region", regions(le32(8, 1)), Corrupt},
		{"disk.vhdx", "metadata elsewhere", regions(le64(64, 5<<20)), Corrupt},
		{"disk.vhdx", "metadata beyond", regions(le64(64, 1<<40)), Truncated},
		{"disk.vhdx", "parent", vhdxItem(vhdxFile, func(b []byte) { b[4] |= 2 }), BackingFile},
		{"disk.vhdx", "huge", vhdxItem(vhdxSize, func(b []byte) { b[6] = 255 }), TooLarge},
		{"disk.vhdx", "parent locator", func(b []byte) []byte { copy(b[vhdxMetadataAt+32:], vhdxParent); return b }, BackingFile},
		{"disk.vhdx", "no size", func(b []byte) []byte { le.PutUint16(b[vhdxMetadataAt+10:], 0); return b }, Corrupt},
		{"disk.vhdx", "log", func(b []byte) []byte { b[64<<10+48], b[128<<10+48] = 1, 1; return b }, ""},

		{"disk-mbr.raw", "no multiple", cut(1<<20 - 1), Truncated},
		{"disk-gpt.raw", "no protective MBR", func(b []byte) []byte { b[510] = 0; return b }, ""},
	} {
		b := c.change(image(t, c.image))
		info, err := Inspect(bytes.NewReader(b), int64(len(b)), Limits{})
		var refused *Error
		switch errors.As(err, &refused); {
		case c.want == "" && err != nil:
			t.Errorf("%s, %s: %v", c.image, c.what, err)
		case c.want != "" && (refused == nil || refused.Reason != c.want):
			t.Errorf("%s, %s: %v, want %q", c.image, c.what, err, c.want)
		case refused != nil && strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }):
			t.Errorf("%s, %s: %q", c.image, c.what, err)
		}
		stream(t, b, Limits{}, info, err)
	}
}

// withFooter puts a footer, with one change, after a streamOptimized VMDK that has its directory at the beginning.
func withFooter(change func([]byte) []byte) func([]byte) []byte {
	return func(b []byte) []byte {
		marker := make([]byte, 512)
		marker[0], marker[12] = 1, vmdkFooterMarker
		header := slices.Clone(b[:512])
		le.PutUint64(header[56:], 26)
		return append(append(b, marker...), change(append(header, make([]byte, 512)...))...)
	}
}

// vhdxItem changes one item of a VHDX's metadata.
func vhdxItem(name string, change func([]byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		m := b[vhdxMetadataAt:]
		i := bytes.Index(m[:vhdxTable], []byte(name))
		change(m[le.Uint32(m[i+16:]):])
		return b
	}
}
