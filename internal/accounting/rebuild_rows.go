package accounting

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// present is what the database has of some VMs of a cloud.
type present struct {
	vms        map[string]VM
	rows       map[rowKey]presentRow
	deliveries map[deliveryKey]presentDelivery
	messages   map[string]bool // which of the messages on their way it knows
}

type rowKey struct{ vm, period string }

type presentRow struct {
	rev, seen int64
	digest    string
}

type deliveryKey struct {
	rowKey
	destination string
}

type presentDelivery struct{ rev, hold int64 }

// restored is what becomes of some VMs, ready to be written.
type restored struct {
	ledger, deliveries [][]any
	raised             []rowKey // rows whose text stays, under a higher revision
	told               []told   // rows whose text stays, and the server has it meanwhile
	tops               map[rowKey]int64
	vms                []entry
	kept               int64
}

// periods gives the months that are written to.
func (w restored) periods() (all []string) {
	for key := range w.tops {
		all = append(all, key.period)
	}
	return all
}

// told is a row that the server was told of, and by which revision.
type told struct {
	rowKey
	by revision
}

// some restores some VMs of a cloud in one transaction.
func (r *rebuild) some(ctx context.Context, cloud string, keys []vmKey) error {
	var w restored
	err := r.write(ctx, func(tx *store.Tx) error {
		have, err := r.present(tx, cloud, keys)
		if err != nil {
			return err
		}
		w = restored{tops: map[rowKey]int64{}}
		for _, key := range keys {
			if err := r.restore(&w, have, key); err != nil {
				return err
			}
		}
		return r.keep(tx, cloud, w)
	})
	if err != nil {
		return err
	}
	r.out.Records += int64(len(w.ledger) + len(w.raised))
	r.out.Deliveries += int64(len(w.deliveries))
	r.out.VMs += int64(len(w.vms))
	r.out.Kept += w.kept
	return nil
}

// restore decides, for each month of a VM, which text the ledger has in the end and which revision each destination has:
// the newest observation counts; the highest revision of either side is its number, and a higher one when a destination
// has got another text last, so that it gets this one.
func (r *rebuild) restore(w *restored, have present, key vmKey) error {
	e := r.e.vms[key]
	vm, ok, err := e.meter(r.e.t.Site.ID, key, r.now.Unix())
	if err != nil {
		r.d.Run.Problem(run.Problem{Site: r.e.t.Site.Name, Object: "VM " + key.vm, Step: "rebuild", Reason: err.Error(), Hint: "the archive's text of it is no record: left out"})
	}
	before := len(w.ledger)
	for _, period := range slices.Sorted(maps.Keys(e.rows)) {
		row := e.rows[period]
		if _, err := parseRecord(row.newest.body); err != nil {
			continue
		}
		if err := r.restoreRow(w, have, rowKey{key.vm, period}, key.cloud, e); err != nil {
			return err
		}
	}
	was, known := have.vms[key.vm]
	switch {
	case !ok, known && (was.Seen > vm.Seen || was.Seen == vm.Seen && len(w.ledger) == before), // closing one that vanished leaves its sight as it was
		known && vm.EndedAt == 0 && was.CountedTo > vm.CountedTo:
		return nil
	case known && vm.Size.Flavor == "" && was.Size.VCPUs == vm.Size.VCPUs:
		vm.Size.Flavor = was.Size.Flavor
	}
	w.vms = append(w.vms, entry{vm: vm})
	return nil
}

func (r *rebuild) restoreRow(w *restored, have present, key rowKey, cloud string, e *vmEvidence) error {
	row := e.rows[key.period]
	was, known := have.rows[key]
	stays := known && (was.rev >= row.top || was.seen > row.newest.Seen)
	digest := row.newest.digest
	if stays {
		digest = was.digest
	}
	top := max(was.rev, row.top)
	for _, s := range row.sent {
		if s.digest != digest && s.Revision >= top {
			top = s.Revision + 1
		}
	}
	w.tops[key] = top
	switch {
	case !stays:
		values, err := r.row(row, key, cloud, top, e)
		if err != nil {
			return err
		}
		w.ledger = append(w.ledger, values)
	case top > was.rev:
		w.raised = append(w.raised, key)
	default:
		w.kept++
	}
	for destination, s := range row.sent {
		rev := min(s.Revision, top-1)
		if s.digest == digest {
			rev = top
		}
		d, delivered := have.deliveries[deliveryKey{key, destination}]
		if delivered && stays && d.rev >= s.Revision || delivered && d.rev == rev {
			continue
		}
		if stays && rev == top && !r.e.t.copies(destination) {
			w.told = append(w.told, told{key, s})
		}
		w.deliveries = append(w.deliveries, []any{destination, r.e.t.Site.ID, cloud, KindCloud, key.vm, key.period, rev, wallOf(s.body), s.message, max(d.hold, s.hold)})
	}
	for destination, o := range row.open {
		s, delivered := row.sent[destination]
		d := have.deliveries[deliveryKey{key, destination}]
		if have.messages[o.message] || o.Revision <= max(s.Revision, d.rev) {
			continue
		}
		// it may have arrived, and may still: a delivery of no revision, or of the one before, that nothing follows for a while
		values := []any{destination, r.e.t.Site.ID, cloud, KindCloud, key.vm, key.period, int64(0), wallOf(o.body), o.message, r.now.Unix() + lateArrival}
		if delivered {
			rev := min(s.Revision, top-1)
			if s.digest == digest {
				rev = top
			}
			values[6], values[7], values[8] = rev, wallOf(s.body), s.message
		} else if d.rev > 0 {
			values[6] = d.rev
		}
		w.deliveries = append(w.deliveries, values) // the last one counts
	}
	return nil
}

func wallOf(body string) int64 {
	rec, err := parseRecord(body)
	if err != nil {
		return 0
	}
	return rec.WallDuration
}

// row makes the ledger's row of the newest text. Where the server has another one of other labels, the row says so.
func (r *rebuild) row(row *rowEvidence, key rowKey, cloud string, rev int64, e *vmEvidence) ([]any, error) {
	rec, err := parseRecord(row.newest.body)
	if err != nil {
		return nil, err
	}
	labels, seen := labelsOf(rec), row.newest.Seen
	if seen == 0 {
		seen = rec.Measured() * 1000
	}
	var noted any
	for destination, s := range row.sent {
		was, err := parseRecord(s.body)
		if err != nil || labelsOf(was) == labels || r.e.t.copies(destination) {
			continue
		}
		before := int64(0)
		for _, period := range slices.Sorted(maps.Keys(e.rows)) {
			if p, ok := e.rows[period].sent[destination]; ok && period < key.period {
				before = wallOf(p.body)
			}
		}
		text, err := json.Marshal([]stale{{Labels: labelsOf(was), VO: was.FQAN, Wall: was.WallDuration - before}})
		if err != nil {
			return nil, err
		}
		noted = string(text)
	}
	return []any{r.e.t.Site.ID, cloud, KindCloud, key.vm, key.period, rec.Measured(), seen, rev, row.newest.digest, row.newest.body, rec.FQAN, rec.LocalGroupID,
		labels, rec.WallDuration, noted, row.newest.Flavor, row.newest.State}, nil
}

// keep writes what was restored. Rows of months after a VM's end are revised, as when the end is learnt late.
func (r *rebuild) keep(tx *store.Tx, cloud string, w restored) error {
	if err := written(tx, r.e.t.Site.ID, cloud, w.periods()); err != nil {
		return err
	}
	err := insert(tx, `INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, labels, wall, stale, flavor, state)`,
		`ON CONFLICT (site, cloud, kind, subject, period) DO UPDATE SET measured = excluded.measured, seen = excluded.seen, rev = excluded.rev, digest = excluded.digest,
		body = excluded.body, vo = excluded.vo, project = excluded.project, parked = NULL, labels = excluded.labels, wall = excluded.wall, stale = excluded.stale,
		flavor = excluded.flavor, state = excluded.state`, w.ledger)
	if err != nil {
		return err
	}
	for _, key := range w.raised {
		if _, err := tx.Exec(`UPDATE ledger SET rev = $6 WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`,
			r.e.t.Site.ID, cloud, KindCloud, key.vm, key.period, w.tops[key]); err != nil {
			return err
		}
	}
	shared := sharing{}
	for _, t := range w.told {
		if err := r.settled(tx, cloud, t, shared); err != nil {
			return err
		}
	}
	for _, values := range w.deliveries { // one by one: of two for a row the last one counts
		err := insert(tx, `INSERT INTO delivery (destination, site, cloud, kind, subject, period, rev, wall, message, hold_until)`,
			`ON CONFLICT (destination, site, cloud, kind, subject, period) DO UPDATE
			SET rev = excluded.rev, wall = excluded.wall, message = excluded.message, hold_until = excluded.hold_until`, [][]any{values})
		if err != nil {
			return err
		}
	}
	if err := writeVMs(tx, w.vms); err != nil {
		return err
	}
	for _, v := range w.vms {
		if v.vm.EndedAt == 0 {
			continue
		}
		if _, err := (&basis{}).afterEnd(tx, v.vm); err != nil {
			return err
		}
	}
	return nil
}

// settled takes a row's notes of its former labels for done, as settling the message would have: what the server keeps
// under them the next run that sends reports.
func (r *rebuild) settled(tx *store.Tx, cloud string, t told, shared sharing) error {
	var (
		labels string
		noted  sql.NullString
	)
	row := []any{r.e.t.Site.ID, cloud, KindCloud, t.vm, t.period}
	err := tx.QueryRow(`SELECT labels, stale FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, row...).Scan(&labels, &noted)
	if err != nil || !noted.Valid {
		return err
	}
	was, err := staleOf(noted.String)
	if err != nil {
		return err
	}
	m := Message{ID: t.by.message, Site: r.e.t.Site.ID, Kind: KindCloud}
	left, err := shared.left(tx, m, relabelledRow{cloud: cloud, vm: t.vm, period: t.period, labels: labels, was: was}, time.Unix(t.by.at, 0))
	if err != nil {
		return err
	}
	var values [][]any
	for _, c := range left {
		values = append(values, []any{c.message, m.Site, cloud, m.Kind, c.vm, c.period, c.nr, c.vo, c.wall, r.now.Unix(), "", 0, nil})
	}
	if err := insert(tx, insertCleanUp, `ON CONFLICT DO NOTHING`, values); err != nil {
		return err
	}
	return noteStale(tx, row, nil)
}

// present reads what the database has of some VMs of a cloud.
func (r *rebuild) present(tx *store.Tx, cloud string, keys []vmKey) (present, error) {
	p := present{vms: map[string]VM{}, rows: map[rowKey]presentRow{}, deliveries: map[deliveryKey]presentDelivery{}, messages: map[string]bool{}}
	if r.empty { // what it has is forgotten
		return p, nil
	}
	var ids, open []string
	for _, k := range keys {
		ids = append(ids, k.vm)
		for _, row := range r.e.vms[k].rows {
			for _, o := range row.open {
				open = append(open, o.message)
			}
		}
	}
	known := make(map[string]*kept, len(ids))
	for _, id := range ids {
		known[id] = &kept{rows: map[string]keptRow{}}
	}
	if err := recallVMs(tx, cloud, ids, known); err != nil {
		return p, err
	}
	for id, k := range known {
		if k.vm != nil {
			p.vms[id] = *k.vm
		}
	}
	if err := p.read(tx, r.e.t.Site.ID, cloud, ids); err != nil || len(open) == 0 {
		return p, err
	}
	in, args := list(1, slices.Compact(slices.Sorted(slices.Values(open))))
	found, err := column(tx, `SELECT id FROM message WHERE id IN (`+in+`)`, args...)
	for _, id := range found {
		p.messages[id] = true
	}
	return p, err
}

func (p *present) read(tx *store.Tx, site, cloud string, ids []string) error {
	in, args := list(4, ids)
	of := append([]any{site, cloud, KindCloud}, args...)
	err := each(tx, func(rows *sql.Rows) error {
		var (
			key rowKey
			row presentRow
		)
		err := rows.Scan(&key.vm, &key.period, &row.rev, &row.seen, &row.digest)
		p.rows[key] = row
		return err
	}, `SELECT subject, period, rev, seen, digest FROM ledger WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject IN (`+in+`)`, of...)
	if err != nil {
		return err
	}
	return each(tx, func(rows *sql.Rows) error {
		var (
			key deliveryKey
			d   presentDelivery
		)
		err := rows.Scan(&key.vm, &key.period, &key.destination, &d.rev, &d.hold)
		p.deliveries[key] = d
		return err
	}, `SELECT subject, period, destination, rev, hold_until FROM delivery WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject IN (`+in+`)`, of...)
}

// each gives each row of a query to the function.
func each(tx *store.Tx, fn func(*sql.Rows) error, query string, args ...any) error {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := fn(rows); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}
