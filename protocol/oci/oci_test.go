package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// published puts the vectors into a registry.
func published(t *testing.T) *registry {
	t.Helper()
	g := newRegistry(t)
	g.put("/api/v2.0/projects?page=1&page_size=100", file(t, "projects.json"), "")
	g.put("/api/v2.0/projects/egi_vm_images/repositories?page=1&page_size=100", file(t, "repositories.json"), "")
	g.put("/api/v2.0/projects/egi_vm_images/repositories/ubuntu/artifacts?with_tag=true&page=1&page_size=100", file(t, "artifacts-ubuntu.json"), "")
	names, err := filepath.Glob("testdata/manifests/*")
	must(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		must(t, err)
		g.manifest("egi_vm_images/ubuntu", string(text), strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), "ubuntu__"), ".json"))
	}
	return g
}

func TestVectors(t *testing.T) {
	var want struct {
		Select  []string          `json:"select_with_tag_pattern_^[^-]*$"`
		Ignored map[string]string `json:"ignored"`
	}
	must(t, json.Unmarshal([]byte(file(t, "expected.json")), &want))
	g := published(t)
	l := g.client().List(t.Context(), Place{Projects: []string{"egi_vm_images"}}, Policy{})
	if !l.Complete() {
		t.Errorf("gaps: %v", l.Gaps)
	}
	var refs []string
	for _, i := range l.Images {
		refs = append(refs, i.Ref)
		if i.Format != "qcow2" || i.Annotations["org.opencontainers.image.revision"] != "fc45d0d3aa" || i.Annotations["org.openstack.glance.os_distro"] != "ubuntu" {
			t.Errorf("%+v", i)
		}
	}
	slices.Sort(want.Select)
	if d := cmp.Diff(want.Select, refs); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	reasons := map[string]string{"no eu.egi.cloud.tag annotation on the layer": "no annotation eu.egi.cloud.tag", "tag has a dash": "does not match", "no tags": "no tag"}
	for tag, reason := range want.Ignored {
		if !slices.ContainsFunc(l.Ignored, func(i Ignored) bool {
			_, got, _ := strings.Cut(i.Ref, ":")
			return (got == tag || tag == "(untagged)" && strings.Contains(i.Ref, "@sha256:")) && strings.Contains(i.Reason, reasons[reason])
		}) {
			t.Errorf("%s: %s: not among %v", tag, reason, l.Ignored)
		}
	}
	if i := l.Images[1]; i.Layer != (Layer{"application/x-qemu-disk", "sha256:5b5645d92d01a6dd58b5e0fa1fef3f97732feecefa721565200c465a6c9193cb", 458752, "Ubuntu.24.04-2025-10-07-fc45d0d3.qcow2"}) ||
		i.Digest != "sha256:b0fafb819b8eef707a1fd965028ee14c3f53c6665cae978120467a2a73e33ac4" {
		t.Errorf("%+v", i)
	}
}

func TestHarborPages(t *testing.T) {
	g := newRegistry(t)
	g.put("/api/v2.0/projects?page=1&page_size=100", `[{"name":"one"}]`, "/api/v2.0/projects?page=2&page_size=100")
	g.put("/api/v2.0/projects?page=2&page_size=100", `[{"name":"two"},{"name":"vo.example.eu"}]`, "")
	if all, err := g.client().Projects(t.Context()); err != nil || !slices.Equal(all, []string{"one", "two", "vo.example.eu"}) {
		t.Errorf("%q, %v", all, err)
	}
	// A name below the project has its slash encoded twice, also in what the server gets.
	digest := "sha256:" + strings.Repeat("a", 64)
	g.put("/api/v2.0/projects/one/repositories/a%252Fb/artifacts?with_tag=true&page=1&page_size=100", `[{"digest":"`+digest+`","tags":null}]`, "")
	if all, err := g.client().Artifacts(t.Context(), "one/a/b"); err != nil || len(all) != 1 || all[0].Digest != digest {
		t.Errorf("%+v, %v, asked %q", all, err, g.asked)
	}
}

func TestTags(t *testing.T) {
	g := newRegistry(t)
	g.put("/v2/vo/img/tags/list?n=1000", `{"name":"vo/img","tags":["1","2"]}`, "/v2/vo/img/tags/list?n=1000&last=2")
	g.put("/v2/vo/img/tags/list?n=1000&last=2", `{"name":"vo/img","tags":["3"]}`, "")
	g.put("/v2/vo/none/tags/list?n=1000", `{"tags":null}`, "")
	if all, err := g.client().Tags(t.Context(), "vo/img"); err != nil || !slices.Equal(all, []string{"1", "2", "3"}) {
		t.Errorf("%q, %v", all, err)
	}
	if all, err := g.client().Tags(t.Context(), "vo/none"); err != nil || len(all) != 0 {
		t.Errorf("%q, %v", all, err)
	}
	for name, want := range map[string]error{
		`{"tags":["a b"]}`: ErrAnswer, `{"tags":["../x"]}`: ErrAnswer, `[]`: ErrAnswer, `{}`: ErrAnswer, `{"tags":["1"]} x`: ErrAnswer, `<html>`: ErrAnswer, ``: ErrAnswer, `{"tags":["1"`: ErrAnswer,
	} {
		g.put("/v2/vo/bad/tags/list?n=1000", name, "")
		if all, err := g.client().Tags(t.Context(), "vo/bad"); !errors.Is(err, want) || all != nil {
			t.Errorf("%s: %q, %v", name, all, err)
		}
	}
	for _, link := range []string{"/v2/vo/img/tags/list?n=1000", "http://169.254.169.254/x", "//evil.example.org/x", "http://a:b@127.0.0.1/x"} {
		g.put("/v2/vo/img/tags/list?n=1000&last=2", `{"tags":["3"]}`, link)
		g.asked = nil
		if all, err := g.client().Tags(t.Context(), "vo/img"); !errors.Is(err, ErrAnswer) || all != nil || len(g.asked) != 2 {
			t.Errorf("%s: %q, %v, asked %d times", link, all, err, len(g.asked))
		}
	}
}

func TestListingSaysItsGaps(t *testing.T) {
	const artifacts = "/api/v2.0/projects/egi_vm_images/repositories/ubuntu/artifacts?with_tag=true&page=1&page_size=100"
	const digest = "sha256:b0fafb819b8eef707a1fd965028ee14c3f53c6665cae978120467a2a73e33ac4"
	for name, c := range map[string]struct {
		break_ func(*registry)
		gap    string
		images int
	}{
		"a project that cannot be listed": {func(g *registry) {
			g.status["/api/v2.0/projects/egi_vm_images/repositories?page=1&page_size=100"] = 500
		}, "egi_vm_images", 1},
		"a repository that cannot be listed": {func(g *registry) { g.status[artifacts] = 503 }, "egi_vm_images/ubuntu", 1},
		"a second page that is missing":      {func(g *registry) { g.put(artifacts, g.answers[artifacts], "/api/v2.0/gone") }, "egi_vm_images/ubuntu", 1},
		"a manifest that is missing":         {func(g *registry) { delete(g.answers, "/v2/egi_vm_images/ubuntu/manifests/"+digest) }, "egi_vm_images/ubuntu:24.04", 2},
		"a manifest of other bytes":          {func(g *registry) { g.answers["/v2/egi_vm_images/ubuntu/manifests/"+digest] += " " }, "egi_vm_images/ubuntu:24.04", 2},
		"the tags of another repository":     {func(g *registry) { g.status["/v2/vo/img/tags/list?n=1000"] = 401 }, "vo/img", 2},
	} {
		g := published(t)
		g.put("/v2/vo/img/tags/list?n=1000", `{"tags":["1"]}`, "")
		g.manifest("vo/img", file(t, "manifests/ubuntu__24.04.json"), "1")
		place := Place{Projects: []string{"egi_vm_images"}, Repositories: []string{"vo/img"}}
		if l := g.client().List(t.Context(), place, Policy{}); !l.Complete() || len(l.Images) != 3 {
			t.Fatalf("unbroken: %+v", l)
		}
		c.break_(g)
		l := g.client().List(t.Context(), place, Policy{})
		if l.Complete() || len(l.Gaps) != 1 || l.Gaps[0].What != c.gap || l.Gaps[0].Err == nil || len(l.Images) != c.images {
			t.Errorf("%s: %d images, gaps %v", name, len(l.Images), l.Gaps)
		}
	}
}

func TestJudge(t *testing.T) {
	layer := func(annotations string) string {
		return fmt.Sprintf(`{"mediaType":"application/x-qemu-disk","digest":"sha256:%s","size":5,"annotations":{%s}}`, strings.Repeat("a", 64), annotations)
	}
	tag := `"eu.egi.cloud.tag":"1"`
	for _, c := range []struct{ name, text, kind, reason, format string }{
		{"an image", `{"schemaVersion":2,"layers":[` + layer(tag) + `]}`, ManifestType, "", "raw"},
		{"the layer wins", `{"schemaVersion":2,"annotations":{"org.openstack.glance.disk_format":"raw"},"layers":[` + layer(tag+`,"org.openstack.glance.disk_format":"QCOW2"`) + `]}`, ManifestType, "", "qcow2"},
		{"annotations of the manifest count", `{"schemaVersion":2,"annotations":{` + tag + `},"layers":[` + layer("") + `]}`, ManifestType, "", "raw"},
		{"no annotation", `{"schemaVersion":2,"layers":[` + layer("") + `]}`, ManifestType, "no annotation eu.egi.cloud.tag", ""},
		{"two files", `{"schemaVersion":2,"layers":[` + layer(tag) + `,` + layer("") + `]}`, ManifestType, "2 files", ""},
		{"no file", `{"schemaVersion":2,"annotations":{` + tag + `},"layers":[]}`, ManifestType, "0 files", ""},
		{"an index", `{"schemaVersion":2,"manifests":[]}`, IndexType, "index", ""},
		{"an SBOM", `{"schemaVersion":2,"artifactType":"application/vnd.cyclonedx+json","layers":[` + layer(tag) + `]}`, ManifestType, "something about an image", ""},
		{"a referrer", `{"schemaVersion":2,"subject":{"digest":"sha256:1"},"layers":[` + layer(tag) + `]}`, ManifestType, "belongs to something else", ""},
	} {
		m, err := ParseManifest([]byte(c.text), c.kind)
		must(t, err)
		i, reason := Judge(Wanted{Repository: "vo/img", Tag: "1"}, m, Policy{})
		if (reason == "") != (c.reason == "") || !strings.Contains(reason, c.reason) || i.Format != c.format {
			t.Errorf("%s: %q, %+v", c.name, reason, i)
		}
		if reason == "" && (i.Ref != "vo/img:1" || i.Digest != m.Digest || i.Layer.Size != 5) {
			t.Errorf("%s: %+v", c.name, i)
		}
	}
	wanted, ignored := Choose("vo/img", []Artifact{{Digest: "sha256:1", Tags: []string{"v1", "w1"}}, {Digest: "sha256:2", Kind: IndexType, Tags: []string{"v2"}}}, Policy{Tags: regexp.MustCompile("^v")})
	if d := cmp.Diff([]Wanted{{"vo/img", "v1", "sha256:1"}}, wanted); d != "" || len(ignored) != 2 {
		t.Errorf("%s%v", d, ignored)
	}
	m, err := ParseManifest([]byte(`{"schemaVersion":2,"layers":[`+layer("")+`]}`), ManifestType)
	must(t, err)
	if _, reason := Judge(Wanted{}, m, Policy{Required: []string{}}); reason != "" {
		t.Errorf("nothing is required: %s", reason)
	}
}

func TestManifest(t *testing.T) {
	good := file(t, "manifests/ubuntu__24.04.json")
	for _, c := range []struct {
		name, text, digest, kind string
		says                     string
	}{
		{"good", good, "", ManifestType, ""},
		{"another digest", good, "sha256:" + strings.Repeat("0", 64), ManifestType, "its bytes have the digest"},
		{"another type", good, "", IndexType, "calls itself"},
		{"HTML", "<html>", "", "text/html", "not the JSON"},
		{"version 1", `{"schemaVersion":1}`, "", ManifestType, "version 2"},
		{"unknown type", `{"schemaVersion":2}`, "", "text/plain", "media type"},
		{"bad layer", `{"schemaVersion":2,"layers":[{"digest":"md5:1","size":1}]}`, "", ManifestType, "layer 0"},
		{"negative size", `{"schemaVersion":2,"layers":[{"digest":"sha256:` + strings.Repeat("a", 64) + `","size":-1}]}`, "", ManifestType, "layer 0"},
		{"too large", `{"schemaVersion":2,"x":"` + strings.Repeat("x", maxManifest) + `"}`, "", ManifestType, "more than"},
	} {
		g := newRegistry(t)
		g.answers["/v2/vo/img/manifests/1"] = c.text
		g.header["/v2/vo/img/manifests/1"] = http.Header{"Content-Type": {c.kind}}
		if c.digest != "" {
			g.header["/v2/vo/img/manifests/1"].Set("Docker-Content-Digest", c.digest)
		}
		_, err := g.client().Manifest(t.Context(), "vo/img", "1")
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "vo/img:1")) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	g := newRegistry(t)
	for _, repository := range []string{"", "../x", "UPPER/x", "a//b", "a/b?x"} {
		if _, err := g.client().Manifest(t.Context(), repository, "1"); !errors.Is(err, ErrAnswer) {
			t.Errorf("%q: %v", repository, err)
		}
	}
	if len(g.asked) != 0 {
		t.Errorf("asked %q", g.asked)
	}
}

func TestTokens(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	g := newRegistry(t)
	g.token, g.login, g.life = "t0ken", "site:pa55word", 300
	g.manifest("vo/img", file(t, "manifests/ubuntu__24.04.json"), "1")
	g.put("/v2/vo/img/tags/list?n=1", `{"tags":["1"]}`, "")
	c := g.client()
	c.User, c.Password, c.Now = "site", "pa55word", at(&now)
	ask := func() {
		t.Helper()
		if _, err := c.Manifest(t.Context(), "vo/img", "1"); err != nil {
			t.Error(err)
		}
	}
	ask()
	ask()
	now = now.Add(284 * time.Second)
	ask()
	if len(g.scopes) != 1 || g.scopes[0] != "harbor-registry repository:vo/img:pull" {
		t.Errorf("asked for %q", g.scopes)
	}
	now = now.Add(2 * time.Second)
	ask()
	if len(g.scopes) != 2 {
		t.Errorf("asked for %q", g.scopes)
	}
	digest := "sha256:" + strings.Repeat("a", 64)
	if u, header, err := c.Blob(t.Context(), "vo/img", digest); err != nil || u != g.URL+"/v2/vo/img/blobs/"+digest || header != "Bearer t0ken" || len(g.scopes) != 2 {
		t.Errorf("%s, %s, %v, asked for %q", u, header, err, g.scopes)
	}
	now = now.Add(time.Hour)
	if _, header, err := c.Blob(t.Context(), "vo/img", digest); err != nil || header != "Bearer t0ken" || len(g.scopes) != 3 {
		t.Errorf("%s, %v, asked for %q", header, err, g.scopes)
	}
	c = g.client()
	c.User, c.Password = "site", "wr0ng-one"
	if _, err := c.Manifest(t.Context(), "vo/img", "1"); !errors.Is(err, ErrDenied) || strings.Contains(err.Error(), "wr0ng") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("wrong password: %v", err)
	}
	open := newRegistry(t)
	open.put("/v2/vo/img/tags/list?n=1", `{"tags":["1"]}`, "")
	if _, header, err := open.client().Blob(t.Context(), "vo/img", digest); err != nil || header != "" {
		t.Errorf("nothing is needed: %q, %v", header, err)
	}
}

func TestRealm(t *testing.T) {
	for _, c := range []struct {
		registry, user, realm string
		ok                    bool
	}{
		{"https://registry.egi.eu", "u", "https://registry.egi.eu/service/token", true},
		{"https://registry.egi.eu", "u", "http://registry.egi.eu/service/token", false},
		{"https://registry.egi.eu", "", "http://registry.egi.eu/service/token", false},
		{"http://127.0.0.1:5000", "u", "http://127.0.0.1:6000/token", true},
		{"http://127.0.0.1:5000", "u", "http://127.0.0.2:6000/token", false},
		{"https://registry.example.org", "u", "https://auth.example.org/token", true},
		{"https://registry.example.org", "u", "https://evil.example.net/token", false},
		{"https://registry.example.org", "", "https://auth.example.net/token", true},
		{"https://a.github.io", "u", "https://b.github.io/token", false},
		{"https://registry.example.org", "", "https://x:y@auth.example.net/token", false},
		{"https://registry.example.org", "", "file:///etc/passwd", false},
		{"https://registry.example.org", "", "", false},
	} {
		cl := &Client{URL: c.registry, User: c.user}
		if u, err := cl.realm(c.realm); (err == nil) != c.ok {
			t.Errorf("%s of %s: %v, %v", c.realm, c.registry, u, err)
		}
	}
}
