package openstack

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// writes serves what a visitor of the emulated cloud may want to change, to see what becomes of it: a project's
// properties, and the state of a VM. Each write becomes an event of the world.
func (c *Cloud) writes() {
	c.mux.HandleFunc("GET /identity/v3/users/{id}/projects", c.authed(func(w http.ResponseWriter, r *http.Request, t *token) {
		u, ok := c.w.User(r.PathValue("id"))
		if !ok || (u.ID != t.user.ID && !t.readsAll()) {
			refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:list_user_projects.")
			return
		}
		all := []object{}
		for _, p := range c.w.ProjectsAt(c.now()) {
			if len(u.Roles[p.ID]) > 0 {
				all = append(all, c.project(p))
			}
		}
		reply(w, http.StatusOK, object{"projects": all, "links": c.whole(r)})
	}))
	c.mux.HandleFunc("PATCH /identity/v3/projects/{id}", c.authed(c.changeProject))
	c.compute("POST /servers/{id}/action", c.act)
}

func (c *Cloud) changeProject(w http.ResponseWriter, r *http.Request, t *token) {
	id := r.PathValue("id")
	if _, ok := c.w.ProjectAt(id, c.now()); !ok || !t.admin() {
		refuse(w, r, http.StatusForbidden, "You are not authorized to perform the requested action: identity:update_project.")
		return
	}
	var body struct{ Project map[string]any }
	if json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body) != nil {
		refuse(w, r, http.StatusBadRequest, "Expecting to find project in request body.")
		return
	}
	for key, value := range body.Project {
		if text, ok := value.(string); ok && !slices.Contains([]string{"id", "name", "domain_id", "description", "parent_id"}, key) {
			c.w.SetProperty(id, key, text)
		}
	}
	p, _ := c.w.Project(id)
	reply(w, http.StatusOK, object{"project": c.project(p)})
}

// actions are the ones that can be asked of a VM: what happens, in which states it may, and what of the request it takes.
var actions = map[string]struct {
	kind   world.Kind
	in     []string
	wanted string
}{
	"os-stop":       {world.Stop, []string{"ACTIVE", "ERROR"}, ""},
	"os-start":      {world.Start, []string{"SHUTOFF"}, ""},
	"pause":         {world.Pause, []string{"ACTIVE"}, ""},
	"unpause":       {world.Unpause, []string{"PAUSED"}, ""},
	"suspend":       {world.Suspend, []string{"ACTIVE"}, ""},
	"resume":        {world.Resume, []string{"SUSPENDED"}, ""},
	"shelve":        {world.Shelve, []string{"ACTIVE", "SHUTOFF", "PAUSED", "SUSPENDED"}, ""},
	"shelveOffload": {world.Offload, []string{"SHELVED"}, ""},
	"unshelve":      {world.Unshelve, []string{"SHELVED", "SHELVED_OFFLOADED"}, ""},
	"resize":        {world.Resize, []string{"ACTIVE", "SHUTOFF"}, "flavorRef"},
	"confirmResize": {world.Confirm, []string{"VERIFY_RESIZE"}, ""},
	"revertResize":  {world.Revert, []string{"VERIFY_RESIZE"}, ""},
	"rebuild":       {world.Rebuild, []string{"ACTIVE", "SHUTOFF", "ERROR"}, "imageRef"},
}

// act does something to a VM, at once.
func (c *Cloud) act(w http.ResponseWriter, r *http.Request, q *call) {
	v, ok := c.answering(w, r, q, false)
	if !ok {
		return
	}
	if !c.mayWrite(q) {
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow this action to be performed.")
		return
	}
	var body map[string]json.RawMessage
	if json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body) != nil || len(body) != 1 {
		refuse(w, r, http.StatusBadRequest, "Malformed request body")
		return
	}
	for name, raw := range body {
		a, known := actions[name]
		if !known {
			refuse(w, r, http.StatusBadRequest, "There is no such action: "+name)
			return
		}
		if !slices.Contains(a.in, v.Status) {
			refuse(w, r, http.StatusConflict, "Cannot '"+name+"' instance "+v.ID+" while it is in vm_state "+v.Status)
			return
		}
		var wanted map[string]any
		_ = json.Unmarshal(raw, &wanted) // null for most actions
		value, _ := wanted[a.wanted].(string)
		if f, there := c.w.Flavor(value); name == "resize" && (!there || f.Gone(c.now())) {
			refuse(w, r, http.StatusNotFound, "Flavor "+value+" could not be found.")
			return
		}
		c.w.Happen(v.ID, world.Event{At: c.now().UTC(), Kind: a.kind, Value: value})
	}
	w.WriteHeader(http.StatusAccepted)
}
