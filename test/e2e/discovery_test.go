//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/app/daemontest"
	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/emulator/federation"
	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/glue/slapdtest"
)

// TestDiscovery publishes what the real cloud offers, everywhere at once: to files in both forms, to the real Swift, to the
// information API and over LDAP. What is published is read back there by the programs that will, and compared with the
// services' databases. Its sites are files of the catch-all's form, which cloud-info-provider is given, too.
func TestDiscovery(t *testing.T) {
	o := newOffering(t, findLab(t))
	step := func(name string, fn func(t *testing.T)) {
		if !t.Run(name, fn) {
			t.FailNow() // the next steps build on it
		}
	}
	step("publish", o.publish)
	step("the document equals the databases", func(t *testing.T) { o.equalTruth(t, o.document) })
	step("any credential is told the same", o.others)
	step("LDIF loads into slapd", o.load)
	step("Swift has it", o.stored)
	step("cloud-info-provider differs as listed", o.peer)
	step("serve", o.serve)
	step("ldapsearch reads it", o.search)
	step("fedcloudclient reads it", o.list)
	step("what changed is told", o.changes)
	step("a site that is gone is taken away", o.remove)
}

// The second site, another name for the same cloud, and the one that cloud-info-provider publishes.
const (
	goneName = "LAB-GONE"
	peerName = "LAB-PEER"
)

// offering is what the steps share.
type offering struct {
	t          *testing.T
	l          *lab
	site       *site
	federation *federation.Federation
	ca         string // file
	dir        string
	ep         string // Keystone's URL, as the site's file has it
	key        string // the endpoint's in GOCDB
	shares     []share
	swift      *side // the lab's object storage
	container  string
	ldap, api  int // ports

	document []byte // ours, as it was published first
	peers    []byte // cloud-info-provider's
	slapd    string // URL of the real server that has our LDIF
	service  *daemontest.Daemon
}

// share is a VO with its project.
type share struct{ vo, name, project string }

func newOffering(t *testing.T, l *lab) *offering {
	t.Helper()
	o := &offering{t: t, l: l, dir: t.TempDir(), container: fmt.Sprintf("cloud-info %d", time.Now().UnixNano()), ldap: freePort(t), api: freePort(t)}
	o.swift = newSide("lab", l.setting(t, "LAB_PASSWORD"), map[string]string{"identity": l.root(t, "KEYSTONE"), "object-store": l.root(t, "SWIFT")})
	o.ep = o.swift.roots["identity"] + "/v3"
	ids := map[string]string{}
	for _, p := range query[struct{ ID, Name string }](t, l, "keystone", `SELECT JSON_OBJECT('ID', id, 'Name', name) FROM project`) {
		ids[p.Name] = p.ID
	}
	for vo, project := range map[string]string{"ops": "vo-ops", "fedcloud.egi.eu": "vo-fedcloud", "biomed": "vo-biomed"} {
		o.shares = append(o.shares, share{vo, project, ids[project]})
	}
	slices.SortFunc(o.shares, func(a, b share) int { return strings.Compare(b.vo, a.vo) })
	var err error
	if o.federation, err = federation.Start("127.0.0.1", time.Now); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.federation.Close() })
	o.key = o.federation.Register(siteName, o.ep+"/") // the slash is not the site's
	o.federation.Register(goneName, o.ep)
	o.ca = o.write(t, "ca.pem", string(o.federation.CA.PEM))
	cert, key, err := o.federation.CA.Issue("API", apiHost)
	if err != nil {
		t.Fatal(err)
	}
	o.write(t, "api.pem", string(cert))
	o.write(t, "api.key", string(key))
	o.siteFile(t, siteName, o.shares)
	o.siteFile(t, goneName, o.shares)
	o.configure(t)
	return o
}

// configure writes the configuration.
func (o *offering) configure(t *testing.T) {
	t.Helper()
	in := func(name string) string { return filepath.Join(o.dir, name) }
	text := strings.Join([]string{
		"sites:",
		"  - {include: " + in("*.site") + ", format: catch-all, defaults: {credential: login}}",
		"credentials:",
		"  login: " + o.l.entry("accounting@vo-ops"),
		"  store: " + o.l.entry(owner),
		"discovery:",
		"  mode: active",
		"  images: all",
		"  snapshots: true",
		fmt.Sprintf("  gocdb: {url: %q, network: {ca_file: %s}}", o.federation.GOCDBURL(), o.ca),
		"  publish:",
		"    - {file: {path: " + in("json") + "}, delete_removed: true}",
		"    - {name: ldif, file: {path: " + in("ldif") + ", format: ldif}}",
		"    - {swift: {credential: store, container: " + o.container + "}, delete_removed: true}",
		fmt.Sprintf("    - {api: {listen: 127.0.0.1:%d, container: {credential: store, container: %s}, tls: {cert: %s, key: %s}}}", o.api, o.container, in("api.pem"), in("api.key")),
		fmt.Sprintf("    - {ldap: {listen: 127.0.0.1:%d}}", o.ldap),
		"store: {path: " + in("state") + "}",
		"web: {listen: off}",
		"",
	}, "\n")
	for _, dir := range []string{"json", "ldif"} {
		if err := os.Mkdir(in(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o.site = &site{program: build(t), config: o.write(t, "fedsite.yaml", text)}
}

// siteFile writes a site's file in the catch-all's form, and gives its path.
func (o *offering) siteFile(t *testing.T, name string, shares []share) string {
	t.Helper()
	text := fmt.Sprintf("gocdb: %s\nendpoint: %s\nvos:\n", name, o.ep)
	for _, s := range shares {
		text += fmt.Sprintf("- name: %s\n  auth:\n    project_id: %s\n", s.vo, s.project)
	}
	return o.write(t, name+".site", text)
}

// write writes a file into the test's directory, and gives its path.
func (o *offering) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (o *offering) read(t *testing.T, form discovery.Format, dir, siteName string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, dir, discovery.NameOf(form, siteName, o.ep)))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publish publishes both sites to all sinks.
func (o *offering) publish(t *testing.T) {
	out, problems := o.site.call(t, 0, "discovery", "publish")
	t.Logf("%s%s", out, problems)
	o.document = o.read(t, discovery.JSON, "json", siteName)
	if d, findings, err := glue.Parse(bytes.NewReader(o.document), glue.Limits{}); err != nil || len(findings) > 0 || len(d.Shares) != len(o.shares) {
		t.Errorf("the document has %d shares; %v %v", len(d.Shares), err, findings)
	}
	left := o.differences(t)
	if len(left) != 10 {
		t.Errorf("%d documents at the sinks, of two sites at five of them", len(left))
	}
	for _, d := range left {
		if len(d.Changes) != 0 {
			t.Errorf("just published, and %s of %s differs: %v", d.Sink, d.Site, d.Changes)
		}
	}
}

// others publishes with the credentials of an administrator and of a member: Nova and Glance show the former everything, and
// the document is the same.
func (o *offering) others(t *testing.T) {
	for cloud, exit := range map[string]int{"admin@vo-ops": 3, "image-sync@vo-ops": 0} { // an administrator has a project without a VO
		other := &site{program: o.site.program, config: filepath.Join(t.TempDir(), "fedsite.yaml")}
		text, err := os.ReadFile(o.site.config)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.NewReplacer(o.l.entry("accounting@vo-ops"), o.l.entry(cloud), filepath.Join(o.dir, "state"), filepath.Join(filepath.Dir(other.config), "state")).Replace(string(text))
		if err := os.WriteFile(other.config, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		out, _ := other.call(t, exit, "discovery", "publish", "--site", siteName, "--to", "stdout")
		if ours, theirs := creation.ReplaceAllString(string(o.document), ""), creation.ReplaceAllString(out, ""); ours != theirs {
			t.Errorf("%s is told otherwise than a reader: %s", cloud, firstDifference(theirs, ours))
		}
	}
}

var creation = regexp.MustCompile(`"CreationTime": "[^"]*"`)

// firstDifference shows two texts from where they differ.
func firstDifference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	from := max(0, i-200)
	return fmt.Sprintf("…%.500q…\nand …%.500q…", a[from:], b[from:])
}

// stored reads the object back by OpenStack's own client: it is the document that the file has.
func (o *offering) stored(t *testing.T) {
	name := discovery.NameOf(discovery.JSON, siteName, o.ep)
	listed := strings.Fields(o.l.openstack(t.Context(), t, owner, "object", "list", o.container, "-f", "value", "-c", "Name"))
	slices.Sort(listed)
	want := []string{discovery.NameOf(discovery.JSON, goneName, o.ep), name}
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("the container has %q, want %q", listed, want)
	}
	if got := o.l.openstack(t.Context(), t, owner, "object", "save", "--file", "-", o.container, name); got != strings.TrimSpace(string(o.document)) {
		t.Errorf("the object is not the document: %s", firstDifference(got, string(o.document)))
	}
}

// object asks for an object without a client's start, which takes seconds.
func (o *offering) object(t *testing.T, verb, name, body string) answer {
	t.Helper()
	project := o.shares[slices.IndexFunc(o.shares, func(s share) bool { return strings.HasSuffix(owner, "@"+s.name) })].project
	return o.swift.ask(t, request{as: owner, verb: verb, service: "object-store", path: "/v1/AUTH_" + project + "/" + strings.ReplaceAll(o.container, " ", "%20") + "/" + name, body: body})
}

// changes has a tenant give an image a name that would break documents, and finds it in what is told and published.
func (o *offering) changes(t *testing.T) {
	name := "e2e \"quoted\", {é}\n dn: o=glue"
	id := o.image(t, name)
	out, _ := o.site.call(t, 0, "discovery", "publish", "--site", siteName)
	t.Log(out)
	var published struct{ CloudComputingImage []struct{ ID, Name string } }
	if err := json.Unmarshal(o.read(t, discovery.JSON, "json", siteName), &published); err != nil {
		t.Fatal(err)
	}
	if i := slices.IndexFunc(published.CloudComputingImage, func(i struct{ ID, Name string }) bool { return i.ID == id }); i < 0 || published.CloudComputingImage[i].Name != name {
		t.Errorf("the image of a tenant is not in the document as it is: %v", published.CloudComputingImage)
	}
	if err := slapdtest.Add(startSlapd(t), o.read(t, discovery.LDIF, "ldif", siteName)); err != nil {
		t.Errorf("the LDIF does not load any more: %v", err)
	}
	o.l.openstack(t.Context(), t, owner, "image", "delete", id)
	out, _ = o.site.call(t, 0, "discovery", "publish", "--site", siteName, "--dry-run")
	if strings.Count(out, "anew: 0 objects added, 0 changed, 1 removed") != 5 {
		t.Errorf("a dry run does not tell each sink of one object that is gone:\n%s", out)
	}
	for _, d := range o.differences(t, "--site", siteName) {
		if len(d.Changes) != 1 || d.Changes[0].Kind != glue.Removed || d.Changes[0].ID != id {
			t.Errorf("sink %s is told %v of the image that is gone", d.Sink, d.Changes)
		}
	}
}

// differences gives what `fedsite discovery diff` tells.
func (o *offering) differences(t *testing.T, args ...string) []discovery.ChangedDocument {
	t.Helper()
	out, _ := o.site.call(t, 0, append([]string{"discovery", "diff", "-o", "json"}, args...)...)
	var all []discovery.ChangedDocument
	if err := json.Unmarshal([]byte(out), &all); err != nil || len(all) < 5 {
		t.Fatalf("%d documents at five sinks: %v\n%s", len(all), err, out)
	}
	return all
}

// image makes an image of the tenant's.
func (o *offering) image(t *testing.T, name string) string {
	t.Helper()
	data := o.write(t, "image.raw", "no system")
	id := o.l.openstack(t.Context(), t, owner, "image", "create", "--private", "--disk-format", "raw", "--container-format", "bare", "--file", data, "-f", "value", "-c", "id", name)
	t.Cleanup(func() {
		cmd := exec.Command(o.l.client, "--os-cloud", owner, "image", "delete", id)
		cmd.Env = append(os.Environ(), "OS_CLIENT_CONFIG_FILE="+o.l.clouds())
		if t.Failed() {
			_ = cmd.Run() // it may be deleted already
		}
	})
	return id
}

// remove takes the second site's file away: the service, told to load anew, takes away what was published of it, and
// nothing else.
func (o *offering) remove(t *testing.T) {
	gone, stays := discovery.NameOf(discovery.JSON, goneName, o.ep), discovery.NameOf(discovery.JSON, siteName, o.ep)
	if a := o.object(t, http.MethodHead, gone, ""); a.status != http.StatusOK {
		t.Fatalf("the document of %s is not there: %d", goneName, a.status)
	}
	if err := os.Remove(filepath.Join(o.dir, goneName+".site")); err != nil {
		t.Fatal(err)
	}
	o.site.call(t, 0, "discovery", "publish") // what stays has to be as it was published
	if err := o.service.Reload(); err != nil {
		t.Fatal(err)
	}
	o.site.call(t, 0, "tasks", "run", "discovery.remove")
	eventually(t, "the document of the site that is gone is there yet", func() bool {
		return o.object(t, http.MethodHead, gone, "").status == http.StatusNotFound
	})
	for name, status := range map[string]int{gone: http.StatusNotFound, stays: http.StatusOK} {
		if a := o.object(t, http.MethodGet, name, ""); a.status != status {
			t.Errorf("object %s: %d, want %d", name, a.status, status)
		}
		if _, err := os.Stat(filepath.Join(o.dir, "json", name)); (status == http.StatusOK) != (err == nil) {
			t.Errorf("file %s: %v", name, err)
		}
	}
	if a := o.object(t, http.MethodGet, stays, ""); !bytes.Equal(a.body, o.read(t, discovery.JSON, "json", siteName)) {
		t.Errorf("the object that stays is not the document: %.300s", a.body)
	}
	eventually(t, "LDAP and the information API tell of the site that is gone", func() bool {
		return len(ldapsearch(t, o.ldapURL(), "-b", "o=glue", "(GLUE2DomainID="+goneName+")")) == 0 && !strings.Contains(o.ask(t, "/sites/"), goneName)
	})
}

// eventually waits until something is so, half a minute at most.
func eventually(t *testing.T, not string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(30 * time.Second); !is(); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal(not)
		}
	}
}

// freePort gives a port on loopback that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// programOf finds a Python program of an environment of its own.
func programOf(t *testing.T, name, variable, target string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		path, _ = exec.LookPath(name)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(errors.Join(err, fmt.Errorf("%s is not set: use make e2e, or name the program %s of the environment that make %s makes", variable, name, target)))
	}
	return path
}
