package main

import (
	"testing"

	"github.com/fedsite/fedsite/internal/images"
)

// TestToBring: a plan says how much it brings, and of how much that is not known.
func TestToBring(t *testing.T) {
	of := func(v images.Verb, size int64) images.Action { return images.Action{Verb: v, Size: size} }
	only := of(images.Add, 0)
	only.Observe = true
	for want, p := range map[string][]images.Action{
		"nothing to bring": {of(images.Retire, 0), only},
		"2.0 MB to bring":  {of(images.Add, 1e6), of(images.Replace, 1e6), of(images.ShareIt, 0)},
		"2 images to bring, of a size that is not known":            {of(images.Add, 0), of(images.Resume, 0)},
		"1 image to bring, of a size that is not known":             {of(images.Replace, 0)},
		"1.0 MB to bring, and 1 image of a size that is not known":  {of(images.Add, 1e6), of(images.Add, 0)},
		"1.0 MB to bring, and 2 images of a size that is not known": {of(images.Add, 1e6), of(images.Add, 0), of(images.Add, 0)},
	} {
		if got := toBring(images.Plan{Actions: p}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
