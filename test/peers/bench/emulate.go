//go:build peers

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// What every cloud here has.
const (
	flavors = 40
	users   = 50
)

// build makes one of the programs.
func build(ctx context.Context, dir, name, pkg string, args ...string) (string, error) {
	out := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-o", out}, args...), pkg)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return out, nil
}

// emulator is the process that serves the cloud. It ends with this one, because it reads from a pipe of it.
type emulator struct {
	Control  string   `json:"control"` // URL of control requests
	Clouds   string   `json:"clouds"`  // clouds.yaml; its entry accounting is a reader
	AuthURL  string   `json:"auth_url"`
	Projects []string `json:"projects"`

	cmd   *exec.Cmd
	alive io.Closer
}

// serve starts the emulator, and waits until it serves.
func (b *bench) serve(ctx context.Context, s shape, dir string) (*emulator, error) {
	e := &emulator{cmd: exec.CommandContext(ctx, b.emulator, "-dir", dir, "-projects", "1", "-vms", fmt.Sprint(s.vms),
		"-users", fmt.Sprint(users), "-flavors", fmt.Sprint(flavors), "-page-limit", fmt.Sprint(s.largest))}
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
	if err := json.NewDecoder(out).Decode(e); err != nil {
		return nil, errors.Join(fmt.Errorf("the emulator did not say that it serves: %w", err), e.end())
	}
	return e, nil
}

func (e *emulator) end() error { return errors.Join(e.alive.Close(), e.cmd.Wait()) }

// forget lets the emulator count its requests from here on.
func (e *emulator) forget() error {
	res, err := http.Post(e.Control+"/forget", "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("POST /forget: %s", res.Status)
	}
	return nil
}

// requests gives how many requests to the cloud there were since.
func (e *emulator) requests() (int64, error) {
	res, err := http.Get(e.Control + "/counters")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // only read
	var c struct {
		Requests int64 `json:"requests"`
	}
	err = json.NewDecoder(res.Body).Decode(&c)
	return c.Requests, err
}
