package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
	"github.com/fedsite/fedsite/internal/transport"
)

// Options is what the caller of fedsite decides, not its configuration.
type Options struct {
	Version  string           // of fedsite, for CloudType and User-Agent
	Now      func() time.Time // nil = the database's clock
	Log      *slog.Logger     // nil = none
	Progress func(run.Progress)
	Getenv   func(string) string // where OS_* are read; nil = no such sign-in
	Requests *transport.Counter  // counts requests to OpenStack; may be nil
	OnCommit func(n int64)       // told of each committed transaction; may be nil
	BackOff  time.Duration       // first pause before something is tried again; 0 = as is usual
	Stall    time.Duration       // for how long a source of images may give nothing; 0 = as is usual
}

// App is fedsite with a configuration and an open store. A configuration that takes its place later makes another App
// over the same base (With), so that a run goes on with the one that it began with.
type App struct {
	*base
	cfg *config.Config
}

// base is what a process has once.
type base struct {
	opts   Options
	db     *store.Store
	clock  *clock
	sent   *accounting.Archive // of delivered messages
	runner *tasks.Runner
	newest atomic.Pointer[config.Config]

	keeping    keeping // credentials
	registries registries
	trusts     trusts
}

// Database is the file name of the SQLite database in the state directory.
const Database = "fedsite.db"

// SentDir is the directory of the archive of delivered messages in the state directory, also beside PostgreSQL.
const SentDir = "sent"

// Open opens the store of the configuration, and makes sure that its sites and clouds have ids there.
func Open(ctx context.Context, cfg *config.Config, o Options) (*App, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	sc := store.Config{Path: filepath.Join(cfg.Store.Path, Database), OnCommit: o.OnCommit}
	if cfg.Store.URL.IsSet() {
		url, err := cfg.Store.URL.Value()
		if err != nil {
			return nil, fmt.Errorf("store.url: %w", err)
		}
		sc.URL = url
	}
	db, err := store.Open(ctx, sc)
	if err != nil {
		return nil, err
	}
	b := &base{opts: o, db: db, clock: &clock{fixed: o.Now}, sent: accounting.OpenArchive(filepath.Join(cfg.Store.Path, SentDir))}
	b.adopt(cfg)
	a, err := b.with(ctx, cfg)
	if err == nil {
		err = b.remember(ctx, cfg)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	who, err := tasks.NewIdentity()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	b.runner = tasks.NewRunner(db, who)
	return a, nil
}

// With gives fedsite with another configuration, over the same store, which must be where it was.
func (a *App) With(ctx context.Context, cfg *config.Config) (*App, error) {
	if cfg.Store.Path != a.cfg.Store.Path || !cfg.Store.URL.Equal(a.cfg.Store.URL) {
		return nil, errors.New("store differs: where the state is kept cannot change while fedsite runs; restart it")
	}
	return a.with(ctx, cfg)
}

// with makes sure that all sites and clouds of the configuration have ids.
func (b *base) with(ctx context.Context, cfg *config.Config) (*App, error) {
	if err := b.clock.sync(ctx, b.db); err != nil {
		return nil, err
	}
	if err := b.hold(ctx, cfg); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range cfg.Sites {
		names = append(names, s.Site.Name)
	}
	for i := range cfg.Sites {
		if err := register(ctx, b.db, &cfg.Sites[i], names, b.Now()); err != nil {
			return nil, fmt.Errorf("site %s: %w", cfg.Sites[i].Site.Name, err)
		}
	}
	return &App{base: b, cfg: cfg}, nil
}

// adopt puts the configuration in force as far as it concerns runs that go on: their clock, and the credentials that they
// sign in with. Its site files are the last good ones from then on (remember).
func (b *base) adopt(cfg *config.Config) {
	b.clock.extra.Store(int64(cfg.Demo.Offset))
	b.newest.Store(cfg)
}

// Close closes the store. No run may go on.
func (a *App) Close() error {
	a.runner.Close()
	return a.db.Close()
}

// Now is the one clock of all parts, UTC (design §7, Clocks).
func (b *base) Now() time.Time { return b.clock.now() }

// Store is the open store.
func (b *base) Store() *store.Store { return b.db }

// Config is the configuration, with the ids of its sites and clouds.
func (a *App) Config() *config.Config { return a.cfg }
