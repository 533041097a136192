package world

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// An inventory is a scenario that tells what a site offers: its projects come with the states of their VMs, with flavors of
// their own and with application credentials, its images with everything that Glance says of them.

// The account of an inventory, reader on every project, and the secret of its application credentials.
const (
	InventoryUser   = "svc"
	InventoryPass   = "x"
	InventorySecret = "s"
)

// inventoryStart is when the VMs of an inventory were made.
var inventoryStart = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

type inventoryProject struct {
	ID, Domain string
	Servers    []string         // their states
	Flavors    []scenarioFlavor // which no other project has
	Refused    int              `json:"auth_status"`
	AppCred    string           // id
}

// addInventory adds what an inventory tells beside what every scenario does.
func (w *World) addInventory(s scenario, data []byte) error {
	var told struct{ Projects []inventoryProject }
	if err := json.Unmarshal(data, &told); err != nil {
		return err
	}
	user := User{ID: "u-svc", Name: InventoryUser, Password: InventoryPass, Roles: map[string][]string{}}
	inventory := false
	for i, p := range told.Projects {
		inventory = inventory || p.Servers != nil
		project := &w.Projects[i]
		project.Refused, project.Quota = p.Refused, s.Quota
		if p.Domain != "Default" {
			project.Domain = p.Domain
		}
		user.Roles[p.ID] = []string{"reader"}
		if p.AppCred != "" {
			user.Applications = append(user.Applications, Application{ID: p.AppCred, Name: p.AppCred, Secret: InventorySecret, Project: p.ID})
		}
		for _, f := range p.Flavors {
			own := f.flavor()
			own.Private, own.Access = true, []string{p.ID}
			w.Flavors = append(w.Flavors, own)
		}
	}
	if !inventory {
		return nil
	}
	w.Users = append(w.Users, user)
	w.shareInventory()
	for _, p := range told.Projects {
		for i, status := range p.Servers {
			vm, err := w.inventoryVM(p.ID, i, status)
			if err != nil {
				return err
			}
			w.Add(vm)
		}
	}
	return nil
}

// shareInventory lets every project see every image, and use every private flavor that is not one project's own: so did
// the cloud that the inventories were recorded at.
func (w *World) shareInventory() {
	ids := make([]string, len(w.Projects))
	for i, p := range w.Projects {
		ids[i] = p.ID
	}
	for i := range w.Flavors {
		if w.Flavors[i].Private && w.Flavors[i].Access == nil {
			w.Flavors[i].Access = ids
		}
	}
	for i := range w.Images {
		image := &w.Images[i]
		others := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return id == image.Owner })
		if image.Visibility != "private" || len(others) == 0 {
			continue
		}
		image.Visibility, image.Members = "shared", map[string]string{}
		for _, id := range others {
			image.Members[id] = "accepted"
		}
	}
}

// inventoryVM makes up a VM that is in a state.
func (w *World) inventoryVM(project string, n int, status string) (VM, error) {
	made := inventoryStart.Add(time.Duration(n) * time.Second)
	vm := VM{ID: fmt.Sprintf("%s-vm-%d", project, n), Name: fmt.Sprintf("vm-%d", n), Project: project, User: "u-svc", Created: made}
	flavors := slices.DeleteFunc(slices.Clone(w.Flavors), func(f Flavor) bool { return !f.For(project) })
	if len(flavors) > 0 {
		vm.Flavor = flavors[0].ID
	}
	kinds, known := becomes[status]
	switch {
	case status == "BUILD":
		return vm, nil
	case status == "VERIFY_RESIZE":
		kinds = []Kind{Resize}
	case !known:
		return VM{}, fmt.Errorf("nothing is known that makes a VM %s", status)
	}
	vm.Events = []Event{{At: made.Add(time.Minute), Kind: Launch}}
	for i, kind := range kinds {
		vm.Events = append(vm.Events, Event{At: made.Add(time.Hour + time.Duration(i)*time.Second), Kind: kind, Value: vm.Flavor})
	}
	return vm, nil
}

// imageKeys are those of an image that are no properties.
var imageKeys = []string{"id", "name", "owner", "visibility", "status", "disk_format", "container_format", "checksum", "created_at", "updated_at", "self", "file", "schema", "os_hash_algo", "os_hash_value"}

// scenarioImage reads an image; what it does not say of its sizes is unknown to Glance too.
func scenarioImage(o map[string]any) Image {
	all := texts(o)
	i := Image{ID: all["id"], Name: all["name"], Owner: all["owner"], Visibility: all["visibility"], Status: all["status"], DiskFormat: all["disk_format"]}
	if i.Visibility == "" {
		i.Visibility = "public"
	}
	number := func(key string, unknown int64) int64 {
		if n, ok := o[key].(float64); ok {
			return int64(n)
		}
		return unknown
	}
	i.Size, i.VirtualSize, i.MinDisk, i.MinRAM = number("size", 0), number("virtual_size", -1), number("min_disk", 0), number("min_ram", 0)
	i.Hidden = o["os_hidden"] == true
	tags, _ := o["tags"].([]any)
	for _, t := range tags {
		i.Tags = append(i.Tags, fmt.Sprint(t))
	}
	maps.DeleteFunc(all, func(key, _ string) bool { return slices.Contains(imageKeys, key) })
	i.Properties = all
	return i
}
