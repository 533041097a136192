// Package registry emulates the registry that images come from: the OCI distribution protocol with its tokens, and Harbor's
// API beside it, as far as somebody asks who reads (Harbor 2.12, distribution 2.8; spec images §3.2).
//
//	push → artifacts by project and repository → distribution (/v2/) · listings (/api/v2.0/) · tokens (/service/token)
//
// On purpose not reproduced: writing by HTTP, robots and roles (a user sees every project), quotas, and the catalog.
package registry

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Media types.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	IndexType    = "application/vnd.oci.image.index.v1+json"
	DiskType     = "application/x-qemu-disk" // as EGI's publishers call a file
	emptyType    = "application/vnd.oci.empty.v1+json"
	unknownType  = "application/vnd.unknown.artifact.v1" // as oras calls an artifact that was given no type
)

// Content is the bytes of a file, read where they are wanted: *bytes.Reader and *io.SectionReader are such.
type Content interface {
	io.ReaderAt
	Size() int64
}

// Options is how the registry is set up.
type Options struct {
	User, Password string        // who sees projects that are not public; "" = nobody does
	PageSize       int           // the most that is listed in one page, whatever is asked for; 0 = 100
	Life           time.Duration // of tokens; 0 = 30 min
}

// Registry is the service. It may be used from several goroutines.
type Registry struct {
	opts Options
	now  func() time.Time

	mu       sync.Mutex
	projects []*project
	blobs    map[string]Content // by digest
	broken   map[string]int     // status that a repository's listings answer
	storage  string             // where blobs are; "" = here
	tokens   map[string]token
	asked    map[string]int // requests by method and path
	ids      int
}

type project struct {
	id           int
	name         string
	public       bool
	repositories []*repository
}

type repository struct {
	id        int
	name      string // with its project
	artifacts []*artifact
}

type artifact struct {
	id       int
	digest   string
	manifest []byte
	parsed   manifest
	pushed   time.Time
	tags     []tag // in the order in which they were given
}

type tag struct {
	id   int
	name string
	at   time.Time
}

// manifest is what is read of one.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        []descriptor      `json:"layers,omitempty"`
	Manifests     []descriptor      `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Data         []byte            `json:"data,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"` // in a list of referrers
}

// New gives an empty registry at the present that now tells.
func New(now func() time.Time, o Options) *Registry {
	o.PageSize, o.Life = cmp.Or(o.PageSize, 100), cmp.Or(o.Life, 30*time.Minute)
	return &Registry{opts: o, now: now, blobs: map[string]Content{}, broken: map[string]int{}, tokens: map[string]token{}, asked: map[string]int{}}
}

// Project makes a project, or says anew whether it is public.
func (r *Registry) Project(name string, public bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.project(name).public = public
}

// Image is a file that is pushed as EGI's publishers push theirs: one layer, with annotations on it.
type Image struct {
	Repository  string // with its project: egi_vm_images/ubuntu
	Tags        []string
	Name        string // of the file
	Type        string // "" = DiskType
	Content     Content
	Annotations map[string]string // of the layer, beside the file's name
	About       map[string]string // of the manifest
}

// Push puts an image into the registry and moves its tags there; it gives the manifest's digest. What loses its last tag
// stays, untagged. A project that is not there yet is made, and is public.
func (r *Registry) Push(i Image) (digest string, err error) {
	layer, err := describe(cmp.Or(i.Type, DiskType), i.Content)
	if err != nil {
		return "", fmt.Errorf("push %s: %w", i.Repository, err)
	}
	layer.Annotations = map[string]string{"org.opencontainers.image.title": i.Name}
	maps.Copy(layer.Annotations, i.Annotations)
	text, err := json.Marshal(manifest{SchemaVersion: 2, MediaType: ManifestType, ArtifactType: unknownType, Config: empty(), Layers: []descriptor{layer}, Annotations: i.About})
	if err != nil {
		return "", err
	}
	return r.Put(i.Repository, text, i.Tags, i.Content)
}

// Attach puts something beside an artifact that belongs to it, as a list of its parts does: with the tags, if any are given,
// and otherwise found by its subject alone. It gives the digest of its manifest.
func (r *Registry) Attach(repository, ref, artifactType string, content Content, tags ...string) (digest string, err error) {
	r.mu.Lock()
	a := r.find(repository, ref)
	r.mu.Unlock()
	if a == nil {
		return "", fmt.Errorf("attach to %s:%s: there is none", repository, ref)
	}
	layer, err := describe(artifactType, content)
	if err != nil {
		return "", fmt.Errorf("attach to %s:%s: %w", repository, ref, err)
	}
	subject := descriptor{MediaType: a.kind(), Digest: a.digest, Size: int64(len(a.manifest))}
	text, err := json.Marshal(manifest{SchemaVersion: 2, MediaType: ManifestType, ArtifactType: artifactType, Config: empty(), Layers: []descriptor{layer}, Subject: &subject})
	if err != nil {
		return "", err
	}
	return r.Put(repository, text, tags, content)
}

// Put puts a manifest into a repository as it stands, and moves the tags to it. The files are kept by their digests, whether
// the manifest names them or not.
func (r *Registry) Put(repository string, manifestText []byte, tags []string, files ...Content) (digest string, err error) {
	project, _, ok := strings.Cut(repository, "/")
	if !ok {
		return "", fmt.Errorf("put %s: a repository is named with its project", repository)
	}
	a := &artifact{digest: digestOf(manifestText), manifest: slices.Clone(manifestText)}
	if err := json.Unmarshal(manifestText, &a.parsed); err != nil {
		return "", fmt.Errorf("put %s: %w", repository, err)
	}
	blobs := map[string]Content{}
	for _, f := range files {
		d, err := describe("", f)
		if err != nil {
			return "", fmt.Errorf("put %s: %w", repository, err)
		}
		blobs[d.Digest] = f
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.Copy(r.blobs, blobs)
	repo := r.project(project).repository(repository, r.id)
	if i := slices.IndexFunc(repo.artifacts, func(b *artifact) bool { return b.digest == a.digest }); i >= 0 {
		a = repo.artifacts[i]
	} else {
		a.id, a.pushed = r.id(), r.now()
		repo.artifacts = append(repo.artifacts, a)
	}
	for _, t := range tags {
		repo.untag(t)
		a.tags = append(a.tags, tag{r.id(), t, r.now()})
	}
	return a.digest, nil
}

// Untag takes a tag away; what bore it stays.
func (r *Registry) Untag(repository, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo := r.repository(repository); repo != nil {
		repo.untag(name)
	}
}

// Delete takes the artifact away that a tag or a digest names, with all of its tags.
func (r *Registry) Delete(repository, ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if repo, a := r.repository(repository), r.find(repository, ref); a != nil {
		repo.artifacts = slices.DeleteFunc(repo.artifacts, func(b *artifact) bool { return a == b })
	}
}

// Break has the listings of a repository's artifacts and tags answer with a status; 0 = they are well again.
func (r *Registry) Break(repository string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken[repository] = status
}

// Store has blobs asked for elsewhere (307): at the URL under which Storage is served. "" = they are given here.
func (r *Registry) Store(url string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.storage = strings.TrimSuffix(url, "/")
}

// Asked tells how often a request was made: "GET /v2/", with paths as they were sent.
func (r *Registry) Asked(request string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked[request]
}

// id gives the next number, as Harbor's database does.
func (r *Registry) id() int {
	r.ids++
	return r.ids
}

func (r *Registry) project(name string) *project {
	if p := r.projectNamed(name); p != nil {
		return p
	}
	p := &project{id: r.id(), name: name, public: true}
	r.projects = append(r.projects, p)
	return p
}

func (r *Registry) projectNamed(name string) *project {
	if i := slices.IndexFunc(r.projects, func(p *project) bool { return p.name == name }); i >= 0 {
		return r.projects[i]
	}
	return nil
}

// repository finds a repository; nil = there is none.
func (r *Registry) repository(name string) *repository {
	owner, _, _ := strings.Cut(name, "/")
	p := r.projectNamed(owner)
	if p == nil {
		return nil
	}
	if i := slices.IndexFunc(p.repositories, func(o *repository) bool { return o.name == name }); i >= 0 {
		return p.repositories[i]
	}
	return nil
}

func (p *project) repository(name string, id func() int) *repository {
	for _, o := range p.repositories {
		if o.name == name {
			return o
		}
	}
	p.repositories = append(p.repositories, &repository{id: id(), name: name})
	return p.repositories[len(p.repositories)-1]
}

// find gives the artifact that a tag or a digest names; nil = there is none.
func (r *Registry) find(repository, ref string) *artifact {
	repo := r.repository(repository)
	if repo == nil {
		return nil
	}
	for _, a := range repo.artifacts {
		if a.digest == ref || slices.ContainsFunc(a.tags, func(t tag) bool { return t.name == ref }) {
			return a
		}
	}
	return nil
}

func (o *repository) untag(name string) {
	for _, a := range o.artifacts {
		a.tags = slices.DeleteFunc(a.tags, func(t tag) bool { return t.name == name })
	}
}

// kind is the media type of the manifest.
func (a *artifact) kind() string { return cmp.Or(a.parsed.MediaType, ManifestType) }

// describe gives media type, digest and size of a file, which it reads.
func describe(kind string, c Content) (descriptor, error) {
	if c == nil {
		return descriptor{}, errors.New("it has no content")
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(c, 0, c.Size())); err != nil {
		return descriptor{}, fmt.Errorf("read its content: %w", err)
	}
	return descriptor{MediaType: kind, Digest: "sha256:" + hex.EncodeToString(h.Sum(nil)), Size: c.Size()}, nil
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// empty is the configuration of an artifact that has none.
func empty() *descriptor {
	return &descriptor{MediaType: emptyType, Digest: digestOf([]byte("{}")), Size: 2, Data: []byte("{}")}
}

// refuse answers as Harbor and distribution do.
func refuse(w http.ResponseWriter, status int, code, format string, args ...any) {
	reply(w, status, map[string]any{"errors": []map[string]string{{"code": code, "message": fmt.Sprintf(format, args...)}}})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// EGI gives the annotations of an image as EGI's publishers write them: of the layer, and about the manifest. A build is
// "2026-10-07-fc45d0d3".
func EGI(distro, version, build, format string, created time.Time) (annotations, about map[string]string) {
	annotations = map[string]string{
		"eu.egi.cloud.tag":         build,
		"eu.egi.cloud.description": "EGI " + strings.ToUpper(distro[:1]) + distro[1:] + " " + version + " image",
	}
	for key, value := range map[string]string{"architecture": "x86_64", "container_format": "bare", "disk_format": format, "os_admin_user": distro, "os_distro": distro, "os_type": "linux", "os_version": version} {
		annotations["org.openstack.glance."+key] = value
	}
	about = map[string]string{
		"org.opencontainers.image.created":  created.UTC().Format(time.RFC3339),
		"org.opencontainers.image.revision": build[strings.LastIndexByte(build, '-')+1:],
		"org.opencontainers.image.source":   "https://github.com/EGI-Federation/fedcloud-vmi-templates",
	}
	return annotations, about
}
