//go:build bench

// Command bench measures fedsite as a process of its own, against a site and a federation that another process emulates,
// and says what it took. It is run by `make bench`.
//
//	build → emulate → collect, send, collect → limits → tables     accounting
//	build → emulate → publish, publish → limits → tables           discovery
//	build → emulate, serve files → apply, apply → limits → table   images
//
// Times are printed and never judged. What is judged is what is the same on every machine: requests, and memory. Beside
// the times stand the work that was done, and what the same machine needs for the least of it, measured in the same run.
//
// In accounting, the world's present is at, whatever the day; fedsite's clock follows through demo.offset in its configuration, which the
// emulator writes anew when the hour is over. So each run of the program meets the same world, with the same ids.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fedsite/fedsite/test/bench/process"
)

// at is the present of the emulated world at the start: in the middle of a month, so that a run ends no month.
const at = "2026-03-20T12:00:00Z"

// bench is one run of the program.
type bench struct {
	dir, fedsite, emulator string
	vms, times             int
	failed                 []string
}

func main() {
	b := bench{}
	flag.IntVar(&b.vms, "vms", 100_000, "VMs of the site")
	flag.IntVar(&b.times, "times", 4, "how many times as many the large site has; 0 = no large site")
	only := flag.String("only", "", "the one part to measure: accounting, discovery or images (default: all)")
	mib := flag.Int64("image", 4096, "MiB of the large image; 0 = no images")
	large := offers{}
	flag.IntVar(&large.shares, "shares", 100, "shares of the large cloud of discovery; 0 = no such cloud")
	flag.IntVar(&large.flavors, "flavors", 200, "its flavors, all of them each share's")
	flag.IntVar(&large.images, "images", 500, "its images, all of them each share's")
	parent := flag.String("dir", "", "directory for what is made, all of it removed at the end (default: the system's for temporary files)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, *parent, *only, large, *mib<<20); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	if len(b.failed) > 0 {
		fmt.Printf("\nFAILED\n  %s\n", strings.Join(b.failed, "\n  "))
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, parent, only string, large offers, image int64) (err error) {
	if !slices.Contains([]string{"", "accounting", "discovery", "images"}, only) {
		return fmt.Errorf("-only %q is neither accounting nor discovery nor images", only)
	}
	if b.dir, err = os.MkdirTemp(parent, "fedsite-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // in a directory for temporary files
	if b.fedsite, b.emulator, err = process.Programs(ctx, b.dir); err != nil {
		return err
	}
	if only == "" || only == "accounting" {
		if err := b.accounting(ctx); err != nil {
			return err
		}
	}
	if only == "" || only == "discovery" {
		if err := b.discovery(ctx, large); err != nil {
			return err
		}
	}
	if (only == "" || only == "images") && image > 0 {
		return b.images(ctx, image)
	}
	return nil
}

// accounting measures collecting and sending, of the usual site and of the large one.
func (b *bench) accounting(ctx context.Context) error {
	usual, err := b.site(ctx, filepath.Join(b.dir, "usual"), b.vms)
	if err != nil || b.times == 0 {
		return err
	}
	return b.large(ctx, usual)
}

// fail notes what is not as it must be; the other parts go on.
func (b *bench) fail(format string, args ...any) {
	b.failed = append(b.failed, fmt.Sprintf(format, args...))
}
