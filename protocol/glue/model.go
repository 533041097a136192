package glue

import "time"

// Document is what one cloud publishes. Every object stands alone and names others by their ids, as in the JSON; a nil
// pointer, an empty text and an empty list are "undefined".
//
// An image or instance type may stand once for each share, as today's tool has it, or once for all its shares (Merged).
// Several regions are several endpoints, each with a manager and shares of its own.
type Document struct {
	Services            []Service
	Managers            []Manager
	Endpoints           []Endpoint
	Images              []Image
	InstanceTypes       []InstanceType
	VirtualAccelerators []VirtualAccelerator
	Shares              []Share
	MappingPolicies     []MappingPolicy
	AccessPolicies      []AccessPolicy
}

// Entity is what every object has.
type Entity struct {
	ID           string
	Validity     time.Duration // whole seconds, counted from CreationTime
	CreationTime time.Time     // when the cloud was asked; written in UTC
	Name         string
	OtherInfo    Info
}

// Service is a cloud as a whole: CloudComputingService.
type Service struct {
	Entity
	AdminDomains []string // the site's name in GOCDB
	Type         string
	QualityLevel QualityLevel
	StatusInfo   string
	AUP          string
	Complexity   string // "endpointType=1,share=2"
	Capability   []string
	VMs          VMs // of all shares, each project once
}

// VMs counts virtual machines by state. Total holds the others and whatever is in none of these states.
type VMs struct {
	Total, Running, Pending, Suspended, Halted *int64
}

// Manager is the software that runs the VMs: CloudComputingManager.
type Manager struct {
	Entity
	Services                   []string
	ProductName                string
	ProductVersion             string
	HypervisorName             string
	HypervisorVersion          string
	TotalCPUs                  *int64 // physical
	TotalRAM                   *int64 // MiB
	InstanceMaxCPU             *int64
	InstanceMinCPU             *int64
	InstanceMaxRAM             *int64 // MiB
	InstanceMinRAM             *int64 // MiB
	NetworkVirtualizationTypes []string
	CPUVirtualizationTypes     []string
	VirtualDiskFormats         []string
	Failover                   ExtendedBoolean
	LiveMigration              ExtendedBoolean
	VMBackupRestore            ExtendedBoolean
}

// Endpoint is where the cloud is spoken to: CloudComputingEndpoint.
type Endpoint struct {
	Entity
	Services              []string
	Capability            []string
	QualityLevel          QualityLevel
	InterfaceName         string
	InterfaceVersion      string
	HealthState           HealthState
	HealthStateInfo       string
	ServingState          ServingState
	Technology            string
	Implementor           string
	ImplementationName    string
	ImplementationVersion string
	DowntimeInfo          string
	Semantics             string
	Authentication        string
	IssuerCA              string   // of the server's certificate, "/C=NL/O=…/CN=…"
	TrustedCAs            []string // for clients' certificates, likewise
	URL                   string   // of Keystone, exactly as the site has it
}

// Share is a VO's place at the cloud: Share, in LDAP CloudComputingShare.
type Share struct {
	Entity
	Services           []string
	Endpoints          []string
	InstanceMaxCPU     *int64
	InstanceMaxRAM     *int64 // MiB
	SLA                string
	VMs                VMs
	MaxVM              *int64
	NetworkInfo        []string
	DefaultNetworkType string
	PublicNetworkName  string
	ProjectID          string
}

// Image is an image that VMs of a share start from: CloudComputingImage.
type Image struct {
	Entity
	Shares         []string
	Endpoints      []string
	Managers       []string
	MarketplaceURL string
	OSPlatform     string
	OSFamily       string
	OSName         string
	OSVersion      string
	Version        string
	Description    string
	AccessInfo     AccessInfo
	DiskSize       *int64 // GB that an instance's disk needs at least
	MinCPU         *int64
	MinRAM         *int64 // MiB
	Network        []NetworkConfiguration
}

// NetworkConfiguration is traffic that an image needs: CloudComputingImageNetworkConfiguration. Only LDAP has it; in the
// JSON it is in the image's OtherInfo.
type NetworkConfiguration struct {
	Direction    string // inbound, outbound
	Protocol     string // all, tcp, udp, icmp, ipsec
	Port         string // "80", "80,443", "25000:25009"
	AddressRange string // CIDR
}

// InstanceType is a size of VM that a share may start: CloudComputingInstanceType.
type InstanceType struct {
	Entity
	Shares              []string
	Endpoints           []string
	Managers            []string
	VirtualAccelerators []string
	Platform            string
	CPU                 *int64
	RAM                 *int64 // MiB
	Disk                *int64 // GB
	EphemeralStorage    *int64 // GB
	NetworkIn           ExtendedBoolean
	NetworkOut          ExtendedBoolean
	NetworkInfo         []string
}

// VirtualAccelerator is a GPU or the like that comes with an instance type: CloudComputingVirtualAccelerator. Shares may
// say where it belongs when two regions use one id for different things.
type VirtualAccelerator struct {
	Entity
	InstanceTypes      []string
	Shares             []string
	Type               string
	Number             *float64 // a part of one, 0.5, where a device is shared
	Vendor             string
	Model              string
	Version            string
	ClockSpeed         *int64 // MHz
	Memory             *int64 // MiB
	ComputeCapability  []string
	VirtualizationType string
}

// MappingPolicy says which VO a share is for.
type MappingPolicy struct {
	Entity
	Shares      []string
	UserDomains []string // the VO's name
	Rule        []string // "VO:ops"
	Scheme      string
}

// AccessPolicy says which VOs an endpoint is for.
type AccessPolicy struct {
	Entity
	Endpoints []string
	Rule      []string // "VO:ops"
	Scheme    string
}

// QualityLevel says how far a service or endpoint can be relied upon.
type QualityLevel string

// ServingState says whether an endpoint takes requests.
type ServingState string

// HealthState says how an endpoint is.
type HealthState string

// AccessInfo says how one gets into a VM of an image.
type AccessInfo string

// ExtendedBoolean is true, false or undefined; "" says nothing at all.
type ExtendedBoolean string

// The words that matter; the whole lists are in Validate.
const (
	Production = "production" // a QualityLevel and a ServingState

	HealthOK       HealthState = "ok"
	HealthWarning  HealthState = "warning"
	HealthCritical HealthState = "critical"
	HealthUnknown  HealthState = "unknown"
	HealthDowntime HealthState = "downtime"

	AccessNone AccessInfo = "none"

	True      ExtendedBoolean = "true"
	False     ExtendedBoolean = "false"
	Undefined ExtendedBoolean = "undefined"
)
