package information

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fedsite/fedsite/internal/run"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// settle waits for the look that a request may have begun, so that a test can change what is looked at.
func settle(s *Server) {
	s.holdings.asked.Lock()
	under := s.holdings.under
	s.holdings.asked.Unlock()
	if under != nil {
		<-under
	}
}

func sitesOf(t *testing.T, s *Server) string {
	t.Helper()
	w := ask(t, s, http.MethodGet, "/fedcloudclient/")
	settle(s)
	return strings.ReplaceAll(strings.ReplaceAll(w.Body.String(), "http://127.0.0.1:8099/fedcloudclient/", ""), `/"`, `"`)
}

// TestKeeps shows what stays, and for how long, when a document or a source goes bad.
func TestKeeps(t *testing.T) {
	at := &clock{noon}
	good := string(body(t, offer(t, "A", "1G0", "https://a.example.org/v3", "ops")))
	other := string(body(t, offer(t, "B", "2G0", "https://b.example.org/v3", "ops")))
	docs := &holding{name: "docs", docs: map[string]string{"a": good, "b": other}}
	s := serve(t, Options{Sources: []Source{docs}, Now: at.now, Every: time.Hour * 9999, Keep: time.Hour})
	step := func(what string, after time.Duration, want string, kept, dropped int) {
		t.Helper()
		at.at = at.at.Add(after)
		s.Refresh(t.Context())
		st := s.Status()
		if got := sitesOf(t, s); got != want || len(st.Kept) != kept || len(st.Dropped) != dropped {
			t.Errorf("%s: %s, want %s; kept %v, dropped %v", what, got, want, st.Kept, st.Dropped)
		}
	}
	step("first", 0, `["A","B"]`, 0, 0)
	docs.docs["a"] = good[:100]
	step("half a document", time.Minute, `["A","B"]`, 1, 0)
	step("still", 59*time.Minute, `["A","B"]`, 1, 0)
	step("the clock is set back", -10*time.Hour, `["A","B"]`, 1, 0)
	step("counted from then", 59*time.Minute, `["A","B"]`, 1, 0)
	step("too long", time.Minute, `["B"]`, 0, 1)
	docs.docs["a"] = good
	step("good again", time.Minute, `["A","B"]`, 0, 0)
	docs.err = errors.New("the container does not answer")
	step("no answer", 1000*time.Hour, `["A","B"]`, 0, 0)
	if st := s.Status(); len(st.Stale) != 2 || st.Sources[0].Err == nil || st.Sources[0].Documents != 2 {
		t.Errorf("%+v", st)
	}
	docs.err, docs.docs = nil, map[string]string{"b": other}
	step("one is gone", time.Minute, `["B"]`, 0, 0)
}

// TestUnchangedIsNotReadAgain shows that only a document that changed is read.
func TestUnchangedIsNotReadAgain(t *testing.T) {
	docs := &holding{name: "docs", docs: map[string]string{
		"a": string(body(t, offer(t, "A", "1G0", "https://a.example.org/v3"))),
		"b": string(body(t, offer(t, "B", "2G0", "https://b.example.org/v3"))),
	}}
	s := serve(t, Options{Sources: []Source{docs}})
	f := s.holdings.sources[0]
	a, b, before := f.readings["a"], f.readings["b"], s.holdings.now.Load()
	docs.docs["b"] = string(body(t, offer(t, "B", "2G0", "https://b.example.org/v3", "ops")))
	s.Refresh(t.Context())
	if f.readings["a"] != a || f.readings["b"] == b || s.holdings.now.Load() == before {
		t.Error("the wrong documents were read again")
	}
	list := Published("own", func(context.Context) ([]Document, string, error) { return nil, "1", nil })
	s = serve(t, Options{Sources: []Source{list}})
	before = s.holdings.now.Load()
	s.Refresh(t.Context())
	if s.holdings.now.Load() != before {
		t.Error("nothing changed, but the catalogue was made again")
	}
}

// TestValidityEnds shows that a document ceases to count by time alone.
func TestValidityEnds(t *testing.T) {
	at := &clock{noon}
	text := body(t, offer(t, "A", "1G0", "https://a.example.org/v3"))
	list := Published("own", func(context.Context) ([]Document, string, error) {
		return []Document{{Name: "a", Body: text}}, "1", nil
	})
	told := func(s *Server) (words string) {
		for _, c := range s.Status().Checks() {
			if c.State == run.CheckWarn {
				words += c.Name + ": " + c.Reason
			}
		}
		return words
	}
	for _, check := range []bool{true, false} { // of our own it is checked always
		at.at = noon
		s := serve(t, Options{Sources: []Source{list}, CheckValidity: check, Now: at.now, Every: 9999 * time.Hour})
		for _, c := range []struct {
			after       time.Duration
			sites, told string
		}{
			{12*time.Hour - time.Second, `["A"]`, ""},
			{12 * time.Hour, `[]`, "own documents that are not served any more: a in own: it is of 2026-11-23T12:00:00Z and counted until 2026-11-24T00:00:00Z"},
			{time.Hour, `["A"]`, ""}, // the clock had been ahead
		} {
			at.at = noon.Add(c.after)
			s.Refresh(t.Context())
			if got := sitesOf(t, s); got != c.sites || told(s) != c.told {
				t.Errorf("checked %t, at %v: %s, told %q; want %s, %q", check, at.at, got, told(s), c.sites, c.told)
			}
		}
	}
}

// TestOthersCountForOurs shows that a document of others counts when our own of the same endpoint counts no more.
func TestOthersCountForOurs(t *testing.T) {
	text := body(t, offer(t, "A", "1G0", "https://a.example.org/v3"))
	newer := offer(t, "A", "1G0", "https://a.example.org/v3", "ops")
	newer.Services[0].CreationTime = noon.Add(time.Hour)
	readings := []*Reading{Read(Document{Source: "own", Own: true, Body: text}), Read(Document{Source: "other", Body: body(t, newer)})}
	for after, vos := range map[time.Duration]int{11 * time.Hour: 0, 12 * time.Hour: 1} {
		if c := NewCatalogue(readings, Terms{Now: noon.Add(after)}); len(c.Sites) != 1 || len(c.VOs()) != vos {
			t.Errorf("after %v: %v", after, c.Sites)
		}
	}
}

// TestOthersMayFail shows that GOCDB's and the Portal's last good answers stay, and when they are asked again.
func TestOthersMayFail(t *testing.T) {
	at := &clock{noon}
	portal := &struct {
		status int
		body   string
		asked  int
	}{200, `{"data":[{"serial":2,"name":"ops"},{"serial":1,"name":"biomed"},{"serial":3},7]}`, 0}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		portal.asked++
		if r.Header.Get("X-API-Key") != "key" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(portal.status)
		_, _ = w.Write([]byte(portal.body))
	}))
	defer server.Close()
	register := &registered{err: errors.New("GOCDB is away")}
	portal.status = 500
	docs := &holding{name: "docs", docs: map[string]string{"a": string(recorded(t))}}
	s := serve(t, Options{Sources: []Source{docs}, Registry: register, Now: at.now, Every: 9999 * time.Hour,
		Portal: &Portal{HTTP: server.Client(), URL: server.URL, Key: func(context.Context) (string, error) { return "key", nil }}})
	step := func(what string, after time.Duration, host, vos string, bad int) {
		t.Helper()
		at.at = at.at.Add(after)
		s.Refresh(t.Context())
		if got := ask(t, s, http.MethodGet, "/site/LAB-SITE/").Body.String(); !strings.Contains(got, `"hostname":"`+host+`"`) {
			t.Errorf("%s: %s", what, got)
		}
		if got := ask(t, s, http.MethodGet, "/vos/").Body.String(); got != vos {
			t.Errorf("%s: VOs %s, want %s", what, got, vos)
		}
		settle(s)
		n := 0
		for _, c := range s.Status().Checks() {
			if c.Name == "last answer" && c.State != run.CheckOK {
				n++
			}
		}
		if n != bad {
			t.Errorf("%s: %d are bad, want %d: %v", what, n, bad, s.Status().Checks())
		}
	}
	step("nobody ever answered", 0, "127.0.0.1", `["ops"]`, 2)
	register.err, register.services, portal.status = nil, labSite, 200
	step("not asked again at once", 4*time.Minute, "127.0.0.1", `["ops"]`, 2)
	step("asked again", time.Minute, "keystone.example.org", `["biomed","ops"]`, 0)
	asked := register.asked
	step("good for long", 119*time.Minute, "keystone.example.org", `["biomed","ops"]`, 0)
	if register.asked != asked {
		t.Error("GOCDB was asked too soon")
	}
	before := portal.asked
	step("set back by less than the interval", -100*time.Minute, "keystone.example.org", `["biomed","ops"]`, 0)
	if register.asked != asked || portal.asked != before {
		t.Error("GOCDB or the Portal was asked too soon after the clock was set back")
	}
	step("set back by a year", -365*24*time.Hour, "keystone.example.org", `["biomed","ops"]`, 0)
	if register.asked != asked+1 || portal.asked != before+1 {
		t.Error("GOCDB and the Portal are asked no more until the clock has caught up")
	}
	step("and asked as before", 119*time.Minute, "keystone.example.org", `["biomed","ops"]`, 0)
	register.services, portal.body = nil, `{"data":[]}`
	step("empty answers are none", 2*time.Minute, "keystone.example.org", `["biomed","ops"]`, 2)
	portal.body = `<html>`
	step("nor are foreign ones", 6*time.Minute, "keystone.example.org", `["biomed","ops"]`, 2)
}

// TestPortalKey shows that the key goes to the Portal alone and stands in no error.
func TestPortalKey(t *testing.T) {
	var leaked string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = r.Header.Get("X-API-Key") }))
	defer elsewhere.Close()
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/refuse":
			w.WriteHeader(http.StatusForbidden)
		case "/endless":
			for range 5 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		case "/cut":
			w.Header().Set("Content-Length", "100")
		}
	}))
	defer portal.Close()
	key := func(context.Context) (string, error) { return "s3cret", nil }
	for where, want := range map[string]string{
		portal.URL + "/redirect":           "answered HTTP 302",
		portal.URL + "/refuse":             "refuses the key (HTTP 403)",
		portal.URL + "/endless":            "more than 4194304 bytes",
		portal.URL + "/cut":                "cut off",
		portal.URL + "/nothing":            `it has no "data"`,
		"http://portal.example.org/x":      "is not https",
		"https://":                         "cannot be used",
		"http://127.0.0.1:1/?secret=query": "connection refused",
	} {
		vos, err := (&Portal{HTTP: http.DefaultClient, URL: where, Key: key}).VOs(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), "secret=query") {
			t.Errorf("%s: %v %v, want %s", where, vos, err, want)
		}
	}
	if leaked != "" {
		t.Error("the key went to another host")
	}
	_, err := (&Portal{HTTP: http.DefaultClient, URL: portal.URL, Key: func(context.Context) (string, error) { return "", errors.New("no file") }}).VOs(t.Context())
	if err == nil || !strings.Contains(err.Error(), "key of the Operations Portal: no file") {
		t.Error(err)
	}
}

// slow is a source that answers when it is let, or panics.
type slow struct {
	let    chan struct{}
	panics bool
}

func (s *slow) Name() string { return "slow" }

func (s *slow) Documents(ctx context.Context) ([]Document, string, error) {
	if s.panics {
		panic("a bug")
	}
	select {
	case <-s.let:
		return []Document{{Name: "a", Err: errors.New("bad")}}, "1", nil
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// TestFirstLook shows what is answered before anything was read, and that the answer is waited for only so long.
func TestFirstLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &slow{let: make(chan struct{})}
		s, err := New(Options{Sources: []Source{source}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		began := time.Now()
		if w := ask(t, s, http.MethodGet, "/sites/"); w.Code != http.StatusServiceUnavailable || time.Since(began) != patience {
			t.Errorf("%d after %v", w.Code, time.Since(began))
		}
		close(source.let)
		synctest.Wait()
		if w := ask(t, s, http.MethodGet, "/sites/"); w.Code != http.StatusOK || w.Body.String() != "[]" {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		synctest.Wait() // that request may have begun a look, too
		source.let = make(chan struct{})
		time.Sleep(time.Hour) // of the bubble: it is time to look again
		began = time.Now()
		for range 3 {
			if w := ask(t, s, http.MethodGet, "/sites/"); w.Code != http.StatusOK || time.Since(began) != 0 {
				t.Errorf("a request waited %v for a source", time.Since(began))
			}
		}
	})
}

// TestPanickingSource shows that a source with a bug takes nobody along.
func TestPanickingSource(t *testing.T) {
	s := serve(t, Options{Sources: []Source{&slow{panics: true}, &holding{name: "docs", docs: map[string]string{"a": string(recorded(t))}}}})
	if got := sitesOf(t, s); got != `["LAB-SITE"]` || s.Status().Checks()[0].State != run.CheckFail {
		t.Errorf("%s %v", got, s.Status().Checks())
	}
}

// TestListen serves over a connection of either kind until it is told to stop.
func TestListen(t *testing.T) {
	if _, err := Listen(t.Context(), "8480"); err == nil || !strings.Contains(err.Error(), "write [::]:8480") {
		t.Error(err)
	}
	s := lab(t)
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := Listen(t.Context(), addr)
		if err != nil {
			t.Logf("%s: %v", addr, err) // a machine may have no IPv6
			continue
		}
		if _, err := Listen(t.Context(), l.Addr().String()); err == nil || !strings.Contains(err.Error(), "choose another port") {
			t.Errorf("a port that is taken: %v", err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Serve(ctx, l, NewHTTPServer(s, s.log)) }()
		resp, err := http.Get("http://" + l.Addr().String() + "/sites/")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %v %v", addr, resp, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestDisciplines reads the list as the original has it.
func TestDisciplines(t *testing.T) {
	all, err := ReadDisciplines(strings.NewReader(`[{"id":"1","order":1,"name":"Natural <Sciences>"},{"id":"2","order":1,"parent":"1","name":"Mathematics"}]`))
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, Options{Sources: []Source{&holding{}}, Disciplines: all})
	if got := ask(t, s, http.MethodGet, "/disciplines/").Body.String(); got != `[{"id":"1","name":"Natural <Sciences>","parent":null,"order":1},{"id":"2","name":"Mathematics","parent":"1","order":1}]` {
		t.Error(got)
	}
	for _, bad := range []string{"", "{}", `[{"id":"1"}]`, `[{"name":"x"}]`, strings.Repeat(" ", 5<<20)} {
		if _, err := ReadDisciplines(strings.NewReader(bad)); err == nil {
			t.Errorf("%.30q was taken", bad)
		}
	}
}
