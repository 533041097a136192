package glue

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestValidateFindsNothingInTheExample(t *testing.T) {
	d := exampleDocument()
	d.Images[0].Description = "one line"
	d.VirtualAccelerators = append(d.VirtualAccelerators, d.VirtualAccelerators[0]) // one for each share, as today's tool has it
	if found := Validate(d); len(found) > 0 {
		t.Error(found)
	}
}

func TestValidate(t *testing.T) {
	for want, spoil := range map[string]func(*Document){
		"fatal: CloudComputingEndpoint: the information API needs an endpoint with a URL": func(d *Document) { d.Endpoints[0].URL = "" },
		"fatal: CloudComputingService: the information API needs a service":               func(d *Document) { d.Services = nil },
		`fatal: CloudComputingService "S" AdminDomain: the information API needs`:         func(d *Document) { d.Services[0].AdminDomains = nil },
		`fatal: CloudComputingService "S" OtherInfo: the information API needs gocdb_id`:  func(d *Document) { d.Services[0].OtherInfo = nil },
		`fatal: CloudComputingService "S" CreationTime`:                                   func(d *Document) { d.Services[0].CreationTime = time.Time{} },
		`fatal: MappingPolicy "H_Policy" PolicyUserDomain`:                                func(d *Document) { d.MappingPolicies[0].UserDomains = nil },
		`fatal: Share "H" ProjectID`:                                                      func(d *Document) { d.Shares[0].ProjectID = "" },
		`error: Share "H": no MappingPolicy says which VO`:                                func(d *Document) { d.MappingPolicies = nil },
		`error: CloudComputingImage ID: it has none`:                                      func(d *Document) { d.Images[0].ID = "" },
		`error: CloudComputingImage "iiii`:                                                func(d *Document) { d.Images[0].ID = strings.Repeat("i", 300) },
		`warning: CloudComputingImage "_x" ID: EGI's profile`:                             func(d *Document) { d.Images[0].ID = "_x" },
		`warning: CloudComputingImage "uni-1" Validity: -1s is not`:                       func(d *Document) { d.Images[0].Validity = -time.Second },
		`error: CloudComputingImage "uni-1" CreationTime: the year 12026`:                 func(d *Document) { d.Images[0].CreationTime = d.Images[0].CreationTime.AddDate(10000, 0, 0) },
		`warning: CloudComputingInstanceType "gpu-1" Name: it has none`:                   func(d *Document) { d.InstanceTypes[0].Name = "" },
		`error: CloudComputingImage "uni-1" ID: another CloudComputingImage has it`:       func(d *Document) { d.Images = append(d.Images, d.Images[0]) },
		`error: Share "H" ID: another Share has it`:                                       func(d *Document) { d.Shares = append(d.Shares, d.Shares[0]) },
		`error: CloudComputingVirtualAccelerator "gpu-1_gpu" ID: another`: func(d *Document) {
			a := d.VirtualAccelerators[0]
			a.Model = "x"
			d.VirtualAccelerators = append(d.VirtualAccelerators, a)
		},
		`error: CloudComputingImage "uni-1" CloudComputingManager: GLUE makes it mandatory`:     func(d *Document) { d.Images[0].Managers = nil },
		`warning: CloudComputingImage "uni-1" CloudComputingManager: LDAP holds the first of 2`: func(d *Document) { d.Images[0].Managers = append(d.Images[0].Managers, "x") },
		`error: CloudComputingImage "uni-1" CloudComputingManager: "x" is not in the document`:  func(d *Document) { d.Images[0].Managers = []string{"x"} },
		`warning: CloudComputingImage "uni-1" Share: "H" is there twice`:                        func(d *Document) { d.Images[0].Shares = append(d.Images[0].Shares, d.Images[0].Shares[0]) },
		`warning: CloudComputingImage "uni-1" OSFamily: GLUE makes it mandatory`:                func(d *Document) { d.Images[0].OSFamily = "" },
		`warning: CloudComputingImage "uni-1" DiskSize: GLUE makes it mandatory`:                func(d *Document) { d.Images[0].DiskSize = nil },
		`error: AccessPolicy "E_policy" Rule: GLUE makes it mandatory`:                          func(d *Document) { d.AccessPolicies[0].Rule = nil },
		`warning: CloudComputingEndpoint "E" TrustedCA: an empty value`:                         func(d *Document) { d.Endpoints[0].TrustedCAs = []string{""} },
		`warning: CloudComputingEndpoint "E" IssuerCA: "UNKNOWN" says that it is undefined`:     func(d *Document) { d.Endpoints[0].IssuerCA = "UNKNOWN" },
		`warning: CloudComputingEndpoint "E" HealthState: "fine" is none of critical, ok`:       func(d *Document) { d.Endpoints[0].HealthState = "fine" },
		`warning: CloudComputingInstanceType "gpu-1" NetworkIn: "UNKNOWN" is not true`:          func(d *Document) { d.InstanceTypes[0].NetworkIn = "UNKNOWN" },
		`error: Share "H" MaxVM: -1 is negative`:                                                func(d *Document) { d.Shares[0].MaxVM = new(int64(-1)) },
		`error: CloudComputingVirtualAccelerator "gpu-1_gpu" Number: 0 is not`:                  func(d *Document) { d.VirtualAccelerators[0].Number = new(0.0) },
		`warning: CloudComputingImage "uni-1" Name: "a\xff" is no UTF-8`:                        func(d *Document) { d.Images[0].Name = "a\xff" },
		`warning: CloudComputingImage "uni-1" Name: "a\nb" has control characters`:              func(d *Document) { d.Images[0].Name = "a\nb" },
		`warning: CloudComputingImage "uni-1" Name: nothing but blanks`:                         func(d *Document) { d.Images[0].Name = "  " },
		`warning: CloudComputingImage "uni-1" OtherInfo: eu.egi.cloud.tag is no text`:           func(d *Document) { d.Images[0].OtherInfo = Info{{"eu.egi.cloud.tag", 1}} },
		`warning: CloudComputingInstanceType "gpu-1" CPU: it is 0`:                              func(d *Document) { d.InstanceTypes[0].CPU = new(int64) },
		`error: Share "H" TotalVM: 1 are less than the 3 in some state`:                         func(d *Document) { d.Shares[0].VMs.Running = new(int64(3)) },
		`warning: MappingPolicy "H_Policy" Rule: none is for the VO "ops"`:                      func(d *Document) { d.MappingPolicies[0].Rule = []string{"VO:other"} },
	} {
		d := exampleDocument()
		spoil(&d)
		var found []string
		for _, f := range Validate(d) {
			s := f.String()
			for long, short := range map[string]string{"_cloud.compute": "S", "_OpenStack_v3": "E", "_OpenStack_v3_share_ops_p-ops": "H"} {
				s = strings.ReplaceAll(s, "https://ks.example.org:5000/v3"+long+`"`, short+`"`)
				s = strings.ReplaceAll(s, "https://ks.example.org:5000/v3"+long+`_policy"`, short+`_policy"`)
				s = strings.ReplaceAll(s, "https://ks.example.org:5000/v3"+long+`_Policy"`, short+`_Policy"`)
			}
			found = append(found, s)
		}
		if !slices.ContainsFunc(found, func(f string) bool { return strings.HasPrefix(f, want) }) {
			t.Errorf("%q is not found: %q", want, found)
		}
	}
}
