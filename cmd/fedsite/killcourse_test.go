package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/tasks"
	"github.com/fedsite/fedsite/protocol/apel"
)

// disturbed is one course with kills in it.
type disturbed struct {
	*campaign
	t         *testing.T
	db        store.Config
	unsettled map[string]int // record in an unsettled message → at how many kills it was
	late      []func()       // requests that arrive late
}

// opened runs fn with the course's database open.
func opened(t *testing.T, db store.Config, fn func(*store.Store)) {
	t.Helper()
	st, err := store.Open(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	fn(st)
}

// died waits until the process has been killed, and notes what was unsettled then.
func (d *disturbed) died(p *prey) {
	d.t.Helper()
	p.wait()
	d.t.Log(p)
	if !p.killed {
		p.exits(run.ExitDone)
		return
	}
	d.kills++
	if p.onTheWay != nil {
		d.late = append(d.late, p.onTheWay)
	}
	opened(d.t, d.db, func(st *store.Store) {
		calm(d.t, st)
		for _, body := range rows(d.t, st, `SELECT body FROM message WHERE state = 'cut'`) {
			for _, record := range apel.SplitCloud([]byte(strings.TrimPrefix(body, "body="))) {
				d.unsettled[record]++
			}
		}
	})
}

// calm waits until PostgreSQL has noticed that a client is gone, and has ended its transaction.
func calm(t *testing.T, st *store.Store) {
	t.Helper()
	if st.Dialect() != "postgres" {
		return
	}
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		busy := rows(t, st, `SELECT pid, state FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND state <> 'idle'`)
		if len(busy) == 0 {
			return
		}
		<-tick.C
	}
	t.Fatal("a transaction of a dead process does not end")
}

// refused tries the killed command again at once: the dead process's lease still holds, and is respected.
func (d *disturbed) refused(p *prey) {
	d.t.Helper()
	held := false
	opened(d.t, d.db, func(st *store.Store) {
		held = len(rows(d.t, st, `SELECT name FROM task WHERE owner IS NOT NULL`)) > 0
	})
	if !held {
		return
	}
	again := d.hunt(d.t, d.db, p.args[1], 0)
	again.exits(run.ExitLocked)
	if says := fmt.Sprintf("process %d on node", p.cmd.Process.Pid); !strings.Contains(again.out.String(), says) {
		d.t.Errorf("%q does not say %q", again.out.String(), says)
	}
}

// pass lets a minute go by: then the dead processes' leases are over.
func (d *disturbed) pass() {
	d.t.Helper()
	d.stand(d.clock().Add(time.Minute))
	opened(d.t, d.db, func(st *store.Store) {
		err := st.Write(d.t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE task SET lease_until = lease_until - $1`, tasks.LeaseTime.Milliseconds())
			return err
		})
		if err != nil {
			d.t.Fatal(err)
		}
	})
}

// goOn runs what is left of the course after its k-th command was killed, and checks the end.
func (d *disturbed) goOn(k int) {
	d.t.Helper()
	for _, verb := range []string{"collect", "send"} {
		d.hunt(d.t, d.db, verb, 0).exits(run.ExitDone)
	}
	arrived := d.arrived()
	for record := range d.unsettled {
		if arrived[record] == 0 {
			d.t.Errorf("it was unsettled at a kill, and the next run did not send it:\n%s", record)
		}
	}
	for _, arrive := range d.late { // within the ten minutes that the program allows for
		arrive()
	}
	for _, do := range course[k-k%2+2:] {
		d.stand(do.at)
		d.hunt(d.t, d.db, do.verb, 0).exits(run.ExitDone)
	}
	end := d.ended(d.t, d.db)
	if diff := gocmp.Diff(d.end, end); diff != "" {
		d.t.Errorf("the end differs (-undisturbed +disturbed):\n%s", diff)
	}
	d.repeated()

	got := len(d.received())
	for _, verb := range []string{"collect", "send"} {
		d.hunt(d.t, d.db, verb, 0).exits(run.ExitDone)
	}
	if n := len(d.received()); n != got {
		d.t.Errorf("nothing had changed, and %d messages were sent again", n-got)
	}
	if diff := gocmp.Diff(end, d.ended(d.t, d.db)); diff != "" {
		d.t.Errorf("nothing had happened, and the end is another (-before +after):\n%s", diff)
	}
}

// repeated checks that a record arrived a second time only for a kill at which its message was unsettled, and then in the
// same message.
func (d *disturbed) repeated() {
	d.t.Helper()
	in := map[string]string{} // record → text of its message
	for _, m := range d.received() {
		for _, record := range apel.SplitCloud(m.Body) {
			if first, ok := in[record]; ok && first != string(m.Body) {
				d.t.Errorf("arrived in two messages:\n%s", record)
			}
			in[record] = string(m.Body)
		}
	}
	for record, n := range d.arrived() {
		if n > 1+d.unsettled[record] {
			d.t.Errorf("arrived %d times, and was unsettled at %d kills:\n%s", n, d.unsettled[record], record)
		}
	}
}

// arrived tells how often each record has come to the accounting server in this course.
func (d *disturbed) arrived() map[string]int {
	d.t.Helper()
	n := map[string]int{}
	for _, m := range d.received() {
		if !m.Accepted {
			d.t.Errorf("message %s was rejected: %s", m.Empaid, m.Reason)
		}
		for _, record := range apel.SplitCloud(m.Body) {
			n[record]++
		}
	}
	return n
}

// end is all that is left at the end of a course.
type end struct {
	Store   map[string][]string // by table: the rows, without ids and revisions
	Kept    []apelserver.Row
	Monthly []apelserver.Monthly
}

// varying are the columns that a kill may change: ids made at random, how often a row was written, when it was last seen.
var varying = []string{"site", "cloud", "rev", "seen", "shown", "last_seen"}

// ended gives the end of a course, and checks that nothing is left open in it.
func (c *campaign) ended(t *testing.T, db store.Config) (e end) {
	t.Helper()
	e.Store = map[string][]string{}
	opened(t, db, func(st *store.Store) {
		for _, table := range []string{"accounting_start", "collected", "project_state", "vm", "flavor", "ledger"} {
			e.Store[table] = rows(t, st, `SELECT * FROM `+table, varying...)
		}
		for what, query := range map[string]string{
			"sites or clouds twice": `SELECT s.name, c.name FROM cloud c JOIN site s ON s.id = c.site WHERE (SELECT count(*) FROM cloud) > 1 OR (SELECT count(*) FROM site) > 1`,
			"undelivered":           `SELECT l.subject, l.period, l.rev, d.rev FROM ledger l LEFT JOIN delivery d ON d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period WHERE d.rev IS NULL OR d.rev <> l.rev OR d.destination <> 'ams'`,
			"delivered, not there":  `SELECT d.subject, d.period FROM delivery d LEFT JOIN ledger l ON d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period WHERE l.rev IS NULL`,
			"messages not settled":  `SELECT * FROM message WHERE state <> 'sent' OR body <> '' OR reason <> '' OR settled IS NULL OR remote_id IS NULL`,
			"records of no message": `SELECT * FROM message_record`,
			"tasks held":            `SELECT * FROM task WHERE owner IS NOT NULL OR lease_until IS NOT NULL`,
			"runs without an end":   `SELECT * FROM run WHERE ended IS NULL OR outcome NOT IN ('done', 'abandoned')`,
		} {
			if left := rows(t, st, query); len(left) > 0 {
				t.Errorf("%s:\n%s", what, strings.Join(left, "\n"))
			}
		}
	})
	c.mu.Lock()
	server := c.fed.Server
	c.mu.Unlock()
	server.Summarise(c.clock())
	e.Kept, e.Monthly = server.Kept(), server.Monthly()
	slices.SortFunc(e.Kept, func(a, b apelserver.Row) int {
		return cmp.Or(cmp.Compare(a.VMUUID, b.VMUUID), cmp.Compare(a.Year, b.Year), cmp.Compare(a.Month, b.Month))
	})
	return e
}
