package discovery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
)

// TestCatalogKeepsWhatIsRendered: a property that the catalog drops cannot be rendered.
func TestCatalogKeepsWhatIsRendered(t *testing.T) {
	for _, p := range renderedProperties() {
		if !isKept(p) {
			t.Errorf("the catalog does not keep %s", p)
		}
	}
}

func TestImageChoice(t *testing.T) {
	uri, snapshot := map[string]string{"marketplace": "registry.egi.eu/x:1"}, map[string]string{"image_type": "snapshot", "vmcatcher_event_ad_mpuri": "registry.egi.eu/x:1"}
	for _, c := range []struct {
		name                string
		image               Image
		market, shared, all bool
	}{
		{"from the federation", Image{Own: true, Visibility: "private", Properties: uri}, true, true, true},
		{"cloudkeeper's", Image{Own: true, Visibility: "private", Properties: map[string]string{"CLOUDKEEPER_mpuri": "https://appdb.egi.eu/1"}}, true, true, true},
		{"with a blank URI", Image{Own: true, Visibility: "private", Properties: map[string]string{"marketplace": " "}}, false, false, true},
		{"public", Image{Own: true, Visibility: "public"}, false, true, true},
		{"shared by others", Image{Visibility: "shared"}, false, true, true},
		{"shared by others before Ocata", Image{Visibility: "private"}, false, true, true},
		{"own, that others may see", Image{Own: true, Visibility: "shared"}, false, false, true},
		{"own", Image{Own: true, Visibility: "private"}, false, false, true},
	} {
		for choice, want := range map[ImageChoice]bool{Marketplace: c.market, Shared: c.shared, AllImages: c.all, "": c.market} {
			x := &renderer{r: &Rendering{Images: choice}}
			if got := x.chosen(&c.image); got != want {
				t.Errorf("%s, %q: published: %v", c.name, choice, got)
			}
		}
	}
	for _, p := range []map[string]string{snapshot, {"image_type": "backup"}, {"block_device_mapping": `[{"source_type": "snapshot", "snapshot_id": "1"}]`}} {
		image := Image{Visibility: "public", Properties: p}
		for _, choice := range []ImageChoice{Marketplace, Shared, AllImages} {
			x := &renderer{r: &Rendering{Images: choice}}
			if x.chosen(&image) {
				t.Errorf("%s: %v is a snapshot and published", choice, p)
			}
		}
		x := &renderer{r: &Rendering{Images: Shared, Snapshots: true}}
		if !x.chosen(&image) {
			t.Errorf("%v: snapshots are asked for", p)
		}
	}
}

func TestFlavorChoice(t *testing.T) {
	c := sample("ops")
	f := &c.Regions[0].Shares[0].Offer.Flavors
	f.Value = append(f.Value, Flavor{ID: "own", VCPUs: 64, RAM: 1})
	for choice, want := range map[FlavorChoice]string{AllFlavors: "f1 own 64", PublicFlavors: "f1 1", PrivateFlavors: "own 64", "": "f1 own 64"} {
		d, _ := render(t, c, Rendering{Flavors: choice, Validity: everything.Validity})
		got := ""
		for _, it := range d.InstanceTypes {
			got += it.ID + " "
		}
		if got += fmt.Sprint(*d.Shares[0].InstanceMaxCPU); got != want {
			t.Errorf("%q: %s, want %s: the largest is one of those published", choice, got, want)
		}
	}
}

// oneImage renders an image alone.
func oneImage(i Image) (glue.Image, []glue.Finding) {
	x := &renderer{r: &everything, found: map[glue.Finding]bool{}, images: map[string]renderedImage{}, attributes: map[string]*attributes{}}
	return x.image(&i), x.findings
}

func TestImage(t *testing.T) {
	for _, c := range []struct {
		name  string
		image Image
		want  string // the attributes that say something
	}{
		{"nothing", Image{}, ""},
		{"Glance's own words", Image{MinRAM: 512, File: "https://glance/v2/images/1/file", Properties: map[string]string{
			"architecture": "aarch64", "os_distro": "debian", "os_version": "13", "os_type": "Linux", "image_version": "7", "vmcatcher_event_dc_title": "title"}},
			"url=https://glance/v2/images/1/file platform=aarch64 family=linux os=debian 13 version=7 description=title ram=512"},
		{"description before title", Image{Properties: map[string]string{"vmcatcher_event_dc_description": "d\ne", "vmcatcher_event_dc_title": "title"}}, "description=d\ne"},
		{"marketplace before Glance's file", Image{File: "f", Properties: map[string]string{"marketplace": "m", "vmcatcher_event_ad_mpuri": "v"}}, "url=v"},
		{"cloudkeeper's", Image{Properties: map[string]string{"CLOUDKEEPER_mpuri": "m", "CLOUDKEEPER_base_mpuri": "b", "CLOUDKEEPER_title": "t", "CLOUDKEEPER_version": "v",
			"CLOUDKEEPER_architecture": "x86_64", "CLOUDKEEPER_operating_system": "CentOS/7", "CLOUDKEEPER_core": "2"}},
			"url=m platform=x86_64 family=linux os=CentOS/7 version=v description=t cpu=2 info=[{base_mpuri b}]"},
		{"the registry's annotations", Image{Properties: map[string]string{"APPLIANCE_ATTRIBUTES": `{"org.openstack.glance.os_distro":"alma","org.openstack.glance.os_version":"9","org.openstack.glance.architecture":"x86_64","eu.egi.cloud.tag":2025}`}},
			"platform=x86_64 family=linux os=alma 9 version=2025 info=[{org.openstack.glance.os_distro alma} {org.openstack.glance.os_version 9} {org.openstack.glance.architecture x86_64} {eu.egi.cloud.tag 2025}]"},
		{"properties before annotations", Image{Properties: map[string]string{"os_distro": "debian", "APPLIANCE_ATTRIBUTES": `{"org.openstack.glance.os_distro":"alma"}`}}, "family=linux os=debian info=[{org.openstack.glance.os_distro alma}]"},
		{"UNKNOWN says nothing", Image{Properties: map[string]string{"os_distro": "UNKNOWN", "os_version": " "}}, ""},
	} {
		got, found := oneImage(c.image)
		if len(found) > 0 {
			t.Errorf("%s: %v", c.name, found)
		}
		if text := describe(got); text != c.want {
			t.Errorf("%s: %s\nwant\n%s", c.name, text, c.want)
		}
	}
}

// describe lists what an image says.
func describe(i glue.Image) string {
	var out []string
	for _, a := range []struct{ name, value string }{{"url", i.MarketplaceURL}, {"platform", i.OSPlatform}, {"family", i.OSFamily},
		{"os", strings.TrimSpace(i.OSName + " " + i.OSVersion)}, {"version", i.Version}, {"description", i.Description}} {
		if a.value != "" {
			out = append(out, a.name+"="+a.value)
		}
	}
	for _, a := range []struct {
		name  string
		value *int64
	}{{"cpu", i.MinCPU}, {"ram", i.MinRAM}, {"disk", i.DiskSize}} {
		if a.value != nil {
			out = append(out, fmt.Sprint(a.name, "=", *a.value))
		}
	}
	if i.OtherInfo != nil {
		out = append(out, fmt.Sprint("info=", i.OtherInfo))
	}
	return strings.Join(out, " ")
}

func TestDiskSize(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct{ minDisk, virtual, size, want int64 }{
		{0, 0, 0, 0}, {10, 0, 0, 10}, {0, 1, 0, 1}, {0, gib, 0, 1}, {0, gib + 1, 0, 2}, {10, 20 * gib, 1 * gib, 20}, {30, 20 * gib, 0, 30}, {0, 0, 3*gib - 1, 3},
		{-5, -1, -1, 0}, {0, 1<<63 - 1, 0, 1 << 33},
	} {
		got := int64(0)
		if n := diskSize(&Image{MinDisk: c.minDisk, VirtualSize: c.virtual, Size: c.size}); n != nil {
			got = *n
		}
		if got != c.want {
			t.Errorf("min_disk %d, virtual size %d, size %d: %d, want %d", c.minDisk, c.virtual, c.size, got, c.want)
		}
	}
}

func TestOSFamily(t *testing.T) {
	for _, c := range []struct{ osType, name, want string }{
		{"linux", "", "linux"}, {"Windows", "", "windows"}, {"", "ubuntu", "linux"}, {"", "Rocky Linux", "linux"}, {"", "CentOS/7", "linux"}, {"", "almalinux", "linux"},
		{"", "windows2019", "windows"}, {"", "win10", "windows"}, {"", "freebsd14.0", "bsd"}, {"", "opensuse15.5", "linux"}, {"", "ol8", "linux"}, {"", "omnios", "solaris"},
		{"", "", ""}, {"", "my own thing", ""}, {"", "olive", ""},
	} {
		if got := osFamily(c.osType, c.name); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.osType, c.name, got, c.want)
		}
	}
}

// TestBrokenAttributes: the image is published, and a finding says what is wrong, once.
func TestBrokenAttributes(t *testing.T) {
	for _, text := range []string{"{not json", "[]", `"text"`, "{} {}", `{"a":` + strings.Repeat("[", 99), strings.Repeat(" ", 1<<21)} {
		c := sample("ops", "biomed")
		for i := range c.Regions[0].Shares {
			c.Regions[0].Shares[i].Offer.Images.Value[0].Properties["APPLIANCE_ATTRIBUTES"] = text
		}
		d, found := render(t, c, everything)
		if len(d.Images) != 2 || d.Images[0].OSName != "ubuntu" || d.Images[0].OtherInfo != nil {
			t.Errorf("%.20s: %v", text, d.Images)
		}
		if len(found) != 1 || found[0].ID != "i1" || found[0].Attribute != "OtherInfo" || len(found[0].Reason) > 300 {
			t.Errorf("%.20s: %v", text, found)
		}
	}
}

// TestNumbersAsText: the information API drops a site where these are numbers.
func TestNumbersAsText(t *testing.T) {
	i, _ := oneImage(Image{Properties: map[string]string{"APPLIANCE_ATTRIBUTES": `{"eu.egi.cloud.tag": 2025.10, "eu.egi.cloud.image_ref": true, "n": 1}`}})
	if i.OtherInfo.Text("eu.egi.cloud.tag") != "2025.10" || i.OtherInfo.Text("eu.egi.cloud.image_ref") != "true" || i.OtherInfo.Text("n") != "" {
		t.Errorf("%#v", i.OtherInfo)
	}
}

func TestTraffic(t *testing.T) {
	ruby := `[{:\"ad:net_direction\"=>\"outbound\", :\"ad:net_protocol\"=>\"all\", :\"ad:net_range\"=>\"0.0.0.0/0\", :\"ad:net_port\"=>\"all\"}]`
	for _, c := range []struct{ attributes, want string }{
		{`{}`, ""},
		{`{"ad:traffic_in": [{"ad:net_direction": "inbound", "ad:net_protocol": "tcp", "ad:net_range": "0.0.0.0/0", "ad:net_port": "22"}], "ad:traffic_out": "` + ruby + `"}`,
			"[{inbound tcp 22 0.0.0.0/0} {outbound all all 0.0.0.0/0}]"},
		{`{"ad:traffic_in": [{"net_protocols": ["tcp","udp"], "net_ports": 80}, 7, {"x": 1}, []]}`, "[{inbound tcp,udp 80 }]"},
		{`{"ad:traffic_out": {"net_port": "25000:25009"}}`, "[{outbound  25000:25009 }]"},
		{`{"ad:traffic_in": "[{\"net_port\": \"1\"}, {'net_port': '2'}, {:net_port=>3}, {"}`, "[{inbound  1 } {inbound  2 } {inbound  3 }]"},
		{`{"ad:traffic_in": "all of it", "ad:traffic_out": 5}`, ""},
		{`{"ad:traffic_in": [` + strings.Repeat(`{"net_port": "1"},`, 1000) + `{"net_port": "2"}]}`, "[{inbound  1 }" + strings.Repeat(" {inbound  1 }", maxTraffic-1) + "]"},
	} {
		i, found := oneImage(Image{Properties: map[string]string{"APPLIANCE_ATTRIBUTES": c.attributes}})
		got := ""
		if i.Network != nil {
			got = fmt.Sprint(i.Network)
		}
		if got != c.want || len(found) > 0 {
			t.Errorf("%.200s: %s %v, want %s", c.attributes, got, found, c.want)
		}
	}
	i, _ := oneImage(Image{Properties: map[string]string{"ad:traffic_in": `[{"net_port": "1"}]`}})
	if fmt.Sprint(i.Network) != "[{inbound  1 }]" {
		t.Errorf("as a property: %v", i.Network)
	}
}
