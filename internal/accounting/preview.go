package accounting

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
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
	State       string    `json:"state"` // "to cut", "to send again", "waits in the queue", "was taken from the queue"
	Problem     string    `json:"problem,omitempty"`
	ActiveFrom  time.Time `json:"active_from"`
}

// Preview says what Send would cut and deliver, for where and how large, by the same steps; nothing is written or sent,
// and no server is asked. What would keep Send from it goes to d.Run, as Send would report it. A site that only observes
// is shown as if it were active; what it must say to become so is a notice.
func Preview(ctx context.Context, d Deps, t *Target, to string) ([]Planned, error) {
	if t.Settings.Mode == site.Disabled {
		return nil, nil
	}
	d.Run.Step("send")
	have, err := stored(ctx, d, t)
	if err != nil {
		return nil, err
	}
	if p := t.unready(have); p != nil {
		if t.Settings.Mode == site.Active {
			d.Run.Fail(*p)
		} else {
			p.Notice = true
			d.Run.Problem(*p)
		}
	}
	if p := plannedStart(have, t, d.Now()).otherMonth(t); p != nil {
		d.Run.Problem(*p)
	}
	previews := map[string]*preview{}
	for _, dest := range t.Destinations {
		if to == "" || to == dest.Name() {
			previews[dest.Name()] = &preview{d: d, t: t, dest: dest}
			previews[dest.Name()].check()
		}
	}
	var plan []Planned
	err = d.DB.Read(ctx, func(tx *store.Tx) error {
		plan = nil
		have, found, err := startOf(tx, t.Site.ID)
		if err != nil || !found {
			return err
		}
		for _, dest := range t.Destinations {
			p := previews[dest.Name()]
			if p == nil {
				continue
			}
			p.plan, p.start = nil, plannedStart(have, t, d.Now())
			stored, err := storedScopes(tx, t.Site.ID)
			if err != nil {
				return err
			}
			p.scopes = plannedScopes(stored, t, p.start, Period(d.Now().Unix()))
			if err := t.queueFor(dest, p.start, p.scopes).tellHeld(tx, d); err != nil {
				return err
			}
			if err := p.messages(ctx, tx); err != nil {
				return err
			}
			plan = append(plan, p.plan...)
		}
		return nil
	})
	return plan, err
}

// preview is what would go to one destination.
type preview struct {
	d      Deps
	t      *Target
	dest   Destination
	start  Start
	scopes scopes
	failed bool // it could send nothing
	plan   []Planned
}

// check does what Send does before the first message, without the network.
func (p *preview) check() {
	if c, ok := p.dest.(Preparer); ok {
		if err := c.Check(p.d.Now()); err != nil {
			p.stop("destination "+p.dest.Name(), err)
		}
	}
}

func (p *preview) stop(object string, err error) {
	if !p.failed {
		p.failed = true
		p.d.Run.Fail(p.t.stopped(object, err))
	}
}

func (p *preview) add(m Message, state string) {
	row := Planned{Site: p.t.Site.Name, Destination: p.dest.Name(), Period: m.Period, Records: m.Records, State: state, ActiveFrom: time.Unix(p.start.ActiveFrom, 0).UTC()}
	if state != toCut {
		row.Message = m.Name
	}
	if !p.failed {
		row.Bytes, row.Problem = p.size(m, row)
	}
	p.plan = append(p.plan, row)
}

// size signs the message, and gives the bytes and what is wrong with it.
func (p *preview) size(m Message, row Planned) (int, string) {
	sealed, err := p.dest.Seal(m, p.d.Now())
	de, ok := errors.AsType[*DeliveryError](err)
	switch {
	case err == nil:
	case ok && de.Verdict == BadBody:
		p.d.Run.Problem(run.Problem{Site: p.t.Site.Name, Object: fmt.Sprintf("message of %d records from %s on", row.Records, row.Period), Step: "send", Reason: err.Error(), Permanent: true,
			Hint: "send cuts it in two until the record to blame is found, parks that one, and sends the others"})
		return 0, err.Error()
	default:
		p.stop("destination "+p.dest.Name(), err)
		return 0, err.Error()
	}
	if limit := p.dest.MaxBytes(); limit > 0 && len(sealed)+spare > limit {
		return len(sealed), "too large: will be cut in two"
	}
	return len(sealed), ""
}

// messages lists the unsettled messages, then what would be cut.
func (p *preview) messages(ctx context.Context, tx *store.Tx) error {
	old, err := unsettled(tx, p.dest.Name(), p.t.Site.ID)
	if err != nil {
		return err
	}
	for _, m := range old {
		if err := loadBody(tx, &m); err != nil {
			return err
		}
		if !m.Written {
			p.add(m, "to send again")
			continue
		}
		gone, err := p.dest.Gone(ctx, m)
		switch {
		case err != nil:
			p.stop("message "+m.Name, err)
			p.add(m, "waits in the queue")
		case gone:
			p.add(m, "was taken from the queue")
		default:
			p.add(m, "waits in the queue")
		}
	}
	out, now := p.t.queueFor(p.dest, p.start, p.scopes), p.d.Now()
	for {
		found, err := out.next(func(fn func(*store.Tx) error) error { return fn(tx) }, now)
		if err != nil || len(found) == 0 {
			return err
		}
		records, err := out.take(tx, found, now)
		if err != nil || len(records) == 0 {
			return err
		}
		m, err := compile(p.dest.Name(), p.t.Site.ID, records, now)
		if err != nil {
			return err
		}
		p.add(m, toCut)
	}
}

const toCut = "to cut"
