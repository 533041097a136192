package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// openEnv makes this test binary a process that opens the store it names, and ends.
const openEnv = "FEDSITE_TEST_OPEN"

func TestMain(m *testing.M) {
	if where := os.Getenv(openEnv); where != "" {
		cfg := store.Config{Path: where}
		if strings.Contains(where, "://") {
			cfg = store.Config{URL: where}
		}
		st, err := store.Open(context.Background(), cfg)
		if to := os.Getenv(backupEnv); to != "" && err == nil {
			_, err = st.Backup(context.Background(), to, false)
			err = errors.Join(err, st.Close())
		} else if err == nil {
			err = errors.Join(put(st, fmt.Sprint("process ", os.Getpid())), st.Close())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestFirstStarts: five processes open a database that is not there yet; all find their tables.
func TestFirstStarts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), openEnv+"="+cfg.Path+cfg.URL)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		wg.Wait()
		if n := count(t, storetest.Open(t, cfg)); n != 5 {
			t.Errorf("%d of 5 processes wrote", n)
		}
	})
}

// TestLocked: another program holds what is to be written. It is waited for, but not for ever.
func TestLocked(t *testing.T) {
	if testing.Short() {
		t.Skip("waits as long as the store does: 10 s")
	}
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		t.Parallel()
		st, other := storetest.Open(t, cfg), storetest.Open(t, cfg)
		if err := put(st, "row"); err != nil {
			t.Fatal(err)
		}
		update := func(tx *store.Tx) error { _, err := tx.Exec(`UPDATE site SET created = 2`); return err }
		held, let := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := other.Write(context.Background(), func(tx *store.Tx) error {
				err := update(tx)
				close(held)
				<-let
				return err
			}); err != nil {
				t.Error(err)
			}
		})
		<-held
		err := st.Write(t.Context(), update)
		if !errors.Is(err, store.ErrLocked) || store.Hint(err) == "" || !strings.Contains(err.Error(), st.Where()) {
			t.Errorf("%v", err)
		}
		if n := count(t, st); n != 1 {
			t.Errorf("a reader sees %d rows", n)
		}
		if err := st.Trouble(); errors.Is(err, store.ErrLocked) != (cfg.URL == "") {
			t.Errorf("a lock on all of a file keeps everybody from writing, one on a row of PostgreSQL does not: %v", err)
		}
		close(let)
		wg.Wait()
		if err := st.Write(t.Context(), update); err != nil {
			t.Errorf("freed: %v", err)
		}
		if err := st.Trouble(); err != nil {
			t.Errorf("freed: %v", err)
		}
	})
}

// TestCollision: two writes that wait for each other both succeed, because the one that is refused is tried again.
func TestCollision(t *testing.T) {
	st := storetest.Open(t, store.Config{URL: storetest.Postgres(t)})
	for _, id := range []string{"a", "b"} {
		if err := put(st, id); err != nil {
			t.Fatal(err)
		}
	}
	var (
		wg    sync.WaitGroup
		tries = make(chan string, 20)
		ready = [2]chan struct{}{make(chan struct{}), make(chan struct{})}
	)
	for i, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		first := true
		wg.Go(func() {
			err := st.Write(context.Background(), func(tx *store.Tx) error {
				tries <- order[0]
				if _, err := tx.Exec(`UPDATE site SET created = created + 1 WHERE id = $1`, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					close(ready[i])
					<-ready[1-i]
				}
				_, err := tx.Exec(`UPDATE site SET created = created + 1 WHERE id = $1`, order[1])
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(tries) < 3 {
		t.Errorf("%d tries: nothing collided, so this test shows nothing", len(tries))
	}
	var sum int
	if err := st.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT sum(created) FROM site`).Scan(&sum) }); err != nil || sum != 6 {
		t.Errorf("sum %d, want 6: each write once; %v", sum, err)
	}
}

// TestFull: a full disk is said to be one, loses nothing, and once there is room writing goes on.
func TestFull(t *testing.T) {
	st := storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")})
	pages := func(n int) {
		if err := st.Write(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, n)).Scan(new(int))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(st, "before"); err != nil {
		t.Fatal(err)
	}
	pages(1) // SQLite takes the present size instead
	fill := func() error {
		return st.Write(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO site (id, name, created, config) VALUES ('large', 'large', 1, $1)`, strings.Repeat("x", 1<<20))
			return err
		})
	}
	if err := fill(); !errors.Is(err, store.ErrFull) || !strings.Contains(store.Hint(err), "make room") {
		t.Errorf("%v", err)
	}
	if n := count(t, st); n != 1 {
		t.Errorf("%d rows", n)
	}
	own := errors.New("no trouble of the database")
	if err := st.Write(t.Context(), func(*store.Tx) error { return own }); !errors.Is(err, own) || !errors.Is(st.Trouble(), store.ErrFull) {
		t.Errorf("%v, and the trouble is %v", err, st.Trouble())
	}
	pages(1 << 30)
	if err := errors.Join(fill(), st.Trouble()); err != nil {
		t.Error(err)
	}
}

// TestNoPasswordInErrors: whatever is wrong with a URL or its server, the password stays in it.
func TestNoPasswordInErrors(t *testing.T) {
	server, err := url.Parse(storetest.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(*url.URL)) string {
		u := *server
		u.User = url.UserPassword("fedsite", "hunter2")
		change(&u)
		return u.String()
	}
	query := func(u *url.URL, k, v string) { q := u.Query(); q.Set(k, v); u.RawQuery = q.Encode() }
	for name, dsn := range map[string]string{
		"no such database": with(func(u *url.URL) { u.Path = "/none" }),
		"no such user":     with(func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") }),
		"no server":        with(func(u *url.URL) { query(u, "host", "/nonexistent") }),
		"a bad setting":    with(func(u *url.URL) { query(u, "pool_max_conns", "many") }),
		"a bad port":       "postgres://me:hunter2@host:port/db",
		"keywords":         "host=127.0.0.1 port=1 user=me password=hunter2 dbname=x connect_timeout=2",
		"broken keywords":  "host=127.0.0.1 password='hunter2",
	} {
		st, err := store.Open(t.Context(), store.Config{URL: dsn})
		if err == nil {
			_ = st.Close()
			t.Errorf("%s: opened", name)
		} else if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		} else if !errors.Is(err, store.ErrUnavailable) && !strings.Contains(err.Error(), "store.url") {
			t.Errorf("%s says neither what nor where: %v", name, err)
		}
	}
}
