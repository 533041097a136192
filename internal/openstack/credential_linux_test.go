package openstack_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
)

// TestClosedClouds: a clouds.yaml that this user may not read, found where OpenStack's clients look, is said to be there.
// Root may read everything, so for the kernel's checks the thread becomes nobody.
func TestClosedClouds(t *testing.T) {
	t.Setenv("OS_CLIENT_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	file := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "openstack", "clouds.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("clouds: {x: {auth: {auth_url: https://k}}}"), 0o200)); err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if os.Getuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				got <- err
				return
			}
		}
		_, err := openstack.FromCloudsYAML("", "x")
		got <- err
	}()
	if err := <-got; !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}
