package glue

import (
	"crypto/md5"
	"encoding/hex"
	"strings"
)

// Ids, as cloud-info-provider 1.2.0 makes them. ep is Keystone's URL exactly as the site has it, a slash at its end too:
// the information API, accounting and users find objects by these.

// ServiceID is the id of a cloud.
func ServiceID(ep string) string { return ep + "_cloud.compute" }

// ManagerID is the id of the manager of a region; region "" is the only or first one.
func ManagerID(ep, region string) string { return inRegion(ServiceID(ep)+"_manager", region) }

// EndpointID is the id of the endpoint of a region; region "" is the only or first one.
func EndpointID(ep, region string) string { return inRegion(ep+"_OpenStack_v3", region) }

func inRegion(id, region string) string {
	if region == "" {
		return id
	}
	return id + "_" + region
}

// ShareID is the id of a VO's share of an endpoint.
func ShareID(endpoint, vo, project string) string { return endpoint + "_share_" + vo + "_" + project }

// MappingPolicyID is the id of a share's policy.
func MappingPolicyID(share string) string { return share + "_Policy" }

// AccessPolicyID is the id of an endpoint's policy.
func AccessPolicyID(endpoint string) string { return endpoint + "_policy" }

// VirtualAcceleratorID is the id of what comes with an instance type.
func VirtualAcceleratorID(instanceType string) string { return instanceType + "_gpu" }

// ObjectName is the name of a cloud's document in a container or directory, as the federation's publishers name it.
func ObjectName(site, ep string) string {
	sum := md5.Sum([]byte(ep))
	return strings.ReplaceAll(site, ".", "-") + "-" + hex.EncodeToString(sum[:]) + ".json"
}

// TopicName is the AMS topic of a cloud's document.
func TopicName(site, gocdbID string) string {
	return "SITE_" + strings.ReplaceAll(site, ".", "-") + "_ENDPOINT_" + gocdbID
}

// Objects with what is the same for every OpenStack cloud, as cloud-info-provider 1.2.0 says it.

// NewService is the service of a cloud of a site.
func NewService(ep, site string) Service {
	return Service{
		Entity:       Entity{ID: ServiceID(ep), Name: "Cloud Compute service at " + site},
		AdminDomains: []string{site},
		Type:         "org.cloud.iaas",
		QualityLevel: Production,
		StatusInfo:   "https://argo.egi.eu/egi/report-status/Critical/SITES/" + site,
		AUP:          "http://go.egi.eu/aup",
		Capability:   []string{"executionmanagement.dynamicvmdeploy", "security.accounting"},
	}
}

// NewManager is the manager of a region of a cloud.
func NewManager(ep, region string) Manager {
	return Manager{
		Entity:      Entity{ID: ManagerID(ep, region)},
		Services:    []string{ServiceID(ep)},
		ProductName: "OpenStack",
	}
}

// NewEndpoint is the endpoint of a region of a cloud of a site. How it is, what it runs and its authorities are to be added.
func NewEndpoint(ep, region, site string) Endpoint {
	id := EndpointID(ep, region)
	return Endpoint{
		Entity:             Entity{ID: id, Name: "Cloud computing endpoint for " + id},
		Services:           []string{ServiceID(ep)},
		QualityLevel:       Production,
		InterfaceName:      "org.openstack.nova",
		HealthState:        HealthOK,
		HealthStateInfo:    "Endpoint functioning properly",
		ServingState:       Production,
		Technology:         "webservice",
		Implementor:        "OpenStack Foundation",
		ImplementationName: "OpenStack Nova",
		DowntimeInfo:       "https://goc.egi.eu/portal/index.php?Page_Type=Downtimes_Calendar&site=" + site,
		Semantics:          "https://developer.openstack.org/api-ref/compute",
		URL:                ep,
	}
}

// NewShare is the share of a VO, by a project, of an endpoint of a service.
func NewShare(service, endpoint, vo, project string) Share {
	return Share{
		Entity:    Entity{ID: ShareID(endpoint, vo, project), Name: vo + " - " + project + " share"},
		Services:  []string{service},
		Endpoints: []string{endpoint},
		ProjectID: project,
	}
}

// policyScheme is the language of the policies' rules.
const policyScheme = "org.glite.standard"

// NewMappingPolicy is the policy by which a share is a VO's.
func NewMappingPolicy(share, vo string) MappingPolicy {
	return MappingPolicy{
		Entity:      Entity{ID: MappingPolicyID(share)},
		Shares:      []string{share},
		UserDomains: []string{vo},
		Rule:        []string{"VO:" + vo},
		Scheme:      policyScheme,
	}
}

// NewAccessPolicy is the policy of an endpoint; Summarize fills in the VOs.
func NewAccessPolicy(endpoint string) AccessPolicy {
	return AccessPolicy{
		Entity:    Entity{ID: AccessPolicyID(endpoint)},
		Endpoints: []string{endpoint},
		Scheme:    policyScheme,
	}
}
