package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestDatabaseThatIsGone: whoever has the file open while it is removed or replaced reads and writes no more: SQLite would,
// and all of it would be lost with the process. Nobody makes a new database beside what is left of the old one, and a
// restored one is not mixed with it.
func TestDatabaseThatIsGone(t *testing.T) {
	dir := t.TempDir()
	cfg := store.Config{Path: filepath.Join(dir, "fedsite.db")}
	st := storetest.Open(t, cfg)
	if err := put(st, "a"); err != nil {
		t.Fatal(err)
	}
	backup := filepath.Join(dir, "backup")
	if _, err := st.Backup(t.Context(), backup, false); err != nil {
		t.Fatal(err)
	}
	if err := put(st, "in the WAL of the lost one"); err != nil {
		t.Fatal(err)
	}
	gone := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, store.ErrGone) || !strings.Contains(store.Hint(err), "fedsite restore") {
			t.Errorf("%s: %v, hint %q", what, err, store.Hint(err))
		}
	}
	refused := func(what string) {
		t.Helper()
		gone(what+", written", put(st, "b"))
		gone(what+", read", st.Read(t.Context(), func(*store.Tx) error { return nil }))
		_, err := st.Now(t.Context())
		gone(what+", asked for the time", err)
	}
	if err := os.Rename(cfg.Path, filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	refused("removed")
	_, err := store.Open(t.Context(), cfg)
	gone("opened", err)
	if _, err := os.Stat(cfg.Path); err == nil {
		t.Error("a new database was made beside the old one's WAL")
	}
	if err := os.Rename(filepath.Join(dir, "moved"), cfg.Path); err != nil {
		t.Fatal(err)
	}
	if err := put(st, "c"); err != nil {
		t.Errorf("it is back: %v", err)
	}
	if err := os.Remove(cfg.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), store.RestoreOptions{From: backup, Path: cfg.Path, Serve: filepath.Join(dir, store.ServeFile), Now: restoredAt}); err != nil {
		t.Fatal(err)
	}
	refused("replaced")
	var ids []string
	err = storetest.Open(t, cfg).Read(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id FROM site ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	if err != nil || !slices.Equal(ids, []string{"a"}) {
		t.Errorf("restored, it holds %q, %v", ids, err)
	}
}
