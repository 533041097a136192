package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Inventory asks what one project of a cloud is offered, with a token of that project: flavors, quotas, images, networks,
// and how many VMs it has. Its methods may be called at the same time, and each fails alone: a cloud whose Nova is down
// still tells of its images. What an administrator's token shows beyond the project is left out.
type Inventory struct {
	session *session

	mu   sync.Mutex
	nova *nova
}

// nova is where compute is, and what it can do, or why that is not known.
type nova struct {
	endpoint string // ends in a slash
	version  version
	err      error
}

// Scope is the project of a token, and its domain.
type Scope struct{ ID, Name, DomainID, DomainName string }

// Endpoint is an entry of the catalog.
type Endpoint struct {
	Service, Name string // type and name of the service
	Region        string
	Interface     string // public, internal, admin
	URL           string
}

// BadEntry is an entry of a listing that cannot be used. It spoils nothing but itself.
type BadEntry struct {
	ID     string // "?" when it has none
	Reason string
}

// Inventory signs in to a project; without an id to that of the credential's own token. One value is one token.
func (c *Cloud) Inventory(ctx context.Context, id string) (*Inventory, error) {
	if id == "" {
		base, err := c.start(ctx)
		if err != nil {
			return nil, err
		}
		if id = base.projectID; id == "" {
			return nil, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("no project is named, and the credential gives a token of %s", base.scope()),
				Remedy: "name the project, or use an application credential, which is of one"}
		}
	}
	s, err := c.signInTo(ctx, id)
	if err != nil {
		return nil, err
	}
	return &Inventory{session: s}, nil
}

// Scope tells of which project the token is.
func (i *Inventory) Scope() Scope { return i.session.project }

// Catalog gives the endpoints of all services in all regions, as the token's catalog has them.
func (i *Inventory) Catalog() []Endpoint {
	var all []Endpoint
	for _, entry := range i.session.catalog {
		for _, e := range entry.Endpoints {
			all = append(all, Endpoint{Service: entry.Type, Name: entry.Name, Region: cmpOr(e.RegionID, e.Region), Interface: e.Interface, URL: e.URL})
		}
	}
	return all
}

// ComputeVersion gives Nova's newest microversion, "2.95".
func (i *Inventory) ComputeVersion(ctx context.Context) (string, error) {
	n := i.compute(ctx)
	if n.err != nil {
		return "", n.err
	}
	return fmt.Sprintf("2.%d", n.version.minor), nil
}

// compute finds out once where Nova is and what it can do; that it cannot be reached is an answer too.
func (i *Inventory) compute(ctx context.Context) nova {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.nova != nil {
		return *i.nova
	}
	n, c := nova{}, i.session.cloud
	if n.endpoint, n.err = i.session.endpoint("compute", c.cfg.Region, c.cfg.Interface); n.err == nil {
		n.version, n.err = c.computeVersion(ctx, i.session, n.endpoint)
	}
	if ctx.Err() == nil {
		i.nova = &n
	}
	return n
}

// Limits of what is kept of an answer. Tenants write the texts, and a cloud that is broken may tell without end.
const (
	mostPages   = 10_000
	mostEntries = 50_000   // of flavors, images or networks
	longestText = 64 << 10 // bytes of a property: what Glance's database holds
	longestKey  = 255
	mostTexts   = 1_000 // properties of one thing
)

// pages reads a listing of a service, entry by entry, and follows the links to the next page. Of a link only the marker is
// used: behind a balancer a service may name itself by another scheme or host. It never takes a short page for the last
// one, and lets the service say how long a page is.
func (s *session) pages(ctx context.Context, service, at string, query url.Values, microversion, of string, entry func(json.RawMessage) error) error {
	query, markers := maps.Clone(query), map[string]bool{}
	for range mostPages {
		var odd error // of an entry: it is said as it is, and not as an answer that cannot be read
		answer := listing{of: of, entry: func(raw json.RawMessage) error {
			odd = entry(raw)
			return odd
		}}
		target := at
		if len(query) > 0 {
			target += "?" + query.Encode()
		}
		if err := s.get(ctx, service, target, microversion, &answer); odd != nil || err != nil {
			if odd != nil {
				return odd
			}
			return err
		}
		marker, err := nextMarker(service, answer.Links, markers, at)
		if err != nil || marker == "" {
			return err
		}
		if query == nil {
			query = url.Values{}
		}
		query.Set("marker", marker)
	}
	return tooLong(service, at)
}

// tooLong says that a listing is of more than fedsite keeps.
func tooLong(service, at string) error {
	return &Error{Kind: ErrBadAnswer, Service: service, Method: "GET", Path: pathOf(at), Message: "the listing does not end"}
}

// kept collects what can be used of a listing, and what cannot.
type kept[T any] struct {
	service, at string
	all         []T
	bad         []BadEntry
}

// add takes an entry that was read from raw, or the error that it gave.
func (k *kept[T]) add(raw json.RawMessage, one T, err error) error {
	if len(k.all)+len(k.bad) >= mostEntries {
		return tooLong(k.service, k.at)
	}
	if err != nil {
		k.bad = append(k.bad, BadEntry{ID: cmpOr(idOf(raw), "?"), Reason: printable(err.Error())})
	} else {
		k.all = append(k.all, one)
	}
	return nil
}

// texts gives the values of an object as texts, whatever they are, but for some keys; null is none. What is too long or too
// many is left out, and named.
func texts(object map[string]json.RawMessage, but ...string) (all map[string]string, left []string) {
	all = map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		if slices.Contains(but, key) || string(value) == "null" {
			continue
		}
		text := string(value)
		if strings.HasPrefix(text, `"`) {
			_ = json.Unmarshal(value, &text) // a string that was read is one
		}
		switch {
		case len(key) > longestKey:
			left = append(left, strings.ToValidUTF8(key[:longestKey], ""))
		case len(text) > longestText || len(all) == mostTexts:
			left = append(left, key)
		default:
			all[key] = text
		}
	}
	return all, left[:min(len(left), mostTexts)]
}

// exactly reads values of an object by their keys. Other than encoding/json by itself it does not take a key in other
// letters for the same: a tenant may write a property Owner beside Glance's owner.
func exactly(object map[string]json.RawMessage, into map[string]any) error {
	for key, value := range into {
		if raw, ok := object[key]; ok {
			if err := json.Unmarshal(raw, value); err != nil {
				return fmt.Errorf("unusable entry of the listing: %s: %w", key, err)
			}
		}
	}
	return nil
}
