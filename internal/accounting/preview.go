package accounting

import (
	"context"
	"time"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Planned is a message that Send would deliver.
type Planned struct {
	Site        string    `json:"site"`
	Destination string    `json:"destination"`
	Message     string    `json:"message,omitempty"` // name, when it is cut already
	Period      string    `json:"period"`            // of its oldest record
	Records     int       `json:"records"`
	Bytes       int       `json:"bytes"` // signed, as it would go out now; 0 when it cannot be signed
	State       string    `json:"state"` // "to cut", "to send again", "waits in the queue"
	Problem     string    `json:"problem,omitempty"`
	ActiveFrom  time.Time `json:"active_from"`
}

// Preview says what Send would cut and deliver, for where and how large, by the same steps; nothing is written or sent.
// A site that only observes is shown as if it were active.
func Preview(ctx context.Context, d Deps, t *Target, to string) ([]Planned, error) {
	if t.Settings.Mode == site.Disabled {
		return nil, nil
	}
	var plan []Planned
	err := d.DB.Read(ctx, func(tx *store.Tx) error {
		plan = nil
		have, found, err := startOf(tx, t.Site.ID)
		if err != nil || !found {
			return err
		}
		start := plannedStart(have, t, d.Now())
		for _, dest := range t.Destinations {
			if to != "" && to != dest.Name() {
				continue
			}
			more, err := preview(tx, d, t, dest, start)
			if err != nil {
				return err
			}
			plan = append(plan, more...)
		}
		return nil
	})
	return plan, err
}

func preview(tx *store.Tx, d Deps, t *Target, dest Destination, start Start) ([]Planned, error) {
	var plan []Planned
	add := func(m Message, state string) {
		p := Planned{Site: t.Site.Name, Destination: dest.Name(), Period: m.Period, Records: m.Records, State: state, ActiveFrom: time.Unix(start.ActiveFrom, 0).UTC()}
		if state != toCut {
			p.Message = m.Name
		}
		sealed, err := dest.Seal(m, d.Now())
		if err != nil {
			p.Problem = err.Error()
		}
		p.Bytes = len(sealed)
		if limit := dest.MaxBytes(); limit > 0 && len(sealed)+spare > limit {
			p.Problem = "too large: will be cut in two"
		}
		plan = append(plan, p)
	}
	old, err := unsettled(tx, dest.Name(), t.Site.ID)
	if err != nil {
		return nil, err
	}
	for _, m := range old {
		if m.Written {
			add(m, "waits in the queue")
		} else {
			add(m, "to send again")
		}
	}
	out, now := t.queueFor(dest, start), d.Now()
	for {
		found, err := out.next(func(fn func(*store.Tx) error) error { return fn(tx) }, now)
		if err != nil || len(found) == 0 {
			return plan, err
		}
		records, err := out.take(tx, found, now)
		if err != nil || len(records) == 0 {
			return plan, err
		}
		m, err := compile(dest.Name(), t.Site.ID, records, now)
		if err != nil {
			return plan, err
		}
		add(m, toCut)
	}
}

const toCut = "to cut"
