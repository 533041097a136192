package images

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verb is what an action does.
type Verb string

// The verbs of a plan, in the order in which a run comes to them.
const (
	Fail     Verb = "fail"     // a source, image or project that cannot be used; its images are kept
	Hold     Verb = "hold"     // something would be done that a guard stops
	Keep     Verb = "keep"     // nothing is to be done
	Skip     Verb = "skip"     // an image is not wanted here: it is blocked
	BlockIt  Verb = "block"    // hide and deactivate
	Discard  Verb = "discard"  // delete the rest of an upload that died
	Metadata Verb = "metadata" // change what an image says, and whether it is shown
	Adopt    Verb = "adopt"    // mark another manager's image as ours
	Finish   Verb = "finish"   // publish what was uploaded before a run died
	Add      Verb = "add"      // upload, check, publish
	Replace  Verb = "replace"  // the same; then the former version is retired
	Resume   Verb = "resume"   // upload into an image that is there and has no content yet
	ShareIt  Verb = "share"
	Unshare  Verb = "unshare"
	Retire   Verb = "retire"  // hide, make private, mark; delete when no VM runs from it
	Delete   Verb = "delete"  // of one that was retired earlier
	GiveBack Verb = "release" // take our marks away
	LiftIt   Verb = "unblock" // let an image that was blocked be read again
)

// writes are the verbs that change Glance, in the order of a run: everything that is new is there before anything goes.
var writes = []Verb{BlockIt, Discard, Metadata, Adopt, Finish, Add, Replace, Resume, ShareIt, Unshare, Retire, Delete, GiveBack, LiftIt}

// Action is one line of a plan. Those with a verb of writes are carried out by apply, which looks first whether Image is
// still as Expect says.
type Action struct {
	Verb Verb
	Place
	CloudName, ProjectName string
	Source                 string  // its name; "" = of none that is configured
	Entry                  *Entry  // what the source says; nil where it says nothing
	also                   []Entry // the same disk under other names
	shared                 int     // how many projects beside the owner are to use it
	manager                string  // adopt: whose image it was
	forged                 bool    // replace: a former one carries the marks of this one, and is not from here
	Key                    Key
	Name                   string   // for people
	Image                  string   // Glance's id; "" = there is none yet
	Former                 []Action // replace, finish: retirements of former versions, once this one is there
	Edits                  []Edit   // metadata, adopt
	Guests                 []string // share, unshare: projects
	Size                   int64    // bytes that go to Glance
	Reason, Hint           string
	Notice                 string // worth knowing beside it
	Expect                 Expect
	Observe                bool // the share observes: it is shown, and not done
	Permanent              bool // fail: it will not pass by itself
}

// Expect is how an image was when the plan was made.
type Expect struct {
	Status  string
	Updated time.Time
}

// Edit is a change of what an image says.
type Edit struct {
	Name     string // name, visibility, os_hidden, min_ram, min_disk, or a property
	From, To string
	Added    bool // the image has no such property yet
	Removed  bool
}

// String puts the edit into words.
func (e Edit) String() string {
	switch {
	case e.Removed:
		return e.Name + " taken away"
	case len(e.From) > 60 || len(e.To) > 60:
		return e.Name
	case e.Added || e.From == "":
		return fmt.Sprintf("%s: %q", e.Name, e.To)
	}
	return fmt.Sprintf("%s: %q → %q", e.Name, e.From, e.To)
}

// Writes tells whether carrying the action out changes Glance.
func (a Action) Writes() bool { return !a.Observe && slices.Contains(writes, a.Verb) }

// Object names what the action is about, in problems.
func (a Action) Object() string {
	switch {
	case a.Name == "" && a.Image == "" && a.Source != "":
		return "source " + a.Source
	case a.Name == "" && a.Image == "":
		return "project " + a.Project
	case a.Source != "":
		return fmt.Sprintf("image %s of %s", cut(a.Name, 80), a.Source)
	}
	return fmt.Sprintf("image %s", cut(a.Name, 80))
}

// Details says in a line what is to be known beside verb, image and place.
func (a Action) Details() string {
	var all []string
	for _, f := range a.Former {
		all = append(all, "old "+f.Image)
	}
	if a.Reason != "" {
		all = append(all, a.Reason)
	}
	if n := len(a.Edits); n > 0 && a.Verb == Metadata {
		words := make([]string, min(n, 4))
		for i := range words {
			words[i] = a.Edits[i].String()
		}
		if n > len(words) {
			words = append(words, fmt.Sprintf("%d more", n-len(words)))
		}
		all = append(all, strings.Join(words, ", "))
	}
	if len(a.Guests) > 0 {
		all = append(all, "with "+strings.Join(a.Guests, " "))
	}
	if a.Notice != "" {
		all = append(all, a.Notice)
	}
	if a.Observe {
		all = append(all, "observing: not done")
	}
	return strings.Join(all, "; ")
}

// Plan is what is to be done at a site's clouds, in the order in which it is done.
type Plan struct {
	Actions []Action
	part    bool // what else there is to be done is not in it
}

// Changes counts the actions that change Glance.
func (p Plan) Changes() int {
	n := 0
	for _, a := range p.Actions {
		if a.Writes() {
			n++
		}
	}
	return n
}

// observed counts those that would, if their share did not only observe.
func (p Plan) observed() int {
	n := 0
	for _, a := range p.Actions {
		if a.Observe && slices.Contains(writes, a.Verb) {
			n++
		}
	}
	return n
}

// Bytes is how much goes to Glance, as far as sources say.
func (p Plan) Bytes() int64 {
	var n int64
	for _, a := range p.Actions {
		if a.Writes() {
			n += a.Size
		}
	}
	return n
}

// sort puts the actions into the order of a run, otherwise as they were found.
func (p *Plan) sort() {
	rank := func(v Verb) int { return slices.Index(writes, v) } // those that change nothing come first
	slices.SortStableFunc(p.Actions, func(a, b Action) int { return rank(a.Verb) - rank(b.Verb) })
}
