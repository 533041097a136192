package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Status is how a site's images were when they were last looked at; no cloud and no source is asked.
type Status struct {
	Site, SiteID string    `json:"-"`
	Mode         site.Mode `json:"-"`
	Taken        time.Time `json:"-"` // zero = never
	Sources      []SourceStatus
	Shares       []ShareStatus
	Trouble      []Trouble // images that failed or are held, at most mostTrouble
	Retired      int       // images that are hidden and still there
	Oldest       time.Time `json:",omitzero"` // since when the oldest of them is retired
}

// SourceStatus is what a source said last.
type SourceStatus struct {
	Name    string
	Kind    Kind
	Failed  FailureKind `json:",omitempty"`
	Reason  string      `json:",omitempty"`
	Hint    string      `json:",omitempty"`
	Since   time.Time   `json:",omitzero"` // since when it fails
	List    string      `json:",omitempty"`
	Version string      `json:",omitempty"`
	Created time.Time   `json:",omitzero"` // of the list
	Expired time.Time   `json:",omitzero"`
	Images  int
	Bad     int
	Delay   time.Duration `json:",omitempty"` // from publication to Glance, of the image that came last
}

// ShareStatus is how many of the images that a VO is to have are there.
type ShareStatus struct {
	Cloud, VO, Project string
	Mode               site.Mode
	Wanted             int
	Present            int       // in the version of the source
	Outdated           int       // in a former version
	Behind             time.Time `json:",omitzero"`  // since when the oldest of those that lack is published; zero = none lacks, or that is not known
	Failed             string    `json:",omitempty"` // why the project could not be asked
}

// Trouble is an image, or a source's images, that cannot be brought, or is held.
type Trouble struct {
	Source, Image string
	Held          bool `json:",omitempty"`
	Reason        string
	Hint          string    `json:",omitempty"`
	Since         time.Time `json:",omitzero"`
}

// mostTrouble is how many of them a status lists.
const mostTrouble = 100

// statusOf tells how the images of a site are after a run. Results are nil where nothing was done; was is the status before.
func statusOf(seen Seen, results []Result, was Status) Status {
	s := Status{Taken: seen.At}
	for _, v := range seen.Sources {
		one := SourceStatus{Name: v.Source, Kind: v.Kind, List: v.List, Version: v.Version, Created: v.Created, Expired: v.Expired, Images: len(v.Entries), Bad: len(v.Bad)}
		before := SourceStatus{}
		if i := slices.IndexFunc(was.Sources, func(o SourceStatus) bool { return o.Name == v.Source }); i >= 0 {
			before = was.Sources[i]
		}
		one.Delay = before.Delay
		if v.Failed != nil {
			one = before
			one.Name, one.Kind, one.Failed, one.Reason, one.Hint, one.Since = v.Source, v.Kind, v.Failed.Kind, run.Line(v.Failed.Reason, longestReason), v.Failed.Hint, seen.At
			if before.Failed != "" {
				one.Since = before.Since
			}
		}
		for _, r := range results {
			if brought(r) && r.Entry.Source == v.Source && !r.Entry.Published.IsZero() {
				one.Delay = max(seen.At.Sub(r.Entry.Published), 0)
			}
		}
		s.Sources = append(s.Sources, one)
	}
	for _, a := range seen.Plan.Actions {
		if (a.Verb == Fail || a.Verb == Hold) && len(s.Trouble) < mostTrouble {
			s.Trouble = append(s.Trouble, Trouble{Source: a.Source, Image: a.Name, Held: a.Verb == Hold, Reason: run.Line(a.Reason, longestReason), Hint: a.Hint})
		}
	}
	for _, r := range results {
		if r.Err != nil && len(s.Trouble) < mostTrouble {
			s.Trouble = append(s.Trouble, Trouble{Source: r.Source, Image: r.Name, Reason: run.Line(r.Err.Error(), longestReason), Hint: hintOf(r.Err)})
		}
	}
	for i, tr := range s.Trouble {
		s.Trouble[i].Since = seen.At
		if k := slices.IndexFunc(was.Trouble, func(o Trouble) bool { return o.Source == tr.Source && o.Image == tr.Image && o.Held == tr.Held }); k >= 0 {
			s.Trouble[i].Since = was.Trouble[k].Since
		}
	}
	s.shares(seen, results)
	return s
}

// brought tells whether a result is an image that came to Glance.
func brought(r Result) bool {
	return r.Err == nil && slices.Contains([]Verb{Add, Replace, Resume, Finish}, r.Verb)
}

// shares counts what each VO has, by what was seen and then done.
func (s *Status) shares(seen Seen, results []Result) {
	for _, c := range seen.Clouds {
		for _, m := range c.Members {
			one := ShareStatus{Cloud: c.Name, VO: m.VO, Project: m.Project, Mode: m.Mode}
			if err := c.Places[m.Project].Failed; err != nil {
				one.Failed = run.Line(err.Error(), longestReason)
			}
			for _, a := range seen.Plan.Actions {
				if a.Cloud != c.ID || a.Entry == nil || a.Project != m.Project && a.shared == 0 && len(a.Guests) == 0 || !slices.Contains(vosAt(a), m.VO) {
					continue
				}
				one.count(a, results, m.Project != a.Project && lacks(seen.Plan, results, a, m.Project))
			}
			s.Shares = append(s.Shares, one)
		}
		for _, place := range c.Places {
			for _, i := range place.Images {
				if m := readMarks(i); m.State == Retired && !slices.ContainsFunc(results, func(r Result) bool { return r.Image == i.ID && r.Err == nil && r.Stays == "" }) {
					s.Retired++
					if !m.Retired.IsZero() && (s.Oldest.IsZero() || m.Retired.Before(s.Oldest)) {
						s.Oldest = m.Retired
					}
				}
			}
		}
	}
}

// vosAt are the VOs that an action's image is for.
func vosAt(a Action) []string {
	all := slices.Clone(a.Entry.VOs)
	for _, e := range a.also {
		all = append(all, e.VOs...)
	}
	return all
}

// lacks tells whether a project that an image is shared with still has to take it.
func lacks(p Plan, results []Result, a Action, project string) bool {
	share := func(x Action) bool {
		return x.Verb == ShareIt && x.Place == a.Place && x.Key == a.Key && slices.Contains(x.Guests, project)
	}
	return slices.ContainsFunc(p.Actions, share) && !slices.ContainsFunc(results, func(r Result) bool { return r.Err == nil && share(r.Action) })
}

// count adds what an action says of one image; one that the project has not taken yet is not there for it.
func (s *ShareStatus) count(a Action, results []Result, lacks bool) {
	switch a.Verb {
	case Keep, Metadata, Adopt:
		s.Wanted++
		if !lacks {
			s.Present++
		} else {
			s.behind(a.Entry.Published)
		}
		return
	case Add, Replace, Resume, Finish, Fail:
	default:
		return
	}
	s.Wanted++
	if slices.ContainsFunc(results, func(r Result) bool { return brought(r) && r.Key == a.Key && r.Place == a.Place }) {
		if !lacks {
			s.Present++
			return
		}
	} else if len(a.Former) > 0 {
		s.Outdated++
	}
	s.behind(a.Entry.Published)
}

// behind notes since when an image lacks that was published then.
func (s *ShareStatus) behind(published time.Time) {
	if !published.IsZero() && (s.Behind.IsZero() || published.Before(s.Behind)) {
		s.Behind = published
	}
}

// keepStatus keeps how a run left a site's images.
func keepStatus(ctx context.Context, d Deps, t *Target, seen Seen, results []Result) error {
	was, err := ReadStatus(ctx, d.DB, t)
	if err != nil {
		return err
	}
	body, err := json.Marshal(statusOf(seen, results, was))
	if err != nil {
		return err
	}
	return writing(ctx, d, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO image_status (site, taken, body) VALUES ($1, $2, $3)
ON CONFLICT (site) DO UPDATE SET taken = excluded.taken, body = excluded.body`, t.Site.ID, seen.At.UnixMilli(), string(body))
		return err
	})
}

// ReadStatus reads how the target's images were when they were last looked at.
func ReadStatus(ctx context.Context, db *store.Store, t *Target) (Status, error) {
	var s Status
	err := db.Read(ctx, func(tx *store.Tx) error {
		var (
			taken int64
			body  string
		)
		s = Status{}
		err := tx.QueryRow(`SELECT taken, body FROM image_status WHERE site = $1`, t.Site.ID).Scan(&taken, &body)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if json.Unmarshal([]byte(body), &s) != nil {
			s = Status{} // another version wrote it: the next run writes it anew
		}
		s.Taken = time.UnixMilli(taken).UTC()
		return nil
	})
	s.Site, s.SiteID, s.Mode = t.Site.Name, t.Site.ID, t.Settings.Mode
	return s, err
}
