package images

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
	"time"
)

// Limits of a stream, in bytes and time.
const (
	headBytes  = 1 << 20   // the disk is judged by them before anything goes to Glance
	tailBytes  = 1 << 20   // held back until the checksum is known to be right
	chunkBytes = 256 << 10 // read at once
	stallAfter = 2 * time.Minute
)

// AnswerWithin is how long Glance may take to answer once it was sent all of an image: a proxy before it may have taken the
// whole before Glance got any of it, and Glance's storage may be slow.
const AnswerWithin = 20 * time.Minute

// errWrongSum is content that is not what the source says it is.
var errWrongSum = errors.New("checksum")

// sums are the checksums of a stream: the source's, and those that Glance has of what it stores.
type sums struct {
	sha512, sha256, md5 hash.Hash
	n                   int64
}

func newSums() *sums { return &sums{sha512: sha512.New(), sha256: sha256.New(), md5: md5.New()} }

// of gives the checksums that are needed: SHA-512 always, because Glance has it too; SHA-256 where the source says it; MD5
// for an old Glance.
func (s *sums) only(d Digest, old bool) *sums {
	if d.Algorithm() != SHA256 {
		s.sha256 = nil
	}
	if !old {
		s.md5 = nil
	}
	return s
}

func (s *sums) Write(p []byte) (int, error) {
	for _, h := range []hash.Hash{s.sha512, s.sha256, s.md5} {
		if h != nil {
			_, _ = h.Write(p)
		}
	}
	s.n += int64(len(p))
	return len(p), nil
}

// glance is the checksum that Glance is to have of the content, as sumOf gives it.
func (s *sums) glance(old bool) string {
	if old && s.md5 != nil {
		return "md5:" + hex.EncodeToString(s.md5.Sum(nil))
	}
	return SHA512 + ":" + hex.EncodeToString(s.sha512.Sum(nil))
}

// check tells whether what went through is what the source says.
func (s *sums) check(d Digest) error {
	h := s.sha512
	if d.Algorithm() == SHA256 {
		h = s.sha256
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.Hex() {
		return fmt.Errorf("%w: the file has %s:%.16s…, and %s… was said", errWrongSum, d.Algorithm(), got, d.Short())
	}
	return nil
}

// outlet is one upload that is fed from the stream. What goes wrong with it is its own.
type outlet struct {
	order  *order
	w      *io.PipeWriter
	cancel context.CancelCauseFunc
	timer  *time.Timer
	done   chan struct{}
	err    error // after done
	dead   bool
}

// open begins the upload of so many bytes.
func (o *order) open(ctx context.Context, size int64) *outlet {
	ctx, cancel := context.WithCancelCause(ctx)
	r, w := io.Pipe()
	out := &outlet{order: o, w: w, cancel: cancel, done: make(chan struct{})}
	out.timer = time.AfterFunc(stallAfter, func() { cancel(errStalled) })
	out.timer.Stop() // it runs while somebody gives: that the source stalls is not Glance's
	go func() {
		defer close(out.done)
		out.err = o.store.Upload(ctx, o.image, size, r)
		if cause := context.Cause(ctx); out.err != nil && cause != nil {
			out.err = cause
		}
		_ = r.CloseWithError(errors.Join(errEnded, out.err)) // whoever writes on learns that nobody reads
	}()
	context.AfterFunc(ctx, func() { _ = r.CloseWithError(context.Cause(ctx)) })
	return out
}

var (
	errStalled = fmt.Errorf("no more bytes are taken by Glance for %s", stallAfter)
	errSilent  = fmt.Errorf("all of it has gone to Glance, which says nothing for %s", AnswerWithin)
	errEnded   = errors.New("the upload ended before its content")
	errBroken  = errors.New("the source broke off")
)

// give hands bytes on; an outlet that does not take them is dead.
func (o *outlet) give(p []byte) {
	if o.dead {
		return
	}
	o.timer.Reset(stallAfter)
	if _, err := o.w.Write(p); err != nil {
		o.dead = true
	}
	o.timer.Stop()
}

// end ends the upload: well, or with what went wrong at the source, so that Glance does not get all that was announced.
func (o *outlet) end(err error) {
	if err != nil {
		o.cancel(err)
		_ = o.w.CloseWithError(err)
	} else {
		_ = o.w.Close()
	}
	silent := time.AfterFunc(AnswerWithin, func() { o.cancel(errSilent) })
	<-o.done
	silent.Stop()
	o.cancel(nil)
	if o.err == nil && err != nil {
		o.err = err // cannot be: Glance would have had to do with less than was announced
	}
	o.order.err = o.err
}

// endAll ends uploads at the same time: one that takes long keeps no other one waiting.
func endAll(all []*outlet, err error) {
	var group sync.WaitGroup
	for _, o := range all {
		group.Go(func() { o.end(err) })
	}
	group.Wait()
}

// feed reads the source to its end and hands it on, but for the last bytes: these go only when check says that everything
// is right. It gives what went wrong at the source; what went wrong with an outlet is in its order.
func feed(ctx context.Context, head []byte, src io.Reader, size int64, outlets []*outlet, s *sums, check func(tail []byte) error, progress func(n int64)) error {
	err := pump(ctx, io.MultiReader(bytes.NewReader(head), src), size, outlets, s, check, progress)
	endAll(outlets, err)
	return err
}

func pump(ctx context.Context, src io.Reader, size int64, outlets []*outlet, s *sums, check func(tail []byte) error, progress func(n int64)) error {
	held := make([]byte, 0, tailBytes+chunkBytes)
	for ended := false; !ended; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(src, held[len(held):len(held)+chunkBytes])
		chunk := held[len(held) : len(held)+n]
		held = held[:len(held)+n]
		_, _ = s.Write(chunk)
		progress(s.n)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			ended = true
		case err != nil && allEnded(outlets):
			return errEnded
		case err != nil:
			return fmt.Errorf("%w: %w", errBroken, err)
		}
		if s.n > size {
			return fmt.Errorf("%w: the file is longer than the %d bytes that were announced", errWrongSum, size)
		}
		if over := len(held) - tailBytes; over > 0 {
			if !giveAll(outlets, held[:over]) {
				return errEnded
			}
			held = held[:copy(held, held[over:])]
		}
	}
	if s.n < size {
		return fmt.Errorf("%w: %d bytes came of %d", errBroken, s.n, size)
	}
	if err := check(held); err != nil {
		return err
	}
	giveAll(outlets, held)
	return nil
}

// allEnded tells whether all uploads have ended: nobody needs any more of the source.
func allEnded(outlets []*outlet) bool {
	return !slices.ContainsFunc(outlets, func(o *outlet) bool {
		select {
		case <-o.done:
			return false
		default:
			return true
		}
	})
}

// giveAll hands bytes to all outlets, and tells whether one of them lives.
func giveAll(outlets []*outlet, p []byte) bool {
	alive := false
	for _, o := range outlets {
		o.give(p)
		alive = alive || !o.dead
	}
	return alive
}
