//go:build bench

// Command emulator serves a generated site and federation as a process of its own, so that what is measured of fedsite
// holds nothing of the emulation.
//
//	flags → world → services, files → a line of JSON → control requests → the end of standard input
//
// The first and only line on standard output says where everything is (Ready). The program ends when its standard input
// does: a parent that holds the other end of a pipe takes it along, however it dies.
//
// GET /counters on the control URL gives what was asked since the last POST /forget. POST /advance?by=1h moves the clocks
// of all services on and writes fedsite.yaml anew, so that fedsite's clock moves with them; what the shape has happen in
// that time has then happened.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
)

// Ready is the line on standard output.
type Ready struct {
	Control    string    `json:"control"` // URL of the control requests
	Dir        string    `json:"dir"`
	Config     string    `json:"config"`   // fedsite.yaml
	Clouds     string    `json:"clouds"`   // clouds.yaml; its entries are accounting (a reader) and admin
	AuthURL    string    `json:"auth_url"` // of Keystone
	GOCDB      string    `json:"gocdb"`    // URL of its public interface, which knows the cloud
	CA         string    `json:"ca"`       // file of the authority that GOCDB and the broker have certificates of
	Proxy      string    `json:"proxy"`    // URL of the proxy by which the host of -gocdb-as is GOCDB
	Region     string    `json:"region"`
	At         time.Time `json:"at"` // the world's present at the start
	Offset     string    `json:"offset"`
	VMs        int       `json:"vms"`
	Projects   []string  `json:"projects"`    // ids; the largest is the first
	Users      int       `json:"users"`       // distinct ones that the VMs have
	EndedSoon  int       `json:"ended_soon"`  // VMs that end in the hour after At
	ChangeSoon int       `json:"change_soon"` // VMs that change state in that hour
}

func main() {
	s, dir, at := shape{}, "", ""
	flag.StringVar(&dir, "dir", "", "directory for fedsite.yaml, clouds.yaml and certificates; it is made")
	flag.StringVar(&at, "at", "", "the world's present, RFC 3339 (default: now, to the second; then fedsite's clock has no offset)")
	flag.StringVar(&s.era, "era", "current", "release of OpenStack: mitaka, zed, current")
	flag.IntVar(&s.pageLimit, "page-limit", 1000, "Nova's longest page")
	flag.IntVar(&s.vms, "vms", 100_000, "VMs in all that exist at the start")
	flag.IntVar(&s.projects, "projects", 100, "projects, each with a VO")
	flag.IntVar(&s.large, "large", 0, "VMs in the first project, the others share the rest (default: 60 %, all of one project)")
	flag.IntVar(&s.users, "users", 1000, "distinct users of VMs")
	flag.IntVar(&s.flavors, "flavors", 40, "flavors")
	flag.IntVar(&s.images, "images", 20, "images")
	flag.IntVar(&s.endedBefore, "ended-before", 0, "VMs, beside the others, that ended in the hour before the start")
	flag.IntVar(&s.endedAfter, "ended-after", 0, "of the VMs, how many end in the hour after the start")
	flag.IntVar(&s.changedAfter, "changed-after", 0, "of the VMs, how many are stopped in the hour after the start")
	flag.IntVar(&s.months, "months", 1, "calendar months, the present one included, over which the VMs' creations spread and that are accounted (accounting.since)")
	flag.BoolVar(&s.offers, "offers", false, "flavors and images say what discovery publishes, as the federation's do, and each project has the same number of VMs")
	gocdbAs := flag.String("gocdb-as", "", "host as which GOCDB is reached by a proxy, for programs that ask it alone")
	delay := flag.Duration("delay", 0, "time that the cloud waits before each answer")
	receive := flag.Bool("receive", true, "verify messages and load them as the accounting server does; false only counts them")
	flag.Parse()
	if err := run(s, dir, at, *gocdbAs, *receive, *delay); err != nil {
		fmt.Fprintln(os.Stderr, "emulator:", err)
		os.Exit(1)
	}
}

// clock is the services': the machine's, and so far ahead of it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) offset() time.Duration { return time.Duration(c.ahead.Load()) }

func (c *clock) now() time.Time { return time.Now().UTC().Round(0).Add(c.offset()) }

func run(s shape, dir, at, gocdbAs string, receive bool, delay time.Duration) error {
	if dir == "" {
		return errors.New("name a directory with -dir")
	}
	if err := s.check(); err != nil {
		return err
	}
	var c clock
	start := c.now().Truncate(time.Second)
	if at != "" {
		wanted, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return fmt.Errorf("-at: %w", err)
		}
		c.ahead.Store(int64(wanted.Sub(start))) // whole seconds, as the configuration says them
		start = wanted.UTC()
	}
	w, owners := s.world(start)
	era, _ := openstack.EraNamed(s.era)
	asked := counters{delay: delay}
	cloud := openstack.New(w, c.now, openstack.Options{Era: era, PageLimit: s.pageLimit, Middleware: asked.count})
	server, err := cloud.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer server.Close()
	fed, err := federation.Start("127.0.0.1", c.now, siteName)
	if err != nil {
		return err
	}
	defer fed.Close() //nolint:errcheck // the process ends
	fed.Register(siteName, cloud.AuthURL())
	var messages atomic.Int64
	if !receive {
		fed.Broker.OnStored(func(broker.Stored) { messages.Add(1) })
	}
	f := files{dir: dir, cloud: cloud, fed: fed, clock: &c, world: w, since: s.since(start)}
	if err := f.write(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	control := &http.Server{Handler: controls(&asked, f, &messages), ReadHeaderTimeout: 10 * time.Second}
	defer control.Close()
	go control.Serve(l) //nolint:errcheck // ends with Close
	ready := Ready{
		Control: "http://" + l.Addr().String(), Dir: f.dir, Config: f.path(configFile), Clouds: f.path(cloudsFile), AuthURL: cloud.AuthURL(), Region: w.Region,
		GOCDB: fed.GOCDBURL(), CA: f.path("ca.pem"),
		At: start, Offset: c.offset().String(), VMs: s.vms, Users: owners, EndedSoon: s.endedAfter, ChangeSoon: s.changedAfter,
	}
	if gocdbAs != "" {
		proxy, stop, err := fed.Proxy(map[string]http.Handler{gocdbAs: fed.GOCDB})
		if err != nil {
			return err
		}
		defer stop()
		ready.Proxy = proxy
	}
	for _, p := range w.Projects {
		ready.Projects = append(ready.Projects, p.ID)
	}
	if err := json.NewEncoder(os.Stdout).Encode(ready); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
