package accounting_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

var lostTimelines = flag.Int("lost", 0, "timelines of TestOracleLost; 0 = 120, or 50 with -short")

// TestOracleLost runs timelines in which the database is lost after a random step: it is empty then, with other ids, or
// that of an earlier step, and is rebuilt from the archive of sent messages. The server must end with the truth all the
// same, and no month may shrink on the way.
func TestOracleLost(t *testing.T) {
	n := *lostTimelines
	if n == 0 {
		n = 120
		if testing.Short() {
			n = 50
		}
	}
	var told, rebuilt atomic.Int64
	t.Run("timelines", func(t *testing.T) {
		for first := 0; first < n; first += perArchive {
			t.Run(fmt.Sprint("from ", *oracleSeed+uint64(first)), func(t *testing.T) {
				t.Parallel()
				a := openArchive(t)
				for i := first; i < min(first+perArchive, n); i++ {
					tl := newTimeline(*oracleSeed + uint64(i))
					l := newLoss(t, tl)
					tr := newTrial(a, tl, fmt.Sprint("lost-", tl.seed), l.into)
					if !tr.run() && told.Add(1) <= 3 {
						t.Errorf("%s", strings.Replace(tr.report(), "-run 'TestOracle$' -timelines 1", "-run 'TestOracleLost$' -lost 1", 1))
					}
					rebuilt.Add(l.records)
				}
			})
		}
	})
	if told.Load() > 0 {
		t.Errorf("%d of %d timelines fail", told.Load(), n)
	}
	if rebuilt.Load() == 0 {
		t.Error("nothing was ever rebuilt")
	}
}

// loss is what happens to a trial's database.
type loss struct {
	t       *testing.T
	trial   *trial
	dice    dice
	dir     string
	after   []int // steps after which it is lost
	kept    int   // the step whose database is found again; -1 = none is
	backup  map[string][][]any
	met     int
	records int64
}

func newLoss(t *testing.T, tl *timeline) *loss {
	d := newDice(tl.seed, 9)
	l := &loss{t: t, dice: d, dir: t.TempDir(), kept: -1}
	n := len(tl.steps) - 2 // the last two are undisturbed
	l.after = append(l.after, d.IntN(n))
	if d.one(4) {
		l.after = append(l.after, d.IntN(n))
	}
	if d.one(3) {
		l.kept = d.IntN(l.after[0] + 1)
	}
	return l
}

func (l *loss) into(tr *trial) {
	l.trial = tr
	tr.sent = accounting.OpenArchive(l.dir + "/sent")
	tr.done = func(step) {
		if l.met == l.kept {
			l.backup = l.dump()
		}
		if slices.Contains(l.after, l.met) {
			l.lose()
		}
		l.met++
	}
}

// lostTables are the tables that hold what accounting knows, with the column that says whose it is.
var lostTables = map[string]string{"ledger": "site", "vm": "site", "delivery": "site", "message_record": "site", "message": "site", "accounting_start": "site", "accounting_scope": "site", "clean_up": "site",
	"collected": "cloud", "project_state": "cloud", "flavor": "cloud"}

func (l *loss) of(table string) string {
	if lostTables[table] == "cloud" {
		return l.trial.target.Clouds[0].Cloud.ID
	}
	return l.trial.target.Site.ID
}

// dump gives all rows of the trial's site.
func (l *loss) dump() map[string][][]any {
	all := map[string][][]any{}
	err := l.trial.archive.db.Read(context.Background(), func(tx *store.Tx) error {
		for table, column := range lostTables {
			rows, err := tx.Query(`SELECT * FROM `+table+` WHERE `+column+` = $1`, l.of(table))
			if err != nil {
				return err
			}
			names, err := rows.Columns()
			if err != nil {
				return err
			}
			for rows.Next() {
				row := make([]any, len(names))
				at := make([]any, len(names))
				for i := range row {
					at[i] = &row[i]
				}
				if err := rows.Scan(at...); err != nil {
					return err
				}
				all[table] = append(all[table], row)
			}
			slices.SortFunc(all[table], func(a, b []any) int { return strings.Compare(fmt.Sprint(a...), fmt.Sprint(b...)) })
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return all
}

// lose takes the database away, puts the backup in its place, if there is one, and rebuilds it.
func (l *loss) lose() {
	tr := l.trial
	healthy := l.dump()
	if l.dice.one(3) { // rebuilding what is whole changes nothing
		l.rebuild(false)
		was, is := maps.Clone(healthy), l.dump()
		delete(was, "message")
		delete(is, "message")
		delete(was, "message_record")
		delete(is, "message_record")
		if d := cmp.Diff(was, is); d != "" {
			tr.wrong("rebuilding a database that has all changed it: %s", d)
		}
	}
	l.excuse()
	l.write(func(tx *store.Tx) error {
		for _, table := range slices.Backward(slices.Sorted(maps.Keys(lostTables))) { // records before their message
			if _, err := tx.Exec(`DELETE FROM `+table+` WHERE `+lostTables[table]+` = $1`, l.of(table)); err != nil {
				return err
			}
		}
		return nil
	})
	if l.backup != nil {
		l.write(func(tx *store.Tx) error {
			for _, table := range slices.Backward(slices.Sorted(maps.Keys(l.backup))) { // message before its records: later
				for _, row := range l.backup[table] {
					if table != "message_record" {
						if err := put(tx, table, row); err != nil {
							return err
						}
					}
				}
			}
			for _, row := range l.backup["message_record"] {
				if err := put(tx, "message_record", row); err != nil {
					return err
				}
			}
			return nil
		})
		tr.tell("the database is lost, and one of an earlier step is found")
	} else {
		tr.target.Site.ID += "x"
		tr.target.Clouds[0].Cloud.ID += "x"
		tr.target.Site.Clouds[0].ID = tr.target.Clouds[0].Cloud.ID
		tr.tell("the database is lost")
		if l.dice.one(3) { // the service is started before somebody rebuilds
			l.early()
		}
	}
	dry := l.rebuild(true)
	real := l.rebuild(false)
	dry.Forgotten, real.Forgotten = false, false
	if d := cmp.Diff(dry, real); d != "" {
		tr.wrong("what the dry run said is not what was done: %s", d)
	}
	again := l.rebuild(false)
	if again.Records+again.VMs+again.Windows != 0 {
		tr.wrong("a second rebuild did something: %+v", again)
	}
	l.records += real.Records
	tr.ledger = nil
	tr.commits = -1
	l.forget()
}

// excuse keeps the clean-ups that no stored report has: they are lost with the database, which nothing brings back.
func (l *loss) excuse() {
	tr := l.trial
	tr.excused = true
	l.write(func(tx *store.Tx) error {
		return tr.eachCleanUp(tx, `FROM clean_up c LEFT JOIN run r ON r.task = c.task AND r.fence = c.fence WHERE c.site = $1 AND c.told IS NULL AND r.report IS NULL`,
			func(about string) { tr.notices = append(tr.notices, about+" (lost)") })
	})
}

func put(tx *store.Tx, table string, row []any) error {
	places := make([]string, len(row))
	for i := range row {
		places[i] = fmt.Sprint("$", i+1)
	}
	_, err := tx.Exec(`INSERT INTO `+table+` VALUES (`+strings.Join(places, ",")+`)`, row...)
	return err
}

func (l *loss) write(fn func(*store.Tx) error) {
	if err := l.trial.archive.db.Write(context.Background(), fn); err != nil {
		l.t.Fatal(err)
	}
}

// early collects into the empty database, and tries to send: nothing may go as long as the archive knows more.
func (l *loss) early() {
	tr := l.trial
	d := tr.deps()
	tr.wire.arm(step{seed: 1}, func(error) {})
	if err := accounting.Collect(context.Background(), d, tr.target, accounting.Ask{}); err != nil {
		tr.wrong("collecting into an empty database: %v", err)
	}
	tr.keep(d.Run.Finish())
	before := len(tr.door.bodies)
	d = tr.deps()
	tr.door.arm(step{seed: 1}, func(error) {})
	holds, err := tr.sent.Holds(tr.target.Site.ID, tr.target.Site.Name)
	if err != nil {
		l.t.Fatal(err)
	}
	if !holds { // nothing was sent before: then all of it is new
		return
	}
	if err := accounting.Send(context.Background(), d, tr.target, accounting.Sending{Parallel: 1, Attempts: 1}); err != nil {
		l.t.Fatal(err)
	}
	report := d.Run.Finish()
	if len(tr.door.bodies) != before || report.Outcome != run.Failed || !strings.Contains(problems(report), "the database is another one, or was lost") {
		tr.wrong("a database that knows nothing of what was sent sent something: %s", problems(report))
	}
}

func (l *loss) rebuild(dry bool) accounting.Rebuilt {
	tr := l.trial
	d := tr.deps()
	all, err := accounting.Rebuild(context.Background(), d, []*accounting.Target{tr.target}, []*accounting.Archive{tr.sent}, dry)
	if err != nil || len(all) != 1 {
		l.t.Fatalf("timeline %d: rebuild: %v", tr.seed, err)
	}
	report := d.Run.Finish()
	for _, p := range report.Problems {
		if !p.Notice {
			tr.wrong("rebuild: %s: %s", p.Object, p.Reason)
		}
	}
	tr.tell("rebuild (dry: %v): %+v", dry, all[0])
	return all[0]
}

// forget takes away what the trial holds to be known from collections whose windows were lost.
func (l *loss) forget() {
	tr := l.trial
	mark := int64(math.MaxInt64)
	l.write(func(tx *store.Tx) error {
		for _, p := range tr.projects {
			var to int64
			if err := tx.QueryRow(`SELECT coalesce(max(to_time), 0) FROM collected WHERE cloud = $1 AND project = $2`, tr.target.Clouds[0].Cloud.ID, p).Scan(&to); err != nil {
				return err
			}
			mark = min(mark, to)
		}
		return nil
	})
	tr.sights = slices.DeleteFunc(tr.sights, func(s sight) bool { return s.to.After(time.Unix(mark, 0)) })
}
