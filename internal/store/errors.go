package store

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that a caller decides by.
var (
	ErrFenced      = errors.New("the task's lease was lost: nothing was written")
	ErrLocked      = errors.New("the database is locked by another program")
	ErrReadOnly    = errors.New("the database cannot be written")
	ErrFull        = errors.New("the disk is full")
	ErrIO          = errors.New("the file system refuses to read or write it")
	ErrNewer       = errors.New("the database was made by a newer fedsite")
	ErrUnavailable = errors.New("the database cannot be reached")
	ErrCorrupt     = errors.New("the file is no database of fedsite, or is damaged")
	ErrNotAFile    = errors.New("the database is in PostgreSQL, which is backed up by its own tools")
	ErrInUse       = errors.New("the database is in use")
	ErrGone        = errors.New("the database's file is gone, or another one is in its place")
	ErrThere       = errors.New("it is there already")
)

// hints say what to do about each of them.
var hints = []struct {
	err  error
	hint string
}{
	{ErrLocked, "another program holds a lock on the file: see who with fuser, and try again"},
	{ErrReadOnly, "the file and its directory must belong to the user that fedsite runs as, on a file system that is mounted for writing; a PostgreSQL must not be a standby, or have default_transaction_read_only set"},
	{ErrFull, "make room on the file system of the database: nothing was lost, the next run does this again"},
	{ErrIO, "see the system's log (dmesg), the user's quota, and the limit of a file's size (ulimit -f): nothing was lost"},
	{ErrNewer, "install the newer fedsite again, or restore a backup made before it"},
	{ErrUnavailable, "see that PostgreSQL runs and that store.url names the right host"},
	{ErrNotAFile, "pg_dump --format=custom --file FILE DATABASE, as a user that may read it; to restore: stop every node's service, pg_restore --clean --if-exists --dbname DATABASE FILE, then fedsite accounting rebuild --from-sent DIR… with the directories of all nodes"},
	{ErrInUse, "stop the service first: systemctl stop fedsite"},
	{ErrGone, "stop the service, and put the file back; if it is lost: fedsite restore of a backup, then fedsite accounting rebuild --from-sent of the directory sent beside it"},
	{ErrThere, "--force replaces it"},
	{ErrCorrupt, "restore a backup, or name another file in store.path"},
}

// Hint says what to do about an error of this package; "" for others.
func Hint(err error) string {
	for _, h := range hints {
		if errors.Is(err, h.err) {
			return h.hint
		}
	}
	return ""
}

// Lasting tells whether what an error says does not pass by waiting: somebody has to do something about it.
func Lasting(err error) bool {
	for _, kind := range []error{ErrFull, ErrReadOnly, ErrIO, ErrCorrupt, ErrGone} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// explain puts a kind and the database's name to an error of the database. Errors of the caller's own go through as they
// are.
func (s *Store) explain(doing string, err error) error {
	if s.dialect.name == onPostgres.name && errors.Is(err, context.DeadlineExceeded) { // a network that loses packets says nothing else
		return fmt.Errorf("%s database %s: %w: no answer in time: %w", doing, s.where, ErrUnavailable, err)
	}
	return explain(doing, s.where, err)
}

func explain(doing, where string, err error) error {
	kind := classify(err)
	if kind == nil || errors.Is(err, kind) {
		return err
	}
	return fmt.Errorf("%s database %s: %w: %w", doing, where, kind, err)
}

func classify(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return ErrLocked
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH:
			return ErrReadOnly
		case sqlite3.SQLITE_FULL:
			return ErrFull
		case sqlite3.SQLITE_IOERR:
			return ErrIO
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			return ErrCorrupt
		}
		return nil
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "55P03", "57014": // lock not available, statement cancelled
			return ErrLocked
		case "25006", "42501": // read-only transaction, insufficient privilege
			return ErrReadOnly
		case "53100":
			return ErrFull
		case "57P01", "57P02", "57P03", "53300", "3D000", "28P01", "28000":
			return ErrUnavailable
		}
		return nil
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return ErrUnavailable
	}
	if _, ok := errors.AsType[net.Error](err); ok && !errors.Is(err, context.DeadlineExceeded) {
		return ErrUnavailable
	}
	return nil
}

// waited tells whether a transaction had to wait too long for the lock of another one. It is worth one more try: writes of
// one site stand in line, and a slow disk makes the line slow.
func waited(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == "55P03"
}

// collided tells whether the same transaction may succeed when it is tried again.
func collided(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_BUSY_SNAPSHOT
	}
	return false
}
