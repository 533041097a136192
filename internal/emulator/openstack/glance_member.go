package openstack

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

func (c *Cloud) addMember(w http.ResponseWriter, r *http.Request, _ *token, i world.Image) {
	var body struct{ Member string }
	if json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body) != nil || body.Member == "" {
		refuse(w, r, http.StatusBadRequest, "Member to be added not specified")
		return
	}
	most := c.imageService().Members
	switch {
	case i.Visibility != "shared":
		refuse(w, r, http.StatusForbidden, "Only shared images have members.")
	case i.Members[body.Member] != "":
		refuse(w, r, http.StatusConflict, "Member "+body.Member+" is duplicated for image "+i.ID)
	case len(i.Members) >= most:
		refuse(w, r, http.StatusRequestEntityTooLarge, fmt.Sprintf("The limit has been exceeded on the number of allowed image members for this image. Attempted: %d, Maximum: %d", len(i.Members)+1, most))
	default:
		i, _ = c.w.ChangeImage(i.ID, func(i *world.Image) bool {
			i.Members = maps.Clone(i.Members)
			if i.Members == nil {
				i.Members = map[string]string{}
			}
			i.Members[body.Member] = "pending"
			return true
		})
		reply(w, http.StatusOK, member(i, body.Member))
	}
}

func (c *Cloud) removeMember(w http.ResponseWriter, r *http.Request, _ *token, i world.Image) {
	project := r.PathValue("project")
	if i.Members[project] == "" {
		refuse(w, r, http.StatusNotFound, project+" not found in the member list of the image "+i.ID+".")
		return
	}
	c.w.ChangeImage(i.ID, func(i *world.Image) bool {
		i.Members = maps.Clone(i.Members)
		delete(i.Members, project)
		return true
	})
	w.WriteHeader(http.StatusNoContent)
}

// acceptImage lets a project that an image is offered to say whether it wants it.
func (c *Cloud) acceptImage(w http.ResponseWriter, r *http.Request, t *token) {
	var body struct{ Status string }
	project := r.PathValue("project")
	i, ok := c.w.Image(r.PathValue("id"))
	switch {
	case !ok || !sees(t, i) && t.project != project || i.Members[project] == "":
		refuse(w, r, http.StatusNotFound, "No image found with ID "+r.PathValue("id"))
	case t.project != project && !t.admin():
		refuse(w, r, http.StatusForbidden, "You are not authorized to complete this action.")
	case json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&body) != nil || !slices.Contains([]string{"pending", "accepted", "rejected"}, body.Status):
		refuse(w, r, http.StatusBadRequest, "Status not specified")
	default:
		i, _ = c.w.ChangeImage(i.ID, func(i *world.Image) bool {
			i.Members = maps.Clone(i.Members)
			i.Members[project] = body.Status
			return true
		})
		reply(w, http.StatusOK, member(i, project))
	}
}
