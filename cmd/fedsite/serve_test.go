package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// programEnv makes this test binary the program itself; the service's times are divided by its value.
const programEnv = "FEDSITE_TEST_PROGRAM"

// serving gives fedsite serve with a configuration, as a process of this program.
func serving(t *testing.T, config string) *daemontest.Daemon {
	t.Helper()
	d, err := daemontest.New(func() *exec.Cmd { return program("serve", "--config", config) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the service said:\n%s", d.Said())
		}
	})
	return d
}

// program gives a command that is this test binary as the program itself.
func program(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), programEnv+"=1")
	return cmd
}

// must ends the test when something that it needs goes wrong.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
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
	s := serving(t, d.ConfigFile())
	for _, args := range [][]string{{"accounting", "collect"}, {"accounting", "send", "--yes"}} {
		c := &cli{out: s, err: s, getenv: func(string) string { return "" }}
		if code := c.run(t.Context(), append(args, "--config", d.ConfigFile())); code != 0 && code != 3 {
			t.Fatalf("%v: exit %d\n%s", args, code, s.Said())
		}
	}
	st, err := store.Open(t.Context(), store.Config{Path: filepath.Join(d.Config.Store.Path, "fedsite.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close() //nolint:errcheck // only read
	must(t, s.Start())
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
			must(t, s.Reload())
		case "kill":
			s.Kill()
			must(t, s.Start())
		case "stop":
			must(t, s.Stop())
			must(t, s.Tells("STOPPING=1"))
			must(t, s.Start())
		case "wrong":
			wrongly(t, s, d.ConfigFile())
		case "fault":
			d.Disturb(faults.Fault{Service: "compute", Nth: 1 + r.IntN(4), Times: 30, Effect: faults.Effect{Status: 503}})
			must(t, s.Reload())
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
	must(t, s.Stop())
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
func wrongly(t *testing.T, s *daemontest.Daemon, file string) {
	t.Helper()
	right, err := os.ReadFile(file)
	must(t, err)
	must(t, os.WriteFile(file, append([]byte("nonsense: 1\n"), right...), 0o600))
	must(t, s.Reload())
	until(t, "it says what is wrong in the file", func() bool { return strings.Contains(s.Said(), "nonsense") })
	must(t, os.WriteFile(file, right, 0o600))
	must(t, s.Reload())
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
