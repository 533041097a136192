package directory

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Source is where documents come from.
type Source interface {
	// Documents gives what is published now, in an order that stays, and a version that changes with it. What it
	// gives is not changed afterwards.
	Documents(ctx context.Context) (documents []Document, version string, err error)
}

// patience is how long a Source may take.
const patience = 30 * time.Second

// polled is how the source was last asked.
type polled struct {
	at  time.Time // of the last answer; zero = never
	err error     // of the last time
}

// Status is how a server is.
type Status struct {
	Connections int
	Documents   int
	Entries     int       // of both trees
	Version     string    // of the source
	At          time.Time // when the source last answered; zero = never
	Err         error     // why it did not answer the last time
}

// Status tells how the server is.
func (s *Server) Status() Status {
	p := s.polled.Load()
	out := Status{At: p.at, Err: p.err}
	if t := s.current.Load(); t != nil {
		out.Documents, out.Entries, out.Version = t.documents, len(t.nodes), t.version
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out.Connections = len(s.open)
	return out
}

// poll asks the source again and again.
func (s *Server) poll(ctx context.Context) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for {
		if err := s.Refresh(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("the directory could not be refreshed, it answers with what it has", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh asks the source now, and serves what it has if that changed. On an error what is served stays as it is. Serve does
// it by itself.
func (s *Server) Refresh(ctx context.Context) error {
	s.polling.Lock()
	defer s.polling.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.refresh(ctx)
	p := polled{at: time.Now().UTC()}
	if err != nil {
		p = polled{at: s.polled.Load().at, err: err}
	}
	s.polled.Store(&p)
	return err
}

func (s *Server) refresh(ctx context.Context) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("make the directory's tree: panic: %v", r)
		}
	}()
	documents, version, err := s.source.Documents(ctx)
	if err != nil {
		return fmt.Errorf("read what is published: %w", err)
	}
	last := s.current.Load()
	if last != nil && last.version == version {
		return nil
	}
	if ctx.Err() != nil {
		return errors.Join(errors.New("read what is published"), ctx.Err())
	}
	odd := 0
	t := newTree(documents, version, func(o Oddity) {
		odd++
		s.log.Debug("the directory leaves something out", "document", o.Document, "reason", o.Reason)
	})
	s.current.Store(t)
	s.log.Info("the directory has changed", "documents", len(documents), "entries", len(t.nodes), "left_out", odd)
	return nil
}
