package openstack

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Project is one project at a cloud, with a token of that project. Its methods are Nova's listings as fedsite needs them.
type Project struct {
	cloud   *Cloud
	session *session
	id      string
	compute string // endpoint, ends in a slash
	version version
}

// ProjectID is the project's id, and that of its token.
func (p *Project) ProjectID() string { return p.id }

// Existing lists the VMs that exist, page by page.
func (p *Project) Existing(ctx context.Context, page func(Page) error) error {
	return p.list(ctx, url.Values{}, page)
}

// Changed lists the VMs that changed since the instant, the deleted ones too.
func (p *Project) Changed(ctx context.Context, since time.Time, page func(Page) error) error {
	return p.list(ctx, url.Values{"changes-since": {since.UTC().Format("2006-01-02T15:04:05Z")}}, page)
}

// list follows the links to the next page; it never takes a short page for the last one. Of a link only the marker is
// used: behind a balancer Nova may name itself by another scheme or host.
func (p *Project) list(ctx context.Context, query url.Values, page func(Page) error) error {
	microversion, _ := p.version.newestOf(69, 47)
	query.Set("limit", strconv.Itoa(p.cloud.cfg.PageSize))
	markers := map[string]bool{}
	for {
		result := Page{Seen: p.cloud.cfg.Now()}
		var odd error // of an entry: it is said as it is, and not as an answer that cannot be read
		answer := listing{of: "servers", entry: func(raw json.RawMessage) error {
			odd = p.entry(raw, &result)
			return odd
		}}
		if err := p.session.get(ctx, "compute", p.compute+"servers/detail?"+query.Encode(), microversion, &answer); err != nil {
			return cmp.Or(odd, err)
		}
		if err := page(result); err != nil {
			return err
		}
		marker, err := nextMarker("compute", answer.Links, markers, p.compute+"servers/detail")
		if err != nil || marker == "" {
			return err
		}
		query.Set("marker", marker)
	}
}

// entry adds an entry of a listing to the page.
func (p *Project) entry(raw json.RawMessage, page *Page) error {
	s, err := decodeServer(raw)
	switch {
	case err != nil:
		page.Bad = append(page.Bad, BadServer{ID: cmpOr(idOf(raw), "?"), Reason: err.Error()})
	case s.ProjectID != p.id:
		return &Error{Kind: ErrScope, Service: "compute", Method: "GET", Path: pathOf(p.compute + "servers/detail"),
			Message: fmt.Sprintf("the listing of project %s shows VM %s of project %s", p.id, s.ID, s.ProjectID)}
	default:
		page.Servers = append(page.Servers, s)
	}
	return nil
}

// nextMarker gives the marker of the next page of the listing at the URL, "" when there is none. One that was shown before
// would go in circles.
func nextMarker(service string, links []pageLink, before map[string]bool, at string) (string, error) {
	marker := ""
	for _, l := range links {
		if l.Rel != "next" {
			continue
		}
		if u, err := url.Parse(l.Href); err == nil {
			marker = u.Query().Get("marker")
		}
		if marker == "" { // to end here would lose the rest without a word
			return "", &Error{Kind: ErrBadAnswer, Service: service, Method: "GET", Path: pathOf(at), Message: "the link to the next page has no marker"}
		}
	}
	if before[marker] {
		return "", &Error{Kind: ErrBadAnswer, Service: service, Method: "GET", Path: pathOf(at), Message: "the listing goes in circles: its next page was shown before"}
	}
	before[marker] = marker != ""
	return marker, nil
}

// Server asks for one VM.
func (p *Project) Server(ctx context.Context, id string) (Server, error) {
	microversion, _ := p.version.newestOf(69, 47)
	var answer struct {
		Server json.RawMessage `json:"server"`
	}
	if err := p.session.get(ctx, "compute", p.compute+"servers/"+url.PathEscape(id), microversion, &answer); err != nil {
		return Server{}, err
	}
	s, err := decodeServer(answer.Server)
	if err != nil {
		return Server{}, &Error{Kind: ErrBadAnswer, Service: "compute", Method: "GET", Path: pathOf(p.compute + "servers/" + id), Cause: err}
	}
	if s.ProjectID != p.id { // an administrator's token may see it: for this project it does not exist
		return Server{}, &Error{Kind: ErrNotFound, Service: "compute", Method: "GET", Path: pathOf(p.compute + "servers/" + id), Message: "it belongs to another project"}
	}
	return s, nil
}

// Actions lists what was done to a VM, oldest first; of a deleted VM from microversion 2.21 on, with the time of the end
// from 2.58 on.
func (p *Project) Actions(ctx context.Context, id string) ([]Action, error) {
	microversion, _ := p.version.newestOf(58, 21)
	path := p.compute + "servers/" + url.PathEscape(id) + "/os-instance-actions"
	all, query, markers := []Action{}, "", map[string]bool{}
	for {
		var answer struct {
			Actions []struct {
				Action    string   `json:"action"`
				Request   string   `json:"request_id"`
				StartTime novaTime `json:"start_time"`
				UpdatedAt novaTime `json:"updated_at"`
				Message   *string  `json:"message"`
			} `json:"instanceActions"`
			Links []pageLink `json:"links"` // from 2.58 on
		}
		if err := p.session.get(ctx, "compute", path+query, microversion, &answer); err != nil {
			return nil, err
		}
		for _, a := range answer.Actions {
			all = append(all, Action{RequestID: a.Request, Name: a.Action, Start: a.StartTime.Time, Updated: a.UpdatedAt.Time, Failed: a.Message != nil && *a.Message == "Error"})
		}
		marker, err := nextMarker("compute", answer.Links, markers, path)
		if err != nil {
			return nil, err
		}
		if marker == "" {
			break
		}
		query = "?" + url.Values{"marker": {marker}}.Encode()
	}
	slices.SortStableFunc(all, func(a, b Action) int { return a.Start.Compare(b.Start) })
	return all, nil
}
