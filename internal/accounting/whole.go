package accounting

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Whether anything waits for a destination is asked every few minutes, and almost always nothing does. Looking at each row
// of the ledger would cost the more the longer a site is accounted. So each cloud's month counts how often it was written,
// in the transaction that writes it; and when a look at all its rows finds that a destination has whatever it is to get,
// that is kept with the count. As long as the count is the same, the month is passed over.

// wholeFor is how long, in seconds, a month is passed over before its rows are looked at again: whatever could be wrong with
// the count is mended after a day.
const wholeFor = 24 * 3600

// whole is a cloud's month of which a destination has all that it is to get.
type whole struct {
	period, cloud string
	written       int64
	kept          string
}

// written counts that rows of a cloud's months were written, or may be sent again. It stands in the transaction that does
// it, after lockSite.
func written(tx *store.Tx, siteID, cloud string, periods []string) error {
	periods = slices.Sorted(slices.Values(periods))
	for _, period := range slices.Compact(periods) {
		_, err := tx.Exec(`INSERT INTO ledger_month (site, cloud, kind, period, written) VALUES ($1, $2, $3, $4, 1)
			ON CONFLICT (site, cloud, kind, period) DO UPDATE SET written = ledger_month.written + 1`, siteID, cloud, KindCloud, period)
		if err != nil {
			return err
		}
	}
	return nil
}

// writtenOf does it for the months of the records of messages. A record may have kept back that of a VM with the same id at
// another cloud, too.
func writtenOf(tx *store.Tx, siteID string, messages []string) error {
	in, ids := list(2, messages)
	months := map[string][]string{} // by cloud
	err := each(tx, func(rows *sql.Rows) error {
		var cloud, period string
		err := rows.Scan(&cloud, &period)
		months[cloud] = append(months[cloud], period)
		return err
	}, `SELECT cloud, period FROM message_record WHERE message IN (`+in+`)
		UNION SELECT cloud, period FROM delivery_month WHERE site = $1 AND period IN (SELECT period FROM message_record WHERE message IN (`+in+`))`, append([]any{siteID}, ids...)...)
	if err != nil {
		return err
	}
	for cloud, periods := range months {
		if err := written(tx, siteID, cloud, periods); err != nil {
			return err
		}
	}
	return nil
}

// month gives a cloud's month as it is now, and whether it is known that the destination has all of it.
func (o outbox) month(tx *store.Tx, at cursor, now time.Time) (w whole, known bool, err error) {
	w = whole{period: at.period, cloud: at.cloud, kept: o.scopes.kept(at.cloud, at.period)}
	err = tx.QueryRow(`SELECT m.written, EXISTS (SELECT 1 FROM delivery_month WHERE destination = $1 AND site = $2 AND kind = $3 AND period = $4 AND cloud = $5
			AND written = m.written AND kept = $6 AND seen > $7 AND seen <= $8)
		FROM (SELECT coalesce(max(written), 0) AS written FROM ledger_month WHERE site = $2 AND kind = $3 AND period = $4 AND cloud = $5) m`,
		o.destination, o.site, KindCloud, at.period, at.cloud, w.kept, now.Unix()-wholeFor, now.Unix()).Scan(&w.written, &known)
	return w, known, err
}

// keepWhole stores which months the destination was found to have; of one that was found twice, what was found last.
func (o outbox) keepWhole(tx *store.Tx, all []whole, now time.Time) error {
	var values [][]any
	known := map[cursor]bool{}
	for _, w := range slices.Backward(all) {
		if at := (cursor{period: w.period, cloud: w.cloud}); !known[at] {
			known[at] = true
			values = append(values, []any{o.destination, o.site, w.cloud, KindCloud, w.period, w.written, w.kept, now.Unix()})
		}
	}
	return insert(tx, `INSERT INTO delivery_month (destination, site, cloud, kind, period, written, kept, seen)`,
		`ON CONFLICT (destination, site, cloud, kind, period) DO UPDATE SET written = excluded.written, kept = excluded.kept, seen = excluded.seen`, values)
}

// kept gives the VOs of a cloud's month that are kept back, as text: "" among them stands for all.
func (s scopes) kept(cloud, period string) string {
	vos := []string{}
	for _, o := range s {
		if o.cloud == cloud && period < o.from {
			vos = append(vos, o.vo)
		}
	}
	slices.Sort(vos)
	text, err := json.Marshal(slices.Compact(vos))
	if err != nil {
		panic(err) // a list of texts
	}
	return string(text)
}
