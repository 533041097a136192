package openstack

import (
	"errors"

	"github.com/fedsite/fedsite/internal/run"
)

// Problem says what a failed call to a cloud means for a run: its reason, what to do, whether it passes by itself, and the
// exit code of a run that failed for it alone. Site, cloud, object and step are the caller's; Hint is "" when there is
// nothing to say.
func Problem(err error) run.Problem {
	p := run.Problem{Reason: err.Error(), Hint: Hint(err)}
	switch {
	case errors.Is(err, ErrNotAuthorised), errors.Is(err, ErrNoRole), errors.Is(err, ErrScope), errors.Is(err, ErrForbidden):
		p.Exit, p.Permanent = run.ExitNotAuthorised, true
	case errors.Is(err, ErrConfiguration):
		p.Exit, p.Permanent = run.ExitConfiguration, true
	case errors.Is(err, ErrUnavailable):
		p.Exit = run.ExitUnavailable
	}
	return p
}

// Refusal is a failed call to a cloud as a check. What may pass by itself is a warning: when it lasts, what was last got becomes
// too old, and that fails. Its remedy is the caller's.
func Refusal(name, object string, err error) run.Check {
	found := run.Check{Name: name, Object: object, State: run.CheckFail, Reason: err.Error()}
	if errors.Is(err, ErrUnavailable) {
		found.State = run.CheckWarn
	}
	return found
}
