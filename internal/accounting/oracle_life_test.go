package accounting_test

import (
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// doable are the things that can be done to a VM in each of its states, and the state that follows; "" is the one before.
var doable = map[string][]struct {
	kind world.Kind
	next string
}{
	"ACTIVE": {{world.Stop, "SHUTOFF"}, {world.Pause, "PAUSED"}, {world.Suspend, "SUSPENDED"}, {world.Shelve, "SHELVED"}, {world.Resize, "VERIFY"}, {world.Resize, "VERIFY"},
		{world.Rebuild, "ACTIVE"}, {world.Rescue, "RESCUE"}, {world.Rename, "ACTIVE"}, {world.Soft, "SOFT"}, {world.Reproject, "ACTIVE"}, {world.Float, "ACTIVE"}, {world.Fail, "ERROR"}},
	"SHUTOFF":           {{world.Start, "ACTIVE"}, {world.Start, "ACTIVE"}, {world.Shelve, "SHELVED"}, {world.Resize, "VERIFY"}, {world.Rename, "SHUTOFF"}, {world.Reproject, "SHUTOFF"}},
	"PAUSED":            {{world.Unpause, "ACTIVE"}, {world.Rename, "PAUSED"}},
	"SUSPENDED":         {{world.Resume, "ACTIVE"}, {world.Shelve, "SHELVED"}},
	"SHELVED":           {{world.Offload, "SHELVED_OFFLOADED"}, {world.Unshelve, "ACTIVE"}},
	"SHELVED_OFFLOADED": {{world.Unshelve, "ACTIVE"}, {world.Rename, "SHELVED_OFFLOADED"}},
	"VERIFY":            {{world.Confirm, ""}, {world.Confirm, ""}, {world.Revert, ""}},
	"RESCUE":            {{world.Unrescue, "ACTIVE"}},
	"SOFT":              {{world.Restore, ""}, {world.Delete, "GONE"}},
	"ERROR":             {{world.Rebuild, "ACTIVE"}, {world.Rename, "ERROR"}},
}

// apart is how far events of a VM lie apart at least: a resize is asked for some time before it is done.
const apart = 25 * time.Second

// rollEvents makes a VM's life after its creation.
func (tl *timeline) rollEvents(d dice, created, final time.Time, flavor string) []world.Event {
	at := created.Add(d.span(time.Second, pick(d, time.Minute, time.Hour)))
	if d.one(25) { // it never runs
		return []world.Event{{At: at, Kind: world.Fail}}
	}
	events := []world.Event{{At: at, Kind: world.Launch}}
	var instants []time.Time
	for range pick(d, 0, 1, 2, 4, 10) {
		instants = append(instants, tl.moment(d, at, final))
	}
	slices.SortFunc(instants, time.Time.Compare)
	state, under, before := "ACTIVE", "", ""
	for _, t := range instants {
		if t.Sub(events[len(events)-1].At) < apart {
			continue
		}
		if d.one(8) {
			return append(events, world.Event{At: t, Kind: world.Delete})
		}
		do := pick(d, doable[state]...)
		e := world.Event{At: t, Kind: do.kind}
		switch do.kind {
		case world.Resize:
			for e.Value = flavor; e.Value == flavor; {
				e.Value = pick(d, "1", "2", "3", "4")
			}
			before, flavor = flavor, e.Value
		case world.Revert:
			flavor = before
		case world.Rebuild:
			e.Value = pick(d, "", "image-1", "image-2")
		case world.Rename:
			e.Value = pick(d, "new", "%41", "ñandú")
		case world.Float:
			e.Value = "192.0.2.7"
		}
		events = append(events, e)
		switch do.next {
		case "":
			state = under
		case "GONE":
			return events
		case "VERIFY", "SOFT":
			under, state = state, do.next
		default:
			state = do.next
		}
	}
	if t := tl.moment(d, at, final); d.one(2) && t.Sub(events[len(events)-1].At) >= apart {
		events = append(events, world.Event{At: t, Kind: world.Delete})
	}
	return events
}
