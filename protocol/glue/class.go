package glue

// object is an object of a document, for all that is done to every class alike.
type object interface {
	class() *class
	entity() *Entity
	fields(to []field) []field // appends the object's attributes in the order of the JSON
	links(to []link) []link    // appends the ids that it names, likewise
}

// class is a class of GLUE as JSON and LDAP call it.
type class struct {
	name      string   // the key of its list in the JSON
	ldap      []string // its object classes beside GLUE2Entity
	id        string   // the attribute that names an entry
	mayRepeat bool     // one object for each share, all under one id
}

// Classes by their keys in the JSON.
var (
	serviceClass = &class{name: "CloudComputingService", id: "GLUE2ServiceID",
		ldap: []string{"GLUE2Service", "GLUE2CloudComputingService"}}
	managerClass = &class{name: "CloudComputingManager", id: "GLUE2ManagerID",
		ldap: []string{"GLUE2Manager", "GLUE2CloudComputingManager"}}
	endpointClass = &class{name: "CloudComputingEndpoint", id: "GLUE2EndpointID",
		ldap: []string{"GLUE2Endpoint", "GLUE2CloudComputingEndpoint"}}
	imageClass = &class{name: "CloudComputingImage", id: "GLUE2CloudComputingImageID", mayRepeat: true,
		ldap: []string{"GLUE2CloudComputingImage"}}
	networkClass = &class{name: "CloudComputingImageNetworkConfiguration", id: "GLUE2CloudComputingImageNetworkConfigurationID",
		ldap: []string{"GLUE2CloudComputingImageNetworkConfiguration"}}
	instanceTypeClass = &class{name: "CloudComputingInstanceType", id: "GLUE2ResourceID", mayRepeat: true,
		ldap: []string{"GLUE2Resource", "GLUE2CloudComputingInstanceType"}}
	acceleratorClass = &class{name: "CloudComputingVirtualAccelerator", id: "GLUE2CloudComputingVirtualAcceleratorID", mayRepeat: true,
		ldap: []string{"GLUE2CloudComputingVirtualAccelerator"}}
	shareClass = &class{name: "Share", id: "GLUE2ShareID",
		ldap: []string{"GLUE2Share", "GLUE2CloudComputingShare"}}
	mappingClass = &class{name: "MappingPolicy", id: "GLUE2PolicyID",
		ldap: []string{"GLUE2Policy", "GLUE2MappingPolicy"}}
	accessClass = &class{name: "AccessPolicy", id: "GLUE2PolicyID",
		ldap: []string{"GLUE2Policy", "GLUE2AccessPolicy"}}
)

// field is an attribute of an object.
type field struct {
	json   string // its key in the JSON; "" = not there
	ldap   string // its attribute in LDAP; "" = none
	value  any    // a pointer into the object: *string, *[]string, **int64, **float64, *ExtendedBoolean
	must   bool   // GLUE makes it mandatory
	always bool   // an empty list is written
	older  string // another key, by which pre-1.0 documents have it
}

// link is an association of an object.
type link struct {
	json   string    // the class, or what stands for it, in the JSON
	ids    *[]string // of the others
	ldap   []string  // foreign keys in LDAP
	to     *class    // nil = objects that no document holds
	must   bool      // GLUE makes it mandatory
	single bool      // LDAP takes one id
	always bool      // an empty list is written
}

// empty tells whether the value is undefined.
func (f *field) empty() bool {
	switch v := f.value.(type) {
	case *string:
		return *v == ""
	case *[]string:
		return len(*v) == 0
	case **int64:
		return *v == nil
	case **float64:
		return *v == nil
	case *ExtendedBoolean:
		return *v == ""
	}
	return true
}

// list is the objects of one class of a document.
type list struct {
	*class
	len int
	at  func(i int) object
}

func listOf[T any, P interface {
	*T
	object
}](c *class, of []T) list {
	return list{c, len(of), func(i int) object { return P(&of[i]) }}
}

// classes gives the objects by class, in the order of the JSON.
func (d *Document) classes() []list {
	return []list{
		listOf(serviceClass, d.Services),
		listOf(managerClass, d.Managers),
		listOf(endpointClass, d.Endpoints),
		listOf(imageClass, d.Images),
		listOf(instanceTypeClass, d.InstanceTypes),
		listOf(acceleratorClass, d.VirtualAccelerators),
		listOf(shareClass, d.Shares),
		listOf(mappingClass, d.MappingPolicies),
		listOf(accessClass, d.AccessPolicies),
	}
}

func (*Service) class() *class            { return serviceClass }
func (*Manager) class() *class            { return managerClass }
func (*Endpoint) class() *class           { return endpointClass }
func (*Image) class() *class              { return imageClass }
func (*InstanceType) class() *class       { return instanceTypeClass }
func (*VirtualAccelerator) class() *class { return acceleratorClass }
func (*Share) class() *class              { return shareClass }
func (*MappingPolicy) class() *class      { return mappingClass }
func (*AccessPolicy) class() *class       { return accessClass }
func (e *Entity) entity() *Entity         { return e }
