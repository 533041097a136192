// Package dirq writes and reads the directory queue of SSM and of Python's dirq (QueueSimple), so that an existing ssmsend
// can send what fedsite wrote (spec accounting §1.13).
//
//	<path>/<8 hex>/<14 hex>        an element, a plain file
//	<path>/<8 hex>/<14 hex>.tmp    being written
//	<path>/<8 hex>/<14 hex>.lck    a hard link: locked by a reader
//	<path>/.fedsite-queue          the queue's id, of this package only
//
// Unlike its models a writer here syncs the file and its directory before the element counts as written.
package dirq

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Errors that a writer or reader decides by.
var (
	ErrName    = errors.New("no element name: 8 hexadecimal digits, a slash, 14 hexadecimal digits")
	ErrTaken   = errors.New("another element has this name")
	ErrLocked  = errors.New("the element is locked by another program")
	ErrMissing = errors.New("no such element")
)

// Queue is a directory queue.
type Queue struct {
	Path string
	// Sync is called for every file and directory before it counts as written; nil = fsync.
	Sync func(*os.File) error
}

// MaxElement bounds what Get reads, in bytes.
const MaxElement = 64 << 20

// CheckName tells whether a name is one of an element: "6b041c38/6b041c73b9ad4c".
func CheckName(name string) error {
	dir, file, ok := strings.Cut(name, "/")
	if !ok || !isHex(dir, 8) || !isHex(file, 14) {
		return fmt.Errorf("%q: %w", name, ErrName)
	}
	return nil
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func (q Queue) file(name string) string { return filepath.Join(q.Path, filepath.FromSlash(name)) }

// Add writes an element under the given name, durably. A name belongs to one writer, so that what a killed one left
// half-written is written anew. The same name with the same bytes counts as written; with others it is ErrTaken.
func (q Queue) Add(name string, data []byte) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(data) > MaxElement {
		return fmt.Errorf("element %s has %d bytes, more than %d", name, len(data), MaxElement)
	}
	dir := filepath.Dir(q.file(name))
	for try := 1; ; try++ {
		if err := q.makeDir(dir); err != nil {
			return fmt.Errorf("directory queue %s: %w", q.Path, err)
		}
		err := q.write(name, data)
		if errors.Is(err, fs.ErrNotExist) && try < 3 {
			continue // a reader removes directories that are empty
		}
		if err != nil {
			return fmt.Errorf("write element %s: %w", name, err)
		}
		// A directory that is gone was emptied: the element has been taken.
		return errors.Join(ignoreMissing(q.syncDir(dir)), q.syncDir(q.Path))
	}
}

// write puts the element there, unless it is there already with the same bytes.
func (q Queue) write(name string, data []byte) error {
	final := q.file(name)
	tmp := final + ".tmp"
	done, err := q.same(name, data)
	if err == nil && !done {
		if err = q.writeFile(tmp, data); err == nil {
			err = os.Link(tmp, final)
		}
		if errors.Is(err, fs.ErrExist) {
			if done, serr := q.same(name, data); done || serr != nil {
				err = serr
			}
		}
	}
	// What is called .tmp now is ours, or was left by a killed writer of this element.
	return errors.Join(err, ignoreMissing(os.Remove(tmp)))
}

// same tells whether the element is there already with the same bytes.
func (q Queue) same(name string, data []byte) (bool, error) {
	have, err := q.Get(name)
	switch {
	case errors.Is(err, ErrMissing):
		return false, nil
	case err != nil:
		return false, err
	case !bytes.Equal(have, data):
		return false, ErrTaken
	}
	return true, nil
}

// makeDir makes a directory and those above it, each durably.
func (q Queue) makeDir(dir string) error {
	var made []string
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) || d == filepath.Dir(d) {
			break
		}
		made = append(made, d)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, d := range made {
		if err := q.syncDir(filepath.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}

// writeFile writes a new file. One that is there is removed first, never written into: it may be another name of an
// element that is being read.
func (q Queue) writeFile(path string, data []byte) error {
	if err := ignoreMissing(os.Remove(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = q.sync(f)
	}
	return errors.Join(err, f.Close())
}

func (q Queue) sync(f *os.File) error {
	if q.Sync != nil {
		return q.Sync(f)
	}
	return f.Sync()
}

func (q Queue) syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(q.sync(f), f.Close())
}

// Has tells whether the element is still in the queue, locked or not.
func (q Queue) Has(name string) (bool, error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	_, err := os.Lstat(q.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Get reads an element.
func (q Queue) Get(name string) ([]byte, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	info, err := os.Lstat(q.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("element %s: %w", name, ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > MaxElement {
		return nil, fmt.Errorf("element %s is no plain file of at most %d bytes", name, MaxElement)
	}
	data, err := os.ReadFile(q.file(name))
	if errors.Is(err, fs.ErrNotExist) { // a reader was faster
		return nil, fmt.Errorf("element %s: %w", name, ErrMissing)
	}
	return data, err
}

// Names gives the elements in the order in which readers take them.
func (q Queue) Names() ([]string, error) {
	dirs, err := os.ReadDir(q.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, d := range dirs {
		if !d.IsDir() || !isHex(d.Name(), 8) {
			continue
		}
		files, err := os.ReadDir(filepath.Join(q.Path, d.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, f := range files {
			if isHex(f.Name(), 14) && f.Type().IsRegular() {
				names = append(names, d.Name()+"/"+f.Name())
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// Lock takes an element for this reader; ErrLocked when another has it. It dates the lock now, because other readers take
// one that is older than 10 minutes for that of a dead program.
func (q Queue) Lock(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	lock := q.file(name) + ".lck"
	err := os.Link(q.file(name), lock)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("element %s: %w", name, ErrLocked)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("element %s: %w", name, ErrMissing)
	case err != nil:
		return err
	}
	now := time.Now() // the file system's clock, which other programs compare it with
	return os.Chtimes(lock, now, now)
}

// Remove takes a locked element out of the queue.
func (q Queue) Remove(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return errors.Join(os.Remove(q.file(name)), os.Remove(q.file(name)+".lck"))
}

// Unlock gives a locked element back.
func (q Queue) Unlock(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return os.Remove(q.file(name) + ".lck")
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
