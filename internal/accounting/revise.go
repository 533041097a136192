package accounting

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// revise does, before a VM's rows are written, what they mean for rows that went out before: rows of months after an end
// that was learnt late (rule 7), and labels of months that the server no longer cleans (rule 8).
func (b *basis) revise(tx *store.Tx, e entry, now time.Time) ([]note, error) {
	var notes []note
	for _, r := range e.rows {
		if r.rev == 1 {
			continue
		}
		n, err := b.relabelled(tx, e.vm, r.Period, r.body, now)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n...)
	}
	if !e.later {
		return notes, nil
	}
	more, err := b.afterEnd(tx, e.vm, now)
	return append(notes, more...), err
}

// cleaned tells whether the server still removes, now or in days to come, summary rows of the month that no longer come
// out of its records: it does for Month ≥ m and Year ≥ y of the day two days ago (spec accounting §3.3), which on the
// first two days of a year spares January until the third.
func cleaned(period string, now time.Time) bool {
	return period >= Period(now.AddDate(0, 0, -2).Unix())
}

// relabelled reports a delivered row of a month that is not cleaned any more whose revision changes a label: the server
// then has both, each with its own hours.
func (b *basis) relabelled(tx *store.Tx, v VM, period, body string, now time.Time) ([]note, error) {
	if cleaned(period, now) {
		return nil, nil
	}
	delivered, err := known(tx, v, period)
	if err != nil || !delivered {
		return nil, err
	}
	var was, earlier string
	if err := tx.QueryRow(`SELECT body FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`,
		v.Site, v.Cloud, KindCloud, v.ID, period).Scan(&was); err != nil {
		return nil, err
	}
	before, err1 := parseRecord(was)
	after, err2 := parseRecord(body)
	if err1 != nil || err2 != nil || labelsOf(before) == labelsOf(after) {
		return nil, nil //nolint:nilerr // a row without a wire form was never sent
	}
	err = tx.QueryRow(`SELECT body FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period < $5 ORDER BY period DESC LIMIT 1`,
		v.Site, v.Cloud, KindCloud, v.ID, period).Scan(&earlier)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	wall := before.WallDuration // of the month alone: the server counts the difference to the month before
	if prior, err := parseRecord(earlier); err == nil {
		wall -= prior.WallDuration
	}
	return []note{{v.ID,
		fmt.Sprintf("needs clean-up at APEL: %s, VO %s, %.1f h, because a label changed in a month whose summaries the server no longer cleans",
			period, before.FQAN, float64(wall)/3600),
		"ask the accounting team to delete the stale summary of that month, VO and site",
	}}, nil
}

// labelsOf gives what a summary row of the server is grouped by.
func labelsOf(r apel.CloudRecord) string {
	benchmark := 0.0
	if r.Benchmark != nil {
		benchmark = *r.Benchmark
	}
	return strings.Join([]string{r.SiteName, r.CloudComputeService, r.GlobalUserName, r.FQAN, r.Status, r.ImageID,
		fmt.Sprint(r.CPUCount), r.BenchmarkType, fmt.Sprint(benchmark)}, "\n")
}

// afterEnd deals with rows of months after the end: one that may have been delivered is revised to the final durations,
// with SuspendDuration raised so that it stays in its month, because the server cannot delete; then its difference to
// the month before is nothing. One that was never sent is removed (design §7, rule 7).
func (b *basis) afterEnd(tx *store.Tx, v VM, now time.Time) ([]note, error) {
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
			notes = append(notes, note{v.ID, fmt.Sprintf("ended %s, but %s had been sent, and cannot be revised: %v", unix(v.EndedAt), l.period, err), ""})
			continue
		}
		rec.EndTime, rec.WallDuration, rec.CPUDuration = 0, v.Wall, v.CPU
		rec.SuspendDuration = l.measured - rec.StartTime - v.Wall
		if rec.Status == apel.StatusCompleted {
			rec.Status = "started"
		}
		body, err := apel.EncodeCloudRecord(rec)
		if err != nil {
			return nil, err
		}
		stale, err := b.relabelled(tx, v, l.period, string(body), now)
		if err != nil {
			return nil, err
		}
		if changed, err := updateRow(tx, v, l.period, string(body)); err != nil {
			return nil, err
		} else if changed {
			notes = append(notes, note{v.ID, fmt.Sprintf("ended %s, learnt after %s had been sent: that month is revised to no use", unix(v.EndedAt), l.period), ""})
		}
		notes = append(notes, stale...)
	}
	return notes, nil
}

// updateRow gives a row another text, as a new revision; false when it has that text already.
func updateRow(tx *store.Tx, v VM, period, body string) (bool, error) {
	sum := sha256.Sum256([]byte(body))
	digest := hex.EncodeToString(sum[:16])
	n, err := tx.Exec(`UPDATE ledger SET body = $1, digest = $2, rev = rev + 1, seen = $3
		WHERE site = $4 AND cloud = $5 AND kind = $6 AND subject = $7 AND period = $8 AND digest <> $9`,
		body, digest, v.Seen, v.Site, v.Cloud, KindCloud, v.ID, period, digest)
	return n > 0, err
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
			v.Measured, v.Seen, v.Shown, v.UserID, v.UserName, v.Image, v.Name, v.Floating, nullInt(v.Missing), nullInt(v.Vanished), v.Parked, strings.ToLower(v.ID)}
	}
	return insert(tx, `INSERT INTO vm (`+vmColumns+`)`, `ON CONFLICT (cloud, vm) DO UPDATE SET
		site = excluded.site, project = excluded.project, vo = excluded.vo, started_at = excluded.started_at, wall = excluded.wall,
		suspended = excluded.suspended, cpu = excluded.cpu, counted_to = excluded.counted_to, flavor = excluded.flavor, vcpus = excluded.vcpus,
		memory = excluded.memory, disk = excluded.disk, benchmark_type = excluded.benchmark_type, benchmark = excluded.benchmark,
		state = excluded.state, ended_at = excluded.ended_at, measured = excluded.measured, seen = excluded.seen, shown = excluded.shown, user_id = excluded.user_id,
		user_name = excluded.user_name, image = excluded.image, name = excluded.name, floating = excluded.floating,
		missing = excluded.missing, vanished = excluded.vanished, parked = excluded.parked
		WHERE excluded.seen >= vm.seen`, values)
}

// writeRows writes the rows that changed, each as a new revision.
func (b *basis) writeRows(tx *store.Tx, entries []entry) error {
	var values [][]any
	for _, e := range entries {
		for _, r := range e.rows {
			values = append(values, []any{e.vm.Site, e.vm.Cloud, KindCloud, r.VM, r.Period, r.At, e.vm.Seen, r.rev, r.digest, r.body, r.VO, e.vm.Project, nullText(r.parked)})
		}
	}
	return insert(tx, `INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, parked)`,
		`ON CONFLICT (site, cloud, kind, subject, period) DO UPDATE SET measured = excluded.measured, seen = excluded.seen,
		rev = ledger.rev + 1, digest = excluded.digest, body = excluded.body, vo = excluded.vo, project = excluded.project, parked = excluded.parked
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
