package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/apel"
)

// TestWhatWaitsIsWhatTheRowsSay lets random things happen to ledger, messages and deliveries of two destinations, and compares
// after each what waits by the months that are passed over with what waits by all rows.
func TestWhatWaitsIsWhatTheRowsSay(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		seeds, steps := 5, 250
		if cfg.URL != "" {
			seeds, steps = 1, 100
		}
		passed := 0
		for seed := range seeds {
			if cfg.URL == "" {
				cfg.Path = filepath.Join(t.TempDir(), fmt.Sprint(seed))
			}
			s := newShop(t, cfg, uint64(seed))
			for n := 0; n < steps && !t.Failed(); n++ {
				s.story = append(s.story, s.happen())
				s.compare()
			}
			passed += s.passed
		}
		if passed < 20*seeds {
			t.Errorf("only %d times a month was passed over", passed)
		}
	})
}

// shop is a ledger with destinations.
type shop struct {
	t      *testing.T
	db     *store.Store
	r      *rand.Rand
	now    time.Time
	out    []outbox
	story  []string
	passed int // months that were passed over
}

var (
	shopMonths = []string{"2024-01", "2024-02", "2024-03"}
	shopClouds = []string{"cloud-a", "cloud-b"}
)

// TestAMonthIsFoundTwice: a run looks anew after it has settled what an earlier one had left. What it finds last counts, and
// months are as many as they are.
func TestAMonthIsFoundTwice(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		db, now := storetest.Open(t, cfg), time.Date(2024, 2, 2, 0, 0, 0, 0, time.UTC)
		o := outbox{destination: "d", site: "s"}
		at := whole{period: "2024-01", cloud: "c", kept: "[]"}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			var all []whole
			for _, n := range []int64{3, 1} {
				at.written = n
				all = append(all, at)
			}
			if err := o.keepWhole(tx, append(all, whole{period: "2024-02", cloud: "c", written: 7, kept: "[]"}), now); err != nil {
				return err
			}
			return written(tx, "s", "c", []string{"2024-01"})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Read(t.Context(), func(tx *store.Tx) error {
			if _, known, err := o.month(tx, cursor{period: "2024-01", cloud: "c"}, now); err != nil || !known {
				t.Errorf("%v, %v", known, err)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func newShop(t *testing.T, cfg store.Config, seed uint64) *shop {
	s := &shop{t: t, db: storetest.Open(t, cfg), r: rand.New(rand.NewPCG(seed, 5)), now: time.Date(2024, 3, 20, 0, 0, 0, 0, time.UTC)}
	for _, name := range []string{"ams", "copy"} {
		s.out = append(s.out, outbox{destination: name, site: "site-a", active: "2024-02"})
	}
	s.write(func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO accounting_start (site, since, previously, active_from) VALUES ('site-a', 0, 'nothing', 1)`)
		return err
	})
	return s
}

func (s *shop) write(fn func(tx *store.Tx) error) {
	s.t.Helper()
	err := s.db.Write(s.t.Context(), func(tx *store.Tx) error {
		if err := lockSite(tx, "site-a"); err != nil {
			return err
		}
		return fn(tx)
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) read(fn func(tx *store.Tx) error) {
	s.t.Helper()
	if err := s.db.Read(s.t.Context(), fn); err != nil {
		s.t.Fatal(err)
	}
}

// happen does one thing, and says what.
func (s *shop) happen() string {
	o := &s.out[s.r.IntN(len(s.out))]
	switch s.r.IntN(14) {
	case 0, 1:
		return s.observe()
	case 2:
		return s.revise()
	case 3, 4:
		return s.cut(*o)
	case 5, 6:
		return s.settle(*o)
	case 7:
		return s.split(*o)
	case 8:
		s.write(func(tx *store.Tx) error {
			_, err := unpark(tx, "site-a", o.destination)
			return err
		})
		return "unpark " + o.destination
	case 9:
		s.now = s.now.Add(time.Duration(s.r.IntN(1300)) * time.Second * []time.Duration{-1, 1, 1, 200}[s.r.IntN(4)])
		return "it is " + s.now.Format(time.DateTime)
	case 10:
		o.scopes = nil
		for range s.r.IntN(3) {
			o.scopes = append(o.scopes, scope{cloud: shopClouds[s.r.IntN(2)], vo: []string{"", "vo-1", "vo-2"}[s.r.IntN(3)], from: []string{"2024-02", "2024-03", never}[s.r.IntN(3)]})
		}
		o.active = shopMonths[s.r.IntN(2)]
		return fmt.Sprintf("%s gets what is of %s on, but %v", o.destination, o.active, o.scopes)
	case 11:
		return s.retain()
	default:
		return s.deliver(o)
	}
}

// observe writes rows as collecting does.
func (s *shop) observe() string {
	vm := VM{Site: "site-a", Cloud: shopClouds[s.r.IntN(2)], ID: fmt.Sprint("vm-", s.r.IntN(6)), Project: "p", UserID: "u", Seen: s.now.UnixMilli()}
	e := entry{vm: vm}
	for _, period := range shopMonths[s.r.IntN(3):] {
		row := ledgerRow{Row: Row{VM: vm.ID, Period: period, At: s.now.Unix(), VO: fmt.Sprint("vo-", 1+s.r.IntN(2))}, rev: 1, labels: "x", wall: 1}
		row.body = s.body(vm.ID, row.VO)
		row.digest = digestOf(row.body)
		if s.r.IntN(8) == 0 {
			row.parked = "something is wrong"
		}
		e.rows = append(e.rows, row)
	}
	s.write(func(tx *store.Tx) error { return (&basis{}).writeRows(tx, []entry{e}) })
	return fmt.Sprintf("observe %s of %s from %s on", vm.ID, vm.Cloud, e.rows[0].Period)
}

func (s *shop) body(vm, vo string) string {
	body, err := apel.EncodeCloudRecord(s.record(vm, vo))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

func (s *shop) record(vm, vo string) apel.CloudRecord {
	return apel.CloudRecord{VMUUID: vm, SiteName: "S", CloudComputeService: "C", FQAN: vo, Status: "started", StartTime: 1706000000, WallDuration: s.r.Int64N(1e6), CPUCount: 1}
}

// revise gives a row another text, as a late end does.
func (s *shop) revise() string {
	said := "nothing to revise"
	s.write(func(tx *store.Tx) error {
		var cloud, vm, period, vo string
		err := tx.QueryRow(`SELECT cloud, subject, period, vo FROM ledger ORDER BY length(subject || $1), subject, period LIMIT 1 OFFSET $2`, "", s.r.IntN(8)).Scan(&cloud, &vm, &period, &vo)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err == nil {
			said = "revise " + vm + " of " + cloud + ", " + period
			_, err = updateRow(tx, VM{Site: "site-a", Cloud: cloud, ID: vm, Seen: s.now.UnixMilli()}, period, s.record(vm, vo))
		}
		return err
	})
	return said
}

// cut cuts a message of the first rows that wait.
func (s *shop) cut(o outbox) string {
	said := "nothing to cut for " + o.destination
	s.write(func(tx *store.Tx) error {
		found := s.byRows(tx, o)
		records, err := o.take(tx, found[:min(len(found), 1+s.r.IntN(4))], s.now)
		if err != nil || len(records) == 0 {
			return err
		}
		m, err := compile(o.destination, "site-a", records, s.now)
		if err != nil {
			return err
		}
		m.Attempts, m.LastAttempt = 1, s.now.Unix()
		said = fmt.Sprintf("cut %d records for %s", len(records), o.destination)
		return cut(tx, &m, records, s.now)
	})
	return said
}

// open gives one of the destination's unsettled messages.
func (s *shop) open(tx *store.Tx, o outbox) (m Message, ok bool, err error) {
	all, err := unsettled(tx, o.destination, "site-a")
	if err != nil || len(all) == 0 {
		return m, false, err
	}
	m = all[s.r.IntN(len(all))]
	m.HoldUntil = []int64{0, 0, s.now.Unix() + 300, s.now.Unix() + 10_000}[s.r.IntN(4)]
	return m, true, loadBody(tx, &m)
}

func (s *shop) settle(o outbox) string {
	said := "nothing to settle at " + o.destination
	s.write(func(tx *store.Tx) error {
		m, ok, err := s.open(tx, o)
		if err != nil || !ok {
			return err
		}
		said = fmt.Sprintf("%s has got %d records, held until %d", o.destination, m.Records, m.HoldUntil)
		_, err = settle(tx, m, s.now, o.destination == "ams", store.Lease{})
		return err
	})
	return said
}

// split cuts a message in two, or parks its one record.
func (s *shop) split(o outbox) string {
	said := "nothing to split at " + o.destination
	s.write(func(tx *store.Tx) error {
		m, ok, err := s.open(tx, o)
		if err != nil || !ok {
			return err
		}
		halves, parked, err := split(tx, m, "refused", s.now)
		said = fmt.Sprintf("split for %s: %d halves, %d parked", o.destination, len(halves), len(parked))
		return err
	})
	return said
}

// retain ends the time of the oldest month, at times.
func (s *shop) retain() string {
	if s.r.IntN(6) > 0 {
		return "nothing"
	}
	d := Deps{Now: func() time.Time { return s.now }, DB: s.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("test", time.Now, nil)}
	if _, err := Retain(context.Background(), d, time.Date(2024, 2, 2, 0, 0, 0, 0, time.UTC)); err != nil {
		s.t.Fatal(err)
	}
	return "retention"
}

// deliver sends all that waits, but for what is in messages already, and looks what the destination has then, as the next
// runs do.
func (s *shop) deliver(o *outbox) string {
	s.write(func(tx *store.Tx) error {
		for {
			found, has, err := o.look(tx, cursor{}, s.now, 5)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				return o.keepWhole(tx, has, s.now)
			}
			records, err := o.take(tx, found, s.now)
			if err != nil {
				return err
			}
			m, err := compile(o.destination, "site-a", records, s.now)
			if err == nil {
				err = cut(tx, &m, records, s.now)
			}
			if err == nil {
				_, err = settle(tx, m, s.now, false, store.Lease{})
			}
			if err != nil {
				return err
			}
		}
	})
	return "all is sent to " + o.destination
}

// compare looks at each destination in both ways.
func (s *shop) compare() {
	s.t.Helper()
	for _, o := range s.out {
		var want, got []cursor
		s.read(func(tx *store.Tx) error {
			want, got = s.byRows(tx, o), nil
			for from := (cursor{}); ; {
				some, _, err := o.look(tx, from, s.now, 3)
				if err != nil {
					return err
				}
				if got = append(got, some...); len(some) < 3 {
					break
				}
				from = some[2]
			}
			for at, ok, err := o.group(tx, cursor{}); ok; at, ok, err = o.group(tx, at) {
				_, known, kerr := o.month(tx, at, s.now)
				if err := errors.Join(err, kerr); err != nil {
					return err
				}
				if known {
					s.passed++
				}
			}
			return nil
		})
		if d := cmp.Diff(want, got, cmp.AllowUnexported(cursor{})); d != "" {
			s.t.Errorf("what waits for %s (-by all rows +it): %s\nafter\n%s", o.destination, d, fmt.Sprint(s.story[max(0, len(s.story)-40):]))
		}
	}
}

// byRows finds what waits by looking at each row of the ledger.
func (s *shop) byRows(tx *store.Tx, o outbox) (found []cursor) {
	s.t.Helper()
	err := each(tx, func(rows *sql.Rows) error {
		var (
			at     cursor
			vo     string
			parked bool
			rev    int64
			had    sql.NullInt64
			hold   sql.NullInt64
			under  bool
		)
		if err := rows.Scan(&at.period, &at.cloud, &at.subject, &vo, &parked, &rev, &had, &hold, &under); err != nil {
			return err
		}
		late := had.Valid && hold.Int64 > s.now.Unix() && hold.Int64 <= s.now.Unix()+lateArrival
		if at.period >= o.active && !parked && (!had.Valid || had.Int64 < rev && !late) && !under && !o.scopes.holds(at.cloud, vo, at.period) {
			found = append(found, at)
		}
		return nil
	}, `SELECT l.period, l.cloud, l.subject, l.vo, l.parked IS NOT NULL, l.rev, d.rev, d.hold_until, EXISTS (SELECT 1 FROM message_record r JOIN message m ON m.id = r.message
			WHERE r.site = l.site AND r.kind = l.kind AND r.subject = l.subject AND r.period = l.period AND m.destination = $1 AND m.state IN ('cut', 'parked'))
		FROM ledger l LEFT JOIN delivery d ON d.destination = $1 AND d.site = l.site AND d.cloud = l.cloud AND d.kind = l.kind AND d.subject = l.subject AND d.period = l.period
		WHERE l.site = $2 ORDER BY l.period, l.cloud, l.subject`, o.destination, o.site)
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}
