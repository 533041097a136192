package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Start is where a site's accounting begins; it is stored at the first collection.
type Start struct {
	Since      int64 // first instant that is accounted
	Previously Previously
	ActiveFrom int64 // rows of earlier months are sent only when they are republished; 0 = the site was never active
	Fixed      bool  // something was cut: the words of the configuration change nothing any more
}

// Undecided tells whether something was collected, and nobody has agreed yet to its being sent.
func (s Start) Undecided() bool { return s.Since != 0 && s.ActiveFrom == 0 }

// begin gives the site's stored start, and stores it at the first collection. As long as nothing was cut, another word
// in the configuration begins anew: what was collected is forgotten, and collected again from the new start.
func begin(ctx context.Context, d Deps, t *Target) (Start, bool, error) {
	want := Start{Since: t.Settings.Since.Unix(), Previously: t.Settings.Previously}
	if t.Settings.Since.IsZero() {
		want.Since = monthStart(d.Now().Unix())
	}
	var (
		have  Start
		anew  bool
		found bool
	)
	err := d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		have, found, err = startOf(tx, t.Site.ID)
		return err
	})
	if err != nil {
		return Start{}, false, err
	}
	if found && (t.Settings.Since.IsZero() || have.Since == want.Since) && (want.Previously == "" || have.Previously == want.Previously) {
		return have, false, nil
	}
	if found && t.Settings.Since.IsZero() {
		want.Since = have.Since
	}
	if found && want.Previously == "" {
		want.Previously = have.Previously
	}
	said := found && have.Since == want.Since && have.Previously == "" && want.Previously == CASO // counted like that already
	if found && !said {
		anew, err = forget(ctx, d.DB, t.Site)
	}
	if err != nil {
		return Start{}, false, err
	}
	if found && !anew && !said {
		return have, false, fmt.Errorf("site %s: accounting.since or accounting.previously differ from what the first records were made with (since %s, previously %q), and records were cut already: %w",
			t.Site.Name, unix(have.Since), have.Previously, errStarted)
	}
	err = d.DB.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO accounting_start (site, since, previously) VALUES ($1, $2, $3)
			ON CONFLICT (site) DO UPDATE SET since = excluded.since, previously = excluded.previously`, t.Site.ID, want.Since, string(want.Previously))
		if err != nil || !anew {
			return err
		}
		if _, err = tx.Exec(`UPDATE accounting_start SET active_from = NULL WHERE site = $1`, t.Site.ID); err != nil { // it follows from them
			return err
		}
		_, err = tx.Exec(`DELETE FROM sending WHERE site = $1`, t.Site.ID)
		return err
	})
	return want, anew, err
}

var errStarted = errors.New("the stored start stays in force")

func startOf(tx *store.Tx, siteID string) (Start, bool, error) {
	var (
		s          Start
		previously string
		active     sql.NullInt64
	)
	err := tx.QueryRow(`SELECT since, previously, active_from, EXISTS (SELECT 1 FROM message m WHERE m.site = a.site)
		FROM accounting_start a WHERE site = $1`, siteID).Scan(&s.Since, &previously, &active, &s.Fixed)
	if errors.Is(err, sql.ErrNoRows) {
		return Start{}, false, nil
	}
	s.Previously, s.ActiveFrom = Previously(previously), active.Int64
	return s, err == nil, err
}

// forget removes what was collected of a site of which nothing was ever cut; false when something was. It takes as many
// transactions as it needs, and may be killed between them: the windows go first, so that the next collection covers
// everything again, from the start that is in force then, and finds a VM either whole or not at all.
func forget(ctx context.Context, db *store.Store, s site.Site) (bool, error) {
	type part struct{ table, of, id, key string }
	var parts []part
	for _, c := range s.Clouds {
		parts = append(parts, part{"collected", "cloud", c.ID, "cloud, project, kind, from_time"})
	}
	parts = append(parts, part{"collected", "(SELECT c.site FROM cloud c WHERE c.id = collected.cloud)", s.ID, "cloud, project, kind, from_time"}) // also of clouds that are left out now
	stop := func(tx *store.Tx) (cut bool, err error) {
		if cut, err = lockUncut(tx, s.ID); err != nil || cut {
			return cut, err
		}
		_, err = tx.Exec(`UPDATE accounting_start SET active_from = NULL WHERE site = $1`, s.ID) // a run that sends by the former start cuts no more
		return false, err
	}
	for _, t := range append(parts, part{"vm", "site", s.ID, "cloud, vm"}, part{"ledger", "site", s.ID, "site, cloud, kind, subject, period"}) {
		for {
			var (
				deleted int64
				cut     bool
			)
			err := db.Write(ctx, func(tx *store.Tx) (err error) {
				deleted = 0
				if cut, err = stop(tx); err != nil || cut {
					return err
				}
				deleted, err = tx.Exec(`DELETE FROM `+t.table+` WHERE (`+t.key+`) IN (SELECT `+t.key+` FROM `+t.table+` WHERE `+t.of+` = $1 LIMIT $2)`, t.id, maxRows)
				return err
			})
			if err != nil || cut {
				return false, err
			}
			if deleted < maxRows {
				break
			}
		}
	}
	return true, nil
}

// lockUncut locks the site, and tells whether anything of it was cut.
func lockUncut(tx *store.Tx, siteID string) (cut bool, err error) {
	if err := lockSite(tx, siteID); err != nil {
		return false, err
	}
	err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM message WHERE site = $1)`, siteID).Scan(&cut)
	return cut, err
}

// Undecided tells whether the site's records would go out, if somebody agreed (see Sending.GoActive).
func Undecided(ctx context.Context, d Deps, t *Target) (bool, error) {
	if t.Settings.Mode != site.Active {
		return false, nil
	}
	s, err := stored(ctx, d, t)
	return s.Undecided() && t.unready(s) == nil, err
}

// stored gives the site's stored start; before the first collection a zero one.
func stored(ctx context.Context, d Deps, t *Target) (s Start, err error) {
	err = d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		s, _, err = startOf(tx, t.Site.ID)
		return err
	})
	return s, err
}

// goActive stores from which month on a site's rows are sent (design §7, rule 15). Once a message was cut it stays; before
// that, another month in the configuration is taken over.
func goActive(ctx context.Context, d Deps, t *Target) (Start, error) {
	s, err := stored(ctx, d, t)
	if err != nil || s.ActiveFrom == plannedStart(s, t, d.Now()).ActiveFrom {
		return s, err
	}
	err = d.DB.Write(ctx, func(tx *store.Tx) error {
		if err := lockSite(tx, t.Site.ID); err != nil {
			return err
		}
		have, found, err := startOf(tx, t.Site.ID)
		if s = plannedStart(have, t, d.Now()); err != nil || !found || have.ActiveFrom == s.ActiveFrom {
			return err
		}
		_, err = tx.Exec(`UPDATE accounting_start SET active_from = $1 WHERE site = $2`, s.ActiveFrom, t.Site.ID)
		return err
	})
	return s, err
}

// otherMonth tells that the configuration names another month than the one that is in force since the first message.
func (s Start) otherMonth(t *Target) *run.Problem {
	asked := t.Settings.ActiveFrom
	if asked.IsZero() || s.ActiveFrom == 0 || Period(asked.Unix()) == Period(s.ActiveFrom) {
		return nil
	}
	return &run.Problem{Site: t.Site.Name, Object: "accounting", Step: "send", Notice: true, Permanent: true,
		Reason: fmt.Sprintf("accounting.active_from says %s, but records go out from %s on: that was settled when the first ones were sent", Period(asked.Unix()), Period(s.ActiveFrom)),
		Hint:   "put the former month back into the configuration, or leave it out; months before it can only be republished"}
}

// plannedStart is what goActive would store: the month of since, where nothing sent this site's records before, because
// the server counts in the first month that it gets all that a record says; else the configured month, else the present
// one.
func plannedStart(have Start, t *Target, now time.Time) Start {
	switch {
	case have.ActiveFrom != 0 && have.Fixed:
	case have.Previously == Nothing:
		have.ActiveFrom = monthStart(have.Since)
	case !t.Settings.ActiveFrom.IsZero():
		have.ActiveFrom = monthStart(t.Settings.ActiveFrom.Unix())
	case have.ActiveFrom == 0:
		have.ActiveFrom = monthStart(now.Unix())
	}
	return have
}

// outdated tells whether what was collected was reckoned with other words than the present ones, so that the next
// collection begins anew.
func (s Start) outdated(set Settings) bool {
	if s.Since == 0 || s.Fixed {
		return false
	}
	again := s.Previously != set.Previously && (s.Previously != "" || set.Previously != CASO)
	return again || (!set.Since.IsZero() && set.Since.Unix() != s.Since)
}
