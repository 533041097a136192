package openstack_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/prerequisite"
)

// TestClosedClouds: a clouds.yaml that this user may not read, found where OpenStack's clients look, is said to be there.
func TestClosedClouds(t *testing.T) {
	t.Setenv("OS_CLIENT_CONFIG_FILE", "")
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	file := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "openstack", "clouds.yaml")
	if err := errors.Join(os.Mkdir(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("clouds: {x: {auth: {auth_url: https://k}}}"), 0o200)); err != nil {
		t.Fatal(err)
	}
	err := prerequisite.AsNobody(func() error {
		_, err := openstack.FromCloudsYAML("", "x")
		return err
	})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}
