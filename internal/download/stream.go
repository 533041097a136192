package download

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"time"

	"github.com/fedsite/fedsite/internal/transport"
)

// Opener opens a file as Client.Open does: from a byte on, if it still has the tag. It may sign in anew each time.
type Opener func(ctx context.Context, offset int64, tag string) (Piece, error)

// Options of a Stream. Zero values are usable.
type Options struct {
	From  int64                                      // begin there, if the file still has the tag; else at 0
	Tag   string                                     // of the file that was read up to there
	Size  int64                                      // that the file must have, in bytes; 0 = not known
	Tries int                                        // connections in a row that bring nothing, before it is given up; 0 = 6
	Pause time.Duration                              // before the second of them; doubles, with jitter; 0 = 1 s
	Max   time.Duration                              // the longest pause, also when a server asks for more; 0 = 1 min
	Sleep func(context.Context, time.Duration) error // nil = wait by the clock
}

// maxRereads is how often a file is read again from its beginning, because the server gives no part of it.
const maxRereads = 3

// Stream is a file that is read on when its connection breaks. What a server gives after a break belongs to the same file
// as what came before: it has the same tag and length. A server that gives no parts is read from the beginning again, a few
// times at most, and what comes up to the break must be what came the first time; where that cannot be told, because the
// stream did not begin at 0, or too often, reading ends with ErrNoRange and the caller has to start again.
//
// A Stream is for one reader. The end, io.EOF, comes only after as many bytes as the server said, or as Size says.
type Stream struct {
	ctx    context.Context
	open   Opener
	o      Options
	piece  Piece
	tag    string
	etag   string
	total  int64 // -1 = not known
	from   int64
	offset int64 // of the next byte
	skip   int64 // bytes of the piece that were given on before
	prefix maphash.Hash
	again  maphash.Hash // of what is skipped
	barren int          // connections in a row that brought nothing
	breaks int
	reread int
	err    error
}

// Start makes the first connection, with pauses and repetitions as for the later ones. The context is for all of the
// reading. An error is an *Error, or the context's.
func Start(ctx context.Context, open Opener, o Options) (*Stream, error) {
	if o.Tries <= 0 {
		o.Tries = 6
	}
	if o.Pause <= 0 {
		o.Pause = time.Second
	}
	if o.Max <= 0 {
		o.Max = time.Minute
	}
	if o.Sleep == nil {
		o.Sleep = transport.Sleep
	}
	s := &Stream{ctx: ctx, open: open, o: o, total: -1}
	s.again.SetSeed(s.prefix.Seed())
	p, err := s.connect(o.From, o.Tag)
	if errors.Is(err, ErrChanged) || errors.Is(err, ErrNoRange) {
		p, err = s.connect(0, "")
	}
	if err != nil {
		return nil, err
	}
	s.piece, s.from, s.offset, s.tag, s.etag, s.total = p, p.Offset, p.Offset, p.Tag(), p.ETag, p.Total
	if s.tag == "" && p.Offset > 0 {
		s.tag = o.Tag // a part need not repeat it
	}
	if o.Size > 0 && s.total >= 0 && s.total != o.Size {
		_ = p.Body.Close()
		return nil, Error{URL: "the file"}.because(ErrLength, errorf("the server has %d bytes, and %d were said", s.total, o.Size))
	}
	return s, nil
}

// From is where the stream begins: Options.From, or 0 if the server did not go on there.
func (s *Stream) From() int64 { return s.from }

// Offset is where in the file the next byte stands.
func (s *Stream) Offset() int64 { return s.offset }

// Size is how many bytes the whole file has; -1 = not known.
func (s *Stream) Size() int64 {
	if s.total < 0 && s.o.Size > 0 {
		return s.o.Size
	}
	return s.total
}

// Tag tells whether it is the same file later; "" = that cannot be told.
func (s *Stream) Tag() string { return s.tag }

// Breaks is how often the connection broke and was made again.
func (s *Stream) Breaks() int { return s.breaks }

// Close ends the reading.
func (s *Stream) Close() error {
	if s.err == nil {
		s.err = errors.New("the stream is closed")
	}
	if s.piece.Body == nil {
		return nil
	}
	return s.piece.Body.Close()
}

// Read gives the next bytes of the file.
func (s *Stream) Read(p []byte) (int, error) {
	for s.err == nil {
		if len(p) == 0 {
			return 0, nil
		}
		n, err := s.read(p)
		if n > 0 {
			s.barren = 0
			if err != nil {
				s.settle(err)
			}
			return n, nil // what is wrong is said with the next read
		}
		if err != nil {
			s.settle(err)
		}
	}
	return 0, s.err
}

// read reads from the present piece: what was given on before is compared, the rest is given on.
func (s *Stream) read(p []byte) (int, error) {
	if s.skip > 0 {
		buf := make([]byte, min(s.skip, 64<<10))
		n, err := s.piece.Body.Read(buf)
		_, _ = s.again.Write(buf[:n])
		s.skip -= int64(n)
		if s.skip == 0 && s.again.Sum64() != s.prefix.Sum64() {
			return 0, s.changed("what came before the break is not what comes now")
		}
		return 0, err
	}
	n, err := s.piece.Body.Read(p)
	if size := s.Size(); size >= 0 && s.offset+int64(n) > size {
		return 0, Error{URL: "the file"}.because(ErrLength, errorf("it goes on after its %d bytes", size))
	}
	_, _ = s.prefix.Write(p[:n])
	s.offset += int64(n)
	return n, err
}

// settle decides what the end of a piece means: the end of the file, another connection, or an error to stay.
func (s *Stream) settle(err error) {
	_ = s.piece.Body.Close()
	size := s.Size()
	switch {
	case errors.Is(err, io.EOF) && s.skip == 0 && (size < 0 || s.offset == size):
		s.err = io.EOF
		return
	case errors.Is(err, io.EOF) && s.skip > 0:
		err = s.changed("it is shorter than what came before the break")
	case errors.Is(err, io.EOF) && s.total < 0: // a length that only the caller says, and an end that the server says
		err = Error{URL: "the file"}.because(ErrLength, errorf("it ends after %d bytes, and %d were said", s.offset, size))
	case errors.Is(err, io.EOF): // a part of the rest
		err = Error{URL: "the file"}.broken(io.ErrUnexpectedEOF)
	case s.offset == size && s.skip == 0 && passing(s.ctx, err):
		s.err = io.EOF // it broke after the last byte
		return
	}
	if !passing(s.ctx, err) {
		s.err = s.cause(err)
		return
	}
	s.barren++
	s.breaks++
	if s.err = s.rest(err); s.err != nil {
		return
	}
	p, err := s.connect(s.offset, s.tag)
	if err != nil {
		s.err = err
		return
	}
	s.piece = p
	if s.err = s.join(p); s.err != nil {
		_ = p.Body.Close()
	}
}

// join checks that a piece goes on with the file.
func (s *Stream) join(p Piece) error {
	switch {
	case s.total >= 0 && p.Total >= 0 && p.Total != s.total:
		return s.changed("its length is another")
	case s.etag != "" && p.ETag != "" && p.ETag != s.etag:
		return s.changed("its ETag is another")
	case s.etag == "" && s.tag != "" && p.Tag() != "" && p.Tag() != s.tag:
		return s.changed("its date is another")
	case p.Offset == s.offset:
		s.skip = 0
		return nil
	case p.Offset != 0:
		return Error{URL: "the file"}.because(ErrAnswer, errorf("it goes on at %d, and %d is next", p.Offset, s.offset))
	case s.from > 0:
		return Error{URL: "the file"}.because(ErrNoRange, errorf("the connection broke at %d, and what came before is not known here", s.offset))
	case s.reread >= maxRereads:
		return Error{URL: "the file"}.because(ErrNoRange, errorf("the connection broke at %d, and it was read from the beginning %d times", s.offset, s.reread+1))
	}
	s.reread++
	s.again.Reset()
	s.skip = s.offset
	return nil
}

// connect opens the file, again and again while that may help.
func (s *Stream) connect(offset int64, tag string) (Piece, error) {
	for {
		p, err := s.open(s.ctx, offset, tag)
		if err == nil {
			return p, nil
		}
		if !passing(s.ctx, err) {
			return Piece{}, s.cause(err)
		}
		s.barren++
		if err := s.rest(err); err != nil {
			return Piece{}, err
		}
	}
}

// rest waits before the next connection, unless there were enough of them.
func (s *Stream) rest(err error) error {
	if s.barren >= s.o.Tries {
		return err
	}
	wait := min(s.o.Pause<<min(s.barren-1, 16), s.o.Max)
	wait = wait/2 + rand.N(wait/2+1)
	if e, ok := errors.AsType[*Error](err); ok {
		wait = max(wait, min(e.RetryAfter, s.o.Max))
	}
	return s.o.Sleep(s.ctx, wait)
}

func (s *Stream) changed(why string) error {
	return Error{URL: "the file"}.because(ErrChanged, errors.New(why))
}

// cause gives why the context ended, if that is what an error comes of.
func (s *Stream) cause(err error) error {
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return err
}
