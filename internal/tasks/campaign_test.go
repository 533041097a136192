package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// campaignEnv is how long TestCampaign goes on with the contract's real times; without it, some seconds, ten times as fast.
const campaignEnv = "FEDSITE_CAMPAIGN"

// TestCampaign: services as real processes that are killed, stopped and continued, and ended, at random: no task runs twice
// at once, none waits longer than it may, nothing is lost.
func TestCampaign(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(campaignEnv))
	for name, c := range map[string]struct {
		services       int
		postgres, slow bool
	}{"postgres, two": {2, true, true}, "postgres, three": {3, true, false}, "sqlite, two": {2, false, false}} {
		if c.slow && err != nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &ring{t: t, dir: t.TempDir(), stopUpTo: 6 * time.Second, pause: 700 * time.Millisecond, awayUpTo: 2 * time.Second, length: 5 * time.Second, patience: 20 * time.Second}
			r.campaign = campaign{Dir: r.dir, Scale: 10, Tasks: 12, Longest: 3 * time.Second}
			if err == nil {
				r.campaign.Scale, r.campaign.Tasks, r.campaign.Longest = 1, 24, 70*time.Second
				r.stopUpTo, r.pause, r.awayUpTo, r.length, r.patience = 70*time.Second, 6*time.Second, 75*time.Second, long, time.Minute
			}
			cfg := store.Config{Path: filepath.Join(r.dir, "fedsite.db")}
			if c.postgres {
				cfg = store.Config{URL: storetest.Postgres(t)}
			}
			r.campaign.Path, r.campaign.URL = cfg.Path, cfg.URL
			r.st = storetest.Open(t, cfg)
			r.run(c.services)
		})
	}
}

// ring is where the services are.
type ring struct {
	t        *testing.T
	st       *store.Store
	dir      string
	campaign campaign

	length   time.Duration
	pause    time.Duration // the mean time between two disturbances
	stopUpTo time.Duration // the longest that a service is stopped
	awayUpTo time.Duration // the longest that a service is away after a kill
	patience time.Duration // the longest that a task may wait

	corners                             []*corner
	kills, stops, ends, holding, wishes int
	wished                              map[string]int64 // task → when it was last wished for, by the database's clock
}

// corner is the place of one service, which is started again and again.
type corner struct {
	cmd   *exec.Cmd
	gone  chan error
	again time.Time // stopped or away until then
}

func (r *ring) run(services int) {
	if err := r.st.Write(r.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TABLE campaign (task TEXT NOT NULL, fence BIGINT NOT NULL, at BIGINT NOT NULL)`)
		return err
	}); err != nil {
		r.t.Fatal(err)
	}
	r.wished = map[string]int64{}
	for range services {
		c := &corner{}
		r.corners = append(r.corners, c)
		r.start(c)
	}
	r.t.Cleanup(func() {
		for _, c := range r.corners {
			if c.cmd != nil {
				_ = c.cmd.Process.Kill()
				<-c.gone
			}
		}
	})
	over := time.After(r.length)
	for ok := true; ok; {
		select {
		case <-over:
			ok = false
		case <-time.After(time.Duration((0.2 + rand.ExpFloat64()) * float64(r.pause) / 1.2)):
			r.disturb()
		}
	}
	r.settle()
	r.judge()
}

func (r *ring) start(c *corner) {
	text, err := json.Marshal(r.campaign)
	if err != nil {
		r.t.Fatal(err)
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), serveEnv+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	c.gone, c.again = make(chan error, 1), time.Time{}
	go func(cmd *exec.Cmd, gone chan error) { gone <- cmd.Wait() }(c.cmd, c.gone)
}

// back brings a service back that was stopped or away.
func (r *ring) back(c *corner) {
	if c.cmd == nil {
		r.start(c)
		return
	}
	c.again = time.Time{}
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		r.t.Error(err)
	}
}

// disturb does something to one service, but always leaves one that works; or wishes for a task.
func (r *ring) disturb() {
	working := 0
	for _, c := range r.corners {
		if !c.again.IsZero() && time.Now().After(c.again) {
			r.back(c)
		}
		if c.again.IsZero() {
			working++
		}
	}
	c := r.corners[rand.IntN(len(r.corners))]
	switch what := rand.IntN(10); {
	case what == 0:
		r.wish()
	case !c.again.IsZero() || working < 2:
	case what < 5:
		r.kills++
		if err := c.cmd.Process.Kill(); err != nil {
			r.t.Error(err)
		}
		<-c.gone
		c.cmd = nil
		if rand.IntN(2) == 0 {
			r.start(c)
		} else {
			c.again = time.Now().Add(rand.N(r.awayUpTo))
		}
	case what < 9:
		r.stop(c)
	default:
		r.ends++
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Error(err)
		}
		select {
		case err := <-c.gone:
			r.ended(err)
		case <-time.After(2 * time.Minute): // its runs have 45 s
			r.t.Fatal("a service that was told to end goes on")
		}
		r.start(c)
	}
}

// ended checks how a service ended that was told to; it may have been told before it could listen.
func (r *ring) ended(err error) {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM {
		return
	}
	if err != nil {
		r.t.Errorf("a service that was told to end: %v", err)
	}
}

// stop stops a service for a while. One that was stopped within a transaction of SQLite keeps all others from writing for
// as long: that is continued soon.
func (r *ring) stop(c *corner) {
	r.stops++
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		r.t.Error(err)
	}
	c.again = time.Now().Add(rand.N(r.stopUpTo))
	if r.campaign.URL != "" {
		return
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
	defer cancel()
	if err := r.st.Write(ctx, func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM campaign WHERE fence < 0`); return err }); err != nil {
		r.holding++
		c.again = time.Now().Add(rand.N(r.pause))
	}
}

func (r *ring) wish() {
	name := fmt.Sprintf("kind%d/site-%d", rand.IntN(2), rand.IntN(r.campaign.Tasks/2))
	now, err := r.st.Now(r.t.Context())
	if err != nil {
		r.t.Error(err)
		return
	}
	if err := RunNow(r.t.Context(), r.st, name); err == nil {
		r.wishes++
		r.wished[name] = now.UnixMilli()
	}
}

// settle lets all services work undisturbed until every task has run once more, and ends them.
func (r *ring) settle() {
	for _, c := range r.corners {
		if !c.again.IsZero() {
			r.back(c)
		}
	}
	from, err := r.st.Now(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	waited := time.After(r.patience + r.campaign.Longest + LeaseTime)
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for missing := "all"; missing != ""; {
		select {
		case <-ticks.C:
		case <-waited:
			r.t.Fatalf("task %s has not run since all services are well again", missing)
		}
		all, err := List(r.t.Context(), r.st)
		if err != nil {
			r.t.Fatal(err)
		}
		missing = ""
		for _, s := range all {
			if !s.LastSuccess.After(from) {
				missing = s.Name
			}
		}
	}
	for _, c := range r.corners {
		if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			r.t.Error(err)
		}
	}
	for _, c := range r.corners {
		r.ended(<-c.gone)
		c.cmd = nil
	}
}
