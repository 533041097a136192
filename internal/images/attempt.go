package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/vmlist"
)

// Trial is a file and where something was tried with it: it was to be had from there, or brought to there. What one of them
// refuses says nothing of the others.
type Trial struct {
	Digest Digest
	At     string // URL of the file, without what is secret; or cloud and project
}

// source and target are the trials of an entry.
func (e Entry) source() Trial         { return Trial{e.Digest, vmlist.Shown(e.At.URL)} }
func (e Entry) target(at Place) Trial { return Trial{e.Digest, at.Cloud + "/" + at.Project} }

// again is the trial to put the entry's own image in the place of one that carries its marks and is not from here. It fails when
// there is such an image once more.
func (e Entry) again(at Place) Trial { return Trial{e.Digest, againMark + at.Cloud + "/" + at.Project} }

const againMark = "again "

// errAgain is what is remembered of an image that took the place of one that was not from here.
var errAgain = fmt.Errorf("%w: it took the place of one that carried its marks and was not from here", errWrongSum)

// Attempt is what is remembered of a trial that failed.
type Attempt struct {
	Failed  int       // how often in a row
	Next    time.Time // a task does not try before
	Lasting bool      // it will not pass by itself
	Reason  string
	At      time.Time
}

// waits gives the trial of an entry that failed and is not due yet, at a place.
func (o Observed) waits(e Entry, at Place) (Attempt, bool) {
	for _, t := range []Trial{e.source(), e.target(at)} {
		if last, failed := o.Attempts[t]; failed && o.At.Before(last.Next) {
			return last, true
		}
	}
	return Attempt{}, false
}

// attempts gives the trials of a site that failed.
func attempts(ctx context.Context, d Deps, siteID string) (map[Trial]Attempt, error) {
	all := map[Trial]Attempt{}
	err := reading(ctx, d, func(tx *store.Tx) error {
		clear(all)
		rows, err := tx.Query(`SELECT digest, place, failed, next, lasting, reason, at FROM image_attempt WHERE site = $1`, siteID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				t                 Trial
				digest            string
				a                 Attempt
				next, lasting, at int64
			)
			if err := rows.Scan(&digest, &t.At, &a.Failed, &next, &lasting, &a.Reason, &at); err != nil {
				return err
			}
			t.Digest, a.Next, a.Lasting, a.At = Digest(digest), fromMillis(next), lasting != 0, fromMillis(at)
			all[t] = a
		}
		return rows.Err()
	})
	return all, err
}

// Pauses between trials that fail: they double. What is remembered of one that nobody tries any more is forgotten in the end.
const (
	firstPause = 10 * time.Minute
	longPause  = 24 * time.Hour
	forgotten  = 30 * 24 * time.Hour
)

// remember notes what became of fetching a parcel, and of each of its orders.
func (a *applier) remember(ctx context.Context, p *parcel, fetching error) {
	kept := writing(ctx, a.d, func(tx *store.Tx) error {
		if err := a.tried(tx, p.entry.source(), fetching); err != nil {
			return err
		}
		for _, o := range p.orders {
			if fetching != nil && errors.Is(o.err, fetching) { // nothing is known of Glance
				continue
			}
			if err := a.tried(tx, o.action.Entry.target(o.action.Place), o.err); err != nil {
				return err
			}
			if o.action.forged && o.err == nil {
				if err := a.tried(tx, o.action.Entry.again(o.action.Place), errAgain); err != nil {
					return err
				}
			}
		}
		if fetching == nil && !p.again(nil) { // nothing of it stays on disk
			if _, err := tx.Exec(`DELETE FROM image_transfer WHERE site = $1 AND digest = $2`, a.t.Site.ID, string(p.entry.Digest)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM image_attempt WHERE site = $1 AND at < $2`, a.t.Site.ID, millis(a.d.Now().Add(-forgotten)))
		return err
	})
	if kept != nil {
		a.d.Log.Warn("what became of an image could not be noted", "image", p.entry.Name(), "error", kept)
	}
}

// tried notes what became of a trial; nil = it went well.
func (a *applier) tried(tx *store.Tx, t Trial, err error) error {
	if err == nil {
		_, e := tx.Exec(`DELETE FROM image_attempt WHERE site = $1 AND digest = $2 AND place = $3`, a.t.Site.ID, string(t.Digest), t.At)
		return e
	}
	var failed int64
	if e := tx.QueryRow(`SELECT failed FROM image_attempt WHERE site = $1 AND digest = $2 AND place = $3`, a.t.Site.ID, string(t.Digest), t.At).Scan(&failed); e != nil && !errors.Is(e, sql.ErrNoRows) {
		return e
	}
	pause, forGood := firstPause<<min(failed, 8), int64(0)
	if lasting(err) {
		pause, forGood = longPause, 1
	}
	now := a.d.Now()
	_, e := tx.Exec(`INSERT INTO image_attempt (site, digest, place, failed, next, lasting, reason, at) VALUES ($1, $2, $3, 1, $4, $5, $6, $7)
ON CONFLICT (site, digest, place) DO UPDATE SET failed = image_attempt.failed + 1, next = excluded.next, lasting = excluded.lasting, reason = excluded.reason, at = excluded.at`,
		a.t.Site.ID, string(t.Digest), t.At, millis(now.Add(min(pause, longPause))), forGood, run.Line(err.Error(), longestReason), millis(now))
	return e
}
