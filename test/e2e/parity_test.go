//go:build e2e

package e2e

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/test/peers"
)

// TestParity runs cASO beside fedsite on the same cloud up to the same instants. Where their records differ, an entry of
// the catalogue (test/peers) must say why; and each entry must have been met, but for those that recorded clouds alone can
// show.
func TestParity(t *testing.T) {
	p := newParity(t)
	p.prepare()
	p.extract(t, p.usual, p.since, p.early)
	p.settle()
	t.Run("hourly", func(t *testing.T) { p.compare(t, p.usual) })
	for _, s := range []*trial{
		p.trial("accounting@vo-ops", "host in another zone"),
		p.trial("image-sync@vo-ops", "reader who may not read users"),
		p.trial("admin@vo-ops", "administrator"),
	} {
		if strings.HasPrefix(s.name, "host") {
			s.caso.TZ, s.zone = "CET-1", time.Hour // a zone without summer time
		}
		s.from = p.since
		t.Run(s.name, func(t *testing.T) { p.compare(t, s) })
	}
	p.remember()
	p.change()
	p.settle()
	t.Run("changed", func(t *testing.T) { p.compare(t, p.usual) })
	p.complete()
}

// settle sets the present as the end of the next window, and waits until it may be collected.
func (p *parity) settle() {
	p.to = time.Now().Truncate(time.Second).Add(time.Second).UTC()
	waitFor(p.t, p.to.Add(settle+time.Second))
}

// extract runs cASO over a window, from where its last one ended when from is zero.
func (p *parity) extract(t *testing.T, s *trial, from, to time.Time) {
	t.Helper()
	options := []string{"--extract-to", to.UTC().Format(time.RFC3339)}
	if !from.IsZero() {
		options = append(options, "--extract-from", from.UTC().Format(time.RFC3339))
	}
	e, err := s.caso.Extract(t.Context(), options...)
	if err != nil {
		t.Fatal(err)
	}
	if e.Crashed {
		t.Fatalf("cASO lost records of a project:\n%s", e.Log)
	}
	if _, err := s.server.Take(e.Messages, peers.Run{Zone: s.zone}.When); err != nil {
		t.Fatal(err)
	}
	s.ends = append(s.ends, to)
}

// parity is what the steps share.
type parity struct {
	t       *testing.T
	l       *lab
	program string    // fedsite
	since   time.Time // the month before the last one: cASO does not run in it
	early   time.Time // the end of cASO's first window, in the last month's last hours
	to      time.Time
	usual   *trial
	vcpus   map[string]int64  // what VMs had before they changed
	users   map[string]string // their names, likewise
	moved   map[string]bool   // changed after p.to, by somebody else
	met     map[string]int

	grows, named, fails, ends string // VMs of our own
}

// trial is both programs with the same credential.
type trial struct {
	name   string
	login  parityLogin
	caso   peers.CASO
	ours   *site
	server peers.Server // what cASO has sent so far
	from   time.Time    // of cASO's next window; zero = where its last one ended
	ends   []time.Time
	zone   time.Duration
}

func newParity(t *testing.T) *parity {
	now := time.Now().UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC)
	p := &parity{t: t, l: findLab(t), program: build(t), since: month.AddDate(0, -2, 0), early: month.Add(-12 * time.Hour), vcpus: map[string]int64{}, moved: map[string]bool{}, met: map[string]int{}}
	p.l.history(t)
	p.usual = p.trial("accounting@vo-ops", "hourly")
	return p
}

// trial makes both programs' configurations for an entry of the lab's clouds.yaml.
func (p *parity) trial(entry, name string) *trial {
	dir := p.t.TempDir()
	program, err := peers.FindCASO()
	if err != nil {
		p.t.Fatal(err)
	}
	s := &trial{name: name, login: p.l.login(p.t, entry), server: peers.Server{}}
	s.ours = newSite(p.t, p.program, p.since, p.l.entry(entry), "dirq: {path: "+filepath.Join(dir, "unread")+"}")
	s.caso = peers.CASO{
		Program: program, Dir: filepath.Join(dir, "caso"), AuthURL: s.login.AuthURL, User: s.login.User, Password: s.login.Password,
		Site: siteName, Service: serviceName, Property: "egi.VO", Projects: p.l.vos(p.t), Extractors: []string{"nova"},
	}
	return s
}

// compare lets both go on to the instant, and compares all that cASO has sent with our ledger.
func (p *parity) compare(t *testing.T, s *trial) {
	p.extract(t, s, s.from, p.to)
	exit := 0
	if strings.HasPrefix(s.login.User, "admin") {
		exit = 3 // he sees his own project too, which belongs to no VO
	}
	s.ours.collect(t, exit, p.to)
	out, _ := s.ours.call(t, 0, "accounting", "records", "-o", "json")
	ours, err := peers.Ledger([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	version, _ := s.ours.call(t, 0, "version")
	run := peers.Run{Program: strings.TrimSpace(strings.Replace(version, "fedsite ", "fedsite/", 1)) + " (OpenStack)", Ends: s.ends, Zone: s.zone}
	if s.login.User == "image-sync" {
		run.Self = s.login.User
	}
	vms := p.truth(t)
	result := peers.Compare(p.still(t, s.server), p.still(t, ours), vms, run)
	for i, u := range result.Unexplained {
		if i == 10 {
			t.Errorf("and %d more", len(result.Unexplained)-i)
			break
		}
		t.Error(u)
	}
	if len(s.server) < 100 || s.zone == 0 && result.Same < 100 {
		t.Errorf("cASO has %d records, %d are equal: that is no comparison", len(s.server), result.Same)
	}
	t.Logf("%d VMs and months: cASO %d, fedsite %d, %d equal but for the program's name; explained: %v", result.Pairs, len(s.server), len(ours), result.Same, result.Met)
	for name, n := range result.Met {
		p.met[name] += n
	}
}

// still leaves out the servers of others that changed under our eyes; on a lab of our own there are none.
func (p *parity) still(t *testing.T, all peers.Server) peers.Server {
	t.Helper()
	for _, id := range []string{p.grows, p.named, p.fails, p.ends} {
		if p.moved[id] {
			t.Errorf("%s changed after the end of the window", id)
		}
	}
	kept := maps.Clone(all)
	maps.DeleteFunc(kept, func(k peers.Key, _ peers.Record) bool { return p.moved[k.VM] })
	if len(kept) < len(all) {
		t.Logf("%d records of servers that somebody else changed meanwhile are left out", len(all)-len(kept))
	}
	return kept
}

// complete tells whether every entry of the catalogue was met that a real cloud can show.
func (p *parity) complete() {
	for _, d := range peers.Catalogue {
		if d.Where == peers.OnCloud && p.met[d.Name] == 0 {
			p.t.Errorf("%q of the catalogue was not met: make it happen, or mark it as one of recorded clouds", d.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.met)) {
		p.t.Logf("%6d  %s", p.met[name], name)
	}
}

// parityLogin is an entry of clouds.yaml.
type parityLogin struct {
	AuthURL  string `json:"auth.auth_url"`
	User     string `json:"auth.username"`
	Password string `json:"auth.password"`
}
