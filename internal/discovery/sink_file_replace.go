package discovery

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// replacer puts whole files in the place of others: written beside it, synced, renamed, and the directory synced.
//
//	.<name>.<random>.tmp    being written; its writer holds a lock on it, so that others can tell it from one left behind
//
// Tests set the hooks.
type replacer struct {
	write func(*os.File, []byte) (int, error) // nil = Write
	sync  func(*os.File) error                // nil = Sync
}

const (
	tmpSuffix = ".tmp"
	chunk     = 1 << 20 // bytes between two looks at the context
	// maxBegins is how often a temporary file is begun anew when another process took it for one that was left behind.
	maxBegins = 5
)

// replace makes the file name of a directory hold the body. Whatever goes wrong, the file is as it was.
func (r *replacer) replace(ctx context.Context, root *os.Root, name string, body []byte) (err error) {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	sweep(root, name)
	f, tmp, err := beginFile(root, name)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			root.Remove(tmp) //nolint:errcheck // the next replace sweeps it
		}
		f.Close() //nolint:errcheck // it was synced, and the lock goes with it
	}()
	for rest := body; len(rest) > 0; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n := min(chunk, len(rest))
		if err := r.writeTo(f, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	// Whoever serves the directory is another user as a rule, and documents are public.
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := r.syncFile(f); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := root.Rename(tmp, name); err != nil {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(r.syncFile(d), d.Close())
}

func (r *replacer) writeTo(f *os.File, b []byte) error {
	write := r.write
	if write == nil {
		write = (*os.File).Write
	}
	_, err := write(f, b)
	return err
}

func (r *replacer) syncFile(f *os.File) error {
	if r.sync != nil {
		return r.sync(f)
	}
	return f.Sync()
}

func (r *replacer) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(r.syncFile(d), d.Close())
}

// beginFile opens a new temporary file for the name, and locks it.
func beginFile(root *os.Root, name string) (*os.File, string, error) {
	for try := 1; ; try++ {
		tmp := "." + name + "." + rand.Text()[:8] + tmpSuffix
		f, err := root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, "", err
		}
		// On a file system without locks nobody can take one, and what is left behind stays.
		swept := errors.Is(lock(f), syscall.EWOULDBLOCK)
		if _, err = root.Lstat(tmp); err == nil && !swept {
			return f, tmp, nil
		}
		f.Close() //nolint:errcheck // nothing was written
		if try == maxBegins || !swept && !errors.Is(err, fs.ErrNotExist) {
			return nil, "", fmt.Errorf("begin %s: %w", tmp, errors.Join(err, fs.ErrNotExist))
		}
	}
}

// lock takes the file for this process; the system lets go of it with the process.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// sweep removes temporary files of the name whose writers are no more.
func sweep(root *os.Root, name string) {
	entries, err := fs.Glob(root.FS(), "."+globEscape(name)+".*"+tmpSuffix)
	if err != nil {
		return
	}
	for _, tmp := range entries {
		random := strings.TrimSuffix(strings.TrimPrefix(tmp, "."+name+"."), tmpSuffix)
		if len(random) != 8 || strings.ContainsAny(random, "./") {
			continue // of another name, which begins like this one
		}
		f, err := root.OpenFile(filepath.Base(tmp), os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if lock(f) == nil {
			root.Remove(tmp) //nolint:errcheck // the next one sweeps it
		}
		f.Close() //nolint:errcheck // nothing was written
	}
}

func globEscape(name string) string {
	var out strings.Builder
	for _, r := range name {
		if strings.ContainsRune(`*?[\`, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
