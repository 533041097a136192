package openstack

import (
	"fmt"
	"hash/crc32"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// neutron serves networks, quotas and addresses.
func (c *Cloud) neutron() {
	c.mux.HandleFunc("GET /network/{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"versions": []object{{"id": "v2.0", "status": "CURRENT", "links": []object{{"rel": "self", "href": c.Base() + "/network/v2.0/"}}}}})
	})
	empty := func(key string) http.HandlerFunc {
		return c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
			reply(w, http.StatusOK, object{key: []object{}})
		})
	}
	for _, key := range []string{"subnets", "ports", "routers", "extensions"} {
		c.mux.HandleFunc("GET /network/v2.0/"+key, empty(key))
	}
	c.mux.HandleFunc("GET /network/v2.0/networks", c.authed(c.listNetworks))
	c.mux.HandleFunc("GET /network/v2.0/networks/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		for _, n := range c.networks(t) {
			if n.ID == r.PathValue("id") {
				reply(w, http.StatusOK, object{"network": c.network(n, t)})
				return
			}
		}
		reply(w, http.StatusNotFound, object{"NeutronError": object{"type": "NetworkNotFound", "message": "Network " + r.PathValue("id") + " could not be found.", "detail": ""}})
	}))
	c.mux.HandleFunc("GET /network/v2.0/quotas/{project}", c.authed(c.networkQuota))
	c.mux.HandleFunc("GET /network/v2.0/floatingips", c.authed(c.listFloating))
}

// The networks of a world that tells of none.
const (
	publicNetwork  = "public"
	privateNetwork = "private"
)

// networks gives those that the token may see, in the order in which they are listed.
func (c *Cloud) networks(t *token) []world.Network {
	all := c.w.Networks
	if all == nil {
		owner := hexID("admin")
		all = []world.Network{{ID: uuid("network " + privateNetwork), Name: privateNetwork, Project: owner, Shared: true, Type: "vxlan"},
			{ID: uuid("network " + publicNetwork), Name: publicNetwork, Project: owner, External: true, Type: "flat", Physical: publicNetwork}}
	}
	return slices.DeleteFunc(slices.Clone(all), func(n world.Network) bool {
		return !n.External && !n.Shared && n.Project != t.project && !t.admin()
	})
}

// network is one as Neutron shows it; what the provider made of it only to an administrator.
func (c *Cloud) network(n world.Network, t *token) object {
	mtu := n.MTU
	if mtu == 0 {
		mtu = 1500
	}
	o := object{"id": n.ID, "name": n.Name, "status": "ACTIVE", "admin_state_up": true, "router:external": n.External, "shared": n.Shared,
		"subnets": []string{uuid("subnet " + n.ID)}, "mtu": mtu, "availability_zones": []string{}, "availability_zone_hints": []string{}, "ipv4_address_scope": nil, "ipv6_address_scope": nil,
		"description": "", "port_security_enabled": true, "tags": []string{}, "created_at": imageTime, "updated_at": imageTime, "revision_number": 1, "tenant_id": n.Project, "project_id": n.Project}
	if n.External {
		o["is_default"] = false
	}
	if t.admin() {
		o["provider:network_type"], o["provider:physical_network"], o["provider:segmentation_id"] = orNull(n.Type), orNull(n.Physical), nil
		if n.Type == "vxlan" || n.Type == "vlan" || n.Type == "gre" {
			o["provider:segmentation_id"] = 1 + crc32.ChecksumIEEE([]byte(n.ID))%4094
		}
	}
	return c.asOf(o)
}

func orNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

// asOf takes out of a thing of Neutron's what its release does not say yet.
func (c *Cloud) asOf(o object) object {
	if !c.opts.Era.NeutronProjects {
		delete(o, "project_id")
		delete(o, "revision_number")
	}
	return o
}

func (c *Cloud) listNetworks(w http.ResponseWriter, r *http.Request, t *token) {
	query := r.URL.Query()
	all := []object{}
	for _, n := range c.networks(t) {
		if o := c.network(n, t); fits(o, query) {
			all = append(all, o)
		}
	}
	body := object{}
	if limit := c.networkLimit(query); limit > 0 {
		if marker := query.Get("marker"); marker != "" {
			at := slices.IndexFunc(all, func(o object) bool { return o["id"] == marker })
			if at < 0 {
				refuse(w, r, http.StatusBadRequest, "Invalid input for operation: The resource could not be found.")
				return
			}
			all = all[at+1:]
		}
		links := []object{}
		link := func(rel, marker string, more url.Values) {
			values := maps.Clone(query)
			values.Set("limit", fmt.Sprint(limit))
			values.Set("marker", marker)
			maps.Copy(values, more)
			links = append(links, object{"rel": rel, "href": c.Base() + r.URL.Path + "?" + values.Encode()})
		}
		if len(all) >= limit { // also where nothing follows
			all = all[:limit]
			link("next", all[limit-1]["id"].(string), nil)
		}
		if len(all) > 0 { // also where nothing is before it
			link("previous", all[0]["id"].(string), url.Values{"page_reverse": {"True"}})
		}
		body["networks_links"] = links
	}
	if fields := query["fields"]; len(fields) > 0 {
		for _, o := range all {
			maps.DeleteFunc(o, func(key string, _ any) bool { return !slices.Contains(fields, key) })
		}
	}
	body["networks"] = all
	reply(w, http.StatusOK, body)
}

// networkLimit is how long a page is; 0 = as long as there is something.
func (c *Cloud) networkLimit(query url.Values) int {
	limit := 0
	if c.opts.Era.NeutronPages {
		limit, _ = strconv.Atoi(query.Get("limit"))
	}
	if c.opts.NetworkPage > 0 && (limit <= 0 || limit > c.opts.NetworkPage) {
		limit = c.opts.NetworkPage
	}
	return max(limit, 0)
}

// fits tells whether a thing has the values that a listing asks for, each in any spelling of a boolean.
func fits(o object, query url.Values) bool {
	for _, key := range []string{"id", "name", "router:external", "shared", "project_id", "tenant_id", "status"} {
		if !query.Has(key) {
			continue
		}
		if !slices.ContainsFunc(query[key], func(want string) bool {
			yes, err := strconv.ParseBool(want)
			if is, boolean := o[key].(bool); boolean {
				return err == nil && yes == is
			}
			return o[key] == want
		}) {
			return false
		}
	}
	return true
}

// networkQuotas are Neutron's own, where a project has no others.
var networkQuotas = map[string]int64{"network": 100, "subnet": 100, "subnetpool": -1, "port": 500, "router": 10, "floatingip": 50, "rbac_policy": 10, "security_group": 10, "security_group_rule": 100}

func (c *Cloud) networkQuota(w http.ResponseWriter, r *http.Request, t *token) {
	id := r.PathValue("project")
	if t.project != id && !t.admin() {
		reply(w, http.StatusForbidden, object{"NeutronError": object{"type": "PolicyNotAuthorized", "message": "rule:get_quota is disallowed by policy", "detail": ""}})
		return
	}
	p, _ := c.w.Project(id)
	usual := networkQuotas
	if c.opts.Era.RouteQuota {
		usual = maps.Clone(usual)
		usual["router_route"] = 30
	}
	reply(w, http.StatusOK, object{"quota": quotas(usual, p.NetworkQuota)})
}

// quotas gives those of a project: the usual ones, with its own in their places.
func quotas(usual, own map[string]int64) object {
	all := object{}
	for _, some := range []map[string]int64{usual, own} {
		for key, value := range some {
			all[key] = value
		}
	}
	return all
}

func (c *Cloud) listFloating(w http.ResponseWriter, _ *http.Request, t *token) {
	all, told := []object{}, map[string]bool{}
	add := func(id, address, project string, created time.Time, vm *world.View) {
		if created.After(c.now()) || (project != t.project && !t.admin()) || told[address] {
			return
		}
		told[address] = true
		at := created.UTC().Format("2006-01-02T15:04:05Z")
		o := object{"id": id, "floating_ip_address": address, "project_id": project, "tenant_id": project, "status": "DOWN", "description": "", "tags": []string{}, "revision_number": 0,
			"created_at": at, "updated_at": at, "floating_network_id": uuid("network " + publicNetwork), "port_id": nil, "port_details": nil, "fixed_ip_address": nil, "router_id": nil}
		if vm != nil {
			o["status"], o["port_id"], o["fixed_ip_address"], o["router_id"] = "ACTIVE", uuid("port "+vm.ID), "10.0.0.5", uuid("router "+project)
			o["port_details"] = object{"name": "", "network_id": uuid("network " + privateNetwork), "mac_address": "fa:16:3e:00:00:01", "admin_state_up": true, "status": "ACTIVE", "device_id": vm.ID, "device_owner": "compute:nova"}
		}
		all = append(all, c.asOf(o))
	}
	for _, v := range c.shown(world.Query{}) {
		for _, a := range v.Floating {
			add(uuid(v.ID+a), a, v.Project, v.Created, &v)
		}
	}
	for _, f := range c.w.Floating {
		add(f.ID, f.Address, f.Project, f.Created, nil)
	}
	reply(w, http.StatusOK, object{"floatingips": all})
}

// uuid makes an id, always the same for a name.
func uuid(name string) string {
	id := hexID(name)
	return id[:8] + "-" + id[8:12] + "-4" + id[13:16] + "-8" + id[17:20] + "-" + id[20:]
}
