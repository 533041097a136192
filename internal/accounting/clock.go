package accounting

import (
	"context"
	"fmt"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
)

// lastSight gives when the project's newest sight was dated, in unix milliseconds: that of a window, or of a VM.
func lastSight(tx *store.Tx, cloud, project string, windows int64) (last int64, err error) {
	err = tx.QueryRow(`SELECT coalesce(max(shown), $3) FROM vm WHERE cloud = $1 AND project = $2 AND ended_at IS NULL`, cloud, project, windows).Scan(&last)
	return max(last, windows), err
}

// takeBack makes right again what a clock that was ahead has dated. Whatever was seen was seen before now; and up to an
// instant that lies ahead nothing can have been collected: else the next sights would be taken for older ones, and what
// happens until then would fall into a window that is done. It is done when Keystone has the same time as we (signing in
// compares them). Nothing that was counted is taken away: a month never shrinks, and an end takes back what lies beyond it.
func (c *collector) takeBack(ctx context.Context, p site.Project, now time.Time, last int64) error {
	to := now.Add(-c.t.Settings.Settle).Unix()
	if ahead := time.UnixMilli(last).Sub(now); ahead > c.t.Settings.Settle {
		c.problem(p.Object(), fmt.Sprintf("the clock went back: it says %s, and the last collection was dated %s; what was dated later is dated now", now.UTC().Format(time.RFC3339), time.UnixMilli(last).UTC().Format(time.RFC3339)), run.Problem{
			Hint: "keep the clocks of this machine and of the cloud in time (chrony, ntpd): what was counted ahead stays until time has caught up, or the VMs end"})
	}
	for {
		var some int64
		err := c.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
			if err := lockSite(tx, c.t.Site.ID); err != nil {
				return err
			}
			some, err = redate(tx, c.t.Site.ID, c.c.Cloud.ID, p.ID, now.UnixMilli())
			return err
		})
		if err != nil {
			return storeError{err}
		}
		if some < vmsPerStep {
			break
		}
	}
	err := c.d.DB.Write(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`DELETE FROM collected WHERE cloud = $1 AND project = $2 AND kind = $3 AND from_time >= $4`, c.c.Cloud.ID, p.ID, KindCloud, to); err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE project_state SET checked = CASE WHEN checked >= $1 THEN $1 - 1 ELSE checked END, released = CASE WHEN released >= $1 THEN $1 - 1 ELSE released END
			WHERE cloud = $2 AND project = $3 AND part = $4`, now.UnixMilli(), c.c.Cloud.ID, p.ID, part); err != nil { // else what is seen from now on would be released
			return err
		}
		_, err := tx.Exec(`UPDATE collected SET to_time = CASE WHEN to_time > $4 THEN $4 ELSE to_time END, seen = CASE WHEN seen > $5 THEN $5 ELSE seen END
			WHERE cloud = $1 AND project = $2 AND kind = $3`, c.c.Cloud.ID, p.ID, KindCloud, to, now.UnixMilli())
		return err
	})
	if err != nil {
		return storeError{err}
	}
	return nil
}

// redate dates some of the project's sights that lie ahead to just before now, and gives how many VMs that concerned.
func redate(tx *store.Tx, siteID, cloud, project string, now int64) (int64, error) {
	ids, err := column(tx, `SELECT vm FROM vm WHERE cloud = $1 AND project = $2 AND (seen >= $3 OR shown >= $3 OR missing >= $3) LIMIT $4`, cloud, project, now, vmsPerStep)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	const least = ` = CASE WHEN %[1]s >= $1 THEN $1 - 1 ELSE %[1]s END`
	in, args := list(3, ids)
	if _, err := tx.Exec(`UPDATE vm SET seen`+fmt.Sprintf(least, "seen")+`, shown`+fmt.Sprintf(least, "shown")+`, missing`+fmt.Sprintf(least, "missing")+`
		WHERE cloud = $2 AND vm IN (`+in+`)`, append([]any{now, cloud}, args...)...); err != nil {
		return 0, err
	}
	in, args = list(5, ids)
	_, err = tx.Exec(`UPDATE ledger SET seen = $1 - 1 WHERE site = $2 AND cloud = $3 AND kind = $4 AND seen >= $1 AND subject IN (`+in+`)`, append([]any{now, siteID, cloud, KindCloud}, args...)...)
	return int64(len(ids)), err
}
