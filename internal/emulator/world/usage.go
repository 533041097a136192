package world

import (
	"slices"
	"time"
)

// Charge says what is not counted as use.
type Charge struct{ StoppedFree, ShelvedFree bool }

// Usage is what a VM truly used in a stretch of time, in seconds.
type Usage struct {
	VM        string
	Project   string
	Wall, CPU int64
}

// Usage gives the true use of each VM of a project, of all for "", in [from, to), counted from its creation to its end,
// as the records of the federation count: a VM that is never launched uses nothing, one that is launched later, even in
// another month, is counted from its creation. What the flavor gives is counted from the instant a resize was done.
func (w *World) Usage(project string, from, to time.Time, charge Charge) []Usage {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var all []Usage
	for _, vm := range w.added {
		if project != "" && vm.Project != project {
			continue
		}
		if u := w.usage(vm, from.Unix(), to.Unix(), charge); u.Wall > 0 {
			all = append(all, u)
		}
	}
	return all
}

// usage integrates over the VM's life in whole seconds. What is in progress changes nothing until it is done.
func (w *World) usage(vm *VM, from, to int64, charge Charge) Usage {
	u := Usage{VM: vm.ID, Project: vm.Project}
	if !slices.ContainsFunc(vm.Events, func(e Event) bool { return e.Kind == Launch && !e.Failed }) {
		return u
	}
	at := vm.Created.Unix()
	count := func(until int64, v View) {
		if d := min(until, to) - max(at, from); d > 0 && !free(v.Charged, charge) {
			u.Wall += d
			u.CPU += d * v.Flavor.VCPUs
		}
		at = until
	}
	state := w.truly(vm.Created).view(vm)
	for _, e := range vm.Events {
		count(e.At.Unix(), state)
		if state = w.truly(e.At).view(vm); !state.Ended.IsZero() {
			return u
		}
	}
	count(to, state)
	return u
}

func free(status string, c Charge) bool {
	switch status {
	case "SHUTOFF":
		return c.StoppedFree
	case "SHELVED", "SHELVED_OFFLOADED":
		return c.ShelvedFree
	}
	return false
}
