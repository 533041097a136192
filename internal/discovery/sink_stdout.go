package discovery

import (
	"context"
	"io"
	"sync"
)

// NewStdout gives a sink that writes documents to w, one after the other: each a line of JSON, or entries of LDIF. What
// was written there is not noted, as nobody has it for longer than the run.
func NewStdout(name string, w io.Writer, f Format) Sink {
	return &stdoutSink{name: name, w: w, format: f}
}

type stdoutSink struct {
	name   string
	format Format
	mu     sync.Mutex
	w      io.Writer
}

func (s *stdoutSink) Name() string   { return s.name }
func (s *stdoutSink) Format() Format { return s.format }
func (s *stdoutSink) unnoted()       {}

// Publish writes the document in one piece; what a broken pipe has taken of it, its reader has.
func (s *stdoutSink) Publish(ctx context.Context, p Publication) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := s.w.Write(p.Body)
	return err
}
