package discovery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/protocol/gocdb"
)

const (
	sharedTime    = 2 * time.Minute // for one question that many wait for; who waits has less
	sharedFailure = 5 * time.Minute // how long it is not asked again after it failed: many sites would wait in turn
)

// SharedRegistry lets many sites use one answer of a GOCDB for so long, with the questions of a single site answered from those of all
// sites. Several that ask at a time wait for one request, each for as long as it has time. A failure is shared, too, for five
// minutes at most. It may be used from several goroutines, and is for one process.
func SharedRegistry(registry Registry, keepFor time.Duration, now func() time.Time) Registry {
	return &shared{next: registry, keepFor: keepFor, now: now, answers: map[question]*answer{}}
}

type shared struct {
	next    Registry
	keepFor time.Duration
	now     func() time.Time

	mu      sync.Mutex
	answers map[question]*answer
}

// question is one that is asked for all sites.
type question struct {
	about, kind string // kind is of service
	allScopes   bool
	after       string // of downtimes: a day
}

// answer is what came, once done is closed.
type answer struct {
	done      chan struct{}
	at        time.Time
	services  []gocdb.Service
	downtimes []gocdb.Downtime
	odd       []gocdb.Oddity
	err       error
}

// Services gives the services of a query.
func (s *shared) Services(ctx context.Context, q gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	a, err := s.ask(ctx, "ask for services", question{aboutRegistration, q.Type, q.AllScopes, ""}, func(ctx context.Context, a *answer) {
		a.services, a.odd, a.err = s.next.Services(ctx, gocdb.Query{Type: q.Type, AllScopes: q.AllScopes})
	})
	if err != nil {
		return nil, nil, err
	}
	var all []gocdb.Service
	for _, v := range a.services {
		if ofSite(q, v.Site) {
			all = append(all, v)
		}
	}
	return all, slices.Clone(a.odd), nil
}

// Downtimes gives the downtimes of a query that end after an instant.
func (s *shared) Downtimes(ctx context.Context, q gocdb.Query, after time.Time) ([]gocdb.Downtime, []gocdb.Oddity, error) {
	day := after.UTC().Truncate(24 * time.Hour)
	a, err := s.ask(ctx, "ask for downtimes", question{aboutDowntimes, q.Type, q.AllScopes, day.Format(time.DateOnly)}, func(ctx context.Context, a *answer) {
		a.downtimes, a.odd, a.err = s.next.Downtimes(ctx, gocdb.Query{Type: q.Type, AllScopes: q.AllScopes}, day)
	})
	if err != nil {
		return nil, nil, err
	}
	var all []gocdb.Downtime
	for _, d := range a.downtimes {
		var services []gocdb.Affected
		for _, v := range d.Services {
			if ofSite(q, v.Site) {
				services = append(services, v)
			}
		}
		if d.Services = services; len(services) > 0 && d.End.After(after) {
			all = append(all, d)
		}
	}
	return all, slices.Clone(a.odd), nil
}

func ofSite(q gocdb.Query, site string) bool { return q.Site == "" || strings.EqualFold(q.Site, site) }

// ask gives the answer that there is, or waits for the one that is under way, or asks.
func (s *shared) ask(ctx context.Context, op string, q question, put func(context.Context, *answer)) (*answer, error) {
	a := s.answer(ctx, q, put)
	select {
	case <-a.done:
		return a, a.err
	default:
	}
	select {
	case <-a.done:
		return a, a.err
	case <-ctx.Done():
		return nil, &gocdb.Error{Op: op, Cause: ctx.Err()}
	}
}

func (s *shared) answer(ctx context.Context, q question, put func(context.Context, *answer)) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, a := range s.answers {
		if s.old(a) {
			delete(s.answers, k)
		}
	}
	if a, ok := s.answers[q]; ok {
		return a
	}
	a := &answer{done: make(chan struct{})}
	s.answers[q] = a
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedTime) // others wait for it, too
	go func() {
		defer cancel()
		put(ctx, a)
		a.at = s.now()
		close(a.done)
	}()
	return a
}

// old tells whether an answer does not count any more.
func (s *shared) old(a *answer) bool {
	select {
	case <-a.done:
	default:
		return false // under way
	}
	keepFor := s.keepFor
	if a.err != nil {
		keepFor = min(keepFor, sharedFailure)
	}
	return s.now().Sub(a.at).Abs() >= keepFor
}
