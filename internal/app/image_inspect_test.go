package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
)

// TestInspectImage: what is packed is not called safe unseen; what is no file, and a run that was ended, are refused; a server whose
// authority nobody knows is an error.
func TestInspectImage(t *testing.T) {
	dir := t.TempDir()
	plain, packed := filepath.Join(dir, "disk"), filepath.Join(dir, "disk.gz")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(qcow2(1<<20, 1))
	if err := errors.Join(w.Close(), os.WriteFile(plain, qcow2(1<<20, 1), 0o600), os.WriteFile(packed, z.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{plain: "yes: ", packed: "not known: it is packed"} {
		i, err := app.InspectImage(t.Context(), file, nil)
		if err != nil {
			t.Fatal(err)
		}
		lines := i.Describe()
		if last := lines[len(lines)-1]; last[0] != "safe" || !strings.HasPrefix(last[1], want) {
			t.Errorf("%s: %v, want %q", file, last, want)
		}
	}
	if _, err := app.InspectImage(t.Context(), "/dev/zero", nil); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("a device: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := app.InspectImage(ended, plain, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	if _, err := app.InspectImage(t.Context(), s.URL, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
}
