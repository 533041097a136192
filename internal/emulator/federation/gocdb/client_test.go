package gocdb_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
	client "github.com/fedsite/fedsite/protocol/gocdb"
)

// serve puts a register behind faults, and gives a client of it.
func serve(t *testing.T, g *gocdb.GOCDB) (*client.Client, *faults.Set) {
	t.Helper()
	set := &faults.Set{}
	srv := httptest.NewServer(set.Middleware(g))
	t.Cleanup(srv.Close)
	return &client.Client{HTTP: srv.Client(), URL: srv.URL + gocdb.Path}, set
}

// TestClient: fedsite's own client reads what is registered, in any way of paging.
func TestClient(t *testing.T) {
	for name, o := range map[string]gocdb.Options{"at once": {}, "in pages of one": {PageSize: 1}, "in pages of two, unasked": {PageSize: 2, Paging: true}} {
		c, _ := serve(t, register(o))
		c.Paged = name == "in pages of one"
		services, odd, err := c.Services(t.Context(), client.Query{Type: nova})
		if err != nil || len(odd) > 0 {
			t.Fatalf("%s: %v, %v", name, odd, err)
		}
		if got := keys(services); got != "16001G0 16002G0 16004G0" {
			t.Errorf("%s: %s", name, got)
		}
		if s := services[0]; s.URL != "https://ks.example.org:5000/v3/?a&b" || s.Endpoints[0].Name != `R2 <"&">` || s.HostDN != "/C=NL/CN=ks.example.org" || !s.Production || !s.Monitored || strings.Join(s.Scopes, " ") != "EGI FedCloud" {
			t.Errorf("%s: %+v", name, s)
		}
		downtimes, odd, err := c.Downtimes(t.Context(), client.Query{}, now)
		if err != nil || len(odd) > 0 || len(downtimes) != 2 || downtimes[0].ID != "2" || downtimes[1].ID != "4" {
			t.Fatalf("%s: %+v, %v, %v", name, downtimes, odd, err)
		}
		d := downtimes[0]
		if !d.Ongoing(now) || d.Severity != client.Warning || d.Key != "1192G0" || !d.Start.Equal(now.Add(-2*time.Hour)) || d.Description != "now, <here> & there" || !downtimes[1].Planned(now) {
			t.Errorf("%s: %+v", name, downtimes)
		}
		// Of two services of one host, only the first is in it, and of that only the endpoint.
		if d.Affects(services[1], services[1].URL) || !d.Affects(services[0], "https://ks.example.org:5002/v3/") {
			t.Errorf("%s: %+v", name, d.Services)
		}
	}
}

// TestOneSite: what SQL's LIKE finds besides is not told, and services of other scopes only when they are asked for.
func TestOneSite(t *testing.T) {
	c, _ := serve(t, register(gocdb.Options{}))
	for site, want := range map[string]string{"EXAMPLE_CLOUD": "16001G0 16002G0 16003G0", "example-cloud": "16004G0", "%": "", "LOCAL": ""} {
		services, _, err := c.Services(t.Context(), client.Query{Site: site})
		if err != nil || keys(services) != want {
			t.Errorf("%s: %s, %v", site, keys(services), err)
		}
		downtimes, _, err := c.Downtimes(t.Context(), client.Query{Site: site}, time.Time{}.AddDate(2000, 0, 0))
		if n := map[string]int{"EXAMPLE_CLOUD": 3, "example-cloud": 1}[site]; err != nil || len(downtimes) != n {
			t.Errorf("%s: %d downtimes, want %d, %v", site, len(downtimes), n, err)
		}
	}
	services, _, err := c.Services(t.Context(), client.Query{Site: "LOCAL", AllScopes: true})
	if err != nil || keys(services) != "16005G0" {
		t.Errorf("%s, %v", keys(services), err)
	}
	downtimes, _, err := c.Downtimes(t.Context(), client.Query{Site: "LOCAL", AllScopes: true}, now)
	if err != nil || len(downtimes) != 1 || downtimes[0].ID != "5" {
		t.Errorf("%+v, %v", downtimes, err)
	}
	_, _, err = c.Services(t.Context(), client.Query{Site: "O'HIGGINS"})
	if e := failure(t, err); !e.Permanent() || !strings.Contains(e.Message, "Unsuported chracter") {
		t.Errorf("%v", err)
	}
}

// TestFaults puts faults in front of the register: each ends in an error that says whether it passes.
func TestFaults(t *testing.T) {
	const page = "<html><body><h1>503 Service Unavailable</h1></body></html>"
	for name, c := range map[string]struct {
		effect    faults.Effect
		want      string
		permanent bool
	}{
		"500":            {faults.Effect{Status: 500}, "500 Internal Server Error", false},
		"503":            {faults.Effect{Status: 503, RetryAfter: "60", Body: page}, "503 <html>", false},
		"404":            {faults.Effect{Status: 404}, "404 Not Found", true},
		"a page":         {faults.Effect{Change: func([]byte) []byte { return []byte(page) }}, "not what GOCDB answers: <html>", false},
		"nothing":        {faults.Effect{Change: func([]byte) []byte { return nil }}, "an empty answer", false},
		"half of it":     {faults.Effect{Change: func(b []byte) []byte { return b[:len(b)/2] }}, "200", false},
		"cut":            {faults.Effect{Cut: true}, "200, then unexpected EOF", false},
		"cut at the end": {faults.Effect{CutAt: -3}, "200, then unexpected EOF", false},
		"no answer":      {faults.Effect{Unread: true}, "EOF", false},
		"lost":           {faults.Effect{Lost: true}, "EOF", false},
	} {
		cl, set := serve(t, register(gocdb.Options{PageSize: 2, Paging: true}))
		for nth := 1; nth <= 2; nth++ { // the second page too
			set.Clear()
			set.Add(faults.Fault{Service: "gocdbpi", Path: "/public/", Query: "method=get_service", Nth: nth, Times: -1, Effect: c.effect})
			services, _, err := cl.Services(t.Context(), client.Query{})
			if e := failure(t, err); services != nil || !strings.Contains(err.Error(), c.want) || e.Permanent() != c.permanent || e.Hint() == "" {
				t.Errorf("%s of page %d: %v, permanent %v, hint %q, %d services", name, nth, err, e.Permanent(), e.Hint(), len(services))
			}
		}
		set.Clear()
		if services, _, err := cl.Services(t.Context(), client.Query{}); err != nil || len(services) != 4 {
			t.Errorf("after %s: %d services, %v", name, len(services), err)
		}
	}
}

// TestSlow: a register that does not answer takes as long as its caller has time.
func TestSlow(t *testing.T) {
	c, set := serve(t, register(gocdb.Options{}))
	ctx, cancel := context.WithCancel(t.Context())
	set.Add(faults.Fault{Service: "gocdbpi", Effect: faults.Effect{Do: cancel, Delay: time.Hour}})
	_, _, err := c.Downtimes(ctx, client.Query{}, now)
	if e := failure(t, err); !errors.Is(err, context.Canceled) || e.Permanent() {
		t.Errorf("%v", err)
	}
}

// TestLookUp goes from an endpoint to its key, and to its downtimes.
func TestLookUp(t *testing.T) {
	c, _ := serve(t, register(gocdb.Options{}))
	services, _, err := c.Services(t.Context(), client.Query{Type: nova})
	if err != nil {
		t.Fatal(err)
	}
	m, err := client.Match(services, client.Wanted{URL: "https://KS.example.org:5002/v3/", Site: "EXAMPLE_CLOUD"})
	if err != nil || len(m.Found) != 1 || m.Found[0].Service.Key != "16001G0" || m.Found[0].Endpoint != "71" {
		t.Fatalf("%+v, %v", m, err)
	}
	downtimes, _, err := c.Downtimes(t.Context(), client.Query{}, now)
	if err != nil {
		t.Fatal(err)
	}
	var in []string
	for _, d := range downtimes {
		if d.Affects(m.Found[0].Service, m.Wanted.URL) {
			in = append(in, d.ID)
		}
	}
	if strings.Join(in, " ") != "2" {
		t.Errorf("in downtimes %v", in)
	}
}

func keys(services []client.Service) string {
	var all []string
	for _, s := range services {
		all = append(all, s.Key)
	}
	return strings.Join(all, " ")
}

func failure(t *testing.T, err error) *client.Error {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		t.Fatalf("%v (%T)", err, err)
	}
	return e
}
