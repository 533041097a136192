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
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestImagesAreKilled kills "fedsite images apply", a process of its own, at events of bringing images and of replacing them,
// from a signed list and from a registry: requests to the publishers and to OpenStack, before they arrive, before they are
// answered and amid long answers; uploads half-way; commits on both sides. At no time does a project lack a working image that
// it had and that its source still names; and what the next runs end with is as if nothing had happened.
//
// What the process had sent when it died arrives never, before the next run, or after it. Of every other upload that was
// broken off Glance takes no notice: the image stays in "saving" until it is stale.
func TestImagesAreKilled(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db store.Config) {
		c := follow(t, newGallery(t, raws, "  formats: [raw]\n  stage_above: 2.5MiB\n"), db)
		c.atEvents(t, 7, some(db, 30, 5))
	})
}

// exhibition is what undisturbed runs did with the editions of a gallery, and what every other run has to end with.
type exhibition struct {
	*gallery
	before []store.Config // the database before each edition
	states [][]image      // Glance before each edition
	events [][]string     // of the run that brings it
	shown  [][]string     // what is in Glance at the end
}

// follow brings one edition after the other, undisturbed.
func follow(t *testing.T, g *gallery, db store.Config) *exhibition {
	t.Helper()
	c := &exhibition{gallery: g}
	for version := range g.editions {
		g.publish(t, version)
		c.before, c.states = append(c.before, g.kept(t, db)), append(c.states, g.images())
		p := g.hunt(t, db, 0)
		p.exits(run.ExitDone)
		c.events = append(c.events, p.events)
		g.idle(t, db)

		there, beside := g.images(), g.kept(t, db)
		g.pass(t, beside, 2*time.Hour) // what a registry lacks is missing for long then
		g.hunt(t, beside, 0).exits(run.ExitDone)
		c.shown = append(c.shown, g.shown())
		g.restore(there)
	}
	return c
}

// atEvents kills at each event where all are asked for; otherwise at some, one in every so many, and always at the first that is
// called so.
func (c *exhibition) atEvents(t *testing.T, seed uint64, some int, always ...string) {
	t.Helper()
	total := 0
	for _, events := range c.events {
		total += len(events)
	}
	switch {
	case *kills == "all":
		some = total
	case testing.Short():
		some = max(some/4, 1)
	}
	every := max(total/some, 1)
	r, n, hit, killed := rand.New(rand.NewPCG(seed, 2)), 0, 0, 0
	for version, events := range c.events {
		for at, what := range events {
			if n%every == 0 {
				hit = n + r.IntN(every)
			}
			i := slices.Index(always, what)
			if n++; n-1 != hit && i < 0 {
				continue
			}
			if i >= 0 {
				always = slices.Delete(always, i, i+1)
			}
			late, unnoticed := []string{"never", "before", "after"}[killed%3], killed%2 == 0
			killed++
			t.Run(what+", late "+late, func(t *testing.T) {
				db := c.anew(t, version)
				c.dies(t, db, version, c.hunt(t, db, at+1), late, unnoticed)
			})
		}
	}
	t.Logf("%d events in a course, %d kills", total, killed)
	if killed < some {
		t.Errorf("%d kills are too few", killed)
	}
}

// some is how many kills are enough with the database where not all are asked for.
func some(db store.Config, sqlite, postgres int) int {
	if db.URL != "" {
		return postgres
	}
	return sqlite
}

// anew has things as they were before an edition, which is published.
func (c *exhibition) anew(t *testing.T, version int) store.Config {
	t.Helper()
	c.publish(t, version)
	c.restore(c.states[version])
	c.clear(t)
	return c.kept(t, c.before[version])
}

// dies waits until the process has been killed, lets the next runs go on, and checks what they end with.
func (c *exhibition) dies(t *testing.T, db store.Config, version int, p *prey, late string, unnoticed bool) {
	t.Helper()
	p.wait()
	t.Log(p)
	c.deserted(t)
	if !p.killed {
		p.exits(run.ExitDone)
	} else if unnoticed {
		c.unnoticed()
	}
	if p.onTheWay != nil && late == "before" {
		p.onTheWay()
	}
	c.goesOn(t, db, version, func() {
		if p.onTheWay != nil && late == "after" {
			p.onTheWay()
		}
	})
}

// goesOn runs until all is well again, and checks the end.
func (c *exhibition) goesOn(t *testing.T, db store.Config, version int, arrives func()) {
	t.Helper()
	c.pass(t, db, time.Minute)
	c.hunt(t, db, 0).exits(run.ExitDone)
	c.tidy(t)
	arrives()
	if slices.ContainsFunc(c.images(), func(i image) bool { return i.Status == "saving" }) {
		c.pass(t, db, 25*time.Hour) // then it is stale
	}
	c.hunt(t, db, 0).exits(run.ExitDone)
	c.pass(t, db, 2*time.Hour) // what a registry lacks is missing for long then
	c.hunt(t, db, 0).exits(run.ExitDone)
	if d := gocmp.Diff(c.shown[version], c.gallery.shown()); d != "" {
		t.Errorf("what is in Glance at the end (-undisturbed +disturbed):\n%s", d)
	}
	c.idle(t, db)
	c.told(t)
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
	g := newGallery(t, []edition{{}, {list: raws[1].list}}, "  formats: [raw]\n  stage_above: 2.5MiB\n")
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
