package app

import (
	"log/slog"
	"testing"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/tasks"
)

// TestWatchIsTakenOver: of two nodes one watches over health, until it leaves; where there can be one service only, the next
// start watches at once, whatever became of the last.
func TestWatchIsTakenOver(t *testing.T) {
	storetest.Each(t, func(t *testing.T, where store.Config) {
		a := &App{base: &base{db: storetest.Open(t, where)}, cfg: &config.Config{}}
		nodes := where.URL != ""
		if nodes {
			a.cfg.Store.URL = config.NewSecret(where.URL)
		}
		served := func() bool {
			t.Helper()
			is, err := a.Served(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return is
		}
		watches := func(s *service) bool {
			t.Helper()
			mine, err := s.watches(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			return mine
		}
		first, second := &service{log: slog.Default(), who: tasks.Identity{Boot: "first"}}, &service{log: slog.Default(), who: tasks.Identity{Boot: "second"}}
		first.current.Store(a)
		second.current.Store(a)
		if served() {
			t.Error("a service is there before one was")
		}
		if !watches(first) || !served() {
			t.Error("the first one does not watch")
		}
		if got := watches(second); got == nodes {
			t.Errorf("the second one watches while the first may: %v", got)
		}
		for _, s := range []*service{first, second} {
			s.leave(t.Context())
		}
		if served() {
			t.Error("all have left, and one is still there")
		}
		if !watches(second) {
			t.Error("the first one has left, and the second does not watch")
		}
	})
}
