package openstack

import (
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// defaultImages and maxImages are Glance's page sizes (limit_param_default, api_limit_max).
const (
	defaultImages = 25
	maxImages     = 1000
)

func (c *Cloud) glance() {
	versions := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { reply(w, status, object{"versions": c.glanceVersions()}) }
	}
	c.mux.HandleFunc("GET /image", versions(http.StatusMultipleChoices))
	c.mux.HandleFunc("GET /image/{$}", versions(http.StatusMultipleChoices))
	c.mux.HandleFunc("GET /image/versions", versions(http.StatusOK))
	c.mux.HandleFunc("GET /image/v2/images", c.authed(c.listImages))
	c.mux.HandleFunc("GET /image/v2/images/{id}", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		i, ok := c.w.Image(r.PathValue("id"))
		if !ok || !sees(t, i) {
			refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
			return
		}
		reply(w, http.StatusOK, c.image(i))
	}))
	c.mux.HandleFunc("GET /image/v2/images/{id}/members", c.authed(c.listMembers))
	c.mux.HandleFunc("GET /image/v2/images/{id}/members/{project}", c.authed(c.showMember))
	c.mux.HandleFunc("GET /image/v2/schemas/image", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) {
		properties := object{}
		for _, k := range []string{"id", "name", "status", "visibility", "owner", "size", "disk_format", "container_format", "checksum", "created_at", "updated_at", "file", "schema", "self", "tags", "protected", "min_disk", "min_ram", "virtual_size", "os_hidden", "os_hash_algo", "os_hash_value"} {
			properties[k] = object{"type": []string{"null", "string"}}
		}
		reply(w, http.StatusOK, object{"name": "image", "properties": properties, "additionalProperties": object{"type": "string"}, "links": []object{}})
	}))
}

// glanceVersions are the versions of its API, the newest first. 2.14 and 2.16 are there where images are cached only.
func (c *Cloud) glanceVersions() []object {
	var all []object
	status := "CURRENT"
	for n := c.opts.Era.GlanceMinor; n >= 0; n-- {
		if n != 14 && n != 16 {
			all = append(all, object{"id": fmt.Sprintf("v2.%d", n), "status": status, "links": []object{{"rel": "self", "href": c.Base() + "/image/v2/"}}})
			status = "SUPPORTED"
		}
	}
	return all
}

// sees tells whether a listing shows the image to the token: an administrator sees all.
func sees(t *token, i world.Image) bool {
	return t.admin() || i.Visibility == "public" || (t.project != "" && (i.Owner == t.project || i.Members[t.project] == "accepted"))
}

// shared gives an image if the caller may see who shares an image. Only a shared one has members, and a member sees itself.
func (c *Cloud) shared(w http.ResponseWriter, r *http.Request, t *token) (world.Image, bool) {
	i, ok := c.w.Image(r.PathValue("id"))
	if _, invited := i.Members[t.project]; !ok || !sees(t, i) && !invited {
		refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
		return i, false
	}
	if i.Visibility != "shared" {
		refuse(w, r, http.StatusForbidden, "Not allowed to list members for image "+i.ID+": Only shared images have members.")
		return i, false
	}
	return i, true
}

func (c *Cloud) listMembers(w http.ResponseWriter, r *http.Request, t *token) {
	i, ok := c.shared(w, r, t)
	if !ok {
		return
	}
	all := []object{}
	for _, project := range slices.Sorted(maps.Keys(i.Members)) {
		if t.admin() || t.project == i.Owner || t.project == project {
			all = append(all, member(i, project))
		}
	}
	reply(w, http.StatusOK, object{"members": all, "schema": "/v2/schemas/members"})
}

func (c *Cloud) showMember(w http.ResponseWriter, r *http.Request, t *token) {
	project := r.PathValue("project")
	i, ok := c.shared(w, r, t)
	if !ok {
		return
	}
	if i.Members[project] == "" || (t.project != project && !t.admin() && t.project != i.Owner) {
		refuse(w, r, http.StatusNotFound, project+" not found in the member list of the image "+i.ID+".")
		return
	}
	reply(w, http.StatusOK, member(i, project))
}

func member(i world.Image, project string) object {
	return object{"image_id": i.ID, "member_id": project, "status": i.Members[project], "schema": "/v2/schemas/member", "created_at": imageTime, "updated_at": imageTime}
}

// imageTime is when all images were made.
const imageTime = "2026-01-01T00:00:00Z"

func (c *Cloud) listImages(w http.ResponseWriter, r *http.Request, t *token) {
	query := r.URL.Query()
	first := "/v2/images"
	if r.URL.RawQuery != "" {
		first += "?" + r.URL.RawQuery
	}
	limit, problem := defaultImages, error(nil)
	if text := query.Get("limit"); text != "" {
		if limit, problem = strconv.Atoi(text); problem != nil || limit < 0 {
			refuse(w, r, http.StatusBadRequest, "limit param must be an integer")
			return
		}
	}
	limit = min(limit, maxImages)
	name, visibility := query.Get("name"), query.Get("visibility")
	ids, some := strings.CutPrefix(query.Get("id"), "in:")
	all := slices.DeleteFunc(slices.Clone(c.w.Images), func(i world.Image) bool {
		return !sees(t, i) || name != "" && i.Name != name || visibility != "" && c.visibility(i) != visibility || some && !slices.Contains(strings.Split(ids, ","), i.ID)
	})
	if marker := query.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(i world.Image) bool { return i.ID == marker })
		if at < 0 {
			refuse(w, r, http.StatusBadRequest, "Invalid marker")
			return
		}
		all = all[at+1:]
	}
	body := object{"first": first, "schema": "/v2/schemas/images"}
	if len(all) >= limit && limit > 0 {
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

// visibility is what the release calls the image's.
func (c *Cloud) visibility(i world.Image) string {
	if !c.opts.Era.sharedImages() && i.Visibility != "public" {
		return "private"
	}
	return i.Visibility
}

func (c *Cloud) image(i world.Image) object {
	const size = 1 << 20
	sum := sha512.Sum512([]byte(i.ID)) // of what would be in it
	o := object{"id": i.ID, "name": i.Name, "status": "active", "visibility": c.visibility(i), "owner": i.Owner, "size": size, "disk_format": "qcow2", "container_format": "bare",
		"min_disk": 1, "min_ram": 0, "protected": false, "tags": []string{}, "checksum": hex.EncodeToString(sum[:16]), "virtual_size": size,
		"created_at": imageTime, "updated_at": imageTime, "self": "/v2/images/" + i.ID, "file": "/v2/images/" + i.ID + "/file", "schema": "/v2/schemas/image"}
	if c.opts.Era.hiddenImages() {
		o["os_hidden"], o["os_hash_algo"], o["os_hash_value"] = false, "sha512", hex.EncodeToString(sum[:])
	}
	for k, v := range i.Properties {
		o[k] = v
	}
	return o
}
