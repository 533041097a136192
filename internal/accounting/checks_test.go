package accounting_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/protocol/dirq"
	"github.com/fedsite/fedsite/protocol/smime"
)

// check runs the checks now, and gives what was found, in order.
func (b *bed) check() run.Report {
	b.t.Helper()
	d := b.deps()
	if err := accounting.Check(b.t.Context(), d, b.target); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return b.last
}

// named gives the check of that name, and of the object where there are several.
func named(t *testing.T, r run.Report, name, object string) run.Check {
	t.Helper()
	i := slices.IndexFunc(r.Checks, func(c run.Check) bool { return c.Name == name && strings.Contains(c.Object, object) })
	if i < 0 {
		t.Fatalf("nothing is said of %s %s: %+v", name, object, r.Checks)
	}
	return r.Checks[i]
}

// tells fails the test unless the check has the state, and the texts in reason and remedy.
func tells(t *testing.T, c run.Check, state run.CheckState, reason, remedy string) {
	t.Helper()
	if c.State != state || !strings.Contains(c.Reason, reason) || !strings.Contains(c.Remedy, remedy) {
		t.Errorf("%+v, want %s, %q, %q", c, state, reason, remedy)
	}
	if (c.State == run.CheckWarn || c.State == run.CheckFail) && c.Remedy == "" {
		t.Errorf("%+v has no remedy", c)
	}
}

// TestCheck: all is well, and nothing is changed or published.
func TestCheck(t *testing.T) {
	b := newBed(t, crowd(3, "2024-02-10"), onDisk(t), "2024-03-10T00:05:00Z", "2024-02-01")
	b.clean(b.collect(""))
	b.clean(b.send())
	sent, commits := len(b.fed.Broker.Messages(federation.Project, federation.CloudTopic)), b.db.Commits()
	r := b.check()
	var got []string
	for _, c := range r.Checks {
		got = append(got, strings.TrimSpace(string(c.State)+" "+c.Name+" "+c.Object))
		if c.Part != "accounting" || c.Site != "SITE-A" {
			t.Errorf("%+v", c)
		}
	}
	want := []string{"ok clock", "ok sign-in", "ok vo names", "ok role project " + project + " (vo-ops)", "ok flavors", "ok destination destination ams", "ok collected",
		"ok certificate host certificate of destination ams", "ok unsent destination ams", "ok month end"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if r.Outcome != run.Done {
		t.Errorf("%s", r.Outcome)
	}
	tells(t, named(t, r, "sign-in", ""), run.CheckOK, "signed in as reader; 1 project can be signed in to", "")
	tells(t, named(t, r, "destination", ""), run.CheckOK, "may publish to topic "+federation.CloudTopic, "")
	tells(t, named(t, r, "certificate", ""), run.CheckOK, ", DN /", "")
	if n := len(b.fed.Broker.Messages(federation.Project, federation.CloudTopic)); n != sent || b.db.Commits() != commits {
		t.Errorf("%d messages published, %d transactions", n-sent, b.db.Commits()-commits)
	}
}

// TestCheckRoles: a VO without a role on its project, projects without a VO, and names that are none.
func TestCheckRoles(t *testing.T) {
	w := small()
	w.Projects[0].Properties = nil
	w.Projects = append(w.Projects, world.Project{ID: project2, Name: "vo-none"}, world.Project{ID: project3, Name: "vo-odd", Properties: map[string]string{"VO": "my VO"}})
	w.Users[0].Roles[project2], w.Users[0].Roles[project3] = []string{"reader"}, []string{"reader"}
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	c := &b.target.Clouds[0]
	c.Cloud.VOs = []site.VO{
		{Name: "ops", Project: project}, {Name: "vo.new.eu", Project: "77d0a1"}, {Name: "vo.left.eu", Project: "gone", Until: moment("2024-03-01")},
		{Name: "vo.later.eu", Project: "later", Since: moment("2024-04-01")}, {Name: "vo.off.eu", Project: "off", Mode: site.Disabled},
	}
	r := b.check()
	tells(t, named(t, r, "role", "77d0a1"), run.CheckFail, "VO vo.new.eu: the credential has no role on this project", "openstack role add --user reader --project 77d0a1 reader")
	tells(t, named(t, r, "role", "gone"), run.CheckSkip, "VO vo.left.eu", "")
	tells(t, named(t, r, "role", "later"), run.CheckWarn, "VO vo.later.eu", "openstack role add --user reader --project later reader")
	tells(t, named(t, r, "role", project), run.CheckOK, "VO ops: its VMs can be listed", "")
	tells(t, named(t, r, "projects without VO", ""), run.CheckWarn, "1 project without a VO: not accounted: "+project2+" (vo-none)", "openstack project set --property egi.VO=<vo> "+project2)
	tells(t, named(t, r, "vo names", ""), run.CheckWarn, `"my VO"`, "Operations Portal")
	if slices.ContainsFunc(r.Checks, func(c run.Check) bool { return strings.Contains(c.Object, "off") }) || r.Outcome != run.Partial {
		t.Errorf("%s: %+v", r.Outcome, r.Checks)
	}
	delete(w.Users[0].Roles, project3)
	c.Cloud.VOs = nil
	w.Users[0].Roles[project2] = nil
	tells(t, named(t, b.check(), "vo names", ""), run.CheckWarn, "no project belongs to a VO", "egi.VO")
	c.Source = b.source("system")
	tells(t, named(t, b.check(), "role", ""), run.CheckFail, "no role on any project", "openstack role add --user system")
	for name, fine := range map[string]bool{"biomed": true, "vo.access.egi.eu": true, "/vo/group": true, "/vo/group/Role=x": true, "": false, "a b": false, "a/b": false, strings.Repeat("a", 256): false, "vö": false} {
		c.Source, w.Users[0].Roles[project] = b.source("reader"), []string{"reader"}
		c.Cloud.VOs = []site.VO{{Name: name, Project: project}}
		if got := named(t, b.check(), "vo names", ""); (got.State == run.CheckOK) != fine {
			t.Errorf("%q: %+v", name, got)
		}
	}
}

// TestCheckCloud: what keeps a cloud from being asked, and what one says by its answers.
func TestCheckCloud(t *testing.T) {
	for name, c := range map[string]struct {
		do             func(b *bed)
		check          string
		state          run.CheckState
		reason, remedy string
	}{
		"wrong password": {func(b *bed) {
			b.target.Clouds[0].Source = b.sourceWith(b.cloud, openstack.Credential{Username: "reader", Password: "wrong"})
		}, "sign-in", run.CheckFail, "not authorised", "check user and password"},
		"system scope": {func(b *bed) {
			b.target.Clouds[0].Source = b.sourceWith(b.cloud, openstack.Credential{Username: "reader", Password: "secret", SystemScope: true})
		}, "sign-in", run.CheckFail, "system_scope", "remove system_scope"},
		"Keystone is down": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "identity", Times: -1, Effect: faults.Effect{Status: 503, Body: "{}"}})
		}, "sign-in", run.CheckWarn, "503", "nothing is lost"},
		"Nova is down": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Times: -1, Effect: faults.Effect{Status: 503, Body: "{}"}})
		}, "role", run.CheckWarn, "VO ops: compute", "nothing is lost"},
		"a role that may not list": {func(b *bed) {
			b.faults.Add(faults.Fault{Service: "compute", Path: "/v2.1/servers/detail", Times: -1, Effect: faults.Effect{Status: 403, Body: `{"forbidden": {"message": "Policy"}}`}})
		}, "role", run.CheckFail, "forbidden: Policy", "openstack role add --user reader --project " + project + " reader"},
		"two names for one project": {func(b *bed) { b.target.Clouds[0].Cloud.VOs = []site.VO{{Name: "biomed", Project: project}} },
			"vo", run.CheckWarn, "the file says VO biomed, the project's property says ops", "make both say the same"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCloudBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			c.do(b)
			tells(t, named(t, b.check(), c.check, ""), c.state, c.reason, c.remedy)
		})
	}
}

// TestCheckFlavors: of VMs that live, all carry a benchmark or none does.
func TestCheckFlavors(t *testing.T) {
	w := crowd(2, "2024-03-02")
	b := newCloudBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	tells(t, named(t, b.check(), "flavors", ""), run.CheckSkip, "no VM is known yet", "")
	b.clean(b.collect(""))
	tells(t, named(t, b.check(), "flavors", ""), run.CheckOK, "1 flavor in use, each with a benchmark", "")
	w.Add(world.VM{ID: id(9), Project: project, User: "u-one", Name: "large", Flavor: "2", Created: moment("2024-03-09"), Events: []world.Event{on(world.Launch, "2024-03-09T00:01")}})
	b.clean(b.collect("2024-03-10T01:05:00Z"))
	tells(t, named(t, b.check(), "flavors", ""), run.CheckWarn, "1 flavor in use without a benchmark, others have one: m1.large", "benchmark_type")
}

// TestCheckDestination: the way to the broker, asked without publishing.
func TestCheckDestination(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		do             func(b *bed) accounting.Destination
		state          run.CheckState
		reason, remedy string
	}{
		"another topic": {func(b *bed) accounting.Destination {
			return b.brokerWith("SITE-A", func(c *accounting.AMSConfig) { c.Topic = "other" })
		}, run.CheckFail, "may not publish to topic other of project accounting", "accounting.ams.project"},
		"a token that is refused": {func(b *bed) accounting.Destination {
			return b.brokerWith("SITE-A", func(c *accounting.AMSConfig) { c.Token = func() (string, error) { return "stale", nil } })
		}, run.CheckFail, "401", "token"},
		"a token file that is not there": {func(b *bed) accounting.Destination {
			return b.brokerWith("SITE-A", func(c *accounting.AMSConfig) {
				c.Token = func() (string, error) { return "", errors.New("no such file") }
			})
		}, run.CheckFail, "AMS token: no such file", "accounting.ams.token_file"},
		"the broker is down": {func(b *bed) accounting.Destination { b.fedDown(); return b.broker("SITE-A") }, run.CheckWarn, "503", ""},
		"no certificate": {func(b *bed) accounting.Destination {
			return b.brokerWith("SITE-A", func(c *accounting.AMSConfig) {
				c.Identity = func() (smime.Identity, error) { return smime.Identity{}, errors.New("key does not fit") }
			})
		}, run.CheckFail, "host certificate: key does not fit", "accounting.ams.certificate"},
		"a queue that is not there yet": {func(*bed) accounting.Destination {
			return accounting.NewDirq("dirq", dirq.Queue{Path: missing})
		}, run.CheckWarn, "is not there yet", "install -d"},
		"a queue that is a file": {func(*bed) accounting.Destination {
			return accounting.NewDirq("dirq", dirq.Queue{Path: file})
		}, run.CheckFail, "is no directory", "able to read it"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.target.Destinations = []accounting.Destination{c.do(b)}
			tells(t, named(t, b.check(), "destination", ""), c.state, c.reason, c.remedy)
			b.target.Settings.Mode = site.Observe
			tells(t, named(t, b.check(), "destination", ""), run.CheckWarn, c.reason, c.remedy)
		})
	}
	b := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	queue := t.TempDir()
	b.target.Destinations = []accounting.Destination{accounting.NewDirq("dirq", dirq.Queue{Path: queue})}
	tells(t, named(t, b.check(), "destination", ""), run.CheckOK, "can be written to", "")
	if left, err := os.ReadDir(queue); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	b.target.Destinations = nil
	tells(t, named(t, b.check(), "destination", ""), run.CheckFail, "no destination is configured", "accounting.ams")
	b.target.Settings.Previously = ""
	tells(t, named(t, b.check(), "settings", ""), run.CheckFail, "accounting.previously", "set it to caso")
	b.target.Settings.Mode = site.Disabled
	if r := b.check(); len(r.Checks) != 1 || r.Checks[0].State != run.CheckSkip || r.Outcome != run.Done {
		t.Errorf("disabled: %+v", r.Checks)
	}
}

// TestCheckParked: records that are not sent, because they cannot be, or were refused.
func TestCheckParked(t *testing.T) {
	b := newBed(t, crowd(2, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.fed.Broker.SetLimit(broker.Limit{Bytes: 10, Status: 413})
	b.send()
	r := b.check()
	tells(t, named(t, r, "parked", "destination ams"), run.CheckWarn, "2 records were refused", "--retry-parked")
	b.set(`UPDATE ledger SET parked = 'odd'`)
	tells(t, named(t, b.check(), "parked", ""), run.CheckWarn, "records", "fedsite accounting records")
	if s := b.status(); s.Unsendable != 2 || s.Destinations[0].Parked != 2 {
		t.Errorf("%+v", s)
	}
}

// TestCheckCertificates: by how long they still are valid, read anew each time.
func TestCheckCertificates(t *testing.T) {
	b := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	end := b.status().Destinations[0].Certificates[0].NotAfter
	for left, want := range map[time.Duration]run.CheckState{15 * 24 * time.Hour: run.CheckOK, 13 * 24 * time.Hour: run.CheckWarn, 2 * 24 * time.Hour: run.CheckFail, -time.Hour: run.CheckFail} {
		now := end.Add(-left)
		i := slices.IndexFunc(b.status().Checks(now), func(c run.Check) bool { return c.Name == "certificate" })
		got := b.status().Checks(now)[i]
		if got.State != want || !strings.Contains(got.Reason, ", DN /") || (want != run.CheckOK && !strings.Contains(got.Remedy, "GOCDB")) {
			t.Errorf("%s left: %+v", left, got)
		}
	}
}
