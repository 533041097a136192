package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
)

// Container is a container of object storage, through the credential of a share; *openstack.Container is one. What it
// stores it stores whole; what is not there is openstack.ErrNotFound, but for Delete.
type Container interface {
	Put(ctx context.Context, object, contentType string, body []byte) error
	Get(ctx context.Context, object string, limit int64) ([]byte, error)
	Delete(ctx context.Context, object string) error
	Ensure(ctx context.Context) error // makes the container, unless it is there
}

var _ Container = (*openstack.Container)(nil)

// SwiftConfig is what the sink "Swift" needs.
type SwiftConfig struct {
	Name string
	At   string // which container of which project, to tell the sink from one that had the same name; nothing secret
	// Open signs in. It is called before the first use, and anew after one that failed. Its HTTP client must be one that may
	// write.
	Open func(ctx context.Context) (Container, error)
}

// NewSwift gives the sink: documents in JSON, each an object of its name. The container is made when it is missing.
func NewSwift(cfg SwiftConfig) Remover { return &swiftSink{cfg: cfg} }

type swiftSink struct {
	cfg SwiftConfig

	mu     sync.Mutex
	opened Container
}

var _ interface {
	Remover
	Placed
	Bounded
} = (*swiftSink)(nil)

func (s *swiftSink) Name() string   { return s.cfg.Name }
func (s *swiftSink) Format() Format { return JSON }

// Place tells the container.
func (s *swiftSink) Place() string { return "swift " + s.cfg.At }

// Most is what fedsite puts into one object.
func (s *swiftSink) Most() int { return openstack.MostObject }

// Publish stores the document; the store has said by its sum that it has all of it.
func (s *swiftSink) Publish(ctx context.Context, p Publication) error {
	if n := len(p.Body); n > s.Most() {
		return &Failure{Err: fmt.Errorf("the document has %d bytes, and no more than %d are put into one object: what is there stays", n, s.Most()), Hint: smaller, Permanent: true, Exit: run.ExitFailed}
	}
	return s.use(ctx, p.Name, "publish", func(c Container) error {
		err := c.Put(ctx, p.Name, "application/json", p.Body)
		if !errors.Is(err, openstack.ErrNotFound) {
			return err
		}
		if err := c.Ensure(ctx); err != nil {
			return fmt.Errorf("the container is missing: %w", err)
		}
		return c.Put(ctx, p.Name, "application/json", p.Body)
	})
}

// Held reads a document back.
func (s *swiftSink) Held(ctx context.Context, name string) (body []byte, err error) {
	err = s.use(ctx, name, "read back", func(c Container) error {
		body, err = c.Get(ctx, name, MaxHeld)
		return err
	})
	if errors.Is(err, openstack.ErrNotFound) {
		return nil, ErrNotHeld
	}
	return body, err
}

// Remove takes a document away.
func (s *swiftSink) Remove(ctx context.Context, name string) error {
	return s.use(ctx, name, "remove", func(c Container) error { return c.Delete(ctx, name) })
}

// use does something with the container. A name that another program would take for a path is refused: readers make files
// of objects.
func (s *swiftSink) use(ctx context.Context, name, what string, do func(Container) error) error {
	if err := errors.Join(plainName(name), context.Cause(ctx)); err != nil {
		return err
	}
	c, err := s.open(ctx)
	if err == nil {
		if err = do(c); err != nil && !errors.Is(err, openstack.ErrNotFound) {
			s.close(c)
		}
	}
	if err != nil {
		return swiftFailure(fmt.Errorf("%s %s: %w", what, name, err))
	}
	return nil
}

func (s *swiftSink) open(ctx context.Context) (Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != nil {
		return s.opened, nil
	}
	c, err := s.cfg.Open(ctx)
	if err == nil {
		s.opened = c
	}
	return c, err
}

// close has the next use sign in anew: catalog or credential may have changed.
func (s *swiftSink) close(c Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened == c {
		s.opened = nil
	}
}

// swiftFailure says what to do about a container that could not be used.
func swiftFailure(err error) error {
	f := &Failure{Err: err, Hint: openstack.Hint(err), Exit: run.ExitFailed}
	switch {
	case errors.Is(err, openstack.ErrUnavailable):
		f.Exit = run.ExitUnavailable
		if f.Hint == openstack.Hint(openstack.ErrUnavailable) { // it is accounting's
			f.Hint = ""
		}
	case errors.Is(err, openstack.ErrNotAuthorised), errors.Is(err, openstack.ErrForbidden), errors.Is(err, openstack.ErrNoRole), errors.Is(err, openstack.ErrScope):
		f.Permanent, f.Exit = true, run.ExitNotAuthorised
	case errors.Is(err, openstack.ErrNoService), errors.Is(err, openstack.ErrConfiguration), errors.Is(err, openstack.ErrFull):
		f.Permanent = true
	}
	f.Hint = cmp.Or(f.Hint, "nothing is lost: the document that is there stays, and the next run publishes again")
	return f
}
