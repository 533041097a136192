package openstack

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// cinder serves the listings of volumes.
func (c *Cloud) cinder() {
	v, newest, oldest := "v3", fmt.Sprintf("3.%d", c.opts.Era.CinderMinor), "3.0"
	if c.opts.Era.CinderV2 {
		v, newest, oldest = "v2", "", ""
	}
	version := object{"id": v + ".0", "status": "CURRENT", "version": newest, "min_version": oldest, "updated": "2022-08-31T00:00:00Z",
		"media-types": []object{{"base": "application/json", "type": "application/vnd.openstack.volume+json;version=" + v[1:]}}}
	versions := func(status int) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, r *http.Request) {
			one := maps.Clone(version)
			one["links"] = []object{{"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}, {"rel": "self", "href": c.Base() + "/volume/" + v + "/"}}
			c.volumeVersion(w, r)
			reply(w, status, object{"versions": []object{one}})
		}
	}
	c.mux.HandleFunc("GET /volume/{$}", versions(http.StatusMultipleChoices))
	c.mux.HandleFunc("GET /volume/"+v+"/{$}", c.authed(func(w http.ResponseWriter, r *http.Request, _ *token) { versions(http.StatusOK)(w, r) }))
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/volumes/detail", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		if p := r.PathValue("project"); p != t.project {
			refuse(w, r, http.StatusBadRequest, "Malformed request url")
			return
		}
		query, minor := r.URL.Query(), c.volumeVersion(w, r)
		limit, marker := c.limit(query), query.Get("marker")
		all, body := []object{}, object{}
		for _, v := range c.w.Volumes {
			switch {
			case v.Project != t.project || v.Created.After(c.now()):
				continue
			case marker != "":
				if v.ID == marker {
					marker = ""
				}
				continue
			}
			if all = append(all, c.volume(v, minor)); len(all) == limit {
				body["volumes_links"] = c.next(r, v.ID)
				break
			}
		}
		body["volumes"] = all
		reply(w, http.StatusOK, body)
	}))
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/snapshots/detail", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
		reply(w, http.StatusOK, object{"snapshots": []object{}})
	}))
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/limits", c.authed(c.volumeLimits))
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/os-quota-sets/{of}", c.authed(c.volumeQuota))
	c.mux.HandleFunc("GET /volume/"+v+"/{project}/types", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
		reply(w, http.StatusOK, object{"volume_types": []object{{"id": uuid(volumeType), "name": volumeType, "is_public": true, "os-volume-type-access:is_public": true, "description": nil, "extra_specs": object{}}}})
	}))
}

// volumeType is that of all volumes.
const volumeType = "default"

// volume is one in a listing; without a name it is null.
func (c *Cloud) volume(v world.Volume, minor int) object {
	attachments := []object{}
	for _, a := range v.Attached {
		if !a.At.After(c.now()) {
			attachments = append(attachments, object{"id": v.ID, "volume_id": v.ID, "attachment_id": v.ID, "server_id": a.VM, "attached_at": stamp(a.At), "device": "/dev/vdb", "host_name": nil})
		}
	}
	path := v.Project + "/volumes/" + v.ID
	o := object{"description": nil, "snapshot_id": nil, "source_volid": nil, "replication_status": nil, "consistencygroup_id": nil, "encrypted": false, "multiattach": false, "updated_at": stamp(v.Created),
		"links": []object{{"rel": "self", "href": c.Base() + "/volume/" + c.volumeRoot() + "/" + path}, {"rel": "bookmark", "href": c.Base() + "/volume/" + path}},
		"id":    v.ID, "name": nil, "status": v.Status, "size": v.Size, "user_id": v.User, "created_at": stamp(v.Created),
		"attachments": attachments, "metadata": object{}, "bootable": "false", "volume_type": volumeType, "availability_zone": "nova", "os-vol-tenant-attr:tenant_id": v.Project}
	if v.Name != "" {
		o["name"] = v.Name
	}
	for _, since := range []struct {
		minor int
		key   string
		value any
	}{{13, "group_id", nil}, {48, "shared_targets", false}, {48, "service_uuid", uuid("cinder")}, {63, "volume_type_id", uuid(volumeType)}, {65, "consumes_quota", true}} {
		if minor >= since.minor {
			o[since.key] = since.value
		}
	}
	return o
}

func (c *Cloud) volumeRoot() string {
	if c.opts.Era.CinderV2 {
		return "v2"
	}
	return "v3"
}

// volumeVersion gives the microversion that a request to Cinder asks for, 3.N, and names it in the answer. Without one, or
// where Cinder has none yet, it is 0.
func (c *Cloud) volumeVersion(w http.ResponseWriter, r *http.Request) int {
	if c.opts.Era.CinderV2 {
		return 0
	}
	minor := 0
	if text, ok := strings.CutPrefix(r.Header.Get("OpenStack-API-Version"), "volume 3."); ok {
		if n, err := strconv.Atoi(text); err == nil && n >= 0 {
			minor = min(n, c.opts.Era.CinderMinor)
		}
	}
	w.Header().Set("X-Compute-Request-Id", w.Header().Get("X-Openstack-Request-Id"))
	w.Header().Set("OpenStack-API-Version", fmt.Sprintf("volume 3.%d", minor))
	w.Header().Set("Vary", "OpenStack-API-Version")
	return minor
}
