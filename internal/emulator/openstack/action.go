package openstack

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

func (c *Cloud) listActions(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.answering(w, r, q, q.minor >= 21)
	if !ok {
		return
	}
	all := []object{}
	for i, a := range c.w.Seen(c.now()).Actions(v.ID) {
		all = append(all, action(v, i, a, q))
	}
	slices.Reverse(all) // newest first
	body, query := object{}, r.URL.Query()
	if marker := query.Get("marker"); marker != "" && q.minor >= 58 {
		at := slices.IndexFunc(all, func(o object) bool { return o["request_id"] == marker })
		if at < 0 {
			refuse(w, r, http.StatusBadRequest, "marker ["+marker+"] not found")
			return
		}
		all = all[at+1:]
	}
	if limit := c.limit(query); q.minor >= 58 && len(all) >= limit {
		all = all[:limit]
		body["links"] = c.next(r, all[limit-1]["request_id"].(string))
	}
	body["instanceActions"] = all
	reply(w, http.StatusOK, body)
}

// action is an entry of the list. One in progress looks like a finished one: Nova tells of the end in its events only.
func action(v world.View, i int, a world.Action, q *call) object {
	o := object{"action": a.Name, "instance_uuid": v.ID, "message": nil, "project_id": v.Project, "user_id": v.User, "request_id": requestID(v.ID, i),
		"start_time": stamp(a.Start)}
	if a.Failed {
		o["message"] = "Error"
	}
	if q.minor >= 58 {
		o["updated_at"] = stamp(a.Updated)
	}
	return o
}

// requestID is that of the request that began an action.
func requestID(vm string, i int) string {
	return "req-" + uuid(fmt.Sprint(vm, i))
}

func (c *Cloud) showAction(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.answering(w, r, q, q.minor >= 21)
	if !ok {
		return
	}
	for i, a := range c.w.Seen(c.now()).Actions(v.ID) {
		o := action(v, i, a, q)
		if o["request_id"] != r.PathValue("request") {
			continue
		}
		if q.admin() || q.minor >= 51 {
			o["events"] = []object{event(a, q)}
		}
		reply(w, http.StatusOK, object{"instanceAction": o})
		return
	}
	refuse(w, r, http.StatusNotFound, "Action "+r.PathValue("request")+" not found")
}

// steps are what compute calls the last step of an action, where it is not compute_…_instance.
var steps = map[string]string{"create": "compute__do_build_and_run_instance", "delete": "compute_terminate_instance", "resize": "compute_finish_resize", "confirmResize": "compute_confirm_resize",
	"revertResize": "compute_finish_revert_resize", "shelveOffload": "compute_shelve_offload_instance", "softDelete": "compute_soft_delete_instance"}

// event is the last step of an action; it has no end while the action is in progress.
func event(a world.Action, q *call) object {
	name, ok := steps[a.Name]
	if !ok {
		name = "compute_" + a.Name + "_instance"
	}
	o := object{"event": name, "start_time": stamp(a.Start), "finish_time": nil, "result": nil}
	if a.Finished {
		o["finish_time"], o["result"] = stamp(a.Updated), "Success"
	}
	if a.Failed {
		o["result"] = "Error"
	}
	if q.admin() {
		o["traceback"] = nil
	}
	if q.minor >= 62 {
		o["hostId"] = ""
		if q.admin() {
			o["host"] = "compute1"
		}
	}
	if q.minor >= 84 && q.admin() {
		o["details"] = nil
	}
	return o
}
