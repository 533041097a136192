package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
)

// Erased stands in place of a person's id.
const Erased = "erased"

// Personal is where a person's data are, or were.
type Personal struct {
	VMs      int64    `json:"vms"`
	Living   int64    `json:"living_vms"` // of them: the next collection reads the person's names again
	Records  int64    `json:"records"`    // rows of the ledger
	Sent     int64    `json:"records_sent"`
	Messages int64    `json:"messages"` // that are not settled
	Runs     int64    `json:"runs"`     // reports that name the person
	Archives []string `json:"archives"` // files of the archive
	Names    []string `json:"names"`    // user ids and names under which the person was found
	Months   []string `json:"months"`   // of the records
}

// Found tells whether there is anything.
func (p Personal) Found() bool {
	return p.VMs+p.Records+p.Messages+p.Runs+int64(len(p.Archives)) > 0
}

// person is whom a subject means: the subject, and user ids that have it for their name.
type person struct {
	subject string
	ids     map[string]bool
}

// is tells whether a record is of the person.
func (p person) is(id, name string) bool { return p.ids[id] || name == p.subject }

// Locate tells where the data of a person are, named by user id or name, in the database and in the archives. Nothing is
// changed.
func Locate(ctx context.Context, d Deps, subject string) (Personal, error) {
	e := eraser{d: d, dry: true}
	return e.run(ctx, subject)
}

// Erase takes a person's id and names, and the names of the person's VMs, out of VMs, ledger, unsettled messages, reports
// of runs and the archive, whose files are written anew. Use stays as it was counted, and revisions stay what they are:
// what the accounting server was sent before is not changed by this. It can be run again, also after it was killed.
func Erase(ctx context.Context, d Deps, subject string) (Personal, error) {
	e := eraser{d: d}
	return e.run(ctx, subject)
}

type eraser struct {
	d      Deps
	dry    bool
	who    person
	found  Personal
	months map[string]bool
}

func (e *eraser) run(ctx context.Context, subject string) (Personal, error) {
	if strings.TrimSpace(subject) == "" || subject == Erased {
		return Personal{}, fmt.Errorf("%q names nobody: give a user's id or name", subject)
	}
	e.who = person{subject: subject, ids: map[string]bool{subject: true}}
	e.months = map[string]bool{}
	if err := e.identify(ctx); err != nil {
		return e.found, err
	}
	dry := e.dry
	e.dry = true
	for known := 0; known < len(e.who.ids); { // records may name more ids of the person than VMs do
		known = len(e.who.ids)
		if err := e.all(ctx); err != nil {
			return e.found, err
		}
	}
	if e.dry = dry; !dry {
		if err := e.all(ctx); err != nil {
			return e.found, err
		}
	}
	e.found.Names = slices.Sorted(maps.Keys(e.who.ids))
	e.found.Months = slices.Sorted(maps.Keys(e.months))
	return e.found, nil
}

// all goes through all places. VMs come last: they tell who it is.
func (e *eraser) all(ctx context.Context) error {
	e.found = Personal{}
	for _, step := range []func(context.Context) error{e.archives, e.ledger, e.messages, e.runs, e.vms} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// identify finds the ids of a name. Whoever is named by id is nobody else who has the same name.
func (e *eraser) identify(ctx context.Context) error {
	return e.d.DB.Read(ctx, func(tx *store.Tx) error {
		return each(tx, func(rows *sql.Rows) error {
			var id string
			err := rows.Scan(&id)
			e.who.ids[id] = true
			return err
		}, `SELECT DISTINCT user_id FROM vm WHERE user_name = $1 AND user_id <> '' AND user_id <> $2`, e.who.subject, Erased)
	})
}

// erase gives a record's text without the person; false when it is of somebody else.
func (e *eraser) erase(body string) (string, bool, error) {
	rec, err := parseRecord(body)
	if err != nil || !e.who.is(rec.LocalUserID, rec.GlobalUserName) {
		return body, false, nil //nolint:nilerr // what is no record names nobody
	}
	if rec.LocalUserID != "" && rec.LocalUserID != Erased {
		e.who.ids[rec.LocalUserID] = true
	}
	rec = impersonal(rec)
	rec.LocalUserID = Erased
	text, err := apel.EncodeCloudRecord(rec)
	return string(text), true, err
}

// ledger goes through all rows: whose they are stands in their text.
func (e *eraser) ledger(ctx context.Context) error {
	at := make([]any, 5)
	for i := range at {
		at[i] = ""
	}
	for {
		type row struct{ key [5]string }
		var (
			n     int
			last  row
			found []string
			sent  int64
		)
		fn := func(tx *store.Tx) error {
			n, found, sent = 0, nil, 0
			type change struct {
				key  []any
				body string
			}
			var changes []change
			err := each(tx, func(rows *sql.Rows) error {
				var body string
				if err := rows.Scan(&last.key[0], &last.key[1], &last.key[2], &last.key[3], &last.key[4], &body); err != nil {
					return err
				}
				n++
				text, his, err := e.erase(body)
				if his {
					changes = append(changes, change{[]any{last.key[0], last.key[1], last.key[2], last.key[3], last.key[4]}, text})
					found = append(found, last.key[4])
				}
				return err
			}, `SELECT site, cloud, kind, subject, period, body FROM ledger WHERE (site, cloud, kind, subject, period) > ($1, $2, $3, $4, $5)
				ORDER BY site, cloud, kind, subject, period LIMIT $6`, append(slices.Clone(at), maxRows)...)
			if err != nil {
				return err
			}
			for _, c := range changes {
				var delivered bool
				if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM delivery WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5)`, c.key...).Scan(&delivered); err != nil {
					return err
				}
				if delivered {
					sent++
				}
				if e.dry {
					continue
				}
				if _, err := tx.Exec(`UPDATE ledger SET body = $6 WHERE site = $1 AND cloud = $2 AND kind = $3 AND subject = $4 AND period = $5`, append(c.key, c.body)...); err != nil {
					return err
				}
			}
			return nil
		}
		if err := e.tx(ctx, fn); err != nil {
			return err
		}
		e.found.Records += int64(len(found))
		e.found.Sent += sent
		for _, period := range found {
			e.months[period] = true
		}
		if n < maxRows {
			return nil
		}
		for i := range at {
			at[i] = last.key[i]
		}
	}
}

// tx reads only where nothing is to change.
func (e *eraser) tx(ctx context.Context, fn func(*store.Tx) error) error {
	if e.dry {
		return e.d.DB.Read(ctx, fn)
	}
	return e.d.DB.Write(ctx, fn)
}

// messages takes the person out of texts that are still to be sent. A message that goes again after this has another text
// under its name: the same records, with the same use.
func (e *eraser) messages(ctx context.Context) error {
	var ids []string
	err := e.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		ids, err = column(tx, `SELECT id FROM message WHERE state IN ('cut', 'parked') ORDER BY id`)
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		var his bool
		err := e.tx(ctx, func(tx *store.Tx) error {
			var body string
			err := tx.QueryRow(`SELECT body FROM message WHERE id = $1 AND state IN ('cut', 'parked')`, id).Scan(&body)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			text, changed, err := e.message(body)
			if his = changed; err != nil || !changed || e.dry {
				return err
			}
			_, err = tx.Exec(`UPDATE message SET body = $1 WHERE id = $2`, text, id)
			return err
		})
		if err != nil {
			return err
		}
		if his {
			e.found.Messages++
		}
	}
	return nil
}

// message gives a message's text without the person.
func (e *eraser) message(text string) (string, bool, error) {
	bodies := apel.SplitCloud([]byte(text))
	changed := false
	for i := range bodies {
		body, his, err := e.erase(bodies[i])
		if err != nil {
			return text, false, err
		}
		bodies[i], changed = body, changed || his
	}
	if !changed {
		return text, false, nil
	}
	return string(apel.JoinCloud(bodies)), true, nil
}

// runs takes the person's names out of the reports of runs.
func (e *eraser) runs(ctx context.Context) error {
	for _, word := range slices.Sorted(maps.Keys(e.who.ids)) {
		if len(word) < 3 || strings.ContainsAny(word, `"\`) { // it would be found in other words
			continue
		}
		var n int64
		err := e.tx(ctx, func(tx *store.Tx) (err error) {
			if e.dry {
				return tx.QueryRow(`SELECT count(*) FROM run WHERE report LIKE '%' || $1 || '%'`, likeQuoted(word)).Scan(&n)
			}
			n, err = tx.Exec(`UPDATE run SET report = replace(report, $1, $2) WHERE report LIKE '%' || $3 || '%'`, word, Erased, likeQuoted(word))
			return err
		})
		if err != nil {
			return err
		}
		e.found.Runs += n
	}
	return nil
}

// likeQuoted lets the wildcards of LIKE stand for any sign: a few more rows are looked at.
func likeQuoted(word string) string { return strings.ReplaceAll(word, "%", "_") }

func (e *eraser) vms(ctx context.Context) error {
	in, args := list(2, slices.Sorted(maps.Keys(e.who.ids)))
	args = append([]any{e.who.subject}, args...)
	where := ` FROM vm WHERE user_id IN (` + in + `) OR (user_name = $1 AND user_id <> '')`
	return e.tx(ctx, func(tx *store.Tx) error {
		if err := tx.QueryRow(`SELECT count(*), coalesce(sum(CASE WHEN ended_at IS NULL THEN 1 ELSE 0 END), 0)`+where, args...).Scan(&e.found.VMs, &e.found.Living); err != nil || e.dry {
			return err
		}
		_, err := tx.Exec(`UPDATE vm SET user_id = '`+Erased+`', user_name = '', name = '' WHERE (cloud, vm) IN (SELECT cloud, vm`+where+`)`, args...)
		return err
	})
}

// archives writes those files of the archive anew that hold the person.
func (e *eraser) archives(ctx context.Context) error {
	if e.d.Sent == nil {
		return nil
	}
	files, err := e.d.Sent.Files()
	if err != nil {
		return err
	}
	open, err := e.d.Sent.Open()
	if err != nil {
		return err
	}
	if !e.dry {
		if err := e.d.Sent.locked(e.tidy); err != nil {
			return err
		}
	}
	for _, file := range append(files, open...) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		his, err := e.holds(file)
		if errors.Is(err, os.ErrNotExist) { // a message on its way that came to its end
			continue
		}
		if err != nil {
			return fmt.Errorf("archive of sent messages: %s: %w", file, err)
		}
		if !his {
			continue
		}
		e.found.Archives = append(e.found.Archives, file)
		if e.dry {
			continue
		}
		if err := e.d.Sent.locked(func() error { return e.rewrite(file) }); err != nil {
			return fmt.Errorf("archive of sent messages: %s: nothing in it was changed: %w", file, err)
		}
	}
	return nil
}

// erasing begins the names of files that are being written anew.
const erasing = ".erasing-"

// tidy removes what a process left that was killed while it erased.
func (e *eraser) tidy() error {
	left, err := filepath.Glob(filepath.Join(globQuoted(e.d.Sent.Dir), "*", erasing+"*"))
	for _, f := range left {
		err = errors.Join(err, os.Remove(f))
	}
	return err
}

func (e *eraser) holds(file string) (bool, error) {
	his := false
	_, err := readArchive(file, func(a Archived) error {
		_, changed, err := e.message(a.Text)
		if his = his || changed; his && err == nil {
			return errEnough
		}
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return his, err
}

// rewrite puts a file without the person in a file's place. What was torn in it is left out.
func (e *eraser) rewrite(file string) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(file), erasing+"*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = readArchive(file, func(a Archived) error {
		text, _, err := e.message(a.Text)
		if err != nil {
			return err
		}
		a.Text = text
		member, err := encodeMember(a)
		if err == nil {
			_, err = tmp.Write(member)
		}
		return err
	})
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}
