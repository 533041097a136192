package app_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/internal/app"
	"github.com/fedsite/fedsite/internal/config"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/protocol/smime"
)

// publisher serves image lists and files.
type publisher struct {
	*httptest.Server
	mu    sync.Mutex
	paths map[string][]byte
	asked map[string]int
	wrong map[string]http.HandlerFunc // that misbehave, by path
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{paths: map[string][]byte{}, asked: map[string]int{}, wrong: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		body, ok := p.paths[r.URL.Path]
		wrong := p.wrong[r.URL.Path]
		p.mu.Unlock()
		switch {
		case wrong != nil:
			wrong(w, r)
		case !ok:
			http.NotFound(w, r)
		default:
			sum := sha512.Sum512(body)
			w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) put(path string, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paths[path] = body
}

func (p *publisher) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

// misbehave has a path answered so; nil = well again.
func (p *publisher) misbehave(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong[path] = h
}

// disk is an image of a list.
type disk struct {
	id, title, version, format, path string
	sum                              string // "" = that of the file
}

// list writes a list in the form of AppDB's, signed; by nobody where signer is "".
func (p *publisher) list(t *testing.T, path, id, vo, version, signer string, disks ...disk) {
	t.Helper()
	var all []any
	for _, d := range disks {
		p.mu.Lock()
		body := p.paths[d.path]
		p.mu.Unlock()
		sum := sha512.Sum512(body)
		if d.sum == "" {
			d.sum = hex.EncodeToString(sum[:])
		}
		all = append(all, map[string]any{"hv:image": map[string]any{"dc:identifier": d.id, "ad:mpuri": "https://appdb.example.org/store/vo/image/" + d.id + ":1/", "dc:title": d.title, "dc:description": "A disk",
			"hv:version": d.version, "hv:format": d.format, "hv:size": fmt.Sprint(len(body)), "hv:uri": p.URL + d.path, "hv:ram_minimum": "536870912", "dc:date:expires": "2499-12-31T22:00:00Z",
			"sl:arch": "x86_64", "sl:os": "Linux", "sl:osname": "Ubuntu", "sl:osversion": "24.04", "sl:checksum:sha512": d.sum}})
	}
	body, err := json.Marshal(map[string]any{"hv:imagelist": map[string]any{"dc:identifier": id, "dc:title": "List of " + vo, "dc:date:created": "2026-11-01T10:00:00Z", "dc:date:expires": "2499-12-31T22:00:00Z", "ad:vo": vo, "hv:version": version,
		"hv:endorser": map[string]any{"hv:x509": map[string]any{"hv:dn": "/DC=EU/DC=EGI/C=NL/O=Hosts/O=EGI.eu/CN=appdb.example.org", "hv:ca": "/DC=org/DC=example-grid/CN=Example Grid Root CA"}}, "hv:images": all}})
	if err != nil {
		t.Fatal(err)
	}
	if signer == "" {
		p.put(path, body)
		return
	}
	cert, err := os.ReadFile("testdata/pki/" + signer + ".pem")
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile("testdata/pki/" + signer + ".key")
	if err != nil {
		t.Fatal(err)
	}
	identity, err := smime.ParseIdentity(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := smime.Sign(body, identity, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.put(path, signed)
}

// qcow2 is a disk of so many bytes that is otherwise for each seed.
func qcow2(n int, seed byte) []byte {
	body := bytes.Repeat([]byte{seed}, max(n, 256<<10))
	clear(body[:256<<10])
	copy(body, "QFI\xfb")
	be := binary.BigEndian
	be.PutUint32(body[4:], 3)
	be.PutUint32(body[20:], 16)      // cluster bits
	be.PutUint64(body[24:], 1<<20)   // virtual size
	be.PutUint32(body[36:], 1)       // L1 entries
	be.PutUint64(body[40:], 0x30000) // L1 table
	be.PutUint64(body[48:], 0x10000) // refcount table
	be.PutUint32(body[56:], 1)
	be.PutUint32(body[96:], 4) // refcount order
	be.PutUint32(body[100:], 104)
	body[len(body)-1] = seed
	return body
}

// rawDisk is a disk with a boot sector.
func rawDisk(n int, seed byte) []byte {
	body := bytes.Repeat([]byte{seed}, n)
	body[510], body[511] = 0x55, 0xaa
	return body
}

// farm is a cloud that gets images of a publisher.
type farm struct {
	*publisher
	dir    string
	world  *world.World
	cloud  *emulated.Cloud
	faults *faults.Set
	ahead  atomic.Int64 // of the world's and fedsite's clock, in nanoseconds
	more   string       // lines of images:
	mode   [2]string    // a part of the configuration, and what stands in its place
	db     string
	stall  time.Duration // for how long a source may give nothing; 0 = as is usual
}

func newFarm(t *testing.T, era emulated.Era, limits ...emulated.ImageService) *farm {
	t.Helper()
	f := &farm{publisher: newPublisher(t), dir: t.TempDir(), faults: &faults.Set{}}
	f.db = filepath.Join(f.dir, "db")
	f.world = world.Generate(world.Options{Seed: 3, At: time.Now().Add(-10 * time.Minute), Projects: 3, VMs: 6})
	f.cloud = emulated.New(f.world, f.at, emulated.Options{Era: era, Middleware: f.faults.Middleware, Images: slices.Concat(limits, []emulated.ImageService{{}})[0]})
	srv, err := f.cloud.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	for _, dir := range []string{"ca", "staging", "db"} {
		if err := os.Mkdir(filepath.Join(f.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := os.ReadFile("testdata/pki/example-grid-root.pem")
	if err == nil {
		err = os.WriteFile(filepath.Join(f.dir, "ca", "root.pem"), ca, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.put("/u1", qcow2(3<<20, 1))
	f.put("/u2", rawDisk(2<<20, 2))
	f.put("/u3", qcow2(300<<10, 3))
	f.put("/u1-new", qcow2(4<<20, 11))
	return f
}

// at is the present there.
func (f *farm) at() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) }

// open opens fedsite for the farm.
func (f *farm) open(t *testing.T) *app.App {
	t.Helper()
	text := fmt.Sprintf(`site: {gocdb: SITE}
store: {path: %q}
credentials: {c: {username: %s, password: %s}}
clouds: [{name: main, auth_url: %q, credential: c}]
vos: [{name: ops, project: %s}, {name: vo.access.egi.eu, project: %s}]
accounting: {mode: disabled}
discovery: {mode: disabled}
images:
  mode: active
  formats: [qcow2, raw]
  ca_dir: %q
  staging_dir: %q
  blocks: %q
%s`, f.db, world.Admin, world.AdminPass, f.cloud.AuthURL(), f.world.Projects[0].ID, f.world.Projects[1].ID, filepath.Join(f.dir, "ca"), filepath.Join(f.dir, "staging"), filepath.Join(f.dir, "blocks.yaml"), f.more)
	if f.mode[0] != "" {
		text = strings.Replace(text, f.mode[0], f.mode[1], 1)
	}
	cfg, err := config.Parse("fedsite.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), cfg, app.Options{Now: f.at, BackOff: time.Millisecond, Stall: f.stall, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// sitesOf are all sites of a configuration.
func sitesOf(t *testing.T, a *app.App) []config.Site {
	t.Helper()
	all, err := a.Sites("")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// apply runs images once, and gives the outcome and what was done, as "add Title".
func (f *farm) apply(t *testing.T, a *app.App, o app.ImageOptions) (run.Report, []string) {
	t.Helper()
	sites := sitesOf(t, a)
	all := a.ApplyImages(t.Context(), sites, o)
	if len(all) != 1 || all[0].Err != nil {
		t.Fatalf("%+v", all)
	}
	var done []string
	for _, r := range all[0].Results {
		word := fmt.Sprint(r.Verb, " ", r.Name)
		if r.Err != nil {
			word += ": failed"
		}
		done = append(done, word)
	}
	slices.Sort(done)
	return all[0].Report, done
}

// writes are the requests that change something in Glance since so many requests.
func (f *farm) writes(from int) (all []string) {
	for _, r := range f.cloud.Requests()[from:] {
		if strings.HasPrefix(r.Path, "/image/") && r.Method != http.MethodGet && r.Method != http.MethodHead {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}

// inGlance gives what fedsite brought: project's index, title, state, first bytes of the checksum, hidden.
func (f *farm) inGlance() (all []string) {
	for _, i := range f.world.AllImages() {
		if i.Properties["fedsite_managed_by"] == "" {
			continue
		}
		n := slices.IndexFunc(f.world.Projects, func(p world.Project) bool { return p.ID == i.Owner })
		word := fmt.Sprintf("%d %s %s %s", n, i.Name, i.Properties["fedsite_state"], i.Status)
		if i.Hidden {
			word += " hidden"
		}
		all = append(all, word)
	}
	slices.Sort(all)
	return all
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

const (
	id1, id2, id3 = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222", "33333333-3333-4333-8333-333333333333"
	listID        = "76fdee70-8119-5d33-9f40-3c57e1c60df1"
)

func sha512Of(body []byte) string {
	sum := sha512.Sum512(body)
	return hex.EncodeToString(sum[:])
}
