package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"
)

// MaxHeld bounds what is read back of a document, in bytes.
const MaxHeld = 256 << 20

// NewFile gives the sink "file". A path that ends in .json or .ldif is a file, and holds one document; any other one is a
// directory with a file for each document, and the sink is a Remover. The directory is made when it is missing, and what
// it is in is there. Readers see a whole document at any time, the old one or the new one.
func NewFile(name, path string, f Format) Sink {
	files := files{name: name, path: filepath.Clean(path), format: f}
	if ext := filepath.Ext(path); ext == ".json" || ext == ".ldif" {
		return &fileSink{files}
	}
	return &directorySink{files}
}

// files is what both kinds of file sink are made of.
type files struct {
	name, path string
	format     Format
	replacer   // nil hooks outside of tests
}

func (s *files) Name() string   { return s.name }
func (s *files) Format() Format { return s.format }

// Place is the path, by which the sink is told from one that had the same name.
func (s *files) Place() string { return "file " + s.path }

// fileSink is a file of one document.
type fileSink struct{ files }

// Publish replaces the file. A link in its place is an error: to follow it would let others choose what is overwritten,
// and to replace it would leave alone what the operator meant.
func (s *fileSink) Publish(ctx context.Context, p Publication) error {
	dir, name := filepath.Split(s.path)
	root, err := os.OpenRoot(filepath.Clean(dir))
	if err != nil {
		return fileFailure(err, dir)
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		return &Failure{Err: fmt.Errorf("%s is no plain file", s.path), Permanent: true, Hint: "name the file itself, not a link to it; a device or pipe is no place for documents"}
	}
	if err := s.replace(ctx, root, name, p.Body); err != nil {
		return fileFailure(fmt.Errorf("write %s: %w", s.path, err), dir)
	}
	return nil
}

// single says that only one document can be there.
func (s *fileSink) single() {}

// directorySink is a directory of documents.
type directorySink struct{ files }

var _ Remover = (*directorySink)(nil)

// open opens the directory, and makes it if told to.
func (s *directorySink) open(make bool) (*os.Root, error) {
	root, err := os.OpenRoot(s.path)
	if !make || !errors.Is(err, fs.ErrNotExist) {
		return root, err
	}
	if err := os.Mkdir(s.path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if err := s.syncDir(filepath.Dir(s.path)); err != nil {
		return nil, err
	}
	return os.OpenRoot(s.path)
}

// Publish replaces the document's file. A link of that name is replaced, and what it leads to stays as it is.
func (s *directorySink) Publish(ctx context.Context, p Publication) error {
	if err := plainName(p.Name); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	root, err := s.open(true)
	if err != nil {
		return fileFailure(err, s.path)
	}
	defer root.Close()
	if err := s.replace(ctx, root, p.Name, p.Body); err != nil {
		return fileFailure(fmt.Errorf("write %s: %w", filepath.Join(s.path, p.Name), err), s.path)
	}
	return nil
}

// Held reads a document back. Where the directory cannot be read it is not known to be empty, and that is an error.
func (s *directorySink) Held(ctx context.Context, name string) ([]byte, error) {
	if err := errors.Join(plainName(name), context.Cause(ctx)); err != nil {
		return nil, err
	}
	root, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotHeld
	}
	if err != nil {
		return nil, fileFailure(err, s.path)
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, ErrNotHeld
	}
	if err != nil {
		return nil, fileFailure(err, s.path)
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotHeld
	}
	if err != nil {
		return nil, fileFailure(err, s.path)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, MaxHeld+1))
	if err == nil && len(body) > MaxHeld {
		err = fmt.Errorf("%s has more than %d bytes", f.Name(), MaxHeld)
	}
	return body, err
}

// Remove takes the file away, whatever is in it.
func (s *directorySink) Remove(ctx context.Context, name string) error {
	if err := errors.Join(plainName(name), context.Cause(ctx)); err != nil {
		return err
	}
	root, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileFailure(err, s.path)
	}
	defer root.Close()
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", filepath.Join(s.path, name))
	}
	if err == nil {
		err = root.Remove(name)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileFailure(err, s.path)
	}
	return s.syncDir(s.path)
}

// plainName tells whether a name is that of a file in a directory, not hidden, and leads nowhere else.
func plainName(name string) error {
	if name == "" || name[0] == '.' || len(name) > 200 || !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r == '/' || r == '\\' || r < ' ' || r == 0x7f }) {
		return &Failure{Err: fmt.Errorf("%q can be no file's name", name), Permanent: true, Hint: "the site's name in the configuration must be the one in GOCDB"}
	}
	return nil
}

// fileFailure says what to do about an error of the file system.
func fileFailure(err error, dir string) error {
	f := &Failure{Err: err, Permanent: true}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		f.Hint, f.Permanent = fmt.Sprintf("make room in %s: the document that was there is still there, and the next run publishes again", dir), false
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		f.Hint = fmt.Sprintf("the user that fedsite runs as must be able to make files in %s; under systemd it must be among ReadWritePaths= of the unit", dir)
	case errors.Is(err, fs.ErrNotExist):
		f.Hint = "make the directory, or mount what holds it"
	default:
		f.Hint = fmt.Sprintf("see what is at %s", dir)
	}
	return f
}
