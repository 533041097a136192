package images

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// Converter makes a disk of another format; the source has been verified and inspected before.
type Converter interface {
	// Convert makes dst of src, both within dir, which is nobody else's. It gives what dst is.
	Convert(ctx context.Context, dir string, from diskimage.Info, to diskimage.Format, progress func(percent float64)) (path string, made diskimage.Info, err error)
	// Need is how many bytes it takes beside the source.
	Need(from diskimage.Info, to diskimage.Format) int64
}

// Names within the directory of a staged file.
const (
	stagedFile = "src"
	checkEvery = 64 << 20 // bytes after which what is staged is written down
)

// staged takes a parcel to Glance by way of the disk: download, with a checkpoint; check; inspect; convert; upload.
func (a *applier) staged(ctx context.Context, p *parcel) error {
	dir, err := a.stagingDir(p.entry.Digest)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stagedFile)
	if err := a.download(ctx, p, path); err != nil {
		if lasting(err) {
			_ = os.RemoveAll(dir)
		}
		return err
	}
	err = a.sendStaged(ctx, p, dir, path)
	if ctx.Err() == nil && !p.again(err) { // the next run goes on with the file
		_ = os.RemoveAll(dir)
	}
	return err
}

// again tells whether a file that was fetched is worth keeping: something failed that may pass.
func (p *parcel) again(err error) bool {
	if err != nil {
		return !lasting(err)
	}
	return slices.ContainsFunc(p.orders, func(o *order) bool { return o.err != nil && !lasting(o.err) })
}

// stagingDir makes the directory of a file, which only fedsite can look into.
func (a *applier) stagingDir(d Digest) (string, error) {
	s := a.t.Settings
	if info, err := os.Stat(s.StagingDir); err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w %s is no directory", errStagingDir, s.StagingDir)
	}
	dir := filepath.Join(s.StagingDir, a.stagingName(d))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("%w: %w", errStagingDir, err)
	}
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("%w: %s is not a directory of fedsite's alone", errStagingDir, dir)
	}
	return dir, nil
}

// errStagingDir is a place for staging that cannot be used.
var errStagingDir = errors.New("images.staging_dir")

// stagingName is the name of a file's directory: of the site, so that two sites do not meet there.
func (a *applier) stagingName(d Digest) string {
	return stagingPrefix + a.t.Site.ID + "-" + d.Hex()[:24]
}

// begun tells whether an earlier run has staged a file, or a part of it.
func (a *applier) begun(d Digest) bool {
	_, err := os.Lstat(filepath.Join(a.t.Settings.StagingDir, a.stagingName(d), stagedFile))
	return err == nil
}

const stagingPrefix = "fedsite-"

// sweep takes away what runs that died have staged and nothing wants any more.
func (a *applier) sweep(wanted []Action) {
	keep := map[string]bool{}
	for _, x := range wanted {
		if x.Entry != nil && slices.Contains([]Verb{Add, Replace, Resume, Fail}, x.Verb) { // Fail: what is tried again later
			keep[a.stagingName(x.Entry.Digest)] = true
		}
	}
	entries, err := os.ReadDir(a.t.Settings.StagingDir)
	if err != nil {
		return // it need not be there
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagingPrefix+a.t.Site.ID+"-") && e.IsDir() && !keep[e.Name()] {
			_ = os.RemoveAll(filepath.Join(a.t.Settings.StagingDir, e.Name()))
		}
	}
}

// room tells whether a directory's file system has room for so many bytes, and some to spare.
func room(dir string, need int64) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("images.staging_dir: %w", err)
	}
	if free := int64(fs.Bavail) * fs.Bsize; free < need+spare {
		return fmt.Errorf("%w: images.staging_dir %s needs %d MB, and %d MB are free", errNoRoom, dir, (need+spare)>>20, free>>20)
	}
	return nil
}

var errNoRoom = errors.New("no room left")

// spare are the bytes that stay free for others.
const spare = 256 << 20

// download brings the file to the disk, from where the last run stopped.
func (a *applier) download(ctx context.Context, p *parcel, path string) error {
	c, err := a.checkpoint(ctx, p.entry, path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("images.staging_dir: %w", err)
	}
	defer f.Close()
	h := newHash(p.entry.Digest)
	if c.done > 0 && h.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.hash) != nil {
		c.done = 0
	}
	file, err := p.from.Open(ctx, p.entry, c.done, c.tag)
	if err != nil {
		return err
	}
	defer file.Body.Close()
	if file.From != c.done { // it begins anew: another file, or a server that cannot go on
		c.done = file.From
		h.Reset()
		if file.From != 0 {
			return fmt.Errorf("%w: the server goes on at byte %d", errBroken, file.From)
		}
	}
	c.tag = file.Tag
	size := max(file.Size, p.entry.Size)
	if size > a.t.Settings.MaxSize {
		return fmt.Errorf("%w: it has %d bytes, and images.max_size is %d", errTooLarge, size, a.t.Settings.MaxSize)
	}
	if err := room(filepath.Dir(path), size-c.done); err != nil {
		return err
	}
	if _, err := f.Seek(c.done, io.SeekStart); err != nil {
		return err
	}
	if err := f.Truncate(c.done); err != nil {
		return err
	}
	limit := a.t.Settings.MaxSize
	if size > 0 {
		limit = size
	}
	for {
		n, err := io.CopyN(io.MultiWriter(f, h), file.Body, min(checkEvery, limit-c.done+1))
		c.done += n
		a.d.Run.Progress(p.entry.Name()+" to disk", c.done, size)
		switch {
		case c.done > limit:
			return fmt.Errorf("%w: the file is longer than the %d bytes that were announced", errWrongSum, limit)
		case errors.Is(err, io.EOF):
			if got := hex.EncodeToString(h.Sum(nil)); got != p.entry.Digest.Hex() {
				return fmt.Errorf("%w: the file has %s:%.16s…, and %s… was said", errWrongSum, p.entry.Digest.Algorithm(), got, p.entry.Digest.Short())
			}
			return a.reached(ctx, p.entry, f, c, h)
		case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
			return fmt.Errorf("%w: images.staging_dir: %w", errNoRoom, err)
		case err != nil:
			return fmt.Errorf("%w at byte %d: %w", errBroken, c.done, err)
		}
		if err := a.reached(ctx, p.entry, f, c, h); err != nil {
			return err
		}
	}
}

// newHash is the checksum that the source has.
func newHash(d Digest) hash.Hash {
	if d.Algorithm() == SHA256 {
		return sha256.New()
	}
	return sha512.New()
}

// reached writes down how far a staged file counts, once the disk has it.
func (a *applier) reached(ctx context.Context, e Entry, f *os.File, c checkpoint, h hash.Hash) error {
	if err := f.Sync(); err != nil {
		return err
	}
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return fmt.Errorf("state of the checksum: %w", err)
	}
	return keepCheckpoint(ctx, a.d, a.t.Site.ID, e, c.tag, c.done, base64.StdEncoding.EncodeToString(state))
}

// sendStaged uploads a file that is on disk and was checked, converted where the site does not take it as it is.
func (a *applier) sendStaged(ctx context.Context, p *parcel, dir, path string) error {
	info, err := inspectFile(path, a.limits(p.entry))
	if err != nil {
		return err
	}
	c := content{format: info.Format, virtual: info.VirtualSize}
	if !a.takes(info.Format) {
		to, err := a.target(info)
		if err != nil {
			return err
		}
		if err := room(dir, a.t.Convert.Need(info, to)); err != nil {
			return err
		}
		a.d.Run.Step("convert")
		made, result, err := a.t.Convert.Convert(ctx, dir, info, to, func(percent float64) { a.d.Run.Progress(p.entry.Name()+" to "+to.String(), int64(percent), 100) })
		if err != nil {
			return err
		}
		a.d.Run.Step("upload")
		path, c = made, content{format: to, virtual: result.VirtualSize, converted: info.Format.String() + " to " + to.String()}
	}
	for _, o := range p.open() {
		for try := 1; ; try++ {
			if o.err = a.sendFile(ctx, p, o, path, c); o.err == nil || try == mostTries || ctx.Err() != nil || lasting(o.err) {
				break
			}
		}
	}
	return nil
}

// mostTries is how often a staged file is tried to be uploaded in one run.
const mostTries = 3

// target is the first format that the site takes and a disk can be made of.
func (a *applier) target(info diskimage.Info) (diskimage.Format, error) {
	if a.t.Convert == nil {
		return 0, fmt.Errorf("it is %s, which the site does not take, and nothing can be converted here", info.Format)
	}
	for _, name := range a.t.Settings.Formats {
		if f, err := diskimage.ParseFormat(name); err == nil && f.Writable() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("it is %s, and cannot be made one of images.formats", info.Format)
}

// inspectFile looks at a whole file.
func inspectFile(path string, limits diskimage.Limits) (diskimage.Info, error) {
	f, err := os.Open(path)
	if err != nil {
		return diskimage.Info{}, err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return diskimage.Info{}, err
	}
	return diskimage.Inspect(f, stat.Size(), limits)
}

// sendFile uploads a file for one order.
func (a *applier) sendFile(ctx context.Context, p *parcel, o *order, path string, c content) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	one := &parcel{entry: p.entry, from: p.from, orders: []*order{o}}
	o.err = nil
	if err := a.send(ctx, one, nil, supply{f, func(error) {}}, stat.Size(), c, func(*sums, []byte) error { return nil }); err != nil {
		return err
	}
	return o.err
}

// checkpoint is how far a staged file counts.
type checkpoint struct {
	done int64
	tag  string
	hash []byte
}
