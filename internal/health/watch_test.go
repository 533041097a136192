package health

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/notify"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestSettle: what a series of looks, one a minute, makes of a thing.
func TestSettle(t *testing.T) {
	look := func(s State) Item { return Item{State: s} }
	held := func(s State) Item { return Item{State: s, hold: 5 * time.Minute} }
	again := func(n int, i Item) []Item { return slices.Repeat([]Item{i}, n) }
	for name, c := range map[string]struct {
		looks []Item
		want  State
		since int // the look since which it is so
	}{
		"fine":                            {again(3, look(OK)), OK, 0},
		"one failure":                     {[]Item{look(OK), look(Fail)}, OK, 0},
		"two in a row":                    {[]Item{look(OK), look(Fail), look(Fail)}, Fail, 1},
		"bad from the first look on":      {again(2, look(Warn)), Warn, 0},
		"bad at the first look":           {again(1, look(Warn)), OK, 0},
		"every other look":                {[]Item{look(OK), look(Fail), look(OK), look(Fail), look(OK), look(Fail)}, OK, 0},
		"now worse, now less":             {[]Item{look(OK), look(Fail), look(Warn), look(Fail)}, Warn, 1},
		"worse after a warning":           {append(again(3, look(Warn)), again(2, look(Fail))...), Fail, 3},
		"must stand, and has not":         {append(again(1, look(OK)), again(5, held(Warn))...), OK, 0},
		"must stand, and has":             {append(again(1, look(OK)), again(6, held(Warn))...), Warn, 1},
		"at once":                         {[]Item{look(OK), {State: Fail, urgent: true}}, Fail, 1},
		"at once, at the first look":      {[]Item{{State: Fail, urgent: true}}, Fail, 0},
		"better for nine minutes":         {append(again(2, look(Fail)), again(10, look(OK))...), Fail, 0},
		"better for ten":                  {append(again(2, look(Fail)), again(11, look(OK))...), OK, 2},
		"better, with a relapse":          {append(append(append(again(2, look(Fail)), again(9, look(OK))...), look(Fail)), again(9, look(OK))...), Fail, 0},
		"less bad for ten":                {append(again(2, look(Fail)), again(11, look(Warn))...), Warn, 2},
		"switched off":                    {append(again(2, look(Fail)), look(Off)), Off, 2},
		"switched off, and on":            {append(again(2, look(Fail)), look(Off), look(Fail)), Off, 2},
		"on for two looks":                {append(again(2, look(Fail)), look(Off), look(Fail), look(Fail)), Fail, 3},
		"fine after it was off":           {[]Item{look(Off), look(OK)}, OK, 1},
		"in a downtime":                   {append(again(2, look(Fail)), look(InDowntime)), InDowntime, 2},
		"after a downtime":                {append(again(2, look(Fail)), look(InDowntime), look(Fail), look(Fail)), Fail, 3},
		"fine after a downtime":           {[]Item{look(InDowntime), look(OK)}, OK, 1},
		"not known":                       {append(again(2, look(Fail)), again(99, look(Unknown))...), Fail, 0},
		"not known in between":            {[]Item{look(OK), look(Fail), look(Unknown), look(Fail)}, Fail, 1},
		"not known at first":              {[]Item{look(Unknown), look(OK)}, OK, 1},
		"not known at first, then failed": {[]Item{look(Unknown), look(Fail), look(Fail)}, Fail, 1},
	} {
		var k *kept
		for n, i := range c.looks {
			next, _ := settle(k, i, noon.Add(time.Duration(n)*time.Minute))
			k = &next
		}
		if k.state != c.want || !k.since.Equal(noon.Add(time.Duration(c.since)*time.Minute)) {
			t.Errorf("%s: %s since look %d, want %s since %d", name, k.state, int(k.since.Sub(noon).Minutes()), c.want, c.since)
		}
	}
	back := kept{state: Fail, seen: OK, seenSince: noon.Add(time.Hour), seenTimes: 99}
	if k, _ := settle(&back, look(OK), noon); k.state != Fail || !k.seenSince.Equal(noon) {
		t.Errorf("a clock that went back: %+v", k)
	}
}

// TestSettleWritesSeldom: a thing that stays as it is costs no write.
func TestSettleWritesSeldom(t *testing.T) {
	for _, state := range []State{OK, Warn, Fail, Off, InDowntime, Unknown} {
		var k *kept
		writes := 0
		for n := range 100 {
			next, write := settle(k, Item{State: state, Reason: fmt.Sprint(n)}, noon.Add(time.Duration(n)*time.Minute))
			if k = &next; write {
				writes++
			}
		}
		if writes > 2 {
			t.Errorf("%s: %d writes", state, writes)
		}
	}
}

// mailbox is a channel that keeps what it gets, or fails.
type mailbox struct {
	name string
	got  []notify.Message
	err  error
}

func (m *mailbox) Name() string { return m.name }

func (m *mailbox) Send(_ context.Context, msg notify.Message) error {
	if m.err == nil {
		m.got = append(m.got, msg)
	}
	return m.err
}

// last gives the subjects that came since it was asked last.
func (m *mailbox) last() []string {
	subjects := []string{}
	for _, msg := range m.got {
		subjects = append(subjects, msg.Subject)
	}
	m.got = nil
	return subjects
}

// watching is a watcher over a store, at a site at which all is well, a look a minute.
type watching struct {
	*Watcher
	t     *testing.T
	facts Facts
	mail  *mailbox
	hook  *mailbox
}

func watch(t *testing.T, db *store.Store) *watching {
	w := &watching{t: t, facts: well(), mail: &mailbox{name: "email"}, hook: &mailbox{name: "webhook"}}
	w.facts.Tasks = nil
	w.Watcher = &Watcher{DB: db, Log: slog.New(slog.DiscardHandler), Name: "SITE-A", Channels: []notify.Channel{w.mail, w.hook}}
	return w
}

// look looks n times.
func (w *watching) look(n int) []Item {
	w.t.Helper()
	var items []Item
	for range n {
		var err error
		if items, err = w.Look(w.t.Context(), w.facts); err != nil {
			w.t.Fatal(err)
		}
		w.facts.Now = w.facts.Now.Add(time.Minute)
		w.facts.Service.Backup = w.facts.Now
	}
	return items
}

// collected sets what is said of the only check.
func (w *watching) collected(s run.CheckState, reason string) {
	w.facts.Checks[0].State, w.facts.Checks[0].Reason, w.facts.Checks[0].Remedy = s, reason, "see the last run"
}

func (w *watching) told(want ...string) {
	w.t.Helper()
	if want == nil {
		want = []string{}
	}
	for _, m := range []*mailbox{w.mail, w.hook} {
		if d := cmp.Diff(want, m.last()); d != "" {
			w.t.Errorf("%s (-want +got):\n%s", m.name, d)
		}
	}
}

// TestWatch follows a thing through failure and recovery: each channel is told once of each change.
func TestWatch(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		w := watch(t, storetest.Open(t, cfg))
		w.look(3)
		w.told()
		w.collected(run.CheckFail, "only up to yesterday")
		w.look(1)
		w.told()
		items := w.look(1)
		if len(w.mail.got) != 1 {
			t.Fatalf("%d mails", len(w.mail.got))
		}
		text := w.mail.got[0].Text
		for _, want := range []string{"FAILED: SITE-A, accounting, cloud r1: collected\n", "  only up to yesterday\n", "  → see the last run\n", "  since 2026-11-26 12:03 UTC\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		if !items[0].Since.Equal(noon.Add(3 * time.Minute)) {
			t.Errorf("since %s", items[0].Since)
		}
		w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
		w.collected(run.CheckFail, "only up to the day before yesterday")
		w.look(60)
		w.told()
		w.collected(run.CheckOK, "all")
		w.look(10)
		w.told()
		w.look(1)
		w.told("[fedsite] SITE-A: well again: accounting, cloud r1: collected")
		w.look(60)
		w.told()
		if items := w.look(1); Worst(items) != OK {
			t.Errorf("%s: %+v", Worst(items), items)
		}
	})
}

// TestWatchSurvivesARestart: another process goes on where the last one was.
func TestWatchSurvivesARestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db := storetest.Open(t, cfg)
		w := watch(t, db)
		w.collected(run.CheckFail, "late")
		w.look(1)
		facts := w.facts
		w = watch(t, db)
		w.facts = facts
		w.look(1)
		w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
		facts = w.facts
		w = watch(t, db)
		w.facts = facts
		w.look(2)
		w.told()
		items := Assess(w.facts)
		if err := Since(t.Context(), db, items); err != nil || !items[0].Since.Equal(noon) {
			t.Errorf("since %s, %v", items[0].Since, err)
		}
	})
}

// TestWatchTellsAgain: what one channel did not take is told to it again, and not to the other; that it was not is told, too.
func TestWatchTellsAgain(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.look(1)
	w.mail.err = errors.New("e-mail: mail.example.org:25: connection refused")
	w.collected(run.CheckWarn, "late")
	items := w.look(3)
	if got := w.hook.last(); !slices.Equal(got, []string{"[fedsite] SITE-A: warning: accounting, cloud r1: collected"}) {
		t.Errorf("the other channel: %q", got)
	}
	if got := said(items); len(got) != 2 || !strings.HasPrefix(got[0], "warn service messages: could not be delivered: e-mail: mail.example.org:25: connection refused") {
		t.Errorf("%q", got)
	}
	w.look(1)
	if got := w.hook.last(); !slices.Equal(got, []string{"[fedsite] SITE-A: warning: service: messages"}) {
		t.Errorf("the other channel: %q", got)
	}
	w.mail.err = nil
	w.look(1)
	if got := w.mail.last(); !slices.Equal(got, []string{"[fedsite] SITE-A: 2 warnings"}) {
		t.Errorf("%q", got)
	}
	w.look(11)
	w.told("[fedsite] SITE-A: well again: service: messages")
	if w.Untold() != nil {
		t.Errorf("%q", w.Untold())
	}
}

// TestWatchMutes: nothing is told of what is muted; when the mute ends it is told again, though it was told before.
func TestWatchMutes(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.collected(run.CheckFail, "late")
	w.look(2)
	w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
	w.facts.Mutes = []Mute{{Part: "accounting", Until: w.facts.Now.Add(30 * time.Minute), Reason: "Keystone moves"}}
	items := w.look(30)
	w.told()
	if i := slices.IndexFunc(items, func(i Item) bool { return i.Name == "collected" }); items[i].State != Off || items[i].Behind != Fail {
		t.Errorf("%+v", items[i])
	}
	w.look(2)
	w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
	w.facts.Mutes[0].Until = w.facts.Now.Add(time.Hour)
	w.look(1)
	w.collected(run.CheckOK, "all")
	w.look(80)
	w.told()
}

// TestWatchWhatGoes: a thing that is not there any more is better when that has held; with a part that was switched off it
// goes without a word.
func TestWatchWhatGoes(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.facts.Checks = append(w.facts.Checks, run.Check{Part: "accounting", Site: "SITE-A", Cloud: "r1", Name: "held", Object: "project 1", State: run.CheckFail, Reason: "8 of 8 gone", Stored: true},
		run.Check{Part: "accounting", Site: "SITE-A", Name: "parked", State: run.CheckWarn, Reason: "3 records", Stored: true})
	w.look(2)
	w.told("[fedsite] SITE-A: 1 failed, 1 warning")
	all := w.facts.Checks
	w.facts.Checks = slices.Clone(all[:1])
	w.look(5)
	w.told()
	w.facts.Checks = all[:2]
	w.look(1)
	w.facts.Checks = slices.Clone(all[:1])
	w.look(6) // the one that was away all the time
	w.told("[fedsite] SITE-A: well again: accounting: parked")
	w.look(4)
	w.told()
	w.look(1)
	w.told("[fedsite] SITE-A: well again: accounting, cloud r1: held, project 1")
	w.collected(run.CheckFail, "late")
	w.look(2)
	w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
	w.facts.Sites[0].Modes[0].Off = true
	w.look(60)
	w.told()
	n := 0
	if err := w.DB.Read(t.Context(), func(tx *store.Tx) error { return tx.QueryRow(`SELECT count(*) FROM health_told`).Scan(&n) }); err != nil || n != 0 {
		t.Errorf("%d rows are left, %v", n, err)
	}
}

// TestCertificatesAreUrgent: that one has ended is told at the first look.
func TestCertificatesAreUrgent(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.look(1)
	w.facts.Checks = append(w.facts.Checks, run.Check{Part: "accounting", Site: "SITE-A", Name: "certificate", Object: "host certificate", State: run.CheckFail, Reason: "expired", Stored: true})
	w.look(1)
	w.told("[fedsite] SITE-A: FAILED: accounting: certificate, host certificate")
}

// TestHeartbeat: the sign of life comes as long as nothing has failed.
func TestHeartbeat(t *testing.T) {
	status, n := http.StatusOK, 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n++; w.WriteHeader(status) }))
	defer srv.Close()
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.Heartbeat = &notify.Heartbeat{HTTP: srv.Client(), URL: func() (string, error) { return srv.URL + "/secret", nil }}
	beats := func(looks int) int {
		n = 0
		w.look(looks)
		return n
	}
	if got := beats(3); got != 3 {
		t.Errorf("well: %d", got)
	}
	w.collected(run.CheckWarn, "late")
	if got := beats(3); got != 3 {
		t.Errorf("a warning: %d", got)
	}
	w.collected(run.CheckFail, "very late")
	if got := beats(5); got != 1 {
		t.Errorf("failed at the second look: %d", got)
	}
	w.facts.Mutes = []Mute{{Until: w.facts.Now.Add(time.Hour)}}
	if got := beats(2); got != 2 {
		t.Errorf("muted: %d", got)
	}
	status = http.StatusInternalServerError
	if items := w.look(2); len(said(items)) != 2 || w.Untold() == nil || strings.Contains(w.Untold()[0], "secret") {
		t.Errorf("refused: %q, %q", said(items), w.Untold())
	}
	w.facts.Service.Beat = time.Hour
	w.facts.Mutes = nil
	status = http.StatusOK
	w.look(2)
	if got := beats(3); got != 0 {
		t.Errorf("a stuck scheduler: %d", got)
	}
}

// TestMailOfTheManual: a message is what docs/how-to/alerts.md shows.
func TestMailOfTheManual(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "how-to", "alerts.md"))
	if err != nil {
		t.Fatal(err)
	}
	i := Item{Part: "accounting", SiteID: "example-cloud-3f9a2c71", Site: "EXAMPLE-CLOUD", Cloud: "r1", Name: "role", Object: "project 77d0a1", State: Fail,
		Reason: "VO vo.new.eu: the credential has no role on this project, or it does not exist", Remedy: "openstack role add --user fedsite-reader --project 77d0a1 reader",
		Since: time.Date(2026, 11, 23, 12, 40, 0, 0, time.UTC)}
	m := (&Watcher{Name: "EXAMPLE-CLOUD"}).change([]Change{{i, OK}}, noon)
	if want := "```text\nSubject: " + m.Subject + "\n\n" + m.Text + "```\n"; !strings.Contains(string(page), want) {
		t.Errorf("the page does not show:\n%s", want)
	}
}

// TestDigest: the daily message has what is bad, what is off, and how much is well.
func TestDigest(t *testing.T) {
	f := well()
	m := Digest("SITE-A", Assess(f), noon)
	if m.Kind != KindDigest || m.Subject != "[fedsite] SITE-A: all is well (daily)" || m.Text != "Well: 10, on 2026-11-26 12:00 UTC.\n" {
		t.Errorf("%q: %q", m.Subject, m.Text)
	}
	f.Checks[0].State, f.Checks[0].Reason, f.Checks[0].Remedy = run.CheckFail, "late", "look"
	f.Tasks[0].PausedUntil = noon.Add(time.Hour)
	f.Service.Untold = []string{"e-mail: refused"}
	want := `FAILED: SITE-A, accounting, cloud r1: collected
  late
  → look

warning: service: messages
  could not be delivered: e-mail: refused
  → check notify: in the configuration; it is tried again every minute

Off:
  SITE-A, accounting: problems of accounting.collect: paused until 2026-11-26 13:00 UTC
  SITE-A, accounting: task accounting.collect: paused until 2026-11-26 13:00 UTC

`
	if m = Digest("SITE-A", Assess(f), noon); m.Subject != "[fedsite] SITE-A: 1 failed, 1 warning (daily)" || !strings.HasPrefix(m.Text, want) {
		t.Errorf("%q (-want +got):\n%s", m.Subject, cmp.Diff(want, m.Text))
	}
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.mail.err = errors.New("refused")
	if err := w.Send(t.Context(), m); err == nil || len(w.hook.got) != 1 || w.Untold() == nil {
		t.Errorf("%v, %d", err, len(w.hook.got))
	}
}

// TestWatchWithoutStore: a store that is gone is said, and nothing is told twice for it.
func TestWatchWithoutStore(t *testing.T) {
	w := watch(t, storetest.Open(t, sqlite(t)))
	w.collected(run.CheckFail, "late")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		items, err := w.Look(ctx, w.facts)
		if err == nil || len(said(items)) != 1 {
			t.Errorf("%v, %q", err, said(items))
		}
	}
	w.told()
	w.look(2)
	w.told("[fedsite] SITE-A: FAILED: accounting, cloud r1: collected")
}

// sqlite is the store where the kind of database makes no difference.
func sqlite(t *testing.T) store.Config { return store.Config{Path: t.TempDir() + "/fedsite.db"} }
