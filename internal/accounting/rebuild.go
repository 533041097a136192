package accounting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// Rebuilt is what Rebuild did, or would do, for one site.
type Rebuilt struct {
	Site       string    `json:"site"`
	Messages   int64     `json:"messages"`        // delivered ones in the archives
	OnTheirWay int64     `json:"on_their_way"`    // those that perhaps were
	Newest     time.Time `json:"newest,omitzero"` // the last one
	Records    int64     `json:"records"`         // rows of the ledger that were restored, or brought up to date
	Kept       int64     `json:"records_kept"`    // rows that the database has newer, or the same
	VMs        int64     `json:"vms"`             // that were restored, or brought up to date
	Deliveries int64     `json:"deliveries"`
	Settled    int64     `json:"messages_settled"` // that the database took for unsettled
	Windows    int64     `json:"windows"`          // projects whose mark was restored
	Forgotten  bool      `json:"forgotten"`        // what had been collected into the empty database was forgotten first
	Missing    int64     `json:"messages_missing"` // of the last week's, in archives of other nodes perhaps
}

// Rebuild restores ledger, VMs, deliveries and marks of the targets from archives of sent messages, those of all nodes, in
// an empty database or one that was restored from a backup. What the database has newer stays. Nothing is priced anew and
// no month shrinks: a VM's meter stands where its newest record left it, and the next collection counts it on from there.
// Rows that were collected and never cut are collected again. With dryRun nothing changes. It can be run again, also after
// it was killed. No collection and no sending of these sites may go on meanwhile.
func Rebuild(ctx context.Context, d Deps, targets []*Target, archives []*Archive, dryRun bool) ([]Rebuilt, error) {
	d.Run.Step("rebuild")
	e := &evidence{d: d, sites: map[string]*siteEvidence{}, strange: map[string]int{}}
	for _, t := range targets {
		s, err := newEvidence(ctx, d, t)
		if err != nil {
			return nil, err
		}
		e.targets = append(e.targets, s)
	}
	for _, a := range archives {
		if err := e.read(a); err != nil {
			return nil, err
		}
	}
	for what, n := range e.strange {
		d.Run.Problem(run.Problem{Object: "archive of sent messages", Step: "rebuild", Reason: fmt.Sprintf("%d messages are of %s: left out", n, what),
			Hint: "name it in the configuration, with formerly: if it had another name, and rebuild again"})
	}
	var all []Rebuilt
	for _, s := range e.targets {
		r := &rebuild{d: d, e: s, dry: dryRun, now: d.Now(), out: Rebuilt{Site: s.t.Site.Name}}
		if err := r.run(ctx); err != nil {
			return all, fmt.Errorf("site %s: %w", s.t.Site.Name, err)
		}
		all = append(all, r.out)
	}
	return all, nil
}

// rebuild restores one site.
type rebuild struct {
	d   Deps
	e   *siteEvidence
	dry bool
	now time.Time
	out Rebuilt

	empty bool // what the database has is to be forgotten, or nothing
}

// errDry takes a write of a dry run back.
var errDry = errors.New("dry run")

// write runs a transaction that locks the site; in a dry run it is taken back.
func (r *rebuild) write(ctx context.Context, fn func(*store.Tx) error) error {
	err := r.d.DB.Write(ctx, func(tx *store.Tx) error {
		if err := lockSite(tx, r.e.t.Site.ID); err != nil {
			return err
		}
		if err := fn(tx); err != nil || !r.dry {
			return err
		}
		return errDry
	})
	if errors.Is(err, errDry) {
		return nil
	}
	return err
}

func (r *rebuild) run(ctx context.Context) error {
	e := r.e
	for _, m := range e.messages {
		r.out.Messages++
		r.out.Newest = latest(r.out.Newest, time.Unix(m.At, 0).UTC())
	}
	r.out.OnTheirWay = int64(len(e.open))
	if r.out.Messages+r.out.OnTheirWay == 0 {
		return nil
	}
	if err := r.begin(ctx); err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(e.vms), func(a, b vmKey) int { return cmp.Or(cmp.Compare(a.cloud, b.cloud), cmp.Compare(a.vm, b.vm)) })
	for len(keys) > 0 {
		n, size := 0, 0
		for n < len(keys) && keys[n].cloud == keys[0].cloud && (n == 0 || size+e.vms[keys[n]].size() <= maxRows) {
			size += e.vms[keys[n]].size()
			n++
		}
		if err := r.some(ctx, keys[0].cloud, keys[:n]); err != nil {
			return err
		}
		keys = keys[n:]
	}
	if err := r.messages(ctx); err != nil {
		return err
	}
	return r.windows(ctx) // a project's mark moves last
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// begin restores where the site's accounting began. What was collected of it into an empty database is forgotten: it was
// counted without knowing what had been sent.
func (r *rebuild) begin(ctx context.Context) error {
	t := r.e.t
	start, err := stored(ctx, r.d, t)
	if err != nil || start.Fixed {
		return err
	}
	r.empty = true
	if start.Since != 0 {
		r.out.Forgotten = true
		r.d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "accounting", Step: "rebuild", Notice: true,
			Reason: "what had been collected of this site without knowing what was sent before is forgotten, and collected again"})
		if !r.dry {
			done, err := forget(ctx, r.d.DB, t.Site)
			if err != nil {
				return err
			}
			if !done {
				return errors.New("something was sent meanwhile: stop the service first")
			}
		}
	}
	was := r.e.start
	return r.write(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO accounting_start (site, since, previously, active_from) VALUES ($1, $2, $3, $4)
			ON CONFLICT (site) DO UPDATE SET since = excluded.since, previously = excluded.previously, active_from = excluded.active_from`,
			t.Site.ID, was.Since, string(was.Previously), nullInt(was.ActiveFrom))
		if err != nil {
			return err
		}
		for _, s := range r.e.scopes {
			cloud, ok := r.e.cloud(s.Cloud, r.e.names)
			if !ok {
				continue
			}
			if _, err := tx.Exec(`INSERT INTO accounting_scope (site, cloud, vo, active_from) VALUES ($1, $2, $3, $4)
				ON CONFLICT (site, cloud, vo) DO UPDATE SET active_from = excluded.active_from`, t.Site.ID, cloud, s.VO, s.From); err != nil {
				return err
			}
		}
		return nil
	})
}

const insertMessage = `INSERT INTO message (id, destination, site, kind, name, state, attempts, last_attempt, next, hold_until, reason, body, records, period, created, settled, remote_id)`

func messageRow(m *sentMessage, siteID, state, reason string, settled any) []any {
	return []any{m.Message, m.Destination, siteID, m.Kind, m.Name, state, 1, m.At, 0, m.HoldUntil, reason, "", m.records, m.period, m.At, settled, m.Remote}
}

// messages notes the messages that the database does not know, and settles those that it took for unsettled.
func (r *rebuild) messages(ctx context.Context) error {
	for some := range slices.Chunk(slices.Sorted(maps.Keys(r.e.open)), maxRows) {
		err := r.write(ctx, func(tx *store.Tx) error {
			var values [][]any
			for _, id := range some {
				values = append(values, messageRow(r.e.open[id], r.e.t.Site.ID, stateSplit, "lost with the database when it was perhaps delivered: cut anew", nil))
			}
			return insert(tx, insertMessage, `ON CONFLICT DO NOTHING`, values)
		})
		if err != nil {
			return err
		}
	}
	ids := slices.Sorted(maps.Keys(r.e.messages))
	for some := range slices.Chunk(ids, maxRows/4) {
		var settled int64
		err := r.write(ctx, func(tx *store.Tx) error {
			values := make([][]any, len(some))
			for i, id := range some {
				m := r.e.messages[id]
				values[i] = messageRow(m, r.e.t.Site.ID, stateSent, "", m.At)
			}
			err := insert(tx, insertMessage, `ON CONFLICT DO NOTHING`, values)
			if err != nil {
				return err
			}
			in, args := list(1, some)
			open, err := column(tx, `SELECT id FROM message WHERE state = 'cut' AND id IN (`+in+`)`, args...)
			if err != nil {
				return err
			}
			for _, id := range open {
				m := r.e.messages[id]
				if _, err := tx.Exec(`UPDATE message SET state = 'sent', settled = $1, remote_id = $2, reason = '', body = '' WHERE id = $3`, m.At, m.Remote, id); err != nil {
					return err
				}
				if err := unlist(tx, id); err != nil {
					return err
				}
			}
			settled = int64(len(open))
			return nil
		})
		if err != nil {
			return err
		}
		r.out.Settled += settled
	}
	return nil
}

// windows restores the marks of projects, unless messages are missing: then all since the last known instant is collected
// again.
func (r *rebuild) windows(ctx context.Context) error {
	m := r.e.mark
	if r.out.Missing = r.e.missing(); r.out.Missing > 0 {
		r.d.Run.Problem(run.Problem{Site: r.e.t.Site.Name, Object: "archive of sent messages", Step: "rebuild",
			Reason: fmt.Sprintf("at least %d of the last messages are in none of these directories: what they held is collected and sent again as far as the cloud still tells", r.out.Missing),
			Hint:   "name the directories of all nodes, and rebuild again before anything is collected"})
		return nil
	}
	for some := range slices.Chunk(m.Windows, maxRows/4) {
		var moved int64
		err := r.write(ctx, func(tx *store.Tx) error {
			moved = 0
			for _, w := range some {
				cloud, ok := r.e.cloud(w.Cloud, m.Clouds)
				if !ok {
					continue
				}
				have, _, err := windowsOf(tx, cloud, w.Project)
				if err != nil {
					return err
				}
				if !r.empty && slices.ContainsFunc(have, func(h Window) bool { return h.To >= w.To }) {
					continue
				}
				if err := covered(tx, cloud, w.Project, Window{w.From, w.To}, w.Seen); err != nil {
					return err
				}
				moved++
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.out.Windows += moved
	}
	return nil
}
