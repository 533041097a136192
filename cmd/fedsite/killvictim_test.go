package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fedsite/fedsite/internal/store"
)

// victimEnv makes this test binary the program itself, at the instant that the variable says: its clock stands still
// there. Before and after each commit it asks its parent whether it may go on, who kills it instead.
const victimEnv = "FEDSITE_TEST_VICTIM"

// The words between victim and parent.
const (
	beforeCommit = 'b'
	afterCommit  = 'a'
	goOn         = 'g'
)

// victim runs the command line of this process, and gives its exit code.
func victim() int {
	now, err := time.Parse(time.RFC3339Nano, os.Getenv(victimEnv))
	if err != nil {
		panic(err)
	}
	tell, hear := os.NewFile(3, "tell"), os.NewFile(4, "hear")
	unix.CloseOnExec(3) // what outlives this process is to be seen, and not waited for
	unix.CloseOnExec(4)
	var mu sync.Mutex
	watch := func(committed bool) {
		mu.Lock()
		defer mu.Unlock()
		word := []byte{beforeCommit}
		if committed {
			word[0] = afterCommit
		}
		if _, err := tell.Write(word); err != nil {
			panic(err)
		}
		if _, err := io.ReadFull(hear, word); err != nil {
			panic(err)
		}
	}
	c := &cli{out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: func() time.Time { return now }}
	return c.run(store.Watched(context.Background(), watch), os.Args[1:])
}

// prey is one run of the program in a process of its own. What it does is a row of events: each commit and each request,
// before and after. It is killed at one of them.
type prey struct {
	t    *testing.T
	args []string
	at   int // the event at which it is killed, from 1 on; 0 = none

	cmd     *exec.Cmd
	out     bytes.Buffer
	running chan struct{} // closed when process is known
	dead    chan struct{} // closed when it has ended, however
	heard   chan struct{} // closed when its last word was heard

	mu     sync.Mutex
	idle   *sync.Cond // no connection of the process is open
	open   int        // connections that the services have from it
	events []string
	killed bool

	ready    func(what string) // called before it is killed at an event; nil = there is nothing to wait for
	onTheWay func()            // lets the request arrive that it was killed over; nil = there is none
}

func newPrey(t *testing.T, at int, env []string, args ...string) *prey {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &prey{t: t, args: args, at: at, cmd: exec.Command(self, args...), running: make(chan struct{}), dead: make(chan struct{}), heard: make(chan struct{})}
	p.idle = sync.NewCond(&p.mu)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, &p.out, &p.out
	return p
}

// start starts the program.
func (p *prey) start() {
	p.t.Helper()
	hear, tell, err1 := os.Pipe()
	answered, answer, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.ExtraFiles = []*os.File{tell, answered}
	go p.listen(hear, answer)
	if err := errors.Join(p.cmd.Start(), tell.Close(), answered.Close()); err != nil {
		p.t.Fatal(err)
	}
	close(p.running)
	go func() {
		_ = p.cmd.Wait() // ProcessState says it
		close(p.dead)
	}()
}

// listen hears of the commits.
func (p *prey) listen(hear, answer *os.File) {
	defer close(p.heard)
	defer answer.Close()
	defer hear.Close()
	word := make([]byte, 1)
	for {
		if _, err := io.ReadFull(hear, word); err != nil {
			return
		}
		what := "before commit"
		if word[0] == afterCommit {
			what = "after commit"
		}
		if p.event(what) {
			return
		}
		if _, err := answer.Write([]byte{goOn}); err != nil {
			return
		}
	}
}

// event counts an event of the process. If it is the one, the process is dead when this returns true. What it had sent
// before its death counts no more.
func (p *prey) event(what string) bool {
	<-p.running
	p.mu.Lock()
	if p.killed {
		p.mu.Unlock()
		return false
	}
	p.events = append(p.events, what)
	if len(p.events) != p.at {
		p.mu.Unlock()
		return false
	}
	p.killed = true
	p.mu.Unlock()
	if p.ready != nil {
		p.ready(what)
	}
	p.end()
	return true
}

// kill kills the process at something that it does not wait for, if it has not been killed.
func (p *prey) kill(what string) {
	<-p.running
	p.mu.Lock()
	if p.killed {
		p.mu.Unlock()
		return
	}
	p.events = append(p.events, what)
	p.at, p.killed = len(p.events), true
	p.mu.Unlock()
	p.end()
}

func (p *prey) end() {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill %v: %v", p.args, err)
	}
	<-p.dead
}

// next tells whether the next event is the one at which it is killed.
func (p *prey) next() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.killed && len(p.events)+1 == p.at
}

// connected counts a connection that a service has accepted, and gives the function to be called when it is closed.
func (p *prey) connected() func() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open--; p.open == 0 {
			p.idle.Broadcast()
		}
	}
}

// wait waits until the process has ended and all that it had sent is worked on: a request that a dead process had sent
// off still arrives, but not after the ten minutes that a test lets pass in no time.
func (p *prey) wait() {
	<-p.dead
	<-p.heard
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.open > 0 {
		p.idle.Wait()
	}
}

// exits checks the exit code of a process that ended by itself.
func (p *prey) exits(code int) {
	p.t.Helper()
	p.wait()
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Fatalf("%v: exit code %d, want %d: %s", p.args, got, code, p.out.String())
	}
}

// at which event it was killed, in words.
func (p *prey) String() string {
	if !p.killed {
		return fmt.Sprintf("%v, not killed in %d events", p.args, len(p.events))
	}
	return fmt.Sprintf("%v at event %d, %s", p.args, p.at, p.events[p.at-1])
}
