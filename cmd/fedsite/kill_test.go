package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

var kills = flag.String("kills", os.Getenv("FEDSITE_KILLS"), "all: kill the program at every event of a course, and more often while it recovers")

// command is one run of the program in a course.
type command struct {
	at   time.Time
	verb string
}

// course is what is run one after the other when nothing disturbs it.
var course = []command{{first, "collect"}, {first, "send"}, {second, "collect"}, {second, "send"}, {ending, "collect"}, {ending, "send"}}

// struck is how many of the course's commands are killed in; the last two only find what was held back.
const struck = 4

// campaign is what an undisturbed course did, and what every other one has to end with.
type campaign struct {
	*preserve
	before []store.Config          // the database before each command
	had    [][]federation.Received // what the federation had got before each command
	events [][]string              // of each command
	end    end
	kills  int
}

// TestKills kills the program, a process of its own, at events of a full collecting and sending: when a request has gone
// out and the service has not seen it, when the service has done what was asked and not answered, just before a commit,
// and just after it. Afterwards the next runs go on undisturbed. In the end ledger, deliveries and accounting server are
// as if nothing had happened, and what arrived twice was unsettled when the process died.
//
// The clock stands still at each run; a lease that a dead process left is moved into the past by the 45 seconds that
// it lasts, which is all that a statement could tell from the passing of that time by the database's clock.
func TestKills(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db store.Config) {
		c := undisturbed(t, db)
		every, pairs, both := 5, 6, 4
		switch {
		case *kills == "all" && db.URL == "":
			every, pairs, both = 1, 40, 40
		case *kills == "all":
			pairs, both = 20, 20
		case testing.Short():
			every, pairs, both = 25, 2, 1
		case db.URL != "":
			every, pairs, both = 25, 2, 2
		}
		r := rand.New(rand.NewPCG(4, 6))
		total := 0
		for k := range struck {
			for n := 1; n <= len(c.events[k]); n++ {
				if total++; total%every == every/2 || r.IntN(10*every) == 0 && every > 1 {
					c.once(t, k, n)
				}
			}
		}
		for range pairs {
			c.twice(t, r)
		}
		for range both {
			c.together(t, r)
		}
		t.Logf("%d events in a course, %d kills", total, c.kills)
		if *kills == "all" && db.URL == "" && c.kills < 200 {
			t.Errorf("%d kills are too few", c.kills)
		}
	})
}

// undisturbed runs the course.
func undisturbed(t *testing.T, db store.Config) *campaign {
	t.Helper()
	c := &campaign{preserve: newPreserve(t)}
	c.begin(nil)
	for _, do := range course {
		c.before, c.had = append(c.before, copied(t, db)), append(c.had, c.received())
		c.stand(do.at)
		p := c.hunt(t, db, do.verb, 0)
		p.exits(run.ExitDone)
		c.events = append(c.events, p.events)
	}
	c.end = c.ended(t, db)
	for k, n := range map[int]int{1: 3, 3: 6} {
		if got := len(c.had[k+1]) - len(c.had[k]); got < n {
			t.Fatalf("command %d sent %d messages, want at least %d", k, got, n)
		}
	}
	return c
}

// from starts a course as it was before a command.
func (c *campaign) from(t *testing.T, k int) *disturbed {
	d := &disturbed{campaign: c, t: t, db: copied(t, c.before[k]), unsettled: map[string]int{}}
	c.begin(c.had[k])
	c.stand(course[k].at)
	return d
}

// once kills the k-th command at its n-th event.
func (c *campaign) once(t *testing.T, k, n int) {
	t.Run(fmt.Sprintf("%s %d at %d", course[k].verb, k, n), func(t *testing.T) {
		d := c.from(t, k)
		p := c.hunt(t, d.db, course[k].verb, n)
		d.died(p)
		if n%15 == 0 {
			d.refused(p)
		}
		d.pass()
		d.goOn(k)
	})
}

// twice kills a command, and then one of those that recover from it.
func (c *campaign) twice(t *testing.T, r *rand.Rand) {
	k := r.IntN(struck)
	n, verb, m := 1+r.IntN(len(c.events[k])), []string{"collect", "send"}[r.IntN(2)], 1+r.IntN(12)
	t.Run(fmt.Sprintf("%s %d at %d, then %s at %d", course[k].verb, k, n, verb, m), func(t *testing.T) {
		d := c.from(t, k)
		d.died(c.hunt(t, d.db, course[k].verb, n))
		d.pass()
		if verb == "send" {
			c.hunt(t, d.db, "collect", 0).exits(run.ExitDone)
		}
		d.died(c.hunt(t, d.db, verb, m))
		d.pass()
		d.goOn(k)
	})
}

// together kills collecting, sending or both while they run at the same time: what is sent has been collected before, and
// is collected anew.
func (c *campaign) together(t *testing.T, r *rand.Rand) {
	const k = 3
	collect, send := r.IntN(len(c.events[2])*3/4), r.IntN(len(c.events[3])*3/4)
	switch r.IntN(3) {
	case 0:
		collect = 0
	case 1:
		send = 0
	}
	t.Run(fmt.Sprintf("collect at %d beside send at %d", collect, send), func(t *testing.T) {
		d := c.from(t, k)
		c.stand(second.Add(30 * time.Minute))
		both := []*prey{c.hunt(t, d.db, "collect", collect), c.hunt(t, d.db, "send", send)}
		for _, p := range both {
			p.wait()
		}
		for _, p := range both {
			if p.at == 0 {
				p.exits(run.ExitDone)
			} else {
				d.died(p)
			}
		}
		d.pass()
		d.goOn(k)
	})
}
