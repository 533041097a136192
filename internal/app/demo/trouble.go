package demo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
)

// trouble is a named fault, and which run of the history it strikes.
type trouble struct {
	faults.Named
	run int
}

// Episode is what a fault did to one run of the history.
type Episode struct {
	Name, Text string
	At         time.Time     // of the run, the true time
	What       string        // what was done to the world for it; "" = nothing
	Struck     int           // requests that were struck
	Runs       []string      // how the runs ended, "collect done", "publish done"
	Said       []run.Problem // what they reported, notices too
	Then       string        // how the run after it ended, of images; "" = not said
	Next       []run.Problem // what the run after it reported
	Undone     bool          // records were parked, so that an operator lets them go again with the next run
}

// Concerns tells whether something that was reported has to do with the fault: which months need clean-up at the
// accounting server depends on the history, unless it is the VM's that the fault is about.
func (e Episode) Concerns(p run.Problem) bool {
	vm, is := strings.CutPrefix(p.Object, "VM ")
	return !is || !strings.HasPrefix(p.Reason, "needs clean-up") || strings.Contains(e.What, vm)
}

// foresee spreads the named faults over the middle of the history. Those of GOCDB strike when the offers are published, and those
// of Glance and of publishers when images are brought.
func (d *Demo) foresee(names []string) error {
	for i, name := range names {
		n, known := faults.Find(name)
		if !known {
			return fmt.Errorf("there is no fault %q", name)
		}
		switch n.Place {
		case faults.GOCDB:
			d.unasked = append(d.unasked, n)
			continue
		case faults.Glance, faults.Publishers:
			d.unsent = append(d.unsent, n)
			continue
		}
		d.troubles = append(d.troubles, trouble{n, 1 + steps*(i+1)/(len(names)+1)})
	}
	return nil
}

// backOff is how long fedsite waits before it tries again what failed; 0 = as usual.
func (d *Demo) backOff() time.Duration {
	if d.hurry {
		return time.Millisecond
	}
	return 200 * time.Millisecond // the emulated services do not recover by waiting
}

// disturbed puts the cloud's faults in front of it, and its own clock into its answers.
func (d *Demo) disturbed(next http.Handler) http.Handler {
	return d.faults.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ahead := time.Duration(d.ahead.Load()); ahead != 0 {
			w.Header().Set("Date", d.outside.now().Add(ahead).UTC().Format(http.TimeFormat))
		}
		next.ServeHTTP(w, r)
	}))
}

// happen prepares what the cloud's databases will show at the run of a fault, before the run that precedes it.
func (d *Demo) happen(t trouble, before, at time.Time) (what string) {
	f, _ := world.FaultNamed(t.Name)
	f.Name = t.Name
	switch t.Name {
	case world.LateCommit:
		vm, ok := d.plain(before, t.run)
		if !ok {
			return ""
		}
		end := at.Add(-7 * time.Minute)
		d.World.Happen(vm.ID, world.Event{At: end, Kind: world.Delete})
		f.VMs, f.By = []string{vm.ID}, 10*time.Minute
		what = fmt.Sprintf("VM %s ended at %s, and the cloud shows it from %s on", vm.ID, clockTime(end), clockTime(end.Add(f.By)))
	case world.Archived:
		vm, ok := d.plain(before, t.run)
		if !ok {
			return ""
		}
		end := before.Add(at.Sub(before) / 2).Truncate(time.Second)
		d.World.Happen(vm.ID, world.Event{At: end, Kind: world.Delete})
		f.VMs = []string{vm.ID}
		d.explain(vm, before, end)
		what = fmt.Sprintf("VM %s ended at %s, and is purged from %s on", vm.ID, clockTime(end), clockTime(end.Add(f.By)))
	case world.Hidden:
		vm, ok := d.plain(before, t.run)
		if !ok {
			return ""
		}
		f.VMs, f.From, f.To = []string{vm.ID}, at.Add(-time.Hour), at.Add(time.Hour)
		what = fmt.Sprintf("VM %s is not shown from %s to %s", vm.ID, clockTime(f.From), clockTime(f.To))
	case world.DownCell:
		f.From, f.To = at.Add(-time.Hour), at.Add(time.Hour)
		what = fmt.Sprintf("cell %s is down from %s to %s", f.Cell, clockTime(f.From), clockTime(f.To))
	}
	d.World.AddFault(f)
	return what
}

func clockTime(t time.Time) string { return t.Format("2006-01-02 15:04") }

// plain gives a VM that simply runs at the instant, another one for another number.
func (d *Demo) plain(at time.Time, n int) (world.VM, bool) {
	var all []world.VM
	for _, vm := range d.World.VMs() {
		if len(vm.Events) == 1 && vm.Events[0].Kind == world.Launch && vm.Created.Before(at.Add(-time.Hour)) && vm.Cell == "" {
			all = append(all, vm)
		}
	}
	if len(all) == 0 {
		return world.VM{}, false
	}
	return all[n%len(all)], true
}

// arm lets the faults of a run strike, and disarm ends them.
func (d *Demo) arm(t trouble, at time.Time) error {
	switch t.Place {
	case faults.Cloud, faults.Glance:
		d.faults.Add(t.Fault)
	case faults.Broker, faults.Authn, faults.GOCDB, faults.Publishers:
		d.Federation.Faults.Add(t.Fault)
	case faults.Net:
		return d.Federation.Close()
	case faults.Clock:
		d.clock.stand(at.Add(t.Ours))
		d.ahead.Store(int64(t.Theirs))
	case faults.World: // holds by itself
	}
	return nil
}

func (d *Demo) disarm(t trouble, at time.Time) error {
	d.faults.Clear()
	d.Federation.Faults.Clear()
	d.ahead.Store(0)
	d.stand(at)
	if t.Place == faults.Net {
		return d.Federation.Listen()
	}
	return nil
}

// endure is a run of both commands which faults strike. What goes wrong is no error here, but the episode.
func (d *Demo) endure(ctx context.Context, a *app.App, h *History, struck []trouble, at time.Time) error {
	before := d.faults.Struck() + d.Federation.Faults.Struck()
	for _, t := range struck {
		if err := d.arm(t, at); err != nil {
			return err
		}
	}
	reports, err := d.both(ctx, a, h, false)
	for _, t := range struck {
		if derr := d.disarm(t, at); err == nil {
			err = derr
		}
	}
	if err != nil {
		return err
	}
	n := d.faults.Struck() + d.Federation.Faults.Struck() - before
	for _, t := range struck {
		e := Episode{Name: t.Name, Text: t.Text, At: at, What: d.what[t.Name], Struck: n}
		for i, r := range reports {
			e.Runs = append(e.Runs, []string{"collect ", "send "}[i]+string(r.Outcome))
			e.Said = append(e.Said, r.Problems...)
			e.Undone = e.Undone || r.Counts["records_parked"] > 0
		}
		h.Episodes = append(h.Episodes, e)
	}
	h.Runs++
	return nil
}
