package images

import (
	"slices"
	"strings"
)

// undecided says why an image stays of whose key its source says nothing in this run that it could go by; "" = it does.
func (p *planner) undecided(v Verdict, k Key) string {
	switch {
	case v.Failed != nil:
		return "its source failed"
	case !v.Expired.IsZero() && p.s.ExpiredList != RetireExpired:
		return "its list expired"
	case !v.Expired.IsZero():
		return ""
	case slices.Contains(v.Unused, k.ID):
		return "its tag is there, and is no image now"
	case v.bad(k):
		return "the source's image cannot be used"
	}
	_, there := v.entry(k)
	switch {
	case there:
		return ""
	case !v.Complete:
		return "the source's listing is not complete"
	case v.Kind == Registry && !p.longMissing(v, k):
		return "not in the registry: it goes when that is so for " + p.s.GoneAfter.String()
	}
	return ""
}

// longMissing tells whether a registry has lacked an image for so long that it may go.
func (p *planner) longMissing(v Verdict, k Key) bool {
	since, missing := v.Missing[k.ID]
	return missing && p.o.At.Sub(since) >= p.s.GoneAfter
}

// unheard tells whether a source that asked for an image under a key says nothing of it in this run. Of a source that failed
// and was never heard it is not known which keys are its own: all that nobody else knows may be.
func (p *planner) unheard(k Key) bool {
	silent := false
	for _, v := range p.o.Sources {
		if v.List != k.List && (v.List != "" || v.Failed == nil) {
			continue
		}
		if _, there := v.entry(k); there && v.Expired.IsZero() {
			return false
		}
		silent = silent || p.undecided(v, k) != ""
	}
	return silent
}

// holder gives the project that has a shared image already, of those that get it: in use, or blocked; the wanted content, else a
// former one. It may be one that cannot be asked now: then nothing is brought elsewhere in its place.
func (p *planner) holder(disk []Entry, entitled []Member) (Place, bool) {
	keys := make([]Key, len(disk))
	for i, e := range disk {
		keys[i] = e.Key
	}
	for _, find := range []func(m Member) []present{
		func(m Member) []present { return p.used(m.Place, p.shelf(m.Project).of(disk[0].Digest), Active) },
		func(m Member) []present { return p.used(m.Place, p.named(m.Place, keys, p.ours), Active) },
		func(m Member) []present { return p.used(m.Place, p.shelf(m.Project).of(disk[0].Digest), Blocked) },
	} {
		for _, m := range entitled {
			if len(find(m)) > 0 {
				return m.Place, true
			}
		}
	}
	for _, m := range entitled {
		if p.cloud.Places[m.Project].Failed != nil && len(p.o.Notes.At[m.Place]) > 0 {
			return m.Place, true
		}
	}
	if p.cloud.Partial {
		for at, images := range p.o.Notes.At {
			if _, seen := p.cloud.Places[at.Project]; at.Cloud == p.cloud.ID && !seen && len(images) > 0 {
				return at, true
			}
		}
	}
	return Place{}, false
}

// used are those of images of ours that are in a state and what their marks say.
func (p *planner) used(at Place, all []present, state State) []present {
	return slices.DeleteFunc(all, func(x present) bool {
		in := x.m.State == state && (x.Status == "active" || x.Status == "deactivated")
		return !p.ours(x) || !in || !p.o.Notes.genuine(x, at)
	})
}

// serve notes who can use an image that is there.
func (p *planner) serve(w want, x present) {
	if p.served == nil {
		p.served = map[Key][]string{}
	}
	for _, k := range w.keys() {
		p.served[k] = append(append(p.served[k], w.place.Project), p.cloud.Places[w.place.Project].Members[x.ID]...)
	}
}

// spare tells whether all who can use an image that nothing wants at its place can use the one that is wanted.
func (p *planner) spare(x present, place Place) bool {
	users := append([]string{place.Project}, p.cloud.Places[place.Project].Members[x.ID]...)
	return p.s.Sharing == Share && !slices.ContainsFunc(users, func(project string) bool { return !slices.Contains(p.served[x.m.Key], project) })
}

// silent gives the keys of an image, those that w does not ask for, whose sources say nothing in this run.
func (p *planner) silent(w want, m Marks) []Key {
	var all []Key
	for _, k := range append([]Key{m.Key}, m.Also...) {
		if p.s.Sharing == Share && !slices.Contains(w.keys(), k) && p.unheard(k) {
			all = append(all, k)
		}
	}
	return all
}

// hasUnlisted tells whether an image is shared with a project that may only not be listed now.
func (p *planner) hasUnlisted(w want, x present) bool {
	return p.s.Sharing == Share && p.cloud.Partial && slices.ContainsFunc(p.cloud.Places[w.place.Project].Members[x.ID], func(project string) bool {
		return !slices.ContainsFunc(w.members, func(g guest) bool { return g.project == project })
	})
}

// with adds to what is wanted of an image what sources asked for that say nothing in this run: it stays shared as it is.
func (p *planner) with(w want, x present) want {
	keys := p.silent(w, x.m)
	if len(keys) == 0 && !p.hasUnlisted(w, x) {
		return w
	}
	w.also, w.members = slices.Clone(w.also), slices.Clone(w.members)
	for _, k := range keys {
		w.also = append(w.also, Entry{Key: k, VOs: strings.Split(x.Properties[propVO], ",")})
	}
	for _, project := range p.cloud.Places[w.place.Project].Members[x.ID] {
		if !slices.ContainsFunc(w.members, func(g guest) bool { return g.project == project }) {
			w.members = append(w.members, guest{project, w.mode})
		}
	}
	return w
}

// lent tells whether another project shares the wanted image with all who are to use it, though its own source says nothing
// in this run: it stays there, and no second one is brought.
func (p *planner) lent(w want) bool {
	for _, project := range p.projects() {
		if p.s.Sharing != Share || project == w.place.Project {
			continue
		}
		for _, x := range p.at(Place{p.cloud.ID, project}, p.ours) {
			takes := func(to string) bool {
				return to == project || slices.Contains(p.cloud.Places[project].Members[x.ID], to)
			}
			v, known := p.source(x.m)
			if x.Status == "active" && x.m.State == Active && x.m.Digest == w.entry.Digest && p.o.Notes.genuine(x, Place{p.cloud.ID, project}) && x.m.names(w.entry.Key) && known && p.undecided(v, x.m.Key) != "" &&
				takes(w.place.Project) && !slices.ContainsFunc(w.members, func(g guest) bool { return !takes(g.project) }) {
				return true
			}
		}
	}
	return false
}
