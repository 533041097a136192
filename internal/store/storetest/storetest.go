// Package storetest runs a test over both kinds of store: SQLite, and a PostgreSQL that it starts itself.
package storetest

import (
	"context"
	"errors"
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
	return shared(t).Database(t)
}

// shared is the server of this test binary.
func shared(t testing.TB) *Server {
	t.Helper()
	srv, err := start()
	needed(t, err)
	return srv
}

// needed ends the test when there is no server.
func needed(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, errMissing) {
		prerequisite.Missing(t, "postgres", "apt-get install postgresql (initdb and postgres in /usr/lib/postgresql/*/bin)")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Own starts a PostgreSQL server for one test, which may stop it and start it again. What it has committed outlives that.
func Own(t testing.TB) *Server {
	t.Helper()
	s, err := newServer("on")
	needed(t, err)
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(), os.RemoveAll(s.dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Copy gives the URL of a new database with all that another one of Postgres holds, until the test ends. Nobody may be
// connected to the other one meanwhile.
func Copy(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	if err != nil {
		t.Fatal(err)
	}
	srv := shared(t)
	name := srv.create(t, " TEMPLATE "+strings.TrimPrefix(u.Path, "/"))
	t.Cleanup(func() {
		if err := srv.SQL("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return srv.url(name)
}

// Database gives the URL of a fresh, empty database of the server.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	return s.url(s.create(t, ""))
}

// create makes a database, and gives its name.
func (s *Server) create(t testing.TB, how string) string {
	t.Helper()
	name := fmt.Sprintf("test%d", databases.Add(1))
	if err := s.SQL("CREATE DATABASE " + name + how); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *Server) url(name string) string {
	return "postgres://fedsite@/" + name + "?" + url.Values{"host": {s.dir}}.Encode()
}

// SQL runs a statement as the server's owner.
func (s *Server) SQL(statement string) error {
	out, err := s.command("psql", "-h", s.dir, "-U", "fedsite", "-d", "postgres", "-qc", statement).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", statement, err, out)
	}
	return nil
}

// Server is a PostgreSQL server on a socket in a directory of its own. It ends with the process that started it.
type Server struct {
	bin, dir string
	commit   string              // synchronous_commit
	owner    *syscall.Credential // initdb refuses root
	cmd      *exec.Cmd           // nil when it is stopped
	alive    io.Closer           // the server lives as long as this is open
}

var errMissing = errors.New("there is no PostgreSQL")

var start = sync.OnceValues(func() (*Server, error) { return newServer("off") })

func newServer(commit string) (*Server, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return nil, errMissing
	}
	slices.Sort(found)
	s := &Server{bin: filepath.Dir(found[len(found)-1]), commit: commit}
	err := s.initialise()
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL of %s: %w", s.bin, err)
	}
	return s, nil
}

// Socket is the path of the server's socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL.5432") }

// initialise makes the server's directory.
func (s *Server) initialise() error {
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
	if out, err := s.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "fedsite", "-A", "trust", "-N", "--no-locale", "-E", "UTF8").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// stopped is the file that keeps the directory of a server that was told to stop.
const stopped = "stopped"

// Stop stops the server at once, whoever is connected, and waits for its end.
func (s *Server) Stop() error {
	if s.cmd == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(s.dir, stopped), nil, 0o600); err != nil {
		return err
	}
	err := errors.Join(s.alive.Close(), s.cmd.Wait())
	s.cmd = nil
	return err
}

// Start starts the server, and waits until it takes connections.
func (s *Server) Start() error {
	if err := os.RemoveAll(filepath.Join(s.dir, stopped)); err != nil {
		return err
	}
	// The shell ends the server when this process is gone: then its standard input ends.
	script := fmt.Sprintf(`exec 3<&0; %[1]s/postgres -D %[2]s/data -k %[2]s -h "" -F -c full_page_writes=off -c synchronous_commit=%[3]s -c max_connections=200 >>%[2]s/log 2>&1 </dev/null 3<&- & pid=$!; cat <&3 >/dev/null; kill -INT $pid; wait $pid; test -e %[2]s/%[4]s || rm -rf %[2]s`,
		s.bin, s.dir, s.commit, stopped)
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner, Setpgid: true}
	cmd.Dir = s.dir
	alive, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.alive = cmd, alive
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.command("pg_isready", "-q", "-h", s.dir).Run() == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("not ready after 30 s: %s", strings.TrimSpace(string(log)))
		}
	}
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	return cmd
}
