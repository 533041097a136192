package glue

// Difference is something that our documents have otherwise than those of cloud-info-provider 1.2.0 from the same cloud, on
// purpose.
type Difference struct {
	Class      string   // the key in the JSON; "*" = every class
	Attributes []string // none = the list of the class itself
	Peer       string   // what 1.2.0 writes
	Ours       string   // what we write
	Reason     string
}

// Differences gives all of them. The tests hold recorded documents of 1.2.0 against this list: whatever differs and is not
// in it fails.
func Differences() []Difference {
	return []Difference{
		{"*", nil, "no key for a class without objects",
			"every class, as an empty list", "the information API drops a site whose document lacks Share, MappingPolicy, CloudComputingImage or CloudComputingInstanceType"},
		{"CloudComputingService", []string{"TotalVM", "RunningVM", "SuspendedVM", "HaltedVM"}, "the sums of all shares; a project that two VOs share counts twice",
			"each project once, by the states below", "the VMs are there once"},
		{"CloudComputingService", []string{"PendingVM"}, "none",
			"VMs that are being built", "GLUE has it"},
		{"CloudComputingManager", []string{"ProductName"}, "none",
			"OpenStack", "GLUE makes it mandatory"},
		{"CloudComputingManager", []string{"InstanceMaxCPU", "InstanceMaxRAM"}, "of the last VO's flavors, 0 without any",
			"of all flavors, none without any", "the last VO stands for no other, and the largest of nothing is undefined"},
		{"CloudComputingManager", []string{"InstanceMinCPU", "InstanceMinRAM"}, "0",
			"of all flavors, none without any", "there is no VM without a CPU"},
		{"CloudComputingEndpoint", []string{"IssuerCA"}, "UNKNOWN where it could not be found out",
			"none", "what is undefined and optional is left out"},
		{"CloudComputingEndpoint", []string{"TrustedCA"}, "[UNKNOWN] where it could not be found out",
			"an empty list", "UNKNOWN is the name of no authority"},
		{"CloudComputingEndpoint", []string{"HealthStateInfo"}, "An unknown exception occurred.",
			"what failed where, with status and request id", "it is read by those who have to mend it"},
		{"CloudComputingEndpoint", []string{"OtherInfo"}, "auditor_role, where it is told to ask whether one may list users",
			"the region, where the cloud has several", "fedsite asks for no such role, and users have to name the region"},
		{"CloudComputingImage", []string{"MarketplaceURL"}, "images of cloudkeeper-os: where their content is; a path in Glance's URL is lost",
			"their marketplace URI; the whole URL", "it is what users look for"},
		{"CloudComputingImage", []string{"OSPlatform", "OSName", "OSVersion", "Description"}, "UNKNOWN where the image does not say",
			"none", "what is undefined is left out; LDAP has UNDEFINEDVALUE for OSPlatform, which is mandatory there"},
		{"CloudComputingImage", []string{"OSFamily"}, "none",
			"from the image's os_type", "GLUE makes it mandatory"},
		{"CloudComputingImage", []string{"DiskSize"}, "none",
			"GB, from min_disk and the image's sizes", "GLUE makes it mandatory, and a smaller flavor cannot start the image"},
		{"CloudComputingImage", []string{"MinCPU", "MinRAM"}, "none",
			"where the image says so, in MiB", "a smaller flavor cannot start the image"},
		{"CloudComputingImage", []string{"Version"}, "none",
			"the image's version", "GLUE has it, and users choose by it"},
		{"CloudComputingImage", []string{"OtherInfo"}, "eu.egi.cloud.image_ref and eu.egi.cloud.tag as the image has them",
			"as text; base_mpuri of cloudkeeper-os, too", "the information API drops the whole site if a tenant's image has a number there"},
		{"CloudComputingInstanceType", []string{"Platform"}, "amd64",
			"what the flavor says", "there are clouds with other processors"},
		{"CloudComputingInstanceType", []string{"EphemeralStorage"}, "none",
			"GB", "GLUE has it, and users choose by it"},
		{"CloudComputingInstanceType", []string{"NetworkIn"}, "UNKNOWN",
			"undefined", "GLUE's word for it in an ExtendedBoolean"},
		{"CloudComputingInstanceType", []string{"NetworkInfo"}, "none",
			"infiniband, where the flavor says so", "1.2.0 looks it up and loses it"},
		{"CloudComputingVirtualAccelerator", []string{"Type"}, "GPU",
			"what the flavor says", "EGI's guide knows other kinds"},
		{"CloudComputingVirtualAccelerator", []string{"Number"}, "the run ends at a number such as 0.5",
			"0.5", "EGI's guide allows it; LDAP, which takes integers only, has it rounded up and Number=0.5 in OtherInfo"},
		{"CloudComputingVirtualAccelerator", []string{"Vendor", "Model"}, "UNKNOWN where the flavor does not say",
			"none", "what is undefined is left out"},
		{"CloudComputingVirtualAccelerator", []string{"Version", "ClockSpeed", "Memory", "ComputeCapability", "VirtualizationType"}, "none",
			"where the flavor says so, memory in MiB", "EGI's guide has them"},
		{"CloudComputingVirtualAccelerator", []string{"Share"}, "none",
			"the shares, where one flavor id stands for different things, as in two regions", "else nobody knows whose it is"},
		{"Share", []string{"InstanceMaxCPU", "InstanceMaxRAM"}, "0 without flavors",
			"none", "the largest of nothing is undefined"},
		{"Share", []string{"MaxVM"}, "0 where the quota is not shown, -1 for unlimited",
			"none", "0 says that no VM may be started"},
		{"Share", []string{"OtherInfo"}, "Nova's quotas",
			"Neutron's and Cinder's, too, and what is old or missing, since when and why", "they bound what a user can have, and old data are not to look new"},
		{"Share", []string{"TotalVM"}, "1000 at most",
			"all", "Nova lists so many at once"},
		{"Share", []string{"RunningVM", "SuspendedVM", "HaltedVM"}, "every state but SHUTOFF and SUSPENDED runs",
			"ACTIVE and the like run", "a failed or shelved VM does not run"},
		{"Share", []string{"PendingVM"}, "none",
			"VMs that are being built", "GLUE has it"},
		{"Share", []string{"PublicNetworkName", "NetworkInfo", "DefaultNetworkType", "SLA"}, "none",
			"from Neutron, or where the site says so", "GLUE has them"},
		{"AccessPolicy", []string{"Rule"}, "a VO with two projects twice",
			"once", "the second says nothing more"},
	}
}
