package discovery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/protocol/glue"
)

var (
	renderedAt = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	before     = renderedAt.Add(-time.Hour)
)

const (
	testEP    = "https://cloud.example.org:5000/v3/"
	testShare = testEP + "_OpenStack_v3_share_ops_p1"
)

// now gives a part that was just got.
func now[T any](v T) Known[T] { return Known[T]{Value: v, At: renderedAt} }

// sample is a cloud of one region, with one share for each of the VOs.
func sample(vos ...string) Catalog {
	r := Region{Cloud: "1", Name: "cloud", Version: now("2.95")}
	for i, vo := range vos {
		r.Shares = append(r.Shares, Share{VO: vo, Project: fmt.Sprintf("p%d", i+1), Offer: Offer{
			Scope:         now(openstack.Scope{ID: fmt.Sprintf("p%d", i+1), Name: vo, DomainName: "Default"}),
			Flavors:       now([]Flavor{{ID: "f1", Name: "m1.tiny", VCPUs: 1, RAM: 512, Disk: 1, Public: true}}),
			Images:        now([]Image{{ID: "i1", Name: "ubuntu", Visibility: "public", VirtualSize: 1 << 30, Properties: map[string]string{"os_distro": "ubuntu", "architecture": "x86_64"}}}),
			Networks:      now([]openstack.Network{{ID: "n1", Name: "public", External: true}}),
			Quotas:        now(map[string]int64{"instances": 10}),
			NetworkQuotas: now(map[string]int64{}),
			VolumeQuotas:  now(map[string]int64{}),
			VMs:           now(openstack.VMCounts{Total: 1, ByStatus: map[string]int{"ACTIVE": 1}}),
		}})
	}
	return Catalog{Site: "EXAMPLE", EP: testEP, Authentication: "v3password", Made: renderedAt, Regions: []Region{r},
		Authorities:  now(openstack.Authorities{Issuer: "/CN=CA", ClientCAs: []string{"/CN=Clients"}}),
		Registration: now(Registration{Key: "1G0", Site: "EXAMPLE"})}
}

// render renders, and fails when the document is not sound.
func render(t *testing.T, c Catalog, r Rendering) (glue.Document, []glue.Finding) {
	t.Helper()
	d, found := Render(c, r)
	for _, f := range glue.Validate(d) {
		if f.Level > glue.LevelWarning {
			t.Error(f)
		}
	}
	return d, found
}

// TestRenderIsPure renders the same catalog twice: the same bytes, and the catalog is as it was.
func TestRenderIsPure(t *testing.T) {
	c, same := hostileCatalog("a", "b"), hostileCatalog("a", "b")
	first, found := Render(c, everything)
	second, again := Render(c, everything)
	if !bytes.Equal(documentJSON(t, first), documentJSON(t, second)) || !slices.Equal(found, again) {
		t.Error("another document from the same catalog")
	}
	if !reflect.DeepEqual(c, same) {
		t.Error("the catalog was changed")
	}
}

func TestRenderService(t *testing.T) {
	c := sample("ops", "biomed")
	c.Regions[0].Shares[1].Project = "p1"
	d, found := render(t, c, everything)
	if len(found) > 0 {
		t.Error(found)
	}
	s := d.Services[0]
	if *s.VMs.Total != 1 || *s.VMs.Running != 1 || s.Complexity != "endpointType=1,share=2" {
		t.Errorf("%d VMs, %s: one project counts once", *s.VMs.Total, s.Complexity)
	}
	if want := (glue.Info{{Name: "gocdb_id", Value: "1G0"}, {Name: "site_name", Value: "EXAMPLE"}}); !reflect.DeepEqual(s.OtherInfo, want) {
		t.Errorf("%v, want %v", s.OtherInfo, want)
	}
	if !s.CreationTime.Equal(renderedAt) || s.Validity != 12*time.Hour || d.Images[0].Validity != 12*time.Hour {
		t.Error(s.CreationTime, s.Validity)
	}
	for i := range c.Regions[0].Shares {
		c.Regions[0].Shares[i].Offer.VMs = Known[openstack.VMCounts]{}
	}
	if d, _ = render(t, c, everything); d.Services[0].VMs != (glue.VMs{}) || d.Shares[0].VMs != (glue.VMs{}) {
		t.Errorf("%v: nobody counted", d.Services[0].VMs)
	}
}

func TestRenderEndpoint(t *testing.T) {
	c := sample("ops")
	d, _ := render(t, c, everything)
	e := d.Endpoints[0]
	got := fmt.Sprint(e.ID, " ", e.URL, " ", e.Authentication, " ", e.IssuerCA, " ", e.TrustedCAs, " ", e.InterfaceVersion, " ", e.ImplementationVersion, " ", e.OtherInfo)
	want := testEP + "_OpenStack_v3 " + testEP + " v3password /CN=CA [/CN=Clients] 2.0 2.95 []"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	c.Authorities, c.Regions[0].Version = c.Authorities.none(), c.Regions[0].Version.none()
	d, _ = render(t, c, everything)
	if e = d.Endpoints[0]; e.IssuerCA != "" || e.TrustedCAs != nil || e.InterfaceVersion != "" || e.ImplementationVersion != "" {
		t.Errorf("%+v: what is not known is undefined", e)
	}
}

// TestRenderRegions: each region is an endpoint with a manager and shares of its own; the first has today's ids.
func TestRenderRegions(t *testing.T) {
	c := sample("ops")
	second, third := sample("ops").Regions[0], sample("biomed").Regions[0]
	c.Regions[0].Region, second.Region, third.Region = "one", "two", "two"
	third.Shares[0].Project = "p9"
	second.Shares[0].Offer.Flavors.Value[0].ExtraSpecs = map[string]string{"Accelerator:Number": "1"}
	third.Shares[0].Offer.Flavors.Value[0].ExtraSpecs = map[string]string{"Accelerator:Number": "2"}
	c.Regions = append(c.Regions, second, third)
	d, _ := render(t, c, everything)
	var got []string
	for _, m := range d.Managers {
		got = append(got, m.ID)
	}
	for _, e := range d.Endpoints {
		got = append(got, e.ID+" "+e.OtherInfo.Text("region"))
	}
	for _, s := range d.Shares {
		got = append(got, s.ID)
	}
	for _, a := range d.VirtualAccelerators {
		got = append(got, fmt.Sprint(a.ID, " ", *a.Number, " ", a.Shares))
	}
	for _, a := range d.AccessPolicies {
		got = append(got, fmt.Sprint(a.ID, a.Rule))
	}
	two := testEP + "_OpenStack_v3_two"
	want := []string{
		testEP + "_cloud.compute_manager", testEP + "_cloud.compute_manager_two",
		testEP + "_OpenStack_v3 one", two + " two",
		testShare, two + "_share_ops_p1", two + "_share_biomed_p9",
		"f1_gpu 1 [" + two + "_share_ops_p1]", "f1_gpu 2 [" + two + "_share_biomed_p9]",
		testEP + "_OpenStack_v3_policy[VO:ops]", two + "_policy[VO:ops VO:biomed]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if m := d.Images[1].Managers[0]; m != testEP+"_cloud.compute_manager_two" {
		t.Errorf("the image of the second region is of %s", m)
	}
}

// TestRenderRegionsWithoutNames tells regions apart by their clouds where they have no other name.
func TestRenderRegionsWithoutNames(t *testing.T) {
	c := sample("ops")
	c.Regions[0].Region = "one"
	for _, name := range []string{"", "cloud"} {
		r := sample("ops").Regions[0]
		r.Region = name
		c.Regions = append(c.Regions, r)
	}
	d, _ := render(t, c, everything)
	if got := []string{d.Endpoints[1].ID, d.Endpoints[2].ID}; !slices.Equal(got, []string{testEP + "_OpenStack_v3_cloud", testEP + "_OpenStack_v3_cloud_3"}) {
		t.Error(got)
	}
}

// TestRenderNothing: a site without clouds or shares is still there.
func TestRenderNothing(t *testing.T) {
	d, _ := Render(Catalog{Site: "EXAMPLE", EP: testEP, Made: renderedAt}, everything)
	if len(d.Endpoints) != 1 || d.Endpoints[0].HealthState != glue.HealthUnknown || *d.Services[0].VMs.Total != 0 {
		t.Errorf("%+v", d)
	}
	var keys map[string]any
	if err := json.Unmarshal(documentJSON(t, d), &keys); err != nil || len(keys) != 9 {
		t.Error(err, keys)
	}
}

// TestRenderUnknownParts leaves out what is not known, and no more.
func TestRenderUnknownParts(t *testing.T) {
	down := func(stage string) *Trouble { return &Trouble{Stage: stage, Status: 503, Since: before} }
	c := sample("ops", "biomed", "lost")
	o := &c.Regions[0].Shares[0].Offer
	o.Flavors, o.Quotas, o.VMs = Known[[]Flavor]{Trouble: down("flavors")}, Known[map[string]int64]{Trouble: down("quotas")}, Known[openstack.VMCounts]{Trouble: down("VMs")}
	o.Networks = o.Networks.none()
	lost := &c.Regions[0].Shares[2]
	*lost = Share{VO: "lost", Project: "p3", Offer: Offer{Scope: Known[openstack.Scope]{Trouble: down("sign-in")}}}
	d, found := render(t, c, everything)
	if len(found) > 0 || len(d.Shares) != 2 || len(d.Images) != 2 || len(d.InstanceTypes) != 1 || len(d.MappingPolicies) != 2 {
		t.Fatalf("%v: %d shares, %d images, %d instance types", found, len(d.Shares), len(d.Images), len(d.InstanceTypes))
	}
	s := d.Shares[0]
	if s.MaxVM != nil || s.VMs.Total != nil || s.InstanceMaxCPU != nil || s.PublicNetworkName != "" {
		t.Errorf("%+v: it is not known", s)
	}
	text, _ := json.Marshal(s.OtherInfo)
	for _, want := range []string{"missing", "flavors", "quotas", "VMs", down("flavors").String()} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s does not say %q", text, want)
		}
	}
	if e := d.Endpoints[0]; e.HealthState != glue.HealthWarning || !strings.Contains(e.HealthStateInfo, "VO lost: "+down("sign-in").String()) {
		t.Error(e.HealthState, e.HealthStateInfo)
	}
	if *d.Services[0].VMs.Total != 1 {
		t.Errorf("%d VMs, want those that are known", *d.Services[0].VMs.Total)
	}
}

// TestRenderOldParts publishes what was last known, and marks it.
func TestRenderOldParts(t *testing.T) {
	c := sample("ops")
	o := &c.Regions[0].Shares[0].Offer
	trouble := &Trouble{Stage: "images", Status: 500, RequestID: "req-7", Reason: "glance.internal said no", Since: renderedAt.Add(-10 * time.Minute)}
	o.Images.At, o.Images.Trouble = before, trouble
	gaps := &Trouble{Stage: "flavors", Since: renderedAt} // a listing with gaps
	o.Flavors.Trouble = gaps
	d, _ := render(t, c, everything)
	if len(d.Images) != 1 || len(d.InstanceTypes) != 1 {
		t.Fatal("what is known is not published")
	}
	want := glue.Info{{Name: "stale_since", Value: "2026-11-24T11:00:00Z"}, {Name: "stale", Value: []string{"images"}}, {Name: "incomplete", Value: []string{"flavors"}},
		{Name: "reason", Value: gaps.String() + "; " + trouble.String()}}
	if got := d.Shares[0].OtherInfo[3:]; !reflect.DeepEqual(got, want) {
		t.Errorf("%v\nwant\n%v", got, want)
	}
	health := "VO ops: " + gaps.String() + "; VO ops: " + trouble.String() + ", shown as of 2026-11-24T11:00:00Z"
	if e := d.Endpoints[0]; e.HealthState != glue.HealthWarning || e.HealthStateInfo != health {
		t.Errorf("%s %s\nwant\n%s", e.HealthState, e.HealthStateInfo, health)
	}
	if bytes.Contains(documentJSON(t, d), []byte("glance.internal")) {
		t.Error("the document tells the world about hosts inside")
	}
}

// TestRenderDuplicates: ids that are there twice, or that LDAP takes for one, are shown once.
func TestRenderDuplicates(t *testing.T) {
	c := sample("ops", "ops")
	c.Regions[0].Shares[1].Project = "p1"
	o := &c.Regions[0].Shares[0].Offer
	o.Images.Value = append(o.Images.Value, Image{ID: "i1", Name: "again"}, Image{ID: "i  2"}, Image{ID: " i 2"}, Image{ID: "  "})
	o.Flavors.Value = append(o.Flavors.Value, o.Flavors.Value[0], Flavor{}, Flavor{ID: "f2", VCPUs: -1, RAM: -1, Disk: -1, Ephemeral: -1})
	c.Regions[0].Shares = append(c.Regions[0].Shares, Share{Project: "p3", Offer: *o}, Share{VO: "x", Offer: *o})
	d, found := render(t, c, everything)
	if len(d.Shares) != 1 || len(d.Images) != 2 || len(d.InstanceTypes) != 2 {
		t.Errorf("%d shares, %d images, %d instance types", len(d.Shares), len(d.Images), len(d.InstanceTypes))
	}
	if d.InstanceTypes[1].CPU != nil || len(found) != 12 {
		t.Errorf("%d findings: %v", len(found), found)
	}
}

// TestRenderMerged says the same in fewer objects.
func TestRenderMerged(t *testing.T) {
	c := sample("ops", "biomed", "fusion")
	for i := range c.Regions[0].Shares {
		f := &c.Regions[0].Shares[i].Offer.Flavors.Value[0]
		f.ExtraSpecs = map[string]string{"Accelerator:Number": "0.5"}
	}
	plain, _ := render(t, c, everything)
	r := everything
	r.Merged = true
	merged, _ := render(t, c, r)
	if len(plain.Images) != 3 || len(merged.Images) != 1 || len(merged.InstanceTypes) != 1 || len(merged.VirtualAccelerators) != 1 {
		t.Errorf("%d images, %d merged", len(plain.Images), len(merged.Images))
	}
	if s := merged.Images[0].Shares; len(s) != 3 {
		t.Error(s)
	}
	if changes := glue.Diff(plain, merged); len(changes) > 0 {
		t.Error(changes)
	}
}
