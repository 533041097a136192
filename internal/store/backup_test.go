package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// backupEnv has the process of openEnv back the store up into the file that it names.
const backupEnv = "FEDSITE_TEST_BACKUP"

var restoredAt = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// TestBackupWhileWriting copies a database again and again while another goroutine writes pairs of rows: each copy has
// whole pairs only, and what had been written when it began.
func TestBackupWhileWriting(t *testing.T) {
	dir := t.TempDir()
	st := storetest.Open(t, store.Config{Path: filepath.Join(dir, "fedsite.db")})
	ctx, stop := context.WithCancel(t.Context())
	var (
		written atomic.Int64
		group   sync.WaitGroup
	)
	first := make(chan struct{})
	group.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			err := st.Write(t.Context(), func(tx *store.Tx) error {
				for _, half := range []string{"a", "b"} {
					id := fmt.Sprint(half, n)
					if _, err := tx.Exec(`INSERT INTO site (id, name, created) VALUES ($1, $1, 1)`, id); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
			if written.Add(2) == 2 {
				close(first)
			}
		}
	})
	<-first
	for n := range 5 {
		had := written.Load()
		path := filepath.Join(dir, fmt.Sprint("copy-", n))
		c, err := st.Backup(t.Context(), path, false)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || info.Size() != c.Bytes || c.Path != path {
			t.Errorf("%+v, %v, %v", c, info.Mode(), err)
		}
		copied, err := store.Inspect(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, copied); int64(got) < had || got%2 != 0 {
			t.Errorf("the copy has %d rows, there had been %d", got, had)
		}
		if err := put(copied, "x"); err == nil {
			t.Error("a copy was written")
		}
		if err := copied.Close(); err != nil {
			t.Error(err)
		}
	}
	stop()
	group.Wait()
	left, err := filepath.Glob(filepath.Join(dir, ".unfinished*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBackupRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fedsite.db")
	st := storetest.Open(t, store.Config{Path: path})
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{there: "it is there already", dir: "it is a directory", path: "that is the database itself", filepath.Join(dir, "link"): "that is the database itself",
		path + "-wal": "that is the database itself", filepath.Join(dir, "no", "where"): "no such file or directory"} {
		_, err := st.Backup(t.Context(), what, what != there)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := st.Backup(t.Context(), there, true); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := st.Backup(ctx, filepath.Join(dir, "never"), false); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "never")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestNoBackupOfPostgres(t *testing.T) {
	st := storetest.Open(t, store.Config{URL: storetest.Postgres(t)})
	_, err := st.Backup(t.Context(), filepath.Join(t.TempDir(), "x"), false)
	_, serr := st.Snapshot(t.Context(), t.TempDir(), 14)
	for _, err := range []error{err, serr} {
		if !errors.Is(err, store.ErrNotAFile) || !strings.Contains(store.Hint(err), "pg_dump") {
			t.Errorf("%v", err)
		}
	}
}

// TestBackupOntoAFullDisk: the error says so, names the file, and leaves neither a copy nor part of one.
func TestBackupOntoAFullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fedsite.db")
	st := storetest.Open(t, store.Config{Path: path})
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO site (id, name, created, config) VALUES ('large', 'large', 1, $1)`, strings.Repeat("x", 4<<20))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	small := filepath.Join(dir, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	empty := func(t *testing.T) {
		t.Helper()
		if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	t.Run("limit of a file's size", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -f 2048; exec "$0"`, os.Args[0]) // 1 or 2 MB
		cmd.Env = append(os.Environ(), openEnv+"="+path, backupEnv+"="+filepath.Join(small, "copy"))
		out, err := cmd.CombinedOutput()
		text := string(out)
		if err == nil || !strings.Contains(text, filepath.Join(small, ".unfinished-copy")) || (!strings.Contains(text, store.ErrFull.Error()) && !strings.Contains(text, store.ErrIO.Error())) {
			t.Errorf("%v: %s", err, out)
		}
		empty(t)
	})
	t.Run("file system", func(t *testing.T) {
		if err := syscall.Mount("none", small, "tmpfs", 0, "size=1m"); err != nil {
			t.Skipf("no file system can be mounted: %v", err)
		}
		defer syscall.Unmount(small, syscall.MNT_DETACH) //nolint:errcheck // the test's own
		_, err := st.Backup(t.Context(), filepath.Join(small, "copy"), false)
		if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), small) {
			t.Errorf("%v", err)
		}
		empty(t)
	})
	if n := count(t, st); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestRestore(t *testing.T) {
	dir := t.TempDir()
	o := store.RestoreOptions{From: filepath.Join(dir, "backup"), Path: filepath.Join(dir, "state", "fedsite.db"), Serve: filepath.Join(dir, "state", "serve.lock"), Now: restoredAt}
	st, err := store.Open(t.Context(), store.Config{Path: o.Path})
	if err != nil {
		t.Fatal(err)
	}
	if err := put(st, "old"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Backup(t.Context(), o.From, false); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(put(st, "new"), st.Close()); err != nil {
		t.Fatal(err)
	}
	for n := range 2 { // twice in a second
		kept, err := store.Restore(t.Context(), o)
		want := o.Path + ".before-restore-20261126T120000Z"
		if n == 1 {
			want += "-2"
		}
		if err != nil || kept != want {
			t.Fatalf("%q, %v", kept, err)
		}
	}
	for path, want := range map[string]int{o.Path: 1, o.Path + ".before-restore-20261126T120000Z": 2, o.Path + ".before-restore-20261126T120000Z-2": 1} {
		db, err := store.Inspect(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db); n != want {
			t.Errorf("%s has %d rows, want %d", path, n, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(o.Path); err != nil {
		t.Fatal(err)
	}
	if kept, err := store.Restore(t.Context(), o); err != nil || kept != "" {
		t.Errorf("into an empty directory: %q, %v", kept, err)
	}
	if n := count(t, storetest.Open(t, store.Config{Path: o.Path})); n != 1 {
		t.Errorf("%d rows", n)
	}
}

// TestRestoreRefuses: each time the present database is as it was, and nothing is left beside it.
func TestRestoreRefuses(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	o := store.RestoreOptions{From: filepath.Join(dir, "backup"), Path: filepath.Join(state, "fedsite.db"), Serve: filepath.Join(state, "serve.lock"), Now: restoredAt}
	st := storetest.Open(t, store.Config{Path: o.Path})
	if err := put(st, "row"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Backup(t.Context(), o.From, false); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(o.From)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	damaged := bytes.Clone(good)
	copy(damaged[4096:], bytes.Repeat([]byte{0xff}, 8192))
	newer := write("newer", good)
	change(t, newer, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`)
	other := write("other", good)
	change(t, other, `DROP TABLE goose_db_version`)
	refused := func(what string, o store.RestoreOptions, kind error, texts ...string) {
		t.Helper()
		_, err := store.Restore(t.Context(), o)
		if err == nil || (kind != nil && !errors.Is(err, kind)) {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, text := range texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", what, err, text)
			}
		}
		if n := count(t, st); n != 1 {
			t.Errorf("%s: %d rows", what, n)
		}
		if left, err := filepath.Glob(filepath.Join(state, "*restore*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
	from := func(path string) store.RestoreOptions { o := o; o.From = path; return o }
	refused("no file", from(filepath.Join(dir, "none")), nil, "no such file")
	refused("a text", from(write("text", []byte(strings.Repeat("text", 5000)))), store.ErrCorrupt, "text")
	refused("nothing", from(write("nothing", nil)), store.ErrCorrupt)
	refused("half", from(write("half", good[:len(good)/2])), store.ErrCorrupt)
	refused("damaged", from(write("damaged", damaged)), store.ErrCorrupt)
	refused("newer", from(newer), store.ErrNewer, "version 999")
	refused("of another program", from(other), store.ErrCorrupt, "no tables of fedsite")
	refused("itself", from(o.Path), nil, "that is the database itself")

	lock := flock.New(o.Serve)
	if ok, err := lock.TryLock(); err != nil || !ok {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.Serve, []byte(`{"process":4711,"since":"2026-11-26T10:00:00Z"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("while it is served", o, store.ErrInUse, "process 4711")
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	if err := st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO task (name, schedule, next_due, owner, lease_until) VALUES ('accounting.send/a', '', 0, 'node 7', ` + tx.Clock() + ` + 45000)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	refused("while a run goes on", o, store.ErrInUse, "accounting.send/a", "node 7")
}

// change runs a statement on a file that is no longer a database of ours.
func change(t *testing.T, path, statement string) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Write(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(statement)
		return err
	})
	if err := errors.Join(err, st.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreOfADamagedDatabase: what is there is no database any more; it is kept all the same.
func TestRestoreOfADamagedDatabase(t *testing.T) {
	dir := t.TempDir()
	o := store.RestoreOptions{From: filepath.Join(dir, "backup"), Path: filepath.Join(dir, "fedsite.db"), Now: restoredAt}
	st, err := store.Open(t.Context(), store.Config{Path: o.Path})
	if err != nil {
		t.Fatal(err)
	}
	_, err = st.Backup(t.Context(), o.From, false)
	if err := errors.Join(err, st.Close(), os.WriteFile(o.Path, []byte(strings.Repeat("rubbish", 4000)), 0o600), os.WriteFile(o.Path+"-wal", []byte("w"), 0o600)); err != nil {
		t.Fatal(err)
	}
	kept, err := store.Restore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(kept); err != nil || !strings.HasPrefix(string(text), "rubbish") {
		t.Errorf("%v", err)
	}
	if n := count(t, storetest.Open(t, store.Config{Path: o.Path})); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "backup")
	st := storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")})
	if all, err := store.Snapshots(dir); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for day := range 4 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("fedsite-2020010%dT000000Z.db", day+1)), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left, mine := filepath.Join(dir, ".unfinished-x"), filepath.Join(dir, "fedsite-mine.db")
	long := time.Now().Add(-48 * time.Hour)
	if err := errors.Join(os.WriteFile(left, nil, 0o600), os.Chtimes(left, long, long), os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	s, err := st.Snapshot(t.Context(), dir, 3)
	if err != nil || s.Kept != 3 || len(s.Removed) != 2 || s.Bytes == 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	all, err := store.Snapshots(dir)
	if err != nil || len(all) != 3 || all[2] != s.Path || filepath.Base(all[0]) != "fedsite-20200103T000000Z.db" {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Error("what a killed process left is still there")
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
	if _, err := st.Snapshot(t.Context(), dir, 0); err == nil {
		t.Error("a snapshot that is not to be kept was made")
	}
	blocked := filepath.Join(mine, "backup")
	if _, err := st.Snapshot(t.Context(), blocked, 3); err == nil || !strings.Contains(err.Error(), blocked) {
		t.Errorf("%v", err)
	}
}
