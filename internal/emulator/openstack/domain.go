package openstack

import "net/http"

func (c *Cloud) domainRoutes() {
	c.mux.HandleFunc("GET /identity/v3/domains", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		if !t.readsAll() {
			refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:list_domains.")
			return
		}
		reply(w, http.StatusOK, object{"domains": c.domains(), "links": c.whole(r)})
	}))
	c.mux.HandleFunc("GET /identity/v3/domains/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		id := r.PathValue("id")
		for _, d := range c.domains() {
			if d["id"] == id {
				reply(w, http.StatusOK, object{"domain": d})
				return
			}
		}
		if !t.readsAll() {
			refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:get_domain.")
			return
		}
		refuse(w, r, http.StatusNotFound, "Could not find domain: "+id+".")
	}))
}

// domains gives those of the projects, the default one first.
func (c *Cloud) domains() []object {
	all, told := []object{c.domain("")}, map[string]bool{"": true}
	for _, p := range c.w.AllProjects() {
		if !told[p.Domain] {
			told[p.Domain] = true
			all = append(all, c.domain(p.Domain))
		}
	}
	return all
}

// domainOf names a domain; "" is the default one.
func domainOf(name string) object {
	if name == "" {
		return object{"id": "default", "name": "Default"}
	}
	return object{"id": hexID("domain " + name), "name": name}
}

func (c *Cloud) domain(name string) object {
	o := domainOf(name)
	o["enabled"], o["description"], o["links"] = true, "", c.self("domains/"+o["id"].(string))
	if name == "" {
		o["description"] = "The default domain"
	}
	if c.opts.Era.projectTags() {
		o["tags"] = []string{}
	}
	if c.opts.Era.resourceOptions() {
		o["options"] = object{}
	}
	return o
}
