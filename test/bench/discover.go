//go:build bench

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/test/bench/process"
)

// offers is what a cloud offers: to so many shares, all of them the same, of which each has some VMs.
type offers struct {
	shares, flavors, images int
	delay                   time.Duration // before each answer
}

const vmsPerShare = 10

// small is the cloud that the limit of requests is of: its answers take so long that requests, and how many are made at
// once, are what counts.
var small = offers{shares: 10, flavors: 30, images: 20, delay: 5 * time.Millisecond}

// parallel is fedsite's limits.parallel, as it is where nobody says otherwise: each service has so many requests at once.
const parallel = 4

// maxOfferMemory is what fedsite may use for the large cloud of 100 shares, 200 flavors and 500 images.
const maxOfferMemory = 600_000_000

// maxRequests is what a run may ask the cloud for: 9 requests of each share and 15 more; of a cloud whose flavors come
// without their extra specs, one more for each flavor.
func (o offers) maxRequests(era string) int64 {
	n := 9*o.shares + 15
	if era == "mitaka" {
		n += o.flavors
	}
	return int64(n)
}

// offering emulates the cloud.
func (b *bench) offering(ctx context.Context, o offers, era, dir string) (*emulator, error) {
	n := strconv.Itoa
	e, err := process.Serve(ctx, b.emulator, dir, "-offers", "-era", era, "-receive=false", "-delay", o.delay.String(),
		"-vms", n(o.shares*vmsPerShare), "-projects", n(o.shares), "-users", n(o.shares), "-flavors", n(o.flavors), "-images", n(o.images))
	return &emulator{e}, err
}

// publication is one run of `discovery publish`.
type publication struct {
	document int64 // its bytes
	measured
}

// publisher is fedsite with a state and a directory of documents of its own.
type publisher struct {
	b *bench
	e *emulator
	o offers

	config, state, documents string
	merged                   bool
}

// publisher makes one in dir, which publishes into a directory and for the information API.
func (b *bench) publisher(e *emulator, o offers, dir string, merged bool) (*publisher, error) {
	p := &publisher{b: b, e: e, o: o, merged: merged, config: filepath.Join(dir, "fedsite.yaml"), state: filepath.Join(dir, "state"), documents: filepath.Join(dir, "documents")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`site: {gocdb: BENCH-SITE}
clouds: [{name: main, credential: reader}]
credentials: {reader: {os_cloud: %s, clouds_file: %q}}
accounting: {mode: disabled}
discovery:
  mode: active
  merged: %v
  gocdb: {url: %q, network: {ca_file: %q}}
  publish: [{file: {path: %q}}, {api: {listen: "127.0.0.1:0"}}]
store: {path: %q}
`, world.Reader, e.Clouds, merged, e.GOCDB, e.CA, p.documents, p.state)
	return p, os.WriteFile(p.config, []byte(text), 0o600)
}

// publish runs fedsite once, and sees whether all that the cloud offers is in the document that it left.
func (p *publisher) publish(ctx context.Context) (c publication, err error) {
	if c.measured, err = p.e.run(ctx, p.b.fedsite, p.config, p.state, "discovery", "publish"); err != nil {
		return c, err
	}
	if c.counts["documents_published"] == 0 || c.counts["projects_asked"] != int64(p.o.shares) {
		return c, fmt.Errorf("not all is published: %v", c.counts)
	}
	name := filepath.Join(p.documents, glue.ObjectName("BENCH-SITE", p.e.AuthURL))
	f, err := os.Open(name)
	if err != nil {
		return c, err
	}
	defer f.Close() //nolint:errcheck // only read
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	c.document = info.Size()
	d, _, err := glue.Parse(f, glue.Limits{Bytes: 1 << 30})
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	copies := p.o.shares
	if p.merged {
		copies = 1
	}
	if len(d.Shares) != p.o.shares || len(d.InstanceTypes) != copies*p.o.flavors || len(d.Images) != copies*p.o.images {
		return c, fmt.Errorf("the document has %d shares, %d instance types, %d images", len(d.Shares), len(d.InstanceTypes), len(d.Images))
	}
	return c, nil
}

// judge compares the requests with the limit.
func (b *bench) judge(name, era string, o offers, c publication) {
	if most := o.maxRequests(era); c.Requests > most {
		b.fail("%s: %d requests for %d shares and %d flavors, at most %d: %v", name, c.Requests, o.shares, o.flavors, most, c.Kinds)
	}
}

// busiest gives the service that was asked most, and how often.
func (c publication) busiest() (service string, n int64) {
	by := map[string]int64{}
	for kind, count := range c.Kinds {
		service, _, _ := strings.Cut(kind, " ")
		by[service] += count
	}
	for s, count := range by {
		if count > n || count == n && s < service {
			service, n = s, count
		}
	}
	return service, n
}

// discovery measures what discovery publishes of a small cloud that is slow to answer, and of a large one.
func (b *bench) discovery(ctx context.Context, large offers) error {
	if err := b.slowCloud(ctx, filepath.Join(b.dir, "slow")); err != nil {
		return err
	}
	if large.shares == 0 {
		return nil
	}
	return b.largeCloud(ctx, large, filepath.Join(b.dir, "large-cloud"))
}

// slowCloud measures publishing of the small cloud, in the newest and in the oldest era.
func (b *bench) slowCloud(ctx context.Context, dir string) error {
	t := &table{title: fmt.Sprintf("DISCOVERY: %d shares, %d flavors, %d images; the cloud waits %s before each answer; %d projects at once", small.shares, small.flavors, small.images, small.delay, parallel),
		head: []string{"era, run", "ms", "requests", "at most", "at once", "requests ÷ parallel × delay", "busiest service's", "bare ms", "CPU ms", "VmHWM MB"}}
	for _, era := range []string{"current", "mitaka"} {
		if err := b.slowEra(ctx, era, filepath.Join(dir, era), t); err != nil {
			return fmt.Errorf("%s: %w", era, err)
		}
	}
	t.note("bare: the same requests again, each service %d at once, the answers read and thrown away", parallel)
	t.print(os.Stdout)
	return nil
}

func (b *bench) slowEra(ctx context.Context, era, dir string, t *table) (err error) {
	e, err := b.offering(ctx, small, era, filepath.Join(dir, "cloud"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	p, err := b.publisher(e, small, filepath.Join(dir, "fedsite"), false)
	if err != nil {
		return err
	}
	for _, name := range []string{"first", "nothing changed"} {
		c, err := p.publish(ctx)
		if err != nil {
			return err
		}
		b.judge(era+", "+name, era, small, c)
		bare, err := e.again(ctx)
		if err != nil {
			return err
		}
		service, n := c.busiest()
		least := func(n int64) string { return milliseconds(time.Duration(n) * small.delay / parallel) }
		t.row(era+", "+name, milliseconds(c.wall), whole(c.Requests), whole(small.maxRequests(era)), whole(c.Most[""]), least(c.Requests), fmt.Sprintf("%s (%s)", least(n), service), milliseconds(bare.took), milliseconds(c.cpu), megabytes(c.peak))
	}
	return nil
}

// largeCloud measures publishing of the large cloud, with an object for each share and with one for all.
func (b *bench) largeCloud(ctx context.Context, o offers, dir string) (err error) {
	e, err := b.offering(ctx, o, "current", filepath.Join(dir, "cloud"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	t := &table{title: fmt.Sprintf("DISCOVERY: %d shares, %d flavors, %d images; into a file and for the information API", o.shares, o.flavors, o.images),
		head: []string{"objects, run", "s", "CPU s", "VmHWM MB", "requests", "at most", "MB read", "cloud's s", "document MB", "database MB", "MB written"}}
	var bare again
	for _, merged := range []bool{false, true} {
		kind := map[bool]string{false: "one for each share", true: "merged"}[merged]
		p, err := b.publisher(e, o, filepath.Join(dir, kind), merged)
		if err != nil {
			return err
		}
		for _, name := range []string{"first", "nothing changed"} {
			name = kind + ", " + name
			c, err := p.publish(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			b.judge(name, "current", o, c)
			if c.peak > maxOfferMemory {
				b.fail("%d shares, %d flavors, %d images, %s: VmHWM is %s MB, at most %s", o.shares, o.flavors, o.images, name, megabytes(c.peak), megabytes(maxOfferMemory))
			}
			t.row(name, seconds(c.wall), seconds(c.cpu), megabytes(c.peak), whole(c.Requests), whole(o.maxRequests("current")), megabytes(c.Bytes), fmt.Sprintf("%.1f", c.Seconds),
				megabytes(c.document), megabytes(c.database), megabytes(c.written))
		}
		if !merged {
			if bare, err = e.again(ctx); err != nil {
				return err
			}
		}
	}
	t.note("bare: the same %s requests again, each service %d at once, their %s MB read and thrown away in %s s, CPU %s s", whole(int64(bare.requests)), parallel, megabytes(bare.bytes), seconds(bare.took), seconds(bare.cpu))
	t.print(os.Stdout)
	return nil
}
