package openstack

import (
	"net/http"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// computeQuotas are Nova's own, where a project has no others.
var computeQuotas = map[string]int64{"instances": 1000, "cores": 4000, "ram": 8000000, "metadata_items": 128, "key_pairs": 100, "server_groups": 100, "server_group_members": 10,
	"injected_files": 5, "injected_file_content_bytes": 10240, "injected_file_path_bytes": 255, "fixed_ips": -1, "floating_ips": -1, "security_groups": -1, "security_group_rules": -1}

// quota gives what Nova lets a project use, by the names of a quota set.
func (c *Cloud) quota(project string) object {
	p, _ := c.w.Project(project)
	usual := quotas(computeQuotas, nil)
	for key, n := range c.opts.Era.netQuotas() {
		usual[key] = n
	}
	for key, n := range p.Quota {
		usual[key] = n
	}
	return usual
}

// showQuota tells the quota of a project, to its own tokens and to administrators.
func (c *Cloud) showQuota(w http.ResponseWriter, r *http.Request, q *call) {
	id := r.PathValue("of")
	if q.project != id && !q.admin() {
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")
		return
	}
	if _, there := c.w.ProjectAt(id, c.now()); !there && c.opts.Era.ChecksProjects {
		refuse(w, r, http.StatusBadRequest, "Project ID "+id+" is not a valid project.")
		return
	}
	o := c.quota(id)
	o["id"] = id
	for _, until := range []struct {
		minor int
		keys  []string
	}{{36, []string{"fixed_ips", "floating_ips", "security_groups", "security_group_rules"}}, {57, []string{"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"}}} {
		for _, key := range until.keys {
			if q.minor >= until.minor {
				delete(o, key)
			}
		}
	}
	reply(w, http.StatusOK, object{"quota_set": o})
}

// limits tells the quota of the caller's project, and how much of it is used.
func (c *Cloud) limits(w http.ResponseWriter, _ *http.Request, q *call) {
	var n, cores, ram int64
	for _, v := range c.shown(world.Query{Project: q.project}) {
		n, cores, ram = n+1, cores+v.Flavor.VCPUs, ram+v.Flavor.RAM
	}
	of := c.quota(q.project)
	absolute := object{"maxTotalInstances": of["instances"], "maxTotalCores": of["cores"], "maxTotalRAMSize": of["ram"], "maxServerMeta": of["metadata_items"], "maxTotalKeypairs": of["key_pairs"],
		"maxServerGroups": of["server_groups"], "maxServerGroupMembers": of["server_group_members"], "totalInstancesUsed": n, "totalCoresUsed": cores, "totalRAMUsed": ram, "totalServerGroupsUsed": 0}
	if q.minor < 36 { // what Neutron has taken over
		absolute["maxTotalFloatingIps"], absolute["maxSecurityGroups"], absolute["maxSecurityGroupRules"] = of["floating_ips"], of["security_groups"], of["security_group_rules"]
		absolute["totalFloatingIpsUsed"], absolute["totalSecurityGroupsUsed"] = 0, 0
	}
	if q.minor < 39 {
		absolute["maxImageMeta"] = of["metadata_items"]
	}
	if q.minor < 57 {
		absolute["maxPersonality"], absolute["maxPersonalitySize"] = of["injected_files"], of["injected_file_content_bytes"]
	}
	reply(w, http.StatusOK, object{"limits": object{"rate": []object{}, "absolute": absolute}})
}

// volumeQuotas are Cinder's own, where a project has no others.
var volumeQuotas = map[string]int64{"volumes": 1000, "per_volume_gigabytes": -1, "snapshots": 1000, "gigabytes": 100000, "backups": 10, "backup_gigabytes": 1000, "groups": 10,
	"volumes_" + volumeType: -1, "gigabytes_" + volumeType: -1, "snapshots_" + volumeType: -1}

// volumesUsed tells how many volumes a project has, and how large they are together, in GiB.
func (c *Cloud) volumesUsed(project string) (n, gigabytes int64) {
	for _, v := range c.w.Volumes {
		if v.Project == project && !v.Created.After(c.now()) {
			n, gigabytes = n+1, gigabytes+v.Size
		}
	}
	return n, gigabytes
}

// volumeQuota tells Cinder's quota of a project, with usage=true how much of it is used, too.
func (c *Cloud) volumeQuota(w http.ResponseWriter, r *http.Request, t *token) {
	id := r.PathValue("of")
	if t.project != id && !t.admin() {
		refuse(w, r, http.StatusForbidden, "Policy doesn't allow volume_extension:quotas:show to be performed.")
		return
	}
	p, _ := c.w.Project(id)
	all := quotas(volumeQuotas, p.VolumeQuota)
	if r.URL.Query().Get("usage") == "true" {
		n, gigabytes := c.volumesUsed(id)
		used := map[string]int64{"volumes": n, "volumes_" + volumeType: n, "gigabytes": gigabytes, "gigabytes_" + volumeType: gigabytes}
		for key, limit := range all {
			all[key] = object{"limit": limit, "in_use": used[key], "reserved": 0}
		}
	}
	all["id"] = id
	reply(w, http.StatusOK, object{"quota_set": all})
}

// volumeLimits tells Cinder's quota of the caller's project, and how much of it is used.
func (c *Cloud) volumeLimits(w http.ResponseWriter, r *http.Request, t *token) {
	if r.PathValue("project") != t.project {
		refuse(w, r, http.StatusBadRequest, "Malformed request url")
		return
	}
	p, _ := c.w.Project(t.project)
	of := quotas(volumeQuotas, p.VolumeQuota)
	n, gigabytes := c.volumesUsed(t.project)
	reply(w, http.StatusOK, object{"limits": object{"rate": []object{}, "absolute": object{"maxTotalVolumes": of["volumes"], "maxTotalVolumeGigabytes": of["gigabytes"], "maxTotalSnapshots": of["snapshots"],
		"maxTotalBackups": of["backups"], "maxTotalBackupGigabytes": of["backup_gigabytes"], "totalVolumesUsed": n, "totalGigabytesUsed": gigabytes, "totalSnapshotsUsed": 0, "totalBackupsUsed": 0, "totalBackupGigabytesUsed": 0}}})
}
