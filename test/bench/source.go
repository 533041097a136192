//go:build bench

package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// imageFile is a disk image of any length that is in no memory and on no disk: a head of qcow2, then the same block again
// and again.
type imageFile struct {
	head, block []byte
	size        int64
}

// newImageFile gives an image file that is another one for each seed.
func newImageFile(size int64, seed uint64) *imageFile {
	f := &imageFile{head: make([]byte, 256<<10), block: make([]byte, 1<<20), size: size}
	r := rand.New(rand.NewPCG(seed, 4))
	for i := 0; i < len(f.block); i += 8 {
		binary.LittleEndian.PutUint64(f.block[i:], r.Uint64())
	}
	be := binary.BigEndian
	copy(f.head, "QFI\xfb")
	be.PutUint32(f.head[4:], 3)        // version
	be.PutUint32(f.head[20:], 16)      // bits of a cluster's size
	be.PutUint64(f.head[24:], 8<<30)   // bytes of the disk
	be.PutUint32(f.head[36:], 16)      // entries of the L1 table
	be.PutUint64(f.head[40:], 0x30000) // which is there
	be.PutUint64(f.head[48:], 0x10000) // as the table of reference counts is
	be.PutUint32(f.head[56:], 1)
	be.PutUint32(f.head[96:], 4)
	be.PutUint32(f.head[100:], 104) // bytes of the header
	return f
}

// imageReader reads an image file.
type imageReader struct {
	*imageFile
	at int64
}

func (r *imageReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.size-r.at)]
	n := 0
	if r.at < int64(len(r.head)) {
		n = copy(p, r.head[r.at:])
	} else {
		n = copy(p, r.block[r.at%int64(len(r.block)):])
	}
	r.at += int64(n)
	return n, nil
}

func (r *imageReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	r.at = offset
	return offset, nil
}

// source is a server of image files.
type source struct {
	url   string
	srv   *http.Server
	files map[string]*imageFile // by path
	asked atomic.Int64          // for files
}

func serveImages(files map[string]*imageFile) (*source, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &source{url: "http://" + l.Addr().String(), files: files}
	s.srv = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := s.files[r.URL.Path]
		if f == nil {
			http.NotFound(w, r)
			return
		}
		s.asked.Add(1)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, f.block[:8]))
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, &imageReader{imageFile: f})
	})}
	go s.srv.Serve(l) //nolint:errcheck // ends with Close
	return s, nil
}
