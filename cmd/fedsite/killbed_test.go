package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/internal/emulator/federation/apelserver"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// The instants of a course: a first collection and its sending, one after a month's end, and a last one that finds
// what was held back until then.
var (
	first  = time.Date(2026, 10, 30, 6, 0, 0, 0, time.UTC)
	second = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	ending = second.Add(time.Hour)
)

// preserve is a site and a federation on loopback, at an instant that stands still, in which processes of the program
// are hunted.
type preserve struct {
	t     *testing.T
	dir   string
	world *world.World
	fed   *federation.Federation

	mu     sync.Mutex
	now    time.Time
	onto   map[string]*prey // by service: whose its new connections are
	heard  int              // messages that the federation had received at the beginning of this course
	closed map[net.Conn]func()
}

func newPreserve(t *testing.T) *preserve {
	t.Helper()
	p := &preserve{t: t, dir: t.TempDir(), world: inhabited(), now: first, onto: map[string]*prey{}, closed: map[net.Conn]func(){}}
	var err error
	if p.fed, err = federation.Start("127.0.0.1", p.clock, "KILL-SITE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.fed.Close(); err != nil {
			t.Error(err)
		}
	})
	cloud := openstack.New(p.world, p.clock, openstack.Options{PageLimit: 3})
	cloud.SetBase("http://" + p.serve("cloud", cloud.Handler(), nil).String())
	certPEM, keyPEM, err := p.fed.CA.Issue("Emulation", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	secure := &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: p.fed.CA.Pool()}
	p.write(cloud.AuthURL(), p.serve("broker", p.fed.Broker.AMS(), secure), p.serve("broker", p.fed.Broker.Authn(), secure))
	return p
}

// inhabited is a world in which VMs begin, end, and are resized on both sides of the month's end between the collections.
func inhabited() *world.World {
	w := world.Generate(world.Options{Seed: 6, At: ending, Projects: 3, Site: "KILL-SITE"})
	w.Projects = w.Projects[:3] // each has a VO
	at := func(d time.Duration, kind world.Kind, value string) world.Event {
		return world.Event{At: first.Add(d), Kind: kind, Value: value}
	}
	const day = 24 * time.Hour
	// Ended four and a half minutes before a collection: it still counts as running then (accounting.settle), and its last
	// revision is known a minute later.
	atFirst, atSecond := at(-270*time.Second, world.Delete, ""), at(second.Sub(first)-270*time.Second, world.Delete, "")
	lives := []struct {
		age    time.Duration // at the first collection
		events []world.Event
	}{
		{20 * day, []world.Event{atSecond}},
		{11 * day, []world.Event{atFirst}},
		{60 * day, []world.Event{at(10*time.Hour, world.Resize, "3"), at(11*time.Hour, world.Confirm, "")}},
		{9 * day, []world.Event{at(60*time.Hour, world.Resize, "4")}},
		{-day, []world.Event{atSecond}},
		{-30 * time.Hour, []world.Event{at(45*time.Hour, world.Delete, "")}},
		{5 * day, []world.Event{at(5*time.Hour, world.Stop, ""), at(35*time.Hour, world.Delete, "")}},
		{-2 * day, []world.Event{at(60*time.Hour, world.Shelve, ""), at(61*time.Hour, world.Offload, "")}},
		{2 * day, []world.Event{atFirst}},
		{15 * day, []world.Event{at(-12*day, world.Suspend, ""), at(-11*day, world.Resume, ""), atSecond}},
		{3 * day, []world.Event{atFirst}},
		{4 * day, nil},
		{11 * day, []world.Event{at(-3*day, world.Delete, "")}},
	}
	for i, life := range lives {
		created := first.Add(-life.age)
		w.Add(world.VM{ID: fmt.Sprintf("6b1d0000-0000-4000-8000-%012d", i), Project: w.Projects[i%3].ID, User: w.Users[5+i%3].ID, Name: fmt.Sprintf("vm-%d-ñ", i),
			Flavor: fmt.Sprint(1 + i%2), Image: w.Images[i%3].ID, Created: created,
			Events: append([]world.Event{{At: created.Add(40 * time.Second), Kind: world.Launch}}, life.events...)})
	}
	return w
}

func (p *preserve) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *preserve) stand(at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = at
}

// serve serves a handler on loopback; every request is two events of the process that it comes from.
func (p *preserve) serve(service string, h http.Handler, secure *tls.Config) net.Addr {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	addr := l.Addr()
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	srv := &http.Server{Handler: guard(h), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			p.mu.Lock()
			defer p.mu.Unlock()
			from := p.onto[service]
			p.closed[c] = from.connected()
			return context.WithValue(ctx, preyKey{}, from)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			p.mu.Lock()
			defer p.mu.Unlock()
			if done := p.closed[c]; state == http.StateClosed && done != nil {
				delete(p.closed, c)
				done()
			}
		}}
	go srv.Serve(l) //nolint:errcheck // ends with Close
	p.t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			p.t.Error(err)
		}
	})
	return addr
}

type preyKey struct{}

// guard tells the process's hunter of each request before the service sees it, before its answer goes out, and when half of
// a long answer is out. A process that is killed then gets no more; what the service has not seen is kept, and may still arrive.
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := r.Context().Value(preyKey{}).(*prey)
		begun, died := amid(next, from, r)
		if died {
			panic(http.ErrAbortHandler)
		}
		body, err := io.ReadAll(io.MultiReader(bytes.NewReader(begun), r.Body))
		if err != nil {
			panic(http.ErrAbortHandler) // the process died while it wrote
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if from.event("before " + r.Method + " " + r.URL.Path) {
			from.onTheWay = func() { next.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.Background())) }
			panic(http.ErrAbortHandler)
		}
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		if from.event("after " + r.Method + " " + r.URL.Path) {
			panic(http.ErrAbortHandler)
		}
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		text := answer.Body.Bytes()
		if len(text) > longAnswer {
			_, _ = w.Write(text[:len(text)/2])
			_ = http.NewResponseController(w).Flush() // who has gone away meanwhile sees no more of it
			if from.event(amidAnswer + r.URL.Path) {
				panic(http.ErrAbortHandler)
			}
			text = text[len(text)/2:]
		}
		_, _ = w.Write(text)
	})
}

// A process is also killed when it has got one half of an answer that is longer than longAnswer bytes.
const (
	longAnswer = 64 << 10
	amidAnswer = "amid the answer to GET "
)

// write writes the files that the program needs.
func (p *preserve) write(keystone string, broker, authn net.Addr) {
	p.t.Helper()
	port := func(a net.Addr) int { return a.(*net.TCPAddr).Port }
	s := p.fed.Sites[0]
	for name, text := range map[string]string{
		"ca.pem": string(p.fed.CA.PEM), "hostcert.pem": string(s.CertPEM), "hostkey.pem": string(s.KeyPEM),
		"clouds.yaml": fmt.Sprintf("clouds:\n  reader:\n    region_name: %s\n    auth: {auth_url: %q, username: %s, password: %s, user_domain_id: default, project_id: %s}\n",
			p.world.Region, keystone, world.Reader, world.ReaderPass, p.world.Projects[0].ID),
		"fedsite.yaml": fmt.Sprintf(`site: {gocdb: KILL-SITE}
clouds:
  - {name: main, credential: reader}
credentials:
  reader: {os_cloud: reader, clouds_file: %[1]q}
accounting:
  mode: active
  previously: caso
  since: 2026-10-01
  active_from: 2026-10-01
  max_records: 3
  ams:
    host: 127.0.0.1
    port: %[2]d
    authn_port: %[3]d
    project: %[4]s
    topics: {cloud: %[5]s}
    certificate: {cert: %[6]q, key: %[7]q}
    network: {ca_file: %[8]q}
discovery: {gocdb: {url: off}}
store: {path: %[9]q}
`, p.file("clouds.yaml"), port(broker), port(authn), federation.Project, federation.CloudTopic, p.file("hostcert.pem"), p.file("hostkey.pem"), p.file("ca.pem"), p.file("state")),
	} {
		if err := os.WriteFile(p.file(name), []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
}

func (p *preserve) file(name string) string { return filepath.Join(p.dir, name) }

// verbFlags are what a command of the course needs beside its verb.
var verbFlags = map[string][]string{"send": {"--yes"}}

// hunt starts "fedsite accounting VERB" at the preserve's instant, on a database, to be killed at an event; 0 = at none.
func (p *preserve) hunt(t *testing.T, db store.Config, verb string, at int) *prey {
	t.Helper()
	where, config := db.URL, p.file("fedsite.yaml")
	if where == "" {
		where = filepath.Dir(db.Path)
	} else {
		config = p.ownState(where)
	}
	q := newPrey(t, at, []string{"FEDSITE_CONFIG=" + config, "FEDSITE_DATABASE=" + where, victimEnv + "=" + p.clock().Format(time.RFC3339Nano), "HOME=" + p.dir}, append([]string{"accounting", verb}, verbFlags[verb]...)...)
	p.mu.Lock()
	p.onto[map[string]string{"collect": "cloud", "send": "broker"}[verb]] = q
	p.mu.Unlock()
	q.start()
	return q
}

// ownState gives a configuration with a state directory of the database's own: its archive belongs to it.
func (p *preserve) ownState(url string) string {
	p.t.Helper()
	name := fmt.Sprintf("%x", sha256.Sum256([]byte(url)))[:8]
	text, err := os.ReadFile(p.file("fedsite.yaml"))
	if err == nil {
		text = bytes.Replace(text, []byte(p.file("state")), []byte(p.file("state-"+name)), 1)
		err = os.WriteFile(p.file(name+".yaml"), text, 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return p.file(name + ".yaml")
}

// received gives what became of the messages of this course.
func (p *preserve) received() []federation.Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fed.Received()[p.heard:]
}

// begin begins a course at a server that has got these messages.
func (p *preserve) begin(had []federation.Received) {
	fresh := apelserver.New()
	for _, m := range had {
		fresh.Load(m.Body, m.DN)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fed.Server, p.heard = fresh, len(p.fed.Received())
}

// copied gives a copy of a database nobody works with, until the test ends.
func copied(t *testing.T, db store.Config) store.Config {
	t.Helper()
	if db.URL != "" {
		return store.Config{URL: storetest.Copy(t, db.URL)}
	}
	to := filepath.Join(t.TempDir(), filepath.Base(db.Path))
	if err := os.CopyFS(filepath.Dir(to), os.DirFS(filepath.Dir(db.Path))); err != nil {
		t.Fatal(err)
	}
	return store.Config{Path: to}
}

// rows gives the sorted rows of a query as text, "column=value …", without the columns that are left out.
func rows(t *testing.T, db *store.Store, query string, without ...string) []string {
	t.Helper()
	var all []string
	err := db.Read(t.Context(), func(tx *store.Tx) error {
		all = []string{}
		found, err := tx.Query(query)
		if err != nil {
			return err
		}
		defer found.Close()
		columns, err := found.Columns()
		if err != nil {
			return err
		}
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		for found.Next() {
			if err := found.Scan(values...); err != nil {
				return err
			}
			var line []string
			for i, c := range columns {
				if !slices.Contains(without, c) {
					v := *values[i].(*any)
					if raw, ok := v.([]byte); ok {
						v = unpacked(raw)
					}
					line = append(line, fmt.Sprintf("%s=%v", c, v))
				}
			}
			all = append(all, strings.Join(line, " "))
		}
		return found.Err()
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	slices.Sort(all)
	return all
}
