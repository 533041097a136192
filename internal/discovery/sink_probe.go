package discovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// Probe tells whether the directory is there, or can be made.
func (s *directorySink) Probe(context.Context) error { return probeDirectory(s.path) }

// Probe tells the same of the file's directory.
func (s *fileSink) Probe(context.Context) error { return probeDirectory(filepath.Dir(s.path)) }

func probeDirectory(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if info, err = os.Stat(filepath.Dir(dir)); err == nil && info.IsDir() {
			return nil // it is made by the first publication
		}
	}
	switch {
	case err != nil:
		return fileFailure(err, dir)
	case !info.IsDir():
		return fileFailure(fmt.Errorf("%s is no directory", dir), dir)
	}
	return nil
}
