package world

import (
	"slices"
	"time"
)

// View is a VM as Nova would show it at an instant.
type View struct {
	ID, Name, Project, User string
	Status                  string
	Created, Updated        time.Time
	Launched, Terminated    time.Time // zero = null
	Flavor                  Flavor
	Image                   string
	Floating                []string
	Deleted                 bool
}

// ServerAt gives the VM as it is at the instant; false before its creation.
func (w *World) ServerAt(id string, t time.Time) (View, bool) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	vm := w.byID[id]
	if vm == nil || vm.Created.After(t) {
		return View{}, false
	}
	return w.view(vm, t), true
}

// Servers gives the VMs of a project at the instant, all projects' for "", newest first as Nova lists them: those that
// exist, or, with since, all that changed at or after it, the deleted ones too.
func (w *World) Servers(project string, t time.Time, since *time.Time) []View {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var all []View
	for _, vm := range w.vms {
		if vm.Created.After(t) || (project != "" && vm.Project != project) {
			continue
		}
		v := w.view(vm, t)
		if since == nil && (v.Deleted || v.Status == "SOFT_DELETED") || since != nil && v.Updated.Before(*since) {
			continue
		}
		all = append(all, v)
	}
	slices.SortStableFunc(all, func(a, b View) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		if a.ID < b.ID {
			return 1
		}
		return -1
	})
	return all
}

// view folds the events up to the instant.
func (w *World) view(vm *VM, t time.Time) View {
	v := View{ID: vm.ID, Name: vm.Name, Project: vm.Project, User: vm.User, Status: "BUILD", Created: vm.Created, Updated: vm.Created, Image: vm.Image}
	flavor, before, resting := vm.Flavor, vm.Flavor, "ACTIVE"
	for _, e := range vm.Events {
		if e.At.After(t) {
			break
		}
		v.Updated = e.At
		switch e.Kind {
		case Launch, Rebuild, Unshelve:
			v.Status, v.Launched = "ACTIVE", e.At // Nova dates the launch anew
			if e.Kind == Rebuild && e.Value != "" {
				v.Image = e.Value
			}
		case Start, Unpause, Resume, Unrescue:
			v.Status = "ACTIVE"
		case Stop:
			v.Status = "SHUTOFF"
		case Pause:
			v.Status = "PAUSED"
		case Suspend:
			v.Status = "SUSPENDED"
		case Shelve:
			v.Status = "SHELVED"
		case Offload:
			v.Status = "SHELVED_OFFLOADED"
		case Rescue:
			v.Status, v.Launched = "RESCUE", e.At
		case Resize:
			resting, v.Status, v.Launched = v.Status, "VERIFY_RESIZE", e.At
			before, flavor = flavor, e.Value
		case Confirm:
			v.Status = resting
		case Revert:
			v.Status, v.Launched, flavor = resting, e.At, before
		case Fail:
			v.Status = "ERROR"
		case Soft:
			resting, v.Status = v.Status, "SOFT_DELETED"
		case Restore:
			v.Status = resting
		case Delete:
			v.Status, v.Terminated, v.Deleted = "DELETED", e.At, true
			v.Floating = nil
		case Rename:
			v.Name = e.Value
		case Float:
			v.Floating = append(v.Floating, e.Value)
		case Unfloat:
			v.Floating = slices.DeleteFunc(slices.Clone(v.Floating), func(a string) bool { return a == e.Value })
		}
	}
	v.Flavor, _ = w.Flavor(flavor)
	return v
}

// Action is an entry of a VM's instance actions.
type Action struct {
	Name           string
	Start, Updated time.Time
}

// ActionsAt gives what was done to the VM up to the instant, oldest first.
func (w *World) ActionsAt(id string, t time.Time) []Action {
	w.mu.RLock()
	defer w.mu.RUnlock()
	vm := w.byID[id]
	if vm == nil || vm.Created.After(t) {
		return nil
	}
	all := []Action{{"create", vm.Created, vm.Created}}
	for _, e := range vm.Events {
		switch e.Kind {
		case Launch:
			if !e.At.After(t) {
				all[0].Updated = e.At
			}
		case Fail, Rename, Float, Unfloat, Reproject:
		default:
			if !e.At.After(t) {
				start := e.At
				if e.Kind == Resize || e.Kind == Revert { // a resize is asked for some time before it is done
					start = e.At.Add(-20 * time.Second)
				}
				all = append(all, Action{string(e.Kind), start, e.At})
			}
		}
	}
	return all
}
