package health

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// From when on something is worth a warning, or a failure.
const (
	staleLeast = 30 * time.Minute // a task without success; or three periods, if that is longer
	staleFail  = 24 * time.Hour   // the same
	overdue    = 15 * time.Minute // a task that is due and does not run
	endless    = 24 * time.Hour   // a run
	beatFail   = time.Minute      // the scheduler's loop
	backupWarn = 48 * time.Hour
	backupFail = 7 * 24 * time.Hour
)

// assessment is one look at the facts.
type assessment struct {
	Facts
	ids   map[string]string // of sites, by name
	names map[string]string // and the other way
	items []Item

	downtimes map[string][]Downtime // of sites, by id
}

// Assess says of everything in the facts how it is, the worst first.
func Assess(f Facts) []Item {
	a := &assessment{Facts: f, ids: map[string]string{}, names: map[string]string{}, downtimes: map[string][]Downtime{}}
	for _, s := range f.Sites {
		a.ids[s.Name], a.names[s.ID], a.downtimes[s.ID] = s.ID, s.Name, s.Downtimes
	}
	a.service()
	for _, s := range f.Sites {
		a.site(s)
		a.declared(s)
	}
	for _, t := range f.Tasks {
		a.task(t)
	}
	a.checks()
	for i := range a.items {
		a.mute(&a.items[i])
		a.excuse(&a.items[i])
	}
	order(a.items)
	return a.items
}

// add adds an item; of one thing the worse finding stays.
func (a *assessment) add(i Item) {
	if i.SiteID == "" {
		i.SiteID = a.ids[i.Site]
	}
	if name, ok := a.names[i.SiteID]; ok {
		i.Site = name
	}
	key := i.key()
	if n := slices.IndexFunc(a.items, func(o Item) bool { return o.key() == key }); n >= 0 {
		if i.State.rank() > a.items[n].State.rank() {
			a.items[n] = i
		}
		return
	}
	a.items = append(a.items, i)
}

// off tells whether a part of a site is disabled.
func (a *assessment) off(siteID, part string) bool {
	return slices.ContainsFunc(a.Sites, func(s Site) bool { return s.ID == siteID && slices.Contains(s.Modes, Mode{part, true}) })
}

// service judges the process and its store.
func (a *assessment) service() {
	s := a.Service
	loop := Item{Part: PartService, Name: "scheduler", State: OK, Reason: "its loop goes round"}
	switch {
	case s.Beat == 0:
		loop.State, loop.Reason = Unknown, "this process does not run it"
	case s.Beat > beatFail:
		loop.State, loop.Reason = Fail, fmt.Sprintf("its loop has not gone round for %s", span(s.Beat))
		loop.Remedy = "systemctl restart fedsite; what it was at is in its log"
	}
	a.add(loop)
	if s.Backups {
		a.add(a.backup())
	}
	if s.Refused != "" {
		a.add(Item{Part: PartConfig, Name: "reload", State: Warn, Reason: "the last reload changed nothing: " + s.Refused, Remedy: "fedsite config check, then systemctl reload fedsite"})
	}
	if len(s.Unread) > 0 {
		a.add(Item{Part: PartService, Name: "facts", State: Warn, Reason: s.Unread[0], More: s.Unread[1:], Remedy: "see whether the database can be reached; what is said of the rest may be old"})
	}
	messages := Item{Part: PartService, Name: "messages", State: OK, Reason: "all were delivered"}
	if len(s.Untold) > 0 {
		messages.State, messages.Reason, messages.More = Warn, "could not be delivered: "+s.Untold[0], s.Untold[1:]
		messages.Remedy = "check notify: in the configuration; it is tried again every minute"
	}
	a.add(messages)
}

func (a *assessment) backup() Item {
	s := a.Service
	i := Item{Part: PartService, Name: "backup", State: OK, Reason: "the newest is of " + stamp(s.Backup)}
	since := s.Backup
	if since.IsZero() {
		since, i.Reason = s.Started, "none was made yet"
	}
	switch age := a.Now.Sub(since); {
	case since.IsZero():
	case age > backupFail:
		i.State = Fail
	case age > backupWarn:
		i.State = Warn
	}
	if i.State.Bad() {
		i.Remedy = "fedsite tasks run service.snapshot; look for room and rights in " + s.Place
	}
	return i
}

// site judges a site's file and tells which of its parts are off.
func (a *assessment) site(s Site) {
	file := Item{Part: PartConfig, SiteID: s.ID, Name: "site file", State: OK, Reason: "is in force"}
	if s.Broken != "" {
		file.State, file.Reason, file.Remedy = Fail, "the last good one stays in force: "+s.Broken, s.Remedy
		if s.Lost {
			file.Reason = "nothing is done for the site: " + s.Broken
		}
		if file.Remedy == "" {
			file.Remedy = "mend it, then systemctl reload fedsite"
		}
	}
	a.add(file)
	for _, m := range s.Modes {
		if m.Off {
			a.add(Item{Part: m.Part, SiteID: s.ID, Name: "mode", State: Off, Reason: "mode is disabled"})
		}
	}
}

// task judges a task by its history, and what its last run reported.
func (a *assessment) task(t Task) {
	kind, _, _ := strings.Cut(t.Name, "/")
	part, _, _ := strings.Cut(kind, ".")
	if t.Disabled || a.off(t.Site, part) {
		return
	}
	i := Item{Part: part, SiteID: t.Site, Name: "task " + kind, Task: t.Name, State: OK}
	if t.PausedUntil.After(a.Now) {
		i.State, i.Reason, i.Remedy = Off, "paused until "+stamp(t.PausedUntil), "fedsite tasks resume "+t.Name
	} else {
		a.ran(&i, t)
	}
	a.add(i)
	if t.Last == nil || t.Last.Report == nil {
		return
	}
	p := problems(*t.Last.Report)
	p.Part, p.SiteID, p.Name, p.Task, p.hold = part, t.Site, "problems of "+kind, t.Name, again(t)
	if i.State == Off {
		p.State, p.Reason, p.Remedy, p.More = Off, i.Reason, i.Remedy, nil
	}
	a.add(p)
}

// again is how long a finding of a run must stand before anybody is told: until the next run has found it too.
func again(t Task) time.Duration { return max(staleLeast, t.Period+t.Period/4) }

// ran judges whether a task runs, and succeeds.
func (a *assessment) ran(i *Item, t Task) {
	show := "fedsite tasks show " + t.Name
	since := t.LastSuccess
	if since.IsZero() {
		since = t.Created
	}
	late := t.Period > 0 && !since.IsZero() && a.Now.Sub(since) > max(3*t.Period, staleLeast)
	i.hold = again(t)
	switch {
	case t.Last == nil && !late:
		i.State, i.Reason = Unknown, "has not run yet"
		switch {
		case t.Running:
			i.Reason = "runs for the first time"
		case t.NextDue.After(a.Now) && a.Now.Sub(t.Created) < t.Period: // nothing is missing yet
			i.State, i.Reason = OK, "runs for the first time at "+stamp(t.NextDue)
		}
	case t.Last == nil:
		i.State, i.Reason, i.Remedy = Warn, "has never run", "see whether the service runs, and whether limits: leave it room: "+show
	case good(t.Last.Outcome):
		i.Reason = "last run: " + stamp(t.Last.Ended)
	default:
		i.State, i.Reason, i.Remedy = Warn, fmt.Sprintf("last run: %s, %s", stamp(t.Last.Ended), t.Last.Outcome), show
		if why, remedy, clouds := cause(t.Last.Report); why != "" {
			i.clouds = clouds
			i.Reason += ": " + why
			if remedy != "" {
				i.Remedy = remedy
			}
		}
	}
	if late {
		i.State, i.hold = Warn, 0
		if a.Now.Sub(since) > max(3*t.Period, staleFail) {
			i.State = Fail
		}
		if t.LastSuccess.IsZero() {
			i.Reason += "; it never succeeded"
		} else {
			i.Reason += "; no success since " + stamp(t.LastSuccess)
		}
		if i.Remedy == "" {
			i.Remedy = show
		}
	}
	if t.Running && a.Now.Sub(t.Since) > endless {
		i.State, i.Reason, i.Remedy = worse(i.State, Warn), "runs since "+stamp(t.Since), "fedsite tasks cancel "+t.Name
	}
	if !t.Running && !t.NextDue.IsZero() && a.Now.Sub(t.NextDue) > overdue {
		i.State, i.Reason = worse(i.State, Warn), fmt.Sprintf("due since %s, and nothing runs it", stamp(t.NextDue))
		i.Remedy = "see whether the service runs, and whether limits: leave it room"
	}
}

// good tells whether a run with this outcome did its main work, or was ended by an operator.
func good(outcome string) bool {
	return outcome == string(run.Done) || outcome == string(run.Partial) || outcome == "cancelled"
}

func worse(a, b State) State {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// cause gives why a run failed, and at which clouds.
func cause(r *run.Report) (reason, remedy string, clouds []string) {
	if r == nil {
		return "", "", nil
	}
	for _, p := range r.Problems {
		if !p.Failed {
			continue
		}
		if clouds = append(clouds, p.Cloud); len(clouds) == 1 {
			reason, remedy = p.Object+": "+p.Reason, p.Hint
		}
	}
	return reason, remedy, clouds
}

// problemsShown is how many problems of a run an item lists.
const problemsShown = 20

// problems makes one item of all that a run skipped: VMs, projects, clouds. What made it fail is told of the task.
func problems(r run.Report) Item {
	i := Item{State: OK, Reason: "none"}
	n := 0
	for _, p := range r.Problems {
		if p.Notice || p.Failed {
			continue
		}
		text := p.Object + ": " + p.Reason
		if p.Cloud != "" && !strings.Contains(p.Object, p.Cloud) {
			text = "cloud " + p.Cloud + ", " + text
		}
		i.clouds = append(i.clouds, p.Cloud)
		if n++; n == 1 {
			i.State, i.Reason, i.Remedy = Warn, text, p.Hint
			continue
		}
		if p.Hint != "" {
			text += " → " + p.Hint
		}
		if n <= problemsShown {
			i.More = append(i.More, text)
		}
	}
	if rest := n - problemsShown + r.Dropped; n > 0 && rest > 0 {
		i.More = append(i.More, fmt.Sprintf("and %d more", rest))
	}
	if r.Dropped > 0 {
		i.clouds = append(i.clouds, "")
	}
	if r.Outcome == run.Failed && n == 0 { // it did not come so far
		i.State, i.Reason = Unknown, "the last run failed"
	}
	return i
}

// checks judges what was checked: what the stores say now, then the last reports.
func (a *assessment) checks() {
	live := map[[2]string]bool{} // part and site of which the stores say something
	for _, c := range a.Checks {
		live[[2]string{c.Part, c.Site}] = true
		if !a.off(a.ids[c.Site], c.Part) {
			a.check(c, "", 0)
		}
	}
	for _, t := range a.Tasks {
		if t.Disabled || t.Last == nil || t.Last.Report == nil {
			continue
		}
		for _, c := range t.Last.Report.Checks {
			if a.off(a.ids[c.Site], c.Part) || (c.Stored && live[[2]string{c.Part, c.Site}]) {
				continue
			}
			if old := t.Last.Ended; a.Now.Sub(old) > max(3*t.Period, staleFail) {
				c.State, c.Reason = "", fmt.Sprintf("was %s on %s, and was not checked since: %s", c.State, stamp(old), c.Reason)
			}
			if t.PausedUntil.After(a.Now) && c.State != run.CheckSkip {
				a.add(Item{Part: c.Part, Site: c.Site, Cloud: c.Cloud, Object: c.Object, Name: c.Name, State: Off, Task: t.Name,
					Reason: "not checked: its task is paused until " + stamp(t.PausedUntil), Remedy: "fedsite tasks resume " + t.Name})
				continue
			}
			a.check(c, t.Name, again(t))
		}
	}
}

// check makes an item of a check. One that was skipped says nothing of the thing.
func (a *assessment) check(c run.Check, task string, hold time.Duration) {
	i := Item{Part: c.Part, Site: c.Site, Cloud: c.Cloud, Object: c.Object, Name: c.Name, Reason: c.Reason, Remedy: c.Remedy, Task: task}
	switch c.State {
	case run.CheckSkip:
		return
	case run.CheckOK:
		i.State = OK
	case run.CheckWarn:
		i.State, i.hold = Warn, hold
	case run.CheckFail:
		i.State, i.urgent = Fail, c.Name == "certificate"
	default:
		i.State = Unknown
	}
	a.add(i)
}

// mute switches an item off that somebody has silenced.
func (a *assessment) mute(i *Item) {
	for _, m := range a.Mutes {
		if !i.State.Bad() || !a.Now.Before(m.Until) || (m.Part != "" && m.Part != i.Part) || (m.Site != "" && m.Site != i.Site) {
			continue
		}
		i.Behind, i.State = i.State, Off
		i.Reason = fmt.Sprintf("muted until %s", stamp(m.Until)) + reasoned(m.Reason) + "; " + string(i.Behind) + ": " + i.Reason
	}
}

func reasoned(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}

// stamp gives a time as it is shown, to the minute.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04") + " UTC"
}

// span gives a duration as it is shown.
func span(d time.Duration) string {
	if d >= time.Hour {
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}
