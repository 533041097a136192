package dirq

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// TestMark knows a queue again, and no other in its place.
func TestMark(t *testing.T) {
	q := newQueue(t)
	if id, err := q.ID(); id != "" || err != nil {
		t.Errorf("before there is a queue: %q, %v", id, err)
	}
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var err error
			if ids[i], err = q.Mark(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if slices.Sort(ids); len(ids[0]) != idLength || ids[0] != ids[len(ids)-1] {
		t.Errorf("writers at once: %v", ids)
	}
	if left := tree(t, q); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	must(t, q.Add(name, []byte("body")))
	must(t, q.Lock(name))
	must(t, q.Remove(name))
	must(t, os.Remove(filepath.Join(q.Path, dir))) // as a reader purges
	if id, err := q.ID(); id != ids[0] || err != nil {
		t.Errorf("emptied: %q, %v", id, err)
	}
	if names, err := q.Names(); len(names) != 0 || err != nil {
		t.Errorf("the mark counts as an element: %v, %v", names, err)
	}
	must(t, os.Rename(q.Path, q.Path+".away"))
	must(t, os.Mkdir(q.Path, 0o777))
	if id, err := q.ID(); id != "" || err != nil {
		t.Errorf("another directory in its place: %q, %v", id, err)
	}
	if id, err := q.Mark(); id == ids[0] || err != nil {
		t.Errorf("another queue has the same id: %v", err)
	}
}

func TestMarkTroubles(t *testing.T) {
	q := newQueue(t)
	q.Sync = func(*os.File) error { return syscall.ENOSPC }
	if _, err := q.Mark(); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), q.Path) {
		t.Errorf("disk full: %v", err)
	}
	q.Sync = nil
	if _, err := q.Mark(); err != nil {
		t.Errorf("then there is room: %v", err)
	}
	put(t, q, markFile, "mine\n")
	for what, f := range map[string]func() (string, error){"ID": q.ID, "Mark": q.Mark} {
		if id, err := f(); err == nil || !strings.Contains(err.Error(), markFile) {
			t.Errorf("%s of a spoilt mark: %q, %v", what, id, err)
		}
	}
}
