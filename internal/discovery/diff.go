package discovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/glue"
)

// ChangedDocument says what publishing a document would change at a sink.
type ChangedDocument struct {
	Endpoint, Site string
	Sink, Name     string        // Name is the one that it would have there
	Since          time.Time     // when the sink got what it has; zero = it has nothing of the endpoint
	FormerName     string        // by which it has it; "" = the same
	Changes        []glue.Change // by object, against that; all are added where it has nothing
}

// Changed tells whether the sink's readers would see anything else but newer times.
func (c ChangedDocument) Changed() bool {
	return c.Since.IsZero() || c.FormerName != "" || len(c.Changes) > 0
}

// Changes compares documents with what each sink of the target has: what changed since the last publication, object by
// object. Nothing is published. A sink whose deliveries are not noted, such as stdout, is passed over.
func Changes(ctx context.Context, d Deps, t *Target, docs []Rendered) ([]ChangedDocument, error) {
	var all []ChangedDocument
	rows, err := publications(ctx, d.DB, `site = $1 AND replaced = 0`, t.Site.ID)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		digest, err := Digest(doc.Document)
		if err != nil {
			return nil, err
		}
		changes, err := changesOf(ctx, d, t, t.Sinks, rows, doc, digest)
		if err != nil {
			return nil, err
		}
		all = append(all, changes...)
	}
	return all, nil
}

// changesOf compares one document with what each sink has.
func changesOf(ctx context.Context, d Deps, t *Target, sinks []Sink, rows []published, doc Rendered, digest string) ([]ChangedDocument, error) {
	var all []ChangedDocument
	byDigest := map[string][]glue.Change{digest: nil}
	for _, s := range sinks {
		if _, ok := s.(interface{ unnoted() }); ok {
			continue
		}
		c := ChangedDocument{Endpoint: doc.Endpoint, Site: doc.Site, Sink: s.Name(), Name: NameOf(s.Format(), doc.Site, doc.Endpoint)}
		var has published
		for _, r := range rows {
			if r.endpoint == doc.Endpoint && r.sink == c.Sink && r.place == placeOf(s) {
				has = r
			}
		}
		if has.digest != "" {
			c.Since = fromMilli(has.delivered)
			if has.name != c.Name {
				c.FormerName = has.name
			}
		}
		changes, ok := byDigest[has.digest]
		if !ok {
			var err error
			if changes, err = changesSince(ctx, d, t.Site.ID, has.digest, doc); err != nil {
				return nil, err
			}
			byDigest[has.digest] = changes
		}
		c.Changes = changes
		all = append(all, c)
	}
	return all, nil
}

// changesSince compares a document with one that was published. Both are read from their JSON, so that what JSON does not
// show is no change.
func changesSince(ctx context.Context, d Deps, siteID, digest string, doc Rendered) ([]glue.Change, error) {
	var from glue.Document
	if digest != "" {
		body, err := storedBody(ctx, d.DB, siteID, doc.Endpoint, digest)
		if err == nil {
			from, _, err = glue.Parse(bytes.NewReader(body), glue.Limits{})
		}
		if err != nil && !errors.Is(err, ErrNotHeld) {
			return nil, fmt.Errorf("what was published of %s: %w", doc.Endpoint, err)
		}
	}
	body, err := Body(JSON, doc.Document, nil)
	if err != nil {
		return nil, err
	}
	to, _, err := glue.Parse(bytes.NewReader(body), glue.Limits{})
	if err != nil {
		return nil, fmt.Errorf("document of %s: %w", doc.Endpoint, err)
	}
	return glue.Diff(from, to), nil
}

// would reports what publishing would change, a line for each document and sink.
func (p *publisher) would(ctx context.Context, sinks []Sink, docs []*preparedDocument) error {
	if len(docs) == 0 {
		return nil
	}
	rows, err := publications(ctx, p.d.DB, `site = $1 AND replaced = 0`, p.t.Site.ID)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		p.d.Run.Count("documents_not_handed_over", 1)
		changes, err := changesOf(ctx, p.d, p.t, sinks, rows, doc.Rendered, doc.digest)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.Changed() {
				p.d.Run.Count("documents_would_change", 1)
				p.problem(documentOf(doc.Endpoint), run.Problem{Notice: true, Reason: c.summary()})
			}
		}
	}
	return nil
}

// summary is what would change in one line.
func (c ChangedDocument) summary() string {
	n := map[glue.Kind]int{}
	for _, x := range c.Changes {
		n[x.Kind]++
	}
	switch {
	case c.Since.IsZero():
		return fmt.Sprintf("would be published to %s for the first time, as %s: %d objects", c.Sink, c.Name, n[glue.Added])
	case c.FormerName != "":
		return fmt.Sprintf("would be published to %s as %s instead of %s: %d objects added, %d changed, %d removed", c.Sink, c.Name, c.FormerName, n[glue.Added], n[glue.Changed], n[glue.Removed])
	}
	return fmt.Sprintf("would be published to %s anew: %d objects added, %d changed, %d removed", c.Sink, n[glue.Added], n[glue.Changed], n[glue.Removed])
}
