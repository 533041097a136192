package openstack

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"github.com/fedsite/fedsite/internal/site"
	"github.com/fedsite/fedsite/internal/transport"
)

// Config says which cloud, and how it is asked.
type Config struct {
	AuthURL    string // with or without /v3
	Region     string // "" = the only one
	Interface  string // public (default), internal, admin
	Credential func() (Credential, error)
	// Supply, in place of Credential, gives a credential that may come from a service. refused is one that it gave and that
	// Keystone has just refused, nil = none: it gives another one then, if there is one.
	Supply   func(ctx context.Context, refused *Credential) (Credential, error)
	HTTP     *http.Client
	Shake    func(ctx context.Context, url string) (transport.Handshake, error) // of the same client; only Authorities needs it
	Now      func() time.Time
	MaxSkew  time.Duration // how far Keystone's clock may be from ours; 0 = not checked
	PageSize int           // VMs asked for per page; 0 = 1000
	Log      *slog.Logger
}

// Cloud is one OpenStack endpoint with a credential for it.
type Cloud struct {
	cfg      Config
	identity string // Keystone's URL up to /v3/

	mu      sync.Mutex
	base    *session // not scoped to a project of ours: for listing projects
	project *session // of any project: for reading users
	compute *version

	federated unscoped
}

// New gives the cloud; nothing is asked yet.
func New(cfg Config) (*Cloud, error) {
	u, err := url.Parse(cfg.AuthURL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("auth_url %q is no URL of Keystone (https://host:5000/v3)", cfg.AuthURL)
	}
	path := strings.TrimRight(u.Path, "/")
	if strings.HasSuffix(path, "/v2.0") {
		return nil, fmt.Errorf("auth_url %q: Keystone's v2.0 is not supported, use /v3", cfg.AuthURL)
	}
	u.Path = strings.TrimSuffix(path, "/v3") + "/v3/"
	if cfg.PageSize <= 0 {
		cfg.PageSize = 1000
	}
	if cfg.Interface == "" {
		cfg.Interface = "public"
	}
	if cfg.Supply == nil {
		cfg.Supply = func(context.Context, *Credential) (Credential, error) { return cfg.Credential() }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Cloud{cfg: cfg, identity: u.String()}, nil
}

// Projects lists the projects that the credential can sign in to, with their properties and tags. For a credential of
// one project it is that one. The list is the same whatever other rights the credential has.
func (c *Cloud) Projects(ctx context.Context) ([]site.Project, error) {
	s, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Projects []json.RawMessage `json:"projects"`
	}
	if err := s.get(ctx, "identity", c.identity+"auth/projects", "", &answer); err != nil {
		return nil, err
	}
	var all []site.Project
	for _, raw := range answer.Projects {
		p, err := decodeProject(raw)
		if err != nil {
			return nil, &Error{Kind: ErrBadAnswer, Service: "identity", Method: "GET", Path: "/v3/auth/projects", Cause: err}
		}
		if s.onlyProject == "" || s.onlyProject == p.ID {
			all = append(all, p)
		}
	}
	return all, nil
}

// decodeProject keeps the project's extra attributes of text: they are its properties.
func decodeProject(raw json.RawMessage) (site.Project, error) {
	var known struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Domain  string   `json:"domain_id"`
		Enabled *bool    `json:"enabled"`
		Tags    []string `json:"tags"`
	}
	var all map[string]any
	if err := json.Unmarshal(raw, &known); err != nil {
		return site.Project{}, err
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return site.Project{}, err
	}
	p := site.Project{ID: known.ID, Name: known.Name, Domain: known.Domain, Enabled: known.Enabled == nil || *known.Enabled, Tags: known.Tags, Properties: map[string]string{}}
	if p.ID == "" {
		return site.Project{}, fmt.Errorf("a project without an id")
	}
	for k, v := range all {
		switch k {
		case "id", "name", "domain_id", "enabled", "tags", "parent_id", "is_domain", "description", "links", "options":
			continue
		}
		if text, ok := v.(string); ok {
			p.Properties[k] = text
		}
	}
	return p, nil
}

// Project signs in to a project. One value is one token, whose project is the one asked for; anything else is an error,
// because a listing with a token of another scope would be empty or another's.
func (c *Cloud) Project(ctx context.Context, id string) (*Project, error) {
	s, err := c.signInTo(ctx, id)
	if err != nil {
		return nil, err
	}
	endpoint, err := s.endpoint("compute", c.cfg.Region, c.cfg.Interface)
	if err != nil {
		return nil, err
	}
	v, err := c.computeVersion(ctx, s, endpoint)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.project = s
	c.mu.Unlock()
	return &Project{cloud: c, session: s, id: id, compute: endpoint, version: v}, nil
}

// signInTo gets a token of a project, and makes sure that it is one.
func (c *Cloud) signInTo(ctx context.Context, id string) (*session, error) {
	base, err := c.start(ctx)
	if err != nil {
		return nil, err
	}
	s := base
	if base.onlyProject != "" {
		if base.onlyProject != id {
			return nil, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("the credential is for project %s only, not for %s", base.onlyProject, id)}
		}
	} else if s, err = c.signIn(ctx, &gophercloud.AuthScope{ProjectID: id}, base); err != nil {
		return nil, err
	}
	if s.projectID != id {
		return nil, &Error{Kind: ErrScope, Service: "identity", Message: fmt.Sprintf("asked for a token of project %s, got one of %s", id, s.scope())}
	}
	return s, nil
}

// version is what compute offers: microversions up to 2.minor.
type version struct{ minor int }

// computeVersion asks once per cloud which microversions there are.
func (c *Cloud) computeVersion(ctx context.Context, s *session, endpoint string) (version, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.compute != nil {
		return *c.compute, nil
	}
	var answer struct {
		Version struct {
			ID      string `json:"id"`
			Version string `json:"version"`
		} `json:"version"`
	}
	root := strings.TrimSuffix(endpoint, "/"+s.projectID+"/") // an endpoint may end in the project's id
	if err := s.get(ctx, "compute", strings.TrimSuffix(root, "/")+"/", "", &answer); err != nil {
		return version{}, err
	}
	v := version{minor: 1}
	if answer.Version.Version != "" {
		if _, err := fmt.Sscanf(answer.Version.Version, "2.%d", &v.minor); err != nil {
			return version{}, &Error{Kind: ErrBadAnswer, Service: "compute", Method: "GET", Path: root, Message: "version " + answer.Version.Version}
		}
	}
	c.compute = &v
	return v, nil
}

// atLeast gives the microversion header for the newest of the wanted minors that the cloud has, "" for none.
func (v version) newestOf(minors ...int) (string, int) {
	for _, m := range minors {
		if m <= v.minor {
			return fmt.Sprintf("2.%d", m), m
		}
	}
	return "", 1
}
