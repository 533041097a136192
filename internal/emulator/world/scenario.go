package world

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario is a cloud written down at its end: what its services say of each object then.
type scenario struct {
	Projects    []map[string]any
	Quota       map[string]int64  // of Nova, of each project
	Users       map[string]string // name by id
	Flavors     []scenarioFlavor
	Images      []map[string]any
	Servers     []scenarioServer
	Volumes     []scenarioVolume
	FloatingIPs []struct {
		ID      string
		Address string    `json:"floating_ip_address"`
		Project string    `json:"project_id"`
		Created novaStamp `json:"created_at"`
	}
}

type scenarioFlavor struct {
	ID, Name        string
	VCPUs           int64
	RAM, Disk       int64
	OtherDisk       int64             `json:"OS-FLV-EXT-DATA:ephemeral"`
	Ephemeral       int64             // the same, in an inventory
	ExtraProperties map[string]string `json:"extra"`
	ExtraSpecs      map[string]string `json:"extra_specs"` // the same, in an inventory
	Public          *bool             `json:"is_public"`
}

func (f scenarioFlavor) flavor() Flavor {
	extra := f.ExtraProperties
	if extra == nil {
		extra = f.ExtraSpecs
	}
	return Flavor{ID: f.ID, Name: f.Name, VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: max(f.OtherDisk, f.Ephemeral), Extra: extra, Private: f.Public != nil && !*f.Public}
}

type scenarioServer struct {
	ID, Name   string
	Project    string `json:"tenant_id"`
	User       string `json:"user_id"`
	Status     string
	Flavor     string
	Gone       *scenarioFlavor `json:"flavor_data"` // the flavor's values, when it was deleted
	Image      string
	Created    novaStamp
	Updated    novaStamp
	Launched   novaStamp `json:"launched_at"`
	Terminated novaStamp `json:"terminated_at"`
	Addresses  map[string][]struct {
		Address string `json:"addr"`
		Type    string `json:"OS-EXT-IPS:type"`
	}
}

type scenarioVolume struct {
	ID, Name, Status string
	Size             int64
	User             string    `json:"user_id"`
	Project          string    `json:"os-vol-tenant-attr:tenant_id"`
	Created          novaStamp `json:"created_at"`
	Attachments      []struct {
		VM string    `json:"server_id"`
		At novaStamp `json:"attached_at"`
	}
}

// novaStamp is a time in UTC, with or without fractions and Z; zero for null.
type novaStamp struct{ time.Time }

// UnmarshalJSON reads one.
func (s *novaStamp) UnmarshalJSON(data []byte) error {
	var text *string
	if err := json.Unmarshal(data, &text); err != nil || text == nil {
		return err
	}
	t, err := time.Parse("2006-01-02T15:04:05", strings.TrimSuffix(*text, "Z"))
	s.Time = t
	return err
}

// LoadScenario makes the world of a scenario.json, whose every VM ends as the scenario says. What it does not tell, how
// a VM came there, is made up: a minute at the utmost between things that need an order.
func LoadScenario(data []byte) (*World, error) {
	var s scenario
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	w := &World{Region: "RegionOne"}
	for _, p := range s.Projects {
		w.Projects = append(w.Projects, scenarioProject(p))
	}
	for id, name := range s.Users {
		w.Users = append(w.Users, User{ID: id, Name: name})
	}
	slices.SortFunc(w.Users, func(a, b User) int { return cmp.Compare(a.ID, b.ID) })
	for _, f := range s.Flavors {
		w.Flavors = append(w.Flavors, f.flavor())
	}
	for _, i := range s.Images {
		w.Images = append(w.Images, scenarioImage(i))
	}
	for _, v := range s.Volumes {
		volume := Volume{ID: v.ID, Name: v.Name, Project: v.Project, User: v.User, Status: v.Status, Size: v.Size, Created: v.Created.Time}
		for _, a := range v.Attachments {
			volume.Attached = append(volume.Attached, Attachment{VM: a.VM, At: a.At.Time})
		}
		w.Volumes = append(w.Volumes, volume)
	}
	for _, f := range s.FloatingIPs {
		w.Floating = append(w.Floating, FloatingIP{ID: f.ID, Address: f.Address, Project: f.Project, Created: f.Created.Time})
	}
	for _, v := range s.Servers {
		if _, known := w.Flavor(v.Flavor); !known && v.Gone != nil {
			gone := v.Gone.flavor()
			gone.ID, gone.Deleted = v.Flavor, true
			w.Flavors = append(w.Flavors, gone)
		}
		vm, err := v.vm()
		if err != nil {
			return nil, fmt.Errorf("scenario: VM %s: %w", v.ID, err)
		}
		w.Add(vm)
	}
	if err := w.addInventory(s, data); err != nil {
		return nil, fmt.Errorf("scenario: %w", err)
	}
	return w, nil
}

func scenarioProject(o map[string]any) Project {
	p := Project{Properties: texts(o, "id", "name", "domain", "domain_id", "description", "parent_id", "appcred"), Disabled: o["enabled"] == false}
	p.ID, _ = o["id"].(string)
	p.Name, _ = o["name"].(string)
	tags, _ := o["tags"].([]any)
	for _, t := range tags {
		p.Tags = append(p.Tags, fmt.Sprint(t))
	}
	return p
}

// texts gives the values that are text, but for some keys.
func texts(o map[string]any, but ...string) map[string]string {
	m := map[string]string{}
	for k, v := range o {
		if text, ok := v.(string); ok && !slices.Contains(but, k) {
			m[k] = text
		}
	}
	return m
}

// becomes says which event leads to a status, of a VM that runs.
var becomes = map[string][]Kind{
	"ACTIVE": {Reproject}, "SHUTOFF": {Stop}, "PAUSED": {Pause}, "SUSPENDED": {Suspend}, "SHELVED": {Shelve}, "SHELVED_OFFLOADED": {Shelve, Offload},
	"RESCUE": {Rescue}, "SOFT_DELETED": {Soft}, "ERROR": {Fail},
}

// redated is how long after its creation a launch can't be the first one.
const redated = time.Hour

// vm makes up a life that ends as the scenario says.
func (s scenarioServer) vm() (VM, error) {
	vm := VM{ID: s.ID, Project: s.Project, User: s.User, Name: s.Name, Flavor: s.Flavor, Image: s.Image, Created: s.Created.Time}
	happened := func(at time.Time, kind Kind, value string) {
		vm.Events = append(vm.Events, Event{At: at, Kind: kind, Value: value})
	}
	updated := s.Updated.Time
	switch {
	case s.Created.IsZero() || updated.IsZero():
		return VM{}, fmt.Errorf("it has no created or no updated")
	case s.Launched.IsZero():
		switch {
		case s.Status == "ERROR":
			happened(updated, Fail, "")
		case s.Status == "BUILD":
			happened(updated, Reproject, "")
		default:
			return VM{}, fmt.Errorf("it is %s without having been launched", s.Status)
		}
		return vm, nil
	case s.Launched.Sub(s.Created.Time) > redated:
		happened(s.Created.Add(time.Minute), Launch, "")
		happened(s.Launched.Time, Rebuild, "")
	default:
		happened(s.Launched.Time, Launch, "")
	}
	for _, network := range s.Addresses {
		for _, a := range network {
			if a.Type == "floating" {
				happened(updated, Float, a.Address)
			}
		}
	}
	switch kinds := becomes[s.Status]; {
	case s.Status == "DELETED" && s.Terminated.IsZero():
		happened(updated, Delete, Undated)
	case s.Status == "DELETED":
		happened(s.Terminated.Time, Delete, "")
		if updated.After(s.Terminated.Time) {
			happened(updated, Reproject, "")
		}
	case !s.Terminated.IsZero() && s.Status == "ERROR":
		happened(updated, Fail, "")
		happened(s.Terminated.Time, Half, "")
	case kinds == nil || !s.Terminated.IsZero():
		return VM{}, fmt.Errorf("nothing is known that makes a VM %s with these times", s.Status)
	default:
		for _, kind := range kinds {
			happened(updated, kind, "")
		}
	}
	return vm, nil
}
