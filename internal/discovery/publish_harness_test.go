package discovery_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/discovery/sinktest"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// shelf is a sink in memory.
type shelf struct {
	name, place string
	mu          sync.Mutex
	held        map[string]string
	given       int // deliveries
	fail        error
	bad         bool           // takes what it is given, and shows something else
	after       func(n string) // called after each delivery
}

func newShelf(name string) *shelf { return &shelf{name: name, held: map[string]string{}} }

func (s *shelf) Name() string             { return s.name }
func (s *shelf) Place() string            { return s.place }
func (s *shelf) Format() discovery.Format { return discovery.JSON }

func (s *shelf) Publish(_ context.Context, p discovery.Publication) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	s.held[p.Name] = string(p.Body)
	s.given++
	if s.after != nil {
		s.after(p.Name)
	}
	return nil
}

func (s *shelf) Held(_ context.Context, name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.held[name]
	if !ok {
		return nil, discovery.ErrNotHeld
	}
	if s.bad {
		body = strings.ToUpper(body)
	}
	return []byte(body), nil
}

func (s *shelf) Remove(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	delete(s.held, name)
	return nil
}

func (s *shelf) names() []string { return slices.Sorted(maps.Keys(s.held)) }

// costly is a sink that wants unchanged documents only now and then.
type costly struct {
	*shelf
	every time.Duration
}

func (c costly) Every() time.Duration { return c.every }

// narrow is a sink that takes no more than so many bytes.
type narrow struct {
	*shelf
	most int
}

func (n narrow) Most() int { return n.most }

// plain is a sink that can take nothing away.
type plain struct{ discovery.Sink }

// desk is a site from which documents are published.
type desk struct {
	t      *testing.T
	db     *store.Store
	at     time.Time
	target *discovery.Target
	ctx    context.Context
	report run.Report
}

const (
	firstEP  = "https://one.example.org:5000/v3"
	secondEP = "https://two.example.org:5000/v3"
)

// newDesk is a desk of an active site, with the sinks it publishes to.
func newDesk(t *testing.T, cfg store.Config, sinks ...discovery.Sink) *desk {
	return newDeskOn(t, storetest.Open(t, cfg), sinks...)
}

func newDeskOn(t *testing.T, db *store.Store, sinks ...discovery.Sink) *desk {
	d := &desk{t: t, db: db, at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), ctx: t.Context()}
	d.target = &discovery.Target{Site: site.Site{ID: "s1", Name: "SITE.A"}, Settings: discovery.Settings{Mode: site.Active}, Sinks: sinks}
	return d
}

// other is the desk of another site on the same database.
func (d *desk) other(id, name string, sinks ...discovery.Sink) *desk {
	o := *d
	o.target = &discovery.Target{Site: site.Site{ID: id, Name: name}, Settings: d.target.Settings, Sinks: sinks}
	return &o
}

func (d *desk) deps() discovery.Deps {
	now := func() time.Time { return d.at }
	return discovery.Deps{Now: now, DB: d.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("test", now, nil)}
}

// doc is the document of an endpoint with so many images, as rendered now.
func (d *desk) doc(endpoint string, images int) discovery.Rendered {
	name := d.target.Site.Name
	return discovery.Rendered{Endpoint: endpoint, Site: name, GOCDBKey: "16001G0", Document: sinktest.Document(name, endpoint, images, d.at)}
}

// publish runs Publish, and lets half an hour pass.
func (d *desk) publish(o discovery.Publishing, docs ...discovery.Rendered) run.Report {
	d.t.Helper()
	deps := d.deps()
	if err := discovery.Publish(d.ctx, deps, d.target, docs, o); err != nil {
		d.t.Fatal(err)
	}
	d.report = deps.Run.Finish()
	d.at = d.at.Add(30 * time.Minute)
	return d.report
}

// clean fails the test unless the run before was done, with no problem.
func (d *desk) clean() {
	d.t.Helper()
	if d.report.Outcome != run.Done {
		d.t.Errorf("%s: %+v", d.report.Outcome, d.report.Problems)
	}
}

// says fails the test unless a problem has the words.
func (d *desk) says(words string) run.Problem {
	d.t.Helper()
	for _, p := range d.report.Problems {
		if strings.Contains(p.Object+": "+p.Reason, words) {
			return p
		}
	}
	d.t.Errorf("nothing says %q: %+v", words, d.report.Problems)
	return run.Problem{}
}

// remove runs RemoveGone with what is configured, from the sinks of the target.
func (d *desk) remove(r discovery.Removal) run.Report {
	d.t.Helper()
	if r.Sinks == nil {
		for _, s := range d.target.Sinks {
			r.Sinks = append(r.Sinks, discovery.RemovalSink{Sink: s, Delete: true})
		}
	}
	deps := d.deps()
	if err := discovery.RemoveGone(d.ctx, deps, r); err != nil {
		d.t.Fatal(err)
	}
	d.report = deps.Run.Finish()
	return d.report
}

// configured is an endpoint of the desk's site, published to all of its sinks.
func (d *desk) configured(endpoint string) discovery.Configured {
	c := discovery.Configured{SiteID: d.target.Site.ID, Site: d.target.Site.Name, Endpoint: endpoint}
	for _, s := range d.target.Sinks {
		c.Sinks = append(c.Sinks, s.Name())
	}
	return c
}

// rows gives the columns of a query, a line for each row.
func (d *desk) rows(columns int, query string) []string {
	d.t.Helper()
	var all []string
	err := d.db.Read(d.t.Context(), func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			values := make([]any, columns)
			for i := range values {
				values[i] = new(string)
			}
			if err := rows.Scan(values...); err != nil {
				return err
			}
			line := ""
			for _, v := range values {
				line += fmt.Sprint(*v.(*string), " ")
			}
			all = append(all, strings.TrimSpace(line))
		}
		return rows.Err()
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// kept gives which documents are stored, by their endpoint's host and number of images.
func (d *desk) kept() []string {
	all := d.rows(2, `SELECT endpoint, body FROM document ORDER BY endpoint, made`)
	for i, line := range all {
		host, body, _ := strings.Cut(strings.TrimPrefix(line, "https://"), ".")
		all[i] = fmt.Sprintf("%s %d", host, strings.Count(body, `"image-`))
	}
	return all
}

func nameOf(siteName, endpoint string) string {
	return discovery.NameOf(discovery.JSON, siteName, endpoint)
}
