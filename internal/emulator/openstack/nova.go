package openstack

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

func (c *Cloud) nova() {
	c.mux.HandleFunc("GET /compute/v2.1", c.novaVersion)
	c.mux.HandleFunc("GET /compute/v2.1/{$}", c.novaVersion)
	c.mux.HandleFunc("GET /compute/{$}", c.novaVersions)
	c.compute("GET /servers", c.listServers(false))
	c.compute("GET /servers/detail", c.listServers(true))
	c.compute("GET /servers/{id}", c.showServer)
	c.compute("DELETE /servers/{id}", c.deleteServer)
	c.compute("GET /servers/{id}/os-instance-actions", c.listActions)
	c.compute("GET /servers/{id}/os-instance-actions/{request}", c.showAction)
	c.compute("GET /servers/{id}/os-volume_attachments", c.listAttachments)
	c.compute("GET /os-simple-tenant-usage", c.tenantUsage)
	c.compute("GET /os-simple-tenant-usage/{project}", c.tenantUsage)
	c.compute("GET /flavors", c.listFlavors)
	c.compute("GET /flavors/detail", c.listFlavors)
	c.compute("GET /flavors/{id}", c.withFlavor(func(f world.Flavor, q *call) object { return object{"flavor": c.flavor(f, q)} }))
	c.compute("GET /flavors/{id}/os-extra_specs", c.withFlavor(func(f world.Flavor, _ *call) object { return object{"extra_specs": extra(f)} }))
	c.compute("GET /limits", c.limits)
	c.compute("GET /os-quota-sets/{of}", c.showQuota)
}

func (c *Cloud) version() object {
	return object{"id": "v2.1", "status": "CURRENT", "version": c.newest(), "min_version": "2.1", "updated": "2013-07-23T11:33:21Z",
		"links": []object{{"rel": "self", "href": c.Base() + "/compute/v2.1/"}}}
}

func (c *Cloud) novaVersions(w http.ResponseWriter, _ *http.Request) {
	old := object{"id": "v2.0", "status": c.opts.Era.NovaV2, "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z",
		"links": []object{{"rel": "self", "href": c.Base() + "/compute/v2/"}}}
	reply(w, http.StatusOK, object{"versions": []object{old, c.version()}})
}

func (c *Cloud) novaVersion(w http.ResponseWriter, r *http.Request) {
	if _, ok := c.microversion(w, r); !ok {
		return
	}
	v := c.version()
	v["links"] = append(v["links"].([]object), object{"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"})
	v["media-types"] = []object{{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}}
	reply(w, http.StatusOK, object{"version": v})
}

func (c *Cloud) newest() string { return fmt.Sprintf("2.%d", c.opts.Era.NovaMinor) }

// call is a request to Nova with what its headers say.
type call struct {
	*token
	minor int
}

// mayWrite tells whether the caller may change VMs of its project.
func (c *Cloud) mayWrite(q *call) bool {
	for _, role := range q.roles {
		if role == "member" || role == "admin" || !c.opts.Era.MembersWrite {
			return true
		}
	}
	return false
}

// projectID is a project's id, which may stand behind the root of compute in every path.
var projectID = regexp.MustCompile(`^([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)

// withoutProject takes the project's id out of a path of compute, and gives it.
func (c *Cloud) withoutProject(r *http.Request) (*http.Request, string) {
	below, ok := strings.CutPrefix(r.URL.Path, "/compute/v2.1/")
	if !ok {
		return r, ""
	}
	id, rest, more := strings.Cut(below, "/")
	if _, there := c.w.Project(id); !there && !projectID.MatchString(id) {
		return r, ""
	}
	if more {
		rest = "/" + rest
	}
	r = r.Clone(r.Context())
	r.URL.Path, r.URL.RawPath = "/compute/v2.1"+rest, ""
	return r, id
}

// compute registers a handler below Nova's root; it checks token and microversion as Nova does.
func (c *Cloud) compute(pattern string, h func(http.ResponseWriter, *http.Request, *call)) {
	method, path, _ := strings.Cut(pattern, " ")
	c.mux.HandleFunc(method+" /compute/v2.1"+path, c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		minor, ok := c.microversion(w, r)
		if !ok {
			return
		}
		h(w, r, &call{t, minor})
	}))
}

// microversion gives the one that the request asks for, and names it in the answer; false when it was refused.
func (c *Cloud) microversion(w http.ResponseWriter, r *http.Request) (minor int, ok bool) {
	asked := r.Header.Get("X-OpenStack-Nova-API-Version")
	if v, named := strings.CutPrefix(r.Header.Get("OpenStack-API-Version"), "compute "); named && c.opts.Era.BothHeaders {
		asked = v
	}
	switch asked {
	case "latest":
		asked = c.newest()
	case "":
		asked = "2.1"
	}
	m := microversionForm.FindStringSubmatch(asked)
	if m == nil {
		refuse(w, r, http.StatusBadRequest, "API Version String "+asked+" is of invalid format. Must be of format MajorNum.MinorNum.")
		return 0, false
	}
	if c.opts.Era.BothHeaders {
		w.Header().Set("OpenStack-API-Version", "compute "+asked)
		w.Header().Add("Vary", "OpenStack-API-Version")
	}
	w.Header().Set("X-OpenStack-Nova-API-Version", asked)
	w.Header().Add("Vary", "X-OpenStack-Nova-API-Version")
	if minor, err := strconv.Atoi(m[2]); err == nil && m[1] == "2" && minor >= 1 && minor <= c.opts.Era.NovaMinor {
		return minor, true
	}
	refuse(w, r, http.StatusNotAcceptable, "Version "+asked+" is not supported by the API. Minimum is 2.1 and maximum is "+c.newest()+".")
	return 0, false
}

var microversionForm = regexp.MustCompile(`^([1-9]\d*)\.([1-9]\d*|0)$`)

func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("no time: %s", text)
}

// stamp is a time as Nova writes most of them; null for none.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000")
}

// unanswered is Nova's word for a VM whose cell does not answer, where it has no other.
func unanswered(w http.ResponseWriter, r *http.Request) {
	refuse(w, r, http.StatusInternalServerError, "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach the Nova API log if possible.\n<class 'nova.exception.NovaException'>")
}
