package accounting

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestWhatWaitsIsFoundByIndex asks SQLite how it looks for rows to send: by a range of the ledger's index from the cursor
// on, and each row's messages by the row, so that a large ledger is read once however many messages are cut.
func TestWhatWaitsIsFoundByIndex(t *testing.T) {
	db := storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")})
	o := outbox{destination: "ams", site: "site-a", active: "2024-01"}
	var plan []string
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`EXPLAIN QUERY PLAN SELECT l.subject, `+held+`, (SELECT min(m.state)`+inMessage+`)`+undone+` AND l.subject > $7 ORDER BY l.subject LIMIT $8`, o.args("2024-03", "cloud-a", time.Unix(0, 0), "vm", 100)...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, parent, unused int
			var line string
			if err := rows.Scan(&id, &parent, &unused, &line); err != nil {
				return err
			}
			plan = append(plan, line)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	whole := strings.Join(plan, "\n")
	for _, part := range []string{
		"ledger_by_period (site=? AND kind=? AND period=? AND cloud=? AND subject>?)",
		"(site=? AND cloud=? AND kind=? AND subject=? AND period=? AND destination=?)",
		"message_record_row (site=? AND kind=? AND subject=? AND period=?)",
	} {
		if !strings.Contains(whole, part) {
			t.Errorf("the plan lacks %q:\n%s", part, whole)
		}
	}
	if strings.Contains(whole, "TEMP B-TREE") {
		t.Errorf("rows are sorted:\n%s", whole)
	}
}

// TestWhatIsHeldIsFoundByIndex: the deliveries without a hold, which are almost all, are not looked at.
func TestWhatIsHeldIsFoundByIndex(t *testing.T) {
	db := storetest.Open(t, store.Config{Path: filepath.Join(t.TempDir(), "fedsite.db")})
	var first string
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		var id, parent, unused int
		return tx.QueryRow(`EXPLAIN QUERY PLAN `+countHeld, "ams", "site-a", KindCloud, 0).Scan(&id, &parent, &unused, &first)
	})
	if want := "delivery_held (destination=? AND site=? AND hold_until>? AND hold_until<?)"; err != nil || !strings.Contains(first, want) {
		t.Errorf("%s, %v", first, err)
	}
}
