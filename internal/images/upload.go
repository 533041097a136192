package images

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/diskimage"
)

// limits are those of a disk image from the entry's source.
func (a *applier) limits(e Entry) diskimage.Limits {
	return diskimage.Limits{MaxVirtual: a.t.Settings.MaxVirtualSize, Declared: e.Format, ISO: slices.Contains(a.t.Settings.Formats, "iso"), Compressed: a.t.Settings.Compressed}
}

// stream takes a parcel from its source to Glance without a file: head, inspect, upload, check, publish. A disk that has to
// be seen whole, or converted, is an *errStage.
func (a *applier) stream(ctx context.Context, p *parcel) error {
	reading, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	file, err := p.from.Open(reading, p.entry, 0, "")
	if err != nil {
		return err
	}
	defer file.Body.Close()
	size, err := a.size(p.entry, file)
	if err != nil {
		return err
	}
	head := make([]byte, min(headBytes, size))
	if n, err := io.ReadFull(file.Body, head); err != nil {
		return fmt.Errorf("%w after %d bytes: %w", errBroken, n, err)
	}
	seen, err := diskimage.Head(head, size, a.limits(p.entry))
	if err != nil {
		return err
	}
	if seen.NeedsFile {
		return &errStage{seen.Info.Format.String() + " has to be seen whole"}
	}
	format := seen.Info.Format
	if !a.takes(format) {
		return &errStage{format.String() + " has to be converted"}
	}
	return a.send(ctx, p, head, supply{file.Body, enough}, size, content{format: format, virtual: seen.Info.VirtualSize}, func(s *sums, tail []byte) error {
		if err := s.check(p.entry.Digest); err != nil {
			return err
		}
		return seen.Tail(tail)
	})
}

// size is how many bytes a file has: as the server says; where it does not, as the source does.
func (a *applier) size(e Entry, f File) (int64, error) {
	size := f.Size
	if size < 0 {
		size = e.Size
	}
	switch {
	case size <= 0:
		return 0, &errStage{"its server does not say how long it is"}
	case e.Size > 0 && f.Size >= 0 && e.Size != f.Size:
		return 0, fmt.Errorf("%w: the file has %d bytes, and %d were said", errWrongSum, f.Size, e.Size)
	case size > a.t.Settings.MaxSize:
		return 0, fmt.Errorf("%w: it has %d bytes, and images.max_size is %d", errTooLarge, size, a.t.Settings.MaxSize)
	}
	return size, nil
}

var errTooLarge = errors.New("too large")

// content is what goes to Glance.
type content struct {
	format    diskimage.Format
	virtual   int64  // bytes of the disk
	converted string // "ova to qcow2"; "" = as it came
}

// takes tells whether the site takes disks of a format.
func (a *applier) takes(f diskimage.Format) bool {
	for _, name := range a.t.Settings.Formats {
		if name == f.String() {
			return true
		}
	}
	return false
}

// supply is where content comes from.
type supply struct {
	io.Reader
	enough func(error) // ends a read that waits
}

// send uploads content to all open orders of a parcel at the same time, and publishes what arrived whole.
func (a *applier) send(ctx context.Context, p *parcel, head []byte, body supply, size int64, c content, check func(s *sums, tail []byte) error) error {
	var outlets []*outlet
	old := false
	for _, o := range p.open() {
		if o.err = a.create(ctx, o, c); o.err == nil {
			outlets = append(outlets, o.open(ctx, size))
			old = old || o.old
		}
	}
	if len(outlets) == 0 {
		return nil
	}
	go func() { // a source that stalls is not waited for when nobody takes it any more
		for _, o := range outlets {
			<-o.done
		}
		body.enough(errEnded)
	}()
	s := newSums().only(p.entry.Digest, old)
	noted := func(tail []byte) error { // what is on its way is known before Glance can have all of it: whatever dies then, the next run knows it again
		if err := check(s, tail); err != nil {
			return err
		}
		for _, o := range p.open() {
			if err := a.noteContent(ctx, o.action, o.image, s.glance(o.old)); err != nil {
				return err
			}
		}
		return nil
	}
	err := feed(ctx, head, body, size, outlets, s, noted, func(n int64) { a.d.Run.Progress(p.entry.Name(), n, size) })
	if errors.Is(err, errEnded) { // every outlet has died: each says of what
		return nil
	}
	if err != nil {
		for _, o := range outlets { // it was the source: each may be tried again
			o.order.err = nil
		}
		return err
	}
	for _, o := range p.open() {
		o.bytes = size
		o.err = a.publish(ctx, o, s, c)
	}
	return nil
}

// create makes the image that content is uploaded into, with all its marks; one that is there and has another format makes
// way for it.
func (a *applier) create(ctx context.Context, o *order, c content) error {
	x := o.action
	if err := a.t.barred(*x.Entry); err != nil {
		return err
	}
	if o.image != "" {
		there, err := o.store.Image(ctx, o.image)
		switch {
		case errors.Is(err, openstack.ErrNotFound):
		case err != nil:
			return err
		case (there.Status == "active" || there.Status == "deactivated") && readMarks(there).State != Uploading: // somebody finished it meanwhile: it is not ours to take away
			o.image = ""
			return errMeanwhile
		case there.Status == "queued" && there.DiskFormat == c.format.Glance():
			return nil
		case there.Status == "saving" && there.DiskFormat == c.format.Glance(): // Glance has not noticed yet that the last stream ended
			fallthrough
		default:
			if err := o.store.Delete(ctx, o.image); err != nil {
				return err
			}
		}
		o.image = ""
	}
	d := describe(*x.Entry, x.also, c.virtual, a.t.Settings)
	d.Properties[markState] = string(Uploading)
	d.Properties[markVirtual] = strconv.FormatInt(c.virtual, 10)
	if c.converted != "" {
		d.Properties[markConverted] = c.converted
	}
	made, err := o.store.Create(ctx, openstack.NewImage{Name: d.Name, DiskFormat: c.format.Glance(), ContainerFormat: c.format.Container(), Visibility: "private", MinDisk: d.MinDisk, MinRAM: d.MinRAM, Properties: d.Properties})
	if err != nil {
		return err
	}
	o.image = made.ID
	return nil
}

// publish compares what Glance has with what was sent, and lets the image be seen.
func (a *applier) publish(ctx context.Context, o *order, s *sums, c content) error {
	there, err := o.store.Image(ctx, o.image)
	if err != nil {
		return err
	}
	sum := hex.EncodeToString(s.sha512.Sum(nil))
	switch {
	case there.Status != "active":
		return fmt.Errorf("the image arrived whole, and is %.40q in Glance", there.Status)
	case there.Size != s.n:
		return fmt.Errorf("%w: Glance has %d bytes, and %d were sent", errWrongSum, there.Size, s.n)
	case there.HashAlgo == SHA512 && there.HashValue != sum:
		return fmt.Errorf("%w: Glance has SHA-512 %.16s…, and %.16s… was sent", errWrongSum, there.HashValue, sum)
	case there.HashAlgo == "" && s.md5 != nil && there.Checksum != hex.EncodeToString(s.md5.Sum(nil)):
		return fmt.Errorf("%w: Glance has MD5 %.16s…, and another one was sent", errWrongSum, there.Checksum)
	}
	if err := a.t.barred(*o.action.Entry); err != nil {
		return err
	}
	if has := sumOf(there); has != s.glance(o.old) { // a Glance that sums in another way
		if err := a.noteContent(ctx, o.action, o.image, has); err != nil {
			return err
		}
	}
	p := &planner{s: a.t.Settings, cloud: a.clouds[o.action.Cloud].CloudState}
	w := want{place: o.action.Place, entry: *o.action.Entry, also: o.action.also, members: make([]guest, o.action.shared)}
	edits := p.edits(w, present{there, readMarks(there)})
	edits = append(edits, properties(there.Properties, map[string]string{markHash: sum}, nil)...)
	_, err = o.store.Change(ctx, o.image, changes(edits))
	return err
}
