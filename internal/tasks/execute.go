package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// active is a task that runs in this process, from before its claim until it was given back. It is guarded by the
// scheduler's mutex.
type active struct {
	task         Task // as it was when the run began
	group, cause string
	stuck        bool
}

// execute claims a task, runs it, and gives it back.
func (s *Scheduler) execute(ctx context.Context, a *active) {
	defer s.bodies.Done()
	defer s.gone(a)
	lease, err := s.runner.Claim(ctx, ClaimOptions{Task: a.task.Name, Cause: a.cause, Now: s.o.Now})
	if err != nil {
		s.refused(a, err)
		return
	}
	defer lease.forget()
	began := s.runner.mono()
	s.o.Log.Debug("run begins", "task", a.task.Name, "cause", a.cause, "fence", lease.Lease.Fence)
	report, left := s.body(a, lease)
	if left {
		return
	}
	report.Task = a.task.Name
	e := Ended{Task: a.task.Name, Site: a.task.Site, Took: s.runner.mono().Sub(began)}
	e.Outcome, e.Report, e.Err = s.giveBack(ctx, a, lease, report)
	s.ended(e)
}

// gone makes room for others.
func (s *Scheduler) gone(a *active) {
	s.mu.Lock()
	delete(s.active, a.task.Name)
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default: // it is known already
	}
}

// refused says why a claim gave nothing, unless another was quicker.
func (s *Scheduler) refused(a *active, err error) {
	_, held := errors.AsType[*HeldError](err)
	if held || errors.Is(err, ErrNotDue) {
		return
	}
	s.mu.Lock()
	now := s.runner.mono()
	tell := s.warned.IsZero() || now.Sub(s.warned) >= time.Minute
	if tell {
		s.warned = now
	}
	s.mu.Unlock()
	if tell {
		s.o.Log.Warn("a task that is due cannot be begun; trying again", "task", a.task.Name, "error", err, "hint", store.Hint(err))
	}
}

// body runs the task's function and waits until it has returned, which may be long after its context ended; left tells
// that the service ends without it.
func (s *Scheduler) body(a *active, lease *Run) (report Result, left bool) {
	result := make(chan Result, 1)
	live := &Live{Name: a.task.Name, Site: a.task.Site, Cause: a.cause, Slot: lease.Slot, run: lease}
	go s.guard(a, lease, live, result)
	deadline, stop := s.after(a.task.Deadline)
	defer stop()
	select {
	case report = <-result:
		return report, false
	case <-deadline:
		lease.cancel(ErrDeadline)
	case <-s.stopping:
		lease.cancel(ErrStopped)
	case <-lease.Context().Done():
	}
	patience, stopPatience := s.after(s.limits.stuck)
	defer stopPatience()
	select {
	case report = <-result:
		return report, false
	case <-s.leave:
		return report, true
	case <-patience:
	}
	lease.stuck()
	s.mu.Lock()
	a.stuck = true
	s.mu.Unlock()
	s.o.Log.Error("a run was told to end and does not", "task", a.task.Name, "why", context.Cause(lease.Context()), "hint", "the task is not begun again until it has ended; restart the service if it never does, and report it as a bug")
	select {
	case s.freed <- struct{}{}: // others may take its place
	default:
	}
	select {
	case report = <-result:
		return report, false
	case <-s.leave:
		return report, true
	}
}

// guard calls the task's function, and makes a report of a panic.
func (s *Scheduler) guard(a *active, lease *Run, live *Live, result chan<- Result) {
	report := broken(a.task, "the run ended without a result")
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("a run panicked", "task", a.task.Name, "panic", p, "stack", string(debug.Stack()))
			report = broken(a.task, fmt.Sprintf("panic: %v", p))
		}
		result <- report
	}()
	report = a.task.Run(lease.Context(), live)
}

// broken is the report of a run that could not make one.
func broken(t Task, reason string) Result {
	return Result{Task: t.Name, Outcome: run.Failed, Counts: map[string]int64{"problems": 1},
		Problems: []run.Problem{{Site: t.Site, Object: "run", Reason: reason, Hint: "this is a bug of fedsite: the log has more; please report it", Failed: true}}}
}

// giveBack writes how the run ended. It is tried until it succeeds, the lease is another's, or the service has to end: when
// it stops, what waiting does not mend is waited for some seconds only, since whoever stops it would wait in vain.
func (s *Scheduler) giveBack(ctx context.Context, a *active, lease *Run, report Result) (string, Result, error) {
	v := judge(report, context.Cause(lease.Context()))
	text, err := json.Marshal(v.report)
	if err != nil {
		text = nil // a report holds nothing that cannot be written
	}
	c := closing{outcome: v.outcome, report: text, next: func(now time.Time) (time.Time, int64) { return s.next(a, v, lease.Failures, now) }}
	var told time.Time
	for vain := 0; ; {
		err := lease.release(ctx, c)
		if err == nil || errors.Is(err, store.ErrFenced) {
			return v.outcome, v.report, err
		}
		if store.Lasting(err) && s.drains() {
			if vain++; vain >= s.limits.tries {
				return v.outcome, v.report, err
			}
		}
		if now := s.runner.mono(); told.IsZero() || now.Sub(told) >= time.Minute {
			told = now
			s.o.Log.Warn("the end of a run cannot be written; trying again", "task", a.task.Name, "error", err, "hint", store.Hint(err))
		}
		again, stop := s.after(s.limits.retry)
		select {
		case <-again:
		case <-s.leave:
			stop()
			return v.outcome, v.report, err
		}
	}
}

// drains tells whether the service stops.
func (s *Scheduler) drains() bool {
	select {
	case <-s.draining:
		return true
	default:
		return false
	}
}

// verdict is what became of a run.
type verdict struct {
	report  Result
	outcome string
}

// judge tells what became of a run by its report and by what ended its context, if anything did. Who did the work in
// spite of that has done it.
func judge(report Result, cause error) verdict {
	switch report.Outcome {
	case run.Done, run.Partial:
		return verdict{report, string(report.Outcome)}
	case run.Failed:
	default:
		report.Problems = append(slices.Clone(report.Problems), run.Problem{Object: "run", Reason: fmt.Sprintf("it gave the outcome %q", report.Outcome), Failed: true})
		report.Outcome = run.Failed
	}
	if cause == nil {
		return verdict{report, string(run.Failed)}
	}
	if !slices.ContainsFunc(report.Problems, func(p run.Problem) bool { return strings.Contains(p.Reason, cause.Error()) }) {
		report.Problems = append(slices.Clone(report.Problems), run.Problem{Object: "run", Reason: cause.Error(), Failed: true})
	}
	switch {
	case errors.Is(cause, ErrCancelled):
		return verdict{report, Cancelled}
	case errors.Is(cause, ErrStopped), errors.Is(cause, ErrLost), errors.Is(cause, ErrCutOff):
		return verdict{report, Interrupted}
	}
	return verdict{report, string(run.Failed)}
}

// next tells when the task is due again, and how many of its runs have failed in a row. Who was interrupted stays due. A
// task that is not in the set any more keeps the row that it has.
func (s *Scheduler) next(a *active, v verdict, failures int64, now time.Time) (time.Time, int64) {
	s.mu.Lock()
	t, ok := s.tasks[a.task.Name]
	s.mu.Unlock()
	if v.outcome == Interrupted {
		return time.Time{}, -1
	}
	var slot time.Time
	if ok {
		slot = t.Schedule.Next(now)
	}
	switch v.outcome {
	case string(run.Failed):
		if again := now.Add(backOff(failures)); again.Before(slot) {
			slot = again
		}
		return slot, failures + 1
	case Cancelled:
		return slot, -1
	}
	return slot, 0
}

// backOff is how long after so many failures in a row, and one more, the task is tried again: 1, 2, 4 … minutes, at most
// an hour.
func backOff(failures int64) time.Duration {
	return min(time.Minute<<min(failures, 6), time.Hour)
}

func (s *Scheduler) ended(e Ended) {
	switch {
	case errors.Is(e.Err, store.ErrFenced):
		s.o.Log.Warn("a run ended after its task went to another process", "task", e.Task, "outcome", e.Outcome)
	case e.Err != nil:
		s.mu.Lock()
		s.unwritten = append(s.unwritten, e)
		s.mu.Unlock()
		s.o.Log.Error("the end of a run was not written: the task runs again", "task", e.Task, "outcome", e.Outcome, "error", e.Err, "hint", store.Hint(e.Err))
	case e.Outcome == string(run.Failed):
		s.o.Log.Warn("run failed", "task", e.Task, "took", e.Took.Round(time.Millisecond), "reason", reason(e.Report))
	default:
		s.o.Log.Info("run ended", "task", e.Task, "outcome", e.Outcome, "took", e.Took.Round(time.Millisecond), "problems", e.Report.Counts["problems"])
	}
	s.o.Ended(e)
}

// reason gives why a run failed: its first problem that did it.
func reason(r Result) string {
	for _, p := range r.Problems {
		if p.Failed {
			return p.Reason
		}
	}
	return ""
}
