package accounting_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/accounting"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/emulator/federation/broker"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/dirq"
	"github.com/fedsite/fedsite/protocol/smime"
)

// way is one kind of destination under the conformance suite: how it is made, and how what it took reaches the
// accounting server.
type way struct {
	dest   accounting.Destination
	onward func() // brings what waits on the way to the server, as ssmsend does
}

// ways are all kinds of destination.
var ways = map[string]func(t *testing.T, b *bed) way{
	"ams": func(_ *testing.T, b *bed) way { return way{b.broker("SITE-A"), func() {}} },
	"dirq": func(t *testing.T, b *bed) way {
		q := dirq.Queue{Path: filepath.Join(t.TempDir(), "queue")}
		return way{accounting.NewDirq("dirq", q), func() {
			for _, body := range empty(t, q) {
				if v := b.fed.Server.Load(body, "/CN=ssmsend"); !v.Accepted {
					t.Errorf("the server rejects %s: %s", v.Reason, body)
				}
			}
		}}
	},
}

// eachWay runs a test for every kind of destination, on a bed with so many VMs collected over a month's end.
func eachWay(t *testing.T, vms int, test func(t *testing.T, b *bed, w way)) {
	for name, make := range ways {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, crowd(vms, "2024-02-10"), onDisk(t), "2024-03-10T00:05:00Z", "2024-02-01")
			w := make(t, b)
			b.target.Destinations = []accounting.Destination{w.dest}
			b.clean(b.collect(""))
			test(t, b, w)
		})
	}
}

// slowly sends one message at a time.
func (b *bed) slowly() run.Report {
	b.t.Helper()
	d := b.deps()
	if err := accounting.Send(context.Background(), d, b.target, accounting.Sending{GoActive: true, Parallel: 1, Attempts: 3, Base: time.Millisecond}); err != nil {
		b.t.Fatal(err)
	}
	b.last = d.Run.Finish()
	return b.last
}

// states counts messages by state.
func (b *bed) states() map[string]int64 {
	all := map[string]int64{}
	for _, s := range []string{"cut", "sent", "split", "parked"} {
		if n := b.count(`SELECT count(*) FROM message WHERE state = $1`, s); n > 0 {
			all[s] = n
		}
	}
	return all
}

// arrived fails the test unless the server keeps exactly the ledger's rows, and nothing is on its way any more.
func (b *bed) arrived(w way) {
	b.t.Helper()
	for range 2 { // what waits in a queue is settled by the run after it was taken
		b.clean(b.slowly())
		w.onward()
	}
	b.clean(b.slowly())
	kept := map[string]int64{}
	for _, r := range b.fed.Server.Kept() {
		kept[r.VMUUID+" "+accounting.Period(r.Measured)] = *r.Wall
	}
	want := map[string]int64{}
	for key, e := range b.records() {
		want[key] = e.Wall
	}
	if d := cmp.Diff(want, kept); d != "" {
		b.t.Errorf("(-ledger +server):\n%s", d)
	}
	if s := b.states(); s["cut"]+s["parked"] != 0 {
		b.t.Errorf("messages by state: %v", s)
	}
}

func TestDestinationDelivers(t *testing.T) {
	eachWay(t, 7, func(t *testing.T, b *bed, w way) {
		b.target.Settings.MaxRecords = 4
		b.clean(b.send())
		settled := b.states()["sent"]
		if queued := b.last.Counts["messages_queued"]; settled+queued != 4 || (settled > 0) == (queued > 0) {
			t.Errorf("%d settled, %d queued", settled, queued)
		}
		b.arrived(w)
	})
}

// TestDestinationTakesTheSameAgain delivers one message twice, as after a lost answer.
func TestDestinationTakesTheSameAgain(t *testing.T) {
	eachWay(t, 1, func(t *testing.T, b *bed, w way) {
		m := accounting.Message{ID: "1", Name: "65ecf140/65ecf14c123450", Body: []byte("APEL-cloud-message: v0.4\n" + b.records()[id(0)+" 2024-02"].Wire), Records: 1}
		prepare(t, w.dest, b.clock.now())
		for range 2 {
			sealed, err := w.dest.Seal(m, b.clock.now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.dest.Deliver(t.Context(), m, sealed); err != nil {
				t.Fatal(err)
			}
		}
		b.arrived(w)
	})
}

func prepare(t *testing.T, d accounting.Destination, now time.Time) {
	t.Helper()
	if p, ok := d.(accounting.Preparer); ok {
		if err := p.Prepare(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDestinationRefusesWhatCannotTravel seals bodies that would harm the receiver.
func TestDestinationRefusesWhatCannotTravel(t *testing.T) {
	eachWay(t, 1, func(t *testing.T, b *bed, w way) {
		prepare(t, w.dest, b.clock.now())
		for _, body := range []string{"", " \n", "caf\xc3\xa9", "a\r\nb"} {
			_, err := w.dest.Seal(accounting.Message{Name: "65ecf140/65ecf14c123450", Body: []byte(body)}, b.clock.now())
			if de, ok := errors.AsType[*accounting.DeliveryError](err); !ok || de.Verdict != accounting.BadBody {
				t.Errorf("%q: %v", body, err)
			}
		}
		if w.dest.MaxBytes() <= 0 || w.dest.MaxBytes() > 749_853 {
			t.Errorf("a limit of %d bytes", w.dest.MaxBytes())
		}
	})
}

// TestDestinationHasALimit lowers the limit, so that messages are cut in two before they are sent.
func TestDestinationHasALimit(t *testing.T) {
	eachWay(t, 60, func(t *testing.T, b *bed, w way) {
		b.target.Destinations = []accounting.Destination{tight{passing{w.dest}}}
		b.clean(b.slowly())
		if b.states()["split"] == 0 {
			t.Error("nothing was split")
		}
		b.arrived(w)
	})
}

// passing is a destination behind a wrapper.
type passing struct{ accounting.Destination }

func (d passing) Check(now time.Time) error {
	if p, ok := d.Destination.(accounting.Preparer); ok {
		return p.Check(now)
	}
	return nil
}

func (d passing) Prepare(ctx context.Context, now time.Time) error {
	if p, ok := d.Destination.(accounting.Preparer); ok {
		return p.Prepare(ctx, now)
	}
	return nil
}

// tight is a destination with a lower limit.
type tight struct{ passing }

func (tight) MaxBytes() int { return 40_000 }

const apology = "<html><body><h1>503 Service Unavailable</h1></body></html>"

func said(code int, message, status string) string {
	return fmt.Sprintf(`{"error":{"code":%d,"message":%q,"status":%q}}`, code, message, status)
}

// TestAMSAnswers gives each answer of AMS and of the balancer in front of it to as many requests as Send makes of one
// message, and checks what it does; then nothing disturbs, and everything arrives once.
func TestAMSAnswers(t *testing.T) {
	type states = map[string]int64
	stays := states{"cut": 1}
	fed := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01").fed // its keys take their time
	for name, c := range map[string]struct {
		fault  broker.Fault
		exit   int
		states states
		says   string
	}{
		"400 body":         {broker.Fault{Times: 14, Status: 400, Body: said(400, "Invalid Message Arguments", "INVALID_ARGUMENT")}, run.ExitPartial, states{"split": 6, "parked": 8}, "Invalid Message Arguments"},
		"400 topic name":   {broker.Fault{Times: 1, Status: 400, Body: said(400, "Invalid topic name", "INVALID_ARGUMENT")}, run.ExitFailed, stays, "Invalid topic name"},
		"401":              {broker.Fault{Times: 1, Status: 401, Body: said(401, "Unauthorized", "UNAUTHORIZED")}, run.ExitNotAuthorised, stays, "ask the accounting team"},
		"403":              {broker.Fault{Times: 1, Status: 403, Body: said(403, "Access to this resource is forbidden", "FORBIDDEN")}, run.ExitNotAuthorised, stays, "may not publish"},
		"404 topic":        {broker.Fault{Times: 1, Status: 404, Body: said(404, "Topic doesn't exist", "NOT_FOUND")}, run.ExitFailed, stays, "accounting.ams.topics"},
		"404 project":      {broker.Fault{Times: 1, Status: 404, Body: said(404, "project doesn't exist", "NOT_FOUND")}, run.ExitFailed, stays, "accounting.ams.project"},
		"404 page":         {broker.Fault{Times: 1, Status: 404, Body: "404 page not found\n"}, run.ExitFailed, stays, "404"},
		"408":              {broker.Fault{Times: 3, Status: 408}, run.ExitUnavailable, stays, "408"},
		"409":              {broker.Fault{Times: 1, Status: 409, Body: said(409, "Subscription's topic doesn't exist", "CONFLICT")}, run.ExitFailed, stays, "409"},
		"413 once":         {broker.Fault{Times: 1, Status: 413, Body: said(413, "Message size is too large", "INVALID_ARGUMENT")}, run.ExitDone, states{"split": 1, "sent": 3}, ""},
		"413 always":       {broker.Fault{Times: 14, Status: 413, Body: said(413, "Message size is too large", "INVALID_ARGUMENT")}, run.ExitPartial, states{"split": 6, "parked": 8}, "too large"},
		"429 soon":         {broker.Fault{Times: 1, Status: 429, RetryAfter: "0"}, run.ExitDone, states{"sent": 2}, ""},
		"429 much later":   {broker.Fault{Times: 1, Status: 429, RetryAfter: "3600"}, run.ExitUnavailable, stays, "429"},
		"500 once":         {broker.Fault{Times: 1, Status: 500, Body: said(500, "Backend Error", "INTERNAL_SERVER_ERROR")}, run.ExitDone, states{"sent": 2}, ""},
		"500":              {broker.Fault{Times: 3, Status: 500, Body: said(500, "Backend Error", "INTERNAL_SERVER_ERROR")}, run.ExitUnavailable, stays, "Backend Error"},
		"502":              {broker.Fault{Times: 3, Status: 502, Body: apology}, run.ExitUnavailable, stays, "502"},
		"503":              {broker.Fault{Times: 3, Status: 503, Body: apology}, run.ExitUnavailable, stays, "503"},
		"503 empty":        {broker.Fault{Times: 3, Status: 503}, run.ExitUnavailable, stays, "503"},
		"504 once":         {broker.Fault{Times: 1, Status: 504, Body: apology}, run.ExitDone, states{"sent": 2}, ""},
		"cut before":       {broker.Fault{Times: 3}, run.ExitUnavailable, stays, "cut"},
		"cut after":        {broker.Fault{Times: 3, Store: true}, run.ExitUnavailable, stays, "cut"},
		"stored, then 504": {broker.Fault{Times: 3, Status: 504, Body: apology, Store: true}, run.ExitUnavailable, stays, "504"},
		"200 with HTML":    {broker.Fault{Times: 3, Status: 200, Body: apology, Store: true}, run.ExitUnavailable, stays, "not JSON"},
		"200 without ids":  {broker.Fault{Times: 3, Status: 200, Body: `{"messageIds": []}`}, run.ExitUnavailable, stays, "0 message ids"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newCloudBed(t, crowd(8, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			b.fed, fed.Server = fed, apelserver.New()
			b.target.Destinations = []accounting.Destination{b.broker("SITE-A")}
			b.target.Settings.MaxRecords = 4
			b.clean(b.collect(""))
			b.fed.Broker.Inject(c.fault)
			if r := b.slowly(); r.Exit() != c.exit {
				t.Errorf("exit %d, want %d: %+v", r.Exit(), c.exit, r.Problems)
			}
			if d := cmp.Diff(c.states, b.states()); d != "" {
				t.Errorf("messages by state:\n%s", d)
			}
			if c.says != "" {
				b.told(c.says)
			}
			for _, p := range b.last.Problems {
				if p.Hint == "" || p.Object == "" {
					t.Errorf("problem without object or hint: %+v", p)
				}
			}
			if _, err := accounting.Unpark(t.Context(), b.db, b.target.Site.ID, b.target.Destinations[0]); err != nil {
				t.Fatal(err)
			}
			b.arrived(way{onward: func() {}})
		})
	}
}

// TestAMSLargeMessageAnd500 shows that 500 means too large for a large message only, and that it may be there all the same.
func TestAMSLargeMessageAnd500(t *testing.T) {
	b := newBed(t, small(), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	dest := b.broker("SITE-A")
	prepare(t, dest, b.clock.now())
	for size, want := range map[int]accounting.Verdict{10_000: accounting.Unanswered, 710_000: accounting.TooLarge} {
		b.fed.Broker.Inject(broker.Fault{Times: 1, Status: 500, Body: said(500, "Backend Error", "INTERNAL_SERVER_ERROR")})
		m := accounting.Message{Name: "65ecf140/65ecf14c123450"}
		_, err := dest.Deliver(t.Context(), m, make([]byte, size))
		de, ok := errors.AsType[*accounting.DeliveryError](err)
		if !ok || de.Verdict != want || (want == accounting.TooLarge && !de.Stored) {
			t.Errorf("%d bytes: %+v", size, de)
		}
	}
}

// TestAMSTokens replaces the token at the broker: with the certificate a fresh one is fetched once; a fixed one stops the
// destination.
func TestAMSTokens(t *testing.T) {
	b := newBed(t, crowd(8, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.target.Settings.MaxRecords = 4
	b.clean(b.collect(""))
	user, old := "eu-egi-cloud-accounting---SITE-A", b.fed.Sites[0].Token
	b.target.Destinations[0] = b.brokerWith("SITE-A", func(c *accounting.AMSConfig) { c.Token = func() (string, error) { return old, nil } })
	b.fed.Broker.SetToken(user, broker.NewToken("fresh"))
	if r := b.slowly(); r.Exit() != run.ExitNotAuthorised {
		t.Errorf("exit %d", r.Exit())
	}
	b.told("destination ams", "401")
	b.target.Destinations[0] = &hooked{passing{b.broker("SITE-A")}, func() { b.fed.Broker.SetToken(user, broker.NewToken("newer")) }}
	b.clean(b.slowly()) // replaced again after the first message
	if d := cmp.Diff(map[string]int64{"sent": 2}, b.states()); d != "" {
		t.Error(d)
	}
}

// hooked calls a function after each delivery.
type hooked struct {
	passing
	after func()
}

func (h *hooked) Deliver(ctx context.Context, m accounting.Message, sealed []byte) (accounting.Receipt, error) {
	defer h.after()
	return h.passing.Deliver(ctx, m, sealed)
}

func identity(cert, key []byte) func() (smime.Identity, error) {
	return func() (smime.Identity, error) { return smime.ParseIdentity(cert, key) }
}

// TestAMSPreparesBeforeAnythingIsSent has certificates that SSM would not send with.
func TestAMSPreparesBeforeAnythingIsSent(t *testing.T) {
	b := newBed(t, crowd(2, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
	b.clean(b.collect(""))
	unknown, key, err := b.fed.CA.Issue("STRANGER", "stranger.example.org")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit func(*accounting.AMSConfig)
		now  string
		exit int
		says string
	}{
		"unknown name": {func(c *accounting.AMSConfig) { c.Identity = identity(unknown, key) }, "", run.ExitFailed, "GOCDB"},
		"no files": {func(c *accounting.AMSConfig) {
			c.Identity = func() (smime.Identity, error) { return smime.Identity{}, os.ErrNotExist }
		}, "", run.ExitFailed, "accounting.ams.certificate"},
		"other key":   {func(c *accounting.AMSConfig) { c.Identity = identity(b.fed.Sites[0].CertPEM, key) }, "", run.ExitFailed, "accounting.ams.certificate"},
		"no token":    {func(c *accounting.AMSConfig) { c.Token = func() (string, error) { return "", os.ErrNotExist } }, "", run.ExitFailed, "token_file"},
		"expired":     {nil, "2049-01-01T00:00:00Z", run.ExitFailed, "renew"},
		"nobody home": {func(c *accounting.AMSConfig) { c.Client.AuthnPort = 1 }, "", run.ExitUnavailable, "authn_port"},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.clock.set("2024-03-10T00:05:00Z")
			if c.now != "" {
				b.clock.set(c.now)
			}
			b.target.Destinations[0] = b.brokerWith("SITE-A", c.edit)
			if r := b.slowly(); r.Exit() != c.exit {
				t.Errorf("exit %d: %+v", r.Exit(), r.Problems)
			}
			b.told(c.says)
			if n := len(b.fed.Received()) + int(b.count(`SELECT count(*) FROM message`)); n != 0 {
				t.Errorf("%d messages were cut or sent", n)
			}
		})
	}
}

// TestDirqTroubles has queues that cannot be written, or read back.
func TestDirqTroubles(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string) dirq.Queue
		says  string
	}{
		"a file in its place": {func(t *testing.T, path string) dirq.Queue {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return dirq.Queue{Path: path}
		}, "mend the rights"},
		"disk full": {func(_ *testing.T, path string) dirq.Queue {
			return dirq.Queue{Path: path, Sync: func(*os.File) error { return syscall.ENOSPC }}
		}, "make room"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			path := filepath.Join(t.TempDir(), "queue")
			b.target.Destinations[0] = accounting.NewDirq("dirq", c.spoil(t, path))
			b.clean(b.collect(""))
			if r := b.slowly(); r.Exit() != run.ExitFailed {
				t.Errorf("exit %d", r.Exit())
			}
			b.told("destination dirq", c.says, path)
			if d := cmp.Diff(map[string]int64{"cut": 1}, b.states()); d != "" {
				t.Error(d)
			}
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			q := dirq.Queue{Path: path}
			b.target.Destinations[0] = accounting.NewDirq("dirq", q)
			b.clean(b.slowly())
			if err := os.Rename(path, path+".away"); err != nil { // not mounted, say: nobody has taken the element
				t.Fatal(err)
			}
			if r := b.slowly(); r.Exit() != run.ExitFailed || b.states()["sent"] != 0 {
				t.Errorf("exit %d, %v", r.Exit(), b.states())
			}
			b.told(path, "must be there")
			if err := os.Rename(path+".away", path); err != nil {
				t.Fatal(err)
			}
			bodies := empty(t, q)
			if len(bodies) != 1 || !strings.HasPrefix(string(bodies[0]), "APEL-cloud-message: v0.4\n") {
				t.Errorf("%d elements", len(bodies))
			}
			b.clean(b.slowly())
			if d := cmp.Diff(map[string]int64{"sent": 1}, b.states()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestDirqElementIsAnothers has another program write under the name of a message.
func TestDirqElementIsAnothers(t *testing.T) {
	dest := accounting.NewDirq("dirq", dirq.Queue{Path: t.TempDir()})
	name := "65ecf140/65ecf14c123450"
	for i, body := range []string{"mine", "mine", "another's"} {
		_, err := dest.Deliver(t.Context(), accounting.Message{Name: name}, []byte(body))
		if de, ok := errors.AsType[*accounting.DeliveryError](err); ok != (i == 2) || (ok && (de.Verdict != accounting.Refused || !strings.Contains(de.Hint, "own queue"))) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestDirqAnotherQueueInItsPlace has a message in a queue that is not at its path any more, but another one is: nobody
// has taken the message. It counts as sent when its own queue is back and emptied, or it goes into the present one.
func TestDirqAnotherQueueInItsPlace(t *testing.T) {
	for name, back := range map[string]bool{"its own comes back": true, "its own is lost": false} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, crowd(3, "2024-03-02"), onDisk(t), "2024-03-10T00:05:00Z", "2024-03-01")
			path := filepath.Join(t.TempDir(), "queue")
			q := dirq.Queue{Path: path}
			dest := accounting.NewDirq("dirq", q)
			b.target.Destinations[0] = dest
			b.clean(b.collect(""))
			b.clean(b.slowly())
			if n, err := accounting.Unpark(t.Context(), b.db, b.target.Site.ID, dest); n != 0 || err != nil {
				t.Errorf("in the present queue: %d given up, %v", n, err)
			}
			if err := errors.Join(os.Rename(path, path+".away"), os.Mkdir(path, 0o777)); err != nil {
				t.Fatal(err)
			}
			for range 2 { // with no mark, then with that of a queue that is used
				if r := b.slowly(); r.Exit() != run.ExitFailed || b.states()["sent"] != 0 {
					t.Errorf("exit %d, %v", r.Exit(), b.states())
				}
				b.told("another queue", path, "--retry-parked")
				if _, err := q.Mark(); err != nil {
					t.Fatal(err)
				}
			}
			if back {
				if err := errors.Join(os.RemoveAll(path), os.Rename(path+".away", path)); err != nil {
					t.Fatal(err)
				}
			} else if n, err := accounting.Unpark(t.Context(), b.db, b.target.Site.ID, dest); n != 1 || err != nil {
				t.Errorf("%d go again, %v", n, err)
			}
			b.clean(b.slowly())
			if n := len(empty(t, q)); n != 1 {
				t.Errorf("%d elements", n)
			}
			b.clean(b.slowly())
			if d := cmp.Diff(map[string]int64{"sent": 1}, b.states()); d != "" {
				t.Error(d)
			}
		})
	}
}
