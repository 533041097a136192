package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
)

// RestoreOptions says what Restore puts where.
type RestoreOptions struct {
	From  string    // a copy, as Backup makes them
	Path  string    // the database
	Serve string    // the file that a running service holds a lock on
	Now   time.Time // names the file that the present database is kept as
}

// Restore puts a copy in the place of the database, and gives under which name the present one stays beside it; "" when
// there was none. It refuses while a service or another run uses the database, and a copy that is damaged, of something
// else, or of a newer fedsite. Until the last step the present database is where it is.
func Restore(ctx context.Context, o RestoreOptions) (kept string, err error) {
	if _, err := check(ctx, o.From); err != nil {
		return "", err
	}
	from, err := os.Stat(o.From)
	if err != nil {
		return "", fileError("read", o.From, err)
	}
	if own, err := os.Stat(o.Path); err == nil && os.SameFile(from, own) {
		return "", fmt.Errorf("restore %s: that is the database itself", o.From)
	}
	if err := os.MkdirAll(filepath.Dir(o.Path), 0o700); err != nil {
		return "", fileError("make directory", filepath.Dir(o.Path), err)
	}
	serve, err := unserved(o.Serve)
	if err != nil {
		return "", err
	}
	defer serve()
	unlock, err := lockFile(ctx, o.Path+".migrate") // nobody opens it meanwhile
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := settled(ctx, o.Path); err != nil {
		return "", err
	}
	fresh := filepath.Join(filepath.Dir(o.Path), unfinished+"restore")
	if _, err := copyInto(ctx, o.From, fresh); err != nil {
		return "", err
	}
	defer os.Remove(fresh) //nolint:errcheck // it has another name when all went well
	if kept, err = setAside(o.Path, o.Now); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, o.Path); err != nil {
		return kept, fileError("write", o.Path, err)
	}
	return kept, fileError("write", o.Path, syncDir(filepath.Dir(o.Path)))
}

// unserved takes the lock of the service, so that none runs.
func unserved(path string) (release func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	unlock, other, err := LockServe(path)
	switch {
	case err != nil:
		return nil, fileError("lock", path, err)
	case other == nil:
		return func() { _ = unlock() }, nil
	case other.Process != 0:
		return nil, fmt.Errorf("%w: fedsite serve runs as process %d since %s", ErrInUse, other.Process, other.Since.UTC().Format(time.RFC3339))
	}
	return nil, fmt.Errorf("%w: fedsite serve runs", ErrInUse)
}

// settled writes all of the present database into its one file, and refuses when a run goes on in it. One that is damaged
// is as it is: it is about to be replaced.
func settled(ctx context.Context, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	connector, err := sqlite.NewConnector(fileURL(path) + "?mode=rw&_pragma=busy_timeout(2000)")
	if err != nil {
		return explain("open", path, err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	db.SetMaxOpenConns(1)
	var name, owner string
	err = db.QueryRowContext(ctx, `SELECT name, owner FROM task WHERE owner IS NOT NULL AND lease_until > `+onSQLite.clock+` ORDER BY name LIMIT 1`).Scan(&name, &owner)
	if err == nil {
		return fmt.Errorf("%w: %s runs (%s)", ErrInUse, name, owner)
	}
	var busy, pages, moved int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err == nil && busy != 0 {
		return fmt.Errorf("%w: another program has it open", ErrInUse)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// setAside gives the present database a second name, that it keeps, and takes away what SQLite has beside it.
func setAside(path string, now time.Time) (kept string, err error) {
	kept = path + ".before-restore-" + now.UTC().Format(snapshotTime)
	for n := 2; ; n++ {
		if err = os.Link(path, kept); !errors.Is(err, fs.ErrExist) {
			break
		}
		kept = fmt.Sprintf("%s.before-restore-%s-%d", path, now.UTC().Format(snapshotTime), n)
	}
	gone := errors.Is(err, fs.ErrNotExist)
	if err != nil && !gone {
		return "", fileError("keep "+path+" as", kept, err)
	}
	for _, end := range []string{"-wal", "-shm"} { // there when it was damaged or removed only; SQLite would take them for the new one's
		if err := os.Rename(path+end, kept+end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fileError("keep "+path+end+" as", kept+end, err)
		}
	}
	if gone {
		return "", nil
	}
	return kept, nil
}

// Inspect opens a copy for reading. Nothing in it is changed; writing gives an error.
func Inspect(ctx context.Context, path string) (*Store, error) {
	if _, err := check(ctx, path); err != nil {
		return nil, err
	}
	connector, err := newPreparing(fileURL(path) + "?mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)")
	if err != nil {
		return nil, explain("open", path, err)
	}
	db := sql.OpenDB(connector)
	return &Store{read: db, write: db, dialect: onSQLite, where: path, close: db.Close}, nil
}
