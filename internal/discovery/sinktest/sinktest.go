// Package sinktest is what every sink of discovery is held to.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/protocol/glue"
)

// Case is a kind of sink.
type Case struct {
	// New makes an empty place and a sink that publishes to it.
	New func(t *testing.T) Bed
	// Limit is how many bytes a document may have: a larger one is refused whole. 0 = 20 MB must go.
	Limit int
	// Final says that what was delivered cannot be taken back: the sink is no Remover. A Remover that says so fails.
	Final bool
}

// Bed is a sink under test, with what is behind it. All but Sink and Breaks may be nil.
type Bed struct {
	Sink discovery.Sink
	// Again gives another sink to the same place, as another process has it.
	Again func() discovery.Sink
	// Read gives the body that a reader finds for a publication's name, site and endpoint; false if there is none. A Remover
	// is asked by Held without it.
	Read func(t *testing.T, p discovery.Publication) ([]byte, bool)
	// Others gives in a fixed order all that is to be seen where the sink may reach, and is no document: half-written files,
	// what stands beside the directory or container.
	Others func(t *testing.T) []string
	// Breaks make the next delivery go wrong in a way of their own, such as cut in the middle. What they give undoes it.
	Breaks map[string]func(t *testing.T) (mend func())
}

// Document is a valid document of a site's endpoint with so many images, at an instant.
func Document(site, endpoint string, images int, at time.Time) glue.Document {
	service, manager, end := glue.NewService(endpoint, site), glue.NewManager(endpoint, ""), glue.NewEndpoint(endpoint, "", site)
	service.OtherInfo = glue.Info{{Name: "gocdb_id", Value: "16001G0"}}
	share := glue.NewShare(service.ID, end.ID, "ops", "p-ops")
	d := glue.Document{
		Services: []glue.Service{service}, Managers: []glue.Manager{manager}, Endpoints: []glue.Endpoint{end}, Shares: []glue.Share{share},
		MappingPolicies: []glue.MappingPolicy{glue.NewMappingPolicy(share.ID, "ops")},
		AccessPolicies:  []glue.AccessPolicy{glue.NewAccessPolicy(end.ID)},
	}
	for i := range images {
		d.Images = append(d.Images, glue.Image{Entity: glue.Entity{ID: fmt.Sprintf("image-%d", i), Name: "Ünïcode \"quoted\" <image>"},
			OSPlatform: "x86_64", OSFamily: "linux", DiskSize: new(int64(10)), AccessInfo: glue.AccessNone,
			Shares: []string{share.ID}, Endpoints: []string{end.ID}, Managers: []string{manager.ID}})
	}
	d.Summarize()
	for _, e := range entities(&d) {
		e.CreationTime, e.Validity = at, 12*time.Hour
	}
	return d
}

func entities(d *glue.Document) []*glue.Entity {
	all := []*glue.Entity{&d.Services[0].Entity, &d.Managers[0].Entity, &d.Endpoints[0].Entity, &d.Shares[0].Entity, &d.MappingPolicies[0].Entity, &d.AccessPolicies[0].Entity}
	for i := range d.Images {
		all = append(all, &d.Images[i].Entity)
	}
	return all
}

// Publication makes what a sink of the format is given of a document.
func Publication(t testing.TB, f discovery.Format, site, endpoint string, d glue.Document, at time.Time) discovery.Publication {
	t.Helper()
	body, err := discovery.Body(f, d, glue.ResourceBase())
	if err != nil {
		t.Fatal(err)
	}
	digest, err := discovery.Digest(d)
	if err != nil {
		t.Fatal(err)
	}
	return discovery.Publication{SiteID: "id of " + site, Site: site, Endpoint: endpoint, GOCDBKey: "16001G0", Name: discovery.NameOf(f, site, endpoint),
		Document: d, Body: body, Digest: digest, At: at}
}

// Endpoint is Keystone's URL in the suite's documents.
const Endpoint = "https://ks.example.org:5000/v3"

var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// bed is a sink in one test of the suite.
type bed struct {
	Bed
	t     *testing.T
	limit int
	final bool
}

// Run holds a kind of sink to all that is asked of sinks.
func Run(t *testing.T, c Case) {
	for _, s := range []struct {
		name string
		test func(*bed)
	}{
		{"delivers equal bytes", delivers},
		{"replaces", replaces},
		{"keeps two sites and endpoints apart", apart},
		{"does not hold on to what it was given", copies},
		{"takes no name out of its place", hostile},
		{"stops when told to", cancelled},
		{"is whole or not there when broken", broken},
		{"takes a large document or refuses it whole", large},
		{"takes several at once", parallel},
		{"shows readers whole documents while it replaces", reading},
		{"is one with another process", twice},
		{"holds and removes", removes},
	} {
		t.Run(s.name, func(t *testing.T) { s.test(&bed{Bed: c.New(t), t: t, limit: c.Limit, final: c.Final}) })
	}
}

// doc is a publication of a site, whose content is told from others by its number of images.
func (b *bed) doc(site string, images int) discovery.Publication {
	b.t.Helper()
	return Publication(b.t, b.Sink.Format(), site, Endpoint, Document(site, Endpoint, images, start), start)
}

func (b *bed) publish(all ...discovery.Publication) {
	b.t.Helper()
	for _, p := range all {
		if err := b.Sink.Publish(b.t.Context(), p); err != nil {
			b.t.Fatalf("publish %q: %v", p.Name, err)
		}
	}
}

// read gives what is published for p; false = nothing is, or nobody can tell.
func (b *bed) read(p discovery.Publication) ([]byte, bool) {
	b.t.Helper()
	if b.Read != nil {
		return b.Read(b.t, p)
	}
	r, ok := b.Sink.(discovery.Remover)
	if !ok {
		b.t.Fatal("a sink that is no Remover needs Read to be looked into")
	}
	body, err := r.Held(context.WithoutCancel(b.t.Context()), p.Name)
	if errors.Is(err, discovery.ErrNotHeld) {
		return nil, false
	}
	if err != nil {
		b.t.Fatalf("read %q: %v", p.Name, err)
	}
	return body, true
}

// holds fails the test unless exactly p's bytes are published.
func (b *bed) holds(p discovery.Publication) {
	b.t.Helper()
	got, ok := b.read(p)
	if !ok {
		b.t.Errorf("%q is not there", p.Name)
	} else if !bytes.Equal(got, p.Body) {
		b.t.Errorf("%q has %d bytes, not the %d that were published", p.Name, len(got), len(p.Body))
	}
}

// holdsOne fails the test unless what is published is wholly one of these; none = nothing may be.
func (b *bed) holdsOne(when string, p discovery.Publication, others ...discovery.Publication) {
	b.t.Helper()
	got, ok := b.read(p)
	if ok && !slices.ContainsFunc(append(others, p), func(o discovery.Publication) bool { return bytes.Equal(got, o.Body) }) {
		b.t.Errorf("%s: %q has %d bytes that nobody published", when, p.Name, len(got))
	}
	if !ok && len(others) > 0 {
		b.t.Errorf("%s: %q is gone", when, p.Name)
	}
}

func (b *bed) others() []string {
	b.t.Helper()
	if b.Others == nil {
		return nil
	}
	return b.Others(b.t)
}

// undisturbed fails the test when something beside the documents is otherwise than before.
func (b *bed) undisturbed(when string, before []string) {
	b.t.Helper()
	if d := cmp.Diff(before, b.others()); d != "" {
		b.t.Errorf("%s: beside the documents (-before +after):\n%s", when, d)
	}
}
