//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the cloud offers, as the services' databases say it. Nothing here is the product's code: the document is read by its
// keys, and rules are written down a second time.
const (
	offeredVMs = `SELECT JSON_OBJECT('Project', project_id, 'State', vm_state, 'N', COUNT(*)) FROM instances WHERE deleted = 0 GROUP BY project_id, vm_state`

	offeredFlavors = `SELECT JSON_OBJECT('ID', f.flavorid, 'Name', f.name, 'CPU', f.vcpus, 'RAM', f.memory_mb, 'Disk', f.root_gb, 'Ephemeral', f.ephemeral_gb,
		'Public', f.is_public, 'Projects', IFNULL((SELECT JSON_ARRAYAGG(p.project_id) FROM flavor_projects p WHERE p.flavor_id = f.id), JSON_ARRAY()),
		'Specs', IFNULL((SELECT JSON_OBJECTAGG(s.key, s.value) FROM flavor_extra_specs s WHERE s.flavor_id = f.id), JSON_OBJECT()))
		FROM flavors f WHERE NOT f.disabled`

	offeredImages = `SELECT JSON_OBJECT('ID', i.id, 'Name', i.name, 'Owner', i.owner, 'Visibility', i.visibility, 'MinDisk', i.min_disk,
		'Members', IFNULL((SELECT JSON_ARRAYAGG(m.member) FROM image_members m WHERE m.image_id = i.id AND m.status = 'accepted' AND m.deleted = 0), JSON_ARRAY()),
		'Properties', IFNULL((SELECT JSON_OBJECTAGG(p.name, p.value) FROM image_properties p WHERE p.image_id = i.id AND p.deleted = 0), JSON_OBJECT()))
		FROM images i WHERE i.status = 'active' AND i.deleted = 0 AND NOT i.os_hidden`

	offeredQuotas = "SELECT JSON_OBJECT('Project', project_id, 'Resource', resource, 'N', %s) FROM quotas WHERE project_id IS NOT NULL %s"
	publicNetwork = `SELECT JSON_OBJECT('Name', n.name) FROM networks n JOIN externalnetworks e ON e.network_id = n.id`
)

// vmWords are GLUE's words for Nova's; what is in none of them counts in the total only.
var vmWords = map[string]string{"active": "RunningVM", "resized": "RunningVM", "rescued": "RunningVM", "building": "PendingVM", "paused": "SuspendedVM", "suspended": "SuspendedVM",
	"stopped": "HaltedVM", "shelved": "HaltedVM", "shelved_offloaded": "HaltedVM"}

// object is an object of the document.
type object map[string]any

func (o object) number(name string) int64 {
	n, _ := o[name].(float64)
	return int64(n)
}

func (o object) text(name string) string {
	if v, is := o[name]; is {
		return fmt.Sprint(v)
	}
	return ""
}

func (o object) links(name string) (ids []string) {
	links, _ := o["Associations"].(map[string]any)
	all, _ := links[name].([]any)
	for _, id := range all {
		ids = append(ids, fmt.Sprint(id))
	}
	return ids
}

// equalTruth compares what a document says of VMs, sizes, images, quotas and networks with the databases.
func (o *offering) equalTruth(t *testing.T, text []byte) {
	t.Helper()
	var doc map[string][]object
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	want := o.truth(t)
	got := map[string]map[string]string{}
	say := func(class string, share, id string, values ...any) {
		if got[class] == nil {
			got[class] = map[string]string{}
		}
		got[class][share+" "+id] = fmt.Sprint(values...)
	}
	shareOf := func(x object) string {
		share := strings.Join(x.links("Share"), ",")
		return strings.TrimPrefix(share, o.ep+"_OpenStack_v3_share_")
	}
	for _, x := range doc["Share"] {
		info, _ := x["OtherInfo"].(map[string]any)
		quotas, _ := info["quotas"].(map[string]any)
		q := object(quotas).number
		say("vms", x.text("ProjectID"), "", x.number("TotalVM"), x.number("RunningVM"), x.number("PendingVM"), x.number("SuspendedVM"), x.number("HaltedVM"))
		say("quotas", x.text("ProjectID"), "", x.number("MaxVM"), q("instances"), q("cores"), q("ram"), q("floatingip"), q("volumes"), q("gigabytes"))
		say("network", x.text("ProjectID"), "", x.text("PublicNetworkName"))
	}
	for _, x := range doc["CloudComputingInstanceType"] {
		say("flavors", shareOf(x), x.text("ID"), x.text("Name"), x.number("CPU"), x.number("RAM"), x.number("Disk"), x.number("EphemeralStorage"), x.links("CloudComputingVirtualAccelerator"))
	}
	for _, x := range doc["CloudComputingVirtualAccelerator"] {
		say("accelerators", "", x.text("ID"), x.text("Type"), x.number("Number"), x.text("Vendor"), x.text("Model"))
	}
	for _, x := range doc["CloudComputingImage"] {
		say("images", shareOf(x), x.text("ID"), x.text("Name"), x.text("OSName"), x.text("OSVersion"), x.text("OSPlatform"), x.text("OSFamily"), strings.HasPrefix(x.text("MarketplaceURL"), "https://appdb.example.org/"), x.number("DiskSize"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document is not what the databases say (-databases +document):\n%s", diff)
	}
	service := doc["CloudComputingService"][0]
	if info, _ := service["OtherInfo"].(map[string]any); info["gocdb_id"] != o.key || info["site_name"] != siteName {
		t.Errorf("the service has %v of GOCDB, where its key is %s", info, o.key)
	}
	if total := service.number("TotalVM"); total < 15 {
		t.Errorf("%d VMs in all", total)
	}
	if e := doc["CloudComputingEndpoint"][0]; e.text("HealthState") != "ok" || e.text("URL") != o.ep {
		t.Errorf("the endpoint is %s: %s", e.text("HealthState"), e.text("HealthStateInfo"))
	}
}

// truth is what the databases say of each class, as the document would.
func (o *offering) truth(t *testing.T) map[string]map[string]string {
	t.Helper()
	want := map[string]map[string]string{"vms": {}, "quotas": {}, "network": {}, "flavors": {}, "accelerators": {}, "images": {}}
	counts := map[string]map[string]int64{}
	for _, cell := range []string{"nova", "nova_cell0"} {
		for _, c := range query[struct {
			Project, State string
			N              int64
		}](t, o.l, cell, offeredVMs) {
			if counts[c.Project] == nil {
				counts[c.Project] = map[string]int64{}
			}
			if c.State != "soft-delete" {
				counts[c.Project]["TotalVM"] += c.N
			}
			counts[c.Project][vmWords[c.State]] += c.N
		}
	}
	type quota struct {
		Project, Resource string
		N                 int64
	}
	quotas := map[string]int64{}
	for _, q := range slices.Concat(
		query[quota](t, o.l, "nova_api", fmt.Sprintf(offeredQuotas, "hard_limit", "")),
		query[quota](t, o.l, "neutron", fmt.Sprintf(offeredQuotas, "`limit`", "")),
		query[quota](t, o.l, "cinder", fmt.Sprintf(offeredQuotas, "hard_limit", "AND deleted = 0"))) {
		quotas[q.Project+" "+q.Resource] = q.N
	}
	network := query[struct{ Name string }](t, o.l, "neutron", publicNetwork)[0].Name
	flavors := query[struct {
		ID, Name                  string
		CPU, RAM, Disk, Ephemeral int64
		Public                    int
		Projects                  []string
		Specs                     map[string]string
	}](t, o.l, "nova_api", offeredFlavors)
	images := query[struct {
		ID, Name, Owner, Visibility string
		MinDisk                     int64
		Members                     []string
		Properties                  map[string]string
	}](t, o.l, "glance", offeredImages)
	for _, s := range o.shares {
		n, q, at := counts[s.project], func(of string) int64 { return quotas[s.project+" "+of] }, s.vo+"_"+s.project+" "
		want["vms"][s.project+" "] = fmt.Sprint(n["TotalVM"], n["RunningVM"], n["PendingVM"], n["SuspendedVM"], n["HaltedVM"])
		want["quotas"][s.project+" "] = fmt.Sprint(q("instances"), q("instances"), q("cores"), q("ram"), q("floatingip"), q("volumes"), q("gigabytes"))
		want["network"][s.project+" "] = network
		for _, f := range flavors {
			if f.Public == 0 && !slices.Contains(f.Projects, s.project) {
				continue
			}
			var gpu []string
			if number := f.Specs["Accelerator:Number"]; number != "" {
				gpu = []string{f.ID + "_gpu"}
				want["accelerators"][" "+gpu[0]] = fmt.Sprint(f.Specs["Accelerator:Type"], number, f.Specs["Accelerator:Vendor"], f.Specs["Accelerator:Model"])
			}
			want["flavors"][at+f.ID] = fmt.Sprint(f.Name, f.CPU, f.RAM, f.Disk, f.Ephemeral, gpu)
		}
		for _, i := range images {
			if i.Visibility != "public" && i.Owner != s.project && !slices.Contains(i.Members, s.project) {
				continue
			}
			want["images"][at+i.ID] = fmt.Sprint(i.Name, i.Properties["os_distro"], i.Properties["os_version"], i.Properties["architecture"], i.Properties["os_type"],
				i.Properties["vmcatcher_event_ad_mpuri"] != "", max(i.MinDisk, 1))
		}
	}
	return want
}
