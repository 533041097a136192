package discovery_test

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// ep is the endpoint that most tests look for.
const ep = "https://ks.example.org:5000/v3"

// office is a site before an emulated GOCDB.
type office struct {
	t      *testing.T
	now    time.Time
	gocdb  *emulated.GOCDB
	server *httptest.Server
	faults *faults.Set
	target discovery.Target
	wanted []discovery.Wanted
	db     *store.Store
	report run.Report // of the last run
}

// opened gives a site SITE-A with one cloud, whose GOCDB is served over TLS and knows nothing yet.
func opened(t *testing.T, cfg store.Config) *office {
	t.Helper()
	o := &office{t: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), faults: &faults.Set{}, db: storetest.Open(t, cfg)}
	o.gocdb = emulated.New(func() time.Time { return o.now }, emulated.Options{})
	o.server = httptest.NewUnstartedServer(o.faults.Middleware(o.gocdb))
	o.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.server.StartTLS()
	t.Cleanup(o.server.Close)
	return o.again(t)
}

// again gives another site of which nothing is known yet, on the same database and before the same GOCDB.
func (o *office) again(t *testing.T) *office {
	o = &office{t: t, now: o.now, gocdb: o.gocdb, server: o.server, faults: o.faults, db: o.db}
	o.gocdb.Set(nil, nil)
	o.target = discovery.Target{Site: site.Site{ID: t.Name(), Name: "SITE-A"}, Settings: discovery.Settings{Mode: site.Active},
		Registry: &gocdb.Client{HTTP: o.server.Client(), URL: o.server.URL + emulated.Path},
		Clouds:   []discovery.CloudTarget{{Cloud: site.Cloud{ID: "cloud-1", Name: "main"}, EP: ep}}}
	o.wanted = []discovery.Wanted{{EP: ep}}
	return o
}

// sqlite opens one where the kind of database makes no difference.
func sqlite(t *testing.T) *office {
	t.Helper()
	return opened(t, store.Config{Path: t.TempDir() + "/fedsite.db"})
}

// services has GOCDB know services of clouds, "SITE-A https://…" with further addresses behind.
func (o *office) services(all ...string) []emulated.Service {
	var services []emulated.Service
	for i, text := range all {
		words := strings.Fields(text)
		s := emulated.Service{ID: 16001 + i, Site: words[0], Type: gocdb.Nova, Host: "ks.example.org", URL: words[1], Production: true, Monitored: true, Scopes: []string{"EGI"}}
		for n, more := range words[2:] {
			s.Endpoints = append(s.Endpoints, emulated.Endpoint{ID: 10*i + n, URL: more})
		}
		services = append(services, s)
	}
	o.gocdb.Set(services, nil)
	return services
}

// deps gives what a run needs.
func (o *office) deps() discovery.Deps {
	now := func() time.Time { return o.now }
	return discovery.Deps{Now: now, DB: o.db, Log: slog.New(slog.DiscardHandler), Run: run.NewRecorder("discovery.publish/site-a-1", now, nil)}
}

// register asks, and gives the registration of ep.
func (o *office) register() discovery.Known[discovery.Registration] {
	o.t.Helper()
	d := o.deps()
	all, err := discovery.Register(o.t.Context(), d, &o.target, o.wanted)
	if err != nil {
		o.t.Fatal(err)
	}
	if len(all) != len(o.wanted) {
		o.t.Errorf("%d registrations of %d", len(all), len(o.wanted))
	}
	o.report = d.Run.Finish()
	return all[ep]
}

// said gives the checks of the last run and its notices: "warn main endpoint …: reason → remedy", "notice object: reason".
func (o *office) said() string {
	var all []string
	for _, c := range o.report.Checks {
		text := fmt.Sprintf("%s %s %s: %s", c.State, c.Cloud, c.Object, c.Reason)
		if c.Remedy != "" {
			text += " → " + c.Remedy
		}
		all = append(all, text)
	}
	for _, p := range o.report.Problems {
		if !p.Notice {
			o.t.Errorf("a problem: %+v", p)
		}
		all = append(all, "notice "+p.Object+": "+p.Reason)
	}
	return strings.Join(all, "\n")
}

// downtimes gives what health is told.
func (o *office) downtimes() []discovery.Downtime {
	o.t.Helper()
	all, err := discovery.Downtimes(o.t.Context(), o.db, &o.target, o.now)
	if err != nil {
		o.t.Fatal(err)
	}
	return all
}

// ids names downtimes, with the clouds that are in them: "1, 2 (main)".
func ids(all []discovery.Downtime) string {
	var words []string
	for _, d := range all {
		text := d.ID
		if d.Clouds != nil {
			text += " (" + strings.Join(slices.Sorted(slices.Values(d.Clouds)), " ") + ")"
		}
		words = append(words, text)
	}
	return strings.Join(words, ", ")
}
