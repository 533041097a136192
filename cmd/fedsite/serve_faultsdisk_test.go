package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/tasks"
	"github.com/fedsite/fedsite/internal/web"
)

// unwritable is a way in which nothing can be written any more.
type unwritable struct {
	kind  error // that the store gives
	bed   *sickbed
	begin func(*daemontest.Daemon)
	end   func(*daemontest.Daemon)
}

// TestServeUnwritable: while a collection and messages are under way the disk becomes full, the system refuses to write
// files, or PostgreSQL becomes read-only. The service stays, health and readiness say what is wrong and what to do, and
// when it is mended all goes on. A service that is stopped meanwhile does not wait in vain, and says what it could not
// write. Nothing is lost: the accounting server ends with the truth, and only messages that were not settled came twice.
func TestServeUnwritable(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(*testing.T) unwritable{"full file system": fullDisk, "limit of a file's size": limited, "read-only PostgreSQL": standby} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := how(t)
			b, hint := u.bed, store.Hint(u.kind)
			s := b.serve(b.ConfigFile(), hurried)
			must(t, s.Start())
			b.later(6*time.Hour, s)
			first := b.amid(s)
			since := len(s.Said())
			u.begin(s)
			first.answer.release()
			first.listing.release()
			b.says(s, since, "the end of a run cannot be written", hint)
			b.answers(s, "/readyz", 503, "the database cannot be written")
			b.answers(s, "/healthz", 200, "ok")
			if remedy := b.problem(s, "database", u.kind.Error()); remedy != hint {
				t.Errorf("what to do is %q", remedy)
			}
			u.end(s)
			b.answers(s, "/readyz", 200, "ok")
			b.later(2*time.Hour, s)

			second := b.amid(s)
			since = len(s.Said())
			u.begin(s)
			second.answer.release()
			second.listing.release()
			b.says(s, since, "the end of a run cannot be written")
			began := time.Now()
			must(t, s.Terminate())
			code, err := s.Exit()
			must(t, err)
			if took := time.Since(began); code != run.ExitFailed || took > 30*time.Second {
				t.Errorf("stopped in vain, it ends with %d after %v", code, took)
			}
			b.says(s, since, "that these have ended could not be written: accounting.collect/", ", accounting.send/", "→ "+hint)
			u.end(s)
			must(t, s.Start())
			b.later(2*time.Hour, s)
			b.stop(s)
			b.ended(append(first.unsettled, second.unsettled...))
		})
	}
}

// fullDisk has the state in a small file system, which only root can mount.
func fullDisk(t *testing.T) unwritable {
	var ballast string
	b := newSickbed(t, "", func(state string) {
		ballast = filepath.Join(state, "ballast")
		must(t, os.MkdirAll(state, 0o700))
		if err := syscall.Mount("none", state, "tmpfs", 0, "size=48m"); err != nil {
			t.Skipf("no file system can be mounted: %v", err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	})
	return unwritable{kind: store.ErrFull, bed: b, end: func(*daemontest.Daemon) { must(t, os.Remove(ballast)) },
		begin: func(*daemontest.Daemon) {
			f, err := os.Create(ballast)
			must(t, err)
			defer f.Close()
			for block := make([]byte, 4096); err == nil; {
				_, err = f.Write(block)
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}}
}

// limited has the system refuse whatever the service writes into a file: what an ordinary user can do of a broken disk.
func limited(t *testing.T) unwritable {
	set := func(bytes uint64) func(*daemontest.Daemon) {
		return func(s *daemontest.Daemon) {
			var now unix.Rlimit
			if err := unix.Prlimit(s.Process(), unix.RLIMIT_FSIZE, nil, &now); errors.Is(err, syscall.ESRCH) {
				return // it has ended, and the limit with it
			}
			now.Cur = min(bytes, now.Max)
			must(t, unix.Prlimit(s.Process(), unix.RLIMIT_FSIZE, &now, nil))
		}
	}
	return unwritable{kind: store.ErrIO, bed: newSickbed(t, ""), begin: set(0), end: set(unix.RLIM_INFINITY)}
}

// standby has PostgreSQL take no more writes, as one that is full, or a standby.
func standby(t *testing.T) unwritable {
	srv := storetest.Own(t)
	set := func(to string) func(*daemontest.Daemon) {
		return func(*daemontest.Daemon) {
			must(t, srv.SQL("ALTER SYSTEM SET default_transaction_read_only = "+to))
			must(t, srv.SQL("SELECT pg_reload_conf()"))
		}
	}
	return unwritable{kind: store.ErrReadOnly, bed: newSickbed(t, srv.Database(t)), begin: set("on"), end: set("off")}
}

// problem waits until the pages show a problem with a reason, and gives what they say to do.
func (b *sickbed) problem(s *daemontest.Daemon, object, reason string) (remedy string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the pages show of %s that %q", object, reason), func() bool {
		var o web.Overview
		if _, body := b.get(s, "/api/v1/overview"); json.Unmarshal([]byte(body), &o) != nil {
			return false
		}
		for _, p := range o.Problems {
			if strings.Contains(p.Object, object) && strings.Contains(p.Reason, reason) {
				remedy = p.Remedy
				return true
			}
		}
		return false
	})
	return remedy
}

// TestServeLocked: another program holds a lock on the database while a collection and messages are under way, for longer
// than the service waits for it. It says so, and goes on when it is let go.
func TestServeLocked(t *testing.T) {
	t.Parallel()
	b := newSickbed(t, "")
	s := b.serve(b.ConfigFile(), 1)
	must(t, s.Start())
	b.later(6*time.Hour, s)
	under := b.amid(s)
	since := len(s.Said())
	held, let, left := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		left <- b.st.Write(t.Context(), func(*store.Tx) error {
			close(held)
			<-let
			return nil
		})
	}()
	<-held
	under.answer.release()
	under.listing.release()
	if remedy := b.problem(s, "database", store.ErrLocked.Error()); remedy != store.Hint(store.ErrLocked) {
		t.Errorf("what to do is %q", remedy)
	}
	b.answers(s, "/readyz", 503, "the database cannot be written")
	b.answers(s, "/healthz", 200, "ok")
	close(let)
	must(t, <-left)
	b.answers(s, "/readyz", 200, "ok")
	b.says(s, since, store.ErrLocked.Error())
	b.later(2*time.Hour, s)
	b.stop(s)
	b.ended(under.unsettled)
}

// TestServeReadOnlyState: with a state directory that it may not write the service does not start, and says why. One that
// becomes so while it runs is told in health: nothing goes out that could not be kept, and it goes when that is mended.
func TestServeReadOnlyState(t *testing.T) {
	t.Parallel()
	b := newSickbed(t, "", func(state string) { must(t, os.MkdirAll(state, 0o700)) })
	b.toOrdinary()
	s := b.serve(b.ConfigFile(), 1)
	open := b.closed(".", "fedsite.db", "fedsite.db-wal", "fedsite.db-shm", "fedsite.db.migrate", store.ServeFile)
	cmd := program("serve", "--config", b.ConfigFile())
	out, err := cmd.CombinedOutput()
	for _, want := range []string{store.ErrReadOnly.Error(), b.state(), "permission denied", "→ "} { // what to do depends on who runs it
		if err == nil || !bytes.Contains(out, []byte(want)) {
			t.Errorf("started on a read-only state directory: %v, and not %q:\n%s", err, want, out)
		}
	}
	open()
	must(t, s.Start())
	b.later(6*time.Hour, s)

	had := len(b.Federation.Received())
	open = b.closed(".", "sent", "sent/*", "sent/*/*")
	b.forward(2*time.Hour, s)
	now := b.now()
	b.done("accounting.collect", now)
	must(t, tasks.RunNow(t.Context(), b.st, nameOf(t, b.st, "accounting.send"))) // it may have been quicker than the collection
	if remedy := b.problem(s, "accounting.send", fs.ErrPermission.Error()); !strings.Contains(remedy, "mend the rights of the directory") {
		t.Errorf("what to do is %q", remedy)
	}
	if n := len(b.Federation.Received()); n != had {
		t.Errorf("%d messages went out that could not be kept", n-had)
	}
	open()
	b.later(2*time.Hour, s)
	b.stop(s)
	b.ended(nil)
}

// ordinary is a user who may not write what belongs to others; root may.
const ordinary = 65534

// toOrdinary gives all files to an ordinary user, where root runs the test: the service is his then.
func (b *sickbed) toOrdinary() {
	b.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	for up := b.Dir; up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
		info, err := os.Stat(up)
		must(b.t, err)
		must(b.t, os.Chmod(up, info.Mode().Perm()|0o711))
	}
	must(b.t, filepath.WalkDir(b.Dir, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, ordinary, ordinary))
	}))
}

// closed takes the right to write files and directories of the state away, as far as they are there, and gives what gives
// it back.
func (b *sickbed) closed(patterns ...string) (open func()) {
	b.t.Helper()
	before := map[string]fs.FileMode{}
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(b.state(), p))
		must(b.t, err)
		for _, name := range found {
			info, err := os.Stat(name)
			must(b.t, err)
			before[name] = info.Mode().Perm()
		}
	}
	for name, mode := range before {
		must(b.t, os.Chmod(name, mode&^0o222))
	}
	open = func() {
		for name, mode := range before {
			must(b.t, os.Chmod(name, mode))
		}
	}
	b.t.Cleanup(func() { _ = os.Chmod(b.state(), 0o700) })
	return open
}
