package oci

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// pages asks for a listing page by page, the next one by its Link. Each page is handed over. The first error ends it: what
// was handed over before is then not all.
func (c *Client) pages(ctx context.Context, first string, ask func(ctx context.Context, target string) (*http.Response, error), page func(text []byte) error) error {
	seen := map[string]bool{}
	for target := first; target != ""; {
		if len(seen) >= maxPages {
			return unusable("it has more than %d pages", maxPages)
		}
		if seen[target] {
			return unusable("its pages go in circles")
		}
		seen[target] = true
		res, err := ask(ctx, target)
		if err != nil {
			return err
		}
		text, e := read(res.Body, maxPage)
		_ = res.Body.Close()
		if e != nil {
			return e
		}
		if err := page(text); err != nil {
			return err
		}
		if target, err = c.follow(target, nextLink(res.Header)); err != nil {
			return err
		}
	}
	return nil
}

// follow gives the URL of a link, which has to stay at the registry: the sign-in goes with it.
func (c *Client) follow(from, link string) (string, error) {
	if link == "" {
		return "", nil
	}
	own, err := c.base()
	if err != nil {
		return "", err
	}
	here, err1 := url.Parse(from)
	there, err2 := url.Parse(link)
	if errors.Join(err1, err2) != nil {
		return "", unusable("its link to the next page is %.80q", link)
	}
	if !there.IsAbs() && there.Host == "" && strings.HasPrefix(there.Path, "/") {
		return (&url.URL{Scheme: own.Scheme, Host: own.Host, Path: there.Path, RawPath: there.RawPath, RawQuery: there.RawQuery}).String(), nil
	}
	next := here.ResolveReference(there)
	if !strings.EqualFold(next.Hostname(), own.Hostname()) || next.User != nil {
		return "", unusable("its link to the next page leads to %.80q", next.Scheme+"://"+next.Host)
	}
	next.Scheme, next.Host, next.Fragment = own.Scheme, own.Host, "" // behind a proxy, a registry may not know how it is called
	return next.String(), nil
}

// Tags gives the names of a repository's tags. An error is an *Error, and then there is no listing.
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	op := "list the tags of " + shorten(repository)
	own, err := c.base()
	if err != nil {
		return nil, c.failed(op, err)
	}
	if !isRepository(repository) {
		return nil, c.failed(op, unusable("no name of a repository"))
	}
	var all []string
	ask := func(ctx context.Context, target string) (*http.Response, error) {
		return c.ask(ctx, repository, target, "application/json")
	}
	err = c.pages(ctx, own.String()+"/v2/"+repository+"/tags/list?n=1000", ask, func(text []byte) error {
		var page struct {
			Tags *[]string `json:"tags"`
		}
		var shape map[string]json.RawMessage
		if e := decode(text, &shape); e != nil {
			return e
		}
		if _, ok := shape["tags"]; !ok {
			return unusable("it is no list of tags")
		}
		if e := decode(text, &page); e != nil {
			return e
		}
		if page.Tags == nil { // "tags": null: there is none
			return nil
		}
		for _, t := range *page.Tags {
			if !tagName.MatchString(t) {
				return unusable("it lists %.80q, which is no tag", t)
			}
			all = append(all, t)
		}
		if len(all) > maxItems {
			return unusable("it lists more than %d tags", maxItems)
		}
		return nil
	})
	if err != nil {
		return nil, c.failed(op, err)
	}
	return all, nil
}

// shorten gives a text from outside as it may be shown.
func shorten(text string) string {
	if len(text) > 120 {
		text = text[:120] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\ufffd' {
			return '?'
		}
		return r
	}, text)
}
