package glue

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scenario is the inventory that the recorded documents were made from.
type scenario struct {
	Projects []scenarioProject
	Flavors  []scenarioFlavor
	Images   []map[string]any
	Quota    json.RawMessage
	GOCDB    struct{ XML string }
}

type scenarioProject struct {
	ID, Name, Domain string
	Servers          []string
	Flavors          []scenarioFlavor
	AuthStatus       int `json:"auth_status"`
}

type scenarioFlavor struct {
	ID, Name                    string
	RAM, Disk, VCPUs, Ephemeral int64
	IsPublic                    *bool             `json:"is_public"`
	ExtraSpecs                  map[string]string `json:"extra_specs"`
}

// variant is how a recorded document was asked for.
type variant struct {
	folder, file string
	flavors      string // "", public, private
	gpu          [3]string
	issuer       string // found by asking the server
	auditor      bool
}

var variants = []variant{
	{folder: "01-single-vo"}, {folder: "02-two-vos-states"}, {folder: "04-images"}, {folder: "05-one-vo-401"},
	{folder: "06-all-vos-401"}, {folder: "07-empty-site"},
	{folder: "10-select-flavors", file: "v1.2.0-glue21json-public.pretty.json", flavors: "public"},
	{folder: "10-select-flavors", file: "v1.2.0-glue21json-private.pretty.json", flavors: "private"},
	{folder: "11-gocdb-not-found"},
	{folder: "17-auditor-role", file: "v1.2.0-glue21json-ok.pretty.json", auditor: true},
	{folder: "21-manager-minmax"},
	{folder: "24-https-ca", issuer: "/C=NL/O=Test CA Org/CN=Lab Test CA"},
	{folder: "31-null-vos"}, {folder: "34-gpu-number-fraction"}, {folder: "35-image-null-name"},
	{folder: "36-property-options", gpu: [3]string{"gpu:n", "gpu:v", "gpu:m"}},
}

// recorded is the document of the peer.
func (v variant) recorded(t *testing.T) []byte {
	t.Helper()
	name := v.file
	if name == "" {
		name = "v1.2.0-glue21json.pretty.json"
	}
	b, err := os.ReadFile(filepath.Join("testdata", v.folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// document builds the values that a catalog of the scenario's cloud would give.
func (v variant) document(t *testing.T, at time.Time) Document {
	t.Helper()
	var s scenario
	b, err := os.ReadFile(filepath.Join("testdata", v.folder, "scenario.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	site, ep, vos := readSite(t, filepath.Join("testdata", v.folder, "site.yaml"))

	service, manager, endpoint := NewService(ep, site), NewManager(ep, ""), NewEndpoint(ep, "", site)
	if at := strings.Index(s.GOCDB.XML, "<URL>"+ep+"</URL>"); at > 0 {
		before := s.GOCDB.XML[:at]
		id := before[strings.LastIndex(before, `PRIMARY_KEY="`)+len(`PRIMARY_KEY="`):]
		id, _, _ = strings.Cut(id, `"`)
		service.OtherInfo = Info{{"gocdb_id", id}, {"site_name", site}}
	}
	endpoint.Authentication, endpoint.IssuerCA = "password", v.issuer
	endpoint.InterfaceVersion, endpoint.ImplementationVersion = "2.0", "2.95"
	if v.auditor {
		endpoint.OtherInfo = Info{{"auditor_role", true}}
	}
	d := Document{}
	for _, vo := range vos {
		for _, p := range s.Projects {
			if p.ID == vo[1] {
				v.share(&d, &s, p, vo[0], ep, &endpoint)
			}
		}
	}
	if len(d.Shares) == 0 {
		endpoint.InterfaceVersion, endpoint.ImplementationVersion = "", ""
		endpoint.HealthState, endpoint.HealthStateInfo = HealthUnknown, "No working authentication configured"
	}
	d.Services, d.Managers, d.Endpoints = []Service{service}, []Manager{manager}, []Endpoint{endpoint}
	d.AccessPolicies = []AccessPolicy{NewAccessPolicy(endpoint.ID)}
	d.Summarize()
	for _, c := range d.classes() {
		for i := range c.len {
			c.at(i).entity().CreationTime, c.at(i).entity().Validity = at, 12*time.Hour
		}
	}
	return d
}

// share adds one VO's share of the cloud.
func (v variant) share(d *Document, s *scenario, p scenarioProject, vo, ep string, endpoint *Endpoint) {
	if p.AuthStatus != 0 {
		endpoint.HealthState, endpoint.HealthStateInfo = HealthWarning, "VO "+vo+": Keystone answered "+strconv.Itoa(p.AuthStatus)
		return
	}
	share := NewShare(ServiceID(ep), endpoint.ID, vo, p.ID)
	quotas, err := ParseInfo(string(s.Quota))
	if err != nil {
		panic(err)
	}
	share.OtherInfo = Info{{"project_name", p.Name}, {"project_domain_name", p.Domain}, {"quotas", quotas}}
	if n, ok := whole(quotas.Get("instances")); ok {
		share.MaxVM = &n
	}
	share.VMs = VMs{Total: new(int64), Running: new(int64), Pending: new(int64), Suspended: new(int64), Halted: new(int64)}
	for _, state := range p.Servers {
		*share.VMs.Total++
		switch state {
		case "ACTIVE", "VERIFY_RESIZE":
			*share.VMs.Running++
		case "BUILD":
			*share.VMs.Pending++
		case "SUSPENDED", "PAUSED":
			*share.VMs.Suspended++
		case "SHUTOFF", "SHELVED_OFFLOADED":
			*share.VMs.Halted++
		}
	}
	d.Shares = append(d.Shares, share)
	d.MappingPolicies = append(d.MappingPolicies, NewMappingPolicy(share.ID, vo))
	flavors := s.Flavors
	if p.Flavors != nil {
		flavors = p.Flavors
	}
	for _, f := range flavors {
		if public := f.IsPublic == nil || *f.IsPublic; v.flavors == "" || public == (v.flavors == "public") {
			v.flavor(d, f, share.ID, endpoint.ID, ep)
		}
	}
	for _, i := range s.Images {
		d.Images = append(d.Images, image(i, share.ID, endpoint.ID, ep))
	}
}

func (v variant) flavor(d *Document, f scenarioFlavor, share, endpoint, ep string) {
	t := InstanceType{
		Entity: Entity{ID: f.ID, Name: f.Name}, Shares: []string{share}, Endpoints: []string{endpoint}, Managers: []string{ManagerID(ep, "")},
		Platform: "amd64", CPU: &f.VCPUs, RAM: &f.RAM, Disk: &f.Disk, NetworkIn: Undefined, NetworkOut: True,
	}
	if f.Ephemeral > 0 {
		t.EphemeralStorage = &f.Ephemeral
	}
	keys := v.gpu
	if keys[0] == "" {
		keys = [3]string{"Accelerator:Number", "Accelerator:Vendor", "Accelerator:Model"}
	}
	if n, err := strconv.ParseFloat(f.ExtraSpecs[keys[0]], 64); err == nil && n > 0 {
		a := VirtualAccelerator{
			Entity: Entity{ID: VirtualAcceleratorID(f.ID), Name: f.Name + "_gpu"}, InstanceTypes: []string{f.ID}, Type: "GPU", Number: &n,
			Vendor: f.ExtraSpecs[keys[1]], Model: f.ExtraSpecs[keys[2]], Version: f.ExtraSpecs["Accelerator:Version"],
			VirtualizationType: f.ExtraSpecs["Accelerator:VirtualizationType"],
		}
		if m, err := strconv.ParseInt(f.ExtraSpecs["Accelerator:Memory"], 10, 64); err == nil {
			a.Memory = &m
		}
		t.VirtualAccelerators = []string{a.ID}
		d.VirtualAccelerators = append(d.VirtualAccelerators, a)
	}
	d.InstanceTypes = append(d.InstanceTypes, t)
}

func image(p map[string]any, share, endpoint, ep string) Image {
	first := func(names ...string) string {
		for _, n := range names {
			if s, _ := p[n].(string); s != "" {
				return s
			}
		}
		return ""
	}
	i := Image{
		Entity: Entity{ID: first("id"), Name: first("name")}, Shares: []string{share}, Endpoints: []string{endpoint}, Managers: []string{ManagerID(ep, "")},
		MarketplaceURL: first("vmcatcher_event_ad_mpuri", "marketplace"),
		OSPlatform:     first("architecture"), OSName: first("os_distro"), OSVersion: first("os_version"), OSFamily: first("os_type"),
		Version:     first("image_version"),
		Description: first("vmcatcher_event_dc_description", "vmcatcher_event_dc_title"), AccessInfo: AccessNone,
	}
	if i.MarketplaceURL == "" {
		i.MarketplaceURL = strings.TrimSuffix(ep, "/v3") + first("file")
	}
	if size, _ := p["size"].(float64); size > 0 {
		i.DiskSize = new(int64(math.Ceil(size / 1e9)))
	}
	if info, err := ParseInfo(first("APPLIANCE_ATTRIBUTES")); err == nil {
		if base := info.Get("ad:base_mpuri"); base != nil {
			info = append(Info{{"base_mpuri", base}}, info...)
		}
		i.OtherInfo = info
	}
	return i
}

// readSite reads the few lines of a site's file that are needed.
func readSite(t *testing.T, path string) (site, ep string, vos [][2]string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		switch key {
		case "gocdb":
			site = value
		case "endpoint":
			ep = value
		case "- name":
			vos = append(vos, [2]string{value})
		case "project_id":
			vos[len(vos)-1][1] = value
		}
	}
	return site, ep, vos
}
