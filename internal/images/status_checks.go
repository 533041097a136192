package images

import (
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
)

// part is images' name in reports.
const part = string(site.Images)

// From when on something is worth a warning, or a failure. EGI's own probe warns when an image lacks for 24 hours after its
// list came out, and calls 72 critical (images spec §2.4).
const (
	behindWarn = 24 * time.Hour
	behindFail = 72 * time.Hour
	lateWarn   = 2 * time.Hour
	lateFail   = 12 * time.Hour
	oldWarn    = 30 * 24 * time.Hour // an image that is retired and still in use
)

// Checks gives what a status means: sources that fail, images that lack, what is held. It asks nobody.
func (s Status) Checks(now time.Time) []run.Check {
	if s.Mode == site.Disabled || s.Taken.IsZero() {
		return nil
	}
	var all []run.Check
	add := func(found run.Check) {
		found.Part, found.Site, found.Stored = part, s.Site, true
		all = append(all, found)
	}
	add(s.taken(now))
	for _, o := range s.Sources {
		add(o.check(now))
	}
	for _, sh := range s.Shares {
		add(sh.check(now))
	}
	for _, t := range s.Trouble {
		if t.Image == "" {
			continue // the source's or project's own check says it
		}
		found := run.Check{Name: "image", Object: run.Line(t.Source+"/"+t.Image, 200), State: run.CheckWarn, Reason: t.Reason, Remedy: t.Hint}
		if t.Held {
			found.Name = "held"
		}
		add(found)
	}
	retired := run.Check{Name: "retired", State: run.CheckOK, Reason: fmt.Sprintf("%d former images are hidden and not deleted yet", s.Retired)}
	if !s.Oldest.IsZero() && now.Sub(s.Oldest) > oldWarn {
		retired.State, retired.Reason = run.CheckWarn, retired.Reason+", the oldest since "+s.Oldest.Format(time.DateOnly)
		retired.Remedy = "see which VMs run from them: fedsite images list --retired"
	}
	add(retired)
	return all
}

func (s Status) taken(now time.Time) run.Check {
	found := run.Check{Name: "look", State: run.CheckOK, Reason: "sources and Glance were last looked at " + s.Taken.Format("2006-01-02 15:04") + " UTC"}
	switch late := now.Sub(s.Taken); {
	case late > lateFail:
		found.State = run.CheckFail
	case late > lateWarn:
		found.State = run.CheckWarn
	default:
		return found
	}
	found.Remedy = "see whether the task images.sync runs: fedsite tasks list"
	return found
}

// check says whether a source is believed.
func (o SourceStatus) check(now time.Time) run.Check {
	found := run.Check{Name: "source", Object: "source " + o.Name, State: run.CheckOK, Reason: fmt.Sprintf("%d images", o.Images)}
	switch {
	case o.Failed != "":
		found.State, found.Reason, found.Remedy = run.CheckWarn, fmt.Sprintf("%s since %s: %s", o.Failed, o.Since.Format("2006-01-02 15:04"), o.Reason), o.Hint
		if o.Failed == Forged || o.Failed == Replayed || now.Sub(o.Since) > behindWarn {
			found.State = run.CheckFail
		}
	case !o.Expired.IsZero():
		found.State, found.Reason, found.Remedy = run.CheckFail, "its list expired "+o.Expired.Format("2006-01-02 15:04")+": its images are kept as they are", "ask its endorser for a newer one"
	case o.Bad > 0:
		found.State, found.Reason = run.CheckWarn, fmt.Sprintf("%d images, and %d that cannot be used", o.Images, o.Bad)
		found.Remedy = "fedsite images verify " + o.Name + " says which and why; its endorser can mend them"
	}
	return found
}

// check says whether a VO has its images.
func (s ShareStatus) check(now time.Time) run.Check {
	found := run.Check{Cloud: s.Cloud, Name: "images", Object: "VO " + run.Line(s.VO, 100), State: run.CheckOK, Reason: fmt.Sprintf("%d of %d images", s.Present, s.Wanted)}
	if s.Failed != "" {
		found.State, found.Reason, found.Remedy = run.CheckFail, "its project cannot be asked: "+s.Failed, "see the check of the sign-in"
		return found
	}
	if s.Outdated > 0 {
		found.Reason += fmt.Sprintf(", %d in a former version", s.Outdated)
	}
	if s.Mode != site.Active || s.Present >= s.Wanted {
		return found
	}
	found.State, found.Remedy = run.CheckOK, "the last run of images.sync says why"
	switch behind := now.Sub(s.Behind); {
	case s.Behind.IsZero():
		found.State = run.CheckWarn
	case behind > behindFail:
		found.State = run.CheckFail
	case behind > behindWarn:
		found.State = run.CheckWarn
	}
	return found
}
