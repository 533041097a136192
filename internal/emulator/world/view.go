package world

import (
	"slices"
	"time"
)

// View is a VM as Nova would show it at an instant.
type View struct {
	ID, Name, Project, User string
	Status                  string // as Nova shows it, also of what is in progress
	Rest                    string // the same without what is in progress
	Charged                 string // what the charge goes by: a VM that was resized, and not confirmed, runs or is stopped as before
	Task                    string // what is in progress, Nova's task_state; "" = null
	Created, Updated        time.Time
	Launched, Terminated    time.Time // zero = null
	Ended                   time.Time // when it came to an end, also where Nova has no time of it
	Flavor                  Flavor
	Image                   string
	Floating                []string
	Metadata                map[string]string
	Deleted                 bool
	Partial                 bool // its cell does not answer
}

// progress says what Nova shows while something is in progress: its task_state, and the status where it is another than
// the one before.
var progress = map[Kind]struct{ task, status string }{
	Stop: {"powering-off", ""}, Start: {"powering-on", ""}, Pause: {"pausing", ""}, Unpause: {"unpausing", ""}, Suspend: {"suspending", ""}, Resume: {"resuming", ""},
	Shelve: {"shelving", ""}, Offload: {"shelving_offloading", ""}, Unshelve: {"unshelving", ""}, Resize: {"resize_migrating", "RESIZE"}, Confirm: {"resize_confirming", ""},
	Revert: {"resize_reverting", "REVERT_RESIZE"}, Rebuild: {"rebuild_spawning", "REBUILD"}, Rescue: {"rescuing", ""}, Unrescue: {"unrescuing", ""},
	Soft: {"soft-deleting", ""}, Restore: {"restoring", ""}, Delete: {"deleting", ""},
}

// fold is a VM's view while its events are gone through.
type fold struct {
	View
	flavor, before string // ids: the present one, and the one before the last resize
	resting        string // the status to go back to
}

// view folds the events that are seen.
func (s Sight) view(vm *VM) View {
	f := fold{View: View{ID: vm.ID, Name: vm.Name, Project: vm.Project, User: vm.User, Rest: "BUILD", Created: vm.Created, Updated: vm.Created, Image: vm.Image, Metadata: vm.Metadata},
		flavor: vm.Flavor, before: vm.Flavor, resting: "ACTIVE"}
	for i, e := range vm.Events {
		if !s.written(vm, e.At) {
			f.pending(s, vm, vm.Events[i:])
			break
		}
		f.happened(e)
	}
	if f.Status == "" {
		f.Status = f.Rest
	}
	for i := range s.w.Flavors {
		if s.w.Flavors[i].ID == f.flavor {
			f.Flavor = s.w.Flavors[i]
			break
		}
	}
	if f.Charged = f.Rest; f.Rest == "VERIFY_RESIZE" {
		f.Charged = f.resting
	}
	return f.View
}

// pending shows what was asked for and is not done.
func (f *fold) pending(s Sight, vm *VM, later []Event) {
	for _, e := range later {
		if f.Deleted || e.Asked.IsZero() || !s.written(vm, e.Asked) {
			continue
		}
		p := progress[e.Kind]
		f.Task, f.Status = p.task, p.status
		if e.Asked.After(f.Updated) {
			f.Updated = e.Asked
		}
	}
}

func (f *fold) happened(e Event) {
	if f.Deleted && e.Kind != Reproject {
		return
	}
	if e.Kind != Half {
		f.Updated = e.At
	}
	if e.Failed {
		return
	}
	switch e.Kind {
	case Launch, Rebuild, Unshelve:
		f.Launched = e.At                             // Nova dates the launch anew
		if e.Kind != Rebuild || f.Rest != "SHUTOFF" { // a stopped VM that is rebuilt stays stopped
			f.Rest = "ACTIVE"
		}
		if e.Kind == Rebuild && e.Value != "" {
			f.Image = e.Value
		}
	case Start, Unpause, Resume, Unrescue:
		f.Rest = "ACTIVE"
	case Stop:
		f.Rest = "SHUTOFF"
	case Pause:
		f.Rest = "PAUSED"
	case Suspend:
		f.Rest = "SUSPENDED"
	case Shelve:
		f.Rest = "SHELVED"
	case Offload:
		f.Rest = "SHELVED_OFFLOADED"
	case Rescue:
		f.Rest, f.Launched = "RESCUE", e.At
	case Resize:
		f.resting, f.Rest, f.Launched = f.Rest, "VERIFY_RESIZE", e.At
		f.before, f.flavor = f.flavor, e.Value
	case Confirm:
		f.Rest = f.resting
	case Revert:
		f.Rest, f.Launched, f.flavor = f.resting, e.At, f.before
	case Fail:
		f.Rest = "ERROR"
	case Soft:
		f.resting, f.Rest = f.Rest, "SOFT_DELETED"
	case Restore:
		f.Rest = f.resting
	case Delete:
		f.Rest, f.Deleted, f.Ended, f.Floating = "DELETED", true, e.At, nil
		if e.Value != Undated {
			f.Terminated = e.At
		}
	case Half:
		f.Rest, f.Terminated, f.Ended = "ERROR", e.At, e.At
	case Rename:
		f.Name = e.Value
	case Float:
		f.Floating = append(slices.Clone(f.Floating), e.Value)
	case Unfloat:
		f.Floating = slices.DeleteFunc(slices.Clone(f.Floating), func(a string) bool { return a == e.Value })
	}
}
