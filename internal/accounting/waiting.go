package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// cursor is a row's place in the order in which rows are sent: oldest month first.
type cursor struct{ period, cloud, subject string }

// waiting is one record that a destination has not got yet.
type waiting struct {
	cloud, subject, period string
	rev                    int64
	wall                   int64 // its WallDuration
	body                   string
	seen                   int64 // unix milliseconds; 0 = not known, and then the two others are not
	flavor, state          string
}

// outbox is what a destination has not got of a site's ledger: rows whose newest revision it has not, of the months from
// active on. Left out are parked ones, those in an unsettled or parked message, and those of which an earlier attempt may
// still arrive.
type outbox struct {
	destination, site string
	active            string // oldest period that is sent
	scopes            scopes // what is sent from later months on, or not at all
}

// undone is the condition for rows of one month and cloud that the destination has not got; $6 is now, $7 and on are the
// caller's. With month and cloud given the index of the ledger by period serves it as a range of subjects, on both
// databases.
const undone = ` FROM ledger l
	LEFT JOIN delivery d ON d.destination = $1 AND d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period
	WHERE l.site = $2 AND l.kind = $3 AND l.period = $4 AND l.cloud = $5 AND l.parked IS NULL AND (d.rev IS NULL OR d.rev < l.rev)`

// Of those: held tells of which an earlier attempt may still arrive, inMessage gives those in a message. A hold of more than
// ten minutes from now was set by a clock that was ahead.
const (
	held      = `(d.rev IS NOT NULL AND d.hold_until > $6 AND d.hold_until <= $6 + 600)`
	inMessage = ` FROM message_record r JOIN message m ON m.id = r.message
		WHERE r.site = l.site AND r.kind = l.kind AND r.subject = l.subject AND r.period = l.period
		AND m.destination = $1 AND m.state IN ('cut', 'parked')`
)

// waits is the condition for rows of one month and cloud that wait.
const waits = undone + ` AND NOT ` + held + ` AND NOT EXISTS (SELECT 1` + inMessage + `)`

func (o outbox) args(period, cloud string, now time.Time, more ...any) []any {
	return append([]any{o.destination, o.site, KindCloud, period, cloud, now.Unix()}, more...)
}

// look finds up to limit rows that wait, after the place from; fewer mean that there are no more. Months that the
// destination is known to have are passed over; has are those of which that was found now.
func (o outbox) look(tx *store.Tx, from cursor, now time.Time, limit int) (found []cursor, has []whole, err error) {
	at, ok := from, true
	if at.period == "" {
		at, ok, err = o.group(tx, at)
	}
	for ok && err == nil && len(found) < limit {
		var (
			w    whole
			skip bool
			all  = at.subject == ""
			had  = len(found)
		)
		if all {
			if w, skip, err = o.month(tx, at, now); err != nil {
				return found, has, err
			}
		}
		if !skip {
			var left bool
			if found, left, err = o.inGroup(tx, at, now, limit, found); err != nil {
				return found, has, err
			}
			if all && !left && len(found) == had {
				has = append(has, w)
			}
		}
		if len(found) < limit {
			at, ok, err = o.group(tx, at)
		}
	}
	return found, has, err
}

// inGroup adds rows of a cloud's month that wait, after a place in it; left tells that there are others that will, when
// they are not held any more, or their message is settled. One in a parked message waits for an operator (unpark).
func (o outbox) inGroup(tx *store.Tx, at cursor, now time.Time, limit int, found []cursor) (_ []cursor, left bool, err error) {
	for len(found) < limit {
		asked, got := limit-len(found), 0
		rows, err := tx.Query(`SELECT l.subject, l.vo, `+held+`, coalesce((SELECT min(m.state)`+inMessage+`), '')`+undone+` AND l.subject > $7 ORDER BY l.subject LIMIT $8`,
			o.args(at.period, at.cloud, now, at.subject, asked)...)
		if err != nil {
			return nil, false, err
		}
		for rows.Next() {
			var (
				vo, message string
				held        bool
			)
			if err := rows.Scan(&at.subject, &vo, &held, &message); err != nil {
				return nil, false, errors.Join(err, rows.Close())
			}
			got++
			switch {
			case o.scopes.holds(at.cloud, vo, at.period), message == stateParked:
			case held, message != "":
				left = true
			default:
				found = append(found, at)
			}
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || got < asked {
			return found, left, err
		}
	}
	return found, left, nil
}

// group gives the place before the first row of the next cloud, else of the next month.
func (o outbox) group(tx *store.Tx, at cursor) (cursor, bool, error) {
	var period, cloud sql.NullString
	if at.period != "" {
		if err := tx.QueryRow(`SELECT min(cloud) FROM ledger WHERE site = $1 AND kind = $2 AND period = $3 AND cloud > $4`, o.site, KindCloud, at.period, at.cloud).Scan(&cloud); err != nil {
			return at, false, err
		}
		if cloud.Valid {
			return cursor{period: at.period, cloud: cloud.String}, true, nil
		}
	}
	if err := tx.QueryRow(`SELECT min(period) FROM ledger WHERE site = $1 AND kind = $2 AND period > $3 AND period >= $4`, o.site, KindCloud, at.period, o.active).Scan(&period); err != nil || !period.Valid {
		return at, false, err
	}
	err := tx.QueryRow(`SELECT min(cloud) FROM ledger WHERE site = $1 AND kind = $2 AND period = $3`, o.site, KindCloud, period.String).Scan(&cloud)
	return cursor{period: period.String, cloud: cloud.String}, true, err
}

// take gives the newest revisions of those of the rows that still wait, in their order. It costs what the rows cost,
// however large the ledger is, so that it can stand in a write transaction.
func (o outbox) take(tx *store.Tx, found []cursor, now time.Time) ([]waiting, error) {
	var all []waiting
	for len(found) > 0 {
		n := 0
		var subjects []string
		for n < len(found) && found[n].period == found[0].period && found[n].cloud == found[0].cloud {
			subjects = append(subjects, found[n].subject)
			n++
		}
		some, err := o.takeOf(tx, found[0], subjects, now)
		if err != nil {
			return nil, err
		}
		all, found = append(all, some...), found[n:]
	}
	return all, nil
}

func (o outbox) takeOf(tx *store.Tx, group cursor, subjects []string, now time.Time) ([]waiting, error) {
	in, args := list(7, subjects)
	rows, err := tx.Query(`SELECT l.cloud, l.subject, l.period, l.rev, l.wall, l.body, l.seen, l.flavor, l.state, l.vo`+waits+` AND l.subject IN (`+in+`) ORDER BY l.subject`,
		o.args(group.period, group.cloud, now, args...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []waiting
	for rows.Next() {
		var (
			w  waiting
			vo string
		)
		if err := rows.Scan(&w.cloud, &w.subject, &w.period, &w.rev, &w.wall, &w.body, &w.seen, &w.flavor, &w.state, &vo); err != nil {
			return nil, err
		}
		if !o.scopes.holds(w.cloud, vo, w.period) {
			all = append(all, w)
		}
	}
	return all, rows.Err()
}

// countHeld counts what tellHeld tells. The index of deliveries with a hold serves it.
const countHeld = `SELECT count(*), max(d.hold_until) FROM delivery d
	JOIN ledger l ON l.site = d.site AND l.cloud = d.cloud AND l.kind = d.kind AND l.subject = d.subject AND l.period = d.period
	WHERE d.destination = $1 AND d.site = $2 AND d.kind = $3 AND d.hold_until > 0 AND d.hold_until > $4 AND d.hold_until <= $4 + 600 AND d.rev < l.rev AND l.parked IS NULL`

// tellHeld says how many rows are held back, because an earlier attempt with an older revision of theirs may still arrive.
func (o outbox) tellHeld(tx *store.Tx, d Deps) error {
	var (
		n     int64
		until sql.NullInt64
	)
	err := tx.QueryRow(countHeld, o.destination, o.site, KindCloud, d.Now().Unix()).Scan(&n, &until)
	if err != nil || n == 0 {
		return err
	}
	d.Run.Count("records_held", n)
	d.Run.Problem(run.Problem{Object: "destination " + o.destination, Step: "send", Notice: true,
		Reason: fmt.Sprintf("%d records have a newer revision, which waits until %s UTC: an attempt to send the one before was not answered, and may still arrive", n, time.Unix(until.Int64, 0).UTC().Format("15:04"))})
	return nil
}

// queue gives an outbox's rows message by message. What waits is looked for outside of a write transaction, for several
// messages at once, because that may read many rows.
type queue struct {
	outbox
	perMessage int
	found      []cursor
	has        []whole // months that the destination was found to have
	at         cursor
	end        bool
}

func (t *Target) queueFor(dest Destination, start Start, in scopes) queue {
	return queue{outbox: outbox{dest.Name(), t.Site.ID, Period(start.ActiveFrom), in}, perMessage: t.Settings.perMessage()}
}

// ahead is for how many messages at once is looked.
const ahead = 10

// next gives the rows for the next message; none means that there are no more. reads runs a function in a read
// transaction.
func (q *queue) next(reads func(func(*store.Tx) error) error, now time.Time) ([]cursor, error) {
	if len(q.found) == 0 && !q.end {
		var has []whole
		err := reads(func(tx *store.Tx) (err error) {
			q.found, has, err = q.look(tx, q.at, now, ahead*q.perMessage)
			return err
		})
		if err != nil {
			return nil, err
		}
		q.has = append(q.has, has...)
		q.end = len(q.found) < ahead*q.perMessage
		if len(q.found) > 0 {
			q.at = q.found[len(q.found)-1]
		}
	}
	n := min(len(q.found), q.perMessage)
	some := q.found[:n]
	q.found = q.found[n:]
	return some, nil
}

// reading runs functions in read transactions of the store.
func reading(ctx context.Context, db *store.Store) func(func(*store.Tx) error) error {
	return func(fn func(*store.Tx) error) error { return db.Read(ctx, fn) }
}
