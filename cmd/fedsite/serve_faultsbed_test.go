package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/app/demo"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
)

// hurried is what the contract's times are divided by where a lease has to run out: 9 s instead of 45.
const hurried = 5

// sickbed is a site and a federation on loopback, and services of the program to which something happens.
type sickbed struct {
	*demo.Demo
	t  *testing.T
	st *store.Store // the service's database

	nodes []func() // write the configurations of further nodes anew
}

// newSickbed makes one whose database is that of the URL, or SQLite in the state directory. The first records have been
// collected and sent; many messages carry few records each. What is to be done with the state directory before that may be
// given.
func newSickbed(t *testing.T, url string, prepare ...func(state string)) *sickbed {
	t.Helper()
	d, err := demo.Start(demo.Options{Dir: t.TempDir(), At: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Seed: 7, Projects: 3, Version: "test", Hurry: true})
	must(t, err)
	t.Cleanup(func() { _ = d.Close() })
	for i := range 15 {
		created := d.At.Add(-time.Duration(i+1) * 26 * time.Hour)
		vm := world.VM{ID: fmt.Sprintf("51c40000-0000-4000-8000-%012d", i), Project: d.World.Projects[i%3].ID, User: d.World.Users[5+i%3].ID, Name: fmt.Sprint("vm-", i),
			Flavor: fmt.Sprint(1 + i%2), Image: d.World.Images[i%3].ID, Created: created, Events: []world.Event{{At: created.Add(40 * time.Second), Kind: world.Launch}}}
		switch i % 5 { // what is still to come
		case 0:
			vm.Events = append(vm.Events, world.Event{At: d.At.Add(time.Duration(i+1) * 40 * time.Minute), Kind: world.Delete})
		case 1:
			vm.Events = append(vm.Events, world.Event{At: d.At.Add(time.Duration(i+1) * 30 * time.Minute), Kind: world.Resize, Value: "3"})
		}
		d.World.Add(vm)
	}
	d.Run()
	b := &sickbed{Demo: d, t: t}
	b.edit("  mode: active\n", "  mode: active\n  max_records: 3\n")
	b.edit("discovery:\n  mode: active\n", "discovery:\n  mode: disabled\n") // its runs are no part of what is told here
	where := store.Config{Path: filepath.Join(b.state(), "fedsite.db"), URL: url}
	if url != "" {
		b.edit("store: {path:", fmt.Sprintf("store: {url: %q, path:", url))
	}
	for _, do := range prepare {
		do(b.state())
	}
	for _, args := range [][]string{{"accounting", "collect"}, {"accounting", "send", "--yes"}} {
		cmd := program(append(args, "--config", d.ConfigFile())...)
		if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != run.ExitPartial { // a project has no VO
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	b.st, err = store.Open(t.Context(), where)
	must(t, err)
	t.Cleanup(func() { _ = b.st.Close() })
	return b
}

// state is the state directory.
func (b *sickbed) state() string { return b.Config.Store.Path }

// edit replaces a text in the configuration file.
func (b *sickbed) edit(old, fresh string) {
	b.t.Helper()
	text, err := os.ReadFile(b.ConfigFile())
	must(b.t, err)
	if !bytes.Contains(text, []byte(old)) {
		b.t.Fatalf("the configuration does not hold %q", old)
	}
	must(b.t, os.WriteFile(b.ConfigFile(), bytes.Replace(text, []byte(old), []byte(fresh), 1), 0o600))
}

// node gives the configuration of a further node, which differs in pairs of texts.
func (b *sickbed) node(name string, pairs ...string) (config string) {
	b.t.Helper()
	config = filepath.Join(b.Dir, name+".yaml")
	write := func() {
		text, err := os.ReadFile(b.ConfigFile())
		must(b.t, err)
		must(b.t, os.WriteFile(config, []byte(strings.NewReplacer(pairs...).Replace(string(text))), 0o600))
	}
	b.nodes = append(b.nodes, write)
	write()
	return config
}

// serve gives fedsite serve with a configuration, whose times are divided by hurry. It is not started yet.
func (b *sickbed) serve(config string, hurry int) *daemontest.Daemon {
	b.t.Helper()
	d, err := daemontest.New(func() *exec.Cmd {
		cmd := program("serve", "--config", config)
		cmd.Env = append(cmd.Env, fmt.Sprint(programEnv, "=", hurry))
		return cmd
	})
	must(b.t, err)
	b.t.Cleanup(func() {
		_ = d.Close()
		if b.t.Failed() {
			b.t.Logf("the service of %s said:\n%s", filepath.Base(config), d.Said())
		}
	})
	return d
}

// now is the service's clock.
func (b *sickbed) now() time.Time { return time.Now().Add(b.Ahead()) }

// later lets time go by for the services, and waits until one of them has done what is due by then and not paused. What was
// under way before has ended by then.
func (b *sickbed) later(by time.Duration, services ...*daemontest.Daemon) {
	b.t.Helper()
	b.until("nothing runs any more", func() bool { return len(rows(b.t, b.st, `SELECT name FROM task WHERE owner IS NOT NULL`)) == 0 })
	b.forward(by, services...)
	now := b.now()
	all, err := tasks.List(b.t.Context(), b.st)
	must(b.t, err)
	for _, kind := range []string{"accounting.collect", "accounting.send"} {
		if !slices.ContainsFunc(all, func(s tasks.Status) bool { return strings.HasPrefix(s.Name, kind) && s.PausedUntil.After(now) }) {
			b.done(kind, now)
		}
	}
}

// done waits until a task has succeeded since an instant.
func (b *sickbed) done(kind string, since time.Time) {
	b.t.Helper()
	name := nameOf(b.t, b.st, kind)
	b.until(fmt.Sprintf("%s is done at %s", kind, since.Format(time.DateTime)), func() bool {
		task, err := tasks.Find(b.t.Context(), b.st, name)
		must(b.t, err)
		return task.Running == nil && !task.LastSuccess.Before(since)
	})
}

// midst is what a service is in the middle of.
type midst struct {
	answer, listing *held           // of the broker, and of the cloud
	requests        []*http.Request // that are held
	unsettled       []string        // texts of the messages that are under way
}

// amid brings a service into the middle of sending and of a collection.
func (b *sickbed) amid(s *daemontest.Daemon) midst {
	b.t.Helper()
	send := nameOf(b.t, b.st, "accounting.send")
	must(b.t, tasks.Pause(b.t.Context(), b.st, send, b.now().Add(24*time.Hour)))
	b.later(2*time.Hour, s)
	c := midst{answer: b.sending()}
	must(b.t, tasks.Resume(b.t.Context(), b.st, send))
	c.requests = c.answer.comes(b.t, atOnce)
	c.listing = b.collecting()
	b.forward(2*time.Hour, s)
	c.requests = append(c.requests, c.listing.comes(b.t, 1)...)
	c.unsettled = b.unsettled()
	return c
}

// forward lets time go by for the services.
func (b *sickbed) forward(by time.Duration, services ...*daemontest.Daemon) {
	b.t.Helper()
	must(b.t, b.Forward(by))
	for _, write := range b.nodes {
		write()
	}
	for _, s := range services {
		must(b.t, s.Reload())
	}
}

func (b *sickbed) until(what string, is func() bool) {
	b.t.Helper()
	until(b.t, what, is)
}

// says waits until a service has said something since an earlier moment.
func (b *sickbed) says(s *daemontest.Daemon, since int, words ...string) {
	b.t.Helper()
	for _, w := range words {
		b.until(fmt.Sprintf("it says %q", w), func() bool { return strings.Contains(s.Said()[since:], w) })
	}
}

// held is a request that got no answer yet.
type held struct {
	came chan *http.Request
	let  chan struct{}
	once sync.Once
	ends []func()
}

// atOnce is how many messages are under way at once.
const atOnce = 4

// comes waits for so many requests.
func (h *held) comes(t *testing.T, n int) (all []*http.Request) {
	t.Helper()
	for range n {
		select {
		case r := <-h.came:
			all = append(all, r)
		case <-time.After(2 * time.Minute):
			t.Fatalf("%d requests came, not %d", len(all), n)
		}
	}
	return all
}

// takes tells of requests that it is to hold.
func (h *held) takes(which func(*http.Request) bool) func(*http.Request) bool {
	return func(r *http.Request) bool {
		is := which(r)
		if is {
			h.came <- r
		}
		return is
	}
}

// isListing tells the listings of a collection from what accounting.check asks.
func isListing(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/servers/detail") && r.URL.RawQuery != "limit=1"
}

// isMessage tells whether a request brings a message to the broker.
func isMessage(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ":publish") }

// pass holds what comes from now on no more.
func (h *held) pass() {
	for _, end := range h.ends {
		end()
	}
}

// release answers what is held, and holds no more.
func (h *held) release() {
	h.once.Do(func() {
		h.pass()
		close(h.let)
	})
}

// collecting holds all listings of the cloud, before it sees them.
func (b *sickbed) collecting() *held {
	h := &held{came: make(chan *http.Request, 1000), let: make(chan struct{}), ends: []func(){b.Calm}}
	b.Disturb(faults.Fault{Service: "compute", Times: -1, Fits: h.takes(isListing), Effect: faults.Effect{Do: func() { <-h.let }}})
	b.t.Cleanup(h.release)
	return h
}

// sending holds all answers of the broker to messages: it has them.
func (b *sickbed) sending() *held {
	h := &held{came: make(chan *http.Request, 1000), let: make(chan struct{}), ends: []func(){b.Federation.Faults.Clear}}
	b.Federation.Faults.Add(faults.Fault{Times: -1, Fits: h.takes(isMessage), Effect: faults.Effect{Change: func(body []byte) []byte { <-h.let; return body }}})
	b.t.Cleanup(h.release)
	return h
}

var shows = regexp.MustCompile(`http://([^/]+)/ shows how things are`)

// get asks the pages of a service.
func (b *sickbed) get(s *daemontest.Daemon, path string) (status int, body string) {
	all := shows.FindAllStringSubmatch(s.Said(), -1)
	if len(all) == 0 {
		return 0, ""
	}
	r, err := http.Get("http://" + all[len(all)-1][1] + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body) // what there is of it
	return r.StatusCode, string(text)
}

// answers waits until a page of a service has a status and some words.
func (b *sickbed) answers(s *daemontest.Daemon, path string, want int, words string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%s is %d, %q", path, want, words), func() bool {
		status, body := b.get(s, path)
		return status == want && strings.Contains(body, words)
	})
}

// unsettled gives the texts of the messages that may have to be repeated.
func (b *sickbed) unsettled() []string {
	b.t.Helper()
	all := rows(b.t, b.st, `SELECT body FROM message WHERE state = 'cut'`)
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], "body=")
	}
	return all
}

// ended checks, when no service runs any more, that the accounting server has the truth to the second; that only the
// messages given came to it twice; and that no task ran twice at once.
func (b *sickbed) ended(repeated []string) {
	b.t.Helper()
	count := map[string]int{}
	for _, m := range b.Federation.Received() {
		count[string(m.Body)]++
	}
	for body, n := range count {
		if n > 1 && !slices.Contains(repeated, body) {
			b.t.Errorf("a message that was settled came %d times:\n%s", n, body)
		}
	}
	b.once()
	b.At = b.now().Truncate(time.Second).Add(time.Hour) // attempts that were not answered cannot arrive any more
	var err error
	b.Config, err = config.Load(b.ConfigFile())
	must(b.t, err)
	must(b.t, b.Settle(context.Background()))
	o, err := b.Check(context.Background())
	must(b.t, err)
	for _, wrong := range o.Wrong {
		b.t.Error(wrong)
	}
	var used int64
	for _, s := range o.Sums {
		used += s.TruthWall
	}
	if used == 0 || o.Messages < 10 {
		b.t.Errorf("the world used %d s, the server got %d messages: this shows nothing", used, o.Messages)
	}
}

// unsteady is by how much the service's clock may go back: it follows the database's, as well as that can be known from
// answers that take their time.
const unsteady = 2 * time.Second

// once checks that of each task one run came after the other.
func (b *sickbed) once() {
	b.t.Helper()
	all, err := tasks.List(b.t.Context(), b.st)
	must(b.t, err)
	for _, task := range all {
		runs, err := tasks.History(b.t.Context(), b.st, task.Name, 0)
		must(b.t, err)
		var last tasks.Entry
		for _, r := range slices.Backward(runs) {
			if r.Started.Before(last.Ended.Add(-unsteady)) || (r.Fence != last.Fence+1 && last.Fence != 0) {
				b.t.Errorf("%s ran twice at once: %+v, and %+v", task.Name, last, r)
			}
			last = r
		}
		if last.Ended.IsZero() && last.Fence != 0 {
			b.t.Errorf("%s: its last run has no end", task.Name)
		}
	}
}

// outcomes gives how the runs of a task ended, oldest first.
func (b *sickbed) outcomes(kind string) []string {
	b.t.Helper()
	runs, err := tasks.History(b.t.Context(), b.st, nameOf(b.t, b.st, kind), 0)
	must(b.t, err)
	var all []string
	for _, r := range slices.Backward(runs) {
		all = append(all, r.Outcome)
	}
	return all
}

// stop stops services, which end well.
func (b *sickbed) stop(services ...*daemontest.Daemon) {
	b.t.Helper()
	var errs []error
	for _, s := range services {
		errs = append(errs, s.Stop())
	}
	must(b.t, errors.Join(errs...))
}
