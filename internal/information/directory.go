package information

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Directory reads *.json of a directory and of those beneath it, as the federation's information service does. Names that
// begin with a dot are passed over, and so is what a symbolic link has outside of the directory.
type Directory struct {
	path   string
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	files   map[string]file
	version int
}

// file is what was read of a file, and how the file was then.
type file struct {
	info os.FileInfo
	read time.Time
	doc  Document
}

// NewDirectory gives the source of a directory. It need not be there yet.
func NewDirectory(path string, limits Limits) *Directory {
	return &Directory{path: path, limits: limits.orDefault(), now: time.Now, files: map[string]file{}}
}

// Name is "directory" and its path.
func (d *Directory) Name() string { return "directory " + d.path }

// Documents reads the files whose size, time of change or inode changed, and takes the others as they were read.
func (d *Directory) Documents(ctx context.Context) ([]Document, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	root, err := os.OpenRoot(d.path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w: create it and let the service's user read it", d.Name(), err)
	}
	defer func() { _ = root.Close() }()
	names, err := d.names(ctx, root)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", d.Name(), err)
	}
	var (
		now     = map[string]file{}
		docs    []Document
		total   int64
		changed = len(names) != len(d.files)
	)
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, "", context.Cause(ctx)
		}
		f, fresh := d.file(root, name, d.limits.Total-total)
		total += int64(len(f.doc.Body))
		changed = changed || fresh
		now[name], docs = f, append(docs, f.doc)
	}
	if changed {
		d.version++
	}
	d.files = now
	return docs, strconv.Itoa(d.version), nil
}

// names lists the files, in order.
func (d *Directory) names(ctx context.Context, root *os.Root) ([]string, error) {
	var names []string
	err := fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && name == ".":
			return err
		case name == ".":
			return nil
		case strings.HasPrefix(e.Name(), "."), err != nil:
			return skip(e)
		case e.IsDir() && strings.Count(name, "/") >= d.limits.Depth:
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".json"):
			return nil
		case len(names) >= d.limits.Documents:
			return fmt.Errorf("more than %d documents: is it the right directory?", d.limits.Documents)
		}
		names = append(names, name)
		return nil
	})
	return names, err
}

func skip(e fs.DirEntry) error {
	if e.IsDir() {
		return fs.SkipDir
	}
	return nil
}

// racy is how long after its change a file may change again without its time or size telling.
const racy = 2 * time.Second

// file reads a file unless it is as it was.
func (d *Directory) file(root *os.Root, name string, left int64) (f file, fresh bool) {
	old, known := d.files[name]
	info, err := root.Stat(name)
	if err == nil && known && old.info != nil && os.SameFile(info, old.info) && info.Size() == old.info.Size() &&
		info.ModTime().Equal(old.info.ModTime()) && old.read.Sub(info.ModTime()) > racy {
		return old, false
	}
	f = file{read: d.now(), doc: Document{Source: d.Name(), Name: name}}
	if err == nil {
		f.info, f.doc.Changed = info, info.ModTime().UTC()
		f.doc.Body, err = read(root, name, min(d.limits.Bytes, left))
	}
	if err != nil {
		f.info, f.doc.Err = nil, fmt.Errorf("file %q: %w", name, plainer(err))
	}
	return f, !known || differs(old.doc, f.doc)
}

// read reads a regular file of at most so many bytes.
func read(root *os.Root, name string, most int64) ([]byte, error) {
	// without O_NONBLOCK whoever puts a named pipe there would stop us
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > most {
		return nil, fmt.Errorf("it has %d bytes, and at most %d can be taken", info.Size(), most)
	}
	body, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("it has more than the %d bytes that can be taken", most)
	}
	return body, nil
}

// plainer takes off what os says of the path, which is named already.
func plainer(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
