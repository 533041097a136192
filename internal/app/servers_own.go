package app

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/directory"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/information"
	"github.com/fedsite/fedsite/protocol/glue"
)

// own gives a server the documents that this installation publishes there, as the database has them: any node serves what
// any node published.
type own struct {
	mu      sync.Mutex
	app     *App
	at      config.Site // of the configuration in force: the first site that names the server
	sinks   []ownSink
	served  map[string][]discovery.Served // by the sink's name
	parsed  map[[3]string]glue.Document   // by site, endpoint and digest with time
	version int
}

// set says whose documents are served from now on, and by which configuration.
func (o *own) set(a *App, w Server) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !slices.Equal(o.sinks, w.sinks) {
		o.version++
	}
	o.app, o.at, o.sinks = a, w.at, w.sinks
}

// through gives what a container is reached by: network and credentials of the configuration in force.
func (o *own) through() (*App, config.Site) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.app, o.at
}

// read reads what has changed, and gives all documents, with a version that changes with them.
func (o *own) read(ctx context.Context) ([]discovery.Served, string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []discovery.Served
	fresh := map[string][]discovery.Served{}
	for _, s := range o.sinks {
		if _, done := fresh[s.name]; done {
			continue
		}
		docs, changed, err := discovery.Serve(ctx, o.app.db, s.name, o.served[s.name])
		if err != nil {
			return nil, "", err
		}
		if changed {
			o.version++
		}
		fresh[s.name] = docs
		for _, d := range docs {
			if slices.Contains(o.sinks, ownSink{d.SiteID, s.name}) {
				all = append(all, d)
			}
		}
	}
	o.served = fresh
	return all, strconv.Itoa(o.version), nil
}

// published gives the documents as the information API takes them.
func (o *own) published(ctx context.Context) ([]information.Document, string, error) {
	served, version, err := o.read(ctx)
	if err != nil {
		return nil, "", err
	}
	all := make([]information.Document, len(served))
	for i, d := range served {
		all[i] = information.Document{Source: "fedsite", Name: d.Name, Body: d.Body, Own: true, Changed: d.Changed}
	}
	return all, version, nil
}

// Documents gives the documents as the LDAP server takes them.
func (o *own) Documents(ctx context.Context) ([]directory.Document, string, error) {
	served, version, err := o.read(ctx)
	if err != nil {
		return nil, "", err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	parsed := map[[3]string]glue.Document{}
	ended, now := 0, o.app.Now()
	all := make([]directory.Document, 0, len(served))
	for _, d := range served {
		key := [3]string{d.SiteID, d.Endpoint, d.Digest + d.Delivered.String()}
		doc, ok := o.parsed[key]
		if !ok {
			if doc, _, err = glue.Parse(bytes.NewReader(d.Body), glue.Limits{}); err != nil {
				o.app.opts.Log.Error("a published document cannot be read back: LDAP goes without it", "document", d.Name, "error", err)
				err = nil
				continue
			}
			doc = discovery.WithTraffic(doc)
		}
		parsed[key] = doc
		if past(doc, now) { // the site observes by now, or nothing could be published: who asks is not told what is no more
			ended++
			continue
		}
		all = append(all, directory.Document{Site: d.Site, Name: d.Name, Document: doc})
	}
	o.parsed = parsed
	return all, fmt.Sprintf("%s, %d ended", version, ended), nil
}

// past tells whether a document is older than it says that it counts.
func past(doc glue.Document, now time.Time) bool {
	for _, s := range doc.Services {
		if !s.CreationTime.IsZero() && s.Validity > 0 && now.After(s.CreationTime.Add(s.Validity)) {
			return true
		}
	}
	return false
}
