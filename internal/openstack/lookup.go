package openstack

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/gophercloud/gophercloud/v2"
)

// Lookup gives what a listing names by id only, for one run: every answer is kept, also that there is none. It may be
// used from several goroutines.
type Lookup struct {
	cloud *Cloud

	mu      sync.Mutex
	users   map[string]*user
	refused error // users may not be read at all
	reader  *session
	tried   bool

	imagesMu sync.Mutex
	images   map[string]wireImage
	listed   map[string]bool    // projects whose images were listed
	unlisted map[string]error   // and those where that failed
	members  map[[2]string]bool // project and image: shared with it, and accepted

	flavorsMu sync.Mutex
	flavors   map[string]*flavor
}

type user struct {
	once sync.Once
	name string
	err  error
}

// NewLookup starts the look-ups of one run.
func (c *Cloud) NewLookup() *Lookup {
	return &Lookup{cloud: c, users: map[string]*user{}, images: map[string]wireImage{}, listed: map[string]bool{}, unlisted: map[string]error{}, members: map[[2]string]bool{},
		flavors: map[string]*flavor{}}
}

// UserName gives a user's name. It is asked with a system-scoped token where the credential's user has a system role,
// else with a project's. After a 403 nobody is asked for again: ErrForbidden.
func (l *Lookup) UserName(ctx context.Context, id string) (string, error) {
	l.mu.Lock()
	if l.refused != nil {
		defer l.mu.Unlock()
		if l.reader != nil && id == l.reader.userID { // its own name is known, whoever was asked for before
			return l.reader.userName, nil
		}
		return "", l.refused
	}
	u := l.users[id]
	if u == nil {
		u = &user{}
		l.users[id] = u
	}
	l.mu.Unlock()
	u.once.Do(func() { u.name, u.err = l.ask(ctx, id) })
	if errors.Is(u.err, ErrForbidden) {
		l.mu.Lock()
		l.refused = u.err
		l.mu.Unlock()
	}
	return u.name, u.err
}

func (l *Lookup) ask(ctx context.Context, id string) (string, error) {
	s, err := l.session(ctx)
	if err != nil {
		return "", err
	}
	if id == s.userID {
		return s.userName, nil
	}
	var answer struct {
		User struct {
			Name string `json:"name"`
		} `json:"user"`
	}
	if err := s.get(ctx, "identity", l.cloud.identity+"users/"+url.PathEscape(id), "", &answer); err != nil {
		return "", err
	}
	return answer.User.Name, nil
}

// session chooses the token that users are read with, once per run.
func (l *Lookup) session(ctx context.Context) (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reader != nil {
		return l.reader, nil
	}
	c := l.cloud
	base, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	if !l.tried && base.onlyProject == "" {
		l.tried = true
		if s, err := c.signIn(ctx, &gophercloud.AuthScope{System: true}, nil); err == nil {
			l.reader = s
			return s, nil
		} else if ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
			l.tried = false
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.reader = base
	if c.project != nil {
		l.reader = c.project
	}
	return l.reader, nil
}

type wireImage struct{ ID, Owner, Visibility, URI string }

// UnmarshalJSON reads an image by its keys as they are, which a tenant's properties are not taken for.
func (w *wireImage) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	return exactly(object, map[string]any{"id": &w.ID, "owner": &w.Owner, "visibility": &w.Visibility, "vmcatcher_event_ad_mpuri": &w.URI})
}

// Image gives an image as the project may see it, so that an administrator's token gives what a reader's does: a public
// or community one, one of the project's own, or one shared with it and accepted. ErrNotFound for every other one. A
// project's images are listed once, when the first unknown one is met.
func (l *Lookup) Image(ctx context.Context, p *Project, id string) (Image, error) {
	l.imagesMu.Lock()
	defer l.imagesMu.Unlock()
	w, known := l.images[id]
	if !known && !l.listed[p.id] {
		if l.unlisted[p.id] == nil {
			l.unlisted[p.id] = l.list(ctx, p)
		}
		if err := l.unlisted[p.id]; err != nil {
			return Image{}, err
		}
		l.listed[p.id] = true
		w, known = l.images[id]
	}
	if !known {
		return Image{}, ErrNotFound
	}
	if w.URI == "" {
		return Image{ID: id}, nil // its visibility makes no difference
	}
	visible := w.Visibility == "public" || w.Visibility == "community" || w.Owner == p.id
	if !visible && (w.Visibility == "shared" || w.Visibility == "private") { // before Ocata shared ones are called private
		asked := [2]string{p.id, id}
		yes, known := l.members[asked]
		if !known {
			var err error
			if yes, err = l.accepted(ctx, p, id); err != nil {
				return Image{}, err
			}
			l.members[asked] = yes
		}
		visible = yes
	}
	if !visible {
		return Image{}, ErrNotFound
	}
	return Image{ID: id, URI: w.URI}, nil
}

// list reads all images that the project's token shows.
func (l *Lookup) list(ctx context.Context, p *Project) error {
	endpoint, err := imageEndpoint(p.session)
	if err != nil {
		return err
	}
	next, seen := "images?limit=1000", map[string]bool{}
	for {
		var answer struct {
			Images []json.RawMessage `json:"images"`
			Next   string            `json:"next"`
		}
		if err := p.session.get(ctx, "image", endpoint+next, "", &answer); err != nil {
			return err
		}
		for _, raw := range answer.Images {
			var w wireImage
			if json.Unmarshal(raw, &w) == nil && w.ID != "" { // an image with odd properties has no URI for us
				l.images[w.ID] = w
			}
		}
		_, query, more := strings.Cut(answer.Next, "?")
		if !more {
			return nil
		}
		if next = "images?" + query; seen[next] {
			return &Error{Kind: ErrBadAnswer, Service: "image", Method: "GET", Path: pathOf(endpoint + "images"), Message: "the listing goes in circles: its next page was shown before"}
		}
		seen[next] = true
	}
}

// accepted tells whether an image of another project is shared with this one, and accepted by it.
func (l *Lookup) accepted(ctx context.Context, p *Project, id string) (bool, error) {
	endpoint, err := imageEndpoint(p.session)
	if err != nil {
		return false, err
	}
	return isMember(ctx, p.session, endpoint, id)
}

// isMember asks whether an image of another project is shared with the session's, and accepted by it.
func isMember(ctx context.Context, s *session, endpoint, id string) (bool, error) {
	var answer struct {
		Status string `json:"status"`
	}
	err := s.get(ctx, "image", endpoint+"images/"+url.PathEscape(id)+"/members/"+url.PathEscape(s.projectID), "", &answer)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrForbidden) {
		return false, nil
	}
	return answer.Status == "accepted", err
}

// imageEndpoint is Glance's, with its version.
func imageEndpoint(s *session) (string, error) {
	endpoint, err := s.endpoint("image", s.cloud.cfg.Region, s.cloud.cfg.Interface)
	if err != nil {
		return "", err
	}
	if !strings.HasSuffix(endpoint, "/v2/") {
		endpoint += "v2/"
	}
	return endpoint, nil
}
