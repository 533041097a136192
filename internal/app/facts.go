package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/health"
	"github.com/fedsite/fedsite/internal/images"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// known is what was read of a running service at one moment: what health, pages and metrics are made of.
type known struct {
	app    *App
	now    time.Time
	tasks  []tasks.Status
	status []accounting.Status             // by site, of those whose accounting is not disabled and could be read
	offers []discovery.Status              // likewise of discovery
	images []images.Status                 // likewise of images
	downs  map[string][]discovery.Downtime // by site's id
	unread []string
}

// recent is what was known, and what it means, a moment ago.
type recent struct {
	mu    sync.Mutex
	at    time.Time
	known known
	items []health.Item
}

// freshFor is how old what the pages and metrics show may be.
const freshFor = 5 * time.Second

// lately gives what is known, and the health that follows from it.
func (s *service) lately(ctx context.Context) (known, []health.Item) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime) // who asks may go away: others want to know, too
	defer cancel()
	r := &s.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.at) < freshFor && r.known.app == s.current.Load() {
		return r.known, r.items
	}
	r.known = s.know(ctx)
	f := s.facts(ctx, r.known)
	f.Service.Untold = s.watcher.Load().Untold()
	r.items = health.Assess(f)
	if err := health.Since(ctx, r.known.app.db, r.items); err != nil {
		s.log.Debug("since when things are as they are is not known", "error", err)
	}
	if r.at = time.Now(); len(f.Service.Unread) > 0 {
		r.at = time.Time{} // asked again at once
	}
	return r.known, r.items
}

// reports keeps the last report of each task, so that it is not read each time.
type reports struct {
	mu   sync.Mutex
	last map[string]tasks.Entry
	read time.Time
}

// reportsFor is how long they are kept: another process may erase a person from them.
const reportsFor = 5 * time.Minute

// forget drops all that are old, and those of tasks that are there no more.
func (r *reports) forget(all []tasks.Status, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.read).Abs() > reportsFor {
		clear(r.last)
		r.read = now
	}
	maps.DeleteFunc(r.last, func(name string, _ tasks.Entry) bool {
		return !slices.ContainsFunc(all, func(t tasks.Status) bool { return t.Name == name })
	})
}

// of gives the last report of a task that has ended.
func (r *reports) of(ctx context.Context, a *App, t tasks.Status) (tasks.Entry, error) {
	r.mu.Lock()
	e, ok := r.last[t.Name]
	r.mu.Unlock()
	if ok && e.Fence == t.Last.Fence {
		return e, nil
	}
	e, err := tasks.Report(ctx, a.db, t.Name, t.Last.Fence)
	if err != nil {
		return tasks.Entry{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]tasks.Entry{}
	}
	r.last[t.Name] = e
	return e, nil
}

// know reads what there is to know. What cannot be read is said, and the rest is still there.
func (s *service) know(ctx context.Context) known {
	a := s.current.Load()
	k := known{app: a, now: a.Now()}
	var err error
	if k.tasks, err = tasks.List(ctx, a.db); err != nil {
		k.unread = append(k.unread, "tasks: "+err.Error())
	}
	s.reports.forget(k.tasks, k.now)
	for _, c := range a.cfg.Sites {
		s.knowOffers(ctx, a, c, &k)
		s.knowImages(ctx, a, c, &k)
		if c.Accounting.Mode == site.Disabled {
			continue
		}
		status, err := accounting.ReadStatus(ctx, a.db, a.target(c), k.now)
		if err != nil {
			k.unread = append(k.unread, fmt.Sprintf("accounting of %s: %v", c.Site.Name, err))
			continue
		}
		k.status = append(k.status, status)
	}
	return k
}

// knowOffers reads what there is to know of a site's discovery, and of its downtimes.
func (s *service) knowOffers(ctx context.Context, a *App, c config.Site, k *known) {
	if c.Discovery.Mode == site.Disabled {
		return
	}
	t := a.published(c)
	status, err := discovery.ReadStatus(ctx, a.db, t)
	if err == nil {
		k.offers = append(k.offers, status)
		if k.downs == nil {
			k.downs = map[string][]discovery.Downtime{}
		}
		k.downs[c.Site.ID], err = discovery.Downtimes(ctx, a.db, t, k.now)
	}
	if err != nil {
		k.unread = append(k.unread, fmt.Sprintf("discovery of %s: %v", c.Site.Name, err))
	}
}

// knowImages reads what there is to know of a site's images.
func (s *service) knowImages(ctx context.Context, a *App, c config.Site, k *known) {
	if c.Images.Mode == site.Disabled {
		return
	}
	status, err := images.ReadStatus(ctx, a.db, &images.Target{Site: c.Site, Settings: imageSettings(c.Images)})
	if err != nil {
		k.unread = append(k.unread, fmt.Sprintf("images of %s: %v", c.Site.Name, err))
		return
	}
	k.images = append(k.images, status)
}

// facts gives what health is judged by.
func (s *service) facts(ctx context.Context, k known) health.Facts {
	f := health.Facts{Now: k.now, Service: health.Service{Started: s.since, Unread: k.unread,
		Backups: k.app.snapshots(), Backup: k.app.newestSnapshot(), Place: k.app.cfg.Store.BackupDir()}}
	if beat := s.sched.Beat(); !beat.IsZero() {
		f.Service.Beat = time.Since(beat)
	}
	if err := s.refused.Load(); err != nil {
		f.Service.Refused = (*err).Error()
	}
	for _, c := range k.app.cfg.Sites {
		h := health.Site{ID: c.Site.ID, Name: c.Site.Name, Modes: []health.Mode{
			{Part: string(site.Accounting), Off: c.Accounting.Mode == site.Disabled}, {Part: string(site.Discovery), Off: c.Discovery.Mode == site.Disabled}}}
		if len(c.Images.Sources) > 0 {
			h.Modes = append(h.Modes, health.Mode{Part: string(site.Images), Off: c.Images.Mode == site.Disabled})
		}
		for _, d := range k.downs[c.Site.ID] {
			h.Downtimes = append(h.Downtimes, health.Downtime{ID: d.ID, From: d.Start, To: d.End, Reason: d.Description, Outage: d.Outage, Clouds: d.Clouds, Asked: d.Asked})
		}
		if u, ok := c.Outdated(); ok {
			h.Broken, h.Remedy = u.Err.Error(), "mend "+u.File+", then systemctl reload fedsite; until then the last good configuration counts"
		}
		f.Sites = append(f.Sites, h)
	}
	for _, u := range k.app.unserved() {
		f.Sites = append(f.Sites, health.Site{ID: u.File, Name: cmp.Or(u.Site, u.File), Broken: u.Err.Error(), Remedy: "mend " + u.File + ", then systemctl reload fedsite", Lost: true})
	}
	for _, t := range k.tasks {
		task, err := s.fact(ctx, k.app, t)
		if err != nil {
			f.Service.Unread = append(f.Service.Unread, err.Error())
		}
		f.Tasks = append(f.Tasks, task)
	}
	f.Checks = append(f.Checks, storing(k.app.db))
	for _, status := range k.status {
		f.Checks = append(f.Checks, status.Checks(k.now)...)
	}
	for _, status := range k.offers {
		f.Checks = append(f.Checks, status.Checks(k.now)...)
	}
	for _, status := range k.images {
		f.Checks = append(f.Checks, status.Checks(k.now)...)
	}
	f.Checks = append(f.Checks, s.servers.checks()...)
	for _, m := range k.app.cfg.Mutes {
		f.Mutes = append(f.Mutes, health.Mute{Part: string(m.Part), Site: m.Site, Until: m.Until, Reason: m.Reason})
	}
	return f
}

// storing tells whether the database takes what is written. Each look at health writes, so that this is at most a minute old.
func storing(db *store.Store) run.Check {
	c := run.Check{Part: health.PartService, Name: "database", State: run.CheckOK, Reason: "it takes what is written"}
	if err := db.Trouble(); err != nil {
		c.State, c.Reason, c.Remedy = run.CheckFail, err.Error(), store.Hint(err)
	}
	return c
}

// fact gives what is known of a task.
func (s *service) fact(ctx context.Context, a *App, t tasks.Status) (health.Task, error) {
	h := health.Task{Name: t.Name, Site: t.Site, Created: s.since, NextDue: t.NextDue, LastSuccess: t.LastSuccess, Disabled: !t.Removed.IsZero() || t.Schedule == ""}
	h.Period = period(t, a.Now())
	if t.PausedUntil.After(a.Now()) {
		h.PausedUntil = t.PausedUntil
	}
	if t.Running != nil {
		h.Running, h.Since = true, t.Running.Since
	}
	if t.Last == nil {
		return h, nil
	}
	h.Last = &health.Run{Ended: t.Last.Ended, Outcome: t.Last.Outcome}
	e, err := s.reports.of(ctx, a, t)
	if err != nil {
		return h, fmt.Errorf("last report of %s: %w", t.Name, err)
	}
	if e.Report.Task != "" {
		report := e.Report
		h.Last.Report = &report
	}
	return h, nil
}

// period is how long it is from one slot of a task's schedule to the next.
func period(t tasks.Status, now time.Time) time.Duration {
	schedule, err := tasks.ParseSchedule(t.Schedule)
	if err != nil {
		return 0
	}
	next := schedule.Next(now)
	return schedule.Next(next).Sub(next)
}

// lastReport gives the report of a task's last run; nil when there is none.
func (s *service) lastReport(ctx context.Context, a *App, t tasks.Status) *run.Report {
	if t.Last == nil {
		return nil
	}
	e, err := s.reports.of(ctx, a, t)
	if err != nil || e.Report.Task == "" {
		return nil
	}
	return &e.Report
}
