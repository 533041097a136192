package openstack

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// shown gives the VMs that the cloud shows now.
func (c *Cloud) shown(q world.Query) []world.View {
	all, _ := c.w.Seen(c.now()).List(q)
	return all
}

// listServers lists VMs as Nova does: of the token's project, newest first, a link to the next page only when the page is
// as long as it may be. A token without a project gets an empty list, as in a real cloud.
func (c *Cloud) listServers(detail bool) func(http.ResponseWriter, *http.Request, *call) {
	return func(w http.ResponseWriter, r *http.Request, q *call) {
		query := r.URL.Query()
		all := query.Get("all_tenants")
		everybody := all != "" && all != "0" && !strings.EqualFold(all, "false")
		if everybody && !q.admin() {
			refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.")
			return
		}
		if q.system && c.opts.Era.ScopeChecked {
			refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:detail to be performed.")
			return
		}
		if problem := c.wrong(query, q); problem != "" {
			refuse(w, r, http.StatusBadRequest, problem)
			return
		}
		want := world.Query{Project: q.project, Status: query.Get("status"), Marker: query.Get("marker"), Limit: c.limit(query)}
		if everybody {
			want.Project = query.Get("project_id")
		} else if q.project == "" {
			want.Project = "none"
		}
		if text := query.Get("changes-since"); text != "" {
			at, err := parseTime(text)
			if err != nil {
				refuse(w, r, http.StatusBadRequest, "Invalid input for query parameters changes-since. Value: "+text+".")
				return
			}
			want.Since = &at
		}
		seen := c.w.Seen(c.now())
		if query.Get("name") != "" {
			want.Limit = 0 // a page is of those of that name
		}
		views, ok := seen.List(want)
		if !ok {
			refuse(w, r, http.StatusBadRequest, "marker ["+want.Marker+"] not found")
			return
		}
		if views, ok = named(views, query.Get("name"), c.limit(query)); !ok {
			refuse(w, r, http.StatusBadRequest, "Invalid value for the filter name")
			return
		}
		if q.minor >= 69 && unfiltered(query) {
			views = slices.Concat(c.unanswered(seen, want.Project, q), views)
			views = views[:min(len(views), want.Limit)]
		}
		c.page(w, r, q, views, detail)
	}
}

// unanswered gives the VMs of cells that do not answer. To a token of the system, which has no project, no cell does: it is
// shown all VMs so.
func (c *Cloud) unanswered(seen world.Sight, project string, q *call) []world.View {
	if !q.system || project != "none" {
		return seen.Unanswered(project)
	}
	all, _ := seen.List(world.Query{})
	for i := range all {
		all[i].Partial = true
	}
	return all
}

// named gives a page of the VMs whose names have a regular expression in them; false when it is none.
func named(views []world.View, name string, limit int) ([]world.View, bool) {
	if name == "" {
		return views, true
	}
	is, err := regexp.Compile(name)
	if err != nil {
		return nil, false
	}
	views = slices.DeleteFunc(views, func(v world.View) bool { return !is.MatchString(v.Name) })
	return views[:min(limit, len(views))], true
}

// parameters are the filters of a listing of VMs. Unknown ones are ignored, and refused from 2.75 on.
var parameters = map[string]bool{
	"all_tenants": true, "changes-since": true, "changes-before": true, "deleted": true, "flavor": true, "host": true, "image": true, "ip": true, "ip6": true,
	"limit": true, "marker": true, "name": true, "project_id": true, "reservation_id": true, "sort_dir": true, "sort_key": true, "status": true,
	"tags": true, "tags-any": true, "tenant_id": true, "user_id": true, "uuid": true, "vm_state": true, "task_state": true, "locked": true, "availability_zone": true,
}

// statuses are those that a listing may be filtered by.
var statuses = []string{"ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD", "RESCUE", "RESIZE", "REVERT_RESIZE",
	"SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED", "UNKNOWN", "VERIFY_RESIZE"}

// wrong says what Nova refuses in a listing's parameters.
func (c *Cloud) wrong(query url.Values, q *call) string {
	if limit := query.Get("limit"); strings.Trim(limit, "0123456789") != "" {
		return "Invalid input for query parameters limit. Value: " + limit + ". '" + limit + "' does not match '^[0-9]*$'"
	}
	status := strings.ToUpper(query.Get("status"))
	if status != "" && !slices.Contains(statuses, status) && q.minor >= 38 {
		return "Invalid status value"
	}
	for key := range query {
		if !parameters[key] && q.minor >= 75 {
			return "Invalid input for query parameters " + key + ". Value: " + query.Get(key) + ". Additional properties are not allowed"
		}
	}
	return ""
}

// limit is how long a page may be.
func (c *Cloud) limit(query url.Values) int {
	if n, err := strconv.Atoi(query.Get("limit")); err == nil && n > 0 {
		return min(c.opts.PageLimit, n)
	}
	return c.opts.PageLimit
}

// unfiltered tells whether a listing has no filter, order or page. Only such a one shows the VMs of a cell that does not
// answer, from 2.69 on; every other leaves them out without a word (Nova, "Handling Down Cells").
func unfiltered(query url.Values) bool {
	for key := range query {
		if key != "all_tenants" {
			return false
		}
	}
	return true
}

func (c *Cloud) page(w http.ResponseWriter, r *http.Request, q *call, views []world.View, detail bool) {
	query := r.URL.Query()
	body := object{}
	if len(views) > 0 && len(views) == c.limit(query) {
		body["servers_links"] = c.next(r, views[len(views)-1].ID)
	}
	servers := make([]object, 0, len(views))
	for _, v := range views {
		switch {
		case v.Partial:
			servers = append(servers, c.partial(v, detail))
		case detail:
			o := c.server(v, q)
			if c.opts.Era.FaultsListed && v.Status == "ERROR" && v.Launched.IsZero() {
				o["fault"] = fault(v, q)
			}
			servers = append(servers, o)
		default:
			servers = append(servers, object{"id": v.ID, "name": v.Name, "links": c.links(v.ID)})
		}
	}
	body["servers"] = servers
	reply(w, http.StatusOK, body)
}

func (c *Cloud) links(id string) []object {
	return []object{{"rel": "self", "href": c.Base() + "/compute/v2.1/servers/" + id}, {"rel": "bookmark", "href": c.Base() + "/compute/servers/" + id}}
}

func (c *Cloud) bookmark(kind, id string) []object {
	return []object{{"rel": "bookmark", "href": c.Base() + "/compute/" + kind + "/" + id}}
}

// partial is a VM whose cell does not answer, in a listing.
func (c *Cloud) partial(v world.View, detail bool) object {
	o := object{"id": v.ID, "status": "UNKNOWN", "links": c.links(v.ID)}
	if detail {
		o["tenant_id"], o["created"] = v.Project, v.Created.UTC().Format("2006-01-02T15:04:05Z")
	}
	return o
}

// vmStates are Nova's vm_state where it is not the status in small letters, power its power_state where that is not 1, and
// moving the statuses with which progress is shown.
var (
	moving   = map[string]bool{"ACTIVE": true, "BUILD": true, "REBUILD": true, "RESIZE": true, "VERIFY_RESIZE": true, "MIGRATING": true}
	vmStates = map[string]string{"SHUTOFF": "stopped", "SOFT_DELETED": "soft-delete", "VERIFY_RESIZE": "resized", "BUILD": "building", "RESCUE": "rescued"}
	power    = map[string]int{"SHUTOFF": 4, "PAUSED": 3, "SUSPENDED": 4, "SHELVED": 4, "SHELVED_OFFLOADED": 4, "DELETED": 0, "BUILD": 0}
)

func vmState(v world.View) string {
	if state, ok := vmStates[v.Rest]; ok {
		return state
	}
	return strings.ToLower(v.Rest)
}

func (c *Cloud) server(v world.View, q *call) object {
	running, ok := power[v.Rest]
	if !ok && !v.Launched.IsZero() {
		running = 1
	}
	var task any
	if v.Task != "" {
		task = v.Task
	}
	o := object{
		"id": v.ID, "name": v.Name, "status": v.Status, "tenant_id": v.Project, "user_id": v.User, "hostId": hostID(v), "metadata": metadata(v), "links": c.links(v.ID),
		"created": v.Created.UTC().Format("2006-01-02T15:04:05Z"), "updated": v.Updated.UTC().Format("2006-01-02T15:04:05Z"),
		"accessIPv4": "", "accessIPv6": "", "config_drive": "", "key_name": nil, "OS-DCF:diskConfig": "MANUAL", "OS-EXT-AZ:availability_zone": zone(v),
		"OS-EXT-STS:task_state": task, "OS-EXT-STS:vm_state": vmState(v), "OS-EXT-STS:power_state": running,
		"OS-SRV-USG:launched_at": stamp(v.Launched), "OS-SRV-USG:terminated_at": stamp(v.Terminated), "os-extended-volumes:volumes_attached": c.attached(v, q),
		"image": c.imageOf(v, q), "flavor": c.flavorOf(v, q), "addresses": addresses(v),
	}
	if moving[v.Status] {
		o["progress"] = 0
	}
	if !v.Deleted && !v.Launched.IsZero() { // it has ports
		o["security_groups"] = []object{{"name": "default"}}
	}
	c.byMicroversion(o, v, q)
	return o
}

// placed tells whether the VM is on a host: it is on none before its launch and while it is shelved there.
func placed(v world.View) bool { return !v.Launched.IsZero() && v.Rest != "SHELVED_OFFLOADED" }

func hostID(v world.View) string {
	if !placed(v) {
		return ""
	}
	return fmt.Sprintf("%x", sha256.Sum224([]byte(v.Project+"compute1")))
}

func zone(v world.View) string {
	if !placed(v) {
		return ""
	}
	return "nova"
}

func metadata(v world.View) map[string]string {
	if v.Metadata == nil {
		return map[string]string{}
	}
	return v.Metadata
}

// attached are the volumes that are attached to the VM.
func (c *Cloud) attached(v world.View, q *call) []object {
	all := []object{}
	if v.Deleted {
		return all
	}
	for _, volume := range c.volumesOf(v.ID) {
		o := object{"id": volume}
		if q.minor >= 3 {
			o["delete_on_termination"] = false
		}
		all = append(all, o)
	}
	return all
}

// volumesOf gives the ids of the volumes that are attached to a VM.
func (c *Cloud) volumesOf(vm string) []string {
	var all []string
	for _, volume := range c.w.Volumes {
		for _, a := range volume.Attached {
			if a.VM == vm && !a.At.After(c.now()) {
				all = append(all, volume.ID)
			}
		}
	}
	return all
}

func (c *Cloud) listAttachments(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.visible(w, r, q, false)
	if !ok {
		return
	}
	all := []object{}
	for n, volume := range c.volumesOf(v.ID) {
		o := object{"volumeId": volume, "serverId": v.ID, "device": fmt.Sprintf("/dev/vd%c", 'b'+n), "id": volume}
		if q.minor >= 70 {
			o["tag"] = nil
		}
		if q.minor >= 79 {
			o["delete_on_termination"] = false
		}
		all = append(all, o)
	}
	reply(w, http.StatusOK, object{"volumeAttachments": all})
}

// fault says why a VM got no host; an administrator is told where in Nova.
func fault(v world.View, q *call) object {
	o := object{"code": http.StatusInternalServerError, "created": v.Updated.UTC().Format("2006-01-02T15:04:05Z"), "message": "No valid host was found. "}
	if q.admin() {
		o["details"] = "Traceback (most recent call last):\n"
	}
	return o
}

// hostname is what Nova makes of a name for use inside the VM.
func hostname(name string) string {
	name = strings.ToLower(strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '_':
			return '-'
		case !strings.ContainsRune("-.", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return -1
		}
		return r
	}, name))
	return strings.Trim(name, "-.")
}

// byMicroversion adds what came with microversions, and what only an administrator sees.
func (c *Cloud) byMicroversion(o object, v world.View, q *call) {
	if q.admin() {
		var host, device any
		status := ""
		if placed(v) {
			host, device, status = "compute1", "/dev/vda", "UP"
		}
		o["OS-EXT-SRV-ATTR:host"], o["OS-EXT-SRV-ATTR:hypervisor_hostname"], o["OS-EXT-SRV-ATTR:instance_name"] = host, host, "instance-"+v.ID[:min(8, len(v.ID))]
		if q.minor >= 3 {
			o["OS-EXT-SRV-ATTR:hostname"], o["OS-EXT-SRV-ATTR:launch_index"], o["OS-EXT-SRV-ATTR:reservation_id"] = hostname(v.Name), 0, "r-"+v.ID[:min(8, len(v.ID))]
			o["OS-EXT-SRV-ATTR:kernel_id"], o["OS-EXT-SRV-ATTR:ramdisk_id"], o["OS-EXT-SRV-ATTR:root_device_name"], o["OS-EXT-SRV-ATTR:user_data"] = "", "", device, nil
		}
		if q.minor >= 16 {
			o["host_status"] = status
		}
	} else if q.minor >= 90 {
		o["OS-EXT-SRV-ATTR:hostname"] = hostname(v.Name)
	}
	for _, since := range []struct {
		minor int
		key   string
		value any
	}{{9, "locked", false}, {19, "description", nil}, {26, "tags", []string{}}, {63, "trusted_image_certificates", nil}, {73, "locked_reason", nil},
		{96, "pinned_availability_zone", nil}, {100, "scheduler_hints", object{}}} {
		if q.minor >= since.minor {
			o[since.key] = since.value
		}
	}
}

func (c *Cloud) imageOf(v world.View, q *call) any {
	if v.Image == "" {
		return ""
	}
	o := object{"id": v.Image, "links": c.bookmark("images", v.Image)}
	if q.minor >= 98 {
		properties := object{}
		if i, ok := c.w.Image(v.Image); ok {
			for key, value := range i.Properties {
				if strings.HasPrefix(key, "hw_") || key == "architecture" || key == "os_distro" || key == "os_type" { // Nova keeps what it knows
					properties[key] = value
				}
			}
		}
		o["properties"] = properties
	}
	return o
}

// flavorOf is what the VM keeps of its flavor, also of a deleted one: below 2.47 the id only.
func (c *Cloud) flavorOf(v world.View, q *call) object {
	f := v.Flavor
	if q.minor < 47 {
		return object{"id": f.ID, "links": c.bookmark("flavors", f.ID)}
	}
	return object{"vcpus": f.VCPUs, "ram": f.RAM, "disk": f.Disk, "ephemeral": f.Ephemeral, "swap": 0, "original_name": f.Name, "extra_specs": extra(f)}
}

func addresses(v world.View) object {
	if v.Deleted || v.Launched.IsZero() {
		return object{}
	}
	port := func(address, kind string) object {
		return object{"addr": address, "version": 4, "OS-EXT-IPS:type": kind, "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:00:00:01"}
	}
	ports := []object{port("10.0.0.5", "fixed")}
	for _, a := range v.Floating {
		ports = append(ports, port(a, "floating"))
	}
	return object{"private": ports}
}

// visible gives a VM that the caller may see; its cell may not answer.
func (c *Cloud) visible(w http.ResponseWriter, r *http.Request, q *call, deletedToo bool) (world.View, bool) {
	v, ok := c.w.Seen(c.now()).Server(r.PathValue("id"))
	if !ok || (v.Deleted && !deletedToo) || (v.Project != q.project && !q.admin()) {
		refuse(w, r, http.StatusNotFound, "Instance "+r.PathValue("id")+" could not be found.")
		return v, false
	}
	return v, true
}

// answering is visible for what needs the VM's cell.
func (c *Cloud) answering(w http.ResponseWriter, r *http.Request, q *call, deletedToo bool) (world.View, bool) {
	v, ok := c.visible(w, r, q, deletedToo)
	if ok && v.Partial {
		unanswered(w, r)
		return v, false
	}
	return v, ok
}

func (c *Cloud) showServer(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.visible(w, r, q, false)
	switch {
	case !ok:
	case v.Partial && q.minor < 69:
		unanswered(w, r)
	case v.Partial: // Nova's own database knows what the VM was asked for with
		o := c.partial(v, true)
		o["user_id"], o["flavor"], o["image"], o["OS-EXT-AZ:availability_zone"], o["OS-EXT-STS:power_state"] = v.User, c.flavorOf(v, q), c.imageOf(v, q), "UNKNOWN", 0
		if q.minor >= 71 {
			o["server_groups"] = []string{}
		}
		reply(w, http.StatusOK, object{"server": o})
	default:
		o := c.server(v, q)
		if q.minor >= 71 {
			o["server_groups"] = []string{}
		}
		if v.Status == "ERROR" && v.Launched.IsZero() {
			o["fault"] = fault(v, q)
		}
		reply(w, http.StatusOK, object{"server": o})
	}
}

func (c *Cloud) deleteServer(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.answering(w, r, q, false)
	if !ok {
		return
	}
	if !c.mayWrite(q) {
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:servers:delete to be performed.")
		return
	}
	c.w.Happen(v.ID, world.Event{At: c.now(), Kind: world.Delete})
	w.WriteHeader(http.StatusNoContent)
}
