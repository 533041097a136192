package information

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// offer makes a document of a site's endpoint, made at noon, with VOs and their projects.
func offer(t testing.TB, site, key, ep string, vos ...string) glue.Document {
	t.Helper()
	service, endpoint := glue.NewService(ep, site), glue.NewEndpoint(ep, "", site)
	if key != "" {
		service.OtherInfo = glue.Info{{Name: "gocdb_id", Value: key}}
	}
	service.CreationTime, service.Validity = noon, 12*time.Hour
	d := glue.Document{Services: []glue.Service{service}, Endpoints: []glue.Endpoint{endpoint}}
	for _, vo := range vos {
		share := glue.NewShare(service.ID, endpoint.ID, vo, "p-"+vo)
		d.Shares, d.MappingPolicies = append(d.Shares, share), append(d.MappingPolicies, glue.NewMappingPolicy(share.ID, vo))
		d.Images = append(d.Images, glue.Image{Entity: glue.Entity{ID: "i-" + vo, Name: "image of " + vo}, Shares: []string{share.ID}, MarketplaceURL: "registry.egi.eu/x:" + vo})
	}
	return d
}

func body(t testing.TB, d glue.Document) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := glue.WriteJSON(&b, d); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func names(c *Catalogue) (all []string) {
	for _, s := range c.Sites {
		all = append(all, s.Name+" "+s.ID+" "+s.URL+" "+s.Hostname)
	}
	return all
}

// TestWhatCounts tells which documents are used and which dropped, and why.
func TestWhatCounts(t *testing.T) {
	const ep = "https://ks.example.org:5000/v3"
	service := `"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":["SITE"]}}]`
	endpoint := `"CloudComputingEndpoint":[{"ID":"e","URL":"` + ep + `"}]`
	for _, c := range []struct {
		name, body string
		want       string // the site's name, or ! and why it is dropped
		left       string // what is left out of it
	}{
		{"neither key nor shares nor other classes", "{" + service + "," + endpoint + "}", "SITE", ""},
		{"classes of no objects", "{" + service + "," + endpoint + `,"Share":[],"MappingPolicy":[],"CloudComputingImage":[]}`, "SITE", ""},
		{"classes that are null", "{" + service + "," + endpoint + `,"Share":null,"CloudComputingImage":null}`, "SITE", ""},
		{"the name in the other place only", `{"CloudComputingService":[{"ID":"s","OtherInfo":{"gocdb_id":"1G0","site_name":"OTHER"}}],` + endpoint + "}", "OTHER", ""},
		{"a share without policy", "{" + service + "," + endpoint + `,"Share":[{"ID":"x","ProjectID":"p"}]}`, "SITE", `share "x": no MappingPolicy says for which VO it is`},
		{"a share without project", "{" + service + "," + endpoint + `,"Share":[{"ID":"x"}],"MappingPolicy":[{"ID":"m","Associations":{"Share":["x"],"PolicyUserDomain":["ops"]}}]}`, "SITE", `share "x" of VO "ops": it has no ProjectID`},
		{"no JSON", "<html>", "!it cannot be read", ""},
		{"nothing", "", "!it cannot be read", ""},
		{"half a document", string(recorded(t)[:3000]), "!it cannot be read", ""},
		{"a list", "[]", "!it cannot be read", ""},
		{"an empty object", "{}", "!it has no CloudComputingService", ""},
		{"no endpoint", "{" + service + "}", "!it has no CloudComputingEndpoint", ""},
		{"an endpoint without URL", "{" + service + `,"CloudComputingEndpoint":[{"ID":"e"}]}`, "!the URL of CloudComputingEndpoint cannot be used", ""},
		{"no name", `{"CloudComputingService":[{"ID":"s"}],` + endpoint + "}", "!the site's name", ""},
		{"a name that no URL can hold", `{"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":[".."]}}],` + endpoint + "}", "!the site's name", ""},
		{"a name that is a path", `{"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":["a/../b"]}}],` + endpoint + "}", "!the site's name", ""},
		{"a name that is another's path", `{"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":["a\\b"]}}],` + endpoint + "}", "!the site's name", ""},
		{"a name of two lines", `{"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":["a\nb"]}}],` + endpoint + "}", "!the site's name", ""},
	} {
		r := Read(Document{Source: "s", Name: "d.json", Body: []byte(c.body)})
		cat := NewCatalogue([]*Reading{r}, Terms{Now: noon})
		reason, dropped := strings.CutPrefix(c.want, "!")
		switch {
		case dropped && (len(cat.Sites) > 0 || len(cat.Dropped) != 1 || !strings.HasPrefix(cat.Dropped[0].Reason, reason) || cat.Dropped[0].Document != "d.json"):
			t.Errorf("%s: %v, %v", c.name, cat.Sites, cat.Dropped)
		case !dropped && (len(cat.Sites) != 1 || cat.Sites[0].Name != c.want || len(cat.Dropped) > 0):
			t.Errorf("%s: %v, %v", c.name, cat.Sites, cat.Dropped)
		case c.left != "" && !strings.Contains(strings.Join(r.Left, "\n"), c.left):
			t.Errorf("%s: left out: %q", c.name, r.Left)
		}
	}
}

// TestNames names the endpoints of one site, whatever order they are read in.
func TestNames(t *testing.T) {
	one := func(source string, own bool, made time.Time, d glue.Document) *Reading {
		d.Services[0].CreationTime = made
		return Read(Document{Source: source, Name: "d.json", Own: own, Body: body(t, d)})
	}
	readings := []*Reading{
		one("old", false, noon, offer(t, "SITE", "900G0", "https://a.example.org/v3", "ops")),
		one("new", false, noon, offer(t, "SITE", "12249G0", "https://b.example.org/v3", "ops")),
		one("copy", false, noon.Add(time.Hour), offer(t, "SITE", "12249G0", "https://b.example.org:443/v3/", "ops", "biomed")),
		one("theirs", false, noon.Add(time.Hour), offer(t, "OURS", "5G0", "https://c.example.org/v3")),
		one("ours", true, noon, offer(t, "OURS", "5G0", "https://c.example.org/v3")),
		one("odd", false, noon, offer(t, "SITE", "odd", "https://d.example.org/v3")),
		one("keyless", false, noon, offer(t, "SITE", "", "https://e.example.org/v3")),
		one("keyless too", false, noon, offer(t, "SITE", "", "https://f.example.org/v3")),
		one("a name that is taken", false, noon, offer(t, "SITE-900G0", "77G0", "https://g.example.org/v3")),
	}
	want := []string{
		"OURS 5G0 https://c.example.org/v3 c.example.org",
		"SITE 12249G0 https://b.example.org:443/v3/ registered.example.org",
		"SITE-17G0 17G0 https://e.example.org/v3 found.example.org",
		"SITE-900G0 77G0 https://g.example.org/v3 g.example.org",
		"SITE-900G0-2 900G0 https://a.example.org/v3 a.example.org",
		"SITE-f.example.org  https://f.example.org/v3 f.example.org",
		"SITE-odd odd https://d.example.org/v3 d.example.org",
	}
	terms := Terms{Now: noon, Hosts: Hosts{
		{Key: "12249G0", Site: "SITE", Host: "registered.example.org"},
		{Key: "17G0", Site: "SITE", Host: "found.example.org", URL: "https://E.example.org/v3/"},
	}}
	for range 20 {
		rand.Shuffle(len(readings), func(i, j int) { readings[i], readings[j] = readings[j], readings[i] })
		c := NewCatalogue(readings, terms)
		if d := cmp.Diff(want, names(c)); d != "" {
			t.Fatalf("(-want +got)\n%s", d)
		}
		var dropped []string
		for _, x := range c.Dropped {
			dropped = append(dropped, x.String())
		}
		if d := cmp.Diff([]string{
			"d.json in new: d.json in copy is of the same site and endpoint, and counts before it",
			"d.json in theirs: d.json in ours is of the same site and endpoint, and counts before it",
		}, dropped); d != "" {
			t.Fatalf("dropped (-want +got)\n%s", d)
		}
		if d := cmp.Diff([]string{"biomed", "ops"}, c.VOs()); d != "" {
			t.Fatal(d)
		}
		for _, s := range c.Sites {
			if found, ok := c.Site(s.Name); !ok || found.URL != s.URL {
				t.Fatalf("%s is not found by its name", s.Name)
			}
		}
	}
}

// TestValidity drops what is too old, where that is wanted, at the instant at which it is.
func TestValidity(t *testing.T) {
	r := []*Reading{Read(Document{Body: body(t, offer(t, "SITE", "1G0", "https://a.example.org/v3"))})}
	end := noon.Add(12 * time.Hour)
	for _, c := range []struct {
		at           time.Time
		check        bool
		sites, stale int
		until        time.Time
	}{
		{end.Add(-time.Second), true, 1, 0, end},
		{end, true, 0, 0, time.Time{}},
		{end.Add(-time.Second), false, 1, 0, end},
		{end, false, 1, 1, time.Time{}},
	} {
		got := NewCatalogue(r, Terms{Now: c.at, CheckValidity: c.check})
		if len(got.Sites) != c.sites || len(got.Stale) != c.stale || !got.Until.Equal(c.until) || len(got.Dropped) != 1-c.sites {
			t.Errorf("%v, checked %t: %d sites, %v stale, dropped %v, until %v", c.at, c.check, len(got.Sites), got.Stale, got.Dropped, got.Until)
		}
	}
}

// TestMerged shows that a document with one object for all shares says the same.
func TestMerged(t *testing.T) {
	d := offer(t, "SITE", "1G0", "https://a.example.org/v3", "ops", "biomed")
	for i := range d.Images {
		d.Images[i].Entity = glue.Entity{ID: "same", Name: "same"}
		d.Images[i].MarketplaceURL = "registry.egi.eu/same"
	}
	one, both := Read(Document{Body: body(t, d)}), Read(Document{Body: body(t, d.Merged())})
	if len(both.Document.Body) >= len(one.Document.Body) {
		t.Error("nothing was merged")
	}
	if diff := cmp.Diff(one.Site, both.Site); diff != "" || len(one.Site.Shares) != 2 || len(one.Site.Shares[0].Images) != 1 {
		t.Errorf("%s %+v", diff, one.Site)
	}
}

// TestNothingGrows shows that a small document does not become a large one: shares of one ID, images that name one share often.
func TestNothingGrows(t *testing.T) {
	d := offer(t, "SITE", "1G0", "https://a.example.org/v3", "ops")
	for range 3_000 {
		d.Shares, d.Images = append(d.Shares, d.Shares[0]), append(d.Images, d.Images[0])
	}
	d.Images[0].Shares = slices.Repeat(d.Images[0].Shares, 3_000)
	r := Read(Document{Body: body(t, d)})
	if len(r.Site.Shares) != 1 || len(r.Site.Shares[0].Images) != 3_001 || len(r.Left) != most || !strings.Contains(strings.Join(r.Left, " "), "another one has the same ID") {
		t.Errorf("%d shares, %d images, left out: %d", len(r.Site.Shares), len(r.Site.Shares[0].Images), len(r.Left))
	}
}

// TestHosts finds the host of a key that GOCDB does not have nowhere but in the URL.
func TestHosts(t *testing.T) {
	h := Hosts{{Key: "1G0", Site: "A", Host: "h", URL: "https://a.example.org/v3"}}
	for _, c := range []struct{ id, site, url, key, host string }{
		{"1G0", "B", "https://b.example.org", "1G0", "h"},
		{"2G0", "A", "https://a.example.org/v3", "2G0", ""},
		{"", "A", "https://a.example.org/v3", "1G0", "h"},
		{"", "B", "https://a.example.org/v3", "", ""},
	} {
		if key, host := h.find(Site{ID: c.id, Name: c.site, URL: c.url}); key != c.key || host != c.host {
			t.Errorf("%+v: %q %q", c, key, host)
		}
	}
	if key, host := (Hosts)(nil).find(Site{URL: "https://a.example.org/v3"}); key != "" || host != "" {
		t.Error(key, host)
	}
	var _ []gocdb.Service = h
}

func ExampleRead() {
	r := Read(Document{Source: "directory /var/lib/cloud-info", Name: "broken.json", Body: []byte(`{"CloudComputingService":[]}`)})
	fmt.Println(r.Err)
	// Output: it has no CloudComputingService
}
