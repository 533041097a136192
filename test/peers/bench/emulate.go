//go:build peers

package main

import (
	"context"
	"fmt"

	"github.com/fedsite/fedsite/test/bench/process"
)

// What every cloud here has.
const (
	flavors = 40
	users   = 50
)

// serve starts the emulator with a cloud of the shape.
func (b *bench) serve(ctx context.Context, s shape, dir string) (*process.Emulator, error) {
	return process.Serve(ctx, b.emulator, dir, "-projects", "1", "-vms", fmt.Sprint(s.vms),
		"-users", fmt.Sprint(users), "-flavors", fmt.Sprint(flavors), "-page-limit", fmt.Sprint(s.largest))
}

// asked gives how many requests to the cloud there were since it was told to forget.
func asked(e *process.Emulator) (int64, error) {
	c, err := e.Counters()
	return c.Requests, err
}
