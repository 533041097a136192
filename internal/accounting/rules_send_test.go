package accounting_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/apel"
	"github.com/fedsite/fedsite/protocol/dirq"
)

// server is a destination that a test decides for: it takes, in memory, what judge lets through.
type server struct {
	name  string
	judge func(m accounting.Message) error // nil = everything is taken

	mu   sync.Mutex
	got  []accounting.Message
	seen []accounting.Message // refused ones too
}

func (s *server) Name() string                                           { return s.name }
func (s *server) MaxBytes() int                                          { return 0 }
func (s *server) Seal(m accounting.Message, _ time.Time) ([]byte, error) { return m.Body, nil }
func (s *server) Gone(context.Context, accounting.Message) (bool, error) { return true, nil }

func (s *server) Deliver(_ context.Context, m accounting.Message, _ []byte) (accounting.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, m)
	if s.judge != nil {
		if err := s.judge(m); err != nil {
			return accounting.Receipt{}, err
		}
	}
	s.got = append(s.got, m)
	return accounting.Receipt{Remote: "taken"}, nil
}

// holds gives each record that was taken, "VM month", with its newest text.
func (s *server) holds(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, m := range s.got {
		records, err := apel.ParseCloud(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range records {
			all[r.VMUUID+" "+r.Period()] = apel.SplitCloud(m.Body)[i]
		}
	}
	return all
}

// count asks the store for a number.
func (b *bed) count(query string, args ...any) (n int64) {
	b.t.Helper()
	if err := b.db.Read(context.Background(), func(tx *store.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }); err != nil {
		b.t.Fatal(err)
	}
	return n
}

// twice counts the records that are in more than one unsettled message of a destination.
func (b *bed) twice() int64 {
	return b.count(`SELECT count(*) FROM (SELECT 1 AS one FROM message_record r JOIN message m ON m.id = r.message WHERE m.state = 'cut'
		GROUP BY m.destination, r.site, r.cloud, r.kind, r.subject, r.period HAVING count(*) > 1) AS x`)
}

// touchAll gives every VM another name, and collects: each current row gets a new revision.
func (b *bed) touchAll(name string) {
	for _, vm := range b.world.VMs() {
		b.world.Happen(vm.ID, world.Event{At: b.clock.now().Add(-time.Second), Kind: world.Rename, Value: name})
	}
	b.clean(b.again())
}

func crowd(n int, created string) *world.World {
	w := small()
	for i := range n {
		vm(w, id(i), created)
	}
	return w
}

// TestRule10MessagesAreCutOnce checks how messages are cut, that body, id and name stay the same for every attempt while
// each is signed anew, and that no record is in two unsettled ones.
func TestRule10MessagesAreCutOnce(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(130, "2024-02-10"), cfg, "2024-03-10T00:05:00Z", "2024-02-01")
		b.target.Settings.MaxRecords = 1000 // 100 all the same
		b.clean(b.collect(""))
		dest := &server{name: "ams", judge: func(accounting.Message) error {
			return &accounting.DeliveryError{Verdict: accounting.Refused, Err: errors.New("no"), Hint: "wait"}
		}}
		b.target.Destinations = []accounting.Destination{dest}
		plan, err := accounting.Preview(t.Context(), b.deps(), b.target, "")
		if err != nil {
			t.Fatal(err)
		}
		var sizes []int
		var periods []string
		for _, p := range plan {
			sizes, periods = append(sizes, p.Records), append(periods, p.Period)
		}
		if d := cmp.Diff([]int{100, 100, 60}, sizes); d != "" || !slices.IsSorted(periods) {
			t.Errorf("sizes %v, periods %v", sizes, periods)
		}
		d := b.deps()
		if err := accounting.Send(t.Context(), d, b.target, accounting.Sending{GoActive: true, Parallel: 1, Attempts: 1}); err != nil {
			t.Fatal(err)
		}
		b.touchAll("renamed")
		b.send()
		if n := b.twice(); n != 0 {
			t.Errorf("%d records are in two unsettled messages", n)
		}
		first := dest.seen[0]
		for _, m := range dest.seen[1:] {
			if m.ID == first.ID && (m.Name != first.Name || !bytes.Equal(m.Body, first.Body)) {
				t.Errorf("message %s changed between attempts", m.ID)
			}
		}
		records, err := apel.ParseCloud(first.Body)
		if err != nil || len(records) != 100 || records[0].Period() != "2024-02" || records[99].Period() != "2024-02" {
			t.Errorf("the oldest month goes first: %d records, %v", len(records), err)
		}
		dest.judge = nil
		b.clean(b.send())
		if b.twice() != 0 || len(dest.holds(t)) != 260 {
			t.Errorf("%d records arrived", len(dest.holds(t)))
		}
	})
}

// TestRule10EachAttemptIsSigned lets an answer get lost, and compares the two copies that the broker has.
func TestRule10EachAttemptIsSigned(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	b.fed.Broker.Inject(broker.Fault{Times: 1, Store: true})
	b.clean(b.send())
	got := b.fed.Received()
	if len(got) != 2 || got[0].Empaid != got[1].Empaid || !bytes.Equal(got[0].Body, got[1].Body) {
		t.Fatalf("%d messages, not the same one twice", len(got))
	}
	if !got[0].Accepted || !got[1].Accepted {
		t.Error("not accepted")
	}
}

// TestRule10TheSizeIsCheckedOnASignedCopy gives the destination a limit that a message of 100 records exceeds.
func TestRule10TheSizeIsCheckedOnASignedCopy(t *testing.T) {
	b := newBed(t, crowd(100, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	dest := b.limitedBroker(60_000)
	b.target.Destinations = []accounting.Destination{dest}
	b.fed.Broker.SetLimit(broker.Limit{Bytes: 60_000 - 20_000, Status: 413}) // 16 kB of data are left to spare
	b.clean(b.send())
	if n := b.count(`SELECT count(*) FROM message WHERE state = 'split'`); n == 0 {
		t.Error("nothing was split")
	}
	if b.last.Counts["records_sent"] != 100 || len(b.fed.Server.Kept()) != 100 {
		t.Errorf("%d records arrived", len(b.fed.Server.Kept()))
	}
}

// TestRule11ALostAnswerHoldsNewerRevisions loses an answer: the same message goes again, and newer revisions of its
// records wait until ten minutes after that attempt began, because it may still arrive.
func TestRule11ALostAnswerHoldsNewerRevisions(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(3, "2024-03-02"), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
		b.clean(b.collect(""))
		dest := &server{name: "ams", judge: func(accounting.Message) error {
			return &accounting.DeliveryError{Verdict: accounting.Unanswered, Err: errors.New("cut"), Hint: "wait", Exit: run.ExitUnavailable}
		}}
		b.target.Destinations = []accounting.Destination{dest}
		once := func() run.Report {
			t.Helper()
			d := b.deps()
			if err := accounting.Send(t.Context(), d, b.target, accounting.Sending{GoActive: true, Attempts: 1}); err != nil {
				t.Fatal(err)
			}
			return d.Run.Finish()
		}
		if r := once(); r.Exit() != run.ExitUnavailable {
			t.Errorf("exit %d", r.Exit())
		}
		b.touchAll("renamed")
		dest.judge = nil
		if r := once(); r.Counts["messages_cut"] != 0 || r.Counts["messages_sent"] != 1 {
			t.Errorf("the same message goes again: %v", r.Counts)
		}
		b.clock.set("2024-03-10T00:14:59Z")
		if r := once(); r.Counts["messages_cut"] != 0 {
			t.Errorf("a newer revision went %v after the unanswered attempt", 599*time.Second)
		}
		b.clock.set("2024-03-10T00:15:00Z")
		if r := once(); r.Counts["records_sent"] != 3 {
			t.Errorf("after ten minutes: %v", r.Counts)
		}
		for key, text := range dest.holds(t) {
			if !strings.Contains(text, "MachineName: renamed") {
				t.Errorf("%s: %s", key, text)
			}
		}
		if len(dest.seen) != 3 || dest.seen[0].Name != dest.seen[1].Name {
			t.Errorf("%d deliveries", len(dest.seen))
		}
	})
}

// TestRule11ALargeMessageMayHaveArrived has a 500 that is taken for too large: the halves go at once, newer revisions wait.
func TestRule11ALargeMessageMayHaveArrived(t *testing.T) {
	b := newBed(t, crowd(4, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	dest := &server{name: "ams"}
	dest.judge = func(m accounting.Message) error {
		if m.Records > 2 {
			return &accounting.DeliveryError{Verdict: accounting.TooLarge, Stored: true, Err: errors.New("500")}
		}
		return nil
	}
	b.target.Destinations = []accounting.Destination{dest}
	b.clean(b.send())
	b.touchAll("renamed")
	for _, c := range []struct {
		at   string
		want int64
	}{{"2024-03-10T00:14:59Z", 0}, {"2024-03-10T00:15:00Z", 4}} {
		b.clock.set(c.at)
		if r := b.send(); r.Counts["records_sent"] != c.want {
			t.Errorf("%s: %v", c.at, r.Counts)
		}
	}
}

// TestRule11ATakeoverHoldsNewerRevisions kills a run between cut and settle; another continues it.
func TestRule11ATakeoverHoldsNewerRevisions(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	ctx, kill := context.WithCancel(t.Context())
	dest := &server{name: "ams", judge: func(accounting.Message) error {
		kill()
		return &accounting.DeliveryError{Verdict: accounting.Unanswered, Err: context.Canceled}
	}}
	b.target.Destinations = []accounting.Destination{dest}
	if err := accounting.Send(ctx, b.deps(), b.target, accounting.Sending{GoActive: true, Attempts: 1}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	dest.judge = nil
	b.touchAll("renamed")
	b.clock.set("2024-03-10T00:06:00Z")
	if r := b.send(); r.Counts["messages_cut"] != 0 || r.Counts["messages_sent"] != 1 {
		t.Errorf("%v", r.Counts)
	}
	b.clock.set("2024-03-10T00:14:59Z")
	if r := b.send(); r.Counts["messages_cut"] != 0 {
		t.Error("too early: the killed run's attempt may still arrive")
	}
	b.told("3 records have a newer revision, which waits until 00:15 UTC")
	b.clock.set("2024-03-10T00:15:00Z")
	if r := b.send(); r.Counts["records_sent"] != 3 {
		t.Errorf("%v", r.Counts)
	}
}

// TestRule11AFrozenProcessBeginsAnew stops the process for a while between the begin of an attempt and its delivery: what
// goes out then has an attempt of its own, after which newer revisions wait.
func TestRule11AFrozenProcessBeginsAnew(t *testing.T) {
	cfg := onDisk(t)
	var b *bed
	freezes := 0
	cfg.OnCommit = func(int64) {
		if freezes > 0 {
			freezes--
			b.clock.set(b.clock.now().Add(400 * time.Second).Format("2006-01-02T15:04:05Z"))
		}
	}
	b = newCloudBed(t, crowd(3, "2024-03-02"), cfg, "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	dest := &server{name: "ams", judge: func(m accounting.Message) error {
		if late := b.clock.now().Unix() - m.LastAttempt; late > 300 {
			t.Errorf("delivered %d s after its attempt began", late)
		}
		return nil
	}}
	b.target.Destinations = []accounting.Destination{dest}
	freezes = 4 // after going active, cutting, and two attempts that come to nothing
	d := b.deps()
	if err := accounting.Send(t.Context(), d, b.target, accounting.Sending{GoActive: true, Parallel: 1, Attempts: 1}); err != nil {
		t.Fatal(err)
	}
	if len(dest.got) != 1 || dest.got[0].Attempts != 4 {
		t.Errorf("%d deliveries", len(dest.got))
	}
}

// TestRule11ARevisionWaitsForSettlement revises records that are on their way: the revision goes right after them.
func TestRule11ARevisionWaitsForSettlement(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	queue := dirq.Queue{Path: t.TempDir()}
	b.target.Destinations = []accounting.Destination{accounting.NewDirq("dirq", queue)}
	b.clean(b.collect(""))
	b.clean(b.send())
	b.touchAll("renamed")
	if r := b.send(); r.Counts["messages_cut"] != 0 || r.Counts["messages_waiting_in_queue"] != 1 {
		t.Errorf("while it waits in the queue: %v", r.Counts)
	}
	empty(t, queue)
	if r := b.send(); r.Counts["messages_sent"] != 1 || r.Counts["messages_queued"] != 1 {
		t.Errorf("after it was taken: %v", r.Counts)
	}
}

// empty takes everything out of a directory queue, as ssmsend does, and gives the bodies.
func empty(t *testing.T, q dirq.Queue) (bodies [][]byte) {
	t.Helper()
	names, err := q.Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		body, err := q.Get(n)
		if err := errors.Join(err, q.Lock(n), q.Remove(n)); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	return bodies
}

// TestRule12OneRecordIsToBlame has one record that the server's broker does not take: the message is cut in two until it
// is alone, and parked; everything else arrives, its other month too; a retry cuts it anew from its present row.
func TestRule12OneRecordIsToBlame(t *testing.T) {
	for _, verdict := range []accounting.Verdict{accounting.BadBody, accounting.TooLarge} {
		each(t, func(t *testing.T, cfg store.Config) {
			b := newBed(t, crowd(40, "2024-02-10"), cfg, "2024-03-10T00:05:00Z", "2024-02-01")
			b.clean(b.collect(""))
			poison := b.records()[id(7)+" 2024-02"].Wire
			dest := &server{name: "ams"}
			dest.judge = func(m accounting.Message) error {
				if bytes.Contains(m.Body, []byte(poison)) {
					return &accounting.DeliveryError{Verdict: verdict, Err: errors.New("not this body")}
				}
				return nil
			}
			b.target.Destinations = []accounting.Destination{dest}
			if r := b.send(); r.Exit() != run.ExitPartial || r.Counts["records_parked"] != 1 {
				t.Errorf("exit %d, %v", r.Exit(), r.Counts)
			}
			b.told("record of VM "+id(7)+", 2024-02", "not this body", "--retry-parked")
			if _, ok := dest.holds(t)[id(7)+" 2024-02"]; ok || len(dest.holds(t)) != 79 {
				t.Errorf("%d of 79 others arrived", len(dest.holds(t)))
			}
			if e := b.records()[id(7)+" 2024-02"]; e.Sent["ams"] != "parked: not this body" {
				t.Errorf("shown as %q", e.Sent["ams"])
			}
			if r := b.send(); r.Counts["messages_cut"] != 0 {
				t.Error("a parked record was cut again by itself")
			}
			dest.judge = nil
			if n, err := accounting.Unpark(t.Context(), b.db, b.target.Site.ID, dest); n != 1 || err != nil {
				t.Fatalf("%d unparked: %v", n, err)
			}
			b.clean(b.send())
			if d := cmp.Diff(b.wires(), dest.holds(t)); d != "" {
				t.Errorf("(-ledger +server):\n%s", d)
			}
		})
	}
}

// TestRule12NothingElseParks refuses everything for causes that are not about one message.
func TestRule12NothingElseParks(t *testing.T) {
	b := newBed(t, crowd(30, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Settings.MaxRecords = 10
	b.clean(b.collect(""))
	dest := &server{name: "ams"}
	b.target.Destinations = []accounting.Destination{dest}
	for _, verdict := range []accounting.Verdict{accounting.Refused, accounting.Unanswered, accounting.Busy} {
		dest.seen = nil
		dest.judge = func(accounting.Message) error {
			return &accounting.DeliveryError{Verdict: verdict, Err: errors.New("not now"), Hint: "wait"}
		}
		d := b.deps()
		if err := accounting.Send(t.Context(), d, b.target, accounting.Sending{GoActive: true, Parallel: 1, Attempts: 1}); err != nil {
			t.Fatal(err)
		}
		if r := d.Run.Finish(); r.Outcome != run.Failed || len(dest.seen) != 1 || b.count(`SELECT count(*) FROM message WHERE state <> 'cut'`) != 0 {
			t.Errorf("verdict %d: outcome %s, %d deliveries", verdict, r.Outcome, len(dest.seen))
		}
	}
}

// TestRule13OneDestinationCounts has two destinations, first without, then with a word on which is the copy.
func TestRule13OneDestinationCounts(t *testing.T) {
	b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	one, two := &server{name: "ams"}, &server{name: "dirq"}
	b.target.Destinations = []accounting.Destination{one, two}
	b.clean(b.collect(""))
	if r := b.send(); r.Exit() != run.ExitFailed || len(one.got)+len(two.got) != 0 {
		t.Errorf("exit %d, %d messages went out", r.Exit(), len(one.got)+len(two.got))
	}
	b.told("ams and dirq", "copy: true")
	b.target.Copies = []string{"dirq"}
	b.clean(b.send())
	if len(one.holds(t)) != 3 || len(two.holds(t)) != 3 {
		t.Errorf("%d and %d records", len(one.holds(t)), len(two.holds(t)))
	}
}

// TestRule14RecordCreateTimeIsNeverSent looks at every byte that went out, completed and running VMs alike.
func TestRule14RecordCreateTimeIsNeverSent(t *testing.T) {
	w := crowd(3, "2024-02-10")
	w.Happen(id(1), on(world.Delete, "2024-03-01"))
	b := newBed(t, w, onDisk(t), "2024-03-10T00:05:00Z", "2024-02-01")
	b.clean(b.collect(""))
	b.clean(b.send())
	for _, r := range b.fed.Received() {
		if bytes.Contains(r.Body, []byte("RecordCreateTime")) {
			t.Errorf("%s", r.Body)
		}
	}
	for _, row := range b.fed.Server.Kept() {
		if row.RecordCreateTime != nil {
			t.Errorf("%+v", row)
		}
	}
}

// TestRule15ObservingAndGoingActive collects while observing, then goes active: nothing is cut before, and rows of
// months before active_from stay here.
func TestRule15ObservingAndGoingActive(t *testing.T) {
	each(t, func(t *testing.T, cfg store.Config) {
		b := newBed(t, crowd(3, "2024-01-10"), cfg, "2024-03-10T00:05:00Z", "2024-01-01")
		set := &b.target.Settings
		set.Mode, set.ActiveFrom, set.Previously = site.Observe, time.Time{}, ""
		b.collect("")
		b.send()
		b.told("mode is observe")
		plan, err := accounting.Preview(t.Context(), b.deps(), b.target, "")
		if err != nil || len(plan) != 1 || plan[0].Records != 3 || plan[0].Period != "2024-03" || plan[0].Bytes == 0 {
			t.Errorf("plan %+v, %v", plan, err)
		}
		if n := b.count(`SELECT count(*) FROM message`) + b.count(`SELECT count(*) FROM accounting_start WHERE active_from IS NOT NULL`); n != 0 {
			t.Error("observing wrote something")
		}
		set.Mode = site.Active
		if r := b.send(); r.Exit() != run.ExitFailed {
			t.Errorf("exit %d without a word on what went before", r.Exit())
		}
		b.told("accounting.previously", "caso")
		set.Previously = accounting.CASO
		b.clean(b.collect("2024-03-11T00:05:00Z"))
		if n := len(b.records()); n != 9 {
			t.Errorf("%d rows: what was collected before the word caso counts", n)
		}
		b.clean(b.send())
		set.ActiveFrom = moment("2024-01-01") // too late: it is stored
		b.clean(b.collect("2024-04-02T00:05:00Z"))
		b.clean(b.send())
		months := map[int]int{}
		for _, r := range b.fed.Server.Kept() {
			months[r.Month]++
		}
		if d := cmp.Diff(map[int]int{3: 3, 4: 3}, months); d != "" {
			t.Errorf("rows at the server by month:\n%s", d)
		}
	})
}

// TestRule15ActiveFromIsTakenFromTheConfiguration names an earlier month.
func TestRule15ActiveFromIsTakenFromTheConfiguration(t *testing.T) {
	b := newBed(t, crowd(1, "2024-01-10"), onDisk(t), "2024-03-10T00:05:00Z", "2024-01-01")
	b.target.Settings.ActiveFrom = moment("2024-02-15")
	b.clean(b.collect(""))
	b.clean(b.send())
	if n := len(b.fed.Server.Kept()); n != 2 {
		t.Errorf("%d rows, want those of February and March", n)
	}
}

// limitedBroker is the broker with a limit of so many bytes of base64 and attributes.
func (b *bed) limitedBroker(limit int) accounting.Destination {
	return b.brokerWith("SITE-A", func(c *accounting.AMSConfig) { c.Limit = limit })
}
