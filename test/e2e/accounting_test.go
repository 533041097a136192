//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/federation"
)

// Destinations, as the ledger names them.
const (
	queue  = "dirq"
	broker = "ams"
)

// TestAccounting follows the servers of a real cloud to the directory queue and to the broker, and again after they
// changed.
func TestAccounting(t *testing.T) {
	l := findLab(t)
	s := newStage(t, l)
	step := func(name string, fn func(t *testing.T)) {
		if !t.Run(name, fn) {
			t.FailNow() // the next steps build on it
		}
	}
	s.start()
	step("records equal the database", func(t *testing.T) { s.compare(t) })
	step("seeded servers have what their names say", func(t *testing.T) { s.hold(t) })
	step("queue is emptied by dirq", func(t *testing.T) { s.empty(t) })
	step("messages verify with openssl", func(t *testing.T) { s.receive(t) })
	s.change()
	step("changed records equal the database", func(t *testing.T) { s.compare(t) })
	step("own servers changed", func(t *testing.T) { s.changes(t) })
	step("a flavor that was not seen is reported", func(t *testing.T) { s.wavers(t) })
	step("changes are queued", func(t *testing.T) { s.empty(t) })
	step("changes are sent", func(t *testing.T) { s.receive(t) })
	step("nothing is left to send", func(t *testing.T) { s.quiet(t) })
}

// stage is what the steps share.
type stage struct {
	t          *testing.T
	l          *lab
	program    string
	version    string
	since      time.Time
	federation *federation.Federation
	ca         string // file

	reader *site // a reader's credential, to a directory queue
	admin  *site // an administrator's, to the broker
	plain  *site // a member's without a role on the system, to a directory queue that is never read
	queue  string

	free *site // a reader's, that does not charge for stopped and shelved servers

	own          map[string]string // servers by name
	to           time.Time
	problems     string // of the latest collection
	first        map[string]sight
	read         int            // messages already read at the broker
	queued, sent map[key]string // what the destinations have got so far
}

func newStage(t *testing.T, l *lab) *stage {
	s := &stage{t: t, l: l, program: build(t), since: time.Now().UTC().AddDate(0, -1, 0), first: map[string]sight{}, queued: map[key]string{}, sent: map[key]string{}}
	var err error
	if s.federation, err = federation.Start("127.0.0.1", time.Now, siteName); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.federation.Close() })
	dir := t.TempDir()
	s.queue, s.ca = filepath.Join(dir, "outgoing"), filepath.Join(dir, "ca.pem")
	cert, hostKey := filepath.Join(dir, "hostcert.pem"), filepath.Join(dir, "hostkey.pem")
	host := s.federation.Sites[0]
	for file, data := range map[string][]byte{s.ca: s.federation.CA.PEM, cert: host.CertPEM, hostKey: host.KeyPEM} {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ams := fmt.Sprintf("ams: {host: 127.0.0.1, port: %d, authn_port: %d, project: %s, topics: {cloud: %s}, certificate: {cert: %s, key: %s}, network: {ca_file: %s}}",
		s.federation.Port, s.federation.AuthnPort, federation.Project, federation.CloudTopic, cert, hostKey, s.ca)
	s.reader = newSite(t, s.program, s.since, l.entry("accounting@vo-ops"), "dirq: {path: "+s.queue+"}")
	s.admin = newSite(t, s.program, s.since, l.entry("admin@vo-ops"), ams)
	s.plain = newSite(t, s.program, s.since, l.entry("image-sync@vo-ops"), "dirq: {path: "+filepath.Join(dir, "unread")+"}")
	s.free = newSite(t, s.program, s.since, l.entry("accounting@vo-ops"), "dirq: {path: "+filepath.Join(dir, "free")+"}")
	s.free.replace(t, "  settle:", "  charge: {stopped: none, shelved: none}\n  settle:")
	out, _ := s.reader.call(t, 0, "version")
	s.version = strings.TrimPrefix(strings.TrimSpace(out), "fedsite ")
	return s
}

// start gives the lab a past and some servers of our own, and collects up to the present.
func (s *stage) start() {
	s.l.history(s.t)
	s.own = s.l.born(s.t)
	s.l.live(s.t, s.own, func(one life) []string { return one.before })
	s.collect()
	s.plain.collect(s.t, 0, s.to)
}

// change goes on with the servers' lives, makes another one, and collects again.
func (s *stage) change() {
	s.l.live(s.t, s.own, func(one life) []string { return one.between })
	s.l.boot(s.t, "e2e-late")
	s.collect()
}

// collect waits until the present is old enough to be collected, and collects up to it, by two credentials.
func (s *stage) collect() {
	s.to = time.Now().Truncate(time.Second).Add(time.Second)
	waitFor(s.t, s.to.Add(settle+time.Second))
	s.problems = s.reader.collect(s.t, 0, s.to)
	s.free.collect(s.t, 0, s.to)
	// An administrator also sees his own project, which belongs to no VO: partly done.
	if out := s.admin.collect(s.t, 3, s.to); strings.Count(out, "warn") != 1 || !strings.Contains(out, "(admin): belongs to no VO: skipped") {
		s.t.Errorf("an administrator's collection should warn of his own project, and of nothing else:\n%s", out)
	}
}

// compare holds the ledgers against the databases and against each other.
func (s *stage) compare(t *testing.T) {
	w := readTruth(t, s.l)
	a := account{site: siteName, service: serviceName, cloudType: "fedsite/" + s.version + " (OpenStack)", since: day(s.since), to: s.to.Unix(), first: s.first}
	want := w.records(a)
	ledger := s.reader.ledger(t)
	equalTruth(t, want, ledger)
	a.free = true
	equalTruth(t, w.records(a), s.free.ledger(t))
	a.free = false
	for k, e := range ledger {
		if at := e.Measured.Unix(); k.month != month(at) || at > s.to.Unix() {
			t.Errorf("%v is measured at %s", k, e.Measured)
		}
	}
	if diff := cmp.Diff(wires(ledger), wires(s.admin.ledger(t))); diff != "" {
		t.Errorf("an administrator's records are not a reader's (-reader +administrator):\n%s", diff)
	}
	if len(s.first) == 0 { // the member collected only then
		a.nobody, a.myself = true, "image-sync"
		equalTruth(t, w.records(a), s.plain.ledger(t))
	}
	none := 0
	for _, i := range w.instances {
		if _, known := s.first[i.ID]; !known {
			s.first[i.ID] = sight{i, len(w.histories[i.ID])}
		}
		if !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(k key) bool { return k.vm == i.ID }) {
			none++
		}
	}
	t.Logf("%d servers, of which %d without a record: %d records of %d months equal the database", len(w.instances), none, len(want), len(months(want)))
}

// equalTruth compares all records, field by field, and shows the first ones that differ.
func equalTruth(t *testing.T, want map[key]fields, ledger map[key]entry) {
	t.Helper()
	got := map[key]fields{}
	for k, e := range ledger {
		got[k] = parse(t, e.Wire)
	}
	all := maps.Clone(want)
	maps.Copy(all, got)
	wrong := 0
	for k := range all {
		if diff := cmp.Diff(want[k], got[k]); diff != "" {
			if wrong++; wrong <= 5 {
				t.Errorf("%v is not what the databases say (-databases +record):\n%s", k, diff)
			}
		}
	}
	if wrong > 5 {
		t.Errorf("and so are %d more of %d records", wrong-5, len(all))
	}
}

// empty sends to the directory queue, lets Python's dirq read, lock and empty it, and sends again, which settles the
// messages.
func (s *stage) empty(t *testing.T) {
	s.reader.send(t)
	ledger := s.reader.ledger(t)
	changed := s.changed(ledger, s.queued)
	for k, e := range ledger {
		want := "yes"
		if _, now := changed[k]; now {
			want = "queued"
		}
		if e.Sent[queue] != want {
			t.Errorf("%v: the queue has it: %q, want %q", k, e.Sent[queue], want)
		}
	}
	var got []string
	elements := 0
	for line := range strings.Lines(run(t.Context(), t, "", nil, s.l.python, "queue.py", s.queue)) {
		var element struct{ Name, Text string }
		if err := json.Unmarshal([]byte(line), &element); err != nil {
			t.Fatal(err)
		}
		got = append(got, split(t, element.Text)...)
		elements++
	}
	equalRecords(t, changed, got)
	s.reader.send(t)
	for k, e := range s.reader.ledger(t) {
		if e.Sent[queue] != "yes" {
			t.Errorf("%v: the queue is empty, but the ledger says %q", k, e.Sent[queue])
		}
	}
	maps.Copy(s.queued, changed)
	t.Logf("dirq read %d records in %d elements", len(got), elements)
}

// receive sends to the broker, verifies each message that arrived with openssl, and compares the texts.
func (s *stage) receive(t *testing.T) {
	s.admin.send(t)
	ledger := s.admin.ledger(t)
	changed := s.changed(ledger, s.sent)
	messages := s.federation.Received()[s.read:]
	s.read += len(messages)
	var got []string
	for i, m := range messages {
		if !m.Accepted {
			t.Errorf("message %d was refused: %s", i, m.Reason)
		}
		body := s.verify(t, m.Raw)
		if !bytes.Equal(body, m.Body) {
			t.Errorf("message %d: openssl reads another text than the receiver", i)
		}
		got = append(got, split(t, string(body))...)
	}
	equalRecords(t, changed, got)
	for k, e := range ledger {
		if e.Sent[broker] != "yes" {
			t.Errorf("%v: it was sent, but the ledger says %q", k, e.Sent[broker])
		}
	}
	maps.Copy(s.sent, changed)
	t.Logf("openssl verified %d records in %d messages", len(got), len(messages))
}

// verify gives the signed text of a message, as openssl reads it.
func (s *stage) verify(t *testing.T, raw []byte) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	text := run(t.Context(), t, "", nil, s.l.openssl, "smime", "-verify", "-text", "-purpose", "any", "-CAfile", s.ca, "-in", file)
	return []byte(strings.ReplaceAll(text, "\r\n", "\n"))
}

// quiet collects up to the same moment again: nothing changes, and nothing is sent.
func (s *stage) quiet(t *testing.T) {
	before := s.admin.ledger(t)
	s.admin.collect(t, 3, s.to)
	s.admin.send(t)
	if diff := cmp.Diff(before, s.admin.ledger(t)); diff != "" {
		t.Errorf("the same window again changed the ledger:\n%s", diff)
	}
	if n := len(s.federation.Received()); n != s.read {
		t.Errorf("%d messages arrived once more", n-s.read)
	}
}

// changed gives the texts that a destination has not got yet.
func (s *stage) changed(ledger map[key]entry, has map[key]string) map[key]string {
	now := wires(ledger)
	maps.DeleteFunc(now, func(k key, wire string) bool { return has[k] == wire })
	return now
}

// split gives the records of a message's text.
func split(t *testing.T, message string) []string {
	t.Helper()
	records, ok := strings.CutPrefix(message, "APEL-cloud-message: v0.4\n")
	if !ok {
		t.Fatalf("no message of Cloud records:\n%.200s", message)
	}
	return strings.Split(records, "%%\n")
}

// equalRecords compares records in any order.
func equalRecords(t *testing.T, want map[key]string, got []string) {
	t.Helper()
	if diff := cmp.Diff(slices.Sorted(maps.Values(want)), slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("other records arrived than the ledger says (-ledger +arrived):\n%s", diff)
	}
}

func months(all map[key]fields) map[string]bool {
	by := map[string]bool{}
	for k := range all {
		by[k.month] = true
	}
	return by
}

// day gives the first second of the day.
func day(t time.Time) int64 {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC).Unix()
}
