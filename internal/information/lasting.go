package information

import (
	"context"
	"time"
)

// lasting is a value that is got from elsewhere from time to time. The last good one stays.
type lasting[T any] struct {
	get   func(ctx context.Context) (T, error) // nil = there is nobody to ask
	every time.Duration

	value T
	at    time.Time // when it was got; zero = it never was
	tried time.Time
	err   error // of the last try
}

// again is how long after a failure it is tried again.
const again = 5 * time.Minute

// refresh gets the value anew when it is time, and tells whether there is another one.
func (l *lasting[T]) refresh(ctx context.Context, now time.Time) bool {
	wait := l.every
	if l.err != nil {
		wait = min(again, wait)
	}
	// a clock that was set back must not end the asking until it has caught up
	if l.get == nil || !l.tried.IsZero() && now.Sub(l.tried).Abs() < wait {
		return false
	}
	l.tried = now
	var value T
	if value, l.err = l.get(ctx); l.err != nil {
		return false
	}
	l.value, l.at = value, now
	return true
}

// followed is a source with what was read of it.
type followed struct {
	Source
	version  string
	readings map[string]*Reading // by name
	at       time.Time           // when it answered; zero = it never did
	err      error
}

// refresh asks the source, reads what changed, and tells whether anything did.
func (f *followed) refresh(ctx context.Context, now time.Time, keep time.Duration) bool {
	docs, version, err := f.Documents(ctx)
	f.err = err
	if err != nil {
		return false
	}
	first := f.at.IsZero()
	f.at = now
	// what is kept for a bad document ends by itself
	if !first && version == f.version && !f.keeping() {
		return false
	}
	f.version = version
	next := make(map[string]*Reading, len(docs))
	for _, d := range docs {
		next[d.Name] = reread(f.readings[d.Name], d, now, keep)
	}
	f.readings = next
	return true
}

func (f *followed) keeping() bool {
	for _, r := range f.readings {
		if r.bad != nil {
			return true
		}
	}
	return false
}

// reread reads a document unless it says what it said. Of one that cannot be used any more, what it said last stays for a
// while.
func reread(old *Reading, d Document, now time.Time, keep time.Duration) *Reading {
	if old != nil && old.bad == nil && d.Err == nil && old.Document.Err == nil && old.Document.Changed.Equal(d.Changed) &&
		old.Document.Own == d.Own && string(old.Document.Body) == string(d.Body) {
		return old
	}
	r := Read(d)
	if r.Err == nil || old == nil || old.Err != nil {
		return r
	}
	since := now
	if old.bad != nil && !old.bad.since.After(now) { // else the clock was set back
		since = old.bad.since
	}
	if now.Sub(since) >= keep {
		return r
	}
	kept := *old
	kept.bad = &bad{r.Err, since}
	return &kept
}

// bad says why a reading is not of the newest document.
type bad struct {
	err   error
	since time.Time
}
