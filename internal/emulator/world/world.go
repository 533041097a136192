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
	Floating []FloatingIP // beside those of VMs
	Networks []Network    // nil = a public and a private one
	byID     map[string]*VM
	added    []*VM             // in the order in which they were added
	lists    map[string]*order // by project, and of all for ""
	faults   []Fault
}

// Project of the cloud. The VMs of a deleted one may be there still.
type Project struct {
	ID, Name   string
	Domain     string // its domain's name; "" = Default
	Disabled   bool
	Deleted    time.Time // when; zero = it is there
	Properties map[string]string
	Tags       []string
	Refused    int // the status with which Keystone refuses tokens of it, whoever asks; 0 = it does not

	// What it may use, by the names of Nova, Neutron and Cinder, where that differs from what every project may.
	Quota, NetworkQuota, VolumeQuota map[string]int64
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

// Flavor is a size of VMs; memory in MiB, disks in GiB. Its VMs keep what it gave them when it is deleted.
type Flavor struct {
	ID, Name                    string
	VCPUs, RAM, Disk, Ephemeral int64
	Extra                       map[string]string
	Private                     bool      // only the projects of Access have it
	Access                      []string  // ids of projects
	Deleted                     bool      // it is gone all the time
	DeletedAt                   time.Time // it is gone from here on; zero = never
}

// Gone tells whether the flavor is deleted at the instant.
func (f Flavor) Gone(t time.Time) bool {
	return f.Deleted || (!f.DeletedAt.IsZero() && !f.DeletedAt.After(t))
}

// For says whether a project may use the flavor.
func (f Flavor) For(project string) bool { return !f.Private || slices.Contains(f.Access, project) }

// Image in Glance. Without a name Glance says null.
type Image struct {
	ID, Name, Owner, Visibility string
	Status                      string // "" = active
	Properties                  map[string]string
	Members                     map[string]string // project → accepted, pending, rejected
	Tags                        []string
	DiskFormat                  string // "" = qcow2
	Size, VirtualSize           int64  // bytes; 0 = 1 MiB, less = null
	MinDisk, MinRAM             int64  // GiB, MiB
	Hidden                      bool
	Protected                   bool
	ContainerFormat             string    // "" = bare
	Created, Updated            time.Time // zero = before anybody looked
	MD5, SHA512                 string    // of its content; "" = of something
}

// Network in Neutron.
type Network struct {
	ID, Name, Project string
	External, Shared  bool
	Type, Physical    string // the provider's words (vlan, flat, vxlan), which an administrator is shown; "" = null
	MTU               int64  // 0 = 1500
}

// Volume in Cinder; size in GiB. Without a name Cinder says null.
type Volume struct {
	ID, Name, Project, User, Status string
	Size                            int64
	Created                         time.Time
	Attached                        []Attachment
}

// Attachment of a volume to a VM.
type Attachment struct {
	VM string
	At time.Time
}

// FloatingIP is an address of a project in Neutron.
type FloatingIP struct {
	ID, Address, Project string
	Created              time.Time
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
	Half      Kind = "halfDelete" // a deletion that failed on the way: it has an end, in a row that is neither deleted nor written anew
	Rename    Kind = "rename"
	Float     Kind = "float"   // gets a floating address
	Unfloat   Kind = "unfloat" // loses it
	Reproject Kind = "touch"   // its row is written without a change
)

// Undated is the value of a Delete of which Nova has no time.
const Undated = "undated"

// Event is something that happened to a VM at an instant (UTC). One that was asked for earlier is in progress until then,
// unless the VM is deleted meanwhile.
type Event struct {
	At     time.Time // when it was done: what it changes holds from here on
	Kind   Kind
	Value  string    // flavor id, image id, name or address
	Asked  time.Time // when it was asked for; zero = it was not seen in progress
	Failed bool      // it was tried, and changed nothing
}

// VM is a virtual machine: how it was made, and what happened to it, in order of time.
type VM struct {
	ID, Project, User string
	Name              string
	Flavor            string // id
	Image             string // "" = booted from a volume
	Cell              string // of Nova, "" = the first
	Metadata          map[string]string
	Created           time.Time
	Events            []Event
}

// Add puts a VM into the world.
func (w *World) Add(vm VM) {
	w.mu.Lock()
	defer w.mu.Unlock()
	inOrder(vm.Events)
	if w.byID == nil {
		w.byID, w.lists = map[string]*VM{}, map[string]*order{}
	}
	w.added = append(w.added, &vm)
	w.byID[vm.ID] = &vm
	for _, project := range []string{"", vm.Project} {
		if w.lists[project] == nil {
			w.lists[project] = &order{}
		}
		w.lists[project].add(&vm)
	}
}

// Happen adds an event to a VM's life; false when there is no such VM.
func (w *World) Happen(id string, e Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	vm := w.byID[id]
	if vm == nil {
		return false
	}
	vm.Events = append(vm.Events, e)
	inOrder(vm.Events)
	return true
}

func inOrder(events []Event) {
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
}

// VMs gives all VMs there ever were, in the order they were added.
func (w *World) VMs() []VM {
	w.mu.RLock()
	defer w.mu.RUnlock()
	all := make([]VM, len(w.added))
	for i, vm := range w.added {
		all[i] = *vm
		all[i].Events = slices.Clone(vm.Events)
	}
	return all
}

// AllProjects gives the projects there ever were.
func (w *World) AllProjects() []Project {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.Projects
}

// Project gives a project by id.
func (w *World) Project(id string) (Project, bool) {
	return find(w.AllProjects(), func(p Project) bool { return p.ID == id })
}

// ProjectsAt gives the projects that are there at the instant.
func (w *World) ProjectsAt(t time.Time) []Project {
	return slices.DeleteFunc(slices.Clone(w.AllProjects()), func(p Project) bool { return p.gone(t) })
}

// ProjectAt gives a project that is there at the instant, by id.
func (w *World) ProjectAt(id string, t time.Time) (Project, bool) {
	p, ok := w.Project(id)
	return p, ok && !p.gone(t)
}

func (p Project) gone(t time.Time) bool { return !p.Deleted.IsZero() && !p.Deleted.After(t) }

// SetProperty sets a property of a project; what was read before stays as it was.
func (w *World) SetProperty(id, key, value string) {
	w.changeProject(id, func(p *Project) {
		p.Properties = maps.Clone(p.Properties)
		if p.Properties == nil {
			p.Properties = map[string]string{}
		}
		p.Properties[key] = value
	})
}

// DeleteProject deletes a project at the instant; its VMs stay as they are.
func (w *World) DeleteProject(id string, at time.Time) {
	w.changeProject(id, func(p *Project) { p.Deleted = at })
}

func (w *World) changeProject(id string, change func(*Project)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Projects = slices.Clone(w.Projects)
	for i := range w.Projects {
		if w.Projects[i].ID == id {
			change(&w.Projects[i])
		}
	}
}

// DeleteFlavor deletes a flavor at the instant; its VMs keep what it gave them.
func (w *World) DeleteFlavor(id string, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Flavors = slices.Clone(w.Flavors)
	for i := range w.Flavors {
		if w.Flavors[i].ID == id {
			w.Flavors[i].DeletedAt = at
		}
	}
}

// AllFlavors gives the flavors there ever were.
func (w *World) AllFlavors() []Flavor {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.Flavors
}

// User gives a user by id.
func (w *World) User(id string) (User, bool) {
	return find(w.Users, func(u User) bool { return u.ID == id })
}

// Flavor gives a flavor by id, a deleted one too.
func (w *World) Flavor(id string) (Flavor, bool) {
	return find(w.AllFlavors(), func(f Flavor) bool { return f.ID == id })
}

// Image gives an image by id.
func (w *World) Image(id string) (Image, bool) {
	return find(w.AllImages(), func(i Image) bool { return i.ID == id })
}

// AllImages gives the images that there are now. What they hold must not be changed.
func (w *World) AllImages() []Image {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return slices.Clone(w.Images)
}

// AddImage puts an image there.
func (w *World) AddImage(i Image) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Images = append(slices.Clip(w.Images), i)
}

// ChangeImage lets change make of an image what it is from now on; false = it is not there, or change says no. Maps and
// lists of the image must be replaced, and not written to.
func (w *World) ChangeImage(id string, change func(*Image) bool) (Image, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.Images, func(i Image) bool { return i.ID == id })
	if i < 0 {
		return Image{}, false
	}
	one := w.Images[i]
	if !change(&one) {
		return one, false
	}
	w.Images = slices.Clone(w.Images)
	w.Images[i] = one
	return one, true
}

// RemoveImage takes an image away; false = it is not there.
func (w *World) RemoveImage(id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.Images)
	w.Images = slices.DeleteFunc(slices.Clone(w.Images), func(i Image) bool { return i.ID == id })
	return len(w.Images) < n
}

func find[T any](all []T, is func(T) bool) (T, bool) {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i], true
	}
	var none T
	return none, false
}
