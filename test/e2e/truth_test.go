//go:build e2e

package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"
)

// instance is a server as Nova's database has it, times in unix seconds.
type instance struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Project   string `json:"project"`
	User      string `json:"user"`
	Image     string `json:"image"` // "" = booted from a volume
	State     string `json:"vm_state"`
	Created   int64  `json:"created"`
	Updated   int64  `json:"updated"`
	Launched  *int64 `json:"launched"`
	Ended     *int64 `json:"terminated"`
	VCPUs     int64  `json:"vcpus"`
	Memory    int64  `json:"memory"`
	Root      int64  `json:"root"`
	Ephemeral int64  `json:"ephemeral"`
	Benchmark string `json:"benchmark"`
	Mark      string `json:"mark"` // the benchmark's name
}

// A server that never got a host is in the database of cell 0. The flavor is the one that Nova embedded in the server.
const instances = `SELECT JSON_OBJECT('id', i.uuid, 'name', i.display_name, 'project', i.project_id, 'user', i.user_id,
	'image', IFNULL(i.image_ref, ''), 'vm_state', i.vm_state,
	'created', TIMESTAMPDIFF(SECOND, '1970-01-01', i.created_at), 'updated', TIMESTAMPDIFF(SECOND, '1970-01-01', IFNULL(i.updated_at, i.created_at)),
	'launched', TIMESTAMPDIFF(SECOND, '1970-01-01', i.launched_at),
	'terminated', TIMESTAMPDIFF(SECOND, '1970-01-01', i.terminated_at),
	'vcpus', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".vcpus'), 'memory', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".memory_mb'),
	'root', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".root_gb'), 'ephemeral', JSON_EXTRACT(e.flavor, '$.cur."nova_object.data".ephemeral_gb'),
	'benchmark', IFNULL(JSON_VALUE(e.flavor, '$.cur."nova_object.data".extra_specs."accounting:benchmark_value"'), ''),
	'mark', IFNULL(JSON_VALUE(e.flavor, '$.cur."nova_object.data".extra_specs."accounting:benchmark_type"'), ''))
	FROM instances i JOIN instance_extra e ON e.instance_uuid = i.uuid`

const floating = `SELECT JSON_OBJECT('id', p.device_id, 'n', COUNT(*)) FROM floatingips f JOIN ports p ON p.id = f.fixed_port_id GROUP BY p.device_id`

const marketplace = `SELECT JSON_OBJECT('image', i.id, 'owner', i.owner, 'visibility', i.visibility, 'uri', p.value, 'member', m.member)
	FROM images i JOIN image_properties p ON p.image_id = i.id AND p.name = 'vmcatcher_event_ad_mpuri' AND p.deleted = 0
	LEFT JOIN image_members m ON m.image_id = i.id AND m.status = 'accepted' AND m.deleted = 0 WHERE i.status = 'active'`

const (
	userNames = `SELECT JSON_OBJECT('id', user_id, 'name', name) FROM local_user`
	projects  = `SELECT JSON_OBJECT('id', id, 'vo', IFNULL(JSON_VALUE(extra, '$."egi.VO"'), '')) FROM project WHERE is_domain = 0`
)

// truth is what the lab's databases say.
type truth struct {
	instances []instance
	histories map[string][]done            // instance → what was done to it, in order
	floating  map[string]int64             // instance → floating ips
	images    map[string]map[string]string // project → image → marketplace URI
	users     map[string]string
	vos       map[string]string // project → VO, those that have one
}

type pair struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	VO   string `json:"vo"`
	N    int64  `json:"n"`
}

func readTruth(t *testing.T, l *lab) truth {
	t.Helper()
	w := truth{histories: readHistories(t, l), floating: map[string]int64{}, images: map[string]map[string]string{}, users: map[string]string{}, vos: map[string]string{}}
	for _, p := range query[pair](t, l, "keystone", projects) {
		if p.VO != "" {
			w.vos[p.ID] = p.VO
		}
	}
	for _, p := range query[pair](t, l, "keystone", userNames) {
		w.users[p.ID] = p.Name
	}
	for _, cell := range []string{"nova", "nova_cell0"} {
		for _, i := range query[instance](t, l, cell, instances) {
			if w.vos[i.Project] != "" {
				w.instances = append(w.instances, i)
			}
		}
	}
	for _, p := range query[pair](t, l, "neutron", floating) {
		w.floating[p.ID] = p.N
	}
	for _, i := range query[struct{ Image, Owner, Visibility, URI, Member string }](t, l, "glance", marketplace) {
		for project := range w.vos {
			if i.Visibility == "public" || i.Owner == project || i.Member == project {
				if w.images[project] == nil {
					w.images[project] = map[string]string{}
				}
				w.images[project][i.Image] = i.URI
			}
		}
	}
	return w
}

// sight is a server as the first collection that saw it did: what size it had before, OpenStack does not tell any more; a
// later change is dated by its action.
type sight struct {
	instance
	done int // entries of its history
}

// key names a record.
type key struct{ vm, month string }

// fields are a record's lines.
type fields map[string]string

// account is how the records are made: what the configuration says, and the moment of the collection.
type account struct {
	site, service, cloudType string
	since, to                int64
	first                    map[string]sight
	free                     bool   // charge: {stopped: none, shelved: none}
	nobody                   bool   // users cannot be read
	myself                   string // except for this one
}

// records gives all records that there must be: one per server and month, measured at the month's last second, and one
// measured at the server's end or at the moment of the collection.
func (w truth) records(a account) map[key]fields {
	all := map[key]fields{}
	for _, i := range w.instances {
		if i.Launched == nil {
			continue // never ran
		}
		last, final := a.to, false
		if i.Ended != nil && *i.Ended <= a.to {
			last, final = *i.Ended, true
		}
		if last <= i.Created || final && last < a.since {
			continue // not begun, or over before accounting began
		}
		for _, end := range monthEnds(max(i.Created, a.since), last) {
			all[key{i.ID, month(end)}] = w.record(a, i, end, false)
		}
		all[key{i.ID, month(last)}] = w.record(a, i, last, final)
	}
	return all
}

// record is one record, measured at an instant.
func (w truth) record(a account, i instance, at int64, final bool) fields {
	size, wall, suspended, cpu := w.use(a, i, at)
	f := fields{
		"VMUUID": i.ID, "SiteName": a.site, "CloudComputeService": a.service, "CloudType": a.cloudType,
		"MachineName": escape(i.Name), "LocalUserId": i.User, "LocalGroupId": i.Project, "FQAN": w.vos[i.Project],
		"Status": status(i.State), "StartTime": text(i.Created), "EndTime": "0",
		"WallDuration": text(wall), "CpuDuration": text(cpu), "CpuCount": text(size.VCPUs),
		"Memory": text(size.Memory), "Disk": text(size.Root + size.Ephemeral), "PublicIPCount": text(w.floating[i.ID]),
	}
	if size.Benchmark != "" {
		f["BenchmarkType"], f["Benchmark"] = size.Mark, size.Benchmark
	}
	if suspended > 0 {
		f["SuspendDuration"] = text(suspended)
	}
	if name, ok := w.users[i.User]; ok && (!a.nobody || name == a.myself) {
		f["GlobalUserName"] = escape(name)
	}
	if i.Image != "" {
		f["ImageId"] = i.Image
		if uri := w.images[i.Project][i.Image]; uri != "" {
			f["ImageId"] = uri
		}
	}
	if final {
		f["Status"], f["EndTime"] = "completed", text(at)
	} else if f["Status"] == "completed" {
		f["Status"] = "started" // it had not ended yet
	}
	return f
}

// use gives the size that a server had just before an instant, and the seconds until then: charged, not charged, and charged
// times the vCPUs of each stretch. It follows the server's history from its creation: a resize and its revert count from the
// end of the action, and so does a stop, where stopped servers are free.
func (w truth) use(a account, i instance, at int64) (size instance, wall, suspended, cpu int64) {
	size = i
	changes := w.histories[i.ID]
	first, known := a.first[i.ID]
	if known {
		size = first.instance
	}
	from, free := i.Created, false
	count := func(to int64) {
		if free {
			suspended += to - from
		} else {
			wall, cpu = wall+to-from, cpu+(to-from)*size.VCPUs
		}
		from = to
	}
	for n, d := range changes {
		if d.Updated >= at {
			break
		}
		if resizing := d.Action == "resize" || d.Action == "revertResize"; resizing && known && n >= first.done && d.failed() == "" {
			count(d.Updated)
			size = i
		}
		if idle, changes := idles[d.Action]; changes && a.free && d.failed() == "" {
			count(d.Updated)
			free = idle
		}
	}
	count(at)
	return size, wall, suspended, cpu
}

// idles tells of the actions after which a server is, or is no longer, stopped or shelved. A stopped one that is rebuilt
// stays stopped.
var idles = map[string]bool{"stop": true, "shelve": true, "start": false, "unshelve": false}

// status is the record's word for Nova's vm_state.
func status(vmState string) string {
	return map[string]string{
		"active": "started", "rescued": "started", "resized": "started", "building": "started", "soft-delete": "started",
		"stopped": "stopped", "paused": "paused", "suspended": "suspended", "shelved": "suspended", "shelved_offloaded": "suspended",
		"error": "error", "deleted": "completed",
	}[vmState]
}

// monthEnds gives the last second of each month from that of one instant to the last one before another.
func monthEnds(from, until int64) []int64 {
	var ends []int64
	for t := time.Unix(from, 0).UTC(); ; {
		t = time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, 1, 0)
		if t.Unix()-1 >= until {
			return ends
		}
		ends = append(ends, t.Unix()-1)
	}
}

func month(at int64) string { return time.Unix(at, 0).UTC().Format("2006-01") }

func text(n int64) string { return strconv.FormatInt(n, 10) }

// escape writes a tenant's text as it travels.
func escape(s string) string {
	out := ""
	for _, b := range []byte(s) {
		if b < 0x20 || b > 0x7E || b == '%' {
			out += fmt.Sprintf("%%%02X", b)
		} else {
			out += string(rune(b))
		}
	}
	return out
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Errorf("%q is no number", s)
	}
	return n
}
