package conversion

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// fence is what a child may use.
type fence struct {
	memory uint64        // bytes of address space
	file   uint64        // bytes of the largest file
	cpu    time.Duration // of all threads together
	wall   time.Duration
}

// Limits of a child. qemu-img of QEMU 7.2 makes compressed qcow2, which takes most, in 1000 MiB of address space, and does not
// in 600; the size of the disk adds nothing that shows, up to 4 TiB.
const (
	fenceMemory  = 2 << 30
	fenceTime    = 10 * time.Minute
	fencePerGiB  = time.Minute
	fenceThreads = 2 // CPU time for each second on the wall: it is compressed by several threads
)

// fence gives the limits for a disk of so many bytes.
func (j *job) fence(virtual int64) fence {
	wall := fenceTime + fencePerGiB*time.Duration((virtual+1<<30-1)>>30)
	f := fence{memory: fenceMemory, file: uint64(largest(virtual)), cpu: fenceThreads * wall, wall: wall}
	if j.fenced != nil {
		f = j.fenced(f)
	}
	return f
}

// errTime is a child that took too long.
var errTime = errors.New("it took too long")

// run has a child of this program become qemu-img, and waits for it. Whatever ends ctx, or the time, ends all of its group.
func (j *job) run(ctx context.Context, f fence, args []string) error {
	if !hooked.Load() {
		return errors.New("this program does not call conversion.Child at its start, and cannot be its own child")
	}
	runtime.LockOSThread() // the child asks to be killed when its parent ends, which for the kernel is the thread that made it
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeoutCause(ctx, f.wall, fmt.Errorf("%w: more than %s", errTime, f.wall))
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", childWord)
	for _, n := range []uint64{f.memory, f.file, uint64(f.cpu / time.Second), uint64(os.Getpid())} {
		cmd.Args = append(cmd.Args, strconv.FormatUint(n, 10))
	}
	cmd.Args = append(append(cmd.Args, j.qemu), args...)
	said := &tail{}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = j.dir, []string{}, &percents{tell: j.progress}, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil && err != nil {
		return fmt.Errorf("qemu-img %s was ended: %w", args[0], cause)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("qemu-img %s: %w", args[0], err)
	if text := said.String(); text != "" {
		err = fmt.Errorf("%w: %.400q", err, text)
	}
	return j.reason(err, said.String())
}

// reason says what can be done about the ends of qemu-img that have a known cause.
func (j *job) reason(err error, said string) error {
	for _, text := range []string{syscall.ENOSPC.Error(), syscall.EDQUOT.Error(), syscall.EFBIG.Error()} {
		if strings.Contains(strings.ToLower(said), text) {
			return fmt.Errorf("%w: %s: %w", ErrNoRoom, j.dir, err)
		}
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() && (status.Signal() == syscall.SIGXCPU || status.Signal() == syscall.SIGKILL) {
		return fmt.Errorf("%w: its time of the processor was used up, or this host killed it: %w", errTime, err)
	}
	return err
}

// tail keeps the last of what a child says.
type tail struct{ b []byte }

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-tailBytes):]...)
	t.b = t.b[max(0, len(t.b)-tailBytes):]
	return len(p), nil
}

// String is one printable line.
func (t *tail) String() string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(t.b), "?"))
	return strings.Join(strings.Fields(text), " ")
}

// percents reads qemu-img's progress: "    (12.34/100%)\r".
type percents struct {
	tell func(percent float64)
	line []byte
}

func (p *percents) Write(b []byte) (int, error) {
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			p.end()
		case len(p.line) < 80:
			p.line = append(p.line, c)
		}
	}
	return len(b), nil
}

func (p *percents) end() {
	number, _, found := bytes.Cut(bytes.TrimLeft(p.line, " ("), []byte("/100%"))
	p.line = p.line[:0]
	if n, err := strconv.ParseFloat(string(number), 64); found && err == nil && n >= 0 && n <= 100 && p.tell != nil {
		p.tell(n)
	}
}
