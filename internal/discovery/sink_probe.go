package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/fedsite/fedsite/internal/openstack"
)

// Probe signs in, and asks for an object that is not there: a container that is missing is made by the first publication.
func (s *swiftSink) Probe(ctx context.Context) error {
	return s.use(ctx, "fedsite-probe", "ask for", func(c Container) error {
		_, err := c.Get(ctx, "fedsite-probe", 1<<20)
		if errors.Is(err, openstack.ErrNotFound) {
			return nil
		}
		return err
	})
}

// Probe gets a token, and asks AMS who it is of.
func (a *amsSink) Probe(ctx context.Context) error {
	token, err := a.getToken(ctx, "")
	if err != nil {
		return err
	}
	if _, err := a.cfg.Client.Profile(ctx, token); err != nil {
		return a.failure(err, 0)
	}
	return nil
}

// Probe tells whether the directory is there, or can be made by the first publication, and may be written to.
func (s *directorySink) Probe(context.Context) error {
	err := probeDirectory(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = probeDirectory(filepath.Dir(s.path))
	}
	return err
}

// Probe tells the same of the file's directory, which is not made.
func (s *fileSink) Probe(context.Context) error { return probeDirectory(filepath.Dir(s.path)) }

func probeDirectory(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case err != nil:
	case !info.IsDir():
		err = fmt.Errorf("%s is no directory", dir)
	default:
		const write, enter = 2, 1
		if err = syscall.Access(dir, write|enter); err != nil {
			err = &fs.PathError{Op: "write to", Path: dir, Err: err}
		}
	}
	if err != nil {
		return fileFailure(err, dir)
	}
	return nil
}
