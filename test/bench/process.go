//go:build bench

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// build makes one of the programs that are measured, or that serve what is measured.
func build(ctx context.Context, dir, name, pkg string, args ...string) (string, error) {
	out := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-o", out}, args...), pkg)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return out, nil
}

// emulator is the process that serves the world. It dies with this one, because it reads from a pipe of it.
type emulator struct {
	ready struct {
		Control  string   `json:"control"`
		Dir      string   `json:"dir"`
		Config   string   `json:"config"`
		AuthURL  string   `json:"auth_url"`
		Projects []string `json:"projects"`
		Users    int      `json:"users"`
	}
	cmd   *exec.Cmd
	alive io.Closer
}

// counters is what the services were asked.
type counters struct {
	Requests int64            `json:"requests"`
	Bytes    int64            `json:"bytes"`
	Seconds  float64          `json:"seconds"`
	Kinds    map[string]int64 `json:"kinds"`
	Broker   int64            `json:"broker"`
	Messages int64            `json:"messages"`
}

// serve starts the emulator, and waits until it serves.
func serve(ctx context.Context, program, dir string, args ...string) (*emulator, error) {
	e := &emulator{cmd: exec.CommandContext(ctx, program, append([]string{"-dir", dir}, args...)...)}
	e.cmd.Stderr = os.Stderr
	in, err := e.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, err
	}
	e.alive = in
	if err := json.NewDecoder(out).Decode(&e.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("the emulator did not say that it serves: %w", err), e.end())
	}
	return e, nil
}

func (e *emulator) end() error { return errors.Join(e.alive.Close(), e.cmd.Wait()) }

// control makes a control request, and reads its answer into v unless that is nil.
func (e *emulator) control(method, path string, v any) error {
	req, err := http.NewRequest(method, e.ready.Control+path, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	if v == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// measured is what one command of fedsite, as a process of its own, did and took.
type measured struct {
	wall, cpu time.Duration // cpu: user and system
	peak      int64         // VmHWM, bytes
	written   int64         // bytes that it had written to disks
	database  int64         // bytes of its files afterwards
	counts    map[string]int64
	counters
}

// fedsite runs one command to its end, and measures it. One that does not end well is an error.
func (e *emulator) fedsite(ctx context.Context, program string, args ...string) (measured, error) {
	var m measured
	if err := e.control("POST", "/forget", nil); err != nil {
		return m, err
	}
	var before counters
	if err := e.control("GET", "/counters", &before); err != nil {
		return m, err
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(append([]string{"--config", e.ready.Config}, args...), "-o", "json")...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return m, err
	}
	ended := make(chan struct{})
	seen := make(chan [2]int64)
	go func() { seen <- watch(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
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
	if err := e.control("GET", "/counters", &m.counters); err != nil {
		return m, err
	}
	m.Broker, m.Messages = m.Broker-before.Broker, m.Messages-before.Messages
	m.database, err = size(filepath.Join(e.ready.Dir, "state"))
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
