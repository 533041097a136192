package discovery

import (
	"context"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/site"
)

// Run is one run of discovery for a site: it asks the clouds and GOCDB, keeps what they say, makes the documents and
// publishes them. What goes wrong with one share, listing, document or sink is reported, and the rest goes on; the error is
// only for what spoils the whole run.
func Run(ctx context.Context, d Deps, t *Target, o Publishing) error {
	catalogs, err := Take(ctx, d, t)
	if err != nil || t.Settings.Mode == site.Disabled {
		return err
	}
	if err := Enrol(ctx, d, t, catalogs); err != nil {
		return err
	}
	docs, all := documents(t, catalogs)
	if err := keepStatus(ctx, d, t, d.Now(), all); err != nil {
		return err
	}
	for _, s := range all {
		d.Run.Count("images", int64(s.Images))
		d.Run.Count("flavors", int64(s.InstanceTypes))
	}
	return Publish(ctx, d, t, docs, o)
}

// Enrol puts into the catalogs how their endpoints stand in GOCDB.
func Enrol(ctx context.Context, d Deps, t *Target, catalogs []Catalog) error {
	var wanted []Wanted
	for _, c := range catalogs {
		wanted = append(wanted, Wanted{EP: c.EP, Key: t.keyOf(c.EP)})
	}
	found, err := Register(ctx, d, t, wanted)
	if err != nil {
		return err
	}
	for i := range catalogs {
		catalogs[i].Registration = found[catalogs[i].EP]
	}
	return nil
}

// keyOf gives the key in GOCDB that the configuration gives an endpoint; "" = it is looked up.
func (t *Target) keyOf(ep string) string {
	for _, c := range t.Clouds {
		if c.EP == ep && c.GOCDBKey != "" {
			return c.GOCDBKey
		}
	}
	return ""
}

// Documents makes the documents of the catalogs as they are published: of an active site without the shares that only
// observe; of others with all.
func Documents(t *Target, catalogs []Catalog) []Rendered {
	docs, _ := documents(t, catalogs)
	return docs
}

// documents gives with each document how all shares of its catalog are, those too that are not in it.
func documents(t *Target, catalogs []Catalog) (docs []Rendered, status []EndpointStatus) {
	for _, c := range catalogs {
		doc, findings := Render(c, t.Settings.Rendering)
		status = append(status, StatusOf(c, doc, len(findings)))
		published, observe := active(c, t.Settings.Mode)
		if !observe && shares(published) < shares(c) { // a large document is not made twice for nothing
			doc, findings = Render(published, t.Settings.Rendering)
		}
		docs = append(docs, Rendered{Endpoint: c.EP, Site: c.Site, GOCDBKey: c.Registration.Value.Key, Document: doc, Findings: findings, Observe: observe, Unknown: unknown(published, t.Settings.KeepFor)})
	}
	return docs, status
}

// shares counts a catalog's regions and shares.
func shares(c Catalog) int {
	n := len(c.Regions)
	for _, r := range c.Regions {
		n += len(r.Shares)
	}
	return n
}

// unknown tells why a document would say nothing of any share though there are, or may be, some: the cloud could not be asked,
// and nothing is kept, as after a database was lost. When that has lasted for as long as what is known is kept, it is how
// things are: then it is "".
func unknown(c Catalog, keepFor time.Duration) string {
	var first *Trouble
	note := func(t *Trouble) {
		if t != nil && (first == nil || t.Since.Before(first.Since)) {
			first = t
		}
	}
	for _, r := range c.Regions {
		note(r.Trouble)
		for _, s := range r.Shares {
			if s.Offer.IsKnown() {
				return ""
			}
			for _, t := range s.Offer.Troubles() {
				note(&t)
			}
		}
	}
	if first == nil || c.Made.Sub(first.Since) >= keepFor {
		return ""
	}
	return "nothing is known of any share: " + first.String()
}

// active gives what is published of a catalog, and whether that only observes.
func active(c Catalog, mode site.Mode) (Catalog, bool) {
	if mode != site.Active || !slices.ContainsFunc(c.Regions, func(r Region) bool { return r.Mode == site.Active }) {
		return c, true
	}
	regions := c.Regions
	c.Regions = nil
	for _, r := range regions {
		if r.Mode != site.Active {
			continue
		}
		r.Shares = slices.DeleteFunc(slices.Clone(r.Shares), func(s Share) bool { return s.Mode != site.Active })
		c.Regions = append(c.Regions, r)
	}
	return c, false
}

// Recall gives the catalogs as they were last taken, with how their endpoints last stood in GOCDB; nobody is asked.
func Recall(ctx context.Context, d Deps, t *Target) ([]Catalog, error) {
	catalogs, err := Last(ctx, d, t)
	if err != nil {
		return nil, err
	}
	answered, err := keptAnswers(ctx, d, t.Site.ID)
	if err != nil {
		return nil, err
	}
	for i := range catalogs {
		c := &catalogs[i]
		c.Registration = answered[c.EP].registration
		if key := t.keyOf(c.EP); key != "" {
			c.Registration.Value.Key = key
		}
	}
	return catalogs, nil
}

// Publishes tells whether documents of one of the target's clouds are handed to sinks.
func Publishes(t *Target, c CloudTarget) bool {
	return site.Lowest(t.Settings.Mode, c.Mode) == site.Active
}
