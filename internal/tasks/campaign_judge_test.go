package tasks

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fedsite/fedsite/internal/store"
)

// pastRun is what is known of a run after a campaign; times in milliseconds of the machine's clock, which is the database's.
type pastRun struct {
	fence                int64
	slot, started, ended int64
	cause, outcome       string
	writes               []int64 // in the database
	told                 int64   // writes that its report speaks of; -1 without
	alive                []int64 // when it was alive
}

// late is the longest that a run may have gone on after its process was continued, while another had its task: the
// watchdog looks every second.
const late = 1200

// judge looks at what all services have left.
func (r *ring) judge() {
	all := r.past()
	var (
		runs, done, abandoned, lateRuns, takeovers int
		maxWait, maxLate, maxTakeover              int64
	)
	for name, past := range all {
		slices.SortFunc(past, func(a, b *pastRun) int { return cmp.Compare(a.fence, b.fence) })
		slots := map[int64]int64{}
		for i, p := range past {
			runs++
			switch p.outcome {
			case "":
				r.t.Errorf("%s: run %d is still open", name, p.fence)
			case "done":
				done++
				if p.told != int64(len(p.writes)) {
					r.t.Errorf("%s: run %d is done and says it wrote %d rows; there are %d", name, p.fence, p.told, len(p.writes))
				}
				if other, twice := slots[p.slot]; twice && p.cause == "schedule" {
					r.t.Errorf("%s: the slot of run %d was done by run %d", name, p.fence, other)
				}
				if p.cause == "schedule" {
					slots[p.slot] = p.fence
				}
			case Abandoned:
				abandoned++
			}
			if i == 0 {
				continue
			}
			before := past[i-1]
			if len(before.writes) > 0 && len(p.writes) > 0 && slices.Max(before.writes) > slices.Min(p.writes) {
				r.t.Errorf("%s: run %d has written after run %d began to", name, before.fence, p.fence)
			}
			if over, hole := overlap(before, p); over >= 0 {
				lateRuns++
				maxLate = max(maxLate, over)
				if over > late || hole < (LeaseTime-RenewEvery).Milliseconds()/int64(r.campaign.Scale)/2 {
					r.t.Errorf("%s: runs %d and %d were alive at once for %d ms, after a hole of %d ms", name, before.fence, p.fence, over, hole)
				}
			}
			// It waits from its slot on, but not while it runs already.
			since := max(p.slot, before.started, lastAlive(before, p.started))
			if before.outcome != Abandoned {
				since = max(since, before.ended)
			} else {
				takeovers++
				maxTakeover = max(maxTakeover, p.started-since)
			}
			if p.cause == "schedule" {
				maxWait = max(maxWait, p.started-since)
				if p.started-since > r.patience.Milliseconds() {
					r.t.Errorf("%s: run %d had to wait %d ms", name, p.fence, p.started-since)
				}
			}
		}
		if at := r.wished[name]; at > 0 && !slices.ContainsFunc(past, func(p *pastRun) bool { return p.started >= at }) {
			r.t.Errorf("%s: a wish to run it is lost", name)
		}
	}
	if held, err := List(r.t.Context(), r.st); err != nil || slices.ContainsFunc(held, func(s Status) bool { return s.Running != nil }) {
		r.t.Errorf("a task is still held after all services ended: %v", err)
	}
	if done == 0 || r.kills+r.stops == 0 {
		r.t.Error("nothing was done, or nothing disturbed")
	}
	r.t.Logf("%v with %d tasks: %d kills, %d stops (%d within a transaction of SQLite), %d ends by SIGTERM, %d wishes; %d runs, %d done, %d abandoned; "+
		"two alive at once %d times, after SIGCONT, for at most %d ms; no write of a run that had lost its task; longest wait %d ms; %d takeovers, the longest after %d ms",
		r.length, r.campaign.Tasks, r.kills, r.stops, r.holding, r.ends, r.wishes, runs, done, abandoned, lateRuns, maxLate, maxWait, takeovers, maxTakeover)
}

// overlap gives for how long a run went on after the next one was alive, and how long it had been silent before that; -1
// when it did not.
func overlap(before, after *pastRun) (over, hole int64) {
	if len(after.alive) == 0 || len(before.alive) == 0 {
		return -1, 0
	}
	first := after.alive[0]
	i, _ := slices.BinarySearch(before.alive, first+1)
	if i == len(before.alive) {
		return -1, 0
	}
	if i > 0 {
		hole = before.alive[i] - before.alive[i-1]
	}
	return before.alive[len(before.alive)-1] - before.alive[i], hole
}

// lastAlive is when a run was last alive before then.
func lastAlive(p *pastRun, then int64) int64 {
	i, _ := slices.BinarySearch(p.alive, then)
	if i == 0 {
		return 0
	}
	return p.alive[i-1]
}

// past reads the history, what was written, and what was alive.
func (r *ring) past() map[string][]*pastRun {
	all, by := map[string][]*pastRun{}, map[string]*pastRun{}
	list, err := List(r.t.Context(), r.st)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range list {
		history, err := History(r.t.Context(), r.st, s.Name, 0)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range history {
			p := &pastRun{fence: e.Fence, slot: e.Slot.UnixMilli(), started: e.Started.UnixMilli(), ended: e.Ended.UnixMilli(), cause: e.Cause, outcome: e.Outcome, told: -1}
			if e.Outcome == "done" {
				full, err := Report(r.t.Context(), r.st, s.Name, e.Fence)
				if err != nil {
					r.t.Fatal(err)
				}
				p.told = full.Report.Counts["writes"]
			}
			all[s.Name] = append(all[s.Name], p)
			by[fmt.Sprint(s.Name, " ", e.Fence)] = p
		}
	}
	if err := r.st.Read(r.t.Context(), func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT task, fence, at FROM campaign`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var (
				task      string
				fence, at int64
			)
			if err := rows.Scan(&task, &fence, &at); err != nil {
				return err
			}
			p := by[fmt.Sprint(task, " ", fence)]
			if p == nil {
				r.t.Errorf("%s: run %d wrote, and is not in the history", task, fence)
				continue
			}
			p.writes = append(p.writes, at)
		}
		return rows.Err()
	}); err != nil {
		r.t.Fatal(err)
	}
	r.living(by)
	return all
}

// living reads when each run was alive.
func (r *ring) living(by map[string]*pastRun) {
	files, err := filepath.Glob(r.dir + "/alive-*")
	if err != nil || len(files) == 0 {
		r.t.Fatal("no service has written anything", err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			r.t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var (
				task      string
				fence, at int64
			)
			if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &task, &fence, &at); err != nil {
				continue // killed in mid-line
			}
			if p := by[fmt.Sprint(task, " ", fence)]; p != nil {
				p.alive = append(p.alive, at)
			}
		}
		_ = f.Close()
	}
	for _, p := range by {
		slices.Sort(p.alive)
	}
}
