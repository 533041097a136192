package openstack

import (
	"encoding/json"
	"fmt"
	"time"
)

// novaTime reads the forms in which Nova writes UTC times: with Z, without a zone, with fractions, and null.
type novaTime struct{ time.Time }

// UnmarshalJSON reads one of them.
func (t *novaTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" || string(data) == `""` {
		return nil
	}
	if len(data) < 2 || data[0] != '"' {
		return fmt.Errorf("%.40s is no time", data)
	}
	text := string(data[1 : len(data)-1])
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
		if v, err := time.Parse(layout, text); err == nil {
			t.Time = v.UTC()
			return nil
		}
	}
	return fmt.Errorf("%.40q is no time", text)
}

type wireServer struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	TenantID   string   `json:"tenant_id"`
	UserID     string   `json:"user_id"`
	Status     string   `json:"status"`
	Created    novaTime `json:"created"`
	Updated    novaTime `json:"updated"`
	Launched   novaTime `json:"OS-SRV-USG:launched_at"`
	Terminated novaTime `json:"OS-SRV-USG:terminated_at"`
	Flavor     struct {
		ID         string            `json:"id"`
		VCPUs      *int64            `json:"vcpus"`
		RAM        int64             `json:"ram"`
		Disk       int64             `json:"disk"`
		Ephemeral  int64             `json:"ephemeral"`
		Name       string            `json:"original_name"`
		ExtraSpecs map[string]string `json:"extra_specs"`
	} `json:"flavor"`
	Image     json.RawMessage `json:"image"` // an object, or "" when booted from a volume
	Addresses map[string][]struct {
		Type string `json:"OS-EXT-IPS:type"`
	} `json:"addresses"`
}

// decodeServer reads one server. That of an unreachable cell has only a few keys, no time of a change among them: it is
// Partial. By its id it comes with user, flavor and image, in a listing without them.
func decodeServer(raw json.RawMessage) (Server, error) {
	var w wireServer
	if err := json.Unmarshal(raw, &w); err != nil {
		return Server{}, fmt.Errorf("unusable entry of the listing: %w", err)
	}
	if w.ID == "" {
		return Server{}, fmt.Errorf("an entry of the listing has no id")
	}
	if w.TenantID == "" {
		return Server{}, fmt.Errorf("the entry of the listing does not say of which project it is")
	}
	s := Server{ID: w.ID, Name: w.Name, ProjectID: w.TenantID, UserID: w.UserID, Status: w.Status,
		Created: w.Created.Time, Updated: w.Updated.Time, Launched: w.Launched.Time, Terminated: w.Terminated.Time}
	if w.Status == "UNKNOWN" && w.Updated.IsZero() {
		s.Partial = true
		return s, nil
	}
	f := w.Flavor
	s.Flavor = Flavor{ID: f.ID, Name: f.Name, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral, ExtraSpecs: f.ExtraSpecs}
	if f.VCPUs != nil {
		s.Flavor.Known, s.Flavor.VCPUs = true, *f.VCPUs
	}
	var image struct {
		ID string `json:"id"`
	}
	if len(w.Image) > 0 && w.Image[0] == '{' {
		if err := json.Unmarshal(w.Image, &image); err != nil {
			return Server{}, fmt.Errorf("image: %w", err)
		}
	}
	s.ImageID = image.ID
	for _, network := range w.Addresses {
		for _, a := range network {
			if a.Type == "floating" {
				s.Floating++
			}
		}
	}
	return s, nil
}

func idOf(raw json.RawMessage) string {
	var w struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(raw, &w)
	return w.ID
}
