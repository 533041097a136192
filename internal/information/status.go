package information

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// Status is how the information API stands.
type Status struct {
	Sources  []SourceStatus
	Sites    int
	VOs      int
	Dropped  []Dropped // documents that do not count
	Ended    []Dropped // our own that are older than they say they count, and do not count any more
	Kept     []Dropped // documents that cannot be read any more, and of which what was read before counts
	Stale    []Dropped // documents of others that are older than they say they count
	Left     []Dropped // parts of documents that are left out
	Registry AskedStatus
	Portal   AskedStatus
}

// SourceStatus is how a source stands.
type SourceStatus struct {
	Name      string
	Documents int
	Answered  time.Time // zero = never
	Err       error     // of the last time; what it gave before that counts
}

// AskedStatus is how GOCDB or the Operations Portal stands.
type AskedStatus struct {
	Set bool      // it is asked at all
	At  time.Time // of the last good answer
	Err error     // of the last time
}

// Status tells how it stands, by the last look. It waits for nothing.
func (s *Server) Status() Status {
	if st := s.holdings.status.Load(); st != nil {
		return *st
	}
	return Status{}
}

// tell is how it stands now; the caller has its lock.
func (h *holdings) tell() *Status {
	st := &Status{
		Registry: AskedStatus{h.hosts.get != nil, h.hosts.at, h.hosts.err},
		Portal:   AskedStatus{h.portal.get != nil, h.portal.at, h.portal.err},
	}
	for _, f := range h.sources {
		st.Sources = append(st.Sources, SourceStatus{f.Name(), len(f.readings), f.at, f.err})
		for _, r := range f.readings {
			if r.bad != nil {
				st.Kept = append(st.Kept, Dropped{f.Name(), r.Document.Name, fmt.Sprintf("since %s: %v", r.bad.since.UTC().Format(time.RFC3339), r.bad.err)})
			}
			for _, left := range r.Left {
				st.Left = append(st.Left, Dropped{f.Name(), r.Document.Name, left})
			}
		}
	}
	if p := h.now.Load(); p != nil {
		st.Sites, st.VOs, st.Dropped, st.Ended, st.Stale = len(p.Sites), len(p.vos), p.Dropped, p.Ended, p.Stale
	}
	slices.SortFunc(st.Kept, compareDropped)
	slices.SortFunc(st.Left, compareDropped)
	return st
}

// Checks are what health is told: each source, the documents that do not count or not as they should, GOCDB, the Portal.
func (s Status) Checks() []run.Check {
	var checks []run.Check
	add := func(object, name string, state run.CheckState, reason, remedy string) {
		checks = append(checks, run.Check{Part: "discovery", Object: object, Name: name, State: state, Reason: reason, Remedy: remedy})
	}
	for _, f := range s.Sources {
		switch {
		case f.Err != nil && f.Answered.IsZero():
			add(f.Name, "documents", run.CheckFail, f.Err.Error(), "nothing of this source is served: see that it can be read")
		case f.Err != nil:
			add(f.Name, "documents", run.CheckWarn, f.Err.Error(), "its documents are served as they were: see that it can be read")
		default:
			add(f.Name, "documents", run.CheckOK, "it can be read", "")
		}
	}
	group := func(name string, all []Dropped, remedy string) {
		if len(all) == 0 {
			return
		}
		words := make([]string, 0, 5)
		for _, d := range all[:min(len(all), 5)] {
			words = append(words, d.String())
		}
		if more := len(all) - len(words); more > 0 {
			words = append(words, fmt.Sprintf("and %d more", more))
		}
		add("", name, run.CheckWarn, strings.Join(words, "; "), remedy)
	}
	group("documents that are not served", s.Dropped, "tell their publishers, or remove what is of no use any more")
	group("own documents that are not served any more", s.Ended, "nothing newer was published: see how discovery of the site is, and whether it is still active; a site that shall not be there is taken out of the configuration")
	group("documents that cannot be read any more", s.Kept, "what they said before is served for a while: tell their publishers")
	group("old documents", s.Stale, "they are served: tell their publishers that nothing new comes")
	group("parts of documents", s.Left, "they are left out: tell their publishers")
	asked := func(name string, a AskedStatus, without string) {
		switch {
		case !a.Set:
		case a.Err != nil:
			add(name, "last answer", run.CheckWarn, a.Err.Error(), without)
		case !a.At.IsZero():
			add(name, "last answer", run.CheckOK, "it answers", "")
		}
	}
	asked("GOCDB", s.Registry, "host names stay as they were last known, or are those of the sites' URLs")
	asked("Operations Portal", s.Portal, "the list of VOs stays as it was last known, or is that of the sites' documents")
	return checks
}
