// Package demo makes a whole site and federation on loopback, lets fedsite work on it as cron would have for weeks, and
// compares what the federation ended up with to what was truly used.
//
//	world → files → history → check → serve
//
// The cloud, the broker and the accounting server are emulated; fedsite is the real one, with a configuration file of its
// own. Nothing leaves the machine.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/transport"
)

// SiteName is the emulated site's name.
const SiteName = "DEMO-SITE"

// Options size and date the demo.
type Options struct {
	Dir      string    // where its files go; "" = a directory that is removed at the end
	At       time.Time // the present up to which there is history; zero = now, to the whole hour
	Seed     uint64
	Projects int
	VMs      int
	Version  string
	Era      string   // of the cloud: mitaka, zed, current; "" = current
	Faults   []string // names of faults that strike in the middle of the history
	Hurry    bool     // no pauses before something is tried again that only real services need
}

// Demo is a running emulation.
type Demo struct {
	Dir        string
	At         time.Time
	Projects   int
	VMs        int
	World      *world.World
	Cloud      *openstack.Cloud
	Federation *federation.Federation
	Config     *config.Config
	Requests   *transport.Counter

	version  string
	era      openstack.Era
	troubles []trouble
	unasked  []faults.Named // that strike GOCDB
	unsent   []faults.Named // that strike images
	anew     int            // how often publishers had newer images for faults to strike
	hurry    bool
	clock    *stepped          // of fedsite's machine
	outside  *stepped          // the true time, which cloud and federation go by
	ahead    atomic.Int64      // of the cloud's clock over the true time, in nanoseconds
	faults   *faults.Set       // of the cloud
	what     map[string]string // what was done to the world, by the fault's name
	allowed  []Allowance
	server   *http.Server
	apiPort  int // of the service, should somebody start it
	ldapPort int
	remove   bool
	lock     *flock.Flock // of a directory that was named
}

// stepped is the demo's clock: it stands at an instant of the history, and later runs on from the present.
type stepped struct {
	mu     sync.Mutex
	stands time.Time     // zero = runs
	ahead  time.Duration // of the machine's clock
}

func (s *stepped) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stands.IsZero() {
		return time.Now().Add(s.ahead).UTC().Round(0)
	}
	return s.stands
}

func (s *stepped) stand(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stands = at
}

func (s *stepped) forward(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += by
}

func (s *stepped) run() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stands = time.Time{}
}

// Start makes the world and its services, and writes the files. Close it.
func Start(o Options) (*Demo, error) {
	real := time.Now().UTC().Round(0)
	d := &Demo{Dir: o.Dir, At: o.At.UTC(), Projects: o.Projects, VMs: o.VMs, version: o.Version, clock: &stepped{}, outside: &stepped{}, hurry: o.Hurry, faults: &faults.Set{}, what: map[string]string{}, Requests: &transport.Counter{}}
	if o.At.IsZero() {
		d.At = real.Truncate(time.Hour)
	} else {
		d.clock.ahead = d.At.Sub(real.Truncate(time.Second)) // whole seconds, as the file says it; never before At
		d.outside.ahead = d.clock.ahead
	}
	if o.Projects < 1 || o.VMs < 0 {
		return nil, errors.New("a demo needs at least one project, and no negative number of VMs")
	}
	var known bool
	if d.era, known = openstack.EraNamed(cmp.Or(o.Era, openstack.Current.Name)); !known {
		return nil, fmt.Errorf("there is no era %q, only %s", o.Era, strings.Join(Eras(), ", "))
	}
	if err := d.foresee(o.Faults); err != nil {
		return nil, err
	}
	d.World = world.Generate(world.Options{Seed: o.Seed, At: d.At, Projects: o.Projects, VMs: o.VMs, Site: SiteName})
	d.stand(d.At)
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *Demo) start() (err error) {
	if err := d.directory(); err != nil {
		return err
	}
	d.Cloud = openstack.New(d.World, d.outside.now, openstack.Options{Era: d.era, Middleware: d.disturbed})
	if d.server, err = d.Cloud.Listen("127.0.0.1:0"); err != nil {
		return err
	}
	if d.Federation, err = federation.Start("127.0.0.1", d.outside.now, SiteName); err != nil {
		return err
	}
	d.Federation.Register(SiteName, d.Cloud.AuthURL())
	if err := d.publishImages(); err != nil {
		return err
	}
	if d.apiPort, err = freePort(); err != nil {
		return err
	}
	if d.ldapPort, err = freePort(); err != nil {
		return err
	}
	if err := d.write(); err != nil {
		return err
	}
	d.Config, err = config.Load(d.ConfigFile())
	return err
}

// Close stops the services, and removes the directory that Start made by itself.
func (d *Demo) Close() error {
	var errs []error
	if d.Federation != nil {
		errs = append(errs, d.Federation.Close())
	}
	if d.server != nil {
		errs = append(errs, d.server.Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Unlock())
	}
	if d.remove {
		errs = append(errs, os.RemoveAll(d.Dir))
	}
	return errors.Join(errs...)
}

// Serve lets the clock run, and waits until the context ends.
func (d *Demo) Serve(ctx context.Context) {
	d.Run()
	<-ctx.Done()
}

// open opens fedsite with the demo's configuration and clock.
func (d *Demo) open(ctx context.Context) (*app.App, error) {
	a, err := app.Open(ctx, d.Config, app.Options{Version: d.version, Now: d.clock.now, Requests: d.Requests, BackOff: d.backOff()})
	if err != nil {
		return nil, fmt.Errorf("open fedsite: %w", err)
	}
	return a, nil
}

// Run lets the clock run on from the demo's present, without a history.
func (d *Demo) Run() {
	d.clock.run()
	d.outside.run()
}

// Forward moves clocks that run on: those of the services, and, by the configuration that is written anew, that of commands
// to come. Whole seconds.
func (d *Demo) Forward(by time.Duration) error {
	before := d.offset()
	d.clock.forward(by)
	d.outside.forward(by)
	text, err := os.ReadFile(d.ConfigFile())
	if err != nil {
		return err
	}
	return os.WriteFile(d.ConfigFile(), bytes.Replace(text, []byte(before), []byte(d.offset()), 1), 0o600)
}

// Ahead is how far the demo's clock is ahead of the machine's.
func (d *Demo) Ahead() time.Duration {
	d.clock.mu.Lock()
	defer d.clock.mu.Unlock()
	return d.clock.ahead
}

// Disturb makes the emulated cloud fail, until Calm.
func (d *Demo) Disturb(f faults.Fault) { d.faults.Add(f) }

// Calm ends all faults of the emulated cloud.
func (d *Demo) Calm() { d.faults.Clear() }

// Settle collects and sends for a last time, at the demo's present, at which all clocks stand from then on.
func (d *Demo) Settle(ctx context.Context) error {
	a, err := d.open(ctx)
	if err != nil {
		return err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	d.stand(d.At)
	_, err = d.step(ctx, a, &History{Counts: map[string]int64{}}, true)
	return err
}

// offset is the clock's line of the configuration.
func (d *Demo) offset() string {
	return fmt.Sprintf("demo: {offset: %ds}", int64(d.clock.ahead/time.Second))
}

// stand lets all clocks stand at an instant.
func (d *Demo) stand(at time.Time) {
	d.clock.stand(at)
	d.outside.stand(at)
}

// Eras are the names of the releases that the cloud can be of.
func Eras() []string {
	var names []string
	for _, e := range openstack.Eras() {
		names = append(names, e.Name)
	}
	return names
}
