package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// programEnv makes this test binary the program itself.
const programEnv = "FEDSITE_TEST_PROGRAM"

// served is fedsite serve in a process of its own, started as systemd starts it.
type served struct {
	t      *testing.T
	config string
	words  *net.UnixConn // what it tells systemd

	cmd  *exec.Cmd
	dead chan struct{}

	mu  sync.Mutex
	out bytes.Buffer
}

func newServed(t *testing.T, config string) *served {
	t.Helper()
	dir, err := os.MkdirTemp("", "fedsite") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	words, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	d := &served{t: t, config: config, words: words}
	t.Cleanup(func() {
		_ = words.Close()
		if d.cmd != nil {
			d.kill()
		}
		if t.Failed() {
			t.Logf("the service said:\n%s", d.said())
		}
	})
	return d
}

// Write takes the process's output.
func (d *served) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.Write(p)
}

func (d *served) said() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.out.String()
}

// start starts the service, and waits until it is ready.
func (d *served) start(args ...string) {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command(self, append([]string{"serve", "--config", d.config}, args...)...)
	d.cmd.Env = append(os.Environ(), programEnv+"=1", "NOTIFY_SOCKET="+d.words.LocalAddr().String())
	d.cmd.Stdout, d.cmd.Stderr = d, d
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	dead, cmd := make(chan struct{}), d.cmd
	d.dead = dead
	go func() { _ = cmd.Wait(); close(dead) }()
	d.tells("READY=1")
}

// tells waits until the service has told systemd something.
func (d *served) tells(want string) {
	d.t.Helper()
	buf := make([]byte, 1024)
	if err := d.words.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		d.t.Fatal(err)
	}
	for {
		n, err := d.words.Read(buf)
		if err != nil {
			d.t.Fatalf("it does not tell %q: %v", want, err)
		}
		if strings.HasPrefix(string(buf[:n]), want) {
			return
		}
	}
}

func (d *served) signal(s os.Signal) {
	d.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.t.Fatal(err)
	}
}

func (d *served) kill() {
	_ = d.cmd.Process.Kill()
	<-d.dead
}

// ends waits for its end, and gives its exit code.
func (d *served) ends() int {
	d.t.Helper()
	select {
	case <-d.dead:
	case <-time.After(2 * time.Minute):
		d.t.Fatal("the service does not end")
	}
	return d.cmd.ProcessState.ExitCode()
}

// reload lets it load the configuration anew, and waits until it has.
func (d *served) reload() {
	d.t.Helper()
	d.signal(syscall.SIGHUP)
	d.tells("RELOADING=1")
	d.tells("READY=1")
}

// until waits for a condition that other processes bring about.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); <-tick.C {
		if is() {
			return
		}
	}
	t.Fatalf("it never came about that %s", what)
}

// TestServeThroughAMonth: the service collects and sends for a month, with the clock stepping on. It is killed, stopped,
// reloaded, also with a wrong file, and the cloud fails now and then. The accounting server ends with the truth.
func TestServeThroughAMonth(t *testing.T) {
	step := 3 * 24 * time.Hour
	if hours, err := strconv.Atoi(os.Getenv("FEDSITE_MONTH_STEP")); err == nil {
		step = time.Duration(hours) * time.Hour
	}
	d, err := demo.Start(demo.Options{Dir: t.TempDir(), At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Seed: 5, Projects: 3, VMs: 60, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	d.Run()
	left := 31 * 24 * time.Hour
	if err := d.Forward(-left); err != nil {
		t.Fatal(err)
	}
	s := newServed(t, d.ConfigFile())
	for _, args := range [][]string{{"accounting", "collect"}, {"accounting", "send", "--yes"}} {
		c := &cli{out: s, err: s, getenv: func(string) string { return "" }}
		if code := c.run(t.Context(), append(args, "--config", d.ConfigFile())); code != 0 && code != 3 {
			t.Fatalf("%v: exit %d\n%s", args, code, s.said())
		}
	}
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(d.Config.Store.Path, "fedsite.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // only read
	s.start()
	r := rand.New(rand.NewPCG(5, 5))
	did := map[string]int{}
	for left > step/2 {
		by := min(step/2+time.Duration(r.Int64N(int64(step))), left-time.Hour).Truncate(time.Second)
		left -= by
		if err := d.Forward(by); err != nil {
			t.Fatal(err)
		}
		now := time.Now().Add(d.Ahead())
		what := []string{"reload", "reload", "reload", "kill", "stop", "wrong", "fault"}[r.IntN(7)]
		did[what]++
		switch what {
		case "reload":
			s.reload()
		case "kill":
			s.kill()
			s.start()
		case "stop":
			s.signal(syscall.SIGTERM)
			s.tells("STOPPING=1")
			if code := s.ends(); code != 0 {
				t.Errorf("stopped, it exits with %d", code)
			}
			s.start()
		case "wrong":
			s.wrongly(d.ConfigFile())
		case "fault":
			d.Disturb(faults.Fault{Service: "compute", Nth: 1 + r.IntN(4), Times: 30, Effect: faults.Effect{Status: 503}})
			s.reload()
			until(t, "the collection meets the fault", func() bool { return ended(t, st, "accounting.collect", now) })
			d.Calm()
			now = time.Now().Add(d.Ahead())
			for _, kind := range []string{"accounting.collect", "accounting.send"} {
				if err := tasks.RunNow(t.Context(), st, nameOf(t, st, kind)); err != nil {
					t.Fatal(err)
				}
			}
		}
		until(t, fmt.Sprintf("all has run at %s (%s)", now.Format(time.DateTime), what), func() bool {
			return ended(t, st, "accounting.collect", now) && ended(t, st, "accounting.send", now)
		})
	}
	s.signal(syscall.SIGTERM)
	if code := s.ends(); code != 0 {
		t.Errorf("stopped, it exits with %d", code)
	}
	t.Logf("%v", did)
	if err := d.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	o, err := d.Check(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range o.Sums {
		// What VMs had before they were first seen, on 24 October, no cloud tells.
		if s.TruthWall != s.ServerWall || s.Period == "2026-11" && !s.Equal() {
			t.Errorf("%s %s: the server has %d s wall and %d s CPU, truth is %d and %d", s.Period, s.VO, s.ServerWall, s.ServerCPU, s.TruthWall, s.TruthCPU)
		}
	}
	for _, wrong := range o.Wrong {
		if !strings.HasPrefix(wrong, "2026-") { // else a sum
			t.Error(wrong)
		}
	}
}

// wrongly lets the service load a wrong file, which changes nothing, and then the right one.
func (d *served) wrongly(file string) {
	d.t.Helper()
	right, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("nonsense: 1\n"), right...), 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.reload()
	until(d.t, "it says what is wrong in the file", func() bool { return strings.Contains(d.said(), "nonsense") })
	if err := os.WriteFile(file, right, 0o600); err != nil {
		d.t.Fatal(err)
	}
	d.reload()
}

func nameOf(t *testing.T, st *store.Store, kind string) string {
	t.Helper()
	all, err := tasks.List(t.Context(), st)
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range all {
		if strings.HasPrefix(task.Name, kind+"/") {
			return task.Name
		}
	}
	t.Fatalf("there is no task %s", kind)
	return ""
}

// ended tells whether a run of a task of that kind has ended since an instant of the service's clock, and none goes on.
func ended(t *testing.T, st *store.Store, kind string, since time.Time) bool {
	t.Helper()
	task, err := tasks.Find(t.Context(), st, nameOf(t, st, kind))
	if err != nil {
		t.Fatal(err)
	}
	return task.Running == nil && task.Last != nil && !task.Last.Ended.Before(since)
}
