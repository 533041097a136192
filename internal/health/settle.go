package health

import (
	"time"
)

// better is how long a thing must be better before that counts: what comes and goes is told once.
const better = 10 * time.Minute

// kept is what is stored of a thing: how it is, once that has held, and how it was seen lately.
type kept struct {
	state          State
	since          time.Time
	reason, remedy string
	seen           State
	seenSince      time.Time
	seenTimes      int
}

// settle gives what is kept of a thing after it was seen as the item says, and whether that is worth a write. Worse counts
// when it was seen twice, and as long as the item demands; better when it has held for ten minutes; off, and in a
// downtime, at once, because somebody did it; and unknown never, because it is no news.
func settle(old *kept, i Item, now time.Time) (kept, bool) {
	if old == nil {
		k := kept{state: i.State, since: now, reason: i.Reason, remedy: i.Remedy, seen: i.State, seenSince: now, seenTimes: 1}
		if i.State.Bad() && !i.urgent {
			k.state = OK
		}
		return k, true
	}
	k := *old
	if i.State == Unknown {
		return k, false
	}
	switch {
	case k.seen == i.State:
		k.seenTimes++
	case k.seen.rank() > k.state.rank() && i.State.rank() > k.state.rank() && k.seen.Bad() && i.State.Bad(): // now a warning, now a failure: it is bad all the time
		k.seenTimes++
		if i.State.rank() < k.seen.rank() {
			k.seen = i.State
		}
	default:
		k.seen, k.seenSince, k.seenTimes = i.State, now, 1
	}
	if k.seen == k.state {
		return k, k.seen != old.seen || old.state != k.state
	}
	held := now.Sub(k.seenSince)
	if held < 0 { // the clock went back
		k.seenSince, held = now, 0
	}
	switch {
	case k.seen.silent(), i.urgent:
	case k.seen.rank() > k.state.rank() && k.seen.Bad():
		if k.seenTimes < 2 || held < i.hold {
			return k, true
		}
	case k.state.Bad():
		if k.seenTimes < 2 || held < better {
			return k, true
		}
	}
	k.state, k.since, k.reason, k.remedy = k.seen, k.seenSince, i.Reason, i.Remedy
	return k, true
}
