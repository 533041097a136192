package discovery

import (
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
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
	Trouble *Trouble // why its shares could not even be listed; nil = they were
	Shares  []Share
}

// Share is a VO's place at a cloud, and what it is known to be offered there.
type Share struct {
	VO                 string
	Project            string // id
	DefaultNetworkType string // of the VO in the configuration; "" = not said
	PublicNetwork      string // likewise; "" = the external network that Neutron tells
	Offer              Offer
}

// Offer is what a share is offered, each part with when it was got. It is kept in share_state as JSON.
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

// Trouble is why something could not be asked, or was not answered.
type Trouble struct {
	Stage     string    // sign-in, flavors, images, quotas, network quotas, volume quotas, networks, VMs, version, authorities, GOCDB
	Status    int       `json:",omitzero"` // of HTTP; 0 = no answer
	RequestID string    `json:",omitempty"`
	Reason    string    // one line, nothing secret
	Hint      string    `json:",omitempty"`
	Since     time.Time // when it first went wrong in a row
}

// Flavor is a flavor that a share may use.
type Flavor struct {
	ID, Name   string
	VCPUs      int64
	RAM        int64 // MiB
	Disk       int64 // GiB, root disk
	Ephemeral  int64 // GiB
	Public     bool
	ExtraSpecs map[string]string `json:",omitempty"` // nil = they are not known
}

// Image is an image that a share may use, with those of its properties that are published or chosen by.
type Image struct {
	ID, Name    string
	Own         bool              // of the share's project
	Visibility  string            // public, shared, private
	VirtualSize int64             `json:",omitzero"`  // bytes; 0 = not known
	MinDisk     int64             `json:",omitzero"`  // GiB
	MinRAM      int64             `json:",omitzero"`  // MiB
	File        string            `json:",omitempty"` // URL of its content
	Properties  map[string]string `json:",omitempty"`
}
