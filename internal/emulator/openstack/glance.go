package openstack

import (
	"cmp"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

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
	c.glanceWrites()
	c.mux.HandleFunc("GET /image/v2/schemas/image", c.authed(func(w http.ResponseWriter, _ *http.Request, _ *token) { reply(w, http.StatusOK, c.imageSchema()) }))
}

// imageSchema tells what there is to be said of an image.
func (c *Cloud) imageSchema() object {
	keys := []string{"id", "name", "status", "owner", "size", "disk_format", "container_format", "checksum", "created_at", "updated_at", "file", "schema", "self", "tags", "protected", "min_disk", "min_ram", "virtual_size"}
	if c.opts.Era.hiddenImages() {
		keys = append(keys, "os_hidden", "os_hash_algo", "os_hash_value")
	}
	properties := object{"visibility": object{"type": "string", "enum": c.visibilities()}}
	for _, k := range keys {
		properties[k] = object{"type": []string{"null", "string"}}
	}
	return object{"name": "image", "properties": properties, "additionalProperties": object{"type": "string"}, "links": []object{}}
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
	asked := slices.DeleteFunc(strings.Split(r.URL.RawQuery, "&"), func(part string) bool { return part == "" || strings.HasPrefix(part, "marker=") })
	path := func(query []string) string {
		if len(query) == 0 {
			return "/v2/images"
		}
		return "/v2/images?" + strings.Join(query, "&")
	}
	if v := query.Get("visibility"); v != "" && !slices.Contains([]string{"public", "private", "shared", "community", "all"}, v) {
		refuse(w, r, http.StatusBadRequest, "Invalid visibility value: "+v)
		return
	}
	limit, problem := defaultImages, error(nil)
	if text := query.Get("limit"); text != "" {
		if limit, problem = strconv.Atoi(text); problem != nil || limit < 0 {
			refuse(w, r, http.StatusBadRequest, "limit param must be an integer")
			return
		}
	}
	if limit = min(limit, maxImages); c.opts.ImagePage > 0 {
		limit = min(limit, c.opts.ImagePage)
	}
	all := slices.DeleteFunc(c.w.AllImages(), func(i world.Image) bool { return !sees(t, i) || !c.wanted(i, query) })
	if marker := query.Get("marker"); marker != "" {
		at := slices.IndexFunc(all, func(i world.Image) bool { return i.ID == marker })
		if at < 0 {
			refuse(w, r, http.StatusBadRequest, "Invalid marker")
			return
		}
		all = all[at+1:]
	}
	body := object{"first": path(asked), "schema": "/v2/schemas/images"}
	if len(all) >= limit && limit > 0 {
		all = all[:limit]
		body["next"] = path(append(asked, "marker="+url.QueryEscape(all[len(all)-1].ID)))
	}
	images := []object{}
	for _, i := range all {
		images = append(images, c.image(i))
	}
	body["images"] = images
	reply(w, http.StatusOK, body)
}

// wanted tells whether an image is of those that a listing asks for. One that is hidden is so only where that is said.
func (c *Cloud) wanted(i world.Image, query url.Values) bool {
	is := func(key, value string) bool { return !query.Has(key) || query.Get(key) == value }
	ids, some := strings.CutPrefix(query.Get("id"), "in:")
	hidden := c.opts.Era.hiddenImages() && i.Hidden != strings.EqualFold(query.Get("os_hidden"), "true")
	if hidden || some && !slices.Contains(strings.Split(ids, ","), i.ID) {
		return false
	}
	for key := range query { // of a property, or of what else an image has
		if !slices.Contains(filters, key) && fmt.Sprint(c.image(i)[key]) != query.Get(key) {
			return false
		}
	}
	tagged := !slices.ContainsFunc(query["tag"], func(tag string) bool { return !slices.Contains(i.Tags, tag) })
	return tagged && is("name", i.Name) && is("visibility", c.visibility(i)) && is("status", status(i))
}

// filters are parameters of a listing that are no properties of images, or are looked at otherwise.
var filters = []string{"name", "visibility", "status", "id", "os_hidden", "tag", "limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "created_at", "updated_at", "size_min", "size_max", "protected"}

func status(i world.Image) string {
	if i.Status == "" {
		return "active"
	}
	return i.Status
}

// visibility is what the release calls the image's.
func (c *Cloud) visibility(i world.Image) string {
	if !c.opts.Era.sharedImages() && i.Visibility != "public" {
		return "private"
	}
	return i.Visibility
}

func (c *Cloud) image(i world.Image) object {
	sum := sha512.Sum512([]byte(i.ID)) // of what would be in it
	md5, long := cmp.Or(i.MD5, hex.EncodeToString(sum[:16])), cmp.Or(i.SHA512, hex.EncodeToString(sum[:]))
	o := object{"id": i.ID, "name": orNull(i.Name), "status": status(i), "visibility": c.visibility(i), "owner": i.Owner, "size": sizeOf(i.Size), "disk_format": cmp.Or(i.DiskFormat, "qcow2"), "container_format": cmp.Or(i.ContainerFormat, "bare"),
		"min_disk": i.MinDisk, "min_ram": i.MinRAM, "protected": i.Protected, "tags": append([]string{}, i.Tags...), "checksum": md5, "virtual_size": sizeOf(i.VirtualSize),
		"created_at": imageTimeOf(i.Created), "updated_at": imageTimeOf(i.Updated), "self": "/v2/images/" + i.ID, "file": "/v2/images/" + i.ID + "/file", "schema": "/v2/schemas/image"}
	if c.opts.Era.hiddenImages() {
		o["os_hidden"], o["os_hash_algo"], o["os_hash_value"] = i.Hidden, "sha512", long
	}
	if i.Status == "queued" || i.Status == "saving" { // it has no content yet
		for _, key := range []string{"size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"} {
			if _, said := o[key]; said {
				o[key] = nil
			}
		}
	}
	for k, v := range i.Properties {
		o[k] = v
	}
	return o
}

func imageTimeOf(t time.Time) string {
	if t.IsZero() {
		return imageTime
	}
	return t.UTC().Format(time.RFC3339)
}

// sizeOf is a size of an image; null where Glance does not know it.
func sizeOf(n int64) any {
	switch {
	case n < 0:
		return nil
	case n == 0:
		return 1 << 20
	}
	return n
}
