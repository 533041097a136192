package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/store"
)

// register gives a site and its clouds the ids under which everything is stored. A site is found again by its name, by a
// name that the configuration says it had, or by one that it had here before; so a renamed site keeps its ledger (design
// §2). The same goes for clouds, within their site: URL and region may change.
func register(ctx context.Context, db *store.Store, s *config.Site, sites []string, now time.Time) error {
	var formerly, clouds []string
	for _, c := range s.Clouds {
		clouds = append(clouds, c.Cloud.Name)
	}
	for _, f := range s.Site.Formerly {
		formerly = append(formerly, f.Name)
	}
	known := false
	err := db.Read(ctx, func(tx *store.Tx) (err error) {
		known, err = registered(tx, s, clouds)
		return err
	})
	if err != nil {
		return err
	}
	if !known { // a command that only looks writes nothing
		err = db.Write(ctx, func(tx *store.Tx) error {
			id, err := identify(tx, named{table: "site", name: s.Site.Name, formerly: formerly, all: sites, insert: `INSERT INTO site (id, name, created) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING`}, now)
			if err != nil {
				return err
			}
			s.Site.ID = id
			for i := range s.Clouds {
				c := &s.Clouds[i]
				n := named{table: "cloud", within: id, name: c.Cloud.Name, formerly: c.Formerly, all: clouds,
					insert: `INSERT INTO cloud (id, name, created, site, auth_url, region) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (site, name) DO NOTHING`,
					values: []any{id, c.Cloud.AuthURL, c.Cloud.Region}}
				if c.Cloud.ID, err = identify(tx, n, now); err != nil {
					return fmt.Errorf("cloud %s: %w", c.Cloud.Name, err)
				}
				if _, err := tx.Exec(`UPDATE cloud SET auth_url = $1, region = $2 WHERE id = $3 AND (auth_url <> $1 OR region <> $2)`, c.Cloud.AuthURL, c.Cloud.Region, c.Cloud.ID); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return err
	}
	s.Site.Clouds = s.Site.Clouds[:0]
	for _, c := range s.Clouds {
		s.Site.Clouds = append(s.Site.Clouds, c.Cloud)
	}
	return nil
}

// registered tells whether site and clouds are in the store just as they are configured, and gives them their ids. Another
// row of a cloud's former name is still to be joined with it.
func registered(tx *store.Tx, s *config.Site, clouds []string) (bool, error) {
	err := tx.QueryRow(`SELECT id FROM site WHERE name = $1`, s.Site.Name).Scan(&s.Site.ID)
	for i := 0; i < len(s.Clouds) && err == nil; i++ {
		c := &s.Clouds[i].Cloud
		err = tx.QueryRow(`SELECT id FROM cloud WHERE site = $1 AND name = $2 AND auth_url = $3 AND region = $4`, s.Site.ID, c.Name, c.AuthURL, c.Region).Scan(&c.ID)
		for _, f := range s.Clouds[i].Formerly {
			var other bool
			if err == nil && !slices.Contains(clouds, f) {
				err = tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM cloud WHERE site = $1 AND id <> $2 AND name = $3)`, s.Site.ID, c.ID, f).Scan(&other)
			}
			if err == nil && other {
				return false, nil
			}
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// named is something of the configuration that has a row, and perhaps had other names.
type named struct {
	table    string // "site" or "cloud"
	within   string // site id of a cloud
	name     string
	formerly []string
	all      []string // names of all sites, or clouds of the site, in the configuration
	insert   string   // id, name, created, then values
	values   []any
}

type row struct {
	id, name string
	formerly []string
	created  int64 // unix milliseconds
}

// identify finds the row, makes one when there is none, and notes a new name.
func identify(tx *store.Tx, n named, now time.Time) (string, error) {
	r, others, err := find(tx, n)
	if err != nil {
		return "", err
	}
	if r == nil {
		id, err := newID(n.name)
		if err != nil {
			return "", err
		}
		if _, err := tx.Exec(n.insert, append([]any{id, n.name, now.UnixMilli()}, n.values...)...); err != nil {
			return "", err
		}
		if r, others, err = find(tx, n); err != nil { // another process may have been first
			return "", err
		}
		if r == nil {
			return "", fmt.Errorf("%s %s could not be stored", n.table, n.name)
		}
	}
	for _, other := range others {
		if err := replace(tx, n, other, r.id); err != nil {
			return "", err
		}
	}
	if r.name == n.name {
		return r.id, nil
	}
	had, err := json.Marshal(append(slices.DeleteFunc(r.formerly, func(f string) bool { return f == n.name }), r.name))
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(`UPDATE `+n.table+` SET name = $1, formerly = $2 WHERE id = $3`, n.name, string(had), r.id)
	return r.id, err
}

// replace takes its name from a row that was made for a cloud because nobody had said its former name.
func replace(tx *store.Tx, n named, mistaken row, by string) error {
	if _, err := tx.Exec(`UPDATE cloud SET name = $1 WHERE id = $2`, mistaken.name+" (replaced, "+mistaken.id+")", mistaken.id); err != nil {
		return err
	}
	return accounting.Replaced(tx, n.within, mistaken.id, by)
}

// find gives the row of that name, else the one that had it, or one of the names it had. Of a cloud's rows the oldest goes
// on; others are those that were made for it when it was taken for a new one.
func find(tx *store.Tx, n named) (found *row, others []row, err error) {
	query, args := `SELECT id, name, formerly, created FROM site ORDER BY created, id`, []any(nil)
	if n.table == "cloud" {
		query, args = `SELECT id, name, formerly, created FROM cloud WHERE site = $1 ORDER BY created, id`, []any{n.within}
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var all []row
	for rows.Next() {
		var (
			r    row
			text string
		)
		if err := rows.Scan(&r.id, &r.name, &text, &r.created); err != nil {
			return nil, nil, err
		}
		if err := json.Unmarshal([]byte(text), &r.formerly); err != nil {
			return nil, nil, fmt.Errorf("%s %s: its former names cannot be read: %w", n.table, r.name, err)
		}
		all = append(all, r)
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	free := func(r row) bool { return !slices.Contains(n.all, r.name) } // no other one's present name
	if n.table == "cloud" {
		same := slices.DeleteFunc(slices.Clone(all), func(r row) bool { return r.name != n.name && !(free(r) && slices.Contains(n.formerly, r.name)) })
		slices.SortStableFunc(same, func(a, b row) int { // the oldest first; of the same instant, that of a former name
			return cmp.Or(cmp.Compare(a.created, b.created), order(a.name == n.name, b.name == n.name))
		})
		if len(same) > 0 {
			return &same[0], same[1:], nil
		}
	}
	for _, is := range []func(row) bool{
		func(r row) bool { return r.name == n.name },
		func(r row) bool { return free(r) && slices.Contains(n.formerly, r.name) },
		func(r row) bool { return free(r) && slices.Contains(r.formerly, n.name) },
	} {
		if i := slices.IndexFunc(all, is); i >= 0 {
			return &all[i], nil, nil
		}
	}
	return nil, nil, nil
}

// order puts what is not so before what is.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// newID makes an id that an operator can read: the name it had at first, and some random digits.
func newID(name string) (string, error) {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '.':
			return r
		}
		return '-'
	}, name)
	if len(readable) > 40 {
		readable = readable[:40]
	}
	return readable + "-" + hex.EncodeToString(b), nil
}
