package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

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
}

// App is fedsite with a configuration and an open store.
type App struct {
	cfg    *config.Config
	opts   Options
	db     *store.Store
	clock  *clock
	runner *tasks.Runner
}

// Database is the file name of the SQLite database in the state directory.
const Database = "fedsite.db"

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
	a := &App{cfg: cfg, opts: o, db: db, clock: &clock{fixed: o.Now, extra: cfg.Demo.Offset}}
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return a, nil
}

func (a *App) prepare(ctx context.Context) error {
	if err := a.clock.sync(ctx, a.db); err != nil {
		return err
	}
	var names []string
	for _, s := range a.cfg.Sites {
		names = append(names, s.Site.Name)
	}
	for i := range a.cfg.Sites {
		if err := register(ctx, a.db, &a.cfg.Sites[i], names, a.Now()); err != nil {
			return fmt.Errorf("site %s: %w", a.cfg.Sites[i].Site.Name, err)
		}
	}
	who, err := tasks.NewIdentity()
	if err != nil {
		return err
	}
	a.runner = tasks.NewRunner(a.db, who)
	return nil
}

// Close closes the store. No run may go on.
func (a *App) Close() error {
	a.runner.Close()
	return a.db.Close()
}

// Now is the one clock of all parts, UTC (design §7, Clocks).
func (a *App) Now() time.Time { return a.clock.now() }

// Store is the open store.
func (a *App) Store() *store.Store { return a.db }

// Config is the configuration, with the ids of its sites and clouds.
func (a *App) Config() *config.Config { return a.cfg }
