package openstack

import "time"

// Server is what Nova says of one VM, as far as fedsite needs it. Times are UTC; zero means Nova said null.
type Server struct {
	ID         string
	Name       string
	ProjectID  string
	UserID     string
	Status     string // Nova's word, upper case: ACTIVE, SHUTOFF, DELETED …
	Created    time.Time
	Updated    time.Time
	Launched   time.Time // OS-SRV-USG:launched_at; Nova sets it anew at rebuild, resize, rescue, unshelve
	Terminated time.Time // OS-SRV-USG:terminated_at
	Flavor     Flavor
	ImageID    string // "" = booted from a volume
	Floating   int    // addresses with OS-EXT-IPS:type floating
	Partial    bool   // an unreachable cell: only ID, ProjectID and perhaps Created are known (microversion ≥ 2.69)
}

// Flavor is the size of a VM. Below microversion 2.47 a listing gives its ID only, and Known is false.
type Flavor struct {
	ID         string // "" when Nova embeds the flavor (≥ 2.47)
	Name       string // original_name
	Known      bool
	VCPUs      int64
	RAM        int64 // MiB
	Disk       int64 // GiB, root disk
	Ephemeral  int64 // GiB
	ExtraSpecs map[string]string

	SpecsDenied bool // extra specs may not be read
}

// Action is one entry of a VM's instance actions.
type Action struct {
	RequestID string
	Name      string // create, resize, confirmResize, revertResize, stop, start, shelve, unshelve, delete …
	Start     time.Time
	Updated   time.Time // microversion ≥ 2.58; zero below
	Failed    bool      // Nova says it ended with an error
}

// Page is one page of a server listing, with the instant at which it was asked for.
type Page struct {
	Seen    time.Time // taken just before the request
	Servers []Server
	Bad     []BadServer
}

// BadServer is an entry of a listing that cannot be used. It spoils nothing but itself.
type BadServer struct {
	ID     string // "?" when it has none
	Reason string
}

// Image is what fedsite's accounting needs of an image.
type Image struct {
	ID  string
	URI string // marketplace URI of the image's property vmcatcher_event_ad_mpuri, "" when it has none
}
