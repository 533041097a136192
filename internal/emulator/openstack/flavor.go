package openstack

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

func extra(f world.Flavor) map[string]string {
	if f.Extra == nil {
		return map[string]string{}
	}
	return f.Extra
}

func (c *Cloud) listFlavors(w http.ResponseWriter, r *http.Request, q *call) {
	query := r.URL.Query()
	limit, marker := c.limit(query), query.Get("marker")
	listed, ok := listedTo(q, query.Get("is_public"))
	if !ok {
		refuse(w, r, http.StatusBadRequest, "Invalid is_public filter ["+query.Get("is_public")+"]")
		return
	}
	all, body := []object{}, object{}
	for _, f := range c.w.AllFlavors() {
		if f.Gone(c.now()) || !listed(f) {
			continue
		}
		if marker != "" { // those behind it
			if f.ID == marker {
				marker = ""
			}
			continue
		}
		o := c.flavor(f, q)
		if !strings.HasSuffix(r.URL.Path, "/detail") {
			o = object{"id": f.ID, "name": f.Name, "links": c.flavorLinks(f)}
			if q.minor >= 55 {
				o["description"] = nil
			}
		}
		if all = append(all, o); len(all) == limit {
			body["flavors_links"] = c.next(r, f.ID)
			break
		}
	}
	if marker != "" {
		refuse(w, r, http.StatusBadRequest, "marker ["+marker+"] not found")
		return
	}
	body["flavors"] = all
	reply(w, http.StatusOK, body)
}

// listedTo tells which flavors a listing shows: the public ones and the project's own. Only an administrator may ask for
// others by is_public, which stands for nothing in the request of anybody else; false when that is no word for it.
func listedTo(q *call, public string) (func(world.Flavor) bool, bool) {
	own := func(f world.Flavor) bool { return f.For(q.project) }
	if !q.admin() || public == "" {
		return own, true
	}
	switch strings.ToLower(public) {
	case "none":
		return func(world.Flavor) bool { return true }, true
	case "1", "t", "true", "on", "y", "yes":
		return own, true
	case "0", "f", "false", "off", "n", "no":
		return func(f world.Flavor) bool { return f.Private }, true
	}
	return nil, false
}

func (c *Cloud) flavorLinks(f world.Flavor) []object {
	return append([]object{{"rel": "self", "href": c.Base() + "/compute/v2.1/flavors/" + f.ID}}, c.bookmark("flavors", f.ID)...)
}

// withFlavor answers of a flavor that is there; a deleted one is not.
func (c *Cloud) withFlavor(answer func(world.Flavor, *call) object) func(http.ResponseWriter, *http.Request, *call) {
	return func(w http.ResponseWriter, r *http.Request, q *call) {
		f, ok := c.w.Flavor(r.PathValue("id"))
		if !ok || f.Gone(c.now()) || (!f.For(q.project) && !q.admin()) {
			refuse(w, r, http.StatusNotFound, "Flavor "+r.PathValue("id")+" could not be found.")
			return
		}
		reply(w, http.StatusOK, answer(f, q))
	}
}

func (c *Cloud) flavor(f world.Flavor, q *call) object {
	o := object{"id": f.ID, "name": f.Name, "vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "OS-FLV-EXT-DATA:ephemeral": f.Ephemeral, "swap": "",
		"os-flavor-access:is_public": !f.Private, "links": c.flavorLinks(f)}
	if q.minor >= 55 {
		o["description"] = nil
	}
	if q.minor >= 61 {
		o["extra_specs"] = extra(f)
	}
	if q.minor >= 75 {
		o["swap"] = 0
	}
	if q.minor < 102 {
		o["rxtx_factor"], o["OS-FLV-DISABLED:disabled"] = json.RawMessage("1.0"), false
	}
	return o
}
