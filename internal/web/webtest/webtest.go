// Package webtest has services in all conditions, made up, to look at their pages: in tests and in a browser.
package webtest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/web"
)

// Now is the time in all of them.
var Now = time.Date(2026, 11, 23, 12, 40, 5, 0, time.UTC)

// Source is a web.Source that gives what is in it.
type Source struct {
	Everything web.Overview
	Histories  map[string][]web.Run
	Reports    map[string]web.RunPage // by task and fence: "accounting.collect/a-12345678 7"
	Err        error                  // what everything answers, if not nil
}

// Overview gives a copy of it, because it is put in order.
func (s *Source) Overview(context.Context) (web.Overview, error) {
	o := s.Everything
	o.Places, o.Problems, o.Tasks = slices.Clone(o.Places), slices.Clone(o.Problems), slices.Clone(o.Tasks)
	return o, s.Err
}

// Task gives one of its tasks.
func (s *Source) Task(_ context.Context, name string) (web.TaskPage, error) {
	if s.Err != nil {
		return web.TaskPage{}, s.Err
	}
	for _, t := range s.Everything.Tasks {
		if t.Name == name {
			return web.TaskPage{Now: s.Everything.Now, Task: t, History: s.Histories[name], More: len(s.Histories[name]) > 20}, nil
		}
	}
	return web.TaskPage{}, fmt.Errorf("no task %q in this source: %w", name, web.ErrNotFound)
}

// Run gives one of its reports.
func (s *Source) Run(_ context.Context, task string, fence int64) (web.RunPage, error) {
	if s.Err != nil {
		return web.RunPage{}, s.Err
	}
	page, ok := s.Reports[key(task, fence)]
	if !ok {
		return web.RunPage{}, web.ErrNotFound
	}
	page.Problems, page.Checks = slices.Clone(page.Problems), slices.Clone(page.Checks)
	return page, nil
}

func key(task string, fence int64) string { return fmt.Sprint(task, " ", fence) }

// kinds of tasks, with their schedules and what they do.
var kinds = []struct{ name, part, schedule, what string }{
	{"accounting.collect", "accounting", "5 * * * *", "asks the clouds for new use of each project and writes it into the ledger"},
	{"accounting.send", "accounting", "*/5 * * * *", "sends what the accounting server has not got yet"},
	{"accounting.check", "accounting", "17 * * * *", "looks whether roles, certificate and topic are as they must be; it changes nothing"},
}

// site adds a site with its tasks and its place.
func (s *Source) site(id, name, mode string, health web.Health, ran bool) {
	s.Everything.Places = append(s.Everything.Places, web.Place{Part: "accounting", Site: id, SiteName: name, Mode: mode, Health: health})
	for i, k := range kinds {
		s.task(web.Task{Name: k.name + "/" + id, Part: k.part, Site: id, SiteName: name, Schedule: k.schedule, What: k.what,
			Due: Now.Add(time.Duration(3+7*i) * time.Minute)}, health.State, ran)
	}
}

// whole adds what is of no site.
func (s *Source) whole(health web.Health, ran bool) {
	s.Everything.Places = append(s.Everything.Places, web.Place{Part: "service", Health: health})
	for _, k := range [][3]string{{"service.snapshot", "0 3 * * *", "writes a copy of the database"}, {"service.retention", "30 3 * * *", "deletes what has been kept long enough"},
		{"service.digest", "0 7 * * *", "mails what is not well"}} {
		s.task(web.Task{Name: k[0], Part: "service", Schedule: k[1], What: k[2], Due: Now.Add(15 * time.Hour)}, web.OK, ran)
	}
}

// task adds a task with a history.
func (s *Source) task(t web.Task, state web.State, ran bool) {
	outcome := map[web.State]string{web.OK: "done", web.Warn: "partial", web.Fail: "failed"}[state]
	if ran && outcome != "" {
		for n := int64(24); n > 0; n-- {
			began := Now.Add(-time.Duration(24-n)*time.Hour - 35*time.Minute)
			r := web.Run{Task: t.Name, Fence: 100 + n, Cause: "schedule", Node: "cloud-ops-1", Slot: began.Truncate(time.Minute), Started: began, Ended: began.Add(41 * time.Second), Outcome: "done"}
			if n == 24 {
				r.Outcome = outcome
			}
			if r.Outcome == "failed" {
				r.Reason, r.Problems = "the database of Nova does not answer", 1
			}
			s.Histories[t.Name] = append(s.Histories[t.Name], r)
			s.Reports[key(t.Name, r.Fence)] = report(t, r)
		}
		last := s.Histories[t.Name][0]
		t.Last, t.LastDone = &last, last.Ended
	}
	s.Everything.Tasks = append(s.Everything.Tasks, t)
}

func report(t web.Task, r web.Run) web.RunPage {
	p := web.RunPage{Now: Now, Task: t, Run: r,
		Counts: []web.Count{{Name: "vms", Words: "VMs seen", N: 48213}, {Name: "records", Words: "records written", N: 1204}, {Name: "problems", N: int64(r.Problems)}},
		Steps: []web.Step{{Name: "collect", Started: r.Started, Ended: r.Started.Add(39 * time.Second)},
			{Name: "record", Started: r.Started.Add(39 * time.Second), Ended: r.Ended}}}
	if r.Outcome == "failed" {
		p.Problems = []web.Problem{{State: web.Fail, Site: t.Site, SiteName: t.SiteName, Cloud: "r1", Object: "cloud r1", Step: "collect", Reason: "503 from https://nova.example.org:8774/v2.1", Remedy: "see why Nova answers 503; the next run covers the window"}}
	}
	return p
}

func empty(since time.Time) *Source {
	return &Source{Everything: web.Overview{Now: Now, Version: "1.0.2", Node: "cloud-ops-1", Since: since}, Histories: map[string][]web.Run{}, Reports: map[string]web.RunPage{}}
}

// Nothing is a service without a site.
func Nothing() *Source { return empty(Now.Add(-time.Second)) }

// Fresh is a service that was started a moment ago: nothing has run yet.
func Fresh() *Source {
	s := empty(Now.Add(-8 * time.Second))
	s.site("example-cloud-3f9a2c71", "EXAMPLE-CLOUD", "observe", web.Health{State: web.Unknown, Reason: "nothing has run yet"}, false)
	s.whole(web.Health{State: web.Unknown, Reason: "no snapshot yet"}, false)
	return s
}

// Well is a site where all is well, and a run goes on.
func Well() *Source {
	s := empty(Now.Add(-73 * time.Hour))
	s.site("example-cloud-3f9a2c71", "EXAMPLE-CLOUD", "active", web.Health{State: web.OK, Reason: "collected to 12:00, nothing waits", Since: Now.Add(-70 * time.Hour)}, true)
	s.whole(web.Health{State: web.OK, Since: Now.Add(-73 * time.Hour)}, true)
	t := &s.Everything.Tasks[0]
	t.Running = &web.Run{Task: t.Name, Fence: 125, Cause: "schedule", Node: "cloud-ops-1", Started: Now.Add(-12 * time.Second),
		Progress: &web.Progress{Step: "collect", What: "projects of cloud r1", Done: 5, Total: 12, At: Now}}
	s.Reports[key(t.Name, 125)] = web.RunPage{Now: Now, Task: *t, Run: *t.Running}
	return s
}

// Troubled has several problems at two sites, a task that is paused and one that is overdue.
func Troubled() *Source {
	s := empty(Now.Add(-73 * time.Hour))
	s.site("example-cloud-3f9a2c71", "EXAMPLE-CLOUD", "active", web.Health{State: web.Fail, Reason: "nothing was sent for 7 h: the broker refuses the certificate", Remedy: "compare the certificate's DN with GOCDB", Since: Now.Add(-7 * time.Hour)}, true)
	s.site("second-cloud-00c1d2e3", "SECOND-CLOUD", "observe", web.Health{State: web.Warn, Reason: "one project is held", Since: Now.Add(-50 * time.Hour)}, true)
	s.site("third-cloud-11c1d2e3", "THIRD-CLOUD", "disabled", web.Health{State: web.Off, Reason: "accounting.mode is disabled"}, false)
	s.whole(web.Health{State: web.Warn, Reason: "the last snapshot is 3 days old", Remedy: "see whether /backup/fedsite is mounted", Since: Now.Add(-40 * time.Hour)}, true)
	send, collect := "accounting.send/example-cloud-3f9a2c71", "accounting.collect/second-cloud-00c1d2e3"
	s.Everything.Problems = []web.Problem{
		{State: web.Warn, Part: "accounting", Site: "second-cloud-00c1d2e3", SiteName: "SECOND-CLOUD", Cloud: "main", Object: "project 77d0a1c2 (vo.new.eu)", Step: "collect",
			Reason: "held: 8 of 8 VMs cannot be found any more, none of them is closed", Remedy: "see whether the cloud shows all its VMs: openstack server list --project 77d0a1c2; if they are gone for good: fedsite accounting release vo.new.eu", Since: Now.Add(-50 * time.Hour), Task: collect, Fence: 124},
		{State: web.Fail, Part: "accounting", Site: "example-cloud-3f9a2c71", SiteName: "EXAMPLE-CLOUD", Object: "destination msg.argo.grnet.gr", Step: "send",
			Reason: "authn answers 404: Binding was not found", Remedy: "compare the certificate's DN with the Host DN of eu.egi.cloud.accounting in GOCDB: openssl x509 -noout -subject -in /etc/grid-security/hostcert.pem", Since: Now.Add(-7 * time.Hour), Times: 84, Task: send, Fence: 124},
		{State: web.OK, Part: "accounting", Site: "second-cloud-00c1d2e3", SiteName: "SECOND-CLOUD", Object: "VM 4c1d2e3f-0000-4000-8000-1234567890ab", Reason: "cannot be found; it is looked for again", Task: collect, Fence: 124},
	}
	for i := range s.Everything.Tasks {
		switch t := &s.Everything.Tasks[i]; t.Name {
		case "accounting.check/second-cloud-00c1d2e3":
			t.PausedUntil = Now.Add(20 * time.Hour)
		case collect:
			t.Due = Now.Add(-14 * time.Minute)
		}
		if t := &s.Everything.Tasks[i]; t.Site == "third-cloud-11c1d2e3" {
			t.Disabled = true
		}
	}
	return s
}

// Muted has one site, whose troubles somebody has silenced.
func Muted() *Source {
	s := Well()
	h := web.Health{State: web.Off, Reason: "cloud r1: sign-in: muted until 2026-12-03 00:00 UTC (Keystone moves); fail: Keystone does not answer", Remedy: "openstack token issue", Since: Now.Add(-time.Hour)}
	p := &s.Everything.Places[0]
	p.Health = h
	s.Everything.Problems = []web.Problem{{State: web.Off, Part: "accounting", Site: p.Site, SiteName: p.SiteName, Cloud: "r1", Object: "sign-in", Reason: "muted until 2026-12-03 00:00 UTC (Keystone moves); fail: Keystone does not answer", Remedy: h.Remedy, Since: h.Since}}
	return s
}

// InDowntime has one site, whose cloud does not answer in a downtime that GOCDB tells of.
func InDowntime() *Source {
	s := Well()
	const why = "in downtime until 2026-11-23 18:00 UTC (a new switch)"
	p := &s.Everything.Places[0]
	p.Health = web.Health{State: web.InDowntime, Reason: "cloud r1: sign-in: " + why + "; fail: Keystone does not answer", Remedy: "openstack token issue", Since: Now.Add(-time.Hour)}
	s.Everything.Problems = []web.Problem{{State: web.InDowntime, Part: "accounting", Site: p.Site, SiteName: p.SiteName, Cloud: "r1", Object: "sign-in", Reason: why + "; fail: Keystone does not answer", Remedy: p.Health.Remedy, Since: p.Health.Since}}
	s.Everything.Places = append(s.Everything.Places, web.Place{Part: "downtime", Site: p.Site, SiteName: p.SiteName, Health: web.Health{State: web.InDowntime, Reason: why, Since: p.Health.Since}})
	return s
}

// Many has n sites, most of them well, and as many problems as are asked for.
func Many(n, problems int) *Source {
	s := empty(Now.Add(-73 * time.Hour))
	for i := range n {
		h := web.Health{State: web.OK, Since: Now.Add(-70 * time.Hour)}
		switch {
		case i%97 == 5:
			h = web.Health{State: web.Fail, Reason: "Keystone does not answer", Remedy: "openstack --os-cloud site token issue", Since: Now.Add(-3 * time.Hour)}
		case i%41 == 7:
			h = web.Health{State: web.Warn, Reason: "the certificate ends in 12 days", Remedy: "renew it", Since: Now.Add(-26 * time.Hour)}
		}
		s.site(fmt.Sprintf("site-%03d-0a1b2c3d", i), fmt.Sprintf("SITE-%03d", i), "active", h, true)
	}
	s.whole(web.Health{State: web.OK}, true)
	for i := range problems {
		s.Everything.Problems = append(s.Everything.Problems, web.Problem{State: web.Warn, Part: "accounting", Site: "site-007-0a1b2c3d", SiteName: "SITE-007", Object: fmt.Sprintf("VM %06d", i), Reason: "absurd times", Remedy: "look at it"})
	}
	return s
}
