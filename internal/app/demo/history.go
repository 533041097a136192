package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/app"
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
	Took     time.Duration    // of the machine's time
}

// Work collects and sends at stepped time, as cron would have, up to the demo's present. A run that fails is an error.
func (d *Demo) Work(ctx context.Context) (History, error) {
	began := time.Now()
	h := History{From: d.since(), Counts: map[string]int64{}}
	a, err := d.open(ctx)
	if err != nil {
		return h, err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	span := d.At.Sub(h.From)
	for i := 1; i <= steps+1; i++ {
		d.clock.stand(h.From.Add(span * time.Duration(i) / (steps + 1)).Truncate(time.Second))
		if i > steps {
			d.clock.stand(d.At)
		}
		collected, err := d.step(ctx, a, &h)
		if err != nil {
			return h, err
		}
		h.Problems = collected.Problems
	}
	h.Requests, h.Took = d.Requests.Requests(), time.Since(began)
	return h, nil
}

// step is one run of both commands.
func (d *Demo) step(ctx context.Context, a *app.App, h *History) (run.Report, error) {
	sites, err := a.Sites("")
	if err != nil {
		return run.Report{}, err
	}
	collected := a.Collect(ctx, sites, accounting.Ask{})
	sent := a.Send(ctx, sites, app.SendOptions{})
	for _, r := range append(collected, sent...) {
		if r.Err != nil {
			return run.Report{}, r.Err
		}
		if r.Report.Outcome == run.Failed {
			return run.Report{}, failure(r.Report, d.clock.now())
		}
		for name, n := range r.Report.Counts {
			h.Counts[name] += n
		}
	}
	h.Runs++
	return collected[0].Report, nil
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
