package discovery

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/protocol/glue"
)

// largeCatalog is a cloud with so many shares, each of which is offered the same flavors and images, in values of its own as
// they come from the database.
func largeCatalog(shares, flavors, images int) Catalog {
	vos := make([]string, shares)
	for i := range vos {
		vos[i] = fmt.Sprintf("vo%d.example.org", i)
	}
	c := sample(vos...)
	for k := range c.Regions[0].Shares {
		o := &c.Regions[0].Shares[k].Offer
		o.Flavors.Value, o.Images.Value = make([]Flavor, flavors), make([]Image, images)
		for i := range flavors {
			o.Flavors.Value[i] = Flavor{ID: fmt.Sprintf("%08d-1b2c-3d4e-5f60-718293a4b5c6", i), Name: fmt.Sprintf("m%d.large", i), VCPUs: int64(i%64 + 1), RAM: 2048, Disk: 20, Public: true}
			if i%10 == 0 {
				o.Flavors.Value[i].ExtraSpecs = map[string]string{"Accelerator:Number": "1.0", "Accelerator:Vendor": "NVIDIA", "Accelerator:Model": "A100", "hw:cpu_policy": "dedicated"}
			}
		}
		for i := range images {
			uri := fmt.Sprintf("registry.egi.eu/egi_vm_images/image%d:22.04-sha256:%s", i, strings.Repeat("0f", 32))
			o.Images.Value[i] = Image{ID: fmt.Sprintf("%08d-276b-462b-b03d-8843ef2e3d24", i), Name: fmt.Sprintf("registry.egi.eu egi_vm_images/image%d:22.04", i), Visibility: "shared", Size: 2 << 30,
				Properties: map[string]string{"vmcatcher_event_ad_mpuri": uri, "os_distro": "ubuntu", "os_version": "22.04", "architecture": "x86_64", "vmcatcher_event_dc_description": "EGI image",
					"APPLIANCE_ATTRIBUTES": fmt.Sprintf(`{"eu.egi.cloud.tag": "2025-09-04", "eu.egi.cloud.image_ref": "egi_vm_images/image%d:22.04", "org.openstack.glance.os_distro": "ubuntu"}`, i)}}
		}
	}
	return c
}

// BenchmarkRender is a large site, one object for each share and merged: 100 shares with 200 flavors and 500 images each.
func BenchmarkRender(b *testing.B) {
	c := largeCatalog(100, 200, 500)
	for _, merged := range []bool{false, true} {
		r := everything
		r.Merged = merged
		b.Run(fmt.Sprintf("merged=%v", merged), func(b *testing.B) {
			b.ReportAllocs()
			var d glue.Document
			for b.Loop() {
				d, _ = Render(c, r)
			}
			n := counter(0)
			if err := glue.WriteJSON(&n, d); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/1e6, "MB/document")
			b.ReportMetric(float64(len(d.Images)+len(d.InstanceTypes)), "objects/document")
		})
	}
}

type counter int

func (n *counter) Write(p []byte) (int, error) {
	*n += counter(len(p))
	return len(p), nil
}

var _ io.Writer = (*counter)(nil)
