package gocdb

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestServices(t *testing.T) {
	s := one(file(t, "services.xml"))
	got, odd, err := s.client().Services(t.Context(), Query{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Service{
		{Key: "16001G0", Site: "EXAMPLE-CLOUD", Type: Nova, Host: "keystone.example.org", HostDN: "/C=NL/O=Example/CN=keystone.example.org", URL: "https://keystone.example.org:5000/v3/",
			Endpoints:  []Endpoint{{"71", "region R2", "https://keystone.example.org:5001/v3?region=R2&x=1", Nova, false}, {"72", "", "", "", true}},
			Production: true, Monitored: true, Scopes: []string{"EGI", "FedCloud"}, Page: "https://goc.example.org/portal/index.php?Page_Type=Service&id=16001"},
		{Key: "16002G0", Site: "R&D; & SONS", Type: Nova, Host: "old.example.org", URL: "https://old.example.org:5000/v3"}, // without ENDPOINTS and SCOPES, and not escaped
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("services (-want +got):\n%s", d)
	}
	wantOdd := []Oddity{{"service, number 3 of the answer", `its PRIMARY_KEY is ""`}, {"service 16003G0", "it has no SITENAME"}, {"service ../16004", `its PRIMARY_KEY is "../16004"`}}
	if d := cmp.Diff(wantOdd, odd); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}
}

func TestDowntimes(t *testing.T) {
	day := func(d, h int) time.Time { return time.Date(2026, 11, d, h, 0, 0, 0, time.UTC) }
	s := one(file(t, "downtimes-nested.xml"))
	got, odd, err := s.client().Downtimes(t.Context(), Query{}, noon)
	if err != nil {
		t.Fatal(err)
	}
	want := []Downtime{
		{ID: "32578", Key: "113653G0", Severity: Warning, Classification: "SCHEDULED", Start: day(26, 9), End: day(26, 12), Description: "Kernel <update>,\none region at a time",
			Page: "https://goc.example.org/portal/index.php?Page_Type=Downtime&id=32578", Services: []Affected{
				{"16001G0", "EXAMPLE-CLOUD", Nova, "keystone.example.org", []Endpoint{{"71", "region R2", "https://keystone.example.org:5001/v3", Nova, false}}},
				{Key: "17000G0", Site: "EXAMPLE-CLOUD", Type: "org.openstack.swift", Host: "swift.example.org"},
			}},
		{ID: "32579", Key: "32579G0", Severity: Outage, Classification: "UNSCHEDULED", Start: day(26, 10), End: day(27, 10), Description: "Power",
			Services: []Affected{{Key: "16001G0", Site: "EXAMPLE-CLOUD", Type: Nova, Host: "keystone.example.org"}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("downtimes (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]Oddity{{"downtime 32580", `its START_DATE is "soon"`}, {"downtime 32581", "it ends at 2026-11-26T09:00:00Z, before it begins"}}, odd); d != "" {
		t.Errorf("left out (-want +got):\n%s", d)
	}

	// The flat form repeats a downtime for each service.
	got, odd, err = one(file(t, "downtimes-flat.xml")).client().Downtimes(t.Context(), Query{}, noon)
	if err != nil || len(odd) > 0 || len(got) != 1 || len(got[0].Services) != 2 || got[0].ID != "32578" || got[0].Services[1].Host != "swift.example.org" || got[0].Services[1].Key != "" {
		t.Errorf("the flat form: %+v, %v, %v", got, odd, err)
	}

	// Those that are over at the instant are not told, nor services that were not asked for.
	got, _, err = one(file(t, "downtimes-nested.xml")).client().Downtimes(t.Context(), Query{Type: "org.openstack.swift"}, noon)
	if err != nil || len(got) != 1 || len(got[0].Services) != 1 || got[0].Services[0].Key != "17000G0" {
		t.Errorf("of one type: %+v, %v", got, err)
	}
	got, _, err = one(file(t, "downtimes-nested.xml")).client().Downtimes(t.Context(), Query{}, day(26, 12))
	if err != nil || len(got) != 1 || got[0].ID != "32579" {
		t.Errorf("at the end of the first: %+v, %v", got, err)
	}
}

// TestQuestions holds what is asked against GOCDB's documentation, and what is kept of answers to SQL's LIKE.
func TestQuestions(t *testing.T) {
	s := one(`<results>
		<SERVICE_ENDPOINT PRIMARY_KEY="1G0"><SITENAME>A_B</SITENAME><SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE></SERVICE_ENDPOINT>
		<SERVICE_ENDPOINT PRIMARY_KEY="2G0"><SITENAME>A-B</SITENAME><SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE></SERVICE_ENDPOINT>
		<SERVICE_ENDPOINT PRIMARY_KEY="3G0"><SITENAME>a_b</SITENAME><SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE></SERVICE_ENDPOINT>
		<SERVICE_ENDPOINT PRIMARY_KEY="4G0"><SITENAME>A_B</SITENAME><SERVICE_TYPE>org-openstack-nova</SERVICE_TYPE></SERVICE_ENDPOINT></results>`)
	got, odd, err := s.client().Services(t.Context(), Query{Site: "A_B", Type: Nova})
	if err != nil || len(odd) > 0 || len(got) != 2 || got[0].Key != "1G0" || got[1].Key != "3G0" {
		t.Errorf("%+v, %v, %v", got, odd, err)
	}
	later := time.Date(2026, 11, 27, 0, 30, 0, 0, time.FixedZone("", 3600)) // still the 26th in UTC
	for _, ask := range []func(*Client) error{
		func(c *Client) error { _, _, err := c.Services(t.Context(), Query{}); return err },
		func(c *Client) error {
			_, _, err := c.Services(t.Context(), Query{Type: Nova, AllScopes: true})
			return err
		},
		func(c *Client) error { _, _, err := c.Downtimes(t.Context(), Query{Type: Nova}, later); return err },
		func(c *Client) error {
			_, _, err := c.Downtimes(t.Context(), Query{Site: "A&B", AllScopes: true}, later)
			return err
		},
	} {
		if err := ask(s.client()); err != nil {
			t.Error(err)
		}
	}
	want := []url.Values{
		{"method": {"get_service"}, "service_type": {"org.openstack.nova"}, "sitename": {"A_B"}},
		{"method": {"get_service"}},
		{"method": {"get_service"}, "service_type": {"org.openstack.nova"}, "scope": {""}},
		{"method": {"get_downtime_nested_services"}, "windowstart": {"2026-11-26"}},
		{"method": {"get_downtime_nested_services"}, "windowstart": {"2026-11-26"}, "topentity": {"A&B"}, "scope": {""}},
	}
	if d := cmp.Diff(want, s.asked); d != "" {
		t.Errorf("questions (-want +got):\n%s", d)
	}
	if s.at != "GET https://goc.example.org/gocdbpi/public/" {
		t.Errorf("asked %s", s.at)
	}
	c := s.client()
	c.URL = ""
	if _, _, err := c.Services(t.Context(), Query{}); err != nil || s.at != "GET https://goc.egi.eu/gocdbpi/public/" {
		t.Errorf("by default: %s, %v", s.at, err)
	}
}

// page is a page as GOCDB gives it. Its links name a host that nobody asks.
func page(next string, count int, keys ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<results><meta><link rel="self" href="https://elsewhere.example.org/?next_cursor=0"/>`)
	if next != "" {
		fmt.Fprintf(&b, `<link rel="next" href="https://elsewhere.example.org/gocdbpi/public/?method=get_service&amp;next_cursor=%s"/>`, next)
	}
	fmt.Fprintf(&b, `<link rel="start" href="x?next_cursor=0"/><count>%d</count><max_page_size>2</max_page_size></meta>`, count)
	for _, k := range keys {
		fmt.Fprintf(&b, `<SERVICE_ENDPOINT PRIMARY_KEY="%s"><SITENAME>S</SITENAME></SERVICE_ENDPOINT>`, k)
	}
	return b.String() + `</results>`
}

func TestPages(t *testing.T) {
	for name, c := range map[string]struct {
		pages map[string]string
		paged bool
		keys  string
		asked int
		want  string // in the error
	}{
		"asked for":             {map[string]string{"0": page("2", 2, "1G0", "2G0"), "2": page("4", 2, "3G0", "4G0"), "4": page("5", 1, "5G0")}, true, "1G0 2G0 3G0 4G0 5G0", 3, ""},
		"the last one is full":  {map[string]string{"0": page("2", 2, "1G0", "2G0"), "2": page("", 0)}, true, "1G0 2G0", 2, ""},
		"nothing":               {map[string]string{"0": page("", 0)}, true, "", 1, ""},
		"by the server's will":  {map[string]string{"": page("2", 2, "1G0", "2G0"), "2": page("3", 1, "3G0")}, false, "1G0 2G0 3G0", 2, ""},
		"cannot page":           {map[string]string{"0": `<results><SERVICE_ENDPOINT PRIMARY_KEY="1G0"><SITENAME>S</SITENAME></SERVICE_ENDPOINT></results>`}, true, "1G0", 1, ""},
		"the same again":        {map[string]string{"0": page("2", 2, "1G0", "2G0"), "2": page("2", 2, "1G0", "2G0")}, true, "", 2, "in circles"},
		"back":                  {map[string]string{"0": page("7", 2, "1G0", "2G0"), "7": page("3", 2, "1G0", "2G0")}, true, "", 2, "in circles"},
		"to the beginning":      {map[string]string{"": page("-1", 2, "1G0", "2G0")}, false, "", 1, "in circles"},
		"a cursor that is none": {map[string]string{"": page("x", 2, "1G0", "2G0")}, false, "", 1, "no cursor"},
		"no link":               {map[string]string{"": page("", 2, "1G0", "2G0")}, false, "", 1, "without a link"},
		"nothing, of any size":  {map[string]string{"": `<results><meta><count>0</count></meta></results>`}, false, "", 1, ""},
		"no count":              {map[string]string{"": `<results><meta/></results>`}, false, "", 1, `count is ""`},
		"the second is cut":     {map[string]string{"0": page("2", 2, "1G0", "2G0"), "2": "<results>"}, true, "", 2, "ends in the middle"},
	} {
		s := &server{pages: c.pages}
		client := s.client()
		client.Paged = c.paged
		got, _, err := client.Services(t.Context(), Query{})
		var keys []string
		for _, s := range got {
			keys = append(keys, s.Key)
		}
		if strings.Join(keys, " ") != c.keys || len(s.asked) != c.asked {
			t.Errorf("%s: %v with %d requests, want %s with %d", name, keys, len(s.asked), c.keys, c.asked)
		}
		if c.want == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != "" && (!strings.Contains(failed(t, err).Error(), c.want) || failed(t, err).Permanent()) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if !strings.HasPrefix(s.at, "GET https://goc.example.org/") {
			t.Errorf("%s: asked %s", name, s.at)
		}
	}
}

// TestVectors replays what today's tool was answered, against what it published of that.
func TestVectors(t *testing.T) {
	for name, explain := range map[string]string{
		"01-single-vo":           "",
		"11-gocdb-not-found":     "no service of LAB-SITE in GOCDB has the URL http://127.0.0.1:5900/v3; nearest: 16001G0 of LAB-SITE, https://elsewhere.example.org/v3 (another host)",
		"12-gocdb-endpoints-url": "GOCDB has 16001G0 of LAB-SITE, http://127.0.0.1:5900/v3/ (slashes), for http://127.0.0.1:5900/v3",
		"13-gocdb-500":           "",
	} {
		var v struct {
			GOCDB struct {
				Status int    `json:"status"`
				XML    string `json:"xml"`
			} `json:"gocdb"`
			Site, Endpoint string
			OtherInfo      struct {
				ID   string `json:"gocdb_id"`
				Site string `json:"site_name"`
			} `json:"other_info"`
		}
		if err := json.Unmarshal([]byte(file(t, name+".json")), &v); err != nil {
			t.Fatal(err)
		}
		s := one(v.GOCDB.XML)
		s.status = v.GOCDB.Status
		services, odd, err := s.client().Services(t.Context(), Query{Type: Nova})
		if v.GOCDB.Status != 200 {
			if e := failed(t, err); e.Permanent() || e.Error() != "ask for services at goc.example.org: 500 oops" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || len(odd) > 0 {
			t.Fatalf("%s: %v, %v", name, odd, err)
		}
		m, err := Match(services, Wanted{URL: v.Endpoint, Site: v.Site})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got struct{ ID, Site string }
		if len(m.Found) == 1 {
			got.ID, got.Site = m.Found[0].Service.Key, m.Found[0].Service.Site
		}
		if got.ID != v.OtherInfo.ID || got.Site != v.OtherInfo.Site {
			t.Errorf("%s: %+v, want %+v", name, got, v.OtherInfo)
		}
		if m.Explain() != explain {
			t.Errorf("%s: %q, want %q", name, m.Explain(), explain)
		}
	}
}
