package conversion

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// Look tells what the disk in a packed file of the format is, and writes nothing: the disk is judged as it streams by, to its end.
// seen is false where that does not tell whether Convert would take it: it would have to be kept whole, or has more than most
// bytes. The errors are *diskimage.Error for what is refused, ctx's, and those of reading.
func Look(ctx context.Context, f diskimage.Format, packed *io.SectionReader, most int64, progress func(n int64)) (found diskimage.Info, seen bool, err error) {
	r, size, err := unpacked(f, heeding{ctx, packed}, packed.Size())
	if err != nil {
		return found, false, damage(ctx, f, err)
	}
	head, err := begin(r)
	if err != nil && !errors.Is(err, io.EOF) {
		return found, false, damage(ctx, f, err)
	}
	w, err := diskimage.Head(head, -1, diskimage.Limits{})
	if err != nil {
		return found, false, err
	}
	if w.NeedsFile || size > most {
		return w.Info, false, nil
	}
	var tail []byte
	if w.Size, tail, err = end(io.MultiReader(bytes.NewReader(head), r), most, progress); err != nil {
		return w.Info, false, damage(ctx, f, err)
	}
	if w.Size > most {
		return w.Info, false, nil
	}
	err = w.Tail(tail)
	if refused, ok := errors.AsType[*diskimage.Error](err); ok && refused.Reason == diskimage.Changed {
		return w.Info, false, nil
	}
	return w.Info, err == nil, err
}

// begin reads what a disk is judged by first: io.EOF where it has no more.
func begin(r io.Reader) ([]byte, error) {
	head := make([]byte, diskimage.HeadBytes)
	for n := 0; ; {
		got, err := r.Read(head[n:])
		if n += got; err != nil || n == len(head) {
			return head[:n], err
		}
	}
}

// end reads to the end, or until there are more than most bytes. It gives how many there are, and the last ones.
func end(r io.Reader, most int64, progress func(n int64)) (n int64, tail []byte, err error) {
	buf := make([]byte, readAhead)
	for n <= most {
		got, err := r.Read(buf)
		n += int64(got)
		tail = append(tail, buf[:got]...)
		tail = tail[max(0, len(tail)-diskimage.HeadBytes):]
		progress(n)
		if errors.Is(err, io.EOF) {
			return n, tail, nil
		}
		if err != nil {
			return n, tail, err
		}
	}
	return n, tail, nil
}
