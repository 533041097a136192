package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// lost is the problem of a database that has never cut a message of a site of which the archive has some: it was lost, and
// what would be sent from it is not what the server should get.
func lost(d Deps, t *Target, start Start) (*run.Problem, error) {
	if d.Sent == nil || start.Fixed {
		return nil, nil
	}
	names := []string{t.Site.Name}
	for _, f := range t.Site.Formerly {
		names = append(names, f.Name)
	}
	holds, err := d.Sent.Holds(t.Site.ID, names...)
	if err != nil || !holds {
		return nil, err
	}
	return &run.Problem{Site: t.Site.Name, Object: "accounting", Step: "send", Permanent: true,
		Reason: fmt.Sprintf("the database has never sent a message of this site, but %s has some: the database is another one, or was lost; nothing is sent", d.Sent.Dir),
		Hint:   fmt.Sprintf("fedsite restore a backup, if there is one, then fedsite accounting rebuild --from-sent %s; if those messages are not this database's, move the directory away", d.Sent.Dir)}, nil
}

// archived says of a message what its text does not.
func (s *sender) archived(m Message) Archived {
	e := Archived{Message: m.ID, Name: m.Name, Destination: m.Destination, Site: m.Site, SiteName: s.t.Site.Name, Clouds: s.clouds(),
		Kind: m.Kind, Remote: m.Remote, At: s.d.Now().Unix(), HoldUntil: m.HoldUntil, Start: s.start.archived(), Scopes: s.out.scopes.archived(), Text: string(m.Body)}
	for _, w := range m.list {
		e.Records = append(e.Records, ArchivedRecord{Cloud: w.cloud, VM: w.subject, Period: w.period, Revision: w.rev, Seen: w.seen, Flavor: w.flavor, State: w.state})
	}
	return e
}

func (s *sender) clouds() map[string]string {
	names := map[string]string{}
	for _, c := range s.t.Clouds {
		names[c.Cloud.ID] = c.Cloud.Name
	}
	return names
}

func (s Start) archived() ArchivedStart {
	return ArchivedStart{Since: s.Since, Previously: s.Previously, ActiveFrom: s.ActiveFrom}
}

func (in scopes) archived() (all []ArchivedScope) {
	for _, s := range in {
		all = append(all, ArchivedScope{s.cloud, s.vo, s.from})
	}
	return all
}

// list reads text and records of an unsettled message; sql.ErrNoRows when it was settled by somebody else.
func (s *sender) list(ctx context.Context, m *Message) error {
	return s.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		if err := loadBody(tx, m); err != nil {
			return err
		}
		m.list, err = recordsOf(tx, *m)
		return err
	})
}

// hold notes a message that goes out.
func (s *sender) hold(m Message) error {
	if s.d.Sent == nil {
		return nil
	}
	return unarchived(s.d.Sent.Hold(s.archived(m)))
}

// keep archives a message that was delivered, before it counts as settled. Killed in between, it goes again, and is in the
// archive twice.
func (s *sender) keep(ctx context.Context, m Message) error {
	if s.d.Sent == nil {
		return nil
	}
	if len(m.list) == 0 {
		err := s.list(ctx, &m)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return unarchived(s.d.Sent.Append(s.archived(m)))
}

// unarchived says what it means when the archive cannot be written: the message stays cut, and goes again.
func unarchived(err error) error {
	if err == nil {
		return nil
	}
	return &DeliveryError{Verdict: Busy, Err: err, Hint: "make room, or mend the rights of the directory: nothing is lost, the message goes again with the next run"}
}

// drop forgets a message that is settled, or was split; what stays is tidied up by a later run.
func (s *sender) drop(id string) {
	if s.d.Sent != nil {
		if err := s.d.Sent.Drop(id); err != nil {
			s.d.Log.Debug("archive of sent messages", "error", err)
		}
	}
}

// survey reads what was collected by now, and forgets of messages on their way those that no longer are. Those that the
// database does not know are kept: they are from before it was lost.
func (s *sender) survey(ctx context.Context) error {
	if s.d.Sent == nil {
		return nil
	}
	files, err := s.d.Sent.Open()
	if err != nil {
		return unarchived(err)
	}
	ids := make([]string, 0, len(files))
	for _, f := range files {
		ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".gz"))
	}
	var over []string
	err = s.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		over = nil
		for some := range slices.Chunk(ids, maxRows) {
			in, args := list(1, some)
			found, err := column(tx, `SELECT id FROM message WHERE state IN ('sent', 'split') AND id IN (`+in+`)`, args...)
			if err != nil {
				return err
			}
			over = append(over, found...)
		}
		s.windows, err = siteWindows(tx, s.t)
		return err
	})
	for _, id := range over {
		s.drop(id)
	}
	return err
}

func siteWindows(tx *store.Tx, t *Target) (all []ArchivedWindow, err error) {
	for _, c := range t.Clouds {
		rows, err := tx.Query(`SELECT cloud, project, from_time, to_time, seen FROM collected WHERE cloud = $1 AND kind = $2 ORDER BY project, from_time`, c.Cloud.ID, KindCloud)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var w ArchivedWindow
			if err := rows.Scan(&w.Cloud, &w.Project, &w.From, &w.To, &w.Seen); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			all = append(all, w)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// markedFor is of how many seconds before it a mark counts the messages, to tell whether an archive is whole.
const markedFor = 7 * 24 * 3600

// mark notes in the archive what had been collected when the run began: whatever came of it has been cut by now, so that
// after a loss it need not be collected again. Without a mark more is collected again than would have to be.
func (s *sender) mark(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.d.Sent == nil || s.stopped || !s.went || len(s.windows) == 0 || ctx.Err() != nil {
		return
	}
	e := Archived{Destination: s.dest.Name(), Site: s.t.Site.ID, SiteName: s.t.Site.Name, Clouds: s.clouds(), Kind: KindCloud,
		At: s.d.Now().Unix(), Start: s.start.archived(), Scopes: s.out.scopes.archived(), Windows: s.windows}
	err := s.d.DB.Read(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM message WHERE destination = $1 AND site = $2 AND state = 'sent' AND settled > $3`,
			e.Destination, e.Site, e.At-markedFor).Scan(&e.Settled)
	})
	if err == nil {
		err = s.d.Sent.Append(e)
	}
	if err != nil {
		s.problem("archive of sent messages", err, run.Problem{Hint: "every message is in it; after a loss of the database more would be collected again"})
	}
}
