//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/test/bench/process"
)

// emulator is the process that serves the world, for what is measured of fedsite.
type emulator struct{ *process.Emulator }

// measured is what one command of fedsite, as a process of its own, did and took.
type measured struct {
	wall, cpu time.Duration // cpu: user and system
	peak      int64         // VmHWM, bytes
	written   int64         // bytes that it had written to disks
	database  int64         // bytes of its files afterwards
	counts    map[string]int64
	process.Counters
}

// fedsite runs one command to its end with the emulator's configuration, and measures it.
func (e *emulator) fedsite(ctx context.Context, program string, args ...string) (measured, error) {
	return e.run(ctx, program, e.Config, filepath.Join(e.Dir, "state"), args...)
}

// run runs one command to its end with a configuration whose store is in the directory state, and measures it. One that does
// not end well is an error.
func (e *emulator) run(ctx context.Context, program, config, state string, args ...string) (measured, error) {
	var m measured
	if err := e.Forget(); err != nil {
		return m, err
	}
	before, err := e.Counters()
	if err != nil {
		return m, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(append([]string{"--config", config}, args...), "-o", "json")...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	ended := make(chan struct{})
	seen := make(chan [2]int64)
	go func() { seen <- watch(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	m.wall = time.Since(began)
	close(ended)
	last := <-seen
	m.peak, m.written = last[0], last[1]
	if err != nil {
		return m, fmt.Errorf("fedsite %s: %w\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	m.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	var reports []struct {
		Report struct {
			Counts map[string]int64 `json:"counts"`
		} `json:"report"`
	}
	if err := json.Unmarshal(out.Bytes(), &reports); err != nil || len(reports) != 1 {
		return m, fmt.Errorf("fedsite %s: its report cannot be read (%w): %.200s", strings.Join(args, " "), err, &out)
	}
	m.counts = reports[0].Report.Counts
	if m.Counters, err = e.Emulator.Counters(); err != nil {
		return m, err
	}
	m.Broker, m.Messages = m.Broker-before.Broker, m.Messages-before.Messages
	m.database, err = size(state)
	return m, err
}

// watch reads, until a process has ended, its highest use of memory and what it wrote to disks, both in bytes. The figure
// of getrusage is not used: a child starts with its parent's.
func watch(pid int, ended <-chan struct{}) (last [2]int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if n, err := figure(pid, "status", "VmHWM:"); err == nil {
			last[0] = max(last[0], n<<10)
		}
		if n, err := figure(pid, "io", "\nwrite_bytes:"); err == nil {
			last[1] = max(last[1], n)
		}
		select {
		case <-ended:
			return last
		case <-tick.C:
		}
	}
}

// figure reads the number that stands behind a word in one of the kernel's files on a process.
func figure(pid int, file, word string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), word) // gone when the process has ended, and was not waited for yet
	line, _, _ := strings.Cut(rest, "\n")
	return strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
}

// size is how many bytes the files of a directory have.
func size(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
