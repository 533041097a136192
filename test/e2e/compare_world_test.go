//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// likeness gives a world with the lab's own projects, users, flavors, images, volumes and servers, under their ids, so
// that the same request means the same to both clouds. What the world has no word for (snapshots, kinds of volumes) is not
// in it.
func likeness(t *testing.T, l *lab, password string) *world.World {
	t.Helper()
	w := &world.World{Region: "RegionOne"}
	w.Projects = query[world.Project](t, l, "keystone", `SELECT JSON_OBJECT('ID', id, 'Name', name, 'Disabled', IF(enabled, FALSE, TRUE),
		'Properties', JSON_EXTRACT(extra, '$')) FROM project WHERE is_domain = 0 ORDER BY id`)
	for i := range w.Projects {
		p := &w.Projects[i]
		p.Quota, p.NetworkQuota, p.VolumeQuota = quotasOf(t, l, "nova_api", "hard_limit", p.ID), quotasOf(t, l, "neutron", "`limit`", p.ID), quotasOf(t, l, "cinder", "hard_limit", p.ID)
	}
	w.Networks = query[world.Network](t, l, "neutron", `SELECT JSON_OBJECT('ID', n.id, 'Name', n.name, 'Project', n.project_id, 'MTU', n.mtu, 'External', e.network_id IS NOT NULL,
		'Shared', r.id IS NOT NULL, 'Type', s.network_type, 'Physical', IFNULL(s.physical_network, '')) FROM networks n JOIN networksegments s ON s.network_id = n.id
		LEFT JOIN externalnetworks e ON e.network_id = n.id LEFT JOIN networkrbacs r ON r.object_id = n.id AND r.action = 'access_as_shared' AND r.target_project = '*' ORDER BY n.id`)
	w.Users = accounts(t, l, password)
	w.Flavors = flavors(t, l)
	w.Images = images(t, l)
	w.Volumes = volumes(t, l)
	w.Floating = query[world.FloatingIP](t, l, "neutron", `SELECT JSON_OBJECT('ID', id, 'Address', floating_ip_address, 'Project', project_id) FROM floatingips WHERE fixed_port_id IS NULL`)
	for _, vm := range servers(t, l, w) {
		w.Add(vm)
	}
	return w
}

// quotasOf gives the quotas that a service has of a project.
func quotasOf(t *testing.T, l *lab, database, column, project string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for _, q := range query[struct {
		Resource string
		N        int64
	}](t, l, database, fmt.Sprintf("SELECT JSON_OBJECT('Resource', resource, 'N', %s) FROM quotas WHERE project_id = '%s'", column, project)) {
		all[q.Resource] = q.N
	}
	return all
}

func accounts(t *testing.T, l *lab, password string) []world.User {
	t.Helper()
	all := query[world.User](t, l, "keystone", `SELECT JSON_OBJECT('ID', user_id, 'Name', name) FROM local_user ORDER BY user_id`)
	roles := query[struct{ User, Target, Role string }](t, l, "keystone", `SELECT JSON_OBJECT('User', a.actor_id, 'Target', a.target_id, 'Role', r.name)
		FROM (SELECT actor_id, target_id, role_id FROM assignment WHERE type = 'UserProject'
			UNION SELECT actor_id, '', role_id FROM system_assignment WHERE type = 'UserSystem') a JOIN role r ON r.id = a.role_id`)
	for i := range all {
		u := &all[i]
		u.Password, u.Roles = password, map[string][]string{}
		for _, r := range roles {
			switch {
			case r.User == u.ID && r.Target == "":
				u.System = append(u.System, r.Role)
			case r.User == u.ID:
				u.Roles[r.Target] = append(u.Roles[r.Target], r.Role)
			}
		}
	}
	return all
}

// flavors gives those that there are, in Nova's order, and those that servers have and that are gone.
func flavors(t *testing.T, l *lab) []world.Flavor {
	t.Helper()
	extra := map[string]map[string]string{}
	for _, s := range query[struct{ Flavor, Key, Value string }](t, l, "nova_api", `SELECT JSON_OBJECT('Flavor', f.flavorid, 'Key', s.key, 'Value', s.value)
		FROM flavor_extra_specs s JOIN flavors f ON f.id = s.flavor_id`) {
		if extra[s.Flavor] == nil {
			extra[s.Flavor] = map[string]string{}
		}
		extra[s.Flavor][s.Key] = s.Value
	}
	all := query[world.Flavor](t, l, "nova_api", `SELECT JSON_OBJECT('ID', flavorid, 'Name', name, 'VCPUs', vcpus, 'RAM', memory_mb,
		'Disk', root_gb, 'Ephemeral', ephemeral_gb) FROM flavors WHERE is_public ORDER BY flavorid`)
	for i := range all {
		all[i].Extra = extra[all[i].ID]
	}
	const embedded = `SELECT DISTINCT JSON_OBJECT('ID', JSON_VALUE(flavor, '$.cur."nova_object.data".flavorid'), 'Name', JSON_VALUE(flavor, '$.cur."nova_object.data".name'),
		'VCPUs', JSON_EXTRACT(flavor, '$.cur."nova_object.data".vcpus'), 'RAM', JSON_EXTRACT(flavor, '$.cur."nova_object.data".memory_mb'),
		'Disk', JSON_EXTRACT(flavor, '$.cur."nova_object.data".root_gb'), 'Ephemeral', JSON_EXTRACT(flavor, '$.cur."nova_object.data".ephemeral_gb'), 'Deleted', TRUE,
		'Extra', JSON_EXTRACT(flavor, '$.cur."nova_object.data".extra_specs')) FROM instance_extra`
	for _, f := range append(query[world.Flavor](t, l, "nova", embedded), query[world.Flavor](t, l, "nova_cell0", embedded)...) {
		if !slices.ContainsFunc(all, func(o world.Flavor) bool { return o.ID == f.ID }) {
			all = append(all, f)
		}
	}
	return all
}

// images gives them in Glance's order: the latest first, then by id.
func images(t *testing.T, l *lab) []world.Image {
	t.Helper()
	all := query[world.Image](t, l, "glance", `SELECT JSON_OBJECT('ID', id, 'Name', name, 'Owner', owner, 'Visibility', visibility)
		FROM images WHERE deleted = 0 ORDER BY created_at DESC, id DESC`)
	properties := query[struct{ Image, Key, Value string }](t, l, "glance", `SELECT JSON_OBJECT('Image', image_id, 'Key', name, 'Value', value) FROM image_properties WHERE deleted = 0`)
	members := query[struct{ Image, Member, Status string }](t, l, "glance", `SELECT JSON_OBJECT('Image', image_id, 'Member', member, 'Status', status) FROM image_members WHERE deleted = 0`)
	for i := range all {
		im := &all[i]
		im.Properties, im.Members = map[string]string{}, map[string]string{}
		for _, p := range properties {
			if p.Image == im.ID {
				im.Properties[p.Key] = p.Value
			}
		}
		for _, m := range members {
			if m.Image == im.ID {
				im.Members[m.Member] = m.Status
			}
		}
	}
	return all
}

func volumes(t *testing.T, l *lab) []world.Volume {
	t.Helper()
	attached := query[struct{ Volume, VM string }](t, l, "cinder", `SELECT JSON_OBJECT('Volume', volume_id, 'VM', instance_uuid) FROM volume_attachment WHERE deleted = 0 AND attach_status = 'attached'`)
	var all []world.Volume
	for _, v := range query[struct {
		world.Volume
		Since int64
	}](t, l, "cinder", `SELECT JSON_OBJECT('ID', id, 'Name', display_name, 'Project', project_id, 'Status', status, 'Size', size,
		'User', user_id, 'Since', TIMESTAMPDIFF(SECOND, '1970-01-01', created_at)) FROM volumes WHERE deleted = 0 ORDER BY created_at DESC, id DESC`) {
		v.Created = time.Unix(v.Since, 0).UTC()
		for _, a := range attached {
			if a.Volume == v.ID {
				v.Attached = append(v.Attached, world.Attachment{VM: a.VM, At: v.Created})
			}
		}
		all = append(all, v.Volume)
	}
	return all
}

// kinds are the actions that are events of the world, by the name that Nova gives them.
var kinds = map[string][]world.Kind{
	"create": {world.Launch}, "stop": {world.Stop}, "start": {world.Start}, "pause": {world.Pause}, "unpause": {world.Unpause},
	"suspend": {world.Suspend}, "resume": {world.Resume}, "shelve": {world.Shelve, world.Offload}, "unshelve": {world.Unshelve},
	"resize": {world.Resize}, "confirmResize": {world.Confirm}, "revertResize": {world.Revert}, "rebuild": {world.Rebuild},
	"rescue": {world.Rescue}, "unrescue": {world.Unrescue}, "resetState": {world.Fail},
}

// servers gives the lab's servers with the events that their actions tell.
func servers(t *testing.T, l *lab, w *world.World) []world.VM {
	t.Helper()
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	flavorOf := map[string]string{}
	for _, cell := range []string{"nova", "nova_cell0"} {
		for _, f := range query[struct{ VM, Flavor string }](t, l, cell, `SELECT JSON_OBJECT('VM', instance_uuid, 'Flavor', JSON_VALUE(flavor, '$.cur."nova_object.data".flavorid')) FROM instance_extra`) {
			flavorOf[f.VM] = f.Flavor
		}
	}
	floats := query[struct{ VM, Address string }](t, l, "neutron", `SELECT JSON_OBJECT('VM', p.device_id, 'Address', f.floating_ip_address) FROM floatingips f JOIN ports p ON p.id = f.fixed_port_id`)
	metadata := query[struct{ VM, Key, Value string }](t, l, "nova", "SELECT JSON_OBJECT('VM', instance_uuid, 'Key', `key`, 'Value', value) FROM instance_metadata WHERE deleted = 0")
	histories := readHistories(t, l)
	var all []world.VM
	for _, cell := range []string{"nova", "nova_cell0"} {
		for _, i := range query[instance](t, l, cell, instances) {
			vm := world.VM{ID: i.ID, Project: i.Project, User: i.User, Name: i.Name, Image: i.Image, Created: at(i.Created), Flavor: flavorOf[i.ID]}
			launched := false
			for _, a := range histories[i.ID] {
				for _, kind := range kinds[a.Action] {
					value := ""
					switch kind {
					case world.Resize: // what it had before is not told any more
						value = flavorOf[i.ID]
					case world.Launch:
						launched = true
					}
					vm.Events = append(vm.Events, world.Event{At: at(a.Updated), Kind: kind, Value: value})
				}
			}
			if i.Launched != nil && !launched { // written into the database, without actions
				vm.Events = append(vm.Events, world.Event{At: at(*i.Launched), Kind: world.Launch})
			}
			for _, m := range metadata {
				if m.VM == i.ID {
					vm.Metadata = map[string]string{m.Key: m.Value}
				}
			}
			for _, f := range floats {
				if f.VM == i.ID {
					vm.Events = append(vm.Events, world.Event{At: at(i.Created), Kind: world.Float, Value: f.Address})
				}
			}
			switch {
			case i.Launched == nil && i.State == "deleted":
				vm.Events = []world.Event{{At: at(i.Created + 1), Kind: world.Delete}}
			case i.Launched == nil:
				vm.Events = []world.Event{{At: at(i.Created + 1), Kind: world.Fail}}
			case i.Ended != nil:
				vm.Events = append(vm.Events, world.Event{At: at(*i.Ended), Kind: world.Delete})
			case i.State == "soft-delete":
				vm.Events = append(vm.Events, world.Event{At: at(*i.Launched + 1), Kind: world.Soft})
			}
			if n := len(vm.Events); i.Ended == nil && n > 0 && at(i.Updated).After(vm.Events[n-1].At) {
				vm.Events = append(vm.Events, world.Event{At: at(i.Updated), Kind: world.Reproject})
			}
			all = append(all, vm)
		}
	}
	slices.SortStableFunc(all, func(a, b world.VM) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return all
}
