package accounting

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// States of a message (design §7, rule 12). A cut message is unsettled; split means that its records went into two
// others, or that it was given up for a new one.
const (
	stateCut    = "cut"
	stateSent   = "sent"
	stateSplit  = "split"
	stateParked = "parked"
)

// lateArrival is how long after an unanswered attempt began it may still arrive, in seconds: no newer revision of its
// records is cut before (design §7, rule 11).
const lateArrival = 600

// maxRecords is how many records a message holds at most (design §7, rule 10).
const maxRecords = 100

func (s Settings) perMessage() int {
	if s.MaxRecords <= 0 {
		return maxRecords
	}
	return min(s.MaxRecords, maxRecords)
}

// compile makes a message of the records; it is not stored yet.
func compile(destination, siteID string, records []waiting, now time.Time) (Message, error) {
	bodies := make([]string, len(records))
	for i, r := range records {
		bodies[i] = r.body
	}
	id := make([]byte, 12)
	if _, err := rand.Read(id); err != nil {
		return Message{}, err
	}
	name, err := newName(now)
	return Message{
		ID: hex.EncodeToString(id), Destination: destination, Site: siteID, Kind: KindCloud, Name: name,
		Body: apel.JoinCloud(bodies), Records: len(records), Period: records[0].period, list: records,
	}, err
}

// newName makes an element name in the manner of a directory queue, "6b041c38/6b041c73b9ad4c": the time in seconds, and
// six more digits, here random so that two writers do not meet (spec accounting §1.13).
func newName(now time.Time) (string, error) {
	micros, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", err
	}
	digit, err := rand.Int(rand.Reader, big.NewInt(16))
	if err != nil {
		return "", err
	}
	s := now.Unix()
	return fmt.Sprintf("%08x/%08x%05x%01x", s-s%60, s, micros.Int64(), digit.Int64()), nil
}

// cut stores a message with its first attempt begun: a process killed after this finds it and sends the same again.
func cut(tx *store.Tx, m *Message, records []waiting, now time.Time) error {
	if err := unusedName(tx, m, now); err != nil {
		return err
	}
	if _, err := tx.Exec(`INSERT INTO message (id, destination, site, kind, name, state, attempts, last_attempt, next, hold_until, reason, body, records, created, period)
		VALUES ($1, $2, $3, $4, $5, 'cut', $6, $7, 0, $8, '', $9, $10, $11, $12)`,
		m.ID, m.Destination, m.Site, m.Kind, m.Name, m.Attempts, nullInt(m.LastAttempt), m.HoldUntil, string(m.Body), m.Records, now.Unix(), m.Period); err != nil {
		return err
	}
	values := make([][]any, len(records))
	for i, r := range records {
		values[i] = []any{m.ID, m.Site, r.cloud, m.Kind, r.subject, r.period, r.rev, r.wall}
	}
	return insert(tx, `INSERT INTO message_record (message, site, cloud, kind, subject, period, rev, wall)`, ``, values)
}

// unusedName gives the message another name when one that was cut in the same second has it: a name has 24 random bits
// only, and a thousand messages may be cut in a second.
func unusedName(tx *store.Tx, m *Message, now time.Time) error {
	for {
		var used bool
		err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM message WHERE destination = $1 AND name = $2)`, m.Destination, m.Name).Scan(&used)
		if err != nil || !used {
			return err
		}
		if m.Name, err = newName(now); err != nil {
			return err
		}
	}
}

// attempt notes that the message goes out again now. An attempt before it that was not answered may still arrive.
func attempt(ctx context.Context, db *store.Store, m *Message, now int64) error {
	hold := m.HoldUntil
	if m.Attempts > 0 {
		hold = max(hold, m.LastAttempt+lateArrival)
	}
	err := db.Write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE message SET attempts = attempts + 1, last_attempt = $1, hold_until = $2 WHERE id = $3 AND state = 'cut'`, now, hold, m.ID)
		return err
	})
	if err == nil {
		m.Attempts, m.LastAttempt, m.HoldUntil = m.Attempts+1, now, hold
	}
	return err
}

// settle notes that the destination has the message: only now may a newer revision of its records be cut. Where it counts,
// and is no copy, it notes what the server has now twice, for the run to report, and gives it.
func settle(tx *store.Tx, m Message, now time.Time, counts bool, me store.Lease) (left []cleanUp, err error) {
	if err := lockSite(tx, m.Site); err != nil {
		return nil, err
	}
	n, err := tx.Exec(`UPDATE message SET state = 'sent', settled = $1, remote_id = $2, reason = '', body = '' WHERE id = $3 AND state = 'cut'`, now.Unix(), m.Remote, m.ID)
	if err != nil || n == 0 {
		return nil, err
	}
	if counts {
		if left, err = leftStale(tx, m, now); err != nil {
			return nil, err
		}
		if err := noteCleanUps(tx, m.Site, m.Kind, left, me, now); err != nil {
			return nil, err
		}
	}
	_, err = tx.Exec(`INSERT INTO delivery (destination, site, cloud, kind, subject, period, rev, wall, message, hold_until)
		SELECT $1, site, cloud, kind, subject, period, rev, wall, message, $2 FROM message_record WHERE message = $3
		ON CONFLICT (destination, site, cloud, kind, subject, period) DO UPDATE
		SET rev = excluded.rev, wall = excluded.wall, message = excluded.message, hold_until = excluded.hold_until`, m.Destination, m.HoldUntil, m.ID)
	if err != nil {
		return nil, err
	}
	return left, unlist(tx, m.ID)
}

// unlist takes away the list of a message's records: its text is gone with its last attempt, delivery says where they
// went, and the list would only grow.
func unlist(tx *store.Tx, id string) error {
	_, err := tx.Exec(`DELETE FROM message_record WHERE message = $1`, id)
	return err
}

// inQueue begins the remote_id of a message that waits in a queue; the queue's id follows.
const inQueue = "queued:"

// queued notes that the queue m.Remote has the message; it stays unsettled.
func queued(tx *store.Tx, m Message) error {
	_, err := tx.Exec(`UPDATE message SET remote_id = $1, reason = '' WHERE id = $2 AND state = 'cut'`, inQueue+m.Remote, m.ID)
	return err
}

// blamed notes why the message did not go; it stays cut.
func blamed(tx *store.Tx, m Message, reason string) error {
	_, err := tx.Exec(`UPDATE message SET reason = $1, hold_until = $2 WHERE id = $3 AND state = 'cut'`, reason, m.HoldUntil, m.ID)
	return err
}

// split cuts two messages out of one that was refused for its body or its size; one record alone is parked with the
// reason, and blocks no other period (design §7, rule 12).
func split(tx *store.Tx, m Message, reason string, now time.Time) (halves []Message, parked []waiting, err error) {
	if err := lockSite(tx, m.Site); err != nil {
		return nil, nil, err
	}
	records, err := recordsOf(tx, m)
	if err != nil {
		return nil, nil, err
	}
	if len(records) <= 1 {
		_, err := tx.Exec(`UPDATE message SET state = 'parked', reason = $1 WHERE id = $2 AND state = 'cut'`, reason, m.ID)
		return nil, records, err
	}
	for _, half := range [][]waiting{records[:len(records)/2], records[len(records)/2:]} {
		child, err := compile(m.Destination, m.Site, half, now)
		if err != nil {
			return nil, nil, err
		}
		child.HoldUntil = m.HoldUntil
		if err := cut(tx, &child, half, now); err != nil {
			return nil, nil, err
		}
		halves = append(halves, child)
	}
	if _, err = tx.Exec(`UPDATE message SET state = 'split', reason = $1, body = '' WHERE id = $2 AND state = 'cut'`, reason, m.ID); err != nil {
		return nil, nil, err
	}
	return halves, nil, unlist(tx, m.ID)
}

// recordsOf gives a message's records with the texts they had when it was cut. The order is the one they were cut in.
func recordsOf(tx *store.Tx, m Message) ([]waiting, error) {
	rows, err := tx.Query(`SELECT r.cloud, r.subject, r.period, r.rev, r.wall, coalesce(l.seen, 0), coalesce(l.flavor, ''), coalesce(l.state, '') FROM message_record r
		LEFT JOIN ledger l ON l.site = r.site AND l.cloud = r.cloud AND l.kind = r.kind AND l.subject = r.subject AND l.period = r.period AND l.rev = r.rev
		WHERE r.message = $1 ORDER BY r.period, r.cloud, r.subject`, m.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []waiting
	for rows.Next() {
		var w waiting
		if err := rows.Scan(&w.cloud, &w.subject, &w.period, &w.rev, &w.wall, &w.seen, &w.flavor, &w.state); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	bodies := apel.SplitCloud(m.Body)
	if len(bodies) != len(all) {
		return nil, fmt.Errorf("message %s holds %d records, its list has %d", m.ID, len(bodies), len(all))
	}
	for i := range all {
		all[i].body = bodies[i]
	}
	return all, nil
}

const messageColumns = `id, destination, site, kind, name, records, period, attempts, last_attempt, hold_until, remote_id`

// unsettled gives the messages that a destination has not taken yet, in the order they were cut, without their bodies: a
// queue may hold thousands.
func unsettled(tx *store.Tx, destination, siteID string) ([]Message, error) {
	rows, err := tx.Query(`SELECT `+messageColumns+` FROM message WHERE destination = $1 AND site = $2 AND state = 'cut' ORDER BY created, id`, destination, siteID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Message
	for rows.Next() {
		var (
			m      Message
			last   sql.NullInt64
			remote sql.NullString
		)
		if err := rows.Scan(&m.ID, &m.Destination, &m.Site, &m.Kind, &m.Name, &m.Records, &m.Period, &m.Attempts, &last, &m.HoldUntil, &remote); err != nil {
			return nil, err
		}
		m.LastAttempt, m.resumed = last.Int64, true
		m.Remote, m.Written = strings.CutPrefix(remote.String, inQueue)
		all = append(all, m)
	}
	return all, rows.Err()
}

// loadBody reads the body of an unsettled message; sql.ErrNoRows when it was settled meanwhile.
func loadBody(tx *store.Tx, m *Message) error {
	var body string
	err := tx.QueryRow(`SELECT body FROM message WHERE id = $1 AND state = 'cut'`, m.ID).Scan(&body)
	m.Body = []byte(body)
	return err
}

// Unpark gives a destination's parked messages up, so that their records are cut anew from their present rows, and lets
// those go again that wait in another queue than the present one; it gives how many there were.
func Unpark(ctx context.Context, db *store.Store, siteID string, dest Destination) (int64, error) {
	var n int64
	for {
		var some int64
		err := db.Write(ctx, func(tx *store.Tx) (err error) {
			some, err = unpark(tx, siteID, dest.Name())
			return err
		})
		if err != nil {
			return n, err
		}
		if n += some; some < unparked {
			break
		}
	}
	q, ok := dest.(Queuer)
	if !ok {
		return n, nil
	}
	queue, err := q.QueueID()
	if err != nil {
		return n, err
	}
	err = db.Write(ctx, func(tx *store.Tx) error {
		elsewhere, err := tx.Exec(`UPDATE message SET remote_id = NULL WHERE site = $1 AND destination = $2 AND state = 'cut' AND remote_id LIKE 'queued:%' AND remote_id <> $3`,
			siteID, dest.Name(), inQueue+queue)
		n += elsewhere
		return err
	})
	return n, err
}

// unparked is how many messages, of one record each, one transaction gives up.
const unparked = 300

// unpark gives up some parked messages. Each may have arrived for all that is known, so that its record has a delivery
// of revision 0, which is none that could be newer, but tells a late end that it is known (design §7, rule 7), and keeps
// the hold of an attempt that was not answered.
func unpark(tx *store.Tx, siteID, destination string) (int64, error) {
	if err := lockSite(tx, siteID); err != nil {
		return 0, err
	}
	ids, err := column(tx, `SELECT id FROM message WHERE site = $1 AND destination = $2 AND state = 'parked' ORDER BY id LIMIT $3`, siteID, destination, unparked)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	if err := writtenOf(tx, siteID, ids); err != nil {
		return 0, err
	}
	in, args := list(1, ids)
	for _, statement := range []string{
		`INSERT INTO delivery (destination, site, cloud, kind, subject, period, rev, wall, message, hold_until)
			SELECT m.destination, r.site, r.cloud, r.kind, r.subject, r.period, 0, r.wall, m.id, m.hold_until FROM message_record r JOIN message m ON m.id = r.message
			WHERE m.id IN (` + in + `) ON CONFLICT (destination, site, cloud, kind, subject, period) DO UPDATE
			SET hold_until = CASE WHEN excluded.hold_until > delivery.hold_until THEN excluded.hold_until ELSE delivery.hold_until END`,
		`DELETE FROM message_record WHERE message IN (` + in + `)`,
		`UPDATE message SET state = 'split', reason = 'cut anew: ' || reason, body = '' WHERE id IN (` + in + `)`,
	} {
		if _, err := tx.Exec(statement, args...); err != nil {
			return 0, err
		}
	}
	return int64(len(ids)), nil
}
