package world

import "time"

// Action is an entry of a VM's instance actions.
type Action struct {
	Name     string
	Start    time.Time
	Updated  time.Time // when its last step began or ended
	Finished bool      // false = it is in progress
	Failed   bool
}

// resizeTakes is how long before its end a resize was asked for, where the event does not say it.
const resizeTakes = 20 * time.Second

// Actions gives what is shown of what was done to a VM, oldest first.
func (s Sight) Actions(id string) []Action {
	s.w.mu.RLock()
	defer s.w.mu.RUnlock()
	vm := s.w.byID[id]
	if vm == nil {
		return nil
	}
	if _, there := s.see(vm); !there {
		return nil
	}
	all := []Action{{Name: "create", Start: vm.Created, Updated: vm.Created}}
	deleted, shelved := false, time.Time{}
	for _, e := range vm.Events {
		done := s.written(vm, e.At) && !deleted
		switch e.Kind {
		case Launch, Fail:
			if done && !all[0].Finished {
				all[0].Updated, all[0].Finished, all[0].Failed = e.At, true, e.Kind == Fail
			}
		case Rename, Float, Unfloat, Reproject:
		case Offload:
			if e.At.Equal(shelved) { // Nova's shelved_offload_time is 0: it is a part of the shelving
				break
			}
			fallthrough
		default:
			if a := action(e); done {
				all = append(all, a)
			} else if !e.Asked.IsZero() && s.written(vm, e.Asked) {
				all = append(all, Action{Name: a.Name, Start: e.Asked, Updated: e.Asked})
			}
		}
		if e.Kind == Shelve {
			shelved = e.At
		}
		deleted = deleted || (e.Kind == Delete && done)
	}
	return all
}

// action is a finished one.
func action(e Event) Action {
	a := Action{Name: string(e.Kind), Start: e.Asked, Updated: e.At, Finished: true, Failed: e.Failed}
	if e.Kind == Half {
		a.Name, a.Failed = string(Delete), true
	}
	if a.Start.IsZero() {
		a.Start = e.At
		if e.Kind == Resize || e.Kind == Revert {
			a.Start = e.At.Add(-resizeTakes)
		}
	}
	return a
}

// ActionsAt gives what was truly done to the VM up to the instant, oldest first.
func (w *World) ActionsAt(id string, t time.Time) []Action { return w.truly(t).Actions(id) }
