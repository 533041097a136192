package dirq

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestNoRights has a queue that belongs to somebody else. Root may write everywhere, so for the kernel's checks the
// thread becomes nobody.
func TestNoRights(t *testing.T) {
	root, err := os.MkdirTemp("/tmp", "fedsite") // the test's own directory may be closed to nobody
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	must(t, os.Chmod(root, 0o755))
	for what, mode := range map[string]os.FileMode{"may": 0o777, "may not": 0o555} {
		q := Queue{Path: filepath.Join(root, what)}
		must(t, os.Mkdir(q.Path, 0o700))
		must(t, os.Chmod(q.Path, mode))
		added, marked := make(chan error, 1), make(chan error, 1)
		go func() {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			if os.Getuid() == 0 {
				if err := syscall.Setfsuid(65534); err != nil {
					added <- err
					marked <- err
					return
				}
			}
			added <- q.Add(name, []byte("body"))
			_, err := q.Mark()
			marked <- err
		}()
		for _, err := range []error{<-added, <-marked} {
			if what == "may" && err != nil {
				t.Errorf("%s write: %v", what, err)
			}
			if what == "may not" && (!errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), q.Path)) {
				t.Errorf("%s write: %v", what, err)
			}
		}
	}
}
