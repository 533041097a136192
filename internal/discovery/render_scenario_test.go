package discovery

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/openstack"
)

// scenario is the inventory that the recorded documents were made from.
type scenario struct {
	Projects []scenarioProject
	Flavors  []scenarioFlavor
	Images   []map[string]any
	Quota    map[string]int64
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

// recordedFolder is where a recorded cloud is: here, or with the package that holds documents.
func recordedFolder(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{filepath.Join("testdata", "render"), filepath.Join("..", "..", "protocol", "glue", "testdata")} {
		if _, err := os.Stat(filepath.Join(dir, name, "scenario.json")); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Fatalf("there is no recorded cloud %s", name)
	return ""
}

// scenarioCatalog gives what a catalog of the scenario's cloud holds.
func scenarioCatalog(t testing.TB, folder string, at time.Time) Catalog {
	t.Helper()
	var s scenario
	b, err := os.ReadFile(filepath.Join(folder, "scenario.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	site, ep, vos := scenarioSite(t, filepath.Join(folder, "site.yaml"))
	c := Catalog{Site: site, EP: ep, Authentication: "password", Made: at, Authorities: Known[openstack.Authorities]{Value: openstack.Authorities{Plain: true}, At: at}}
	for _, url := range []string{ep, ep + "/"} {
		if before, _, found := strings.Cut(s.GOCDB.XML, "<URL>"+url+"</URL>"); found {
			key := before[strings.LastIndex(before, `PRIMARY_KEY="`)+len(`PRIMARY_KEY="`):]
			key, _, _ = strings.Cut(key, `"`)
			c.Registration = Known[Registration]{Value: Registration{Key: key, Site: site}, At: at}
		}
	}
	r := Region{Cloud: "1", Name: "cloud"}
	for _, vo := range vos {
		for i := range s.Projects {
			if p := &s.Projects[i]; p.ID == vo[1] || vo[1] == "" {
				r.Shares = append(r.Shares, Share{VO: vo[0], Project: p.ID, Offer: s.offer(p, ep, at)})
				if p.AuthStatus == 0 {
					r.Version = Known[string]{Value: "2.95", At: at}
				}
			}
		}
	}
	c.Regions = []Region{r}
	return c
}

// offer gives what a project is offered.
func (s *scenario) offer(p *scenarioProject, ep string, at time.Time) Offer {
	if p.AuthStatus != 0 {
		t := &Trouble{Stage: "sign-in", Status: p.AuthStatus, RequestID: "req-1", Reason: "not for strangers", Since: at}
		return Offer{Scope: Known[openstack.Scope]{Trouble: t}, Flavors: Known[[]Flavor]{Trouble: t}, Images: Known[[]Image]{Trouble: t},
			Networks: Known[[]openstack.Network]{Trouble: t}, Quotas: Known[map[string]int64]{Trouble: t},
			NetworkQuotas: Known[map[string]int64]{Trouble: t}, VolumeQuotas: Known[map[string]int64]{Trouble: t}, VMs: Known[openstack.VMCounts]{Trouble: t}}
	}
	o := Offer{
		Scope:    Known[openstack.Scope]{Value: openstack.Scope{ID: p.ID, Name: p.Name, DomainName: p.Domain}, At: at},
		Flavors:  Known[[]Flavor]{Value: []Flavor{}, At: at},
		Images:   Known[[]Image]{Value: []Image{}, At: at},
		Networks: Known[[]openstack.Network]{At: at},
		Quotas:   Known[map[string]int64]{Value: s.Quota, At: at},
		VMs:      Known[openstack.VMCounts]{Value: openstack.VMCounts{Total: len(p.Servers), ByStatus: map[string]int{}}, At: at},
	}
	for _, state := range p.Servers {
		o.VMs.Value.ByStatus[state]++
	}
	flavors := s.Flavors
	if p.Flavors != nil {
		flavors = p.Flavors
	}
	for _, f := range flavors {
		o.Flavors.Value = append(o.Flavors.Value, Flavor{ID: f.ID, Name: f.Name, VCPUs: f.VCPUs, RAM: f.RAM, Disk: f.Disk, Ephemeral: f.Ephemeral,
			Public: f.IsPublic == nil || *f.IsPublic, ExtraSpecs: f.ExtraSpecs})
	}
	for _, image := range s.Images {
		o.Images.Value = append(o.Images.Value, scenarioImage(image, p.ID, strings.TrimSuffix(ep, "/v3")))
	}
	return o
}

func scenarioImage(image map[string]any, project, glance string) Image {
	text := func(name string) string { s, _ := image[name].(string); return s }
	number := func(name string) int64 { n, _ := image[name].(float64); return int64(n) }
	listed := openstack.ListedImage{ID: text("id"), Name: text("name"), Owner: text("owner"), Visibility: text("visibility"), File: text("file"),
		Size: number("size"), MinDisk: number("min_disk"), MinRAM: number("min_ram"), Properties: map[string]string{}}
	for name := range image {
		if s := text(name); s != "" {
			listed.Properties[name] = s
		}
	}
	return imageOf(listed, project, glance)
}

// scenarioSite reads the few lines of a site's file that are needed.
func scenarioSite(t testing.TB, path string) (site, ep string, vos [][2]string) {
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
