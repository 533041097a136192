package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// A statement is prepared once and used again: what its last use left must not show in the next.
func TestStatementsUsedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		st := storetest.Open(t, cfg)
		const names = `SELECT id FROM site WHERE id > $1 ORDER BY id`
		for i := range 5 {
			if err := put(st, fmt.Sprint("s", i)); err != nil {
				t.Fatal(err)
			}
		}
		first := func(tx *store.Tx, after string) (id string, err error) {
			return id, tx.QueryRow(names, after).Scan(&id)
		}
		t.Run("after rows that were not read to their end", func(t *testing.T) {
			err := st.Read(t.Context(), func(tx *store.Tx) error {
				for _, want := range []string{"s0", "s3", "s1"} {
					after := map[string]string{"s0": "", "s3": "s2", "s1": "s0"}[want]
					if got, err := first(tx, after); err != nil || got != want {
						t.Errorf("after %q: %q, %v", after, got, err)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		t.Run("after one that failed, and after a rollback", func(t *testing.T) {
			for range 2 {
				if err := put(st, "s0"); err == nil {
					t.Error("an id can be given twice")
				}
			}
			if err := put(st, "s9"); err != nil || count(t, st) != 6 {
				t.Errorf("%v, %d rows", err, count(t, st))
			}
		})
		t.Run("more texts than are kept", func(t *testing.T) {
			err := st.Read(t.Context(), func(tx *store.Tx) error {
				for round := range 2 {
					for n := 1; n <= 400; n++ {
						var got int
						if err := tx.QueryRow(`SELECT count(*) FROM site WHERE id IN (''` + strings.Repeat(`, 's1'`, n) + `)`).Scan(&got); err != nil || got != 1 {
							return fmt.Errorf("round %d, %d: %d, %w", round, n, got, err)
						}
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
		t.Run("after the tables changed", func(t *testing.T) {
			if err := st.Write(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`ALTER TABLE site ADD COLUMN later TEXT`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if err := put(st, "t"); err != nil || count(t, st) != 7 {
				t.Errorf("%v, %d rows", err, count(t, st))
			}
		})
	})
}

// On SQLite the same text may be asked within the loop over its own rows; PostgreSQL has one answer at a time.
func TestQueryWithinItself(t *testing.T) {
	st := storetest.Open(t, store.Config{Path: t.TempDir() + "/state.db"})
	for _, id := range []string{"a", "b", "c"} {
		if err := put(st, id); err != nil {
			t.Fatal(err)
		}
	}
	const query = `SELECT id FROM site WHERE id >= $1 ORDER BY id`
	var pairs []string
	err := st.Read(t.Context(), func(tx *store.Tx) error {
		outer, err := tx.Query(query, "a")
		if err != nil {
			return err
		}
		defer outer.Close() //nolint:errcheck // read only
		for outer.Next() {
			var from string
			if err := outer.Scan(&from); err != nil {
				return err
			}
			inner, err := tx.Query(query, from)
			if err != nil {
				return err
			}
			for inner.Next() {
				var id string
				if err := inner.Scan(&id); err != nil {
					return err
				}
				pairs = append(pairs, from+id)
			}
			if err := inner.Close(); err != nil {
				return err
			}
		}
		return outer.Err()
	})
	if want := []string{"aa", "ab", "ac", "bb", "bc", "cc"}; err != nil || !slices.Equal(pairs, want) {
		t.Errorf("%v, %v", pairs, err)
	}
}
