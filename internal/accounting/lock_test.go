package accounting_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestCollectingAndSendingAtOnce lets two transactions meet on PostgreSQL: one stops right after it wrote to a table, not
// committed, while the other, on a connection of its own, goes as far as it can. Whichever was first, the server ends
// with what the ledger says.
func TestCollectingAndSendingAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("PostgreSQL is left out with -short")
	}
	collects := func(b *bed) error {
		return accounting.Collect(context.Background(), b.deps(), b.target, accounting.Ask{})
	}
	restarts := func(b *bed) error { // as after another word in the configuration
		t := *b.target
		t.Settings.Previously = accounting.Nothing
		return accounting.Collect(context.Background(), b.deps(), &t, accounting.Ask{})
	}
	sends := func(b *bed) error {
		return accounting.Send(context.Background(), b.deps(), b.target, accounting.Sending{GoActive: true, Parallel: 1, Attempts: 1})
	}
	lateEnd := func(b *bed) {
		b.answers(func(s map[string]any) bool {
			s["status"], s["OS-SRV-USG:terminated_at"] = "DELETED", "2024-02-28T00:00:00.000000"
			return true
		})
	}
	nothing := func(*bed) {}
	fed := newBed(t, small(), onDisk(t), "2024-03-02T00:05:00Z", "2024-02-15").fed
	for name, c := range map[string]struct {
		happens        func(*bed) // after the first collection
		hold           string     // event at which the first one stops
		first, another func(*bed) error
	}{
		"a late end while its later month is cut":  {lateEnd, "INSERT ON message", sends, collects},
		"a cut while a late end is kept":           {lateEnd, "DELETE ON ledger", collects, sends},
		"another start while the first row is cut": {nothing, "INSERT ON message", sends, restarts},
		"a cut while all is forgotten":             {nothing, "DELETE ON ledger", restarts, sends},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := store.Config{URL: storetest.Postgres(t)}
			w := small()
			vm(w, id(1), "2024-02-10")
			b := newCloudBed(t, w, cfg, "2024-03-02T00:05:00Z", "2024-02-15")
			b.fed, fed.Server = fed, apelserver.New()
			b.target.Destinations = []accounting.Destination{b.broker("SITE-A")}
			b.clean(b.collect(""))
			c.happens(b)
			b.clock.set("2024-03-03T00:05:00Z")
			release := b.holdAt(c.hold)
			other := *b
			other.db = storetest.Open(t, cfg)

			var wg sync.WaitGroup
			var first, second error
			firstDone, secondDone := make(chan struct{}), make(chan struct{})
			wg.Go(func() { defer close(firstDone); first = c.first(b) })
			if !b.waiting(1, firstDone) {
				t.Errorf("the first one met nothing that stops it: %v, %+v", first, b.last)
			}
			wg.Go(func() { defer close(secondDone); second = c.another(&other) })
			b.waiting(2, secondDone)
			release()
			wg.Wait()
			if err := errors.Join(first, second); err != nil {
				t.Fatal(err)
			}
			if b.count(`SELECT count(*) FROM accounting_start WHERE previously = 'nothing'`) > 0 {
				b.target.Settings.Previously = accounting.Nothing
			}
			for range 2 { // what the other one could not do yet
				b.collect("")
				b.send()
			}
			sent := map[string]int64{}
			for _, r := range fed.Server.Kept() {
				sent[r.VMUUID+" "+accounting.Period(r.Measured)] = *r.Wall
			}
			want := map[string]int64{}
			for key, e := range b.records() {
				want[key] = e.Wall
			}
			if d := cmp.Diff(want, sent); d != "" {
				t.Errorf("(-ledger +server):\n%s", d)
			}
		})
	}
}

// holdAt lets every transaction stop after the event, "INSERT ON message", until release is called.
func (b *bed) holdAt(event string) (release func()) {
	b.t.Helper()
	run := func(db *store.Store, statements ...string) error {
		return db.Write(context.Background(), func(tx *store.Tx) error {
			for _, s := range statements {
				if _, err := tx.Exec(s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := run(b.db, `CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN
		PERFORM set_config(''lock_timeout'', ''60s'', true);
		PERFORM pg_advisory_xact_lock_shared(1);
		RETURN NULL; END'`, `CREATE TRIGGER hold AFTER `+event+` FOR EACH STATEMENT EXECUTE FUNCTION hold()`); err != nil {
		b.t.Fatal(err)
	}
	held, let, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- b.db.Write(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Exec(`SELECT pg_advisory_xact_lock(1)`)
			close(held)
			<-let
			return err
		})
	}()
	<-held
	return func() {
		b.t.Helper()
		close(let)
		if err := <-ended; err != nil {
			b.t.Error(err)
		}
	}
}

// waiting tells whether so many sessions came to wait for a lock before done was closed.
func (b *bed) waiting(n int64, done <-chan struct{}) bool {
	b.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) < n {
		select {
		case <-done:
			return false
		case <-tick.C:
		}
	}
	return true
}
