package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Open opens the database, makes it if it is not there, and brings its tables up to date under a lock. A database made by
// a newer program is refused.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.URL != "" {
		return openPostgres(ctx, cfg)
	}
	return openSQLite(ctx, cfg)
}

func openSQLite(ctx context.Context, cfg Config) (*Store, error) {
	dir := filepath.Dir(cfg.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory %s: %w: %w", dir, ErrReadOnly, err)
	}
	unlock, err := lockFile(ctx, cfg.Path+".migrate") // before SQLite is opened: goose does not lock SQLite
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := orphaned(cfg.Path); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(cfg.Path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w: %w", cfg.Path, ErrReadOnly, err)
	}
	opened, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	writing, err := newPreparing(dsn(cfg.Path, "&_txlock=immediate"))
	if err != nil {
		return nil, explain("open", cfg.Path, err)
	}
	reading, err := newPreparing(dsn(cfg.Path, "&_pragma=query_only(1)"))
	if err != nil {
		return nil, explain("open", cfg.Path, err)
	}
	write, read := sql.OpenDB(writing), sql.OpenDB(reading)
	write.SetMaxOpenConns(1)
	read.SetMaxOpenConns(4)
	s := &Store{read: read, write: write, dialect: onSQLite, where: cfg.Path, onCommit: cfg.OnCommit,
		still: func() error {
			if now, err := os.Stat(cfg.Path); err != nil || !os.SameFile(opened, now) {
				return fmt.Errorf("database %s: %w", cfg.Path, ErrGone)
			}
			return nil
		},
		close: func() error { return errors.Join(read.Close(), write.Close()) }}
	if err := migrate(ctx, write, goose.DialectSQLite3); err != nil {
		return nil, errors.Join(s.explain("prepare", err), s.Close())
	}
	return s, nil
}

// orphaned gives ErrGone where SQLite's files beside a database are there without it: a new one would be taken for theirs.
func orphaned(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(path + "-wal"); err != nil {
		return nil //nolint:nilerr // nothing is beside it
	}
	return fmt.Errorf("open database %s, of which only %s-wal is there: %w", path, filepath.Base(path), ErrGone)
}

// dsn says how a file is opened.
func dsn(path, extra string) string {
	return fileURL(path) + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" +
		"&_pragma=wal_autocheckpoint(8000)" + extra // 32 MB: with the default of 4 MB each transaction of a collection, which touches many pages, would be followed by a checkpoint
}

func fileURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// lockWait is how long one start waits for another to finish its migrations.
const lockWait = 2 * time.Minute

func lockFile(ctx context.Context, path string) (func(), error) {
	l := flock.New(path, flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	ok, err := l.TryLockContext(ctx, 20*time.Millisecond)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("lock file %s: %w: %w", path, ErrReadOnly, err)
	case err != nil || !ok:
		return nil, fmt.Errorf("lock file %s: %w: %w", path, ErrLocked, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// Limits of a session on PostgreSQL (design §7, Tasks, rule 8).
const (
	lockTimeout = "2s"
	idleTimeout = "10s"
	callTimeout = "30s"
)

func openPostgres(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, errors.New("store.url is no PostgreSQL URL (postgres://user@host/database)") // the cause may quote the password
	}
	where := fmt.Sprintf("%s/%s", pc.ConnConfig.Host, pc.ConnConfig.Database)
	params := pc.ConnConfig.RuntimeParams
	params["lock_timeout"], params["idle_in_transaction_session_timeout"], params["statement_timeout"] = lockTimeout, idleTimeout, callTimeout
	params["application_name"], params["timezone"] = "fedsite", "UTC"
	pc.ConnConfig.ConnectTimeout = 10 * time.Second
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", where, ErrUnavailable)
	}
	db := stdlib.OpenDBFromPool(pool)
	s := &Store{read: db, write: db, dialect: onPostgres, where: where, onCommit: cfg.OnCommit,
		close: func() error { err := db.Close(); pool.Close(); return err }}
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w: %w", where, ErrUnavailable, err), s.Close())
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120), lock.WithUnlockTimeout(1, 30))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := migrate(ctx, db, goose.DialectPostgres, goose.WithSessionLocker(locker)); err != nil {
		return nil, errors.Join(s.explain("prepare", err), s.Close())
	}
	return s, nil
}

// migrate brings the tables up to date, and refuses a database that has had migrations this program does not know.
func migrate(ctx context.Context, db *sql.DB, d goose.Dialect, opts ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d, db, files, append(opts, goose.WithVerbose(false))...)
	if err != nil {
		return err
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	all := p.ListSources()
	if newest := all[len(all)-1].Version; have > newest {
		return fmt.Errorf("%w: it has tables of version %d, this program knows %d", ErrNewer, have, newest)
	}
	_, err = p.Up(ctx)
	return err
}
