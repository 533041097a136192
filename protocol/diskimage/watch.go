package diskimage

import (
	"errors"
	"fmt"
	"io"
)

// HeadBytes are the first bytes of a stream that Head judges by.
const HeadBytes = 1 << 20

// Watcher judges a stream: its beginning before anything of it is given on, its end before the last bytes are.
type Watcher struct {
	Info      Info  // as the beginning says; after Tail, as the whole does
	NeedsFile bool  // it cannot be judged as a stream: an OVA, a VHDX, a fixed VHD that is said to be one. Keep it, and Inspect
	TailBytes int64 // how many of the last bytes Tail has to see: 0, or some sectors
	Size      int64 // bytes of the whole; -1 = not known: set it before Tail

	head   []byte
	limits Limits
}

// Head judges a stream of size bytes (-1 = not known) by its first ones: HeadBytes of them, or all when there are fewer. It
// refuses with an *Error what Inspect would refuse, as far as the beginning shows it. head must stay as it is until Tail.
func Head(head []byte, size int64, l Limits) (*Watcher, error) {
	switch n := int64(len(head)); {
	case size < 0 && n < HeadBytes: // it has ended
		size = n
	case size >= 0 && n < min(size, HeadBytes):
		return nil, refuse(0, Truncated, "%d bytes came of %d", n, size)
	case size >= 0 && n > size:
		head = head[:size]
	}
	w := &Watcher{Size: size, head: head, limits: l}
	s := w.source(nil)
	info, err := s.inspect()
	w.Info, w.TailBytes = info, s.tail
	if _, outside := errors.AsType[*outsideError](err); outside {
		w.NeedsFile, err = true, nil
	}
	if err != nil {
		return nil, err
	}
	w.NeedsFile = w.NeedsFile || info.Format == OVA || info.Format.Compressed()
	return w, nil
}

// Tail judges the end of the stream: its last bytes, TailBytes or more of them. A stream that is not what its beginning
// said is refused as Changed; it must not be given on as Info.Format.
func (w *Watcher) Tail(tail []byte) error {
	switch {
	case w.NeedsFile:
		return errors.New("this disk image cannot be judged as a stream: Inspect its file")
	case w.Size < 0:
		return errors.New("the size of the disk image has to be known at its end")
	case int64(len(tail)) < min(w.TailBytes, w.Size):
		return refuse(w.Info.Format, Truncated, "the last %d bytes are needed, and %d came", w.TailBytes, len(tail))
	}
	before := w.Info
	info, err := w.source(tail).inspect()
	if _, outside := errors.AsType[*outsideError](err); outside {
		return refuse(info.Format, Changed, "it has to be seen whole")
	}
	if err != nil {
		return err
	}
	if info.Format != before.Format || before.VirtualSize != 0 && info.VirtualSize != before.VirtualSize {
		return refuse(before.Format, Changed, "it is %s of %d bytes", info.Format, info.VirtualSize)
	}
	w.Info = info
	return nil
}

// source is what of the stream is at hand.
func (w *Watcher) source(tail []byte) *source {
	budget := int64(mostRead)
	return &source{r: &window{head: w.head, tail: tail, size: w.Size}, size: w.Size, limits: w.limits, budget: &budget}
}

// window reads what of a stream is at hand: its beginning, and its end.
type window struct {
	head, tail []byte
	size       int64 // -1 = not known
}

// ReadAt gives the bytes, or an *outsideError.
func (w *window) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		tailAt := w.size - int64(len(w.tail))
		switch {
		case at < int64(len(w.head)):
			n += copy(p[n:], w.head[at:])
		case w.size >= 0 && at >= w.size:
			return n, io.EOF
		case w.size >= 0 && at >= tailAt:
			n += copy(p[n:], w.tail[at-tailAt:])
		default:
			return n, fmt.Errorf("a stream: %w", &outsideError{off: at, n: int64(len(p) - n)})
		}
	}
	return n, nil
}
