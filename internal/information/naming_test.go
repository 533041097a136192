package information

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/protocol/gocdb"
)

// TestWhoHasTheName: no document of others takes the name of our own, and none takes a name by a key that GOCDB has for
// another URL or site, or does not have.
func TestWhoHasTheName(t *testing.T) {
	one := func(own bool, site, key, url string) *Reading {
		return Read(Document{Source: "s", Name: url, Own: own, Body: body(t, offer(t, site, key, url))})
	}
	const a, b, c = "https://a.example.org/v3", "https://b.example.org/v3", "https://c.example.org/v3"
	known := Hosts{{Key: "5G0", Site: "SITE", Host: "a.example.org", URL: a}, {Key: "9G0", Site: "OTHER", Host: "c.example.org", URL: c},
		{Key: "7G0", Site: "SITE", Host: "bare.example.org"}, {Key: "8G0", Site: "SITE", Host: "e.example.org", Endpoints: []gocdb.Endpoint{{ID: "1", URL: c}}}}
	for what, x := range map[string]struct {
		readings []*Reading
		hosts    Hosts
		want     []string
	}{
		"ours against a higher key": {
			[]*Reading{one(true, "SITE", "5G0", a), one(false, "SITE", "999G0", b)}, nil,
			[]string{"SITE 5G0 " + a, "SITE-999G0 999G0 " + b},
		},
		"ours without a key": {
			[]*Reading{one(true, "SITE", "", a), one(false, "SITE", "999G0", b)}, nil,
			[]string{"SITE  " + a, "SITE-999G0 999G0 " + b},
		},
		"the newer one of ours": {
			[]*Reading{one(true, "SITE", "5G0", a), one(true, "SITE", "6G0", b), one(false, "SITE", "999G0", c)}, nil,
			[]string{"SITE 6G0 " + b, "SITE-5G0 5G0 " + a, "SITE-999G0 999G0 " + c},
		},
		"the name of the older one of ours": {
			[]*Reading{one(true, "SITE", "5G0", a), one(true, "SITE", "6G0", b), one(false, "SITE-5G0", "999G0", c)}, nil,
			[]string{"SITE 6G0 " + b, "SITE-5G0 5G0 " + a, "SITE-5G0-2 999G0 " + c},
		},
		"the higher key, when GOCDB is not known": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "9G0", b)}, nil,
			[]string{"SITE 9G0 " + b, "SITE-5G0 5G0 " + a},
		},
		"a key of another URL and site": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "9G0", b)}, known,
			[]string{"SITE 5G0 " + a, "SITE-9G0 9G0 " + b},
		},
		"a key of another site with its URL": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "9G0", c)}, known,
			[]string{"SITE 5G0 " + a, "SITE-9G0 9G0 " + c},
		},
		"a key of another URL against none": {
			[]*Reading{one(false, "SITE", "", b), one(false, "SITE", "9G0", a)}, known[1:],
			[]string{"SITE  " + b, "SITE-9G0 9G0 " + a},
		},
		"a key whose endpoint is another": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "8G0", b)}, known,
			[]string{"SITE 5G0 " + a, "SITE-8G0 8G0 " + b},
		},
		"a key whose endpoint it is": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "8G0", c)}, known,
			[]string{"SITE 8G0 " + c, "SITE-5G0 5G0 " + a},
		},
		"a key that GOCDB has without URL": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "7G0", b)}, known,
			[]string{"SITE 7G0 " + b, "SITE-5G0 5G0 " + a},
		},
		"a key that GOCDB does not have": {
			[]*Reading{one(false, "SITE", "5G0", a), one(false, "SITE", "999G0", b)}, known,
			[]string{"SITE 5G0 " + a, "SITE-999G0 999G0 " + b},
		},
	} {
		for range 4 {
			rand.Shuffle(len(x.readings), func(i, j int) { x.readings[i], x.readings[j] = x.readings[j], x.readings[i] })
			var got []string
			for _, s := range NewCatalogue(x.readings, Terms{Now: noon, Hosts: x.hosts}).Sites {
				got = append(got, s.Name+" "+s.ID+" "+s.URL)
			}
			if d := cmp.Diff(x.want, got); d != "" {
				t.Fatalf("%s (-want +got)\n%s", what, d)
			}
		}
	}
}
