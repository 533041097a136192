// Package audit keeps who did what to which object, when, and from where. Each action of an operator that changes
// something leaves one row; none holds a secret, and none a person's name but that of the operator.
package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/store"
)

// Where actions come from.
const (
	Shell   = "shell"
	Service = "service"
)

// Entry is one action.
type Entry struct {
	ID     string    `json:"id"` // made by Record when it is empty
	At     time.Time `json:"at"`
	Who    string    `json:"who"`    // Actor(), or a user of the web pages
	Action string    `json:"action"` // "accounting.release"
	Object string    `json:"object"`
	Origin string    `json:"origin"` // Shell, or the address that a request came from
}

// Record keeps an action, in a transaction of its own.
func Record(ctx context.Context, db *store.Store, e Entry) error {
	return db.Write(store.WithoutLease(ctx), func(tx *store.Tx) error { return Write(tx, e) })
}

// Write keeps an action together with what it changed.
func Write(tx *store.Tx, e Entry) error {
	_, err := tx.Exec(`INSERT INTO audit (id, at, who, action, object, origin) VALUES ($1, $2, $3, $4, $5, $6)`,
		cmp.Or(e.ID, rand.Text()), e.At.UnixMilli(), e.Who, e.Action, e.Object, cmp.Or(e.Origin, Shell))
	return err
}

// Recent gives the last actions, the newest first, at most limit.
func Recent(ctx context.Context, db *store.Store, limit int) (all []Entry, err error) {
	err = db.Read(ctx, func(tx *store.Tx) error {
		all = nil
		rows, err := tx.Query(`SELECT id, at, who, action, object, origin FROM audit ORDER BY at DESC, id LIMIT $1`, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				e  Entry
				at int64
			)
			if err := rows.Scan(&e.ID, &at, &e.Who, &e.Action, &e.Object, &e.Origin); err != nil {
				return err
			}
			e.At = time.UnixMilli(at).UTC()
			all = append(all, e)
		}
		return rows.Err()
	})
	return all, err
}

// maxRows is how many rows one transaction removes.
const maxRows = 1000

// Prune removes actions from before an instant, and gives how many there were.
func Prune(ctx context.Context, db *store.Store, before time.Time) (total int64, err error) {
	for {
		var n int64
		err := db.Write(ctx, func(tx *store.Tx) (err error) {
			n, err = tx.Exec(`DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)`, before.UnixMilli(), maxRows)
			return err
		})
		if err != nil {
			return total, err
		}
		if total += n; n < maxRows {
			return total, nil
		}
	}
}

// Actor is who uses this shell: "user@host (uid N)". Of a user that sudo made another one it is the first, with the one
// that it became.
func Actor() string { return actor(os.Getenv, os.Getuid(), name, os.Hostname) }

func name(uid int) string {
	if u, err := user.LookupId(fmt.Sprint(uid)); err == nil {
		return u.Username
	}
	return ""
}

func actor(getenv func(string) string, uid int, name func(int) string, hostname func() (string, error)) string {
	host, err := hostname()
	if err != nil {
		host = "?"
	}
	who := fmt.Sprintf("%s@%s (uid %d)", cmp.Or(printable(name(uid)), "?"), host, uid)
	if by := printable(getenv("SUDO_USER")); by != "" {
		who = fmt.Sprintf("%s@%s (uid %s, by sudo as uid %d)", by, host, cmp.Or(printable(getenv("SUDO_UID")), "?"), uid)
	}
	return who
}

// printable keeps what an environment says from writing more than one line.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, text)
	return text[:min(len(text), 64)]
}
