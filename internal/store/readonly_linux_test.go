package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/internal/store"
)

// TestReadOnly: a file or directory that belongs to somebody else.
func TestReadOnly(t *testing.T) {
	open := func(path string) error {
		return prerequisite.AsNobody(func() error {
			st, err := store.Open(t.Context(), store.Config{Path: path})
			if err == nil {
				err = st.Close()
			}
			return err
		})
	}
	root, err := os.MkdirTemp("/tmp", "fedsite") // the test's own directory may be closed to nobody
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	place := func(name string, dir, file os.FileMode) string {
		d := filepath.Join(root, name)
		path := filepath.Join(d, "fedsite.db")
		if err := errors.Join(os.Mkdir(d, 0o777), os.WriteFile(path, nil, 0o600), os.Chmod(path, file), os.Chmod(d, dir)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := open(place("good", 0o777, 0o666)); err != nil {
		t.Errorf("what may be written: %v", err)
	}
	for name, path := range map[string]string{"the file": place("file", 0o777, 0o444), "the directory": place("dir", 0o555, 0o666), "a new state directory": filepath.Join(filepath.Dir(place("parent", 0o555, 0o666)), "new", "fedsite.db")} {
		if err := open(path); !errors.Is(err, store.ErrReadOnly) || !strings.Contains(err.Error(), filepath.Dir(path)) || store.Hint(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
