package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/protocol/oci"
)

var day = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const ubuntu = "egi_vm_images/ubuntu"

// bed is a registry that is served.
type bed struct {
	*Registry
	url string
	now time.Time
}

func newBed(t *testing.T, o Options) *bed {
	t.Helper()
	b := &bed{now: day}
	b.Registry = New(func() time.Time { return b.now }, o)
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	b.url = srv.URL
	return b
}

func (b *bed) client() *oci.Client {
	return &oci.Client{HTTP: http.DefaultClient, URL: b.url, Now: func() time.Time { return b.now }}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// get asks for a path or a URL, with headers in pairs.
func (b *bed) get(t *testing.T, target string, header ...string) (*http.Response, string) {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.url + target
	}
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res := must[*http.Response](t)(client.Do(req))
	defer res.Body.Close()
	return res, string(must[[]byte](t)(io.ReadAll(res.Body)))
}

// vectors pushes what the vectors hold, the oldest first.
func (b *bed) vectors(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile("testdata/artifacts-ubuntu.json")), &all); err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Backward(all) {
		digest := a["digest"].(string)
		text := must[[]byte](t)(os.ReadFile(filepath.Join("testdata/manifests", "ubuntu__"+strings.Replace(digest, ":", "_", 1)+".json")))
		var tags []string
		if listed, ok := a["tags"].([]any); ok {
			for _, tag := range listed {
				tags = append(tags, tag.(map[string]any)["name"].(string))
			}
		}
		if got := must[string](t)(b.Put(ubuntu, text, tags)); got != digest {
			t.Fatalf("%s became %s", digest, got)
		}
	}
	return all
}

// TestVectors: what Harbor answered for these artifacts is what is answered here, and the images in it are the expected ones.
func TestVectors(t *testing.T) {
	b := newBed(t, Options{})
	want := b.vectors(t)
	_, body := b.get(t, "/api/v2.0/projects/egi_vm_images/repositories/ubuntu/artifacts?with_tag=true")
	var got []map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Concat(want, got) { // what is by chance
		for _, key := range []string{"id", "push_time", "accessories"} {
			delete(a, key)
		}
		tags, _ := a["tags"].([]any)
		for _, tag := range tags {
			delete(tag.(map[string]any), "id")
			delete(tag.(map[string]any), "push_time")
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var expected struct {
		Images  []string `json:"select_with_tag_pattern_^[^-]*$"`
		Ignored map[string]string
	}
	if err := json.Unmarshal(must[[]byte](t)(os.ReadFile("testdata/expected.json")), &expected); err != nil {
		t.Fatal(err)
	}
	for _, place := range []oci.Place{{Projects: []string{"egi_vm_images"}}, {Repositories: []string{ubuntu}}} {
		l := b.client().List(t.Context(), place, oci.Policy{})
		var refs []string
		for _, i := range l.Images {
			refs = append(refs, i.Ref)
		}
		slices.Sort(expected.Images)
		if !l.Complete() || !slices.Equal(refs, expected.Images) {
			t.Errorf("%+v: %v, gaps %v", place, refs, l.Gaps)
		}
	}
}

// TestPush: an image that is pushed is got by its ref; a tag moves, and what it leaves stays untagged; a list of parts is no
// image; what is taken away is gone.
func TestPush(t *testing.T) {
	b := newBed(t, Options{})
	body := bytes.Repeat([]byte("disk"), 1000)
	annotations, about := EGI("ubuntu", "24.04", "2026-11-24-fc45d0d3", "qcow2", day)
	first := must[string](t)(b.Push(Image{Repository: ubuntu, Tags: []string{"24.04", "24.04-1"}, Name: "u.qcow2", Content: bytes.NewReader(body), Annotations: annotations, About: about}))
	must[string](t)(b.Push(Image{Repository: ubuntu, Tags: []string{"20.04"}, Name: "old.raw", Content: bytes.NewReader([]byte("old"))}))
	sbom := must[string](t)(b.Attach(ubuntu, "24.04", "application/vnd.cyclonedx+json", bytes.NewReader([]byte("{}"))))
	list := func() (refs, ignored []string) {
		l := b.client().List(t.Context(), oci.Place{Projects: []string{"egi_vm_images"}}, oci.Policy{})
		if !l.Complete() {
			t.Errorf("gaps %v", l.Gaps)
		}
		for _, i := range l.Images {
			refs = append(refs, i.Ref+" "+i.Digest+" "+i.Format+" "+i.Layer.Digest)
		}
		for _, i := range l.Ignored {
			ignored = append(ignored, i.Ref)
		}
		slices.Sort(ignored)
		return refs, ignored
	}
	sum := sha256.Sum256(body)
	refs, ignored := list()
	if want := ubuntu + ":24.04 " + first + " qcow2 sha256:" + hex.EncodeToString(sum[:]); !slices.Equal(refs, []string{want}) || !slices.Equal(ignored, []string{ubuntu + ":20.04", ubuntu + ":24.04-1"}) {
		t.Errorf("%v, ignored %v", refs, ignored)
	}
	_, text := b.get(t, "/v2/"+ubuntu+"/referrers/"+first, "Authorization", b.token(t, ubuntu))
	if !strings.Contains(text, sbom) || !strings.Contains(text, "cyclonedx") {
		t.Errorf("referrers: %s", text)
	}
	if _, text := b.get(t, "/api/v2.0/projects/egi_vm_images/repositories/ubuntu/artifacts"); !strings.Contains(text, `"subject_artifact_digest":"`+first) {
		t.Errorf("accessories: %s", text)
	}

	second := must[string](t)(b.Push(Image{Repository: ubuntu, Tags: []string{"24.04"}, Name: "u.qcow2", Content: bytes.NewReader([]byte("new")), Annotations: annotations, About: about}))
	if refs, _ = list(); len(refs) != 1 || !strings.Contains(refs[0], second) {
		t.Errorf("moved: %v", refs)
	}
	b.Untag(ubuntu, "24.04-1")
	if _, ignored = list(); !slices.Contains(ignored, ubuntu+"@"+first) {
		t.Errorf("without its tags: %v", ignored)
	}
	b.Delete(ubuntu, "24.04")
	b.Delete(ubuntu, first)
	if refs, ignored = list(); len(refs) > 0 || !slices.Equal(ignored, []string{ubuntu + ":20.04"}) {
		t.Errorf("deleted: %v, %v", refs, ignored)
	}
	for name, err := range map[string]error{"a repository without a project": fail(b.Push(Image{Repository: "ubuntu", Content: bytes.NewReader(nil)})), "an image without content": fail(b.Push(Image{Repository: ubuntu})),
		"a part of nothing": fail(b.Attach(ubuntu, "1.0", "", bytes.NewReader(nil))), "a manifest that is none": fail(b.Put(ubuntu, []byte("no"), nil))} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func fail(_ string, err error) error { return err }

// token gives a value of Authorization for anybody.
func (b *bed) token(t *testing.T, repository string, header ...string) string {
	t.Helper()
	_, text := b.get(t, "/service/token?service=harbor-registry&scope=repository:"+repository+":pull", header...)
	var said struct{ Token string }
	if err := json.Unmarshal([]byte(text), &said); err != nil || said.Token == "" {
		t.Fatal(text, err)
	}
	return "Bearer " + said.Token
}

// TestRights: who may see what, with which sign-in, and for how long.
func TestRights(t *testing.T) {
	b := newBed(t, Options{User: "robot", Password: "secret"})
	for _, name := range []string{"open/a", "closed/a"} {
		must[string](t)(b.Push(Image{Repository: name, Tags: []string{"1"}, Content: bytes.NewReader([]byte(name))}))
	}
	b.Project("closed", false)
	right, wrong := []string{"Authorization", "Basic cm9ib3Q6c2VjcmV0"}, []string{"Authorization", "Basic cm9ib3Q6bm8="}
	bearer := func(repository string, header ...string) []string {
		return []string{"Authorization", b.token(t, repository, header...)}
	}
	cases := []struct {
		path   string
		header []string
		status int
	}{
		{"/v2/", nil, 401},
		{"/v2/", bearer("open/a"), 200},
		{"/v2/open/a/tags/list", nil, 401},
		{"/v2/open/a/tags/list", []string{"Authorization", "Bearer no"}, 401},
		{"/v2/open/a/tags/list", bearer("open/a"), 200},
		{"/v2/open/a/tags/list", bearer("closed/a", right...), 401},
		{"/v2/closed/a/tags/list", bearer("closed/a"), 401},
		{"/v2/closed/a/tags/list", bearer("closed/a", right...), 200},
		{"/v2/closed/a/tags/list", right, 200},
		{"/v2/closed/a/tags/list", wrong, 401},
		{"/v2/open/none/tags/list", right, 404},
		{"/v2/open/a/manifests/2", right, 404},
		{"/v2/open/a/manifests/1", append(right, "Accept", "application/json"), 404},
		{"/v2/open/a/manifests/1", append(right, "Accept", ManifestType), 200},
		{"/v2/open/a/blobs/sha256:no", right, 404},
		{"/v2/open/a/uploads/1", right, 404},
		{"/v2/open/a/tags/list?n=0", right, 400},
		{"/service/token?service=harbor-registry", wrong, 401},
		{"/service/token?service=other", right, 400},
		{"/api/v2.0/projects", wrong, 401},
		{"/api/v2.0/projects/closed/repositories", nil, 401},
		{"/api/v2.0/projects/closed/repositories", right, 200},
		{"/api/v2.0/projects/none/repositories", nil, 401},
		{"/api/v2.0/projects/none/repositories", right, 404},
		{"/api/v2.0/projects/open/repositories/none/artifacts", nil, 404},
		{"/api/v2.0/projects/open/members", nil, 404},
		{"/api/v2.0/projects?page_size=101", nil, 422},
		{"/api/v2.0/projects?page=0", nil, 422},
		{"/other", nil, 404},
	}
	for _, c := range cases {
		if res, body := b.get(t, c.path, c.header...); res.StatusCode != c.status {
			t.Errorf("%s %v: %d, want %d: %s", c.path, c.header, res.StatusCode, c.status, body)
		}
	}
	for _, signed := range []bool{false, true} {
		client, want := b.client(), []string{"open"}
		if signed {
			client.User, client.Password, want = "robot", "secret", []string{"open", "closed"}
		}
		if got := must[[]string](t)(client.Projects(t.Context())); !slices.Equal(got, want) {
			t.Errorf("signed in %v: %v", signed, got)
		}
	}
	header := bearer("open/a")
	b.now = b.now.Add(30 * time.Minute)
	if res, _ := b.get(t, "/v2/open/a/tags/list", header...); res.StatusCode != 401 {
		t.Errorf("with a token that ended: %d", res.StatusCode)
	}
	res, _ := b.get(t, "/v2/open/a/tags/list")
	if got, want := res.Header.Get("WWW-Authenticate"), `Bearer realm="`+b.url+`/service/token",service="harbor-registry",scope="repository:open/a:pull"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if res := must[*http.Response](t)(http.Post(b.url+"/v2/open/a/blobs/uploads/", "", nil)); res.Body.Close() != nil || res.StatusCode != 405 {
		t.Errorf("pushed by HTTP: %d", res.StatusCode)
	}
}

// TestPages: listings come in pages that name the next one, and a name with slashes is found encoded twice only.
func TestPages(t *testing.T) {
	b := newBed(t, Options{PageSize: 2})
	var tags []string
	for n := range 5 {
		tag := fmt.Sprintf("t%d", n)
		tags = append(tags, tag)
		must[string](t)(b.Push(Image{Repository: "p0/a/b", Tags: []string{tag}, Content: bytes.NewReader([]byte(tag))}))
		must[string](t)(b.Push(Image{Repository: fmt.Sprintf("p%d/c", n), Tags: []string{tag}, Content: bytes.NewReader([]byte(tag))}))
	}
	client := b.client()
	if got := must[[]string](t)(client.Projects(t.Context())); !slices.Equal(got, []string{"p0", "p1", "p2", "p3", "p4"}) || b.Asked("GET /api/v2.0/projects") != 3 {
		t.Errorf("%v in %d pages", got, b.Asked("GET /api/v2.0/projects"))
	}
	if got := must[[]string](t)(client.Tags(t.Context(), "p0/a/b")); !slices.Equal(got, tags) || b.Asked("GET /v2/p0/a/b/tags/list") != 4 { // one without a token
		t.Errorf("%v in %d pages", got, b.Asked("GET /v2/p0/a/b/tags/list"))
	}
	if got := must[[]oci.Artifact](t)(client.Artifacts(t.Context(), "p0/a/b")); len(got) != 5 || got[0].Tags[0] != "t4" {
		t.Errorf("%+v", got)
	}
	res, _ := b.get(t, "/api/v2.0/projects?page=2&page_size=2")
	if got, want := res.Header.Get("Link"), `</api/v2.0/projects?page=1&page_size=2>; rel="prev" , </api/v2.0/projects?page=3&page_size=2>; rel="next"`; got != want || res.Header.Get("X-Total-Count") != "5" {
		t.Errorf("%s, %s", got, res.Header.Get("X-Total-Count"))
	}
	if res, body := b.get(t, "/api/v2.0/projects?page=9"); body != "[]\n" || res.Header.Get("Link") != `</api/v2.0/projects?page=8&page_size=2>; rel="prev"` {
		t.Errorf("beyond the end: %s, %s", body, res.Header.Get("Link"))
	}
	if res, _ := b.get(t, "/api/v2.0/projects/p0/repositories/a%2Fb/artifacts"); res.StatusCode != 404 {
		t.Errorf("encoded once: %d", res.StatusCode)
	}
}

// TestBroken: a repository whose listings fail is a gap, and no other one is.
func TestBroken(t *testing.T) {
	b := newBed(t, Options{})
	for _, name := range []string{"p/a", "p/b"} {
		must[string](t)(b.Push(Image{Repository: name, Tags: []string{"1"}, Content: bytes.NewReader([]byte(name)), Annotations: map[string]string{oci.TagAnnotation: "1"}}))
	}
	b.Break("p/a", 500)
	for _, place := range []oci.Place{{Projects: []string{"p"}}, {Repositories: []string{"p/a", "p/b"}}} {
		l := b.client().List(t.Context(), place, oci.Policy{})
		if len(l.Images) != 1 || l.Images[0].Ref != "p/b:1" || len(l.Gaps) != 1 || l.Gaps[0].What != "p/a" {
			t.Errorf("%+v", l)
		}
	}
	b.Break("p/a", 0)
	if l := b.client().List(t.Context(), oci.Place{Projects: []string{"p"}}, oci.Policy{}); len(l.Images) != 2 || !l.Complete() {
		t.Errorf("mended: %+v", l)
	}
}

// TestBlobs: files are given in parts, here or elsewhere; there, a sign-in of the registry is refused.
func TestBlobs(t *testing.T) {
	b := newBed(t, Options{})
	must[string](t)(b.Push(Image{Repository: ubuntu, Tags: []string{"1"}, Content: bytes.NewReader([]byte("0123456789"))}))
	must[string](t)(b.Push(Image{Repository: "other/x", Tags: []string{"1"}, Content: bytes.NewReader([]byte("x"))}))
	sum := sha256.Sum256([]byte("0123456789"))
	digest := "sha256:" + hex.EncodeToString(sum[:])
	path, token := "/v2/"+ubuntu+"/blobs/"+digest, b.token(t, ubuntu)
	signed := []string{"Authorization", token}
	storage := httptest.NewServer(b.Storage())
	t.Cleanup(storage.Close)
	res, body := b.get(t, path, append(signed, "Range", "bytes=2-4", "If-Range", `"`+digest+`"`)...)
	if res.StatusCode != 206 || body != "234" || res.Header.Get("Docker-Content-Digest") != digest {
		t.Errorf("%d %q %v", res.StatusCode, body, res.Header)
	}
	if res, _ := b.get(t, "/v2/other/x/blobs/"+digest, "Authorization", b.token(t, "other/x")); res.StatusCode != 404 {
		t.Errorf("a blob of another repository: %d", res.StatusCode)
	}
	if _, body := b.get(t, "/v2/"+ubuntu+"/blobs/"+digestOf([]byte("{}")), signed...); body != "{}" {
		t.Errorf("the configuration is %q", body)
	}
	b.Store(storage.URL + "/")
	res, _ = b.get(t, path, signed...)
	there := res.Header.Get("Location")
	if res.StatusCode != 307 || !strings.HasPrefix(there, storage.URL+"/sha256:") {
		t.Fatalf("%d %s", res.StatusCode, there)
	}
	unsigned, _, _ := strings.Cut(there, "?")
	cases := map[string]struct {
		url    string
		header []string
		status int
		body   string
	}{
		"whole":                  {there, nil, 200, "0123456789"},
		"a part":                 {there, []string{"Range", "bytes=8-"}, 206, "89"},
		"with the registry's":    {there, signed, 400, "Only one auth mechanism allowed"},
		"without its signature":  {unsigned, nil, 403, "AccessDenied"},
		"what is not there":      {storage.URL + "/sha256:no?X-Amz-Signature=x", nil, 404, "NoSuchKey"},
		"through the registry":   {path, nil, 401, "unauthorized"},
		"of another one's token": {path, []string{"Authorization", b.token(t, "other/x")}, 401, "unauthorized"},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		c := cases[name]
		if res, body := b.get(t, c.url, c.header...); res.StatusCode != c.status || !strings.Contains(body, c.body) {
			t.Errorf("%s: %d %q", name, res.StatusCode, body)
		}
	}
	if n := b.Asked("STORAGE GET /" + digest); n != 4 {
		t.Errorf("the store was asked %d times", n)
	}
}
