package discovery_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/glue"
)

// run is one run of the bed's site.
func (b *bed) run(o discovery.Publishing) run.Report {
	b.t.Helper()
	d := b.deps()
	if err := discovery.Run(b.t.Context(), d, b.target, o); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return b.last
}

// check looks at what the bed's site needs, and gives what was found of each thing: "sign-in", "share VO ops, project p-ops".
func (b *bed) check() map[string]run.Check {
	b.t.Helper()
	d := b.deps()
	if err := discovery.Check(b.t.Context(), d, b.target); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	all := map[string]run.Check{}
	for _, c := range b.last.Checks {
		all[strings.TrimSpace(c.Name+" "+c.Object)] = c
	}
	return all
}

func (b *bed) status() discovery.Status {
	b.t.Helper()
	s, err := discovery.ReadStatus(b.t.Context(), b.db, b.target)
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// inDirectory has the bed's site publish into a directory, with a key of GOCDB that needs no look-up.
func (b *bed) inDirectory() string {
	dir := filepath.Join(b.t.TempDir(), "published")
	b.target.Settings.Validity = 12 * time.Hour
	b.target.Sinks = []discovery.Sink{discovery.NewFile("file", dir, discovery.JSON)}
	for i := range b.target.Clouds {
		b.target.Clouds[i].GOCDBKey = "16001G0"
	}
	return dir
}

// read gives the only document of a directory.
func (b *bed) read(dir string) glue.Document {
	b.t.Helper()
	f, err := os.Open(filepath.Join(dir, glue.ObjectName("SITE-A", b.target.Clouds[0].EP)))
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was read
	doc, findings, err := glue.Parse(f, glue.Limits{})
	if err != nil || len(findings) > 0 {
		b.t.Fatalf("%v, %v", findings, err)
	}
	return doc
}

// TestRun: what the clouds offer to each VO stands in the sink after one run, in each era, and how that came about in the
// status.
func TestRun(t *testing.T) {
	inEras(t, func(t *testing.T, era emulated.Era) {
		b := newBed(t, told(t, "02-two-vos-states"), era, onDisk(t), "ops=p-ops", "vo.ai4eosc.eu=p-ai")
		dir := b.inDirectory()
		if r := b.run(discovery.Publishing{}); r.Outcome == run.Failed || r.Counts["documents_published"] != 1 {
			t.Fatalf("%+v", r)
		}
		doc := b.read(dir)
		if len(doc.Shares) != 2 || doc.Services[0].OtherInfo.Text("gocdb_id") != "16001G0" {
			t.Errorf("%d shares, %v", len(doc.Shares), doc.Services[0].OtherInfo)
		}
		if total := doc.Services[0].VMs.Total; total == nil || *total != 10 {
			t.Errorf("%v VMs", total)
		}
		s := b.status()
		if len(s.Endpoints) != 1 || len(s.Endpoints[0].Shares) != 2 || s.Endpoints[0].Health != glue.HealthOK || s.Endpoints[0].GOCDBKey != "16001G0" || !s.Taken.Equal(present) {
			t.Errorf("%+v", s)
		}
		if len(s.Sinks) != 1 || s.Sinks[0].Documents != 1 || !s.Sinks[0].Delivered.Equal(present) || len(s.Sinks[0].Missing) != 0 {
			t.Errorf("%+v", s.Sinks)
		}
		for _, c := range s.Checks(b.now()) {
			if c.State != run.CheckOK {
				t.Errorf("%s %s: %s", c.Name, c.Object, c.Reason)
			}
		}
		before, err := discovery.Recall(t.Context(), b.deps(), b.target)
		if err != nil || len(before) != 1 || before[0].Registration.Value.Key != "16001G0" || len(before[0].Regions[0].Shares) != 2 {
			t.Errorf("%+v, %v", before, err)
		}
	})
}

// TestRunObserves: a VO that only observes is in nobody's document, and an observing site in no sink; the status has all.
func TestRunObserves(t *testing.T) {
	b := newBed(t, told(t, "02-two-vos-states"), emulated.Current, onDisk(t), "ops=p-ops", "vo.ai4eosc.eu=p-ai")
	dir := b.inDirectory()
	b.target.Clouds[0].Cloud.VOs[1].Mode = site.Observe
	b.run(discovery.Publishing{})
	if doc := b.read(dir); len(doc.Shares) != 1 || doc.Shares[0].ProjectID != "p-ops" {
		t.Errorf("%+v", doc.Shares)
	}
	if s := b.status(); len(s.Endpoints[0].Shares) != 2 || s.Endpoints[0].Shares[1].Mode != site.Observe {
		t.Errorf("%+v", s.Endpoints[0].Shares)
	}
	for mode, set := range map[string]func(){
		"site":  func() { b.target.Settings.Mode = site.Observe },
		"cloud": func() { b.target.Settings.Mode, b.target.Clouds[0].Mode = site.Active, site.Observe },
	} {
		set()
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if r := b.run(discovery.Publishing{}); r.Outcome == run.Failed {
			t.Errorf("%s: %+v", mode, r.Problems)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%s observes, and something was published: %v", mode, err)
		}
		if s := b.status(); len(s.Sinks[0].Missing) != 0 {
			t.Errorf("%s: a sink misses what it is not to have: %v", mode, s.Sinks[0].Missing)
		}
	}
	b.target.Settings.Mode = site.Disabled
	if r := b.run(discovery.Publishing{}); r.Outcome != run.Done {
		t.Errorf("%+v", r)
	}
}

// TestStaleIsTold: what cannot be asked any more is published as it was for so long, then not at all; checks and status say
// so, with what the cloud answered.
func TestStaleIsTold(t *testing.T) {
	b := newBed(t, told(t, "02-two-vos-states"), emulated.Current, onDisk(t), "ops=p-ops", "vo.ai4eosc.eu=p-ai")
	dir := b.inDirectory()
	b.run(discovery.Publishing{})
	b.fault("compute", "/v2.1/flavors/detail", faults.Effect{Status: 500})
	b.pass(time.Hour)
	b.run(discovery.Publishing{})
	doc := b.read(dir)
	if len(doc.InstanceTypes) == 0 || doc.Endpoints[0].HealthState != glue.HealthWarning || !strings.Contains(doc.Endpoints[0].HealthStateInfo, "HTTP 500") {
		t.Errorf("%d flavors, %s, %s", len(doc.InstanceTypes), doc.Endpoints[0].HealthState, doc.Endpoints[0].HealthStateInfo)
	}
	s := b.status()
	sh := s.Endpoints[0].Shares[0]
	if sh.State != discovery.Stale || !sh.AsOf.Equal(present) || len(sh.Troubles) != 1 || sh.Troubles[0].Status != 500 {
		t.Errorf("%+v", sh)
	}
	if c := find(s.Checks(b.now()), "share", "VO ops, project p-ops"); c.State != run.CheckWarn || !strings.Contains(c.Reason, "published as it was at 2026-11-24 12:00 UTC") || c.Remedy == "" {
		t.Errorf("%+v", c)
	}
	b.pass(12 * time.Hour)
	b.run(discovery.Publishing{})
	if doc := b.read(dir); len(doc.InstanceTypes) != 0 || len(doc.Shares) != 2 {
		t.Errorf("%d flavors, %d shares", len(doc.InstanceTypes), len(doc.Shares))
	}
	if s := b.status(); s.Endpoints[0].Shares[0].State != discovery.Partial {
		t.Errorf("%+v", s.Endpoints[0].Shares[0])
	}
	b.faults.Clear()
	b.run(discovery.Publishing{})
	if s := b.status(); s.Endpoints[0].Shares[0].State != discovery.Fresh || s.Endpoints[0].Health != glue.HealthOK {
		t.Errorf("%+v", s.Endpoints[0])
	}
}

func find(all []run.Check, name, object string) run.Check {
	i := slices.IndexFunc(all, func(c run.Check) bool { return c.Name == name && c.Object == object })
	if i < 0 {
		return run.Check{}
	}
	return all[i]
}

// TestStatusChecks: what is late, missing or not known, and from when on.
func TestStatusChecks(t *testing.T) {
	now := present
	fresh := discovery.ShareStatus{VO: "ops", Project: "p", State: discovery.Fresh}
	unknown := discovery.ShareStatus{VO: "ops", Project: "p", State: discovery.Unknown, Troubles: []discovery.Trouble{{Stage: "sign-in", Status: 401, Since: now}}}
	active := func(taken time.Time, sh discovery.ShareStatus, sinks ...discovery.SinkStatus) discovery.Status {
		return discovery.Status{Site: "SITE-A", Mode: site.Active, Taken: taken, Endpoints: []discovery.EndpointStatus{{EP: "https://ks/v3", Shares: []discovery.ShareStatus{sh}}}, Sinks: sinks}
	}
	good := discovery.SinkStatus{Name: "file", Documents: 1, Delivered: now.Add(-time.Hour), Changed: now.Add(-time.Hour)}
	for name, c := range map[string]struct {
		status       discovery.Status
		name, object string
		state        run.CheckState
		says         string
	}{
		"all well":            {active(now, fresh, good), "published", "sink file", run.CheckOK, "it has all documents"},
		"asked lately":        {active(now.Add(-time.Hour), fresh, good), "catalog", "", run.CheckOK, "1 of 1 shares fresh"},
		"asked long ago":      {active(now.Add(-3*time.Hour), fresh, good), "catalog", "", run.CheckWarn, "last asked at"},
		"not asked for a day": {active(now.Add(-24*time.Hour), fresh, good), "catalog", "", run.CheckFail, "last asked at"},
		"no share":            {discovery.Status{Mode: site.Observe, Taken: now}, "catalog", "", run.CheckWarn, "no project belongs to a VO"},
		"not known":           {active(now, unknown, good), "share", "VO ops, project p", run.CheckFail, "sign-in: failed, HTTP 401"},
		"no sink":             {active(now, fresh), "published", "", run.CheckFail, "no sink is configured"},
		"never published":     {active(now, fresh, discovery.SinkStatus{Name: "file", Missing: []string{"https://ks/v3"}}), "published", "sink file", run.CheckFail, "nothing was published there yet"},
		"one is missing":      {active(now, fresh, discovery.SinkStatus{Name: "file", Documents: 1, Delivered: now, Missing: []string{"https://b/v3"}}), "published", "sink file", run.CheckFail, "https://b/v3"},
		"delivered long ago":  {active(now, fresh, discovery.SinkStatus{Name: "file", Documents: 1, Delivered: now.Add(-13 * time.Hour)}), "published", "sink file", run.CheckFail, "what it has is of"},
	} {
		got := find(c.status.Checks(now), c.name, c.object)
		if got.State != c.state || !strings.Contains(got.Reason, c.says) || !got.Stored || got.Part != "discovery" || (got.State != run.CheckOK && got.Remedy == "" && c.name != "share") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if all := (discovery.Status{Mode: site.Disabled, Taken: now}).Checks(now); len(all) != 0 {
		t.Errorf("disabled: %v", all)
	}
	if all := (discovery.Status{Mode: site.Observe}).Checks(now); len(all) != 0 {
		t.Errorf("never run, and observing: %v", all)
	}
}

// TestCheck: what discovery needs is looked at without keeping or publishing anything.
func TestCheck(t *testing.T) {
	inEras(t, func(t *testing.T, era emulated.Era) {
		b := newBed(t, told(t, "01-single-vo"), era, onDisk(t), "ops=p-ops", "nobody=p-none")
		dir := b.inDirectory()
		all := b.check()
		for name, want := range map[string]struct {
			state run.CheckState
			says  string
		}{
			"sign-in":      {run.CheckOK, "1 project can be signed in to"},
			"services":     {run.CheckOK, "compute"},
			"sink file":    {run.CheckOK, ""},
			"vo VO nobody": {run.CheckFail, "no project p-none"},
			"certificate endpoint " + b.target.Clouds[0].EP: {run.CheckWarn, "without TLS"},
		} {
			if got := all[name]; name != "sink file" && (got.State != want.state || !strings.Contains(got.Reason, want.says)) {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := all["sink sink file"]; got.State != run.CheckOK {
			t.Errorf("%+v", all)
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the check published: %v", err)
		}
		if s := b.status(); !s.Taken.IsZero() {
			t.Error("the check kept something")
		}
		b.target.Sinks = []discovery.Sink{discovery.NewFile("file", "/proc/nowhere/at/all", discovery.JSON)}
		if got := b.check()["sink sink file"]; got.State == run.CheckOK || got.Reason == "" {
			t.Errorf("%+v", got)
		}
		b.faults.Add(faults.Fault{Service: "identity", Method: "POST", Times: -1, Effect: faults.Effect{Status: 401}})
		b.target.Clouds[0].Source = b.source(b.cloud.AuthURL(), "") // without a token yet
		if got := b.check()["sign-in"]; got.State != run.CheckFail {
			t.Errorf("%+v", got)
		}
	})
}

// TestNothingKnownReplacesNothing: after the database was lost, or on a first run, a cloud that cannot be asked does not make
// an empty document take the place of the good one; only when it has lasted for as long as what is known is kept.
func TestNothingKnownReplacesNothing(t *testing.T) {
	for name, f := range map[string]faults.Fault{
		"the cloud is away": {Service: "identity", Times: -1, Effect: faults.Effect{Status: 503}},
		"it refuses":        {Service: "identity", Method: "POST", Times: -1, Effect: faults.Effect{Status: 401}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
			dir := b.inDirectory()
			b.faults.Add(f)
			for range 2 {
				if r := b.run(discovery.Publishing{}); r.Outcome != run.Failed || r.Counts["documents_published"] != 0 || r.Counts["documents_refused"] != 1 {
					t.Errorf("%+v", r)
				}
				if _, err := os.Stat(dir); !os.IsNotExist(err) {
					t.Fatalf("an empty document was published: %v", err)
				}
				b.pass(5 * time.Hour)
			}
			b.pass(5 * time.Hour)
			b.run(discovery.Publishing{})
			if doc := b.read(dir); len(doc.Shares) != 0 || doc.Endpoints[0].HealthState == glue.HealthOK {
				t.Errorf("%+v", doc.Endpoints)
			}
		})
	}
}

// TestObservingWithoutKey: a site that GOCDB does not know yet can look at what would be published; that is no failure.
func TestObservingWithoutKey(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	b.inDirectory()
	b.target.Clouds[0].GOCDBKey = ""
	b.target.Settings.Mode = site.Observe
	if r := b.run(discovery.Publishing{}); r.Outcome != run.Partial || !strings.Contains(strings.Join(b.problems(), "\n"), "gocdb_id") {
		t.Errorf("%s: %q", r.Outcome, b.problems())
	}
	b.target.Settings.Mode = site.Active
	if r := b.run(discovery.Publishing{}); r.Outcome != run.Failed {
		t.Errorf("%s: %q", r.Outcome, b.problems())
	}
}

// TestMovedCloud: a cloud that keeps its name and is another endpoint now is not shown with what the former one offered.
func TestMovedCloud(t *testing.T) {
	b := newBed(t, told(t, "01-single-vo"), emulated.Current, onDisk(t), "ops=p-ops")
	dir := b.inDirectory()
	b.run(discovery.Publishing{})
	b.target.Clouds[0].EP = "http://127.0.0.1:1/v3"
	b.target.Clouds[0].Source = b.source("http://127.0.0.1:1/v3", "")
	if r := b.run(discovery.Publishing{}); r.Counts["documents_published"] != 0 {
		t.Errorf("%+v", r)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, s := range b.status().Endpoints[0].Shares {
		if s.State != discovery.Unknown {
			t.Errorf("%+v", s)
		}
	}
}
