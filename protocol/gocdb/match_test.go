package gocdb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNormalize(t *testing.T) {
	for want, spellings := range map[string][]string{
		"https://keystone.example.org/v3": {"https://keystone.example.org/v3", "HTTPS://Keystone.EXAMPLE.org:443/v3/", "https://keystone.example.org:/v3//", "https://keystone.example.org.:0443//v3",
			" https://keystone.example.org/v3?x=1#y \n", "https://user:secret@keystone.example.org/v3", "https://ＫＥＹＳＴＯＮＥ.example.org/v3"},
		"https://keystone.example.org:5000/v3":    {"https://keystone.example.org:5000/v3/", "https://keystone.example.org:05000/v3"},
		"https://keystone.example.org:80":         {"https://keystone.example.org:80", "https://keystone.example.org:80/"},
		"http://keystone.example.org":             {"http://keystone.example.org:80/", "http://keystone.example.org"},
		"http://keystone.example.org:443":         {"http://keystone.example.org:443"},
		"https://h/identity/v3":                   {"https://h/identity/v3/"},
		"https://h/Identity/v3":                   {"https://h/Identity/v3/"},
		"https://h/a//v3":                         {"https://h/a//v3"},
		"https://[2001:db8::1]/v3":                {"https://[2001:DB8:0:0::1]:443/v3", "https://[2001:db8::0001]/v3/"},
		"https://[2001:db8::1]:5000":              {"https://[2001:0DB8::1]:5000/"},
		"https://[fe80::1%25eth0]/v3":             {"https://[FE80::1%25eth0]/v3"},
		"https://192.0.2.7:5000/v3":               {"https://192.0.2.7:5000/v3"},
		"https://keystone.xn--bcher-kva.eu/v3":    {"https://keystone.bücher.eu/v3", "https://KEYSTONE.BÜCHER.EU/v3", "https://keystone.XN--BCHER-KVA.eu/v3", "https://keystone.b%C3%BCcher.eu/v3", "https://keystone。bücher.eu/v3"},
		"https://xn--strae-oqa.example.org":       {"https://straße.example.org"},
		"https://keystone_1.example.org/v3":       {"https://Keystone_1.example.org/v3"},
		"https://key_stone.xn--bcher-kva.eu":      {"https://key_stone.bücher.eu"},
		"https://keystone.example.org/v3%20x/%2F": {"https://keystone.example.org/v3%20x/%2F"},
	} {
		for _, s := range spellings {
			if got, err := Normalize(s); got != want || err != nil {
				t.Errorf("%q: %q, %v, want %q", s, got, err, want)
			}
		}
	}
	for _, s := range []string{"", "keystone.example.org", "keystone.example.org:5000/v3", "//keystone.example.org/v3", "/v3", "ftp://h/v3", "https://", "https:///v3", "https://:443/v3", "https:h/v3",
		"https://h:0/v3", "https://h:65536/v3", "https://h:x/v3", "https://[::1/v3", "https://[::g]/v3", "https://a b/v3", "https://a%20b/v3", "https://a%00b/v3", "https://a../v3", "https://.a/v3", "https://a..b/v3", "https://a\xff/v3", "https://a。。/v3", "https://h\x7f/v3", "https://u:secret@[x]/v3"} {
		got, err := Normalize(s)
		if err == nil {
			t.Errorf("%q: %q, want an error", s, got)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%q is quoted: %v", s, err)
		}
	}
}

// registered is a service with addresses of its endpoints, whose ids are "1", "2", …
func registered(key, site, address string, more ...string) Service {
	s := Service{Key: key, Site: site, Type: Nova, URL: address, Production: true, Monitored: true}
	for i, a := range more {
		s.Endpoints = append(s.Endpoints, Endpoint{ID: fmt.Sprint(i + 1), URL: a})
	}
	return s
}

func TestMatch(t *testing.T) {
	const ours = "https://ks.example.org:5000/v3"
	test := registered("5G0", "A", ours)
	test.Production = false
	quiet := registered("6G0", "A", ours)
	quiet.Monitored = false
	for name, c := range map[string]struct {
		services      []Service
		site          string
		found, near   string // keys
		explain, hint string // a part of it
	}{
		"alike":              {[]Service{registered("1G0", "A", ours)}, "A", "1G0", "", "", ""},
		"any site":           {[]Service{registered("1G0", "A", ours)}, "", "1G0", "", "", ""},
		"spelt otherwise":    {[]Service{registered("1G0", "A", "https://KS.example.org:05000/v3/?x")}, "A", "1G0", "", "1G0 of A, https://KS.example.org:05000/v3/?x (capital letters, default port, slashes, query or fragment), for " + ours, "GOCDB, org.openstack.nova 1G0, field URL: write it as the site does"},
		"an IDN":             {[]Service{registered("1G0", "A", "https://ks.example.org.:5000/v3")}, "A", "1G0", "", "(spelling of the host)", "field URL"},
		"of an endpoint":     {[]Service{registered("1G0", "A", "", "https://x/", ours+"/")}, "A", "1G0", "", "1G0 of A, " + ours + "/ (slashes)", "1G0, endpoint 2, field URL"},
		"endpoint alike":     {[]Service{registered("1G0", "A", ours+"/", ours)}, "A", "1G0", "", "", ""},
		"one of two sites":   {[]Service{registered("1G0", "A", ours), registered("2G0", "B", ours)}, "B", "2G0", "", "", ""},
		"two of one site":    {[]Service{registered("1G0", "A", ours+"/"), registered("2G0", "A", ours)}, "A", "2G0 1G0", "", "2 services of A in GOCDB have the URL " + ours + ": 2G0 of A, " + ours + "; 1G0 of A, " + ours + "/ (slashes); the first is taken", "let one service"},
		"production first":   {[]Service{test, quiet, registered("7G0", "A", ours+"/")}, "A", "7G0 6G0 5G0", "", "3 services", "let one service"},
		"several of no site": {[]Service{registered("1G0", "A", ours), registered("2G0", "B", ours)}, "", "1G0 2G0", "", "2 services of GOCDB", "set gocdb_id"},
		"another site":       {[]Service{registered("1G0", "B", ours)}, "A", "", "1G0", "no service of A in GOCDB has the URL " + ours + "; nearest: 1G0 of B, " + ours + " (another site)", "compare the site's name here with B in GOCDB"},
		"letters of a site":  {[]Service{registered("1G0", "a", ours)}, "A", "", "1G0", "(another site)", "with a in GOCDB"},
		"another path":       {[]Service{registered("1G0", "A", "https://ks.example.org:5000/identity/v3")}, "A", "", "1G0", "identity/v3 (another path)", "1G0, field URL; or set gocdb_id"},
		"another port":       {[]Service{registered("1G0", "A", "https://ks.example.org/v3")}, "", "", "1G0", "no service of GOCDB has the URL " + ours + "; nearest: 1G0 of A, https://ks.example.org/v3 (another port)", "field URL"},
		"another scheme":     {[]Service{registered("1G0", "A", "http://ks.example.org:5000/v3")}, "A", "", "1G0", "(another scheme)", "field URL"},
		"another host":       {[]Service{registered("1G0", "A", "https://else.example.org:5000/v3"), registered("2G0", "B", "https://else.example.org/v3")}, "A", "", "1G0", "(another host)", "field URL"},
		"no URL":             {[]Service{registered("1G0", "A", "")}, "A", "", "1G0", "1G0 of A (no URL)", "field URL"},
		"a bad URL":          {[]Service{registered("1G0", "A", "ks://u:secret@x")}, "A", "", "1G0", "1G0 of A (a URL that cannot be read)", "field URL"},
		"nearest first": {[]Service{registered("1G0", "A", ""), registered("2G0", "A", "https://x/"), registered("3G0", "B", "http://ks.example.org:5000/"), registered("4G0", "A", ours+".0"), registered("5G0", "B", ours+".0"), registered("6G0", "B", ours)},
			"A", "", "6G0 4G0 5G0 3G0 2G0", "nearest: 6G0 of B", "with B"},
		"nothing near": {[]Service{registered("1G0", "B", "https://x/v3"), registered("2G0", "B", "")}, "A", "", "", "no service of A in GOCDB has the URL " + ours + ", or any on its host", "register the endpoint in GOCDB"},
		"nothing":      {nil, "", "", "", "no service of GOCDB has the URL", "register the endpoint in GOCDB"},
	} {
		m, err := Match(c.services, Wanted{URL: ours, Site: c.site})
		if err != nil {
			t.Fatal(err)
		}
		if got := keys(m.Found); got != c.found {
			t.Errorf("%s: found %q, want %q", name, got, c.found)
		}
		if got := keys(m.Near); got != c.near {
			t.Errorf("%s: near %q, want %q", name, got, c.near)
		}
		if got := m.Explain(); (got == "") != (c.explain == "") || !strings.Contains(got, c.explain) || strings.Contains(got, "secret") {
			t.Errorf("%s: %q, want %q", name, got, c.explain)
		}
		if got := m.Hint(); (got == "") != (c.hint == "") || !strings.Contains(got, c.hint) {
			t.Errorf("%s: hint %q, want %q", name, got, c.hint)
		}
	}
	var many []Service
	for i := range 9 {
		many = append(many, registered(fmt.Sprintf("%dG0", i), "A", ours))
	}
	if m, err := Match(many, Wanted{URL: ours}); err != nil || len(m.Found) != 9 || !strings.Contains(m.Explain(), "4G0 of A, "+ours+"; and 4 more; the first") {
		t.Errorf("many: %s, %v", m.Explain(), err)
	}
	if _, err := Match(many, Wanted{URL: "ks.example.org:5000/v3"}); err == nil || !strings.Contains(err.Error(), "does not begin with https") {
		t.Errorf("a wanted URL that is none: %v", err)
	}
	if m, err := Match(nil, Wanted{URL: "https://u:secret@h/v3"}); err != nil || strings.Contains(m.Explain(), "secret") {
		t.Errorf("a password is shown: %s, %v", m.Explain(), err)
	}
}

func keys(all []Candidate) string {
	var keys []string
	for _, c := range all {
		keys = append(keys, c.Service.Key)
	}
	return strings.Join(keys, " ")
}

func TestAffects(t *testing.T) {
	s := registered("1G0", "A", "https://ks/v3", "https://ks:5001/v3", "https://ks:5002/v3")
	s.Host = "ks"
	second := []Endpoint{{ID: "2"}}
	for name, c := range map[string]struct {
		in      Affected
		address string
		want    bool
	}{
		"whole service":           {Affected{Key: "1G0"}, "https://ks:5001/v3", true},
		"another service":         {Affected{Key: "2G0", Site: "A", Type: Nova, Host: "ks"}, "https://ks/v3", false},
		"its endpoint":            {Affected{Key: "1G0", Endpoints: second}, "https://KS:5002/v3/", true},
		"not its endpoint":        {Affected{Key: "1G0", Endpoints: second}, "https://ks:5001/v3", false},
		"the service's own URL":   {Affected{Key: "1G0", Endpoints: second}, "https://ks/v3", true},
		"an address that is none": {Affected{Key: "1G0", Endpoints: second}, "", true},
		"flat":                    {Affected{Site: "A", Type: Nova, Host: "KS"}, "https://ks/v3", true},
		"flat, another host":      {Affected{Site: "A", Type: Nova, Host: "x"}, "https://ks/v3", false},
		"flat, another type":      {Affected{Site: "A", Type: "org.openstack.swift", Host: "ks"}, "https://ks/v3", false},
		"flat, another site":      {Affected{Site: "B", Type: Nova, Host: "ks"}, "https://ks/v3", false},
	} {
		d := Downtime{Services: []Affected{{Key: "9G0"}, c.in}}
		if got := d.Affects(s, c.address); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (Downtime{}).Affects(s, "https://ks/v3") {
		t.Error("a downtime of nothing")
	}
}

func TestWhen(t *testing.T) {
	at := func(h int) time.Time { return time.Date(2026, 11, 26, h, 0, 0, 0, time.UTC) }
	d := Downtime{Start: at(10), End: at(12)}
	got := map[int][2]bool{}
	for _, h := range []int{9, 10, 11, 12} {
		got[h] = [2]bool{d.Planned(at(h)), d.Ongoing(at(h))}
	}
	if diff := cmp.Diff(map[int][2]bool{9: {true, false}, 10: {false, true}, 11: {false, true}, 12: {false, false}}, got); diff != "" {
		t.Error(diff)
	}
}
