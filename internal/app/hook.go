package app

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/tasks"
)

// called has the images of those sites brought at once whose hook has the secret that a registry's call gives, and tells
// whether there is one. Every site's secret is compared, each in the same time.
func (s *service) called(ctx context.Context, given string) (known bool, err error) {
	a := s.current.Load()
	got := sha256.Sum256([]byte(given)) // of equal length whatever is given
	for _, c := range a.cfg.Sites {
		if c.Images.Mode == site.Disabled || !c.Images.Hook.IsSet() {
			continue
		}
		secret, err := c.Images.Hook.Value()
		if err != nil {
			s.log.Error("the secret of a hook could not be read", "site", c.Site.Name, "error", err)
			continue
		}
		want := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(want[:], got[:]) != 1 || secret == "" {
			continue
		}
		known = true
		if err := tasks.RunNow(ctx, a.db, taskImages+"/"+c.Site.ID); err != nil {
			return true, fmt.Errorf("images of %s: %w", c.Site.Name, err)
		}
	}
	return known, nil
}
