package tasks

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestChanged: what each row needs to fit the set.
func TestChanged(t *testing.T) {
	ms := func(d time.Duration) int64 { return noon.Add(d).UnixMilli() }
	task := hourly(t, "collect", "x", gives(done))
	next := ms(time.Hour)
	for _, c := range []struct {
		name   string
		row    *row
		retire bool
		set    bool
		want   *change
	}{
		{"new", nil, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: next, insert: true}},
		{"as it is", &row{site: "x", schedule: "@hourly", due: next}, true, true, nil},
		{"tried again before the slot", &row{site: "x", schedule: "@hourly", due: ms(time.Minute)}, true, true, nil},
		{"overdue", &row{site: "x", schedule: "@hourly", due: ms(-time.Hour)}, true, true, nil},
		{"other schedule", &row{site: "x", schedule: "@daily", due: ms(12 * time.Hour)}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: next}},
		{"other schedule, earlier", &row{site: "x", schedule: "@every 5m", due: ms(time.Minute)}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: next}},
		{"other schedule, overdue", &row{site: "x", schedule: "@daily", due: ms(-time.Hour)}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: ms(-time.Hour)}},
		{"a clock was ahead", &row{site: "x", schedule: "@hourly", due: ms(9000 * time.Hour)}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: next}},
		{"only ever ran from the shell", &row{due: 0}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: next}},
		{"is back", &row{site: "x", schedule: "@hourly", due: ms(-time.Hour), removed: true}, true, true, &change{name: task.Name, site: "x", schedule: "@hourly", due: ms(-time.Hour)}},
		{"removed", &row{site: "x", schedule: "@hourly", due: next}, true, false, &change{name: task.Name, remove: true}},
		{"removed before", &row{site: "x", schedule: "@hourly", due: next, removed: true}, true, false, nil},
		{"another node's, at a check", &row{site: "x", schedule: "@hourly", due: next}, false, false, nil},
		{"the shell's", &row{due: 0}, true, false, nil},
	} {
		rows, set := map[string]row{}, map[string]Task{}
		if c.row != nil {
			rows[task.Name] = *c.row
		}
		if c.set {
			set[task.Name] = task
		}
		var want []change
		if c.want != nil {
			want = []change{*c.want}
		}
		if d := cmp.Diff(want, changed(rows, set, noon, c.retire), cmp.AllowUnexported(change{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// TestSet: the rows of 1,200 tasks in transactions of 500, again without writing; wrong tasks; and what another process
// does to the rows is mended in time.
func TestSet(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		var all []Task
		for i := range 1200 {
			all = append(all, hourly(t, "collect", fmt.Sprintf("site-%04d", i), gives(done)))
		}
		a.set(t, all...)
		if n := a.st.Commits(); n != 3 {
			t.Errorf("%d transactions", n)
		}
		a.set(t, all...)
		if n := a.st.Commits(); n != 3 {
			t.Errorf("%d transactions: the same set was written again", n)
		}
		a.set(t, all[0], all[1])
		a.set(t, all[1], all[2])
		if d := cmp.Diff([]string{"collect/site-0000 [@hourly] 13:00:00 removed", "collect/site-0001 [@hourly] 13:00:00 waiting", "collect/site-0002 [@hourly] 13:00:00 waiting", "collect/site-0003 [@hourly] 13:00:00 removed"}, a.table(t)[:4]); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		for _, wrong := range [][]Task{{all[0], all[0]}, {{}}, {{Name: "x", Run: gives(done)}}, {{Name: "x", Schedule: all[0].Schedule}}} {
			if err := a.Set(t.Context(), wrong); err == nil || len(a.tasks) != 2 {
				t.Errorf("%v: %v", wrong, err)
			}
		}

		b := serve(t, cfg, "b", Options{})
		b.set(t, all[0], all[1])
		a.turn(t)
		if s := a.task(t, all[2].Name); s.State(noon) != "removed" {
			t.Fatalf("this test shows nothing: %+v", s)
		}
		a.pass(usualLimits.check)
		a.to(noon.Add(usualLimits.check))
		a.turn(t)
		if d := cmp.Diff([]string{"collect/site-0000 [@hourly] 13:00:00 waiting", "collect/site-0001 [@hourly] 13:00:00 waiting", "collect/site-0002 [@hourly] 13:00:00 waiting"}, a.table(t)[:3]); d != "" {
			t.Errorf("nodes of different configurations (-want +got):\n%s", d)
		}
	})
}

// TestDatabaseClock: without a clock of the caller's, schedules go by the database's.
func TestDatabaseClock(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		a := serve(t, cfg, "a", Options{})
		a.o.Now = nil
		task := Task{Name: "often", Schedule: schedule(t, "@every 1h"), Run: gives(done)}
		a.set(t, task)
		now := time.UnixMilli(a.millis(t, 0))
		if due := a.task(t, task.Name).NextDue.Sub(now); due < 59*time.Minute || due > time.Hour {
			t.Errorf("due in %v", due)
		}
		if err := a.st.Write(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(`UPDATE task SET next_due = 1`); return err }); err != nil {
			t.Fatal(err)
		}
		a.turn(t)
		a.end(t)
		if due := a.task(t, task.Name).NextDue.Sub(now); due < 59*time.Minute || due > time.Hour+time.Minute {
			t.Errorf("due in %v", due)
		}
	})
}
