package federation

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// asker gives a client of the federation's GOCDB.
func asker(t *testing.T, f *Federation) *gocdb.Client {
	t.Helper()
	return &gocdb.Client{HTTP: client(t, f, nil).HTTP, URL: f.GOCDBURL()}
}

// TestRegister: what a site registers is what GOCDB tells, over TLS, also after the site got another name.
func TestRegister(t *testing.T) {
	f := started(t)
	c := asker(t, f)
	a, b := f.Register("SITE-A", "https://ks.a.example.org:5000/v3"), f.Register("SITE-B", "https://ks.b.example.org/v3")
	outage := f.Downtime("SITE-A", true, day.Add(-time.Hour), day.Add(time.Hour), "a new switch")
	f.Downtime("SITE-B", false, day.Add(time.Hour), day.Add(2*time.Hour), "new certificates")
	f.Rename("SITE-B", "SITE-B-NEW")
	services, odd, err := c.Services(t.Context(), gocdb.Query{Type: gocdb.Nova})
	if err != nil || len(odd) > 0 || len(services) != 2 {
		t.Fatalf("%+v, %v, %v", services, odd, err)
	}
	for i, want := range []gocdb.Service{{Key: a, Site: "SITE-A", URL: "https://ks.a.example.org:5000/v3"}, {Key: b, Site: "SITE-B-NEW", URL: "https://ks.b.example.org/v3"}} {
		if s := services[i]; s.Key != want.Key || s.Site != want.Site || s.URL != want.URL || !s.Production {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	hosts, _, err := c.Services(t.Context(), gocdb.Query{Site: "SITE-A", Type: accounting})
	if err != nil || len(hosts) != 1 || hosts[0].HostDN != f.Sites[0].DN {
		t.Errorf("%+v, %v", hosts, err)
	}
	downtimes, _, err := c.Downtimes(t.Context(), gocdb.Query{Type: gocdb.Nova}, day)
	if err != nil || len(downtimes) != 2 || downtimes[0].Severity != gocdb.Outage || !downtimes[0].Ongoing(day) || !downtimes[0].Affects(services[0], services[0].URL) ||
		downtimes[1].Severity != gocdb.Warning || !downtimes[1].Planned(day) || !downtimes[1].Affects(services[1], services[1].URL) {
		t.Errorf("%+v, %v", downtimes, err)
	}
	f.EndDowntime(outage)
	if downtimes, _, err = c.Downtimes(t.Context(), gocdb.Query{Site: "SITE-A"}, day); err != nil || len(downtimes) != 0 {
		t.Errorf("%+v, %v", downtimes, err)
	}
}

// TestGOCDBFaults: each named fault keeps GOCDB from answering, and ends with it.
func TestGOCDBFaults(t *testing.T) {
	f := started(t)
	c := asker(t, f)
	want := map[string]string{"gocdb-down": "EOF", "gocdb-slow": "canceled", "gocdb-500": "500", "gocdb-garbage": "not what GOCDB answers"}
	for _, n := range faults.GOCDBFaults() {
		ctx, cancel := context.WithCancel(t.Context())
		if n.Name == "gocdb-slow" {
			n.Fault.Effect.Do = cancel
		}
		f.Faults.Add(n.Fault)
		if _, _, err := c.Services(ctx, gocdb.Query{}); err == nil || !strings.Contains(err.Error(), want[n.Name]) {
			t.Errorf("%s: %v", n.Name, err)
		}
		f.Faults.Clear()
		cancel()
		if _, _, err := c.Services(t.Context(), gocdb.Query{}); err != nil {
			t.Errorf("after %s: %v", n.Name, err)
		}
	}
	url := f.GOCDBURL()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Services(t.Context(), gocdb.Query{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	if err := f.Listen(); err != nil || f.GOCDBURL() != url {
		t.Fatalf("%v, %s", err, f.GOCDBURL())
	}
	res, err := c.HTTP.Get(url + "?method=get_service")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("%v", err)
	}
	_ = res.Body.Close()
}
