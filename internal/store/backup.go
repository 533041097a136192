package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
)

// Copy is a copy of the database in a file of its own.
type Copy struct {
	Path  string        `json:"path"`
	Bytes int64         `json:"bytes"`
	Took  time.Duration `json:"took"`
}

// Backup copies the database into a file, as it is at one instant; others write on meanwhile. The file is whole and
// checked before it gets its name, and only its owner may read it. One that is there is left alone, unless force is set.
// Of PostgreSQL it is ErrNotAFile.
func (s *Store) Backup(ctx context.Context, path string, force bool) (Copy, error) {
	began := time.Now()
	if s.dialect.name != onSQLite.name {
		return Copy{}, fmt.Errorf("back up database %s: %w", s.where, ErrNotAFile)
	}
	there, err := os.Stat(path)
	switch {
	case err == nil && there.IsDir():
		return Copy{}, fmt.Errorf("back up to %s: it is a directory: name a file", path)
	case err == nil && s.isOurs(there):
		return Copy{}, fmt.Errorf("back up to %s: that is the database itself", path)
	case err == nil && !force:
		return Copy{}, fmt.Errorf("back up to %s: %w", path, ErrThere)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return Copy{}, fileError("back up to", path, err)
	}
	n, err := copyInto(ctx, s.where, path)
	if err != nil {
		return Copy{}, err
	}
	return Copy{Path: path, Bytes: n, Took: time.Since(began)}, nil
}

// isOurs tells whether a file is one of the open database's.
func (s *Store) isOurs(info fs.FileInfo) bool {
	for _, end := range []string{"", "-wal", "-shm", ".migrate"} {
		if own, err := os.Stat(s.where + end); err == nil && os.SameFile(own, info) {
			return true
		}
	}
	return false
}

// unfinished begins the names of copies that are being made.
const unfinished = ".unfinished-"

// copyInto copies the database in one file into another, under a name of its own until it is whole.
func copyInto(ctx context.Context, from, to string) (size int64, err error) {
	tmp, err := os.CreateTemp(filepath.Dir(to), unfinished+filepath.Base(to)+"-*") // nobody but its owner may read it
	if err != nil {
		return 0, fileError("write beside", to, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
			_ = os.Remove(tmp.Name() + "-journal")
		}
	}()
	if err := tmp.Close(); err != nil {
		return 0, fileError("write", tmp.Name(), err)
	}
	if err := vacuumInto(ctx, from, tmp.Name()); err != nil {
		return 0, err
	}
	if _, err := check(ctx, tmp.Name()); err != nil {
		return 0, fmt.Errorf("the copy %s is not good: %w", tmp.Name(), err)
	}
	if size, err = syncFile(tmp.Name()); err != nil {
		return 0, fileError("write", tmp.Name(), err)
	}
	if err := os.Rename(tmp.Name(), to); err != nil {
		return 0, fileError("write", to, err)
	}
	return size, fileError("write", to, syncDir(filepath.Dir(to)))
}

// vacuumInto reads one database in a transaction of its own, and writes all that it holds into an empty file.
func vacuumInto(ctx context.Context, from, to string) error {
	connector, err := sqlite.NewConnector(fileURL(from) + "?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return explain("copy", from, err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, to); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if kind := classify(err); kind != nil {
			return fmt.Errorf("copy database %s to %s: %w: %w", from, to, kind, err)
		}
		return fmt.Errorf("copy database %s to %s: %w", from, to, err)
	}
	return nil
}

// check tells whether a file is a whole database of a version that this program knows, and gives the version.
func check(ctx context.Context, path string) (version int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fileError("read", path, err)
	}
	if err := f.Close(); err != nil {
		return 0, fileError("read", path, err)
	}
	connector, err := sqlite.NewConnector(fileURL(path) + "?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		return 0, explain("check", path, err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&verdict); err != nil {
		return 0, explain("check", path, err)
	}
	if verdict != "ok" {
		return 0, fmt.Errorf("check database %s: %w: %s", path, ErrCorrupt, verdict)
	}
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version`).Scan(&version); err != nil {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return 0, fmt.Errorf("check database %s: %w: it has no tables of fedsite", path, ErrCorrupt)
	}
	if newest := newestVersion(); version > newest {
		return version, fmt.Errorf("check database %s: %w: it has tables of version %d, this program knows %d", path, ErrNewer, version, newest)
	}
	return version, nil
}

// newestVersion is that of the newest migration that this program has.
func newestVersion() (newest int64) {
	files, _ := fs.Glob(migrations, "migrations/*.sql")
	for _, f := range files {
		var n int64
		if _, err := fmt.Sscanf(strings.TrimPrefix(f, "migrations/"), "%d_", &n); err == nil {
			newest = max(newest, n)
		}
	}
	return newest
}

func syncFile(path string) (size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	err = errors.Join(f.Chmod(0o600), f.Sync())
	if info, serr := f.Stat(); serr == nil {
		size = info.Size()
	}
	return size, errors.Join(err, f.Close())
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// fileError says what went wrong with a file, in the kinds of this package; nil for nil.
func fileError(doing, path string, err error) error {
	if err == nil {
		return nil
	}
	for _, k := range []struct{ is, kind error }{
		{syscall.ENOSPC, ErrFull}, {syscall.EDQUOT, ErrFull}, {syscall.EFBIG, ErrIO}, {syscall.EIO, ErrIO},
		{syscall.EROFS, ErrReadOnly}, {fs.ErrPermission, ErrReadOnly},
	} {
		if errors.Is(err, k.is) {
			return &fileFault{fmt.Sprintf("%s %s: %v", doing, path, err), k.kind, err}
		}
	}
	return fmt.Errorf("%s %s: %w", doing, path, err)
}

// fileFault is what went wrong with a file that need not be the database: of a kind of this package, in the system's words.
type fileFault struct {
	text      string
	kind, err error
}

func (f *fileFault) Error() string   { return f.text }
func (f *fileFault) Unwrap() []error { return []error{f.kind, f.err} }
