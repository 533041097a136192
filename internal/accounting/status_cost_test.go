package accounting

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestStatusCostsLittle: what a status counts is found by an index of just these rows, on both databases, in tables of
// many others: metrics and pages ask for it all the time.
func TestStatusCostsLittle(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		fill(t, db, 1000)
		explain := map[string]string{"sqlite": "EXPLAIN QUERY PLAN ", "postgres": "EXPLAIN "}[db.Dialect()]
		for index, query := range map[string]string{"ledger_parked": countUnsendable, "vm_vanished": countVanished, "message_open": countCut} {
			var plan []string
			err := db.Read(t.Context(), func(tx *store.Tx) error {
				if db.Dialect() == "postgres" { // it looks through a small table from end to end, and these are not large yet
					if _, err := tx.Exec(`SET LOCAL enable_seqscan = off`); err != nil {
						return err
					}
				}
				given := []any{"site-1", "cloud"}
				rows, err := tx.Query(explain+query, given[:strings.Count(query, "$")]...)
				if err != nil {
					return err
				}
				defer rows.Close()
				columns, err := rows.Columns()
				if err != nil {
					return err
				}
				for rows.Next() {
					line := make([]any, len(columns))
					for i := range line {
						line[i] = new(any)
					}
					if err := rows.Scan(line...); err != nil {
						return err
					}
					plan = append(plan, fmt.Sprint(*line[len(line)-1].(*any)))
				}
				return rows.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(plan, func(line string) bool { return strings.Contains(line, index) }) || slices.ContainsFunc(plan, func(line string) bool { return strings.HasPrefix(line, "SCAN") }) {
				t.Errorf("%s:\n%s", query, strings.Join(plan, "\n"))
			}
		}
	})
}

// fill writes many rows that no status counts.
func fill(t *testing.T, db *store.Store, n int) {
	t.Helper()
	for from := 0; from < n; from += 500 {
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			for i := range 500 {
				vm := fmt.Sprint("vm-", from+i)
				_, err := tx.Exec(`INSERT INTO vm (site, cloud, vm, project, vo, started_at, wall, suspended, cpu, counted_to, flavor, vcpus, memory, disk, benchmark_type, state, measured, seen, shown,
					user_id, user_name, image, name, floating, parked, vm_key) VALUES ('site-1', 'site-1', $1, 'p', 'ops', 0, 0, 0, 0, 0, 'f', 1, 1, 1, '', 'started', 0, 0, 0, 'u', 'u', 'i', 'n', 0, '', $1)`, vm)
				if err == nil {
					_, err = tx.Exec(`INSERT INTO ledger (site, cloud, kind, subject, period, measured, seen, rev, digest, body, vo, project, labels, wall)
						VALUES ('site-1', 'site-1', 'cloud', $1, '2026-11', 0, 0, 1, '', '', 'ops', 'p', '', 0)`, vm)
				}
				if err == nil {
					_, err = tx.Exec(`INSERT INTO message (id, destination, site, kind, name, state, attempts, next, hold_until, reason, body, records, period, created)
						VALUES ($1, 'site-1', 'cloud', 'cloud', $1, 'sent', 1, 0, 0, '', '', 1, '2026-11', 0)`, vm)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
