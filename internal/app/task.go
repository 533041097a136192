package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// task runs fn as the named task, under its lease: no other process runs it meanwhile, and the run leaves its history
// (design §7, Tasks, rule 6). Held elsewhere it is a *tasks.HeldError. Everything else that goes wrong is in the report.
func (a *App) task(ctx context.Context, name, siteName string, fn func(ctx context.Context, r *run.Recorder) error) (run.Report, error) {
	if err := a.clock.sync(ctx, a.db); err != nil {
		return run.Report{}, err
	}
	if err := tasks.Ensure(ctx, a.db, name, "", time.UnixMilli(0)); err != nil {
		return run.Report{}, err
	}
	lease, err := a.runner.Claim(ctx, tasks.ClaimOptions{Task: name, Cause: "shell", Always: true, Now: a.Now})
	if err != nil {
		return run.Report{}, err
	}
	report := a.report(lease.Context(), name, siteName, func(p run.Progress) {
		lease.Progress(p)
		if a.opts.Progress != nil {
			a.opts.Progress(p)
		}
	}, fn)
	text, err := json.Marshal(report)
	if err != nil {
		return report, err
	}
	if err := lease.Finish(ctx, string(report.Outcome), text, time.Time{}); err != nil {
		report.Outcome = run.Failed
		report.Problems = append(report.Problems, run.Problem{Site: siteName, Object: "task " + name, Step: "finish", Reason: err.Error(), Hint: store.Hint(err)})
	}
	return report, nil
}

// spoilt says what ended a whole run.
func spoilt(ctx context.Context, siteName string, err error) run.Problem {
	p := run.Problem{Site: siteName, Object: "run", Reason: err.Error(), Hint: store.Hint(err)}
	switch cause := context.Cause(ctx); {
	case errors.Is(err, store.ErrFenced), cause != nil && (errors.Is(cause, tasks.ErrLost) || errors.Is(cause, tasks.ErrCutOff)):
		p.Exit, p.Hint = run.ExitLocked, "another process has taken the task over, or the database could not be reached for too long; the next run goes on from what was kept"
		if cause != nil {
			p.Reason = cause.Error()
		}
	case cause != nil:
		p.Reason, p.Hint = fmt.Sprintf("interrupted: %v", cause), "nothing is lost: the next run goes on from what was kept"
	case errors.Is(err, store.ErrLocked):
		p.Exit = run.ExitLocked
	case errors.Is(err, store.ErrUnavailable):
		p.Exit = run.ExitUnavailable
	}
	return p
}
