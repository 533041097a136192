package tasks

import (
	"context"
	"encoding/json"
	"time"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
)

// PollEvery is how often wishes are looked for, and progress is written.
const PollEvery = 2 * time.Second

// tellAfter is how long a run must go on before its progress is written.
const tellAfter = 2 * time.Second

// tellTime is the longest that one look for wishes, or one writing of progress, may take.
const tellTime = 5 * time.Second

// Progress says how far a run is, and since when that is so.
type Progress struct {
	run.Progress
	At time.Time
}

// progressText is how progress stands in the database.
type progressText struct {
	At    int64  `json:"at"` // milliseconds
	Step  string `json:"step,omitempty"`
	What  string `json:"what,omitempty"`
	Done  int64  `json:"done,omitempty"`
	Total int64  `json:"total,omitempty"`
}

func parseProgress(text string) *Progress {
	var p progressText
	if text == "" || json.Unmarshal([]byte(text), &p) != nil {
		return nil
	}
	return &Progress{run.Progress{Step: p.Step, What: p.What, Done: p.Done, Total: p.Total}, time.UnixMilli(p.At).UTC()}
}

// says is what a run has to tell, guarded by its runner.
type says struct {
	now, told run.Progress
	stuck     bool // to be told
}

// Progress says how far the run is; other processes see it within two seconds.
func (r *Run) Progress(p run.Progress) {
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	r.says.now = p
}

// stuck has it written that the run should have ended and has not.
func (r *Run) stuck() {
	r.runner.mu.Lock()
	defer r.runner.mu.Unlock()
	r.says.stuck = true
}

// told is what one run is about to have written.
type told struct {
	of       *Run
	progress run.Progress
	stuck    bool
}

// tell writes what has changed of the progress of this process's runs, in one transaction.
func (r *Runner) tell(ctx context.Context) {
	news := r.news()
	if len(news) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	err := r.st.Write(ctx, func(tx *store.Tx) error {
		for _, n := range news {
			if n.stuck {
				if _, err := tx.Exec(`UPDATE run SET stuck = `+tx.Clock()+` WHERE task = $1 AND fence = $2 AND node = $3 AND ended IS NULL`, n.of.Lease.Task, n.of.Lease.Fence, n.of.Lease.Owner); err != nil {
					return err
				}
			}
			var at int64
			if err := tx.QueryRow(`SELECT COALESCE($1, `+tx.Clock()+`)`, instant(n.of.now)).Scan(&at); err != nil {
				return err
			}
			text, err := json.Marshal(progressText{At: at, Step: n.progress.Step, What: n.progress.What, Done: n.progress.Done, Total: n.progress.Total})
			if err != nil {
				return err
			}
			if _, err := tx.Exec(`UPDATE run SET progress = $1 WHERE task = $2 AND fence = $3 AND node = $4 AND ended IS NULL`, string(text), n.of.Lease.Task, n.of.Lease.Fence, n.of.Lease.Owner); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return // the next poll tries again
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, n := range news {
		n.of.says.told = n.progress
		if n.stuck {
			n.of.says.stuck = false
		}
	}
}

// news gives the runs that have something to tell.
func (r *Runner) news() []told {
	r.mu.Lock()
	defer r.mu.Unlock()
	var news []told
	for _, one := range r.runs {
		if one.runner == nil || (one.says.now == one.says.told && !one.says.stuck) || r.mono().Sub(one.since) < tellAfter {
			continue
		}
		news = append(news, told{one, one.says.now, one.says.stuck})
	}
	return news
}

// look asks whether an operator cancelled a run of this process, or another process has its task. A scheduler does not
// need it: its poll gives the same.
func (r *Runner) look(ctx context.Context) {
	held := r.held()
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	var seen []sight
	err := r.st.Read(ctx, func(tx *store.Tx) error {
		seen = nil
		in, args := names(held)
		rows, err := tx.Query(`SELECT name, COALESCE(owner, ''), fence, COALESCE(cancel_fence, -1) FROM task WHERE name IN (`+in+`)`, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s sight
			if err := rows.Scan(&s.name, &s.owner, &s.fence, &s.cancel); err != nil {
				return err
			}
			seen = append(seen, s)
		}
		return rows.Err()
	})
	if err == nil {
		r.saw(seen)
	}
}

// sight is what was seen of a task's row.
type sight struct {
	name, owner   string
	fence, cancel int64
}

// saw stops the runs of this process that were cancelled, or that another process has. What was seen may be older than
// the run: then it says nothing.
func (r *Runner) saw(seen []sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range seen {
		one := r.runs[s.name]
		if one == nil || one.runner == nil || s.fence < one.Lease.Fence {
			continue
		}
		switch mine := s.owner == r.who.Boot && s.fence == one.Lease.Fence; {
		case mine && s.cancel == s.fence:
			one.cancel(ErrCancelled)
		case !mine && s.owner != "":
			one.cancel(ErrLost)
		}
	}
}
