package health

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/notify"
	"github.com/fedsite/fedsite/internal/store"
)

// Watcher assesses again and again, keeps what it found, and tells of changes. One process at a time should do it: two
// would each tell of a change.
type Watcher struct {
	DB        *store.Store
	Log       *slog.Logger
	Name      string            // of the installation, in subjects: the site's, or "3 sites"
	Channels  []notify.Channel  // who is told
	Heartbeat *notify.Heartbeat // called while nothing has failed; may be nil

	mu     sync.Mutex
	untold map[string]string // why the last message, or sign of life, was not delivered, by channel
}

// Look assesses the facts, keeps what has changed, tells of it, and gives a sign of life. The items carry since when they
// are so. An error is of the store: nothing was told then, and the next look does it.
func (w *Watcher) Look(ctx context.Context, f Facts) ([]Item, error) {
	f.Service.Untold = append(slices.Clone(f.Service.Untold), w.Untold()...)
	items := Assess(f)
	all, err := w.keep(ctx, items, f.Now)
	if err != nil {
		fill(items, nil)
		return items, err
	}
	fill(items, all)
	var failed []error
	for _, c := range w.Channels {
		failed = append(failed, w.tell(ctx, c, items, all, f.Now))
	}
	w.beat(ctx, all)
	return items, errors.Join(failed...)
}

// Untold says what could not be delivered, and why.
func (w *Watcher) Untold() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, why := range w.untold {
		if why != "" {
			all = append(all, why)
		}
	}
	slices.Sort(all)
	return all
}

func (w *Watcher) delivered(channel string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untold == nil {
		w.untold = map[string]string{}
	}
	if w.untold[channel] = ""; err != nil {
		w.untold[channel] = err.Error()
	}
}

// beat gives a sign of life, unless something has failed.
func (w *Watcher) beat(ctx context.Context, all map[string]kept) {
	if w.Heartbeat == nil {
		return
	}
	for _, k := range all {
		if k.state == Fail {
			return
		}
	}
	err := w.Heartbeat.Ping(ctx)
	w.delivered("heartbeat", err)
	if err != nil {
		w.Log.Warn("no sign of life could be given", "error", err)
	}
}

// fill says since when things are as the items say.
func fill(items []Item, all map[string]kept) {
	for n := range items {
		i := &items[n]
		k, ok := all[i.key()]
		switch {
		case !ok:
		case k.state == i.State:
			i.Since = k.since
		case k.seen == i.State:
			i.Since = k.seenSince
		}
	}
}

// Since says since when things are as the items say, for a process that does not watch itself.
func Since(ctx context.Context, db *store.Store, items []Item) error {
	return db.Read(ctx, func(tx *store.Tx) error {
		all, err := read(tx)
		fill(items, all)
		return err
	})
}

// read gives all that is kept.
func read(tx *store.Tx) (map[string]kept, error) {
	rows, err := tx.Query(`SELECT thing, state, since, reason, remedy, seen, seen_since, seen_times FROM health`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]kept{}
	for rows.Next() {
		var (
			key              string
			k                kept
			since, seenSince int64
		)
		if err := rows.Scan(&key, &k.state, &since, &k.reason, &k.remedy, &k.seen, &seenSince, &k.seenTimes); err != nil {
			return nil, err
		}
		k.since, k.seenSince = time.UnixMilli(since).UTC(), time.UnixMilli(seenSince).UTC()
		all[key] = k
	}
	return all, rows.Err()
}

// keep settles the items, and stores what has changed. What is there no more is better, and is kept until that has held;
// of a part that is off it goes at once.
func (w *Watcher) keep(ctx context.Context, items []Item, now time.Time) (map[string]kept, error) {
	var all map[string]kept
	if err := w.DB.Read(ctx, func(tx *store.Tx) (err error) { all, err = read(tx); return err }); err != nil {
		return nil, err
	}
	off := map[[2]string]bool{}
	there := map[string]bool{}
	var (
		changed []string
		gone    []string
	)
	take := func(key string, i Item) {
		var old *kept
		if k, ok := all[key]; ok {
			old = &k
		}
		k, write := settle(old, i, now)
		if all[key] = k; write {
			changed = append(changed, key)
		}
	}
	for _, i := range items {
		there[i.key()] = true
		if i.Name == "mode" && i.State == Off {
			off[[2]string{i.Part, i.SiteID}] = true
		}
		take(i.key(), i)
	}
	for key := range all {
		if there[key] {
			continue
		}
		i := thing(key)
		i.State, i.Reason = OK, "is not there any more"
		if off[[2]string{i.Part, i.SiteID}] {
			i.State = Off
		}
		if take(key, i); all[key].state.Bad() {
			continue
		}
		gone = append(gone, key)
	}
	return all, w.store(ctx, all, changed, gone)
}

// maxRows is how many rows one transaction writes.
const maxRows = 500

func (w *Watcher) store(ctx context.Context, all map[string]kept, changed, gone []string) error {
	slices.Sort(changed)
	for some := range slices.Chunk(changed, maxRows) {
		err := w.DB.Write(ctx, func(tx *store.Tx) error {
			for _, key := range some {
				k := all[key]
				_, err := tx.Exec(`INSERT INTO health (thing, state, since, reason, remedy, seen, seen_since, seen_times) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
					ON CONFLICT (thing) DO UPDATE SET state = excluded.state, since = excluded.since, reason = excluded.reason, remedy = excluded.remedy,
					seen = excluded.seen, seen_since = excluded.seen_since, seen_times = excluded.seen_times`,
					key, string(k.state), k.since.UnixMilli(), k.reason, k.remedy, string(k.seen), k.seenSince.UnixMilli(), k.seenTimes)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for some := range slices.Chunk(gone, maxRows) {
		err := w.DB.Write(ctx, func(tx *store.Tx) error {
			for _, key := range some {
				if _, err := tx.Exec(`DELETE FROM health WHERE thing = $1`, key); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
