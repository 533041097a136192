// Package gocdb asks the public interface of GOCDB, the federation's register of sites: which services a site has, and
// which downtimes (spec discovery §1.1, §2). Connections are the caller's, and so is the time that an answer may take:
// a slow one ends with the context. Nothing is retried here and nothing is kept.
//
//	ask → read record by record → service, downtime → match with an endpoint
//
// How GOCDB answers (version 5.12, its public documentation and sources):
//   - It says no with status 200: an <error> document, or a line of text.
//   - Names are compared by SQL's LIKE, so that "A_B" also finds "A-B" and "a_b"; what was not asked for is dropped here.
//   - Without a scope it shows services of its default scope, EGI.
//   - It pages only when it is asked to, or set up to.
//   - A host may have two services of one type at a site; only the nested form of downtimes tells them apart.
package gocdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// DefaultURL is EGI's GOCDB.
const DefaultURL = "https://goc.egi.eu/gocdbpi/public/"

// Nova is the type under which a cloud's Keystone is registered.
const Nova = "org.openstack.nova"

// Client asks one GOCDB. HTTP carries time-outs, proxies and CAs.
type Client struct {
	HTTP  *http.Client
	URL   string // "" = DefaultURL
	Paged bool   // ask for pages of 100, for a GOCDB that cannot give everything at once
}

// Query limits what is asked for.
type Query struct {
	Site      string // as GOCDB names it; "" = all
	Type      string // of service, such as Nova; "" = all
	AllScopes bool   // also services that are not in GOCDB's default scope
}

// Oddity is a record of an answer that was left out, and why; the others count.
type Oddity struct {
	Record string // "service 16001G0"
	Reason string
}

// Services gives the services of a query in GOCDB's order, oldest first. An error is an *Error.
func (c *Client) Services(ctx context.Context, q Query) ([]Service, []Oddity, error) {
	v := q.values("get_service")
	if q.Site != "" {
		v.Set("sitename", q.Site)
	}
	if q.Type != "" {
		v.Set("service_type", q.Type)
	}
	var all []Service
	var odd []Oddity
	err := c.ask(ctx, "ask for services", v, "SERVICE_ENDPOINT", func(n int, e *element) {
		s, err := service(e)
		switch {
		case err != nil:
			odd = append(odd, Oddity{label("service", s.Key, n), err.Error()})
		case q.fits(s.Site, s.Type):
			all = append(all, s)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return all, odd, nil
}

// Downtimes gives the downtimes of a query that end after an instant: with the present those that are going on and those
// that are planned. Of their services only those that fit the query are kept. An error is an *Error.
func (c *Client) Downtimes(ctx context.Context, q Query, after time.Time) ([]Downtime, []Oddity, error) {
	v := q.values("get_downtime_nested_services")
	v.Set("windowstart", after.UTC().Format(time.DateOnly)) // what ended later than that day's midnight
	if q.Site != "" {
		v.Set("topentity", q.Site)
	}
	var all downtimes
	var odd []Oddity
	err := c.ask(ctx, "ask for downtimes", v, "DOWNTIME", func(n int, e *element) {
		d, err := downtime(e)
		if err != nil {
			odd = append(odd, Oddity{label("downtime", d.ID, n), err.Error()})
			return
		}
		var services []Affected
		for _, s := range d.Services {
			if q.fits(s.Site, s.Type) {
				services = append(services, s)
			}
		}
		if d.Services = services; len(services) > 0 && d.End.After(after) {
			all.add(d)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return all.list, odd, nil
}

func (q Query) values(method string) url.Values {
	v := url.Values{"method": {method}}
	if q.AllScopes {
		v.Set("scope", "")
	}
	return v
}

// fits tells whether a record is what was asked for. A site in other letters is kept: Match says what is wrong with it.
func (q Query) fits(site, kind string) bool {
	return (q.Site == "" || strings.EqualFold(q.Site, site)) && (q.Type == "" || strings.EqualFold(q.Type, kind))
}

func label(what, key string, n int) string {
	if key == "" {
		return fmt.Sprintf("%s, number %d of the answer", what, n)
	}
	return what + " " + shorten([]byte(key))
}

// ask puts a question, and hands each record of that name over, on all pages.
func (c *Client) ask(ctx context.Context, op string, question url.Values, name string, record func(n int, e *element)) error {
	left, n, last := usual, 0, int64(-1)
	if c.Paged {
		question.Set("next_cursor", "0")
		last = 0
	}
	for page := 1; ; page++ {
		if page > left.pages {
			return &Error{Op: op, Message: fmt.Sprintf("more than %d pages", left.pages), kind: excess}
		}
		meta, err := c.page(ctx, op, question, &left, func(e *element) {
			if e.name == name {
				n++
				record(n, e)
			}
		})
		if err != nil {
			return err
		}
		next, more, err := cursor(meta)
		if err == nil && more && next <= last {
			err = fmt.Errorf("the page after %d is %d: its pages go in circles", last, next)
		}
		if err != nil {
			return &Error{Op: op, HTTPStatus: http.StatusOK, Message: err.Error(), kind: broken}
		}
		if !more {
			return nil
		}
		question.Set("next_cursor", strconv.FormatInt(next, 10))
		last = next
	}
}

// page asks for one page, or for everything, and takes what it holds from left.
func (c *Client) page(ctx context.Context, op string, question url.Values, left *limits, record func(*element)) (*element, error) {
	u, err := url.Parse(cmp.Or(c.URL, DefaultURL))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, &Error{Op: op, Message: "GOCDB's URL is not one of http or https", kind: refused}
	}
	u.RawQuery = question.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, &Error{Op: op, Message: err.Error(), kind: refused}
	}
	req.Header.Set("Accept", "application/xml")
	res, err := c.HTTP.Do(req)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err // the host is said already
		}
		return nil, &Error{Op: op, Host: u.Host, Cause: err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, answered(op, u.Host, res)
	}
	meta, err := read(res.Body, left, record)
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Cause: err, kind: broken}
		}
		e.Op, e.Host, e.HTTPStatus = op, u.Host, res.StatusCode
		return nil, e
	}
	return meta, nil
}

// cursor reads from a page's meta element where the next one begins. There is no such element in an answer without pages.
func cursor(meta *element) (next int64, more bool, err error) {
	if meta == nil {
		return 0, false, nil
	}
	count, err := strconv.Atoi(meta.child("count"))
	if err != nil {
		return 0, false, fmt.Errorf("a page whose count is %q", shorten([]byte(meta.child("count"))))
	}
	size, err := strconv.Atoi(meta.child("max_page_size"))
	if count <= 0 || (err == nil && count < size) {
		return 0, false, nil
	}
	for _, link := range meta.kids {
		if link.name != "link" || link.attr("rel") != "next" {
			continue
		}
		// Only the cursor is taken: which host a link names is the server's set-up, and may be anything.
		u, err := url.Parse(link.attr("href"))
		if err == nil {
			next, err = strconv.ParseInt(u.Query().Get("next_cursor"), 10, 64)
		}
		if err != nil {
			return 0, false, errors.New("a page whose link to the next one has no cursor")
		}
		return next, true, nil
	}
	return 0, false, errors.New("a full page without a link to the next one")
}
