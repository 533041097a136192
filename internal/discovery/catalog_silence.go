package discovery

import (
	"errors"
	"fmt"
	"sync"

	"github.com/fedsite/fedsite/internal/openstack"
)

// mostSilent is how often in a row a service may give no answer until nobody asks it any more in a run: each time may take
// as long as a time-out, with its repetitions, and a hundred projects would take hours.
const mostSilent = 3

// askedAt tells which service a stage asks.
var askedAt = map[string]string{"sign-in": "identity", "version": "compute", "flavors": "compute", "quotas": "compute", "VMs": "compute", "images": "image",
	"networks": "network", "network quotas": "network", "volume quotas": "volume"}

// silence is how the services of a cloud have answered so far.
type silence struct {
	mu    sync.Mutex
	times map[string]int   // in a row without any answer
	last  map[string]error // the last of these
}

// refuses gives why a stage is not asked; nil = it is.
func (s *silence) refuses(stage string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	service := askedAt[stage]
	if s.times[service] < mostSilent {
		return nil
	}
	return fmt.Errorf("not asked: it has given no answer %d times in a row: %w", mostSilent, s.last[service])
}

// note takes in how a stage's question went. What was asked before the service fell silent may end later, and counts.
func (s *silence) note(stage string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	service := askedAt[stage]
	if s.times == nil {
		s.times, s.last = map[string]int{}, map[string]error{}
	}
	e, ok := errors.AsType[*openstack.Error](err)
	switch {
	case !ok || e.Status != 0 || !errors.Is(err, openstack.ErrUnavailable): // it answered, or was not reached for
		s.times[service] = 0
	case err != s.last[service]: // where Nova is and cannot be reached is found out once for a project's three questions
		s.times[service]++
		s.last[service] = err
	}
}
