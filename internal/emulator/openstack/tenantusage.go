package openstack

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// tenantUsage tells of the VMs that ran in a stretch of time, of a project or, to an administrator, of all; each with what
// its flavor gives it, also when the flavor or the VM is deleted. It has pages from 2.40 on; before, in the eras of which
// that is true, what does not fit into one is left out without a word.
func (c *Cloud) tenantUsage(w http.ResponseWriter, r *http.Request, q *call) {
	project, query := r.PathValue("project"), r.URL.Query()
	if project != q.project && !q.admin() || q.project == "" && !q.admin() {
		rule := "show"
		if project == "" {
			rule = "list"
		}
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:os-simple-tenant-usage:"+rule+" to be performed.")
		return
	}
	from, to, problem := c.stretch(query)
	if problem != "" {
		refuse(w, r, http.StatusBadRequest, problem)
		return
	}
	seen := c.w.Seen(c.now())
	if seen.AnyDown() {
		unanswered(w, r)
		return
	}
	views := seen.Ran(project, from, to)
	limit := c.opts.PageLimit
	if q.minor >= 40 {
		limit = c.limit(query)
		if marker := query.Get("marker"); marker != "" {
			at := slices.IndexFunc(views, func(v world.View) bool { return v.ID == marker })
			if at < 0 {
				refuse(w, r, http.StatusBadRequest, "marker ["+marker+"] not found")
				return
			}
			views = views[at+1:]
		}
	}
	full := len(views) >= limit && len(views) > 0
	if full && (q.minor >= 40 || c.opts.Era.UsageCut) {
		views = views[:limit]
	}
	detailed := project != "" || query.Get("detailed") == "1"
	body, key := object{}, "tenant_usage"
	if usages := c.usages(views, from, to, detailed); project == "" {
		key = "tenant_usages"
		body[key] = usages
	} else if body[key] = (object{}); len(usages) > 0 {
		body[key] = usages[0]
	}
	if full && q.minor >= 40 {
		body[key+"_links"] = c.next(r, views[len(views)-1].ID)
	}
	reply(w, http.StatusOK, body)
}

// stretch reads the query's start and end, each now when it is not said.
func (c *Cloud) stretch(query url.Values) (from, to time.Time, problem string) {
	now := c.now().UTC()
	read := func(key string) time.Time {
		text := query.Get(key)
		if text == "" {
			return now
		}
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999"} {
			if t, err := time.Parse(layout, text); err == nil {
				return t
			}
		}
		problem = "Invalid datetime string: Datetime is in invalid format"
		return now
	}
	from, to = read("start"), read("end")
	if problem == "" && !from.Before(to) {
		problem = "Invalid start time. The start time cannot occur after the end time."
	}
	if to.After(now) {
		to = now
	}
	return from, to, problem
}

// usages sums up VMs by project, in their order.
func (c *Cloud) usages(views []world.View, from, to time.Time, detailed bool) []object {
	all := []object{}
	for len(views) > 0 {
		project, n := views[0].Project, 0
		var hours, vcpus, ram, disk float64
		servers := []object{}
		for ; n < len(views) && views[n].Project == project; n++ {
			o, h := c.usage(views[n], from, to)
			servers = append(servers, o)
			f := views[n].Flavor
			hours, vcpus, ram, disk = hours+h, vcpus+h*float64(f.VCPUs), ram+h*float64(f.RAM), disk+h*float64(f.Disk+f.Ephemeral)
		}
		views = views[n:]
		o := object{"tenant_id": project, "start": stamp(from), "stop": stamp(to), "total_hours": hours, "total_vcpus_usage": vcpus, "total_memory_mb_usage": ram, "total_local_gb_usage": disk}
		if detailed {
			o["server_usages"] = servers
		}
		all = append(all, o)
	}
	return all
}

// usage is what is told of one VM, and its hours in the stretch.
func (c *Cloud) usage(v world.View, from, to time.Time) (object, float64) {
	begin, end, until := v.Launched, to, c.now()
	if begin.Before(from) {
		begin = from
	}
	state := vmState(v)
	if !v.Terminated.IsZero() {
		state, until = "terminated", v.Terminated
		if v.Terminated.Before(end) {
			end = v.Terminated
		}
	}
	hours := max(end.Sub(begin), 0).Hours()
	f := v.Flavor
	return object{"instance_id": v.ID, "name": v.Name, "tenant_id": v.Project, "flavor": f.Name, "vcpus": f.VCPUs, "memory_mb": f.RAM, "local_gb": f.Disk + f.Ephemeral,
		"hours": hours, "started_at": stamp(v.Launched), "ended_at": stamp(v.Terminated), "state": state, "uptime": int64(until.Sub(v.Launched).Seconds())}, hours
}
