package endorser

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Content is the bytes of a file, read where they are wanted: *bytes.Reader and *io.SectionReader are such.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Manner is how a file is given that is not given well. Effects may be combined.
type Manner struct {
	Cut      int64  // the connection is closed after so many bytes of an answer; 0 = it is not
	Stall    int64  // after so many bytes of an answer nothing more comes, until who asks goes away; 0 = it goes on
	Times    int    // how many answers are cut or stall; 0 = all
	NoRange  bool   // a part is asked for, and the whole is given
	Longer   int64  // so many bytes are announced that never come; less than none: the file seems to end before its end
	Redirect string // the file is said to be there (307)
	Changing bool   // each answer bears another ETag
}

// file is one that the publisher has.
type file struct {
	content  Content
	number   int    // the market place's, of this version
	sum      string // SHA-512; "" = nobody asked yet
	modified time.Time
	etag     string

	mu     sync.Mutex
	manner Manner
	given  int // answers
}

// File puts a file at a path, "/images/ubuntu.qcow2", for whatever was there. Lists that are published afterwards have its
// size and checksum.
func (e *Endorser) File(path string, c Content) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.count++
	e.files[path] = &file{content: c, number: e.count, modified: e.now(), etag: fmt.Sprintf("%x-%x", e.count, c.Size())}
}

// Misbehave has a file given in some manner from now on; none = well.
func (e *Endorser) Misbehave(path string, m Manner) error {
	e.mu.Lock()
	f := e.files[path]
	e.mu.Unlock()
	if f == nil {
		return fmt.Errorf("misbehave with %s: there is no such file", path)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.manner, f.given = m, 0
	return nil
}

// serve gives the file, or the part that is asked for.
func (f *file) serve(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	m := f.manner
	if f.given++; m.Times > 0 && f.given > m.Times {
		m.Cut, m.Stall = 0, 0
	}
	etag := f.etag
	if m.Changing {
		etag += "-" + strconv.Itoa(f.given)
	}
	f.mu.Unlock()
	if m.Redirect != "" {
		http.Redirect(w, req, m.Redirect, http.StatusTemporaryRedirect)
		return
	}
	if m.NoRange {
		req = req.Clone(req.Context())
		req.Header.Del("Range")
		w.Header().Set("Accept-Ranges", "none")
	}
	w.Header().Set("ETag", `"`+etag+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	if m.Cut != 0 || m.Stall != 0 || m.Longer != 0 {
		w = &wrongly{ResponseWriter: w, req: req, m: m}
	}
	http.ServeContent(w, req, "", f.modified, io.NewSectionReader(f.content, 0, f.content.Size()))
}

// wrongly writes an answer's body in a manner.
type wrongly struct {
	http.ResponseWriter
	req     *http.Request
	m       Manner
	written int64
	room    int64 // bytes until the announced end; only if less is announced
}

// WriteHeader announces the length.
func (w *wrongly) WriteHeader(status int) {
	if n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64); err == nil && status < 300 && w.m.Longer != 0 {
		n = max(n+w.m.Longer, 0)
		w.room = n
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes up to where the manner has it end.
func (w *wrongly) Write(b []byte) (int, error) {
	all := len(b)
	if w.m.Longer < 0 {
		b = b[:min(int64(len(b)), max(w.room-w.written, 0))]
	}
	ends := w.m.Cut
	if w.m.Stall != 0 && (ends == 0 || w.m.Stall < ends) {
		ends = w.m.Stall
	}
	over := ends != 0 && w.written+int64(len(b)) >= ends
	if over {
		b = b[:ends-w.written]
	}
	n, err := w.ResponseWriter.Write(b)
	w.written += int64(n)
	if over {
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		if ends == w.m.Stall {
			<-w.req.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return n, err
	}
	return all, nil
}
