package health

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	downtimeOver  = 75 * time.Minute // after its end: an hourly task has run once more by then, and what it finds counts
	downtimeStale = 6 * time.Hour    // GOCDB's answer: a downtime ends when it was to end, since who knows what has changed
)

// Downtime is a downtime that a site has declared in GOCDB. What is bad in an outage is grey; that something is at risk excuses
// nothing, as for the federation's own monitoring.
type Downtime struct {
	ID       string    // GOCDB's number of it
	From, To time.Time // To is the first instant after it
	Reason   string    // what the site wrote
	Outage   bool      // nothing works; else it is at risk
	Clouds   []string  // names of those that are in it; none = all of the site
	Asked    time.Time // when GOCDB said so; zero = not known
}

// stale tells whether GOCDB has not said so for a while.
func (d Downtime) stale(now time.Time) bool { return now.Sub(d.Asked) > downtimeStale }

// Excuses tells whether what is bad now may be so for the downtime.
func (d Downtime) Excuses(now time.Time) bool {
	until := d.To
	if !d.stale(now) {
		until = until.Add(downtimeOver)
	}
	return d.Outage && !now.Before(d.From) && now.Before(until)
}

// holds tells whether one of some clouds is in the downtime.
func (d Downtime) holds(clouds []string) bool {
	return len(d.Clouds) == 0 || slices.ContainsFunc(clouds, func(c string) bool { return c != "" && slices.Contains(d.Clouds, c) })
}

// words says of an ongoing outage until when it is, or was.
func (d Downtime) words(now time.Time) string {
	text := "in downtime until " + stamp(d.To)
	if !now.Before(d.To) {
		text = "was in downtime until " + stamp(d.To)
	}
	return text + reasoned(d.Reason)
}

// unexcused is what no downtime excuses, by part and name: what is owed to the federation, and what is wrong with a record, does
// not depend on whether the cloud works.
var unexcused = [][2]string{{"accounting", "month end"}, {"accounting", "parked"}}

// excuse makes a bad item of a site grey while the site, or the clouds that it is about, are in a downtime. What is of the
// machine itself stays as it is.
func (a *assessment) excuse(i *Item) {
	if !i.State.Bad() || i.Part == PartConfig || i.Part == PartService || slices.Contains(unexcused, [2]string{i.Part, i.Name}) {
		return
	}
	clouds := i.clouds
	if i.Cloud != "" {
		clouds = []string{i.Cloud}
	}
	var last *Downtime // of those that excuse it, the one that ends last
	left := slices.Clone(clouds)
	whole := false
	for _, d := range a.downtimes[i.SiteID] {
		if !d.Excuses(a.Now) || !d.holds(clouds) {
			continue
		}
		whole = whole || len(d.Clouds) == 0
		left = slices.DeleteFunc(left, func(c string) bool { return slices.Contains(d.Clouds, c) })
		if last == nil || d.To.After(last.To) {
			last = &d
		}
	}
	if last == nil || (!whole && len(left) > 0) {
		return
	}
	i.Behind, i.State = i.State, InDowntime
	i.Reason = last.words(a.Now) + "; " + string(i.Behind) + ": " + i.Reason
}

// declared tells of a site's downtimes: of those that are going on, and of those that are planned.
func (a *assessment) declared(s Site) {
	all := slices.DeleteFunc(slices.Clone(s.Downtimes), func(d Downtime) bool { return !a.Now.Before(d.To) })
	if len(all) == 0 {
		return
	}
	rank := func(d Downtime) int {
		switch {
		case d.From.After(a.Now):
			return 2
		case d.Outage:
			return 0
		}
		return 1
	}
	slices.SortStableFunc(all, func(a, b Downtime) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.From.Compare(b.From), cmp.Compare(a.ID, b.ID))
	})
	i := Item{Part: PartDowntime, SiteID: s.ID, Name: "GOCDB", State: OK, note: true}
	if rank(all[0]) == 0 {
		i.State = InDowntime
	}
	for _, d := range all {
		i.More = append(i.More, a.declaration(d))
	}
	i.Reason, i.More = i.More[0], i.More[1:]
	a.add(i)
}

// declaration is a downtime in words.
func (a *assessment) declaration(d Downtime) string {
	var text string
	switch {
	case d.From.After(a.Now) && d.Outage:
		text = fmt.Sprintf("a downtime is planned from %s to %s", stamp(d.From), stamp(d.To)) + reasoned(d.Reason)
	case d.From.After(a.Now):
		text = fmt.Sprintf("will be at risk from %s to %s", stamp(d.From), stamp(d.To)) + reasoned(d.Reason)
	case d.Outage:
		text = d.words(a.Now)
	default:
		text = "at risk until " + stamp(d.To) + reasoned(d.Reason)
	}
	switch len(d.Clouds) {
	case 0:
	case 1:
		text = "cloud " + d.Clouds[0] + ": " + text
	default:
		text = "clouds " + strings.Join(d.Clouds, ", ") + ": " + text
	}
	if d.stale(a.Now) && !d.Asked.IsZero() {
		text += "; so GOCDB said on " + stamp(d.Asked)
	}
	return text
}
