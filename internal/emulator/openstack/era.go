package openstack

// Era is what the services of a release of OpenStack can do. A handler asks for a capability, never for a name; what comes
// with a microversion follows from the microversion of the request.
type Era struct {
	Name string

	NovaMinor    int    // Nova's newest microversion is 2.N
	BothHeaders  bool   // the header OpenStack-API-Version names a microversion, beside X-OpenStack-Nova-API-Version
	ProjectInURL bool   // the catalog's URL of compute ends in the project's id
	MembersWrite bool   // only a member changes VMs, and not whoever has a role in the project
	NovaV2       string // status of v2.0 in the list of versions
	ScopeChecked bool   // Nova refuses a token of the system, which it answers with an empty list otherwise
	FaultsListed bool   // a listing says why a VM got no host, and not only the VM's own page
	UsageCut     bool   // os-simple-tenant-usage tells of no more VMs than a page holds, also where no next page can be asked for

	KeystoneMinor          int // Keystone's version is v3.N
	KeystoneUpdated        string
	ApplicationCredentials bool
	SystemScope            bool
	RolesImply             bool   // an admin is a member too, a member a reader
	ManagerRole            bool   // and a manager, who stands between admin and member
	ReadsSelf              bool   // a user may read their own entry
	FederatedDomain        string // id and name of the domain that all federated users are in; "" = each identity provider has its own

	NetQuotas       bool // Nova itself limits addresses and security groups, which it leaves to Neutron later
	ChecksProjects  bool // Nova asks Keystone whether the project is there whose quota is asked for
	NeutronProjects bool // Neutron says project_id, beside tenant_id, and revision_number
	NeutronPages    bool // Neutron lists in pages, for who asks
	RouteQuota      bool // Neutron has a quota of a router's routes

	GlanceMinor    int  // Glance's newest version is v2.N
	MembersImages  bool // only a member writes a project's images, and not whoever has a role in it
	FormatsChecked bool // content that is not of the format it is said is refused
	CinderV2       bool // the catalog has volumev2, and neither volumev3 nor block-storage
	CinderMinor    int  // Cinder's newest microversion is 3.N; 0 = it has none
}

// The eras. zed and current are each compared with a real cloud by `make e2e`; mitaka was not run against one: each of its
// capabilities names its source.
var (
	// Current is 2026.2.
	Current = Era{Name: "current", NovaMinor: 104, NovaV2: "DEPRECATED", BothHeaders: true, MembersWrite: true, ScopeChecked: true, FaultsListed: true, UsageCut: true,
		KeystoneMinor: 14, KeystoneUpdated: "2020-04-07T00:00:00Z", ApplicationCredentials: true, SystemScope: true, RolesImply: true, ManagerRole: true, ReadsSelf: true,
		ChecksProjects: true, NeutronProjects: true, NeutronPages: true, RouteQuota: true, GlanceMinor: 17, MembersImages: true, FormatsChecked: true, CinderMinor: 71}

	// Zed is of 2022. Readers may change VMs and images still: Nova and Glance enforce their new defaults from 2023.1 on
	// (Nova's release notes, 27.0.0; Glance's, 26.0.0).
	Zed = Era{Name: "zed", NovaMinor: 93, NovaV2: "SUPPORTED", BothHeaders: true, UsageCut: true,
		KeystoneMinor: 14, KeystoneUpdated: "2020-04-07T00:00:00Z", ApplicationCredentials: true, SystemScope: true, RolesImply: true, ReadsSelf: true,
		ChecksProjects: true, NeutronProjects: true, NeutronPages: true, GlanceMinor: 15, CinderMinor: 70}

	// Mitaka is of 2016: Nova 13, Keystone 9, Glance 12, Cinder 8.
	Mitaka = Era{
		Name:            "mitaka",
		NovaMinor:       25,                     // Nova's "REST API Version History": 2.25 is the last one of release 13
		NovaV2:          "SUPPORTED",            // Compute API Guide for Mitaka, Versions
		ScopeChecked:    false,                  // there are no tokens of the system
		FaultsListed:    true,                   // they are in the one database that there is: Cells v2 came with Ocata (Nova's release notes, 15.0.0)
		BothHeaders:     false,                  // the same, 2.27: "support for the new form of microversion headers"
		ProjectInURL:    true,                   // Installation Guide for Mitaka, Compute: http://controller:8774/v2.1/%(tenant_id)s
		MembersWrite:    false,                  // Nova 13, etc/nova/policy.json: os_compute_api:servers:delete is rule:admin_or_owner
		UsageCut:        false,                  // Nova's version history, 2.40 (Ocata): paging of os-simple-tenant-usage; in 13 its answer has no limit
		KeystoneMinor:   6,                      // Keystone 9, version document: v3.6
		KeystoneUpdated: "2016-04-04T00:00:00Z", // the same

		ApplicationCredentials: false,       // Identity API, what's new in v3.10 (Queens): "Introduction of the Application Credentials API"
		SystemScope:            false,       // the same: "Ability to grant system role assignments and obtain system-scoped tokens"
		RolesImply:             false,       // Keystone's release notes, 13.0.0 to 14.0.0 (Rocky): bootstrap makes reader and member, and their implications
		ManagerRole:            false,       // Keystone's release notes, 24.0.0 (2023.2): bootstrap makes the role manager
		ReadsSelf:              false,       // Keystone 9, etc/policy.json: identity:get_user is rule:admin_required
		FederatedDomain:        "Federated", // Keystone 9, keystone.conf: federated_domain_name; identity providers have domains of their own since Ocata

		NetQuotas:       true,  // Configuration Reference for Mitaka, Compute: quota_floating_ips 10, quota_security_groups 10, quota_security_group_rules 20
		ChecksProjects:  false, // Nova's specs for Pike: "Validate project with Keystone"
		NeutronProjects: false, // Neutron's release notes, 9.0.0 (Newton): project_id; revision_number
		NeutronPages:    false, // Configuration Reference for Mitaka, Networking: allow_pagination is False

		GlanceMinor:    3,     // Glance 12, version document: v2.3 is CURRENT
		MembersImages:  false, // Glance 12, etc/policy.json: add_image and modify_image are "" (anybody with a token of the project)
		FormatsChecked: false, // Glance's release notes, 30.0.0 (2025.1): require_image_format_match
		CinderV2:       true,  // Installation Guide for Mitaka, Block Storage: services volume and volumev2
		CinderMinor:    0,     // Cinder's "REST API Version History": microversions are of v3 only
	}
)

// Eras are all of them, the oldest first.
func Eras() []Era { return []Era{Mitaka, Zed, Current} }

// EraNamed gives the era of a name.
func EraNamed(name string) (Era, bool) {
	for _, e := range Eras() {
		if e.Name == name {
			return e, true
		}
	}
	return Era{}, false
}

// netQuotas are those of Nova that are other than in later releases.
func (e Era) netQuotas() map[string]int64 {
	if !e.NetQuotas {
		return nil
	}
	return map[string]int64{"floating_ips": 10, "security_groups": 10, "security_group_rules": 20}
}

// What comes with a version of Keystone or Glance, as their "what's new" tell.
func (e Era) passwordExpiry() bool  { return e.KeystoneMinor >= 7 }  // v3.7: password_expires_at in a user
func (e Era) userOptions() bool     { return e.KeystoneMinor >= 8 }  // Keystone 11 (Ocata): options of users
func (e Era) projectTags() bool     { return e.KeystoneMinor >= 9 }  // v3.9: tags of projects
func (e Era) resourceOptions() bool { return e.KeystoneMinor >= 14 } // Keystone 17 (Ussuri): options of projects and domains
func (e Era) sharedImages() bool    { return e.GlanceMinor >= 5 }    // v2.5: visibility shared and community; before, such an image is private
func (e Era) hiddenImages() bool    { return e.GlanceMinor >= 7 }    // v2.7: os_hidden, os_hash_*
