package web

import (
	"context"
	"errors"
	"time"
)

// Source gives what the pages show. It is asked at each request, by several at once.
type Source interface {
	// Overview gives the state of everything.
	Overview(ctx context.Context) (Overview, error)
	// Task gives one task with its history; ErrNotFound when there is none of that name.
	Task(ctx context.Context, name string) (TaskPage, error)
	// Run gives one run of a task; ErrNotFound when there is none, or none any more.
	Run(ctx context.Context, task string, fence int64) (RunPage, error)
}

// What a Source can say beside an answer; anything else is an error of ours.
var (
	ErrNotFound    = errors.New("there is no such thing")
	ErrUnavailable = errors.New("the database does not answer")
)

// State is the health of a thing.
type State string

// States, and of checks one more.
const (
	OK         State = "ok"
	Warn       State = "warn"
	Fail       State = "fail"
	Off        State = "off"      // disabled, paused or muted
	InDowntime State = "downtime" // bad, and its site is in a downtime
	Unknown    State = "unknown"  // nothing is known yet, or any more
	Skip       State = "skip"     // a check that was not made
)

// Health is how a thing is, and what to do about it.
type Health struct {
	State  State     `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Remedy string    `json:"remedy,omitempty"`
	Since  time.Time `json:"since,omitzero"` // since when it is so
}

// Overview is the state of everything.
type Overview struct {
	Now      time.Time `json:"now"` // to which "ago" is reckoned: the clock that schedules go by
	Version  string    `json:"version"`
	Node     string    `json:"node"`            // of the process that answers
	Since    time.Time `json:"since,omitzero"`  // when that process began to serve
	State    State     `json:"state"`           // the worst of all; worked out here
	Places   []Place   `json:"places"`          // each part at each site, and what is of the whole
	Problems []Problem `json:"problems"`        // what is wrong now; a place that is not well has at least one
	Tasks    []Task    `json:"tasks,omitempty"` // all; in /api/v1/tasks, not in /api/v1/overview
}

// Place is a part at a site; or of the whole, without a site.
type Place struct {
	Part     string `json:"part"`           // accounting, service
	Site     string `json:"site,omitempty"` // id
	SiteName string `json:"site_name,omitempty"`
	Mode     string `json:"mode,omitempty"` // disabled, observe, active
	Health   Health `json:"health"`

	// Worked out from the tasks of the part at the site.
	Running []Run  `json:"running,omitempty"`
	Last    *Run   `json:"last,omitempty"` // the one that ended last
	Next    *Visit `json:"next,omitempty"` // the task that is due first
	Tasks   int    `json:"tasks"`          // how many there are
}

// Visit is a task that is due at a time.
type Visit struct {
	Task string    `json:"task"`
	At   time.Time `json:"at"`
}

// Problem is one thing that is wrong, and what to do.
type Problem struct {
	State    State     `json:"state"` // fail or warn; off: muted; downtime: excused by one; ok is a note
	Part     string    `json:"part,omitempty"`
	Site     string    `json:"site,omitempty"` // id
	SiteName string    `json:"site_name,omitempty"`
	Cloud    string    `json:"cloud,omitempty"`
	Object   string    `json:"object,omitempty"` // "project 4ae0… (vo-ops)"
	Step     string    `json:"step,omitempty"`
	Reason   string    `json:"reason"`
	Remedy   string    `json:"remedy,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Times    int       `json:"times,omitempty"` // how often, when more than once
	Task     string    `json:"task,omitempty"`  // whose run found it
	Fence    int64     `json:"fence,omitempty"` // which run that was
}

// Task is a recurring piece of work.
type Task struct {
	Name        string    `json:"name"` // accounting.collect/example-cloud-3f9a2c71
	Part        string    `json:"part"`
	Site        string    `json:"site,omitempty"` // id; none when it is of the whole
	SiteName    string    `json:"site_name,omitempty"`
	What        string    `json:"what,omitempty"` // what it does, as "asks the clouds for new use"
	Schedule    string    `json:"schedule,omitempty"`
	Due         time.Time `json:"due,omitzero"` // the next slot, or sooner when somebody asked for a run
	PausedUntil time.Time `json:"paused_until,omitzero"`
	Disabled    bool      `json:"disabled,omitempty"` // nothing schedules it: its part is off, or its site is gone
	Running     *Run      `json:"running,omitempty"`
	Last        *Run      `json:"last,omitempty"` // the last that ended
	LastDone    time.Time `json:"last_done,omitzero"`
}

// Run is one execution of a task, in short.
type Run struct {
	Task     string    `json:"task"`
	Fence    int64     `json:"fence"`
	Cause    string    `json:"cause,omitempty"` // schedule, shell, retry, …
	Node     string    `json:"node,omitempty"`
	Slot     time.Time `json:"slot,omitzero"`    // the time that it was due at
	Started  time.Time `json:"started,omitzero"` // left out in a task's last run
	Ended    time.Time `json:"ended,omitzero"`
	Outcome  string    `json:"outcome,omitempty"`  // done, partial, failed, abandoned, cancelled, …; empty while it runs
	Problems int       `json:"problems,omitempty"` // how many it met
	Reason   string    `json:"reason,omitempty"`   // why it failed, in a line
	Progress *Progress `json:"progress,omitempty"` // while it runs
}

// Progress is how far a run is.
type Progress struct {
	Step      string    `json:"step,omitempty"`
	What      string    `json:"what,omitempty"` // what is counted
	Done      int64     `json:"done"`
	Total     int64     `json:"total,omitempty"` // 0 = not known
	At        time.Time `json:"at,omitzero"`     // when this was so
	Cancelled bool      `json:"cancelled,omitempty"`
}

// TaskPage is a task with its history.
type TaskPage struct {
	Now     time.Time `json:"now"`
	Task    Task      `json:"task"`
	History []Run     `json:"history"`        // newest first
	More    bool      `json:"more,omitempty"` // there are older ones
}

// RunPage is the report of a run.
type RunPage struct {
	Now      time.Time `json:"now"`
	Task     Task      `json:"task"`
	Run      Run       `json:"run"`
	Steps    []Step    `json:"steps"`
	Counts   []Count   `json:"counts"` // in the order to show them in
	Problems []Problem `json:"problems"`
	Dropped  int       `json:"problems_not_listed,omitempty"`
	Checks   []Check   `json:"checks"`
}

// Step is a stretch of a run.
type Step struct {
	Name    string    `json:"name"`
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Count is how much of something there was.
type Count struct {
	Name  string `json:"name"`            // messages_sent
	Words string `json:"words,omitempty"` // "messages sent"; the name when empty
	N     int64  `json:"n"`
}

// Check is something that was looked at.
type Check struct {
	State  State  `json:"state"`
	Part   string `json:"part,omitempty"`
	Site   string `json:"site,omitempty"`
	Cloud  string `json:"cloud,omitempty"`
	Object string `json:"object,omitempty"`
	Name   string `json:"name"`
	Reason string `json:"reason,omitempty"`
	Remedy string `json:"remedy,omitempty"`
}
