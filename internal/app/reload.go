package app

import (
	"context"
	"fmt"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/store"
)

// reloads loads the configuration anew when it is told to, until ctx ends.
func (s *service) reloads(ctx context.Context) {
	for {
		select {
		case <-s.o.Reload:
			s.o.Told(Reloading)
			s.load(ctx)
			if ctx.Err() != nil {
				return // the service has said that it stops
			}
			s.o.Told(Ready)
		case <-ctx.Done():
			return
		}
	}
}

// load puts the configuration as it is now into the place of the one in force. One that is wrong changes nothing; what
// runs goes on by the configuration that it began with, but signs in with the credentials of the new one.
func (s *service) load(ctx context.Context) {
	s.reload.Lock()
	defer s.reload.Unlock()
	changes, err := s.swap(ctx)
	if err != nil {
		s.refused.Store(&err)
		s.log.Error("the configuration was not loaded: the former one stays in force", "error", err)
		return
	}
	s.refused.Store(nil)
	if len(changes) == 0 {
		s.log.Info("configuration loaded: nothing differs")
	}
	for _, c := range changes {
		s.log.Info("configuration loaded", "change", c.String())
	}
}

func (s *service) swap(ctx context.Context) ([]config.Change, error) {
	cfg, err := s.o.Load()
	if err != nil {
		return nil, err
	}
	old := s.current.Load()
	if cfg.Web.Listen != old.cfg.Web.Listen {
		s.log.Warn("web.listen counts from the next start on", "now", old.cfg.Web.Listen)
	}
	fresh, err := old.With(ctx, cfg)
	if err != nil {
		return nil, err
	}
	all, err := s.tasks(fresh)
	if err != nil {
		return nil, err
	}
	watcher, err := s.watching(fresh)
	if err != nil {
		return nil, err
	}
	fresh.adopt(cfg)
	if err := s.sched.Set(ctx, all); err != nil {
		old.adopt(old.cfg)
		return nil, fmt.Errorf("set the tasks: %w", err)
	}
	s.sched.Limit(cfg.Limits.Parallel, cfg.Limits.PerSite)
	s.current.Store(fresh)
	s.watcher.Store(watcher)
	s.document(ctx)
	if err := fresh.remember(ctx, cfg); err != nil { // a restart would serve a site by an older file, if this one breaks until then
		s.log.Warn("the site files could not be kept", "error", err, "hint", store.Hint(err))
	}
	return config.Diff(old.cfg, cfg), nil
}
