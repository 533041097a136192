package health

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/notify"
	"github.com/fedsite/fedsite/internal/store"
)

// Kinds of messages.
const (
	KindChange = "change"
	KindDigest = "digest"
)

// Change is an item that is not as it was when it was told of last.
type Change struct {
	Item
	Was State `json:"was"`
}

// changes finds what a channel does not know yet: told is what it was told last of things that were bad then. What is off, or
// in a downtime, is nothing to tell, but is forgotten, so that it is told of when it returns.
func changes(items []Item, all map[string]kept, told map[string]State) (news []Change, forget []string) {
	now := map[string]Item{}
	for _, i := range items {
		now[i.key()] = i
	}
	for key, k := range all {
		i, there := now[key]
		if !there {
			i = thing(key)
			i.Reason = "is not there any more"
		}
		was := cmp.Or(told[key], OK)
		switch {
		case k.state.silent() || k.state == Unknown:
			if was.Bad() {
				forget = append(forget, key)
			}
		case k.state != was:
			if i.State != k.state { // what it was when that counted
				i.State, i.Since = k.state, k.since
				if k.state.Bad() || i.State == OK {
					i.Reason, i.Remedy, i.More = cmp.Or(k.reason, i.Reason), k.remedy, nil
				}
			}
			news = append(news, Change{i, was})
		}
	}
	for key, was := range told {
		if _, ok := all[key]; !ok { // its row is gone, and that could not be told
			i := thing(key)
			i.State, i.Reason = OK, "is not there any more"
			news = append(news, Change{i, was})
		}
	}
	for n := range news {
		i := &news[n]
		if s := slices.IndexFunc(items, func(o Item) bool { return o.SiteID != "" && o.SiteID == i.SiteID }); s >= 0 {
			i.Site = items[s].Site
		}
	}
	slices.SortStableFunc(news, func(a, b Change) int {
		return cmp.Or(cmp.Compare(b.State.rank(), a.State.rank()), cmp.Compare(a.key(), b.key()))
	})
	return news, forget
}

// tell tells a channel of what it does not know yet. What could not be delivered is tried again at the next look.
func (w *Watcher) tell(ctx context.Context, c notify.Channel, items []Item, all map[string]kept, now time.Time) error {
	told := map[string]State{}
	err := w.DB.Read(ctx, func(tx *store.Tx) error {
		clear(told)
		rows, err := tx.Query(`SELECT thing, state FROM health_told WHERE channel = $1`, c.Name())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				key string
				s   State
			)
			if err := rows.Scan(&key, &s); err != nil {
				return err
			}
			told[key] = s
		}
		return rows.Err()
	})
	if err != nil {
		return err
	}
	news, forget := changes(items, all, told)
	if len(news) == 0 && len(forget) == 0 {
		return nil
	}
	if len(news) > 0 {
		err := c.Send(ctx, w.change(news, now))
		w.delivered(c.Name(), err)
		if err != nil {
			w.Log.Warn("a message could not be delivered; it is tried again", "channel", c.Name(), "error", err)
			return nil
		}
	}
	return w.note(ctx, c.Name(), news, forget, now)
}

// note keeps what a channel was told.
func (w *Watcher) note(ctx context.Context, channel string, news []Change, forget []string, now time.Time) error {
	for some := range slices.Chunk(news, maxRows) {
		err := w.DB.Write(ctx, func(tx *store.Tx) error {
			for _, n := range some {
				var err error
				if n.State.Bad() {
					_, err = tx.Exec(`INSERT INTO health_told (channel, thing, state, at) VALUES ($1, $2, $3, $4)
						ON CONFLICT (channel, thing) DO UPDATE SET state = excluded.state, at = excluded.at`, channel, n.key(), string(n.State), now.UnixMilli())
				} else {
					_, err = tx.Exec(`DELETE FROM health_told WHERE channel = $1 AND thing = $2`, channel, n.key())
				}
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
	for some := range slices.Chunk(forget, maxRows) {
		err := w.DB.Write(ctx, func(tx *store.Tx) error {
			for _, key := range some {
				if _, err := tx.Exec(`DELETE FROM health_told WHERE channel = $1 AND thing = $2`, channel, key); err != nil {
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

// change is the message about what has changed.
func (w *Watcher) change(news []Change, now time.Time) notify.Message {
	m := notify.Message{Kind: KindChange, At: now, Items: news}
	var (
		b     strings.Builder
		items []Item
		fine  int
	)
	for _, n := range news {
		if items = append(items, n.Item); !n.State.Bad() {
			fine++
		}
	}
	if len(news) == 1 {
		n := news[0]
		m.Subject = fmt.Sprintf("[fedsite] %s: %s: %s", cmp.Or(n.Site, w.Name), headline(n), n.What())
	} else {
		words := tally(items)
		if fine > 0 {
			words = strings.TrimPrefix(words+fmt.Sprintf(", %d well again", fine), ", ")
		}
		m.Subject = fmt.Sprintf("[fedsite] %s: %s", w.Name, words)
	}
	for n := range news {
		write(&b, news[n].Item, headline(news[n]))
	}
	b.WriteString("Told once, when it changes. All of it: the service's first page.\n")
	m.Text = b.String()
	return m
}

func headline(c Change) string {
	switch c.State {
	case Fail:
		return "FAILED"
	case Warn:
		if c.Was == Fail {
			return "warning, was failed"
		}
		return "warning"
	}
	return "well again"
}

// write writes an item as a paragraph.
func write(b *strings.Builder, i Item, headline string) {
	fmt.Fprintf(b, "%s: ", headline)
	if i.Site != "" {
		fmt.Fprintf(b, "%s, ", i.Site)
	}
	fmt.Fprintf(b, "%s\n", i.What())
	if i.Reason != "" {
		fmt.Fprintf(b, "  %s\n", i.Reason)
	}
	for _, more := range i.More {
		fmt.Fprintf(b, "  %s\n", more)
	}
	if i.Remedy != "" && i.State != OK {
		fmt.Fprintf(b, "  → %s\n", i.Remedy)
	}
	if !i.Since.IsZero() {
		fmt.Fprintf(b, "  since %s\n", stamp(i.Since))
	}
	b.WriteString("\n")
}

// Digest is the daily message: what is bad, what is in a downtime or off, and that the rest is well.
func Digest(name string, items []Item, now time.Time) notify.Message {
	words := cmp.Or(tally(items), "all is well")
	m := notify.Message{Kind: KindDigest, At: now, Subject: fmt.Sprintf("[fedsite] %s: %s (daily)", name, words)}
	var (
		b    strings.Builder
		told = []Item{}
		off  []Item
		down []Item

		well, unknown int
	)
	for _, i := range items {
		switch {
		case i.State.Bad():
			told = append(told, i)
			write(&b, i, map[State]string{Fail: "FAILED", Warn: "warning"}[i.State])
		case i.State == Off:
			off = append(off, i)
		case i.State == InDowntime:
			down = append(down, i)
		case i.State == OK:
			well++
		default:
			unknown++
		}
	}
	lines(&b, "In downtime", down)
	lines(&b, "Off", off)
	rest := ""
	if unknown > 0 {
		rest = fmt.Sprintf(", %d not known yet", unknown)
	}
	fmt.Fprintf(&b, "Well: %d%s, on %s.\n", well, rest, stamp(now))
	m.Text, m.Items = b.String(), slices.Concat(told, down, off)
	return m
}

// lines writes items of a state, a line each.
func lines(b *strings.Builder, state string, items []Item) {
	if len(items) == 0 {
		return
	}
	b.WriteString(state + ":\n")
	for _, i := range items {
		where := ""
		if i.Site != "" {
			where = i.Site + ", "
		}
		fmt.Fprintf(b, "  %s%s: %s\n", where, i.What(), i.Reason)
	}
	b.WriteString("\n")
}

// Send sends a message to all channels; what fails is kept as undelivered, and is not tried again.
func (w *Watcher) Send(ctx context.Context, m notify.Message) error {
	var failed []string
	for _, c := range w.Channels {
		err := c.Send(ctx, m)
		if w.delivered(c.Name(), err); err != nil {
			failed = append(failed, err.Error())
		}
	}
	if failed != nil {
		return fmt.Errorf("not delivered: %s", strings.Join(failed, "; "))
	}
	return nil
}
