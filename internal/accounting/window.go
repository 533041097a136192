package accounting

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Window is a half-open stretch of time, [From, To), in unix seconds, that is asked for in one go.
type Window struct{ From, To int64 }

// Mark gives the instant up to which the windows cover all time since the instant since. A window beyond a gap does not
// move it, nor does an old one.
func Mark(since int64, windows []Window) int64 {
	slices.SortFunc(windows, func(a, b Window) int { return cmp.Compare(a.From, b.From) })
	mark := since
	for _, w := range windows {
		if w.From > mark {
			break
		}
		mark = max(mark, w.To)
	}
	return mark
}

// next gives the window to collect now: from the mark to now less settle, or what the caller asks for. An empty window
// is none. A window from an instant after the mark starts at the mark, so that no gap can arise.
func next(mark int64, asked Window, now time.Time, settle time.Duration) (Window, error) {
	newest := now.Add(-settle).Unix()
	w := Window{From: mark, To: newest}
	if asked.From != 0 {
		w.From = min(asked.From, mark)
	}
	if asked.To != 0 {
		w.To = min(asked.To, newest)
	}
	if asked.From != 0 && asked.To != 0 && asked.From >= asked.To {
		return Window{}, fmt.Errorf("the window is empty: from %s is not before to %s", unix(asked.From), unix(asked.To))
	}
	if w.To <= w.From && asked.To != 0 { // an instant already covered, without a beginning: look at it again
		w.From = w.To - 1
	}
	return w, nil
}

// windowsOf gives the windows that were collected of a project, and when the last collection began, in unix milliseconds.
func windowsOf(tx *store.Tx, cloud, project string) (all []Window, last int64, err error) {
	rows, err := tx.Query(`SELECT from_time, to_time, seen FROM collected WHERE cloud = $1 AND project = $2 AND kind = $3`, cloud, project, KindCloud)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			w    Window
			seen int64
		)
		if err := rows.Scan(&w.From, &w.To, &seen); err != nil {
			return nil, 0, err
		}
		all, last = append(all, w), max(last, seen)
	}
	return all, last, rows.Err()
}

// covered notes that a window of a project was collected. It is the last write of a project's run. A window that begins
// where another ends, or inside it, makes that one longer, so that there is one row however long a site runs.
func covered(tx *store.Tx, cloud, project string, w Window, seen int64) error {
	n, err := tx.Exec(`UPDATE collected SET to_time = CASE WHEN to_time < $1 THEN $1 ELSE to_time END, seen = $2, dropped = NULL
		WHERE cloud = $3 AND project = $4 AND kind = $5 AND from_time <= $6 AND to_time >= $6`, w.To, seen, cloud, project, KindCloud, w.From)
	if err != nil || n > 0 {
		return err
	}
	_, err = tx.Exec(`INSERT INTO collected (cloud, project, kind, from_time, to_time, seen) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (cloud, project, kind, from_time) DO UPDATE
		SET to_time = CASE WHEN excluded.to_time > collected.to_time THEN excluded.to_time ELSE collected.to_time END, seen = excluded.seen, dropped = NULL`,
		cloud, project, KindCloud, w.From, w.To, seen)
	return err
}

func unix(at int64) string { return time.Unix(at, 0).UTC().Format("2006-01-02T15:04:05Z") }

func abs(n int64) int64 { return max(n, -n) }
