package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/conversion"
	"github.com/fedsite/fedsite/internal/emulator/world"
)

func TestMain(m *testing.M) {
	if conversion.Child(os.Args[1:]) {
		os.Exit(127)
	}
	if os.Getenv(victimEnv) != "" {
		os.Exit(daemontest.Loopback(victim))
	}
	if hurry, err := strconv.Atoi(os.Getenv(programEnv)); err == nil {
		os.Exit(daemontest.Loopback(func() int { return start(hurry) }))
	}
	testscript.Main(atHome{m}, map[string]func(){"fedsite": func() { os.Exit(daemontest.Loopback(Main)) }})
}

// atHome are tests that fail when they, or the programs that they start, ask anybody beyond this machine.
type atHome struct{ *testing.M }

func (h atHome) Run() int { return daemontest.Loopback(h.M.Run) }

// TestScripts runs the executable manual: each script is one thing that a user does, with the real program.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Values[emulated{}] = &emulated{}
			repository, err := filepath.Abs("../..")
			env.Setenv("REPOSITORY", repository)
			return err
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "ldapsearch":
				_, err := exec.LookPath("ldapsearch")
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ask": ask, "busy": busy, "cloud": cloud, "emulate": emulate, "eventually": eventually, "exits": exits, "hide": hide, "later": later, "own": own, "replace": replace, "serve": serve, "systemctl": systemctl, "try": try},
	})
}

// emulate starts the demo's site and federation for the rest of the script, with its files in the directory given. No
// history is made: the ledger is empty. GOCDB knows the cloud as that of EXAMPLE-CLOUD, too. Its present is 2026-11-24 12:00 UTC.
func emulate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: emulate DIR")
	}
	d, err := demo.Start(demo.Options{Dir: ts.MkAbs(args[0]), At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Seed: 1, Projects: 3, VMs: 24, Version: "test"})
	ts.Check(err)
	d.Federation.Register("EXAMPLE-CLOUD", d.Cloud.AuthURL()) // the pages' site is of the same cloud
	d.Run()
	ts.Value(emulated{}).(*emulated).Demo = d
	ts.Defer(func() { ts.Check(d.Close()) })
	ts.Setenv("FEDSITE_CONFIG", d.ConfigFile())
	ts.Setenv("KEYSTONE", d.Cloud.AuthURL())
	documents(ts, d.Config.Sites)
}

// emulated is the demo that a script has started, and the service beside it; its zero value is the key under which the script
// keeps them.
type emulated struct {
	*demo.Demo
	unit  *daemontest.Daemon // of systemctl
	taken net.Listener       // of busy
}

// hide takes all VMs of a project out of every answer of the emulated cloud: "hide PROJECT", by its name. "! hide" shows
// them again.
func hide(ts *testscript.TestScript, neg bool, args []string) {
	d := ts.Value(emulated{}).(*emulated)
	if neg {
		d.World.ClearFaults()
		return
	}
	for _, p := range d.World.Projects {
		if len(args) == 1 && p.Name == args[0] {
			d.World.AddFault(world.Fault{Name: world.Hidden, Project: p.ID})
			return
		}
	}
	ts.Fatalf("usage: hide PROJECT, a name of the emulated cloud")
}

// later lets time go by in the emulated cloud and for the commands to come: "later DURATION".
func later(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: later DURATION")
	}
	by, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Check(ts.Value(emulated{}).(*emulated).Forward(by))
}

// own gives files and directories, with all in them, to a user: "own UID PATH…"; the way to them is opened. "! own UID
// PATH" fails when something there is somebody else's.
func own(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: own UID PATH…")
	}
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	for _, path := range args[1:] {
		path = ts.MkAbs(path)
		for up := filepath.Dir(path); !neg && up != filepath.Clean(os.TempDir()) && up != "/"; up = filepath.Dir(up) {
			info, err := os.Stat(up)
			ts.Check(err)
			ts.Check(os.Chmod(up, info.Mode().Perm()|0o711))
		}
		ts.Check(filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !neg {
				return os.Lchown(name, uid, uid)
			}
			info, err := d.Info()
			if err == nil && info.Sys().(*syscall.Stat_t).Uid != uint32(uid) {
				err = fmt.Errorf("%s belongs to user %d", name, info.Sys().(*syscall.Stat_t).Uid)
			}
			return err
		}))
	}
}

// serve runs fedsite serve for the rest of the script: "serve", once it is ready.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: serve")
	}
	d, err := daemontest.New(func() *exec.Cmd { return program("serve", "--config", ts.Getenv("FEDSITE_CONFIG")) })
	ts.Check(err)
	ts.Defer(func() { ts.Check(d.Close()) })
	ts.Check(d.Start())
	ts.Defer(func() { ts.Check(d.Stop()) })
}

// eventually runs a program, or asks, until its output has a pattern: "eventually PATTERN PROGRAM ARGS…".
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually PATTERN PROGRAM ARGS…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); <-tick.C {
		if args[1] == "ask" {
			if text, err := answer(ts, args[2:]...); err == nil && pattern.MatchString(text) {
				return
			}
			continue
		}
		if ts.Exec(args[1], args[2:]...) == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("its output never has %s", args[0])
}

// exits runs a program and checks its exit code: "exits CODE PROGRAM ARGS…".
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// replace replaces a text in a file: "replace FILE OLD NEW", \n in the new one being a line end. The old text must be there.
func replace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	file := ts.MkAbs(args[0])
	text := ts.ReadFile(args[0])
	fresh := strings.Replace(text, args[1], strings.ReplaceAll(args[2], `\n`, "\n"), 1)
	if fresh == text {
		ts.Fatalf("%s does not contain %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(filepath.Clean(file), []byte(fresh), 0o600))
}
