package information

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fedsite/fedsite/protocol/gocdb"
)

// Registry is GOCDB; *gocdb.Client is one.
type Registry interface {
	Services(ctx context.Context, q gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error)
}

// How often others are asked, and how long they may take.
const (
	everyRegistry  = 2 * time.Hour
	everyPortal    = 2 * time.Hour
	patienceSource = time.Minute
)

// present is what is served at a time.
type present struct {
	*Catalogue
	made   time.Time
	vos    []string
	voList *answer
}

// library holds what was read, and reads what changed. Requests see the present, and never wait for its successor.
type library struct {
	o      Options
	now    atomic.Pointer[present]
	status atomic.Pointer[Status]

	mu       sync.Mutex // one refresh at a time
	sources  []*followed
	hosts    lasting[Hosts]
	portal   lasting[[]string]
	asked    sync.Mutex
	last     time.Time     // when the last look began
	under    chan struct{} // closed when the look under way ends; nil = none is
	stopping context.Context
	stop     context.CancelFunc
}

func newLibrary(o Options) *library {
	l := &library{o: o}
	l.stopping, l.stop = context.WithCancel(context.Background())
	for _, s := range o.Sources {
		l.sources = append(l.sources, &followed{Source: s})
	}
	l.hosts.every, l.portal.every = everyRegistry, everyPortal
	if o.Registry != nil {
		l.hosts.get = func(ctx context.Context) (Hosts, error) {
			services, _, err := o.Registry.Services(ctx, gocdb.Query{Type: gocdb.Nova})
			if err == nil && len(services) == 0 {
				err = fmt.Errorf("GOCDB has no service of the type %s", gocdb.Nova)
			}
			return services, err
		}
	}
	if o.Portal != nil {
		l.portal.get = o.Portal.VOs
	}
	return l
}

// look gives the present, and sees to it that a newer one is made when it is time. Only the first look is waited for.
func (l *library) look(ctx context.Context) *present {
	done := l.poke()
	if p := l.now.Load(); p != nil {
		return p
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return l.now.Load()
}

// poke begins a refresh when it is time and none is under way, and gives what is closed at its end.
func (l *library) poke() <-chan struct{} {
	l.asked.Lock()
	defer l.asked.Unlock()
	if l.under != nil {
		return l.under
	}
	now := l.o.Now()
	if !l.last.IsZero() && now.Sub(l.last) < l.o.Every && !now.Before(l.last) || l.stopping.Err() != nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	done := make(chan struct{})
	l.last, l.under = now, done
	go func() {
		defer func() {
			if p := recover(); p != nil {
				l.o.Log.Error("documents could not be looked at", "panic", p, "stack", string(debug.Stack()))
			}
			l.asked.Lock()
			l.under = nil
			l.asked.Unlock()
			close(done)
		}()
		l.refresh(l.stopping)
	}()
	return done
}

// close ends what is under way.
func (l *library) close() {
	l.stop()
	l.asked.Lock()
	done := l.under
	l.asked.Unlock()
	if done != nil {
		<-done
	}
}

// refresh asks everybody, and makes another catalogue when anything changed.
func (l *library) refresh(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.o.Now()
	ctx, cancel := context.WithTimeout(ctx, patienceSource)
	defer cancel()
	changed := make([]bool, len(l.sources)+2)
	var wg sync.WaitGroup
	for i, f := range l.sources {
		wg.Go(func() { changed[i] = l.ask(f, func() bool { return f.refresh(ctx, now, l.o.Keep) }) })
	}
	wg.Go(func() {
		changed[len(l.sources)] = l.ask(nil, func() bool { return l.hosts.refresh(ctx, now) })
	})
	wg.Go(func() {
		changed[len(l.sources)+1] = l.ask(nil, func() bool { return l.portal.refresh(ctx, now) })
	})
	wg.Wait()
	l.renew(now, slices.Contains(changed, true))
	l.status.Store(l.tell())
}

// renew makes another catalogue when it is time.
func (l *library) renew(now time.Time, changed bool) {
	old := l.now.Load()
	// what counted no more counts again when the clock is set back
	if old != nil && !changed && !now.Before(old.made) && (old.Until.IsZero() || now.Before(old.Until)) {
		return
	}
	// until anybody answered, an empty list would be a lie
	if old == nil && len(l.sources) > 0 && !slices.ContainsFunc(l.sources, func(f *followed) bool { return !f.at.IsZero() }) {
		return
	}
	l.now.Store(l.make(now))
}

// ask lets nobody who panics take the others along.
func (l *library) ask(f *followed, refresh func() bool) (changed bool) {
	defer func() {
		if p := recover(); p != nil {
			l.o.Log.Error("a source of documents panicked", "panic", p, "stack", string(debug.Stack()))
			if f != nil {
				f.err = fmt.Errorf("%s: an internal error: the log has more", f.Name())
			}
		}
	}()
	return refresh()
}

func (l *library) make(now time.Time) *present {
	var readings []*Reading
	for _, f := range l.sources {
		for _, r := range f.readings {
			readings = append(readings, r)
		}
	}
	c := NewCatalogue(readings, Terms{Now: now, CheckValidity: l.o.CheckValidity, Hosts: l.hosts.value})
	p := &present{Catalogue: c, made: now, vos: c.VOs()}
	if !l.portal.at.IsZero() {
		p.vos = l.portal.value
	}
	if p.vos == nil {
		p.vos = []string{}
	}
	p.voList = jsonAnswer(p.vos).kept()
	l.o.Log.Info("documents were read", "documents", len(readings), "sites", len(c.Sites), "dropped", len(c.Dropped), "ended", len(c.Ended), "stale", len(c.Stale))
	return p
}
