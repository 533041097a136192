package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/glue"
)

// Rendered is a document that is to be published, with what it is of.
type Rendered struct {
	Endpoint string // Keystone's URL
	Site     string // name in GOCDB
	GOCDBKey string // "" = not known
	Document glue.Document
	Findings []glue.Finding // of rendering
	Observe  bool           // nothing of it is active: it is not handed to any sink
	Unknown  string         // why it says nothing of any share, where it should: what was published before is better; "" = it does
}

// Publishing says how documents are published.
type Publishing struct {
	To     string // a sink's name; "" = all
	DryRun bool   // hands nothing to any sink
}

// Publish hands each document to each sink of the target, and notes what each of them has. A document goes with every run,
// so that it never becomes old while fedsite runs and comes back where somebody removed it; a Sparing sink gets it when it
// says something else, and now and then. A document with a fatal finding is not published: the last one stays where it is. A
// sink that fails is reported and the others go on; the error is only for what spoils the whole run.
//
// A process that ends between a delivery and its note delivers again with the next run. When the target observes, the
// report says what would have changed.
func Publish(ctx context.Context, d Deps, t *Target, docs []Rendered, o Publishing) error {
	if t.Settings.Mode == site.Disabled {
		return nil
	}
	d.Run.Step("publish")
	sinks, err := chosenSinks(t, o.To)
	if err != nil {
		d.Run.Fail(run.Problem{Site: t.Site.Name, Object: "sink " + o.To, Step: "publish", Permanent: true, Exit: run.ExitUsage, Reason: err.Error(), Hint: "see publish: in the configuration"})
		return nil
	}
	p := &publisher{d: d, t: t, at: d.Now()}
	prepared, err := p.prepare(docs)
	if err != nil {
		return err
	}
	var handed, kept []*preparedDocument
	for _, doc := range prepared {
		if o.DryRun || t.Settings.Mode != site.Active || doc.Observe {
			kept = append(kept, doc)
		} else {
			handed = append(handed, doc)
		}
	}
	if err := p.would(ctx, sinks, kept); err != nil {
		return err
	}
	if len(sinks) == 0 {
		p.problem("sinks", run.Problem{Reason: "nothing is published: no sink is configured", Hint: "name one under discovery.publish", Notice: len(handed) == 0})
	}
	if err := p.hand(ctx, sinks, handed); err != nil {
		return err
	}
	p.tell()
	return nil
}

// chosenSinks gives the sinks to publish to.
func chosenSinks(t *Target, to string) ([]Sink, error) {
	if to == "" {
		return t.Sinks, nil
	}
	var names []string
	for _, s := range t.Sinks {
		if s.Name() == to {
			return []Sink{s}, nil
		}
		names = append(names, s.Name())
	}
	return nil, fmt.Errorf("there is no sink %q; there are: %s", to, strings.Join(names, ", "))
}

// publisher publishes the documents of one target in one run.
type publisher struct {
	d  Deps
	t  *Target
	at time.Time

	mu     sync.Mutex
	done   int           // documents that a sink has, or need not get again
	failed []run.Problem // documents, or sinks
}

// preparedDocument is a document that may go out, with what is computed of it once.
type preparedDocument struct {
	Rendered
	digest string
	size   int // bytes in JSON, about

	mu     sync.Mutex
	bodies map[string][]byte // by format and base
}

// body gives the document in a sink's format.
func (p *preparedDocument) body(s Sink) ([]byte, error) {
	base := glue.ResourceBase()
	if r, ok := s.(Rooted); ok {
		base = r.Base(p.Site)
	}
	return p.as(s.Format(), base)
}

// as gives the document in a format, which is written once.
func (p *preparedDocument) as(f Format, base glue.DN) ([]byte, error) {
	key := string(f)
	if f == LDIF {
		key += " " + base.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.bodies[key]; b != nil {
		return b, nil
	}
	b, err := bodyOf(f, p.Document, base, p.size)
	if err == nil {
		p.bodies[key] = b
	}
	return b, err
}

// prepare validates the documents, and gives those that may go out.
func (p *publisher) prepare(docs []Rendered) ([]*preparedDocument, error) {
	var all []*preparedDocument
	for _, doc := range docs {
		p.d.Run.Count("documents", 1)
		if doc.Unknown != "" {
			p.d.Run.Count("documents_refused", 1)
			p.refuse(doc, run.Problem{Object: documentOf(doc.Endpoint), Reason: "not published, and what was published before stays: " + doc.Unknown, Hint: "what is said of the cloud tells what to do"})
			continue
		}
		if !p.valid(doc) {
			continue
		}
		digest, size, err := digestOf(doc.Document)
		if err != nil {
			return nil, fmt.Errorf("document of %s: %w", doc.Endpoint, err)
		}
		all = append(all, &preparedDocument{Rendered: doc, digest: digest, size: size, bodies: map[string][]byte{}})
	}
	return all, nil
}

// valid tells whether a document may go out, and reports what is wrong with it, a line for each level.
func (p *publisher) valid(doc Rendered) bool {
	var all []glue.Finding
	seen := map[glue.Finding]bool{}
	for _, f := range append(doc.Findings[:len(doc.Findings):len(doc.Findings)], glue.Validate(doc.Document)...) {
		if !seen[f] {
			seen[f] = true
			all = append(all, f)
		}
	}
	var n [glue.LevelFatal + 1]int64
	var first [glue.LevelFatal + 1]glue.Finding
	for _, f := range all {
		l := min(max(f.Level, glue.LevelWarning), glue.LevelFatal)
		if n[l]++; n[l] == 1 {
			first[l] = f
		}
	}
	said := func(l glue.Level, what string) string {
		return run.Line(fmt.Sprintf("%s: %d %s; the first: %s", what, n[l], plural(n[l], "finding"), strings.TrimPrefix(first[l].String(), l.String()+": ")), longestReason)
	}
	p.d.Run.Count("findings_error", n[glue.LevelError])
	p.d.Run.Count("findings_warning", n[glue.LevelWarning])
	object := documentOf(doc.Endpoint)
	const show = "fedsite discovery show lists them"
	if n[glue.LevelError] > 0 {
		p.problem(object, run.Problem{Reason: said(glue.LevelError, "objects or values that LDAP or readers leave out"), Hint: show})
	}
	if n[glue.LevelWarning] > 0 {
		p.problem(object, run.Problem{Reason: said(glue.LevelWarning, "values that GLUE wants otherwise"), Hint: show, Notice: true})
	}
	if n[glue.LevelFatal] == 0 {
		return true
	}
	p.d.Run.Count("documents_refused", 1)
	p.refuse(doc, run.Problem{Object: object, Reason: said(glue.LevelFatal, "not published, as the federation would drop it, and what was published before stays"),
		Hint: "an endpoint that is not found in GOCDB needs gocdb_id in the configuration; of anything else, " + show})
	return false
}

// refuse tells that a document does not go out: a failure, but where nothing would have gone out anyway.
func (p *publisher) refuse(doc Rendered, q run.Problem) {
	if doc.Observe || p.t.Settings.Mode != site.Active {
		p.problem(q.Object, q)
		return
	}
	p.fail(q)
}

func plural(n int64, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func documentOf(endpoint string) string { return "document of " + run.Line(endpoint, 200) }

func (p *publisher) problem(object string, q run.Problem) {
	q.Site, q.Object, q.Step = p.t.Site.Name, object, "publish"
	p.d.Run.Problem(q)
}

// fail keeps what kept a document from a sink.
func (p *publisher) fail(q run.Problem) {
	q.Site, q.Step = p.t.Site.Name, "publish"
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = append(p.failed, q)
}

// tell reports what failed: the run as a whole only when no document stands anywhere.
func (p *publisher) tell() {
	for _, q := range p.failed {
		if p.done == 0 {
			p.d.Run.Fail(q)
		} else {
			p.d.Run.Problem(q)
		}
	}
}

// hand gives the documents to the sinks, to all sinks at once and one document after the other.
func (p *publisher) hand(ctx context.Context, sinks []Sink, docs []*preparedDocument) error {
	if len(docs) == 0 || len(sinks) == 0 {
		return nil
	}
	rows, err := publications(ctx, p.d.DB, `site = $1 AND replaced = 0`, p.t.Site.ID)
	if err != nil {
		return err
	}
	errs := make([]error, len(sinks))
	var wg sync.WaitGroup
	for i, s := range sinks {
		wg.Go(func() { errs[i] = p.sink(ctx, s, rows, docs) })
	}
	wg.Wait()
	return errors.Join(append(errs, p.tidy(ctx))...)
}

// tidy forgets documents that no sink has any more. Each note does so, too; but of two that are written at once on PostgreSQL
// neither sees that the other leaves a document.
func (p *publisher) tidy(ctx context.Context) error {
	var left []string
	err := p.d.DB.Read(ctx, func(tx *store.Tx) error {
		left = nil
		rows, err := tx.Query(`SELECT DISTINCT endpoint FROM document WHERE site = $1 AND NOT EXISTS
			(SELECT 1 FROM publication p WHERE p.site = document.site AND p.endpoint = document.endpoint AND p.digest = document.digest)`, p.t.Site.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var endpoint string
			if err := rows.Scan(&endpoint); err != nil {
				return err
			}
			left = append(left, endpoint)
		}
		return rows.Err()
	})
	if err != nil || len(left) == 0 {
		return err
	}
	return p.d.DB.Write(ctx, func(tx *store.Tx) error {
		for _, endpoint := range left {
			if err := forgetDocuments(tx, p.t.Site.ID, endpoint); err != nil {
				return err
			}
		}
		return nil
	})
}

// sink gives a sink its documents.
func (p *publisher) sink(ctx context.Context, s Sink, rows []published, docs []*preparedDocument) error {
	_, single := s.(interface{ single() })
	for i, doc := range docs {
		if single && i > 0 {
			p.fail(run.Problem{Object: "sink " + s.Name(), Permanent: true, Reason: fmt.Sprintf("it is one file, which holds the document of %s: that of %s has no place", docs[0].Endpoint, doc.Endpoint),
				Hint: "give the sink a directory"})
			continue
		}
		if err := p.one(ctx, s, rows, doc); err != nil {
			return err
		}
	}
	return nil
}

// one gives a sink a document, unless it can be spared, and notes that it has it.
func (p *publisher) one(ctx context.Context, s Sink, rows []published, doc *preparedDocument) error {
	body, err := doc.body(s)
	if err != nil {
		return fmt.Errorf("%s for sink %s: %w", documentOf(doc.Endpoint), s.Name(), err)
	}
	pub := Publication{SiteID: p.t.Site.ID, Site: doc.Site, Endpoint: doc.Endpoint, GOCDBKey: doc.GOCDBKey, Name: NameOf(s.Format(), doc.Site, doc.Endpoint),
		Document: doc.Document, Body: body, Digest: doc.digest, At: p.at}
	p.grows(s, doc, len(body))
	row := rowOf(s, pub)
	before := former(rows, row)
	if before != nil && spared(s, *before, row) {
		p.d.Run.Count("documents_spared", 1)
		p.had()
		return nil
	}
	_, remover := s.(Remover)
	_, unnoted := s.(interface{ unnoted() })
	_, notes := s.(interface{ notes() })
	if before == nil && remover && !notes {
		if err := intend(ctx, p.d.DB, row); err != nil {
			return err
		}
	}
	if err := s.Publish(ctx, pub); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if notes {
			return err
		}
		p.fail(sinkProblem(s, documentOf(doc.Endpoint), err))
		return nil
	}
	p.had()
	p.d.Run.Count("documents_published", 1)
	p.d.Log.LogAttrs(ctx, slog.LevelInfo, "document published", slog.String("site", p.t.Site.Name), slog.String("endpoint", doc.Endpoint), slog.String("sink", s.Name()),
		slog.String("name", pub.Name), slog.Int("bytes", len(body)), slog.Bool("changed", before == nil || before.digest != row.digest))
	if unnoted || notes {
		return nil
	}
	var text []byte
	if before == nil || before.digest != row.digest {
		if text, err = doc.as(JSON, nil); err != nil {
			return err
		}
	}
	return p.d.DB.Write(ctx, func(tx *store.Tx) error { return note(tx, row, text, false, !remover) })
}

// grows says of a document that a sink takes yet, but not much longer: from three quarters of what it takes on.
func (p *publisher) grows(s Sink, doc *preparedDocument, size int) {
	b, ok := s.(Bounded)
	if !ok || size < b.Most()/4*3 || size > b.Most() {
		return
	}
	p.problem(documentOf(doc.Endpoint), run.Problem{Notice: true, Hint: smaller, Reason: fmt.Sprintf("sink %s: it has %d bytes, and from %d on it will not be taken", s.Name(), size, b.Most()+1)})
}

func (p *publisher) had() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done++
}

// former is the row of what the sink has under the same name at the same place; nil = it has nothing there.
func former(rows []published, of published) *published {
	for i := range rows {
		if r := &rows[i]; r.endpoint == of.endpoint && r.sink == of.sink && r.place == of.place && r.name == of.name {
			return r
		}
	}
	return nil
}

// spared tells whether a sink need not get a document that it has: it says the same, and counts for longer yet.
func spared(s Sink, has, now published) bool {
	every, ok := s.(Sparing)
	if !ok || has.digest != now.digest || has.format != now.format || has.siteName != now.siteName {
		return false
	}
	age := now.delivered - has.delivered
	if age < 0 || age >= every.Every().Milliseconds() {
		return false
	}
	if has.expires != 0 && now.delivered >= has.delivered+(has.expires-has.delivered)/3 {
		return false
	}
	return has.expires == 0 == (now.expires == 0)
}

// sinkProblem says what a sink's error means for a document.
func sinkProblem(s Sink, object string, err error) run.Problem {
	q := run.Problem{Object: object, Reason: run.Line(fmt.Sprintf("sink %s: %v", s.Name(), err), longestReason), Exit: run.ExitUnavailable,
		Hint: "what it has stays there until the next run, which publishes again"}
	if f, ok := errors.AsType[*Failure](err); ok {
		q.Permanent, q.Exit = f.Permanent, f.Exit
		if f.Hint != "" {
			q.Hint = f.Hint
		}
	}
	return q
}
