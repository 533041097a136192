package demo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Sum is the use of one VO in one month, in seconds: the truth, and what the accounting server has.
type Sum struct {
	Period, VO            string
	TruthWall, TruthCPU   int64
	ServerWall, ServerCPU int64
	VMs                   int // that truly used something
}

// Equal tells whether the server has the truth.
func (s Sum) Equal() bool { return s.TruthWall == s.ServerWall && s.TruthCPU == s.ServerCPU }

// Outcome is what the federation ended up with.
type Outcome struct {
	Until    time.Time // up to which use is compared
	Sums     []Sum     // by month and VO
	Messages int       // that the accounting server received
	Rejected []string  // why it rejected some
	Known    []string  // why sums differ that fedsite cannot know better
	Wrong    []string  // what is not as it should be; empty = all is well
}

// Check compares the accounting server with the world, and sees that nothing more would be sent.
func (d *Demo) Check(ctx context.Context) (Outcome, error) {
	o := Outcome{Until: d.At.Add(-d.Config.Sites[0].Accounting.Settle)}
	d.Federation.Server.Summarise(d.clock.now())
	o.Sums = d.sums(o.Until)
	allowed := append(d.resizes(), d.allowed...)
	for _, s := range o.Sums {
		if s.Equal() {
			continue
		}
		if why, ok := explained(s, allowed); ok {
			o.Known = append(o.Known, fmt.Sprintf("%s %s: %s", s.Period, s.VO, strings.Join(why, "; ")))
		} else {
			o.Wrong = append(o.Wrong, fmt.Sprintf("%s %s: the server has %d s wall and %d s CPU, truth is %d and %d", s.Period, s.VO, s.ServerWall, s.ServerCPU, s.TruthWall, s.TruthCPU))
		}
	}
	for _, r := range d.Federation.Received() {
		o.Messages++
		if !r.Accepted {
			o.Rejected = append(o.Rejected, r.Reason)
			o.Wrong = append(o.Wrong, fmt.Sprintf("message %s was rejected: %s", r.Empaid, r.Reason))
		}
	}
	a, err := d.open(ctx)
	if err != nil {
		return o, err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	var h History
	h.Counts = map[string]int64{}
	if _, err := d.step(ctx, a, &h, false); err != nil {
		return o, err
	}
	if n := h.Counts["messages_cut"]; n > 0 {
		o.Wrong = append(o.Wrong, fmt.Sprintf("nothing had changed, and %d messages were cut again", n))
	}
	if h.Counts["records_parked"] > 0 {
		o.Wrong = append(o.Wrong, "records were parked")
	}
	return o, nil
}

// sums gives truth and server by month and VO. A month goes from one 23:59:59 to the next, as the server counts.
func (d *Demo) sums(until time.Time) []Sum {
	type key struct{ period, vo string }
	all := map[key]*Sum{}
	at := func(period, vo string) *Sum {
		k := key{period, vo}
		if all[k] == nil {
			all[k] = &Sum{Period: period, VO: vo}
		}
		return all[k]
	}
	for month := d.since(); month.Before(until); month = month.AddDate(0, 1, 0) {
		from, to := month.Add(-time.Second), month.AddDate(0, 1, 0).Add(-time.Second)
		if to.After(until) {
			to = until
		}
		for _, p := range d.World.Projects {
			vo := p.Properties["egi.VO"]
			for _, u := range d.World.Usage(p.ID, from, to, world.Charge{}) {
				s := at(month.Format("2006-01"), vo)
				s.TruthWall, s.TruthCPU, s.VMs = s.TruthWall+u.Wall, s.TruthCPU+u.CPU, s.VMs+1
			}
		}
	}
	for _, m := range d.Federation.Server.Monthly() {
		s := at(m.Period, m.VO)
		s.ServerWall, s.ServerCPU = s.ServerWall+m.Wall, s.ServerCPU+m.CPU
	}
	var sorted []Sum
	for _, s := range all {
		sorted = append(sorted, *s)
	}
	slices.SortFunc(sorted, func(a, b Sum) int { return cmp.Or(cmp.Compare(a.Period, b.Period), cmp.Compare(a.VO, b.VO)) })
	return sorted
}
