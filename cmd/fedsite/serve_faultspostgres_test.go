package main

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/internal/tasks"
)

// outageEnv is how long PostgreSQL is away in TestServeWithoutPostgres, with the contract's real times; without it, longer
// than a lease that is five times as short.
const outageEnv = "FEDSITE_OUTAGE"

// TestServeWithoutPostgres: PostgreSQL is stopped while a collection and messages are under way, for longer than a lease,
// and started again. The service stays, says what is wrong, and goes on by itself. What was written stays, and what was
// not comes again: the accounting server ends with the truth, and only messages that were not settled came twice.
func TestServeWithoutPostgres(t *testing.T) {
	t.Parallel()
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
	under := b.amid(s)

	since := len(s.Said())
	must(t, srv.Stop())
	under.answer.release()
	under.listing.release()
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
	b.ended(under.unsettled)
}

// link is a way to PostgreSQL. Cut, it takes connections and bytes and passes none on, as a network does that loses
// packets; mended, it passes on what it has.
type link struct {
	listener net.Listener
	mu       sync.Mutex
	mended   *sync.Cond
	cut      bool
	ends     []net.Conn
}

// newLink makes a link to a socket.
func newLink(t *testing.T, socket string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &link{listener: listener}
	l.mended = sync.NewCond(&l.mu)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", socket)
			if err != nil {
				_ = near.Close()
				continue
			}
			l.mu.Lock()
			l.ends = append(l.ends, near, far)
			l.mu.Unlock()
			go l.carry(near, far)
			go l.carry(far, near)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		l.set(false)
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.ends {
			_ = c.Close()
		}
	})
	return l
}

// carry passes on what comes from one end, and its close.
func (l *link) carry(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		for l.cut {
			l.mended.Wait()
		}
		l.mu.Unlock()
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// set cuts the link, or mends it.
func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	l.mended.Broadcast()
}

// url is a database's URL by way of the link.
func (l *link) url(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	must(t, err)
	return fmt.Sprintf("postgres://fedsite@%s%s?sslmode=disable", l.listener.Addr(), u.Path)
}

// moments are when something happened, and may be asked for.
type moments struct {
	mu  sync.Mutex
	all []time.Time
}

func (m *moments) note() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all = append(m.all, time.Now())
}

func (m *moments) get() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.all)
}

// TestServeCutOff: of two nodes, one that collects and has messages under way is cut off from PostgreSQL; nothing is
// refused, there is just no answer. It gives its runs up before the other one begins them, and says what is wrong. When it
// can reach the database again it goes on. The accounting server ends with the truth, and nothing ran twice at once.
func TestServeCutOff(t *testing.T) {
	t.Parallel()
	const hurry = 4 // a lease of 11 s, of which the last one is to spare
	srv := storetest.Own(t)
	database := srv.Database(t)
	way := newLink(t, srv.Socket())
	b := newSickbed(t, database)
	far := b.serve(b.node("far", database, way.url(t, database), b.state(), b.state()+"-far"), hurry)
	must(t, far.Start())
	b.later(6*time.Hour, far)
	under := b.amid(far)
	near := b.serve(b.ConfigFile(), hurry)
	must(t, near.Start())

	since := len(far.Said())
	way.set(true)
	cut := time.Now()
	var given, begun moments
	for _, r := range under.requests {
		go func() {
			<-r.Context().Done()
			given.note()
		}()
	}
	under.answer.pass()
	under.listing.pass()
	notes := faults.Fault{Fits: func(r *http.Request) bool {
		if isListing(r) || isMessage(r) {
			begun.note()
		}
		return false
	}}
	b.Disturb(notes)
	b.Federation.Faults.Add(notes)
	type reply struct {
		status int
		body   string
	}
	ready := make(chan reply, 1)
	go func() { status, body := b.get(far, "/readyz"); ready <- reply{status, body} }()

	for _, kind := range []string{"accounting.collect", "accounting.send"} {
		b.until(kind+" is the other node's", func() bool { return slices.Equal(b.processes(kind, 2), []int{far.Process(), near.Process()}) })
	}
	b.until("the node has given its runs up", func() bool { return len(given.get()) == len(under.requests) })
	b.until("the other node asks", func() bool { return len(begun.get()) > 0 })
	last, first := given.get()[len(under.requests)-1], begun.get()
	if !last.Before(first[0]) || last.Sub(cut) > tasks.LeaseTime/hurry {
		t.Errorf("cut off, its runs went on for %v; the other node began after %v", last.Sub(cut), first[0].Sub(cut))
	}
	if r := <-ready; r.status != 503 || !strings.Contains(r.body, "the database does not answer") {
		t.Errorf("readyz: %+v", r)
	}
	b.answers(far, "/healthz", 200, "ok")
	b.says(far, since, "cannot look for tasks that are due", store.Hint(store.ErrUnavailable))

	way.set(false)
	b.says(far, since, "can be looked for again", "a run ended after its task went to another process")
	b.answers(far, "/readyz", 200, "ok")
	b.later(2*time.Hour, far, near)
	b.stop(near)
	b.later(2*time.Hour, far)
	for _, kind := range []string{"accounting.collect", "accounting.send"} {
		if got := b.processes(kind, 1); !slices.Equal(got, []int{far.Process()}) {
			t.Errorf("%s was run by %v, the node that was cut off is %d", kind, got, far.Process())
		}
		if got := b.outcomes(kind); !slices.Contains(got, tasks.Abandoned) {
			t.Errorf("%s: no run was taken over: %v", kind, got)
		}
	}
	b.stop(far)
	b.ended(under.unsettled)
}

// processes gives who ran a task the last times, oldest first.
func (b *sickbed) processes(kind string, last int) []int {
	b.t.Helper()
	runs, err := tasks.History(b.t.Context(), b.st, nameOf(b.t, b.st, kind), last)
	must(b.t, err)
	var all []int
	for _, r := range slices.Backward(runs) {
		owner := strings.Split(r.Owner, "/")
		var process int
		if len(owner) > 1 {
			_, _ = fmt.Sscan(owner[len(owner)-2], &process) // node/process/random
		}
		all = append(all, process)
	}
	return all
}
