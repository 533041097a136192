package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// How long things are kept.
const (
	failureKept  = 30 * time.Second // nothing is asked again after a failure
	longestPause = 10 * time.Minute // that a service may ask for
	usualLife    = 10 * time.Minute // of what does not say how long it holds
	renewedKept  = time.Minute      // what was got anew since it was refused is not doubted again for so long
)

// cache keeps what was got, by slot: one place for each credential and use. A slot's value holds as long as its digest, what
// the configuration says at that moment, is the same.
type cache struct {
	now func() time.Time

	mu    sync.Mutex
	slots map[string]*slot
}

type slot struct {
	digest  string
	value   any
	err     error
	until   time.Time
	renewed time.Time // when it was dropped because it was refused
	flight  *flight
}

// flight is one attempt to get a slot's value, for all who wait for it.
type flight struct {
	digest    string
	done      chan struct{}
	cancel    context.CancelFunc
	waiting   int
	abandoned bool // nobody waits for it any more
	value     any
	err       error
}

func newCache(now func() time.Time) *cache { return &cache{now: now, slots: map[string]*slot{}} }

// got is a value, and how long it holds.
type got[T any] struct {
	value T
	life  time.Duration
}

// cached gives a slot's value, or gets it. Of several callers one gets it; a caller that goes away does not spoil it for the
// others, and the attempt ends when nobody waits any more.
func cached[T any](ctx context.Context, c *cache, name, digest string, get func(context.Context) (got[T], error)) (T, error) {
	for {
		c.mu.Lock()
		s := c.slots[name]
		if s == nil {
			s = &slot{}
			c.slots[name] = s
		}
		if s.digest == digest && c.now().Before(s.until) {
			defer c.mu.Unlock()
			value, _ := s.value.(T)
			return value, s.err
		}
		f := s.flight
		if f == nil {
			f = start(ctx, c, s, digest, get)
		}
		f.waiting++
		c.mu.Unlock()
		if err := f.wait(ctx, c); err != nil {
			var none T
			return none, err
		}
		if f.digest == digest && !f.abandoned { // else it was for what the configuration said before, or for nobody
			value, _ := f.value.(T)
			return value, f.err
		}
	}
}

// start begins to get a slot's value. The cache is locked.
func start[T any](ctx context.Context, c *cache, s *slot, digest string, get func(context.Context) (got[T], error)) *flight {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{digest: digest, done: make(chan struct{}), cancel: cancel}
	s.flight = f
	go func() {
		defer close(f.done)
		defer cancel()
		g, err := get(ctx)
		c.mu.Lock()
		defer c.mu.Unlock()
		f.value, f.err = g.value, err
		if s.flight != f { // forgotten meanwhile
			return
		}
		s.flight = nil
		if f.abandoned {
			return
		}
		s.digest, s.value, s.err, s.until = digest, g.value, err, c.now().Add(g.life)
		if err != nil {
			s.until = c.now().Add(pauseAfter(err))
		}
	}()
	return f
}

func pauseAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok && e.after > failureKept {
		return min(e.after, longestPause)
	}
	return failureKept
}

// wait waits for the flight's end. The last one to leave it before sees it come down.
func (f *flight) wait(ctx context.Context, c *cache) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	f.abandoned = f.abandoned || last
	c.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
	return context.Cause(ctx)
}

// forget drops the slots whose name begins so.
func (c *cache) forget(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, s := range c.slots {
		if strings.HasPrefix(name, prefix) {
			s.until, s.flight = time.Time{}, nil
		}
	}
}

// doubt drops a slot whose value was refused, unless it was got anew because of that a moment ago.
func (c *cache) doubt(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[name]
	if s == nil || (!s.renewed.IsZero() && c.now().Sub(s.renewed) < renewedKept) {
		return
	}
	s.renewed, s.until = c.now(), time.Time{}
}

// digestOf is one text for all that a value follows from; it holds no secret that could be read.
func digestOf(parts ...any) string {
	h := sha256.New()
	for _, p := range parts {
		text := fmt.Sprint(p)
		fmt.Fprintf(h, "%d:%s", len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// usable is how long something is used that holds for d: not until its very end, because a request takes time.
func usable(d time.Duration) time.Duration { return d - min(d/4, 2*time.Minute) }
