package demo

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/run"
)

// Offers is what was published of the cloud.
type Offers struct {
	Report    run.Report
	Endpoints []discovery.EndpointStatus
	File      string    // of the document
	Episodes  []Episode // what faults of GOCDB did
}

// Publish asks the cloud what it offers to each VO, and publishes it: into a directory, and for the servers of fedsite.
func (d *Demo) Publish(ctx context.Context) (Offers, error) {
	a, err := d.open(ctx)
	if err != nil {
		return Offers{}, err
	}
	defer a.Close() //nolint:errcheck // the demo's own state
	sites, err := a.Sites("")
	if err != nil {
		return Offers{}, err
	}
	var o Offers
	for _, n := range d.unasked {
		e, err := d.silence(ctx, a, sites, n)
		if err != nil {
			return o, err
		}
		o.Episodes = append(o.Episodes, e)
	}
	if o.Report, err = offer(ctx, a, sites); err != nil {
		return o, err
	}
	if o.Report.Outcome == run.Failed {
		return o, failure(o.Report, d.clock.now())
	}
	status, err := a.OfferStatus(ctx, sites[0])
	if err != nil {
		return o, err
	}
	o.Endpoints = status.Endpoints
	for _, e := range o.Endpoints {
		o.File = filepath.Join(d.Dir, publishedDir, discovery.NameOf(discovery.JSON, SiteName, e.EP))
	}
	return o, nil
}

// offer publishes once.
func offer(ctx context.Context, a *app.App, sites []config.Site) (run.Report, error) {
	r := a.Publish(ctx, sites, app.PublishOptions{})[0]
	return r.Report, r.Err
}

// silence lets a fault strike what GOCDB is asked when the offers are published, once GOCDB has answered before.
func (d *Demo) silence(ctx context.Context, a *app.App, sites []config.Site, n faults.Named) (Episode, error) {
	e := Episode{Name: n.Name, Text: n.Text, At: d.clock.now()}
	before, err := offer(ctx, a, sites)
	if err != nil {
		return e, err
	}
	struck := d.Federation.Faults.Struck()
	t := trouble{Named: n}
	if err := d.arm(t, e.At); err != nil {
		return e, err
	}
	fresh, err := d.open(ctx) // which has no answer of GOCDB at hand
	if err != nil {
		return e, err
	}
	defer fresh.Close() //nolint:errcheck // the demo's own state
	r, err := offer(ctx, fresh, sites)
	d.Federation.Faults.Clear()
	if err != nil {
		return e, err
	}
	e.Struck = d.Federation.Faults.Struck() - struck
	e.Runs = []string{"publish " + string(before.Outcome), "publish " + string(r.Outcome)}
	e.Said, e.Next = r.Problems, []run.Problem{}
	return e, nil
}

// ServeDocuments serves what was published over LDAP and as the information API, each at a port of its own, until the
// context ends or stop is called.
func (d *Demo) ServeDocuments(ctx context.Context) (ldap, api net.Addr, stop func(), err error) {
	a, err := d.open(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	stops := []func(){func() { _ = a.Close() }} // the demo's own state
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	begin := func(kind string) (addr net.Addr) {
		if err != nil {
			return nil
		}
		var end func()
		if addr, end, err = a.ServeDocuments(ctx, kind, "127.0.0.1:0"); err == nil {
			stops = append(stops, end)
		}
		return addr
	}
	ldap, api = begin(config.SinkLDAP), begin(config.SinkAPI)
	if err != nil {
		stop()
		return nil, nil, nil, err
	}
	return ldap, api, stop, nil
}

// publishedDir is where the documents are, in the demo's directory.
const publishedDir = "published"

// freePort gives a port on loopback that nobody has now, for a service that is started later.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() //nolint:errcheck // nothing was written
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// offering is discovery's part of the configuration.
func (d *Demo) offering(p func(format string, args ...any), file func(string) string) {
	p("discovery:")
	p("  mode: active")
	p("  gocdb: {url: %q, network: {ca_file: %s}}", d.Federation.GOCDBURL(), file("ca.pem"))
	p("  publish:")
	p("    - {file: {path: %s}}", file(publishedDir))
	p("    - {api: {listen: %q}}", fmt.Sprintf("127.0.0.1:%d", d.apiPort))
	p("    - {ldap: {listen: %q}}", fmt.Sprintf("127.0.0.1:%d", d.ldapPort))
}
