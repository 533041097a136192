package discovery

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// keep gives what is to be said of a part: what was just got, or, where there was trouble, what was got last while it is
// younger than so long. Trouble is as old as the first in a row. What was got in spite of trouble, a listing with gaps,
// stands back behind a good one.
func keep[T any](got, last Known[T], at time.Time, keepFor time.Duration) Known[T] {
	if got.Trouble == nil {
		return got
	}
	good := last.IsKnown() && at.Sub(last.At).Abs() < keepFor // one from the future, after a clock was set back, ends too
	if last.Trouble != nil {
		since := *got.Trouble
		if last.Trouble.Since.Before(since.Since) {
			since.Since = last.Trouble.Since
		}
		got.Trouble = &since
		good = good && (!got.IsKnown() || last.At.Before(last.Trouble.Since))
	}
	if good {
		got.Value, got.At = last.Value, last.At
	}
	return got
}

// kept is keep for each part of an offer.
func (o Offer) kept(last Offer, at time.Time, keepFor time.Duration) Offer {
	return Offer{
		Scope:         keep(o.Scope, last.Scope, at, keepFor),
		Flavors:       keep(o.Flavors, last.Flavors, at, keepFor),
		Images:        keep(o.Images, last.Images, at, keepFor),
		Networks:      keep(o.Networks, last.Networks, at, keepFor),
		Quotas:        keep(o.Quotas, last.Quotas, at, keepFor),
		NetworkQuotas: keep(o.NetworkQuotas, last.NetworkQuotas, at, keepFor),
		VolumeQuotas:  keep(o.VolumeQuotas, last.VolumeQuotas, at, keepFor),
		VMs:           keep(o.VMs, last.VMs, at, keepFor),
	}
}

// keptProject is a project of which something is kept.
type keptProject struct {
	id, name, said string
	own            []string // VOs whose own credential is of it
	asked          time.Time
}

// cloudState is what is kept of a cloud beside its shares.
type cloudState struct {
	Version Known[string]
	Trouble *Trouble `json:",omitempty"`
}

// read and write ask the store. One that was interrupted says for what the run was ended.
func read(ctx context.Context, d Deps, fn func(*store.Tx) error) error {
	return ended(ctx, d.DB.Read(ctx, fn))
}

func write(ctx context.Context, d Deps, fn func(*store.Tx) error) error {
	return ended(ctx, d.DB.Write(ctx, fn))
}

func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// keptProjects lists the projects of a cloud of which something is kept, by their ids.
func keptProjects(tx *store.Tx, siteID, cloud string) ([]keptProject, error) {
	rows, err := tx.Query(`SELECT project, name, said, own, asked FROM share_state WHERE site = $1 AND cloud = $2 ORDER BY project`, siteID, cloud)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []keptProject
	for rows.Next() {
		var (
			k     keptProject
			own   string
			asked int64
		)
		if err := rows.Scan(&k.id, &k.name, &k.said, &own, &asked); err != nil {
			return nil, err
		}
		if own != "" {
			k.own = strings.Split(own, ",")
		}
		k.asked = time.UnixMilli(asked).UTC()
		all = append(all, k)
	}
	return all, rows.Err()
}

// whenAsked stands in a kept offer for the time of its row, so that an offer that is as before is the same text.
var whenAsked = time.Unix(0, 0).UTC()

// redated gives the offer with other times of the parts that were got at one.
func (o Offer) redated(from, to time.Time) Offer {
	o.Scope, o.Flavors, o.Images, o.Networks = redated(o.Scope, from, to), redated(o.Flavors, from, to), redated(o.Images, from, to), redated(o.Networks, from, to)
	o.Quotas, o.NetworkQuotas, o.VolumeQuotas = redated(o.Quotas, from, to), redated(o.NetworkQuotas, from, to), redated(o.VolumeQuotas, from, to)
	o.VMs = redated(o.VMs, from, to)
	return o
}

func redated[T any](k Known[T], from, to time.Time) Known[T] {
	if k.At.Equal(from) {
		k.At = to
	}
	return k
}

// lastOffer gives what was last kept of a project; nothing where there is nothing, or nothing that can be read any more.
func lastOffer(tx *store.Tx, siteID, cloud, project string) (Offer, error) {
	var (
		body  string
		asked int64
		o     Offer
	)
	err := tx.QueryRow(`SELECT body, asked FROM share_state WHERE site = $1 AND cloud = $2 AND project = $3`, siteID, cloud, project).Scan(&body, &asked)
	if errors.Is(err, sql.ErrNoRows) {
		return Offer{}, nil
	}
	if err != nil {
		return Offer{}, err
	}
	if json.Unmarshal([]byte(body), &o) != nil {
		return Offer{}, nil
	}
	return o.redated(whenAsked, time.UnixMilli(asked).UTC()), nil
}

// keepOffer keeps a project's offer. One that is as before, and may have some MB, is not written again: only that it was asked.
func keepOffer(tx *store.Tx, siteID, cloud string, p tenant, asked time.Time, o Offer) error {
	body, err := json.Marshal(o.redated(asked, whenAsked))
	if err != nil {
		return fmt.Errorf("offer of project %s: %w", p.project.ID, err)
	}
	same, err := tx.Exec(`UPDATE share_state SET name = $4, said = $5, own = $6, asked = $7 WHERE site = $1 AND cloud = $2 AND project = $3 AND body = $8`,
		siteID, cloud, p.project.ID, p.project.Name, p.said, strings.Join(p.project.Of, ","), asked.UnixMilli(), string(body))
	if err != nil || same > 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO share_state (site, cloud, project, name, said, own, asked, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (site, cloud, project) DO UPDATE SET name = excluded.name, said = excluded.said, own = excluded.own, asked = excluded.asked, body = excluded.body`,
		siteID, cloud, p.project.ID, p.project.Name, p.said, strings.Join(p.project.Of, ","), asked.UnixMilli(), string(body))
	return err
}

// lastState reads what is kept of an endpoint (cloud "") or a cloud into v, which stays as it is where there is nothing.
func lastState(tx *store.Tx, siteID, endpoint, cloud string, v any) error {
	var body string
	err := tx.QueryRow(`SELECT body FROM endpoint_state WHERE site = $1 AND endpoint = $2 AND cloud = $3`, siteID, endpoint, cloud).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_ = json.Unmarshal([]byte(body), v) // what cannot be read any more is nothing
	}
	return err
}

// keepState keeps what is known of an endpoint (cloud "") or a cloud.
func keepState(tx *store.Tx, siteID, endpoint, cloud string, asked time.Time, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO endpoint_state (site, endpoint, cloud, asked, body) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (site, endpoint, cloud) DO UPDATE SET asked = excluded.asked, body = excluded.body`, siteID, endpoint, cloud, asked.UnixMilli(), string(body))
	return err
}

// forgetAtOnce is how many rows one transaction deletes at most.
const forgetAtOnce = 500

// forgetProjects deletes what is kept of projects without shares.
func forgetProjects(ctx context.Context, d Deps, siteID, cloud string, projects []string) error {
	for some := range slices.Chunk(projects, forgetAtOnce) {
		err := write(ctx, d, func(tx *store.Tx) error {
			for _, p := range some {
				if _, err := tx.Exec(`DELETE FROM share_state WHERE site = $1 AND cloud = $2 AND project = $3`, siteID, cloud, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// forgetClouds deletes what is kept of clouds and endpoints that the site has no more.
func forgetClouds(ctx context.Context, d Deps, t *Target) error {
	type row struct{ endpoint, cloud string }
	var gone, old []row
	err := read(ctx, d, func(tx *store.Tx) error {
		gone, old = nil, nil
		rows, err := tx.Query(`SELECT '', cloud FROM share_state WHERE site = $1 GROUP BY cloud UNION ALL SELECT endpoint, cloud FROM endpoint_state WHERE site = $1`, t.Site.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.endpoint, &r.cloud); err != nil {
				return err
			}
			here := slices.ContainsFunc(t.Clouds, func(c CloudTarget) bool {
				return (r.endpoint == "" || r.endpoint == c.EP) && (r.cloud == "" || r.cloud == c.Cloud.ID)
			})
			switch {
			case here:
			case r.endpoint == "":
				gone = append(gone, r)
			default:
				old = append(old, r)
			}
		}
		return rows.Err()
	})
	if err != nil || len(gone)+len(old) == 0 {
		return err
	}
	return write(ctx, d, func(tx *store.Tx) error {
		for _, r := range gone {
			if _, err := tx.Exec(`DELETE FROM share_state WHERE site = $1 AND cloud = $2`, t.Site.ID, r.cloud); err != nil {
				return err
			}
		}
		for _, r := range old {
			if _, err := tx.Exec(`DELETE FROM endpoint_state WHERE site = $1 AND endpoint = $2 AND cloud = $3`, t.Site.ID, r.endpoint, r.cloud); err != nil {
				return err
			}
		}
		return nil
	})
}
