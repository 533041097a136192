package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/run"
)

// steps is how many runs the history is made of, besides the last one.
const steps = 10

// History is what fedsite did over the weeks before the demo's present.
type History struct {
	From     time.Time
	Runs     int
	Counts   map[string]int64 // of all runs, by the names in their reports
	Requests int64            // to OpenStack
	Problems []run.Problem    // of the last collection, notices too
	Episodes []Episode        // what faults did
	Took     time.Duration    // of the machine's time
}

// Work collects and sends at stepped time, as cron would have, up to the demo's present. A run that fails is an error,
// unless a fault strikes it.
func (d *Demo) Work(ctx context.Context) (History, error) {
	began := time.Now()
	h := History{From: d.since(), Counts: map[string]int64{}}
	a, err := d.open(ctx)
	if err != nil {
		return h, err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	for _, t := range d.troubles {
		if t.Place == faults.World {
			d.what[t.Name] = d.happen(t, d.moment(h.From, t.run-1), d.moment(h.From, t.run))
		}
	}
	for i := 1; i <= steps+1; i++ {
		at := d.moment(h.From, i)
		d.stand(at)
		var struck []trouble
		for _, t := range d.troubles {
			if t.run == i {
				struck = append(struck, t)
			}
		}
		if len(struck) > 0 {
			if err := d.endure(ctx, a, &h, struck, at); err != nil {
				return h, err
			}
			continue
		}
		reports, err := d.step(ctx, a, &h, h.undone())
		if err != nil {
			return h, err
		}
		h.Problems = reports[0].Problems
		h.goesOn(reports)
	}
	h.Requests, h.Took = d.Requests.Requests(), time.Since(began)
	return h, nil
}

// moment is when the i-th run is.
func (d *Demo) moment(from time.Time, i int) time.Time {
	if i > steps {
		return d.At
	}
	return from.Add(d.At.Sub(from) * time.Duration(i) / (steps + 1)).Truncate(time.Second)
}

// goesOn notes in the last episodes what the run after them said.
func (h *History) goesOn(reports []run.Report) {
	for i := range h.Episodes {
		if e := &h.Episodes[i]; e.Next == nil {
			e.Next = []run.Problem{}
			for _, r := range reports {
				e.Next = append(e.Next, r.Problems...)
			}
		}
	}
}

// undone tells whether the run before parked something.
func (h *History) undone() bool {
	n := len(h.Episodes)
	return n > 0 && h.Episodes[n-1].Undone
}

// step is one run of both commands; with retry what was parked goes again.
func (d *Demo) step(ctx context.Context, a *app.App, h *History, retry bool) ([]run.Report, error) {
	reports, err := d.both(ctx, a, h, retry)
	if err != nil {
		return nil, err
	}
	for _, r := range reports {
		if r.Outcome == run.Failed {
			return nil, failure(r, d.clock.now())
		}
	}
	h.Runs++
	return reports, nil
}

// both collects and sends, and gives the two reports.
func (d *Demo) both(ctx context.Context, a *app.App, h *History, retry bool) ([]run.Report, error) {
	sites, err := a.Sites("")
	if err != nil {
		return nil, err
	}
	collected := a.Collect(ctx, sites, accounting.Ask{})
	sent := a.Send(ctx, sites, app.SendOptions{GoActive: true, RetryParked: retry})
	var reports []run.Report
	for _, r := range append(collected, sent...) {
		if r.Err != nil {
			return nil, r.Err
		}
		for name, n := range r.Report.Counts {
			h.Counts[name] += n
		}
		reports = append(reports, r.Report)
	}
	return reports, nil
}

// failure says for what a run failed.
func failure(r run.Report, at time.Time) error {
	var causes []string
	for _, p := range r.Problems {
		if p.Failed {
			causes = append(causes, p.Object+": "+p.Reason)
		}
	}
	return fmt.Errorf("%s at %s: %s", r.Task, at.Format("2006-01-02 15:04"), strings.Join(causes, "; "))
}
