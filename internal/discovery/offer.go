package discovery

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/site"
)

// Catalog is what is known of one Keystone URL of a site, all its regions: what one document is made of.
type Catalog struct {
	Site           string // its name in GOCDB at this time
	EP             string // Keystone's URL exactly as the site has it
	Authentication string
	Authorities    Known[openstack.Authorities]
	Registration   Known[Registration]
	Regions        []Region // in file order
	Made           time.Time
}

// Registration is how the endpoint stands in GOCDB.
type Registration struct {
	Key  string // primary key, "16001G0"; "" = it is not registered
	Site string
}

// Region is one cloud of a catalog.
type Region struct {
	Cloud   string // id in the store
	Name    string // of the cloud in the configuration
	Region  string // "" = the only one
	Version Known[string]
	Mode    site.Mode // the lower of site and cloud: observe or active
	Trouble *Trouble  // why its shares could not even be listed; nil = they were
	Shares  []Share
}

// Share is a VO's place at a cloud, and what it is known to be offered there.
type Share struct {
	VO                 string
	Project            string    // id
	Mode               site.Mode // the lowest of site, cloud and VO: observe or active
	DefaultNetworkType string    // of the VO in the configuration; "" = not said
	PublicNetwork      string    // likewise; "" = the external network that Neutron tells
	Offer              Offer
}

// Offer is what a share is offered, each part with when it was got. It is kept in share_state as JSON. Shares of one project
// have one offer between them: it is not to be changed. A part that is known (At) and nil is one that the cloud does not
// tell: it does not have the service, or the role may not read it.
type Offer struct {
	Scope         Known[openstack.Scope]
	Flavors       Known[[]Flavor]
	Images        Known[[]Image]
	Networks      Known[[]openstack.Network]
	Quotas        Known[map[string]int64] // Nova's words; -1 = without limit
	NetworkQuotas Known[map[string]int64]
	VolumeQuotas  Known[map[string]int64]
	VMs           Known[openstack.VMCounts]
}

// Known is a value with its age.
type Known[T any] struct {
	Value   T
	At      time.Time `json:",omitzero"`  // when it was got; zero = it is not known
	Trouble *Trouble  `json:",omitempty"` // why there is none, or none newer; nil = it is of the newest run
}

// Flavor is a flavor that a share may use.
type Flavor struct {
	ID, Name   string
	VCPUs      int64
	RAM        int64 // MiB
	Disk       int64 // GiB, root disk
	Ephemeral  int64 // GiB
	Public     bool
	ExtraSpecs map[string]string // nil = they are not known
}

// Image is an image that a share may use, with those of its properties that are published or chosen by.
type Image struct {
	ID, Name    string
	Own         bool              // of the share's project
	Visibility  string            // public, shared, private
	Size        int64             `json:",omitzero"`  // bytes of its content; 0 = not known
	VirtualSize int64             `json:",omitzero"`  // bytes of the disk that it is; 0 = not known
	MinDisk     int64             `json:",omitzero"`  // GiB
	MinRAM      int64             `json:",omitzero"`  // MiB
	File        string            `json:",omitempty"` // URL of its content
	Properties  map[string]string `json:",omitempty"`
}

// IsKnown tells whether the part is known, newly or from a former run.
func (k Known[T]) IsKnown() bool { return !k.At.IsZero() }

// IsKnown tells whether anything is known of what the share is offered, beside its project's name.
func (o Offer) IsKnown() bool {
	return o.Flavors.Value != nil || o.Images.Value != nil || o.Networks.Value != nil || o.VMs.IsKnown() ||
		o.Quotas.Value != nil || o.NetworkQuotas.Value != nil || o.VolumeQuotas.Value != nil
}

// Troubles gives what went wrong, the same trouble of several parts once, in the order of the parts.
func (o Offer) Troubles() []Trouble {
	var all []Trouble
	for _, t := range []*Trouble{o.Scope.Trouble, o.Flavors.Trouble, o.Images.Trouble, o.Networks.Trouble, o.Quotas.Trouble, o.NetworkQuotas.Trouble, o.VolumeQuotas.Trouble, o.VMs.Trouble} {
		if t != nil && !slices.ContainsFunc(all, func(o Trouble) bool { return o.Stage == t.Stage && o.Reason == t.Reason }) {
			all = append(all, *t)
		}
	}
	return all
}

// flavorOf keeps what is published of a flavor.
func flavorOf(f openstack.ListedFlavor) Flavor {
	return Flavor{ID: f.ID, Name: f.Name, VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral, Public: f.Public, ExtraSpecs: f.ExtraSpecs}
}

// keptProperties are the properties of images that are published or chosen by, and keptPrefixes what others begin with.
var (
	keptProperties = []string{"APPLIANCE_ATTRIBUTES", "marketplace", "appdb_id", "os_distro", "os_version", "os_type", "os_admin_user", "architecture", "hw_architecture", "image_type", "image_version", "block_device_mapping", "base_image_ref",
		"gpu_driver", "gpu_cuda", "gpu_cudnn"}
	keptPrefixes = []string{"vmcatcher_event_", "CLOUDKEEPER_", "ad:", "eu.egi.cloud."}
)

func isKept(property string) bool {
	return slices.Contains(keptProperties, property) || slices.ContainsFunc(keptPrefixes, func(p string) bool { return strings.HasPrefix(property, p) })
}

// imageOf keeps what is published of an image that a project can use; endpoint is Glance's, "" when the catalog has none.
func imageOf(i openstack.ListedImage, project, endpoint string) Image {
	image := Image{ID: i.ID, Name: i.Name, Own: i.Owner == project, Visibility: i.Visibility, Size: i.Size, VirtualSize: i.VirtualSize, MinDisk: i.MinDisk, MinRAM: i.MinRAM}
	if !image.Own && image.Visibility == "private" { // before Ocata; nobody is shown another's private image
		image.Visibility = "shared"
	}
	if endpoint != "" && i.File != "" {
		image.File = strings.TrimSuffix(strings.TrimRight(endpoint, "/"), "/v2") + "/" + strings.TrimLeft(i.File, "/")
	}
	for key, value := range i.Properties {
		if isKept(key) {
			if image.Properties == nil {
				image.Properties = map[string]string{}
			}
			image.Properties[key] = value
		}
	}
	return image
}

// glance gives the public URL of Glance in a region, "" when the catalog has none.
func glance(catalog []openstack.Endpoint, region string) string {
	for _, e := range catalog {
		if e.Service == "image" && e.Interface == "public" && (region == "" || e.Region == region) {
			return e.URL
		}
	}
	return ""
}

// shown is what projects of a cloud were shown: most are shown the same flavors and images, whose texts are held once.
type shown struct {
	mu      sync.Mutex
	flavors map[string]Flavor
	images  map[string]Image
}

// sameFlavor gives the flavor, with what another one of the same holds already.
func (c *taker) sameFlavor(f Flavor) Flavor {
	c.once.mu.Lock()
	defer c.once.mu.Unlock()
	if o, ok := c.once.flavors[f.ID]; ok && o.Name == f.Name && (o.ExtraSpecs == nil) == (f.ExtraSpecs == nil) && maps.Equal(o.ExtraSpecs, f.ExtraSpecs) {
		f.ID, f.Name, f.ExtraSpecs = o.ID, o.Name, o.ExtraSpecs
		return f
	}
	if c.once.flavors == nil {
		c.once.flavors = map[string]Flavor{}
	}
	c.once.flavors[f.ID] = f
	return f
}

// sameImage gives the image, with what another one of the same holds already.
func (c *taker) sameImage(i Image) Image {
	c.once.mu.Lock()
	defer c.once.mu.Unlock()
	if o, ok := c.once.images[i.ID]; ok && o.Name == i.Name && o.File == i.File && maps.Equal(o.Properties, i.Properties) {
		i.ID, i.Name, i.File, i.Properties = o.ID, o.Name, o.File, o.Properties
		return i
	}
	if c.once.images == nil {
		c.once.images = map[string]Image{}
	}
	c.once.images[i.ID] = i
	return i
}
