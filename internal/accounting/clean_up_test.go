package accounting_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/tasks"
)

// history runs work as the program does: under the lease of a task, with a row for each run.
type history struct {
	db   *store.Store
	task string
	now  func() time.Time
}

// run runs fn in a process of its own, as far as the store can tell, and stores its report. Has the context ended when it
// returns, the process is dead: it stores nothing, and its lease runs out.
func (h history) run(ctx context.Context, fn func(context.Context) run.Report) (report run.Report, alive bool, err error) {
	who, err := tasks.NewIdentity()
	if err != nil {
		return run.Report{}, false, err
	}
	runner := tasks.NewRunner(h.db, who)
	defer runner.Close()
	lease, err := runner.Claim(ctx, tasks.ClaimOptions{Task: h.task, Cause: "shell", Always: true, Now: h.now})
	if err != nil {
		return run.Report{}, false, err
	}
	report = fn(lease.Context())
	if ctx.Err() != nil {
		return report, false, h.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE task SET lease_until = 0 WHERE name = $1`, h.task)
			return err
		})
	}
	text, err := json.Marshal(report)
	if err != nil {
		return report, true, err
	}
	return report, true, lease.Finish(ctx, string(report.Outcome), text, time.Time{})
}

// newHistory makes sure that the task is there.
func newHistory(t testing.TB, db *store.Store, now func() time.Time, name string) history {
	t.Helper()
	if err := tasks.Ensure(t.Context(), db, name, "", time.UnixMilli(0)); err != nil {
		t.Fatal(err)
	}
	return history{db: db, task: name, now: now}
}

// sendIn sends as a run of the history.
func (b *bed) sendIn(ctx context.Context, h history) (run.Report, bool) {
	b.t.Helper()
	report, alive, err := h.run(ctx, func(ctx context.Context) run.Report {
		d := b.deps()
		if err := accounting.Send(ctx, d, b.target, accounting.Sending{GoActive: true, Parallel: 3, Attempts: 1}); err != nil && ctx.Err() == nil {
			b.t.Fatal(err)
		}
		return d.Run.Finish()
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return report, alive
}

// cleanUpLines gives the clean-ups that a report lists, and how many problems it had no room for.
func cleanUpLines(r run.Report) (lines []string, dropped int) {
	for _, p := range r.Problems {
		if strings.HasPrefix(p.Reason, "needs clean-up at APEL") {
			lines = append(lines, p.Object+": "+p.Reason)
		}
	}
	return lines, r.Dropped
}

// storedLines gives those of all stored reports, and how many clean-ups the store has noted.
func (b *bed) storedLines() (lines []string, noted int) {
	b.t.Helper()
	err := b.db.Read(context.Background(), func(tx *store.Tx) error {
		lines = nil
		rows, err := tx.Query(`SELECT report FROM run WHERE report IS NOT NULL`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				text   string
				report run.Report
			)
			if err := errors.Join(rows.Scan(&text), json.Unmarshal([]byte(text), &report)); err != nil {
				return err
			}
			more, _ := cleanUpLines(report)
			lines = append(lines, more...)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return err
		}
		return tx.QueryRow(`SELECT count(*) FROM clean_up`).Scan(&noted)
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return lines, noted
}

// relabelled is a site whose March is to go out anew, under another status, in days in which the server no longer cleans it.
func relabelled(t *testing.T, cfg store.Config) (*bed, history) {
	w := small()
	vm(w, id(1), "2024-03-02", on(world.Stop, "2024-03-30"))
	b := newCloudBed(t, w, cfg, "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Destinations = []accounting.Destination{&server{name: "ams"}}
	b.sent = accounting.OpenArchive(t.TempDir())
	h := newHistory(t, b.db, b.clock.now, "accounting.send/site-a")
	b.clean(b.collect(""))
	b.sendIn(t.Context(), h)
	b.clean(b.collect("2024-04-10T00:05:00Z"))
	return b, h
}

// TestRule08ACleanUpOutlivesItsRun kills a sending before and after each of its commits: whatever was settled by then, the
// reports that are stored in the end tell of the clean-up once; also when the database is rebuilt first, which settles
// what the archive has as delivered.
func TestRule08ACleanUpOutlivesItsRun(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		outlives(t, cfg, false)
		outlives(t, cfg, true)
	})
}

func outlives(t *testing.T, cfg store.Config, rebuild bool) {
	unheard, settled := 0, int64(0)
	for n, alive := 1, false; !alive; n++ {
		if cfg.URL == "" {
			cfg = onDisk(t)
		} else {
			cfg.URL = storetest.Postgres(t)
		}
		b, h := relabelled(t, cfg)
		ctx, kill := context.WithCancelCause(t.Context())
		events := 0
		_, alive = b.sendIn(store.Watched(ctx, func(bool) {
			if events++; events == n+2 { // the first two are the claim's
				kill(errKilled)
			}
		}), h)
		if lines, noted := b.storedLines(); noted > len(lines) {
			unheard++
		}
		if rebuild {
			d := b.deps()
			all, err := accounting.Rebuild(t.Context(), d, []*accounting.Target{b.target}, []*accounting.Archive{b.sent}, false)
			if err != nil {
				t.Fatal(err)
			}
			settled += all[0].Settled
		}
		for range 2 {
			b.clock.set("2024-04-10T00:30:00Z")
			b.sendIn(t.Context(), h)
		}
		lines, noted := b.storedLines()
		if want := "VM " + id(1) + ": needs clean-up at APEL: 2024-03, VO ops, 192.0 h"; len(lines) != 1 || noted != 1 || !strings.HasPrefix(lines[0], want) {
			t.Errorf("killed at event %d: %d clean-ups are noted, and the stored reports tell %q", n, noted, lines)
		}
		kill(nil)
	}
	if unheard == 0 || rebuild && settled == 0 {
		t.Errorf("%d kills were between settling and the end of the run, %d messages were settled by rebuilding", unheard, settled)
	}
}

// TestRule08ACleanUpOfARunThatPanicked: the report that is stored is another one.
func TestRule08ACleanUpOfARunThatPanicked(t *testing.T) {
	b, h := relabelled(t, onDisk(t))
	_, _, err := h.run(t.Context(), func(ctx context.Context) run.Report {
		if err := accounting.Send(ctx, b.deps(), b.target, accounting.Sending{Parallel: 1, Attempts: 1}); err != nil {
			t.Fatal(err)
		}
		return run.Report{Outcome: run.Failed, Problems: []run.Problem{{Object: "run", Reason: "panic"}}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		b.sendIn(t.Context(), h)
	}
	if lines, noted := b.storedLines(); len(lines) != 1 || noted != 1 {
		t.Errorf("%d are noted, the stored reports tell %q", noted, lines)
	}
}

// TestRule08MoreCleanUpsThanAReportLists: the next runs tell the rest, and also a site that only observes by now tells.
func TestRule08MoreCleanUpsThanAReportLists(t *testing.T) {
	b, h := relabelled(t, onDisk(t))
	const more = run.MaxProblems + 49
	b.sendIn(t.Context(), h)
	for n := range more {
		b.write(`INSERT INTO clean_up (message, site, cloud, kind, subject, period, nr, vo, wall, noted, task, fence) SELECT message, site, cloud, kind, $1, period, nr, vo, wall, noted, task, 1 FROM clean_up WHERE subject = $2`, id(100+n), id(1))
	}
	b.target.Settings.Mode = "observe"
	var told []int
	for range 4 {
		r, _ := b.sendIn(t.Context(), h)
		lines, _ := cleanUpLines(r)
		told = append(told, len(lines))
	}
	if told[0] < run.MaxProblems-1 || told[0]+told[1] != more || told[2]+told[3] != 0 {
		t.Errorf("%v lines were told, of %d", told, more)
	}
	if lines, _ := b.storedLines(); len(lines) != more+1 {
		t.Errorf("%d lines are stored", len(lines))
	}
}

// TestCleanUpsAreListed: by month and VO in the status, for 90 days, and then they are forgotten; what no report told stays.
func TestCleanUpsAreListed(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b, h := relabelled(t, cfg)
		b.sendIn(t.Context(), h)
		b.write(`INSERT INTO clean_up SELECT 'other', site, cloud, kind, $1, period, nr, vo, 3600, noted, '', 0, NULL FROM clean_up`, id(2))
		said := func() string {
			for _, c := range b.status().Checks(b.clock.now()) {
				if c.Name == "clean-up" {
					return string(c.State) + ": " + c.Reason
				}
			}
			return ""
		}
		if text := said(); !strings.HasPrefix(text, "ok: ") || !strings.HasSuffix(text, ": 2024-03, VO ops, 193.0 h of 2 VMs") {
			t.Errorf("%q", text)
		}
		for _, c := range []struct {
			at, before string
			stay       int
		}{{"2024-06-01T00:05:00Z", "2024-01-01", 2}, {"2024-08-01T00:05:00Z", "2024-01-01", 1}, {"2025-12-01T00:05:00Z", "2024-06-01", 0}} {
			b.clock.set(c.at)
			b.target.Settings.Mode = "observe"
			if c.stay == 2 { // from now on one is known to stand in a report, and the other is not
				b.sendIn(t.Context(), h)
				b.write(`UPDATE clean_up SET told = NULL, task = '', fence = 0 WHERE subject = $1`, id(2))
			}
			if _, err := accounting.Retain(t.Context(), b.deps(), moment(c.before)); err != nil {
				t.Fatal(err)
			}
			if _, noted := b.storedLines(); noted != c.stay {
				t.Errorf("%s: %d stay, want %d", c.at, noted, c.stay)
			}
			if text := said(); (text == "") != (c.stay < 2) {
				t.Errorf("%s: %q", c.at, text)
			}
		}
	})
}

// TestACleanUpNamesNobody: an erasure need not look at them (docs/explanation/privacy.md).
func TestACleanUpNamesNobody(t *testing.T) {
	b, h := relabelled(t, onDisk(t))
	b.sendIn(t.Context(), h)
	var columns string
	err := b.db.Read(t.Context(), func(tx *store.Tx) error {
		names, err := column(tx, `SELECT name FROM pragma_table_info('clean_up')`)
		if err != nil {
			return err
		}
		return tx.QueryRow(`SELECT coalesce(` + strings.Join(names, `, '') || ' ' || coalesce(`) + `, '') FROM clean_up`).Scan(&columns)
	})
	if err != nil || !strings.Contains(columns, id(1)) {
		t.Fatalf("%q, %v", columns, err)
	}
	for _, word := range []string{"u-one", "user-one", "vm-" + id(1)} {
		if strings.Contains(columns, word) || !strings.Contains(b.row(id(1), "2024-03").LocalUserID+b.row(id(1), "2024-03").MachineName+"user-one", word) {
			t.Errorf("%q is in %q, or never was anywhere", word, columns)
		}
	}
}

// column gives a query's one column of text.
func column(tx *store.Tx, query string, args ...any) (all []string, err error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// TestCleanUpsCostLittle: a run that has none to tell looks at none of those that were told.
func TestCleanUpsCostLittle(t *testing.T) {
	b, h := relabelled(t, onDisk(t))
	b.sendIn(t.Context(), h)
	b.sendIn(t.Context(), h)
	var plan string
	err := b.db.Read(t.Context(), func(tx *store.Tx) error {
		var id, parent, unused int
		return tx.QueryRow(`EXPLAIN QUERY PLAN SELECT message FROM clean_up WHERE site = $1 AND told IS NULL ORDER BY noted`, "site-a").Scan(&id, &parent, &unused, &plan)
	})
	if err != nil || !strings.Contains(plan, "clean_up_untold") {
		t.Errorf("%s, %v", plan, err)
	}
	if n := b.count(`SELECT count(*) FROM clean_up WHERE told IS NULL`); n != 0 {
		t.Errorf("%d are looked for at each run", n)
	}
}
