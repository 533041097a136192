package accounting_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/apel"
)

const projectTwo = "22222222222222222222222222222222"

// turning is a world of two projects in which VMs of every kind begin, change and end around the end of March.
func turning() *world.World {
	w := small()
	w.Projects = append(w.Projects, world.Project{ID: projectTwo, Name: "vo-two", Properties: map[string]string{"VO": "biomed"}})
	for i := range w.Users[:4] {
		w.Users[i].Roles[projectTwo] = w.Users[i].Roles[project]
	}
	w.Users = append(w.Users, world.User{ID: "u-two", Name: "user-two@egi.eu"})
	vm(w, id(1), "2024-03-10")
	vm(w, id(2), "2024-03-11", on(world.Resize, "2024-03-31T23:00", "2"), on(world.Confirm, "2024-03-31T23:01"))
	vm(w, id(3), "2024-03-12", on(world.Delete, "2024-03-31T22:30"))
	vm(w, id(4), "2024-03-31T21:00")
	vm(w, id(5), "2024-03-31T23:30", on(world.Delete, "2024-04-01T01:00"))
	vm(w, id(6), "2024-03-13", on(world.Delete, "2024-03-20"))
	w.Add(world.VM{ID: id(7), Project: project, User: "u-one", Name: "never", Flavor: "1", Created: moment("2024-03-31T22:00"), Events: []world.Event{on(world.Fail, "2024-03-31T22:01")}})
	for n, created := range []string{"2024-03-14", "2024-04-01T02:00"} {
		at := moment(created)
		w.Add(world.VM{ID: id(11 + n), Project: projectTwo, User: "u-two", Name: "two", Flavor: "2", Image: "image-2", Created: at, Events: []world.Event{{At: at.Add(time.Minute), Kind: world.Launch}}})
	}
	w.Happen(id(11), on(world.Stop, "2024-04-01T03:00"))
	w.Happen(id(11), on(world.Resize, "2024-04-01T08:00", "1"))
	w.Happen(id(11), on(world.Confirm, "2024-04-01T08:01"))
	return w
}

// moments are when the runs of the course are.
var moments = []string{"2024-03-31T20:05:00Z", "2024-03-31T20:35:00Z", "2024-04-01T06:05:00Z", "2024-04-01T12:05:00Z"}

// course is a course of runs of two sites over a month's end, which can be run again and again.
type course struct {
	*bed
	other   *accounting.Target
	set     [2]*faults.Set // of the first site's cloud, and of the federation
	hasty   *transport.Client
	patient *transport.Client
	path    string            // of the database
	start   map[string][]byte // its files before the run that is spoiled
	spoiled int               // which run that is
	arrived int               // messages that arrived before this course
	earlier []string
	asked   [2][]string      // requests of the spoiled run, undisturbed
	states  []map[string]any // after each run, undisturbed
	kept    map[string]apelserver.Row
	struck  int  // requests, so far
	both    bool // the second site runs too
}

// newCourse runs the course undisturbed.
func newCourse(t *testing.T, spoiled int) *course {
	cfg := onDisk(t)
	c := &course{bed: newBed(t, turning(), cfg, moments[0], "2024-03-01"), path: cfg.Path, spoiled: spoiled, both: true}
	c.set = [2]*faults.Set{c.faults, c.fed.Faults}
	c.target.Settings.MaxRecords = 3
	c.other = c.site("SITE-B", "site-b", "cloud-b", nil, "2024-03-01")
	c.other.Destinations = []accounting.Destination{c.broker("SITE-B")}
	w := small()
	vm(w, "bbbbbbbb-0000-4000-8000-000000000001", "2024-03-15")
	vm(w, "bbbbbbbb-0000-4000-8000-000000000002", "2024-03-16", on(world.Delete, "2024-03-31T23:59:30"))
	second := c.cloudOf(w)
	c.hasty, c.patient = c.client(transport.Retry{}), c.client(transport.Retry{Attempts: 2, Base: time.Millisecond, Max: time.Second})
	c.other.Clouds[0].Source = c.fresh(c.hasty, second.AuthURL())
	c.other.Clouds[0].Parallel, c.target.Clouds[0].Parallel = 1, 1
	for i := range moments {
		if i == spoiled {
			c.start = c.snapshot()
			for k, s := range c.set {
				s.Watch(func(r *http.Request) {
					if strings.HasPrefix(r.URL.Path, "/identity") || strings.HasPrefix(r.URL.Path, "/compute") || strings.HasPrefix(r.URL.Path, "/image") || strings.HasPrefix(r.URL.Path, "/v1") {
						c.asked[k] = append(c.asked[k], r.Method+" "+r.URL.RequestURI())
					}
				})
			}
		}
		for _, r := range c.run(i, c.hasty) {
			c.clean(r)
		}
		if i == spoiled {
			for _, s := range c.set {
				s.Watch(nil)
			}
		}
		c.runB(i)
		c.states = append(c.states, c.state())
		if i < spoiled {
			for _, r := range c.fed.Received() {
				c.earlier = append(c.earlier, string(r.Body))
			}
		}
	}
	c.kept = c.keptRows()
	return c
}

func (c *course) client(r transport.Retry) *transport.Client {
	client, err := transport.New(transport.Config{Timeout: 10 * time.Second, Retry: r})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(client.CloseIdleConnections)
	return client
}

// fresh is the way of a new process to a cloud.
func (c *course) fresh(client *transport.Client, url string) accounting.Source {
	cloud, err := openstack.New(openstack.Config{AuthURL: url, HTTP: client.Client, Now: c.clock.now, MaxSkew: 5 * time.Minute, PageSize: 3,
		Credential: func() (openstack.Credential, error) {
			return openstack.Credential{Username: "reader", Password: "secret"}, nil
		}})
	if err != nil {
		c.t.Fatal(err)
	}
	return app.CloudSource(cloud)
}

// snapshot reads the database's files.
func (c *course) snapshot() map[string][]byte {
	files := map[string][]byte{}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(c.path + suffix)
		if err != nil {
			c.t.Fatal(err)
		}
		files[suffix] = data
	}
	return files
}

// rewind brings everything back to what it was before the run that is spoiled.
func (c *course) rewind(t *testing.T) {
	c.t = t
	path := filepath.Join(t.TempDir(), "fedsite.db")
	for suffix, data := range c.start {
		if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if c.db, err = store.Open(t.Context(), store.Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.db.Close() })
	c.fed.Server = apelserver.New()
	for _, body := range c.earlier {
		c.fed.Server.Load([]byte(body), "")
	}
	c.arrived = len(c.fed.Received())
}

// run is the i-th run of the first site: a process that collects, and one that sends.
func (c *course) run(i int, client *transport.Client) []run.Report {
	c.target.Clouds[0].Source = c.fresh(client, c.cloud.AuthURL())
	return []run.Report{c.collect(moments[i]), c.slowly()}
}

// runB is that of the second site, which nothing that befalls the first one may disturb.
func (c *course) runB(i int) {
	c.t.Helper()
	if !c.both || (i != c.spoiled && i != len(moments)-1) {
		return
	}
	c.clean(c.collectFor(c.other, moments[i], accounting.Ask{}))
	c.clean(c.sendFor(c.other))
}

// state is what the store holds of the first site: wire texts, windows done and messages.
func (c *course) state() map[string]any {
	all := map[string]any{"marks": c.count(`SELECT coalesce(sum(to_time - from_time), 0) FROM collected WHERE cloud = 'cloud-a'`),
		"unsettled": c.count(`SELECT count(*) FROM message WHERE site = 'site-a' AND state <> 'sent' AND state <> 'split'`)}
	for key, text := range c.wires() {
		all[key] = text
	}
	return all
}

func (c *course) keptRows() map[string]apelserver.Row {
	all := map[string]apelserver.Row{}
	for _, r := range c.fed.Server.Kept() {
		if r.SiteName != c.target.Site.Name && !c.both {
			continue // the second site did not run
		}
		r.DN = "" // the earlier ones were loaded without one
		all[fmt.Sprint(r.VMUUID, " ", r.Year, "-", r.Month)] = r
	}
	return all
}

// strike lets an effect befall the n-th request of that kind in the spoiled run.
func (c *course) strike(where int, key string, nth int, e faults.Effect) {
	c.set[where].Add(faults.Fault{Nth: nth, Effect: e, Fits: func(r *http.Request) bool { return r.Method+" "+r.URL.RequestURI() == key }})
}

// spoil runs the course with what was armed, then undisturbed to its end, and compares. It gives the reports of the
// spoiled run.
func (c *course) spoil(client *transport.Client) []run.Report {
	c.t.Helper()
	reports := c.run(c.spoiled, client)
	if n := c.set[0].Struck() + c.set[1].Struck(); n == c.struck {
		c.t.Error("nothing was struck")
	} else {
		c.struck = n
	}
	for _, s := range c.set {
		s.Clear()
	}
	c.runB(c.spoiled)
	c.judge(reports)
	if _, err := accounting.Unpark(context.Background(), c.db, c.target.Site.ID, c.target.Destinations[0]); err != nil {
		c.t.Fatal(err)
	}
	for i := c.spoiled + 1; i < len(moments); i++ {
		for _, r := range c.run(i, c.hasty) {
			c.clean(r)
		}
		c.runB(i)
	}
	c.ended(reports)
	c.onceAndForwards()
	return reports
}

// judge checks that what the run left undone is in its report, in full.
func (c *course) judge(reports []run.Report) {
	c.t.Helper()
	var problems, notices int
	for _, r := range reports {
		for _, p := range r.Problems {
			if p.Notice {
				notices++
			} else {
				problems++
			}
			if p.Object == "" || p.Reason == "" || (p.Hint == "" && !p.Notice) {
				c.t.Errorf("a problem without object, reason or hint: %+v", p)
			}
		}
		if (r.Outcome == run.Done) != (r.Exit() == run.ExitDone) {
			c.t.Errorf("outcome %s, exit %d", r.Outcome, r.Exit())
		}
	}
	want, got := c.states[c.spoiled], c.state()
	if (want["marks"] != got["marks"] || want["unsettled"] != got["unsettled"]) && problems == 0 {
		c.t.Errorf("something is left to the next run, and no problem says so (-undisturbed +got):\n%s", cmp.Diff(want, got))
	}
	if d := cmp.Diff(want, got); d != "" && problems+notices == 0 {
		c.t.Errorf("silent (-undisturbed +got):\n%s", d)
	}
}

// ended compares ledger and server with those of the undisturbed course. What the reports said could not be read may
// differ, and nothing else: the names of users in rows that were made without them, and CPU where a resize could not be
// dated, up to the possible error that was reported.
func (c *course) ended(reports []run.Report) {
	c.t.Helper()
	nameless, possible := false, int64(0)
	for _, r := range reports {
		for _, p := range r.Problems {
			nameless = nameless || strings.HasPrefix(p.Object, "user") || strings.Contains(p.Reason, "names of users")
			if _, text, ok := strings.Cut(p.Reason, "possible error "); ok {
				var vcpus, seconds int64
				if _, err := fmt.Sscanf(text, "%d vCPU × %d s", &vcpus, &seconds); err != nil {
					c.t.Errorf("%q: %v", text, err)
				}
				possible = max(possible, vcpus*seconds)
			}
		}
	}
	same := cmp.Options{
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".GlobalUserName" && nameless }, cmp.Ignore()),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".CPU" && possible > 0 },
			cmp.Comparer(func(a, b *int64) bool { return max(*a-*b, *b-*a) <= possible })),
	}
	want, got := maps.Clone(c.states[len(moments)-1]), c.state()
	if nameless || possible > 0 {
		for _, s := range []map[string]any{want, got} {
			maps.DeleteFunc(s, func(_ string, v any) bool { _, wire := v.(string); return wire }) // the server has the same texts
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		c.t.Errorf("at the end (-undisturbed +got):\n%s", d)
	}
	kept := maps.Clone(c.kept)
	maps.DeleteFunc(kept, func(_ string, r apelserver.Row) bool { return r.SiteName != c.target.Site.Name && !c.both })
	if d := cmp.Diff(kept, c.keptRows(), same); d != "" {
		c.t.Errorf("what the server keeps (-undisturbed +got):\n%s", d)
	}
}

// onceAndForwards checks what arrived: each text of a record in one message only, and no record older than one before.
func (c *course) onceAndForwards() {
	c.t.Helper()
	in := map[string]string{}
	last := map[string]apel.CloudRecord{}
	for _, r := range c.fed.Received()[c.arrived:] {
		if !r.Accepted {
			c.t.Errorf("message %s was rejected: %s", r.Empaid, r.Reason)
		}
		all, err := apel.ParseCloud(r.Body)
		if err != nil {
			c.t.Fatal(err)
		}
		for i, text := range apel.SplitCloud(r.Body) {
			if first, ok := in[text]; ok && first != r.Empaid {
				c.t.Errorf("sent in %s and again in %s:\n%s", first, r.Empaid, text)
			}
			in[text] = r.Empaid
			key := all[i].VMUUID + " " + accounting.Period(all[i].Measured())
			if was, ok := last[key]; ok && (all[i].WallDuration < was.WallDuration || all[i].CPUDuration < was.CPUDuration) {
				c.t.Errorf("%s went back from %d to %d s wall, %d to %d s CPU", key, was.WallDuration, all[i].WallDuration, was.CPUDuration, all[i].CPUDuration)
			}
			last[key] = all[i]
		}
	}
}

// TestEveryFaultAtEveryRequest spoils a run by every named fault at every request of it, each alone, and lets the course
// go on.
func TestEveryFaultAtEveryRequest(t *testing.T) {
	for _, spoiled := range []int{0, 2} {
		t.Run(fmt.Sprint("run ", spoiled+1), func(t *testing.T) {
			t.Parallel()
			c := newCourse(t, spoiled)
			t.Logf("%d requests to OpenStack, %d to the federation", len(c.asked[0]), len(c.asked[1]))
			cases, ran := 0, 0
			for where, keys := range c.asked {
				times := map[string]int{}
				for n, key := range keys {
					times[key]++
					for _, f := range faults.All() {
						if !concerns(f, where, key) {
							continue
						}
						if cases++; (testing.Short() || era.Name != emulated.Current.Name) && cases%7 != 0 {
							continue
						}
						ran++
						t.Run(fmt.Sprintf("%s at %d %s", f.Name, n+1, key), func(t *testing.T) {
							c.rewind(t)
							c.both = cases%5 == 0
							e := quick(f.Fault.Effect)
							c.strike(where, key, times[key], e)
							reports := c.spoil(c.patient)
							if f.Heals && where == 0 && strings.HasPrefix(key, "GET") {
								for _, r := range reports {
									c.clean(r)
								}
							}
						})
					}
				}
			}
			t.Logf("%d of %d courses", ran, cases)
		})
	}
}

// concerns tells whether a named fault makes sense at a request to the cloud (0) or the federation (1).
func concerns(f faults.Named, where int, key string) bool {
	listing := strings.Contains(key, "/servers/detail")
	switch f.Place {
	case faults.Cloud:
		if f.Name == "404" && strings.Contains(key, "/users/") {
			return false // a user that was deleted: no fault
		}
		if (f.Name == "404" || f.Name == "403") && strings.Contains(key, "/flavors/") {
			return false // a flavor that was deleted, or may not be read: what else tells its size has no benchmark
		}
		general := f.Name == "cut" || f.Name == "no-answer" || f.Name == "wrong-type"
		return (where == 0 && (listing || f.Name != "page-repeats")) || (where == 1 && general)
	case faults.Broker:
		return where == 1
	case faults.Authn:
		return where == 1 && strings.Contains(key, ":authx509")
	}
	return false
}

// quick is an effect without the times that only people need to see something.
func quick(e faults.Effect) faults.Effect {
	e.Delay = min(e.Delay, 2*time.Millisecond)
	e.RetryIn = min(e.RetryIn, time.Millisecond)
	if e.RetryAfter == "1" {
		e.RetryAfter = "0"
	}
	return e
}
