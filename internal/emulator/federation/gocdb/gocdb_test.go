package gocdb_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/emulator/federation/gocdb"
)

// now is in the middle of the first downtime.
var now = time.Date(2026, 11, 26, 11, 0, 0, 0, time.UTC)

const nova = "org.openstack.nova"

// register gives a register of two sites. One host of the first has two services of a type.
func register(o gocdb.Options) *gocdb.GOCDB {
	g := gocdb.New(func() time.Time { return now }, o)
	egi := []string{"EGI", "FedCloud"}
	at := func(day, hour int) time.Time { return time.Date(2026, 11, day, hour, 0, 0, 0, time.UTC) }
	g.Set([]gocdb.Service{
		{ID: 16002, Site: "EXAMPLE_CLOUD", NGI: "NGI_NL", Country: "Netherlands", Type: nova, Host: "ks.example.org", URL: "https://ks.example.org:5001/v3", Production: true, Scopes: egi},
		{ID: 16001, Site: "EXAMPLE_CLOUD", NGI: "NGI_NL", Country: "Netherlands", Type: nova, Host: "ks.example.org", HostDN: "/C=NL/CN=ks.example.org", URL: "https://ks.example.org:5000/v3/?a&b", Production: true, Monitored: true, Scopes: egi,
			Endpoints: []gocdb.Endpoint{{ID: 71, Name: `R2 <"&">`, URL: "https://ks.example.org:5002/v3", Interface: nova, Monitored: true}, {ID: 72}}},
		{ID: 16003, Site: "EXAMPLE_CLOUD", NGI: "NGI_NL", Country: "Netherlands", Type: "org.openstack.swift", Host: "ks.example.org", Production: true, Scopes: []string{"EGI"}},
		{ID: 16004, Site: "EXAMPLE-CLOUD", NGI: "NGI_IT", Country: "Italy", Type: nova, Host: "other.example.org", URL: "https://other.example.org/v3", Scopes: []string{"EGI"}},
		{ID: 16005, Site: "LOCAL", NGI: "NGI_IT", Country: "Italy", Type: nova, Host: "local.example.org", URL: "https://local.example.org/v3", Scopes: []string{"Local"}},
	}, []gocdb.Downtime{
		{ID: 4, Severity: "OUTAGE", Classification: "SCHEDULED", Description: "later", Declared: at(1, 0), Start: at(29, 0), End: at(30, 0), Services: []int{16004}},
		{ID: 2, Key: "1192G0", Severity: "WARNING", Classification: "UNSCHEDULED", Description: "now, <here> & there", Declared: at(26, 9), Start: at(26, 9), End: at(26, 12), Services: []int{16003, 16001}, Endpoints: []int{71}},
		{ID: 1, Severity: "OUTAGE", Classification: "SCHEDULED", Description: "over", Declared: at(1, 0), Start: at(20, 0), End: at(21, 0), Services: []int{16001}},
		{ID: 3, Severity: "OUTAGE", Classification: "SCHEDULED", Description: "over today", Declared: at(1, 0), Start: at(26, 1), End: at(26, 2), Services: []int{16001}},
		{ID: 5, Severity: "OUTAGE", Classification: "SCHEDULED", Description: "elsewhere", Declared: at(1, 0), Start: at(26, 0), End: at(27, 0), Services: []int{16005}},
	})
	return g
}

// ask gives the answer to a query.
func ask(t *testing.T, g *gocdb.GOCDB, query string) string {
	t.Helper()
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://goc.example.org"+gocdb.Path+"?"+query, nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/xml" {
		t.Errorf("%s: %d, %s", query, w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String()
}

// TestDocuments holds answers against the form that GOCDB's documentation shows.
func TestDocuments(t *testing.T) {
	g := register(gocdb.Options{})
	for query, want := range map[string]string{
		"method=get_service&sitename=EXAMPLE_CLOUD&service_type=org.openstack.nova&monitored=Y": `<?xml version="1.0" encoding="UTF-8"?>
<results>
  <SERVICE_ENDPOINT PRIMARY_KEY="16001G0">
    <PRIMARY_KEY>16001G0</PRIMARY_KEY>
    <HOSTNAME>ks.example.org</HOSTNAME>
    <GOCDB_PORTAL_URL>https://goc.example.org/portal/index.php?Page_Type=Service&amp;id=16001</GOCDB_PORTAL_URL>
    <HOSTDN>/C=NL/CN=ks.example.org</HOSTDN>
    <BETA>N</BETA>
    <SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE>
    <CORE/>
    <IN_PRODUCTION>Y</IN_PRODUCTION>
    <NODE_MONITORED>Y</NODE_MONITORED>
    <NOTIFICATIONS>N</NOTIFICATIONS>
    <SITENAME>EXAMPLE_CLOUD</SITENAME>
    <COUNTRY_NAME>Netherlands</COUNTRY_NAME>
    <ROC_NAME>NGI_NL</ROC_NAME>
    <URL>https://ks.example.org:5000/v3/?a&amp;b</URL>
    <ENDPOINTS>
      <ENDPOINT>
        <ID>71</ID>
        <NAME>R2 &lt;&#34;&amp;&#34;&gt;</NAME>
        <EXTENSIONS/>
        <URL>https://ks.example.org:5002/v3</URL>
        <INTERFACENAME>org.openstack.nova</INTERFACENAME>
        <ENDPOINT_MONITORED>Y</ENDPOINT_MONITORED>
      </ENDPOINT>
      <ENDPOINT>
        <ID>72</ID>
        <NAME/>
        <EXTENSIONS/>
        <URL/>
        <INTERFACENAME/>
        <ENDPOINT_MONITORED>N</ENDPOINT_MONITORED>
      </ENDPOINT>
    </ENDPOINTS>
    <SCOPES>
      <SCOPE>EGI</SCOPE>
      <SCOPE>FedCloud</SCOPE>
    </SCOPES>
    <EXTENSIONS/>
  </SERVICE_ENDPOINT>
</results>
`,
		"method=get_service&sitename=NONE": "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<results/>\n",
		"method=get_downtime_nested_services&ongoing_only=yes": `<?xml version="1.0" encoding="UTF-8"?>
<results>
  <DOWNTIME ID="2" PRIMARY_KEY="1192G0" CLASSIFICATION="UNSCHEDULED">
    <SEVERITY>WARNING</SEVERITY>
    <DESCRIPTION>now, &lt;here&gt; &amp; there</DESCRIPTION>
    <INSERT_DATE>1795683600</INSERT_DATE>
    <START_DATE>1795683600</START_DATE>
    <END_DATE>1795694400</END_DATE>
    <FORMATED_START_DATE>2026-11-26 09:00</FORMATED_START_DATE>
    <FORMATED_END_DATE>2026-11-26 12:00</FORMATED_END_DATE>
    <GOCDB_PORTAL_URL>https://goc.example.org/portal/index.php?Page_Type=Downtime&amp;id=2</GOCDB_PORTAL_URL>
    <SERVICES>
      <SERVICE>
        <PRIMARY_KEY>16001G0</PRIMARY_KEY>
        <HOSTNAME>ks.example.org</HOSTNAME>
        <SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE>
        <ENDPOINT>ks.example.orgorg.openstack.nova</ENDPOINT>
        <HOSTED_BY>EXAMPLE_CLOUD</HOSTED_BY>
        <AFFECTED_ENDPOINTS>
          <ENDPOINT>
            <ID>71</ID>
            <NAME>R2 &lt;&#34;&amp;&#34;&gt;</NAME>
            <URL>https://ks.example.org:5002/v3</URL>
            <INTERFACENAME>org.openstack.nova</INTERFACENAME>
            <ENDPOINT_MONITORED>Y</ENDPOINT_MONITORED>
          </ENDPOINT>
        </AFFECTED_ENDPOINTS>
      </SERVICE>
      <SERVICE>
        <PRIMARY_KEY>16003G0</PRIMARY_KEY>
        <HOSTNAME>ks.example.org</HOSTNAME>
        <SERVICE_TYPE>org.openstack.swift</SERVICE_TYPE>
        <ENDPOINT>ks.example.orgorg.openstack.swift</ENDPOINT>
        <HOSTED_BY>EXAMPLE_CLOUD</HOSTED_BY>
        <AFFECTED_ENDPOINTS/>
      </SERVICE>
    </SERVICES>
  </DOWNTIME>
</results>
`,
		"method=get_downtime&startdate=2026-11-28": `<?xml version="1.0" encoding="UTF-8"?>
<results>
  <DOWNTIME ID="4" PRIMARY_KEY="4G0" CLASSIFICATION="SCHEDULED">
    <PRIMARY_KEY>4G0</PRIMARY_KEY>
    <HOSTNAME>other.example.org</HOSTNAME>
    <SERVICE_TYPE>org.openstack.nova</SERVICE_TYPE>
    <ENDPOINT>other.example.orgorg.openstack.nova</ENDPOINT>
    <HOSTED_BY>EXAMPLE-CLOUD</HOSTED_BY>
    <GOCDB_PORTAL_URL>https://goc.example.org/portal/index.php?Page_Type=Downtime&amp;id=4</GOCDB_PORTAL_URL>
    <AFFECTED_ENDPOINTS/>
    <SEVERITY>OUTAGE</SEVERITY>
    <DESCRIPTION>later</DESCRIPTION>
    <INSERT_DATE>1793491200</INSERT_DATE>
    <START_DATE>1795910400</START_DATE>
    <END_DATE>1795996800</END_DATE>
    <FORMATED_START_DATE>2026-11-29 00:00</FORMATED_START_DATE>
    <FORMATED_END_DATE>2026-11-30 00:00</FORMATED_END_DATE>
  </DOWNTIME>
</results>
`,
	} {
		if d := cmp.Diff(want, ask(t, g, query)); d != "" {
			t.Errorf("%s (-want +got):\n%s", query, d)
		}
	}
	if g.Asked("get_service") != 2 || g.Asked("get_downtime") != 1 {
		t.Errorf("asked %d and %d times", g.Asked("get_service"), g.Asked("get_downtime"))
	}
}

var ids = regexp.MustCompile(`<(?:SERVICE_ENDPOINT PRIMARY_KEY="1600|DOWNTIME ID=")([0-9]+)`)

// found gives the records of an answer: the last digit of a service's number, or a downtime's.
func found(text string) string {
	var all []string
	for _, m := range ids.FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return strings.Join(all, " ")
}

func TestSelections(t *testing.T) {
	g := register(gocdb.Options{})
	for query, want := range map[string]string{
		"method=get_service":                                              "1 2 3 4",
		"method=get_service_endpoint&scope=":                              "1 2 3 4 5",
		"method=get_service&scope=Local":                                  "5",
		"method=get_service&scope=EGI,FedCloud":                           "1 2",
		"method=get_service&scope=FedCloud,Local":                         "",
		"method=get_service&scope=FedCloud,Local&scope_match=any":         "1 2 5",
		"method=get_service&sitename=example_cloud":                       "1 2 3 4", // LIKE
		"method=get_service&sitename=EXAMPLE-CLOUD":                       "4",
		"method=get_service&sitename=EXAMPLE%25":                          "1 2 3 4",
		"method=get_service&sitename=":                                    "",
		"method=get_service&service_type=org.openstack.swift":             "3",
		"method=get_service&hostname=ks.example.org":                      "1 2 3",
		"method=get_service&roc=NGI_IT":                                   "4",
		"method=get_service&country=netherlands&monitored=n":              "2 3",
		"method=get_downtime":                                             "1 2 2 3 4",
		"method=get_downtime_nested_services&scope=":                      "1 2 3 4 5",
		"method=get_downtime_nested_services":                             "1 2 3 4",
		"method=get_downtime&ongoing_only=yes":                            "2 2",
		"method=get_downtime&ongoing_only=no":                             "2 2", // against the documentation
		"method=get_downtime&windowstart=2026-11-26":                      "2 2 3 4",
		"method=get_downtime&windowstart=2026-11-22&windowend=2026-11-26": "2 2 3",
		"method=get_downtime&windowend=2026-11-20":                        "1",
		"method=get_downtime&startdate=2026-11-26":                        "2 2 3 4",
		"method=get_downtime&enddate=2026-11-26":                          "1",
		"method=get_downtime&topentity=NGI_IT":                            "4",
		"method=get_downtime&topentity=ks.example.org":                    "1 2 2 3",
		"method=get_downtime&topentity=Italy&scope=":                      "4 5",
	} {
		if got := found(ask(t, g, query)); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := found(ask(t, register(gocdb.Options{Scope: "*"}), "method=get_service")); got != "1 2 3 4 5" {
		t.Errorf("an instance without a scope of its own: %q", got)
	}
}

func TestRefusals(t *testing.T) {
	g := register(gocdb.Options{})
	for query, want := range map[string]string{
		"":                               "Unable to find method: ",
		"method=get_x":                   "Unable to find method: get_x",
		"method=get_site":                "No valid identifier found. Try accessing the resource through the private interface.",
		"method=get_service&page=1":      "<error>Unsupported parameter: page</error>",
		"method=get_downtime&sitename=A": "<error>Unsupported parameter: sitename</error>",
		"method=get_service&sitename=<'": "<error>Unsuported chracter in value: <'</error>",
		"method=get_service&next_cursor=1&prev_cursor=1":            "<error>It is invalid to specify both 'next_cursor' and 'prev_cursor' parameters in the same query</error>",
		"method=get_service&next_cursor=x":                          "<error>Invalid 'next_cursor' parameter - must be a whole number greater than or equal to zero</error>",
		"method=get_downtime&prev_cursor=-1":                        "<error>Invalid 'prev_cursor' parameter - must be a whole number greater than or equal to zero</error>",
		"method=get_downtime&ongoing_only=1":                        "<error>Invalid ongoing_only value - must be 'yes' or 'no'</error>",
		"method=get_downtime&ongoing_only=yes&startdate=2026-11-26": "<error>Invalid parameter combination - do not specify startdate or enddate with ongoing_only</error>",
		"method=get_downtime&windowstart=soon":                      "DateTime::__construct(): Failed to parse time string (soon) at position 0",
	} {
		if got := ask(t, g, strings.ReplaceAll(query, "<'", "%3C%27")); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for path, status := range map[string]int{"/": 404, "/gocdbpi/private/": 404, "/gocdbpi/public": 301, "/gocdbpi/public/index.php": 200} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "https://goc.example.org"+path+"?method=get_service", nil))
		if w.Code != status || (status == 301 && w.Header().Get("Location") != "/gocdbpi/public/?method=get_service") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

var metas = regexp.MustCompile(`<link rel="(next|prev)" href="([^"]*)"/>|<(count|max_page_size)>([0-9]+)<`)

// meta gives what an answer says of its page: cursors, how many there are and how many fit.
func meta(t *testing.T, text string) string {
	t.Helper()
	var all []string
	for _, m := range metas.FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			all = append(all, m[3]+" "+m[4])
			continue
		}
		u, err := url.Parse(strings.ReplaceAll(m[2], "&amp;", "&"))
		if err != nil || u.Host != "goc.example.org" || u.Path != gocdb.Path || u.Query().Get("method") != "get_service" {
			t.Errorf("a link to %s: %v", m[2], err)
		}
		all = append(all, m[1]+" "+u.Query().Get(m[1]+"_cursor"))
	}
	return strings.Join(all, ", ")
}

func TestPaging(t *testing.T) {
	for _, c := range []struct {
		always              bool
		cursor, found, meta string
	}{
		{false, "", "1 2 3 4", ""},
		{true, "", "1 2", "next 16002, prev 16001, count 2, max_page_size 2"},
		{false, "next_cursor=0", "1 2", "next 16002, prev 16001, count 2, max_page_size 2"},
		{false, "next_cursor=16002", "3 4", "next 16004, prev 16003, count 2, max_page_size 2"},
		{false, "next_cursor=16003", "4", "next 16004, prev 16004, count 1, max_page_size 2"},
		{false, "next_cursor=16004", "", "prev 16005, count 0, max_page_size 2"},
		{false, "prev_cursor=16005", "3 4", "next 16004, prev 16003, count 2, max_page_size 2"},
		{false, "prev_cursor=16001", "", "next 16000, count 0, max_page_size 2"},
		{false, "prev_cursor=0", "", "next 0, count 0, max_page_size 2"},
	} {
		text := ask(t, register(gocdb.Options{PageSize: 2, Paging: c.always}), "method=get_service&"+c.cursor)
		if found(text) != c.found || meta(t, text) != c.meta {
			t.Errorf("%s: %q, %q", c.cursor, found(text), meta(t, text))
		}
	}
	// Downtimes are counted once, although they come once for each service.
	text := ask(t, register(gocdb.Options{}), "method=get_downtime&next_cursor=0")
	if found(text) != "1 2 2 3 4" || !strings.Contains(text, "<count>4</count>") || !strings.Contains(text, "<max_page_size>100</max_page_size>") {
		t.Errorf("%s", text)
	}
	if !strings.Contains(text, fmt.Sprintf(`<link rel="start" href="https://goc.example.org%s?method=get_downtime&amp;next_cursor=0"/>`, gocdb.Path)) {
		t.Errorf("no link to the start: %s", text)
	}
}
