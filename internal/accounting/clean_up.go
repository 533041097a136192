package accounting

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// cleanUpShown is how long a clean-up is listed after it was noted: as long as the report that told it is kept.
const cleanUpShown = 90 * 24 * time.Hour

// cleanUp is a sum that the server goes on counting under former labels of a VM's month, until an operator has it deleted.
type cleanUp struct {
	message, cloud, vm, period string
	nr                         int // of the month's former labels
	vo                         string
	wall                       int64
}

func (c cleanUp) change(tx *store.Tx, set string, values ...any) error {
	_, err := tx.Exec(`UPDATE clean_up SET `+set+` WHERE message = $1 AND cloud = $2 AND subject = $3 AND period = $4 AND nr = $5`, append([]any{c.message, c.cloud, c.vm, c.period, c.nr}, values...)...)
	return err
}

// problem is what a report says of it. The text is also how it is found again in a stored one.
func (c cleanUp) problem(siteName string) run.Problem {
	return run.Problem{Site: siteName, Object: "VM " + c.vm, Step: "send", Notice: true,
		Reason: fmt.Sprintf("needs clean-up at APEL: %s, VO %s, %.1f h, because a label changed in a month whose summaries the server no longer cleans", c.period, c.vo, hours(c.wall)),
		Hint:   "ask the accounting team to delete the stale summary of that month, VO and site"}
}

func hours(seconds int64) float64 { return float64(seconds) / 3600 }

// toldAtOnce gives when a clean-up counts as told that a run is about to report: NULL, because its report is still to be
// stored; of a run without a lease, which leaves no history, now.
func toldAtOnce(me store.Lease, now time.Time) any {
	if me.Task == "" {
		return now.Unix()
	}
	return nil
}

// noteCleanUps stores clean-ups in the transaction that knows of them, for the run to report.
func noteCleanUps(tx *store.Tx, siteID, kind string, all []cleanUp, me store.Lease, now time.Time) error {
	values := make([][]any, len(all))
	for i, c := range all {
		values[i] = []any{c.message, siteID, c.cloud, kind, c.vm, c.period, c.nr, c.vo, c.wall, now.Unix(), me.Task, me.Fence, toldAtOnce(me, now)}
	}
	return insert(tx, insertCleanUp, `ON CONFLICT DO NOTHING`, values)
}

const insertCleanUp = `INSERT INTO clean_up (message, site, cloud, kind, subject, period, nr, vo, wall, noted, task, fence, told)`

// tellLeft reports the clean-ups that no stored report has: the process was killed before its run had ended, or the report
// was full, or is another one, because the run panicked. Each is this run's then, as if it had been noted just now.
func tellLeft(ctx context.Context, d Deps, t *Target) error {
	me, _ := store.LeaseFrom(ctx)
	var told, left []cleanUp
	err := d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		told, left, err = untold(tx, t)
		return err
	})
	if err != nil || len(told)+len(left) == 0 {
		return err
	}
	err = d.DB.Write(ctx, func(tx *store.Tx) error {
		for _, c := range told {
			if err := c.change(tx, `told = $6`, d.Now().Unix()); err != nil {
				return err
			}
		}
		for _, c := range left {
			if err := c.change(tx, `task = $6, fence = $7, told = $8`, me.Task, me.Fence, toldAtOnce(me, d.Now())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, c := range left {
		d.Run.Problem(c.problem(t.Site.Name))
	}
	return nil
}

// untold reads the oldest clean-ups of a site that are not known to stand in a stored report: those that do, and those that
// do not. A run that is not in the history any more has told what it had to.
func untold(tx *store.Tx, t *Target) (told, left []cleanUp, err error) {
	type row struct {
		cleanUp
		by store.Lease
	}
	var all []row
	err = each(tx, func(rows *sql.Rows) error {
		var r row
		err := rows.Scan(&r.message, &r.cloud, &r.vm, &r.period, &r.nr, &r.vo, &r.wall, &r.by.Task, &r.by.Fence)
		all = append(all, r)
		return err
	}, `SELECT message, cloud, subject, period, nr, vo, wall, task, fence FROM clean_up WHERE site = $1 AND told IS NULL ORDER BY noted, message, cloud, subject, period, nr LIMIT $2`, t.Site.ID, maxRows)
	if err != nil {
		return nil, nil, err
	}
	reports := map[store.Lease]func(run.Problem) bool{}
	for _, r := range all {
		if r.by == (store.Lease{}) { // no run has it yet
			left = append(left, r.cleanUp)
			continue
		}
		has, read := reports[r.by]
		if !read {
			if has, err = reportOf(tx, r.by); err != nil {
				return nil, nil, err
			}
			reports[r.by] = has
		}
		if has(r.problem(t.Site.Name)) {
			told = append(told, r.cleanUp)
		} else {
			left = append(left, r.cleanUp)
		}
	}
	return told, left, nil
}

// reportOf gives what tells whether a run's stored report lists a problem of an object and reason.
func reportOf(tx *store.Tx, by store.Lease) (has func(run.Problem) bool, err error) {
	var text sql.NullString
	err = tx.QueryRow(`SELECT report FROM run WHERE task = $1 AND fence = $2`, by.Task, by.Fence).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return func(run.Problem) bool { return true }, nil
	}
	if err != nil {
		return nil, err
	}
	var report run.Report
	if json.Unmarshal([]byte(text.String), &report) != nil { // it never stored one, or none that anybody could read
		report = run.Report{}
	}
	listed := map[[2]string]bool{}
	for _, p := range report.Problems {
		listed[[2]string{p.Object, p.Reason}] = true
	}
	return func(p run.Problem) bool { return listed[[2]string{p.Object, p.Reason}] }, nil
}

// CleanUp is what the accounting server counts too much of a month and VO, until somebody has it deleted there.
type CleanUp struct {
	Period, VO string
	Wall       int64 // seconds
	VMs        int64
}

// cleanUps gives what was noted of a site since an instant, by month and VO.
func cleanUps(tx *store.Tx, siteID string, since time.Time) (all []CleanUp, err error) {
	err = each(tx, func(rows *sql.Rows) error {
		var c CleanUp
		err := rows.Scan(&c.Period, &c.VO, &c.Wall, &c.VMs)
		all = append(all, c)
		return err
	}, `SELECT period, vo, sum(wall), count(DISTINCT subject) FROM clean_up WHERE site = $1 AND noted >= $2 GROUP BY period, vo ORDER BY period, vo`, siteID, since.Unix())
	return all, err
}

// cleanUpCheck lists what was noted lately. Nothing is wrong with fedsite, and nobody could say that it is done: it is ok.
func cleanUpCheck(all []CleanUp) run.Check {
	const most = 10
	var parts []string
	for i, c := range all {
		if i == most {
			parts = append(parts, fmt.Sprintf("%d more", len(all)-most))
			break
		}
		parts = append(parts, fmt.Sprintf("%s, VO %s, %.1f h of %s", c.Period, c.VO, hours(c.Wall), some(int(c.VMs), "VM")))
	}
	return run.Check{Name: "clean-up", State: run.CheckOK,
		Reason: fmt.Sprintf("in the last %d days the accounting team was to be asked for clean-up at APEL: %s", cleanUpShown/(24*time.Hour), strings.Join(parts, "; "))}
}

// cleanUps forgets those that are no longer listed and were told, and all that are as old as the records that end.
func (r *retention) cleanUps(ctx context.Context) error {
	shown := r.d.Now().Add(-cleanUpShown)
	for {
		var n int64
		err := r.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM clean_up WHERE (message, cloud, subject, period, nr) IN (SELECT message, cloud, subject, period, nr FROM clean_up
				WHERE noted < $1 OR (noted < $2 AND told IS NOT NULL) LIMIT $3)`, r.before.Unix(), shown.Unix(), maxRows)
			return err
		})
		if err != nil || n < maxRows {
			return err
		}
	}
}
