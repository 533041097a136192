package openstack_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	emulated "github.com/fedsite/fedsite/internal/emulator/openstack"
	"github.com/fedsite/fedsite/internal/emulator/world"
	"github.com/fedsite/fedsite/internal/openstack"
	"github.com/fedsite/fedsite/internal/transport"
)

var present = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func now() time.Time { return present }

// serve serves a cloud of the world on loopback.
func serve(t *testing.T, w *world.World, o emulated.Options) *emulated.Cloud {
	t.Helper()
	c := emulated.New(w, now, o)
	srv, err := c.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Close() })
	return c
}

// connect gives the client's side; a failed request is not repeated.
func connect(t *testing.T, authURL string, cred openstack.Credential, change ...func(*openstack.Config)) *openstack.Cloud {
	t.Helper()
	own := transported(t, transport.Retry{})
	cfg := openstack.Config{AuthURL: authURL, Credential: func() (openstack.Credential, error) { return cred, nil }, HTTP: own.Client, Shake: own.Shake, Now: now, MaxSkew: 5 * time.Minute}
	for _, f := range change {
		f(&cfg)
	}
	c, err := openstack.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func client(t *testing.T, r transport.Retry) *http.Client { return transported(t, r).Client }

func transported(t *testing.T, r transport.Retry) *transport.Client {
	t.Helper()
	c, err := transport.New(transport.Config{Retry: r, Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func password(user, secret string) openstack.Credential {
	return openstack.Credential{Username: user, Password: secret}
}

// ids gives the ids of the VMs of a whole listing, in order, and how many pages it had.
func ids(ctx context.Context, list func(context.Context, func(openstack.Page) error) error) (all []string, pages int, err error) {
	err = list(ctx, func(p openstack.Page) error {
		pages++
		for _, s := range p.Servers {
			all = append(all, s.ID)
		}
		return nil
	})
	return all, pages, err
}

// odd is a small cloud whose answers a test writes by hand: Keystone signs anybody in, every other path is the test's.
type odd struct {
	*httptest.Server
	mu      sync.Mutex
	signIns int
	answer  func(w http.ResponseWriter, r *http.Request) bool // true = answered
}

const oddProject = "0123456789abcdef0123456789abcdef"

// newOdd serves it. Below compute's path "PROJECT" the endpoint carries the project's id.
func newOdd(t *testing.T, computePath string, answer func(http.ResponseWriter, *http.Request) bool) *odd {
	t.Helper()
	o := &odd{answer: answer}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", present.Format(http.TimeFormat))
		w.Header().Set("X-Openstack-Request-Id", "req-1")
		switch {
		case o.answer(w, r):
		case r.Method == http.MethodPost:
			o.mu.Lock()
			o.signIns++
			n := o.signIns
			o.mu.Unlock()
			w.Header().Set("X-Subject-Token", fmt.Sprint("token-", n))
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"token":{"user":{"id":"u","name":"me"},"project":{"id":%q},"catalog":[{"type":"compute","endpoints":[{"interface":"public","region_id":"RegionOne","url":%q}]}]}}`,
				oddProject, o.URL+computePath)
		default:
			fmt.Fprint(w, `{"version":{"id":"v2.1","version":"2.96"}}`)
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// list asks the odd cloud for the project's existing VMs.
func (o *odd) list(t *testing.T) ([]string, error) {
	t.Helper()
	p, err := connect(t, o.URL+"/v3", password("me", "hunter2")).Project(t.Context(), oddProject)
	if err != nil {
		return nil, err
	}
	all, _, err := ids(t.Context(), p.Existing)
	return all, err
}

func text(status int, body string, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func onServers(do func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/servers/detail") {
			return false
		}
		do(w)
		return true
	}
}
