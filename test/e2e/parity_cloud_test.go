//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/test/peers"
)

// What the test makes for itself, and takes away while cASO and fedsite look on.
const (
	parityUser     = "parity-ñ@example.org"
	parityPassword = "parity-secret"
	parityFlavor   = "parity.bench"
	parityNowhere  = "parity.nowhere" // fits no host
)

// prepare boots VMs of our own: one that will be resized, one whose user and flavor will be deleted, one that never
// runs, one that will end.
func (p *parity) prepare() {
	admin := func(args ...string) { p.openstack("lab-admin", args...) }
	admin("user", "create", "--password", parityPassword, parityUser)
	p.cleanup("lab-admin", "user", "delete", parityUser)
	admin("role", "add", "--user", parityUser, "--project", "vo-fedcloud", "member")
	admin("flavor", "create", "--vcpus", "2", "--ram", "512", "--disk", "1", "--property", "accounting:benchmark_type=HEPscore23", "--property", "accounting:benchmark_value=15", parityFlavor)
	p.cleanup("lab-admin", "flavor", "delete", parityFlavor)
	admin("flavor", "create", "--vcpus", "1", "--ram", "512", "--disk", "2000000", parityNowhere)
	p.cleanup("lab-admin", "flavor", "delete", parityNowhere)

	p.grows, p.ends = p.l.boot(p.t, "parity-grows"), p.l.boot(p.t, "parity-ends")
	p.named = p.openstack(owner, "--os-username", parityUser, "--os-password", parityPassword,
		"server", "create", "--wait", "--flavor", parityFlavor, "--image", "ubuntu-22.04", "--network", "shared", "parity-named", "-f", "value", "-c", "id")
	p.cleanup(owner, "server", "delete", "--wait", p.named)
	p.fails = p.openstack(owner, "server", "create", "--flavor", parityNowhere, "--image", "ubuntu-22.04", "--network", "shared", "parity-fails", "-f", "value", "-c", "id")
	p.until(p.fails, "ERROR")
	p.openstack(owner, "server", "delete", "--wait", p.fails)
}

// change resizes and ends VMs, and deletes another's user and flavor; a VM that changed is read
// otherwise by cASO than one that did not.
func (p *parity) change() {
	p.openstack(owner, "server", "resize", "--wait", "--flavor", "m1.large", p.grows)
	p.openstack(owner, "server", "resize", "confirm", p.grows)
	p.openstack(owner, "server", "delete", "--wait", p.ends)
	p.openstack("lab-admin", "user", "delete", parityUser)
	p.openstack("lab-admin", "flavor", "delete", parityFlavor)
	p.openstack(owner, "server", "stop", p.named)
	p.until(p.named, "SHUTOFF")
}

func (p *parity) openstack(cloud string, args ...string) string {
	return p.l.openstack(p.t.Context(), p.t, cloud, args...)
}

// cleanup calls the client when the test ends; what is to be deleted may be gone already.
func (p *parity) cleanup(cloud string, args ...string) {
	p.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, p.l.client, append([]string{"--os-cloud", cloud}, args...)...)
		cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+p.l.clouds(), "LANG=C.UTF-8")
		_ = cmd.Run()
	})
}

// until waits until the server has the status, at most 30 times that the client takes for an answer.
func (p *parity) until(server, status string) {
	p.t.Helper()
	now := ""
	for range 30 {
		if now = p.openstack(owner, "server", "show", server, "-f", "value", "-c", "status"); now == status {
			return
		}
	}
	p.t.Fatalf("server %s is %s, not %s", server, now, status)
}

// login reads an entry of clouds.yaml.
func (l *lab) login(t *testing.T, entry string) parityLogin {
	t.Helper()
	var found parityLogin
	if err := json.Unmarshal([]byte(l.openstack(t.Context(), t, entry, "configuration", "show", "--unmask", "-f", "json")), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// vos gives the projects that belong to a VO.
func (l *lab) vos(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, r := range query[struct{ ID string }](t, l, "keystone", `SELECT JSON_OBJECT('ID', id) FROM project WHERE JSON_VALUE(extra, '$."egi.VO"') IS NOT NULL`) {
		ids = append(ids, r.ID)
	}
	return ids
}

// parityRow is a server of Nova's database, times in unix seconds.
type parityRow struct {
	ID, Name, User, State, Flavor    string
	Created, Updated, Ended, Resized int64 // 0 = never
	Launched, Deleted                bool
	VCPUs                            int64
	Extra                            map[string]string // properties of its flavor
}

const parityRows = `SELECT JSON_OBJECT('ID', i.uuid, 'Name', i.display_name, 'User', i.user_id, 'State', IFNULL(i.vm_state, ''),
	'Created', TIMESTAMPDIFF(SECOND, '1970-01-01', i.created_at), 'Updated', IFNULL(TIMESTAMPDIFF(SECOND, '1970-01-01', i.updated_at), 0), 'Ended', IFNULL(TIMESTAMPDIFF(SECOND, '1970-01-01', i.terminated_at), 0),
	'Launched', i.launched_at IS NOT NULL, 'Deleted', i.deleted <> 0, 'Flavor', JSON_VALUE(e.flavor, '$.cur."nova_object.data".flavorid'),
	'VCPUs', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".vcpus'), 'Extra', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".extra_specs'), 'Resized', IFNULL((SELECT MAX(TIMESTAMPDIFF(SECOND, '1970-01-01', a.updated_at))
		FROM instance_actions a WHERE a.instance_uuid = i.uuid AND a.action = 'resize' AND a.message IS NULL), 0))
	FROM instances i JOIN instance_extra e ON e.instance_uuid = i.uuid`

// parityWords are Nova's statuses for the states of its database, where they differ by more than case.
var parityWords = map[string]string{"stopped": "SHUTOFF", "soft-delete": "SOFT_DELETED", "building": "BUILD", "resized": "VERIFY_RESIZE", "rescued": "RESCUE"}

// truth reads what is true of all servers from the services' databases, and notes the ones that somebody changed since the
// end of the window: cASO and fedsite did not see the same of them.
func (p *parity) truth(t *testing.T) map[string]peers.VM {
	t.Helper()
	names := p.names(t)
	listed := map[string]bool{}
	for _, r := range query[struct{ ID string }](t, p.l, "nova_api", `SELECT JSON_OBJECT('ID', flavorid) FROM flavors`) {
		listed[r.ID] = true
	}
	all := map[string]peers.VM{}
	clear(p.moved)
	for _, r := range p.rows(t) {
		if r.Updated > p.to.Unix() {
			p.moved[r.ID] = true
		}
		vm := peers.VM{
			Name: r.Name, User: names[r.User], UserWas: p.users[r.User], Status: strings.ToUpper(r.State), Extra: r.Extra,
			Launched: r.Launched, Created: time.Unix(r.Created, 0), Listed: listed[r.Flavor],
		}
		if word, ok := parityWords[r.State]; ok {
			vm.Status = word
		}
		if r.Deleted {
			vm.Status = "DELETED"
		}
		if r.Ended != 0 {
			vm.Ended = time.Unix(r.Ended, 0)
		}
		if before, seen := p.vcpus[r.ID]; seen && before != r.VCPUs {
			vm.CPU = func(at int64) int64 {
				return before*(min(at, r.Resized)-r.Created) + r.VCPUs*max(0, at-r.Resized)
			}
		}
		all[r.ID] = vm
	}
	return all
}

// rows gives the servers of all cells: one that never got a host is in the database of cell 0.
func (p *parity) rows(t *testing.T) []parityRow {
	t.Helper()
	return append(query[parityRow](t, p.l, "nova", parityRows), query[parityRow](t, p.l, "nova_cell0", parityRows)...)
}

// names gives the names of the users that Keystone knows.
func (p *parity) names(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, r := range query[struct{ ID, Name string }](t, p.l, "keystone", `SELECT JSON_OBJECT('ID', user_id, 'Name', name) FROM local_user`) {
		names[r.ID] = r.Name
	}
	return names
}

// remember keeps the sizes of all servers and the names of all users before they change: OpenStack does not tell them
// afterwards.
func (p *parity) remember() {
	p.users = p.names(p.t)
	for _, r := range p.rows(p.t) {
		p.vcpus[r.ID] = r.VCPUs
	}
}
