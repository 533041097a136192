package openstack_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

// storeroom is a cloud with object storage, and a container in it as fedsite uses it.
type storeroom struct {
	*openstack.Container
	cloud   *emulated.Cloud
	faults  *faults.Set
	project string
}

// newStoreroom makes the container, as an administrator of the project.
func newStoreroom(t *testing.T, era emulated.Era, storage emulated.Storage) *storeroom {
	t.Helper()
	w := world.Generate(world.Options{Seed: 1, At: present, Projects: 2, VMs: 1})
	r := &storeroom{faults: &faults.Set{}, project: w.Projects[0].ID}
	r.cloud = serve(t, w, emulated.Options{Era: era, Storage: &storage, Middleware: r.faults.Middleware})
	r.Container = r.open(t, world.Admin, world.AdminPass)
	if err := r.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *storeroom) open(t *testing.T, user, secret string, change ...func(*openstack.Config)) *openstack.Container {
	t.Helper()
	c, err := connect(t, r.cloud.AuthURL(), password(user, secret), change...).Container(t.Context(), r.project, "cloud-info")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const document = "LAB-SITE-0123456789abcdef0123456789abcdef.json"

// TestContainer stores, reads, lists and deletes, in every era, in Swift and in Ceph.
func TestContainer(t *testing.T) {
	for _, era := range emulated.Eras() {
		for _, s := range []emulated.Storage{{}, {Quoted: true}, {Ceph: true}} {
			t.Run(fmt.Sprintf("%s %+v", era.Name, s), func(t *testing.T) {
				r := newStoreroom(t, era, s)
				ctx := t.Context()
				if err := r.Ensure(ctx); err != nil {
					t.Errorf("a container that is there: %v", err)
				}
				if _, err := r.Get(ctx, document, 100); !errors.Is(err, openstack.ErrNotFound) {
					t.Errorf("read before it was stored: %v", err)
				}
				for _, body := range []string{`{"one": 1}`, "", `{"two": "zwölf\n"}`} {
					if err := r.Put(ctx, document, "application/json", []byte(body)); err != nil {
						t.Fatal(err)
					}
					if got, ok := r.cloud.Stored(r.project, "cloud-info", document); !ok || string(got) != body {
						t.Errorf("stored %q, %v, want %q", got, ok, body)
					}
					if got, err := r.Get(ctx, document, 100); err != nil || string(got) != body {
						t.Errorf("read %q, %v, want %q", got, err, body)
					}
				}
				all, err := r.List(ctx, "")
				if err != nil || len(all) != 1 {
					t.Fatalf("%+v, %v", all, err)
				}
				if o := all[0]; o.Name != document || o.Bytes != 19 || o.ContentType != "application/json" || !o.Modified.Equal(present) || len(o.Hash) != 32 {
					t.Errorf("listed %+v", o)
				}
				for range 2 { // the second time it is gone
					if err := r.Delete(ctx, document); err != nil {
						t.Error(err)
					}
				}
				if _, ok := r.cloud.Stored(r.project, "cloud-info", document); ok {
					t.Error("still there")
				}
			})
		}
	}
}

// TestContainerNames stores objects of all sorts of names each by itself, and sends nothing to where it does not belong.
func TestContainerNames(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{})
	good := []string{"a b", "a%20b", "a?b=c", "a#b", "a+b", "a;b", "a/b/c", "ünï", "…", "%2e%2e", "a&b", `a"b\c`, "=", strings.Repeat("x", 1024)}
	for _, name := range good {
		if err := r.Put(t.Context(), name, "text/plain", []byte(name)); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if got, ok := r.cloud.Stored(r.project, "cloud-info", name); !ok || string(got) != name {
			t.Errorf("%q is stored as %q, %v", name, got, ok)
		}
	}
	all, err := r.List(t.Context(), "")
	if err != nil || len(all) != len(good) {
		t.Errorf("%d names, want %d, %v", len(all), len(good), err)
	}
	r.cloud.Forget()
	for _, name := range []string{"", ".", "..", "../other/x", "a/../b", "/a", "a//b", "a/", "a\nb", "a\x00b", "\xff", strings.Repeat("x", 1025)} {
		for what, err := range map[string]error{"put": r.Put(t.Context(), name, "text/plain", []byte("x")), "delete": r.Delete(t.Context(), name)} {
			if !errors.Is(err, openstack.ErrConfiguration) {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	cloud := connect(t, r.cloud.AuthURL(), password(world.Admin, world.AdminPass))
	for _, name := range []string{"", "..", "a/b", "a\nb", strings.Repeat("x", 257)} {
		if _, err := cloud.Container(t.Context(), r.project, name); !errors.Is(err, openstack.ErrConfiguration) {
			t.Errorf("container %q: %v", name, err)
		}
	}
	if n := len(r.cloud.Requests()); n != 0 {
		t.Errorf("%d requests for names that are none", n)
	}
}

// TestContainerPages lists more objects than a page holds, with and without a prefix.
func TestContainerPages(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{Page: 3})
	var want []string
	for i := range 10 {
		name := fmt.Sprintf("%c-%d", "ab"[i%2], i)
		r.cloud.Store(r.project, "cloud-info", name, "text/plain", []byte("x"))
		if i%2 == 0 {
			want = append(want, name)
		}
	}
	all, err := r.List(t.Context(), "")
	if err != nil || len(all) != 10 {
		t.Errorf("%d of 10, %v", len(all), err)
	}
	some, err := r.List(t.Context(), "a-")
	names := make([]string, len(some))
	for i, o := range some {
		names[i] = o.Name
	}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("%v, want %v, %v", names, want, err)
	}
	r.faults.Add(faults.Fault{Service: "object-store", Query: "marker", Times: -1, Effect: faults.Effect{Change: func([]byte) []byte { return []byte(`[{"name":"a-0"}]`) }}})
	if _, err := r.List(t.Context(), ""); !errors.Is(err, openstack.ErrBadAnswer) || !strings.Contains(err.Error(), "does not end") {
		t.Errorf("a listing in circles: %v", err)
	}
}

// TestContainerRefusals has who may not, and where there is nothing.
func TestContainerRefusals(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{})
	reader := r.open(t, world.Reader, world.ReaderPass)
	for what, err := range map[string]error{"make": reader.Ensure(t.Context()), "put": reader.Put(t.Context(), document, "application/json", []byte("{}"))} {
		if !errors.Is(err, openstack.ErrForbidden) || !strings.Contains(openstack.Hint(err), "member") || !strings.Contains(err.Error(), "Access was denied") || !strings.Contains(err.Error(), "(tx") {
			t.Errorf("a reader may %s: %v (%s)", what, err, openstack.Hint(err))
		}
	}
	other, err := connect(t, r.cloud.AuthURL(), password(world.Admin, world.AdminPass)).Container(t.Context(), r.project, "nothing")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Put(t.Context(), document, "application/json", []byte("{}")); !errors.Is(err, openstack.ErrNotFound) || !strings.Contains(openstack.Hint(err), "container create nothing") {
		t.Errorf("into no container: %v (%s)", err, openstack.Hint(err))
	}
	if err := other.Delete(t.Context(), document); err != nil {
		t.Errorf("from no container: %v", err)
	}
	none := serve(t, world.Generate(world.Options{Seed: 1, At: present, Projects: 1, VMs: 1}), emulated.Options{})
	if _, err := connect(t, none.AuthURL(), password(world.Admin, world.AdminPass)).Container(t.Context(), r.project, "x"); !errors.Is(err, openstack.ErrNoService) {
		t.Errorf("a cloud without object storage: %v", err)
	}
	if _, err := connect(t, r.cloud.AuthURL(), password(world.Admin, world.AdminPass)).Container(t.Context(), "", "x"); !errors.Is(err, openstack.ErrScope) {
		t.Errorf("no project: %v", err)
	}
}

// TestContainerSignsInAnew goes on when a token has ended, once, and sends the whole body again.
func TestContainerSignsInAnew(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{})
	body := bytes.Repeat([]byte("x"), 1<<20)
	r.cloud.ExpireTokens()
	if err := r.Put(t.Context(), document, "application/json", body); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.cloud.Stored(r.project, "cloud-info", document); !bytes.Equal(got, body) {
		t.Errorf("%d bytes of %d", len(got), len(body))
	}
	r.faults.Add(faults.Fault{Service: "object-store", Times: -1, Effect: faults.Effect{Status: 401}})
	r.cloud.Forget()
	if _, err := r.Get(t.Context(), document, 1<<20); !errors.Is(err, openstack.ErrNotAuthorised) {
		t.Error(err)
	}
	if n := len(r.cloud.Requests()); n != 3 { // refused, signed in, refused
		t.Errorf("%d requests", n)
	}
}

// TestContainerTroubles has what may go wrong with an upload: what is stored is known afterwards.
func TestContainerTroubles(t *testing.T) {
	change := func(to string) func(http.Header) http.Header {
		return func(h http.Header) http.Header { h.Set("ETag", to); return h }
	}
	for name, c := range map[string]struct {
		effect faults.Effect
		kind   error // nil = it is stored
		stored bool
		says   string
	}{
		"403":                   {faults.Effect{Status: 403, Body: "<html><h1>Forbidden</h1><p>Access was denied</p></html>"}, openstack.ErrForbidden, false, "403: forbidden: Forbidden Access was denied"},
		"404":                   {faults.Effect{Status: 404}, openstack.ErrNotFound, false, "404"},
		"413":                   {faults.Effect{Status: 413, Body: "<html><h1>Request Entity Too Large</h1><p>Upload exceeds quota.</p></html>"}, openstack.ErrFull, false, "Upload exceeds quota"},
		"422":                   {faults.Effect{Status: 422}, openstack.ErrUnavailable, false, "what arrived is not what was sent"},
		"429":                   {faults.Effect{Status: 429}, openstack.ErrUnavailable, false, "too many requests"},
		"498":                   {faults.Effect{Status: 498}, openstack.ErrUnavailable, false, "498"},
		"503":                   {faults.Effect{Status: 503, Body: "<html><h1>Service Unavailable</h1></html>"}, openstack.ErrUnavailable, false, "Service Unavailable"},
		"507":                   {faults.Effect{Status: 507}, openstack.ErrFull, false, "507"},
		"a portal":              {faults.Effect{Status: 200, Body: "<html>please sign in</html>"}, openstack.ErrBadAnswer, false, "read back"},
		"no answer":             {faults.Effect{Unread: true}, openstack.ErrUnavailable, false, ""},
		"the answer is lost":    {faults.Effect{Lost: true}, nil, true, ""},
		"503 although it works": {faults.Effect{Status: 503, Worked: true}, nil, true, ""},
		"another sum":           {faults.Effect{Header: change("d41d8cd98f00b204e9800998ecf8427e")(http.Header{})}, openstack.ErrBadAnswer, true, "instead of"},
		"no sum":                {faults.Effect{Header: http.Header{"Etag": {""}}}, nil, true, ""},
		"an encrypted sum":      {faults.Effect{Header: change("c0ffee-7")(http.Header{})}, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newStoreroom(t, emulated.Current, emulated.Storage{})
			r.faults.Add(faults.Fault{Service: "object-store", Method: http.MethodPut, Times: -1, Effect: c.effect})
			err := r.Put(t.Context(), document, "application/json", []byte(`{"a": 1}`))
			if (c.kind == nil) != (err == nil) || (c.kind != nil && (!errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || openstack.Hint(err) == "")) {
				t.Errorf("%v (%s)", err, openstack.Hint(err))
			}
			if _, ok := r.cloud.Stored(r.project, "cloud-info", document); ok != c.stored {
				t.Errorf("stored: %v, want %v", ok, c.stored)
			}
		})
	}
}

// halving lets half of what is sent through, as a broken proxy that says that this was all.
type halving struct{ next http.RoundTripper }

func (h halving) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPut && r.ContentLength > 0 {
		body, _ := io.ReadAll(r.Body)
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body[:len(body)/2])), int64(len(body)/2)
	}
	return h.next.RoundTrip(r)
}

// TestContainerTakesNoHalfUpload keeps what was there when an upload is cut, too slow or too large.
func TestContainerTakesNoHalfUpload(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{Quota: 1000})
	before := []byte(`{"before": 1}`)
	if err := r.Put(t.Context(), document, "application/json", before); err != nil {
		t.Fatal(err)
	}
	same := func(what string) {
		t.Helper()
		if got, _ := r.cloud.Stored(r.project, "cloud-info", document); !bytes.Equal(got, before) {
			t.Errorf("%s: %s is there", what, got)
		}
	}
	cut := r.open(t, world.Admin, world.AdminPass, func(cfg *openstack.Config) {
		own := *cfg.HTTP
		own.Transport = halving{own.Transport}
		cfg.HTTP = &own
	})
	if err := cut.Put(t.Context(), document, "application/json", []byte(`{"after": 1}`)); !errors.Is(err, openstack.ErrUnavailable) || !strings.Contains(err.Error(), "422") {
		t.Errorf("half of it: %v", err)
	}
	same("half an upload")
	if err := r.Put(t.Context(), document, "application/json", make([]byte, 1001)); !errors.Is(err, openstack.ErrFull) {
		t.Errorf("over the quota: %v", err)
	}
	same("over the quota")
	r.cloud.Forget()
	if err := r.Put(t.Context(), document, "application/json", make([]byte, openstack.MostObject+1)); !errors.Is(err, openstack.ErrFull) || len(r.cloud.Requests()) != 0 {
		t.Errorf("larger than is sent: %v, %d requests", err, len(r.cloud.Requests()))
	}
	slow, err := transport.New(transport.Config{Timeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(slow.CloseIdleConnections)
	hasty := r.open(t, world.Admin, world.AdminPass, func(cfg *openstack.Config) { cfg.HTTP = slow.Client })
	r.faults.Add(faults.Fault{Service: "object-store", Times: -1, Effect: faults.Effect{Delay: time.Minute, Unread: true}})
	if err := hasty.Put(t.Context(), document, "application/json", []byte("{}")); !errors.Is(err, openstack.ErrUnavailable) {
		t.Errorf("too slow: %v", err)
	}
	same("too slow")
}

// TestContainerReadsWhole refuses what is cut, changed, or larger than is asked for.
func TestContainerReadsWhole(t *testing.T) {
	for name, c := range map[string]struct {
		effect faults.Effect
		kind   error
		says   string
	}{
		"cut":     {faults.Effect{Cut: true}, openstack.ErrUnavailable, "cut"},
		"changed": {faults.Effect{Change: bytes.ToUpper}, openstack.ErrBadAnswer, "instead of"},
		"large":   {faults.Effect{Change: func([]byte) []byte { return make([]byte, 101) }}, openstack.ErrBadAnswer, "more than 100 bytes"},
		"503":     {faults.Effect{Status: 503}, openstack.ErrUnavailable, "503"},
		"pieces":  {faults.Effect{Change: bytes.ToUpper, Header: http.Header{"X-Object-Manifest": {"a/b"}}}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newStoreroom(t, emulated.Current, emulated.Storage{})
			r.cloud.Store(r.project, "cloud-info", document, "application/json", []byte(`{"a": "text"}`))
			r.faults.Add(faults.Fault{Service: "object-store", Method: http.MethodGet, Effect: c.effect})
			got, err := r.Get(t.Context(), document, 100)
			if (c.kind == nil) != (err == nil) || (c.kind != nil && (!errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) || got != nil)) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for name, text := range map[string]string{"a portal": "<html></html>", "an object": `{"name": "x"}`, "numbers": `[{"name": 7}]`} {
		r := newStoreroom(t, emulated.Current, emulated.Storage{})
		r.faults.Add(faults.Fault{Service: "object-store", Method: http.MethodGet, Effect: faults.Effect{Change: func([]byte) []byte { return []byte(text) }}})
		if all, err := r.List(t.Context(), ""); !errors.Is(err, openstack.ErrBadAnswer) || all != nil {
			t.Errorf("%s in place of a listing: %v, %v", name, all, err)
		}
	}
}

// TestContainerIsUsedByMany stores from several goroutines while tokens end.
func TestContainerIsUsedByMany(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{})
	r.cloud.ExpireTokens()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := r.Put(t.Context(), fmt.Sprint("o", i), "text/plain", bytes.Repeat([]byte{byte(i)}, 100_000)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if list, err := r.List(t.Context(), "o"); err != nil || len(list) != 8 {
		t.Errorf("%d, %v", len(list), err)
	}
}

// TestContainerHidesItsToken has a service echo the token that it was sent.
func TestContainerHidesItsToken(t *testing.T) {
	r := newStoreroom(t, emulated.Current, emulated.Storage{})
	var token string
	r.faults.Watch(func(req *http.Request) { token = req.Header.Get("X-Auth-Token") })
	r.faults.Add(faults.Fault{Service: "object-store", Times: -1, Effect: faults.Effect{Worked: true, Status: 403}})
	if err := r.Put(t.Context(), document, "text/plain", nil); err == nil || token == "" {
		t.Fatal(err, token)
	}
	r.faults.Clear()
	r.faults.Add(faults.Fault{Service: "object-store", Times: -1, Effect: faults.Effect{Status: 403, Body: "<p>" + token + "</p>"}})
	if err := r.Put(t.Context(), document, "text/plain", nil); err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), transport.Hidden) {
		t.Errorf("%v", err)
	}
}
