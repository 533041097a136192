package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/prerequisite"
)

// docFile is the name of the document in these tests.
const docFile = "SITE-0123456789abcdef0123456789abcdef.json"

// oldBody and newBody are longer than what is written at once.
var oldBody, newBody = bytes.Repeat([]byte("old "), chunk*3/4), bytes.Repeat([]byte("newer "), chunk/2)

// toDirectory is a sink to a directory, with its hooks in reach.
func toDirectory(dir string) *directorySink { return NewFile("file", dir, JSON).(*directorySink) }

func putFile(t *testing.T, s Sink, body []byte) {
	t.Helper()
	if err := s.Publish(t.Context(), Publication{Name: docFile, Body: body}); err != nil {
		t.Fatal(err)
	}
}

// dirLists fails the test unless the directory has exactly these files.
func dirLists(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// fileReads fails the test unless the file holds one of the bodies.
func fileReads(t *testing.T, path string, bodies ...[]byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || !slices.ContainsFunc(bodies, func(b []byte) bool { return bytes.Equal(b, got) }) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestFileIsSyncedBeforeItIsSeen: what a crash of the host leaves is whole.
func TestFileIsSyncedBeforeItIsSeen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	s := toDirectory(dir)
	var synced []string
	s.sync = func(f *os.File) error {
		info, err := f.Stat()
		if err != nil {
			return err
		}
		held, _ := os.ReadFile(filepath.Join(dir, docFile))
		synced = append(synced, fmt.Sprintf("directory: %v, visible: %d", info.IsDir(), len(held)))
		return nil
	}
	putFile(t, s, oldBody)
	putFile(t, s, newBody)
	want := []string{"directory: true, visible: 0", // the one above, for the one that was made
		"directory: false, visible: 0", fmt.Sprint("directory: true, visible: ", len(oldBody)),
		fmt.Sprint("directory: false, visible: ", len(oldBody)), fmt.Sprint("directory: true, visible: ", len(newBody))}
	if diff := cmp.Diff(want, synced); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if info, err := os.Stat(filepath.Join(dir, docFile)); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestFullDisk: whichever write or sync fails, what was there is there, nothing else is, and the reason says what to do.
func TestFullDisk(t *testing.T) {
	for name, fail := range map[string]func(r *replacer){
		"at once": func(r *replacer) { r.write = func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC } },
		"in the middle": func(r *replacer) {
			r.write = func(f *os.File, b []byte) (int, error) {
				if at, err := f.Seek(0, 1); err != nil || at > 0 {
					n, _ := f.Write(b[:len(b)/2])
					return n, syscall.ENOSPC
				}
				return f.Write(b)
			}
		},
		"quota, when it is synced": func(r *replacer) { r.sync = func(*os.File) error { return syscall.EDQUOT } },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := toDirectory(dir)
			try := func() {
				fail(&s.replacer)
				err := s.Publish(t.Context(), Publication{Name: docFile, Body: newBody})
				s.replacer = replacer{}
				if f, ok := errors.AsType[*Failure](err); !ok || !strings.Contains(f.Hint, "make room") || f.Permanent {
					t.Errorf("%#v", err)
				}
			}
			try()
			dirLists(t, dir)
			putFile(t, s, oldBody)
			try()
			dirLists(t, dir, docFile)
			fileReads(t, filepath.Join(dir, docFile), oldBody)
		})
	}
}

// TestReadOnlyDirectory: who may not write there leaves all as it is, and can still read it.
func TestReadOnlyDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "documents")
	s := toDirectory(dir)
	putFile(t, s, oldBody)
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		mode := fs.FileMode(0o755)
		if d == dir {
			mode = 0o555
		}
		if err := os.Chmod(d, mode); err != nil {
			t.Fatal(err)
		}
	}
	defer os.Chmod(dir, 0o755) //nolint:errcheck // so that it can be removed
	for name, do := range map[string]func() error{
		"publish": func() error { return s.Publish(t.Context(), Publication{Name: docFile, Body: newBody}) },
		"remove":  func() error { return s.Remove(t.Context(), docFile) },
	} {
		err := prerequisite.AsNobody(do)
		if f, ok := errors.AsType[*Failure](err); !ok || !strings.Contains(f.Hint, "ReadWritePaths") || !f.Permanent {
			t.Errorf("%s: %#v", name, err)
		}
	}
	dirLists(t, dir, docFile)
	fileReads(t, filepath.Join(dir, docFile), oldBody)
	err := prerequisite.AsNobody(func() error { _, err := s.Held(t.Context(), docFile); return err })
	if err != nil {
		t.Errorf("held: %v", err)
	}
}

// TestLeftBehind: what a killed process left is swept away, and what a living one writes, or another name's, is not.
func TestLeftBehind(t *testing.T) {
	dir := t.TempDir()
	s := toDirectory(dir)
	dead, alive := "."+docFile+".DEADDEAD.tmp", "."+docFile+".LIVELIVE.tmp"
	others := []string{"." + docFile + ".json.DEADDEAD.tmp", ".other.json.DEADDEAD.tmp", "." + docFile + ".tmp", "notes.tmp"}
	for _, name := range append(others, dead, alive) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(dir, alive))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := lock(f); err != nil {
		t.Fatal(err)
	}
	putFile(t, s, newBody)
	want := append(others, alive, docFile)
	slices.Sort(want)
	dirLists(t, dir, want...)
}

// TestLinks: no link leads a document elsewhere, and no document is written through one.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(t.TempDir(), "precious")
	link := func(to, from string) {
		t.Helper()
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := toDirectory(dir)
	link(precious, filepath.Join(dir, docFile))
	if _, err := s.Held(t.Context(), docFile); !errors.Is(err, ErrNotHeld) {
		t.Errorf("a link is held: %v", err)
	}
	putFile(t, s, newBody)
	fileReads(t, filepath.Join(dir, docFile), newBody)
	link(precious, filepath.Join(dir, "link.json"))
	if err := s.Remove(t.Context(), "link.json"); err != nil {
		t.Error(err)
	}
	err := NewFile("file", filepath.Join(dir, "link.json"), JSON).Publish(t.Context(), Publication{Body: newBody})
	if err != nil {
		t.Error(err)
	}
	link(precious, filepath.Join(dir, "named.json"))
	err = NewFile("file", filepath.Join(dir, "named.json"), JSON).Publish(t.Context(), Publication{Body: newBody})
	if f, ok := errors.AsType[*Failure](err); !ok || !strings.Contains(f.Hint, "not a link") {
		t.Errorf("a link that was configured: %v", err)
	}
	fileReads(t, precious, []byte("precious"))
	linked := filepath.Join(t.TempDir(), "linked")
	link(dir, linked) // a directory may be reached by one
	putFile(t, toDirectory(linked), oldBody)
	fileReads(t, filepath.Join(dir, docFile), oldBody)
}

// TestSingleFile publishes to a file by its path, as a BDII's provider reads it.
func TestSingleFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cloud.ldif")
	s := NewFile("bdii", path, LDIF)
	if _, ok := s.(Remover); ok {
		t.Error("a file of one document cannot tell whose it is")
	}
	putFile(t, s, oldBody)
	putFile(t, s, newBody)
	fileReads(t, path, newBody)
	dirLists(t, dir, "cloud.ldif")
	t.Chdir(dir)
	putFile(t, NewFile("bdii", "cloud.ldif", LDIF), oldBody)
	fileReads(t, path, oldBody)
	for name, at := range map[string]string{
		"no directory":           filepath.Join(dir, "missing", "cloud.ldif"),
		"no directory above":     filepath.Join(dir, "missing", "documents"),
		"a file for a directory": filepath.Join(path, "documents"),
	} {
		err := NewFile("file", at, LDIF).Publish(t.Context(), Publication{Name: docFile, Body: newBody})
		if f, ok := errors.AsType[*Failure](err); !ok || f.Hint == "" {
			t.Errorf("%s: %#v", name, err)
		}
	}
	dirLists(t, dir, "cloud.ldif")
}

// What makes a test binary a process that publishes: the directory, and at which write or sync it kills itself (0 = it
// publishes twenty times).
const (
	publishEnv = "FEDSITE_TEST_PUBLISH"
	killEnv    = "FEDSITE_TEST_KILL"
)

// TestMain runs the tests, or is that process.
func TestMain(m *testing.M) {
	dir := os.Getenv(publishEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := publishAndDie(dir, os.Getenv(killEnv)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func publishAndDie(dir, at string) error {
	kill, err := strconv.Atoi(at)
	if err != nil {
		return err
	}
	s := toDirectory(dir)
	moment := func() {
		if kill--; kill == 0 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL) //nolint:errcheck // there is nobody left to be told
			select {}
		}
	}
	s.write = func(f *os.File, b []byte) (int, error) {
		n, err := f.Write(b[:len(b)/2])
		moment()
		m, err2 := f.Write(b[n:])
		return n + m, errors.Join(err, err2)
	}
	s.sync = func(f *os.File) error { moment(); return f.Sync() }
	bodies := [][]byte{newBody}
	if kill == 0 {
		for i := range 20 {
			bodies = append(bodies, [][]byte{oldBody, newBody}[i%2])
		}
		bodies = bodies[1:]
	}
	for _, body := range bodies {
		if err := s.Publish(context.Background(), Publication{Name: docFile, Body: body}); err != nil {
			return err
		}
	}
	return nil
}

func publishingProcess(dir string, kill int) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), publishEnv+"="+dir, killEnv+"="+strconv.Itoa(kill))
	return cmd
}

// TestKilledWhileItWrites kills a process at each write and sync: readers have the old document or the new one, and the
// next process finds nothing in its way.
func TestKilledWhileItWrites(t *testing.T) {
	for n := 1; ; n++ {
		dir := t.TempDir()
		putFile(t, toDirectory(dir), oldBody)
		err := publishingProcess(dir, n).Run()
		fileReads(t, filepath.Join(dir, docFile), oldBody, newBody)
		putFile(t, toDirectory(dir), newBody)
		fileReads(t, filepath.Join(dir, docFile), newBody)
		dirLists(t, dir, docFile)
		if err == nil { // there was no nth moment
			if n < 5 {
				t.Errorf("it was killed at %d moments only", n-1)
			}
			return
		}
	}
}

// TestTwoProcesses publish to one file all the time.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	one, two := publishingProcess(dir, 0), publishingProcess(dir, 0)
	for _, p := range []*exec.Cmd{one, two} {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*exec.Cmd{one, two} {
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
	fileReads(t, filepath.Join(dir, docFile), oldBody, newBody)
	dirLists(t, dir, docFile)
}
