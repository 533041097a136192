package images

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// Names of our marks: properties of an image in Glance. Everything that is known of an image of ours stands in them, so that
// a lost database costs nothing (images spec §6.2).
const (
	markManager     = "fedsite_managed_by"   // Settings.Instance
	markState       = "fedsite_state"        // State
	markSource      = "fedsite_source"       // name of the source
	markKind        = "fedsite_kind"         // Kind
	markList        = "fedsite_list"         // Key.List
	markImage       = "fedsite_image"        // Key.ID
	markDigest      = "fedsite_digest"       // of the source's file
	markURI         = "fedsite_uri"          // where it was
	markVersion     = "fedsite_version"      // of the image
	markListVersion = "fedsite_list_version" // of the list that was last accepted
	markListCreated = "fedsite_list_created" // its date
	markHash        = "fedsite_hash"         // SHA-512 of what was uploaded
	markConverted   = "fedsite_converted"    // "ova to qcow2"; "" = as it came
	markVirtual     = "fedsite_virtual_size" // bytes of the disk
	markStatic      = "fedsite_properties"   // names of the properties that the configuration adds
	markAlso        = "fedsite_also"         // other images of lists that are this disk: JSON, keys
	markRetired     = "fedsite_retired"      // since when it is on its way out
	markReason      = "fedsite_reason"       // why
	markFormer      = "fedsite_former"       // what it was before it was adopted: JSON
)

// State is where an image of ours is in its life.
type State string

// The states of an image of ours.
const (
	Uploading State = "uploading" // not to be used yet
	Active    State = "active"
	Retired   State = "retired" // hidden, and deleted once no VM runs from it
	Blocked   State = "blocked" // hidden and deactivated by an operator's word
)

// Marks is what the marks of an image in Glance say.
type Marks struct {
	Key
	Manager     string
	State       State
	Source      string
	Kind        Kind
	Digest      Digest
	MPURI       string
	URI         string
	Version     string
	ListVersion string
	ListCreated time.Time
	Hash        string // SHA-512, hexadecimal
	Converted   string
	Virtual     int64
	Static      []string
	Also        []Key
	Retired     time.Time
	Reason      string
	Former      *Former
}

// Former is what an adopted image was like before: it is given back so.
type Former struct {
	Manager    string            `json:"manager"`
	Core       map[string]string `json:"core,omitempty"`       // name, visibility and the like, as they were, those that were changed
	Properties map[string]string `json:"properties,omitempty"` // likewise
	Added      []string          `json:"added,omitempty"`      // properties that it had not
}

// Managers of images that are known by their marks.
const (
	Cloudkeeper = "cloudkeeper-os"
	Atrope      = "atrope"
)

// readMarks gives the marks of an image in Glance; of cloudkeeper's and atrope's what is said in their own words (images spec
// §2.2, §3.1). Manager is "" for an image that nobody manages.
func readMarks(i openstack.StoredImage) Marks {
	p := i.Properties
	switch {
	case p[markManager] != "":
		return readOurs(i)
	case p["APPLIANCE_ID"] != "" && p["APPLIANCE_IMAGE_LIST_ID"] != "":
		m := Marks{Key: Key{p["APPLIANCE_IMAGE_LIST_ID"], p["APPLIANCE_ID"]}, Manager: Cloudkeeper, Kind: List, MPURI: p["APPLIANCE_MPURI"], Version: p["APPLIANCE_VERSION"], URI: p["hv:uri"], State: Active}
		sum := p["sl:checksum:sha512"]
		if sum == "" { // up to 0.9.12 one property holds all keys of the list
			var all map[string]any
			if json.Unmarshal([]byte(p["APPLIANCE_ATTRIBUTES"]), &all) == nil {
				sum, _ = all["sl:checksum:sha512"].(string)
			}
		}
		m.Digest, _ = ParseDigest(sum)
		if p["APPLIANCE_STATUS"] == "EOL" {
			m.State = Retired
		}
		return m
	case p["appdb_id"] != "" && p["image_hash"] != "":
		m := Marks{Key: Key{ID: p["appdb_id"]}, Manager: Atrope, Kind: List, Source: p["image_list"], MPURI: p["vmcatcher_event_ad_mpuri"], State: Active}
		m.Digest, _ = ParseDigest(p["image_hash"])
		if ref, _, found := strings.Cut(m.ID, "-sha256:"); found { // HOST/PROJECT/REPOSITORY:TAG-sha256:MANIFEST
			m.Kind, m.ID = Registry, ref
		}
		return m
	}
	return Marks{}
}

func readOurs(i openstack.StoredImage) Marks {
	p := i.Properties
	m := Marks{Key: Key{p[markList], p[markImage]}, Manager: p[markManager], State: State(p[markState]), Source: p[markSource], Kind: Kind(p[markKind]), MPURI: p[propMPURI], URI: p[markURI],
		Version: p[markVersion], ListVersion: p[markListVersion], Hash: p[markHash], Converted: p[markConverted], Reason: p[markReason]}
	m.Digest, _ = ParseDigest(p[markDigest])
	m.ListCreated = readTime(p[markListCreated])
	m.Retired = readTime(p[markRetired])
	m.Virtual, _ = strconv.ParseInt(p[markVirtual], 10, 64)
	if p[markStatic] != "" {
		m.Static = strings.Split(p[markStatic], ",")
	}
	if p[markAlso] != "" {
		var also [][2]string
		_ = json.Unmarshal([]byte(p[markAlso]), &also) // what somebody spoiled is written anew
		for _, k := range also {
			m.Also = append(m.Also, Key{k[0], k[1]})
		}
	}
	if p[markFormer] != "" {
		var f Former
		if json.Unmarshal([]byte(p[markFormer]), &f) == nil {
			m.Former = &f
		}
	}
	return m
}

// names tells whether the marks are those of an image of a list under the key.
func (m Marks) names(k Key) bool {
	return m.Key == k || slices.Contains(m.Also, k)
}

// meant tells whether another manager's marks mean the entry. atrope does not say which list an image is of: its ids are
// unique, and of a registry they begin with its host.
func (m Marks) meant(e Entry) bool {
	switch m.Manager {
	case Cloudkeeper:
		return m.Key == e.Key
	case Atrope:
		return m.ID == e.ID || e.Kind == Registry && m.ID == host(e.List)+"/"+e.ID
	}
	return false
}

// host is the part of a registry's list before its project.
func host(list string) string { h, _, _ := strings.Cut(list, "/"); return h }

func writeTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func readTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

func writeAlso(all []Key) string {
	if len(all) == 0 {
		return ""
	}
	pairs := make([][2]string, len(all))
	for i, k := range all {
		pairs[i] = [2]string{k.List, k.ID}
	}
	text, _ := json.Marshal(pairs) // strings always can be
	return string(text)
}
