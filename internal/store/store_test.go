package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

func put(st *store.Store, id string) error {
	return st.Write(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ($1, $2, $3)`, id, "name of "+id, 1)
		return err
	})
}

func count(t *testing.T, st *store.Store) (n int) {
	t.Helper()
	if err := st.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM site`).Scan(&n) }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestStore(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		t.Run("eight starts at once all find the tables", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					st, err := store.Open(context.Background(), cfg)
					if err != nil {
						t.Error(err)
						return
					}
					if err := st.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
		st := storetest.Open(t, cfg)
		t.Run("a failed write leaves nothing", func(t *testing.T) {
			boom := errors.New("boom")
			err := st.Write(t.Context(), func(tx *store.Tx) error {
				if _, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ('x', 'x', 1)`); err != nil {
					return err
				}
				return boom
			})
			if !errors.Is(err, boom) || count(t, st) != 0 {
				t.Errorf("%v, %d rows", err, count(t, st))
			}
		})
		t.Run("a read sees one state, and cannot write", func(t *testing.T) {
			err := st.Read(t.Context(), func(tx *store.Tx) error {
				var before, after int
				if err := tx.QueryRow(`SELECT count(*) FROM site`).Scan(&before); err != nil {
					return err
				}
				if err := put(st, "meanwhile"); err != nil {
					return err
				}
				if err := tx.QueryRow(`SELECT count(*) FROM site`).Scan(&after); err != nil {
					return err
				}
				if before != after {
					t.Errorf("%d rows, then %d", before, after)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
			err = st.Read(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`DELETE FROM site`)
				return err
			})
			if !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("a write in Read: %v", err)
			}
		})
		t.Run("a write without its lease is rolled back", func(t *testing.T) {
			before := count(t, st)
			lease := store.Lease{Task: "accounting.collect/x", Owner: "me", Fence: 3}
			write := func() error {
				return st.Write(store.WithLease(t.Context(), lease), func(tx *store.Tx) error {
					_, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ('fenced', 'x', 1)`)
					return err
				})
			}
			if err := write(); !errors.Is(err, store.ErrFenced) || count(t, st) != before {
				t.Errorf("no task at all: %v", err)
			}
			if err := st.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`INSERT INTO task (name, schedule, next_due, owner, fence) VALUES ($1, '', 0, 'me', 4)`, lease.Task)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := write(); !errors.Is(err, store.ErrFenced) {
				t.Errorf("an older fence: %v", err)
			}
			lease.Fence, lease.Owner = 4, "other"
			if err := write(); !errors.Is(err, store.ErrFenced) {
				t.Errorf("an equal fence of another owner, as after a failover: %v", err)
			}
			lease.Owner = "me"
			if err := write(); err != nil {
				t.Errorf("with the lease: %v", err)
			}
		})
		t.Run("the clock is the database's, in UTC", func(t *testing.T) {
			now, err := st.Now(t.Context())
			if err != nil || time.Since(now).Abs() > time.Minute || now.Location() != time.UTC {
				t.Errorf("%v, %v", now, err)
			}
		})
		t.Run("many writers at once lose nothing", func(t *testing.T) {
			before := count(t, st)
			var wg sync.WaitGroup
			for i := range 20 {
				wg.Go(func() {
					if err := put(st, "w"+string(rune('a'+i))); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if n := count(t, st); n != before+20 {
				t.Errorf("%d rows, want %d", n, before+20)
			}
		})
		t.Run("a newer store is refused", func(t *testing.T) {
			if err := st.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, TRUE)`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			again, err := store.Open(t.Context(), cfg)
			if !errors.Is(err, store.ErrNewer) || store.Hint(err) == "" {
				t.Errorf("%v", err)
			}
			if again != nil {
				t.Error("a store was given all the same")
			}
		})
	})
}

func TestSQLiteTroubles(t *testing.T) {
	t.Run("a file that is no database", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fedsite.db")
		if err := os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), store.Config{Path: path}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a directory that cannot be made", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(t.Context(), store.Config{Path: filepath.Join(file, "fedsite.db")}); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%v", err)
		}
	})
	t.Run("files are for their owner alone", func(t *testing.T) {
		cfg := store.Config{Path: filepath.Join(t.TempDir(), "state", "fedsite.db")}
		storetest.Open(t, cfg)
		for path, want := range map[string]os.FileMode{cfg.Path: 0o600, filepath.Dir(cfg.Path): os.ModeDir | 0o700} {
			info, err := os.Stat(path)
			if err != nil || info.Mode() != want {
				t.Errorf("%s has mode %v, %v", path, info.Mode(), err)
			}
		}
	})
}

func TestPostgresTroubles(t *testing.T) {
	_, err := store.Open(t.Context(), store.Config{URL: "postgres://me:hunter2@127.0.0.1:1/none?connect_timeout=2"})
	if !errors.Is(err, store.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("nothing listens: %v", err)
	}
	_, err = store.Open(t.Context(), store.Config{URL: "postgres://me:hunter2@[broken"})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a broken URL: %v", err)
	}
}

// TestTextWithNUL writes a text that PostgreSQL would refuse; both databases keep it in one readable form.
func TestTextWithNUL(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		st := storetest.Open(t, cfg)
		err := st.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ($1, $2, 0)`, "a", "one\x00two")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var name string
		err = st.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT name FROM site WHERE name = $1`, "one\x00two").Scan(&name)
		})
		if err != nil || name != "one\uFFFDtwo" {
			t.Errorf("%q, %v", name, err)
		}
	})
}

// TestWatched: the watch is told before a commit, when nobody sees what was written, and after it, when all do; of a write
// that came to nothing it is told nothing.
func TestWatched(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		st, other := storetest.Open(t, cfg), storetest.Open(t, cfg)
		var seen []string
		ctx := store.Watched(t.Context(), func(committed bool) { seen = append(seen, fmt.Sprint(committed, count(t, other))) })
		for _, wrong := range []error{nil, errors.New("boom")} {
			err := st.Write(ctx, func(tx *store.Tx) error {
				_, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ($1, $1, 1)`, fmt.Sprint(wrong))
				return errors.Join(err, wrong)
			})
			if !errors.Is(err, wrong) {
				t.Error(err)
			}
		}
		if want := []string{"false 0", "true 1"}; !slices.Equal(seen, want) {
			t.Errorf("committed, and rows: %q, want %q", seen, want)
		}
	})
}
