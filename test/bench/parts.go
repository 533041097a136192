//go:build bench

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/fedsite/fedsite/test/bench/process"
)

// The site, beside its VMs: 60 % of them are in one project. Within the hour some end, and some are stopped.
const (
	projects = 100
	users    = 1000
	perStep  = 400 // VMs whose rows one transaction of fedsite writes
)

func ended(vms int) int   { return vms / 5 }
func stopped(vms int) int { return vms / 100 }

// later names the collection after the hour in which something happens.
func later(vms int) string {
	return fmt.Sprintf("1 h later, %s ended, %s stopped", whole(int64(ended(vms))), whole(int64(stopped(vms))))
}

// maxMemory is what fedsite may use for the usual site, and maxGrowth how many times that for the large one.
const (
	maxMemory = 150_000_000
	maxGrowth = 1.2
)

// maxRequests is what a collection may ask for at most: 3 requests per 1,000 VMs, 10 per project, and one per distinct
// user.
func (e *emulator) maxRequests(vms int) int64 {
	return int64(3*((vms+999)/1000) + 10*len(e.Projects) + e.Users)
}

// collection is one run of `accounting collect`.
type collection struct {
	name    string
	records int   // that are new or changed by it: one per VM that lived since the one before
	most    int64 // requests
	measured
}

// start emulates the site.
func (b *bench) start(ctx context.Context, dir string, vms int) (*emulator, error) {
	n := strconv.Itoa
	e, err := process.Serve(ctx, b.emulator, dir, "-at", at, "-receive=false", "-vms", n(vms), "-projects", n(projects), "-users", n(users), "-ended-after", n(ended(vms)), "-changed-after", n(stopped(vms)))
	return &emulator{e}, err
}

// collect runs one collection, and sees whether it did what it should with what it may ask.
func (b *bench) collect(ctx context.Context, e *emulator, name string, records int) (collection, error) {
	m, err := e.fedsite(ctx, b.fedsite, "accounting", "collect")
	c := collection{name, records, e.maxRequests(records), m}
	if err != nil {
		return c, fmt.Errorf("%s: %w", name, err)
	}
	if got := m.counts["records_changed"]; got != int64(records) {
		return c, fmt.Errorf("%s: %d records are new or changed, of %d", name, got, records)
	}
	if m.Requests > c.most {
		b.fail("%s: %d requests for %d VMs, %d projects and %d users, at most %d: %v", name, m.Requests, records, projects, e.Users, c.most, m.Kinds)
	}
	return c, nil
}

// row puts the collection into a table.
func (c collection) row(t *table) {
	t.row(c.name, whole(int64(c.records)), whole(c.counts["vms_seen"]), seconds(c.wall), rate(c.records, c.wall), seconds(c.cpu), whole(c.cpu.Microseconds()/int64(c.records)),
		whole(c.Requests), whole(c.most), megabytes(c.Bytes), fmt.Sprintf("%.1f", c.Seconds), megabytes(c.peak), megabytes(c.database), megabytes(c.written))
}

func collecting(title string) *table {
	return &table{title: title, head: []string{"collection", "VMs", "sightings", "s", "VMs/s", "CPU s", "CPU µs/VM", "requests", "at most", "MB read", "cloud's s", "VmHWM MB", "database MB", "MB written"}}
}

// site measures a site's first collection and two more, an hour later each, and the sending of their records.
func (b *bench) site(ctx context.Context, dir string, vms int) (peak int64, err error) {
	e, err := b.start(ctx, dir, vms)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.Close(), os.RemoveAll(dir)) }()
	t := collecting(fmt.Sprintf("COLLECTING: %s VMs, 60 %% of them in one of %d projects, %s users, Nova's pages of 1,000", whole(int64(vms)), projects, whole(users)))
	s := &table{title: "SENDING: messages of 100 records, signed with RSA 2048; the receiver's work left out",
		head: []string{"run", "messages", "records", "s", "messages/s", "CPU s", "requests", "MB sent", "VmHWM MB", "database MB", "MB written"}}
	var sent measured
	for i, step := range []struct {
		name    string
		records int
		send    string
	}{
		{"first", vms, "first"},
		{later(vms), vms, "all records anew"},
		{"1 h later, nothing happened", vms - ended(vms), ""},
	} {
		if i > 0 {
			if err := e.Control("POST", "/advance?by=1h", nil); err != nil {
				return 0, err
			}
		}
		c, err := b.collect(ctx, e, step.name, step.records)
		if err != nil {
			return 0, err
		}
		c.row(t)
		peak = max(peak, c.peak)
		if step.send == "" {
			continue
		}
		m, err := b.send(ctx, e, step.send, vms, s)
		if err != nil {
			return 0, err
		}
		peak = max(peak, m.peak)
		if i == 0 {
			sent = m
		}
	}
	if peak > maxMemory {
		b.fail("%d VMs: VmHWM is %s MB, at most %s", vms, megabytes(peak), megabytes(maxMemory))
	}
	if err := b.bareCollecting(ctx, e, vms, t); err != nil {
		return 0, err
	}
	t.print(os.Stdout)
	if err := b.bareSending(ctx, sent, s); err != nil {
		return 0, err
	}
	s.print(os.Stdout)
	return peak, nil
}

// send sends what waits, and sees whether all of it went.
func (b *bench) send(ctx context.Context, e *emulator, name string, records int, t *table) (measured, error) {
	m, err := e.fedsite(ctx, b.fedsite, "accounting", "send", "--yes")
	if err != nil {
		return m, err
	}
	if m.counts["records_sent"] != int64(records) || m.counts["messages_sent"] != m.Messages {
		return m, fmt.Errorf("sending, %s: %v, and the broker has %d messages of %d records", name, m.counts, m.Messages, records)
	}
	t.row(name, whole(m.Messages), whole(m.counts["records_sent"]), seconds(m.wall), rate(m.Messages, m.wall), seconds(m.cpu), whole(m.Broker), megabytes(m.counts["bytes_sent"]), megabytes(m.peak), megabytes(m.database), megabytes(m.written))
	return m, nil
}

// bareCollecting tells what the least of a collection takes on this machine: the reading, and the writing of as much.
func (b *bench) bareCollecting(ctx context.Context, e *emulator, vms int, t *table) error {
	l, err := e.list(ctx)
	if err != nil {
		return err
	}
	commits := vms / perStep
	took, err := commit(ctx, b.dir, commits, perStep, 1000)
	if err != nil {
		return err
	}
	t.note("bare: %d pages of one project, %s MB, read one after the other in %s s, and thrown away", l.pages, megabytes(l.bytes), seconds(l.took))
	t.note("bare: %s rows of 1 kB in %d transactions of fedsite's store in %s s", whole(int64(commits*perStep)), commits, seconds(took))
	return nil
}

// bareSending tells what the least of sending takes on this machine: a signature and two commits for each message, one
// after the other.
func (b *bench) bareSending(ctx context.Context, sent measured, t *table) error {
	n := int(sent.Messages)
	signing, err := sign(n)
	if err != nil {
		return err
	}
	committing, err := commit(ctx, b.dir, 2*n, 1, 10)
	if err != nil {
		return err
	}
	least := signing + committing
	t.note("bare: %s signatures in %s s (%s/s), and %s commits of fedsite's store in %s s (%s/s)", whole(int64(n)), seconds(signing), rate(n, signing), whole(int64(2*n)), seconds(committing), rate(2*n, committing))
	t.note("the first sending took %.2f times as long as these", sent.wall.Seconds()/least.Seconds())
	return nil
}

// large measures the same with several times as many VMs: memory must not grow with them.
func (b *bench) large(ctx context.Context, usual int64) (err error) {
	vms, dir := b.vms*b.times, filepath.Join(b.dir, "large")
	e, err := b.start(ctx, dir, vms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	t := collecting(fmt.Sprintf("MEMORY: %d times as many VMs", b.times))
	var peak int64
	for i, name := range []string{"first", later(vms)} {
		if i > 0 {
			if err := e.Control("POST", "/advance?by=1h", nil); err != nil {
				return err
			}
		}
		c, err := b.collect(ctx, e, name, vms)
		if err != nil {
			return err
		}
		c.row(t)
		peak = max(peak, c.peak)
	}
	growth := float64(peak) / float64(usual)
	t.note("VmHWM is %s MB, %.2f times that of the usual site, %s MB; at most %.1f times", megabytes(peak), growth, megabytes(usual), maxGrowth)
	if growth > maxGrowth {
		b.fail("%d times as many VMs: VmHWM grows %.2f times, from %s to %s MB, at most %.1f times", b.times, growth, megabytes(usual), megabytes(peak), maxGrowth)
	}
	t.print(os.Stdout)
	return nil
}
