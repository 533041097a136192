package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// Status is how far a site's accounting is, by its own tables and files; no cloud and no broker is asked.
type Status struct {
	Site       string // name
	SiteID     string
	Mode       site.Mode
	Since      time.Time // from when on is accounted; zero = nothing was collected yet
	ActiveFrom time.Time // from when on is sent, or will be; zero = nothing is

	Clouds       []CloudStatus
	Destinations []DestinationStatus
	Unsendable   int64     // records that no destination is to get, because something is wrong with them; parked in the ledger
	CleanUps     []CleanUp // that were noted in the last 90 days, by month and VO

	Month    string // the last month that has ended, "2026-10"; "" = nothing is accounted of it
	Complete bool   // all of it was collected and, by an active site, sent
	Missing  string // why it is not complete
}

// CloudStatus is how far a cloud was collected. A project that no VO has any more does not count.
type CloudStatus struct {
	ID, Name string
	Projects int       // that count
	Until    time.Time // up to which all of them were collected; zero = not one yet
	Newest   time.Time // up to which the furthest was
	Behind   string    // the project that is furthest behind, as reports name it
	Gaps     []Gap
	Held     []Held
	Vanished int64 // VMs that were closed because they could not be found any more, as long as their rows are kept
}

// Gap is a stretch of time in which a project was not collected, though it was before or after.
type Gap struct {
	Project  string // as reports name it
	From, To time.Time
}

// DestinationStatus is what a destination has not got.
type DestinationStatus struct {
	Name    string
	Copy    bool
	Clear   time.Time // everything that was collected by then is there; zero = never yet
	Through time.Time // use up to this instant is there; zero = not known
	Oldest  time.Time // since when the oldest record waits, or earlier; zero = nothing waits
	Unsent  int64     // records that wait, in a message or not
	Queued  int64     // messages in a queue that nobody has taken yet
	Parked  int64     // records that it refused
	Settled time.Time // when it last took something; zero = never
	Why     string    // why the last run stopped; "" = it went through

	Certificates []Certificate
}

// What ReadStatus counts. Each has an index of just these rows, which are few however large the tables are.
const (
	countUnsendable = `SELECT count(*) FROM ledger WHERE site = $1 AND kind = $2 AND parked IS NOT NULL`
	countVanished   = `SELECT count(*) FROM vm WHERE cloud = $1 AND vanished IS NOT NULL`
	countCut        = `SELECT sum(records), min(created), count(CASE WHEN remote_id LIKE '` + inQueue + `%' THEN 1 END) FROM message
		WHERE destination = $1 AND site = $2 AND state = '` + stateCut + `'`
	countParked = `SELECT sum(records) FROM message WHERE destination = $1 AND site = $2 AND state = '` + stateParked + `'`
)

// ReadStatus reads how far the target's accounting is. It costs a few look-ups for each project and for each message that
// is under way, however many VMs and records there are.
func ReadStatus(ctx context.Context, db *store.Store, t *Target, now time.Time) (Status, error) {
	var s Status
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		s, err = readStatus(tx, t, now)
		return err
	})
	if err != nil {
		return Status{}, fmt.Errorf("status of accounting of site %s: %w", t.Site.Name, err)
	}
	for i, dest := range t.Destinations {
		if c, ok := dest.(Certified); ok {
			s.Destinations[i].Certificates = c.Certificates()
		}
	}
	return s, nil
}

func readStatus(tx *store.Tx, t *Target, now time.Time) (Status, error) {
	s := Status{Site: t.Site.Name, SiteID: t.Site.ID, Mode: t.Settings.Mode}
	var (
		since, active sql.NullInt64
		previously    sql.NullString
	)
	err := tx.QueryRow(`SELECT since, previously, active_from FROM accounting_start WHERE site = $1`, t.Site.ID).Scan(&since, &previously, &active)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, err
	}
	if s.Mode == site.Active && !active.Valid && since.Valid { // the first run that sends will store it
		active.Int64 = plannedStart(Start{Since: since.Int64, Previously: Previously(previously.String)}, t, now).ActiveFrom
	}
	s.Since, s.ActiveFrom = moment(since), moment(active)
	var last int64 // when the newest collection began, unix milliseconds
	for _, c := range t.Clouds {
		if c.Mode == site.Disabled {
			continue
		}
		cs, seen, err := cloudStatus(tx, t, c, since.Int64, now)
		if err != nil {
			return s, err
		}
		s.Clouds, last = append(s.Clouds, cs), max(last, seen)
	}
	for _, dest := range t.Destinations {
		ds, err := destinationStatus(tx, t, dest, last/1000)
		if err != nil {
			return s, err
		}
		s.Destinations = append(s.Destinations, ds)
	}
	if err := tx.QueryRow(countUnsendable, t.Site.ID, KindCloud).Scan(&s.Unsendable); err != nil {
		return s, err
	}
	if s.CleanUps, err = cleanUps(tx, t.Site.ID, now.Add(-cleanUpShown)); err != nil {
		return s, err
	}
	return s, s.month(tx, t, now)
}

// moment gives a time in unix seconds; zero for NULL and 0.
func moment(at sql.NullInt64) time.Time {
	if at.Int64 == 0 {
		return time.Time{}
	}
	return time.Unix(at.Int64, 0).UTC()
}

// projectWindows is what was collected of one project.
type projectWindows struct {
	id      string
	windows []Window
	seen    int64 // when the last collection began, unix milliseconds
	dropped bool
}

// collectedOf gives what was collected of a cloud's projects.
func collectedOf(tx *store.Tx, cloud string) ([]projectWindows, error) {
	rows, err := tx.Query(`SELECT project, from_time, to_time, seen, dropped FROM collected WHERE cloud = $1 AND kind = $2 ORDER BY project, from_time`, cloud, KindCloud)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []projectWindows
	for rows.Next() {
		var (
			id      string
			w       Window
			seen    int64
			dropped sql.NullInt64
		)
		if err := rows.Scan(&id, &w.From, &w.To, &seen, &dropped); err != nil {
			return nil, err
		}
		if len(all) == 0 || all[len(all)-1].id != id {
			all = append(all, projectWindows{id: id, dropped: true})
		}
		p := &all[len(all)-1]
		p.windows, p.seen, p.dropped = append(p.windows, w), max(p.seen, seen), p.dropped && dropped.Valid
	}
	return all, rows.Err()
}

// counts tells whether a project is to be collected: a VO has it, or the file says that one should.
func (p projectWindows) counts(c site.Cloud, now time.Time) bool {
	return !p.dropped || voOf(c, p.id, now) != ""
}

func cloudStatus(tx *store.Tx, t *Target, c CloudTarget, since int64, now time.Time) (CloudStatus, int64, error) {
	s := CloudStatus{ID: c.Cloud.ID, Name: c.Cloud.Name}
	projects, err := collectedOf(tx, c.Cloud.ID)
	if err != nil {
		return s, 0, err
	}
	var last int64
	for _, p := range projects {
		last = max(last, p.seen)
		if !p.counts(c.Cloud, now) {
			continue
		}
		s.Projects++
		mark := Mark(since, p.windows) // in the windows' order from here on
		if until := time.Unix(mark, 0).UTC(); s.Until.IsZero() || until.Before(s.Until) {
			s.Until, s.Behind = until, objectOf(c.Cloud, p.id, now)
		}
		for end, i := mark, 0; i < len(p.windows); i++ {
			if w := p.windows[i]; w.From > end {
				s.Gaps = append(s.Gaps, Gap{objectOf(c.Cloud, p.id, now), time.Unix(end, 0).UTC(), time.Unix(w.From, 0).UTC()})
			}
			end = max(end, p.windows[i].To)
			if newest := time.Unix(end, 0).UTC(); newest.After(s.Newest) {
				s.Newest = newest
			}
		}
	}
	if s.Held, err = heldProjects(tx, `cloud = $1`, c.Cloud.ID); err != nil {
		return s, 0, err
	}
	for i := range s.Held {
		s.Held[i].Site, s.Held[i].Cloud = t.Site.Name, c.Cloud.Name
	}
	return s, last, tx.QueryRow(countVanished, c.Cloud.ID).Scan(&s.Vanished)
}

// voOf gives the VO that the file gives a project, by its id; "" for none.
func voOf(c site.Cloud, project string, now time.Time) string {
	for _, v := range c.VOs {
		if v.Project == project && v.Mode != site.Disabled && (v.Until.IsZero() || now.Before(v.Until)) {
			return v.Name
		}
	}
	return ""
}

// objectOf names a project of which only the id is known, with the VO that the file gives it.
func objectOf(c site.Cloud, project string, now time.Time) string {
	if vo := voOf(c, project, now); vo != "" {
		return fmt.Sprintf("project %s (VO %s)", project, vo)
	}
	return "project " + project
}

func destinationStatus(tx *store.Tx, t *Target, dest Destination, collected int64) (DestinationStatus, error) {
	s := DestinationStatus{Name: dest.Name(), Copy: t.copies(dest.Name())}
	var (
		first, ran, waiting     int64
		clear, through, settled sql.NullInt64
		records, oldest, parks  sql.NullInt64
	)
	err := tx.QueryRow(`SELECT first, ran, clear, through, waiting, settled, reason FROM sending WHERE destination = $1 AND site = $2`, dest.Name(), t.Site.ID).
		Scan(&first, &ran, &clear, &through, &waiting, &settled, &s.Why)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return s, err
	}
	s.Clear, s.Through, s.Settled = moment(clear), moment(through), moment(settled)
	err = tx.QueryRow(countCut, dest.Name(), t.Site.ID).Scan(&records, &oldest, &s.Queued)
	if err != nil {
		return s, err
	}
	err = tx.QueryRow(countParked, dest.Name(), t.Site.ID).Scan(&parks)
	if err != nil {
		return s, err
	}
	s.Unsent, s.Parked = waiting+records.Int64, parks.Int64
	since := clear.Int64
	if !clear.Valid {
		since = first
	}
	if s.Unsent > 0 || collected > since { // what was collected since then may wait, too
		s.Oldest = time.Unix(since, 0).UTC()
	}
	if at := moment(oldest); !at.IsZero() && (since == 0 || at.Before(s.Oldest)) {
		s.Oldest = at
	} else if since == 0 { // it was never sent to: nothing is known
		s.Oldest = time.Time{}
	}
	return s, nil
}

// month tells whether the month that ended last is complete.
func (s *Status) month(tx *store.Tx, t *Target, now time.Time) error {
	end := time.Unix(monthStart(now.Unix()), 0).UTC()
	if s.Since.IsZero() || !s.Since.Before(end) {
		return nil
	}
	s.Month = Period(end.Unix() - 1)
	for _, c := range s.Clouds {
		if c.Until.IsZero() {
			continue // nothing there is to be collected, or the cloud is new
		}
		if c.Until.Before(end) {
			s.Missing = fmt.Sprintf("cloud %s was collected up to %s only (%s)", c.Name, stamp(c.Until), c.Behind)
			return nil
		}
		if len(c.Held) > 0 {
			s.Missing = fmt.Sprintf("%s of cloud %s is held", c.Held[0].Object(), c.Name)
			return nil
		}
	}
	if s.Mode == site.Active && !s.ActiveFrom.IsZero() && s.ActiveFrom.Before(end) {
		for _, d := range s.Destinations {
			if d.Copy || !d.Through.Before(end) {
				continue
			}
			s.Missing = fmt.Sprintf("destination %s has not got all of it", d.Name)
			if d.Why != "" {
				s.Missing += ": " + d.Why
			}
			return nil
		}
		var parked int64
		if err := tx.QueryRow(countUnsendable+` AND period = $3`, t.Site.ID, KindCloud, s.Month).Scan(&parked); err != nil {
			return err
		}
		for _, d := range s.Destinations {
			if !d.Copy {
				parked += d.Parked
			}
		}
		if parked > 0 {
			s.Missing = fmt.Sprintf("%d records of it, or of other months, are parked", parked)
			return nil
		}
	}
	s.Complete = true
	return nil
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }
