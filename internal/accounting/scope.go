package accounting

import (
	"context"
	"slices"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// scope is a cloud, or a VO at a cloud, that has a mode of its own within an active site (design §4, Modes). It is kept
// from when it first only observed: when it becomes active, its records go out from that month on, as a site's do (design
// §7, rule 15).
type scope struct {
	cloud, vo string // ids; vo is what records say, "" = the whole cloud
	from      string // oldest month that is sent
}

// never is a month that does not come: the scope observes.
const never = "9999-12"

type scopes []scope

// holds tells whether a record is kept back.
func (s scopes) holds(cloud, vo, period string) bool {
	return slices.ContainsFunc(s, func(o scope) bool { return o.cloud == cloud && (o.vo == "" || o.vo == vo) && period < o.from })
}

// modes gives the modes of the target's clouds and VOs, as scopes: those that are not active with never.
func (t *Target) modes() map[scope]bool {
	all := map[scope]bool{} // scope without its month: active
	for _, c := range t.Clouds {
		cloud := scope{cloud: c.Cloud.ID}
		all[cloud] = c.Mode == "" || c.Mode == site.Active
		for _, v := range c.Cloud.VOs {
			vo := scope{cloud: c.Cloud.ID, vo: v.Name}
			if v.AccountAs != "" {
				vo.vo = v.AccountAs
			}
			was, known := all[vo]
			all[vo] = (was || !known) && (v.Mode == "" || v.Mode == site.Active) // of two with one name in records the lower mode counts
		}
	}
	return all
}

// plannedScopes gives the scopes that are in force now: those that observe, and those that did. One that the configuration
// does not name any more stays as it was: leaving an entry out must not send what it kept back.
func plannedScopes(stored scopes, t *Target, start Start, present string) (in scopes) {
	modes := t.modes()
	for _, s := range stored {
		if _, named := modes[scope{cloud: s.cloud, vo: s.vo}]; !named {
			in = append(in, s)
		}
	}
	for key, active := range modes {
		i := slices.IndexFunc(stored, func(s scope) bool { return s.cloud == key.cloud && s.vo == key.vo })
		switch {
		case !active:
			key.from = never
		case i < 0:
			continue
		case stored[i].from != never:
			key = stored[i]
		case start.Previously == Nothing: // the first month that the server gets is charged with all before it
			key.from = Period(start.Since)
		default:
			key.from = present
		}
		in = append(in, key)
	}
	return in
}

func storedScopes(tx *store.Tx, siteID string) (all scopes, err error) {
	rows, err := tx.Query(`SELECT cloud, vo, active_from FROM accounting_scope WHERE site = $1`, siteID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s scope
		if err := rows.Scan(&s.cloud, &s.vo, &s.from); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// keepScopes stores the scopes in force, and gives them.
func keepScopes(ctx context.Context, d Deps, t *Target, start Start) (in scopes, err error) {
	var have scopes
	read := func(tx *store.Tx) (err error) {
		have, err = storedScopes(tx, t.Site.ID)
		in = plannedScopes(have, t, start, Period(d.Now().Unix()))
		return err
	}
	if err := d.DB.Read(ctx, read); err != nil {
		return nil, err
	}
	same := func() bool {
		return !slices.ContainsFunc(in, func(s scope) bool { return !slices.Contains(have, s) })
	}
	if same() {
		return in, nil
	}
	err = d.DB.Write(ctx, func(tx *store.Tx) error {
		if err := lockSite(tx, t.Site.ID); err != nil {
			return err
		}
		if err := read(tx); err != nil {
			return err
		}
		for _, s := range in {
			if _, err := tx.Exec(`INSERT INTO accounting_scope (site, cloud, vo, active_from) VALUES ($1, $2, $3, $4)
				ON CONFLICT (site, cloud, vo) DO UPDATE SET active_from = excluded.active_from`, t.Site.ID, s.cloud, s.vo, s.from); err != nil {
				return err
			}
		}
		return nil
	})
	return in, err
}
