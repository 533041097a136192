package world

import (
	"cmp"
	"slices"
)

// order keeps VMs as Nova lists them: newest first, and by id those created in the same second (Nova 26,
// compute/instance_list.py: created_at desc, uuid asc).
type order struct {
	vms   []*VM
	mixed bool // something was added since it was sorted
}

func (o *order) add(vm *VM) {
	o.vms = append(o.vms, vm)
	o.mixed = true
}

func newestFirst(a, b *VM) int {
	if c := cmp.Compare(b.Created.Unix(), a.Created.Unix()); c != 0 {
		return c
	}
	return cmp.Compare(a.ID, b.ID)
}

// ordered gives the VMs of a project, of all for "", newest first, with the world locked for reading until done is
// called.
func (w *World) ordered(project string) (vms []*VM, done func()) {
	for {
		w.mu.RLock()
		o := w.lists[project]
		if o == nil {
			return nil, w.mu.RUnlock
		}
		if !o.mixed {
			return o.vms, w.mu.RUnlock
		}
		w.mu.RUnlock()
		w.mu.Lock()
		slices.SortFunc(o.vms, newestFirst)
		o.mixed = false
		w.mu.Unlock()
	}
}

// after gives the VMs that follow one in a list of ordered.
func after(vms []*VM, vm *VM) []*VM {
	i, found := slices.BinarySearchFunc(vms, vm, newestFirst)
	if found {
		i++
	}
	return vms[i:]
}
