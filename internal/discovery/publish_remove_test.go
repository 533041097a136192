package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// holds fails the test unless a sink has exactly these documents.
func (d *desk) holds(when string, s *shelf, names ...string) {
	d.t.Helper()
	if diff := cmp.Diff(names, s.names()); diff != "" {
		d.t.Errorf("%s: documents at %s (-want +got):\n%s", when, s.name, diff)
	}
}

// TestRemoveGone takes away an endpoint, then a whole site, then what stands under a former name.
func TestRemoveGone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		s := newShelf("s")
		a := newDesk(t, cfg, s)
		a.target.Sinks = append(a.target.Sinks, discovery.NewStore("api", a.db))
		b := a.other("s2", "SITE-B", a.target.Sinks...)
		a.publish(everything, a.doc(firstEP, 1), a.doc(secondEP, 1))
		b.publish(everything, b.doc(firstEP, 1))
		served := func(when string, n int) {
			t.Helper()
			if all, _, err := discovery.Serve(t.Context(), a.db, "api", nil); err != nil || len(all) != n {
				t.Errorf("%s: %d documents are served, %v; want %d", when, len(all), err, n)
			}
		}
		a1, a2, b1 := nameOf("SITE.A", firstEP), nameOf("SITE.A", secondEP), nameOf("SITE-B", firstEP)
		all := []discovery.Configured{a.configured(firstEP), a.configured(secondEP), b.configured(firstEP)}
		for range 2 {
			a.remove(discovery.Removal{Configured: all})
			a.clean()
			a.holds("all are configured", s, a1, a2, b1)
			served("all are configured", 3)
		}
		a.remove(discovery.Removal{Configured: []discovery.Configured{all[0], all[2]}, DryRun: true})
		a.says(a2 + " would be taken away from s")
		a.holds("dry run", s, a1, a2, b1)
		a.remove(discovery.Removal{Configured: []discovery.Configured{all[0], all[2]}})
		a.clean()
		a.holds("an endpoint is gone", s, a1, b1)
		served("an endpoint is gone", 2)
		a.remove(discovery.Removal{Configured: []discovery.Configured{all[0]}})
		a.holds("a site is gone", s, a1)
		served("a site is gone", 1)

		a.target.Site.Name = "SITE-C"
		c1 := nameOf("SITE-C", firstEP)
		now := discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)}}
		a.remove(now)
		a.holds("renamed, and not yet published", s, a1)
		a.publish(everything, a.doc(firstEP, 1))
		a.holds("renamed and published", s, a1, c1)
		served("renamed and published", 1)
		a.remove(now)
		a.clean()
		a.holds("renamed, published, and removed", s, c1)
		a.target.Site.Name = "SITE.A" // and back
		a.publish(everything, a.doc(firstEP, 1))
		a.remove(discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)}})
		a.clean()
		a.holds("renamed back", s, a1)
		if got := a.kept(); len(got) != 1 {
			t.Errorf("documents: %v", got)
		}
		if got := a.rows(2, `SELECT sink, name FROM publication ORDER BY sink`); len(got) != 2 {
			t.Errorf("noted: %v", got)
		}
	})
}

// TestSitesThatLeaveOneByOne: however many have left before, at a sink where documents stay for good, the next one is taken
// away where they do not.
func TestSitesThatLeaveOneByOne(t *testing.T) {
	s, archive := newShelf("s"), newShelf("archive")
	a := newDesk(t, onDisk(t), s, archive)
	a.publish(everything, a.doc(firstEP, 1))
	for i := range 6 {
		b := a.other(fmt.Sprintf("b%d", i), fmt.Sprintf("SITE-B%d", i), a.target.Sinks...)
		b.publish(everything, b.doc(firstEP, 1))
		deps := a.deps()
		if err := discovery.RemoveGone(t.Context(), deps, discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)},
			Sinks: []discovery.RemovalSink{{Sink: s, Delete: true}, {Sink: archive}}}); err != nil {
			t.Fatal(err)
		}
		if r := deps.Run.Finish(); r.Outcome != run.Done {
			t.Errorf("%d: %+v", i, r.Problems)
		}
		a.holds(fmt.Sprintf("%d have left", i+1), s, nameOf("SITE.A", firstEP))
	}
	if got := archive.names(); len(got) != 7 {
		t.Errorf("%q", got)
	}
}

// TestNothingGoesBeforeTheRestIsThere: whatever keeps what is to stay from being read back keeps what is gone, too.
func TestNothingGoesBeforeTheRestIsThere(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(a *desk, s *shelf)
		says  string
		mend  func(a *desk, s *shelf)
	}{
		"it is not there": {func(_ *desk, s *shelf) { delete(s.held, nameOf("SITE.A", firstEP)) }, "does not read back: no such document", func(*desk, *shelf) {}},
		"it is otherwise": {func(_ *desk, s *shelf) { s.held[nameOf("SITE.A", firstEP)] = "{}" }, "it is not what was published", func(*desk, *shelf) {}},
		"it reads badly":  {func(_ *desk, s *shelf) { s.bad = true }, "it is not what was published", func(_ *desk, s *shelf) { s.bad = false }},
		"it cannot be removed": {func(_ *desk, s *shelf) { s.fail = errors.New("503") }, "take away " + nameOf("SITE-B", firstEP) + ": 503",
			func(_ *desk, s *shelf) { s.fail = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf("s")
			a := newDesk(t, onDisk(t), s)
			b := a.other("s2", "SITE-B", s)
			a.publish(everything, a.doc(firstEP, 1))
			b.publish(everything, b.doc(firstEP, 1))
			only := discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)}}
			c.spoil(a, s)
			a.remove(only)
			if a.says(c.says); s.held[nameOf("SITE-B", firstEP)] == "" || a.report.Outcome != run.Partial {
				t.Errorf("%s, %v", a.report.Outcome, s.names())
			}
			c.mend(a, s)
			a.publish(everything, a.doc(firstEP, 1))
			a.remove(only)
			a.clean()
			a.holds("mended", s, nameOf("SITE.A", firstEP))
		})
	}
}

// TestMovedEndpoint: a site whose Keystone got another URL, or that was taken out and put back under a new id, is never
// without a document.
func TestMovedEndpoint(t *testing.T) {
	s := newShelf("s")
	a := newDesk(t, onDisk(t), s)
	a.publish(everything, a.doc(firstEP, 1))
	moved := discovery.Removal{Configured: []discovery.Configured{a.configured(secondEP)}}
	a.remove(moved)
	a.holds("before the new one is published", s, nameOf("SITE.A", firstEP))
	a.says("stays until the site's document of " + secondEP)
	a.publish(everything, a.doc(secondEP, 1))
	a.remove(moved)
	a.clean()
	a.holds("after it", s, nameOf("SITE.A", secondEP))

	again := a.other("s9", "SITE.A", s)
	known := discovery.Removal{Configured: []discovery.Configured{again.configured(secondEP)}}
	again.remove(known)
	again.holds("a new id, not yet published", s, nameOf("SITE.A", secondEP))
	again.publish(everything, again.doc(secondEP, 2))
	again.remove(known)
	again.clean()
	again.holds("a new id, published", s, nameOf("SITE.A", secondEP))
	if got := again.rows(1, `SELECT site FROM publication`); len(got) != 1 || got[0] != "s9" {
		t.Errorf("noted of %v", got)
	}
	observing := again.configured(firstEP)
	observing.Sinks = nil
	again.remove(discovery.Removal{Configured: []discovery.Configured{observing, again.configured(secondEP)}})
	again.clean()
}

// TestManyGone: a directory of site files that is not mounted takes no document away.
func TestManyGone(t *testing.T) {
	s := newShelf("s")
	a := newDesk(t, onDisk(t), s)
	a.publish(everything, a.doc(firstEP, 1), a.doc(secondEP, 1))
	for i := range 4 {
		o := a.other(fmt.Sprint("o", i), fmt.Sprint("OTHER-", i), s)
		o.publish(everything, o.doc(firstEP, 1))
	}
	left := discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)}}
	a.remove(left)
	if p := a.says("4 sites that were published are not configured any more (OTHER-0, OTHER-1, OTHER-2 …)"); !strings.Contains(p.Hint, "prune: true") {
		t.Errorf("%+v", p)
	}
	if len(s.held) != 5 || s.held[nameOf("SITE.A", secondEP)] != "" {
		t.Errorf("of four sites and an endpoint that are gone, there are: %v", s.names())
	}
	left.Prune = true
	a.remove(left)
	a.clean()
	a.holds("pruned", s, nameOf("SITE.A", firstEP))
}

// TestWhereNothingIsTakenAway: sinks that say so, that cannot, that are not configured, or are elsewhere now.
func TestWhereNothingIsTakenAway(t *testing.T) {
	keeps, unable, away, moved := newShelf("keeps"), newShelf("unable"), newShelf("away"), newShelf("moved")
	a := newDesk(t, onDisk(t), keeps, plain{unable}, away, moved)
	a.publish(everything, a.doc(firstEP, 1), a.doc(secondEP, 1))
	moved.place = "elsewhere"
	a.publish(everything, a.doc(firstEP, 1))
	a.remove(discovery.Removal{Configured: []discovery.Configured{a.configured(firstEP)}, Sinks: []discovery.RemovalSink{
		{Sink: keeps, Delete: true}, {Sink: keeps}, // another site's, which says no
		{Sink: plain{unable}, Delete: true}, {Sink: moved, Delete: true},
	}})
	a.clean()
	for _, s := range []*shelf{keeps, unable, away, moved} {
		if len(s.held) != 2 {
			t.Errorf("%s: %v", s.name, s.names())
		}
	}
	got := a.rows(2, `SELECT sink, place FROM publication WHERE endpoint = '`+secondEP+`' ORDER BY sink`)
	if diff := cmp.Diff([]string{"away", "keeps", "moved"}, got); diff != "" {
		t.Errorf("still noted (-want +got):\n%s", diff)
	}
}

// TestPutBackUnderNewID: a site that is configured under another id is the same to its readers.
func TestPutBackUnderNewID(t *testing.T) {
	s := newShelf("s")
	a := newDesk(t, onDisk(t), s)
	a.publish(everything, a.doc(firstEP, 1))
	again := a.other("s9", "SITE.A", s)
	observing := again.configured(firstEP)
	observing.Sinks = nil
	again.remove(discovery.Removal{Configured: []discovery.Configured{observing}})
	again.holds("it observes, and has the name", s, nameOf("SITE.A", firstEP))
	again.remove(discovery.Removal{Configured: []discovery.Configured{again.configured(secondEP)}})
	again.holds("its new endpoint is not yet published", s, nameOf("SITE.A", firstEP))
	again.publish(everything, again.doc(secondEP, 1))
	again.remove(discovery.Removal{Configured: []discovery.Configured{again.configured(secondEP)}})
	again.clean()
	again.holds("its new endpoint is published", s, nameOf("SITE.A", secondEP))
}

// TestDeliveredAndNeverNoted: a run ends between a first delivery and its note, and the next one has another name.
func TestDeliveredAndNeverNoted(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), s)
	ctx, kill := context.WithCancel(t.Context())
	s.after = func(string) { kill() }
	if err := discovery.Publish(ctx, d.deps(), d.target, []discovery.Rendered{d.doc(firstEP, 1)}, everything); err == nil {
		t.Error("no error")
	}
	s.after = nil
	d.holds("delivered", s, nameOf("SITE.A", firstEP))
	d.target.Site.Name = "SITE-B"
	d.publish(everything, d.doc(firstEP, 1))
	d.remove(discovery.Removal{Configured: []discovery.Configured{d.configured(firstEP)}})
	d.clean()
	d.holds("renamed", s, nameOf("SITE-B", firstEP))
}
