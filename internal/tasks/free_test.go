package tasks

import (
	"testing"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestFreeAll: a database that was copied beside a run, and is restored, holds nothing for that run.
func TestFreeAll(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a, b := join(t, cfg, "a"), join(t, cfg, "b")
		ensure(t, a)
		a.shell(t)
		claim := func() error {
			_, err := b.Claim(t.Context(), ClaimOptions{Task: collect, Cause: "shell", Always: true})
			return err
		}
		if err := claim(); err == nil {
			t.Fatal("it is held, and could be claimed")
		}
		if err := FreeAll(t.Context(), a.st); err != nil {
			t.Fatal(err)
		}
		if err := claim(); err != nil {
			t.Errorf("after all was given back: %v", err)
		}
	})
}
