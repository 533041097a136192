package world

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Sight is the world as it is shown at an instant.
type Sight struct {
	w      *World
	t      time.Time
	faults []Fault
}

// Seen gives the world as the cloud shows it at the instant, with the faults it has.
func (w *World) Seen(t time.Time) Sight {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return Sight{w: w, t: t, faults: w.faults}
}

// truly gives the world as it is at the instant.
func (w *World) truly(t time.Time) Sight { return Sight{w: w, t: t} }

// Query says which VMs to list.
type Query struct {
	Project string     // "" = all projects
	Since   *time.Time // those that changed at or after it, the deleted ones too; nil = those that exist
	Status  string     // in any letter case; "" = every one
	Marker  string     // id of a VM: those that follow it
	Limit   int        // at most so many; 0 = all
}

// List gives a page of VMs, newest first as Nova lists them, those of a cell that does not answer left out. It is false
// when there is no VM of the marker's id.
func (s Sight) List(q Query) ([]View, bool) {
	vms, done := s.w.ordered(q.Project)
	defer done()
	if q.Marker != "" {
		marker := s.w.byID[q.Marker]
		if marker == nil {
			return nil, false
		}
		if _, there := s.see(marker); !there {
			return nil, false
		}
		vms = after(vms, marker)
	}
	var all []View
	for _, vm := range vms {
		if q.Limit > 0 && len(all) == q.Limit {
			break
		}
		if v, there := s.see(vm); there && !v.Partial && q.wants(v) {
			all = append(all, v)
		}
	}
	return all, true
}

func (q Query) wants(v View) bool {
	if q.Status != "" && !strings.EqualFold(q.Status, v.Status) {
		return false
	}
	if q.Since == nil {
		return !v.Deleted && v.Status != "SOFT_DELETED"
	}
	return !v.Updated.Before(*q.Since)
}

// Unanswered gives the VMs of a project, of all for "", whose cell does not answer, the deleted ones not.
func (s Sight) Unanswered(project string) []View {
	if !s.AnyDown() {
		return nil
	}
	vms, done := s.w.ordered(project)
	defer done()
	var all []View
	for _, vm := range vms {
		if v, there := s.see(vm); there && v.Partial && !v.Deleted {
			all = append(all, v)
		}
	}
	return all
}

// AnyDown tells whether a cell does not answer.
func (s Sight) AnyDown() bool {
	for _, f := range s.faults {
		if f.Name == DownCell && f.holds(s.t) {
			return true
		}
	}
	return false
}

// Ran gives the VMs of a project, of all for "", that ran in [from, to) as Nova tells from the last launch and the end,
// by project and id.
func (s Sight) Ran(project string, from, to time.Time) []View {
	vms, done := s.w.ordered(project)
	defer done()
	var all []View
	for _, vm := range vms {
		v, there := s.see(vm)
		if there && !v.Launched.IsZero() && v.Launched.Before(to) && (v.Terminated.IsZero() || v.Terminated.After(from)) {
			all = append(all, v)
		}
	}
	slices.SortFunc(all, func(a, b View) int { return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Server gives a VM by id, a deleted one too; false when it is not there.
func (s Sight) Server(id string) (View, bool) {
	s.w.mu.RLock()
	defer s.w.mu.RUnlock()
	vm := s.w.byID[id]
	if vm == nil {
		return View{}, false
	}
	return s.see(vm)
}

// ServerAt gives the VM as it truly is at the instant; false before its creation.
func (w *World) ServerAt(id string, t time.Time) (View, bool) { return w.truly(t).Server(id) }

// Servers gives the VMs of a project as they truly are at the instant, all projects' for "", newest first as Nova lists
// them: those that exist, or, with since, all that changed at or after it, the deleted ones too.
func (w *World) Servers(project string, t time.Time, since *time.Time) []View {
	all, _ := w.truly(t).List(Query{Project: project, Since: since})
	return all
}

// see gives the VM as it is shown; false when it is not.
func (s Sight) see(vm *VM) (View, bool) {
	if !s.written(vm, vm.Created) {
		return View{}, false
	}
	v := s.view(vm)
	for _, f := range s.faults {
		if !f.holds(s.t) || !f.strikes(vm) {
			continue
		}
		switch f.Name {
		case Hidden:
			return View{}, false
		case Archived:
			if v.Deleted && !v.Ended.Add(f.By).After(s.t) {
				return View{}, false
			}
		case DownCell:
			v.Partial = true
		}
	}
	return v, true
}

// written tells whether what was written to the VM's row with a time can be seen.
func (s Sight) written(vm *VM, at time.Time) bool {
	if at.After(s.t) {
		return false
	}
	for _, f := range s.faults {
		if f.Name == LateCommit && f.holds(at) && f.strikes(vm) && at.Add(f.By).After(s.t) {
			return false
		}
	}
	return true
}
