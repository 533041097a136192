package openstack

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// neutron serves what clients of a cloud look at first; accounting of addresses comes with its records.
func (c *Cloud) neutron() {
	c.mux.HandleFunc("GET /network/{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"versions": []object{{"id": "v2.0", "status": "CURRENT", "links": []object{{"rel": "self", "href": c.Base() + "/network/v2.0/"}}}}})
	})
	network := object{"id": "99999999-0000-4000-8000-000000000001", "name": "public", "status": "ACTIVE", "admin_state_up": true, "router:external": true, "shared": true,
		"subnets": []string{}, "mtu": 1500, "availability_zones": []string{}}
	empty := func(key string) http.HandlerFunc {
		return c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
			reply(w, http.StatusOK, object{key: []object{}})
		})
	}
	c.mux.HandleFunc("GET /network/v2.0/networks", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
		reply(w, http.StatusOK, object{"networks": []object{network}})
	}))
	for _, key := range []string{"subnets", "ports", "routers", "extensions"} {
		c.mux.HandleFunc("GET /network/v2.0/"+key, empty(key))
	}
	c.mux.HandleFunc("GET /network/v2.0/floatingips", c.authed(func(w http.ResponseWriter, _ *http.Request, t *token) {
		all, told := []object{}, map[string]bool{}
		add := func(id, address, project string, created time.Time) {
			if created.After(c.now()) || (project != t.project && !t.admin()) || told[address] {
				return
			}
			told[address] = true
			all = append(all, object{"id": id, "floating_ip_address": address, "project_id": project, "tenant_id": project, "status": "ACTIVE",
				"created_at": created.UTC().Format("2006-01-02T15:04:05Z"), "floating_network_id": network["id"], "port_id": nil, "fixed_ip_address": nil, "router_id": nil})
		}
		for _, f := range c.w.Floating {
			add(f.ID, f.Address, f.Project, f.Created)
		}
		for _, v := range c.shown(world.Query{}) {
			for _, a := range v.Floating {
				add(v.ID+a, a, v.Project, v.Created)
			}
		}
		reply(w, http.StatusOK, object{"floatingips": all})
	}))
}

// cinder serves the listings of volumes.
func (c *Cloud) cinder() {
	v, newest, oldest := "v3", fmt.Sprintf("3.%d", c.opts.Era.CinderMinor), "3.0"
	if c.opts.Era.CinderV2 {
		v, newest, oldest = "v2", "", ""
	}
	c.mux.HandleFunc("GET /volume/"+v+"/{$}", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, object{"versions": []object{{"id": v + ".0", "status": "CURRENT", "version": newest, "min_version": oldest, "links": []object{{"rel": "self", "href": c.Base() + "/volume/" + v + "/"}}}}})
	})
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/volumes/detail", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		if p := r.PathValue("project"); p != t.project {
			refuse(w, r, http.StatusBadRequest, "Malformed request url")
			return
		}
		all := []object{}
		for _, v := range c.w.Volumes {
			if v.Project == t.project && !v.Created.After(c.now()) {
				all = append(all, c.volume(v))
			}
		}
		reply(w, http.StatusOK, object{"volumes": all})
	}))
	for _, key := range []string{"snapshots", "types"} {
		path := key
		if key == "snapshots" {
			path += "/detail"
		}
		c.mux.HandleFunc("GET /volume/"+v+"/{project}/"+path, c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
			reply(w, http.StatusOK, object{strings.ReplaceAll(key, "types", "volume_types"): []object{}})
		}))
	}
}

// volume is one in a listing; without a name it is null.
func (c *Cloud) volume(v world.Volume) object {
	attachments := []object{}
	for _, a := range v.Attached {
		if !a.At.After(c.now()) {
			attachments = append(attachments, object{"id": v.ID, "volume_id": v.ID, "attachment_id": v.ID, "server_id": a.VM, "attached_at": stamp(a.At), "device": "/dev/vdb", "host_name": nil})
		}
	}
	o := object{"id": v.ID, "name": nil, "status": v.Status, "size": v.Size, "user_id": v.User, "created_at": stamp(v.Created),
		"attachments": attachments, "metadata": object{}, "bootable": "false", "volume_type": "default", "availability_zone": "nova", "os-vol-tenant-attr:tenant_id": v.Project}
	if v.Name != "" {
		o["name"] = v.Name
	}
	return o
}
