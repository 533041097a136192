package discovery

import (
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// part is discovery's name in reports.
const part = string(site.Discovery)

// From when on something is worth a warning, or a failure: a run is due every half hour.
const (
	lateWarn = 2 * time.Hour
	lateFail = 12 * time.Hour
	tlsWarn  = 14 * 24 * time.Hour
	tlsFail  = 3 * 24 * time.Hour
)

// Checks gives what a status means: shares that are old or not known, sinks that are behind. It asks nobody.
func (s Status) Checks(now time.Time) []run.Check {
	if s.Mode == site.Disabled {
		return nil
	}
	var all []run.Check
	add := func(found run.Check) {
		found.Part, found.Site, found.Stored = part, s.Site, true
		all = append(all, found)
	}
	if !s.Taken.IsZero() {
		add(s.takenCheck(now))
	}
	for _, e := range s.Endpoints {
		for _, sh := range e.Shares {
			add(sh.check(s.KeepFor))
		}
	}
	if s.Mode != site.Active {
		return all
	}
	if len(s.Sinks) == 0 {
		add(run.Check{Name: "published", State: run.CheckFail, Reason: "no sink is configured: nothing is published", Remedy: "name one under discovery.publish"})
	}
	for _, k := range s.Sinks {
		add(k.check(now))
	}
	return all
}

func (s Status) takenCheck(now time.Time) run.Check {
	shares, fresh := 0, 0
	for _, e := range s.Endpoints {
		for _, sh := range e.Shares {
			shares++
			if sh.State == Fresh {
				fresh++
			}
		}
	}
	found := run.Check{Name: "catalog", State: run.CheckOK, Reason: fmt.Sprintf("the clouds were last asked at %s UTC: %d of %d shares fresh", s.Taken.Format("2006-01-02 15:04"), fresh, shares)}
	switch late := now.Sub(s.Taken); {
	case shares == 0:
		found.State, found.Reason, found.Remedy = run.CheckWarn, "no project belongs to a VO: there is nothing to publish", "openstack project set --property egi.VO=<vo> <project>, or name VOs under vos: in the configuration"
	case late > lateFail:
		found.State = run.CheckFail
	case late > lateWarn:
		found.State = run.CheckWarn
	}
	if found.State != run.CheckOK && found.Remedy == "" {
		found.Remedy = "see whether the task discovery.publish runs: fedsite tasks list"
	}
	return found
}

// check says how fresh a share is, with the reason.
func (s ShareStatus) check(keepFor time.Duration) run.Check {
	found := run.Check{Cloud: s.Cloud, Name: "share", Object: fmt.Sprintf("VO %s, project %s", run.Line(s.VO, 100), s.Project), State: run.CheckOK, Reason: fmt.Sprintf("%d %s, %d %s", s.Images, plural(int64(s.Images), "image"), s.Flavors, plural(int64(s.Flavors), "flavor"))}
	if len(s.Troubles) == 0 {
		if s.State == Unknown {
			found.State, found.Reason = run.CheckFail, "nothing is known of it yet"
		}
		return found
	}
	var why []string
	for _, t := range s.Troubles {
		why = append(why, t.String())
	}
	reason := strings.Join(why, "; ")
	found.Remedy = s.Troubles[0].Hint
	switch s.State {
	case Unknown:
		found.State, found.Reason = run.CheckFail, "it is not published: nothing is known of it: "+reason
	case Stale:
		found.State, found.Reason = run.CheckWarn, fmt.Sprintf("published as it was at %s UTC, for %s at most: %s", s.AsOf.Format("2006-01-02 15:04"), keepFor, reason)
	default:
		found.State, found.Reason = run.CheckWarn, "not all of it is known: "+reason
	}
	return found
}

// check says whether a sink has what it is to have.
func (k SinkStatus) check(now time.Time) run.Check {
	found := run.Check{Name: "published", Object: "sink " + k.Name, State: run.CheckOK, Reason: "it has all documents"}
	switch {
	case len(k.Missing) > 0 && k.Delivered.IsZero():
		found.State, found.Reason = run.CheckFail, "nothing was published there yet"
	case len(k.Missing) > 0:
		found.State, found.Reason = run.CheckFail, "it never got the document of "+run.Line(strings.Join(k.Missing, ", "), 200)
	case now.Sub(k.Delivered) > lateFail:
		found.State, found.Reason = run.CheckFail, "what it has is of "+k.Delivered.Format("2006-01-02 15:04")+" UTC"
	}
	if found.State != run.CheckOK {
		found.Remedy = "the last run of discovery.publish says why; fedsite discovery publish tries now, and says so, too"
	}
	return found
}
