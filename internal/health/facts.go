package health

import (
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// Parts that belong to no pipeline.
const (
	PartService  = "service"  // the process itself: its scheduler, its store, its messages
	PartConfig   = "config"   // the site files
	PartDowntime = "downtime" // what GOCDB says of a site; there is none while it says nothing
)

// Facts is all that is known at a moment. Whoever calls Assess gathers it; nothing in it is about one pipeline only.
type Facts struct {
	Now     time.Time
	Sites   []Site
	Tasks   []Task
	Checks  []run.Check // what the parts' stores say now; stored ones of reports are left out then
	Mutes   []Mute
	Service Service
}

// Site is a configured site.
type Site struct {
	ID, Name string
	Modes    []Mode // of its parts
	Broken   string // why its file cannot be used and the last good configuration is in force, with file and line; "" = it can
	Remedy   string
	Lost     bool // there is no last good configuration of it either

	Downtimes []Downtime // in GOCDB: ongoing, planned, and of the last hours
}

// Mode is how far a part of a site may go.
type Mode struct {
	Part string // "accounting"
	Off  bool   // disabled
}

// Task is a recurring task, as its row and its history say.
type Task struct {
	Name    string        // accounting.collect/<site id>
	Site    string        // site id; "" = of the whole
	Period  time.Duration // of its schedule; 0 = it runs only when it is told to
	Created time.Time     // since when it is known, or could have run; a task that never succeeded is judged from there
	NextDue time.Time     // zero = not scheduled

	Running     bool
	Since       time.Time // when the present run began
	LastSuccess time.Time // end of the last run with outcome done or partial; zero = never
	Last        *Run      // the last run that has ended; nil = none yet

	PausedUntil time.Time // after Facts.Now: it is paused
	Disabled    bool      // nothing schedules it: its part is off, or its site is gone
}

// Run is a run that has ended.
type Run struct {
	Ended   time.Time
	Outcome string      // run.Outcome, or a word of the scheduler: abandoned, cancelled
	Report  *run.Report // nil = it left none
}

// Mute silences what fits all of its fields that are not empty, until its end.
type Mute struct {
	Part, Site string // site's name
	Until      time.Time
	Reason     string
}

// Service is what the process knows of itself and its store. Zero times are not known.
type Service struct {
	Started time.Time     // since when there are facts: what never happened is judged from there
	Beat    time.Duration // how long ago the scheduler's loop last went round; 0 = not known
	Refused string        // why the last reload of the configuration changed nothing; "" = it did
	Backups bool          // snapshots are to be made
	Backup  time.Time     // when the newest was made
	Place   string        // where they are
	Untold  []string      // what could not be delivered, and why: "email: …"; Watcher fills it in
	Unread  []string      // what could not be read for these facts: "accounting of SITE-A: database is locked"
}
