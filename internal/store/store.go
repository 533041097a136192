// Package store keeps fedsite's state: in SQLite by default, in PostgreSQL by URL when several nodes or many sites share
// it. It is the only importer of database drivers.
//
//	open → migrate → read, write
//
// One SQL text serves both databases. Times are BIGINT: the domain's in unix seconds, sightings and those of tasks in
// milliseconds. The SQL of a step stands in the step's own file; this package knows no domain.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Config says where the state is.
type Config struct {
	Path string // SQLite file; used when URL is empty
	URL  string // PostgreSQL, postgres://user@host/database; never printed whole
	// OnCommit, if set, is called after each committed write transaction with the number of commits so far.
	OnCommit func(n int64)
}

// Store is an open database. All methods may be used from several goroutines.
type Store struct {
	read, write *sql.DB
	dialect     dialect
	where       string // file, or host and database; never a password
	commits     atomic.Int64
	trouble     atomic.Pointer[error] // what the last write met that keeps every write from succeeding
	onCommit    func(int64)
	still       func() error // ErrGone when the file is not the one that was opened; nil for PostgreSQL
	close       func() error
}

// dialect holds the differences between the two databases; there are two (design §4, Store), and how a snapshot is
// asked for.
type dialect struct {
	name      string
	clock     string // expression: milliseconds of the database's clock
	forShare  string // suffix that keeps a row from changing until the transaction ends
	isolation sql.IsolationLevel
}

var (
	onSQLite   = dialect{name: "sqlite", clock: "CAST(unixepoch('subsec') * 1000 AS INTEGER)"}
	onPostgres = dialect{name: "postgres", clock: "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)", forShare: " FOR SHARE", isolation: sql.LevelRepeatableRead}
)

// Dialect is "sqlite" or "postgres".
func (s *Store) Dialect() string { return s.dialect.name }

// Where names the database for messages: the file, or host and database.
func (s *Store) Where() string { return s.where }

// Commits is how many write transactions were committed through this Store.
func (s *Store) Commits() int64 { return s.commits.Load() }

// Trouble gives why nothing can be written, as the last write has met it: a full disk, a file system or a server that is
// read-only, another program's lock on the whole file. It is nil once a write has succeeded.
func (s *Store) Trouble() error {
	if err := s.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// met keeps what a write met, if it is no trouble of the write's own.
func (s *Store) met(ctx context.Context, err error) {
	if ctx.Err() == nil && (Lasting(err) || (errors.Is(err, ErrLocked) && s.dialect.name == onSQLite.name)) {
		s.trouble.Store(&err)
	}
}

// Close closes the database.
func (s *Store) Close() error { return s.close() }

// Now is the database's clock, in UTC.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	if err := s.there(); err != nil {
		return time.Time{}, err
	}
	var ms int64
	if err := s.read.QueryRowContext(ctx, "SELECT "+s.dialect.clock).Scan(&ms); err != nil {
		return time.Time{}, s.explain("ask the clock", err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// Tx is a transaction. Placeholders are $1, $2 … for both databases.
type Tx struct {
	ctx     context.Context
	tx      *sql.Tx
	dialect dialect
}

// Exec runs a statement and gives how many rows it changed.
func (t *Tx) Exec(query string, args ...any) (int64, error) {
	query, args = t.place(query, args)
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Query runs a query; the caller closes the rows before the next statement.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	query, args = t.place(query, args)
	return t.tx.QueryContext(t.ctx, query, args...)
}

// QueryRow runs a query of one row; sql.ErrNoRows comes from Scan.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	query, args = t.place(query, args)
	return t.tx.QueryRowContext(t.ctx, query, args...)
}

// place gives the placeholders the form that the database is quick with, and texts a form that both databases take:
// PostgreSQL refuses a NUL, which a tenant can put into a name, and the whole transaction with it.
func (t *Tx) place(query string, args []any) (string, []any) {
	for i, a := range args {
		if text, ok := a.(string); ok && strings.ContainsRune(text, 0) {
			args = slices.Clone(args)
			args[i] = strings.ReplaceAll(text, "\x00", "\uFFFD")
		}
	}
	if t.dialect.name != onSQLite.name {
		return query, args
	}
	return positional(query, args)
}

// Clock is the expression for the database's clock in milliseconds, for use inside SQL.
func (t *Tx) Clock() string { return t.dialect.clock }

// Read runs fn in a read-only transaction that sees one state of the database. fn may be run again; it must not keep
// what an earlier try gave it.
func (s *Store) Read(ctx context.Context, fn func(*Tx) error) error {
	if err := s.there(); err != nil {
		return err
	}
	tx, err := s.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.dialect.isolation})
	if err != nil {
		return s.explain("read", err)
	}
	defer tx.Rollback() //nolint:errcheck // a reader has nothing to lose
	if err := fn(&Tx{ctx: ctx, tx: tx, dialect: s.dialect}); err != nil {
		return s.explain("read", err)
	}
	return nil
}

// there tells whether the database is where it was opened. SQLite would go on reading and writing a file that was removed,
// and all of it would be gone with the process.
func (s *Store) there() error {
	if s.still == nil {
		return nil
	}
	return s.still()
}

// maxTries is how often a write is tried when the database says that two transactions met.
const maxTries = 5

// Write runs fn in a write transaction, and commits it if fn gives no error. When ctx carries a Lease, the last statement
// checks that it is still held, and everything is rolled back if it is not: ErrFenced (design §7, Tasks, rule 3). fn may
// be run again. It must be short: no network inside, at most 1,000 rows.
func (s *Store) Write(ctx context.Context, fn func(*Tx) error) error {
	var err error
	for try := range maxTries {
		if err = s.once(ctx, fn); err == nil {
			s.trouble.Store(nil)
			n := s.commits.Add(1)
			if s.onCommit != nil {
				s.onCommit(n)
			}
			return nil
		}
		if !collided(err) && !(waited(err) && try == 0) || !wait(ctx, time.Duration(1<<try)*5*time.Millisecond) {
			break
		}
	}
	err = s.explain("write", err)
	s.met(ctx, err)
	return err
}

func (s *Store) once(ctx context.Context, fn func(*Tx) error) error {
	if err := s.there(); err != nil {
		return err
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back
	t := &Tx{ctx: ctx, tx: tx, dialect: s.dialect}
	if err := fn(t); err != nil {
		return err
	}
	if err := t.fence(ctx); err != nil {
		return err
	}
	watch, _ := ctx.Value(watchKey{}).(func(committed bool))
	if watch != nil {
		watch(false)
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if watch != nil {
		watch(true)
	}
	return nil
}

type watchKey struct{}

// Watched gives a context under which every Write calls watch twice: when all is written and the database is about to be
// told to commit, and as soon as it has. It is how a test ends a process at either moment; watch must not use the store.
func Watched(ctx context.Context, watch func(committed bool)) context.Context {
	return context.WithValue(ctx, watchKey{}, watch)
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Lease is a run's hold on a task: writes made under it count only as long as it is held.
type Lease struct {
	Task  string
	Owner string
	Fence int64
}

type leaseKey struct{}

// WithLease gives a context under which every Write checks the lease.
func WithLease(ctx context.Context, l Lease) context.Context {
	return context.WithValue(ctx, leaseKey{}, l)
}

// WithoutLease gives a context under which no Write checks a lease: for what ends the lease itself.
func WithoutLease(ctx context.Context) context.Context {
	return context.WithValue(ctx, leaseKey{}, nil)
}

// LeaseFrom gives the context's lease, if it has one.
func LeaseFrom(ctx context.Context) (Lease, bool) {
	l, ok := ctx.Value(leaseKey{}).(Lease)
	return l, ok
}

// fence checks the context's lease: owner and fence both, because a fence may repeat after a failover of PostgreSQL.
func (t *Tx) fence(ctx context.Context) error {
	l, ok := LeaseFrom(ctx)
	if !ok {
		return nil
	}
	var one int
	err := t.QueryRow(`SELECT 1 FROM task WHERE name = $1 AND owner = $2 AND fence = $3`+t.dialect.forShare, l.Task, l.Owner, l.Fence).Scan(&one)
	if err == sql.ErrNoRows {
		return fmt.Errorf("task %s: %w", l.Task, ErrFenced)
	}
	return err
}
