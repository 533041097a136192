package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/tasks"
	"github.com/fedsite/fedsite/internal/telemetry"
	"github.com/fedsite/fedsite/internal/web"
)

// Serving says how the service runs.
type Serving struct {
	Load   func() (*config.Config, error) // reads the configuration anew
	Reload <-chan struct{}                // asks for that
	// Told is told of the service's state, as systemd wants to know it: ready, reloading, stopping, alive. May be nil.
	Told func(State)
	// Listening is told where the web pages are; may be nil.
	Listening func(net.Addr)
	Hurry     int // divides the times of leases and of stopping; a test has no minutes. 0 = 1
}

// State is what the service says of itself to whoever started it.
type State int

// States of the service.
const (
	Ready State = iota
	Reloading
	Alive // the scheduler's loop goes round: fed to the watchdog
	Stopping
)

// aliveEvery is how often the watchdog is fed while the scheduler's loop goes round; stuckAfter is how old its last round
// may be. A round takes at most 25 s.
const (
	aliveEvery = 5 * time.Second
	stuckAfter = 40 * time.Second
)

// service is fedsite as a daemon.
type service struct {
	o       Serving
	log     *slog.Logger
	sched   *tasks.Scheduler
	who     tasks.Identity
	since   time.Time // when it began to serve
	began   time.Time // the same by this machine's clock
	current atomic.Pointer[App]
	refused atomic.Pointer[error] // why the last reload changed nothing
	reload  sync.Mutex
	watcher atomic.Pointer[health.Watcher]
	outcry  health.Outcry
	reports reports
	recent  recent
	servers servers // of documents
	ending  atomic.Bool
}

// Serve runs every part on schedule until ctx ends; then it waits for what runs. One service at a time uses a state
// directory with SQLite in it; with PostgreSQL there may be several, on several nodes.
func (a *App) Serve(ctx context.Context, o Serving) error {
	if o.Told == nil {
		o.Told = func(State) {}
	}
	who, err := tasks.NewServeIdentity()
	if err != nil {
		return err
	}
	s := &service{o: o, log: a.opts.Log, who: who, since: a.Now(), began: time.Now()}
	s.current.Store(a)
	watcher, err := s.watching(a)
	if err != nil {
		return err
	}
	s.watcher.Store(watcher)
	if !a.cfg.Store.URL.IsSet() {
		lock, err := tasks.ServeLock(ctx, a.db, a.cfg.Store.Path, who)
		if err != nil {
			return err
		}
		defer lock.Unlock() //nolint:errcheck // it goes with the process
	}
	var now func() time.Time // the database's clock itself, which no clock of a node can mislead
	if a.cfg.Demo.On || a.opts.Now != nil {
		now = a.Now
	}
	s.sched = tasks.New(a.db, who, tasks.Options{Now: now, Parallel: a.cfg.Limits.Parallel, PerSite: a.cfg.Limits.PerSite, Log: a.opts.Log, Hurry: o.Hurry})
	all, err := s.tasks(a)
	if err != nil {
		return err
	}
	if err := s.sched.Set(ctx, all); err != nil {
		return fmt.Errorf("set the tasks: %w", err)
	}
	return s.run(ctx)
}

// tasks gives all that is done on schedule.
func (s *service) tasks(a *App) ([]tasks.Task, error) {
	all, err := a.tasks()
	if err != nil {
		return nil, err
	}
	own, err := s.housekeeping(a)
	return append(all, own...), err
}

// run runs the service's loops: scheduler, pages, health, reloads and the watchdog.
func (s *service) run(ctx context.Context) error {
	a := s.current.Load()
	pages, err := s.listen(ctx, a.cfg.Web.Listen)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, gctx := errgroup.WithContext(ctx)
	watching, unwatch := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() error {
		defer stop() // without it nothing else has any use
		defer unwatch()
		return s.sched.Serve(gctx)
	})
	group.Go(func() error { return s.pages(gctx, pages) })
	group.Go(func() error { s.watch(watching); return nil })
	group.Go(func() error { s.reloads(gctx); return nil })
	group.Go(func() error { s.health(gctx); return nil })
	s.document(gctx)
	s.log.Info("serving", "sites", len(a.cfg.Sites), "database", a.db.Where(), "version", a.opts.Version)
	s.o.Told(Ready)
	<-gctx.Done()
	s.ending.Store(true)
	s.log.Info("stopping: what runs is waited for")
	s.o.Told(Stopping)
	err = group.Wait()
	stop()
	s.servers.wait()
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.Info("stopped")
	return nil
}

// document begins and ends servers of documents as the configuration in force says. One that cannot be begun, because
// another program has its address, keeps nothing else from running; health tells of it.
func (s *service) document(ctx context.Context) {
	if err := s.servers.follow(ctx, s.current.Load()); err != nil {
		s.log.Error("not all that discovery.publish names is served", "error", err)
	}
}

// alive tells whether the scheduler's loop goes round.
func (s *service) alive() error {
	beat := s.sched.Beat()
	if beat.IsZero() { // it has yet to go round for the first time
		beat = s.began
	}
	if age := time.Since(beat); age > stuckAfter {
		return fmt.Errorf("the scheduler's loop has not gone round for %s", age.Round(time.Second))
	}
	return nil
}

// watch feeds the watchdog as long as the scheduler's loop goes round, also while what runs is waited for.
func (s *service) watch(ctx context.Context) {
	every := time.NewTicker(aliveEvery)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			if err := s.alive(); err != nil {
				s.log.Error("not alive", "error", err)
				continue
			}
			s.o.Told(Alive)
		case <-ctx.Done():
			return
		}
	}
}

// listen opens the address of the pages; nil when they are off.
func (s *service) listen(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := web.Listen(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("web.listen: %w", err)
	}
	if s.o.Listening != nil {
		s.o.Listening(l.Addr())
	}
	s.log.Info("pages", "address", "http://"+l.Addr().String()+"/")
	return l, nil
}

// pages serves the pages until ctx ends.
func (s *service) pages(ctx context.Context, l net.Listener) error {
	if l == nil {
		return nil
	}
	metrics := telemetry.NewMetrics(s.current.Load().opts.Version, s.figures, s.log)
	notice := ""
	if s.current.Load().cfg.Demo.On {
		notice = "DEMO: an emulated site and federation, with a clock of its own"
	}
	handler := web.New(web.Options{Source: s, Log: s.log, Alive: s.alive, Ready: s.ready, Metrics: metrics.Handler(), Hook: &web.Hook{Called: s.called}, Notice: notice})
	if err := web.Serve(ctx, l, web.NewHTTPServer(handler, s.log)); err != nil {
		return fmt.Errorf("pages: %w", err)
	}
	return nil
}

// unwritable is why a service is not ready that can read its database, and not write it.
const unwritable web.Reason = "the database cannot be written"

// ready tells whether the service can do its work now.
func (s *service) ready(ctx context.Context) error {
	if s.ending.Load() {
		return web.Stopping
	}
	db := s.current.Load().db
	if _, err := db.Now(ctx); err != nil {
		return fmt.Errorf("%w: %w", web.NoDatabase, err)
	}
	if err := db.Trouble(); err != nil {
		return fmt.Errorf("%w: %w", unwritable, err)
	}
	return nil
}
