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

// holdings holds what was read, and reads what changed. Requests see the present, and never wait for its successor.
type holdings struct {
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

func newHoldings(o Options) *holdings {
	h := &holdings{o: o}
	h.stopping, h.stop = context.WithCancel(context.Background())
	for _, s := range o.Sources {
		h.sources = append(h.sources, &followed{Source: s})
	}
	h.hosts.every, h.portal.every = everyRegistry, everyPortal
	if o.Registry != nil {
		h.hosts.get = func(ctx context.Context) (Hosts, error) {
			services, _, err := o.Registry.Services(ctx, gocdb.Query{Type: gocdb.Nova})
			if err == nil && len(services) == 0 {
				err = fmt.Errorf("GOCDB has no service of the type %s", gocdb.Nova)
			}
			return services, err
		}
	}
	if o.Portal != nil {
		h.portal.get = o.Portal.VOs
	}
	return h
}

// look gives the present, and sees to it that a newer one is made when it is time. Only the first look is waited for.
func (h *holdings) look(ctx context.Context) *present {
	done := h.poke()
	if p := h.now.Load(); p != nil {
		return p
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
	return h.now.Load()
}

// poke begins a refresh when it is time and none is under way, and gives what is closed at its end.
func (h *holdings) poke() <-chan struct{} {
	h.asked.Lock()
	defer h.asked.Unlock()
	if h.under != nil {
		return h.under
	}
	now := h.o.Now()
	if !h.last.IsZero() && now.Sub(h.last) < h.o.Every && !now.Before(h.last) || h.stopping.Err() != nil {
		done := make(chan struct{})
		close(done)
		return done
	}
	done := make(chan struct{})
	h.last, h.under = now, done
	go func() {
		defer func() {
			if p := recover(); p != nil {
				h.o.Log.Error("documents could not be looked at", "panic", p, "stack", string(debug.Stack()))
			}
			h.asked.Lock()
			h.under = nil
			h.asked.Unlock()
			close(done)
		}()
		h.refresh(h.stopping)
	}()
	return done
}

// close ends what is under way.
func (h *holdings) close() {
	h.stop()
	h.asked.Lock()
	done := h.under
	h.asked.Unlock()
	if done != nil {
		<-done
	}
}

// refresh asks everybody, and makes another catalogue when anything changed.
func (h *holdings) refresh(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.o.Now()
	ctx, cancel := context.WithTimeout(ctx, patienceSource)
	defer cancel()
	changed := make([]bool, len(h.sources)+2)
	var wg sync.WaitGroup
	for i, f := range h.sources {
		wg.Go(func() { changed[i] = h.ask(f, func() bool { return f.refresh(ctx, now, h.o.Keep) }) })
	}
	wg.Go(func() {
		changed[len(h.sources)] = h.ask(nil, func() bool { return h.hosts.refresh(ctx, now) })
	})
	wg.Go(func() {
		changed[len(h.sources)+1] = h.ask(nil, func() bool { return h.portal.refresh(ctx, now) })
	})
	wg.Wait()
	h.renew(now, slices.Contains(changed, true))
	h.status.Store(h.tell())
}

// renew makes another catalogue when it is time.
func (h *holdings) renew(now time.Time, changed bool) {
	old := h.now.Load()
	// what counted no more counts again when the clock is set back
	if old != nil && !changed && !now.Before(old.made) && (old.Until.IsZero() || now.Before(old.Until)) {
		return
	}
	// until anybody answered, an empty list would be a lie
	if old == nil && len(h.sources) > 0 && !slices.ContainsFunc(h.sources, func(f *followed) bool { return !f.at.IsZero() }) {
		return
	}
	h.now.Store(h.make(now))
}

// ask lets nobody who panics take the others along.
func (h *holdings) ask(f *followed, refresh func() bool) (changed bool) {
	defer func() {
		if p := recover(); p != nil {
			h.o.Log.Error("a source of documents panicked", "panic", p, "stack", string(debug.Stack()))
			if f != nil {
				f.err = fmt.Errorf("%s: an internal error: the log has more", f.Name())
			}
		}
	}()
	return refresh()
}

func (h *holdings) make(now time.Time) *present {
	var readings []*Reading
	for _, f := range h.sources {
		for _, r := range f.readings {
			readings = append(readings, r)
		}
	}
	c := NewCatalogue(readings, Terms{Now: now, CheckValidity: h.o.CheckValidity, Hosts: h.hosts.value})
	p := &present{Catalogue: c, made: now, vos: c.VOs()}
	if !h.portal.at.IsZero() {
		p.vos = h.portal.value
	}
	if p.vos == nil {
		p.vos = []string{}
	}
	p.voList = jsonAnswer(p.vos).kept()
	h.o.Log.Info("documents were read", "documents", len(readings), "sites", len(c.Sites), "dropped", len(c.Dropped), "ended", len(c.Ended), "stale", len(c.Stale))
	return p
}
