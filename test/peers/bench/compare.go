//go:build peers

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/fedsite/fedsite/test/bench/process"
)

// kinds of run, in the order in which they are made.
var kinds = []string{"first run", "nothing changed"}

// compare measures both on one cloud, and prints a table.
func (b *bench) compare(ctx context.Context, s shape, dir string) (err error) {
	e, err := b.serve(ctx, s, filepath.Join(dir, "cloud"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	names := []string{"fedsite", "cASO"}
	if s.default3 {
		names = append(names, "cASO, also cinder, neutron")
	}
	found := map[string][2][]figures{}
	for round := range b.rounds {
		for _, name := range names {
			p, err := b.program(e, name, filepath.Join(dir, fmt.Sprint(round), name))
			if err != nil {
				return err
			}
			all := found[name]
			for i := range kinds {
				if err := nextSecond(ctx); err != nil {
					return err
				}
				f, err := p.run(ctx)
				if err == nil {
					err = s.check(name, i, f.records)
				}
				if err != nil {
					return fmt.Errorf("%s, %s: %w", name, kinds[i], err)
				}
				all[i] = append(all[i], f)
			}
			found[name] = all
		}
	}
	s.print(names, found)
	return nil
}

// nextSecond waits two seconds, so that a run's window has an end later than the one before: both reckon in seconds.
func nextSecond(ctx context.Context) error {
	select {
	case <-time.After(2 * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) program(e *process.Emulator, name, dir string) (program, error) {
	switch name {
	case "fedsite":
		return b.ours(e, dir)
	case "cASO":
		return b.cASO(e, dir, []string{"nova"}), nil
	}
	return b.cASO(e, dir, nil), nil
}

// check makes sure that the program did its work: a record of each VM. Of VMs that did not change cASO learns from Nova's
// usage call alone, which names no more than Nova's limit.
func (s shape) check(name string, kind, records int) error {
	want := s.vms
	if name != "fedsite" && kind == 1 {
		want = min(want, s.largest)
	}
	if records != want {
		return fmt.Errorf("%d records, want %d", records, want)
	}
	return nil
}

func (s shape) print(names []string, found map[string][2][]figures) {
	fmt.Printf("\n%d VMs, Nova's max_limit %d\n", s.vms, s.largest)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\t\twall s\tCPU s\tpeak MB\trequests\trecords\t")
	for i, kind := range kinds {
		for _, name := range names {
			f := median(found[name][i])
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.0f\t%d\t%d\t\n", kind, name, f.wall.Seconds(), f.cpu.Seconds(), float64(f.peak)/1e6, f.requests, f.records)
		}
		ours, caso := median(found["fedsite"][i]), median(found["cASO"][i])
		fmt.Fprintf(w, "\tcASO ÷ fedsite\t%.1f\t%.1f\t%.1f\t%.1f\t\t\n", ratio(caso.wall, ours.wall), ratio(caso.cpu, ours.cpu), ratio(caso.peak, ours.peak), ratio(caso.requests, ours.requests))
	}
	w.Flush() //nolint:errcheck // a terminal, or a file
	if f := median(found["cASO"][1]); f.records < s.vms {
		fmt.Printf("  cASO left out %d of %d VMs that did not change: Nova's usage call names max_limit of them\n", s.vms-f.records, s.vms)
	}
}

func ratio[N ~int64](a, b N) float64 { return float64(a) / float64(b) }
