package glue

// The attributes of every class: what the JSON calls them, in the order of cloud-info-provider 1.2.0, and what LDAP calls
// them. A key that only this package writes stands where GLUE has it.

func (s *Service) links(to []link) []link {
	return append(to, link{json: "AdminDomain", ids: &s.AdminDomains, ldap: []string{"GLUE2ServiceAdminDomainForeignKey"}, must: true})
}

func (s *Service) fields(to []field) []field {
	return append(to,
		field{json: "Type", ldap: "GLUE2ServiceType", value: &s.Type, must: true},
		field{json: "QualityLevel", ldap: "GLUE2ServiceQualityLevel", value: (*string)(&s.QualityLevel), must: true},
		field{json: "StatusInfo", ldap: "GLUE2ServiceStatusInfo", value: &s.StatusInfo},
		field{json: "ServiceAUP", ldap: "GLUE2CloudComputingServiceAUP", value: &s.AUP},
		field{json: "Complexity", ldap: "GLUE2ServiceComplexity", value: &s.Complexity},
		field{json: "Capability", ldap: "GLUE2ServiceCapability", value: &s.Capability, always: true},
		field{json: "TotalVM", ldap: "GLUE2CloudComputingServiceTotalVM", value: &s.VMs.Total},
		field{json: "RunningVM", ldap: "GLUE2CloudComputingServiceRunningVM", value: &s.VMs.Running},
		field{json: "PendingVM", ldap: "GLUE2CloudComputingServicePendingVM", value: &s.VMs.Pending},
		field{json: "SuspendedVM", ldap: "GLUE2CloudComputingServiceSuspendedVM", value: &s.VMs.Suspended},
		field{json: "HaltedVM", ldap: "GLUE2CloudComputingServiceHaltedVM", value: &s.VMs.Halted},
	)
}

func (m *Manager) links(to []link) []link {
	return append(to, link{json: "CloudComputingService", ids: &m.Services, to: serviceClass, must: true, single: true,
		ldap: []string{"GLUE2ManagerServiceForeignKey", "GLUE2CloudComputingManagerCloudComputingServiceForeignKey"}})
}

func (m *Manager) fields(to []field) []field {
	return append(to,
		field{json: "ProductName", ldap: "GLUE2ManagerProductName", value: &m.ProductName, must: true},
		field{json: "ProductVersion", ldap: "GLUE2ManagerProductVersion", value: &m.ProductVersion},
		field{json: "HypervisorName", ldap: "GLUE2CloudComputingManagerHypervisorName", value: &m.HypervisorName},
		field{json: "HypervisorVersion", ldap: "GLUE2CloudComputingManagerHypervisorVersion", value: &m.HypervisorVersion},
		field{json: "TotalCPUs", ldap: "GLUE2CloudComputingManagerTotalCPUs", value: &m.TotalCPUs},
		field{json: "TotalRAM", ldap: "GLUE2CloudComputingManagerTotalRAM", value: &m.TotalRAM},
		field{json: "InstanceMaxCPU", ldap: "GLUE2CloudComputingManagerInstanceMaxCPU", value: &m.InstanceMaxCPU},
		field{json: "InstanceMinCPU", ldap: "GLUE2CloudComputingManagerInstanceMinCPU", value: &m.InstanceMinCPU},
		field{json: "InstanceMaxRAM", ldap: "GLUE2CloudComputingManagerInstanceMaxRAM", value: &m.InstanceMaxRAM},
		field{json: "InstanceMinRAM", ldap: "GLUE2CloudComputingManagerInstanceMinRAM", value: &m.InstanceMinRAM},
		field{json: "NetworkVirtualizationType", ldap: "GLUE2CloudComputingManagerNetworkVirtualizationType", value: &m.NetworkVirtualizationTypes},
		field{json: "CPUVirtualizationType", ldap: "GLUE2CloudComputingManagerCPUVirtualizationType", value: &m.CPUVirtualizationTypes},
		field{json: "ManagerVirtualdiskFormat", ldap: "GLUE2CloudComputingManagerVirtualDiskFormat", value: &m.VirtualDiskFormats},
		field{json: "ManagerFailover", ldap: "GLUE2CloudComputingManagerFailover", value: &m.Failover},
		field{json: "ManagerLiveMigration", ldap: "GLUE2CloudComputingManagerLiveMigration", value: &m.LiveMigration},
		field{json: "ManagerVMBackupRestore", ldap: "GLUE2CloudComputingManagerVMBackupRestore", value: &m.VMBackupRestore},
	)
}

func (e *Endpoint) links(to []link) []link {
	return append(to, link{json: "CloudComputingService", ids: &e.Services, to: serviceClass, must: true, single: true,
		ldap: []string{"GLUE2EndpointServiceForeignKey", "GLUE2CloudComputingEndpointCloudComputingServiceForeignKey"}})
}

func (e *Endpoint) fields(to []field) []field {
	return append(to,
		field{json: "Capability", ldap: "GLUE2EndpointCapability", value: &e.Capability, always: true},
		field{json: "QualityLevel", ldap: "GLUE2EndpointQualityLevel", value: (*string)(&e.QualityLevel), must: true},
		field{json: "InterfaceName", ldap: "GLUE2EndpointInterfaceName", value: &e.InterfaceName, must: true},
		field{json: "InterfaceVersion", ldap: "GLUE2EndpointInterfaceVersion", value: &e.InterfaceVersion},
		field{json: "HealthState", ldap: "GLUE2EndpointHealthState", value: (*string)(&e.HealthState), must: true},
		field{json: "HealthStateInfo", ldap: "GLUE2EndpointHealthStateInfo", value: &e.HealthStateInfo},
		field{json: "ServingState", ldap: "GLUE2EndpointServingState", value: (*string)(&e.ServingState), must: true},
		field{json: "Technology", ldap: "GLUE2EndpointTechnology", value: &e.Technology},
		field{json: "Implementor", ldap: "GLUE2EndpointImplementor", value: &e.Implementor},
		field{json: "ImplementationName", ldap: "GLUE2EndpointImplementationName", value: &e.ImplementationName},
		field{json: "ImplementationVersion", ldap: "GLUE2EndpointImplementationVersion", value: &e.ImplementationVersion},
		field{json: "DowntimeInfo", ldap: "GLUE2EndpointDowntimeInfo", value: &e.DowntimeInfo},
		field{json: "Semantics", ldap: "GLUE2EndpointSemantics", value: &e.Semantics},
		field{json: "Authentication", ldap: "GLUE2EndpointAuthentication", value: &e.Authentication},
		field{json: "IssuerCA", ldap: "GLUE2EndpointIssuerCA", value: &e.IssuerCA},
		field{json: "TrustedCA", ldap: "GLUE2EndpointTrustedCA", value: &e.TrustedCAs, always: true},
		field{json: "URL", ldap: "GLUE2EndpointURL", value: &e.URL, must: true},
	)
}

func (i *Image) links(to []link) []link {
	return append(to,
		link{json: "Share", ids: &i.Shares, to: shareClass, must: true, always: true, ldap: []string{"GLUE2CloudComputingImageCloudComputingShareForeignKey"}},
		link{json: "CloudComputingEndpoint", ids: &i.Endpoints, to: endpointClass, ldap: []string{"GLUE2CloudComputingImageCloudComputingEndpointForeignKey"}},
		link{json: "CloudComputingManager", ids: &i.Managers, to: managerClass, must: true, single: true, ldap: []string{"GLUE2CloudComputingImageCloudComputingManagerForeignKey"}},
	)
}

func (i *Image) fields(to []field) []field {
	return append(to,
		field{ldap: "GLUE2CloudComputingImageTemplateID", value: &i.ID, must: true},
		field{json: "MarketplaceURL", ldap: "GLUE2CloudComputingImageMarketplaceURL", value: &i.MarketplaceURL, older: "MarketPlaceURL"},
		field{json: "OSPlatform", ldap: "GLUE2CloudComputingImageOSPlatform", value: &i.OSPlatform, must: true},
		field{json: "OSFamily", ldap: "GLUE2CloudComputingImageOSFamily", value: &i.OSFamily, must: true},
		field{json: "OSName", ldap: "GLUE2CloudComputingImageOSName", value: &i.OSName},
		field{json: "OSVersion", ldap: "GLUE2CloudComputingImageOSVersion", value: &i.OSVersion},
		field{json: "Version", ldap: "GLUE2CloudComputingImageVersion", value: &i.Version},
		field{json: "MinCPU", ldap: "GLUE2CloudComputingImageMinCPU", value: &i.MinCPU},
		field{json: "MinRAM", ldap: "GLUE2CloudComputingImageMinRAM", value: &i.MinRAM},
		field{json: "DiskSize", ldap: "GLUE2CloudComputingImageDiskSize", value: &i.DiskSize, must: true},
		field{json: "Description", ldap: "GLUE2CloudComputingImageDescription", value: &i.Description},
		field{json: "AccessInfo", ldap: "GLUE2CloudComputingImageAccessInfo", value: (*string)(&i.AccessInfo), must: true},
	)
}

func (t *InstanceType) links(to []link) []link {
	return append(to,
		link{json: "Share", ids: &t.Shares, to: shareClass, must: true, always: true, ldap: []string{"GLUE2CloudComputingInstanceTypeCloudComputingShareForeignKey"}},
		link{json: "CloudComputingEndpoint", ids: &t.Endpoints, to: endpointClass, ldap: []string{"GLUE2CloudComputingInstanceTypeCloudComputingEndpointForeignKey"}},
		link{json: "CloudComputingManager", ids: &t.Managers, to: managerClass, must: true, single: true,
			ldap: []string{"GLUE2ResourceManagerForeignKey", "GLUE2CloudComputingInstanceTypeCloudComputingManagerForeignKey"}},
		link{json: "CloudComputingVirtualAccelerator", ids: &t.VirtualAccelerators, to: acceleratorClass,
			ldap: []string{"GLUE2CloudComputingInstanceTypeCloudComputingVirtualAcceleratorForeignKey"}},
	)
}

func (t *InstanceType) fields(to []field) []field {
	return append(to,
		field{ldap: "GLUE2CloudComputingInstanceTypeTemplateID", value: &t.ID, must: true},
		field{json: "Platform", ldap: "GLUE2CloudComputingInstanceTypePlatform", value: &t.Platform, must: true},
		field{json: "CPU", ldap: "GLUE2CloudComputingInstanceTypeCPU", value: &t.CPU, must: true},
		field{json: "RAM", ldap: "GLUE2CloudComputingInstanceTypeRAM", value: &t.RAM, must: true},
		field{json: "Disk", ldap: "GLUE2CloudComputingInstanceTypeDisk", value: &t.Disk},
		field{json: "EphemeralStorage", ldap: "GLUE2CloudComputingInstanceTypeEphemeralStorage", value: &t.EphemeralStorage},
		field{json: "NetworkIn", ldap: "GLUE2CloudComputingInstanceTypeNetworkIn", value: &t.NetworkIn},
		field{json: "NetworkOut", ldap: "GLUE2CloudComputingInstanceTypeNetworkOut", value: &t.NetworkOut},
		field{json: "NetworkInfo", ldap: "GLUE2CloudComputingInstanceTypeNetworkInfo", value: &t.NetworkInfo},
	)
}

func (a *VirtualAccelerator) links(to []link) []link {
	return append(to,
		link{json: "CloudComputingInstanceType", ids: &a.InstanceTypes, to: instanceTypeClass, single: true,
			ldap: []string{"GLUE2CloudComputingVirtualAcceleratorCloudComputingInstanceTypeForeignKey"}},
		link{json: "Share", ids: &a.Shares, to: shareClass},
	)
}

func (a *VirtualAccelerator) fields(to []field) []field {
	return append(to,
		field{json: "Type", ldap: "GLUE2CloudComputingVirtualAcceleratorType", value: &a.Type, must: true},
		field{json: "Number", ldap: "GLUE2CloudComputingVirtualAcceleratorNumber", value: &a.Number, must: true},
		field{json: "Vendor", ldap: "GLUE2CloudComputingVirtualAcceleratorVendor", value: &a.Vendor},
		field{json: "Model", ldap: "GLUE2CloudComputingVirtualAcceleratorModel", value: &a.Model},
		field{json: "Version", ldap: "GLUE2CloudComputingVirtualAcceleratorVersion", value: &a.Version},
		field{json: "ClockSpeed", ldap: "GLUE2CloudComputingVirtualAcceleratorClockSpeed", value: &a.ClockSpeed},
		field{json: "Memory", ldap: "GLUE2CloudComputingVirtualAcceleratorMemory", value: &a.Memory},
		field{json: "ComputeCapability", ldap: "GLUE2CloudComputingVirtualAcceleratorComputeCapability", value: &a.ComputeCapability, always: true},
		field{json: "VirtualizationType", ldap: "GLUE2CloudComputingVirtualAcceleratorVirtualizationType", value: &a.VirtualizationType},
	)
}

func (s *Share) links(to []link) []link {
	return append(to,
		link{json: "CloudComputingService", ids: &s.Services, to: serviceClass, must: true, single: true,
			ldap: []string{"GLUE2ShareServiceForeignKey", "GLUE2CloudComputingShareCloudComputingServiceForeignKey"}},
		link{json: "CloudComputingEndpoint", ids: &s.Endpoints, to: endpointClass,
			ldap: []string{"GLUE2ShareEndpointForeignKey", "GLUE2CloudComputingShareCloudComputingEndpointForeignKey"}},
	)
}

func (s *Share) fields(to []field) []field {
	return append(to,
		field{json: "InstanceMaxCPU", ldap: "GLUE2CloudComputingShareInstanceMaxCPU", value: &s.InstanceMaxCPU},
		field{json: "InstanceMaxRAM", ldap: "GLUE2CloudComputingShareInstanceMaxRAM", value: &s.InstanceMaxRAM},
		field{json: "SLA", ldap: "GLUE2CloudComputingShareSLA", value: &s.SLA},
		field{json: "TotalVM", ldap: "GLUE2CloudComputingShareTotalVM", value: &s.VMs.Total},
		field{json: "RunningVM", ldap: "GLUE2CloudComputingShareRunningVM", value: &s.VMs.Running},
		field{json: "PendingVM", ldap: "GLUE2CloudComputingSharePendingVM", value: &s.VMs.Pending},
		field{json: "SuspendedVM", ldap: "GLUE2CloudComputingShareSuspendedVM", value: &s.VMs.Suspended},
		field{json: "HaltedVM", ldap: "GLUE2CloudComputingShareHaltedVM", value: &s.VMs.Halted},
		field{json: "MaxVM", ldap: "GLUE2CloudComputingShareMaxVM", value: &s.MaxVM},
		field{json: "NetworkInfo", ldap: "GLUE2CloudComputingShareNetworkInfo", value: &s.NetworkInfo},
		field{json: "DefaultNetworkType", ldap: "GLUE2CloudComputingShareDefaultNetworkType", value: &s.DefaultNetworkType},
		field{json: "PublicNetworkName", ldap: "GLUE2CloudComputingSharePublicNetworkName", value: &s.PublicNetworkName},
		field{json: "ProjectID", ldap: "GLUE2CloudComputingShareProjectID", value: &s.ProjectID},
	)
}

func (p *MappingPolicy) links(to []link) []link {
	return append(to,
		link{json: "Share", ids: &p.Shares, to: shareClass, must: true, always: true, ldap: []string{"GLUE2MappingPolicyShareForeignKey"}},
		link{json: "PolicyUserDomain", ids: &p.UserDomains, always: true, ldap: []string{"GLUE2PolicyUserDomainForeignKey"}},
	)
}

func (p *MappingPolicy) fields(to []field) []field { return policyFields(to, &p.Rule, &p.Scheme) }

func (p *AccessPolicy) links(to []link) []link {
	return append(to, link{json: "CloudComputingEndpoint", ids: &p.Endpoints, to: endpointClass, must: true, ldap: []string{"GLUE2AccessPolicyEndpointForeignKey"}})
}

func (p *AccessPolicy) fields(to []field) []field { return policyFields(to, &p.Rule, &p.Scheme) }

func policyFields(to []field, rule *[]string, scheme *string) []field {
	return append(to,
		field{json: "Rule", ldap: "GLUE2PolicyRule", value: rule, must: true, always: true, older: "PolicyRule"},
		field{json: "Scheme", ldap: "GLUE2PolicyScheme", value: scheme, must: true},
	)
}
