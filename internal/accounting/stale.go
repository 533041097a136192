package accounting

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// cleaned tells whether the server still removes, now or in days to come, summary rows of the month that no longer come
// out of its records: it does for Month ≥ m and Year ≥ y of the day two days ago (spec accounting §3.3), which on the
// first two days of a year spares January until the third.
func cleaned(period string, now time.Time) bool {
	return period >= Period(now.AddDate(0, 0, -2).Unix())
}

// stale is what the server was told of a VM's month under labels that are, or may be, no longer the row's.
type stale struct {
	Labels string `json:"labels"`
	VO     string `json:"vo"`
	Wall   int64  `json:"wall_s"`        // of the month alone: the server counts the difference to the month before
	Rev    int64  `json:"rev,omitempty"` // of the row that was cut into a message, when something was noted already
}

// staleOf reads what a row notes of its former labels. Ledgers of before have one set of them, without a list.
func staleOf(text string) (all []stale, err error) {
	if strings.HasPrefix(text, "{") {
		text = "[" + text + "]"
	}
	err = json.Unmarshal([]byte(text), &all)
	return all, err
}

// noteStale writes what a row notes of its former labels; nothing is NULL.
func noteStale(tx *store.Tx, row []any, all []stale) error {
	var noted any
	if len(all) > 0 {
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		noted = string(text)
	}
	_, err := tx.Exec(`UPDATE ledger SET stale = $6 WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, append(slices.Clone(row), noted)...)
	return err
}

// relabelled notes of a row that may be at a server, and gets other labels, what the server has under the former ones. As
// long as nothing is noted the row's labels are those that the server has, if it has any. Once something is, labels that
// were cut into a message are noted there (noteCut), and others never left.
func relabelled(tx *store.Tx, v VM, period, labels string) error {
	sent, err := known(tx, v, period)
	if err != nil || !sent {
		return err
	}
	var (
		body  string
		noted sql.NullString
	)
	row := []any{v.Site, v.Cloud, KindCloud, v.ID, period}
	if err := tx.QueryRow(`SELECT body, stale FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, row...).Scan(&body, &noted); err != nil {
		return err
	}
	if noted.Valid {
		all, err := staleOf(noted.String)
		if err != nil || len(all) != 1 || all[0].Labels != labels {
			return err
		}
		return noteStale(tx, row, nil) // they are what they were, and no message with others went out
	}
	rec, err := parseRecord(body)
	if err != nil {
		return nil //nolint:nilerr // a row without a wire form was never sent
	}
	of, err := sentWall(tx, "=", row)
	if err != nil {
		return err
	}
	before, err := sentWall(tx, "<", row)
	if err != nil {
		return err
	}
	return noteStale(tx, row, []stale{{Labels: labelsOf(rec), VO: rec.FQAN, Wall: of - before}})
}

// noteCut notes with those rows of a message just cut that have former labels the present ones, too: the message may
// arrive without a word, be summed, and the labels change again, even to the former ones, before it is settled. The
// server then has sums under all of them.
func noteCut(tx *store.Tx, message string) error {
	rows, err := tx.Query(`SELECT r.site, r.cloud, r.kind, r.subject, r.period, r.rev, r.wall, l.body, l.stale FROM message_record r
		JOIN ledger l ON l.site = r.site AND l.cloud = r.cloud AND l.kind = r.kind AND l.subject = r.subject AND l.period = r.period AND l.rev = r.rev
		WHERE r.message = $1 AND l.stale IS NOT NULL`, message)
	if err != nil {
		return err
	}
	defer rows.Close()
	type row struct {
		site, cloud, kind, vm, period, body, noted string
		rev, wall                                  int64
	}
	var cut []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.site, &r.cloud, &r.kind, &r.vm, &r.period, &r.rev, &r.wall, &r.body, &r.noted); err != nil {
			return err
		}
		cut = append(cut, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, r := range cut {
		all, err := staleOf(r.noted)
		if err != nil {
			return fmt.Errorf("VM %s, %s: %w", r.vm, r.period, err)
		}
		rec, err := parseRecord(r.body)
		if err != nil {
			return err
		}
		key := []any{r.site, r.cloud, r.kind, r.vm, r.period}
		before, err := sentWall(tx, "<", key)
		if err != nil {
			return err
		}
		now := stale{Labels: labelsOf(rec), VO: rec.FQAN, Wall: r.wall - before, Rev: r.rev}
		all = append(slices.DeleteFunc(all, func(s stale) bool { return s.Labels == now.Labels }), now)
		if err := noteStale(tx, key, all); err != nil {
			return err
		}
	}
	return nil
}

// sentWall gives the WallDuration that a server has, or is about to get, of a VM's month, or of the last one before it (<);
// 0 when it has none. It may be that of an older revision than the ledger's.
func sentWall(tx *store.Tx, which string, row []any) (wall int64, err error) {
	err = tx.QueryRow(`SELECT wall FROM (
		SELECT period, wall, 1 AS newer FROM message_record WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period `+which+` $5
		UNION ALL SELECT period, wall, 0 FROM delivery WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period `+which+` $5) s
		ORDER BY period DESC, newer DESC LIMIT 1`, row...).Scan(&wall)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return wall, err
}

// leftStale gives, when the server has got a message, what it keeps counting under former labels of the message's rows: of
// months that it cleans it is nothing (design §7, rule 8). A row that has a newer revision by now keeps its notes until
// that one has arrived, but for those that the server cleans while it has this one.
func leftStale(tx *store.Tx, m Message, now time.Time) ([]cleanUp, error) {
	rows, err := tx.Query(`SELECT l.cloud, l.subject, l.period, l.labels, l.stale, l.rev, r.rev FROM message_record r
		JOIN ledger l ON l.site = r.site AND l.cloud = r.cloud AND l.kind = r.kind AND l.subject = r.subject AND l.period = r.period
		WHERE r.message = $1 AND l.stale IS NOT NULL ORDER BY l.subject, l.period`, m.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	type row struct {
		relabelledRow
		rev, sent int64
	}
	var noted []row
	for rows.Next() {
		var (
			r    row
			text string
		)
		if err := rows.Scan(&r.cloud, &r.vm, &r.period, &r.labels, &text, &r.rev, &r.sent); err != nil {
			return nil, err
		}
		if r.was, err = staleOf(text); err != nil {
			return nil, fmt.Errorf("VM %s, %s: %w", r.vm, r.period, err)
		}
		noted = append(noted, r)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(noted) == 0 {
		return nil, err
	}
	var left []cleanUp
	shared := sharing{}
	for _, r := range noted {
		if r.rev != r.sent {
			continue
		}
		some, err := shared.left(tx, m, r.relabelledRow, now)
		if err != nil {
			return nil, err
		}
		left = append(left, some...)
	}
	for _, r := range noted {
		stays := []stale(nil)
		if r.rev != r.sent {
			had := slices.IndexFunc(r.was, func(s stale) bool { return s.Rev == r.sent })
			if had < 0 || !cleaned(r.period, now) {
				continue
			}
			stays = r.was[had : had+1]
		}
		if err := noteStale(tx, []any{m.Site, r.cloud, m.Kind, r.vm, r.period}, stays); err != nil {
			return nil, err
		}
	}
	return left, nil
}

// relabelledRow is a row of the ledger with its former labels.
type relabelledRow struct {
	cloud, vm, period, labels string
	was                       []stale
}

// sharing remembers under which labels of a month ("month, labels") other VMs have records still, so that the server makes
// their sum anew.
type sharing map[[2]string]bool

// left gives what the server keeps counting under former labels of a row whose present ones it got with a message.
func (s sharing) left(tx *store.Tx, m Message, r relabelledRow, now time.Time) (left []cleanUp, err error) {
	if cleaned(r.period, now) {
		return nil, nil
	}
	for nr, was := range r.was {
		if was.Labels == r.labels {
			continue
		}
		key := [2]string{r.period, was.Labels}
		others, asked := s[key]
		if !asked {
			err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM ledger WHERE site = $1 AND kind = $2 AND period = $3 AND labels = $4 AND stale IS NULL AND parked IS NULL)`,
				m.Site, m.Kind, r.period, was.Labels).Scan(&others)
			if err != nil {
				return nil, err
			}
			s[key] = others
		}
		if !others {
			left = append(left, cleanUp{message: m.ID, cloud: r.cloud, vm: r.vm, period: r.period, nr: nr, vo: was.VO, wall: was.Wall})
		}
	}
	return left, nil
}

// labelsOf gives, as a digest, what a summary row of the server is grouped by.
func labelsOf(r apel.CloudRecord) string {
	benchmark := 0.0
	if r.Benchmark != nil {
		benchmark = *r.Benchmark
	}
	return digestOf(strings.Join([]string{r.SiteName, r.CloudComputeService, r.GlobalUserName, r.FQAN, r.Status, r.ImageID,
		fmt.Sprint(r.CPUCount), r.BenchmarkType, fmt.Sprint(benchmark)}, "\n"))
}
