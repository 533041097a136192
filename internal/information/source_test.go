package information

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// have gives the documents by name; "!" and the reason for those that could not be read.
func have(t *testing.T, s Source) (map[string]string, string) {
	t.Helper()
	docs, version, err := s.Documents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, d := range docs {
		if all[d.Name] = string(d.Body); d.Err != nil {
			all[d.Name] = "!" + d.Err.Error()
		}
		if d.Source != s.Name() {
			t.Errorf("%+v", d)
		}
	}
	return all, version
}

// TestDirectory reads what is there, and nothing else.
func TestDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write(t, outside, "secret.json", "secret")
	write(t, dir, "a.json", "A")
	write(t, dir, "deep/er/b.json", "B")
	write(t, dir, "deep/1/2/3/c.json", "too deep")
	write(t, dir, ".hidden.json", "x")
	write(t, dir, ".git/x.json", "x")
	write(t, dir, "readme.txt", "x")
	write(t, dir, "large.json", strings.Repeat("x", 101))
	if err := os.Mkdir(filepath.Join(dir, "dir.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"out.json": filepath.Join(outside, "secret.json"), "up": outside, "in.json": "deep/er/b.json", "gone.json": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, _ := have(t, NewDirectory(dir, Limits{Bytes: 100, Depth: 3}))
	for name, want := range map[string]string{
		"a.json": "A", "deep/er/b.json": "B", "in.json": "B",
		"large.json": "!it has 101 bytes", "out.json": "!escapes", "gone.json": "!no such file", "pipe.json": "!not a regular file",
	} {
		reason, bad := strings.CutPrefix(want, "!")
		if bad && (!strings.HasPrefix(got[name], "!") || !strings.Contains(got[name], reason)) || !bad && got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("read, too: %q", slices.Sorted(maps.Keys(got)))
	}
}

// TestDirectoryAgain reads what changed, and only that, however it changed.
func TestDirectoryAgain(t *testing.T) {
	dir := t.TempDir()
	d := NewDirectory(dir, Limits{})
	at := time.Now()
	d.now = func() time.Time { return at.Add(time.Minute) } // long after the changes
	write(t, dir, "a.json", "A1")
	write(t, dir, "b.json", "B1")
	_, first := have(t, d)
	if _, again := have(t, d); again != first {
		t.Error("nothing changed, but the version did")
	}
	change := map[string]func(){
		"same size, other time": func() {
			write(t, dir, "a.json", "A2")
			if err := os.Chtimes(filepath.Join(dir, "a.json"), time.Time{}, at.Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		},
		"same size and time, another file": func() {
			info, err := os.Stat(filepath.Join(dir, "a.json"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "a.new", "A3")
			if err := os.Chtimes(filepath.Join(dir, "a.new"), time.Time{}, info.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "a.new"), filepath.Join(dir, "a.json")); err != nil {
				t.Fatal(err)
			}
		},
		"one more":  func() { write(t, dir, "c.json", "C") },
		"one fewer": func() { _ = os.Remove(filepath.Join(dir, "c.json")) },
		"one for another": func() {
			_ = os.Rename(filepath.Join(dir, "b.json"), filepath.Join(dir, "d.json"))
		},
	}
	for _, name := range []string{"same size, other time", "same size and time, another file", "one more", "one fewer", "one for another"} {
		change[name]()
		got, version := have(t, d)
		if version == first {
			t.Errorf("%s: the version stays", name)
		}
		for file, text := range got {
			if now, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(now) != text {
				t.Errorf("%s: %s holds %q, read %q (%v)", name, file, now, text, err)
			}
		}
		first = version
	}
	// a change that neither size nor time shows is seen while the file is young
	d.now = time.Now
	write(t, dir, "young.json", "1")
	info, err := os.Stat(filepath.Join(dir, "young.json"))
	if err != nil {
		t.Fatal(err)
	}
	have(t, d)
	write(t, dir, "young.json", "2")
	if err := os.Chtimes(filepath.Join(dir, "young.json"), time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if got, _ := have(t, d); got["young.json"] != "2" {
		t.Errorf("young file: %q", got["young.json"])
	}
}

// TestDirectoryLimits shows what is too much for a directory, and what is none.
func TestDirectoryLimits(t *testing.T) {
	dir := t.TempDir()
	for i := range 4 {
		write(t, dir, fmt.Sprintf("%d.json", i), "12345")
	}
	if _, _, err := NewDirectory(dir, Limits{Documents: 3}).Documents(t.Context()); err == nil || !strings.Contains(err.Error(), "more than 3 documents") {
		t.Error(err)
	}
	got, _ := have(t, NewDirectory(dir, Limits{Total: 12}))
	if got["0.json"] != "12345" || got["1.json"] != "12345" || !strings.HasPrefix(got["2.json"], "!") {
		t.Errorf("%q", got)
	}
	if _, _, err := NewDirectory(filepath.Join(dir, "none"), Limits{}).Documents(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := NewDirectory(dir, Limits{}).Documents(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// bucket is a container in memory.
type bucket struct {
	objects map[string]string
	listed  []Object // instead of what there is
	err     error
	bad     map[string]error
}

func (b *bucket) List(context.Context) ([]Object, error) {
	if b.err != nil || b.listed != nil {
		return b.listed, b.err
	}
	var all []Object
	for name, text := range b.objects {
		all = append(all, Object{name, text, int64(len(text)), time.Unix(1, 0)})
	}
	return all, nil
}

func (b *bucket) Get(_ context.Context, name string, most int64) ([]byte, error) {
	if err := b.bad[name]; err != nil {
		return nil, err
	}
	if int64(len(b.objects[name])) > most {
		return nil, errors.New("more than most")
	}
	return []byte(b.objects[name]), nil
}

// TestContainer gets what changed and nothing else; what cannot be got spoils itself.
func TestContainer(t *testing.T) {
	b := &bucket{objects: map[string]string{"a.json": "A", "b.json": "B", "note.txt": "x"}, bad: map[string]error{}}
	c := NewContainer("container x", b, Limits{Documents: 5, Bytes: 10})
	got, v1 := have(t, c)
	if len(got) != 2 || got["a.json"] != "A" || got["b.json"] != "B" {
		t.Fatalf("%q", got)
	}
	b.bad["a.json"] = errors.New("must not be asked for")
	if got, v := have(t, c); got["a.json"] != "A" || v != v1 {
		t.Errorf("unchanged: %q %s", got, v)
	}
	b.objects["b.json"], b.bad["b.json"], b.objects["c.json"], b.objects["large.json"] = "B2", errors.New("HTTP 500"), "C", "12345678901"
	got, v2 := have(t, c)
	if v2 == v1 || got["a.json"] != "A" || got["b.json"] != `!object "b.json": HTTP 500` || got["c.json"] != "C" || !strings.HasPrefix(got["large.json"], "!") {
		t.Errorf("%q", got)
	}
	if _, v := have(t, c); v != v2 {
		t.Error("what fails as before is no change")
	}
	delete(b.bad, "b.json")
	if got, v := have(t, c); got["b.json"] != "B2" || v == v2 {
		t.Errorf("it is there again: %q", got)
	}
	b.listed = []Object{{Name: "a.json", Bytes: 1}}
	b.bad, b.objects["a.json"] = nil, "1"
	have(t, c)
	b.objects["a.json"] = "2"
	if got, _ := have(t, c); got["a.json"] != "2" {
		t.Errorf("a listing that tells nothing hides a change: %q", got)
	}
	b.err = errors.New("HTTP 503")
	if _, _, err := c.Documents(t.Context()); err == nil || !strings.Contains(err.Error(), "container x: list: HTTP 503") {
		t.Error(err)
	}
	b.err, b.listed = nil, []Object{{Name: "1.json"}, {Name: "2.json"}, {Name: "3.json"}, {Name: "4.json"}, {Name: "5.json"}, {Name: "6.json"}}
	if _, _, err := c.Documents(t.Context()); err == nil || !strings.Contains(err.Error(), "6 documents") {
		t.Error(err)
	}
	b.listed = []Object{{Name: "neg.json", Bytes: -1}, {Name: "lie.json", Bytes: 1 << 60}, {Name: "a.json", Bytes: 1}, {Name: "a.json", Bytes: 1}}
	if got, _ := have(t, c); len(got) != 3 || !strings.HasPrefix(got["neg.json"], "!") || !strings.HasPrefix(got["lie.json"], "!") {
		t.Errorf("%q", got)
	}
}

// TestPublished marks what we publish as our own.
func TestPublished(t *testing.T) {
	s := Published("our own", func(context.Context) ([]Document, string, error) {
		return []Document{{Name: "a.json", Body: []byte("A"), Changed: time.Unix(1, 0)}}, "1", nil
	})
	docs, version, err := s.Documents(t.Context())
	if err != nil || version != "1" || len(docs) != 1 || !docs[0].Own || docs[0].Source != "our own" {
		t.Errorf("%+v %s %v", docs, version, err)
	}
}
