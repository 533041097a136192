package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// maxGone is how many sites may disappear from the configuration at once without a word (design §4, Included files).
const maxGone = 3

// Configured is an endpoint of a site that the configuration has now.
type Configured struct {
	SiteID, Site string   // id in the store, and name in GOCDB
	Endpoint     string   // Keystone's URL
	Sinks        []string // names of those that it is to be published to now; none when it only observes
}

// RemovalSink is a sink from which documents may have to be taken away.
type RemovalSink struct {
	Sink
	Delete bool // false = its documents stay, whatever becomes of their sites
}

// Removal says what is configured, of all sites. What was published of anything else is taken away.
type Removal struct {
	Configured []Configured
	Sinks      []RemovalSink // of all sites; of several with one name and place the first counts, and all must allow to delete
	Prune      bool          // more than three sites may be gone at once
	DryRun     bool          // only reports what would be taken away
}

// RemoveGone takes away from each Remover the documents of sites and endpoints that are not configured any more, and those
// that stand there under a former name. It does so only after all that is to stay was read back from that sink and is what
// was published, and the endpoints of the same site have been published there; else nothing goes before the next run. A name
// that a configured endpoint has is never taken away. What was published to a sink that is not configured, or at another
// place, stays noted, as nobody can take it away. The error is only for what spoils the whole run.
func RemoveGone(ctx context.Context, d Deps, r Removal) error {
	d.Run.Step("remove")
	rows, err := publications(ctx, d.DB, `1 = 1`)
	if err != nil {
		return err
	}
	x := &remover{d: d, r: r, here: map[[2]string]*Configured{}, names: map[string]bool{}, sites: map[string]bool{}}
	for i := range r.Configured {
		c := &r.Configured[i]
		x.here[[2]string{c.SiteID, c.Endpoint}] = c
		x.sites[c.SiteID] = true
		for _, f := range []Format{JSON, LDIF} {
			x.names[NameOf(f, c.Site, c.Endpoint)] = true
		}
	}
	groups := x.groups()
	rows = x.pruned(rows, groups)
	for _, g := range groups {
		if err := x.group(ctx, g, rows); err != nil {
			return err
		}
	}
	return nil
}

// remover takes documents away in one run.
type remover struct {
	d     Deps
	r     Removal
	here  map[[2]string]*Configured // by site and endpoint
	sites map[string]bool           // ids
	names map[string]bool           // of documents that are to stay
}

// gone tells whether a row is of what is not configured, or has been replaced.
func (x *remover) gone(r published) bool {
	return r.replaced != 0 || x.here[[2]string{r.site, r.endpoint}] == nil
}

// pruned leaves out the rows of sites that are gone, when they are too many at once. Those count of which something would be
// taken away: what stays for good, at sinks that delete nothing, was decided before.
func (x *remover) pruned(rows []published, groups []RemovalSink) []published {
	var ids, names []string
	deletes := func(r published) bool {
		return slices.ContainsFunc(groups, func(g RemovalSink) bool {
			_, can := g.Sink.(Remover)
			return can && g.Delete && g.Name() == r.sink && placeOf(g.Sink) == r.place
		})
	}
	for _, r := range rows {
		if !x.sites[r.site] && deletes(r) && !slices.Contains(ids, r.site) {
			ids, names = append(ids, r.site), append(names, r.siteName)
		}
	}
	if len(ids) <= maxGone || x.r.Prune {
		return rows
	}
	shown := names[:maxGone]
	x.d.Run.Problem(run.Problem{Object: "sites that are gone", Step: "remove", Permanent: true,
		Reason: fmt.Sprintf("%d sites that were published are not configured any more (%s …): more than %d at once, so that their documents stay", len(ids), strings.Join(shown, ", "), maxGone),
		Hint:   "if that is meant: fedsite discovery remove --prune, or prune: true beside include; else put them back"})
	return slices.DeleteFunc(slices.Clone(rows), func(r published) bool { return !x.sites[r.site] })
}

// groups gives each sink once.
func (x *remover) groups() []RemovalSink {
	var all []RemovalSink
	for _, s := range x.r.Sinks {
		i := slices.IndexFunc(all, func(o RemovalSink) bool { return o.Name() == s.Name() && placeOf(o.Sink) == placeOf(s.Sink) })
		if i < 0 {
			all = append(all, s)
		} else if !s.Delete {
			all[i].Delete = false
		}
	}
	return all
}

// group takes away what is gone from one sink.
func (x *remover) group(ctx context.Context, s RemovalSink, rows []published) error {
	place := placeOf(s.Sink)
	var gone, stays []published
	for _, r := range rows {
		switch {
		case r.sink != s.Name() || r.place != place:
		case x.gone(r):
			gone = append(gone, r)
		default:
			stays = append(stays, r)
		}
	}
	// What a name leads to belongs to the endpoint that has it now.
	taken := func(r published) bool {
		return slices.ContainsFunc(stays, func(o published) bool { return o.name == r.name })
	}
	for _, r := range gone {
		if taken(r) {
			if err := x.forget(ctx, []published{r}); err != nil {
				return err
			}
		}
	}
	gone = x.ripe(s, slices.DeleteFunc(gone, taken), stays)
	if len(gone) == 0 {
		return nil
	}
	to, ok := s.Sink.(Remover)
	if !ok { // there is nothing to be taken away
		return x.forget(ctx, gone)
	}
	if !s.Delete {
		x.d.Run.Count("documents_left", int64(len(gone)))
		return nil
	}
	if x.r.DryRun {
		for _, r := range gone {
			x.d.Run.Problem(run.Problem{Site: r.siteName, Object: documentOf(r.endpoint), Step: "remove", Notice: true, Reason: fmt.Sprintf("%s would be taken away from %s", r.name, s.Name())})
		}
		return nil
	}
	for _, r := range stays {
		if err := x.readBack(ctx, to, r); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			x.d.Run.Problem(run.Problem{Site: r.siteName, Object: "sink " + s.Name(), Step: "remove",
				Reason: run.Line(fmt.Sprintf("%d documents of what is gone stay there, as %s, which is to stay, does not read back: %v", len(gone), r.name, err), longestReason),
				Hint:   "the next publication of that site mends it, and what is gone is taken away after that"})
			return nil
		}
	}
	return x.take(ctx, to, gone)
}

// ripe gives the rows whose documents may go now: no configured endpoint has the name, and all endpoints of the site that
// are to be published to the sink have been.
func (x *remover) ripe(s RemovalSink, gone, stays []published) []published {
	return slices.DeleteFunc(gone, func(r published) bool {
		if x.names[r.name] {
			return true
		}
		for _, c := range x.r.Configured {
			if (c.SiteID != r.site && c.Site != r.siteName) || !slices.Contains(c.Sinks, s.Name()) {
				continue
			}
			if !slices.ContainsFunc(stays, func(o published) bool {
				return o.site == c.SiteID && o.endpoint == c.Endpoint && o.name == NameOf(o.format, c.Site, c.Endpoint)
			}) {
				x.d.Run.Problem(run.Problem{Site: r.siteName, Object: "sink " + s.Name(), Step: "remove", Notice: true,
					Reason: fmt.Sprintf("%s stays until the site's %s is published there", r.name, documentOf(c.Endpoint))})
				return true
			}
		}
		return false
	})
}

// readBack tells whether a sink has what was published to it. A document that was delivered anew meanwhile is looked at
// once more.
func (x *remover) readBack(ctx context.Context, s Remover, r published) error {
	for try := 1; ; try++ {
		body, err := s.Held(ctx, r.name)
		if err != nil {
			return err
		}
		if _, own := s.(interface{ notes() }); own || sumOf(body) == r.sum { // our own database renews bodies that say the same
			return nil
		}
		now, err := publications(ctx, x.d.DB, `site = $1 AND endpoint = $2 AND sink = $3 AND place = $4 AND name = $5 AND replaced = 0`, r.site, r.endpoint, r.sink, r.place, r.name)
		if err != nil {
			return err
		}
		if try == 2 || len(now) == 0 || now[0].sum == r.sum {
			return errors.New("it is not what was published")
		}
		r = now[0]
	}
}

// take takes documents away, and forgets them.
func (x *remover) take(ctx context.Context, s Remover, gone []published) error {
	for _, r := range gone {
		if err := s.Remove(ctx, r.name); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			q := sinkProblem(s, documentOf(r.endpoint), fmt.Errorf("take away %s: %w", r.name, err))
			q.Site, q.Step = r.siteName, "remove"
			x.d.Run.Problem(q)
			continue
		}
		x.d.Run.Count("documents_removed", 1)
		x.d.Log.LogAttrs(ctx, slog.LevelInfo, "document taken away", slog.String("site", r.siteName), slog.String("endpoint", r.endpoint), slog.String("sink", r.sink), slog.String("name", r.name))
		if err := x.forget(ctx, []published{r}); err != nil {
			return err
		}
	}
	return nil
}

// forget removes rows, a short transaction each.
func (x *remover) forget(ctx context.Context, gone []published) error {
	if x.r.DryRun {
		return nil
	}
	for _, r := range gone {
		if err := x.d.DB.Write(ctx, func(tx *store.Tx) error { return forgetPublication(tx, r) }); err != nil {
			return err
		}
	}
	return nil
}
