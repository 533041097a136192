package discovery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/glue"
)

var everything discovery.Publishing

// TestPublish publishes two endpoints to two sinks, again as they are, and again when one says something else.
func TestPublish(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		each, spared := newShelf("each"), newShelf("spared")
		served := func(db *store.Store) discovery.Sink { return discovery.NewStore("api", db) }
		d := newDesk(t, cfg, each, costly{spared, 24 * time.Hour})
		d.target.Sinks = append(d.target.Sinks, served(d.db))
		rows := func() []string {
			return d.rows(4, `SELECT sink, name, delivered/60000 - changed/60000, replaced FROM publication WHERE endpoint = '`+firstEP+`' ORDER BY sink`)
		}
		name := nameOf("SITE.A", firstEP)
		for _, c := range []struct {
			images                 int
			published, spared      int64
			sinceChange, sinceOnce int // minutes, of what goes each time and of what is spared
		}{
			{1, 6, 0, 0, 0},
			{1, 2, 4, 30, 0},
			{2, 4, 2, 0, 0}, // the first endpoint says more
			{2, 2, 4, 30, 0},
		} {
			d.publish(everything, d.doc(firstEP, c.images), d.doc(secondEP, 5))
			d.clean()
			if got := d.report.Counts; got["documents_published"] != c.published || got["documents_spared"] != c.spared {
				t.Errorf("%d images: %v, want %d published and %d spared", c.images, got, c.published, c.spared)
			}
			for _, s := range []*shelf{each, spared} {
				if got := strings.Count(s.held[name], `"image-`); got != c.images || len(s.held) != 2 {
					t.Errorf("%s has %d images in %d documents, want %d in 2", s.name, got, len(s.held), c.images)
				}
			}
			want := []string{
				fmt.Sprintf("api %s %d 0", name, c.sinceOnce), fmt.Sprintf("each %s %d 0", name, c.sinceChange), fmt.Sprintf("spared %s %d 0", name, c.sinceOnce),
			}
			if diff := cmp.Diff(want, rows()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{fmt.Sprint("one ", c.images), "two 5"}, d.kept()); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
		}
		each.fail = errors.New("away")
		d.publish(everything, d.doc(firstEP, 3))
		if diff := cmp.Diff([]string{"one 2", "one 3", "two 5"}, d.kept()); diff != "" {
			t.Errorf("documents while one sink has an older one (-want +got):\n%s", diff)
		}
	})
}

// TestSparing tells when a document that says the same goes again.
func TestSparing(t *testing.T) {
	for name, c := range map[string]struct {
		every, validity, age time.Duration
		goes                 bool
	}{
		"soon":                         {6 * time.Hour, 48 * time.Hour, 5 * time.Hour, false},
		"now and then":                 {6 * time.Hour, 48 * time.Hour, 6 * time.Hour, true},
		"a third of its validity left": {6 * time.Hour, 12 * time.Hour, 3*time.Hour + 59*time.Minute, false},
		"a third of its validity over": {6 * time.Hour, 12 * time.Hour, 4 * time.Hour, true},
		"the clock went back":          {6 * time.Hour, 12 * time.Hour, -time.Minute, true},
		"it counts for ever":           {6 * time.Hour, 0, 5 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShelf("s")
			d := newDesk(t, onDisk(t), plain{costly{s, c.every}})
			d.target.Sinks = []discovery.Sink{costly{s, c.every}}
			doc := func() discovery.Rendered {
				doc := d.doc(firstEP, 1)
				doc.Document.Services[0].Validity = c.validity
				if c.validity == 0 {
					doc.Document.Services[0].Validity = 365 * 24 * time.Hour
				}
				return doc
			}
			first := d.at
			d.publish(everything, doc())
			d.at = first.Add(c.age)
			d.publish(everything, doc())
			d.clean()
			if goes := s.given == 2; goes != c.goes {
				t.Errorf("it went: %v", goes)
			}
		})
	}
}

// TestDeliveredAgain: what a sink has counts by where and as what it has it, not by what it says alone.
func TestDeliveredAgain(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), costly{s, 24 * time.Hour})
	d.publish(everything, d.doc(firstEP, 1))
	d.publish(everything, d.doc(firstEP, 1))
	if s.given != 1 {
		t.Fatalf("%d deliveries", s.given)
	}
	s.place = "elsewhere"
	d.publish(everything, d.doc(firstEP, 1))
	d.publish(everything, d.doc(firstEP, 1))
	if s.given != 2 {
		t.Errorf("%d deliveries after it moved, want 2", s.given)
	}
	d.target.Site.Name = "SITE-B"
	d.publish(everything, d.doc(firstEP, 1))
	if s.given != 3 || s.held[nameOf("SITE-B", firstEP)] == "" {
		t.Errorf("%d deliveries after the site got another name: %v", s.given, s.names())
	}
}

// TestFatalDocument: what the federation would drop is not published, and does not disturb what is.
func TestFatalDocument(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), s)
	d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 1))
	d.clean()
	before := s.held[nameOf("SITE.A", firstEP)]
	bad := d.doc(firstEP, 7)
	bad.Document.Services[0].OtherInfo = nil
	d.publish(everything, bad, d.doc(secondEP, 2))
	if d.report.Outcome != run.Partial || d.report.Counts["documents_refused"] != 1 {
		t.Errorf("%s, %v", d.report.Outcome, d.report.Counts)
	}
	if p := d.says("gocdb_id"); p.Hint == "" || p.Object != "document of "+firstEP {
		t.Errorf("%+v", p)
	}
	if s.held[nameOf("SITE.A", firstEP)] != before {
		t.Error("the last one did not stay")
	}
	if strings.Count(s.held[nameOf("SITE.A", secondEP)], `"image-`) != 2 {
		t.Error("the other one was not published")
	}
	d.publish(everything, bad)
	if d.report.Outcome != run.Failed {
		t.Errorf("the only one: %s", d.report.Outcome)
	}
}

// TestFindingsAreCounted: a thousand bad images are a line, whoever found them.
func TestFindingsAreCounted(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), s)
	doc := d.doc(firstEP, 1000)
	for i := range doc.Document.Images {
		doc.Document.Images[i].Shares = []string{"nobody's"}
		doc.Findings = append(doc.Findings, glue.Finding{Level: glue.LevelWarning, Class: "CloudComputingImage", ID: fmt.Sprint(i), Reason: "of rendering"})
	}
	doc.Findings = append(doc.Findings, glue.Validate(doc.Document)...) // said twice, counted once
	d.publish(everything, doc)
	if len(d.report.Problems) != 2 || len(s.held) != 1 {
		t.Errorf("%d lines, %d documents: %+v", len(d.report.Problems), len(s.held), d.report.Problems)
	}
	d.says("1000 findings; the first: CloudComputingImage")
	if got := d.report.Counts; got["findings_error"] != 1000 || got["findings_warning"] != 1000 {
		t.Errorf("%v", got)
	}
}

// TestSinkFails: the others go on, and the run failed only when nothing stands anywhere.
func TestSinkFails(t *testing.T) {
	bad, good := newShelf("bad"), newShelf("good")
	d := newDesk(t, onDisk(t), bad, good)
	bad.fail = &discovery.Failure{Err: errors.New("403 Forbidden"), Hint: "give it a role", Permanent: true, Exit: run.ExitNotAuthorised}
	d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 1))
	if d.report.Outcome != run.Partial || len(good.held) != 2 {
		t.Errorf("%s, %v", d.report.Outcome, good.names())
	}
	if p := d.says("sink bad: 403 Forbidden"); p.Hint != "give it a role" || !p.Permanent || p.Site != "SITE.A" {
		t.Errorf("%+v", p)
	}
	if got := d.rows(1, `SELECT sink FROM publication WHERE replaced = 0`); len(got) != 2 || got[0] != "good" {
		t.Errorf("noted: %v", got)
	}
	good.fail = bad.fail
	d.publish(everything, d.doc(firstEP, 1))
	if d.report.Outcome != run.Failed || d.report.Exit() != run.ExitNotAuthorised {
		t.Errorf("%s, exit %d", d.report.Outcome, d.report.Exit())
	}
	bad.fail, good.fail = nil, nil
	d.publish(everything, d.doc(firstEP, 1), d.doc(secondEP, 1))
	d.clean()
	if len(bad.held) != 2 {
		t.Errorf("after it was mended: %v", bad.names())
	}
}

// TestLargeDocument: before a document is more than a sink takes, the run says so, and what to do; it spoils nothing.
func TestLargeDocument(t *testing.T) {
	size := newShelf("size")
	d := newDesk(t, onDisk(t), size)
	d.publish(everything, d.doc(firstEP, 5))
	n := len(size.held[nameOf("SITE.A", firstEP)])
	for most, told := range map[int]bool{n - 1: false, n: true, n * 5 / 4: true, n * 3 / 2: false} { // of what is too large the sink itself tells
		d := newDesk(t, onDisk(t), narrow{newShelf("narrow"), most}, newShelf("wide"))
		d.publish(everything, d.doc(firstEP, 5))
		d.clean()
		if !told {
			if len(d.report.Problems) > 0 {
				t.Errorf("%d of %d bytes: %+v", n, most, d.report.Problems)
			}
			continue
		}
		p := d.says(fmt.Sprintf("sink narrow: it has %d bytes, and from %d on it will not be taken", n, most+1))
		if !p.Notice || !strings.Contains(p.Hint, "discovery.merged: true") || p.Object != "document of "+firstEP || len(d.report.Problems) != 1 {
			t.Errorf("%+v", d.report.Problems)
		}
	}
}

// TestStopped: a run that is told to stop, or has lost its lease, says that and nothing of the sinks.
func TestStopped(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), s)
	d.publish(everything, d.doc(firstEP, 1))
	ctx, cancel := context.WithCancelCause(t.Context())
	told := errors.New("told to stop")
	s.after = func(string) { cancel(told) }
	deps := d.deps()
	if err := discovery.Publish(ctx, deps, d.target, []discovery.Rendered{d.doc(firstEP, 2), d.doc(secondEP, 1)}, everything); err == nil {
		t.Error("no error")
	}
	if r := deps.Run.Finish(); len(r.Problems) != 0 || len(s.held) != 1 {
		t.Errorf("%+v, %v", r.Problems, s.names())
	}
	lost := store.WithLease(t.Context(), store.Lease{Task: "discovery.publish/s1", Owner: "other", Fence: 1})
	if err := discovery.Publish(lost, d.deps(), d.target, []discovery.Rendered{d.doc(firstEP, 3)}, everything); !errors.Is(err, store.ErrFenced) {
		t.Errorf("without its lease: %v", err)
	}
	if diff := cmp.Diff([]string{"one 1"}, d.kept()); diff != "" {
		t.Errorf("noted without a lease (-want +got):\n%s", diff)
	}
}

// TestObserving hands nothing over, and says what would be.
func TestObserving(t *testing.T) {
	s := newShelf("s")
	d := newDesk(t, onDisk(t), s)
	d.publish(everything, d.doc(firstEP, 2))
	at := s.held[nameOf("SITE.A", firstEP)]
	observed := d.doc(firstEP, 1)
	observed.Observe = true
	for name, c := range map[string]struct {
		mode site.Mode
		o    discovery.Publishing
		doc  discovery.Rendered
	}{
		"observing":          {site.Observe, everything, d.doc(firstEP, 1)},
		"dry run":            {site.Active, discovery.Publishing{DryRun: true}, d.doc(firstEP, 1)},
		"an observed cloud":  {site.Active, everything, observed},
		"observing, to that": {site.Observe, discovery.Publishing{To: "s"}, d.doc(firstEP, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			d.t, d.target.Settings.Mode = t, c.mode
			d.publish(c.o, c.doc)
			d.clean()
			d.says("would be published to s anew: 0 objects added, 0 changed, 1 removed")
			if got := d.report.Counts["documents_would_change"]; got != 1 || s.given != 1 || s.held[nameOf("SITE.A", firstEP)] != at {
				t.Errorf("%d would change, %d deliveries", got, s.given)
			}
			d.publish(c.o, func() discovery.Rendered { doc := d.doc(firstEP, 2); doc.Observe = c.doc.Observe; return doc }())
			if len(d.report.Problems) != 0 {
				t.Errorf("of the same: %+v", d.report.Problems)
			}
			d.publish(discovery.Publishing{DryRun: true}, d.doc(secondEP, 1))
			d.says("would be published to s for the first time, as " + nameOf("SITE.A", secondEP) + ": 7 objects")
		})
	}
	d.t = t
	d.target.Settings.Mode = site.Disabled
	d.publish(everything, d.doc(firstEP, 1))
	if len(d.report.Problems) != 0 || s.given != 1 {
		t.Errorf("disabled: %+v, %d deliveries", d.report.Problems, s.given)
	}
}

func TestPublishTo(t *testing.T) {
	one, two := newShelf("one"), newShelf("two")
	d := newDesk(t, onDisk(t), one, two)
	d.publish(discovery.Publishing{To: "two"}, d.doc(firstEP, 1))
	d.clean()
	if len(one.held) != 0 || len(two.held) != 1 {
		t.Errorf("%v, %v", one.names(), two.names())
	}
	d.publish(discovery.Publishing{To: "three"}, d.doc(firstEP, 1))
	if d.says(`there is no sink "three"; there are: one, two`); d.report.Exit() != run.ExitUsage {
		t.Errorf("exit %d", d.report.Exit())
	}
}

// TestChanges compares with what each sink has.
func TestChanges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		old, fresh := newShelf("old"), newShelf("new")
		d := newDesk(t, cfg, old)
		at := d.at
		d.publish(everything, d.doc(firstEP, 1))
		d.target.Sinks = []discovery.Sink{old, fresh}
		doc := d.doc(firstEP, 2)
		doc.Document.Shares[0].MaxVM = new(int64(7))
		changes := func() []string {
			t.Helper()
			all, err := discovery.Changes(t.Context(), d.deps(), d.target, []discovery.Rendered{doc})
			if err != nil {
				t.Fatal(err)
			}
			var said []string
			for _, c := range all {
				since := "never"
				if !c.Since.IsZero() {
					since = c.Since.Sub(at).String()
				}
				said = append(said, fmt.Sprintf("%s since %s, from %q: %v", c.Sink, since, c.FormerName, c.Changed()))
				for _, x := range c.Changes {
					said = append(said, fmt.Sprintf("  %s %s %v", x.Kind, x.Class, x.Values))
				}
			}
			return said
		}
		want := []string{
			`old since 0s, from "": true`, "  added CloudComputingImage []", "  changed Share [{MaxVM  7}]",
			`new since never, from "": true`, "  added CloudComputingService []", "  added CloudComputingManager []", "  added CloudComputingEndpoint []",
			"  added CloudComputingImage []", "  added CloudComputingImage []", "  added Share []", "  added MappingPolicy []", "  added AccessPolicy []",
		}
		if diff := cmp.Diff(want, changes()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		d.publish(everything, doc)
		doc.Document.Services[0].CreationTime = d.at // newer times are no change
		if diff := cmp.Diff([]string{`old since 30m0s, from "": false`, `new since 30m0s, from "": false`}, changes()); diff != "" {
			t.Errorf("of the same (-want +got):\n%s", diff)
		}
		d.target.Site.Name = "SITE-B"
		doc.Site = "SITE-B"
		if got := changes(); got[0] != fmt.Sprintf(`old since 30m0s, from %q: true`, nameOf("SITE.A", firstEP)) {
			t.Errorf("after the site got another name: %v", got)
		}
	})
}
