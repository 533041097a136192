package information

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fedsite/fedsite/protocol/glue"
	"github.com/fedsite/fedsite/protocol/gocdb"
)

// registered is a GOCDB that has these services, or does not answer.
type registered struct {
	services []gocdb.Service
	err      error
	asked    int
}

func (r *registered) Services(context.Context, gocdb.Query) ([]gocdb.Service, []gocdb.Oddity, error) {
	r.asked++
	return r.services, nil, r.err
}

// labSite is the service of the recorded document.
var labSite = []gocdb.Service{{Key: "16001G0", Site: "LAB-SITE", Host: "keystone.example.org", URL: "http://127.0.0.1:5900/v3"}}

func recorded(t testing.TB) []byte {
	t.Helper()
	body, err := os.ReadFile("testdata/04-images.json")
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// holding is a source of documents that a test changes.
type holding struct {
	name string
	docs map[string]string
	err  error
	n    int
}

func (h *holding) Name() string { return h.name }

func (h *holding) Documents(context.Context) ([]Document, string, error) {
	if h.err != nil {
		return nil, "", h.err
	}
	var all []Document
	for name, body := range h.docs {
		all = append(all, Document{Source: h.name, Name: name, Body: []byte(body), Changed: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)})
	}
	h.n++
	return all, time.Duration(h.n).String(), nil
}

// serve gives a server that has looked at everything.
func serve(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	s.Refresh(t.Context())
	return s
}

// ask sends a request by its target as it is on the wire.
func ask(t testing.TB, h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	r.URL, r.Host = u, "127.0.0.1:8099"
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func lab(t testing.TB) *Server {
	return serve(t, Options{
		Sources:  []Source{&holding{name: "lab", docs: map[string]string{"a.json": string(recorded(t))}}},
		Registry: &registered{services: labSite},
	})
}

// TestRecordedAnswers holds the answers against those that the original gave to the same requests over the same document.
func TestRecordedAnswers(t *testing.T) {
	s := lab(t)
	text, err := os.ReadFile("testdata/04-images.answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, one := range strings.Split("\n"+string(text), "\nGET ")[1:] {
		target, want, _ := strings.Cut(one, "\n")
		w := ask(t, s, http.MethodGet, target)
		if d := cmp.Diff(strings.TrimRight(want, "\n"), strings.TrimRight(w.Body.String(), "\n")); d != "" || w.Code != http.StatusOK {
			t.Errorf("GET %s: %d (-want +got)\n%s", target, w.Code, d)
		}
		n++
	}
	if n != 12 {
		t.Errorf("%d answers were compared", n)
	}
}

// TestAnswers asks for what the recorded answers do not show. Each answer but those marked "ours" is the original's too.
func TestAnswers(t *testing.T) {
	const (
		site  = `{"id":"16001G0","name":"LAB-SITE","url":"http://127.0.0.1:5900/v3","state":"","hostname":"keystone.example.org"`
		with  = site + `,"projects":[{"id":"p-ops","name":"ops"}]}`
		image = `{"egi_id":"egi_vm_images/ubuntu:22.04","id":"141027e7-276b-462b-b03d-8843ef2e3d24"`
	)
	bad := func(name, input string) string {
		return `{"detail":[{"type":"bool_parsing","loc":["query","` + name + `"],"msg":"Input should be a valid boolean, unable to interpret input","input":"` + input + `"}]}`
	}
	s := lab(t)
	for _, c := range []struct {
		target string
		status int
		want   string // of the body its beginning; of a redirect its target
	}{
		{"/sites/", 200, "[" + site + "}]"},
		{"/sites", 307, "/sites/"},
		{"/sites?vo_name=ops", 307, "/sites/?vo_name=ops"},
		{"/sites/?vo_name=ops", 200, "[" + site + "}]"},
		{"/sites/?vo_name=biomed", 200, "[]"},
		{"/sites/?site_name=LAB-SITE&include_projects=ON&unknown=1", 200, "[" + with + "]"},
		{"/sites/?site_name=LAB-SITE&vo_name=biomed", 200, "[]"},
		{"/sites/?include_projects=no&include_projects=1", 200, "[" + with + "]"},
		{"/sites/?include_projects=maybe", 422, bad("include_projects", "maybe")},
		{"/sites/?include_projects=", 422, bad("include_projects", "")},
		{"/sites/?site_name=none", 200, "[]"}, // ours: the original answers 500
		{"/sites/?vo_name=%FF&x=%zz", 200, "[]"},
		{"/site/LAB-SITE", 307, "/site/LAB-SITE/"},
		{"/site/LAB-SITE/", 200, site + "}"},
		{"/site/LAB-SITE/?include_projects=true", 200, with},
		{"/site/LAB-SITE/?include_projects=2", 422, bad("include_projects", "2")},
		{"/site/none/?include_projects=2", 422, bad("include_projects", "2")},
		{"/site/none/", 404, `{"detail":"Site none not found"}`},
		{"/site/%3Cb%3E/", 404, `{"detail":"Site <b> not found"}`},
		{"/site/LAB-SITE/projects/", 307, "/site/LAB-SITE/projects"},
		{"/site/LAB-SITE/images", 200, "[" + image},
		{"/site/LAB-SITE/images?only_egi_images=x", 422, bad("only_egi_images", "x")},
		{"/site/LAB-SITE/ops/project", 200, `{"id":"p-ops","name":"ops"}`},
		{"/site/LAB-SITE/ops/project/", 307, "/site/LAB-SITE/ops/project"},
		{"/site/LAB-SITE/ops/images", 200, "[" + image},
		{"/site/LAB-SITE/nope/images", 404, `{"detail":"VO nope not supported by Site LAB-SITE"}`},
		{"/site/LAB-SITE/nope/project", 404, `{"detail":"VO nope not supported by Site LAB-SITE"}`},
		{"/images", 307, "/images/"},
		{"/images/?vo_name=ops&only_egi_images=0", 200, "[" + image},
		{"/images/?vo_name=none", 200, "[]"},
		{"/vos/", 200, `["ops"]`}, // ours: of the documents, where there is no key
		{"/disciplines/", 200, "[]"},
		{"/fedcloudclient", 307, "/fedcloudclient/"},
		{"/fedcloudclient/LAB-SITE", 307, "/fedcloudclient/LAB-SITE/"},
		{"/fedcloudclient/none/", 404, `{"detail":"Site none not found"}`},
		{"/", 404, `{"detail":"Not Found"}`},
		{"/nowhere", 404, `{"detail":"Not Found"}`},
		{"/site//", 404, `{"detail":"Not Found"}`},
		{"//evil.example.org/sites", 404, `{"detail":"Not Found"}`},
		{"/sites//", 404, `{"detail":"Not Found"}`},
		{"/site/LAB-SITE/a/b/images", 404, `{"detail":"Not Found"}`},
		{"/documents", 307, "/documents/"},
		{"/documents/../../etc/passwd", 404, `{"detail":"Not Found"}`},
		{"/documents/..%2F..%2Fetc%2Fpasswd", 404, `{"detail":"Not Found"}`},
		{"/documents/%2e%2e", 404, `{"detail":"Not Found"}`},
		{"/documents/a.json", 404, `{"detail":"Not Found"}`},
	} {
		w := ask(t, s, http.MethodGet, c.target)
		if got := w.Body.String(); w.Code != c.status || c.status != 307 && !strings.HasPrefix(got, c.want) {
			t.Errorf("GET %s: %d %.300s, want %d %s", c.target, w.Code, got, c.status, c.want)
		}
		if got := w.Header().Get("Location"); c.status == 307 && got != c.want {
			t.Errorf("GET %s: sent to %q, want %q", c.target, got, c.want)
		}
		if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Length") == "" {
			t.Errorf("GET %s: headers %v", c.target, w.Header())
		}
		if kept := w.Header().Get("Cache-Control") != "no-store"; kept != (c.status < 400) {
			t.Errorf("GET %s: %d with Cache-Control %q", c.target, w.Code, w.Header().Get("Cache-Control"))
		}
	}
}

// TestReadsOnly shows that nothing but reading is done, and that HEAD says what GET says.
func TestReadsOnly(t *testing.T) {
	s := lab(t)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"} {
		if w := ask(t, s, method, "/sites/"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" || w.Body.String() != `{"detail":"Method Not Allowed"}` {
			t.Errorf("%s: %d %v %s", method, w.Code, w.Header(), w.Body)
		}
	}
	server := httptest.NewServer(s)
	defer server.Close()
	for _, path := range []string{"/sites/", "/documents/", "/site/none/"} {
		var lengths []string
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || (len(body) == 0) != (method == http.MethodHead) {
				t.Errorf("%s %s: %d bytes, %v", method, path, len(body), err)
			}
			lengths = append(lengths, resp.Header.Get("Content-Length"))
		}
		if lengths[0] != lengths[1] || lengths[0] == "" {
			t.Errorf("%s: GET says %s bytes, HEAD %s", path, lengths[0], lengths[1])
		}
	}
}

// TestDocuments reads documents as they were published and as LDIF, packed and again.
func TestDocuments(t *testing.T) {
	s := lab(t)
	stem := "/documents/" + strings.TrimSuffix(glue.ObjectName("LAB-SITE", "http://127.0.0.1:5900/v3"), ".json")
	list := ask(t, s, http.MethodGet, "/documents/").Body.String()
	if !strings.Contains(list, `"name":"LAB-SITE-`) || !strings.Contains(list, `"last_modified":"2026-11-23T12:00:00.000000"`) {
		t.Fatalf("list: %s", list)
	}
	for _, c := range []struct{ ending, kind, begins string }{
		{".json", "application/json", "{"},
		{".ldif", "text/plain; charset=utf-8", "dn: GLUE2ServiceID=http://127.0.0.1:5900/v3_cloud.compute,GLUE2GroupID=cloud"},
	} {
		w := ask(t, s, http.MethodGet, stem+c.ending)
		tag := w.Header().Get("ETag")
		if w.Code != 200 || w.Header().Get("Content-Type") != c.kind || !strings.HasPrefix(w.Body.String(), c.begins) || tag == "" || w.Header().Get("Last-Modified") != "Mon, 23 Nov 2026 12:00:00 GMT" {
			t.Errorf("%s: %d %v %.200s", c.ending, w.Code, w.Header(), w.Body)
		}
		packed := ask(t, s, http.MethodGet, stem+c.ending, "Accept-Encoding", "br, gzip;q=0.5")
		if packed.Header().Get("Content-Encoding") != "gzip" || packed.Header().Get("ETag") == tag || unpack(t, packed.Body) != w.Body.String() {
			t.Errorf("%s packed: %v", c.ending, packed.Header())
		}
		for _, a := range []struct {
			header, value string
			want          int
		}{
			{"If-None-Match", tag, 304},
			{"If-None-Match", `"other", W/` + tag, 304},
			{"If-None-Match", packed.Header().Get("ETag"), 304},
			{"If-None-Match", "*", 304},
			{"If-None-Match", `"other"`, 200},
			{"If-Modified-Since", "Mon, 23 Nov 2026 12:00:00 GMT", 304},
			{"If-Modified-Since", "Mon, 23 Nov 2026 11:59:59 GMT", 200},
			{"If-Modified-Since", "yesterday", 200},
		} {
			if w := ask(t, s, http.MethodGet, stem+c.ending, a.header, a.value); w.Code != a.want || a.want == 304 && w.Body.Len() > 0 {
				t.Errorf("%s with %s: %s: %d", c.ending, a.header, a.value, w.Code)
			}
		}
		if w := ask(t, s, http.MethodGet, stem+c.ending, "If-None-Match", `"other"`, "If-Modified-Since", "Mon, 23 Nov 2026 12:00:00 GMT"); w.Code != 200 {
			t.Errorf("%s: a tag that differs counts before a date: %d", c.ending, w.Code)
		}
	}
	if got := ask(t, s, http.MethodGet, stem+".json").Body.Bytes(); !bytes.Equal(got, recorded(t)) {
		t.Error("a document is not served as it was published")
	}
}

func unpack(t *testing.T, r io.Reader) string {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAccepts tells who takes gzip.
func TestAccepts(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "identity": false, "gzip": true, "GZIP ; q=1": true, "br, gzip": true, "gzip;q=0": false, "gzip;q=0.0, *": false,
		"*": true, "*;q=0": false, "gzip;q=x": false, "notgzip": false,
	} {
		if got := accepts([]string{header}); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}

// TestSaid shows that a site file's URL is made of the base URL, else of the request's own host, if that can be one.
func TestSaid(t *testing.T) {
	for host, want := range map[string]string{
		"is.example.org": "http://is.example.org", "is.example.org:8480": "http://is.example.org:8480", "[::1]:80": "http://[::1]:80", "[2001:db8::1]": "http://[2001:db8::1]",
		"a/b": "http://localhost", "a@b": "http://localhost", "": "http://localhost", `"><x`: "http://localhost", "a b": "http://localhost", "127.0.0.1": "http://127.0.0.1",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if got := said(r); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
	s := serve(t, Options{BaseURL: "https://is.example.org/info/", Sources: []Source{&holding{docs: map[string]string{"a": string(recorded(t))}}}})
	if got := ask(t, s, http.MethodGet, "/fedcloudclient/").Body.String(); got != `["https://is.example.org/info/fedcloudclient/LAB-SITE/"]` {
		t.Error(got)
	}
	if got := ask(t, s, http.MethodGet, "/sites").Header().Get("Location"); got != "/info/sites/" {
		t.Error(got)
	}
	for _, bad := range []string{"is.example.org", "ftp://x", "https://", "https://u:p@x", "https://x/?q", ":"} {
		if _, err := New(Options{BaseURL: bad}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("base URL %q: %v", bad, err)
		}
	}
}
