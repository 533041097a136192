package openstack

import (
	"net/http"
	"strings"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// Provider is an identity provider that Keystone trusts, behind a web server that has access tokens looked at.
type Provider struct {
	Name     string // egi.eu
	Protocol string // openid
	// Accept tells whom an access token is for. known = the web server takes the token; user "" = no rule of the mapping
	// fits, else the name of one of the world's users.
	Accept func(accessToken string) (user string, known bool)
}

// entry is how a federated user came in.
type entry struct{ idp, protocol string }

// federation serves the sign-in by identity providers. Every release since Juno has it.
func (c *Cloud) federation() {
	const path = "/identity/v3/OS-FEDERATION/identity_providers/{idp}/protocols/{protocol}/auth"
	c.mux.HandleFunc("GET "+path, c.enter)
	c.mux.HandleFunc("POST "+path, c.enter)
	c.mux.HandleFunc("GET /identity/v3/OS-FEDERATION/projects", c.authed(c.ownProjects))
}

// enter signs a bearer of an access token in, with a token of no project. The web server protects the places of the
// identity providers that it knows; at all others Keystone finds nothing about who is asking.
func (c *Cloud) enter(w http.ResponseWriter, r *http.Request) {
	for _, p := range c.opts.Providers {
		if p.Name != r.PathValue("idp") || p.Protocol != r.PathValue("protocol") {
			continue
		}
		bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			unprotected(w, "invalid_request")
			return
		}
		name, known := p.Accept(bearer)
		if !known {
			unprotected(w, "invalid_token")
			return
		}
		u, mapped := c.named(name)
		if !mapped {
			c.unauthorized(w, r)
			return
		}
		t := &token{id: newToken(), issued: c.now().UTC(), methods: []string{p.Protocol}, user: u, entry: entry{p.Name, p.Protocol}}
		t.expires = t.issued.Add(c.opts.TokenLife)
		c.mu.Lock()
		c.tokens[t.id] = t
		c.mu.Unlock()
		w.Header().Set("X-Subject-Token", t.id)
		reply(w, http.StatusCreated, object{"token": c.describe(t)})
		return
	}
	refuse(w, r, http.StatusNotFound, "Could not find federated protocol "+r.PathValue("protocol")+" for Identity Provider: "+r.PathValue("idp")+".")
}

func (c *Cloud) named(name string) (world.User, bool) {
	for _, u := range c.w.Users {
		if name != "" && u.Name == name {
			return u, true
		}
	}
	return world.User{}, false
}

// unprotected is the answer of the web server's module to a bearer that it does not let through.
func unprotected(w http.ResponseWriter, code string) {
	w.Header().Del("X-Openstack-Request-Id") // Keystone was not reached
	w.Header().Del("Vary")
	w.Header().Set("WWW-Authenticate", `Bearer error="`+code+`"`)
	w.Header().Set("Content-Type", "text/html; charset=iso-8859-1")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = w.Write([]byte("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>401 Unauthorized</title>\n</head><body>\n<h1>Unauthorized</h1>\n" +
		"<p>This server could not verify that you\nare authorized to access the document\nrequested.</p>\n</body></html>\n"))
}

// describeEntry gives a federated user what Keystone says of one beside its id and name.
func (c *Cloud) describeEntry(who object, e entry) {
	who["OS-FEDERATION"] = object{"groups": []object{}, "identity_provider": object{"id": e.idp}, "protocol": object{"id": e.protocol}}
	if c.opts.Era.FederatedDomain != "" {
		who["domain"] = object{"id": c.opts.Era.FederatedDomain, "name": c.opts.Era.FederatedDomain}
		return
	}
	who["domain"] = object{"id": hexID("domain of " + e.idp), "name": e.idp}
}
