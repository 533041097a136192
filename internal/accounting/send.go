package accounting

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/transport"
)

// Sending says how Send goes about it.
type Sending struct {
	To       string        // only this destination; "" = all
	Parallel int           // messages on their way at once, per destination
	Attempts int           // tries of one message in one run
	Base     time.Duration // the first back-off; it grows fourfold each time, with jitter
	GoActive bool          // somebody has seen what goes first, and wants it sent; asked for once (design §4, Modes)
}

// spare is how many bytes a signed copy must stay below a destination's limit: the next signature may be longer.
const spare = 16_000

// restamp is how long after it was cut, in seconds, a message may begin its first attempt without a new stamp.
const restamp = 30

// Send delivers to each destination what it has not got. A site that is not active sends nothing.
func Send(ctx context.Context, d Deps, t *Target, how Sending) error {
	if err := tellLeft(ctx, d, t); err != nil {
		return fmt.Errorf("clean-ups of site %s: %w", t.Site.Name, err)
	}
	if t.Settings.Mode != site.Active {
		d.Run.Problem(run.Problem{Site: t.Site.Name, Object: "accounting", Step: "send", Notice: true,
			Reason: fmt.Sprintf("mode is %s: nothing is cut or sent", t.Settings.Mode), Hint: "fedsite accounting send --dry-run shows what would go; set accounting.mode: active to send"})
		return nil
	}
	d.Run.Step("send")
	start, err := stored(ctx, d, t)
	if err != nil {
		return fmt.Errorf("start of site %s: %w", t.Site.Name, err)
	}
	if p, err := lost(d, t, start); err != nil {
		return err
	} else if p != nil {
		d.Run.Fail(*p)
		return nil
	}
	if p := t.unready(start); p != nil {
		d.Run.Fail(*p)
		return nil
	}
	if start.Undecided() && !how.GoActive {
		d.Run.Fail(t.undecided())
		return nil
	}
	if start, err = goActive(ctx, d, t); err != nil {
		return fmt.Errorf("start of site %s: %w", t.Site.Name, err)
	}
	in, err := keepScopes(ctx, d, t, start)
	if err != nil {
		return fmt.Errorf("modes of site %s: %w", t.Site.Name, err)
	}
	if p := start.otherMonth(t); p != nil {
		d.Run.Problem(*p)
	}
	if err := tellHeld(ctx, d, t); err != nil {
		return fmt.Errorf("held projects of site %s: %w", t.Site.Name, err)
	}
	for _, dest := range t.Destinations {
		if how.To != "" && how.To != dest.Name() {
			continue
		}
		s := &sender{d: d, t: t, dest: dest, how: how, start: start, out: t.queueFor(dest, start, in)}
		if err := s.tracked(ctx); err != nil {
			return err
		}
	}
	return nil
}

// undecided says that nobody has agreed yet to what goes first.
func (t *Target) undecided() run.Problem {
	return run.Problem{Site: t.Site.Name, Object: "accounting", Step: "send", Permanent: true,
		Reason: "mode is active, and nobody has seen yet what will be sent first: nothing is sent",
		Hint:   "fedsite accounting send shows it and asks; with --yes it only sends"}
}

// unready tells what must be said, or done, before anything may be sent: what went before (the durations depend on it),
// a collection with these words, and which of several destinations is the one, because two ways to one server have no
// order (design §7, rule 13).
func (t *Target) unready(have Start) *run.Problem {
	p := run.Problem{Site: t.Site.Name, Object: "accounting", Step: "send", Permanent: true}
	if t.Settings.Previously == "" {
		p.Reason, p.Hint = "nothing is sent before accounting.previously is said", "set it to caso, if cASO sent this site's records until now, else to nothing"
		return &p
	}
	if have.outdated(t.Settings) {
		p.Reason, p.Hint = "accounting.since or accounting.previously changed, and nothing was collected from the new start yet", "fedsite accounting collect"
		return &p
	}
	if from := t.Settings.ActiveFrom; t.Settings.Previously == Nothing && have.Since != 0 && have.ActiveFrom == 0 && !from.IsZero() && Period(from.Unix()) != Period(have.Since) {
		p.Reason = fmt.Sprintf("nothing sent this site's records before (accounting.previously), so the month of active_from, %s, would be charged with all use since %s", Period(from.Unix()), unix(have.Since))
		p.Hint = "leave accounting.active_from out to send from that month on, or set accounting.since to the same day: what was collected is then forgotten, and collected again from there"
		return &p
	}
	var real []string
	for _, dest := range t.Destinations {
		if !t.copies(dest.Name()) {
			real = append(real, dest.Name())
		}
	}
	if len(real) > 1 {
		p.Reason, p.Hint = fmt.Sprintf("%s all lead to the accounting server, and nothing says which comes last: nothing is sent", strings.Join(real, " and ")),
			"keep one destination, and say copy: true of the others"
		return &p
	}
	return nil
}

// sender delivers to one destination in one run.
type sender struct {
	d    Deps
	t    *Target
	dest Destination
	how  Sending

	start   Start
	windows []ArchivedWindow // what was collected when the run began

	mu      sync.Mutex
	old     []Message // unsettled ones of earlier runs
	out     queue
	stopped bool
	why     string // it was stopped
	took    int64  // when something was settled last, unix seconds
	went    bool   // something was cut, or settled
}

func (s *sender) problem(object string, err error, p run.Problem) {
	p.Site, p.Object, p.Step, p.Reason = s.t.Site.Name, object, "send", err.Error()
	s.d.Run.Problem(p)
}

// stop ends the work for this destination: what was said of it is true for every message.
func (s *sender) stop(object string, err error) {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	if first {
		s.why = err.Error()
	}
	s.mu.Unlock()
	if !first {
		return
	}
	s.d.Run.Fail(s.t.stopped(object, err))
}

// stopped is the problem of a destination that could not go on.
func (t *Target) stopped(object string, err error) run.Problem {
	p := run.Problem{Site: t.Site.Name, Object: object, Step: "send", Reason: err.Error()}
	if de, ok := errors.AsType[*DeliveryError](err); ok {
		p.Hint, p.Exit, p.Permanent = de.Hint, de.Exit, de.Verdict == Refused
	}
	return p
}

func (s *sender) halted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

func (s *sender) run(ctx context.Context) error {
	object := "destination " + s.dest.Name()
	if p, ok := s.dest.(Preparer); ok {
		if err := p.Prepare(ctx, s.d.Now()); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			s.stop(object, err)
			return nil
		}
	}
	err := s.d.DB.Read(ctx, func(tx *store.Tx) (err error) {
		s.old, err = unsettled(tx, s.dest.Name(), s.t.Site.ID)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.survey(ctx); err != nil {
		if _, ok := errors.AsType[*DeliveryError](err); ok {
			s.stop(object, err)
			return nil
		}
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	for range max(s.how.Parallel, 1) {
		group.Go(func() error {
			for {
				m, ok, err := s.next(gctx)
				if err != nil || !ok {
					return err
				}
				if err := s.deliver(gctx, m); err != nil {
					return err
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.mark(ctx)
	if len(s.out.has) > 0 {
		if err := s.d.DB.Write(ctx, func(tx *store.Tx) error { return s.out.keepWhole(tx, s.out.has, s.d.Now()) }); err != nil {
			return err
		}
	}
	return s.d.DB.Read(ctx, func(tx *store.Tx) error { return s.out.tellHeld(tx, s.d) })
}

// next gives the next message: an unsettled one of an earlier run, else one that is cut now.
func (s *sender) next(ctx context.Context) (Message, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || ctx.Err() != nil {
		return Message{}, false, context.Cause(ctx)
	}
	if len(s.old) > 0 {
		m := s.old[0]
		s.old = s.old[1:]
		return m, true, nil
	}
	for {
		found, err := s.out.next(reading(ctx, s.d.DB), s.d.Now())
		if err != nil || len(found) == 0 {
			return Message{}, false, err
		}
		m, err := s.cut(ctx, found)
		if err != nil {
			return Message{}, false, fmt.Errorf("cut a message for %s: %w", s.dest.Name(), err)
		}
		if m.ID != "" { // else not one waits any more
			s.went = true
			s.d.Run.Count("messages_cut", 1)
			return m, true, nil
		}
	}
}

// cut makes a message of those of the rows that still wait.
func (s *sender) cut(ctx context.Context, found []cursor) (m Message, err error) {
	err = s.d.DB.Write(ctx, func(tx *store.Tx) error {
		m = Message{}
		if err := lockSite(tx, s.t.Site.ID); err != nil {
			return err
		}
		if start, _, err := startOf(tx, s.t.Site.ID); err != nil || Period(start.ActiveFrom) != s.out.active {
			return err // what was collected is being forgotten, for another start
		}
		now := s.d.Now()
		records, err := s.out.take(tx, found, now)
		if err != nil || len(records) == 0 {
			return err
		}
		if m, err = compile(s.dest.Name(), s.t.Site.ID, records, now); err != nil {
			return err
		}
		m.Attempts, m.LastAttempt = 1, now.Unix()
		if err := cut(tx, &m, records, now); err != nil || s.t.copies(s.dest.Name()) {
			return err
		}
		return noteCut(tx, m.ID)
	})
	return m, err
}

// deliver brings one message to an end for this run: settled, queued, split and its halves delivered, parked, or left
// unsettled with the destination stopped.
func (s *sender) deliver(ctx context.Context, m Message) error {
	if s.halted() {
		return nil
	}
	if m.Written {
		gone, err := s.dest.Gone(ctx, m)
		if err != nil {
			s.stop("message "+m.Name, err)
			return nil
		}
		if gone {
			return s.settled(ctx, m)
		}
		s.d.Run.Count("messages_waiting_in_queue", 1)
		return nil
	}
	if m.resumed {
		err := s.list(ctx, &m)
		if errors.Is(err, sql.ErrNoRows) {
			return nil // settled by somebody else
		}
		if err != nil {
			return fmt.Errorf("read message %s: %w", m.Name, err)
		}
	}
	if err := s.hold(m); err != nil {
		return s.failed(ctx, m, err)
	}
	fresh := !m.resumed && m.Attempts == 1 && s.d.Now().Unix()-m.LastAttempt <= restamp
	for try := 1; ; try++ {
		sealed, err := s.seal(m)
		if err != nil {
			return s.failed(ctx, m, err)
		}
		if !fresh {
			if err := attempt(ctx, s.d.DB, &m, s.d.Now().Unix()); err != nil {
				return err
			}
		}
		fresh = false
		for s.d.Now().Unix()-m.LastAttempt > lateArrival/2 { // frozen meanwhile: it could arrive after the hold
			if err := attempt(ctx, s.d.DB, &m, s.d.Now().Unix()); err != nil {
				return err
			}
		}
		receipt, err := s.dest.Deliver(ctx, m, sealed)
		if err == nil {
			m.Remote = receipt.Remote
			s.d.Run.Count("bytes_sent", int64(len(sealed)))
			if receipt.Queued {
				s.d.Run.Count("messages_queued", 1)
				return s.d.DB.Write(ctx, func(tx *store.Tx) error { return queued(tx, m) })
			}
			return s.settled(ctx, m)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if wait, again := s.again(err, try); again {
			s.d.Run.Count("attempts_repeated", 1)
			if err := transport.Sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		return s.failed(ctx, m, err)
	}
}

// seal signs, and encrypts, the body with the certificate of the day, and checks the size of the result.
func (s *sender) seal(m Message) ([]byte, error) {
	sealed, err := s.dest.Seal(m, s.d.Now())
	if err != nil {
		return nil, err
	}
	if limit := s.dest.MaxBytes(); limit > 0 && len(sealed)+spare > limit {
		return nil, &DeliveryError{Verdict: TooLarge, Err: fmt.Errorf("%d bytes signed, the limit of %s is %d with %d to spare", len(sealed), s.dest.Name(), limit, spare)}
	}
	return sealed, nil
}

// again tells whether, and after how long, a delivery is tried once more in this run.
func (s *sender) again(err error, try int) (time.Duration, bool) {
	de, ok := errors.AsType[*DeliveryError](err)
	if !ok || try >= s.how.Attempts || (de.Verdict != Unanswered && de.Verdict != Busy) || de.RetryAfter > time.Minute {
		return 0, false
	}
	wait := s.how.Base
	for range try - 1 {
		wait *= 4
	}
	if wait > 0 {
		wait = wait/2 + rand.N(wait)
	}
	return max(wait, de.RetryAfter), true
}

// failed decides what a message that did not go means: cut in two, or the destination stops and the message stays.
func (s *sender) failed(ctx context.Context, m Message, err error) error {
	de, ok := errors.AsType[*DeliveryError](err)
	if ok && (de.Verdict == Unanswered || de.Stored) {
		m.HoldUntil = max(m.HoldUntil, m.LastAttempt+lateArrival)
	}
	if ok && (de.Verdict == TooLarge || de.Verdict == BadBody) {
		return s.split(ctx, m, de)
	}
	werr := s.d.DB.Write(ctx, func(tx *store.Tx) error { return blamed(tx, m, err.Error()) })
	s.stop("destination "+s.dest.Name(), err)
	return werr
}

// split cuts the message in two and delivers the halves; a single record is parked.
func (s *sender) split(ctx context.Context, m Message, why *DeliveryError) error {
	var (
		halves []Message
		parked []waiting
	)
	err := s.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
		halves, parked, err = split(tx, m, why.Error(), s.d.Now())
		return err
	})
	if err != nil {
		return fmt.Errorf("split message %s: %w", m.Name, err)
	}
	if len(halves) > 0 {
		s.drop(m.ID)
	}
	for _, w := range parked {
		s.d.Run.Count("records_parked", 1)
		s.problem(fmt.Sprintf("record of VM %s, %s", w.subject, w.period), why, run.Problem{Permanent: true,
			Hint: "its other months go on; when the cause is gone: fedsite accounting send --retry-parked"})
	}
	if len(halves) > 0 {
		s.d.Run.Count("messages_split", 1)
	}
	for _, h := range halves {
		if err := s.deliver(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

func (s *sender) settled(ctx context.Context, m Message) error {
	if err := s.keep(ctx, m); err != nil {
		if _, ok := errors.AsType[*DeliveryError](err); ok {
			return s.failed(ctx, m, err)
		}
		return err
	}
	var left []cleanUp
	me, _ := store.LeaseFrom(ctx)
	err := s.d.DB.Write(ctx, func(tx *store.Tx) (err error) {
		left, err = settle(tx, m, s.d.Now(), !s.t.copies(s.dest.Name()), me)
		return err
	})
	if err != nil {
		return fmt.Errorf("settle message %s: %w", m.Name, err)
	}
	for _, c := range left {
		s.d.Run.Problem(c.problem(s.t.Site.Name))
	}
	s.drop(m.ID)
	s.mu.Lock()
	s.went = true
	s.took = s.d.Now().Unix()
	if s.out.end = false; m.resumed { // newer revisions of its records may have waited for it
		s.out.at = cursor{}
	}
	s.mu.Unlock()
	s.d.Run.Count("messages_sent", 1)
	s.d.Run.Count("records_sent", int64(m.Records))
	s.d.Log.Debug("sent", "destination", s.dest.Name(), "message", m.Name, "remote_id", m.Remote, "records", m.Records)
	return nil
}
