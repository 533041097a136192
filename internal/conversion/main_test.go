package conversion

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/prerequisite"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// parentEnv has this binary be a program that converts, and is killed: the directory of the conversion and qemu-img's path.
const parentEnv = "FEDSITE_CONVERSION_PARENT"

func TestMain(m *testing.M) {
	if Child(os.Args[1:]) {
		os.Exit(127)
	}
	if dir, qemu, found := strings.Cut(os.Getenv(parentEnv), ":"); found {
		os.Exit(parent(dir, qemu))
	}
	os.Exit(m.Run())
}

// parent converts the qcow2 in dir.
func parent(dir, qemu string) int {
	c, err := New(Settings{QEMU: qemu})
	if err != nil {
		return 1
	}
	f, err := os.Open(filepath.Join(dir, Source))
	if err != nil {
		return 1
	}
	stat, err := f.Stat()
	if err != nil {
		return 1
	}
	info, err := diskimage.Inspect(f, stat.Size(), diskimage.Limits{})
	if err != nil {
		return 1
	}
	_, _, err = c.Convert(context.Background(), dir, info, diskimage.Raw, func(float64) { _, _ = os.Stdout.WriteString("begun\n") })
	if err != nil {
		return 1
	}
	return 0
}

// qemu gives a converter with the real qemu-img.
func qemu(t *testing.T, s Settings) *Converter {
	t.Helper()
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		prerequisite.Missing(t, "qemu-img", "apt install qemu-utils")
	}
	s.QEMU = path
	c, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// script gives a converter whose qemu-img is a shell script.
func script(t *testing.T, text string) *Converter {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu-img")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := New(Settings{QEMU: path})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// vector gives a disk image of diskimage's tests.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "protocol", "diskimage", "testdata", "images", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// staged puts an image where it is converted, and tells what it is.
func staged(t *testing.T, b []byte, l diskimage.Limits) (dir string, info diskimage.Info, err error) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, Source), b, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err = diskimage.Inspect(bytes.NewReader(b), int64(len(b)), l)
	return dir, info, err
}

// qcow2 is a small disk in its directory.
func qcow2(t *testing.T) (dir string, info diskimage.Info) {
	t.Helper()
	dir, info, err := staged(t, vector(t, "disk-v3.qcow2"), diskimage.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, info
}

// left tells what is in a directory, but the source.
func left(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != Source {
			names = append(names, e.Name())
		}
	}
	return names
}

// words are the "key: value" lines of a file of /proc that a script copied.
func words(t *testing.T, path string) map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), ":")
		all[key] = strings.TrimSpace(value)
	}
	return all
}
