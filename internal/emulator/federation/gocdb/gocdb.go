// Package gocdb emulates the public interface of GOCDB, as far as a site asks it: its services and its downtimes, in both
// forms, with scopes, SQL's LIKE for names, cursor paging, and refusals that come with status 200 (GOCDB 5.12).
//
// On purpose not reproduced: extensions and the parameters for them, certification states, undocumented parameters, and
// the methods for sites, contacts and users. What is asked of these is refused as GOCDB refuses what it does not know.
package gocdb

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Path is where the interface is served.
const Path = "/gocdbpi/public/"

// Service is a registered service of a site.
type Service struct {
	ID         int // its primary key is this and "G0"
	Site       string
	NGI        string
	Country    string
	Type       string
	Host       string
	HostDN     string
	URL        string
	Endpoints  []Endpoint
	Production bool
	Monitored  bool
	Scopes     []string
}

// Endpoint is a further address of a service.
type Endpoint struct {
	ID        int
	Name      string
	URL       string
	Interface string
	Monitored bool
}

// Downtime of services.
type Downtime struct {
	ID             int
	Key            string // "" = ID and "G0"; those of old downtimes are others
	Severity       string // OUTAGE, WARNING
	Classification string // SCHEDULED, UNSCHEDULED
	Description    string
	Declared       time.Time
	Start, End     time.Time
	Services       []int // IDs
	Endpoints      []int // IDs, of endpoints of these services
}

// Options is how the instance is set up.
type Options struct {
	Scope    string // shown to those that name none; "" = EGI, "*" = every
	PageSize int    // 0 = 100
	Paging   bool   // also for those that do not ask for it
}

// GOCDB is the emulated register. It may be used from several goroutines.
type GOCDB struct {
	now  func() time.Time
	opts Options

	mu        sync.Mutex
	services  []Service
	downtimes []Downtime
	asked     map[string]int
}

// New gives a register at the present that now tells. It is empty until Set is called.
func New(now func() time.Time, o Options) *GOCDB {
	o.Scope, o.PageSize = cmp.Or(o.Scope, "EGI"), cmp.Or(o.PageSize, 100)
	return &GOCDB{now: now, opts: o, asked: map[string]int{}}
}

// Set replaces what is registered.
func (g *GOCDB) Set(services []Service, downtimes []Downtime) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.services, g.downtimes = slices.Clone(services), slices.Clone(downtimes)
	slices.SortStableFunc(g.services, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortStableFunc(g.downtimes, func(a, b Downtime) int { return cmp.Compare(a.ID, b.ID) })
}

// Asked tells how often a method was asked for: "get_service".
func (g *GOCDB) Asked(method string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asked[method]
}

// ServeHTTP serves the interface under Path.
func (g *GOCDB) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case strings.TrimSuffix(Path, "/"):
		http.Redirect(w, r, Path+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
		return
	case Path, Path + "index.php":
	default:
		http.NotFound(w, r)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	q := &query{g: g, r: r, params: map[string]string{}}
	for k, v := range r.URL.Query() {
		q.params[k] = v[len(v)-1] // as PHP takes them
	}
	method := q.params["method"]
	delete(q.params, "method")
	g.asked[method]++
	w.Header().Set("Content-Type", "application/xml") // of a refusal too
	text, no := q.answer(method)
	if no != nil {
		text = no.text
	}
	_, _ = io.WriteString(w, text)
}

// refusal is what is written in place of an answer.
type refusal struct{ text string }

// refuse does not mask what it quotes, as GOCDB.
func refuse(format string, args ...any) *refusal {
	return &refusal{"<error>" + fmt.Sprintf(format, args...) + "</error>"}
}

// query is one question.
type query struct {
	g      *GOCDB
	r      *http.Request
	params map[string]string
}

func (q *query) answer(method string) (string, *refusal) {
	shared := []string{"scope", "scope_match", "next_cursor", "prev_cursor"}
	switch method {
	case "get_service", "get_service_endpoint":
		if no := q.check(append(shared, "hostname", "sitename", "roc", "country", "service_type", "monitored")); no != nil {
			return "", no
		}
		return q.servicesXML()
	case "get_downtime", "get_downtime_nested_services":
		if no := q.check(append(shared, "topentity", "ongoing_only", "startdate", "enddate", "windowstart", "windowend")); no != nil {
			return "", no
		}
		return q.downtimesXML(method == "get_downtime_nested_services")
	case "get_site", "get_site_contacts", "get_site_security_info", "get_roc_contacts", "get_user", "get_ngi", "get_service_group":
		return "", &refusal{"No valid identifier found. Try accessing the resource through the private interface."}
	}
	return "", &refusal{"Unable to find method: " + method}
}

// check refuses parameters and values that the method does not take.
func (q *query) check(known []string) *refusal {
	for k := range q.params {
		if !slices.Contains(known, k) {
			return refuse("Unsupported parameter: %s", k)
		}
	}
	for _, v := range q.params {
		if strings.ContainsAny(v, "\"'`") {
			return refuse("Unsuported chracter in value: %s", v)
		}
	}
	return nil
}

// like tells whether a parameter, if it is there, fits a value as SQL's LIKE does: "%" is any text, "_" any letter, and
// capitals do not count.
func (q *query) like(param string, values ...string) bool {
	pattern, given := q.params[param]
	return !given || slices.ContainsFunc(values, func(v string) bool {
		return like([]rune(strings.ToLower(pattern)), []rune(strings.ToLower(v)))
	})
}

func like(pattern, text []rune) bool {
	if len(pattern) == 0 {
		return len(text) == 0
	}
	switch {
	case pattern[0] == '%':
		return like(pattern[1:], text) || (len(text) > 0 && like(pattern, text[1:]))
	case len(text) == 0:
		return false
	}
	return (pattern[0] == '_' || pattern[0] == text[0]) && like(pattern[1:], text[1:])
}

// scoped tells whether a service is in the scopes that are asked for, or in the instance's own.
func (q *query) scoped(s Service) bool {
	asked, given := q.params["scope"]
	switch {
	case !given && q.g.opts.Scope == "*", given && asked == "":
		return true
	case !given:
		return slices.Contains(s.Scopes, q.g.opts.Scope)
	}
	has := func(scope string) bool { return slices.Contains(s.Scopes, scope) }
	all := strings.Split(strings.Trim(strings.TrimSpace(asked), ","), ",")
	if q.params["scope_match"] == "any" {
		return slices.ContainsFunc(all, has)
	}
	return !slices.ContainsFunc(all, func(scope string) bool { return !has(scope) })
}

// page is a stretch of what was found, and the meta element before it; nil without paging.
func page[T any](q *query, all []T, id func(T) int) ([]T, *node, *refusal) {
	next, n, no := q.cursor("next_cursor")
	if no != nil {
		return nil, nil, no
	}
	prev, p, no := q.cursor("prev_cursor")
	switch {
	case no != nil:
		return nil, nil, no
	case n && p:
		return nil, nil, refuse("It is invalid to specify both 'next_cursor' and 'prev_cursor' parameters in the same query")
	case !n && !p && !q.g.opts.Paging:
		return all, nil, nil
	}
	size := q.g.opts.PageSize
	if p {
		all = slices.DeleteFunc(slices.Clone(all), func(v T) bool { return id(v) >= prev })
		all = all[max(len(all)-size, 0):]
	} else {
		all = slices.DeleteFunc(slices.Clone(all), func(v T) bool { return n && id(v) <= next })
		all = all[:min(len(all), size)]
	}
	first, last := -1, -1
	switch {
	case len(all) > 0:
		first, last = id(all[0]), id(all[len(all)-1])
	case n:
		first = next + 1
	case p:
		last = max(prev-1, 0)
	}
	meta := &node{name: "meta"}
	meta.add("link", "").set("rel", "self").set("href", q.base()+q.r.URL.Path+"?"+q.r.URL.RawQuery)
	link := func(rel, cursor string, at int) {
		if at < 0 {
			return
		}
		v := q.r.URL.Query()
		v.Del("next_cursor")
		v.Del("prev_cursor")
		v.Set(cursor, strconv.Itoa(at))
		meta.add("link", "").set("rel", rel).set("href", q.base()+q.r.URL.Path+"?"+v.Encode())
	}
	link("next", "next_cursor", last)
	link("prev", "prev_cursor", first)
	link("start", "next_cursor", 0)
	meta.add("count", strconv.Itoa(len(all)))
	meta.add("max_page_size", strconv.Itoa(size))
	return all, meta, nil
}

func (q *query) cursor(name string) (at int, given bool, no *refusal) {
	text, given := q.params[name]
	if !given {
		return 0, false, nil
	}
	if at, err := strconv.Atoi(text); err == nil && at >= 0 {
		return at, true, nil
	}
	return 0, false, refuse("Invalid '%s' parameter - must be a whole number greater than or equal to zero", name)
}

// base is the beginning of URLs in answers.
func (q *query) base() string {
	u := url.URL{Scheme: "http", Host: q.r.Host}
	if q.r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}
