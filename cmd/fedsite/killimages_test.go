package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// TestImagesAreKilled kills "fedsite images apply", a process of its own, at events of bringing images and of replacing them:
// requests to the publisher and to OpenStack, before they arrive and before they are answered; uploads half-way; commits on
// both sides. At no time does a project lack a working image that it had and that its list still names; and what the next
// runs end with is as if nothing had happened.
//
// What the process had sent when it died arrives never, before the next run, or after it. Of every other upload that was
// broken off Glance takes no notice: the image stays in "saving" until it is stale.
func TestImagesAreKilled(t *testing.T) {
	g := newGallery(t)
	var (
		before []store.Config
		shown  [][]string
		events [][]string
	)
	db := store.Config{Path: t.TempDir() + "/db/fedsite.db"}
	states := [][]image{}
	for version := range lists {
		g.publish(t, version)
		before, states = append(before, g.kept(t, db)), append(states, g.images())
		p := g.hunt(t, db, 0)
		p.exits(run.ExitDone)
		events, shown = append(events, p.events), append(shown, g.shown())
		g.idle(t, db)
	}
	every := 5
	switch {
	case *kills == "all":
		every = 1
	case testing.Short():
		every = 25
	}
	r, total, killed := rand.New(rand.NewPCG(7, 2)), 0, 0
	for version := range lists {
		for n := 1; n <= len(events[version]); n++ {
			if total++; total%every != every/2 && (every == 1 || r.IntN(20*every) > 0) {
				continue
			}
			killed++
			late := []string{"never", "before", "after"}[(n/every)%3]
			t.Run(events[version][n-1]+", late "+late, func(t *testing.T) {
				g.publish(t, version)
				g.restore(states[version])
				db := g.kept(t, before[version])
				p := g.hunt(t, db, n)
				p.wait()
				t.Log(p)
				if !p.killed {
					p.exits(run.ExitDone)
				} else if n%2 == 0 {
					g.unnoticed()
				}
				if p.onTheWay != nil && late == "before" {
					p.onTheWay()
				}
				g.pass(t, db, time.Minute)
				g.hunt(t, db, 0).exits(run.ExitDone)
				if p.onTheWay != nil && late == "after" {
					p.onTheWay()
				}
				if slices.ContainsFunc(g.images(), func(i image) bool { return i.Status == "saving" }) {
					g.pass(t, db, 25*time.Hour) // then it is stale
				}
				for range 2 {
					g.hunt(t, db, 0).exits(run.ExitDone)
				}
				if d := gocmp.Diff(shown[version], g.shown()); d != "" {
					t.Errorf("what is in Glance at the end (-undisturbed +disturbed):\n%s", d)
				}
				g.idle(t, db)
				g.told(t)
			})
		}
	}
	t.Logf("%d events in a course, %d kills", total, killed)
	if least := 20; !testing.Short() && killed < least {
		t.Errorf("%d kills are too few", killed)
	}
}

// amid reads half of an image's content, where a request brings one, and tells its process's hunter. If that killed it, the
// service has got this half, and no more.
func amid(next http.Handler, from *prey, r *http.Request) (half []byte, died bool) {
	if r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/file") {
		return nil, false
	}
	half, err := io.ReadAll(io.LimitReader(r.Body, r.ContentLength/2))
	if err != nil || !from.event("amid "+r.Method+" "+r.URL.Path) {
		return half, false
	}
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(half), iotest.ErrReader(errors.New("the connection is gone"))))
	func() {
		defer func() { _ = recover() }() // the service hangs up
		next.ServeHTTP(httptest.NewRecorder(), r.WithContext(r.Context()))
	}()
	return nil, true
}

// TestImagesFullDisk: a disk that is full while an image is staged spoils that image alone, and leaves nothing in Glance; with
// room again it arrives.
func TestImagesFullDisk(t *testing.T) {
	g := newGallery(t)
	g.publish(t, 1)
	db := store.Config{Path: t.TempDir() + "/db/fedsite.db"}
	p := g.hunt(t, db, 0)
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 2 << 20, Max: 2 << 20}, nil); err != nil {
		t.Fatal(err)
	}
	p.exits(run.ExitPartial)
	if out := p.out.String(); !strings.Contains(out, "large") || !strings.Contains(out, "no room left") || !strings.Contains(out, "→ make room there") {
		t.Errorf("it does not say that there is no room for the image, and what to do:\n%s", out)
	}
	titles := func() (all []string) {
		for _, i := range g.images() {
			if i.Properties["fedsite_managed_by"] != "" {
				all = append(all, i.Name+" "+i.Status)
			}
		}
		slices.Sort(all)
		return all
	}
	if d := gocmp.Diff([]string{"one active", "three active"}, titles()); d != "" {
		t.Errorf("in Glance (-want +got):\n%s", d)
	}
	g.hunt(t, db, 0).exits(run.ExitDone)
	if d := gocmp.Diff([]string{"large active", "one active", "three active"}, titles()); d != "" {
		t.Errorf("in Glance at the end (-want +got):\n%s", d)
	}
	g.idle(t, db)
}
