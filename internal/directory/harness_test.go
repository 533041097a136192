package directory

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/fedsite/fedsite/protocol/glue"
)

// cloud is a document with so many shares, images and instance types, and a text where tenants write theirs.
func cloud(ep, site string, shares, images, types int, text string) glue.Document {
	n := func(i int64) *int64 { return &i }
	endpoint := glue.EndpointID(ep, "")
	d := glue.Document{
		Services:        []glue.Service{glue.NewService(ep, site)},
		Managers:        []glue.Manager{glue.NewManager(ep, "")},
		Endpoints:       []glue.Endpoint{glue.NewEndpoint(ep, "", site)},
		AccessPolicies:  []glue.AccessPolicy{glue.NewAccessPolicy(endpoint)},
		MappingPolicies: nil,
	}
	managers := []string{glue.ManagerID(ep, "")}
	for s := range shares {
		vo := fmt.Sprintf("vo%d.example.org", s)
		share := glue.NewShare(glue.ServiceID(ep), endpoint, vo, fmt.Sprintf("p-%d", s))
		share.VMs = glue.VMs{Total: n(int64(s)), Running: n(0)}
		share.MaxVM = n(int64(10 * (s + 1)))
		share.OtherInfo = glue.Info{{Name: "project_name", Value: text + "project"}}
		d.Shares = append(d.Shares, share)
		d.MappingPolicies = append(d.MappingPolicies, glue.NewMappingPolicy(share.ID, vo))
		for i := range images {
			d.Images = append(d.Images, glue.Image{
				Entity: glue.Entity{ID: fmt.Sprintf("img-%d", i), Name: fmt.Sprintf("%simage  %d", text, i)},
				Shares: []string{share.ID}, Endpoints: []string{endpoint}, Managers: managers,
				MarketplaceURL: fmt.Sprintf("registry.egi.eu/x/%d", i), OSPlatform: "x86_64", OSFamily: "linux", OSName: "Ubuntu", OSVersion: "22.04",
				Description: "First line\nsecond line: é", AccessInfo: glue.AccessNone, DiskSize: n(int64(20 + i)),
				Network: []glue.NetworkConfiguration{{Direction: "inbound", Protocol: "tcp", Port: "22", AddressRange: "0.0.0.0/0"}},
			})
		}
		for i := range types {
			d.InstanceTypes = append(d.InstanceTypes, glue.InstanceType{
				Entity: glue.Entity{ID: fmt.Sprintf("type-%d", i), Name: fmt.Sprintf("m1.%d", i)},
				Shares: []string{share.ID}, Endpoints: []string{endpoint}, Managers: managers,
				Platform: "amd64", CPU: n(int64(1 + i)), RAM: n(int64(512 << i % 10)), Disk: n(80), NetworkIn: glue.Undefined, NetworkOut: glue.True,
				NetworkInfo: []string{"infiniband", "ethernet"},
			})
		}
	}
	d.Summarize()
	return d
}

// source is a Source that a test changes.
type source struct {
	mu        sync.Mutex
	documents []Document
	version   string
	err       error
	asked     int
}

func (s *source) Documents(context.Context) ([]Document, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.documents, s.version, s.err
}

func (s *source) set(version string, err error, documents ...Document) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.documents, s.version, s.err = documents, version, err
}

// some are the documents of most tests: two sites.
func some() []Document {
	return []Document{
		{Site: "SITE-A", Name: "a", Document: cloud("https://a.example.org:5000/v3", "SITE-A", 2, 2, 2, "")},
		{Site: `Site "B", of <é>`, Name: "b", Document: cloud("https://[2001:db8::1]:5000/v3", `Site "B", of <é>`, 1, 3, 1, "x\n*)(ü\x00 ﬁ ")},
	}
}

// start serves documents on loopback, and gives the server, its address and what stops it and tells how it ended.
func start(t testing.TB, o Options, documents ...Document) (s *Server, address string, stop func() error) {
	t.Helper()
	if o.Source == nil {
		o.Source = &source{documents: documents, version: "1"}
	}
	if o.Every == 0 {
		o.Every = time.Hour
	}
	s = New(o)
	if documents != nil {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s, l.Addr().String(), stop
}

// dial connects, and waits at most a minute for any answer.
func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

func client(t testing.TB, address string) *ldap.Conn {
	t.Helper()
	c := ldap.NewConn(dial(t, address), false)
	c.Start()
	t.Cleanup(func() { c.Close() })
	return c
}
