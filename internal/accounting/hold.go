package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/audit"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// part is this pipeline's word in tables that several share.
const part = "accounting"

// Held is a project of which so much was gone at once that nothing of it is closed until an operator says so, or it is
// back.
type Held struct {
	Site     string    `json:"site"`
	Cloud    string    `json:"cloud"`
	Project  string    `json:"project"` // id
	Name     string    `json:"name,omitempty"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason"`
	Released time.Time `json:"released,omitzero"` // what was last seen before is gone, an operator says; zero = nobody has

	cloudID string
	checked int64 // unix milliseconds: when the last collection began that found it so
}

// Object gives the project as reports name it.
func (h Held) Object() string { return site.Project{ID: h.Project, Name: h.Name}.Object() }

// Named tells whether somebody who writes the word means this project: its id or its name, or one of them after the
// cloud's name and a slash, because the regions of a cloud have their projects in common.
func (h Held) Named(word string) bool {
	if rest, ok := strings.CutPrefix(word, h.Cloud+"/"); ok && rest != "" && (rest == h.Project || rest == h.Name) {
		return true
	}
	return word != "" && (word == h.Project || word == h.Name)
}

// heldOf gives the state of a project that is held, nil for one that is not.
func heldOf(ctx context.Context, db *store.Store, cloud, project string) (h *Held, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		h = nil
		found, err := heldProjects(tx, `cloud = $1 AND project = $2`, cloud, project)
		if len(found) > 0 {
			h = &found[0]
		}
		return err
	})
	if err != nil {
		return nil, storeError{err}
	}
	return h, nil
}

func heldProjects(tx *store.Tx, where string, args ...any) ([]Held, error) {
	rows, err := tx.Query(`SELECT cloud, project, name, held, checked, reason, released FROM project_state WHERE part = '`+part+`' AND `+where+` ORDER BY cloud, project`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Held
	for rows.Next() {
		var (
			h        Held
			since    int64
			released sql.NullInt64
		)
		if err := rows.Scan(&h.cloudID, &h.Project, &h.Name, &since, &h.checked, &h.Reason, &released); err != nil {
			return nil, err
		}
		h.Since = time.UnixMilli(since).UTC()
		if released.Valid {
			h.Released = time.UnixMilli(released.Int64).UTC()
		}
		all = append(all, h)
	}
	return all, rows.Err()
}

// hold notes that a project is held, and why; a release that the run knew of covers nothing more, but one that came in
// the middle of it does. The remedy says what else to do than to release it.
func (c *collector) hold(ctx context.Context, p site.Project, reason, remedy string, was *Held, began time.Time) error {
	done := int64(0)
	if was != nil && !was.Released.IsZero() {
		done = was.Released.UnixMilli()
	}
	err := c.d.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO project_state (cloud, project, part, name, held, checked, reason) VALUES ($1, $2, $3, $4, $5, $5, $6)
			ON CONFLICT (cloud, project, part) DO UPDATE SET name = excluded.name, checked = excluded.checked, reason = excluded.reason,
			released = CASE WHEN project_state.released > $7 THEN project_state.released ELSE NULL END`,
			c.c.Cloud.ID, p.ID, part, p.Name, began.UnixMilli(), reason, done)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	c.problem(p.Object(), reason, run.Problem{Permanent: true, Hint: remedy})
	return nil
}

// free ends the hold of a project.
func (c *collector) free(ctx context.Context, h *Held) error {
	if h == nil {
		return nil
	}
	err := c.d.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM project_state WHERE cloud = $1 AND project = $2 AND part = $3`, c.c.Cloud.ID, h.Project, part)
		return err
	})
	if err != nil {
		return storeError{err}
	}
	if h.Released.IsZero() {
		c.problem(h.Object(), "no longer held: its VMs are found again", run.Problem{Notice: true})
	}
	return nil
}

// HeldProjects gives the projects of the target that are held.
func HeldProjects(ctx context.Context, db *store.Store, t *Target) (all []Held, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		for _, c := range t.Clouds {
			found, err := heldProjects(tx, `cloud = $1`, c.Cloud.ID)
			if err != nil {
				return err
			}
			for _, h := range found {
				h.Site, h.Cloud = t.Site.Name, c.Cloud.Name
				all = append(all, h)
			}
		}
		return nil
	})
	return all, err
}

// tellHeld reports the projects that are held, so that whoever looks at what was sent knows what is not in it.
func tellHeld(ctx context.Context, d Deps, t *Target) error {
	all, err := HeldProjects(ctx, d.DB, t)
	for _, h := range all {
		p := run.Problem{Site: t.Site.Name, Cloud: h.Cloud, Object: h.Object(), Step: "collect", Notice: true, Reason: fmt.Sprintf("%s (since %s UTC)", h.Reason, h.Since.Format("2006-01-02 15:04")),
			Hint: "what its missing VMs used since is in no record; fedsite accounting release " + h.Project + " --dry-run shows which they are"}
		if !h.Released.IsZero() {
			p.Hint = "released: the next collection closes those of its missing VMs that it does not find"
		}
		d.Run.Problem(p)
	}
	return err
}

// Closing is a VM that a release lets the next collection close.
type Closing struct {
	VM      string    `json:"vm"`
	Name    string    `json:"name"`
	VO      string    `json:"vo"`
	Seen    time.Time `json:"last_seen"` // and closed then
	Through time.Time `json:"counted_to"`
}

// Release is what Release did, or would do, to one project.
type Release struct {
	Held
	VMs []Closing `json:"vms"`
}

// ErrNotHeld marks a project that cannot be released, because it is not held.
var ErrNotHeld = errors.New("is not held")

// ReleaseProject says of a held project, named by id or name (see Named), that its missing VMs are gone: the next collection looks for
// them once more, and closes those that it does not find when they were last seen. With dryRun nothing changes. By is who
// asks. A name that several clouds of the site hold a project of is an error; so is one that is not held: ErrNotHeld.
func ReleaseProject(ctx context.Context, d Deps, t *Target, project, by string, dryRun bool) (Release, error) {
	all, err := HeldProjects(ctx, d.DB, t)
	if err != nil {
		return Release{}, err
	}
	all = slices.DeleteFunc(all, func(h Held) bool { return !h.Named(project) })
	if len(all) == 0 {
		return Release{}, fmt.Errorf("project %s of site %s %w", project, t.Site.Name, ErrNotHeld)
	}
	if len(all) > 1 {
		return Release{}, fmt.Errorf("site %s holds %d projects called %s: name one by its cloud and id: %s/%s, %s/%s", t.Site.Name, len(all), project, all[0].Cloud, all[0].Project, all[1].Cloud, all[1].Project)
	}
	r := Release{Held: all[0]}
	now := d.Now()
	load := func(tx *store.Tx) (err error) {
		r.VMs, err = closings(tx, r.Held)
		return err
	}
	if dryRun {
		return r, d.DB.Read(ctx, load)
	}
	err = d.DB.Write(ctx, func(tx *store.Tx) error {
		if err := load(tx); err != nil {
			return err
		}
		n, err := tx.Exec(`UPDATE project_state SET released = checked WHERE cloud = $1 AND project = $2 AND part = $3 AND checked = $4`, r.cloudID, r.Project, part, r.checked)
		if err == nil && n == 0 {
			err = fmt.Errorf("project %s of site %s was collected meanwhile: look again what would be closed", project, t.Site.Name)
		}
		if err != nil {
			return err
		}
		return audit.Write(tx, audit.Entry{At: now, Who: by, Action: "accounting.release", Object: fmt.Sprintf("%s of cloud %s, site %s: %d VMs", r.Object(), r.Cloud, t.Site.Name, len(r.VMs))})
	})
	r.Released = time.UnixMilli(r.checked).UTC()
	return r, err
}

// closings gives the open VMs of a project that the collection which held it did not see.
func closings(tx *store.Tx, h Held) ([]Closing, error) {
	rows, err := tx.Query(`SELECT vm, name, vo, shown, counted_to FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL
		AND shown < $3 ORDER BY shown, vm`, h.cloudID, h.Project, h.checked)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Closing{}
	for rows.Next() {
		var (
			c             Closing
			seen, counted int64
		)
		if err := rows.Scan(&c.VM, &c.Name, &c.VO, &seen, &counted); err != nil {
			return nil, err
		}
		c.Seen, c.Through = time.UnixMilli(seen).UTC(), time.Unix(counted, 0).UTC()
		all = append(all, c)
	}
	return all, rows.Err()
}
