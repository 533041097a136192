package glue

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestIDs(t *testing.T) {
	const ep = "https://h:5000/v3/" // the slash stays
	for got, want := range map[string]string{
		ServiceID(ep):                        "https://h:5000/v3/_cloud.compute",
		ManagerID(ep, ""):                    "https://h:5000/v3/_cloud.compute_manager",
		ManagerID(ep, "R2"):                  "https://h:5000/v3/_cloud.compute_manager_R2",
		EndpointID(ep, ""):                   "https://h:5000/v3/_OpenStack_v3",
		EndpointID(ep, "R2"):                 "https://h:5000/v3/_OpenStack_v3_R2",
		ShareID("E", "/biomed/vip", "p-ops"): "E_share_/biomed/vip_p-ops",
		MappingPolicyID("S"):                 "S_Policy",
		AccessPolicyID("E"):                  "E_policy",
		ObjectName("fedcloud.srce.hr", "https://h:5000/v3"): "fedcloud-srce-hr-984e79bec27923c15de912c89223a54b.json",
		TopicName("fedcloud.srce.hr", "16001G0"):            "SITE_fedcloud-srce-hr_ENDPOINT_16001G0",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// twoVOs has two VOs with a share each, of one project or of two.
func twoVOs(project string) Document {
	d := exampleDocument()
	second := NewShare(d.Services[0].ID, d.Endpoints[0].ID, "/biomed/vip", project)
	second.VMs = VMs{Total: new(int64(4)), Running: new(int64(1)), Pending: new(int64(1)), Halted: new(int64(1))}
	if project == d.Shares[0].ProjectID {
		second.VMs = d.Shares[0].VMs
	}
	d.Shares = append(d.Shares, second)
	d.MappingPolicies = append(d.MappingPolicies, NewMappingPolicy(second.ID, "/biomed/vip"))
	small := d.InstanceTypes[0]
	small.Shares, small.CPU, small.RAM = []string{second.ID}, new(int64(1)), new(int64(256))
	d.InstanceTypes = append(d.InstanceTypes, small)
	d.Summarize()
	return d
}

func TestSummarize(t *testing.T) {
	d := twoVOs("p-bio")
	s, m := d.Services[0], d.Managers[0]
	show := func(n ...*int64) string {
		var b strings.Builder
		for _, n := range n {
			fmt.Fprintf(&b, "%s ", integer(n))
		}
		return b.String()
	}
	for what, c := range map[string][2]string{
		"VMs of the service":      {show(s.VMs.Total, s.VMs.Running, s.VMs.Pending, s.VMs.Suspended, s.VMs.Halted), "5 2 1 0 1 "},
		"complexity":              {s.Complexity, "endpointType=1,share=2"},
		"manager":                 {show(m.InstanceMaxCPU, m.InstanceMaxRAM, m.InstanceMinCPU, m.InstanceMinRAM), "16 65536 1 256 "},
		"shares":                  {show(d.Shares[0].InstanceMaxCPU, d.Shares[1].InstanceMaxCPU, d.Shares[1].InstanceMaxRAM), "16 1 256 "},
		"VOs of the policy":       {strings.Join(d.AccessPolicies[0].Rule, " "), "VO:ops VO:/biomed/vip"},
		"two VOs, one project":    {show(twoVOs("p-ops").Services[0].VMs.Total), "1 "},
		"pending is not invented": {show(exampleDocument().Services[0].VMs.Pending), " "},
	} {
		if c[0] != c[1] {
			t.Errorf("%s: %q, want %q", what, c[0], c[1])
		}
	}
	same := exampleDocument() // one VO with two projects
	same.Shares = append(same.Shares, NewShare(same.Services[0].ID, same.Endpoints[0].ID, "ops", "p-2"))
	same.MappingPolicies = append(same.MappingPolicies, NewMappingPolicy(same.Shares[1].ID, "ops"))
	same.Summarize()
	if got := same.AccessPolicies[0].Rule; !slices.Equal(got, []string{"VO:ops"}) {
		t.Errorf("%q", got)
	}
	empty := Document{Services: []Service{NewService("x", "S")}, Managers: []Manager{NewManager("x", "")}}
	empty.Summarize()
	if s := empty.Services[0]; s.Complexity != "endpointType=0,share=0" || *s.VMs.Total != 0 || empty.Managers[0].InstanceMaxCPU != nil {
		t.Errorf("%+v", s)
	}
}

// TestMerged: objects that differ in their shares only become one, the others stay apart, and nothing is lost.
func TestMerged(t *testing.T) {
	d := twoVOs("p-bio")
	second := d.Shares[1].ID
	image := d.Images[0]
	image.Shares = []string{second}
	renamed := image
	renamed.Name = "another"
	traffic := image
	traffic.Network = nil
	d.Images = append(d.Images, image, renamed, traffic)
	m := d.Merged()
	if len(m.Images) != 3 || !slices.Equal(m.Images[0].Shares, []string{d.Shares[0].ID, second}) || len(m.InstanceTypes) != 2 {
		t.Errorf("%+v", m.Images)
	}
	if len(d.Images) != 4 || len(d.Images[0].Shares) != 1 {
		t.Error("the document itself was changed")
	}
	var a, b []string
	for e := range Entries(d, ResourceBase(), nil) {
		a = append(a, fmt.Sprint(e))
	}
	for e := range Entries(m, ResourceBase(), nil) {
		b = append(b, fmt.Sprint(e))
	}
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		t.Error("merged, the tree is another")
	}
	if changes := Diff(d, m); len(changes) > 0 {
		t.Error(changes)
	}
	if again := m.Merged(); len(Diff(m, again)) > 0 || len(again.Images) != 3 {
		t.Error("merging twice changes more")
	}
}

func TestDiff(t *testing.T) {
	from, to := exampleDocument(), exampleDocument()
	to.Services[0].CreationTime = to.Services[0].CreationTime.AddDate(0, 0, 1)
	if changes := Diff(from, to); len(changes) > 0 {
		t.Errorf("only the time is another: %v", changes)
	}
	to.Images[0].Name, to.Images[0].OSName = "now", ""
	to.InstanceTypes[0].VirtualAccelerators, to.VirtualAccelerators = nil, nil
	added := to.Images[0]
	added.ID = "added"
	to.Images = append(to.Images, added)
	share := from.Shares[0].ID
	got := fmt.Sprintf("%q", Diff(from, to))
	want := fmt.Sprintf("%q", []Change{
		{Changed, "CloudComputingImage", "uni-1", share, "now", []ChangedValue{{"Name", `"\u00dcn\u00efcode image"`, `"now"`}, {"OSName", `"ubuntu"`, ""}}},
		{Added, "CloudComputingImage", "added", share, "now", nil},
		{Changed, "CloudComputingInstanceType", "gpu-1", share, "g1.a100", []ChangedValue{{"Associations.CloudComputingVirtualAccelerator", `["gpu-1_gpu"]`, ""}}},
		{Removed, "CloudComputingVirtualAccelerator", "gpu-1_gpu", "", "g1.a100_gpu", nil},
	})
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestTwoRegions: two endpoints of one cloud, with one flavor id for different things.
func TestTwoRegions(t *testing.T) {
	d, other := exampleDocument(), exampleDocument()
	d.Images[0].Description = "one line"
	const ep = "https://ks.example.org:5000/v3"
	endpoint := NewEndpoint(ep, "R2", "LAB-SITE")
	share := NewShare(ServiceID(ep), endpoint.ID, "ops", "p-ops")
	it, acc, first := other.InstanceTypes[0], other.VirtualAccelerators[0], d.VirtualAccelerators[0]
	it.Shares, it.Endpoints, it.Managers = []string{share.ID}, []string{endpoint.ID}, []string{ManagerID(ep, "R2")}
	first.Shares, acc.Shares, acc.Model = []string{d.Shares[0].ID}, []string{share.ID}, "H100"
	d.Endpoints = append(d.Endpoints, endpoint)
	d.Managers = append(d.Managers, NewManager(ep, "R2"))
	d.Shares = append(d.Shares, share)
	d.MappingPolicies = append(d.MappingPolicies, NewMappingPolicy(share.ID, "ops"))
	d.AccessPolicies = append(d.AccessPolicies, NewAccessPolicy(endpoint.ID))
	d.InstanceTypes = append(d.InstanceTypes, it)
	d.VirtualAccelerators = []VirtualAccelerator{first, acc}
	d.Summarize()
	if found := Validate(d); len(found) > 0 {
		t.Error(found)
	}
	models := map[string]string{}
	for e := range Entries(d, ResourceBase(), func(f Finding) { t.Error(f) }) {
		for _, a := range e.Attributes {
			if a.Name == "GLUE2CloudComputingVirtualAcceleratorModel" {
				models[e.DN[1].Value] = a.Values[0]
			}
		}
	}
	if len(models) != 2 || models[share.ID] != "H100" {
		t.Error(models)
	}
	if got := *d.Services[0].VMs.Total; got != 1 {
		t.Errorf("%d VMs", got)
	}
	var out bytes.Buffer
	if err := WriteJSON(&out, d); err != nil {
		t.Fatal(err)
	}
	if err := apiLoads(out.Bytes()); err != nil {
		t.Error(err)
	}
	back, found, err := Parse(&out, Limits{})
	if err != nil || len(found) > 0 || len(Diff(d, back)) > 0 {
		t.Error(err, found, Diff(d, back))
	}
}
