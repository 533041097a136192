package openstack_test

import (
	"errors"
	"testing"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// TestProblem: what each kind of failure means for a run.
func TestProblem(t *testing.T) {
	for kind, want := range map[error]run.Problem{
		openstack.ErrNotAuthorised: {Exit: run.ExitNotAuthorised, Permanent: true},
		openstack.ErrNoRole:        {Exit: run.ExitNotAuthorised, Permanent: true},
		openstack.ErrScope:         {Exit: run.ExitNotAuthorised, Permanent: true},
		openstack.ErrForbidden:     {Exit: run.ExitNotAuthorised, Permanent: true},
		openstack.ErrConfiguration: {Exit: run.ExitConfiguration, Permanent: true},
		openstack.ErrUnavailable:   {Exit: run.ExitUnavailable},
		openstack.ErrBadAnswer:     {},
		openstack.ErrClock:         {},
		errors.New("anything"):     {},
	} {
		err := error(&openstack.Error{Kind: kind, Service: "compute", Status: 500, RequestID: "req-1"})
		want.Reason, want.Hint = err.Error(), openstack.Hint(err)
		if got := openstack.Problem(err); got != want {
			t.Errorf("%v: %+v, want %+v", kind, got, want)
		}
	}
}
