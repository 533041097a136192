package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/federation/registry"
	"github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/store"
	"github.com/fedsite/fedsite/protocol/smime"
)

type image = world.Image

// edition is what there is at a time: on a signed list by title, and in a registry by repository and tag.
type edition struct{ list, registry map[string]file }

type file struct {
	format string
	body   []byte
}

// raws are editions of disks that are taken as they are. The second has a successor of one on the list and in the registry,
// lacks one of either, and has a new one that is so large that it goes by way of the disk. When the third is asked for, what
// the registry lacks has been missing for long.
var raws = []edition{
	{list: rawDisks(3<<19, 1, "one", 1<<19, 2, "two", 1<<19, 3, "three"), registry: rawDisks(1<<19, 6, "images/moving:1", 1<<19, 7, "images/going:1")},
	{list: rawDisks(2<<20, 4, "one", 1<<19, 3, "three", 3<<20, 5, "large"), registry: rawDisks(1<<19, 8, "images/moving:1")},
	{list: rawDisks(2<<20, 4, "one", 1<<19, 3, "three", 3<<20, 5, "large"), registry: rawDisks(1<<19, 8, "images/moving:1")},
}

// rawDisks are disks: size, seed, name.
func rawDisks(of ...any) map[string]file {
	all := map[string]file{}
	for ; len(of) > 0; of = of[3:] {
		all[of[2].(string)] = file{"raw", disk(of[0].(int), byte(of[1].(int)))}
	}
	return all
}

// disk is a raw disk with a boot sector.
func disk(n int, seed byte) []byte {
	body := bytes.Repeat([]byte{seed}, n)
	body[510], body[511] = 0x55, 0xaa
	return body
}

// gallery is a cloud, and publishers of images, on loopback, at instants that stand still, in which processes of the program
// are hunted.
type gallery struct {
	*preserve
	base      string // URL of the cloud
	publisher string // URL
	editions  []edition

	mu       sync.Mutex
	cloud    *openstack.Cloud
	version  int
	signed   []byte
	registry *registry.Registry
	sums     map[string]string // SHA-512 by digest, as marks say it
	had      map[string]bool   // "project title" that has a working image
	problems []string
	asked    func(r *http.Request) // hears of what the publisher is asked for; may be nil
}

// newGallery has the editions offered one after the other. more is what the configuration of images has beside.
func newGallery(t *testing.T, editions []edition, more string) *gallery {
	t.Helper()
	w := world.Generate(world.Options{Seed: 6, At: first.Add(-time.Hour), Projects: 2, VMs: 2})
	g := &gallery{preserve: &preserve{t: t, dir: t.TempDir(), world: w, now: first, onto: map[string]*prey{}, closed: map[net.Conn]func(){}}, editions: editions, sums: map[string]string{}}
	g.base = "http://" + g.serve("all", g.watched(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.service().Handler().ServeHTTP(w, r) })), nil).String()
	g.open()
	g.publisher = "http://" + g.serve("all", http.HandlerFunc(g.give), nil).String()
	if editions[0].registry != nil {
		at := g.serve("all", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.present().ServeHTTP(w, r) }), nil)
		more += fmt.Sprintf("  sources: [{name: list, list: \"%s/list\", vos: \"*\"}, {name: registry, oci: \"http://%s/images\", vos: \"*\"}]\n", g.publisher, at)
	} else {
		more += fmt.Sprintf("  sources: [{name: list, list: \"%s/list\", vos: \"*\"}]\n", g.publisher)
	}
	ca, err := os.ReadFile("../../internal/app/testdata/pki/example-grid-root.pem")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"ca", "staging"} {
		if err := os.Mkdir(g.file(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"ca/root.pem": string(ca), "fedsite.yaml": fmt.Sprintf(`site: {gocdb: KILL-SITE}
credentials: {c: {username: %s, password: %s}}
clouds: [{name: main, auth_url: %q}]
vos: [{name: ops, project: %s}, {name: vo.access.egi.eu, project: %s}]
accounting: {mode: disabled}
discovery: {mode: disabled}
store: {path: %q}
images:
  mode: active
  sharing: members
  ca_dir: %q
  staging_dir: %q
%s`, world.Admin, world.AdminPass, g.service().AuthURL(), w.Projects[0].ID, w.Projects[1].ID, g.file("state"), g.file("ca"), g.file("staging"), more)} {
		if err := os.WriteFile(g.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// open opens the cloud anew: it has the world's images, and nothing of what was uploaded before.
func (g *gallery) open() {
	c := openstack.New(g.world, g.clock, openstack.Options{})
	c.SetBase(g.base)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cloud = c
}

func (g *gallery) service() *openstack.Cloud {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cloud
}

// present is the registry of the edition that is there.
func (g *gallery) present() *registry.Registry {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.registry
}

// give is the publisher: the list, and each file under its title and version.
func (g *gallery) give(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	body := g.signed
	if g.asked != nil {
		g.asked(r)
	}
	g.mu.Unlock()
	if r.URL.Path != "/list" {
		var version int
		var title string
		if _, err := fmt.Sscanf(r.URL.Path, "/%d/%s", &version, &title); err != nil || g.editions[version].list[title].body == nil {
			http.NotFound(w, r)
			return
		}
		body = g.editions[version].list[title].body
	}
	sum := sha512.Sum512(body)
	w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// publish signs a version of the list and fills the registry, hours after the last.
func (g *gallery) publish(t *testing.T, version int) {
	t.Helper()
	g.stand(g.from(version))
	e := g.editions[version]
	var all []any
	for _, title := range slices.Sorted(maps.Keys(e.list)) {
		f := e.list[title]
		all = append(all, map[string]any{"hv:image": map[string]any{"dc:identifier": title, "ad:mpuri": "https://appdb.example.org/" + title, "dc:title": title, "dc:description": "A disk", "hv:version": fmt.Sprint(version + 1),
			"hv:format": strings.ToUpper(f.format), "hv:size": fmt.Sprint(len(f.body)), "hv:uri": g.publisher + fmt.Sprintf("/%d/%s", version, title), "sl:arch": "x86_64", "sl:os": "Linux", "sl:osname": "Ubuntu", "sl:osversion": "24.04",
			"sl:checksum:sha512": g.sum(f, false)}})
	}
	body, err := json.Marshal(map[string]any{"hv:imagelist": map[string]any{"dc:identifier": "76fdee70-8119-5d33-9f40-3c57e1c60df1", "dc:title": "A list", "dc:date:created": "2026-10-01T10:00:00Z", "dc:date:expires": "2499-12-31T22:00:00Z",
		"ad:vo": "ops", "hv:version": fmt.Sprint(version + 1), "hv:images": all, "hv:endorser": map[string]any{"hv:x509": map[string]any{"hv:dn": "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org", "hv:ca": "/DC=org/DC=example-grid/CN=Example Grid Root CA"}}}})
	if err != nil {
		t.Fatal(err)
	}
	cert, err1 := os.ReadFile("../../internal/app/testdata/pki/endorser.pem")
	key, err2 := os.ReadFile("../../internal/app/testdata/pki/endorser.key")
	identity, err3 := smime.ParseIdentity(cert, key)
	signed, err4 := smime.Sign(body, identity, first)
	filled, err5 := g.filled(e)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.version, g.signed, g.registry, g.had, g.problems = version, signed, filled, map[string]bool{}, nil
}

// from is when a version is published.
func (g *gallery) from(version int) time.Time {
	return first.Add(time.Duration(version) * 2 * time.Hour)
}

// filled is a registry with what an edition has in it.
func (g *gallery) filled(e edition) (*registry.Registry, error) {
	r := registry.New(g.clock, registry.Options{})
	r.Project("images", true)
	for _, ref := range slices.Sorted(maps.Keys(e.registry)) {
		repository, tag, _ := strings.Cut(ref, ":")
		f := e.registry[ref]
		g.sum(f, true)
		if _, err := r.Push(registry.Image{Repository: repository, Tags: []string{tag}, Content: bytes.NewReader(f.body), Name: "disk", Annotations: map[string]string{
			"eu.egi.cloud.tag": tag, "org.openstack.glance.disk_format": f.format, "org.openstack.glance.os_distro": "ubuntu", "org.openstack.glance.architecture": "x86_64"}}); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// sum gives the checksum by which a source says a file, and keeps what Glance will say of it.
func (g *gallery) sum(f file, sha256s bool) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	long, short := sha512.Sum512(f.body), sha256.Sum256(f.body)
	text := hex.EncodeToString(long[:])
	if sha256s {
		g.sums["sha256:"+hex.EncodeToString(short[:])] = text
	} else {
		g.sums["sha512:"+text] = text
	}
	return text
}

// hunt starts "fedsite images apply" on a database, to be killed at an event; 0 = at none.
func (g *gallery) hunt(t *testing.T, db store.Config, at int) *prey {
	t.Helper()
	p := g.aim(t, db, at)
	p.start()
	return p
}

// aim is hunt, but for the start.
func (g *gallery) aim(t *testing.T, db store.Config, at int) *prey {
	t.Helper()
	where := db.URL
	if where == "" {
		where = filepath.Dir(db.Path)
	}
	p := newPrey(t, at, []string{"FEDSITE_CONFIG=" + g.file("fedsite.yaml"), "FEDSITE_DATABASE=" + where, victimEnv + "=" + g.clock().Format(time.RFC3339Nano), "HOME=" + g.dir}, "images", "apply")
	p.ready = g.midway
	g.preserve.mu.Lock()
	g.onto["all"] = p
	g.preserve.mu.Unlock()
	return p
}

// idle: one more run finds nothing to do, and writes nothing.
func (g *gallery) idle(t *testing.T, db store.Config) {
	t.Helper()
	p := g.hunt(t, db, 0)
	p.exits(run.ExitDone)
	for _, e := range p.events {
		if _, what, _ := strings.Cut(e, " "); strings.Contains(e, "/image/") && !strings.HasPrefix(what, http.MethodGet) {
			t.Errorf("a run with nothing to do: %s", e)
		}
	}
	g.tidy(t)
}

// clear takes away what a test that failed has left in the staging directory.
func (g *gallery) clear(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(g.file("staging/*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tidy: nothing is left in the staging directory, and nobody works there.
func (g *gallery) tidy(t *testing.T) {
	t.Helper()
	if left, err := os.ReadDir(g.file("staging")); err != nil || len(left) > 0 {
		t.Errorf("left in the staging directory: %v, %v", left, err)
	}
	if at := g.working(); len(at) > 0 {
		t.Errorf("processes work in the staging directory: %v", at)
	}
}

// pass lets time go by, in which a dead process's lease ends.
func (g *gallery) pass(t *testing.T, db store.Config, d time.Duration) {
	t.Helper()
	if db.URL != "" {
		opened(t, db, func(st *store.Store) { calm(t, st) })
	}
	(&disturbed{campaign: &campaign{preserve: g.preserve}, t: t, db: db}).pass()
	g.stand(g.clock().Add(d))
}

// kept gives a copy of a database; of one that is not there yet, a place for it.
func (g *gallery) kept(t *testing.T, db store.Config) store.Config {
	t.Helper()
	if _, err := os.Stat(filepath.Dir(db.Path)); db.URL == "" && err != nil {
		return store.Config{Path: filepath.Join(t.TempDir(), "db", filepath.Base(db.Path))}
	}
	return copied(t, db)
}

// images gives those in Glance.
func (g *gallery) images() []image {
	all := g.world.AllImages()
	for i := range all {
		all[i].Properties, all[i].Members = maps.Clone(all[i].Properties), maps.Clone(all[i].Members)
	}
	return all
}

// restore puts Glance back to what it was.
func (g *gallery) restore(all []image) {
	g.open()
	for _, i := range g.world.AllImages() {
		g.world.RemoveImage(i.ID)
	}
	for _, i := range all {
		i.Properties, i.Members = maps.Clone(i.Properties), maps.Clone(i.Members)
		g.world.AddImage(i)
	}
}

// unnoticed has Glance take no notice of uploads that broke off.
func (g *gallery) unnoticed() {
	for _, i := range g.world.AllImages() {
		if i.Properties["fedsite_managed_by"] != "" && i.Status == "queued" {
			g.world.ChangeImage(i.ID, func(i *image) bool { i.Status = "saving"; return true })
		}
	}
}

// shown gives what is in Glance of ours, without ids and times.
func (g *gallery) shown() (all []string) {
	for _, i := range g.world.AllImages() {
		if i.Properties["fedsite_managed_by"] == "" {
			continue
		}
		properties := maps.Clone(i.Properties)
		delete(properties, "fedsite_uploaded")
		all = append(all, fmt.Sprint(i.Name, i.Owner, i.Status, i.Visibility, i.Hidden, i.Size, i.SHA512, i.Members, properties))
	}
	slices.Sort(all)
	return all
}

// watched looks after each request whether a project lacks an image that it had, and that the list still names.
func (g *gallery) watched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.look(r)
		next.ServeHTTP(w, r)
	})
}

func (g *gallery) look(r *http.Request) {
	now := g.clock()
	g.mu.Lock()
	defer g.mu.Unlock()
	has := map[string]bool{}
	for _, i := range g.world.AllImages() {
		if i.Properties["fedsite_state"] != "active" || i.Status != "active" || i.Hidden {
			continue
		}
		want := g.sums[i.Properties["fedsite_digest"]]
		if i.Properties["fedsite_converted"] != "" {
			want = i.Properties["fedsite_hash"]
		}
		if i.SHA512 != want || want == "" {
			g.problems = append(g.problems, fmt.Sprintf("after %s %s: %s is active, and has another content", r.Method, r.URL.Path, i.Name))
		}
		for _, p := range g.world.Projects {
			if i.Owner == p.ID || i.Visibility == "shared" && i.Members[p.ID] == "accepted" {
				has[p.Name+" "+i.Name] = true
			}
		}
	}
	for what := range g.had {
		_, title, _ := strings.Cut(what, " ")
		if !has[what] && g.wants(title, now) {
			g.problems = append(g.problems, fmt.Sprintf("after %s %s: project and image %s: no working one", r.Method, r.URL.Path, what))
		}
	}
	g.had = has
}

// wants tells whether what is offered names an image; what the registry lacks is named for an hour more.
func (g *gallery) wants(title string, now time.Time) bool {
	e := g.editions[g.version]
	for version := g.version - 1; version >= 0 && now.Sub(g.from(version+1)) < time.Hour; version-- {
		if g.editions[version].registry[title].body != nil {
			return true
		}
	}
	return e.list[title].body != nil || e.registry[title].body != nil
}

// told tells what was wrong at any time.
func (g *gallery) told(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.problems {
		t.Error(p)
	}
}
