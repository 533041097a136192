//go:build peers

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/protocol/apel"
	"github.com/fedsite/fedsite/test/bench/process"
	"github.com/fedsite/fedsite/test/peers"
)

// figures is what a run took, and what it did.
type figures struct {
	wall, cpu time.Duration // cpu: user and system
	peak      int64         // resident memory at its highest, bytes
	requests  int64         // to the cloud
	records   int           // written into the queue
}

// add puts a further process of the same run to the figures.
func (f *figures) add(wall time.Duration, s *os.ProcessState) {
	f.wall += wall
	f.cpu += s.UserTime() + s.SystemTime()
	if u, ok := s.SysUsage().(*syscall.Rusage); ok {
		f.peak = max(f.peak, u.Maxrss<<10)
	}
}

// program is one of the two, with a state of its own.
type program interface {
	run(ctx context.Context) (figures, error) // up to now
}

// casoRun runs cASO as a site does that keeps its last-run files.
type casoRun struct {
	e    *process.Emulator
	caso peers.CASO
}

func (b *bench) cASO(e *process.Emulator, dir string, extractors []string) program {
	return casoRun{e, peers.CASO{Program: b.caso, Dir: dir, AuthURL: e.AuthURL, User: world.Reader, Password: world.ReaderPass,
		Site: "BENCH-SITE", Service: "BENCH-SITE", Property: "egi.VO", Projects: e.Projects, Extractors: extractors}}
}

func (c casoRun) run(ctx context.Context) (f figures, err error) {
	if err := c.e.Forget(); err != nil {
		return f, err
	}
	began := time.Now()
	got, err := c.caso.Extract(ctx)
	if err != nil {
		return f, err
	}
	f.add(time.Since(began), got.State)
	if got.Crashed {
		return f, fmt.Errorf("cASO lost records of the project:\n%s", got.Log)
	}
	if f.requests, err = asked(c.e); err != nil {
		return f, err
	}
	f.records, err = count(got.Messages)
	return f, err
}

// ourRun runs fedsite, into a directory queue.
type ourRun struct {
	e                      *process.Emulator
	program, config, queue string
}

func (b *bench) ours(e *process.Emulator, dir string) (program, error) {
	r := ourRun{e: e, program: b.fedsite, config: filepath.Join(dir, "fedsite.yaml"), queue: filepath.Join(dir, "outgoing")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	month := time.Now().UTC().Format("2006-01") + "-01"
	text := strings.Join([]string{
		"site: {gocdb: BENCH-SITE}",
		"clouds: [{name: main, credential: reader}]",
		fmt.Sprintf("credentials: {reader: {os_cloud: %s, clouds_file: %q}}", world.Reader, e.Clouds),
		"accounting:",
		"  mode: active",
		"  previously: caso",
		"  since: " + month,
		"  active_from: " + month,
		fmt.Sprintf("  dirq: {path: %q}", r.queue),
		fmt.Sprintf("store: {path: %q}", filepath.Join(dir, "state")),
	}, "\n")
	return r, os.WriteFile(r.config, []byte(text+"\n"), 0o600)
}

func (r ourRun) run(ctx context.Context) (f figures, err error) {
	if err := r.e.Forget(); err != nil {
		return f, err
	}
	for _, command := range []string{"collect", "send --yes"} {
		cmd := exec.CommandContext(ctx, r.program, append([]string{"accounting", "--config", r.config}, strings.Fields(command)...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Dir(r.config)}
		began := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return f, fmt.Errorf("fedsite accounting %s: %w\n%s", command, err, out)
		}
		f.add(time.Since(began), cmd.ProcessState)
	}
	if f.requests, err = asked(r.e); err != nil {
		return f, err
	}
	messages, err := peers.Drain(r.queue)
	if err != nil {
		return f, err
	}
	f.records, err = count(messages)
	return f, err
}

// count gives the Cloud records in messages; those of other kinds are let pass.
func count(messages []string) (n int, err error) {
	for _, m := range messages {
		if strings.HasPrefix(m, apel.CloudHeader+"\n") {
			records, err := apel.ParseCloud([]byte(m))
			if err != nil {
				return n, err
			}
			n += len(records)
		}
	}
	return n, nil
}

// median gives the middle one of each figure.
func median(all []figures) figures {
	middle := func(of func(figures) int64) int64 {
		values := make([]int64, len(all))
		for i, f := range all {
			values[i] = of(f)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return figures{
		wall: time.Duration(middle(func(f figures) int64 { return int64(f.wall) })), cpu: time.Duration(middle(func(f figures) int64 { return int64(f.cpu) })),
		peak: middle(func(f figures) int64 { return f.peak }), requests: middle(func(f figures) int64 { return f.requests }), records: int(middle(func(f figures) int64 { return int64(f.records) })),
	}
}
