package discovery

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

const (
	downtimesBack = 6 * time.Hour // how long those that are over are told
	mostDowntimes = 50            // of an endpoint; those that begin first
	longestReport = 300           // bytes of what a site wrote
)

// Downtime is one of a site's downtimes in GOCDB.
type Downtime struct {
	ID          string // GOCDB's number of it
	Outage      bool   // nothing works; else it is at risk
	Start, End  time.Time
	Description string    `json:",omitempty"` // what the site wrote, on one line
	Page        string    `json:",omitempty"` // where people see it
	Clouds      []string  `json:"-"`          // names of those whose endpoint is in it; nil = all of the target
	Asked       time.Time `json:"-"`          // when GOCDB said so
}

// Downtimes gives the downtimes of a site that are going on, planned, or over for less than six hours, as GOCDB has told of
// them last, by their beginning. The target must have all clouds of the site. It asks nobody.
func Downtimes(ctx context.Context, db *store.Store, t *Target, now time.Time) ([]Downtime, error) {
	var kept map[string]enrolled
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		kept, err = answers(tx, t.Site.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	in := map[string]Downtime{}
	endpoints := map[string][]string{}
	for ep, e := range kept {
		for _, d := range e.downtimes.Value {
			if !d.End.After(now.Add(-downtimesBack)) {
				continue
			}
			endpoints[d.ID] = append(endpoints[d.ID], ep)
			d.Asked = e.downtimes.At
			if o, ok := in[d.ID]; !ok || d.Asked.After(o.Asked) { // an endpoint that was asked for later knows better
				in[d.ID] = d
			}
		}
	}
	var all []Downtime
	for id, d := range in {
		var clouds []string
		for _, c := range t.Clouds {
			if slices.Contains(endpoints[id], c.EP) {
				clouds = append(clouds, c.Cloud.Name)
			}
		}
		if len(clouds) == 0 { // of an endpoint that the site has no more
			continue
		}
		if len(clouds) < len(t.Clouds) {
			d.Clouds = clouds
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Downtime) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID)) })
	return all, nil
}

// downtimes asks GOCDB for the downtimes of the endpoints that were found.
func (r *registrar) downtimes(ctx context.Context) error {
	name := r.name // as GOCDB has it
	for _, e := range r.found {
		if e.service.Site != "" {
			name = e.service.Site
		}
	}
	all, odd, err := r.t.Registry.Downtimes(ctx, gocdb.Query{Site: name, Type: gocdb.Nova, AllScopes: true}, r.now.Add(-downtimesBack))
	if err != nil {
		return err
	}
	r.odd("downtimes", odd)
	slices.SortStableFunc(all, func(a, b gocdb.Downtime) int { return a.Start.Compare(b.Start) })
	for ep, e := range r.found {
		e.downtimes = Known[[]Downtime]{At: r.now}
		for _, d := range all {
			if affects(d, e.service, ep) && len(e.downtimes.Value) < mostDowntimes {
				e.downtimes.Value = append(e.downtimes.Value, Downtime{ID: d.ID, Outage: d.Severity == gocdb.Outage, Start: d.Start.UTC(), End: d.End.UTC(),
					Description: strings.TrimSpace(run.Line(d.Description, longestReport)), Page: run.Line(d.Page, longestReport)})
			}
		}
		r.found[ep] = e
	}
	return nil
}

// affects tells whether an endpoint is in a downtime: as the service that it is, or, where that is not known, by its host.
func affects(d gocdb.Downtime, s gocdb.Service, ep string) bool {
	if s.Key != "" {
		return d.Affects(s, ep)
	}
	u, err := url.Parse(ep)
	return err == nil && slices.ContainsFunc(d.Services, func(a gocdb.Affected) bool { return strings.EqualFold(a.Host, u.Hostname()) })
}
