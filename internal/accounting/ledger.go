package accounting

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// maxRows is how many rows one write transaction holds at most (design §7, store).
const maxRows = 1000

// kept is what the ledger has of one VM: its meter, and the newest rows by period.
type kept struct {
	vm   *VM
	rows map[string]keptRow
	twin *twin
}

type keptRow struct {
	rev    int64
	digest string
	labels string
	vo     string
}

// twin is another VM with the same id in any letter case, at another cloud or under another spelling.
type twin struct {
	site, cloud, id     string
	siteName, cloudName string
	endedAt             int64
	parked              bool
}

// at says where the twin is, in the configuration's words.
func (t *twin) at() string { return fmt.Sprintf("cloud %s of site %s", t.cloudName, t.siteName) }

// hint says what can be done about it, seen from the cloud of the other one.
func (t *twin) hint(siteID string, c site.Cloud) string {
	if t.site != siteID || t.cloud == c.ID {
		return ""
	}
	return fmt.Sprintf("; if cloud %s is cloud %s under a new name, add formerly: [%s] to it", c.Name, t.cloudName, t.cloudName)
}

// meets tells whether a row of the month would spoil the twin's: the two lived at a time, or it would replace a row.
func (t *twin) meets(vm VM, period string) bool {
	return t.endedAt == 0 || t.endedAt > vm.StartedAt || Period(t.endedAt) >= period
}

const vmColumns = `site, cloud, vm, project, vo, started_at, wall, suspended, cpu, counted_to, flavor, vcpus, memory, disk,
	benchmark_type, benchmark, state, ended_at, measured, seen, shown, user_id, user_name, image, name, floating, ends_at, missing, vanished, parked, vm_key`

// recall reads what the ledger has of the VMs, in one snapshot.
func recall(ctx context.Context, db *store.Store, site, cloud string, ids []string) (map[string]*kept, error) {
	known := make(map[string]*kept, len(ids))
	for _, id := range ids {
		known[id] = &kept{rows: map[string]keptRow{}}
	}
	return known, db.Read(ctx, func(tx *store.Tx) error {
		if err := recallVMs(tx, cloud, ids, known); err != nil {
			return err
		}
		if err := recallRows(tx, site, cloud, ids, known); err != nil {
			return err
		}
		return recallTwins(tx, cloud, ids, known)
	})
}

func recallVMs(tx *store.Tx, cloud string, ids []string, known map[string]*kept) error {
	in, args := list(2, ids)
	rows, err := tx.Query(`SELECT `+vmColumns+` FROM vm WHERE cloud = $1 AND vm IN (`+in+`)`, append([]any{cloud}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scanVM(rows)
		if err != nil {
			return err
		}
		known[v.ID].vm = &v
	}
	return rows.Err()
}

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

func scanVM(row scanner) (VM, error) {
	var (
		v         VM
		benchmark sql.NullFloat64
		ended     sql.NullInt64
		endsAt    sql.NullInt64
		missing   sql.NullInt64
		vanished  sql.NullInt64
		key       string
	)
	err := row.Scan(&v.Site, &v.Cloud, &v.ID, &v.Project, &v.VO, &v.StartedAt, &v.Wall, &v.Suspended, &v.CPU, &v.CountedTo,
		&v.Size.Flavor, &v.Size.VCPUs, &v.Size.Memory, &v.Size.Disk, &v.Size.BenchmarkType, &benchmark, &v.State, &ended,
		&v.Measured, &v.Seen, &v.Shown, &v.UserID, &v.UserName, &v.Image, &v.Name, &v.Floating, &endsAt, &missing, &vanished, &v.Parked, &key)
	if benchmark.Valid {
		v.Size.Benchmark = &benchmark.Float64
	}
	v.EndedAt, v.EndsAt, v.Missing, v.Vanished = ended.Int64, endsAt.Int64, missing.Int64, vanished.Int64
	return v, err
}

func recallRows(tx *store.Tx, site, cloud string, ids []string, known map[string]*kept) error {
	in, args := list(4, ids)
	rows, err := tx.Query(`SELECT subject, period, rev, digest, labels, vo FROM ledger
		WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject IN (`+in+`)`, append([]any{site, cloud, KindCloud}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			id, period string
			r          keptRow
		)
		if err := rows.Scan(&id, &period, &r.rev, &r.digest, &r.labels, &r.vo); err != nil {
			return err
		}
		known[id].rows[period] = r
	}
	return rows.Err()
}

// recallTwins finds, for each VM, the one that the server would take for the same: it keys by VMUUID alone, in any
// letter case (design §7, rule 9).
func recallTwins(tx *store.Tx, cloud string, ids []string, known map[string]*kept) error {
	keys := make([]string, len(ids))
	byKey := make(map[string][]string, len(ids))
	for i, id := range ids {
		keys[i] = strings.ToLower(id)
		byKey[keys[i]] = append(byKey[keys[i]], id)
	}
	in, args := list(1, keys)
	rows, err := tx.Query(`SELECT v.site, v.cloud, v.vm, coalesce(s.name, v.site), coalesce(c.name, v.cloud), v.vm_key, v.ended_at, v.parked FROM vm v
		LEFT JOIN site s ON s.id = v.site LEFT JOIN cloud c ON c.id = v.cloud WHERE v.vm_key IN (`+in+`)`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			t      twin
			key    string
			ended  sql.NullInt64
			parked string
		)
		if err := rows.Scan(&t.site, &t.cloud, &t.id, &t.siteName, &t.cloudName, &key, &ended, &parked); err != nil {
			return err
		}
		t.endedAt, t.parked = ended.Int64, parked != ""
		for _, id := range byKey[key] {
			if (t.cloud != cloud || t.id != id) && !t.parked {
				known[id].twin = &t
			}
		}
	}
	return rows.Err()
}

// column reads a query of one column of text.
func column(tx *store.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// list gives the placeholders from $first on for the values, and the values as arguments.
func list(first int, values []string) (string, []any) {
	var b strings.Builder
	args := make([]any, len(values))
	for i, v := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "$%d", first+i)
		args[i] = v
	}
	return b.String(), args
}

// entry is a VM's new state with the rows that follow from it, ready to be written.
type entry struct {
	vm    VM
	rows  []ledgerRow
	later bool // it ended before months that have rows (rule 7)
	named bool // its user's name became known, which its other rows may lack
	other int  // how many rows it has, which these two may change
}

// size is how many rows it writes at most.
func (e entry) size() int {
	n := 1 + len(e.rows)
	if e.later || e.named {
		n += e.other
	}
	return n
}

type ledgerRow struct {
	Row
	rev    int64
	digest string
	body   string
	labels string
	wall   int64 // WallDuration
	other  bool  // labels than the row had
	parked string
}

// compose makes the rows of a VM that differ from what the ledger has. A row of a month that has one keeps the VO it
// names (design §7, rule 8).
func (b *basis) compose(vm VM, rows []Row, k *kept) (entry, []string) {
	var notes []string
	e := entry{vm: vm}
	if k.twin != nil && vm.Parked == "" && (k.vm == nil || k.twin.cloud+" "+k.twin.id < vm.Cloud+" "+vm.ID) {
		vm.Parked = fmt.Sprintf("VM id equals that of a VM at %s: the server cannot tell them apart", k.twin.at())
		e.vm.Parked = vm.Parked
	}
	for _, r := range rows {
		parked := ""
		if vm.Parked != "" && k.twin != nil && k.twin.meets(vm, r.Period) {
			parked = vm.Parked
			notes = append(notes, parked)
		}
		was, known := k.rows[r.Period]
		v := vm
		v.VO = r.VO
		if known {
			v.VO, r.VO = was.vo, was.vo
		}
		row := ledgerRow{Row: r, rev: was.rev + 1, parked: parked}
		rec := record(v, r.Reading, b.labels(r.At))
		row.labels, row.wall = labelsOf(rec), rec.WallDuration
		row.other = known && was.labels != row.labels
		body, err := apel.EncodeCloudRecord(rec)
		if err != nil {
			row.parked = err.Error()
			notes = append(notes, fmt.Sprintf("its record of %s cannot be sent: %v", r.Period, err))
		}
		row.body = string(body)
		row.digest = digestOf(row.body + row.parked)
		if !known || was.digest != row.digest {
			e.rows = append(e.rows, row)
		}
	}
	e.other = len(k.rows)
	for period := range k.rows {
		e.later = e.later || (vm.EndedAt != 0 && period > Period(vm.EndedAt))
	}
	return e, notes
}

// keep writes entries in transactions of at most maxRows rows.
func (b *basis) keep(ctx context.Context, db *store.Store, entries []entry) (notes []note, err error) {
	for len(entries) > 0 {
		n, size := 0, 0
		for n < len(entries) && (n == 0 || size+entries[n].size() <= maxRows) {
			size += entries[n].size()
			n++
		}
		var found []note
		err := db.Write(ctx, func(tx *store.Tx) error {
			found = nil
			if err := lockSite(tx, b.Target.Site.ID); err != nil {
				return err
			}
			if err := current(tx, b.Cloud); err != nil {
				return err
			}
			for _, e := range entries[:n] {
				more, err := b.revise(tx, e)
				if err != nil {
					return fmt.Errorf("VM %s: %w", e.vm.ID, err)
				}
				found = append(found, more...)
			}
			if err := writeVMs(tx, entries[:n]); err != nil {
				return err
			}
			return b.writeRows(tx, entries[:n])
		})
		if err != nil {
			return notes, err
		}
		notes = append(notes, found...)
		entries = entries[n:]
	}
	return notes, nil
}

// current refuses to write for a cloud that was meanwhile found to be another one under a new name.
func current(tx *store.Tx, c site.Cloud) error {
	var replaced bool
	err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM cloud WHERE id = $1 AND replaced_by IS NOT NULL)`, c.ID).Scan(&replaced)
	if err == nil && replaced {
		err = fmt.Errorf("cloud %s was found to be another one under a new name while it was collected: collect again", c.Name)
	}
	return err
}

// note is something about a VM that an operator should know.
type note struct{ vm, text string }
