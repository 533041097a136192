package health

import (
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// Parts that belong to no pipeline.
const (
	PartService = "service" // the process itself: its scheduler, its store, its messages
	PartConfig  = "config"  // the site files
)

// Facts is all that is known at a moment. Whoever calls Assess gathers it; nothing in it is about one pipeline only.
type Facts struct {
	Now     time.Time
	Sites   []Site
	Tasks   []Task
	Checks  []run.Check // what the parts' own stores say now; of a thing that a report has too, this one counts
	Mutes   []Mute
	Service Service
}

// Site is a configured site.
type Site struct {
	ID, Name string
	Modes    []Mode // of its parts
	Broken   string // why its file cannot be used and the last good configuration is in force, with file and line; "" = it can
	Remedy   string
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
	Created time.Time     // since when it is known; a task that never ran is judged from there
	NextDue time.Time     // zero = not scheduled

	Running     bool
	Since       time.Time // when the present run began
	LastSuccess time.Time // end of the last run with outcome done or partial
	Last        *Run      // the last run that has ended; nil = none yet

	PausedUntil time.Time // in the future: paused
	PausedBy    string
	Disabled    bool // nothing schedules it: its part is off
}

// Run is a run that has ended.
type Run struct {
	Ended   time.Time
	Outcome string      // run.Outcome, or a word of the scheduler: abandoned, cancelled
	Report  *run.Report // nil = it left none
}

// Mute silences what fits all of its fields that are not empty, until its end.
type Mute struct {
	Part, Site string // part; site's name
	Until      time.Time
	Reason     string
}

// Service is what the process knows of itself and its store. Zero times are not known.
type Service struct {
	Started time.Time // of the process that assesses
	Beat    time.Time // when the scheduler's loop last went round, by Facts.Now's clock; zero = not in this process
	Backups bool      // snapshots are to be made
	Backup  time.Time // when the newest was made
	Place   string    // where they are, for the remedy
	Untold  string    // why the last message could not be delivered; "" = it was
	Unread  []string  // what could not be read for these facts: "accounting of SITE-A: database is locked"
}

// State is how a thing is.
type State string

// States, from the best to the worst but one; unknown stands between ok and warn.
const (
	Off     State = "off"     // disabled, paused or muted by somebody
	OK      State = "ok"      //
	Unknown State = "unknown" // nothing is known yet, or any more
	Warn    State = "warn"
	Fail    State = "fail"
)

// Item is the state of one thing.
type Item struct {
	Part   string    `json:"part"`
	SiteID string    `json:"site_id,omitempty"`
	Site   string    `json:"site,omitempty"` // name
	Cloud  string    `json:"cloud,omitempty"`
	Object string    `json:"object,omitempty"` // "project 4ae0… (vo-ops)"
	Name   string    `json:"name"`             // what about it: "role", "task accounting.collect"
	State  State     `json:"state"`
	Reason string    `json:"reason"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since,omitzero"`   // since when it is so, as far as it was watched
	More   []string  `json:"more,omitempty"`   // further reasons, one a line
	Behind State     `json:"behind,omitempty"` // of a muted thing: how it is
	Task   string    `json:"task,omitempty"`   // whose run says so

	urgent bool // counts at once
}
