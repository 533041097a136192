package openstack

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/fedsite/fedsite/internal/emulator/world"
)

// store asks the object storage by hand.
type store struct {
	*asker
	token, account string
}

func newStore(t *testing.T, era Era, s Storage) *store {
	t.Helper()
	a := newAsker(t, Options{Era: era, Storage: &s})
	o := &store{asker: a, token: a.token(world.Admin, world.AdminPass, 0)}
	o.account = o.endpoint()
	return o
}

// endpoint finds the account in the catalog.
func (o *store) endpoint() string {
	o.t.Helper()
	in := o.signIn(world.Admin, world.AdminPass, fmt.Sprintf(`{"project":{"id":%q}}`, o.world.Projects[0].ID))
	for _, s := range in.at("token", "catalog").([]any) {
		if s := s.(object); s["type"] == "object-store" {
			return s["endpoints"].([]any)[0].(object)["url"].(string)
		}
	}
	o.t.Fatal("no object-store in the catalog")
	return ""
}

// ask gives the answer with its body as it is.
func (o *store) ask(method, path, token, body string, header ...string) (*http.Response, string) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.account+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("X-Auth-Token", token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return res, string(text)
}

func (o *store) status(want int, method, path, token, body string, header ...string) http.Header {
	o.t.Helper()
	res, text := o.ask(method, path, token, body, header...)
	if res.StatusCode != want {
		o.t.Errorf("%s %s: %d %s, want %d", method, path, res.StatusCode, text, want)
	}
	return res.Header
}

const sumOfABC = "900150983cd24fb0d6963f7d28e17f72"

// TestObjectStorage goes through the life of containers and objects, in all eras.
func TestObjectStorage(t *testing.T) {
	for _, era := range Eras() {
		t.Run(era.Name, func(t *testing.T) { objectStorage(newStore(t, era, Storage{})) })
	}
}

func objectStorage(o *store) {
	t := o.t
	o.status(404, "PUT", "/c/o", o.token, "abc")
	o.status(404, "GET", "/c", o.token, "")
	o.status(201, "PUT", "/c", o.token, "")
	o.status(202, "PUT", "/c", o.token, "", "X-Container-Read", ".r:*")
	h := o.status(201, "PUT", "/c/a/o", o.token, "abc", "Content-Type", "text/x", "X-Object-Meta-Of", "us", "ETag", sumOfABC)
	if h.Get("ETag") != sumOfABC || h.Get("Last-Modified") != "Tue, 24 Nov 2026 12:00:00 GMT" || !strings.HasPrefix(h.Get("X-Trans-Id"), "tx") || h.Get("X-Trans-Id") != h.Get("X-Openstack-Request-Id") {
		t.Errorf("%v", h)
	}
	for _, method := range []string{"GET", "HEAD"} {
		res, text := o.ask(method, "/c/a/o", o.token, "")
		if want := map[string]string{"GET": "abc"}[method]; text != want || res.ContentLength != 3 {
			t.Errorf("%s %q of %d", method, text, res.ContentLength)
		}
		for key, want := range map[string]string{"ETag": sumOfABC, "Content-Type": "text/x", "X-Object-Meta-Of": "us", "X-Timestamp": "1795521600.00000", "Last-Modified": "Tue, 24 Nov 2026 12:00:00 GMT"} {
			if got := res.Header.Get(key); got != want {
				t.Errorf("%s: %s %q, want %q", method, key, got, want)
			}
		}
	}
	o.status(304, "GET", "/c/a/o", o.token, "", "If-Modified-Since", "Tue, 24 Nov 2026 12:00:00 GMT")
	if _, text := o.ask("GET", "/c/a/o", o.token, "", "Range", "bytes=1-"); text != "bc" {
		t.Errorf("range %q", text)
	}
	o.status(202, "POST", "/c/a/o", o.token, "", "X-Object-Meta-New", "1")
	if h = o.status(200, "HEAD", "/c/a/o", o.token, ""); h.Get("X-Object-Meta-New") != "1" || h.Get("X-Object-Meta-Of") != "" {
		t.Errorf("%v", h)
	}
	if h = o.status(204, "HEAD", "/c", o.token, ""); h.Get("X-Container-Object-Count") != "1" || h.Get("X-Container-Bytes-Used") != "3" || h.Get("X-Container-Read") != ".r:*" {
		t.Errorf("%v", h)
	}
	if h = o.status(204, "HEAD", "", o.token, ""); h.Get("X-Account-Container-Count") != "1" || h.Get("X-Account-Object-Count") != "1" || h.Get("X-Account-Bytes-Used") != "3" {
		t.Errorf("%v", h)
	}
	if _, text := o.ask("GET", "?format=json", o.token, ""); text != `[{"bytes":3,"count":1,"last_modified":"2026-11-24T12:00:00.000000","name":"c"}]`+"\n" {
		t.Error(text)
	}
	o.status(409, "DELETE", "/c", o.token, "")
	o.status(405, "PATCH", "/c/a/o", o.token, "")
	o.status(204, "DELETE", "/c/a/o", o.token, "")
	o.status(404, "DELETE", "/c/a/o", o.token, "")
	o.status(404, "GET", "/c/a/o", o.token, "")
	o.status(204, "GET", "/c", o.token, "")
	o.status(204, "DELETE", "/c", o.token, "")
	o.status(404, "DELETE", "/c", o.token, "")
}

// TestObjectStorageLetsIn members of the account's project, and nobody else.
func TestObjectStorageLetsIn(t *testing.T) {
	o := newStore(t, Current, Storage{})
	o.cloud.Store(o.world.Projects[0].ID, "c", "o", "text/plain", []byte("abc"))
	for _, path := range []string{"", "/c", "/c/o"} {
		for token, want := range map[string]int{"": 401, "gAAAAAnone": 401, o.asker.token(world.Admin, world.AdminPass, 1): 403, o.asker.token(world.Reader, world.ReaderPass, 0): 403} {
			res, text := o.ask("GET", path, token, "")
			if res.StatusCode != want || !strings.HasPrefix(text, "<html><h1>"+http.StatusText(want)) || (want == 401) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s: %d %s, want %d", path, res.StatusCode, text, want)
			}
		}
	}
	for _, u := range o.world.Users {
		if u.Password == "member-secret" && len(u.Roles[o.world.Projects[0].ID]) > 0 {
			o.status(200, "GET", "/c/o", o.asker.token(u.Name, u.Password, 0), "")
			break
		}
	}
	o.status(400, "PUT", "/"+strings.Repeat("c", 257), o.token, "")
	o.status(400, "PUT", "/c/"+strings.Repeat("o", 1025), o.token, "")
	o.account = o.cloud.Base() + "/object-store"
	o.status(412, "GET", "/v1/c", o.token, "")
	o.account = newAsker(t, Options{}).cloud.Base() + "/object-store/v1/AUTH_x"
	o.status(404, "GET", "/c", o.token, "")
}

// TestObjectStorageRefuses uploads that are not whole, and what there is no room for; what was there stays.
func TestObjectStorageRefuses(t *testing.T) {
	storage := Storage{Quota: 10}
	o := newStore(t, Current, storage)
	o.status(201, "PUT", "/c", o.token, "")
	o.status(201, "PUT", "/c/o", o.token, "12345678")
	o.status(422, "PUT", "/c/o", o.token, "12", "ETag", sumOfABC)
	o.status(413, "PUT", "/c/o", o.token, "12345678901")
	o.status(413, "PUT", "/c/other", o.token, "123")
	o.status(201, "PUT", "/c/o", o.token, "1234567890")
	if got, _ := o.cloud.Stored(o.world.Projects[0].ID, "c", "o"); !bytes.Equal(got, []byte("1234567890")) {
		t.Errorf("%s", got)
	}
	full := newStore(t, Current, Storage{Full: true})
	full.status(201, "PUT", "/c", full.token, "")
	full.status(507, "PUT", "/c/o", full.token, "abc")
	ceph := newStore(t, Current, Storage{Ceph: true, Quoted: true, Quota: 10})
	ceph.status(201, "PUT", "/c", ceph.token, "")
	if h := ceph.status(201, "PUT", "/c/o", ceph.token, "abc"); h.Get("ETag") != `"`+sumOfABC+`"` {
		t.Errorf("%v", h)
	}
	if _, text := ceph.ask("PUT", "/c/o", ceph.token, "12345678901"); !strings.HasPrefix(text, `{"Code":"RequestEntityTooLarge"`) {
		t.Error(text)
	}
	if _, text := ceph.ask("GET", "/c?format=json", ceph.token, ""); !strings.Contains(text, `"last_modified":"2026-11-24T12:00:00.000Z"`) {
		t.Error(text)
	}
}

// TestObjectStorageLists pages, prefixes, and what names have in common.
func TestObjectStorageLists(t *testing.T) {
	o := newStore(t, Current, Storage{Page: 4})
	names := []string{"a/1", "a/2", "b", "c/1", "c/d/1", "e", "é"}
	for _, name := range names {
		o.cloud.Store(o.world.Projects[0].ID, "c", name, "text/plain", []byte("abc"))
	}
	for query, want := range map[string]string{
		"":                                "a/1 a/2 b c/1",
		"limit=2":                         "a/1 a/2",
		"limit=10000":                     "a/1 a/2 b c/1",
		"marker=c/1":                      "c/d/1 e é",
		"marker=%C3%A9":                   "",
		"prefix=a":                        "a/1 a/2",
		"prefix=c/&limit=1":               "c/1",
		"marker=a/1&end_marker=c/1":       "a/2 b",
		"delimiter=/":                     "a/ b c/ e",
		"delimiter=/&prefix=c/":           "c/1 c/d/",
		"delimiter=/&marker=a/&limit=2":   "b c/",
		"limit=3&prefix=nothing&format=x": "",
	} {
		_, text := o.ask("GET", "/c?"+query, o.token, "")
		if got := strings.Join(strings.Fields(text), " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
		_, text = o.ask("GET", "/c?"+query, o.token, "", "Accept", "application/json")
		var all []struct {
			Name, Subdir, Hash string
			Type               string `json:"content_type"`
			Bytes              int64
		}
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatalf("%s: %v in %s", query, err, text)
		}
		var listed []string
		for _, e := range all {
			listed = append(listed, e.Name+e.Subdir)
			if e.Name != "" && (e.Hash != sumOfABC || e.Bytes != 3 || e.Type != "text/plain") {
				t.Errorf("%+v", e)
			}
		}
		if !slices.Equal(listed, strings.Fields(want)) {
			t.Errorf("%s: %v, want %s", query, listed, want)
		}
	}
	o.status(412, "GET", "/c?limit=10001", o.token, "")
}
