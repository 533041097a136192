package images

import (
	"fmt"
	"slices"
	"time"
)

// rest plans for the images of ours that nothing wants: what is missing from its source goes, what is on its way out is
// deleted, and what nobody knows is left alone.
func (p *planner) rest() {
	for _, project := range p.projects() {
		place := Place{p.cloud.ID, project}
		for _, x := range p.at(place, p.ours) {
			p.done[x.ID] = true
			switch {
			case x.m.State == Retired && slices.Contains([]string{"active", "deactivated"}, x.Status):
				p.again(x, place)
			case x.Status == "active" || x.Status == "deactivated":
				p.unwanted(x, place)
			case slices.Contains([]string{"saving", "importing", "uploading"}, x.Status) && p.o.At.Sub(x.Updated) < p.s.StaleUpload:
				p.keep(x, place, "an upload is under way since "+x.Updated.UTC().Format(time.DateTime))
			case x.Status == "deleted" || x.Status == "pending_delete":
			default:
				p.drop(x, place)
			}
		}
	}
}

func (p *planner) keep(x present, place Place, reason string) {
	p.kept = append(p.kept, p.placed(of(x, place, Keep, reason)))
}

// again tries to delete what was retired earlier, unless it is one of the former versions that stay.
func (p *planner) again(x present, place Place) {
	if n := p.s.KeepLast; n > 0 && x.m.Reason == replaced && p.succeeded(x, place) {
		newer := 0
		for _, o := range p.shelf(place.Project).all {
			if p.ours(o) && o.m.Key == x.m.Key && o.m.State == Retired && o.m.Reason == replaced && o.Created.After(x.Created) {
				newer++
			}
		}
		if newer < n {
			p.keep(x, place, fmt.Sprintf("one of the last %d former versions", n))
			return
		}
	}
	a := of(x, place, Delete, "retired "+x.m.Retired.UTC().Format(time.DateTime)+": "+x.m.Reason)
	p.add(a)
}

// succeeded tells whether the newer version of an image is there: when that itself has gone, former ones go too.
func (p *planner) succeeded(x present, place Place) bool {
	return slices.ContainsFunc(p.shelf(place.Project).all, func(o present) bool {
		return p.ours(o) && o.m.names(x.m.Key) && o.m.State == Active && (o.Status == "active" || o.Status == "deactivated")
	})
}

// replaced is the reason of images that a newer version took the place of.
const replaced = "replaced by a newer version"

// unwanted decides about an active image that nothing wants at its place.
func (p *planner) unwanted(x present, place Place) {
	v, known := p.source(x.m)
	switch {
	case !known && p.s.PruneOrphans:
		p.retire(x, place, "its source is not configured any more")
		return
	case !known:
		a := of(x, place, Keep, "orphan: no source that is configured has list "+cut(x.m.List, 80))
		a.Hint = "configure its source, or: fedsite images apply --prune-orphans"
		p.kept = append(p.kept, p.placed(a))
		return
	}
	if reason := p.undecided(v, x.m.Key); reason != "" {
		p.keep(x, place, reason)
		return
	}
	if !v.Expired.IsZero() {
		p.retire(x, place, "list expired")
		return
	}
	e, there := v.entry(x.m.Key)
	expired := there && past(e.Expires, p.o.At)
	switch {
	case expired:
		p.goes(x, place, v, "image expired")
	case there && x.m.State == Blocked: // the block was lifted, and another image took its place
		p.goes(x, place, v, "not blocked any more, and another one is there")
	case there && p.spare(x, place):
		p.retire(x, place, "another project shares its successor with all who use it")
	case there && p.s.PruneOrphans:
		p.retire(x, place, "no VO of its source has this project any more")
	case there:
		a := of(x, place, Keep, "orphan: no VO of its source has this project any more, or another image is shared with it")
		a.Hint = "fedsite images apply --prune-orphans"
		p.kept = append(p.kept, p.placed(a))
	default:
		p.goes(x, place, v, "not in the source any more")
	}
}

// source gives the source that an image is of: the one it is marked with, else one that has its list.
func (p *planner) source(m Marks) (Verdict, bool) {
	fits := func(v Verdict) bool { return v.Source == m.Source && (v.List == m.List || v.List == "") }
	i := slices.IndexFunc(p.o.Sources, fits)
	if i < 0 {
		i = slices.IndexFunc(p.o.Sources, func(v Verdict) bool { return v.Kind == List && v.List != "" && v.List == m.List })
	}
	if i < 0 {
		return Verdict{}, false
	}
	return p.o.Sources[i], true
}

// retire takes an image out of sight for a reason that no guard stops.
func (p *planner) retire(x present, place Place, reason string) {
	p.done[x.ID] = true
	a := of(x, place, Retire, reason)
	a.Edits = p.leave(x, Retired, reason)
	p.add(a)
}

// retirements gives the retirements of former versions.
func (p *planner) retirements(w want, former []present) []Action {
	var all []Action
	for _, x := range former {
		if len(p.silent(w, x.m)) > 0 {
			p.keep(x, w.place, "shared with those whose source says nothing now")
			continue
		}
		if p.hasUnlisted(w, x) {
			p.keep(x, w.place, "shared with a project that is not listed now")
			continue
		}
		a := of(x, w.place, Retire, replaced)
		a.Edits = p.leave(x, Retired, replaced)
		all = append(all, p.placed(a))
	}
	return all
}

// goes is retire on a source's word: the guard counts it.
func (p *planner) goes(x present, place Place, v Verdict, reason string) {
	a := of(x, place, Retire, reason)
	a.Source, a.Edits = v.Source, p.leave(x, Retired, reason)
	p.going = append(p.going, p.placed(a))
}

// guard lets go what goes on the sources' word, unless it is suspiciously much of a source: then all of it is held.
func (p *planner) guard() {
	for _, v := range p.o.Sources {
		var going []Action
		gone, goneOf := map[Key]bool{}, map[string]map[Key]bool{}
		for _, a := range p.going {
			if a.Source != v.Source {
				continue
			}
			going, gone[a.Key] = append(going, a), true
			part := v.part(a.Key)
			if goneOf[part] == nil {
				goneOf[part] = map[Key]bool{}
			}
			goneOf[part][a.Key] = true
		}
		if len(going) == 0 {
			continue
		}
		managed := p.managed(v)
		all := 0
		for _, n := range managed {
			all += n
		}
		limit := max(p.s.RemoveCount, all*p.s.RemoveShare/100)
		for _, a := range going {
			part := v.part(a.Key)
			whole := len(goneOf[part]) >= managed[part]
			if (len(gone) <= limit && !whole) || p.s.AllowRemoval {
				p.Actions = append(p.Actions, a)
				continue
			}
			a.Verb, a.Edits = Hold, nil
			a.Reason = fmt.Sprintf("%s: would remove %d of %d of the source (limit %d, and never all)", a.Reason, len(gone), all, limit)
			if whole && len(managed) > 1 {
				a.Reason = fmt.Sprintf("%s: would remove all %d of %s", a.Reason, managed[part], part)
			}
			a.Hint = "look at the source; when it is right: fedsite images apply --allow-mass-removal"
			p.Actions = append(p.Actions, a)
		}
	}
}

// part is what of a source may not go as a whole: a project of a registry, which somebody may have hidden; of others the source.
func (v Verdict) part(k Key) string {
	if v.Kind != Registry {
		return ""
	}
	return "project " + projectOf(k.ID)
}

// managed counts the images of a source that are in use at the cloud, by its parts, each once however many projects have it.
func (p *planner) managed(v Verdict) map[string]int {
	seen, all := map[Key]bool{}, map[string]int{}
	for _, project := range p.projects() {
		for _, x := range p.shelf(project).all {
			if s, known := p.source(x.m); p.ours(x) && x.m.State == Active && known && s.Source == v.Source && !seen[x.m.Key] {
				seen[x.m.Key] = true
				all[v.part(x.m.Key)]++
			}
		}
	}
	return all
}
