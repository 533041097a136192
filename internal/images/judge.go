package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/protocol/vmlist"
)

// judge makes of a source's answer what the plan takes: who gets the images, which of them were chosen, and whether the list
// is older than one that was accepted, by what is remembered or by the marks in Glance. The memory it gives is what is to be
// remembered; of an answer that is not believed it is the old one.
func judge(t SourceTarget, last Memory, marked Memory, a Answer, failed error, vos []string, now time.Time) (Verdict, Memory) {
	v := Verdict{Source: t.Name(), Kind: t.Kind(), List: last.List, Asked: now}
	if v.List == "" {
		v.List = marked.List
	}
	if failed != nil {
		if !errors.As(failed, &v.Failed) {
			v.Failed = &Failure{Kind: Unreachable, Reason: failed.Error()}
		}
		return v, last
	}
	f, notice := older(t.Kind(), last, marked, a, now)
	if f == nil && len(t.VOs) == 0 && last.VO != "" && a.VO != last.VO {
		f = &Failure{Kind: NoVO, Permanent: true, Reason: fmt.Sprintf("it is a list for VO %.80q now, and was one for %.80q", a.VO, last.VO), Hint: "say vos of the source: then the list does not choose who gets its images"}
	}
	if f != nil {
		v.Failed = f
		return v, last
	}
	v.List, v.Title, v.Signer, v.Version, v.Created, v.Complete, v.Notices, v.Bad = a.List, a.Title, a.Signer, a.Version, a.Created, a.Complete, a.Notices, slices.Concat(a.Bad, a.Gaps)
	v.Unused = a.Unused
	if notice != "" {
		v.Notices = append(slices.Clip(v.Notices), notice)
	}
	v.Changed = !a.Same && a.Body != last.Body
	if past(a.Expires, now) {
		v.Expired = a.Expires
	}
	for _, e := range a.Entries {
		e.Source, e.Kind = v.Source, v.Kind
		if len(t.Images) > 0 && !slices.ContainsFunc(t.Images, e.is) {
			continue
		}
		switch {
		case slices.Contains(t.VOs, anyVO):
			e.VOs = vos
		case len(t.VOs) > 0:
			e.VOs = t.VOs
		}
		if len(e.VOs) == 0 && !slices.Contains(t.VOs, anyVO) { // a site of which no cloud answers now has no VOs
			v.Failed = &Failure{Kind: NoVO, Reason: "the list names no VO, and the configuration neither", Hint: "say vos of the source", Permanent: true}
			return v, last
		}
		v.Entries = append(v.Entries, e)
	}
	next := Memory{List: a.List, Version: a.Version, Created: a.Created, Signer: a.Signer, VO: a.VO, Asked: now, Changed: last.Changed, ETag: a.ETag, Modified: a.Modified, Body: a.Body, Missing: missing(last.Missing, marked.Missing, v, now)}
	if v.Changed {
		next.Changed = now
	}
	v.Missing = next.Missing
	return v, next
}

// past tells whether something that ends has ended; zero = it never does.
func past(end, now time.Time) bool { return !end.IsZero() && !now.Before(end) }

// ahead is how far a publisher's clock may be.
const ahead = 24 * time.Hour

// older tells whether a list is older than one that was accepted, by the database or by the marks of most images in Glance: the
// one may be lost or restored from a backup, the others may be written by members of the owning projects. The list that a source
// has is its own: another id in its place is as if another source stood there, and is not believed either. What a few marks say
// beyond that is worth a notice.
func older(kind Kind, last, marked Memory, a Answer, now time.Time) (*Failure, string) {
	if a.Created.Sub(now) > ahead {
		return &Failure{Kind: Unusable, Reason: "it says it was made in the future, " + a.Created.UTC().Format(time.RFC3339), Hint: "look at the clocks here and at the publisher's"}, ""
	}
	for _, m := range []Memory{last, marked} {
		by, hint := "", "somebody answers with an old list, or its publisher took a step back"
		if m.Image != "" {
			by = ", by the marks of most images in Glance"
			hint += "; if it was marks that somebody changed, give the source another name"
		}
		switch {
		case m.List == "":
		case m.List != a.List && kind == List:
			return &Failure{Kind: Replayed, Permanent: true, Reason: fmt.Sprintf("it is list %.80q now, and was %.80q%s", a.List, m.List, by),
				Hint: "when that is right, give the source another name: its images then count as those of a new one"}, ""
		case vmlist.Compare(a.edition(), m.edition()) < 0:
			return &Failure{Kind: Replayed, Permanent: true, Reason: fmt.Sprintf("version %.40s of %s is older than %.40s of %s, which was accepted%s", a.Version, day(a.Created), m.Version, day(m.Created), by), Hint: hint}, ""
		}
	}
	if kind == List && marked.List != "" && vmlist.Compare(a.edition(), marked.Newest) < 0 {
		return nil, fmt.Sprintf("%s says that version %.40s of %s was accepted, and other images do not: somebody changed its marks", marked.Image, marked.Newest.Version, day(marked.Newest.Created))
	}
	return nil, ""
}

// rivals refuses lists that call themselves as the list of another source: their images would take the place of that one's. A
// list may be configured twice; it then has one signer. It is of the source that had it before, else of the first one.
func rivals(verdicts []Verdict, memories map[string]Memory, next []Memory) {
	signer := func(v Verdict) string {
		if v.Failed != nil {
			return memories[v.Source].Signer
		}
		return v.Signer
	}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Kind != List || v.Failed != nil {
			continue
		}
		first := slices.IndexFunc(verdicts, func(o Verdict) bool { return o.List == v.List && memories[o.Source].List == v.List })
		if first < 0 { // of one that failed it is known by the marks in Glance
			first = slices.IndexFunc(verdicts, func(o Verdict) bool { return o.List == v.List && o.Failed != nil })
		}
		if first < 0 {
			first = slices.IndexFunc(verdicts, func(o Verdict) bool { return o.List == v.List })
		}
		o := verdicts[first]
		if first == i || o.Kind == List && signer(o) == v.Signer {
			continue
		}
		f := &Failure{Kind: Forged, Permanent: true, Reason: fmt.Sprintf("it calls itself list %.80q, which is that of source %s, and is signed by %.200q", v.List, o.Source, cmp.Or(v.Signer, "nobody")),
			Hint: "its images would take the place of the other source's: tell its endorser"}
		if o.Kind == List && o.Failed != nil && signer(o) == "" {
			f = &Failure{Kind: Unusable, Reason: fmt.Sprintf("it is list %.80q, as is that of source %s, which fails, and whose signer is not known yet", v.List, o.Source), Hint: "it is believed once the other one can be read"}
		}
		next[i] = memories[v.Source]
		next[i].Asked = v.Asked
		*v = Verdict{Source: v.Source, Kind: v.Kind, List: next[i].List, Asked: v.Asked, Failed: f}
	}
}

func day(t time.Time) string {
	if t.IsZero() {
		return "unknown date"
	}
	return t.UTC().Format(time.DateTime)
}

// missing gives the ids that the source had and a complete listing lacks, since when. Those that were managed and are not
// known to be missing begin now.
func missing(last, managed map[string]time.Time, v Verdict, now time.Time) map[string]time.Time {
	all := map[string]time.Time{}
	has := func(id string) bool {
		return slices.Contains(v.Unused, id) || slices.ContainsFunc(v.Entries, func(e Entry) bool { return e.ID == id })
	}
	for id := range managed {
		if has(id) {
			continue
		}
		since, known := last[id]
		switch {
		case known:
			all[id] = since
		case v.Complete:
			all[id] = now
		}
	}
	return all
}

// askAll asks the sources, some at once, and gives what each said.
func askAll(ctx context.Context, t *Target, memories map[string]Memory, vos []string, now time.Time) ([]Answer, []error) {
	answers, failed := make([]Answer, len(t.Sources)), make([]error, len(t.Sources))
	atOnce(ctx, len(t.Sources), sourcesAtOnce, func(i int) {
		answers[i], failed[i] = t.Sources[i].Ask(ctx, memories[t.Sources[i].Name()], vos, now)
	})
	return answers, failed
}

// sourcesAtOnce is how many sources are asked at the same time.
const sourcesAtOnce = 4
