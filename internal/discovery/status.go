package discovery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/glue"
)

// Status is how a site's discovery is, by its own tables; no cloud and no sink is asked.
type Status struct {
	Site, SiteID string
	Mode         site.Mode
	KeepFor      time.Duration
	Taken        time.Time // when the clouds were last asked; zero = never
	Endpoints    []EndpointStatus
	Sinks        []SinkStatus
}

// EndpointStatus is how a document was when it was last made.
type EndpointStatus struct {
	EP            string
	GOCDBKey      string           `json:",omitempty"`
	Health        glue.HealthState // as the document says it
	HealthInfo    string
	Images        int
	InstanceTypes int
	Accelerators  int
	Findings      int // what could not be shown as it is
	Shares        []ShareStatus
}

// ShareStatus is what is known of a share.
type ShareStatus struct {
	Cloud, Region, VO, Project string
	Name                       string    `json:",omitempty"` // of the project
	Mode                       site.Mode // observe, active
	State                      ShareState
	AsOf                       time.Time `json:",omitzero"` // how old the oldest part is that is shown; zero = nothing is
	Troubles                   []Trouble `json:",omitempty"`
	Images, Flavors            int       // in the document
	VMs                        int
	MaxVM                      *int64 `json:",omitempty"` // nil = without limit, or not known
}

// ShareState says how fresh what is known of a share is.
type ShareState string

// States of shares.
const (
	Fresh   ShareState = "fresh"   // all of it is of the last run
	Stale   ShareState = "stale"   // some of it is older, and is shown as it was
	Partial ShareState = "partial" // some of it is not known, the rest is fresh
	Unknown ShareState = "unknown" // nothing is known: it is not in the document
)

// SinkStatus is what a sink has of a site.
type SinkStatus struct {
	Name      string
	Documents int       // that it has
	Missing   []string  // endpoints whose document it never got
	Delivered time.Time // when it got the one that it got the longest ago; zero = never
	Changed   time.Time // when one of them last said something else; zero = never
}

// StatusOf tells how a document came about.
func StatusOf(c Catalog, d glue.Document, findings int) EndpointStatus {
	s := EndpointStatus{EP: c.EP, GOCDBKey: c.Registration.Value.Key, Findings: findings,
		Images: distinct(d.Images, func(i glue.Image) string { return i.ID }), InstanceTypes: distinct(d.InstanceTypes, func(t glue.InstanceType) string { return t.ID }),
		Accelerators: distinct(d.VirtualAccelerators, func(a glue.VirtualAccelerator) string { return a.ID })}
	for _, e := range d.Endpoints {
		if s.Health == "" || e.HealthState != glue.HealthOK {
			s.Health, s.HealthInfo = e.HealthState, e.HealthStateInfo
		}
	}
	inDoc := inDocumentOf(d)
	for _, r := range c.Regions {
		for _, sh := range r.Shares {
			one, in := shareStatus(r, sh), inDoc[[2]string{sh.VO, sh.Project}]
			one.Images, one.Flavors, one.MaxVM = in.images, in.flavors, in.maxVM
			s.Shares = append(s.Shares, one)
		}
	}
	return s
}

// inDocument is what a document has of a VO's project.
type inDocument struct {
	images, flavors int
	maxVM           *int64
}

// inDocumentOf counts what a document has of each VO and project. In several regions the largest counts.
func inDocumentOf(d glue.Document) map[[2]string]inDocument {
	images, flavors := map[string]int{}, map[string]int{}
	for _, i := range d.Images {
		for _, id := range i.Shares {
			images[id]++
		}
	}
	for _, t := range d.InstanceTypes {
		for _, id := range t.Shares {
			flavors[id]++
		}
	}
	vos := map[string]string{}
	for _, m := range d.MappingPolicies {
		for _, id := range m.Shares {
			for _, vo := range m.UserDomains {
				vos[id] = vo
			}
		}
	}
	all := map[[2]string]inDocument{}
	for _, s := range d.Shares {
		key := [2]string{vos[s.ID], s.ProjectID}
		was := all[key]
		one := inDocument{images: max(was.images, images[s.ID]), flavors: max(was.flavors, flavors[s.ID]), maxVM: was.maxVM}
		if s.MaxVM != nil && (one.maxVM == nil || *s.MaxVM > *one.maxVM) {
			one.maxVM = s.MaxVM
		}
		all[key] = one
	}
	return all
}

func distinct[T any](all []T, id func(T) string) int {
	seen := map[string]bool{}
	for _, one := range all {
		seen[id(one)] = true
	}
	return len(seen)
}

func shareStatus(r Region, sh Share) ShareStatus {
	s := ShareStatus{Cloud: r.Name, Region: r.Region, VO: sh.VO, Project: sh.Project, Name: sh.Offer.Scope.Value.Name, Mode: sh.Mode, State: Fresh,
		Troubles: sh.Offer.Troubles(), VMs: sh.Offer.VMs.Value.Total}
	known, stale, lacking := false, false, false
	for i, p := range offerParts(&sh.Offer) {
		if i == 0 {
			continue // the project's name
		}
		known, stale, lacking = known || p.known(), stale || p.stale(), lacking || !p.known()
		if p.known() && (s.AsOf.IsZero() || p.at.Before(s.AsOf)) {
			s.AsOf = p.at
		}
	}
	switch {
	case !known:
		s.State = Unknown
	case stale:
		s.State = Stale
	case lacking:
		s.State = Partial
	}
	return s
}

// keepStatus keeps how the last look at the site's clouds went.
func keepStatus(ctx context.Context, d Deps, t *Target, taken time.Time, all []EndpointStatus) error {
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	return write(ctx, d, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO discovery_status (site, taken, body) VALUES ($1, $2, $3)
ON CONFLICT (site) DO UPDATE SET taken = excluded.taken, body = excluded.body`, t.Site.ID, taken.UnixMilli(), string(body))
		return err
	})
}

// ReadStatus reads how the target's discovery is: one row, and one for each sink and endpoint.
func ReadStatus(ctx context.Context, db *store.Store, t *Target) (Status, error) {
	s := Status{Site: t.Site.Name, SiteID: t.Site.ID, Mode: t.Settings.Mode, KeepFor: t.Settings.KeepFor}
	err := db.Read(ctx, func(tx *store.Tx) error {
		var (
			taken int64
			body  string
		)
		s.Endpoints, s.Sinks = nil, nil
		err := tx.QueryRow(`SELECT taken, body FROM discovery_status WHERE site = $1`, t.Site.ID).Scan(&taken, &body)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return err
		default:
			s.Taken = time.UnixMilli(taken).UTC()
			if err := json.Unmarshal([]byte(body), &s.Endpoints); err != nil {
				s.Endpoints = nil // another version wrote it: the next run writes it anew
			}
		}
		for _, sink := range t.Sinks {
			st, err := sinkStatus(tx, t, sink)
			if err != nil {
				return err
			}
			s.Sinks = append(s.Sinks, st)
		}
		return nil
	})
	if err != nil {
		return Status{}, fmt.Errorf("status of discovery of site %s: %w", t.Site.Name, err)
	}
	return s, nil
}

func sinkStatus(tx *store.Tx, t *Target, sink Sink) (SinkStatus, error) {
	s := SinkStatus{Name: sink.Name()}
	rows, err := tx.Query(`SELECT endpoint, delivered, changed FROM publication WHERE site = $1 AND sink = $2 AND replaced = 0`, t.Site.ID, sink.Name())
	if err != nil {
		return s, err
	}
	defer rows.Close()
	has := map[string]bool{}
	for rows.Next() {
		var (
			endpoint           string
			delivered, changed int64
		)
		if err := rows.Scan(&endpoint, &delivered, &changed); err != nil {
			return s, err
		}
		if !t.serves(endpoint) { // it is about to be taken away
			continue
		}
		has[endpoint] = true
		if at := time.UnixMilli(delivered).UTC(); s.Delivered.IsZero() || at.Before(s.Delivered) {
			s.Delivered = at
		}
		if at := time.UnixMilli(changed).UTC(); at.After(s.Changed) {
			s.Changed = at
		}
	}
	s.Documents = len(has)
	for _, c := range t.Clouds {
		if !has[c.EP] && site.Lowest(t.Settings.Mode, c.Mode) == site.Active {
			has[c.EP] = true
			s.Missing = append(s.Missing, c.EP)
		}
	}
	return s, rows.Err()
}

// serves tells whether one of the target's clouds is at the endpoint.
func (t *Target) serves(endpoint string) bool {
	for _, c := range t.Clouds {
		if c.EP == endpoint && c.Mode != site.Disabled {
			return true
		}
	}
	return false
}
