//go:build bench

package main

import (
	"fmt"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// offer makes flavors, of which every tenth has a GPU, and images as the federation's central sync lays them into Glance: the
// first project's, and shared with all others.
func (s *shape) offer(w *world.World) {
	for n := range s.flavors {
		f := world.Flavor{ID: uuid("flavor", n), Name: fmt.Sprintf("m1.size%d", n), VCPUs: int64(1 + n%64), RAM: int64(2048 * (1 + n%64)), Disk: int64(20 + n), Extra: map[string]string{"hw:cpu_policy": "dedicated"}}
		if n%10 == 0 {
			f.Extra = map[string]string{"Accelerator:Type": "GPU", "Accelerator:Number": "1", "Accelerator:Vendor": "NVIDIA", "Accelerator:Model": "A100", "Accelerator:Memory": "40"}
		}
		w.Flavors = append(w.Flavors, f)
	}
	members := map[string]string{}
	for _, p := range w.Projects[1:] {
		members[p.ID] = "accepted"
	}
	for n := range s.images {
		name, digest := fmt.Sprintf("egi_vm_images/image%d:22.04", n), hex(uuid("digest", n))+hex(uuid("digest's rest", n))
		uri, text := fmt.Sprintf("registry.egi.eu/%s-sha256:%s", name, digest), fmt.Sprintf("EGI image %d", n)
		w.Images = append(w.Images, world.Image{ID: uuid("image", n), Name: "registry.egi.eu " + name, Owner: w.Projects[0].ID, Visibility: "shared", Members: members, Tags: []string{"atrope-catchall"},
			Size: 2 << 30, VirtualSize: 10 << 30, MinDisk: 10, MinRAM: 1024,
			Properties: map[string]string{
				"vmcatcher_event_ad_mpuri": uri, "appdb_id": uri, "vmcatcher_event_dc_description": text, "image_hash": digest, "image_list": "egi_vm_images",
				"os_distro": "ubuntu", "os_version": "22.04", "architecture": "x86_64",
				"APPLIANCE_ATTRIBUTES": fmt.Sprintf(`{"eu.egi.cloud.description": %q, "eu.egi.cloud.tag": "2026-01-0%d-4d7122d6", "eu.egi.cloud.image_ref": %q, "org.opencontainers.image.title": "image%d.qcow2", `+
					`"org.openstack.glance.architecture": "x86_64", "org.openstack.glance.disk_format": "qcow2", "org.openstack.glance.os_admin_user": "ubuntu", "org.openstack.glance.os_distro": "ubuntu", "org.openstack.glance.os_type": "linux", "org.openstack.glance.os_version": "22.04"}`, text, 1+n%9, name, n),
			}})
	}
}
