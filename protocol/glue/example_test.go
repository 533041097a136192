package glue_test

import (
	"fmt"
	"os"
	"time"

	"github.com/fedsite/fedsite/protocol/glue"
)

// A cloud with one share, shown as LDIF in the tree of its site.
func Example() {
	const ep = "https://ks.example.org:5000/v3"
	service, endpoint := glue.NewService(ep, "SITE"), glue.NewEndpoint(ep, "", "SITE")
	service.OtherInfo = glue.Info{{Name: "gocdb_id", Value: "16001G0"}}
	service.CreationTime, service.Validity = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), 12*time.Hour
	share := glue.NewShare(service.ID, endpoint.ID, "ops", "p-ops")
	d := glue.Document{
		Services: []glue.Service{service}, Managers: []glue.Manager{glue.NewManager(ep, "")}, Endpoints: []glue.Endpoint{endpoint},
		Shares:          []glue.Share{share},
		MappingPolicies: []glue.MappingPolicy{glue.NewMappingPolicy(share.ID, "ops")},
		AccessPolicies:  []glue.AccessPolicy{glue.NewAccessPolicy(endpoint.ID)},
	}
	d.Summarize()
	for _, f := range glue.Validate(d) {
		fmt.Println(f)
	}
	err := glue.WriteLDIF(os.Stdout, func(yield func(glue.Entry) bool) {
		for e := range glue.Entries(d, glue.CloudBase("SITE"), nil) {
			if e.DN[0].Name == "GLUE2PolicyID" && !yield(e) {
				return
			}
		}
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// dn: GLUE2PolicyID=https://ks.example.org:5000/v3_OpenStack_v3_policy,GLUE2En
	//  dpointID=https://ks.example.org:5000/v3_OpenStack_v3,GLUE2ServiceID=https:/
	//  /ks.example.org:5000/v3_cloud.compute,GLUE2GroupID=cloud,GLUE2DomainID=SITE
	//  ,o=glue
	// objectClass: GLUE2Entity
	// objectClass: GLUE2Policy
	// objectClass: GLUE2AccessPolicy
	// GLUE2PolicyID: https://ks.example.org:5000/v3_OpenStack_v3_policy
	// GLUE2AccessPolicyEndpointForeignKey: https://ks.example.org:5000/v3_OpenStac
	//  k_v3
	// GLUE2PolicyRule: VO:ops
	// GLUE2PolicyScheme: org.glite.standard
	// GLUE2PolicyUserDomainForeignKey: ops
	//
	// dn: GLUE2PolicyID=https://ks.example.org:5000/v3_OpenStack_v3_share_ops_p-op
	//  s_Policy,GLUE2ShareID=https://ks.example.org:5000/v3_OpenStack_v3_share_ops
	//  _p-ops,GLUE2ServiceID=https://ks.example.org:5000/v3_cloud.compute,GLUE2Gro
	//  upID=cloud,GLUE2DomainID=SITE,o=glue
	// objectClass: GLUE2Entity
	// objectClass: GLUE2Policy
	// objectClass: GLUE2MappingPolicy
	// GLUE2PolicyID: https://ks.example.org:5000/v3_OpenStack_v3_share_ops_p-ops_P
	//  olicy
	// GLUE2MappingPolicyShareForeignKey: https://ks.example.org:5000/v3_OpenStack_
	//  v3_share_ops_p-ops
	// GLUE2PolicyUserDomainForeignKey: ops
	// GLUE2PolicyRule: VO:ops
	// GLUE2PolicyScheme: org.glite.standard
}
