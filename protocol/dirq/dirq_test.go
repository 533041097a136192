package dirq

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	dir  = "6b041c38"
	name = "6b041c38/6b041c73b9ad4c"
)

func newQueue(t *testing.T) Queue {
	t.Helper()
	return Queue{Path: filepath.Join(t.TempDir(), "queue")}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes a file as another program would.
func put(t *testing.T, q Queue, path, text string) {
	t.Helper()
	path = filepath.Join(q.Path, path)
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	must(t, os.WriteFile(path, []byte(text), 0o666))
}

// tree lists every file below the queue.
func tree(t *testing.T, q Queue) []string {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(q.Path, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(q.Path, path)
			all = append(all, rel)
		}
		return err
	}))
	return all
}

func TestAddLeavesTheElementAlone(t *testing.T) {
	q := newQueue(t)
	must(t, q.Add(name, []byte("body")))
	if d := cmp.Diff([]string{name}, tree(t, q)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if got, err := q.Get(name); err != nil || string(got) != "body" {
		t.Errorf("%q, %v", got, err)
	}
	if has, err := q.Has(name); err != nil || !has {
		t.Errorf("Has: %v, %v", has, err)
	}
}

func TestSameNameAgain(t *testing.T) {
	q := newQueue(t)
	must(t, q.Add(name, []byte("body")))
	if err := q.Add(name, []byte("body")); err != nil {
		t.Errorf("the same bytes: %v", err)
	}
	if err := q.Add(name, []byte("other")); !errors.Is(err, ErrTaken) {
		t.Errorf("other bytes: %v, want ErrTaken", err)
	}
	if got, _ := q.Get(name); string(got) != "body" {
		t.Errorf("the element is now %q", got)
	}
	must(t, q.Lock(name))
	if err := q.Add(name, []byte("body")); err != nil {
		t.Errorf("the same bytes while a reader has it: %v", err)
	}
}

// What a killed writer leaves does not hinder the next one, and stays behind nowhere.
func TestAddAfterAKilledWriter(t *testing.T) {
	t.Run("half-written", func(t *testing.T) {
		q := newQueue(t)
		put(t, q, name+".tmp", "bo")
		must(t, q.Add(name, []byte("body")))
		if got, err := q.Get(name); err != nil || string(got) != "body" {
			t.Errorf("%q, %v", got, err)
		}
		if d := cmp.Diff([]string{name}, tree(t, q)); d != "" {
			t.Errorf("files (-want +got):\n%s", d)
		}
	})
	t.Run("linked, not yet unlinked", func(t *testing.T) {
		q := newQueue(t)
		put(t, q, name, "body")
		must(t, os.Link(q.file(name), q.file(name)+".tmp"))
		must(t, q.Add(name, []byte("body")))
		if d := cmp.Diff([]string{name}, tree(t, q)); d != "" {
			t.Errorf("files (-want +got):\n%s", d)
		}
	})
	t.Run("what a reader still reads is not written into", func(t *testing.T) {
		q := newQueue(t)
		put(t, q, name+".lck", "body, being read")
		must(t, os.Link(q.file(name)+".lck", q.file(name)+".tmp"))
		must(t, q.Add(name, []byte("body, once more")))
		if got, err := os.ReadFile(q.file(name) + ".lck"); err != nil || string(got) != "body, being read" {
			t.Errorf("the reader sees %q, %v", got, err)
		}
	})
}

// No element is visible before its bytes are on the disk, and each directory on the way is synced too.
func TestSyncedBeforeItCounts(t *testing.T) {
	q := newQueue(t)
	var synced []string
	q.Sync = func(f *os.File) error {
		rel, err := filepath.Rel(q.Path, f.Name())
		must(t, err)
		synced = append(synced, filepath.ToSlash(rel))
		if element, ok := strings.CutSuffix(filepath.ToSlash(rel), ".tmp"); ok {
			if has, err := q.Has(element); err != nil || has {
				t.Errorf("%s is visible before it is synced, %v", element, err)
			}
		}
		return nil
	}
	must(t, q.Add(name, []byte("body")))
	// The directory above the queue and the queue, because they were made; then the element, its directory, the queue.
	if d := cmp.Diff([]string{".", "..", name + ".tmp", dir, "."}, synced); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	synced = nil
	must(t, q.Add("6b041c38/00000000000000", []byte("b")))
	if d := cmp.Diff([]string{"6b041c38/00000000000000.tmp", dir, "."}, synced); d != "" {
		t.Errorf("order in a directory that exists (-want +got):\n%s", d)
	}
}

func TestNotSyncedIsNotWritten(t *testing.T) {
	full := errors.New("no space left")
	for when, fails := range map[string]func(path string) bool{
		"file":      func(path string) bool { return strings.HasSuffix(path, ".tmp") },
		"directory": func(path string) bool { return filepath.Base(path) == dir },
	} {
		q := newQueue(t)
		q.Sync = func(f *os.File) error {
			if fails(f.Name()) {
				return full
			}
			return nil
		}
		if err := q.Add(name, []byte("body")); !errors.Is(err, full) {
			t.Errorf("%s: %v", when, err)
		}
		if when == "file" {
			if left := tree(t, q); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		}
		q.Sync = nil
		if err := q.Add(name, []byte("body")); err != nil {
			t.Errorf("%s: again: %v", when, err)
		}
	}
}

// A reader that purges may remove the directory, which is empty until the element is in it.
func TestDirectoryPurgedMeanwhile(t *testing.T) {
	q := newQueue(t)
	times := 0
	q.Sync = func(f *os.File) error {
		if strings.HasSuffix(f.Name(), ".tmp") {
			if times++; times == 1 {
				return errors.Join(os.Remove(f.Name()), os.Remove(filepath.Dir(f.Name())))
			}
		}
		return nil
	}
	must(t, q.Add(name, []byte("body")))
	if got, err := q.Get(name); err != nil || string(got) != "body" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAddWhereItMayNotWrite(t *testing.T) {
	t.Run("a file stands where the queue should be", func(t *testing.T) {
		q := newQueue(t)
		must(t, os.WriteFile(q.Path, nil, 0o666))
		if err := q.Add(name, []byte("body")); err == nil || !strings.Contains(err.Error(), "directory queue "+q.Path) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a directory has the element's name", func(t *testing.T) {
		q := newQueue(t)
		must(t, os.MkdirAll(q.file(name), 0o777))
		if err := q.Add(name, []byte("body")); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a link has the name of the half-written file", func(t *testing.T) {
		q := newQueue(t)
		put(t, q, "victim", "precious")
		must(t, os.MkdirAll(filepath.Join(q.Path, dir), 0o777))
		must(t, os.Symlink(filepath.Join(q.Path, "victim"), q.file(name)+".tmp"))
		must(t, q.Add(name, []byte("body")))
		if got, _ := os.ReadFile(filepath.Join(q.Path, "victim")); string(got) != "precious" {
			t.Errorf("wrote through the link: %q", got)
		}
	})
}

// TestReader goes the way of a reader: lock, read, remove; or unlock.
func TestReader(t *testing.T) {
	q := newQueue(t)
	must(t, q.Add(name, []byte("body")))
	long := time.Now().Add(-time.Hour)
	must(t, os.Chtimes(q.file(name), long, long))
	must(t, q.Lock(name))
	if d := cmp.Diff([]string{name, name + ".lck"}, tree(t, q)); d != "" {
		t.Errorf("files of a locked element (-want +got):\n%s", d)
	}
	element, err := os.Stat(q.file(name))
	must(t, err)
	lock, err := os.Stat(q.file(name) + ".lck")
	must(t, err)
	if !os.SameFile(element, lock) {
		t.Error("the lock is no hard link to the element")
	}
	if lock.ModTime().Before(long.Add(30 * time.Minute)) {
		t.Error("the lock has the element's age: another reader would take it for that of a dead program")
	}
	if err := q.Lock(name); !errors.Is(err, ErrLocked) {
		t.Errorf("locked twice: %v", err)
	}
	if has, err := q.Has(name); err != nil || !has {
		t.Errorf("a locked element is still in the queue: %v, %v", has, err)
	}
	must(t, q.Unlock(name))
	must(t, q.Lock(name))
	must(t, q.Remove(name))
	if left := tree(t, q); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if has, err := q.Has(name); err != nil || has {
		t.Errorf("Has after removal: %v, %v", has, err)
	}
	if _, err := q.Get(name); !errors.Is(err, ErrMissing) {
		t.Errorf("Get after removal: %v", err)
	}
	if err := q.Lock(name); !errors.Is(err, ErrMissing) {
		t.Errorf("Lock after removal: %v", err)
	}
}

func TestNamesAreInReadersOrder(t *testing.T) {
	q := newQueue(t)
	if names, err := q.Names(); err != nil || len(names) != 0 {
		t.Errorf("a queue that is not there: %v, %v", names, err)
	}
	want := []string{"00000000/ffffffffffffff", "6b041c38/6b041c73b9ad4c", "6b041c38/6b041c73b9ad4d", "6b041c74/6b041c74000000"}
	for _, n := range []int{3, 1, 0, 2} {
		must(t, q.Add(want[n], []byte("body")))
	}
	must(t, q.Lock(want[1]))
	for _, odd := range []string{"readme.txt", "6b041c38/6b041c73b9ad4e.tmp", "6b041c38/6B041C73B9AD4F", "6b041c38/6b041c73b9ad4", "6b041c3/6b041c73b9ad4c", "6B041C38/6b041c73b9ad4c", "temporary/6b041c73b9ad4c"} {
		put(t, q, odd, "odd")
	}
	must(t, os.Symlink("/etc/hostname", filepath.Join(q.Path, dir, "6b041c73b9ad50")))
	must(t, os.Mkdir(filepath.Join(q.Path, dir, "6b041c73b9ad51"), 0o777))
	must(t, os.Symlink(filepath.Join(q.Path, dir), filepath.Join(q.Path, "6b041c39")))
	names, err := q.Names()
	must(t, err)
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if got, err := q.Get("6b041c38/6b041c73b9ad50"); err == nil {
		t.Errorf("read %q through a link", got)
	}
}

func TestCheckName(t *testing.T) {
	for _, bad := range []string{"", "/", name + "0", "6b041c38", "6b041c38/", "6B041C38/6b041c73b9ad4c", "6b041c38/6b041c73b9ad4g", "6b041c38\\6b041c73b9ad4c", "../6b041c3/6b041c73b9ad4c",
		"6b041c38/../c73b9ad4c12", "/6b041c38/6b041c73b9ad4c", name + "\n", "6b041c38/6b041c73b9ad4c/"} {
		q := newQueue(t)
		if err := CheckName(bad); !errors.Is(err, ErrName) {
			t.Errorf("CheckName(%q): %v", bad, err)
		}
		_, hasErr := q.Has(bad)
		_, getErr := q.Get(bad)
		for what, err := range map[string]error{"Add": q.Add(bad, nil), "Has": hasErr, "Get": getErr, "Lock": q.Lock(bad), "Unlock": q.Unlock(bad), "Remove": q.Remove(bad)} {
			if !errors.Is(err, ErrName) {
				t.Errorf("%s(%q): %v", what, bad, err)
			}
		}
	}
	must(t, CheckName(name))
}

func FuzzCheckName(f *testing.F) {
	f.Add(name)
	f.Add("../../etc/passwd")
	f.Add("6b041c38/6b041c73b9ad4c\x00")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) != nil {
			return
		}
		if len(s) != 8+1+14 || strings.Trim(s, "0123456789abcdef/") != "" || !filepath.IsLocal(s) || filepath.Clean(s) != s {
			t.Errorf("%q passes", s)
		}
	})
}
