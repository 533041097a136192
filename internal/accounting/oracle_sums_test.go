package accounting_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/store"
)

// judgeSummaries compares the server's summaries with its records: they differ by stale rows only, and every one must have
// been reported.
func (tr *trial) judgeSummaries() {
	now := tr.cloudNow()
	tr.server.Summarise(now.Add(time.Second))
	tr.server.Summarise(now.Add(3 * day)) // on the first two days of a year it spares January
	have := map[string]use{}
	for _, m := range tr.server.Monthly() {
		have[m.Period+", VO "+m.VO] = use{m.Wall, m.CPU}
	}
	kept := tr.monthlyKept()
	reported, rounding := map[string]float64{}, map[string]float64{} // hours, seconds
	for _, n := range tr.notices {
		if _, text, ok := strings.Cut(n, needsCleanUp); ok {
			var hours float64
			parts := strings.SplitN(text, ", ", 4)
			_, _ = fmt.Sscanf(parts[2], "%f h", &hours)
			reported[parts[0]+", "+parts[1]] += hours
			rounding[parts[0]+", "+parts[1]] += 180 // hours have one decimal
		}
	}
	for key, h := range have {
		stale := h.wall - kept[key].wall
		if h == kept[key] {
			continue
		}
		r, ok := reported[key]
		carried := tr.previously == accounting.CASO && key[:7] == tr.since.Format("2006-01") // here that month holds what cASO's records would take off
		if !ok || (float64(stale) > r*3600+rounding[key] && !carried) {
			tr.wrong("summaries of %s are %d s above the records, reported were %.1f h", key, stale, r)
		}
	}
}

// judgeCleanUps compares what was noted with what stored reports told: each clean-up once, whatever was killed.
func (tr *trial) judgeCleanUps() {
	noted := map[string]int{}
	err := tr.archive.db.Read(context.Background(), func(tx *store.Tx) error {
		return tr.eachCleanUp(tx, `FROM clean_up c WHERE c.site = $1`, func(about string) { noted[about]++ })
	})
	if err != nil {
		tr.wrong("the clean-ups cannot be read: %v", err)
	}
	told := map[string]int{}
	for text, n := range tr.cleanUps {
		before, _, _ := strings.Cut(text, ", because")
		told[before] += n
	}
	for text := range noted {
		if told[text] != noted[text] && !(tr.excused && told[text] > 0) {
			tr.wrong("%s: noted %d times, told %d times", text, noted[text], told[text])
		}
		delete(told, text)
	}
	for text := range told {
		if !tr.excused {
			tr.wrong("%s: told, and not noted", text)
		}
	}
}

// eachCleanUp gives, of those of the site's clean-ups that a condition ($1 = the site) selects, how a report begins that
// tells them.
func (tr *trial) eachCleanUp(tx *store.Tx, which string, take func(about string)) error {
	rows, err := tx.Query(`SELECT c.subject, c.period, c.vo, c.wall `+which, tr.target.Site.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			vm, period, vo string
			wall           float64 // seconds
		)
		if err := rows.Scan(&vm, &period, &vo, &wall); err != nil {
			return err
		}
		take(fmt.Sprintf("VM %s: %s%s, VO %s, %.1f h", vm, needsCleanUp, period, vo, wall/3600))
	}
	return rows.Err()
}

// monthlyKept sums the server's records by month and VO.
func (tr *trial) monthlyKept() map[string]use {
	rows := tr.server.Kept()
	slices.SortStableFunc(rows, func(a, b apelserver.Row) int { return int(a.Measured - b.Measured) })
	before, sums := map[string]use{}, map[string]use{}
	for _, r := range rows {
		key := fmt.Sprintf("%04d-%02d, VO %s", r.Year, r.Month, r.VO)
		now, was := use{value(r.Wall), value(r.CPU)}, before[r.VMUUID]
		sums[key] = use{sums[key].wall + now.wall - was.wall, sums[key].cpu + now.cpu - was.cpu}
		before[r.VMUUID] = now
	}
	return sums
}
