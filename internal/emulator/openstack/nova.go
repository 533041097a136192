package openstack

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

func (c *Cloud) nova() {
	version := func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"version": object{"id": "v2.1", "status": "CURRENT", "version": c.newest(), "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
			"links": []object{{"rel": "self", "href": c.Base() + "/compute/v2.1/"}}, "media-types": []object{}}})
	}
	c.mux.HandleFunc("GET /compute/v2.1", version)
	c.mux.HandleFunc("GET /compute/v2.1/{$}", version)
	c.mux.HandleFunc("GET /compute/{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"versions": []object{{"id": "v2.1", "status": "CURRENT", "version": c.newest(), "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
			"links": []object{{"rel": "self", "href": c.Base() + "/compute/v2.1/"}}}}})
	})
	c.compute("GET /servers", c.listServers(false))
	c.compute("GET /servers/detail", c.listServers(true))
	c.compute("GET /servers/{id}", c.showServer)
	c.compute("DELETE /servers/{id}", c.deleteServer)
	c.compute("GET /servers/{id}/os-instance-actions", c.listActions)
	c.compute("GET /servers/{id}/os-instance-actions/{request}", c.showAction)
	c.compute("GET /servers/{id}/os-volume_attachments", func(w http.ResponseWriter, _ *http.Request, _ *call) {
		reply(w, http.StatusOK, object{"volumeAttachments": []object{}})
	})
	c.compute("GET /flavors", c.listFlavors)
	c.compute("GET /flavors/detail", c.listFlavors)
	c.compute("GET /flavors/{id}", func(w http.ResponseWriter, r *http.Request, q *call) {
		f, ok := c.w.Flavor(r.PathValue("id"))
		if !ok || f.Deleted {
			refuse(w, r, http.StatusNotFound, "Flavor "+r.PathValue("id")+" could not be found.")
			return
		}
		reply(w, http.StatusOK, object{"flavor": c.flavor(f, q)})
	})
	c.compute("GET /flavors/{id}/os-extra_specs", func(w http.ResponseWriter, r *http.Request, _ *call) {
		f, ok := c.w.Flavor(r.PathValue("id"))
		if !ok || f.Deleted {
			refuse(w, r, http.StatusNotFound, "Flavor "+r.PathValue("id")+" could not be found.")
			return
		}
		reply(w, http.StatusOK, object{"extra_specs": extra(f)})
	})
	c.compute("GET /limits", func(w http.ResponseWriter, _ *http.Request, _ *call) {
		reply(w, http.StatusOK, object{"limits": object{"rate": []object{}, "absolute": object{"maxTotalInstances": 1000, "maxTotalCores": 4000, "maxTotalRAMSize": 8000000}}})
	})
}

func (c *Cloud) newest() string { return fmt.Sprintf("2.%d", c.opts.Era.NovaMinor) }

// call is a request to Nova with what its headers say.
type call struct {
	*token
	minor int
}

// compute registers a handler below Nova's root, with and without a project in the path; it checks token and
// microversion as Nova does.
func (c *Cloud) compute(pattern string, h func(http.ResponseWriter, *http.Request, *call)) {
	method, path, _ := strings.Cut(pattern, " ")
	c.mux.HandleFunc(method+" /compute/v2.1"+path, c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		minor := 1
		asked := r.Header.Get("X-OpenStack-Nova-API-Version")
		if v, ok := strings.CutPrefix(r.Header.Get("OpenStack-API-Version"), "compute "); ok {
			asked = v
		}
		switch {
		case asked == "latest":
			minor = c.opts.Era.NovaMinor
		case asked != "":
			n, err := strconv.Atoi(strings.TrimPrefix(asked, "2."))
			if err != nil || n < 1 || n > c.opts.Era.NovaMinor {
				reply(w, http.StatusNotAcceptable, object{"computeFault": object{"code": 406, "message": "Version " + asked + " is not supported by the API. Minimum is 2.1 and maximum is " + c.newest() + "."}})
				return
			}
			minor = n
		}
		w.Header().Set("X-OpenStack-Nova-API-Version", fmt.Sprintf("2.%d", minor))
		w.Header().Set("OpenStack-API-Version", fmt.Sprintf("compute 2.%d", minor))
		w.Header().Set("Vary", "OpenStack-API-Version, X-OpenStack-Nova-API-Version")
		h(w, r, &call{t, minor})
	}))
}

// listServers lists VMs as Nova does: of the token's project, newest first, a link to the next page only when the page is
// as long as it may be. A token without a project gets an empty list, as in a real cloud.
func (c *Cloud) listServers(detail bool) func(http.ResponseWriter, *http.Request, *call) {
	return func(w http.ResponseWriter, r *http.Request, q *call) {
		query := r.URL.Query()
		everybody := query.Get("all_tenants") != "" && query.Get("all_tenants") != "0" && !strings.EqualFold(query.Get("all_tenants"), "false")
		if everybody && !q.admin() {
			refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.")
			return
		}
		project := q.project
		if everybody {
			project = query.Get("project_id")
		} else if project == "" {
			project = "none"
		}
		var since *time.Time
		if text := query.Get("changes-since"); text != "" {
			at, err := parseTime(text)
			if err != nil {
				refuse(w, r, http.StatusBadRequest, "Invalid input for query parameters changes-since. Value: "+text+".")
				return
			}
			since = &at
		}
		views := c.w.Servers(project, c.now(), since)
		if status := query.Get("status"); status != "" {
			views = slices.DeleteFunc(views, func(v world.View) bool { return !strings.EqualFold(v.Status, status) })
		}
		c.page(w, r, q, views, detail)
	}
}

func (c *Cloud) page(w http.ResponseWriter, r *http.Request, q *call, views []world.View, detail bool) {
	query := r.URL.Query()
	limit := c.opts.PageLimit
	if n, err := strconv.Atoi(query.Get("limit")); err == nil && n > 0 {
		limit = min(limit, n)
	}
	if marker := query.Get("marker"); marker != "" {
		i := slices.IndexFunc(views, func(v world.View) bool { return v.ID == marker })
		if i < 0 {
			refuse(w, r, http.StatusBadRequest, "marker ["+marker+"] not found")
			return
		}
		views = views[i+1:]
	}
	body := object{}
	if len(views) >= limit {
		views = views[:limit]
		next := url.Values{}
		for k, v := range query {
			next[k] = v
		}
		next.Set("marker", views[len(views)-1].ID)
		body["servers_links"] = []object{{"rel": "next", "href": c.Base() + r.URL.Path + "?" + next.Encode()}}
	}
	servers := make([]object, 0, len(views))
	for _, v := range views {
		if detail {
			servers = append(servers, c.server(v, q))
		} else {
			servers = append(servers, object{"id": v.ID, "name": v.Name, "links": c.links(v.ID)})
		}
	}
	body["servers"] = servers
	reply(w, http.StatusOK, body)
}

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("no time: %s", text)
}

func (c *Cloud) links(id string) []object {
	return []object{{"rel": "self", "href": c.Base() + "/compute/v2.1/servers/" + id}, {"rel": "bookmark", "href": c.Base() + "/compute/servers/" + id}}
}

var vmStates = map[string]string{"SHUTOFF": "stopped", "SHELVED_OFFLOADED": "shelved_offloaded", "SOFT_DELETED": "soft-delete", "VERIFY_RESIZE": "resized", "BUILD": "building", "RESCUE": "rescued"}

func (c *Cloud) server(v world.View, q *call) object {
	stamp := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UTC().Format("2006-01-02T15:04:05.000000")
	}
	state, ok := vmStates[v.Status]
	if !ok {
		state = strings.ToLower(v.Status)
	}
	o := object{
		"id": v.ID, "name": v.Name, "status": v.Status, "tenant_id": v.Project, "user_id": v.User, "hostId": "", "metadata": object{}, "links": c.links(v.ID),
		"created": v.Created.UTC().Format("2006-01-02T15:04:05Z"), "updated": v.Updated.UTC().Format("2006-01-02T15:04:05Z"),
		"accessIPv4": "", "accessIPv6": "", "config_drive": "", "key_name": nil, "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": "nova",
		"OS-EXT-STS:task_state": nil, "OS-EXT-STS:vm_state": state, "OS-EXT-STS:power_state": 1,
		"OS-SRV-USG:launched_at": stamp(v.Launched), "OS-SRV-USG:terminated_at": stamp(v.Terminated), "os-extended-volumes:volumes_attached": []object{},
	}
	if v.Image == "" {
		o["image"] = ""
	} else {
		o["image"] = object{"id": v.Image, "links": []object{}}
	}
	addresses := object{}
	if !v.Deleted && !v.Launched.IsZero() {
		ports := []object{{"addr": "10.0.0.5", "version": 4, "OS-EXT-IPS:type": "fixed", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}}
		for _, a := range v.Floating {
			ports = append(ports, object{"addr": a, "version": 4, "OS-EXT-IPS:type": "floating", "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"})
		}
		addresses["private"] = ports
	}
	o["addresses"] = addresses
	f := v.Flavor
	if q.minor >= 47 {
		o["flavor"] = object{"vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "ephemeral": f.Ephemeral, "swap": 0, "original_name": f.Name, "extra_specs": extra(f)}
	} else {
		o["flavor"] = object{"id": f.ID, "links": []object{}}
	}
	if q.minor >= 19 {
		o["description"] = nil
	}
	if q.minor >= 9 {
		o["locked"] = false
	}
	if q.minor >= 26 {
		o["tags"] = []string{}
	}
	return o
}

func extra(f world.Flavor) map[string]string {
	if f.Extra == nil {
		return map[string]string{}
	}
	return f.Extra
}

// visible gives a VM that the caller may see.
func (c *Cloud) visible(w http.ResponseWriter, r *http.Request, q *call, deletedToo bool) (world.View, bool) {
	v, ok := c.w.ServerAt(r.PathValue("id"), c.now())
	if !ok || (v.Deleted && !deletedToo) || (v.Project != q.project && !q.admin()) {
		refuse(w, r, http.StatusNotFound, "Instance "+r.PathValue("id")+" could not be found.")
		return v, false
	}
	return v, true
}

func (c *Cloud) showServer(w http.ResponseWriter, r *http.Request, q *call) {
	if v, ok := c.visible(w, r, q, false); ok {
		reply(w, http.StatusOK, object{"server": c.server(v, q)})
	}
}

func (c *Cloud) deleteServer(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.visible(w, r, q, false)
	if !ok {
		return
	}
	if !slices.Contains(q.roles, "member") {
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:delete to be performed.")
		return
	}
	c.w.Happen(v.ID, world.Event{At: c.now(), Kind: world.Delete})
	w.WriteHeader(http.StatusNoContent)
}

func (c *Cloud) listActions(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.visible(w, r, q, q.minor >= 21)
	if !ok {
		return
	}
	all := []object{}
	for i, a := range c.w.ActionsAt(v.ID, c.now()) {
		all = append(all, c.action(v, i, a, q))
	}
	slices.Reverse(all) // newest first
	reply(w, http.StatusOK, object{"instanceActions": all})
}

func (c *Cloud) action(v world.View, i int, a world.Action, q *call) object {
	o := object{"action": a.Name, "instance_uuid": v.ID, "message": nil, "project_id": v.Project, "user_id": v.User, "request_id": fmt.Sprintf("req-%s-%d", v.ID, i),
		"start_time": a.Start.UTC().Format("2006-01-02T15:04:05.000000")}
	if q.minor >= 58 {
		o["updated_at"] = a.Updated.UTC().Format("2006-01-02T15:04:05.000000")
	}
	return o
}

func (c *Cloud) showAction(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.visible(w, r, q, q.minor >= 21)
	if !ok {
		return
	}
	for i, a := range c.w.ActionsAt(v.ID, c.now()) {
		if o := c.action(v, i, a, q); o["request_id"] == r.PathValue("request") {
			o["events"] = []object{}
			reply(w, http.StatusOK, object{"instanceAction": o})
			return
		}
	}
	refuse(w, r, http.StatusNotFound, "Action for request_id "+r.PathValue("request")+" on instance "+v.ID+" not found")
}

func (c *Cloud) listFlavors(w http.ResponseWriter, r *http.Request, q *call) {
	all := []object{}
	for _, f := range c.w.Flavors {
		if f.Deleted || r.URL.Query().Get("marker") != "" {
			continue
		}
		if strings.HasSuffix(r.URL.Path, "/detail") {
			all = append(all, c.flavor(f, q))
		} else {
			all = append(all, object{"id": f.ID, "name": f.Name, "links": []object{}})
		}
	}
	reply(w, http.StatusOK, object{"flavors": all})
}

func (c *Cloud) flavor(f world.Flavor, q *call) object {
	o := object{"id": f.ID, "name": f.Name, "vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "OS-FLV-EXT-DATA:ephemeral": f.Ephemeral, "swap": "", "rxtx_factor": 1.0,
		"os-flavor-access:is_public": true, "OS-FLV-DISABLED:disabled": false, "links": []object{}}
	if q.minor >= 55 {
		o["description"] = nil
	}
	if q.minor >= 61 {
		o["extra_specs"] = extra(f)
	}
	return o
}
