package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/run"
)

// TestInspectImage: what is packed is judged by what is in it, and not called safe unseen.
func TestInspectImage(t *testing.T) {
	zip := func(body []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, err := w.Write(body)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return z.Bytes()
	}
	backed := qcow2(1<<20, 1)
	binary.BigEndian.PutUint64(backed[8:], 512) // a backing file's name
	binary.BigEndian.PutUint32(backed[16:], 11)
	copy(backed[512:], "/etc/passwd")
	archive, err := os.ReadFile("../../protocol/diskimage/testdata/images/disk.ova.gz")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		body  []byte
		lines []string // some that are there
	}{
		"plain":                    {qcow2(1<<20, 1), []string{"safe: yes: nothing in it points outside of it"}},
		"a backing file":           {backed, []string{"refused: disk image refused: qcow2: backing file"}},
		"packed":                   {zip(qcow2(1<<20, 1)), []string{"format: gzip", "within, format: qcow2 (version 3)", "within, virtual size: 1048576 bytes", "safe: yes: nothing in it points outside of it"}},
		"packed, a backing file":   {zip(backed), []string{"refused: what is in it: disk image refused: qcow2: backing file"}},
		"packed, cut":              {zip(qcow2(1<<20, 1))[:500], []string{"refused: what is in it: disk image refused: gzip: truncated"}},
		"packed, to be kept whole": {archive, []string{"within, format: ova", "safe: not known: it is packed"}},
	} {
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, c.body, 0o600); err != nil {
			t.Fatal(err)
		}
		i, err := app.InspectImage(t.Context(), file, nil)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, l := range i.Describe() {
			all = append(all, l[0]+": "+l[1])
		}
		for _, want := range c.lines {
			if !slices.ContainsFunc(all, func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("%s: %q is missing:\n%s", name, want, strings.Join(all, "\n"))
			}
		}
	}
}

// TestInspectWhat: what has no end is not read, a run that is ended reads no further, and an https URL is asked like any other.
func TestInspectWhat(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	err := syscall.Mkfifo(pipe, 0o600)
	if err = errors.Join(err, os.WriteFile(large, qcow2(1<<20, 1), 0o600), os.Truncate(large, 100e9)); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{pipe: "is no plain file", "/dev/zero": "is no plain file", dir: "is no plain file", filepath.Join(dir, "none"): "no such file", "ftp://example.org/disk": "https:// or http://", "file:///etc/passwd": "https:// or http://"} {
		if _, err := app.InspectImage(t.Context(), what, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	if _, err := app.InspectImage(ended, large, func(run.Progress) { end() }); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	for _, url := range []string{s.URL, strings.Replace(s.URL, "https", "HTTPS", 1)} {
		if _, err := app.InspectImage(t.Context(), url, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("an unknown authority: %v", err)
		}
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(qcow2(1<<20, 1)) }))
	defer plain.Close()
	if i, err := app.InspectImage(t.Context(), plain.URL+"/disk", nil); err != nil || i.SHA512 != sha512Of(qcow2(1<<20, 1)) || i.Refused != "" {
		t.Errorf("%+v, %v", i, err)
	}
}
