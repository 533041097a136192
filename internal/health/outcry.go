package health

import (
	"context"
	"time"

	"github.com/fedsite/fedsite/internal/notify"
	"github.com/fedsite/fedsite/internal/store"
)

// outcryAfter is at how many looks in a row the store must fail before somebody is told, as for anything else that gets worse.
const outcryAfter = 2

// Outcry tells that the store can be used no more, and when it can again. What a watcher tells it keeps in the store first, so
// that nobody would hear of just this; an Outcry remembers for itself, as long as the process lives. It is for one goroutine.
type Outcry struct {
	looks int // in a row that failed
	since time.Time
	told  map[string]bool // channels
}

// Looked takes how a look of the watcher ended, and tells its channels. What could not be delivered is tried again at the
// next look.
func (o *Outcry) Looked(ctx context.Context, w *Watcher, failed error, now time.Time) {
	if failed == nil {
		o.looks = 0
		i := o.item(now)
		i.State, i.Reason = OK, "it can be used again"
		o.tell(ctx, w, Change{i, Fail}, true, now)
		return
	}
	if o.looks++; o.looks == 1 && len(o.told) == 0 {
		o.since = now
	}
	if o.looks >= outcryAfter {
		i := o.item(o.since)
		i.State, i.Reason, i.Remedy = Fail, failed.Error(), store.Hint(failed)
		o.tell(ctx, w, Change{i, OK}, false, now)
	}
}

func (o *Outcry) item(since time.Time) Item {
	return Item{Part: PartService, Name: "database", Since: since}
}

// tell sends a change to those channels that have been told so far, or to those that have not, which turns that round.
func (o *Outcry) tell(ctx context.Context, w *Watcher, c Change, told bool, now time.Time) {
	var to []notify.Channel
	for _, channel := range w.Channels {
		if o.told[channel.Name()] == told {
			to = append(to, channel)
		}
	}
	for _, channel := range to {
		err := channel.Send(ctx, w.change([]Change{c}, now))
		w.delivered(channel.Name(), err)
		switch {
		case err != nil:
			w.Log.Warn("a message could not be delivered; it is tried again", "channel", channel.Name(), "error", err)
		case told:
			delete(o.told, channel.Name())
		default:
			if o.told == nil {
				o.told = map[string]bool{}
			}
			o.told[channel.Name()] = true
		}
	}
}
