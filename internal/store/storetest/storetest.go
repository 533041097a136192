// Package storetest runs a test over both kinds of store: SQLite, and a PostgreSQL that it starts itself.
package storetest

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/internal/store"
)

// Each runs the test as a subtest "sqlite" and a subtest "postgres", each with the configuration of a fresh database.
func Each(t *testing.T, test func(t *testing.T, cfg store.Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")}) })
	t.Run("postgres", func(t *testing.T) {
		if testing.Short() && os.Getenv("FEDSITE_REQUIRE") == "" {
			t.Skip("PostgreSQL is left out with -short")
		}
		test(t, store.Config{URL: Postgres(t)})
	})
}

// Open opens a store and closes it at the test's end.
func Open(t testing.TB, cfg store.Config) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

var databases atomic.Int64

// Postgres gives the URL of a fresh, empty database of a PostgreSQL server that lives as long as the test binary.
func Postgres(t testing.TB) string {
	t.Helper()
	srv := start()
	if srv.missing {
		prerequisite.Missing(t, "postgres", "apt-get install postgresql (initdb and postgres in /usr/lib/postgresql/*/bin)")
	}
	if srv.err != nil {
		t.Fatal(srv.err)
	}
	return srv.url(srv.create(t, ""))
}

// Copy gives the URL of a new database with all that another one of Postgres holds, until the test ends. Nobody may be
// connected to the other one meanwhile.
func Copy(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	srv := start()
	name := srv.create(t, " TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
	t.Cleanup(func() {
		if err := srv.sql("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return srv.url(name)
}

// create makes a database, and gives its name.
func (s *server) create(t testing.TB, how string) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := s.sql("CREATE DATABASE " + name + how); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *server) url(name string) string {
	return "postgres://fedsite@/" + name + "?" + url.Values{"host": {s.dir}}.Encode()
}

func (s *server) sql(statement string) error {
	out, err := s.command("psql", "-h", s.dir, "-U", "fedsite", "-d", "postgres", "-qc", statement).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", statement, err, out)
	}
	return nil
}

// server is the PostgreSQL of this test binary.
type server struct {
	bin, dir string
	owner    *syscall.Credential // initdb refuses root
	alive    io.Closer           // the server lives as long as this is open
	missing  bool
	err      error
}

var start = sync.OnceValue(func() *server {
	s := &server{}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		s.missing = true
		return s
	}
	slices.Sort(found)
	s.bin = filepath.Dir(found[len(found)-1])
	if s.err = s.boot(); s.err != nil {
		s.err = fmt.Errorf("start PostgreSQL of %s: %w", s.bin, s.err)
	}
	return s
})

func (s *server) boot() error {
	dir, err := os.MkdirTemp("/tmp", "fspg") // the path of a socket is short
	if err != nil {
		return err
	}
	s.dir = dir
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			return err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			return err
		}
	}
	data := filepath.Join(dir, "data")
	if out, err := s.command("initdb", "-D", data, "-U", "fedsite", "-A", "trust", "-N", "--no-locale", "-E", "UTF8").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	// The shell ends the server when this process is gone: then its standard input ends.
	script := fmt.Sprintf(`exec 3<&0; %s/postgres -D %s -k %s -h "" -F -c full_page_writes=off -c synchronous_commit=off -c max_connections=200 >%s/log 2>&1 </dev/null 3<&- & pid=$!; cat <&3 >/dev/null; kill -INT $pid; wait $pid; rm -rf %s`,
		s.bin, data, dir, dir, dir)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	cmd.Dir = dir
	if s.alive, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.command("pg_isready", "-q", "-h", dir).Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return fmt.Errorf("not ready after 30 s: %s", strings.TrimSpace(string(log)))
		}
	}
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return cmd
}
