package health

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// State is how a thing is.
type State string

// States of a thing.
const (
	OK         State = "ok"
	Off        State = "off"      // disabled, paused or muted by somebody
	InDowntime State = "downtime" // bad, and its site is in a downtime: grey
	Unknown    State = "unknown"  // nothing is known yet, or any more
	Warn       State = "warn"
	Fail       State = "fail"
)

// rank orders states from the best to the worst.
func (s State) rank() int { return slices.Index([]State{Off, InDowntime, OK, Unknown, Warn, Fail}, s) }

// Bad tells whether somebody should do something.
func (s State) Bad() bool { return s == Warn || s == Fail }

// silent tells whether it counts at once and nobody is told: somebody has said that it would be so.
func (s State) silent() bool { return s == Off || s == InDowntime }

// Item is the state of one thing.
type Item struct {
	Part   string    `json:"part"`
	SiteID string    `json:"site_id,omitempty"`
	Site   string    `json:"site,omitempty"` // name
	Cloud  string    `json:"cloud,omitempty"`
	Object string    `json:"object,omitempty"` // "project 4ae0… (vo-ops)"
	Name   string    `json:"name"`             // what about it: "role", "task accounting.collect"
	State  State     `json:"state"`
	Reason string    `json:"reason"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since,omitzero"`   // since when it is so, as far as it was watched
	More   []string  `json:"more,omitempty"`   // further reasons
	Behind State     `json:"behind,omitempty"` // of a thing that is muted or in downtime: how it is
	Task   string    `json:"task,omitempty"`   // whose run says so

	urgent bool          // counts at once
	note   bool          // its reason is told although it is ok
	clouds []string      // without Cloud: those that it is about, as far as that is known; "" = also anything else
	hold   time.Duration // it must be so for this long before anybody is told
}

// key names the thing: the same from one assessment to the next, also when the site gets another name.
func (i Item) key() string {
	text, err := json.Marshal([]string{i.Part, cmp.Or(i.SiteID, i.Site), i.Cloud, i.Name, i.Object})
	if err != nil {
		panic(err) // strings
	}
	return string(text)
}

// thing gives the names that a key is made of.
func thing(key string) Item {
	var names []string
	if json.Unmarshal([]byte(key), &names) != nil || len(names) != 5 {
		return Item{Name: key}
	}
	return Item{Part: names[0], SiteID: names[1], Site: names[1], Cloud: names[2], Name: names[3], Object: names[4]}
}

// What names the thing in words, without its site: "accounting, cloud r1: role, project 4ae0…".
func (i Item) What() string {
	if i.Cloud != "" {
		return i.Part + ", " + i.within()
	}
	return i.Part + ": " + i.within()
}

// within names the thing within its part.
func (i Item) within() string {
	if i.Cloud != "" {
		return "cloud " + i.Cloud + ": " + i.Thing()
	}
	return i.Thing()
}

// Thing names what it is about, and of which object: "role, project 4ae0…", "destination ams".
func (i Item) Thing() string {
	switch {
	case i.Object == "":
		return i.Name
	case strings.HasPrefix(i.Object, i.Name+" "): // it says so itself
		return i.Object
	}
	return i.Name + ", " + i.Object
}

// order sorts items: the worst first, then by site, part, cloud, name and object.
func order(items []Item) {
	slices.SortStableFunc(items, func(a, b Item) int {
		return cmp.Or(cmp.Compare(b.State.rank(), a.State.rank()), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Part, b.Part),
			cmp.Compare(a.Cloud, b.Cloud), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Object, b.Object))
	})
}

// Worst gives the worst state of the items. What is off counts only when all is.
func Worst(items []Item) State {
	worst := Off
	for _, i := range items {
		if i.State.rank() > worst.rank() {
			worst = i.State
		}
	}
	if len(items) == 0 {
		return Unknown
	}
	return worst
}

// Place is the health of a part at a site; of the whole, without a site.
type Place struct {
	Part, SiteID, Site string
	State              State
	Reason, Remedy     string
	Since              time.Time
}

// Places gives the health of each part at each site: the state of its worst item, which gives the reason. A part that would be
// well but for what is muted is off, and one that would be but for a downtime is in it.
func Places(items []Item) []Place {
	var all []Place
	groups := map[Place][]Item{}
	for _, i := range items {
		at := Place{Part: i.Part, SiteID: i.SiteID, Site: i.Site}
		if groups[at] == nil {
			all = append(all, at)
		}
		groups[at] = append(groups[at], i)
	}
	for n, at := range all {
		group := groups[at]
		order(group)
		p := &all[n]
		p.State = Worst(group)
		if first := group[0]; p.State != OK {
			p.Reason, p.Remedy, p.Since = first.Reason, first.Remedy, first.Since
			if p.State.Bad() {
				p.Reason = first.within() + ": " + first.Reason
			}
			if more := tally(group); p.State.Bad() && more != "1 failed" && more != "1 warning" {
				p.Reason += fmt.Sprintf(" (%s in all)", more)
			}
		}
		if p.State == OK && group[0].note {
			p.Reason, p.Since = group[0].Reason, group[0].Since
		}
		if m, ok := excused(group); ok && !p.State.Bad() {
			p.State, p.Reason, p.Remedy, p.Since = m.State, m.Reason, m.Remedy, m.Since
			if m.Behind.Bad() {
				p.Reason = m.within() + ": " + m.Reason
			}
		}
	}
	slices.SortFunc(all, func(a, b Place) int { return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Part, b.Part)) })
	return all
}

// excused gives the item that is the worst behind a mute or a downtime, if there is one.
func excused(items []Item) (worst Item, ok bool) {
	for _, i := range items {
		if (i.Behind.Bad() || i.State == InDowntime) && (!ok || i.Behind.rank() > worst.Behind.rank()) {
			worst, ok = i, true
		}
	}
	return worst, ok
}

// tally says how many of the items are bad.
func tally(items []Item) string {
	fails, warns := 0, 0
	for _, i := range items {
		switch i.State {
		case Fail:
			fails++
		case Warn:
			warns++
		}
	}
	var words []string
	if fails > 0 {
		words = append(words, fmt.Sprintf("%d failed", fails))
	}
	switch {
	case warns == 1:
		words = append(words, "1 warning")
	case warns > 1:
		words = append(words, fmt.Sprintf("%d warnings", warns))
	}
	return strings.Join(words, ", ")
}
