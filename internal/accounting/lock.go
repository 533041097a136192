package accounting

import "github.com/fedsite/fedsite/internal/store"

// lockSite makes a write transaction the only one of the site until it ends; it is the first statement of each that
// decides by what both sides of the ledger write. Collecting takes a row out, or revises it, by whether it was cut;
// sending cuts it by whether it is there. On PostgreSQL (READ COMMITTED) two such transactions at a time see nothing of
// each other, and a row would go out that nothing can revise any more; with the lock each statement after it sees what
// the other committed. SQLite has one writer anyway.
func lockSite(tx *store.Tx, siteID string) error {
	_, err := tx.Exec(`UPDATE accounting_start SET since = since WHERE site = $1`, siteID)
	return err
}
