// Package world holds an imagined OpenStack site as pure values: projects, users, flavors, images, and VMs that are lists
// of timed events. Every answer of every emulated service is a view of it at an instant, and true usage is a function of
// the same events (design §7, Emulator).
package world

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// World is the site's truth. It may be read and written from several goroutines; a write appends.
type World struct {
	mu       sync.RWMutex
	Region   string
	Projects []Project
	Users    []User
	Flavors  []Flavor
	Images   []Image
	Volumes  []Volume
	vms      []*VM
	byID     map[string]*VM
}

// Project of the cloud.
type Project struct {
	ID, Name   string
	Disabled   bool
	Properties map[string]string
	Tags       []string
}

// User of the cloud. Roles are by project id; System and Domain hold roles on the whole system and on the domain.
type User struct {
	ID, Name, Password string
	Roles              map[string][]string
	System, Domain     []string
	Applications       []Application
}

// Application is an application credential: it signs in to its project only.
type Application struct {
	ID, Name, Secret, Project string
}

// Flavor is a size of VMs; memory in MiB, disks in GiB.
type Flavor struct {
	ID, Name                    string
	VCPUs, RAM, Disk, Ephemeral int64
	Extra                       map[string]string
	Deleted                     bool
}

// Image in Glance.
type Image struct {
	ID, Name, Owner, Visibility string
	Properties                  map[string]string
	Members                     map[string]string // project → accepted, pending, rejected
}

// Volume in Cinder; size in GiB.
type Volume struct {
	ID, Name, Project, Status string
	Size                      int64
	Created                   time.Time
}

// Kind of event in a VM's life.
type Kind string

// Events of a VM.
const (
	Launch    Kind = "launch" // it begins to run
	Stop      Kind = "stop"
	Start     Kind = "start"
	Pause     Kind = "pause"
	Unpause   Kind = "unpause"
	Suspend   Kind = "suspend"
	Resume    Kind = "resume"
	Shelve    Kind = "shelve"
	Offload   Kind = "shelveOffload"
	Unshelve  Kind = "unshelve"
	Resize    Kind = "resize" // finished: runs with Flavor from now on, to be confirmed
	Confirm   Kind = "confirmResize"
	Revert    Kind = "revertResize"
	Rebuild   Kind = "rebuild"
	Rescue    Kind = "rescue"
	Unrescue  Kind = "unrescue"
	Fail      Kind = "error"
	Soft      Kind = "softDelete"
	Restore   Kind = "restore"
	Delete    Kind = "delete"
	Rename    Kind = "rename"
	Float     Kind = "float"   // gets a floating address
	Unfloat   Kind = "unfloat" // loses it
	Reproject Kind = "touch"   // its row is written without a change
)

// Event is something that happened to a VM at an instant (UTC).
type Event struct {
	At    time.Time
	Kind  Kind
	Value string // flavor id, image id, name or address
}

// VM is a virtual machine: how it was made, and what happened to it, in order of time.
type VM struct {
	ID, Project, User string
	Name              string
	Flavor            string // id
	Image             string // "" = booted from a volume
	Created           time.Time
	Events            []Event
}

// Add puts a VM into the world.
func (w *World) Add(vm VM) {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortStableFunc(vm.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	if w.byID == nil {
		w.byID = map[string]*VM{}
	}
	w.vms = append(w.vms, &vm)
	w.byID[vm.ID] = &vm
}

// Happen appends an event to a VM's life.
func (w *World) Happen(id string, e Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	vm := w.byID[id]
	if vm == nil {
		return false
	}
	vm.Events = append(vm.Events, e)
	slices.SortStableFunc(vm.Events, func(a, b Event) int { return a.At.Compare(b.At) })
	return true
}

// VMs gives all VMs there ever were, in the order they were added.
func (w *World) VMs() []VM {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]VM, len(w.vms))
	for i, vm := range w.vms {
		all[i] = *vm
		all[i].Events = slices.Clone(vm.Events)
	}
	return all
}

// AllProjects gives the projects as they are now.
func (w *World) AllProjects() []Project {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.Projects
}

// Project gives a project by id.
func (w *World) Project(id string) (Project, bool) {
	return find(w.AllProjects(), func(p Project) bool { return p.ID == id })
}

// SetProperty sets a property of a project; what was read before stays as it was.
func (w *World) SetProperty(id, key, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Projects = slices.Clone(w.Projects)
	for i, p := range w.Projects {
		if p.ID == id {
			properties := maps.Clone(p.Properties)
			if properties == nil {
				properties = map[string]string{}
			}
			properties[key] = value
			w.Projects[i].Properties = properties
		}
	}
}

// User gives a user by id.
func (w *World) User(id string) (User, bool) {
	return find(w.Users, func(u User) bool { return u.ID == id })
}

// Flavor gives a flavor by id, a deleted one too.
func (w *World) Flavor(id string) (Flavor, bool) {
	return find(w.Flavors, func(f Flavor) bool { return f.ID == id })
}

// Image gives an image by id.
func (w *World) Image(id string) (Image, bool) {
	return find(w.Images, func(i Image) bool { return i.ID == id })
}

func find[T any](all []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}
