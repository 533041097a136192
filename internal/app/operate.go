package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/tasks"
)

// TaskState is a task as the command line shows it. Its name has the site's name in place of the id.
type TaskState struct {
	Name        string    `json:"name"`
	ID          string    `json:"id"` // its name in the store
	Site        string    `json:"site,omitempty"`
	State       string    `json:"state"` // running, stuck, lost, paused, due, waiting, shell, removed
	Schedule    string    `json:"schedule,omitempty"`
	Due         time.Time `json:"due,omitzero"`
	PausedUntil time.Time `json:"paused_until,omitzero"`
	Outcome     string    `json:"last_outcome,omitempty"`
	Ended       time.Time `json:"last_ended,omitzero"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	Failures    int64     `json:"failures,omitempty"` // since then
	Note        string    `json:"note,omitempty"`     // where it runs and how far it is, or why it waits
}

// TaskRun is a run in a task's history.
type TaskRun struct {
	Number  int64       `json:"run"`
	Cause   string      `json:"cause"`
	Where   string      `json:"where"`
	Slot    time.Time   `json:"slot,omitzero"`
	Started time.Time   `json:"started"`
	Ended   time.Time   `json:"ended,omitzero"`
	Outcome string      `json:"outcome,omitempty"`
	Report  *run.Report `json:"report,omitempty"`
}

// Tasks gives all tasks, by name.
func (a *App) Tasks(ctx context.Context) ([]TaskState, error) {
	all, err := tasks.List(ctx, a.db)
	if err != nil {
		return nil, err
	}
	states := make([]TaskState, 0, len(all))
	for _, t := range all {
		states = append(states, a.state(t))
	}
	return states, nil
}

func (a *App) state(t tasks.Status) TaskState {
	s := TaskState{Name: a.Readable(t.Name), ID: t.Name, Site: a.siteName(t.Site), State: t.State(a.Now()), Schedule: t.Schedule, PausedUntil: t.PausedUntil, LastSuccess: t.LastSuccess, Failures: t.Failures}
	if t.Schedule != "" && t.Removed.IsZero() {
		s.Due = t.NextDue
	}
	if t.Last != nil {
		s.Outcome, s.Ended = t.Last.Outcome, t.Last.Ended
	}
	switch r := t.Running; {
	case r != nil && r.Progress != nil && r.Progress.Total > 0:
		s.Note = fmt.Sprintf("%s: %s, %d of %d %s", r.Holder(), r.Progress.Step, r.Progress.Done, r.Progress.Total, r.Progress.What)
	case r != nil && r.Progress != nil:
		s.Note = fmt.Sprintf("%s: %s", r.Holder(), r.Progress.Step)
	case r != nil:
		s.Note = r.Holder()
	case s.State == "paused":
		s.Note = fmt.Sprintf("paused until %s UTC", t.PausedUntil.Format("2006-01-02 15:04"))
	case t.Failures > 0:
		s.Note = failures(t)
	}
	return s
}

// failures says how often a task has failed in a row.
func failures(t tasks.Status) string {
	often := "once"
	if t.Failures > 1 {
		often = fmt.Sprintf("%d times", t.Failures)
	}
	if t.LastSuccess.IsZero() {
		return "failed " + often + ", and never went well"
	}
	return "failed " + often + " since it last went well"
}

// Readable gives a task's name with the site's name in place of its id.
func (a *App) Readable(name string) string {
	kind, id, ok := strings.Cut(name, "/")
	if !ok {
		return name
	}
	return kind + "/" + a.siteName(id)
}

// TaskName gives the full name of a task that is named by its kind alone, or with the site's name or id.
func (a *App) TaskName(ctx context.Context, text string) (string, error) {
	all, err := tasks.List(ctx, a.db)
	if err != nil {
		return "", err
	}
	var fits []string
	for _, t := range all {
		kind, _, _ := strings.Cut(t.Name, "/")
		switch text {
		case t.Name, a.Readable(t.Name):
			return t.Name, nil
		case kind:
			fits = append(fits, t.Name)
		}
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		_, err := tasks.Find(ctx, a.db, text)
		return "", err
	}
	for i, f := range fits {
		fits[i] = a.Readable(f)
	}
	return "", fmt.Errorf("%s is a task of several sites: %s", text, strings.Join(fits, ", "))
}

// TaskHistory gives a task with its newest runs.
func (a *App) TaskHistory(ctx context.Context, name string, limit int) (TaskState, []TaskRun, error) {
	t, err := tasks.Find(ctx, a.db, name)
	if err != nil {
		return TaskState{}, nil, err
	}
	entries, err := tasks.History(ctx, a.db, name, limit)
	if err != nil {
		return TaskState{}, nil, err
	}
	runs := make([]TaskRun, 0, len(entries))
	for _, e := range entries {
		runs = append(runs, taskRun(e))
	}
	return a.state(t), runs, nil
}

func taskRun(e tasks.Entry) TaskRun {
	return TaskRun{Number: e.Fence, Cause: e.Cause, Where: e.Holder(), Slot: e.Slot, Started: e.Started, Ended: e.Ended, Outcome: e.Outcome}
}

// TaskRun gives one run with its report.
func (a *App) TaskRun(ctx context.Context, name string, number int64) (TaskRun, error) {
	e, err := tasks.Report(ctx, a.db, name, number)
	if err != nil {
		return TaskRun{}, err
	}
	r := taskRun(e)
	if e.Report.Task != "" {
		r.Report = &e.Report
	}
	return r, nil
}

// RunTask has a task run as soon as a service looks.
func (a *App) RunTask(ctx context.Context, name, by string) error {
	return a.audited(ctx, by, "tasks.run", name, tasks.RunNow(ctx, a.db, name))
}

// CancelTask has the run of a task end.
func (a *App) CancelTask(ctx context.Context, name, by string) error {
	return a.audited(ctx, by, "tasks.cancel", name, tasks.Cancel(ctx, a.db, name))
}

// PauseTask keeps a task from being begun before a time.
func (a *App) PauseTask(ctx context.Context, name string, until time.Time, by string) error {
	return a.audited(ctx, by, "tasks.pause until "+until.UTC().Format(time.RFC3339), name, tasks.Pause(ctx, a.db, name, until))
}

// ResumeTask ends a pause.
func (a *App) ResumeTask(ctx context.Context, name, by string) error {
	return a.audited(ctx, by, "tasks.resume", name, tasks.Resume(ctx, a.db, name))
}

// audited notes what an operator did, if it was done.
func (a *App) audited(ctx context.Context, by, action, object string, err error) error {
	if err != nil {
		return err
	}
	return audit.Record(ctx, a.db, audit.Entry{At: a.Now(), Who: by, Action: action, Object: object, Origin: audit.Shell})
}
