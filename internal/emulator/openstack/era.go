package openstack

// Era is what a release of OpenStack can do.
type Era struct {
	Name                   string
	NovaMinor              int  // newest microversion 2.N
	ApplicationCredentials bool // Keystone has them (Queens)
	SystemScope            bool // Keystone has it (Queens)
	CinderV2               bool // the catalog has volumev2
}

// The eras. Microversion and capabilities as released: Nova 2.96 (Epoxy and later), 2.93 (Zed), 2.25 (Mitaka).
var (
	Current = Era{Name: "current", NovaMinor: 96, ApplicationCredentials: true, SystemScope: true}
	Zed     = Era{Name: "zed", NovaMinor: 93, ApplicationCredentials: true, SystemScope: true}
	Mitaka  = Era{Name: "mitaka", NovaMinor: 25, CinderV2: true}
)
