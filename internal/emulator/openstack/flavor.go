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
	all, body := []object{}, object{}
	for _, f := range c.w.AllFlavors() {
		if f.Gone(c.now()) {
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

func (c *Cloud) flavorLinks(f world.Flavor) []object {
	return append([]object{{"rel": "self", "href": c.Base() + "/compute/v2.1/flavors/" + f.ID}}, c.bookmark("flavors", f.ID)...)
}

// withFlavor answers of a flavor that is there; a deleted one is not.
func (c *Cloud) withFlavor(answer func(world.Flavor, *call) object) func(http.ResponseWriter, *http.Request, *call) {
	return func(w http.ResponseWriter, r *http.Request, q *call) {
		f, ok := c.w.Flavor(r.PathValue("id"))
		if !ok || f.Gone(c.now()) {
			refuse(w, r, http.StatusNotFound, "Flavor "+r.PathValue("id")+" could not be found.")
			return
		}
		reply(w, http.StatusOK, answer(f, q))
	}
}

func (c *Cloud) flavor(f world.Flavor, q *call) object {
	o := object{"id": f.ID, "name": f.Name, "vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "OS-FLV-EXT-DATA:ephemeral": f.Ephemeral, "swap": "",
		"os-flavor-access:is_public": true, "links": c.flavorLinks(f)}
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
