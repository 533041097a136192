package world

import (
	"slices"
	"time"
)

// Fault is a way in which the cloud shows VMs otherwise than they are. The truth (ServerAt, Usage) stays as it is.
type Fault struct {
	Name          string
	VMs           []string // ids; when neither these nor Project nor Cell are said, all VMs
	Project, Cell string
	From, To      time.Time     // when it holds; zero = from the beginning, without end
	By            time.Duration // LateCommit, Archived: how long after
}

// The faults, as the emulator's commands name them.
const (
	// LateCommit shows what was written to a VM's row in [From, To), its creation too, only By after the time that the row
	// bears: rows are dated before they are committed.
	LateCommit = "late-commit"
	// Archived takes deleted VMs out of every answer By after their end: their rows were archived and purged.
	Archived = "archived"
	// DownCell makes the VMs' cell not answer: of its VMs only id, project and creation are known.
	DownCell = "down-cell"
	// Hidden takes VMs out of every answer.
	Hidden = "hidden"
)

// FaultNamed gives the fault of a name as a whole cloud may have it: commits ten minutes late, deleted VMs archived
// an hour after their end, the second cell down. False for a name that stands for none.
func FaultNamed(name string) (Fault, bool) {
	switch name {
	case LateCommit:
		return Fault{Name: name, By: 10 * time.Minute}, true
	case Archived:
		return Fault{Name: name, By: time.Hour}, true
	case DownCell:
		return Fault{Name: name, Cell: SecondCell}, true
	}
	return Fault{}, false
}

// SecondCell is where Generate puts some of the VMs.
const SecondCell = "cell2"

// AddFault lets the cloud show VMs so from now on.
func (w *World) AddFault(f Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(slices.Clone(w.faults), f)
}

// ClearFaults lets the cloud show everything as it is.
func (w *World) ClearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

func (f Fault) strikes(vm *VM) bool {
	everything := len(f.VMs) == 0 && f.Project == "" && f.Cell == ""
	return everything || slices.Contains(f.VMs, vm.ID) || (f.Project != "" && f.Project == vm.Project) || (f.Cell != "" && f.Cell == vm.Cell)
}

func (f Fault) holds(t time.Time) bool {
	return !t.Before(f.From) && (f.To.IsZero() || t.Before(f.To))
}
