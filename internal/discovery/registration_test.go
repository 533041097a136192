package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// TestRegister: how an endpoint stands by what GOCDB has, and what is said of it.
func TestRegister(t *testing.T) {
	const at = "main endpoint " + ep + ": "
	shared := sqlite(t)
	for name, c := range map[string]struct {
		services []string
		do       func(o *office)
		want     string // key and site
		says     string // a part of it
	}{
		"alike":           {[]string{"SITE-A " + ep}, nil, "16001G0 SITE-A", "ok " + at + "16001G0 of SITE-A"},
		"capital letters": {[]string{"SITE-A https://KS.Example.ORG:5000/v3"}, nil, "16001G0 SITE-A", "(capital letters), for " + ep + " → GOCDB, org.openstack.nova 16001G0, field URL: write it as the site does"},
		"a slash more":    {[]string{"SITE-A " + ep + "/"}, nil, "16001G0 SITE-A", "warn " + at + "GOCDB has 16001G0 of SITE-A, " + ep + "/ (slashes)"},
		"a default port": {[]string{"SITE-A https://ks.example.org:443/v3"}, func(o *office) {
			o.wanted[0].EP, o.target.Clouds[0].EP = "https://ks.example.org/v3", "https://ks.example.org/v3"
		}, "", "warn main endpoint https://ks.example.org/v3: GOCDB has 16001G0 of SITE-A, https://ks.example.org:443/v3 (default port)"},
		"another port":         {[]string{"SITE-A https://ks.example.org:5001/v3"}, nil, "", "fail " + at + "no service of SITE-A in GOCDB has the URL " + ep + "; nearest: 16001G0 of SITE-A, https://ks.example.org:5001/v3 (another port)"},
		"a further endpoint":   {[]string{"SITE-A https://ks.example.org:35357/v3 " + ep}, nil, "16001G0 SITE-A", "ok " + at},
		"two with one URL":     {[]string{"SITE-A " + ep, "SITE-A " + ep}, nil, "16001G0 SITE-A", "warn " + at + "2 services of SITE-A in GOCDB have the URL"},
		"two sites, one URL":   {[]string{"SITE-B " + ep, "SITE-A " + ep}, nil, "16002G0 SITE-A", "ok " + at},
		"at another site":      {[]string{"SITE-B " + ep}, nil, "", "(another site) → compare the site's name here with SITE-B in GOCDB"},
		"not there":            {[]string{"SITE-B https://ks.b.example.org/v3"}, nil, "", "fail " + at + "no service of SITE-A in GOCDB has the URL " + ep + ", or any on its host → register the endpoint in GOCDB"},
		"not there, observing": {[]string{"SITE-B https://ks.b.example.org/v3"}, func(o *office) { o.target.Settings.Mode = site.Observe }, "", "warn " + at + "no service"},
		"nothing there at all": {nil, nil, "", "fail " + at + "no service of SITE-A"},
		"under a former name": {[]string{"SITE-OLD " + ep}, func(o *office) {
			o.target.Site.Formerly = []site.Former{{Name: "SITE-OLDER", Until: o.now.AddDate(-2, 0, 0)}, {Name: "SITE-OLD", Until: o.now.AddDate(0, 0, -1)}}
		}, "16001G0 SITE-OLD", "warn " + at + "GOCDB has 16001G0 under the site's former name SITE-OLD, for SITE-A → have the site renamed"},
		"a name until tomorrow": {[]string{"SITE-OLD " + ep}, func(o *office) {
			o.target.Site.Formerly = []site.Former{{Name: "SITE-OLD", Until: o.now.AddDate(0, 0, 1)}}
		}, "16001G0 SITE-OLD", "ok " + at},
		"two regions":                {[]string{"SITE-A " + ep}, func(o *office) { o.target.Clouds = append(o.target.Clouds, o.target.Clouds[0]) }, "16001G0 SITE-A", "ok  endpoint " + ep},
		"configured":                 {[]string{"SITE-A " + ep}, func(o *office) { o.wanted[0].Key = "16001G0" }, "16001G0 SITE-A", "ok " + at + "16001G0, as the configuration says"},
		"configured, the second one": {[]string{"SITE-A " + ep, "SITE-A " + ep}, func(o *office) { o.wanted[0].Key = "16002G0" }, "16002G0 SITE-A", "ok " + at + "16002G0, as the configuration says"},
		"configured otherwise":       {[]string{"SITE-A " + ep, "SITE-B https://x.example.org/"}, func(o *office) { o.wanted[0].Key = "16002G0" }, "16002G0 SITE-B", "notice endpoint " + ep + ": gocdb_id is 16002G0, which counts: GOCDB has this URL at 16001G0 of SITE-A"},
		"configured, another URL":    {[]string{"SITE-A https://ks.example.org:5001/v3"}, func(o *office) { o.wanted[0].Key = "16001G0" }, "16001G0 SITE-A", "which counts: no service of SITE-A in GOCDB has the URL"},
		"configured, and unknown":    {[]string{"SITE-B https://x.example.org/"}, func(o *office) { o.wanted[0].Key = "9G0" }, "9G0 SITE-A", "which counts: GOCDB has no service 9G0 of type org.openstack.nova"},
		"no URL":                     {[]string{"SITE-A " + ep}, func(o *office) { o.wanted = []discovery.Wanted{{EP: "ks:5000"}, {EP: ep}} }, "16001G0 SITE-A", "fail  endpoint ks:5000: the endpoint's URL cannot be looked up in GOCDB"},
	} {
		t.Run(name, func(t *testing.T) {
			o := shared.again(t)
			o.services(c.services...)
			if c.do != nil {
				c.do(o)
			}
			k := o.register()
			if got := strings.TrimSpace(k.Value.Key + " " + k.Value.Site); got != c.want || k.Trouble != nil {
				t.Errorf("%q, want %q, %+v", got, c.want, k.Trouble)
			}
			if said := o.said(); !strings.Contains(said, c.says) {
				t.Errorf("%s\nwant %s", said, c.says)
			}
			if n := strings.Count(o.said(), "notice"); n != strings.Count(c.says, "which counts") {
				t.Errorf("%d notices: %s", n, o.said())
			}
		})
	}
}

// TestRegisterScopes: a service that is not in the federation's scope, and one that is not in production, are found.
func TestRegisterScopes(t *testing.T) {
	o := sqlite(t)
	services := o.services("SITE-A " + ep)
	services[0].Scopes, services[0].Production = []string{"Local"}, false
	o.gocdb.Set(services, nil)
	if k := o.register(); k.Value.Key != "16001G0" || !strings.Contains(o.said(), "16001G0 of SITE-A, which is not in production") {
		t.Errorf("%+v, %s", k, o.said())
	}
}

// silences are the ways in which GOCDB does not answer.
func silences() []faults.Fault {
	var all []faults.Fault
	for _, n := range faults.GOCDBFaults() {
		if n.Name != "gocdb-slow" { // TestSlowGOCDB
			all = append(all, n.Fault)
		}
	}
	for _, e := range []faults.Effect{
		{Status: 404}, {Cut: true},
		{Change: func([]byte) []byte { return []byte("<results></results>") }}, // no cloud of any site
	} {
		all = append(all, faults.Fault{Times: -1, Effect: e})
	}
	return all
}

// TestSilentGOCDB: what GOCDB said last counts while it does not answer, in whichever way, with its age and the trouble; what
// it never said is not known, and never "not registered".
func TestSilentGOCDB(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		o := opened(t, cfg)
		o.faults.Add(faults.GOCDBFaults()[0].Fault)
		if k := o.register(); k.IsKnown() || k.Trouble == nil || !strings.Contains(o.said(), "warn main endpoint "+ep+": is not known: ask for services at ") || !strings.Contains(o.said(), "set gocdb_id") {
			t.Errorf("never known: %+v, %s", k, o.said())
		}
		o.faults.Clear()
		o.services("SITE-A " + ep)
		good := o.now
		o.register()
		for i, f := range silences() {
			o.now = good.Add(time.Hour)
			since := o.now
			o.faults.Add(f)
			for range 2 {
				k := o.register()
				if k.Value.Key != "16001G0" || !k.At.Equal(good) || k.Trouble == nil || !k.Trouble.Since.Equal(since) || k.Trouble.Stage != "GOCDB" || k.Trouble.Kind == "" || len(k.Trouble.Reason) > 600 {
					t.Fatalf("%d: %+v, %+v", i, k, k.Trouble)
				}
				if said := o.said(); !strings.Contains(said, "main endpoint "+ep+": 16001G0, as GOCDB said on 2026-11-26 12:00 UTC; now: ") || !strings.Contains(said, "notice GOCDB: ") || o.report.Outcome != run.Done {
					t.Errorf("%d: %s, %s", i, o.report.Outcome, said)
				}
				if state := o.report.Checks[0].State; (state == run.CheckWarn) != (f.Effect.Status == 404) {
					t.Errorf("%d: %s %s", i, state, o.said())
				}
				o.now = o.now.Add(time.Hour)
			}
			if o.now = good.AddDate(0, 0, 30); o.register().Value.Key != "16001G0" || o.report.Checks[0].State != run.CheckWarn {
				t.Errorf("%d, a month later: %s", i, o.said())
			}
			o.faults.Clear()
			o.now = good
			if k := o.register(); k.Trouble != nil || !k.At.Equal(good) || strings.Contains(o.said(), "notice") {
				t.Errorf("%d, afterwards: %+v, %s", i, k, o.said())
			}
		}
		o.services("SITE-B https://x.example.org/")
		if k := o.register(); k.Value.Key != "" || !k.IsKnown() || k.Trouble != nil || !strings.Contains(o.said(), "fail") {
			t.Errorf("it is gone: %+v, %s", k, o.said())
		}
		o.faults.Add(faults.GOCDBFaults()[0].Fault)
		if k := o.register(); k.Value.Key != "" || !k.IsKnown() || k.Trouble == nil || !strings.Contains(o.said(), "warn main endpoint "+ep+": was not registered on 2026-11-26 12:00 UTC; now: ") {
			t.Errorf("it is gone, and silent: %+v, %s", k, o.said())
		}
		o.wanted[0].Key = "9G0"
		if k := o.register(); k.Value != (discovery.Registration{Key: "9G0", Site: "SITE-A"}) || k.Trouble != nil || o.report.Checks[0].State != run.CheckOK {
			t.Errorf("configured: %+v, %s", k, o.said())
		}
		o.wanted[0].Key = ""
		if k := o.register(); k.Value.Key != "" {
			t.Errorf("what was configured is taken for GOCDB's word: %+v", k)
		}
	})
}

// TestHugeGOCDB: of an answer without end only so much is read.
func TestHugeGOCDB(t *testing.T) {
	o := sqlite(t)
	records := bytes.Repeat([]byte("<SERVICE_ENDPOINT/>"), 5000)
	huge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write([]byte("<results>"))
		for sent := 0; err == nil && sent < 100<<20; sent += len(records) {
			_, err = w.Write(records)
		}
		if err == nil {
			t.Error("all of it was read")
		}
	}))
	defer huge.Close()
	o.target.Registry = &gocdb.Client{HTTP: huge.Client(), URL: huge.URL}
	if k := o.register(); k.IsKnown() || k.Trouble.Kind != "refused" || o.report.Checks[0].State != run.CheckWarn || len(o.said()) > 2000 {
		t.Errorf("%+v, %s", k.Trouble, o.said())
	}
}

// TestForeignGOCDB: one whose certificate nobody here trusts, and one that sends elsewhere, are not answers.
func TestForeignGOCDB(t *testing.T) {
	o := sqlite(t)
	o.services("SITE-A " + ep)
	o.target.Registry = &gocdb.Client{HTTP: http.DefaultClient, URL: o.server.URL + "/gocdbpi/public/"}
	if k := o.register(); k.IsKnown() || !strings.Contains(o.said(), "certificate") {
		t.Errorf("%+v, %s", k, o.said())
	}
	moved := httptest.NewServer(http.RedirectHandler("https://sso.example.org/login", http.StatusFound))
	defer moved.Close()
	c := moved.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("refused a redirect to another host") }
	o.target.Registry = &gocdb.Client{HTTP: c, URL: moved.URL}
	if k := o.register(); k.IsKnown() || !strings.Contains(o.said(), "refused a redirect") {
		t.Errorf("%+v, %s", k, o.said())
	}
}

// TestRenamedInGOCDB: an endpoint that was known keeps its key when its site has another name in GOCDB; at another address it
// does not.
func TestRenamedInGOCDB(t *testing.T) {
	o := sqlite(t)
	o.services("SITE-A " + ep)
	o.register()
	o.services("SITE-NEW " + ep + "/")
	if k := o.register(); k.Value != (discovery.Registration{Key: "16001G0", Site: "SITE-NEW"}) || !strings.Contains(o.said(), "warn main endpoint "+ep+": GOCDB has 16001G0 at SITE-NEW now, and no more at SITE-A → compare the site's name here with SITE-NEW") {
		t.Errorf("%+v, %s", k, o.said())
	}
	o.services("SITE-NEW https://ks.example.org:5001/v3")
	if k := o.register(); k.Value.Key != "" {
		t.Errorf("%+v, %s", k, o.said())
	}
	o.services("SITE-NEW " + ep)
	if k := o.register(); k.Value.Key != "" {
		t.Errorf("not known before: %+v, %s", k, o.said())
	}
}

// TestForgetEndpoints: what was kept goes with the endpoint, with GOCDB, and never with another site.
func TestForgetEndpoints(t *testing.T) {
	o := sqlite(t)
	const second = "https://ks2.example.org/v3"
	o.services("SITE-A "+ep, "SITE-A "+second, "SITE-B https://x.example.org/")
	b := o.target
	b.Site, b.Clouds = site.Site{ID: "site-b-1", Name: "SITE-B"}, nil
	if _, err := discovery.Register(t.Context(), o.deps(), &b, []discovery.Wanted{{EP: "https://x.example.org/"}}); err != nil {
		t.Fatal(err)
	}
	rows := func(siteID string) (n int) {
		if err := o.db.Read(t.Context(), func(tx *store.Tx) error {
			return tx.QueryRow(`SELECT count(*) FROM gocdb_answer WHERE site = $1`, siteID).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	o.wanted = append(o.wanted, discovery.Wanted{EP: second})
	o.register()
	if n := rows(o.target.Site.ID); n != 4 {
		t.Errorf("%d rows of two endpoints", n)
	}
	o.wanted = o.wanted[:1]
	o.register()
	if n := rows(o.target.Site.ID); n != 2 {
		t.Errorf("%d rows of one endpoint", n)
	}
	o.target.Registry = nil
	if k := o.register(); k.IsKnown() || k.Trouble != nil || rows(o.target.Site.ID) != 0 {
		t.Errorf("%+v, %d rows", k, rows(o.target.Site.ID))
	}
	o.wanted[0].Key = "16001G0"
	if k := o.register(); k.Value != (discovery.Registration{Key: "16001G0", Site: "SITE-A"}) || rows(o.target.Site.ID) != 0 || rows("site-b-1") != 2 {
		t.Errorf("%+v, %d and %d rows", k, rows(o.target.Site.ID), rows("site-b-1"))
	}
}

// slow is a GOCDB that answers nobody in time.
type slow struct {
	asked []time.Duration // how much time there was
	stop  func()
}

func (s *slow) wait(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.asked = append(s.asked, time.Until(deadline))
	if s.stop != nil {
		s.stop()
		return context.Canceled
	}
	return &gocdb.Error{Op: "ask", Cause: context.DeadlineExceeded}
}

func (s *slow) Services(ctx context.Context, _ gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	return nil, nil, s.wait(ctx)
}

func (s *slow) Downtimes(ctx context.Context, _ gocdb.Query, _ time.Time) ([]gocdb.Downtime, []gocdb.Oddity, error) {
	return nil, nil, s.wait(ctx)
}

// broken is a GOCDB that cannot even be asked.
type broken struct{ discovery.Registry }

func (broken) Services(context.Context, gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	return nil, nil, errors.New("no such proxy")
}

// TestSlowGOCDB: GOCDB is waited for only so long, once; a run that is given up keeps nothing.
func TestSlowGOCDB(t *testing.T) {
	o := sqlite(t)
	s := &slow{}
	o.target.Registry = s
	if k := o.register(); k.IsKnown() || k.Trouble.Kind != "cannot be reached or is down" || len(s.asked) != 1 || s.asked[0] > 30*time.Second || s.asked[0] < time.Second {
		t.Errorf("%+v, %v", k.Trouble, s.asked)
	}
	o.target.Registry = broken{}
	if k := o.register(); k.Trouble.Kind != "not asked" || !strings.Contains(o.said(), "is not known: no such proxy → check discovery.gocdb") {
		t.Errorf("cannot even be asked: %+v, %s", k.Trouble, o.said())
	}
	o = sqlite(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.target.Registry = &slow{stop: cancel}
	if _, err := discovery.Register(ctx, o.deps(), &o.target, o.wanted); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := o.db.Read(t.Context(), func(tx *store.Tx) error {
		var n int
		err := tx.QueryRow(`SELECT count(*) FROM gocdb_answer`).Scan(&n)
		if n != 0 {
			t.Errorf("%d rows", n)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestOddRecords: records that cannot be used are told, and the others count.
func TestOddRecords(t *testing.T) {
	o := sqlite(t)
	o.services("SITE-A "+ep, "SITE-B https://x.example.org/")
	o.faults.Add(faults.Fault{Times: -1, Effect: faults.Effect{Change: func(b []byte) []byte {
		return []byte(strings.ReplaceAll(string(b), "<SITENAME>SITE-B</SITENAME>", "<SITENAME></SITENAME>"))
	}}})
	if k := o.register(); k.Value.Key != "16001G0" || !strings.Contains(o.said(), "notice GOCDB: 1 of its services cannot be used and are left out; the first is service 16002G0: it has no SITENAME") {
		t.Errorf("%+v, %s", k, o.said())
	}
}
