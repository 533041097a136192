//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestImages brings images from signed lists and from a registry into the real Glance, and looks at them there: in its
// database, in its storage, and as python-openstackclient shows them to members. Then it changes the lists.
func TestImages(t *testing.T) {
	s := newSupply(t, findLab(t))
	defer s.clean(t)
	step := func(name string, fn func(t *testing.T)) {
		if !t.Run(name, fn) {
			t.FailNow() // the next steps build on it
		}
	}
	step("bring", s.bring)
	step("members see it", s.members)
	step("the disk is the same", s.same)
	step("nothing to do", s.again)
	step("a server runs from it", s.boot)
	step("a forged list changes nothing", s.forge)
	step("what is wrong never becomes active", s.wrong)
	step("over the quota", s.full)
	step("replace and withdraw", s.replace)
	step("deleted with its server", s.freed)
	step("release", s.release)
}

const (
	prefix   = "e2e " // of the names of the test's images
	guest    = "synced"
	syncUser = "image-sync" // a member of the VOs' projects
)

// The images of the lists.
var (
	ubuntu = listed{id: "11111111-1111-4111-8111-111111111111", title: "Ubuntu", version: "1", format: "QCOW2", path: "/ubuntu-1"}
	alma   = listed{id: "22222222-2222-4222-8222-222222222222", title: "Alma", version: "1", format: "RAW", path: "/alma-1"}
	debian = listed{id: "33333333-3333-4333-8333-333333333333", title: "Debian", version: "1", format: "OVA", path: "/debian-1"}
	shared = listed{id: "44444444-4444-4444-8444-444444444444", title: "Ubuntu of the other VO", version: "1", format: "QCOW2", path: "/ubuntu-1"} // the same disk
)

// supply is what the steps share.
type supply struct {
	l        *lab
	site     *site
	http     *side // the lab's services
	files    *files
	registry string
	debian   disk
	projects map[string]string // names by id
	server   string
	former   string // the id of what the server runs from
}

func newSupply(t *testing.T, l *lab) *supply {
	t.Helper()
	if _, err := exec.LookPath("qemu-img"); err != nil {
		t.Fatal("qemu-img was not found: apt-get install qemu-utils")
	}
	s := &supply{l: l, files: newFiles(t), registry: newRegistry(t), projects: map[string]string{}, debian: newDisk(t, 3, 3)}
	s.http = newSide("lab", l.setting(t, "LAB_PASSWORD"), map[string]string{"identity": l.root(t, "KEYSTONE"), "image": l.root(t, "GLANCE")})
	ids := map[string]string{}
	for _, p := range query[struct{ ID, Name string }](t, l, "keystone", `SELECT JSON_OBJECT('ID', id, 'Name', name) FROM project WHERE name LIKE 'vo-%'`) {
		ids[p.Name], s.projects[p.ID] = p.ID, p.Name
	}
	s.clean(t) // what a test left that was killed
	s.files.put("/ubuntu-1", newDisk(t, 4, 1).as(t, "qcow2"))
	s.files.put("/alma-1", newDisk(t, 3, 2).as(t, "raw"))
	s.files.put("/debian-1", s.debian.ova(t))
	s.files.sign(t, l, "ops", "1", ubuntu, alma, debian)
	s.files.sign(t, l, "fedcloud.egi.eu", "1", shared)
	push(t, s.registry, "egi_vm_images/ubuntu", "24.04", "2026-11-01-fc45d0d3", newDisk(t, 2, 5).as(t, "qcow2"))
	s.configure(t, ids)
	return s
}

func (s *supply) configure(t *testing.T, ids map[string]string) {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"ca", "staging"} {
		if err := os.Mkdir(in(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile(pki + "example-grid-root.pem")
	if err == nil {
		err = os.WriteFile(in("ca/root.pem"), ca, 0o600)
	}
	text := strings.Join([]string{
		"site: {gocdb: " + siteName + "}",
		"credentials: {login: " + s.l.entry(syncUser+"@vo-ops") + "}",
		"clouds: [{name: lab, credential: login}]",
		fmt.Sprintf("vos: [{name: ops, project: %s}, {name: fedcloud.egi.eu, project: %s}, {name: biomed, project: %s}]", ids["vo-ops"], ids["vo-fedcloud"], ids["vo-biomed"]),
		"accounting: {mode: disabled}",
		"discovery: {mode: disabled}",
		"images:",
		"  mode: active",
		"  formats: [qcow2, raw]",
		"  sharing: members",
		"  name_prefix: \"" + prefix + "\"",
		"  properties: {hw_rng_model: virtio}",
		"  ca_dir: " + in("ca"),
		"  staging_dir: " + in("staging"),
		"  sources:",
		fmt.Sprintf("    - {name: ops, list: %q, endorser: {dn: %q, ca: %q}}", s.files.URL+"/ops", endorser, rootCA),
		fmt.Sprintf("    - {name: fedcloud, list: %q, endorser: {dn: %q}}", s.files.URL+"/fedcloud.egi.eu", endorser),
		fmt.Sprintf("    - {name: egi, vos: [biomed], oci: %q, repositories: [egi_vm_images/ubuntu]}", s.registry),
		"store: {path: " + in("state") + "}",
		"web: {listen: off}",
		"",
	}, "\n")
	s.site = &site{program: build(t), config: in("fedsite.yaml")}
	if err == nil {
		err = os.WriteFile(s.site.config, []byte(text), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// clean deletes the test's server and images.
func (s *supply) clean(t *testing.T) {
	t.Helper()
	for _, one := range query[struct{ ID string }](t, s.l, "nova", `SELECT JSON_OBJECT('ID', uuid) FROM instances WHERE display_name = '`+guest+`' AND deleted = 0`) {
		s.l.openstack(t.Context(), t, "lab-admin", "server", "delete", "--wait", one.ID)
	}
	for _, i := range s.images(t) {
		if a := s.http.ask(t, request{as: admin, verb: "DELETE", service: "image", path: "/v2/images/" + i.ID}); a.status != http.StatusNoContent {
			t.Errorf("image %s stays: %d %s", i.ID, a.status, a.body)
		}
	}
}

// stored is an image as Glance's database has it.
type stored struct {
	ID, Name, Owner, Status, Visibility, Hash, Format, Container string
	Hidden, MinDisk, MinRAM                                      int
	Size                                                         int64
	Members, Properties                                          map[string]string
}

// images gives the test's images.
func (s *supply) images(t *testing.T) []stored {
	t.Helper()
	return query[stored](t, s.l, "glance", `SELECT JSON_OBJECT('ID', i.id, 'Name', i.name, 'Owner', i.owner, 'Status', i.status, 'Visibility', i.visibility, 'Hidden', i.os_hidden, 'Size', i.size,
		'Hash', IFNULL(i.os_hash_value, ''), 'Format', i.disk_format, 'Container', i.container_format, 'MinDisk', i.min_disk, 'MinRAM', i.min_ram,
		'Members', IFNULL((SELECT JSON_OBJECTAGG(m.member, m.status) FROM image_members m WHERE m.image_id = i.id AND m.deleted = 0), JSON_OBJECT()),
		'Properties', IFNULL((SELECT JSON_OBJECTAGG(p.name, p.value) FROM image_properties p WHERE p.image_id = i.id AND p.deleted = 0), JSON_OBJECT()))
		FROM images i WHERE i.deleted = 0 AND i.name LIKE '`+prefix+`%' ORDER BY i.created_at, i.id`)
}

// named gives the image of a name that is active by its marks.
func (s *supply) named(t *testing.T, name string) stored {
	t.Helper()
	for _, i := range s.images(t) {
		if i.Name == prefix+name && i.Properties["fedsite_state"] == "active" {
			return i
		}
	}
	t.Fatalf("there is no image %s", name)
	return stored{}
}

// here compares the images with what should be there: project, name, version, state, Glance's status, visibility, and who
// has been given it.
func (s *supply) here(t *testing.T, want ...string) {
	t.Helper()
	got := []string{}
	for _, i := range s.images(t) {
		line := strings.Join([]string{s.projects[i.Owner], strings.TrimPrefix(i.Name, prefix), i.Properties["fedsite_version"], i.Properties["fedsite_state"], i.Status, i.Visibility}, " ")
		if i.Hidden != 0 {
			line += " hidden"
		}
		for _, project := range slices.Sorted(maps.Keys(i.Members)) {
			line += " " + s.projects[project] + ":" + i.Members[project]
		}
		got = append(got, line)
	}
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("in Glance (-want +got):\n%s", d)
	}
}

// apply runs fedsite images apply, and gives what it wrote to Glance, as both of them have it in their logs.
func (s *supply) apply(t *testing.T, exit int, args ...string) (said string, writes []string) {
	t.Helper()
	logged := filepath.Join(s.l.dir, "log", "glance-access.log") // of Apache, under which a current Glance runs
	before, err := os.Stat(logged)
	if errors.Is(err, os.ErrNotExist) {
		logged = filepath.Join(s.l.dir, "log", "glance-api.log")
		before, err = os.Stat(logged)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, log := s.site.call(t, exit, append([]string{"images", "apply", "-v"}, args...)...)
	t.Logf("%s%s", out, log)
	calls := regexp.MustCompile(`method=(\S+) host=`+regexp.QuoteMeta(strings.TrimPrefix(s.l.root(t, "GLANCE"), "http://"))+` path=(\S+)`).FindAllStringSubmatch(log, -1)
	if len(calls) == 0 {
		t.Error("fedsite does not say that it asked Glance")
	}
	missing := ""
	defer func() {
		if missing != "" {
			t.Log("the last one: " + missing)
		}
	}()
	eventually(t, "what fedsite asked of Glance is not in Glance's log", func() bool { // Apache writes what it has answered a moment later
		text, err := os.ReadFile(logged)
		if err != nil {
			t.Fatal(err)
		}
		writes, missing = nil, ""
		for _, m := range regexp.MustCompile(`"(POST|PUT|PATCH|DELETE) (/v2/\S+) HTTP`).FindAllStringSubmatch(string(text[before.Size():]), -1) {
			writes = append(writes, m[1]+" "+m[2])
		}
		for _, m := range calls {
			if call := m[1] + " " + m[2]; m[1] != http.MethodGet && !slices.Contains(writes, call) {
				missing = call
			}
		}
		return missing == ""
	})
	return out, writes
}

// stray: Glance's storage has nothing that is of no image.
func (s *supply) stray(t *testing.T) {
	t.Helper()
	kept, err := os.ReadDir(filepath.Join(s.l.dir, "glance", "images"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, i := range query[struct{ ID string }](t, s.l, "glance", `SELECT JSON_OBJECT('ID', id) FROM images WHERE deleted = 0`) {
		known[i.ID] = true
	}
	for _, f := range kept {
		if !known[f.Name()] {
			t.Errorf("Glance's storage has %s, and there is no such image", f.Name())
		}
	}
}

// first is what the sources say at first.
var first = []string{
	"vo-ops Ubuntu 1 active active shared vo-fedcloud:accepted",
	"vo-ops Alma 1 active active private",
	"vo-ops Debian 1 active active private",
	"vo-biomed egi_vm_images/ubuntu:24.04 2026-11-01-fc45d0d3 active active private",
}

// bring brings everything, and looks at it in the database and in Glance's storage.
func (s *supply) bring(t *testing.T) {
	s.apply(t, 0)
	s.here(t, first...)
	for _, i := range s.images(t) {
		body, err := os.ReadFile(filepath.Join(s.l.dir, "glance", "images", i.ID))
		if err != nil {
			t.Fatal(err)
		}
		sum, p := hash(body), i.Properties
		format := "qcow2"
		switch strings.TrimPrefix(i.Name, prefix) {
		case "Alma":
			format = "raw"
			fallthrough
		case "Ubuntu":
			if p["fedsite_digest"] != "sha512:"+sum {
				t.Errorf("%s is another file than was listed", i.Name)
			}
		case "Debian":
			if p["fedsite_converted"] != "ova to qcow2" {
				t.Errorf("%s: %v", i.Name, p)
			}
		}
		if i.Hash != sum || p["fedsite_hash"] != sum || i.Size != int64(len(body)) || i.Format != format || i.Container != "bare" || i.MinDisk != 1 {
			t.Errorf("%s is not what its marks say: %+v", i.Name, i)
		}
		if p["os_distro"] != "ubuntu" || p["os_version"] != "24.04" || p["architecture"] != "x86_64" || p["hw_rng_model"] != "virtio" || p["fedsite_managed_by"] != "fedsite" || p["APPLIANCE_ATTRIBUTES"] == "" {
			t.Errorf("%s: %v", i.Name, p)
		}
	}
	i := s.named(t, "Ubuntu")
	if i.Properties["vmcatcher_event_ad_mpuri"] != mpuri(ubuntu) || i.MinRAM != 512 {
		t.Errorf("%+v", i)
	}
}

// members: the other VO's members see the disk, and those of a third do not.
func (s *supply) members(t *testing.T) {
	id := s.named(t, "Ubuntu").ID
	var shown struct {
		Status, Visibility string
		Checksum           string
		MinDisk            int   `json:"min_disk"`
		Size               int64 `json:"size"`
		Properties         map[string]any
	}
	if err := json.Unmarshal([]byte(s.l.openstack(t.Context(), t, owner, "image", "show", id, "-f", "json")), &shown); err != nil {
		t.Fatal(err)
	}
	body := s.files.get(ubuntu.path)
	if shown.Status != "active" || shown.Visibility != "shared" || shown.Size != int64(len(body)) || shown.MinDisk != 1 || shown.Properties["os_hash_value"] != hash(body) || shown.Properties["vmcatcher_event_ad_mpuri"] != mpuri(ubuntu) {
		t.Errorf("%+v", shown)
	}
	for account, seen := range map[string]bool{owner: true, "biomed-user@vo-biomed": false} {
		if a := s.http.ask(t, request{as: account, service: "image", path: "/v2/images"}); bytes.Contains(a.body, []byte(id)) != seen {
			t.Errorf("%s sees %d\n%s", account, a.status, a.body)
		}
	}
}

// same: what was converted is the same disk, as qemu-img reads it out of what Glance gives.
func (s *supply) same(t *testing.T) {
	file := filepath.Join(t.TempDir(), "debian")
	a := s.http.ask(t, request{as: "ops-user@vo-ops", service: "image", path: "/v2/images/" + s.named(t, "Debian").ID + "/file"})
	if err := os.WriteFile(file, a.body, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t.Context(), t, "", nil, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", s.debian.raw, file)
}

func (s *supply) again(t *testing.T) {
	if _, writes := s.apply(t, 0); len(writes) > 0 {
		t.Errorf("Glance was told to change something: %v", writes)
	}
	s.here(t, first...)
	s.lost(t)
}

// lost: with the database lost, nothing changes either.
func (s *supply) lost(t *testing.T) {
	state := filepath.Join(filepath.Dir(s.site.config), "state")
	if err := os.Rename(state, state+".lost"); err != nil {
		t.Fatal(err)
	}
	if _, writes := s.apply(t, 0); len(writes) > 0 {
		t.Errorf("with the database lost, Glance was told to change something: %v", writes)
	}
	s.here(t, first...)
}

// boot starts a server from the shared image, by a member of the other VO.
func (s *supply) boot(t *testing.T) {
	s.former = s.named(t, "Ubuntu").ID
	out := s.l.openstack(t.Context(), t, owner, "server", "create", "--wait", "--flavor", "m1.small", "--image", s.former, "--network", "shared", guest, "-f", "value", "-c", "id", "-c", "status")
	if !strings.Contains(out, "ACTIVE") {
		t.Fatal(out)
	}
	s.server = regexp.MustCompile(`[0-9a-f-]{36}`).FindString(out)
}

func (s *supply) forge(t *testing.T) {
	good := s.files.get("/ops")
	forged := []byte(strings.Replace(string(good), `"dc:title":"Ubuntu"`, `"dc:title":"Evil!!"`, 1))
	if slices.Equal(good, forged) {
		t.Fatal("the list has no Ubuntu")
	}
	s.files.put("/ops", forged)
	out, writes := s.apply(t, 3)
	if len(writes) > 0 || !strings.Contains(out, "not trusted") {
		t.Errorf("%v\n%s", writes, out)
	}
	s.files.put("/ops", good)
	s.here(t, first...)
}

// wrong: a file that is not what was listed is broken off within the upload, and Glance has no image of it.
func (s *supply) wrong(t *testing.T) {
	s.files.put("/wrong", newDisk(t, 5, 6).as(t, "raw"))
	s.files.sign(t, s.l, "ops", "2", ubuntu, alma, debian, listed{id: "55555555-5555-4555-8555-555555555555", title: "Wrong", version: "1", format: "RAW", path: "/wrong", sum: strings.Repeat("0", 128)})
	out, writes := s.apply(t, 3)
	if !strings.Contains(out, "checksum") || !slices.ContainsFunc(writes, func(w string) bool { return strings.HasSuffix(w, "/file") }) {
		t.Errorf("it was not tried, or not told: %v\n%s", writes, out)
	}
	s.here(t, first...)
}

// full: what is over the quota is told, and spoils nothing else.
func (s *supply) full(t *testing.T) {
	s.files.put("/large", newDisk(t, 65, 7).as(t, "raw"))
	s.files.sign(t, s.l, "ops", "3", ubuntu, alma, debian, listed{id: "66666666-6666-4666-8666-666666666666", title: "Large", version: "1", format: "RAW", path: "/large"})
	out, _ := s.apply(t, 3)
	if !strings.Contains(out, "quota") || !strings.Contains(out, "413") {
		t.Errorf("nobody says what is wrong:\n%s", out)
	}
	s.here(t, first...)
}

// replace: both lists have another disk, one image is withdrawn, the registry's tag moves. What a server runs from stays.
func (s *supply) replace(t *testing.T) {
	s.files.put("/ubuntu-2", newDisk(t, 4, 8).as(t, "qcow2"))
	newer := func(i listed) listed { i.version, i.path = "2", "/ubuntu-2"; return i }
	s.files.sign(t, s.l, "ops", "4", newer(ubuntu), debian)
	s.files.sign(t, s.l, "fedcloud.egi.eu", "4", newer(shared))
	push(t, s.registry, "egi_vm_images/ubuntu", "24.04", "2026-12-01-0a1b2c3d", newDisk(t, 2, 9).as(t, "qcow2"))
	out, _ := s.apply(t, 0)
	s.here(t, append([]string{"vo-ops Ubuntu 1 retired active private hidden vo-fedcloud:accepted"}, second...)...)
	if !strings.Contains(out, s.server) {
		t.Errorf("nobody says what runs from it:\n%s", out)
	}
}

// second is what the sources say afterwards.
var second = []string{
	"vo-ops Ubuntu 2 active active shared vo-fedcloud:accepted",
	"vo-ops Debian 1 active active private",
	"vo-biomed egi_vm_images/ubuntu:24.04 2026-12-01-0a1b2c3d active active private",
}

func (s *supply) freed(t *testing.T) {
	s.l.openstack(t.Context(), t, owner, "server", "delete", "--wait", s.server)
	_, writes := s.apply(t, 0)
	if d := cmp.Diff([]string{"DELETE /v2/images/" + s.former}, writes); d != "" {
		t.Errorf("written to Glance (-want +got):\n%s", d)
	}
	s.here(t, second...)
	s.stray(t)
}

// release: what fedsite lists is what it gives back; then it knows none.
func (s *supply) release(t *testing.T) {
	list := func() (names []string) {
		out, _ := s.site.call(t, 0, "images", "list", "-o", "json")
		var all []struct{ Name, State string }
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			names = append(names, i.Name+" "+i.State)
		}
		slices.Sort(names)
		return names
	}
	if d := cmp.Diff([]string{prefix + "Debian active", prefix + "Ubuntu active", prefix + "egi_vm_images/ubuntu:24.04 active"}, list()); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
	s.site.call(t, 1, "images", "release", "--all") // they would be brought anew
	s.site.replace(t, "  mode: active", "  mode: observe")
	s.site.call(t, 0, "images", "release", "--all")
	if left := list(); len(left) > 0 {
		t.Errorf("still listed: %v", left)
	}
	n := 0
	for _, i := range s.images(t) {
		n++
		for name := range i.Properties {
			if strings.HasPrefix(name, "fedsite_") {
				t.Errorf("%s still has %s", i.Name, name)
			}
		}
		if i.Status != "active" || i.Properties["hw_rng_model"] == "" && i.Properties["os_distro"] == "" {
			t.Errorf("%+v", i)
		}
	}
	if n != len(second) {
		t.Errorf("%d images are left", n)
	}
}
