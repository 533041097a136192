package main

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// outageEnv is how long PostgreSQL is away in TestServeWithoutPostgres, with the contract's real times; without it, longer
// than a lease that is five times as short.
const outageEnv = "FEDSITE_OUTAGE"

// TestServeWithoutPostgres: PostgreSQL is stopped while a collection and messages are under way, for longer than a lease,
// and started again. The service stays, says what is wrong, and goes on by itself. What was written stays, and what was
// not comes again: the accounting server ends with the truth, and only messages that were not settled came twice.
func TestServeWithoutPostgres(t *testing.T) {
	srv := storetest.Own(t)
	b := newSickbed(t, srv.Database(t))
	outage, err := time.ParseDuration(os.Getenv(outageEnv))
	hurry := 1
	if err != nil {
		outage, hurry = 9*time.Second, hurried
	}
	s := b.serve(b.ConfigFile(), hurry)
	must(t, s.Start())
	b.later(6*time.Hour, s)
	answer := b.sending()
	b.forward(2*time.Hour, s)
	answer.comes(t)
	listing := b.collecting()
	b.forward(2*time.Hour, s)
	listing.comes(t)
	unsettled := b.unsettled()
	if len(unsettled) == 0 {
		t.Fatal("no message is under way")
	}

	since := len(s.Said())
	must(t, srv.Stop())
	answer.release()
	listing.release()
	b.says(s, since, "cannot look for tasks that are due", "the end of a run cannot be written", store.Hint(store.ErrUnavailable))
	b.answers(s, "/readyz", 503, "the database does not answer")
	b.answers(s, "/healthz", 200, "ok")
	b.answers(s, "/", 503, "")
	for began := time.Now(); time.Since(began) < outage; {
		must(t, s.Tells("WATCHDOG=1")) // every five seconds, and only while the scheduler's loop goes round
	}
	must(t, srv.Start())
	b.says(s, since, "can be looked for again")
	b.answers(s, "/readyz", 200, "ok")
	b.later(3*time.Hour, s)
	if now := b.outcomes("accounting.send"); !slices.Contains(now, "failed") && !slices.Contains(now, "interrupted") {
		t.Errorf("the outage met no sending: %v", now)
	}
	b.stop(s)
	b.ended(unsettled)
}
