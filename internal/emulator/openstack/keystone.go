package openstack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// token is what Keystone knows of a token.
type token struct {
	id      string
	user    world.User
	project string
	domain  bool
	system  bool
	roles   []string
	issued  time.Time
	expires time.Time
	methods []string
	appcred bool

	ofSystem bool  // made in exchange for a token of the system
	entry    entry // for whom comes from an identity provider
}

func (t *token) scope() string {
	switch {
	case t.project != "":
		return t.project
	case t.system:
		return "system"
	case t.domain:
		return "domain"
	}
	return "none"
}

func (t *token) admin() bool { return slices.Contains(t.roles, "admin") }

// readsAll tells whether the token may read everybody's identity data: an administrator's, or a system reader's.
func (t *token) readsAll() bool { return t.admin() || t.system }

func (c *Cloud) tokenOf(r *http.Request) *token { return c.lookup(r.Header.Get("X-Auth-Token")) }

func (c *Cloud) lookup(id string) *token {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tokens[id]
	if t == nil || !c.now().Before(t.expires) {
		return nil
	}
	if _, there := c.w.ProjectAt(t.project, c.now()); t.project != "" && !there {
		return nil
	}
	return t
}

func (c *Cloud) keystone() {
	version := func() object {
		return object{"id": fmt.Sprintf("v3.%d", c.opts.Era.KeystoneMinor), "status": "stable", "updated": c.opts.Era.KeystoneUpdated,
			"links":       []object{{"rel": "self", "href": c.Base() + "/identity/v3/"}},
			"media-types": []object{{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}}}
	}
	list := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", c.AuthURL()+"/")
		reply(w, http.StatusMultipleChoices, object{"versions": object{"values": []object{version()}}})
	}
	c.mux.HandleFunc("GET /identity", list)
	c.mux.HandleFunc("GET /identity/{$}", list)
	one := func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, object{"version": version()}) }
	c.mux.HandleFunc("GET /identity/v3", one)
	c.mux.HandleFunc("GET /identity/v3/{$}", one)
	c.mux.HandleFunc("POST /identity/v3/auth/tokens", c.signIn)
	c.mux.HandleFunc("GET /identity/v3/auth/tokens", c.authed(c.showToken))
	c.mux.HandleFunc("GET /identity/v3/auth/catalog", c.authed(func(w http.ResponseWriter, _ *http.Request, t *token) {
		reply(w, http.StatusOK, object{"catalog": c.catalog(t), "links": c.self("auth/catalog")})
	}))
	c.federation()
	c.mux.HandleFunc("GET /identity/v3/auth/projects", c.authed(c.ownProjects))
	c.mux.HandleFunc("GET /identity/v3/projects", c.authed(c.listProjects))
	c.mux.HandleFunc("GET /identity/v3/projects/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		p, ok := c.w.ProjectAt(r.PathValue("id"), c.now())
		switch {
		case !ok && t.readsAll():
			refuse(w, r, http.StatusNotFound, "Could not find project: "+r.PathValue("id")+".")
		case !ok || (!t.readsAll() && t.project != p.ID):
			refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:get_project.")
		default:
			reply(w, http.StatusOK, object{"project": c.project(p)})
		}
	}))
	c.mux.HandleFunc("GET /identity/v3/users", c.authed(c.listUsers))
	c.mux.HandleFunc("GET /identity/v3/users/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		id := r.PathValue("id")
		u, ok := c.w.User(id)
		switch {
		case !t.readsAll() && (id != t.user.ID || !c.opts.Era.ReadsSelf):
			refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:get_user.")
		case !ok:
			refuse(w, r, http.StatusNotFound, "Could not find user: "+id+".")
		default:
			reply(w, http.StatusOK, object{"user": c.user(u)})
		}
	}))
	c.domainRoutes()
}

// ownProjects lists the projects that the token's user has a role on.
func (c *Cloud) ownProjects(w http.ResponseWriter, r *http.Request, t *token) {
	all := []object{}
	for _, p := range c.w.ProjectsAt(c.now()) {
		if len(t.user.Roles[p.ID]) > 0 && !p.Disabled {
			all = append(all, c.project(p))
		}
	}
	reply(w, http.StatusOK, object{"projects": all, "links": c.whole(r)})
}

// self is the links of a thing of Keystone's, and whole those of a list that has no pages.
func (c *Cloud) self(path string) object { return object{"self": c.AuthURL() + "/" + path} }

func (c *Cloud) whole(r *http.Request) object {
	self := c.Base() + r.URL.Path
	if r.URL.RawQuery != "" {
		self += "?" + r.URL.RawQuery
	}
	return object{"next": nil, "self": self, "previous": nil}
}

func (c *Cloud) project(p world.Project) object {
	domain := domainOf(p.Domain)["id"]
	o := object{"id": p.ID, "name": p.Name, "domain_id": domain, "enabled": !p.Disabled, "description": "", "parent_id": domain, "is_domain": false,
		"links": c.self("projects/" + p.ID)}
	if c.opts.Era.projectTags() {
		o["tags"] = append([]string{}, p.Tags...)
	}
	if c.opts.Era.resourceOptions() {
		o["options"] = object{}
	}
	for k, v := range p.Properties {
		o[k] = v
	}
	return o
}

func (c *Cloud) user(u world.User) object {
	o := object{"id": u.ID, "name": u.Name, "domain_id": "default", "enabled": true, "links": c.self("users/" + u.ID)}
	if c.opts.Era.passwordExpiry() {
		o["password_expires_at"] = nil
	}
	if c.opts.Era.userOptions() {
		o["options"] = object{}
	}
	return o
}

func (c *Cloud) listProjects(w http.ResponseWriter, r *http.Request, t *token) {
	if !t.readsAll() {
		refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:list_projects.")
		return
	}
	all := []object{}
	for _, p := range c.w.ProjectsAt(c.now()) {
		if n := r.URL.Query().Get("name"); n != "" && n != p.Name {
			continue
		}
		if tag := r.URL.Query().Get("tags"); tag != "" && c.opts.Era.projectTags() && !slices.Contains(p.Tags, tag) {
			continue
		}
		all = append(all, c.project(p))
	}
	reply(w, http.StatusOK, object{"projects": all, "links": c.whole(r)})
}

func (c *Cloud) listUsers(w http.ResponseWriter, r *http.Request, t *token) {
	if !t.readsAll() {
		refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:list_users.")
		return
	}
	all := []object{}
	for _, u := range c.w.Users {
		if n := r.URL.Query().Get("name"); n == "" || n == u.Name {
			all = append(all, c.user(u))
		}
	}
	reply(w, http.StatusOK, object{"users": all, "links": c.whole(r)})
}

type authRequest struct {
	Auth struct {
		Identity struct {
			Methods  []string `json:"methods"`
			Password struct {
				User struct {
					ID, Name, Password string
				} `json:"user"`
			} `json:"password"`
			Token struct {
				ID string `json:"id"`
			} `json:"token"`
			Application struct {
				ID, Name, Secret string
				User             struct{ ID, Name string } `json:"user"`
			} `json:"application_credential"`
		} `json:"identity"`
		Scope json.RawMessage `json:"scope"`
	} `json:"auth"`
}

// signIn gives a token, in the order of Keystone's checks: who, then which scope.
func (c *Cloud) signIn(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var q authRequest
	if err != nil || json.Unmarshal(body, &q) != nil || len(q.Auth.Identity.Methods) == 0 {
		refuse(w, r, http.StatusBadRequest, "Expecting to find auth in request body.")
		return
	}
	t := &token{id: newToken(), issued: c.now().UTC(), methods: q.Auth.Identity.Methods}
	t.expires = t.issued.Add(c.opts.TokenLife)
	switch c.identify(t, q) {
	case tokenKept:
		refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: rescope a scoped token.")
		return
	case nobody:
		c.unauthorized(w, r)
		return
	case unheardOf:
		refuse(w, r, http.StatusNotFound, "Could not find what is signed in with.")
		return
	}
	if t.ofSystem && !t.appcred && asksForProject(q.Auth.Scope) {
		refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: Using a system-scoped token to create a project-scoped or domain-scoped token is not allowed..")
		return
	}
	if !c.scopeTo(t, q.Auth.Scope) {
		c.unauthorized(w, r)
		return
	}
	if p, _ := c.w.Project(t.project); p.Refused == http.StatusUnauthorized {
		c.unauthorized(w, r)
		return
	} else if p.Refused != 0 {
		refuse(w, r, p.Refused, "The request you have made is refused.")
		return
	}
	c.mu.Lock()
	c.tokens[t.id] = t
	c.mu.Unlock()
	w.Header().Set("X-Subject-Token", t.id)
	reply(w, http.StatusCreated, object{"token": c.describe(t)})
}

// newToken makes up a token, as long as Fernet's begin.
func newToken() string { return "gAAAAA" + strings.ReplaceAll(randomID()+randomID(), "-", "") }

// What Keystone says to who signs in.
type identity int

const (
	nobody identity = iota
	somebody
	tokenKept // a good token, that is not exchanged for another
	unheardOf // a token or an application credential that is not there
)

func known(ok bool) identity {
	if ok {
		return somebody
	}
	return nobody
}

func (c *Cloud) identify(t *token, q authRequest) identity {
	id := q.Auth.Identity
	byName := func(uid, name string) (world.User, bool) {
		for _, u := range c.w.Users {
			if (uid != "" && u.ID == uid) || (uid == "" && name != "" && u.Name == name) {
				return u, true
			}
		}
		return world.User{}, false
	}
	switch {
	case slices.Contains(id.Methods, "password"):
		u, ok := byName(id.Password.User.ID, id.Password.User.Name)
		t.user = u
		return known(ok && u.Password != "" && u.Password == id.Password.User.Password)
	case slices.Contains(id.Methods, "token"):
		old := c.lookup(id.Token.ID)
		switch {
		case old == nil:
			return unheardOf
		case old.appcred || (c.opts.KeepTokens && old.scope() != "none"):
			return tokenKept
		}
		t.user, t.expires, t.ofSystem, t.entry = old.user, old.expires, old.system, old.entry
		if t.entry.idp != "" {
			t.methods = append(t.methods, t.entry.protocol)
		}
		return somebody
	case slices.Contains(id.Methods, "application_credential") && c.opts.Era.ApplicationCredentials:
		for _, u := range c.w.Users {
			for _, a := range u.Applications {
				named := a.ID == id.Application.ID || (id.Application.ID == "" && a.Name == id.Application.Name && (u.ID == id.Application.User.ID || u.Name == id.Application.User.Name))
				if named && a.Secret != id.Application.Secret {
					return nobody
				}
				if named {
					t.user, t.project, t.roles, t.appcred = u, a.Project, c.implied(u.Roles[a.Project]), true
					return somebody
				}
			}
		}
		if id.Application.ID != "" {
			return unheardOf
		}
	}
	return nobody
}

// asksForProject tells whether the scope is a project or a domain.
func asksForProject(raw json.RawMessage) bool {
	var scope struct{ Project, Domain json.RawMessage }
	return json.Unmarshal(raw, &scope) == nil && (scope.Project != nil || scope.Domain != nil)
}

func (c *Cloud) scopeTo(t *token, raw json.RawMessage) bool {
	if t.appcred {
		return len(raw) == 0 || string(raw) == "null"
	}
	var text string
	if len(raw) == 0 || string(raw) == "null" || json.Unmarshal(raw, &text) == nil {
		return true // unscoped
	}
	var scope struct {
		Project *struct{ ID, Name string } `json:"project"`
		Domain  *struct{ ID, Name string } `json:"domain"`
		System  *struct{ All bool }        `json:"system"`
	}
	if json.Unmarshal(raw, &scope) != nil {
		return false
	}
	switch {
	case scope.Project != nil:
		for _, p := range c.w.ProjectsAt(c.now()) {
			if (p.ID == scope.Project.ID || (scope.Project.ID == "" && p.Name == scope.Project.Name)) && !p.Disabled {
				t.project, t.roles = p.ID, c.implied(t.user.Roles[p.ID])
			}
		}
		return t.project != "" && len(t.roles) > 0
	case scope.System != nil:
		t.system, t.roles = true, c.implied(t.user.System)
		return c.opts.Era.SystemScope && len(t.roles) > 0
	case scope.Domain != nil:
		t.domain, t.roles = true, c.implied(t.user.Domain)
		return len(t.roles) > 0
	}
	return true
}

// implied adds the roles that a role brings with it.
func (c *Cloud) implied(roles []string) []string {
	all := slices.Clone(roles)
	if !c.opts.Era.RolesImply {
		return all
	}
	if slices.Contains(all, "admin") && c.opts.Era.ManagerRole {
		all = append(all, "manager")
	}
	if slices.Contains(all, "admin") || slices.Contains(all, "manager") {
		all = append(all, "member")
	}
	if slices.Contains(all, "member") {
		all = append(all, "reader")
	}
	return all
}

func (c *Cloud) showToken(w http.ResponseWriter, r *http.Request, _ *token) {
	t := c.lookup(r.Header.Get("X-Subject-Token"))
	if t == nil {
		refuse(w, r, http.StatusNotFound, "Could not find token.")
		return
	}
	w.Header().Set("X-Subject-Token", t.id)
	reply(w, http.StatusOK, object{"token": c.describe(t)})
}

func (c *Cloud) describe(t *token) object {
	stamp := func(at time.Time) string { return at.Format("2006-01-02T15:04:05.000000Z") }
	who := object{"id": t.user.ID, "name": t.user.Name, "domain": object{"id": "default", "name": "Default"}}
	if t.entry.idp != "" {
		c.describeEntry(who, t.entry)
	} else if c.opts.Era.passwordExpiry() {
		who["password_expires_at"] = nil
	}
	o := object{"methods": t.methods, "user": who,
		"audit_ids": []string{randomID()[:22]}, "expires_at": stamp(t.expires), "issued_at": stamp(t.issued)}
	switch {
	case t.project != "":
		p, _ := c.w.Project(t.project)
		o["project"], o["is_domain"] = object{"id": p.ID, "name": p.Name, "domain": domainOf(p.Domain)}, false
	case t.system:
		o["system"] = object{"all": true}
	case t.domain:
		o["domain"] = object{"id": "default", "name": "Default"}
	default:
		return o
	}
	roles := []object{}
	for _, name := range t.roles {
		roles = append(roles, object{"id": hexID("role " + name), "name": name})
	}
	o["roles"], o["catalog"] = roles, c.catalog(t)
	return o
}

// hexID makes an id as Keystone's are, always the same for a name.
func hexID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

func (c *Cloud) catalog(t *token) []object {
	entry := func(kind, name, path string) object {
		endpoints := []object{}
		for _, i := range []string{"public", "internal", "admin"} {
			endpoints = append(endpoints, object{"id": hexID(kind + " " + i), "interface": i, "region": c.w.Region, "region_id": c.w.Region, "url": c.Base() + path})
		}
		return object{"type": kind, "name": name, "id": hexID(kind), "endpoints": endpoints}
	}
	perProject := func(kind, name, path string) object { // its URL has the project's id: a token without one is told of the service only
		if t.project == "" {
			return object{"type": kind, "name": name, "id": hexID(kind), "endpoints": []object{}}
		}
		return entry(kind, name, path+t.project)
	}
	all := []object{entry("identity", "keystone", "/identity/v3"), entry("image", "glance", "/image"), entry("network", "neutron", "/network")}
	if c.opts.Era.ProjectInURL {
		all = append(all, perProject("compute", "nova", "/compute/v2.1/"))
	} else {
		all = append(all, entry("compute", "nova", "/compute/v2.1"))
	}
	if c.opts.Storage != nil {
		all = append(all, perProject("object-store", "swift", swiftPath))
	}
	if c.opts.Era.CinderV2 {
		return append(all, perProject("volumev2", "cinderv2", "/volume/v2/"))
	}
	return append(all, perProject("volumev3", "cinderv3", "/volume/v3/"), perProject("block-storage", "cinder", "/volume/v3/"))
}
