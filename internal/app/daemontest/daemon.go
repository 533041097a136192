// Package daemontest runs fedsite serve for tests as systemd runs it: in a process of its own, that says on a socket how it
// is.
package daemontest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long the daemon may take to say something, or to end.
const patience = 2 * time.Minute

// Daemon is the service, which may be started again and again. Close it.
type Daemon struct {
	command func() *exec.Cmd
	dir     string
	words   *net.UnixConn

	cmd  *exec.Cmd
	dead chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

// New makes a daemon that is not started yet. Each start takes a new command; its output is kept.
func New(command func() *exec.Cmd) (*Daemon, error) {
	dir, err := os.MkdirTemp("", "fedsite") // short: a socket's path has at most 107 bytes
	if err != nil {
		return nil, err
	}
	words, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	// Started by root, it becomes somebody else before it says anything.
	if err := errors.Join(os.Chmod(dir, 0o711), os.Chmod(words.LocalAddr().String(), 0o666)); err != nil {
		return nil, errors.Join(err, words.Close(), os.RemoveAll(dir))
	}
	return &Daemon{command: command, dir: dir, words: words}, nil
}

// Close kills the daemon, if it runs.
func (d *Daemon) Close() error {
	d.Kill()
	return errors.Join(d.words.Close(), os.RemoveAll(d.dir))
}

// Write takes the process's output.
func (d *Daemon) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

// Said is all that it has written, of every start.
func (d *Daemon) Said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// Start starts it, and waits until it is ready.
func (d *Daemon) Start() error {
	cmd, dead := d.command(), make(chan struct{})
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+d.words.LocalAddr().String())
	cmd.Stdout, cmd.Stderr = d, d
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd, d.dead = cmd, dead
	go func() { _ = cmd.Wait(); close(dead) }() // ProcessState says it
	return d.Tells("READY=1")
}

// Tells waits until it has told systemd something.
func (d *Daemon) Tells(word string) error {
	if err := d.words.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for text := make([]byte, 1024); ; {
		n, err := d.words.Read(text)
		if err != nil {
			return fmt.Errorf("it does not tell %s: %w", word, err)
		}
		if strings.HasPrefix(string(text[:n]), word) {
			return nil
		}
	}
}

// Kill ends it at once.
func (d *Daemon) Kill() {
	if d.cmd != nil {
		_ = d.cmd.Process.Kill() // it may be dead
		<-d.dead
	}
}

// Stop stops it as systemctl does, and waits for its end, which must be a good one.
func (d *Daemon) Stop() error {
	if err := d.Terminate(); err != nil {
		return err
	}
	code, err := d.Exit()
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("stopped, it exits with %d", code)
	}
	return nil
}

// Terminate tells it to end.
func (d *Daemon) Terminate() error { return d.cmd.Process.Signal(syscall.SIGTERM) }

// Exit waits for its end, and gives the exit code.
func (d *Daemon) Exit() (int, error) {
	select {
	case <-d.dead:
		return d.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New("it does not end")
	}
}

// Process is its process id; 0 before the first start.
func (d *Daemon) Process() int {
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// Reload lets it load its configuration anew, and waits until it has.
func (d *Daemon) Reload() error {
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return errors.Join(d.Tells("RELOADING=1"), d.Tells("READY=1"))
}
