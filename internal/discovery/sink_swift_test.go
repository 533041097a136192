package discovery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fedsite/fedsite/internal/discovery"
	"github.com/fedsite/fedsite/internal/discovery/sinktest"
	"github.com/fedsite/fedsite/internal/emulator/faults"
	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/run"
	"github.com/fedsite/fedsite/internal/transport"
	"github.com/fedsite/fedsite/protocol/ams"
)

// storeroom is an emulated cloud with object storage.
type storeroom struct {
	*emulated.Cloud
	t       *testing.T
	faults  *faults.Set
	project string
	half    bool // of what is uploaded arrives
}

func newStoreroom(t *testing.T, s emulated.Storage) *storeroom {
	t.Helper()
	at := time.Now()
	w := world.Generate(world.Options{Seed: 1, At: at, Projects: 2, VMs: 1})
	r := &storeroom{t: t, faults: &faults.Set{}, project: w.Projects[0].ID}
	r.Cloud = emulated.New(w, func() time.Time { return at }, emulated.Options{Storage: &s, Middleware: r.faults.Middleware})
	srv, err := r.Listen("127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = srv.Close() })
	return r
}

// sink publishes as a user of the project.
func (r *storeroom) sink(user, secret string) discovery.Remover {
	r.t.Helper()
	client, err := transport.New(transport.Config{Timeout: 10 * time.Second, Retry: transport.Retry{Attempts: 2, Base: time.Millisecond, Max: time.Millisecond}})
	must(r.t, err)
	r.t.Cleanup(client.CloseIdleConnections)
	own := *client.Client
	own.Transport = &halving{next: own.Transport, when: &r.half}
	cloud, err := openstack.New(openstack.Config{AuthURL: r.AuthURL(), HTTP: &own, Now: time.Now,
		Credential: func() (openstack.Credential, error) {
			return openstack.Credential{Username: user, Password: secret}, nil
		}})
	must(r.t, err)
	return discovery.NewSwift(discovery.SwiftConfig{Name: "swift", At: r.AuthURL() + " " + r.project + " cloud-info",
		Open: func(ctx context.Context) (discovery.Container, error) {
			return cloud.Container(ctx, r.project, "cloud-info")
		}})
}

// halving lets half of an upload through, as a proxy that says that this was all.
type halving struct {
	next http.RoundTripper
	when *bool
}

func (h *halving) RoundTrip(r *http.Request) (*http.Response, error) {
	if *h.when && r.Method == http.MethodPut && r.ContentLength > 0 {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength, r.GetBody = io.NopCloser(bytes.NewReader(body[:len(body)/2])), int64(len(body)/2), nil
	}
	return h.next.RoundTrip(r)
}

// quick is an effect that waits for nothing.
func quick(e faults.Effect) faults.Effect {
	e.Delay = min(e.Delay, 2*time.Millisecond)
	if e.RetryAfter == "1" {
		e.RetryAfter = "0"
	}
	return e
}

// strike arms a named fault, and gives what takes it away.
func strike(s *faults.Set, f faults.Named) func() {
	f.Fault.Effect = quick(f.Fault.Effect)
	s.Add(f.Fault)
	return s.Clear
}

// TestSwiftSink runs the suite. What differs with Ceph the container knows, and its tests.
func TestSwiftSink(t *testing.T) {
	sinktest.Run(t, sinktest.Case{New: func(t *testing.T) sinktest.Bed {
		r := newStoreroom(t, emulated.Storage{})
		r.Store(r.project, "other", "escaped.json", "text/plain", []byte("stays"))
		breaks := map[string]func(*testing.T) func(){"half an upload": func(*testing.T) func() { r.half = true; return func() { r.half = false } }}
		for _, f := range faults.Storage() {
			breaks[f.Name] = func(*testing.T) func() { return strike(r.faults, f) }
		}
		open := func() discovery.Sink { return r.sink(world.Admin, world.AdminPass) }
		return sinktest.Bed{Sink: open(), Again: open, Breaks: breaks, Others: func(*testing.T) []string {
			return slices.DeleteFunc(r.Objects(), func(o string) bool { return strings.HasPrefix(o, r.project+"/cloud-info/") })
		}}
	}})
}

// TestSwiftSinkSaysWhatFailed meets each named fault while a document is there: those that heal are published through, the
// others say what to do and leave the document as it is known to be.
func TestSwiftSinkSaysWhatFailed(t *testing.T) {
	exits := map[string]int{"store-401": run.ExitNotAuthorised, "store-403": run.ExitNotAuthorised, "store-404": run.ExitFailed, "store-413": run.ExitFailed, "store-507": run.ExitFailed,
		"store-wrong-sum": run.ExitFailed, "store-html": run.ExitFailed}
	permanent := map[string]bool{"store-401": true, "store-403": true, "store-413": true, "store-507": true}
	for _, f := range faults.Storage() {
		t.Run(f.Name, func(t *testing.T) {
			r := newStoreroom(t, emulated.Storage{})
			sink := r.sink(world.Admin, world.AdminPass)
			old := sinktest.Publication(t, discovery.JSON, "SITE-A", sinktest.Endpoint, sinktest.Document("SITE-A", sinktest.Endpoint, 1, time.Now()), time.Now())
			next := sinktest.Publication(t, discovery.JSON, "SITE-A", sinktest.Endpoint, sinktest.Document("SITE-A", sinktest.Endpoint, 2, time.Now()), time.Now())
			must(t, sink.Publish(t.Context(), old))
			mend := strike(r.faults, f)
			err := sink.Publish(t.Context(), next)
			mend()
			if f.Heals != (err == nil) {
				t.Fatalf("%v", err)
			}
			want := old
			if f.Heals || f.Name == "store-wrong-sum" {
				want = next
			}
			if got, _ := r.Stored(r.project, "cloud-info", old.Name); !bytes.Equal(got, want.Body) {
				t.Errorf("%d bytes are there, want %d", len(got), len(want.Body))
			}
			if err == nil {
				return
			}
			exit, ok := exits[f.Name]
			if !ok {
				exit = run.ExitUnavailable
			}
			said, ok := errors.AsType[*discovery.Failure](err)
			if !ok || said.Exit != exit || said.Permanent != permanent[f.Name] || said.Hint == "" || strings.Contains(said.Hint, "window") {
				t.Errorf("%v: %+v", err, said)
			}
			if !strings.Contains(err.Error(), old.Name) || strings.ContainsAny(err.Error(), "<>\n") {
				t.Errorf("%v", err)
			}
			must(t, sink.Publish(t.Context(), next)) // and it is over
		})
	}
}

// TestSwiftSinkOfAReader is told which role is missing, and makes no container.
func TestSwiftSinkOfAReader(t *testing.T) {
	r := newStoreroom(t, emulated.Storage{})
	sink := r.sink(world.Reader, world.ReaderPass)
	p := sinktest.Publication(t, discovery.JSON, "SITE-A", sinktest.Endpoint, sinktest.Document("SITE-A", sinktest.Endpoint, 1, time.Now()), time.Now())
	err := sink.Publish(t.Context(), p)
	if f, ok := errors.AsType[*discovery.Failure](err); !ok || !f.Permanent || f.Exit != run.ExitNotAuthorised || !strings.Contains(f.Hint, "member") {
		t.Errorf("%v: %+v", err, f)
	}
	if body, err := sink.Held(t.Context(), p.Name); err == nil || errors.Is(err, discovery.ErrNotHeld) {
		t.Errorf("what cannot be read is not known to be away: %d bytes, %v", len(body), err)
	}
	wrong := r.sink(world.Reader, "wrong")
	if f, ok := errors.AsType[*discovery.Failure](wrong.Publish(t.Context(), p)); !ok || f.Exit != run.ExitNotAuthorised {
		t.Errorf("a wrong password: %+v", f)
	}
}

// TestSwiftSinkSignsInOnce does so for all its documents, and anew when something failed.
func TestSwiftSinkSignsInOnce(t *testing.T) {
	r := newStoreroom(t, emulated.Storage{})
	sink := r.sink(world.Admin, world.AdminPass)
	signIns := func() (n int) {
		for _, q := range r.Requests() {
			if q.Method == http.MethodPost {
				n++
			}
		}
		return n
	}
	for i := range 3 {
		site := fmt.Sprint("SITE-", i)
		must(t, sink.Publish(t.Context(), sinktest.Publication(t, discovery.JSON, site, sinktest.Endpoint, sinktest.Document(site, sinktest.Endpoint, 1, time.Now()), time.Now())))
	}
	if n := signIns(); n != 2 { // without a project, and to it
		t.Errorf("%d sign-ins", n)
	}
	if _, err := sink.Held(t.Context(), "nothing.json"); !errors.Is(err, discovery.ErrNotHeld) {
		t.Error(err)
	}
	if n := signIns(); n != 2 {
		t.Errorf("%d sign-ins after a document that is not there", n)
	}
	r.ExpireTokens()
	if _, err := sink.Held(t.Context(), "nothing.json"); !errors.Is(err, discovery.ErrNotHeld) {
		t.Error(err)
	}
	if n := signIns(); n != 3 {
		t.Errorf("%d sign-ins after tokens ended", n)
	}
	r.faults.Add(faults.Fault{Service: "object-store", Effect: faults.Effect{Status: http.StatusForbidden}})
	if _, err := sink.Held(t.Context(), "nothing.json"); err == nil || errors.Is(err, discovery.ErrNotHeld) {
		t.Error(err)
	}
	if _, err := sink.Held(t.Context(), "nothing.json"); !errors.Is(err, discovery.ErrNotHeld) {
		t.Error(err)
	}
	if n := signIns(); n != 4 {
		t.Errorf("%d sign-ins after one use failed", n)
	}
}

// TestSwiftSinkRefusesPaths: who reads a container makes files of its objects.
func TestSwiftSinkRefusesPaths(t *testing.T) {
	r := newStoreroom(t, emulated.Storage{})
	sink := r.sink(world.Admin, world.AdminPass)
	for _, name := range []string{"a/b.json", "../x.json", ".hidden", "a\\b"} {
		p := sinktest.Publication(t, discovery.JSON, "SITE-A", sinktest.Endpoint, sinktest.Document("SITE-A", sinktest.Endpoint, 1, time.Now()), time.Now())
		p.Name = name
		_, held := sink.Held(t.Context(), name)
		for what, err := range map[string]error{"publish": sink.Publish(t.Context(), p), "read": held, "remove": sink.Remove(t.Context(), name)} {
			if f, ok := errors.AsType[*discovery.Failure](err); !ok || !f.Permanent {
				t.Errorf("%s %q: %v", what, name, err)
			}
		}
	}
	if n := len(r.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestSwiftSinkRefusesTooLarge: what the store does not take is not sent, and the refusal says how the document becomes smaller.
func TestSwiftSinkRefusesTooLarge(t *testing.T) {
	r := newStoreroom(t, emulated.Storage{})
	sink := r.sink(world.Admin, world.AdminPass)
	p := sinktest.Publication(t, discovery.JSON, "SITE-A", sinktest.Endpoint, sinktest.Document("SITE-A", sinktest.Endpoint, 1, time.Now()), time.Now())
	p.Body = make([]byte, openstack.MostObject+1)
	if f, ok := errors.AsType[*discovery.Failure](sink.Publish(t.Context(), p)); !ok || !f.Permanent || !strings.Contains(f.Hint, "discovery.merged: true") || !strings.Contains(f.Error(), "67108865 bytes") {
		t.Errorf("%+v", f)
	}
	if n := len(r.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	if most := sink.(discovery.Bounded).Most(); most != openstack.MostObject {
		t.Errorf("the run is told that it takes %d", most)
	}
}

// TestSinksSayWhere: two sinks of one name are told apart by where they publish.
func TestSinksSayWhere(t *testing.T) {
	swift := discovery.NewSwift(discovery.SwiftConfig{Name: "x", At: "container c of credential d"})
	topics := discovery.NewAMS(discovery.AMSConfig{Name: "x", Client: &ams.Client{Host: "msg.example.org", Project: "p"}})
	own := discovery.NewAMS(discovery.AMSConfig{Name: "x", Client: &ams.Client{Host: "msg.example.org", Port: 8080, Project: "p"}, Topic: "t"})
	for want, sink := range map[string]discovery.Sink{"swift container c of credential d": swift, "ams msg.example.org:443 p": topics, "ams msg.example.org:8080 p t": own} {
		if got := sink.(discovery.Placed).Place(); got != want || sink.Name() != "x" {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if own.(discovery.Sparing).Every() <= 0 {
		t.Error("each delivery to a topic costs")
	}
}
