// Package disk makes disk images for an emulated publisher: small and real ones, which QEMU opens and an inspection
// passes, and ones of any size that nobody has to hold. Equal arguments give equal bytes.
package disk

import (
	"encoding/binary"
	"errors"
	"io"
)

// sector is what disks are counted in, in bytes.
const sector = 512

// Places in a qcow2 image of this package, in clusters.
const (
	clusterBits = 12
	cluster     = 1 << clusterBits
	counts      = 1 // table of reference counts
	countBlock  = 2
	first       = 3 // table of the first level; the tables after it follow
)

// QCOW2 gives an image of version 3 of a disk of 1 MiB: boot sector and content are its first 64 KiB, the rest reads as
// zeros.
func QCOW2(seed uint64) []byte {
	const data = 16 // clusters that hold something
	image := make([]byte, (first+2+data)*cluster)
	qcow2Header(image, 1<<20, 1, 1)
	be := binary.BigEndian
	be.PutUint64(image[counts*cluster:], countBlock*cluster)
	for i := range first + 2 + data {
		be.PutUint16(image[countBlock*cluster+2*i:], 1)
	}
	const copied = 1 << 63
	be.PutUint64(image[first*cluster:], copied|(first+1)*cluster)
	for i := range data {
		be.PutUint64(image[(first+1)*cluster+8*i:], copied|uint64(first+2+i)*cluster)
	}
	copy(image[(first+2)*cluster:], Raw(seed, data*cluster))
	return image
}

// qcow2Header writes the header of an image (docs/interop/qcow2.rst): tables of so many clusters and entries.
func qcow2Header(image []byte, virtual uint64, countClusters, entries uint32) {
	be := binary.BigEndian
	copy(image, "QFI\xfb")
	be.PutUint32(image[4:], 3)
	be.PutUint32(image[20:], clusterBits)
	be.PutUint64(image[24:], virtual)
	be.PutUint32(image[36:], entries)
	be.PutUint64(image[40:], first*cluster)
	be.PutUint64(image[48:], counts*cluster)
	be.PutUint32(image[56:], countClusters)
	be.PutUint32(image[96:], 4) // 16 bits for each count
	be.PutUint32(image[100:], 104)
}

// Raw gives a disk of so many bytes, in whole sectors, with a boot sector.
func Raw(seed uint64, size int) []byte {
	disk := make([]byte, max(size/sector, 1)*sector)
	noise(disk, seed, 0)
	copy(disk[446:], []byte{0x80, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0}) // one partition
	clear(disk[462:510])
	disk[510], disk[511] = 0x55, 0xaa
	return disk
}

// noise writes what belongs at a place of an endless row of bytes; the place is a multiple of 8.
func noise(into []byte, seed, at uint64) {
	var word [8]byte
	for i := 0; i < len(into); i += 8 {
		x := seed*0x9e3779b97f4a7c15 + (at+uint64(i))/8 // splitmix64
		x += 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		if rest := into[i:]; len(rest) >= 8 {
			binary.LittleEndian.PutUint64(rest, x^x>>31)
		} else {
			binary.LittleEndian.PutUint64(word[:], x^x>>31)
			copy(rest, word[:])
		}
	}
}

// Content is an image that is made while it is read. It may be read from several goroutines.
type Content struct {
	seed uint64
	size int64
	head []byte
}

// Large gives an image of so many bytes, at least 1 MiB, that begins as a qcow2 image of a disk of that size and goes on
// with noise: it passes for one with whoever looks at headers, and nobody can compress it.
func Large(seed uint64, size int64) *Content {
	c := &Content{seed: seed, size: max(size, 1<<20), head: make([]byte, first*cluster)}
	const covered = cluster / 8 * cluster // bytes of the disk by entry of the first level
	qcow2Header(c.head, uint64(c.size/sector*sector), 1, uint32((c.size+covered-1)/covered))
	return c
}

// Size is that of the image in bytes.
func (c *Content) Size() int64 { return c.size }

// ReadAt makes the bytes at a place.
func (c *Content) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 {
		return 0, errors.New("read before the beginning of an image")
	}
	n := int(min(int64(len(b)), max(c.size-at, 0)))
	done := 0
	if at < int64(len(c.head)) {
		done = copy(b[:n], c.head[at:])
	}
	if skew := (at + int64(done)) % 8; skew != 0 && done < n {
		var word [8]byte
		noise(word[:], c.seed, uint64(at+int64(done)-skew))
		done += copy(b[done:n], word[skew:])
	}
	noise(b[done:n], c.seed, uint64(at+int64(done)))
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
