package gocdb

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Wanted is what is looked for.
type Wanted struct {
	URL  string // of a cloud's Keystone
	Site string // as GOCDB names it; "" = any
}

// Difference says in which respect a registered service is not what was looked for.
type Difference string

// Differences that make it another service.
const (
	OtherSite   Difference = "another site"
	OtherPath   Difference = "another path"
	OtherPort   Difference = "another port"
	OtherScheme Difference = "another scheme"
	OtherHost   Difference = "another host"
	NoURL       Difference = "no URL"
	BadURL      Difference = "a URL that cannot be read"
)

// Differences in spelling, which do not, but which other programs mind.
const (
	Letters     Difference = "capital letters"
	HostSpelt   Difference = "spelling of the host"
	DefaultPort Difference = "default port"
	Slashes     Difference = "slashes"
	QueryPart   Difference = "query or fragment"
	Spelt       Difference = "spelling"
)

// weight tells how far differences are from what was looked for; those in spelling weigh nothing.
var weight = map[Difference]int{OtherSite: 1, OtherPath: 2, OtherPort: 4, OtherScheme: 4, OtherHost: 16, NoURL: 32, BadURL: 32}

// Candidate is a service that is what was looked for, or near to it.
type Candidate struct {
	Service  Service
	URL      string // as it is registered; "" = none
	Endpoint string // ID of the endpoint that has this URL; "" = it is the service's own
	Differs  []Difference
}

// Matched is the answer to a look-up.
type Matched struct {
	Wanted Wanted
	Found  []Candidate // the one to use first: in production, monitored, spelt alike, oldest
	Near   []Candidate // when nothing is found: what may be meant, the nearest first, at most 5
}

// most is how many candidates are told.
const most = 5

// Match looks for the services that are registered with a URL, and at a site if that is said. URLs are compared as
// Normalize gives them, sites letter by letter. An error says that the wanted URL is none.
func Match(services []Service, w Wanted) (Matched, error) {
	m := Matched{Wanted: w}
	want, err := parse(w.URL)
	if err != nil {
		return m, fmt.Errorf("the endpoint's URL cannot be looked up in GOCDB: %w", err)
	}
	for _, s := range services {
		switch c := nearest(s, w, want); {
		case c.weight() == 0:
			m.Found = append(m.Found, c)
		case c.onHost() || s.Site == w.Site:
			m.Near = append(m.Near, c)
		}
	}
	slices.SortStableFunc(m.Found, func(a, b Candidate) int {
		return cmp.Or(first(a.Service.Production, b.Service.Production), first(a.Service.Monitored, b.Service.Monitored), cmp.Compare(len(a.Differs), len(b.Differs)))
	})
	if len(m.Found) > 0 {
		m.Near = nil
	}
	slices.SortStableFunc(m.Near, func(a, b Candidate) int { return cmp.Compare(a.weight(), b.weight()) })
	m.Near = m.Near[:min(len(m.Near), most)]
	return m, nil
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// nearest gives the one of a service's addresses that is nearest to what was looked for.
func nearest(s Service, w Wanted, want place) Candidate {
	var site []Difference
	if w.Site != "" && w.Site != s.Site {
		site = []Difference{OtherSite}
	}
	all := []Candidate{{s, s.URL, "", nil}}
	for _, e := range s.Endpoints {
		all = append(all, Candidate{s, e.URL, e.ID, nil})
	}
	for i := range all {
		all[i].Differs = slices.Concat(site, compare(all[i].URL, w.URL, want))
	}
	return slices.MinFunc(all, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.weight(), b.weight()), cmp.Compare(len(a.Differs), len(b.Differs)))
	})
}

// compare gives what is different in an address, or, where it is the same, what is spelt otherwise.
func compare(address, wanted string, want place) []Difference {
	if address == "" {
		return []Difference{NoURL}
	}
	has, err := parse(address)
	if err != nil {
		return []Difference{BadURL}
	}
	if has.host != want.host {
		return []Difference{OtherHost}
	}
	var all []Difference
	if has.scheme != want.scheme {
		all = append(all, OtherScheme)
	}
	if has.port != want.port {
		all = append(all, OtherPort)
	}
	if has.path != want.path {
		all = append(all, OtherPath)
	}
	if len(all) == 0 {
		return spelling(address, wanted)
	}
	return all
}

// spelling tells in what the texts of equal URLs differ.
func spelling(address, wanted string) []Difference {
	if address == wanted {
		return nil
	}
	a, errA := url.Parse(strings.TrimSpace(address))
	b, errB := url.Parse(strings.TrimSpace(wanted))
	if errA != nil || errB != nil {
		return []Difference{Spelt}
	}
	var all []Difference
	switch {
	case a.Hostname() == b.Hostname():
	case strings.EqualFold(a.Hostname(), b.Hostname()):
		all = append(all, Letters)
	default:
		all = append(all, HostSpelt)
	}
	if a.Port() != b.Port() {
		all = append(all, DefaultPort)
	}
	if a.EscapedPath() != b.EscapedPath() {
		all = append(all, Slashes)
	}
	if a.RawQuery != b.RawQuery || a.EscapedFragment() != b.EscapedFragment() {
		all = append(all, QueryPart)
	}
	if len(all) == 0 {
		all = append(all, Spelt)
	}
	return all
}

func (c Candidate) weight() int {
	n := 0
	for _, d := range c.Differs {
		n += weight[d]
	}
	return n
}

// onHost tells whether the service has an address on the host that was looked for.
func (c Candidate) onHost() bool { return c.weight() < weight[OtherHost] }

// String names a candidate: its key, site and URL, and what is different.
func (c Candidate) String() string {
	text := c.Service.Key + " of " + shorten([]byte(c.Service.Site))
	if c.URL != "" && !slices.Contains(c.Differs, BadURL) { // what cannot be read may hold anything
		text += ", " + shown(c.URL)
	}
	if len(c.Differs) > 0 {
		words := make([]string, len(c.Differs))
		for i, d := range c.Differs {
			words[i] = string(d)
		}
		text += " (" + strings.Join(words, ", ") + ")"
	}
	return text
}

// shown is a URL without what a password may be in.
func shown(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return "(no URL)"
	}
	u.User = nil
	return shorten([]byte(u.String()))
}

// Explain says why nothing was found, which of several services is used, or what is spelt otherwise; "" when one service
// has exactly this URL.
func (m Matched) Explain() string {
	of := "of GOCDB"
	if m.Wanted.Site != "" {
		of = "of " + shorten([]byte(m.Wanted.Site)) + " in GOCDB"
	}
	switch {
	case len(m.Found) > 1:
		return fmt.Sprintf("%d services %s have the URL %s: %s; the first is taken", len(m.Found), of, shown(m.Wanted.URL), join(m.Found))
	case len(m.Found) == 1 && len(m.Found[0].Differs) > 0:
		return fmt.Sprintf("GOCDB has %s, for %s", m.Found[0], shown(m.Wanted.URL))
	case len(m.Found) == 1:
		return ""
	case len(m.Near) == 0:
		return fmt.Sprintf("no service %s has the URL %s, or any on its host", of, shown(m.Wanted.URL))
	}
	return fmt.Sprintf("no service %s has the URL %s; nearest: %s", of, shown(m.Wanted.URL), join(m.Near))
}

func join(all []Candidate) string {
	var texts []string
	for _, c := range all[:min(len(all), most)] {
		texts = append(texts, c.String())
	}
	if more := len(all) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "; ")
}

// Hint says what to do about what Explain says.
func (m Matched) Hint() string {
	field := func(c Candidate) string {
		text := shorten([]byte(c.Service.Type)) + " " + c.Service.Key
		if c.Endpoint != "" {
			text += ", endpoint " + shorten([]byte(c.Endpoint))
		}
		return "GOCDB, " + text + ", field URL"
	}
	switch {
	case len(m.Found) > 1:
		return "let one service have this URL in GOCDB, or set gocdb_id"
	case len(m.Found) == 1 && len(m.Found[0].Differs) > 0:
		return field(m.Found[0]) + ": write it as the site does"
	case len(m.Found) == 1:
		return ""
	case len(m.Near) == 0:
		return "register the endpoint in GOCDB, as " + Nova + " with the URL of Keystone, in production; or set gocdb_id"
	case m.Near[0].weight() == weight[OtherSite]:
		return "compare the site's name here with " + shorten([]byte(m.Near[0].Service.Site)) + " in GOCDB"
	}
	return field(m.Near[0]) + "; or set gocdb_id"
}
