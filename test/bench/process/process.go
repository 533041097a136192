// Package process builds the programs that benchmarks measure, and runs the emulated cloud and federation as a process of
// its own, so that what it costs is not counted as fedsite's.
package process

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

// Build makes a program of the package, from the root of the repository, and gives its path in dir.
func Build(ctx context.Context, dir, name, pkg string, args ...string) (string, error) {
	out := filepath.Join(dir, name)
	cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-trimpath", "-o", out}, args...), pkg)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return out, nil
}

// Programs makes fedsite and the emulator in dir, and gives their paths.
func Programs(ctx context.Context, dir string) (fedsite, emulator string, err error) {
	if fedsite, err = Build(ctx, dir, "fedsite", "./cmd/fedsite"); err != nil {
		return "", "", err
	}
	emulator, err = Build(ctx, dir, "emulator", "./test/bench/emulator", "-tags", "bench")
	return fedsite, emulator, err
}

// Emulator is the process that serves a world. It ends with this one, because it reads from a pipe of it.
type Emulator struct {
	Address  string   `json:"control"` // URL of control requests
	Dir      string   `json:"dir"`
	Config   string   `json:"config"` // fedsite.yaml
	Clouds   string   `json:"clouds"` // clouds.yaml; its entry accounting is a reader
	AuthURL  string   `json:"auth_url"`
	GOCDB    string   `json:"gocdb"` // URL of its public interface
	CA       string   `json:"ca"`    // file of GOCDB's authority
	Proxy    string   `json:"proxy"` // by which GOCDB has another name
	Region   string   `json:"region"`
	Projects []string `json:"projects"` // ids, the largest project first
	Users    int      `json:"users"`

	cmd   *exec.Cmd
	alive io.Closer
}

// Counters is what the services were asked since they were told to forget; messages are counted from the start.
type Counters struct {
	Requests int64            `json:"requests"` // to the cloud
	Bytes    int64            `json:"bytes"`
	Seconds  float64          `json:"seconds"`
	Kinds    map[string]int64 `json:"kinds"` // by service, method and path
	Most     map[string]int64 `json:"most"`  // at once, by service; of "" the whole cloud
	Broker   int64            `json:"broker"`
	Messages int64            `json:"messages"`
}

// Serve starts the emulator, and waits until it serves. Close it.
func Serve(ctx context.Context, program, dir string, args ...string) (*Emulator, error) {
	e := &Emulator{cmd: exec.CommandContext(ctx, program, append([]string{"-dir", dir}, args...)...)}
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
		return nil, errors.Join(fmt.Errorf("the emulator did not say that it serves: %w", err), e.Close())
	}
	return e, nil
}

// Close ends the process.
func (e *Emulator) Close() error { return errors.Join(e.alive.Close(), e.cmd.Wait()) }

// Forget lets it count the cloud's requests from here on.
func (e *Emulator) Forget() error { return e.Control(http.MethodPost, "/forget", nil) }

// Counters gives what was asked since.
func (e *Emulator) Counters() (c Counters, err error) {
	return c, e.Control(http.MethodGet, "/counters", &c)
}

// Control makes a control request, and reads its answer into v unless that is nil.
func (e *Emulator) Control(method, path string, v any) error {
	req, err := http.NewRequest(method, e.Address+path, nil)
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
