package directory

import "github.com/fedsite/fedsite/protocol/glue"

// rootDSE says what the server can do (RFC 4512, section 5.1). All but its class is told to those only who ask for it by
// name, or for "+".
var rootDSE = []glue.Attribute{
	{Name: "objectClass", Values: []string{"top"}},
	{Name: "structuralObjectClass", Values: []string{"top"}},
	{Name: "namingContexts", Values: []string{"o=glue"}},
	{Name: "supportedLDAPVersion", Values: []string{"3"}},
	{Name: "supportedControl", Values: []string{controlPaged, controlManageDSA}},
	{Name: "supportedExtension", Values: []string{extendedWhoAmI}},
	{Name: "supportedFeatures", Values: []string{featureAllOper, featureTrueFalse}},
	{Name: "vendorName", Values: []string{"fedsite"}},
}
