package accounting

import (
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// From when on something is worth a warning, or a failure.
const (
	lateWarn   = 6 * time.Hour
	lateFail   = 24 * time.Hour
	expiryWarn = 14 * 24 * time.Hour
	expiryFail = 3 * 24 * time.Hour
	monthGrace = 6 * time.Hour // after a month's end
)

// Checks gives what a status means: what is late, has a gap, is held or parked, ends soon. It asks nobody.
func (s Status) Checks(now time.Time) []run.Check {
	var all []run.Check
	add := func(found run.Check) {
		found.Part, found.Site, found.Stored = part, s.Site, true
		all = append(all, found)
	}
	if s.Mode == site.Disabled {
		return nil
	}
	for _, c := range s.Clouds {
		s.cloudChecks(c, now, add)
	}
	for _, d := range s.Destinations {
		for _, cert := range d.Certificates {
			found := cert.check(now)
			if found.Object = fmt.Sprintf("%s certificate of destination %s", cert.Name, d.Name); s.Mode != site.Active && found.State == run.CheckFail {
				found.State = run.CheckWarn
			}
			add(found)
		}
		if s.Mode == site.Active {
			s.sendChecks(d, now, add)
		}
	}
	if s.Unsendable > 0 {
		add(run.Check{Name: "parked", State: run.CheckWarn, Reason: fmt.Sprintf("%d records are not sent: something is wrong with each", s.Unsendable),
			Remedy: "fedsite accounting records shows which, and why"})
	}
	if len(s.CleanUps) > 0 {
		add(cleanUpCheck(s.CleanUps))
	}
	if s.Month == "" {
		return all
	}
	month := run.Check{Name: "month end", State: run.CheckOK, Reason: s.Month + " is complete"}
	if end := time.Unix(monthStart(now.Unix()), 0); !s.Complete {
		month.State, month.Reason, month.Remedy = run.CheckFail, s.Month+" is not complete: "+s.Missing, "see what is said of that cloud or destination"
		if now.Sub(end) < monthGrace {
			month.State, month.Reason, month.Remedy = run.CheckSkip, s.Month+" has just ended: "+s.Missing, ""
		}
	}
	add(month)
	return all
}

func (s Status) cloudChecks(c CloudStatus, now time.Time, add func(run.Check)) {
	found := run.Check{Cloud: c.Name, Name: "collected", State: run.CheckOK, Reason: fmt.Sprintf("all of %s up to %s UTC", some(c.Projects, "project"), stamp(c.Until))}
	switch late := now.Sub(c.Until); {
	case s.Since.IsZero() || c.Projects == 0:
		found.State, found.Reason = run.CheckSkip, "nothing was collected yet"
	case late > lateWarn:
		found.State = grade(late, lateWarn, lateFail)
		found.Reason = fmt.Sprintf("only up to %s UTC: %s is furthest behind", stamp(c.Until), c.Behind)
		found.Remedy = "nothing is lost as long as the cloud keeps its deleted rows; what the last run said: fedsite tasks show accounting.collect/" + s.SiteID
	}
	add(found)
	for i, g := range c.Gaps {
		if i >= 20 {
			add(run.Check{Cloud: c.Name, Name: "gap", Object: "more projects", State: run.CheckWarn, Reason: some(len(c.Gaps)-i, "further gap")})
			break
		}
		add(run.Check{Cloud: c.Name, Name: "gap", Object: g.Project, State: run.CheckWarn, Reason: fmt.Sprintf("not collected from %s to %s UTC", stamp(g.From), stamp(g.To)),
			Remedy: "the next collection covers it; if it stays: fedsite accounting collect --from " + g.From.Format(time.RFC3339)})
	}
	for _, h := range c.Held {
		held := run.Check{Cloud: c.Name, Name: "held", Object: h.Object(), State: run.CheckFail, Reason: h.Reason,
			Remedy: "see whether the cloud shows all its VMs; if they are gone for good: fedsite accounting release " + h.Project}
		if !h.Released.IsZero() {
			held.State, held.Remedy = run.CheckWarn, "released: the next collection closes what it does not find"
		}
		add(held)
	}
}

// sendChecks says how an active site's destination is.
func (s Status) sendChecks(d DestinationStatus, now time.Time, add func(run.Check)) {
	object := "destination " + d.Name
	found := run.Check{Name: "unsent", Object: object, State: run.CheckOK, Reason: "everything is sent"}
	if d.Unsent > 0 {
		found.Reason = fmt.Sprintf("%d records wait", d.Unsent)
	}
	if late := now.Sub(d.Oldest); !d.Oldest.IsZero() && late > lateWarn {
		found.State = grade(late, lateWarn, lateFail)
		found.Reason = fmt.Sprintf("%d records wait, the oldest since %s UTC", d.Unsent, stamp(d.Oldest))
		found.Remedy = "nothing is lost; what the last run said: fedsite tasks show accounting.send/" + s.SiteID
		if d.Why != "" {
			found.Reason += ": " + d.Why
		} else if d.Queued > 0 {
			found.Reason += fmt.Sprintf("; %s in the queue", some(int(d.Queued), "message"))
			found.Remedy = "nobody takes them: see whether ssmsend runs, and what it says"
		}
	}
	add(found)
	if d.Parked > 0 {
		add(run.Check{Name: "parked", Object: object, State: run.CheckWarn, Reason: fmt.Sprintf("%d records were refused, and are not sent", d.Parked),
			Remedy: "fedsite accounting records shows which, and why; when the cause is gone: fedsite accounting send --retry-parked"})
	}
}

// check says how a certificate is.
func (c Certificate) check(now time.Time) run.Check {
	found := run.Check{Name: "certificate", State: run.CheckOK}
	left := c.NotAfter.Sub(now)
	end := c.NotAfter.UTC().Format("2006-01-02")
	switch {
	case c.Err != nil:
		found.State, found.Reason = run.CheckFail, c.Err.Error()
		found.Remedy = "both files must be there, readable by fedsite's user, and belong together (accounting.ams.certificate)"
		return found
	case left <= 0:
		found.State, found.Reason = run.CheckFail, "expired on "+end
	case left < expiryWarn:
		found.State = run.CheckWarn
		if left < expiryFail {
			found.State = run.CheckFail
		}
		found.Reason = fmt.Sprintf("ends on %s, in %s", end, some(int(left/(24*time.Hour)), "day"))
	default:
		found.Reason = fmt.Sprintf("valid until %s", end)
	}
	if found.Reason += ", DN " + c.DN; found.State != run.CheckOK {
		found.Remedy = "put the new one in its place: it is read anew for each run, and its DN must be the Host DN in GOCDB"
		if strings.HasPrefix(c.Name, "receiver") {
			found.Remedy = "get the accounting server's new certificate, and put it in place of accounting.ams.encrypt_to"
		}
	}
	return found
}

// grade gives warn or fail by how much time has gone by.
func grade(d, warn, fail time.Duration) run.CheckState {
	switch {
	case d > fail:
		return run.CheckFail
	case d > warn:
		return run.CheckWarn
	}
	return run.CheckOK
}
