//go:build peers

// Command bench measures cASO and cloud-info-provider beside fedsite on the same emulated cloud, which is a process of its
// own. It is run by `make bench-peers`.
//
//	build → emulate → first run, unchanged run of each → what was written → table
//
// In accounting, both do the same work: they read one project's VMs and write a Cloud record of each into a directory queue. cASO runs
// with its extractor nova alone; fedsite's two commands, collect and send, are added up. The queue is emptied between
// runs, as ssmsend would, and what was in it is counted: a program that did not write its records is an error, but for
// cASO where Nova's usage call leaves VMs out, which is said beside the figures.
//
// In discovery, both read what a cloud offers to ten VOs and write it as one document, which must hold all of it.
//
// Wall time and CPU time are printed, never judged; each is the median of several rounds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fedsite/fedsite/test/bench/process"
	"github.com/fedsite/fedsite/test/peers"
)

// shape is a cloud to measure on.
type shape struct {
	vms      int
	largest  int  // answer of Nova, in VMs: its max_limit
	default3 bool // cASO with its three default extractors too
}

// shapes: what a site has by default, and a site that raised Nova's limit so that cASO reports all its VMs.
var shapes = []shape{{1_000, 1_000, true}, {10_000, 1_000, false}, {10_000, 20_000, false}}

// bench is one run of the program.
type bench struct {
	dir, fedsite, emulator, caso string
	rounds                       int
}

func main() {
	var b bench
	flag.IntVar(&b.rounds, "rounds", 3, "rounds, of which the median is printed")
	most := flag.Int("most", 10_000, "leave out clouds with more VMs")
	only := flag.String("only", "", "the one part to measure: accounting or discovery (default: both)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.run(ctx, *most, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench-peers:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, most int, only string) (err error) {
	if only != "" && only != "accounting" && only != "discovery" {
		return fmt.Errorf("-only %q is neither accounting nor discovery", only)
	}
	if b.dir, err = os.MkdirTemp("", "fedsite-peers-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // in a directory for temporary files
	if b.fedsite, b.emulator, err = process.Programs(ctx, b.dir); err != nil {
		return err
	}
	if only != "discovery" {
		if err := b.accounting(ctx, most); err != nil {
			return err
		}
	}
	if only != "accounting" {
		return b.discovery(ctx)
	}
	return nil
}

// accounting measures cASO beside fedsite, on each cloud.
func (b *bench) accounting(ctx context.Context, most int) (err error) {
	if b.caso, err = peers.FindCASO(); err != nil {
		return err
	}
	fmt.Printf("cASO %s beside fedsite: one project, %d flavors, %d users; median of %d rounds\n", peers.CASOVersion, flavors, users, b.rounds)
	for i, s := range shapes {
		if s.vms > most {
			continue
		}
		if err := b.compare(ctx, s, filepath.Join(b.dir, fmt.Sprint(i))); err != nil {
			return fmt.Errorf("%d VMs: %w", s.vms, err)
		}
	}
	return nil
}
