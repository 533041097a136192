package demo

import (
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Allowance is by how much the server may differ from the truth in a month of a VO, in seconds, and why: what fedsite
// cannot know, and says.
type Allowance struct {
	Period, VO string
	Wall, CPU  int64
	Why        string
}

// explain allows for a VM whose end nobody can tell: it is counted up to when it was last seen.
func (d *Demo) explain(vm world.VM, seen, end time.Time) {
	why := fmt.Sprintf("VM %s was purged before its end was seen: counted until it was last seen, and reported as vanished", vm.ID)
	for month := monthOf(seen); month.Before(end); month = month.AddDate(0, 1, 0) {
		from, to := later(seen.Add(-time.Second), month.Add(-time.Second)), earlier(end, month.AddDate(0, 1, 0).Add(-time.Second))
		for _, u := range d.World.Usage(vm.Project, from, to, world.Charge{}) {
			if u.VM == vm.ID {
				d.allowed = append(d.allowed, Allowance{Period: month.Format("2006-01"), VO: d.voOf(vm.Project), Wall: u.Wall, CPU: u.CPU, Why: why})
			}
		}
	}
}

// actionsEnd is the microversion from which on instance actions say when they ended, and not only when they were asked for.
const actionsEnd = 58

// resizes allows for what an old cloud does not tell: when a resize was done.
func (d *Demo) resizes() []Allowance {
	if d.era.NovaMinor >= actionsEnd {
		return nil
	}
	var all []Allowance
	for _, vm := range d.World.VMs() {
		for _, a := range d.World.ActionsAt(vm.ID, d.At) {
			if a.Name != string(world.Resize) && a.Name != string(world.Revert) {
				continue
			}
			before, _ := d.World.ServerAt(vm.ID, a.Updated.Add(-time.Second))
			after, _ := d.World.ServerAt(vm.ID, a.Updated)
			took := int64(a.Updated.Sub(a.Start) / time.Second)
			delta := max(after.Flavor.VCPUs-before.Flavor.VCPUs, before.Flavor.VCPUs-after.Flavor.VCPUs)
			why := fmt.Sprintf("VM %s was resized by %d vCPU, which took %d s: %s tells only when it was asked for, so the new size counts from then on", vm.ID, delta, took, d.era.Name)
			for month := monthOf(a.Start); !month.After(a.Updated); month = month.AddDate(0, 1, 0) {
				all = append(all, Allowance{Period: month.Format("2006-01"), VO: d.voOf(vm.Project), CPU: delta * took, Why: why})
			}
		}
	}
	return all
}

func (d *Demo) voOf(project string) string {
	p, _ := d.World.Project(project)
	return p.Properties["egi.VO"]
}

func monthOf(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// explained gives why a sum may differ as it does; false when nothing explains it.
func explained(s Sum, allowed []Allowance) (why []string, ok bool) {
	var wall, cpu int64
	for _, a := range allowed {
		if a.Period == s.Period && a.VO == s.VO {
			wall, cpu, why = wall+a.Wall, cpu+a.CPU, append(why, a.Why)
		}
	}
	off := func(n, most int64) bool { return max(n, -n) > most }
	return why, len(why) > 0 && !off(s.ServerWall-s.TruthWall, wall) && !off(s.ServerCPU-s.TruthCPU, cpu)
}
