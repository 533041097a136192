package accounting_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// truth sums what was truly used, by month, from one 23:59:59 to the next, as the server counts.
func truth(w *world.World, periods []string, until time.Time) map[string][2]int64 {
	sums := map[string][2]int64{}
	for _, p := range periods {
		from := moment(p + "-01").Add(-time.Second)
		to := moment(p+"-01").AddDate(0, 1, 0).Add(-time.Second)
		if to.After(until) {
			to = until
		}
		var s [2]int64
		for _, u := range w.Usage("", from, to, world.Charge{}) {
			s[0] += u.Wall
			s[1] += u.CPU
		}
		sums[p] = s
	}
	return sums
}

// counted sums what the accounting server made of the records, by month.
func (b *bed) counted() map[string][2]int64 {
	b.fed.Server.Summarise(b.clock.now())
	sums := map[string][2]int64{}
	for _, m := range b.fed.Server.Monthly() {
		s := sums[m.Period]
		sums[m.Period] = [2]int64{s[0] + m.Wall, s[1] + m.CPU}
	}
	return sums
}

// TestPipeline collects every few hours over two month ends, sends each time, and compares what the accounting server
// counted with what was truly used, to the second.
func TestPipeline(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		w := small()
		vm(w, "00000001-0000-4000-8000-000000000001", "2024-02-10T08:00")
		vm(w, "00000002-0000-4000-8000-000000000002", "2024-02-20T08:00", on(world.Delete, "2024-03-01T01:00:00"))
		vm(w, "00000003-0000-4000-8000-000000000003", "2024-03-02", on(world.Delete, "2024-03-04T06:30"))
		vm(w, "00000004-0000-4000-8000-000000000004", "2024-02-12", on(world.Resize, "2024-03-03T05:00:07", "2"), on(world.Confirm, "2024-03-03T06:00"))
		vm(w, "00000005-0000-4000-8000-000000000005", "2024-02-15", on(world.Stop, "2024-02-20"), on(world.Start, "2024-03-20"), on(world.Rebuild, "2024-03-21", "image-2"))
		vm(w, "00000006-0000-4000-8000-000000000006", "2024-03-31T23:50:00", on(world.Delete, "2024-04-01T00:00:00"))
		w.Add(world.VM{ID: "00000007-0000-4000-8000-000000000007", Project: project, User: "u-one", Name: "never", Flavor: "1", Created: moment("2024-02-20"), Events: []world.Event{on(world.Fail, "2024-02-20T01:00")}})
		b := newBed(t, w, cfg, "2024-02-11T00:00:00Z", "2024-02-01")
		end := moment("2024-04-02T00:00:00")
		step := 7 * time.Hour
		if testing.Short() {
			step = 26 * time.Hour
		}
		for at := moment("2024-02-11T00:00:00"); at.Before(end.Add(step)); at = at.Add(step) {
			if at.After(end) {
				at = end
			}
			b.clean(b.collect(at.Format("2006-01-02T15:04:05Z")))
			b.clean(b.send())
			if at.Equal(end) {
				break
			}
		}
		want := truth(w, []string{"2024-02", "2024-03", "2024-04"}, end.Add(-5*time.Minute))
		if d := cmp.Diff(want, b.counted()); d != "" {
			t.Errorf("wall and CPU seconds by month (-truth +server):\n%s", d)
		}
		for _, r := range b.fed.Received() {
			if !r.Accepted {
				t.Errorf("message %s was rejected: %s", r.Empaid, r.Reason)
			}
		}
		b.clean(b.collect(""))
		if r := b.send(); r.Counts["messages_cut"] != 0 {
			t.Errorf("nothing had changed, and %d messages were cut", r.Counts["messages_cut"])
		}
	})
}

// TestTwoSitesWithEqualProjectIDs runs two sites whose projects, and ids of projects, are equal, on one store.
func TestTwoSitesWithEqualProjectIDs(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		a := small()
		vm(a, "aaaaaaaa-0000-4000-8000-000000000001", "2024-03-02")
		b := newBed(t, a, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		other := small()
		other.Projects[0].Properties["VO"] = "biomed"
		vm(other, "bbbbbbbb-0000-4000-8000-000000000001", "2024-03-05")
		second := b.site("SITE-B", "site-b", "cloud-b", b.sourceAt(b.cloudOf(other), "reader"), "2024-03-01")
		second.Destinations = []accounting.Destination{b.broker("SITE-B")}
		b.clean(b.collect("2024-03-10T00:05:00Z"))
		b.clean(b.collectFor(second, "", accounting.Ask{}))
		b.clean(b.send())
		b.clean(b.sendFor(second))
		b.fed.Server.Summarise(b.clock.now())
		var got []string
		for _, m := range b.fed.Server.Monthly() {
			got = append(got, fmt.Sprint(m.Site, " ", m.VO, " ", m.Period, " ", m.Wall, " ", m.CPU))
		}
		want := []string{"SITE-A ops 2024-03 691200 1382400", "SITE-B biomed 2024-03 432000 864000"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestRightsMakeNoDifference collects the same world as a reader, as an administrator, and as one with a system role.
func TestRightsMakeNoDifference(t *testing.T) {
	wire := func(user string) map[string]string {
		w := small()
		w.Images = append(w.Images, world.Image{ID: "image-3", Visibility: "private", Owner: "somebody", Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://private/"}},
			world.Image{ID: "image-4", Visibility: "shared", Owner: "somebody", Members: map[string]string{project: "accepted"}, Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://shared/"}},
			world.Image{ID: "image-5", Visibility: "shared", Owner: "somebody", Members: map[string]string{project: "pending"}, Properties: map[string]string{"vmcatcher_event_ad_mpuri": "https://pending/"}})
		w.Projects = append(w.Projects, world.Project{ID: "22222222222222222222222222222222", Name: "other"})
		w.Users[3].Roles["22222222222222222222222222222222"] = []string{"admin"}
		for i := range 5 {
			at := moment("2024-03-02").Add(time.Duration(i) * time.Hour)
			w.Add(world.VM{ID: fmt.Sprintf("0000000%d-0000-4000-8000-000000000001", i), Project: project, User: "u-one", Name: "vm", Flavor: "1", Image: fmt.Sprintf("image-%d", i+1), Created: at,
				Events: []world.Event{{At: at.Add(time.Minute), Kind: world.Launch}}})
		}
		w.Add(world.VM{ID: "99999999-0000-4000-8000-000000000001", Project: "22222222222222222222222222222222", User: "u-one", Flavor: "1", Created: moment("2024-03-02"), Events: []world.Event{on(world.Launch, "2024-03-02T00:01")}})
		b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
		b.target.Clouds[0].Source = b.source(user)
		r := b.collect("")
		if r.Counts["projects_collected"] != 1 {
			t.Fatalf("%s: %+v", user, r)
		}
		texts := map[string]string{}
		for key, e := range b.records() {
			texts[key] = e.Wire
		}
		return texts
	}
	want := wire("reader")
	if len(want) != 5 {
		t.Fatalf("%d records, want 5", len(want))
	}
	for _, user := range []string{"admin", "root"} {
		if d := cmp.Diff(want, wire(user)); d != "" {
			t.Errorf("as %s (-reader +%s):\n%s", user, user, d)
		}
	}
}

func TestProjectsThatCannotBeCollectedAreSkipped(t *testing.T) {
	w := small()
	w.Projects = append(w.Projects, world.Project{ID: project2, Name: "no-vo"}, world.Project{ID: project3, Name: "no-role", Properties: map[string]string{"VO": "biomed"}})
	w.Users[0].Roles[project2] = []string{"reader"}
	vm(w, "00000001-0000-4000-8000-000000000001", "2024-03-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	r := b.collect("")
	if r.Outcome != run.Partial || r.Exit() != run.ExitPartial {
		t.Errorf("outcome %s, exit %d", r.Outcome, r.Exit())
	}
	if len(r.Problems) != 1 || r.Problems[0].Object != "project "+project2+" (no-vo)" || r.Problems[0].Hint == "" {
		t.Errorf("problems %+v", r.Problems)
	}
	if len(b.records()) != 1 {
		t.Errorf("%d records: the others must go on", len(b.records()))
	}
}

// TestSystemScopeIsRefused shows that a token of the whole system is never answered with nothing: neither one that is
// asked for, nor a user who has no other role.
func TestSystemScopeIsRefused(t *testing.T) {
	b := newCloudBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	for name, source := range map[string]accounting.Source{
		"asked for":     b.sourceWith(b.cloud, openstack.Credential{Username: "root", Password: "secret", SystemScope: true}),
		"no other role": b.source("system"),
	} {
		b.target.Clouds[0].Source = source
		r := b.collect("")
		if r.Outcome != run.Failed || r.Exit() != run.ExitNotAuthorised {
			t.Errorf("%s: outcome %s, exit %d", name, r.Outcome, r.Exit())
		}
		if len(r.Problems) != 1 || !strings.Contains(r.Problems[0].Reason+r.Problems[0].Hint, "system") {
			t.Errorf("%s: %+v", name, r.Problems)
		}
	}
}
