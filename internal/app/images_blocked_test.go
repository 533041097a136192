package app_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/app"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// TestImagesBlockedOnTheirWay: an image that is blocked while a run brings it does not arrive, and what the run would bring later
// is not begun.
func TestImagesBlockedOnTheirWay(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  parallel: 1\n  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id2, "U2", "1", "RAW", "/u2", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	a := f.open(t)
	sites := sitesOf(t, a)
	begun, blocked := make(chan bool), make(chan bool)
	body := f.paths["/u1"]
	f.misbehave("/u1", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3145728")
		_, _ = w.Write(body[:2<<20])
		w.(http.Flusher).Flush()
		begun <- true
		<-blocked
		_, _ = w.Write(body[2<<20:])
	})
	ended := make(chan []app.AppliedImages)
	go func() { ended <- a.ApplyImages(t.Context(), sites, app.ImageOptions{}) }()
	<-begun
	for _, id := range []string{id1, id2} {
		if _, err := a.BlockImage(t.Context(), sites, id, "default password", false); err != nil {
			t.Error(err)
		}
	}
	close(blocked)
	f.misbehave("/u1", nil)
	<-ended
	same(t, "there", []string{"0 U3 active active"}, f.inGlance())
	if n := slices.IndexFunc(f.cloud.Requests(), func(r emulated.Request) bool { return r.Method == http.MethodPut && strings.HasSuffix(r.Path, "/file") }); n < 0 {
		t.Error("nothing was uploaded")
	}
}

// TestImagesBlockedAsShown: an image is blocked by what a screen shows of it, too: its id in Glance, its title. What that stands for
// is its checksum. A block that is said again says why anew.
func TestImagesBlockedAsShown(t *testing.T) {
	for _, by := range []string{"title", "Glance id"} {
		f := newFarm(t, emulated.Current)
		f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
		f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
		a := f.open(t)
		f.apply(t, a, app.ImageOptions{})
		sites := sitesOf(t, a)
		what := map[string]string{"title": "U1", "Glance id": f.titled(t, "U1").ID}[by]
		if _, err := a.BlockImage(t.Context(), sites, what, "default password", false); err != nil {
			t.Fatal(err)
		}
		same(t, "blocked by "+by, []string{"0 U1 blocked deactivated hidden", "0 U3 active active"}, f.inGlance())
		if _, err := a.BlockImage(t.Context(), sites, "sha512:"+sha512Of(f.paths["/u1"]), "miner", false); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(f.dir, "blocks.yaml"))
		if err != nil || strings.Count(string(text), "sha512:"+sha512Of(f.paths["/u1"])) != 1 || !strings.Contains(string(text), "miner") || strings.Contains(string(text), "default password") {
			t.Errorf("by %s: %s, %v", by, text, err)
		}
	}
}

// TestImagesBlockedByHalfAChecksum: a part of a checksum, as a screen shows it, is refused: it would block nothing.
func TestImagesBlockedByHalfAChecksum(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}]\n"
	a := f.open(t)
	for _, what := range []string{"sha512:5ba367ad1234", "sha256:x"} {
		if _, err := a.BlockImage(t.Context(), nil, what, "test", false); err == nil {
			t.Errorf("%s is blocked", what)
		}
	}
	if _, err := os.Stat(filepath.Join(f.dir, "blocks.yaml")); err == nil {
		t.Error("blocks were written")
	}
}

// TestImagesTokenMissing: what is remembered of a source is not forgotten when it cannot even be tried for a while: an older list
// is refused all the same, also where nothing was brought that says so in Glance.
func TestImagesTokenMissing(t *testing.T) {
	f := newFarm(t, emulated.Current)
	token := filepath.Join(f.dir, "token")
	f.mode = [2]string{"images:\n  mode: active", "images:\n  mode: observe"}
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\", token: {file: \"" + token + "\"}}]\n"
	f.list(t, "/a", "A", "ops", "2", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	write := func() {
		if err := os.WriteFile(token, bytes.Repeat([]byte("x"), 20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	a := f.open(t)
	if report, _ := f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Done {
		t.Fatalf("%+v", report.Problems)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	if report, _ := f.apply(t, a, app.ImageOptions{}); report.Outcome == run.Done {
		t.Error("the token is not missed")
	}
	write()
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""})
	report, _ := f.apply(t, a, app.ImageOptions{})
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Reason, "older") }) {
		t.Errorf("an older list: %s, %+v", report.Outcome, report.Problems)
	}
}

// TestImagesNamedTwice: a list that says of a disk where it is not keeps the other list's VO from nothing.
func TestImagesNamedTwice(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.more = "  sources: [{name: a, list: \"" + f.URL + "/a\"}, {name: b, list: \"" + f.URL + "/b\"}]\n"
	f.list(t, "/a", "A", "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/gone", sha512Of(f.paths["/u1"])})
	f.list(t, "/b", "B", "vo.access.egi.eu", "1", "endorser", disk{id2, "U2", "1", "QCOW2", "/u1", ""})
	_, done := f.apply(t, f.open(t), app.ImageOptions{})
	same(t, "done", []string{"add U1: failed", "add U2"}, done)
	same(t, "there", []string{"1 U2 active active"}, f.inGlance())
}
