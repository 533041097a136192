package images

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
)

// Observed is everything that a plan is made of.
type Observed struct {
	At      time.Time
	Sources []Verdict
	Clouds  []CloudState
	// Attempts are the files that could not be had or brought, and when that is tried again.
	Attempts map[Trial]Attempt
	Notes    Notes
	Lacking  bool // not all clouds and projects could be asked: a VO that has no project here may have one
}

// CloudState is a cloud as it was seen.
type CloudState struct {
	ID, Name string
	Members  []Member              // in file order
	Places   map[string]PlaceState // by project
	Partial  bool                  // not all projects could be listed: one that is missing may be there
}

// PlaceState is what is in Glance at a place.
type PlaceState struct {
	Name    string // of the project
	Images  []openstack.StoredImage
	Members map[string][]string // projects that an image is shared with and that took it, by image; nil where nothing is shared
	Failed  error               // why it could not be asked
	Plain   bool                // Glance calls shared images private: before 2.5
	Hides   bool                // it can hide images: from 2.7
}

// MakePlan gives what is to be done. It is pure: what was observed, the policy and the blocks in, actions out.
func MakePlan(o Observed, s Settings, blocks []Block) Plan {
	var p Plan
	entries := p.judge(o, s, blocks)
	for _, c := range o.Clouds {
		pl := &planner{Plan: &p, o: o, s: s, blocks: blocks, cloud: c, done: map[string]bool{}, standing: standing(c, s)}
		for project, place := range c.Places {
			if place.Failed != nil {
				p.Actions = append(p.Actions, Action{Verb: Fail, Place: Place{c.ID, project}, CloudName: c.Name, ProjectName: place.Name, Reason: place.Failed.Error()})
			}
		}
		pl.block()
		if s.ownerless(c.Members) {
			p.Actions = append(p.Actions, Action{Verb: Fail, Place: Place{Cloud: c.ID}, CloudName: c.Name, Name: "images of the cloud", Reason: "no project of VO " + s.Owner + ", which is to own them: they stay as they are", Hint: "add the VO to vos, or name another one in images.owner", Permanent: !c.Partial})
			p.Actions = append(p.Actions, pl.kept...)
			continue
		}
		for _, w := range wants(entries, c.Members, s, pl.holder) {
			pl.want(w)
		}
		pl.rest()
		pl.guard()
		p.Actions = append(p.Actions, pl.kept...)
	}
	p.sort()
	return p
}

// judge notes what sources cannot give, and gives what they want at places.
func (p *Plan) judge(o Observed, s Settings, blocks []Block) []Entry {
	var entries []Entry
	for _, v := range o.Sources {
		note := func(a Action) { a.Source = v.Source; p.Actions = append(p.Actions, a) }
		if v.Failed != nil {
			note(Action{Verb: Fail, Reason: string(v.Failed.Kind) + ": " + v.Failed.Reason, Hint: v.Failed.Hint, Permanent: v.Failed.Permanent})
			continue
		}
		if !v.Expired.IsZero() {
			if s.ExpiredList != RetireExpired {
				note(Action{Verb: Hold, Reason: "list expired " + v.Expired.UTC().Format(time.DateTime), Hint: "ask its endorser for a newer one; images.on_expired_list: retire takes its images away"})
			}
			continue
		}
		for _, b := range v.Bad {
			note(Action{Verb: Fail, Key: b.Key, Name: cmp.Or(b.Title, b.ID), Reason: b.Reason, Hint: "tell the source's endorser; other images of it are not affected", Permanent: true})
		}
		if missing := unmapped(v, o.Clouds); len(missing) > 0 && !o.Lacking {
			note(Action{Verb: Fail, Reason: "no project of VO " + strings.Join(missing, ", ") + " at any cloud of the site", Hint: "add the VO to vos, or take it out of the source's vos", Permanent: true})
		}
		for _, e := range v.Entries {
			if b, blocked := blocking(blocks, e); blocked {
				note(Action{Verb: Skip, Key: e.Key, Name: e.Name(), Entry: &e, Reason: blockedReason + b.Reason})
				continue
			}
			if !past(e.Expires, o.At) {
				entries = append(entries, e)
			}
		}
	}
	return entries
}

// unmapped gives the VOs of a source that no cloud has a project for.
func unmapped(v Verdict, clouds []CloudState) []string {
	var missing []string
	for _, e := range v.Entries {
		for _, vo := range e.VOs {
			has := func(c CloudState) bool {
				return slices.ContainsFunc(c.Members, func(m Member) bool { return m.VO == vo })
			}
			if !slices.ContainsFunc(clouds, has) && !slices.Contains(missing, vo) {
				missing = append(missing, vo)
			}
		}
	}
	return missing
}

// planner plans for one cloud.
type planner struct {
	*Plan
	o        Observed
	s        Settings
	blocks   []Block
	cloud    CloudState
	standing map[string][]Block // blocks that are marked in Glance, by project: they hold there
	done     map[string]bool    // images of Glance that are spoken for
	going    []Action           // retirements on a source's word, before the guard
	kept     []Action
	shelves  map[string]*shelf // by project
	served   map[Key][]string  // projects that can use the wanted image of a key now
}

// present is an image in Glance with what its marks say.
type present struct {
	openstack.StoredImage
	m Marks
}

// ours tells whether an image is one that this instance manages.
func (p *planner) ours(x present) bool { return x.m.Manager == p.s.Instance }

// add puts an action into the plan.
func (p *planner) add(a Action) {
	p.Actions = append(p.Actions, p.placed(a))
}

// placed says of an action where it is, and whether it is only shown.
func (p *planner) placed(a Action) Action {
	a.Cloud, a.CloudName, a.ProjectName = p.cloud.ID, p.cloud.Name, p.cloud.Places[a.Project].Name
	a.Observe = a.Observe || p.mode(a.Project) != site.Active
	return a
}

// mode is the highest of the shares of a project.
func (p *planner) mode(project string) site.Mode {
	mode := site.Disabled
	for _, m := range p.cloud.Members {
		if m.Project == project && (mode == site.Disabled || m.Mode == site.Active) {
			mode = m.Mode
		}
	}
	return mode
}

// of makes an action about an image in Glance.
func of(x present, place Place, verb Verb, reason string) Action {
	return Action{Verb: verb, Place: place, Source: x.m.Source, Key: x.m.Key, Name: x.Name, Image: x.ID, Reason: reason, Expect: Expect{x.Status, x.Updated}}
}

// named is of, of an entry.
func (w want) named(verb Verb, x present, reason string) Action {
	a := of(x, w.place, verb, reason)
	a.Source, a.Entry, a.also, a.Key, a.Name, a.shared = w.entry.Source, &w.entry, w.also, w.entry.Key, w.entry.Name(), len(w.members)
	a.Observe = w.mode != site.Active
	return a
}

// block hides what an operator blocked, and leaves it there.
func (p *planner) block() {
	for _, project := range p.projects() {
		place := Place{p.cloud.ID, project}
		for _, x := range p.at(place, p.ours) {
			b, is := blockingMarked(slices.Concat(p.blocks, p.standing[project]), x)
			if !is {
				continue
			}
			p.done[x.ID] = true
			switch {
			case x.m.State == Blocked && (x.Status == "deactivated" || x.Status != "active"):
				p.kept = append(p.kept, p.placed(of(x, place, Keep, blockedReason+b.Reason)))
			case x.Status == "active" || x.Status == "deactivated":
				a := of(x, place, BlockIt, b.Reason)
				a.Edits = p.leave(x, Blocked, blockedReason+b.Reason)
				p.add(a)
			default:
				p.add(of(x, place, Discard, blockedReason+b.Reason))
			}
		}
	}
}

// projects are those of the cloud that were seen, in order.
func (p *planner) projects() []string {
	var all []string
	for project, place := range p.cloud.Places {
		if place.Failed == nil {
			all = append(all, project)
		}
	}
	slices.Sort(all)
	return all
}

// want plans what a wanted image needs at its place.
func (p *planner) want(w want) {
	place, seen := p.cloud.Places[w.place.Project]
	if !seen || place.Failed != nil {
		return // said already
	}
	if b, blocked := blocking(p.standing[w.place.Project], w.entry); blocked {
		p.add(w.named(Skip, present{}, blockedReason+b.Reason))
		return
	}
	mine := p.named(w.place, w.keys(), func(x present) bool {
		return p.ours(x) && (x.m.Digest == w.entry.Digest || x.m.names(w.entry.Key))
	})
	var current, finished, empty, waiting, former []present
	for _, x := range mine {
		named := x.m.Digest == w.entry.Digest
		same := named && (x.Status == "deactivated" || p.o.Notes.genuine(x, w.place)) // what somebody deactivated is left so, whatever is known of it
		switch {
		case named && !same && x.Status == "active" && x.m.State == Uploading:
			p.drop(x, w.place)
		case same && x.Status == "active" && x.m.State == Uploading:
			finished = append(finished, x)
		case same && (x.Status == "active" || x.Status == "deactivated"):
			current = append(current, x)
		case x.m.State == Retired:
			continue // the rest sees to it
		case named && x.Status == "queued":
			empty = append(empty, x)
		case x.Status == "active" || x.Status == "deactivated":
			former = append(former, x)
		case slices.Contains([]string{"saving", "importing", "uploading"}, x.Status) && p.o.At.Sub(x.Updated) < p.s.StaleUpload:
			waiting = append(waiting, x)
		default:
			p.drop(x, w.place)
		}
		p.done[x.ID] = true
	}
	slices.SortStableFunc(current, func(a, b present) int { // one that is in use before one that is on its way out
		return cmp.Or(weight(a)-weight(b), a.Created.Compare(b.Created))
	})
	switch {
	case len(current) > 0:
		p.current(p.with(w, current[0]), current[0], p.retirements(w, former))
		for _, x := range current[1:] {
			if x.m.State == Retired {
				p.again(x, w.place)
			} else {
				p.retire(x, w.place, "the same image as "+current[0].ID)
			}
		}
	case len(finished) > 0:
		w = p.with(w, finished[0])
		a := w.named(Finish, finished[0], "its upload had ended before the run did")
		a.Edits, a.Former = append(p.edits(w, finished[0]), finished[0].sum()...), p.retirements(w, former)
		p.add(a)
		p.share(w, finished[0].ID, p.cloud.Places[w.place.Project].Members[finished[0].ID])
		finished = finished[1:]
	case len(waiting) > 0:
		p.kept = append(p.kept, p.placed(w.named(Keep, waiting[0], "an upload is under way since "+waiting[0].Updated.UTC().Format(time.DateTime))))
		for _, x := range former {
			p.kept = append(p.kept, p.placed(of(x, w.place, Keep, "until its successor is there")))
		}
	case len(former) == 0 && p.lent(w): // the rest keeps it
	default:
		empty = p.bring(w, former, empty)
	}
	for _, x := range slices.Concat(finished, empty) {
		p.drop(x, w.place)
	}
}

// weight puts images that are in use before those on their way out.
func weight(x present) int {
	if x.m.State == Active && x.Status == "active" {
		return 0
	}
	return 1
}

// drop takes the rest of an upload that died away.
func (p *planner) drop(x present, place Place) {
	p.done[x.ID] = true
	p.add(of(x, place, Discard, "stale upload"))
}

// current plans for an image whose content is the wanted one. Former versions go when it is there to be used, and not before.
func (p *planner) current(w want, x present, former []Action) {
	if x.Status == "deactivated" && x.m.State != Blocked {
		p.kept = append(p.kept, p.placed(w.named(Keep, x, "somebody deactivated it: it is left so")))
		for _, f := range former {
			f.Verb, f.Edits, f.Reason = Keep, nil, "its successor is deactivated"
			p.kept = append(p.kept, f)
		}
		return
	}
	edits := p.edits(w, x)
	if weight(x) == 0 { // it can be used as it is
		p.serve(w, x)
		for _, f := range former {
			p.add(f)
		}
		former = nil
	}
	if len(edits) > 0 {
		a := w.named(Metadata, x, "")
		a.Edits, a.Former = edits, former
		p.add(a)
	} else {
		p.kept = append(p.kept, p.placed(w.named(Keep, x, "")))
	}
	p.share(w, x.ID, p.cloud.Places[w.place.Project].Members[x.ID])
}

// bring plans an upload, unless an image of another manager is adopted. It gives the empty images that are left over.
func (p *planner) bring(w want, former, empty []present) []present {
	notice, adopted := p.adopt(w)
	if adopted {
		return empty
	}
	if last, waits := p.o.waits(w.entry, w.place); waits {
		a := w.named(Fail, present{}, fmt.Sprintf("%s; tried %s, again after %s", last.Reason, times(last.Failed), last.Next.UTC().Format(time.DateTime)))
		a.Hint, a.Permanent = "fedsite images apply --image "+w.entry.Ref()+" tries it at once", last.Lasting
		p.add(a)
		for _, x := range former {
			p.keep(x, w.place, "until its successor can be brought")
		}
		return empty
	}
	foreign := slices.IndexFunc(former, func(x present) bool { return x.m.Digest == w.entry.Digest })
	if last, waits := p.o.Attempts[w.entry.again(w.place)]; foreign >= 0 && waits && p.o.At.Before(last.Next) {
		a := w.named(Hold, former[foreign], fmt.Sprintf("%s carries its marks, and was not brought by this database; one such image was replaced %s", former[foreign].ID, last.At.UTC().Format(time.DateTime)))
		a.Hint = "find out whether another fedsite, with a database of its own, brings images into this project, or a member of it makes them; then: fedsite images apply --image " + w.entry.Ref()
		p.add(a)
		return empty
	}
	a := w.named(Add, present{}, "")
	a.forged = foreign >= 0
	a.Size, a.Notice, a.Former, a.Expect, a.shared = w.entry.Size, notice, p.retirements(w, former), Expect{}, len(w.members)
	switch {
	case len(empty) > 0:
		a.Verb, a.Image, a.Expect = Resume, empty[0].ID, Expect{empty[0].Status, empty[0].Updated}
		empty = empty[1:]
	case len(former) > 0:
		a.Verb = Replace
		if a.forged {
			a.Notice = former[foreign].ID + " carries its marks, and has other content, or was brought by another database"
		} else if last := former[len(former)-1]; last.m.Version == w.entry.Version && last.m.Version != "" {
			a.Notice = cmp.Or(a.Notice, "same version, other content")
		}
	}
	p.add(a)
	p.share(w, "", nil)
	return empty
}

// times says how often.
func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// share plans with which projects an image is shared; image "" is the one that is uploaded in this run.
func (p *planner) share(w want, image string, has []string) {
	add := Action{Verb: ShareIt, Place: w.place, Source: w.entry.Source, Entry: &w.entry, Key: w.entry.Key, Name: w.entry.Name(), Image: image, Observe: w.mode != site.Active}
	shown := add
	shown.Observe = true
	for _, g := range w.members {
		switch {
		case slices.Contains(has, g.project):
		case g.mode == site.Active:
			add.Guests = append(add.Guests, g.project)
		default:
			shown.Guests = append(shown.Guests, g.project)
		}
	}
	for _, a := range []Action{add, shown} {
		if len(a.Guests) > 0 {
			p.add(a)
		}
	}
	away := add
	away.Verb, away.Guests = Unshare, nil
	for _, project := range has {
		if !slices.ContainsFunc(w.members, func(g guest) bool { return g.project == project }) && p.s.Sharing == Share {
			away.Guests = append(away.Guests, project)
		}
	}
	if len(away.Guests) > 0 {
		p.add(away)
	}
}

// adopt looks for an image of another manager that is the wanted one. It gives what is worth knowing of one that is not
// named, and whether nothing is to be uploaded.
func (p *planner) adopt(w want) (notice string, adopted bool) {
	for _, x := range p.at(w.place, func(x present) bool { return x.m.Manager != "" && !p.ours(x) && x.m.meant(w.entry) }) {
		named := slices.ContainsFunc(append([]string{x.ID, x.m.Manager}, x.Tags...), func(name string) bool { return slices.Contains(p.s.Adopt, name) })
		switch {
		case x.m.Digest != w.entry.Digest || x.Status != "active" || x.m.State != Active:
			continue
		case !named:
			notice = fmt.Sprintf("%s has the same image, %s: images.adopt takes it over instead", x.m.Manager, x.ID)
		case p.o.At.Sub(x.Updated) < adoptAfter && !p.s.Yes:
			p.done[x.ID] = true
			a := w.named(Hold, x, fmt.Sprintf("%s changed %s %s: two managers would fight over it", x.m.Manager, x.ID, x.Updated.UTC().Format(time.DateTime)))
			a.Hint = "stop " + x.m.Manager + ", then: fedsite images apply --yes"
			p.add(a)
			return "", true
		default:
			p.done[x.ID] = true
			a := w.named(Adopt, x, "of "+x.m.Manager)
			a.Edits, a.manager = p.edits(w, x), x.m.Manager
			if sumOf(x.StoredImage) != string(w.entry.Digest) {
				a.Notice = "Glance's checksum is not the source's, so it was converted: that it is the same disk is " + x.m.Manager + "'s word"
			}
			p.add(a)
			p.share(w, x.ID, p.cloud.Places[w.place.Project].Members[x.ID])
			return "", true
		}
	}
	return notice, false
}

// adoptAfter is how long another manager must have left an image alone before it is taken over without a word more.
const adoptAfter = 7 * 24 * time.Hour
