package accounting

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// revise does, before a VM's rows are written, what they mean for rows that went out before: rows of months after an end
// that was learnt late (rule 7), labels that the server has sums under (rule 8), and rows that lack a name which is known
// by now.
func (b *basis) revise(tx *store.Tx, e entry) ([]note, error) {
	for _, r := range e.rows {
		if r.other {
			if err := relabelled(tx, e.vm, r.Period, r.labels); err != nil {
				return nil, err
			}
		}
	}
	if e.named {
		if err := nameRows(tx, e); err != nil {
			return nil, err
		}
	}
	if !e.later {
		return nil, nil
	}
	return b.afterEnd(tx, e.vm)
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

// nameRows gives the name of the VM's user, which could not be read before, to those of its rows that lack it. One that the
// server may have, in a month whose summaries it no longer cleans, goes without: with the name it would be counted twice
// there.
func nameRows(tx *store.Tx, e entry) error {
	rows, err := tx.Query(`SELECT period, body FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4`, e.vm.Site, e.vm.Cloud, KindCloud, e.vm.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	lack := map[string]apel.CloudRecord{}
	for rows.Next() {
		var period, body string
		if err := rows.Scan(&period, &body); err != nil {
			return err
		}
		rec, err := parseRecord(body)
		if err == nil && rec.GlobalUserName == "" && !slices.ContainsFunc(e.rows, func(r ledgerRow) bool { return r.Period == period }) {
			lack[period] = rec
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for period, rec := range lack {
		if !cleaned(period, time.UnixMilli(e.vm.Seen).UTC()) {
			if sent, err := known(tx, e.vm, period); err != nil {
				return err
			} else if sent {
				continue
			}
		}
		rec.GlobalUserName = e.vm.UserName
		if _, err := updateRow(tx, e.vm, period, rec); err != nil {
			return err
		}
	}
	return nil
}

// stateAfterEnd marks a row of a month after the VM's end: its durations are no meter's.
const stateAfterEnd = "AFTER END"

// afterEnd deals with rows of months after the end: one that may have been delivered is revised to the final durations,
// with SuspendDuration raised so that it stays in its month, because the server cannot delete; then its difference to
// the month before is nothing. One that was never sent is removed (design §7, rule 7).
func (b *basis) afterEnd(tx *store.Tx, v VM) ([]note, error) {
	type later struct {
		period, body string
		measured     int64
	}
	rows, err := tx.Query(`SELECT period, body, measured FROM ledger
		WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period > $5`, v.Site, v.Cloud, KindCloud, v.ID, Period(v.EndedAt))
	if err != nil {
		return nil, err
	}
	var all []later
	for rows.Next() {
		var l later
		if err := rows.Scan(&l.period, &l.body, &l.measured); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		all = append(all, l)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	var notes []note
	for _, l := range all {
		sent, err := known(tx, v, l.period)
		if err != nil {
			return nil, err
		}
		if !sent {
			if _, err := tx.Exec(`DELETE FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`,
				v.Site, v.Cloud, KindCloud, v.ID, l.period); err != nil {
				return nil, err
			}
			continue
		}
		rec, err := parseRecord(l.body)
		if err != nil { // its newest revision never was a record that can be sent
			notes = append(notes, note{v.ID, fmt.Sprintf("ended %s, but %s had been sent, and cannot be revised: %v", unix(v.EndedAt), l.period, err)})
			continue
		}
		rec.EndTime, rec.WallDuration, rec.CPUDuration = 0, v.Wall, v.CPU
		rec.SuspendDuration = l.measured - rec.StartTime - v.Wall
		if rec.Status == apel.StatusCompleted {
			rec.Status = "started"
		}
		changed, err := updateRow(tx, v, l.period, rec)
		if err != nil {
			return nil, err
		}
		if _, err := tx.Exec(`UPDATE ledger SET state = $6 WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5 AND state <> $6`,
			v.Site, v.Cloud, KindCloud, v.ID, l.period, stateAfterEnd); err != nil {
			return nil, err
		}
		if changed {
			notes = append(notes, note{v.ID, fmt.Sprintf("ended %s, learnt after %s had been sent: that month is revised to no use", unix(v.EndedAt), l.period)})
		}
	}
	return notes, nil
}

// updateRow gives a row another record, as a new revision; false when it has that one already.
func updateRow(tx *store.Tx, v VM, period string, rec apel.CloudRecord) (bool, error) {
	body, err := apel.EncodeCloudRecord(rec)
	if err != nil {
		return false, err
	}
	labels := labelsOf(rec)
	row := []any{v.Site, v.Cloud, KindCloud, v.ID, period}
	var had string
	if err := tx.QueryRow(`SELECT labels FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, row...).Scan(&had); err != nil {
		return false, err
	}
	if had != labels {
		if err := relabelled(tx, v, period, labels); err != nil {
			return false, err
		}
	}
	n, err := tx.Exec(`UPDATE ledger SET body = $6, digest = $7, labels = $8, wall = $9, rev = rev + 1, seen = $10
		WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5 AND digest <> $7`,
		append(row, string(body), digestOf(string(body)), labels, rec.WallDuration, v.Seen)...)
	if err != nil || n == 0 {
		return false, err
	}
	return true, written(tx, v.Site, v.Cloud, []string{period})
}

// known tells whether the row may be at a server: it was cut into a message, or delivered.
func known(tx *store.Tx, v VM, period string) (bool, error) {
	var n int64
	err := tx.QueryRow(`SELECT 1 FROM message_record WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5
		UNION SELECT 1 FROM delivery WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5 LIMIT 1`,
		v.Site, v.Cloud, KindCloud, v.ID, period).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// parseRecord reads a ledger row's body back.
func parseRecord(body string) (apel.CloudRecord, error) {
	records, err := apel.ParseCloud([]byte(apel.CloudHeader + "\n" + body))
	if err != nil {
		return apel.CloudRecord{}, err
	}
	if len(records) != 1 {
		return apel.CloudRecord{}, fmt.Errorf("ledger row holds %d records", len(records))
	}
	return records[0], nil
}

// writeVMs writes the VMs' new states; one that is older than what is there changes nothing (design §7, rule 2).
func writeVMs(tx *store.Tx, entries []entry) error {
	values := make([][]any, len(entries))
	for i, e := range entries {
		v := e.vm
		values[i] = []any{v.Site, v.Cloud, v.ID, v.Project, v.VO, v.StartedAt, v.Wall, v.Suspended, v.CPU, v.CountedTo,
			v.Size.Flavor, v.Size.VCPUs, v.Size.Memory, v.Size.Disk, v.Size.BenchmarkType, nullFloat(v.Size.Benchmark), v.State, nullInt(v.EndedAt),
			v.Measured, v.Seen, v.Shown, v.UserID, v.UserName, v.Image, v.Name, v.Floating, nullInt(v.EndsAt), nullInt(v.Missing), nullInt(v.Vanished), v.Parked, strings.ToLower(v.ID)}
	}
	return insert(tx, `INSERT INTO vm (`+vmColumns+`)`, `ON CONFLICT (cloud, vm) DO UPDATE SET
		site = excluded.site, project = excluded.project, vo = excluded.vo, started_at = excluded.started_at, wall = excluded.wall,
		suspended = excluded.suspended, cpu = excluded.cpu, counted_to = excluded.counted_to, flavor = excluded.flavor, vcpus = excluded.vcpus,
		memory = excluded.memory, disk = excluded.disk, benchmark_type = excluded.benchmark_type, benchmark = excluded.benchmark,
		state = excluded.state, ended_at = excluded.ended_at, measured = excluded.measured, seen = excluded.seen, shown = excluded.shown, user_id = excluded.user_id,
		user_name = excluded.user_name, image = excluded.image, name = excluded.name, floating = excluded.floating,
		ends_at = excluded.ends_at, missing = excluded.missing, vanished = excluded.vanished, parked = excluded.parked
		WHERE excluded.seen >= vm.seen`, values)
}

// writeRows writes the rows that changed, each as a new revision.
func (b *basis) writeRows(tx *store.Tx, entries []entry) error {
	var (
		values  [][]any
		periods []string
	)
	for _, e := range entries { // all of one cloud
		for _, r := range e.rows {
			periods = append(periods, r.Period)
			values = append(values, []any{e.vm.Site, e.vm.Cloud, KindCloud, r.VM, r.Period, r.At, e.vm.Seen, r.rev, r.digest, r.body, r.VO, e.vm.Project, nullText(r.parked), r.labels, r.wall, r.Reading.Size.Flavor, r.Reading.State})
		}
	}
	if len(values) == 0 {
		return nil
	}
	if err := written(tx, entries[0].vm.Site, entries[0].vm.Cloud, periods); err != nil {
		return err
	}
	return insert(tx, `INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, parked, labels, wall, flavor, state)`,
		`ON CONFLICT (site, cloud, kind, subject, period) DO UPDATE SET measured = excluded.measured, seen = excluded.seen,
		rev = ledger.rev + 1, digest = excluded.digest, body = excluded.body, vo = excluded.vo, project = excluded.project, parked = excluded.parked, labels = excluded.labels, wall = excluded.wall, flavor = excluded.flavor, state = excluded.state
		WHERE excluded.seen >= ledger.seen`, values)
}

// rowsPerInsert is how many rows one INSERT statement carries.
const rowsPerInsert = 50

// insert writes rows of equal width with as few statements as is sensible.
func insert(tx *store.Tx, head, tail string, values [][]any) error {
	for len(values) > 0 {
		n := min(len(values), rowsPerInsert)
		var (
			text strings.Builder
			args []any
		)
		text.WriteString(head + " VALUES ")
		for i, row := range values[:n] {
			if i > 0 {
				text.WriteByte(',')
			}
			text.WriteByte('(')
			for j, v := range row {
				if j > 0 {
					text.WriteByte(',')
				}
				args = append(args, v)
				fmt.Fprintf(&text, "$%d", len(args))
			}
			text.WriteByte(')')
		}
		if _, err := tx.Exec(text.String()+" "+tail, args...); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func nullInt(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

func nullFloat(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}
