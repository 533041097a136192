package openstack

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// defaultImages and maxImages are Glance's page sizes (limit_param_default, api_limit_max).
const (
	defaultImages = 25
	maxImages     = 1000
)

func (c *Cloud) glance() {
	versions := func(w http.ResponseWriter, _ *http.Request) {
		all, status := []object{}, "CURRENT"
		for n := c.opts.Era.GlanceMinor; n >= 0; n-- {
			all = append(all, object{"id": fmt.Sprintf("v2.%d", n), "status": status, "links": []object{{"rel": "self", "href": c.Base() + "/image/v2/"}}})
			status = "SUPPORTED"
		}
		reply(w, http.StatusMultipleChoices, object{"versions": all})
	}
	c.mux.HandleFunc("GET /image", versions)
	c.mux.HandleFunc("GET /image/{$}", versions)
	c.mux.HandleFunc("GET /image/versions", versions)
	c.mux.HandleFunc("GET /image/v2/images", c.authed(c.listImages))
	c.mux.HandleFunc("GET /image/v2/images/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		i, ok := c.w.Image(r.PathValue("id"))
		if !ok || !sees(t, i) {
			refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
			return
		}
		reply(w, http.StatusOK, c.image(i))
	}))
	c.mux.HandleFunc("GET /image/v2/images/{id}/members/{project}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		i, ok := c.w.Image(r.PathValue("id"))
		status, member := i.Members[r.PathValue("project")]
		if !ok || !member || (t.project != r.PathValue("project") && !t.admin() && t.project != i.Owner) {
			refuse(w, r, http.StatusNotFound, "Image member not found.")
			return
		}
		reply(w, http.StatusOK, object{"image_id": i.ID, "member_id": r.PathValue("project"), "status": status, "schema": "/v2/schemas/member"})
	}))
	c.mux.HandleFunc("GET /image/v2/schemas/image", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
		properties := object{}
		for _, k := range []string{"id", "name", "status", "visibility", "owner", "size", "disk_format", "container_format", "checksum", "created_at", "updated_at", "file", "schema", "self", "tags", "protected", "min_disk", "min_ram", "virtual_size", "os_hidden", "os_hash_algo", "os_hash_value"} {
			properties[k] = object{"type": []string{"null", "string"}}
		}
		reply(w, http.StatusOK, object{"name": "image", "properties": properties, "additionalProperties": object{"type": "string"}, "links": []object{}})
	}))
}

// sees tells whether a listing shows the image to the token: an administrator sees all.
func sees(t *token, i world.Image) bool {
	return t.admin() || i.Visibility == "public" || (t.project != "" && (i.Owner == t.project || i.Members[t.project] == "accepted"))
}

func (c *Cloud) listImages(w http.ResponseWriter, r *http.Request, t *token) {
	all := slices.Clone(c.w.Images)
	all = slices.DeleteFunc(all, func(i world.Image) bool { return !sees(t, i) })
	query := r.URL.Query()
	if name := query.Get("name"); name != "" {
		all = slices.DeleteFunc(all, func(i world.Image) bool { return i.Name != name })
	}
	limit := defaultImages
	if n, err := strconv.Atoi(query.Get("limit")); err == nil && n > 0 {
		limit = min(n, maxImages)
	}
	if marker := query.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(i world.Image) bool { return i.ID == marker })
		if at < 0 {
			refuse(w, r, http.StatusBadRequest, "Invalid marker")
			return
		}
		all = all[at+1:]
	}
	body := object{"first": "/v2/images", "schema": "/v2/schemas/images"}
	if len(all) >= limit {
		all = all[:limit]
		query.Set("marker", all[len(all)-1].ID)
		body["next"] = "/v2/images?" + query.Encode()
	}
	images := []object{}
	for _, i := range all {
		images = append(images, c.image(i))
	}
	body["images"] = images
	reply(w, http.StatusOK, body)
}

func (c *Cloud) image(i world.Image) object {
	o := object{"id": i.ID, "name": i.Name, "status": "active", "visibility": i.Visibility, "owner": i.Owner, "size": 1 << 20, "disk_format": "qcow2", "container_format": "bare",
		"min_disk": 0, "min_ram": 0, "protected": false, "tags": []string{}, "checksum": nil, "virtual_size": nil,
		"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "self": "/v2/images/" + i.ID, "file": "/v2/images/" + i.ID + "/file", "schema": "/v2/schemas/image"}
	if !c.opts.Era.sharedImages() && i.Visibility != "public" {
		o["visibility"] = "private"
	}
	if c.opts.Era.hiddenImages() {
		o["os_hidden"], o["os_hash_algo"], o["os_hash_value"] = false, nil, nil
	}
	for k, v := range i.Properties {
		o[k] = v
	}
	return o
}
