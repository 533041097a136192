package information

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"gopkg.in/yaml.v2"
)

// FuzzRequests sends any path and query: the answer is always one of those that are foreseen, valid JSON or YAML, and never a
// way to another host.
func FuzzRequests(f *testing.F) {
	s := lab(f)
	for _, target := range []string{
		"/sites/?vo_name=ops&include_projects=1", "/site/LAB-SITE/ops/images?only_egi_images=false", "/documents/..%2f..%2fetc%2fpasswd", "//evil.example.org/sites",
		"/fedcloudclient/LAB-SITE", "/site/%00/", "/site/%ff/", "/sites?\r\nX: y", "/site/LAB-SITE;x/", "/%2e%2e/sites/", "/site/<script>/", "/images/?only_egi_images=\u2028",
	} {
		path, query, _ := strings.Cut(target, "?")
		f.Add(path, query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return // net/http lets none of these through
		}
		u.RawQuery = query
		r.URL = u
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		switch body := w.Body.Bytes(); w.Code {
		case http.StatusOK, http.StatusNotFound, http.StatusUnprocessableEntity:
			if w.Header().Get("Content-Type") == kindJSON && !json.Valid(body) || !utf8.Valid(body) {
				t.Errorf("%d %q", w.Code, body)
			}
		case http.StatusTemporaryRedirect:
			to := w.Header().Get("Location")
			if l, err := url.Parse(to); err == nil && (l.Host != "" || l.Scheme != "") || strings.HasPrefix(to, "//") {
				t.Errorf("sent to %q", to)
			}
		default:
			t.Errorf("%d %q", w.Code, body)
		}
	})
}

// FuzzNames makes a document with any name of a site, VO, project and image: what is served of it says these names and
// nothing else, in JSON, in YAML and by its URLs.
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"ops", "a\nb: c", `"'\`, "\u2028\U0001F600", "yes", "~", "- x", "#", "a: b", "../../x", "<script>", "%2f", "{{x}}", "\x00", "\xff", "1e3", "0x1f", "2026-01-01", "=", "!!int 1", "&a", "*a", " x ", "é", "\u0085", "\ufeff"} {
		f.Add("SITE", seed, seed, seed)
		f.Add(seed, "ops", "p", "i")
	}
	f.Fuzz(func(t *testing.T, site, vo, project, image string) {
		const ep = "https://a.example.org/v3"
		d := offer(t, site, "1G0", ep, "x")
		d.MappingPolicies[0].UserDomains, d.Shares[0].ProjectID, d.Images[0].Name = []string{vo}, project, image
		text := body(t, d)
		s := serve(t, Options{Sources: []Source{&holding{name: "docs", docs: map[string]string{"a": string(text)}}}})
		if !json.Valid(ask(t, s, http.MethodGet, "/images/?only_egi_images=0").Body.Bytes()) {
			t.Fatal("no JSON")
		}
		var urls []string
		if err := json.Unmarshal(ask(t, s, http.MethodGet, "/fedcloudclient/").Body.Bytes(), &urls); err != nil {
			t.Fatal(err)
		}
		read := Read(Document{Body: text})
		if len(urls) == 0 && read.Err != nil || len(read.Site.Shares) == 0 {
			return // a name that cannot be used
		}
		u, err := url.Parse(urls[0])
		if err != nil || u.Host != "127.0.0.1:8099" {
			t.Fatalf("%q: %v", urls[0], err)
		}
		w := ask(t, s, http.MethodGet, u.EscapedPath())
		var got struct {
			Gocdb, Endpoint string
			VOs             []struct {
				Name string
				Auth map[string]string
			} `yaml:"vos"`
		}
		if err := yaml.UnmarshalStrict(w.Body.Bytes(), &got); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d %q: %v", w.Code, w.Body, err)
		}
		want := read.Site
		if got.Gocdb != want.Name || got.Endpoint != ep || len(got.VOs) != 1 || got.VOs[0].Name != want.Shares[0].VO || got.VOs[0].Auth["project_id"] != want.Shares[0].Project {
			t.Errorf("%q was read from\n%s\nwant %+v", got, w.Body, want)
		}
		path := "/site/" + url.PathEscape(want.Name) + "/" + url.PathEscape(want.Shares[0].VO) + "/project"
		var p Project
		if w := ask(t, s, http.MethodGet, path); w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Name != want.Shares[0].VO || p.ID != want.Shares[0].Project {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	})
}

// FuzzRead reads any document: it is a site or an error, and what is served of it is valid.
func FuzzRead(f *testing.F) {
	f.Add(body(f, offer(f, "SITE", "1G0", "https://a.example.org/v3", "ops")))
	f.Add([]byte(`{"CloudComputingService":[{"ID":"s","Associations":{"AdminDomain":"SITE"},"OtherInfo":{"gocdb_id":7}}],"CloudComputingEndpoint":[{"URL":"https://x"}],"Share":[{"ID":"x","ProjectID":"p"}],"MappingPolicy":[{"Associations":{"Share":["x"],"PolicyUserDomain":[""]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := serve(t, Options{Sources: []Source{&holding{name: "docs", docs: map[string]string{"a": string(text)}}}})
		for _, target := range []string{"/sites/?include_projects=1", "/images/?only_egi_images=0", "/fedcloudclient/", "/documents/"} {
			if w := ask(t, s, http.MethodGet, target); w.Code != http.StatusOK || !json.Valid(w.Body.Bytes()) {
				t.Errorf("%s: %d %q", target, w.Code, w.Body)
			}
		}
	})
}
