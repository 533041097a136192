package app_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// own writes a list of the site's own: titles with their paths, without sizes.
func (f *farm) own(path string, titled ...string) {
	var text strings.Builder
	text.WriteString("images:\n")
	for i := 0; i < len(titled); i += 2 {
		url := titled[i+1]
		if strings.HasPrefix(url, "/") {
			url = f.URL + url
		}
		sum := sha512.Sum512(f.paths["/"+strings.ToLower(titled[i])])
		fmt.Fprintf(&text, "  - {name: %s, url: %q, sha512: %x, format: qcow2, os: ubuntu}\n", titled[i], url, sum)
	}
	f.put(path, []byte(text.String()))
}

// spoilt runs images once, with a server that spoils U1: it fails for a reason, with something to do about it, leaves nothing
// in Glance and on disk, and U3 arrives all the same. When the server is well again, U1 arrives too.
func (f *farm) spoilt(t *testing.T, object, reason string) {
	t.Helper()
	a := f.open(t)
	report, _ := f.apply(t, a, app.ImageOptions{})
	if report.Outcome != run.Partial || report.Exit() != run.ExitPartial {
		t.Errorf("%s, exit %d: %+v", report.Outcome, report.Exit(), report.Problems)
	}
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool {
		return strings.HasPrefix(p.Object, object) && strings.Contains(p.Reason, reason) && p.Hint != ""
	}) {
		t.Errorf("%s: no problem of %q with a hint in %+v", object, reason, report.Problems)
	}
	same(t, "there", []string{"0 U3 active active"}, f.inGlance())
	f.misbehave("/u1", nil)
	f.misbehave("/own", nil)
}

// well runs images once more, when nothing is in the way.
func (f *farm) well(t *testing.T) {
	t.Helper()
	a := f.open(t)
	if report, _ := f.apply(t, a, app.ImageOptions{}); report.Outcome != run.Done {
		t.Errorf("afterwards: %+v", report.Problems)
	}
	same(t, "there afterwards", []string{"0 U1 active active", "0 U3 active active"}, f.inGlance())
	if left, err := os.ReadDir(filepath.Join(f.dir, "staging")); err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
}

// cut answers with a body, or the part of it that was asked for, and hangs up after so many bytes.
func cut(w http.ResponseWriter, body []byte, after int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body[:min(after, len(body))])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// TestImagesHostileFiles: whatever a file's server does, the run says it, and nothing else suffers.
func TestImagesHostileFiles(t *testing.T) {
	body := qcow2(3<<20, 1)
	tagged := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"x"`)
			h(w, r)
		}
	}
	asked := 0
	for name, c := range map[string]struct {
		give   http.HandlerFunc
		reason string
		more   string
	}{
		"always cut, no parts": {tagged(func(w http.ResponseWriter, r *http.Request) { cut(w, body, 2<<20) }), "broke off", ""},
		"cut before a byte":    {tagged(func(w http.ResponseWriter, r *http.Request) { cut(w, body, 0) }), "cut", ""},
		"says it is longer": {tagged(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)+1000))
			_, _ = w.Write(body)
		}), "broke off", ""},
		"says it is shorter": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body[:len(body)-1000]))
		}, "checksum", ""},
		"another file": {func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(qcow2(3<<20, 9)) }, "checksum", ""},
		"a page": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "<html>"+strings.Repeat("sign in ", 99))
		}, "format", ""},
		"nothing":         {func(w http.ResponseWriter, r *http.Request) {}, "checksum", ""},
		"not there":       {http.NotFound, "not found", ""},
		"not allowed":     {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, "not authorised", ""},
		"out of order":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "502", ""},
		"goes in circles": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/u1", http.StatusFound) }, "redirect", ""},
		"compressed": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		}, "gzip", ""},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for {
				if _, err := w.Write(body); err != nil {
					return
				}
			}
		}, "too large", "  max_size: 8MB\n"},
		"another part": {tagged(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				cut(w, body, 2<<20)
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(body)-1, len(body)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
		}), "were asked for, and it gives", ""},
		"changes all the time": {func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.Header().Set("ETag", fmt.Sprintf(`"%d"`, asked))
			cut(w, body, 2<<20)
		}, "changed", ""},
		"stalls": {tagged(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") != "" {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", 1<<20, len(body)-1, len(body)))
				w.WriteHeader(http.StatusPartialContent)
			} else {
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				_, _ = w.Write(body[:1<<20])
			}
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}), "nothing came for", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			f.stall = 100 * time.Millisecond
			f.own("/own", "U1", "/u1", "U3", "/u3")
			f.more = c.more + "  sources: [{name: own, vos: [ops], own: \"" + f.URL + "/own\"}]\n"
			f.misbehave("/u1", c.give)
			f.spoilt(t, "image U1 of own", c.reason)
			f.well(t)
		})
	}
}

// TestImagesCutAnywhere: a file whose connection is cut once, at any byte, arrives all the same.
func TestImagesCutAnywhere(t *testing.T) {
	body := qcow2(3<<20, 1)
	const head, tail = 1 << 20, 2 << 20
	for _, ranges := range []bool{true, false} {
		for _, at := range []int{0, 1, 511, 512, 64 << 10, head - 1, head, head + 1, head + 256<<10, tail - 1, tail, tail + 1, len(body) - 1} {
			t.Run(fmt.Sprintf("at %d, parts %v", at, ranges), func(t *testing.T) {
				f := newFarm(t, emulated.Current)
				f.own("/own", "U1", "/u1")
				f.more = "  sources: [{name: own, vos: [ops], own: \"" + f.URL + "/own\"}]\n"
				f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("ETag", `"x"`)
					if f.count("/u1") == 1 {
						cut(w, body, at)
					}
					if !ranges {
						r.Header.Del("Range")
					}
					http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
				})
				report, done := f.apply(t, f.open(t), app.ImageOptions{})
				same(t, "done", []string{"add U1"}, done)
				if report.Outcome != run.Done {
					t.Errorf("%+v", report.Problems)
				}
				for _, i := range f.world.AllImages() {
					if sum := sha512.Sum512(body); i.Name == "U1" && i.SHA512 != hex.EncodeToString(sum[:]) {
						t.Error("it has another content")
					}
				}
			})
		}
	}
}

// TestImagesStagedAfterBreaks: a file whose server gives no parts, and breaks off more often than a stream bears, goes by way
// of the disk.
func TestImagesStagedAfterBreaks(t *testing.T) {
	body := qcow2(3<<20, 1)
	f := newFarm(t, emulated.Current)
	f.own("/own", "U1", "/u1", "U3", "/u3")
	f.more = "  sources: [{name: own, vos: [ops], own: \"" + f.URL + "/own\"}]\n"
	const twoStreams = 2 * 4 // connections: each stream begins anew three times
	f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) {
		if f.count("/u1") <= twoStreams {
			cut(w, body, 2<<20)
		}
		_, _ = w.Write(body)
	})
	f.well(t)
	if n := f.count("/u1"); n != twoStreams+1 {
		t.Errorf("%d connections", n)
	}
}

// TestImagesElsewhere: whoever a file's server sends fedsite to does not get what it signs in there with.
func TestImagesElsewhere(t *testing.T) {
	f := newFarm(t, emulated.Current)
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	var here, there []string
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		there = append(there, r.Header.Get("Authorization")+r.Header.Get("Cookie")+r.Header.Get("Referer"))
		_, _ = w.Write(f.paths["/u1"])
	}))
	_ = elsewhere.Listener.Close()
	elsewhere.Listener = l
	elsewhere.Start()
	t.Cleanup(elsewhere.Close)
	f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		here = append(here, password)
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, elsewhere.URL+"/u1", http.StatusFound)
	})
	f.list(t, "/list", listID, "ops", "1", "endorser", disk{id1, "U1", "1", "QCOW2", "/u1", ""}, disk{id3, "U3", "1", "QCOW2", "/u3", ""})
	f.mode = [2]string{"credentials: {", "credentials: {files: {basic: {user: reader, password: hunter2}}, "}
	f.more = fmt.Sprintf("  sources: [{name: a, list: \"%s/list\", server_credentials: {%q: files}}]\n", f.URL, strings.TrimPrefix(f.URL, "http://"))
	if report, _ := f.apply(t, f.open(t), app.ImageOptions{}); report.Outcome != run.Done {
		t.Errorf("%+v", report.Problems)
	}
	same(t, "passwords here", []string{"hunter2"}, here)
	same(t, "secrets there", []string{""}, there)
}

// TestImagesNearer: a source in the Internet leads to nothing of the site's own network, neither by its list nor by a redirect.
func TestImagesNearer(t *testing.T) {
	const public = "http://93.184.215.14"
	for _, to := range []string{"http://169.254.169.254/latest/meta-data", "http://127.0.0.1:9/", "http://10.0.0.1/", "http://192.168.1.1/", "http://[::1]:9/", "http://[fd00::1]/", "http://2130706433/", "http://[::ffff:10.0.0.1]/"} {
		for _, redirected := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, redirected %v", to, redirected), func(t *testing.T) {
				f := newFarm(t, emulated.Current)
				url := to
				if redirected {
					url = public + "/u1"
					f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
				}
				f.own("/own", "U1", url, "U3", public+"/u3")
				var reached []string
				proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.URL.String(), public) {
						reached = append(reached, r.URL.String())
					}
					f.Config.Handler.ServeHTTP(w, r)
				}))
				t.Cleanup(proxy.Close)
				f.more = fmt.Sprintf("  network: {proxy: %q}\n  sources: [{name: own, vos: [ops], own: %q}]\n", proxy.URL, public+"/own")
				f.spoilt(t, "image U1 of own", "refused address")
				same(t, "reached", nil, reached)
			})
		}
	}
}

// TestImagesSlowList: a list that stalls spoils its source alone.
func TestImagesSlowList(t *testing.T) {
	f := newFarm(t, emulated.Current)
	f.stall = 100 * time.Millisecond
	f.own("/own", "U3", "/u3")
	f.own("/slow", "U1", "/u1")
	f.more = fmt.Sprintf("  sources: [{name: slow, vos: [ops], own: \"%[1]s/slow\"}, {name: own, vos: [ops], own: \"%[1]s/own\"}]\n", f.URL)
	f.misbehave("/slow", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "images:\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f.spoilt(t, "source slow", "nothing came for")
	f.misbehave("/slow", nil)
	f.well(t)
}

// TestImagesNoDisk: a directory for staging that is not there, or is somebody else's, spoils what has to go through it.
func TestImagesNoDisk(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(dir string) error
		reason string
	}{
		"not there": {os.Remove, "is no directory"},
		"a file": {func(dir string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		}, "is no directory"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t, emulated.Current)
			f.own("/own", "U1", "/u1", "U3", "/u3")
			f.more = "  stage_above: 1MB\n  sources: [{name: own, vos: [ops], own: \"" + f.URL + "/own\"}]\n"
			f.misbehave("/u1", func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(f.paths["/u1"]) }) // of no length that is known before
			dir := filepath.Join(f.dir, "staging")
			if err := c.spoil(dir); err != nil {
				t.Fatal(err)
			}
			f.spoilt(t, "image U1 of own", c.reason)
			_ = os.Remove(dir)
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			f.well(t)
		})
	}
}
