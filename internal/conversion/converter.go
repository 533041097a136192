// Package conversion makes a disk image into another format. qemu-img does it, in a process that has little: a limit on
// memory, time and file size, no environment, no way to more rights.
//
//	look again → room → unpack (of an OVA, or what is packed) → qemu-img, fenced → look at the result → check
//
// The source has been verified by its checksum and accepted by diskimage.Inspect before; it is inspected once more here, so
// that nothing reaches qemu-img that was not. qemu-img is told the format that was found, and never asked to guess one.
// What goes wrong leaves the source, and nothing else.
package conversion

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fedsite/fedsite/protocol/diskimage"
)

// Names within the directory of a conversion.
const (
	Source = "src" // what is converted; stays
	Made   = "dst" // what was made of it
	disk   = "disk"
)

// DefaultQEMU is where distributions put qemu-img.
const DefaultQEMU = "/usr/bin/qemu-img"

// Errors that a caller decides by.
var (
	ErrNoQEMU = errors.New("qemu-img is not there")
	ErrNoRoom = errors.New("no room left for a conversion")
)

// Converter converts disk images.
type Converter struct {
	qemu       string
	compress   bool
	maxVirtual int64

	fenced func(fence) fence // other limits; nil but in tests
}

// Settings are what can be chosen.
type Settings struct {
	QEMU       string // absolute path of qemu-img; "" = DefaultQEMU
	Compress   bool   // make compressed qcow2 and VMDK (streamOptimized): smaller, and slower to make
	MaxVirtual int64  // bytes of the largest disk; 0 = diskimage.DefaultMaxVirtual
}

// New gives a converter, or ErrNoQEMU where qemu-img cannot be run.
func New(s Settings) (*Converter, error) {
	path := s.QEMU
	if path == "" {
		path = DefaultQEMU
	}
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("qemu-img's path %.80q is not absolute: write it from / on", path)
	}
	if stat, err := os.Stat(path); err != nil || !stat.Mode().IsRegular() || stat.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("%w: %s is no program: apt install qemu-utils, or dnf install qemu-img", ErrNoQEMU, path)
	}
	return &Converter{qemu: path, compress: s.Compress, maxVirtual: s.MaxVirtual}, nil
}

// Convert makes dir's file Made of its file Source, in the format to, and gives its path and what it is. dir is absolute, of
// mode 0700, and nobody else's; from is what diskimage.Inspect said of Source. progress, which may be nil, gets percents
// from 0 to 100. The errors are ErrNoRoom, *diskimage.Error for what turned out not to be fit, ctx's, and what qemu-img says.
func (c *Converter) Convert(ctx context.Context, dir string, from diskimage.Info, to diskimage.Format, progress func(percent float64)) (path string, made diskimage.Info, err error) {
	if !to.Writable() {
		return "", made, fmt.Errorf("no image can be converted to %s", to)
	}
	root, err := private(dir)
	if err != nil {
		return "", made, err
	}
	j := &job{Converter: c, dir: dir, root: root, to: to, progress: progress}
	defer func() {
		_ = root.Remove(disk)
		if err != nil {
			_ = root.Remove(Made)
		}
		err = errors.Join(err, root.Close())
	}()
	if err := j.clear(); err != nil {
		return "", made, err
	}
	if made, err = j.convert(ctx, from); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
			err = fmt.Errorf("%w: %w", cause, err)
		}
		return "", made, fmt.Errorf("converting %s to %s in %s: %w", from.Format, to, dir, err)
	}
	return filepath.Join(dir, Made), made, nil
}

// job is one conversion.
type job struct {
	*Converter
	dir      string
	root     *os.Root
	to       diskimage.Format
	progress func(percent float64)
}

// private opens a directory that is this user's alone.
func private(dir string) (*os.Root, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("the directory %.80q of a conversion is not absolute", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("directory of a conversion: %w", err)
	}
	stat, err := root.Stat(".")
	if err == nil && stat.Mode().Perm()&0o077 != 0 {
		err = fmt.Errorf("others can look into %s: chmod 700 it", dir)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("directory of a conversion: %w", err), root.Close())
	}
	return root, nil
}

// clear takes away what a run that was killed left.
func (j *job) clear() error {
	for _, name := range []string{disk, Made} {
		if err := j.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("what a former conversion left: %w", err)
		}
	}
	return nil
}

func (j *job) convert(ctx context.Context, from diskimage.Info) (diskimage.Info, error) {
	found, err := j.inspect(Source, diskimage.Limits{MaxVirtual: j.maxVirtual, Declared: from.Format.String(), ISO: from.Format == diskimage.ISO, Compressed: true})
	if err != nil {
		return found, err
	}
	if found.Format != from.Format || found.VirtualSize != from.VirtualSize || found.FileSize != from.FileSize {
		return found, fmt.Errorf("the file is not the one that was inspected: it is %s of %d bytes", found.Format, found.FileSize)
	}
	if err := j.room(j.Need(from, j.to)); err != nil {
		return found, err
	}
	name := Source
	if name, found, err = j.unpack(ctx, found); err != nil {
		return found, err
	}
	return j.make(ctx, name, found)
}

// make has qemu-img convert a file of the directory, and looks at what came of it.
func (j *job) make(ctx context.Context, name string, from diskimage.Info) (diskimage.Info, error) {
	if from.Format.QEMU() == "" {
		return from, fmt.Errorf("%s cannot be converted", from.Format)
	}
	f := j.fence(from.VirtualSize)
	args := []string{"convert", "-p", "-f", from.Format.QEMU(), "-O", j.to.QEMU()}
	args = append(args, options(j.to, j.compress)...)
	if err := j.run(ctx, f, append(args, filepath.Join(j.dir, name), filepath.Join(j.dir, Made))); err != nil {
		return from, err
	}
	made, err := j.inspect(Made, diskimage.Limits{MaxVirtual: from.VirtualSize + sector, Declared: j.to.String()})
	switch want := (from.VirtualSize + sector - 1) / sector * sector; {
	case err != nil:
		return made, fmt.Errorf("what qemu-img made: %w", err)
	case made.Format != j.to || made.VirtualSize != want:
		return made, fmt.Errorf("qemu-img made %s of %d bytes of a disk of %d bytes", made.Format, made.VirtualSize, want)
	}
	if j.to == diskimage.QCOW2 {
		if err := j.run(ctx, f, []string{"check", "-q", "-f", j.to.QEMU(), filepath.Join(j.dir, Made)}); err != nil {
			return made, fmt.Errorf("checking what was made: %w", err)
		}
	}
	return made, nil
}

const sector = 512 // bytes

// options are qemu-img's for what is made. A VHD says its size in bytes, which VirtualPC's geometry would round.
func options(to diskimage.Format, compress bool) []string {
	switch {
	case to == diskimage.VHD:
		return []string{"-o", "subformat=dynamic,force_size=on"}
	case to == diskimage.VMDK && compress:
		return []string{"-c", "-o", "subformat=streamOptimized"}
	case to == diskimage.QCOW2 && compress:
		return []string{"-c"}
	}
	return nil
}

// inspect looks at a file of the directory.
func (j *job) inspect(name string, l diskimage.Limits) (diskimage.Info, error) {
	f, err := j.root.Open(name)
	if err != nil {
		return diskimage.Info{}, err
	}
	defer f.Close()
	stat, err := j.root.Lstat(name)
	if err != nil {
		return diskimage.Info{}, err
	}
	if !stat.Mode().IsRegular() {
		return diskimage.Info{}, fmt.Errorf("%s is no plain file", filepath.Join(j.dir, name))
	}
	return diskimage.Inspect(f, stat.Size(), l)
}
