package discovery_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/internal/store/storetest"
)

// TestDowntimes: of a site's downtimes those of its endpoints are told, with the clouds that are in them, and what is over
// only for a while. They are what GOCDB said last while it is silent.
func TestDowntimes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, cfg store.Config) {
		const second = "https://ks2.example.org/v3"
		o := opened(t, cfg)
		o.target.Clouds = append(o.target.Clouds, discovery.CloudTarget{Cloud: site.Cloud{ID: "cloud-2", Name: "r2"}, EP: second}, discovery.CloudTarget{Cloud: site.Cloud{ID: "cloud-3", Name: "r3"}, EP: second})
		o.wanted = append(o.wanted, discovery.Wanted{EP: second})
		services := o.services("SITE-A "+ep, "SITE-A "+second, "SITE-B https://ks.b.example.org/v3")
		services = append(services, emulated.Service{ID: 17000, Site: "SITE-A", Type: "org.openstack.horizon", Host: "ks.example.org", Scopes: []string{"EGI"}})
		hour := func(h int) time.Time { return o.now.Truncate(time.Hour).Add(time.Duration(h) * time.Hour) }
		d := func(id int, severity string, from, to int, of ...int) emulated.Downtime {
			return emulated.Downtime{ID: id, Severity: severity, Classification: "SCHEDULED", Description: " a new\nswitch & <more>", Start: hour(from), End: hour(to), Services: of}
		}
		all := []emulated.Downtime{
			d(1, "OUTAGE", -3, 3, 16001, 16002), d(2, "WARNING", -2, 2, 16002), d(3, "OUTAGE", 24, 25, 16001), d(4, "OUTAGE", -9, -5, 16001),
			d(5, "OUTAGE", -9, -7, 16001), // over for too long
			d(6, "OUTAGE", -1, 1, 17000),  // of a dashboard
			d(7, "OUTAGE", -1, 1, 16003),  // of another site
		}
		o.gocdb.Set(services, all)
		asked := o.now
		o.register()
		got := o.downtimes()
		if want := "4 (main), 1, 2 (r2 r3), 3 (main)"; ids(got) != want {
			t.Fatalf("%s, want %s", ids(got), want)
		}
		if d := got[1]; !d.Outage || !d.Start.Equal(hour(-3)) || !d.End.Equal(hour(3)) || d.Description != "a new switch & <more>" || !d.Asked.Equal(o.now) || !strings.HasPrefix(d.Page, "http") || got[2].Outage {
			t.Errorf("%+v", got)
		}
		for _, f := range silences() {
			o.faults.Add(f)
			o.now = asked.Add(2 * time.Hour)
			o.register()
			if got := o.downtimes(); ids(got) != "1, 2 (r2 r3), 3 (main)" || !got[0].Asked.Equal(asked) {
				t.Errorf("silent: %s, %+v", ids(got), got[0])
			}
			o.faults.Clear()
		}
		// Services are answered, and downtimes are not.
		o.now = asked.Add(time.Hour)
		o.faults.Add(faults.Fault{Query: "get_downtime", Times: -1, Effect: faults.Effect{Status: 500}})
		if k := o.register(); !k.At.Equal(o.now) || k.Trouble != nil || !strings.Contains(o.said(), "notice GOCDB: ask for downtimes at ") {
			t.Errorf("%+v, %s", k, o.said())
		}
		if got := o.downtimes(); ids(got) != "1, 2 (r2 r3), 3 (main)" || !got[0].Asked.Equal(asked) {
			t.Errorf("%s, %+v", ids(got), got)
		}
		o.faults.Clear()
		// One is ended earlier, and one is not planned any more.
		all[0].End = o.now
		o.gocdb.Set(services, slices.Delete(all, 2, 3))
		o.register()
		if got := o.downtimes(); ids(got) != "1, 2 (r2 r3)" || !got[0].End.Equal(o.now) {
			t.Errorf("ended: %s, %+v", ids(got), got)
		}
		o.target.Registry = nil
		if o.register(); o.downtimes() != nil {
			t.Errorf("GOCDB is asked no more: %s", ids(o.downtimes()))
		}
	})
}

// TestDowntimeOfWhich: an endpoint is in the downtime of the service that it is; where that is not known, in those of its host.
func TestDowntimeOfWhich(t *testing.T) {
	shared := sqlite(t)
	for name, c := range map[string]struct {
		services  []string
		do        func(o *office)
		endpoints []int // that the downtime of service 16001 names
		want      string
	}{
		"its own":                            {[]string{"SITE-A " + ep}, nil, nil, "1"},
		"its own, as the other endpoint":     {[]string{"SITE-A https://x.example.org/ https://x.example.org/2 " + ep}, nil, []int{1}, "1"},
		"of another endpoint of the service": {[]string{"SITE-A https://x.example.org/ https://x.example.org/2 " + ep}, nil, []int{0}, ""},
		"of another service on its host":     {[]string{"SITE-A https://ks.example.org:5001/v3", "SITE-A " + ep}, nil, nil, ""},
		"not registered":                     {[]string{"SITE-A https://ks.example.org:5001/v3"}, nil, nil, "1"},
		"configured":                         {[]string{"SITE-A https://ks.example.org:5001/v3"}, func(o *office) { o.wanted[0].Key = "16001G0" }, nil, "1"},
		"configured as another":              {[]string{"SITE-A https://ks.example.org:5001/v3"}, func(o *office) { o.wanted[0].Key = "9G0" }, nil, ""},
		"under a former name":                {[]string{"SITE-OLD " + ep}, func(o *office) { o.target.Site.Formerly = []site.Former{{Name: "SITE-OLD", Until: o.now}} }, nil, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			o := shared.again(t)
			services := o.services(c.services...)
			o.gocdb.Set(services, []emulated.Downtime{{ID: 1, Severity: "OUTAGE", Start: o.now.Add(-time.Hour), End: o.now.Add(time.Hour), Services: []int{16001}, Endpoints: c.endpoints}})
			if c.do != nil {
				c.do(o)
			}
			o.register()
			if got := ids(o.downtimes()); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// TestManyDowntimes: however many there are, and whatever is written in them, what is kept is bounded.
func TestManyDowntimes(t *testing.T) {
	o := sqlite(t)
	services := o.services("SITE-A " + ep)
	var all []emulated.Downtime
	for n := range 200 {
		at := o.now.AddDate(0, 0, 200-n)
		all = append(all, emulated.Downtime{ID: n + 1, Severity: "OUTAGE", Description: strings.Repeat("ü", 5000), Start: at, End: at.Add(time.Hour), Services: []int{16001}})
	}
	o.gocdb.Set(services, all)
	o.register()
	if got := o.downtimes(); len(got) != 50 || got[0].ID != "200" || len(got[0].Description) > 310 {
		t.Errorf("%d, %+v", len(got), got[0].ID)
	}
}
