package information

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// Catalogue is what all documents together say. It does not change.
type Catalogue struct {
	Sites   []Site // by name
	Dropped []Dropped
	Ended   []Dropped // our own that are older than they say they count: nothing newer was published, and they count no more
	Stale   []Dropped // they count all the same, but are older than they say they count
	Until   time.Time // when a document ceases to count; zero = none will

	byName map[string]int
	stored []*stored // of the sites, by name
	byFile map[string]*stored
	vos    []string // of the documents, in order
	usual  usual
}

// usual are the answers that are asked for most: the whole lists. They are made once.
type usual struct{ sites, projects, images, everyImage, documents func() *answer }

// Dropped is a document that does not count, or not as it should.
type Dropped struct{ Source, Document, Reason string }

// String is the document with the reason.
func (d Dropped) String() string { return fmt.Sprintf("%s in %s: %s", d.Document, d.Source, d.Reason) }

// Terms are what a catalogue is made under.
type Terms struct {
	Now           time.Time
	CheckValidity bool // drop others' documents that are older than they say they count; our own are dropped always
	Hosts         Hosts
}

// Hosts are the clouds that GOCDB has.
type Hosts []gocdb.Service

// find gives the key and the host of a cloud: by its key, or when it says none by its URL and site.
func (h Hosts) find(s Site) (id, host string) {
	if s.ID != "" {
		if i := slices.IndexFunc(h, func(o gocdb.Service) bool { return o.Key == s.ID }); i >= 0 {
			return s.ID, h[i].Host
		}
		return s.ID, ""
	}
	found, err := gocdb.Match(h, gocdb.Wanted{URL: s.URL, Site: s.Name})
	if err != nil || len(found.Found) == 0 {
		return "", ""
	}
	return found.Found[0].Service.Key, found.Found[0].Service.Host
}

// standing tells what a document's key is worth beside others of its site: a publisher can write any.
type standing int

const (
	ofAnother standing = iota // GOCDB has it for another URL or site
	unheard                   // GOCDB does not have it, or is not known, or the document has none
	confirmed                 // GOCDB has it for the URL, or has no URL to say otherwise
)

// standing tells what the key of a site's document is worth.
func (h Hosts) standing(s Site) standing {
	i := slices.IndexFunc(h, func(o gocdb.Service) bool { return o.Key == s.ID })
	if s.ID == "" || i < 0 {
		return unheard
	}
	if found, err := gocdb.Match(h[i:i+1], gocdb.Wanted{URL: s.URL, Site: s.Name}); err == nil && len(found.Found) > 0 {
		return confirmed
	}
	if h[i].Site == s.Name && h[i].URL == "" && !slices.ContainsFunc(h[i].Endpoints, func(e gocdb.Endpoint) bool { return e.URL != "" }) {
		return confirmed
	}
	return ofAnother
}

// entry is a reading with its site as it will be served.
type entry struct {
	*Reading
	site     Site
	key      string // URL as it is compared
	standing standing
}

// age is the number by which the endpoints of a site are ordered. A key that is another's has none.
func (e entry) age() int {
	if e.standing == ofAnother {
		return -1
	}
	return number(e.site.ID)
}

// compareNewest orders the endpoints of a site: the first has its name. Ours come before others, whatever these write.
func compareNewest(a, b entry) int {
	return cmp.Or(ownFirst(a, b), -cmp.Compare(a.standing, b.standing), -cmp.Compare(a.age(), b.age()), -cmp.Compare(a.site.ID, b.site.ID), cmp.Compare(a.key, b.key))
}

func ownFirst(a, b entry) int {
	switch {
	case a.Document.Own == b.Document.Own:
		return 0
	case a.Document.Own:
		return -1
	}
	return 1
}

// NewCatalogue makes the catalogue of readings. Their order does not matter.
func NewCatalogue(readings []*Reading, t Terms) *Catalogue {
	c := &Catalogue{byName: map[string]int{}, byFile: map[string]*stored{}}
	groups := map[string][]entry{}
	for _, r := range readings {
		if c.counts(r, t) {
			e := entry{Reading: r, site: r.Site}
			e.key, _ = gocdb.Normalize(r.Site.URL)
			groups[r.Site.Name] = append(groups[r.Site.Name], e)
		}
	}
	var ranks [4][]entry // names are given in this order: to ours, then to those that have a right to their names
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		group := c.single(groups[name])
		for i := range group {
			group[i].site.ID, group[i].site.Hostname = t.Hosts.find(group[i].site)
			group[i].standing = t.Hosts.standing(group[i].site)
			if u, err := url.Parse(group[i].site.URL); err == nil && group[i].site.Hostname == "" {
				group[i].site.Hostname = u.Hostname()
			}
		}
		slices.SortStableFunc(group, compareNewest)
		for i, e := range group {
			rank := 0
			if !e.Document.Own {
				rank = 2
			}
			if i > 0 {
				rank++
				e.site.Name += "-" + cmp.Or(e.site.ID, e.site.Hostname)
			}
			ranks[rank] = append(ranks[rank], e)
		}
	}
	for _, e := range slices.Concat(ranks[:]...) {
		c.add(e)
	}
	slices.SortFunc(c.Sites, func(a, b Site) int { return strings.Compare(a.Name, b.Name) })
	for i, s := range c.Sites {
		c.byName[s.Name] = i
	}
	slices.SortFunc(c.Dropped, compareDropped)
	slices.SortFunc(c.Ended, compareDropped)
	slices.SortFunc(c.Stale, compareDropped)
	c.list()
	return c
}

func compareDropped(a, b Dropped) int {
	return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Document, b.Document), cmp.Compare(a.Reason, b.Reason))
}

func (c *Catalogue) drop(r *Reading, format string, args ...any) {
	c.Dropped = append(c.Dropped, Dropped{r.Document.Source, r.Document.Name, fmt.Sprintf(format, args...)})
}

// counts tells whether a reading counts, and notes when it does not or soon will not.
func (c *Catalogue) counts(r *Reading, t Terms) bool {
	if r.Err != nil {
		c.drop(r, "%s", r.Err)
		return false
	}
	if r.Until.IsZero() {
		return true
	}
	if t.Now.Before(r.Until) {
		if c.Until.IsZero() || r.Until.Before(c.Until) {
			c.Until = r.Until
		}
		return true
	}
	reason := fmt.Sprintf("it is of %s and counted until %s", r.Made.Format(time.RFC3339), r.Until.Format(time.RFC3339))
	if r.Document.Own { // what we say ourselves holds, or we would tell of a cloud that we look at no more
		c.Ended = append(c.Ended, Dropped{r.Document.Source, r.Document.Name, reason})
		return false
	}
	if t.CheckValidity {
		c.drop(r, "%s", reason)
		return false
	}
	c.Stale = append(c.Stale, Dropped{r.Document.Source, r.Document.Name, reason})
	return true
}

// single leaves one document for each endpoint: our own, else the newest.
func (c *Catalogue) single(group []entry) []entry {
	slices.SortFunc(group, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), ownFirst(a, b), b.Made.Compare(a.Made), cmp.Compare(a.Document.Source, b.Document.Source), cmp.Compare(a.Document.Name, b.Document.Name))
	})
	var left []entry
	for _, e := range group {
		if n := len(left); n > 0 && left[n-1].key == e.key {
			c.drop(e.Reading, "%s in %s is of the same site and endpoint, and counts before it", left[n-1].Document.Name, left[n-1].Document.Source)
			continue
		}
		left = append(left, e)
	}
	return left
}

// number is the number in GOCDB's key: a larger one is newer.
func number(id string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(id, "G0"))
	if err != nil {
		return -1
	}
	return n
}

// add adds a site under its name, or the next that is free.
func (c *Catalogue) add(e entry) {
	name := e.site.Name
	for n := 2; c.has(e.site.Name); n++ {
		e.site.Name = name + "-" + strconv.Itoa(n)
	}
	c.byName[e.site.Name] = len(c.Sites)
	c.Sites = append(c.Sites, e.site)
	s := newStored(e.Reading)
	for n := 2; c.byFile[s.name] != nil; n++ {
		s.name = strings.TrimSuffix(s.name, ".json") + "-" + strconv.Itoa(n) + ".json"
	}
	c.byFile[s.name] = s
	c.stored = append(c.stored, s)
	for _, h := range e.site.Shares {
		if i, found := slices.BinarySearch(c.vos, h.VO); !found {
			c.vos = slices.Insert(c.vos, i, h.VO)
		}
	}
}

func (c *Catalogue) has(name string) bool { _, has := c.byName[name]; return has }

// Site gives the site of a name.
func (c *Catalogue) Site(name string) (*Site, bool) {
	i, ok := c.byName[name]
	if !ok {
		return nil, false
	}
	return &c.Sites[i], true
}

// VOs are the VOs that any share is for, in order.
func (c *Catalogue) VOs() []string { return c.vos }

// document gives a document by the name under which it is served.
func (c *Catalogue) document(name string) (*stored, bool) {
	s, ok := c.byFile[name]
	return s, ok
}

// list prepares what is made once for many requests.
func (c *Catalogue) list() {
	slices.SortFunc(c.stored, func(a, b *stored) int { return strings.Compare(a.name, b.name) })
	once := func(make func() any) func() *answer {
		return sync.OnceValue(func() *answer { return jsonAnswer(make()).kept() })
	}
	c.usual = usual{
		sites:      once(func() any { return c.sites("", "", false) }),
		projects:   once(func() any { return c.sites("", "", true) }),
		images:     once(func() any { return c.images("", true) }),
		everyImage: once(func() any { return c.images("", false) }),
		documents:  once(func() any { return c.listing() }),
	}
}

// objectName is the name under which a document is served: that which publishers give it, or one made of that when a URL or
// a directory could not hold it.
func objectName(s Site) string { return safe(glue.ObjectName(s.Name, s.URL)) }
